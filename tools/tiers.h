/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tiers and the counters as the module shows them in /sys/class/kvoff.
 */
#ifndef KVOFF_TOOLS_TIERS_H
#define KVOFF_TOOLS_TIERS_H

#include <stdint.h>

#include <kvoff.h>

#define COUNTERS_MAX	64

/**
 * struct tier - one tier, a snapshot; what could not be read is 0 or empty
 * @name:		the admin's name
 * @id:			tier number
 * @node:		NUMA node
 * @rank:		0 is the fastest
 * @capacity:		bytes it may take from the node
 * @filled:		bytes its pools have taken
 * @used:		bytes in frames that hold a block
 * @free:		bytes ready in the pools
 * @orphan:		bytes still pinned by something after their block went
 * @poisoned:		bytes out of use for memory errors
 * @latency_ns:		0 if unknown
 * @bandwidth_mbps:	10^6 bytes a second, 0 if unknown
 * @state:		filling, ready, short, draining or drained
 */
struct tier {
	char name[KVOFF_NAME_LEN];
	unsigned int id;
	int node;
	unsigned int rank;
	uint64_t capacity;
	uint64_t filled;
	uint64_t used;
	uint64_t free;
	uint64_t orphan;
	uint64_t poisoned;
	unsigned int latency_ns;
	unsigned int bandwidth_mbps;
	char state[16];
};

/**
 * struct tiers - all tiers, the fastest first
 * @tier:	@nr of them
 */
struct tiers {
	unsigned int nr;
	struct tier tier[KVOFF_MAX_TIERS];
};

/* Returns 0 (also if there is no tier) or -errno: -ENOENT without the module. */
int tiers_read(struct tiers *t);

/* The tier of this name, NULL if there is none. */
const struct tier *tiers_find(const struct tiers *t, const char *name);

/**
 * struct counters - /sys/class/kvoff/stats
 * @nr:		how many
 * @name:	of each
 * @value:	of each; they only grow
 */
struct counters {
	unsigned int nr;
	char name[COUNTERS_MAX][KVOFF_NAME_LEN];
	uint64_t value[COUNTERS_MAX];
};

int counters_read(struct counters *c);

/* A counter's value, 0 if the module has no such counter. */
uint64_t counters_get(const struct counters *c, const char *name);

#endif
