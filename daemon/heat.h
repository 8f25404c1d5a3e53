/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemon remembers of each block, and how likely it thinks a use is.
 *
 * Pure: no I/O and no clock. Time is an unsigned number of hundredths of a second that may wrap; only differences
 * count. The daemon, the unit tests and the trace simulator use the same code.
 *
 * The estimate is a hazard rate: uses a second to expect of a block that was used so many times before and has been
 * idle for so long. Each region learns its own table of rates from its own blocks, so that a client that scribbles
 * on its hints misleads nobody but itself about anything but its own blocks.
 */
#ifndef KVOFFD_HEAT_H
#define KVOFFD_HEAT_H

#include <stdbool.h>
#include <stdint.h>

/* Hundredths of a second in a second. */
#define HEAT_SEC		100u

/* Uses closer together than this are one use: a block is read once a token while its session runs. */
#define HEAT_EPISODE		HEAT_SEC

#define HEAT_PRESENT		(1u << 0)	/* has a frame */
#define HEAT_PREFETCH		(1u << 1)	/* the client wants it soon; believed for a while from @hinted on */
#define HEAT_COLD		(1u << 2)	/* the client does not want it soon */
#define HEAT_DONE		(1u << 3)	/* its session has ended */
#define HEAT_SHARED		(1u << 4)	/* a prefix that many requests share */
#define HEAT_PROMOTED		(1u << 5)	/* the daemon moved it up and nobody has used it since */
#define HEAT_IN_FLIGHT		(1u << 6)	/* in a move that has not ended */
#define HEAT_FRESH		(1u << 7)	/* used since it came to its tier */

/**
 * struct heat - one block; all zero for a block that was never seen
 * @used:	when it was last used (for a new block: first seen)
 * @placed:	when it came to its tier
 * @hinted:	when the prefetch hint was first seen
 * @retry:	not to be moved before this time, while @refused is not 0
 * @tier:	where it is, while HEAT_PRESENT
 * @flags:	HEAT_*
 * @uses:	uses after the first, bursts counted once; stops at 255
 * @refused:	refused moves in a row; stops at HEAT_REFUSED_MAX
 * @cancelled:	of these, cancelled by writes; stops at HEAT_CANCELLED_MAX
 */
struct heat {
	uint32_t used;
	uint32_t placed;
	uint32_t hinted;
	uint32_t retry;
	uint8_t tier;
	uint8_t flags;
	uint8_t uses;
	uint8_t refused : 5;
	uint8_t cancelled : 3;
};

#define HEAT_REFUSED_MAX	31
#define HEAT_CANCELLED_MAX	7

/**
 * struct heat_look - what the shared arrays said about a block at one moment
 * @tier:	where it is
 * @flags:	HEAT_PRESENT, HEAT_PREFETCH, HEAT_COLD, HEAT_DONE, HEAT_SHARED
 * @used:	it was touched, or came back from a sample, since the last look
 * @told:	it was touched
 */
struct heat_look {
	uint8_t tier;
	uint8_t flags;
	bool used;
	bool told;
};

/* What heat_see() found; a set. */
#define HEAT_SAW_BIRTH		(1u << 0)	/* the block is new */
#define HEAT_SAW_USE		(1u << 1)	/* it was used */
#define HEAT_SAW_REREAD		(1u << 2)	/* first use after a promotion */
#define HEAT_SAW_MOVE		(1u << 3)	/* it is in another tier than before */
#define HEAT_SAW_END		(1u << 4)	/* it has no frame any more */

/*
 * A use within this is as good as one at once. A move pays over the time for which its block stays; who goes by the
 * next moment swaps blocks that are all in use for each other, again and again, as their uses come round.
 */
#define HEAT_SOON		(5 * HEAT_SEC)

