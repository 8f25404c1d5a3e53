/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvoffctl: what its commands share.
 */
#ifndef KVOFF_TOOLS_CTL_H
#define KVOFF_TOOLS_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kvoff.h>

#include "tools/json_read.h"
#include "tools/tiers.h"

#define EXIT_FAILED	1
#define EXIT_USAGE	2

/* A command gets what follows its name; @json asks for JSON. Returns the exit status. */
int cmd_status(int argc, char **argv, bool json);
int cmd_tiers(int argc, char **argv, bool json);
int cmd_regions(int argc, char **argv, bool json);
int cmd_explain(int argc, char **argv, bool json);
int cmd_watch(int argc, char **argv, bool json);
int cmd_doctor(int argc, char **argv, bool json);
int cmd_tier(int argc, char **argv, bool json);
int cmd_pool(int argc, char **argv, bool json);
int cmd_tenants(int argc, char **argv, bool json);
int cmd_tenant(int argc, char **argv, bool json);

/* Prints "kvoff: " and the message. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same with a hint to the help; returns EXIT_USAGE. */
int usage_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Opens /dev/kvoff/control; complains and returns -errno if that fails. */
int control_open(void);

/**
 * regions_read - list the regions
 * @out:	out: an array, to be freed
 * @nr:		out: how many
 *
 * Returns 0 or -errno (complained about).
 */
int regions_read(struct kvoff_region_info **out, unsigned int *nr);

/* The region of this number or name. Returns 0 or the exit status (complained about); a number may be nobody's. */
int region_named(const char *which, unsigned int *id);

/* kvoffctl regions rm; gets "rm" and what follows. Returns the exit status. */
int regions_remove(int argc, char **argv, bool json);

/**
 * struct daemon - what is known of the policy daemon
 * @pid:	holder of the policy lease, 0 if nobody has it
 * @comm:	its name, empty if unknown
 * @report:	what it (or, while @pid is 0, the last one) wrote to /run/kvoff/kvoffd.json, NULL if nothing that can be
 *		read; informative, trusted by nobody
 * @age:	seconds since it was written
 */
struct daemon {
	int pid;
	char comm[32];
	struct json_value *report;
	double age;
};

void daemon_read(struct daemon *d);
void daemon_free(struct daemon *d);

/* The daemon's own part on a tier, NULL if it says nothing. */
const struct json_value *daemon_tier(const struct daemon *d, const char *name);

#endif
