// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading the configuration file: lines, sections, and what must hold between keys.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"

/**
 * struct reader - one file being read
 * @conf:	what it says
 * @report:	what is wrong with it
 * @name:	the file's name
 * @line:	the current line's number
 * @section:	the current section, CONF_NR_SECTIONS before the first and in one that is not known
 * @tier:	the current tier, in a [tier NAME] section
 * @skipping:	in a section that was complained of already
 * @seen:	keys seen in this section, for "given twice": "\nkey\nkey\n"
 */
struct reader {
	struct conf *conf;
	struct conf_report *report;
	const char *name;
	unsigned int line;
	enum conf_section section;
	struct conf_tier *tier;
	bool skipping;
	char seen[CONF_NR_SECTIONS][1024];
	char seen_tier[KVOFF_MAX_TIERS][256];
};

void conf_complain(struct conf_report *report, const char *name, unsigned int line, const char *format, ...)
{
	char where[32] = "", text[512];
	size_t room = sizeof(report->text) - report->len;
	va_list args;
	int len;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (line)
		snprintf(where, sizeof(where), ":%u", line);
	report->nr++;
	len = snprintf(report->text + report->len, room, "%s%s: %s\n", name, where, text);
	if ((size_t)len < room)
		report->len += (size_t)len;
	else
		report->text[report->len] = 0;
}

static char *trim(char *s)
{
	char *end;

	s += strspn(s, " \t\r\n");
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		*--end = 0;
	return s;
}

static void open_tier(struct reader *r, char *name)
{
	struct conf *conf = r->conf;
	struct conf_tier *tier;

	if (!conf_name_ok(name)) {
		conf_complain(r->report, r->name, r->line,
			      "[tier %s]: not a tier's name: 1 to %d letters, digits, '-', '_' and '.', not starting "
			      "with '.'",
			      name, KVOFF_NAME_LEN - 1);
		return;
	}
	for (size_t i = 0; i < conf->nr_tiers; i++) {
		if (!strcmp(conf->tiers[i].name, name)) {
			conf_complain(r->report, r->name, r->line,
				      "[tier %s]: this section was begun in line %u already", name,
				      conf->tiers[i].line);
			return;
		}
	}
	if (conf->nr_tiers == KVOFF_MAX_TIERS) {
		conf_complain(r->report, r->name, r->line, "[tier %s]: there can be %d tiers at most", name,
			      KVOFF_MAX_TIERS);
		return;
	}
	tier = &conf->tiers[conf->nr_tiers++];
	*tier = (struct conf_tier) { .line = r->line, .use = true, .node = -1, .rank = -1 };
	strcpy(tier->name, name);
	r->tier = tier;
	r->section = CONF_TIER;
	r->skipping = false;
}

static void read_section(struct reader *r, char *s)
{
	char *end = strchr(s, ']'), *name;

	r->tier = NULL;
	r->section = CONF_NR_SECTIONS;
	r->skipping = true;
	if (!end || end[1]) {
		conf_complain(r->report, r->name, r->line,
			      "\"%s\": a section is one word in brackets, like [policy] or [tier cxl0]", s);
		return;
	}
	*end = 0;
	name = trim(s + 1);
	if (!strncmp(name, "tier", 4) && isblank((unsigned char)name[4])) {
		open_tier(r, trim(name + 4));
		return;
	}
	for (int i = 0; i < CONF_TIER; i++) {
		if (!strcmp(name, conf_section_name(i))) {
			r->section = i;
			r->skipping = false;
			return;
		}
	}
	conf_complain(r->report, r->name, r->line,
		      "[%s]: no such section: [daemon], [policy], [discover], [links] or [tier NAME]", name);
}

/* True the first time. */
static bool note_seen(struct reader *r, const char *key)
{
	char *seen = r->tier ? r->seen_tier[r->tier - r->conf->tiers] : r->seen[r->section];
	size_t room = r->tier ? sizeof(r->seen_tier[0]) : sizeof(r->seen[0]), len = strlen(seen);
	char word[2 * KVOFF_NAME_LEN + 4];

	snprintf(word, sizeof(word), "\n%s\n", key);
	if (strstr(seen, word))
		return false;
	if (len + strlen(word) < room)
		strcpy(seen + len, word);
	return true;
}

static void read_link(struct reader *r, char *key, const char *value)
{
	struct conf *conf = r->conf;
	struct conf_link *link;
	char *to = strchr(key, ':');
	struct conf_amount budget;

	*to++ = 0;
	key = trim(key);
	to = trim(to);
	if (!conf_name_ok(key) || !conf_name_ok(to) || !strcmp(key, to)) {
		conf_complain(r->report, r->name, r->line,
			      "[links] %s:%s: a link is named by two tiers, like cxl0:fast0", key, to);
		return;
	}
	if (conf_amount_set(&budget, value, true) || (!budget.percent && budget.value > UINT32_MAX)) {
		conf_complain(r->report, r->name, r->line,
			      "[links] %s:%s = %s: allowed is 10^6 bytes a second, like 2000, a share of the slower "
			      "tier's bandwidth, like 25%%, or 0 for no limit",
			      key, to, value);
		return;
	}
	for (size_t i = 0; i < conf->nr_links; i++) {
		if (!strcmp(conf->links[i].from, key) && !strcmp(conf->links[i].to, to)) {
			conf_complain(r->report, r->name, r->line, "[links] %s:%s is given twice", key, to);
			return;
		}
	}
	if (conf->nr_links == CONF_MAX_LINKS) {
		conf_complain(r->report, r->name, r->line, "[links] %s:%s: there can be %d links at most", key, to,
			      CONF_MAX_LINKS);
		return;
	}
	link = &conf->links[conf->nr_links++];
	strcpy(link->from, key);
	strcpy(link->to, to);
	link->budget = budget;
}