/* Classes of use counts: 0, 1, 2, 3-4, 5-8, more. */
#define HEAT_COUNTS		6
/* What a key depends on besides the time of the last use: the class of the count, by one of five sets of hints. */
#define HEAT_CLASSES		(HEAT_COUNTS * 5)
/* Octaves of idle times: powers of two of hundredths of a second, 2^23 is 23 hours. */
#define HEAT_OCTAVES		24
/* Steps an octave in the key table. */
#define HEAT_STEPS		8
#define HEAT_IDLE_STEPS		(HEAT_OCTAVES * HEAT_STEPS)
/*
 * Classes of idle times that rates are learned for: half octaves. In whole ones a block that is expected back within five
 * minutes is not told from one that is within eight.
 */
#define HEAT_BIN_STEPS		4
#define HEAT_BINS		(HEAT_IDLE_STEPS / HEAT_BIN_STEPS)

/* Keys: larger is hotter. 32 steps are a factor of two in the rate of uses. */
#define HEAT_KEYS		2048
#define HEAT_KEY_OCTAVE		32
#define HEAT_KEY_COLD		0
#define HEAT_KEY_MIN		1
#define HEAT_KEY_MAX		(HEAT_KEYS - 2)
#define HEAT_KEY_PREFETCH	(HEAT_KEYS - 1)

/**
 * struct heat_rates - what a region has learned about its blocks
 * @uses:	uses seen, by class of use count and of idle time before the use; aged
 * @exposure:	block-seconds spent in the class; aged
 * @aged:	when both were last halved
 * @blind:	for how long a block in use may not be seen so again, in hundredths of a second: while it is idle for no
 *		longer, nothing is known but that it was used. 0 where every use is told
 * @round:	until samples have come to every block, in hundredths of a second; 0 if there are none
 * @untold:	of all uses, those that only samples showed; aged
 */
struct heat_rates {
	double uses[HEAT_COUNTS][HEAT_BINS];
	double exposure[HEAT_COUNTS][HEAT_BINS];
	uint32_t aged;
	uint32_t blind;
	uint32_t round;
	double untold;
};

/**
 * struct heat_keys - a block's key by class of use count and idle time
 * @key:	HEAT_KEY_MIN to HEAT_KEY_MAX
 */
struct heat_keys {
	uint16_t key[HEAT_COUNTS][HEAT_IDLE_STEPS];
};

/**
 * heat_see - take in one look at a block
 * @h:		the block
 * @rates:	its region's rates
 * @look:	what the arrays say
 * @now:	the time
 * @since:	time since the last look at this region's blocks, to be added to the exposure; 0 if it is added otherwise
 *
 * Returns a set of HEAT_SAW_*. The first look at a block with a frame is its birth, and says nothing about its heat:
 * being filled is not being used.
 */
unsigned int heat_see(struct heat *h, struct heat_rates *rates, const struct heat_look *look, uint32_t now,
		      uint32_t since);

/**
 * heat_age - halve what was learned when @half_life has passed since the last time
 * @rates:	the region's rates
 * @now:	the time
 * @half_life:	in hundredths of a second
 */
void heat_age(struct heat_rates *rates, uint32_t now, uint32_t half_life);

/** heat_rank - compute keys by expected uses */
void heat_rank(const struct heat_rates *rates, struct heat_keys *keys);

/** heat_rank_lru - compute keys by idle time alone */
void heat_rank_lru(struct heat_keys *keys);

/** heat_weigh - make all keys so many steps larger, or smaller */
void heat_weigh(struct heat_keys *keys, int steps);

/** heat_count_class - the class of a use count */
static inline unsigned int heat_count_class(unsigned int uses)
{
	return (uses > 0) + (uses > 1) + (uses > 2) + (uses > 4) + (uses > 8);
}

/*
 * Times of last use are told apart as a clock's hands tell time: by level, each twice as coarse as the one before, and
 * on a level by position. A time belongs to the finest level on which less than HEAT_RING positions lie between it and
 * now. So all that were used in one such stretch get older together, and their key changes for all of them at once.
 */
#define HEAT_RING		16
#define HEAT_LEVELS		21
/* The cells of all levels, and one for what is older. */
#define HEAT_CELLS		(HEAT_LEVELS * HEAT_RING + 1)

