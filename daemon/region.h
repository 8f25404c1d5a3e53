/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The regions that exist, and looking at their blocks through the shared arrays.
 */
#ifndef KVOFFD_REGION_H
#define KVOFFD_REGION_H

#include <stddef.h>
#include <stdint.h>

#include "census.h"
#include "heat.h"
#include "kvoff.h"

/* What was learned changes slowly: hundredths of a second between two rankings. */
#define RANK_EVERY	HEAT_SEC

/**
 * struct region - one region
 * @id:		the kernel's number
 * @view:	descriptor of its arrays
 * @block_size:	bytes
 * @size_class:	log2(block_size / KVOFF_BLOCK_SIZE_MIN)
 * @limit:	blocks of its whole length
 * @nr:		blocks in the arrays now, and in @census
 * @mapped:	blocks that the mappings reach
 * @state:	the kernel's array
 * @hint:	the clients' array
 * @said:	what both said of each block when it was last looked at, packed (observe.c)
 * @census:	what is known of the blocks
 * @rates:	what was learned
 * @keys:	what follows from it
 * @ranked:	when @keys were computed
 * @present:	the tiers that existed then
 * @seen:	when its blocks were last looked at
 * @tenant_class: enum kvoff_class of the tenant
 * @touched:	its clients tell of uses: then a use need not wait for a sample to be seen
 * @gone:	the kernel has it no more
 */
struct region {
	uint32_t id;
	int view;
	uint32_t block_size;
	uint32_t size_class;
	uint64_t limit;
	uint64_t nr;
	uint64_t mapped;
	const struct kvoff_state *state;
	const struct kvoff_hint *hint;
	uint32_t *said;
	struct census census;
	struct heat_rates rates;
	struct heat_keys keys;
	uint32_t ranked;
	uint32_t present;
	uint32_t seen;
	uint32_t tenant_class;
	bool touched;
	bool gone;
};

/**
 * struct regions - all of them, by number
 * @nr:		how many
 * @room:	entries in @region
 * @region:	sorted by number
 */
struct regions {
	size_t nr;
	size_t room;
	struct region **region;
};

/**
 * struct observed - what one look at all blocks gave
 * @births:	new blocks, [tier][size class]
 * @reread_bytes: promoted blocks used for the first time since
 * @rereads:	how many of these
 * @looked:	blocks looked at
 */
struct observed {
	uint64_t births[KVOFF_MAX_TIERS][KVOFF_NR_BLOCK_SIZES];
	uint64_t reread_bytes;
	uint64_t rereads;
	uint64_t looked;
};

/** regions_sync - open views of regions that came, drop those that went. Returns 0 or a negative errno */
int regions_sync(struct regions *regions, int control, uint32_t now);
/** regions_find - by the kernel's number, or NULL */
struct region *regions_find(const struct regions *regions, uint32_t id);
/** regions_drop - forget all of them */
void regions_drop(struct regions *regions);

/** region_grow - let the mappings reach all blocks there are; 0 or a negative errno. -ENODEV: it is gone */
int region_grow(struct region *region);

/**
 * region_look - look at each block once (observe.c)
 * @region:	the region; @state, @hint, @said and @census hold @nr blocks
 * @present:	bit mask of the tiers that exist; blocks in others are not there
 * @now:	the time
 * @observed:	added to
 *
 * Believes none of the arrays: clients write one of them as they please.
 */
void region_look(struct region *region, uint32_t present, uint32_t now, struct observed *observed);

/** region_look_again - the next look is to take in where this block is, though the arrays may not change */
void region_look_again(struct region *region, uint64_t block);

#endif /* KVOFFD_REGION_H */
