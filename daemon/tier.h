/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tiers: those the kernel has, those that should be, and making the one the other. Tiers outlive the daemon: it
 * adopts what it finds, changes what the configuration wants otherwise, and never takes one down.
 */
#ifndef KVOFFD_TIER_H
#define KVOFFD_TIER_H

#include <stdbool.h>
#include <stdint.h>

#include "conf.h"
#include "kvoff.h"
#include "node.h"

#define TIER_SYSFS	"/sys/class/kvoff"

/**
 * struct tier_pool - a pool's figures in bytes, as in sysfs
 */
struct tier_pool {
	uint64_t filled;
	uint64_t free;
	uint64_t used;
};

/**
 * struct tier - one tier of the kernel's, at the index that is its number
 * @present:	it exists
 * @name:	its name
 * @node:	its NUMA node
 * @rank:	0 is the fastest
 * @capacity:	bytes it may take from its node
 * @draining:	an admin takes blocks away from it: none may come
 * @used:	bytes in frames that hold a block
 * @free:	bytes in frames ready in pools
 * @poisoned:	bytes out of use for memory errors
 * @latency_ns:	load latency
 * @latency_source: where that comes from
 * @bandwidth_mbps: read bandwidth
 * @bandwidth_source: where that comes from
 * @kind:	what its node is
 * @path:	how to get there, "" unless CXL
 * @switches:	on the way
 * @pools:	by log2(block size / KVOFF_BLOCK_SIZE_MIN); those of sizes in use are read
 */
struct tier {
	bool present;
	char name[KVOFF_NAME_LEN];
	int node;
	uint32_t rank;
	uint64_t capacity;
	bool draining;
	uint64_t used;
	uint64_t free;
	uint64_t poisoned;
	uint32_t latency_ns;
	enum node_source latency_source;
	uint32_t bandwidth_mbps;
	enum node_source bandwidth_source;
	enum node_kind kind;
	char path[NODE_PATH_LEN];
	unsigned int switches;
	struct tier_pool pools[KVOFF_NR_BLOCK_SIZES];
};

/**
 * struct tiers - all of them
 * @tier:	by number
 * @nr:		how many are present
 * @reserve_percent: the kernel's share of each pool for moves
 * @sample_round_ms: until a sample has come to every block, at most a day; 0 if there are no samples
 * @budget_mbps: of the copies from one tier to another, [from][to]; 0: no limit
 */
struct tiers {
	struct tier tier[KVOFF_MAX_TIERS];
	unsigned int nr;
	uint64_t reserve_percent;
	uint64_t sample_round_ms;
	uint32_t budget_mbps[KVOFF_MAX_TIERS][KVOFF_MAX_TIERS];
};

/**
 * struct tier_want - a tier that should be
 * @node:	what it is on; its costs are those to tell the kernel
 * @name:	its name
 * @rank:	its rank
 * @capacity:	bytes, or a share of what is free on the node when the tier is made
 * @conf:	its section, NULL if there is none
 */
struct tier_want {
	struct node node;
	char name[KVOFF_NAME_LEN];
	uint32_t rank;
	struct conf_amount capacity;
	const struct conf_tier *conf;
};

/**
 * tier_plan - which tiers should be (pure)
 * @want:	out: room for KVOFF_MAX_TIERS, fastest first
 * @conf:	the configuration
 * @nodes:	what was found
 *
 * Sections of nodes that were not found are logged. Returns how many.
 */
unsigned int tier_plan(struct tier_want *want, const struct conf *conf, const struct nodes *nodes);

/** tier_capacity - bytes that a tier on this node gets, a multiple of 2 MiB (pure) */
uint64_t tier_capacity(const struct conf_amount *capacity, const struct node *node);

/**
 * tiers_setup - make the kernel's tiers those that should be, and set the links' budgets
 * @tiers:	out
 * @control:	descriptor of /dev/kvoff/control
 * @conf:	the configuration
 * @nodes:	what was found
 *
 * What cannot be done is logged with what to do about it. Returns how many tiers there are.
 */
unsigned int tiers_setup(struct tiers *tiers, int control, const struct conf *conf, const struct nodes *nodes);

/** tiers_read - read the kernel's tiers from sysfs; costs and kinds of known ones stay. Returns how many */
unsigned int tiers_read(struct tiers *tiers);

/** tiers_set_links - give each link the budget that the configuration wants */
void tiers_set_links(struct tiers *tiers, int control, const struct conf *conf);

/**
 * tiers_refresh - read what changes, be it that kvoffctl did it
 * @tiers:	the tiers
 * @sizes:	bit mask of the size classes whose pools matter
 *
 * Returns whether there are links that want tiers_set_links().
 */
bool tiers_refresh(struct tiers *tiers, unsigned int sizes);

/** tiers_room - of that, only how much room pools have, which changes with every block */
void tiers_room(struct tiers *tiers, unsigned int sizes);

#endif /* KVOFFD_TIER_H */
