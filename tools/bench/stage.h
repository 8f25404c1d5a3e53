/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's policy on a machine of any size: regions whose shared arrays are plain memory, tiers that are numbers.
 * Clients touch units at random, the policy's ticks are those of the daemon, and what it decides happens by the next
 * tick.
 */
#ifndef KVOFF_BENCH_STAGE_H
#define KVOFF_BENCH_STAGE_H

#include "daemon/act.h"
#include "daemon/region.h"

/**
 * struct stage_tier - a tier of the machine
 * @rank:	as in struct decide_tier
 * @mbps:	bandwidth
 * @percent:	of all blocks that lie here in the beginning; a fiftieth more fit in
 */
struct stage_tier {
	uint32_t rank;
	uint32_t mbps;
	unsigned int percent;
};

/**
 * struct stage - the machine; the caller fills in what stands before @now
 * @nr:		blocks, in @nr_regions regions of equal size
 * @nr_regions:	at least 1
 * @unit:	blocks of a unit
 * @block_size:	bytes
 * @tiers:	the tiers, @nr_tiers of them
 * @nr_tiers:	at least 2
 * @max_moves:	a tick
 * @tick:	hundredths of a second between two ticks
 * @now:	the time
 * @nr_moves:	of the last tick, not yet carried out
 * @touch_ns, @look_ns, @settle_ns, @decide_ns, @learn_ns: what the last tick has spent on each, of processor time
 */
struct stage {
	uint64_t nr;
	unsigned int nr_regions;
	uint32_t unit;
	uint32_t block_size;
	const struct stage_tier *tiers;
	unsigned int nr_tiers;
	size_t max_moves;
	uint32_t tick;
	uint32_t now;
	uint64_t seed;
	struct region *regions;
	struct decide_region *views;
	struct decide_input in;
	struct decide_work *work;
	struct decide_move *moves;
	size_t nr_moves;
	double look_ns;
	double settle_ns;
	double decide_ns;
	double learn_ns;
};

/* Build it, and let it run until blocks of all ages are in it. 0 or -errno; stage_close() in both cases. */
int stage_open(struct stage *s);
void stage_close(struct stage *s);

/* Carry out the last tick's moves, and let clients touch so many blocks, whole units at a time. */
void stage_live(struct stage *s, uint64_t touches);
/* A tick of the policy: look, settle, decide, mark what goes. Returns its processor time in ns. */
double stage_tick(struct stage *s);
/* Read all shared arrays once, as fast as it goes. Returns its processor time in ns. */
double stage_pass(const struct stage *s);

#endif /* KVOFF_BENCH_STAGE_H */
