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
 * @touches:	the client's touch counter when it was last looked at
 * @used:	when it was last used (for a new block: first seen)
 * @placed:	when it came to its tier
 * @hinted:	when the prefetch hint was first seen
 * @retry:	not to be moved before this time, while @refused is not 0
 * @refaults:	the kernel's counter when it was last looked at
 * @tier:	where it is, while HEAT_PRESENT
 * @flags:	HEAT_*
 * @uses:	uses after the first, bursts counted once; stops at 255
 * @refused:	refused moves in a row
 * @cancelled:	of these, cancelled by writes
 */
struct heat {
	uint32_t touches;
	uint32_t used;
	uint32_t placed;
	uint32_t hinted;
	uint32_t retry;
	uint16_t refaults;
	uint8_t tier;
	uint8_t flags;
	uint8_t uses;
	uint8_t refused;
	uint8_t cancelled;
};

/**
 * struct heat_look - what the shared arrays said about a block at one moment, copied once
 * @touches:	struct kvoff_hint::touches
 * @refaults:	struct kvoff_state::refaults
 * @tier:	where it is
 * @flags:	HEAT_PRESENT, HEAT_PREFETCH, HEAT_COLD, HEAT_DONE, HEAT_SHARED
 */
struct heat_look {
	uint32_t touches;
	uint16_t refaults;
	uint8_t tier;
	uint8_t flags;
};

/* What heat_see() found; a set. */
#define HEAT_SAW_BIRTH		(1u << 0)	/* the block is new */
#define HEAT_SAW_USE		(1u << 1)	/* it was used */
#define HEAT_SAW_REREAD		(1u << 2)	/* first use after a promotion */
#define HEAT_SAW_MOVE		(1u << 3)	/* it is in another tier than before */
#define HEAT_SAW_END		(1u << 4)	/* it has no frame any more */

/* Classes of use counts: 0, 1, 2, 3-4, 5-8, more. */
#define HEAT_COUNTS		6
/* Classes of idle times: powers of two of hundredths of a second, 2^23 is 23 hours. */
#define HEAT_OCTAVES		24
/* Steps an octave in the key table. */
#define HEAT_STEPS		8
#define HEAT_IDLE_STEPS		(HEAT_OCTAVES * HEAT_STEPS)

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
 */
struct heat_rates {
	double uses[HEAT_COUNTS][HEAT_OCTAVES];
	double exposure[HEAT_COUNTS][HEAT_OCTAVES];
	uint32_t aged;
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
 * @since:	time since the last look at this region's blocks
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

/** heat_count_class - the class of a use count */
static inline unsigned int heat_count_class(unsigned int uses)
{
	if (uses <= 2)
		return uses;
	return uses <= 4 ? 3 : uses <= 8 ? 4 : 5;
}

/** heat_idle_step - the class of an idle time in the key table */
static inline unsigned int heat_idle_step(uint32_t idle)
{
	unsigned int octave, step;

	if (!idle)
		return 0;
	octave = 31 - (unsigned int)__builtin_clz(idle);
	step = octave >= 3 ? (idle >> (octave - 3)) & 7 : (idle << (3 - octave)) & 7;
	step += octave * HEAT_STEPS;
	return step < HEAT_IDLE_STEPS ? step : HEAT_IDLE_STEPS - 1;
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
	unsigned int key;

	if ((h->flags & HEAT_PREFETCH) && now - h->hinted < prefetch)
		return HEAT_KEY_PREFETCH;
	if (h->flags & HEAT_COLD)
		return HEAT_KEY_COLD;
	key = keys->key[heat_count_class(h->uses)][heat_idle_step(now - h->used)];
	if (h->flags & HEAT_SHARED)
		key += 2 * HEAT_KEY_OCTAVE;
	if (h->flags & HEAT_DONE)
		key = key > 4 * HEAT_KEY_OCTAVE ? key - 4 * HEAT_KEY_OCTAVE : HEAT_KEY_MIN;
	return key < HEAT_KEY_MAX ? key : HEAT_KEY_MAX;
}

#endif /* KVOFFD_HEAT_H */
