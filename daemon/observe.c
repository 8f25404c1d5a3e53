// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Looking at a region's blocks.
 */
#include <string.h>

#include "region.h"

_Static_assert(HEAT_PREFETCH == KVOFF_HINT_PREFETCH << 1 && HEAT_COLD == KVOFF_HINT_COLD << 1 &&
	       HEAT_SHARED == KVOFF_HINT_SHARED << 2 && HEAT_DONE == KVOFF_HINT_DONE,
	       "take_hints() shifts the bits that the interface defines");

static uint8_t take_hints(uint32_t bits)
{
	return (uint8_t)(((bits & (KVOFF_HINT_PREFETCH | KVOFF_HINT_COLD)) << 1) | ((bits & KVOFF_HINT_SHARED) << 2) |
			 (bits & KVOFF_HINT_DONE));
}

/* Both arrays as words, so that each block takes three loads and no half is seen twice. */
static struct heat_look take_look(const struct kvoff_state *state, const struct kvoff_hint *hint, uint32_t present)
{
	const uint64_t *words = (const uint64_t *)state;
	uint64_t location = __atomic_load_n(&words[0], __ATOMIC_RELAXED);
	uint64_t counters, said;
	struct heat_look look = { 0 };
	struct kvoff_hint words_said;
	uint16_t counts[4];

	look.tier = (uint8_t)KVOFF_LOC_TIER(location);
	if (!(KVOFF_LOC_FLAGS(location) & KVOFF_STATE_PRESENT) || look.tier >= KVOFF_MAX_TIERS ||
	    !(present & (1u << look.tier)))
		return look;
	counters = __atomic_load_n(&words[1], __ATOMIC_RELAXED);
	said = __atomic_load_n((const uint64_t *)hint, __ATOMIC_RELAXED);
	memcpy(counts, &counters, sizeof(counts));
	memcpy(&words_said, &said, sizeof(words_said));
	/* samples that nobody came back to need no counting: the block's idle time grows by itself */
	look.refaults = counts[1];
	look.touches = words_said.touches;
	look.flags = HEAT_PRESENT | take_hints(words_said.bits);
	return look;
}

void region_look(struct region *region, uint32_t present, uint32_t now, struct observed *observed)
{
	uint32_t since = now - region->seen;

	for (uint64_t b = 0; b < region->nr; b++) {
		struct heat_look look = take_look(&region->state[b], &region->hint[b], present);
		struct heat *h = &region->heat[b];
		unsigned int saw;

		/* most of a sparse region is neither there nor was it */
		if (!(look.flags & HEAT_PRESENT) && !(h->flags & HEAT_PRESENT))
			continue;
		saw = heat_see(h, &region->rates, &look, now, since);
		if (saw & HEAT_SAW_BIRTH)
			observed->births[h->tier][region->size_class]++;
		if (saw & HEAT_SAW_REREAD) {
			observed->rereads++;
			observed->reread_bytes += region->block_size;
		}
	}
	observed->looked += region->nr;
	region->seen = now;
}
