/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A region's blocks, counted: what lets a tick cost as much as what changed.
 *
 * Blocks whose key depends on the same things (tier, class, used where they lie or not) form a row, those of them that
 * were used at about the same time a cell of it. As time passes cells are merged and get new keys; no block is looked at
 * for that. Blocks whose state ends at a certain time (just placed, refused, prefetched, in a move) are out of the counts
 * until then.
 *
 * What is counted is a unit: its blocks count as used when the hottest of them was. Pure: no I/O and no clock.
 */
#ifndef KVOFFD_CENSUS_H
#define KVOFFD_CENSUS_H

#include <stddef.h>
#include <stdint.h>

#include "heat.h"
#include "kvoff.h"

/*
 * Marks of units: tier * 16 + 1 + a kind of row, so that units of a tier are told apart from others in one step; what row it
 * is just about. No mark: not counted, or nothing there.
 */
#define CENSUS_NONE		0
#define CENSUS_MIXED		255
#define CENSUS_MARKS		256

#define CENSUS_ROWS		(KVOFF_MAX_TIERS * 2 * HEAT_CLASSES)

/**
 * struct census_row - blocks of one kind
 * @tier:	where they are
 * @fresh:	they were used since they came there
 * @class:	see heat_class(); of the unit's hottest block
 * @nr:		how many
 * @cell:	how many, by time of last use of the unit's hottest block
 */
struct census_row {
	uint8_t tier;
	bool fresh;
	uint16_t class;
	uint32_t nr;
	uint32_t cell[HEAT_CELLS];
};

/**
 * struct census_array - memory that grows in place
 * @map:	where it is
 * @bytes:	how much
 */
struct census_array {
	void *map;
	size_t bytes;
};

/**
 * struct census - the blocks of a region; all zero but @unit for one without blocks
 * @unit:	blocks of a unit, at least 1
 * @nr:		blocks
 * @now:	the time that the cells are right for
 * @settled:	@residence and @prefetch are known
 * @residence:	as in struct decide_rules, by which blocks were held out of the counts
 * @prefetch:	likewise
 * @swept:	the first unit that the next sweep looks at
 * @heat:	by block
 * @tag:	by unit: its mark (census_mark() of its row, CENSUS_MIXED if it is in several, CENSUS_NONE), and above that
 *		the time of last use of its hottest block without its lowest bits; nothing older than CENSUS_OLD
 * @lead:	by unit: its hottest block when it was counted; NULL if units are single blocks
 * @out:	bit map of units that are not counted
 * @loose:	bit map, some of @out: units to be counted at once if they can be
 * @walk:	bit map, some of @out: units that may move or have a prefetch hint all the same
 * @due:	by 16 units: when to try to count the others of @out again
 * @row_of:	the row of (tier, fresh, class), plus one; 0: none yet
 * @nr_rows:	how many rows
 * @rows:	the rows
 * @ages:	all blocks with a frame, by class of use count and time of last use
 */
struct census {
	uint32_t unit;
	uint64_t nr;
	uint32_t now;
	bool settled;
	uint32_t residence;
	uint32_t prefetch;
	uint64_t swept;
	struct heat *heat;
	uint32_t *tag;
	uint16_t *lead;
	uint64_t *out;
	uint64_t *loose;
	uint64_t *walk;
	uint32_t *due;
	struct census_array arrays[7];
	uint16_t row_of[CENSUS_ROWS];
	uint16_t nr_rows;
	struct census_row *rows[CENSUS_ROWS];
	uint32_t ages[HEAT_COUNTS][HEAT_CELLS];
};

/* Tags tell times apart that are no longer ago than this; older ones count as this old. */
#define CENSUS_TAG_SHIFT	4
#define CENSUS_TAG_TIME		(UINT32_MAX >> 8)
#define CENSUS_OLD		(1u << 27)

/**
 * census_resize - make room for more blocks
 * @c:		the census
 * @nr:		how many blocks there are now, no fewer than before
 *
 * Memory is used only where blocks are seen. Returns 0 or -ENOMEM, and then nothing has changed.
 */
int census_resize(struct census *c, uint64_t nr);

