// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The configuration file: what is taken, and what is said of each kind of mistake.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/conf.h"
#include "tap.h"

static struct conf conf;
static struct conf_report report;

static unsigned int read_text(const char *text)
{
	FILE *f = fmemopen((void *)text, strlen(text), "r");
	unsigned int nr;

	memset(&report, 0, sizeof(report));
	nr = conf_read(&conf, f, "x.conf", &report);
	fclose(f);
	return nr;
}

/* One mistake: where it is said to be, and words that the message must have. */
struct mistake {
	const char *text;
	const char *where;
	const char *words[3];
};

static const struct mistake mistakes[] = {
	{ "[policy\nname = lru\n", "x.conf:1: ", { "[policy", "section" } },
	{ "[policy] extra\n", "x.conf:1: ", { "section" } },
	{ "\n[plicy]\nname = lru\n", "x.conf:2: ", { "[plicy]", "no such section", "[policy]" } },
	{ "name = lru\n", "x.conf:1: ", { "name", "before the first" } },
	{ "[policy]\nname lru\n", "x.conf:2: ", { "name lru", "key = value" } },
	{ "[policy]\n\n# c\nnmae = lru\n", "x.conf:4: ", { "nmae", "no such key", "free_low" } },
	{ "[policy]\nname = fifo\n", "x.conf:2: ", { "name = fifo", "heat, lru, static" } },
	{ "[policy]\nname =\n", "x.conf:2: ", { "name = ", "heat, lru, static" } },
	{ "[policy]\nfree_low = 30%\n", "x.conf:2: ", { "free_low = 30%", "0% to 25%" } },
	{ "[policy]\nfree_low = 3\n", "x.conf:2: ", { "free_low = 3", "share" } },
	{ "[policy]\nfree_low = 1.234%\n", "x.conf:2: ", { "free_low", "share" } },
	{ "[policy]\nfree_low = 5%\nfree_high = 4%\n", "x.conf: ", { "free_low", "free_high" } },
	{ "[policy]\nmargin = 0.5\n", "x.conf:2: ", { "margin = 0.5", "1 to 1000" } },
	{ "[policy]\nmargin = nan\n", "x.conf:2: ", { "margin = nan", "number" } },
	{ "[policy]\nmargin = 1.2x\n", "x.conf:2: ", { "margin = 1.2x", "number" } },
	{ "[policy]\nname = lru\nname = heat\n", "x.conf:3: ", { "name", "twice" } },
	{ "[daemon]\ninterval_ms = 5\n", "x.conf:2: ", { "interval_ms = 5", "10 to 60000" } },
	{ "[daemon]\ninterval_ms = -1\n", "x.conf:2: ", { "interval_ms = -1", "10 to 60000" } },
	{ "[daemon]\ninterval_ms = 99999999999999999999\n", "x.conf:2: ", { "interval_ms", "10 to 60000" } },
	{ "[daemon]\ninterval_ms = 100ms\n", "x.conf:2: ", { "interval_ms = 100ms", "whole number" } },
	{ "[daemon]\nio_uring = maybe\n", "x.conf:2: ", { "io_uring = maybe", "yes or no" } },
	{ "[daemon]\nstatus_file = here\n", "x.conf:2: ", { "status_file = here", "absolute path" } },
	{ "[discover]\ncxl_capacity = 101%\n", "x.conf:2: ", { "cxl_capacity = 101%", "share" } },
	{ "[discover]\ncxl_capacity = 1M\n", "x.conf:2: ", { "cxl_capacity = 1M", "2 MiB" } },
	{ "[discover]\ncxl_capacity = 4Q\n", "x.conf:2: ", { "cxl_capacity = 4Q", "64M" } },
	{ "[discover]\ncxl_capacity = 99999999999T\n", "x.conf:2: ", { "cxl_capacity", "bytes" } },
	{ "[links]\nbudget = fast\n", "x.conf:2: ", { "budget = fast", "10^6 bytes" } },
	{ "[links]\nbudget = 4G\n", "x.conf:2: ", { "budget = 4G", "10^6 bytes" } },
	{ "[links]\na:a = 5\n", "x.conf:2: ", { "a:a", "two tiers" } },
	{ "[links]\na:b = 5x\n", "x.conf:2: ", { "a:b = 5x", "10^6 bytes" } },
	{ "[links]\na:b = 5\na : b = 6\n", "x.conf:3: ", { "a:b", "twice" } },
	{ "[tier]\n", "x.conf:1: ", { "[tier]", "no such section" } },
	{ "[tier a b]\n", "x.conf:1: ", { "a b", "letters" } },
	{ "[tier .a]\n", "x.conf:1: ", { ".a", "letters" } },
	{ "[tier abcdefghijklmnopqrstuvwxyz0123456]\n", "x.conf:1: ", { "31 letters" } },
	{ "[tier a]\n[tier a]\n", "x.conf:2: ", { "[tier a]", "line 1" } },
	{ "[tier a]\nnode = 1\n[tier b]\nnode = 1\n", "x.conf:3: ", { "tier b", "node = 1", "tier a" } },
	{ "[tier a]\nprefill = 2M\n", "x.conf:2: ", { "prefill = 2M", "BLOCKSIZE:BYTES" } },
	{ "[tier a]\nprefill = 3M:30M\n", "x.conf:2: ", { "prefill = 3M:30M", "BLOCKSIZE" } },
	{ "[tier a]\nprefill = 2M:3M\n", "x.conf:2: ", { "prefill = 2M:3M", "multiple" } },
	{ "[tier a]\nprefill = 2M:4M 2M:4M\n", "x.conf:2: ", { "prefill", "once" } },
	{ "[tier a]\ncapacity = 4M\nprefill = 2M:4M 64K:2M\n", "x.conf:1: ", { "tier a", "6M", "4M" } },
	{ "[tier a]\nrank = 256\n", "x.conf:2: ", { "rank = 256", "0 to 255" } },
	{ "[tier a]\nlatency_ns = 0\n", "x.conf:2: ", { "latency_ns = 0", "1 to" } },
};

