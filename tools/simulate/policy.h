/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What decides which blocks the fast tier holds. A policy is told of each reference to a block, and keeps a set of
 * blocks that it wants in the fast tier; what it costs to get them there is no business of its own (full.c).
 */
#ifndef KVOFF_SIMULATE_POLICY_H
#define KVOFF_SIMULATE_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No further reference. */
#define SIM_NEVER	UINT32_MAX

/**
 * struct sim_refs - the references of a trace, blocks numbered from 0 in order of appearance
 * @block:	which, by position
 * @next:	position of the next reference to the same block, or SIM_NEVER
 * @nr:		references
 * @nr_blocks:	different blocks
 * @most:	references to the block that has most
 */
struct sim_refs {
	uint32_t *block;
	uint32_t *next;
	uint32_t nr;
	uint32_t nr_blocks;
	uint32_t most;
};

/**
 * struct sim_fast - the blocks that a policy wants in the fast tier
 * @in:		one byte a block
 * @nr:		how many are in; never more than @capacity
 * @capacity:	blocks
 * @in_place:	blocks stay in use after their reference, until they are released
 * @changed:	called for each change
 * @ctx:	for @changed
 */
struct sim_fast {
	uint8_t *in;
	uint32_t nr;
	uint32_t capacity;
	bool in_place;
	void (*changed)(void *ctx, uint32_t block, bool in);
	void *ctx;
};

static inline void sim_enter(struct sim_fast *fast, uint32_t block)
{
	fast->in[block] = 1;
	fast->nr++;
	fast->changed(fast->ctx, block, true);
}

static inline void sim_leave(struct sim_fast *fast, uint32_t block)
{
	fast->in[block] = 0;
	fast->nr--;
	fast->changed(fast->ctx, block, false);
}

/* Where blocks are that no cache policy places. */
enum sim_kind {
	SIM_CACHE,	/* the policy's functions decide */
	SIM_FIRST_TOUCH, /* in the fast tier while it has room; nothing moves */
	SIM_STRIPED,	/* over all tiers by bandwidth; nothing moves */
	SIM_DRAM_ONLY,	/* there is no second tier */
	SIM_NVME,	/* as SIM_CACHE, and the second tier is a disk */
	SIM_DAEMON,	/* kvoffd's decisions (daemon.c) */
};

/**
 * struct sim_policy - one policy
 * @name:	for command lines and JSON
 * @title:	for people, one line
 * @kind:	where blocks are
 * @plain:	it takes part in the plain comparison of hit shares
 * @make:	make its state; NULL: no memory
 * @reference:	a block is used. @at is the position in the trace; where blocks stay in use, the same comes again now
 *		and then
 * @release:	nobody uses a block any more; @at is the position of the latest use that ended. NULL: of no interest
 * @drop:	a block has ceased to exist
 * @free:	give its state back
 */
struct sim_policy {
	const char *name;
	const char *title;
	enum sim_kind kind;
	bool plain;
	void *(*make)(struct sim_fast *fast, const struct sim_refs *refs);
	void (*reference)(void *state, uint32_t block, uint32_t at);
	void (*release)(void *state, uint32_t block, uint32_t at);
	void (*drop)(void *state, uint32_t block);
	void (*free)(void *state);
};

extern const struct sim_policy sim_dram_only, sim_dram_nvme, sim_striped, sim_first_touch, sim_lru, sim_lfu, sim_arc,
	sim_s3fifo, sim_tinylfu, sim_daemon_policy, sim_belady;

/* All of them, in the order of the tables; ends with NULL. */
extern const struct sim_policy *const sim_policies[];

/** sim_policy_find - by name, or NULL */
const struct sim_policy *sim_policy_find(const char *name, size_t len);

#endif
