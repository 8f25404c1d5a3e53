/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The plain comparison: what share of the re-reads each policy serves from the fast tier when moving costs nothing.
 */
#ifndef KVOFF_SIMULATE_PLAIN_H
#define KVOFF_SIMULATE_PLAIN_H

#include "tools/simulate/load.h"

/**
 * struct sim_plain - how to compare
 * @fast:	blocks that the fast tier holds; the second tier holds all
 * @tick_ms:	time between two ticks of kvoffd, in the time of the trace
 * @from_ms:	re-reads and moves before this time of the trace are not counted
 * @set, @nr_set: kvoffd's configuration, see daemon.h
 */
struct sim_plain {
	uint32_t fast;
	double tick_ms;
	double from_ms;
	const char *const *set;
	unsigned int nr_set;
};

/**
 * struct sim_share - what came out
 * @rereads:	references to blocks seen before
 * @fast:	of these, served by the fast tier
 * @promoted:	moves into the fast tier; blocks that were born there are none
 * @demoted:	moves out of it
 * @seconds:	that it took
 */
struct sim_share {
	uint64_t rereads;
	uint64_t fast;
	uint64_t promoted;
	uint64_t demoted;
	double seconds;
};

/** sim_plain_run - play the references. Returns 0 or -ENOMEM */
int sim_plain_run(const struct sim_load *load, const struct sim_policy *policy, const struct sim_plain *how,
		  struct sim_share *share);

#endif
