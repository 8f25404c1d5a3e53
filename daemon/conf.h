/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration file: sections in brackets, "key = value" lines, '#' and ';' begin comments. Every key is optional,
 * unknown ones are errors, and all errors of a file are reported, each with its line. kvoffd.conf.5 describes the keys.
 */
#ifndef KVOFFD_CONF_H
#define KVOFFD_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "kvoff.h"

#define CONF_PATH_LEN		108
#define CONF_DEFAULT_FILE	"/etc/kvoff/kvoffd.conf"

/**
 * struct conf_amount - bytes (or MB/s), or a share of something
 * @percent:	@value is in hundredths of a percent
 * @value:	how much
 */
struct conf_amount {
	bool percent;
	uint64_t value;
};

/**
 * struct conf_tier - a [tier NAME] section
 * @name:	the tier's name
 * @line:	where the section begins
 * @use:	no: leave the node alone
 * @node:	NUMA node, -1 for the one that discovery gave this name
 * @rank:	0 is the fastest, -1 for the order of latencies
 * @set_capacity: @capacity was given
 * @capacity:	bytes, or a share of the node's free kernel-zone memory
 * @latency_ns:	instead of what was discovered; 0: not given
 * @bandwidth_mbps: likewise
 * @prefill:	bytes for each block size's pool from the start, by log2(block size / KVOFF_BLOCK_SIZE_MIN)
 */
struct conf_tier {
	char name[KVOFF_NAME_LEN];
	unsigned int line;
	bool use;
	int64_t node;
	int64_t rank;
	bool set_capacity;
	struct conf_amount capacity;
	uint64_t latency_ns;
	uint64_t bandwidth_mbps;
	uint64_t prefill[KVOFF_NR_BLOCK_SIZES];
};

/**
 * struct conf_link - one "FROM:TO = amount" line of [links]
 * @from:	a tier's name
 * @to:		a tier's name
 * @budget:	10^6 bytes a second, or a share of the slower tier's bandwidth; 0: no limit
 */
struct conf_link {
	char from[KVOFF_NAME_LEN];
	char to[KVOFF_NAME_LEN];
	struct conf_amount budget;
};

#define CONF_MAX_LINKS	64

/* Values of the keys that name one of several things; in the order of their names in conf_key.c. */
enum conf_log_level { CONF_LOG_ERROR, CONF_LOG_WARN, CONF_LOG_INFO, CONF_LOG_DEBUG };

/**
 * struct conf - everything that the file can say; times in the unit of the key's name
 */
struct conf {
	/* [daemon] */
	uint64_t interval_ms;
	uint64_t cpu_percent;
	bool io_uring;
	bool memory_errors;
	uint64_t poison_scan_s;
	uint64_t log_level;
	char status_file[CONF_PATH_LEN];
	/* [policy] */
	uint64_t policy;
	struct conf_amount free_low;
	struct conf_amount free_high;
	uint64_t births_ahead_ms;
	double margin;
	double class_weight;
	uint64_t residence_ms;
	uint64_t prefetch_ms;
	struct conf_amount prefetch_share;
	uint64_t half_life_s;
	uint64_t max_moves;
	/* [discover] */
	bool discover;
	bool probe;
	struct conf_amount fast_capacity;
	struct conf_amount cxl_capacity;
	/* [links] */
	struct conf_amount budget;
	size_t nr_links;
	struct conf_link links[CONF_MAX_LINKS];
	/* [tier NAME] */
	size_t nr_tiers;
	struct conf_tier tiers[KVOFF_MAX_TIERS];
};

/**
 * struct conf_report - what is wrong with a file, a line each; begin with all zero
 * @nr:		errors found; those past the room in @text are counted only
 * @len:	bytes in @text
 * @text:	the messages, each ending in a newline
 */
struct conf_report {
	unsigned int nr;
	size_t len;
	char text[4096];
};

/** conf_init - the defaults */
void conf_init(struct conf *conf);

/**
 * conf_read - read a configuration
 * @conf:	out: the defaults with the file's changes; complete but not to be used where errors were found
 * @file:	open for reading
 * @name:	its name, for messages
 * @report:	errors are added here
 *
 * Returns how many errors were added.
 */
unsigned int conf_read(struct conf *conf, FILE *file, const char *name, struct conf_report *report);

/**
 * conf_load - read a configuration by name
 * @missing_ok: a file that does not exist means the defaults
 *
 * As conf_read(); a file that cannot be opened is an error.
 */
unsigned int conf_load(struct conf *conf, const char *name, bool missing_ok, struct conf_report *report);

/** conf_complain - add a message to a report: "NAME:LINE: text"; a @line of 0 is left out */
void conf_complain(struct conf_report *report, const char *name, unsigned int line, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The kinds of section; in the order of their names in conf_key.c. */
enum conf_section { CONF_DAEMON, CONF_POLICY, CONF_DISCOVER, CONF_LINKS, CONF_TIER, CONF_NR_SECTIONS };

/** conf_section_name - as it stands in brackets */
const char *conf_section_name(enum conf_section section);

/**
 * conf_key_set - set one key
 * @section:	which kind of section it stands in
 * @base:	the struct conf, or for CONF_TIER the struct conf_tier
 * @key:	its name
 * @value:	as in the file, without surrounding blanks
 * @allowed:	out: on -EINVAL, what would be right
 * @len:	room in @allowed
 *
 * Returns 0, -ENOENT for an unknown key (@allowed lists the known ones), -EINVAL.
 */
int conf_key_set(enum conf_section section, void *base, const char *key, const char *value, char *allowed, size_t len);

/** conf_amount_set - "10%", or a number of bytes with an optional K, M, G or T; -EINVAL. @bare: no unit letters */
int conf_amount_set(struct conf_amount *amount, const char *value, bool bare);

/** conf_name_ok - may a tier be called this? */
bool conf_name_ok(const char *name);

#endif /* KVOFFD_CONF_H */
