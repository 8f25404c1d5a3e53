// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Filling and checking blocks. The words of a range are an arithmetic progression whose first term is a hash of id
 * and seed: additions and comparisons only, eight words a step, so that the loops run at the speed of memory and
 * bearably under emulation. The step is odd: no two words of a range are equal.
 */
#include <string.h>

#include "tools/content.h"

#define STRIDE	0x9e3779b97f4a7c15ULL

typedef uint64_t words __attribute__((vector_size(CONTENT_STEP / 2), aligned(CONTENT_STEP / 2), may_alias));

/* The finaliser of splitmix64. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static uint64_t first_word(uint64_t id, uint64_t seed)
{
	return mix(mix(id + STRIDE) ^ (seed + 1) * STRIDE);
}

/* A macro, as vectors passed by value have another ABI with every instruction set. */
#define PROGRESSION(x)	{ (x), (x) + STRIDE, (x) + 2 * STRIDE, (x) + 3 * STRIDE }

void content_fill(void *p, size_t len, uint64_t id, uint64_t seed)
{
	const words step = (words){ 0 } + 8 * STRIDE;
	uint64_t x = first_word(id, seed);
	words a = PROGRESSION(x), b = PROGRESSION(x + 4 * STRIDE);
	words *w = p;
	size_t i;

	for (i = 0; i < len / sizeof(*w); i += 2) {
		w[i] = a;
		w[i + 1] = b;
		a += step;
		b += step;
	}
}

static void find_wrong(const void *p, size_t len, uint64_t id, uint64_t seed, struct content_wrong *wrong)
{
	uint64_t x = first_word(id, seed);
	const uint8_t *found = p;
	size_t i, j;

	memset(wrong, 0, sizeof(*wrong));
	for (i = 0; i < len; i += sizeof(x), x += STRIDE) {
		uint8_t expected[sizeof(x)];

		memcpy(expected, &x, sizeof(x));
		for (j = 0; j < sizeof(x); j++) {
			if (found[i + j] == expected[j])
				continue;
			if (!wrong->bytes++) {
				wrong->offset = i + j;
				wrong->expected = expected[j];
				wrong->found = found[i + j];
			}
		}
	}
}

bool content_check(const void *p, size_t len, uint64_t id, uint64_t seed, struct content_wrong *wrong)
{
	const words step = (words){ 0 } + 8 * STRIDE;
	uint64_t x = first_word(id, seed);
	words a = PROGRESSION(x), b = PROGRESSION(x + 4 * STRIDE), bad = { 0 };
	const words *w = p;
	size_t i;

	for (i = 0; i < len / sizeof(*w); i += 2) {
		bad |= (w[i] ^ a) | (w[i + 1] ^ b);
		a += step;
		b += step;
	}
	if (!(bad[0] | bad[1] | bad[2] | bad[3]))
		return true;
	find_wrong(p, len, id, seed, wrong);
	/* a wrong word that reads right a moment later is wrong all the same: count at least one byte */
	if (!wrong->bytes)
		wrong->bytes = 1;
	return false;
}
