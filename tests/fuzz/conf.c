// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The configuration file: any text is either taken, and then everything in it is in its range, or complained of.
 */
#include <string.h>

#include "daemon/conf.h"
#include "fuzz.h"

const char * const fuzz_seeds[] = {
	"[daemon]\ninterval_ms = 100\ncpu_percent = 5\nio_uring = yes\nlog_level = info\nstatus_file = /run/x\n",
	"[policy]\nname = heat\nfree_low = 2%\nfree_high = 4.5%\nmargin = 1.2\nresidence_ms = 2000\nmax_moves = 64\n",
	"[discover]\ntiers = yes\nprobe = no\nfast_capacity = 25%\ncxl_capacity = 4G\n",
	"[links]\nbudget = 25%\ncxl0:fast0 = 2000\nfast0:cxl0 = 10%\n",
	"[tier cxl0]\nnode = 1\nrank = 1\ncapacity = 64M\nlatency_ns = 300\nprefill = 2M:32M 64K:8M\n# c\n; c\n",
	NULL
};

const char * const fuzz_words[] = {
	"[daemon]\n", "[policy]\n", "[discover]\n", "[links]\n", "[tier a]\n", "[tier ", "]", "\n", " = ", "=", ":", "%",
	"#", "interval_ms", "cpu_percent", "io_uring", "log_level", "status_file", "name", "free_low", "free_high",
	"births_ahead_ms", "margin", "residence_ms", "prefetch_ms", "prefetch_share", "half_life_s", "max_moves", "tiers",
	"probe", "fast_capacity", "cxl_capacity", "budget", "use", "node", "rank", "capacity", "latency_ns",
	"bandwidth_mbps", "prefill", "yes", "no", "heat", "lru", "static", "64K", "2M", "16E", "nan", "inf", "0x10", "\r\n",
	NULL
};

static void must_end(const char *text, size_t room)
{
	must(memchr(text, 0, room));
}

static void check(const struct conf *conf)
{
	size_t i;

	must(conf->nr_tiers <= KVOFF_MAX_TIERS && conf->nr_links <= CONF_MAX_LINKS);
	must(conf->interval_ms >= 10 && conf->interval_ms <= 60000);
	must(conf->margin >= 1 && conf->margin <= 1000);
	must(conf->free_low.value <= conf->free_high.value);
	must(conf->max_moves);
	must_end(conf->status_file, sizeof(conf->status_file));
	for (i = 0; i < conf->nr_tiers; i++) {
		must(conf_name_ok(conf->tiers[i].name));
		must(!conf->tiers[i].capacity.percent || conf->tiers[i].capacity.value <= 10000);
	}
	for (i = 0; i < conf->nr_links; i++) {
		must(conf_name_ok(conf->links[i].from) && conf_name_ok(conf->links[i].to));
		must(conf->links[i].budget.value <= UINT32_MAX);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct conf_report report;
	static struct conf conf;
	unsigned int nr;
	FILE *f;

	if (!size)
		return 0;
	f = fmemopen((void *)data, size, "r");
	if (!f)
		return 0;
	memset(&report, 0, sizeof(report));
	memset(&conf, 0x5a, sizeof(conf));
	nr = conf_read(&conf, f, "fuzz.conf", &report);
	fclose(f);
	must_end(report.text, sizeof(report.text));
	must(nr == report.nr && strlen(report.text) == report.len);
	must(!nr == !report.len);
	if (!nr)
		check(&conf);
	return 0;
}
