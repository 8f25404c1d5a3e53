// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Looking at a region's blocks.
 */
#include <stddef.h>

#include "region.h"

_Static_assert(HEAT_PREFETCH == KVOFF_HINT_PREFETCH << 1 && HEAT_COLD == KVOFF_HINT_COLD << 1 &&
	       HEAT_SHARED == KVOFF_HINT_SHARED << 2 && HEAT_DONE == KVOFF_HINT_DONE,
	       "take_hints() shifts the bits that the interface defines");

static uint8_t take_hints(uint32_t bits)
{
	return (uint8_t)(((bits & (KVOFF_HINT_PREFETCH | KVOFF_HINT_COLD)) << 1) | ((bits & KVOFF_HINT_SHARED) << 2) |
			 (bits & KVOFF_HINT_DONE));
}

/*
 * What is remembered of a block's entries, in a word: whether it is there and in which tier (where the location has
 * them), its hints, and as much of both counters as shows that they went on since the last look.
 */
#define SAID_PRESENT	KVOFF_STATE_PRESENT
#define SAID_TIER	0x00000f00u
#define SAID_REFAULTS	0x000000feu
#define SAID_HINTS	0x0000f000u
#define SAID_TOUCHES	0xffff0000u

/* Samples that nobody came back to need no counting: the block's idle time grows by itself. */
static inline uint32_t say(uint64_t location, uint64_t counters, uint64_t hint)
{
	return ((uint32_t)location & (SAID_PRESENT | SAID_TIER)) | ((uint32_t)(counters >> 15) & SAID_REFAULTS) |
	       ((uint32_t)(hint >> 20) & SAID_HINTS) | (uint32_t)hint << 16;
}

_Static_assert(KVOFF_STATE_PRESENT == 1 && KVOFF_MAX_TIERS == 16 && offsetof(struct kvoff_state, refaults) == 10 &&
	       offsetof(struct kvoff_hint, bits) == 4, "say() takes them from where they are");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "say() shifts halves of words");

/* Both arrays as words, each read once. */
static inline uint32_t hear(const struct kvoff_state *state, const struct kvoff_hint *hint, uint64_t *location)
{
	const uint64_t *words = (const uint64_t *)state;

	*location = __atomic_load_n(&words[0], __ATOMIC_RELAXED);
	return say(*location, __atomic_load_n(&words[1], __ATOMIC_RELAXED),
		   __atomic_load_n((const uint64_t *)hint, __ATOMIC_RELAXED));
}

/* Those of up to 64 blocks of whom the arrays say something new. */
static uint64_t listen(const struct region *region, uint64_t first, unsigned int nr)
{
	uint64_t changed = 0, location;

	for (unsigned int i = 0; i < nr; i++) {
		uint32_t said = hear(&region->state[first + i], &region->hint[first + i], &location);

		changed |= (uint64_t)(said != region->said[first + i]) << i;
	}
	return changed;
}

static struct heat_look take_look(struct region *region, uint64_t block, uint32_t present)
{
	uint64_t location;
	uint32_t said = hear(&region->state[block], &region->hint[block], &location);
	uint32_t news = said ^ region->said[block], tier = KVOFF_LOC_TIER(location);
	struct heat_look look = { .tier = (uint8_t)tier };

	region->said[block] = said;
	if (!(said & SAID_PRESENT) || tier >= KVOFF_MAX_TIERS || !(present & (1u << tier)))
		return look;
	look.used = news & (SAID_TOUCHES | SAID_REFAULTS);
	look.flags = HEAT_PRESENT | take_hints((said & SAID_HINTS) >> 12);
	return look;
}

void region_look_again(struct region *region, uint64_t block)
{
	region->said[block] ^= SAID_TIER;
}

void region_look(struct region *region, uint32_t present, uint32_t now, struct observed *observed)
{
	bool all = present != region->present;

	census_advance(&region->census, &region->rates, now, now - region->seen);
	for (uint64_t first = 0; first < region->nr; first += 64) {
		unsigned int nr = region->nr - first < 64 ? (unsigned int)(region->nr - first) : 64;
		uint64_t changed = all ? ~0ull >> (64 - nr) : listen(region, first, nr);

		for (; changed; changed &= changed - 1) {
			uint64_t block = first + (unsigned int)__builtin_ctzll(changed);
			struct heat_look look = take_look(region, block, present);
			unsigned int saw = census_see(&region->census, block, &region->rates, &look);

			if (saw & HEAT_SAW_BIRTH)
				observed->births[look.tier][region->size_class]++;
			if (saw & HEAT_SAW_REREAD) {
				observed->rereads++;
				observed->reread_bytes += region->block_size;
			}
		}
	}
	observed->looked += region->nr;
	region->present = present;
	region->seen = now;
}