/** census_huge - advise that an array may have huge pages if it is long */
void census_huge(void *map, size_t bytes);

/** census_free - give back the memory */
void census_free(struct census *c);

/**
 * census_advance - let time pass
 * @c:		the census
 * @rates:	the region's rates: the time that blocks have spent idle is added
 * @now:	the time; the first call sets the clock
 * @since:	how much of it to add
 */
void census_advance(struct census *c, struct heat_rates *rates, uint32_t now, uint32_t since);

/**
 * census_see - take in one look at a block
 * @c:		the census, advanced to now
 * @block:	which
 * @rates:	the region's rates
 * @look:	what the arrays say
 *
 * A block that does not change needs none. Returns a set of HEAT_SAW_*.
 */
unsigned int census_see(struct census *c, uint64_t block, struct heat_rates *rates, const struct heat_look *look);

/** census_loosen - take a block's unit out of the counts, before something else than its use is changed in its heat */
void census_loosen(struct census *c, uint64_t block);

/**
 * census_settle - count what is to be counted
 * @c:		the census, advanced to now
 * @keys:	the region's keys
 * @residence:	as in struct decide_rules
 * @prefetch:	as in struct decide_rules
 */
void census_settle(struct census *c, const struct heat_keys *keys, uint32_t residence, uint32_t prefetch);

/* What is looked for by the word of 64 units is looked for in so many words at once. */
#define CENSUS_WORDS		64

/**
 * census_expect - units that will be visited in a moment
 * @c:		the census
 * @word:	the first of CENSUS_WORDS words
 * @bits:	bit maps of the units
 *
 * Reads what is known of them, so that it comes to the cache for all of them at once; prefetches would be dropped for
 * pages that are not in the processor's table.
 */
void census_expect(const struct census *c, uint64_t word, const uint64_t bits[CENSUS_WORDS]);

/**
 * census_peek - read what is known of a block, so that it comes to the cache
 *
 * Several of these after each other take hardly longer than one. The result is to be used, or the compiler leaves it out.
 */
static inline uint32_t census_peek(const struct census *c, uint64_t block)
{
	return c->heat[block].used + c->tag[c->unit == 1 ? block : block / c->unit];
}

/** census_units - how many units there are */
static inline uint64_t census_units(const struct census *c)
{
	return c->unit == 1 ? c->nr : (c->nr + c->unit - 1) / c->unit;
}

/** census_row_index - where a kind of block stands in @row_of */
static inline unsigned int census_row_index(unsigned int tier, bool fresh, unsigned int class)
{
	return (tier * 2 + fresh) * HEAT_CLASSES + class;
}

/** census_mark - a row in eight bits: some rows have the same */
static inline uint8_t census_mark(unsigned int tier, bool fresh, unsigned int class)
{
	return (uint8_t)(tier * 16 + 1 + fresh * 7 + class % 7);
}

/* Classes of ages: eight to an octave of 24 bits. */
#define CENSUS_AGES		192

/**
 * struct census_windows - when units were used last, by their marks
 * @tiers:	bit mask of the tiers of the marks
 * @youngest:	least time since the last use, in units of struct census::tag
 * @oldest:	most
 * @ages:	bit map of the classes of times since the last use of each mark
 */
struct census_windows {
	uint32_t tiers;
	uint32_t youngest;
	uint32_t oldest;
	uint64_t ages[CENSUS_MARKS][CENSUS_AGES / 64];
};

/** census_windows_init - none */
void census_windows_init(struct census_windows *w);

/** census_windows_add - those that were counted in this cell of this row */
void census_windows_add(const struct census *c, struct census_windows *w, const struct census_row *row,
			unsigned int cell);

/**
 * census_match - those of 64 counted units that may lie in windows
 * @c:		the census
 * @word:	which 64 units
 * @w:		the windows
 *
 * Returns a bit map.
 */
uint64_t census_match(const struct census *c, uint64_t word, const struct census_windows *w);

/** census_steps - where each cell stands in the key table now */
void census_steps(const struct census *c, uint8_t step[HEAT_CELLS]);

#endif /* KVOFFD_CENSUS_H */