static void read_key(struct reader *r, char *s)
{
	char *value = strchr(s, '='), *key, allowed[512];
	char section[KVOFF_NAME_LEN + 8];
	int err;

	if (!value) {
		conf_complain(r->report, r->name, r->line, "\"%s\": neither a [section] nor \"key = value\"", s);
		return;
	}
	*value++ = 0;
	key = trim(s);
	value = trim(value);
	if (r->section == CONF_NR_SECTIONS) {
		/* for a section that was complained of, that is enough */
		if (!r->skipping)
			conf_complain(r->report, r->name, r->line, "%s = %s: stands before the first [section]", key,
				      value);
		return;
	}
	if (r->section == CONF_LINKS && strchr(key, ':')) {
		read_link(r, key, value);
		return;
	}
	if (r->tier)
		snprintf(section, sizeof(section), "tier %s", r->tier->name);
	else
		snprintf(section, sizeof(section), "%s", conf_section_name(r->section));
	err = conf_key_set(r->section, r->tier ? (void *)r->tier : (void *)r->conf, key, value, allowed,
			   sizeof(allowed));
	if (err == -ENOENT)
		conf_complain(r->report, r->name, r->line, "[%s] %s: no such key; there are %s%s", section, key,
			      allowed, r->section == CONF_LINKS ? ", and FROM:TO" : "");
	else if (err)
		conf_complain(r->report, r->name, r->line, "[%s] %s = %s: allowed is %s", section, key, value, allowed);
	else if (!note_seen(r, key))
		conf_complain(r->report, r->name, r->line, "[%s] %s is given twice", section, key);
}

static void check_between(struct reader *r)
{
	const struct conf *conf = r->conf;

	if (conf->free_low.value > conf->free_high.value)
		conf_complain(
			r->report, r->name, 0,
			"[policy] free_low is above free_high: demotion would never end; let it be at most free_high");
	for (size_t i = 0; i < conf->nr_tiers; i++) {
		const struct conf_tier *tier = &conf->tiers[i];
		uint64_t sum = 0;

		for (unsigned int c = 0; c < KVOFF_NR_BLOCK_SIZES; c++)
			sum = sum + tier->prefill[c] < sum ? UINT64_MAX : sum + tier->prefill[c];
		if (tier->set_capacity && !tier->capacity.percent && sum > tier->capacity.value)
			conf_complain(r->report, r->name, tier->line,
				      "[tier %s] prefill asks for %lluM in all, capacity is %lluM", tier->name,
				      (unsigned long long)sum >> 20, (unsigned long long)tier->capacity.value >> 20);
		for (size_t k = 0; k < i; k++)
			if (tier->node >= 0 && tier->node == conf->tiers[k].node)
				conf_complain(r->report, r->name, tier->line,
					      "[tier %s] node = %lld: is tier %s's already", tier->name,
					      (long long)tier->node, conf->tiers[k].name);
	}
}

unsigned int conf_read(struct conf *conf, FILE *file, const char *name, struct conf_report *report)
{
	struct reader r = { .conf = conf, .report = report, .name = name, .section = CONF_NR_SECTIONS };
	unsigned int before = report->nr;
	size_t size = 0;
	char *line = NULL;
	ssize_t len;

	conf_init(conf);
	while ((len = getline(&line, &size, file)) >= 0) {
		char *s;

		r.line++;
		if (strlen(line) != (size_t)len) {
			conf_complain(report, name, r.line, "the line has a zero byte in it: this is no text file");
			break;
		}
		line[strcspn(line, "#;")] = 0;
		s = trim(line);
		if (*s == '[')
			read_section(&r, s);
		else if (*s)
			read_key(&r, s);
	}
	if (ferror(file))
		conf_complain(report, name, 0, "cannot be read: %s", strerror(errno));
	free(line);
	check_between(&r);
	return report->nr - before;
}

unsigned int conf_load(struct conf *conf, const char *name, bool missing_ok, struct conf_report *report)
{
	FILE *file = fopen(name, "re");
	unsigned int nr;

	if (!file && errno == ENOENT && missing_ok) {
		conf_init(conf);
		return 0;
	}
	if (!file) {
		conf_complain(report, name, 0, "cannot be opened: %s", strerror(errno));
		return 1;
	}
	nr = conf_read(conf, file, name, report);
	fclose(file);
	return nr;
}
