/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Emptying a tier, for the commands that do it.
 */
#ifndef KVOFF_TOOLS_DRAIN_H
#define KVOFF_TOOLS_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include <kvoff.h>

#include "tools/evict.h"

/**
 * struct drain - a drain and how it went
 * @name:	the tier
 * @keep:	bytes that may stay
 * @timeout:	seconds, 0 for none
 * @quiet:	nothing but JSON goes to standard output
 * @evict:	the moves
 * @used:	bytes in use in the end, orphans not among them
 * @orphan:	bytes that something pins though their block is gone
 * @interrupted: by a signal
 * @ended:	somebody else has stopped it, or removed the tier
 * @seconds:	how long it took
 */
struct drain {
	char name[KVOFF_NAME_LEN];
	uint64_t keep;
	uint64_t timeout;
	bool quiet;
	struct evict evict;
	uint64_t used;
	uint64_t orphan;
	bool interrupted;
	bool ended;
	double seconds;
};

/* Begin, or go on with it. Returns 0 or -errno, complained about. */
int drain_begin(int control, struct drain *d);
/* Move until it is done. True if it is; what is in the way is in @d otherwise. */
bool drain_run(struct drain *d);
int drain_stop(int control, const char *name);
/* Says for people what could not go, and why. */
void drain_complain(const struct drain *d);

/* kvoffctl tier drain, tier undrain: @argv[0] is the word. */
int cmd_tier_drain(int argc, char **argv, bool json);
int cmd_tier_undrain(int argc, char **argv, bool json);

/* kvoffctl tier set --capacity below what is in use: 0 or an exit status. */
int shrink_below_use(int control, const char *name, uint64_t capacity, uint64_t timeout, bool json);

#endif
