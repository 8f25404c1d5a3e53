// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Looking at a region's blocks.
 */
#include <stddef.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

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

#ifdef __SSE2__
/*
 * say() for four blocks at once, compared with what they said: a bit for each that differs. A word that is torn because it
 * is written at this moment is taken in as a change, by take_look(), or the next time.
 */
static inline unsigned int listen_four(const struct kvoff_state *state, const struct kvoff_hint *hint,
				       const uint32_t *said)
{
	const float *states = (const float *)state, *hints = (const float *)hint;
	__m128 first = _mm_loadu_ps(hints), second = _mm_loadu_ps(hints + 4);
	/* the even words of two entries are both locations and both counters; the odd ones are not wanted */
	__m128 low = _mm_shuffle_ps(_mm_loadu_ps(states), _mm_loadu_ps(states + 4), _MM_SHUFFLE(2, 0, 2, 0));
	__m128 high = _mm_shuffle_ps(_mm_loadu_ps(states + 8), _mm_loadu_ps(states + 12), _MM_SHUFFLE(2, 0, 2, 0));
	__m128i location = _mm_castps_si128(_mm_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0)));
	__m128i counters = _mm_castps_si128(_mm_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1)));
	__m128i touches = _mm_castps_si128(_mm_shuffle_ps(first, second, _MM_SHUFFLE(2, 0, 2, 0)));
	__m128i bits = _mm_castps_si128(_mm_shuffle_ps(first, second, _MM_SHUFFLE(3, 1, 3, 1)));
	__m128i words;

	location = _mm_and_si128(location, _mm_set1_epi32(SAID_PRESENT | SAID_TIER));
	counters = _mm_and_si128(_mm_srli_epi32(counters, 15), _mm_set1_epi32(SAID_REFAULTS));
	bits = _mm_and_si128(_mm_slli_epi32(bits, 12), _mm_set1_epi32(SAID_HINTS));
	words = _mm_or_si128(_mm_or_si128(location, counters), _mm_or_si128(bits, _mm_slli_epi32(touches, 16)));
	words = _mm_cmpeq_epi32(words, _mm_loadu_si128((const __m128i *)said));
	return ~(unsigned int)_mm_movemask_ps(_mm_castsi128_ps(words)) & 15;
}
#endif

/* Those of up to 64 blocks of whom the arrays say something new. */
static uint64_t listen(const struct region *region, uint64_t first, unsigned int nr)
{
	uint64_t changed = 0, location;
	unsigned int i = 0;

	/* three streams at once are more than the processor looks ahead for; it may ask for what is past the end */
	for (unsigned int k = 128; k < 192; k += 16) {
		for (unsigned int line = 0; line < 16; line += 4)
			__builtin_prefetch(&region->state[first + k + line]);
		__builtin_prefetch(&region->hint[first + k]);
		__builtin_prefetch(&region->hint[first + k + 8]);
		__builtin_prefetch(&region->said[first + k]);
	}
#ifdef __SSE2__
	for (; i + 4 <= nr; i += 4)
		changed |= (uint64_t)listen_four(&region->state[first + i], &region->hint[first + i],
						 &region->said[first + i]) << i;
#endif
	for (; i < nr; i++) {
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
	look.told = news & SAID_TOUCHES;
	region->touched |= (said & SAID_TOUCHES) != 0;
	look.flags = HEAT_PRESENT | take_hints((said & SAID_HINTS) >> 12);
	return look;
}

void region_look_again(struct region *region, uint64_t block)
{
	region->said[block] ^= SAID_TIER;
}

static void take_in(struct region *region, uint64_t block, uint32_t present, struct observed *observed)
{
	struct heat_look look = take_look(region, block, present);
	unsigned int saw = census_see(&region->census, block, &region->rates, &look);

	if (saw & HEAT_SAW_BIRTH)
		observed->births[look.tier][region->size_class]++;
	if (saw & HEAT_SAW_REREAD) {
		observed->rereads++;
		observed->reread_bytes += region->block_size;
	}
}

void region_look(struct region *region, uint32_t present, uint32_t now, struct observed *observed)
{
	uint64_t words = (region->nr + 63) / 64, changed[CENSUS_WORDS];
	bool all = present != region->present;

	census_advance(&region->census, &region->rates, now, now - region->seen);
	for (uint64_t word = 0; word < words; word += CENSUS_WORDS) {
		for (unsigned int i = 0; i < CENSUS_WORDS; i++) {
			uint64_t first = (word + i) * 64, nr = first < region->nr ? region->nr - first : 0;

			nr = nr < 64 ? nr : 64;
			changed[i] = !nr ? 0 : all ? ~0ull >> (64 - nr) : listen(region, first, (unsigned int)nr);
		}
		if (region->census.unit == 1)
			census_expect(&region->census, word, changed);
		for (unsigned int i = 0; i < CENSUS_WORDS; i++)
			for (uint64_t bits = changed[i]; bits; bits &= bits - 1)
				take_in(region, (word + i) * 64 + (unsigned int)__builtin_ctzll(bits), present, observed);
	}
	observed->looked += region->nr;
	region->present = present;
	region->seen = now;
}