/*
 * heat_level - the level of a time; @behind: out: positions that lie between it and now there. It, heat_class() and their
 * like are without branches: neighbouring blocks have nothing in common that a processor could learn.
 */
static inline unsigned int heat_level(uint32_t now, uint32_t used, unsigned int *behind)
{
	unsigned int level = 28 - (unsigned int)__builtin_clz((now - used) | (HEAT_RING / 2)), over;

	*behind = ((now >> level) - (used >> level)) & (UINT32_MAX >> level);
	over = *behind / HEAT_RING;
	*behind >>= over;
	return level + over;
}

/** heat_cell - the cell of a time of last use, below HEAT_CELLS */
static inline unsigned int heat_cell(uint32_t now, uint32_t used)
{
	unsigned int behind, level = heat_level(now, used, &behind);

	return level < HEAT_LEVELS ? level * HEAT_RING + (used >> level) % HEAT_RING : HEAT_CELLS - 1;
}

/** heat_step_of - where a time stands in the key table */
static inline unsigned int heat_step_of(unsigned int level, unsigned int behind)
{
	static const uint8_t first[HEAT_RING / 2] = { 0, 0, 8, 12, 16, 18, 20, 22 };
	unsigned int step;

	if (behind < HEAT_RING / 2)
		return first[behind];
	/* level 0 begins with the fourth octave, of 8 hundredths of a second */
	step = level * HEAT_STEPS + behind + 2 * HEAT_STEPS;
	return step < HEAT_IDLE_STEPS ? step : HEAT_IDLE_STEPS - 1;
}

/** heat_step - the class of an idle time in the key table */
static inline unsigned int heat_step(uint32_t now, uint32_t used)
{
	unsigned int behind, level = heat_level(now, used, &behind);

	return heat_step_of(level, behind);
}

/** heat_class - what a block's key depends on besides the time of its last use, below HEAT_CLASSES */
static inline unsigned int heat_class(const struct heat *h)
{
	/* by HEAT_COLD, HEAT_DONE, HEAT_SHARED: 1 for shared, 2 for done, 4 for cold whatever else it is */
	static const uint8_t hints[8] = { 0, 4, 2, 4, 1, 4, 3, 4 };

	return hints[h->flags / HEAT_COLD % 8] * HEAT_COUNTS + heat_count_class(h->uses);
}

/** heat_class_key - the key of blocks of a class, without prefetch hints */
static inline unsigned int heat_class_key(const struct heat_keys *keys, unsigned int class, unsigned int step)
{
	unsigned int hints = class / HEAT_COUNTS, key = keys->key[class % HEAT_COUNTS][step];

	if (hints == 4)
		return HEAT_KEY_COLD;
	if (hints & 1)
		key += 2 * HEAT_KEY_OCTAVE;
	if (hints & 2)
		key = key > 4 * HEAT_KEY_OCTAVE ? key - 4 * HEAT_KEY_OCTAVE : HEAT_KEY_MIN;
	return key < HEAT_KEY_MAX ? key : HEAT_KEY_MAX;
}

/** heat_prefetch - is there a prefetch hint that is believed, which is for @prefetch? */
static inline bool heat_prefetch(const struct heat *h, uint32_t now, uint32_t prefetch)
{
	return (h->flags & HEAT_PREFETCH) && now - h->hinted < prefetch;
}

/**
 * heat_key - how hot a block is
 * @h:		the block
 * @keys:	its region's keys
 * @now:	the time
 * @prefetch:	how long a prefetch hint is believed, 0 for not at all
 */
static inline unsigned int heat_key(const struct heat *h, const struct heat_keys *keys, uint32_t now, uint32_t prefetch)
{
	if (heat_prefetch(h, now, prefetch))
		return HEAT_KEY_PREFETCH;
	return heat_class_key(keys, heat_class(h), heat_step(now, h->used));
}

#endif /* KVOFFD_HEAT_H */