static void test_mistakes(void)
{
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		const struct mistake *m = &mistakes[i];
		char name[128], first[64];
		bool ok = read_text(m->text) == 1 && !strncmp(report.text, m->where, strlen(m->where));

		for (unsigned int w = 0; w < 3 && m->words[w]; w++)
			ok &= strstr(report.text, m->words[w]) != NULL;
		if (!ok)
			printf("# %u errors: %s", report.nr, report.text);
		snprintf(first, sizeof(first), "%s", m->text);
		for (char *c = first; *c; c++)
			*c = *c == '\n' || *c == '#' ? ' ' : *c;
		snprintf(name, sizeof(name), "a mistake is named with its line: %s", first);
		check(ok, name);
	}
}

static void test_good(void)
{
	check(!read_text("") && conf.interval_ms == 100 && conf.margin > 1.19 && conf.io_uring && conf.discover &&
		      !conf.probe && conf.fast_capacity.percent && conf.fast_capacity.value == 2500 &&
		      conf.nr_tiers == 0,
	      "an empty file gives the defaults");
	check(!read_text("[policy]\n name\t= lru # c\n\n;c\nfree_low=1.5 %\nfree_high = 2.25%\n[tier cxl0]\r\ncapacity "
			 "= 4GiB\r\n"
			 "prefill = 2M:1G\t64k:512M\nnode = 3\n[links]\nbudget = 0\ncxl0:fast0 = 50%\n[policy]\nmargin "
			 "= 2"),
	      "blanks, comments, CRLF and sections begun again are taken");
	check(conf.policy == 1 && conf.free_low.value == 150 && conf.free_high.value == 225 && conf.margin > 1.99,
	      "[policy] is read");
	check(conf.nr_tiers == 1 && !strcmp(conf.tiers[0].name, "cxl0") && conf.tiers[0].set_capacity &&
		      conf.tiers[0].capacity.value == 4ull << 30 && !conf.tiers[0].capacity.percent &&
		      conf.tiers[0].node == 3 && conf.tiers[0].rank == -1 && conf.tiers[0].prefill[5] == 1ull << 30 &&
		      conf.tiers[0].prefill[0] == 512ull << 20,
	      "[tier NAME] is read");
	check(conf.nr_links == 1 && conf.links[0].budget.percent && conf.links[0].budget.value == 5000 &&
		      !conf.budget.percent && !conf.budget.value,
	      "[links] is read");
}

