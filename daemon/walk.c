// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Seeing a region unit by unit.
 */
#include "walk.h"

void walk_begin(struct walk *w, const struct decide_input *in, const struct decide_region *region, uint64_t claims,
		const struct census_windows *windows)
{
	*w = (struct walk) {
		.in = in,
		.region = region,
		.windows = windows,
		.units = (region->nr + region->unit - 1) / region->unit,
		.claims = claims,
	};
}

/* The units to see among the 64 of a word. */
static uint64_t walk_bits(const struct walk *w, uint64_t word)
{
	const struct census *census = w->region->census;
	uint64_t left = w->units - word * 64;

	if (!census)
		return left < 64 ? (1ull << left) - 1 : ~0ull;
	return census->walk[word] | (w->windows ? census_match(census, word, w->windows) : 0);
}

/* Finds the units of another word, and looks at those found WALK_AHEAD words ago: their heat has come to the cache by then. */
static bool walk_word(struct walk *w)
{
	const struct decide_region *r = w->region;
	uint64_t words = (w->units + 63) / 64, found = 0;

	if (w->word >= words + WALK_AHEAD)
		return false;
	w->bits = w->ahead[w->word % WALK_AHEAD];
	if (w->word < words) {
		found = walk_bits(w, w->word);
		if (r->census)
			for (uint64_t bits = found; bits; bits &= bits - 1)
				census_expect(r->census, (w->word * 64 + (unsigned int)__builtin_ctzll(bits)) * r->unit);
	}
	w->ahead[w->word++ % WALK_AHEAD] = found;
	return true;
}

bool walk_next(struct walk *w)
{
	const struct decide_region *r = w->region;
	uint64_t hinted = 0, unit;

	while (!w->bits)
		if (!walk_word(w))
			return false;
	unit = (w->word - 1 - WALK_AHEAD) * 64 + (unsigned int)__builtin_ctzll(w->bits);
	w->bits &= w->bits - 1;
	w->first = unit * r->unit;
	w->end = r->nr - w->first > r->unit ? w->first + r->unit : r->nr;
	w->key = 0;
	for (uint64_t b = w->first; b < w->end; b++) {
		const struct heat *h = &r->heat[b];
		unsigned int key;

		if (!(h->flags & HEAT_PRESENT))
			continue;
		key = heat_key(h, r->keys, w->in->now, w->claims ? w->in->rules.prefetch : 0);
		if (key == HEAT_KEY_PREFETCH)
			hinted = w->end - w->first;
		if (key > w->key)
			w->key = key;
	}
	w->claims -= hinted < w->claims ? hinted : w->claims;
	return true;
}
