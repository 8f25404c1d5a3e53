/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which blocks move where.
 *
 * decide() is a pure function of its input: no I/O, no clock, no memory of earlier calls, so that the daemon, the unit
 * tests and the trace simulator run the same code. It sorts nothing, and where it is given a region's census it looks only
 * at blocks that may move.
 *
 * Tiers of one rank form a level and are used together, in proportion to their bandwidth. A level keeps some
 * room free, so that new blocks are born in the fastest one; when the room falls under the low mark its coldest
 * blocks go one level down, until the high mark is reached. A block that was used where it lies moves up when there is
 * room above the high mark, or when it is hotter by a margin than the coldest block up there, which then makes way.
 */
#ifndef KVOFFD_DECIDE_H
#define KVOFFD_DECIDE_H

#include <stddef.h>
#include <stdint.h>

#include "census.h"
#include "heat.h"
#include "kvoff.h"

/* Why a block moves: struct kvoff_move_desc::reason. */
enum decide_reason {
	DECIDE_NONE = 0,
	DECIDE_PROMOTE_HOT,	/* used where it lies, and worth more than what makes way for it */
	DECIDE_PROMOTE_PREFETCH, /* its client will need it soon */
	DECIDE_DEMOTE_ROOM,	/* the level is short of room for new blocks */
	DECIDE_DEMOTE_SWAP,	/* makes way for hotter blocks */
	DECIDE_DEMOTE_HINT,	/* makes way, and its client called it cold */
	DECIDE_NR_REASONS
};

enum decide_policy {
	DECIDE_HEAT = 0,
	DECIDE_LRU,
	DECIDE_STATIC,
	DECIDE_NR_POLICIES
};

/**
 * struct decide_pool - the frames of one block size in one tier, in blocks
 * @blocks:	frames the pool has
 * @room:	frames that moves may still take: free ones, less what is in flight to them
 * @reserve:	free frames that new blocks may not take (the kernel's reserve for moves)
 * @births:	new blocks an interval to expect here
 */
struct decide_pool {
	uint64_t blocks;
	uint64_t room;
	uint64_t reserve;
	uint64_t births;
};

/**
 * struct decide_tier - one tier, at the index that is its number
 * @present:	the tier exists; all else is read only if it does
 * @rank:	as in struct kvoff_ctl_tier; tiers of one rank form a level
 * @bandwidth_mbps: for sharing a level; 0 counts as 1
 * @pools:	by log2(block size / KVOFF_BLOCK_SIZE_MIN)
 */
struct decide_tier {
	bool present;
	uint32_t rank;
	uint32_t bandwidth_mbps;
	struct decide_pool pools[KVOFF_NR_BLOCK_SIZES];
};

/**
 * struct decide_region - one region's blocks
 * @id:		the kernel's number
 * @size_class:	log2(block size / KVOFF_BLOCK_SIZE_MIN)
 * @unit:	neighbouring blocks that are as hot as the hottest of them, at least 1
 * @nr:		blocks in @heat
 * @heat:	what is known of them
 * @keys:	how to rank them
 * @census:	the same blocks counted, settled at the time of the call; NULL: every block is looked at
 */
struct decide_region {
	uint32_t id;
	uint32_t size_class;
	uint32_t unit;
	uint64_t nr;
	const struct heat *heat;
	const struct heat_keys *keys;
	const struct census *census;
};

/**
 * struct decide_rules - what the administrator turns
 * @policy:	DECIDE_STATIC moves nothing
 * @free_low:	hundredths of a percent of a level's frames: with less room for new blocks than this, cold blocks go
 *		down ...
 * @free_high:	... until there is this much; at least @free_low
 * @births_ahead: intervals of expected births for which there is room at the low mark, whatever @free_low says
 * @margin:	key steps by which a block must be hotter than the one that makes way for it
 * @residence:	a block that came to its tier less than this many hundredths of a second ago stays
 * @prefetch:	hundredths of a second for which a prefetch hint is believed; 0: never
 * @prefetch_share: percent of the fastest level's frames that one region's prefetch hints can claim
 */
struct decide_rules {
	enum decide_policy policy;
	uint32_t free_low;
	uint32_t free_high;
	uint32_t births_ahead;
	uint32_t margin;
	uint32_t residence;
	uint32_t prefetch;
	uint32_t prefetch_share;
};

/**
 * struct decide_input - all that decide() looks at
 * @now:	the time, in heat.h's units
 * @rules:	what the administrator turns
 * @tiers:	the tiers, by number
 * @link_bytes:	bytes that may still be sent from one tier to another in this interval, [from][to]
 * @nr_regions:	how many regions
 * @regions:	the regions
 */
struct decide_input {
	uint32_t now;
	struct decide_rules rules;
	struct decide_tier tiers[KVOFF_MAX_TIERS];
	uint64_t link_bytes[KVOFF_MAX_TIERS][KVOFF_MAX_TIERS];
	size_t nr_regions;
	const struct decide_region *regions;
};

/**
 * struct decide_move - one decision
 * @region:	index into the input's regions
 * @block:	which block
 * @from:	the tier it is in
 * @to:		the tier it should go to
 * @reason:	why
 */
struct decide_move {
	uint32_t region;
	uint64_t block;
	uint8_t from;
	uint8_t to;
	uint16_t reason;
};

struct decide_work;

/** decide_work_new - memory that decide() works in, for any number of calls; NULL: out of memory */
struct decide_work *decide_work_new(void);
/** decide_work_free - give it back; NULL does nothing */
void decide_work_free(struct decide_work *work);

/**
 * decide - what to move now
 * @work:	from decide_work_new(); holds nothing from call to call
 * @in:		all there is to know
 * @moves:	out: the moves, in the order to begin them: those that make room come first
 * @max:	room in @moves
 *
 * Returns how many. No block is in the list twice; no pool gets more blocks than it has room for at the time of the
 * call; no link more bytes than it has left.
 */
size_t decide(struct decide_work *work, const struct decide_input *in, struct decide_move *moves, size_t max);

/**
 * decide_levels - sort tiers into levels by rank
 * @tiers:	KVOFF_MAX_TIERS tiers
 * @level:	out: each tier's level, 0 is the fastest; KVOFF_TIER_NONE where there is no tier
 *
 * Returns how many levels.
 */
unsigned int decide_levels(const struct decide_tier *tiers, uint8_t *level);

/** decide_reason_name - a reason in a word, for logs and counters; here for tools that decide nothing */
static inline const char *decide_reason_name(unsigned int reason)
{
	static const char *const names[DECIDE_NR_REASONS] = {
		[DECIDE_NONE] = "none",
		[DECIDE_PROMOTE_HOT] = "promote_hot",
		[DECIDE_PROMOTE_PREFETCH] = "promote_prefetch",
		[DECIDE_DEMOTE_ROOM] = "demote_room",
		[DECIDE_DEMOTE_SWAP] = "demote_swap",
		[DECIDE_DEMOTE_HINT] = "demote_hint",
	};

	return reason < DECIDE_NR_REASONS ? names[reason] : "unknown";
}

/** decide_policy_name - a policy's name */
const char *decide_policy_name(enum decide_policy policy);

#endif /* KVOFFD_DECIDE_H */