static void test_many(void)
{
	char text[40 * 64] = "[policy]\n";
	FILE *f;

	check(read_text("[daemon]\ninterval_ms = 1\n[policy]\nname = x\nfoo = 1\n") == 3 &&
		      strstr(report.text, "x.conf:2:") && strstr(report.text, "x.conf:4:") &&
		      strstr(report.text, "x.conf:5:"),
	      "all errors of a file are reported at once");
	for (int i = 0; i < 100; i++)
		strcat(text, "no_such_key = 1\n");
	check(read_text(text) == 100 && report.len < sizeof(report.text) && strlen(report.text) == report.len &&
	      report.text[report.len - 1] == '\n', "very many errors are counted, and no half line is shown");
	f = fmemopen("[policy]\nname = lru\0\n", 21, "r");
	memset(&report, 0, sizeof(report));
	check(conf_read(&conf, f, "x.conf", &report) && strstr(report.text, "x.conf:2:"), "a zero byte is an error");
	fclose(f);
	text[0] = 0;
	for (int i = 0; i < KVOFF_MAX_TIERS + 1; i++)
		sprintf(text + strlen(text), "[tier t%d]\n", i);
	check(read_text(text) == 1 && strstr(report.text, "x.conf:17:") && strstr(report.text, "16"),
	      "more sections than tiers are an error");
	memset(&report, 0, sizeof(report));
	check(conf_load(&conf, "/nonexistent/x.conf", true, &report) == 0 && conf.interval_ms == 100,
	      "the default file need not exist");
	check(conf_load(&conf, "/nonexistent/x.conf", false, &report) == 1 &&
		      strstr(report.text, "/nonexistent/x.conf"),
	      "a named one must");
}

static bool same_amount(const struct conf_amount *a, const struct conf_amount *b)
{
	return a->percent == b->percent && a->value == b->value;
}

/* Field by field: padding may differ. */
static bool same(const struct conf *a, const struct conf *b)
{
	return a->interval_ms == b->interval_ms && a->cpu_percent == b->cpu_percent && a->io_uring == b->io_uring &&
	       a->log_level == b->log_level && !strcmp(a->status_file, b->status_file) && a->policy == b->policy &&
	       same_amount(&a->free_low, &b->free_low) && same_amount(&a->free_high, &b->free_high) &&
	       a->births_ahead_ms == b->births_ahead_ms && !(a->margin < b->margin) && !(a->margin > b->margin) &&
	       !(a->class_weight < b->class_weight) && !(a->class_weight > b->class_weight) &&
	       a->residence_ms == b->residence_ms && a->prefetch_ms == b->prefetch_ms &&
	       same_amount(&a->prefetch_share, &b->prefetch_share) && a->half_life_s == b->half_life_s &&
	       a->max_moves == b->max_moves && a->discover == b->discover && a->probe == b->probe &&
	       same_amount(&a->fast_capacity, &b->fast_capacity) && same_amount(&a->cxl_capacity, &b->cxl_capacity) &&
	       same_amount(&a->budget, &b->budget) && a->nr_links == b->nr_links && a->nr_tiers == b->nr_tiers;
}

/* Take the '#' off every line of the example that is a key or section, and see that nothing changes. */
static void test_example(void)
{
	char line[512], text[16384] = "";
	FILE *f = fopen("daemon/kvoffd.conf", "r");
	struct conf defaults;
	unsigned int keys = 0;
	bool in_tier = false;

	conf_init(&defaults);
	while (f && fgets(line, sizeof(line), f)) {
		char *s = line;

		/* tiers and single links have no defaults: what the example has there are examples */
		in_tier |= !strncmp(line, "#[tier", 6);
		if (in_tier || !strncmp(line, "#fast0:", 7))
			continue;
		if (line[0] == '#' && line[1] >= 'a' && line[1] <= 'z') {
			s++;
			keys++;
		}
		strcat(text, s);
	}
	check(f && !read_text(text) && keys == 23 && same(&conf, &defaults),
	      "the example shows every key at its default");
	if (report.nr)
		printf("# %s", report.text);
	if (f)
		rewind(f);
	text[0] = 0;
	while (f && fgets(line, sizeof(line), f))
		strcat(text, line[0] == '#' && line[1] != ' ' ? line + 1 : line);
	check(f && !read_text(text) && conf.nr_tiers == 1 && conf.nr_links == 1,
	      "the example is right with everything in force");
	if (report.nr)
		printf("# %s", report.text);
	if (f)
		fclose(f);
}

int main(void)
{
	tap_plan(5 + (int)(sizeof(mistakes) / sizeof(mistakes[0])) + 6 + 2);
	test_good();
	test_mistakes();
	test_many();
	test_example();
	return tap_end();
}
