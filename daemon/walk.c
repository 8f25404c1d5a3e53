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

/* Find the units to see among the next WALK_WORDS words. */
static void search(struct walk *w)
{
	uint64_t words = (w->units + 63) / 64;

	for (unsigned int i = 0; i < WALK_WORDS; i++)
		w->bits[i] = w->word + i < words ? walk_bits(w, w->word + i) : 0;
	if (w->region->census)
		census_expect(w->region->census, w->word, w->bits);
}

bool walk_next(struct walk *w)
{
	const struct decide_region *r = w->region;
	uint64_t hinted = 0, unit, *bits;

	for (;;) {
		if (w->word * 64 >= w->units)
			return false;
		if (w->word % WALK_WORDS == 0 && !w->searched) {
			search(w);
			w->searched = true;
		}
		bits = &w->bits[w->word % WALK_WORDS];
		if (*bits)
			break;
		w->word++;
		w->searched = false;
	}
	unit = w->word * 64 + (unsigned int)__builtin_ctzll(*bits);
	*bits &= *bits - 1;
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
