// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The estimate of how soon a block will be used: learning it (heat_see), forgetting it (heat_age), turning it into
 * keys that can be compared (heat_rank).
 */
#include <math.h>
#include <string.h>

#include "heat.h"

/* No difference of times may come near to the wrap: a block idle for longer counts as idle for this long. */
#define IDLE_MAX	(1u << 30)

/*
 * Blocks come and go in sessions, dozens at once, so a few uses seen are one thing that happened. What all blocks show
 * weighs as much as so many uses of blocks of the class, and the guess about all blocks as much as so many of any.
 */
#define CLASS_USES	30.0
#define GUESS_USES	4.0

/* Up to this octave (5 s) the guess does not go by what was learned of shorter times. */
#define GUESS_OCTAVES	9

#define HINTS		(HEAT_PREFETCH | HEAT_COLD | HEAT_DONE | HEAT_SHARED)

unsigned int heat_see(struct heat *h, struct heat_rates *rates, const struct heat_look *look, uint32_t now,
		      uint32_t since)
{
	unsigned int saw = 0, count, octave;
	uint32_t idle;

	if (!(look->flags & HEAT_PRESENT)) {
		if (h->flags & HEAT_PRESENT) {
			/* a move in flight keeps its mark until it has ended */
			unsigned int keep = h->flags & HEAT_IN_FLIGHT;

			memset(h, 0, sizeof(*h));
			h->flags = keep;
			return HEAT_SAW_END;
		}
		return 0;
	}
	if (!(h->flags & HEAT_PRESENT)) {
		h->flags = (h->flags & HEAT_IN_FLIGHT) | look->flags;
		h->tier = look->tier;
		h->uses = 0;
		h->refused = 0;
		h->cancelled = 0;
		h->used = now;
		h->placed = now;
		h->hinted = now;
		return HEAT_SAW_BIRTH;
	}

	if (look->tier != h->tier) {
		h->tier = look->tier;
		h->placed = now;
		h->flags &= ~(HEAT_FRESH | HEAT_PROMOTED);
		saw |= HEAT_SAW_MOVE;
	}

	idle = now - h->used;
	if (idle > IDLE_MAX) {
		idle = IDLE_MAX;
		h->used = now - idle;
	}
	if (now - h->placed > IDLE_MAX)
		h->placed = now - IDLE_MAX;
	if (now - h->hinted > IDLE_MAX)
		h->hinted = now - IDLE_MAX;

	count = heat_count_class(h->uses);
	octave = heat_step(now, h->used) / HEAT_STEPS;
	rates->exposure[count][octave] += (double)since / HEAT_SEC;
	if (look->used) {
		saw |= HEAT_SAW_USE;
		if (h->flags & HEAT_PROMOTED)
			saw |= HEAT_SAW_REREAD;
		h->flags &= ~HEAT_PROMOTED;
		h->flags |= HEAT_FRESH;
		/* a block in use all the time is used once in each such stretch, not once for ever */
		if (idle >= HEAT_EPISODE || now / HEAT_EPISODE != h->used / HEAT_EPISODE) {
			rates->uses[count][octave] += 1;
			if (h->uses < UINT8_MAX)
				h->uses++;
		}
		h->used = now;
	}

	if ((look->flags & HEAT_PREFETCH) && !(h->flags & HEAT_PREFETCH))
		h->hinted = now;
	h->flags = (h->flags & ~HINTS) | (look->flags & HINTS);
	return saw;
}

void heat_age(struct heat_rates *rates, uint32_t now, uint32_t half_life)
{
	if (now - rates->aged < half_life)
		return;
	rates->aged = now;
	for (unsigned int c = 0; c < HEAT_COUNTS; c++) {
		for (unsigned int o = 0; o < HEAT_OCTAVES; o++) {
			rates->uses[c][o] /= 2;
			rates->exposure[c][o] /= 2;
		}
	}
}

/*
 * Uses a second at the middle of each octave, by all blocks together: a block is expected to be used again within about
 * as long as it has been idle. Where no block has been idle for so long yet, half as often as in the octave before at most:
 * else all that grew old would seem to be worth more than what is used.
 */
static void rates_of_all(const struct heat_rates *rates, double rate[HEAT_OCTAVES])
{
	for (unsigned int o = 0; o < HEAT_OCTAVES; o++) {
		double guess = 1 / (4 * (1.5 * (1u << o) / HEAT_SEC + 10)), uses = 0, exposure = 0;

		for (unsigned int c = 0; c < HEAT_COUNTS; c++) {
			uses += rates->uses[c][o];
			exposure += rates->exposure[c][o];
		}
		if (o >= GUESS_OCTAVES && guess > rate[o - 1] / 2)
			guess = rate[o - 1] / 2;
		rate[o] = (uses + GUESS_USES) / (exposure + GUESS_USES / guess);
	}
}

/* The same by blocks of a class: as of all blocks, so many times as often, as far as their own uses do not tell. */
static void rates_of_class(const struct heat_rates *rates, unsigned int count, const double *all,
			   double rate[HEAT_OCTAVES])
{
	static const double guess[HEAT_COUNTS] = { 0.5, 1, 2, 3, 5, 8 };
	double uses = 0, expected = 0, times;

	for (unsigned int o = 0; o < HEAT_OCTAVES; o++) {
		uses += rates->uses[count][o];
		expected += rates->exposure[count][o] * all[o];
	}
	times = (uses + CLASS_USES * guess[count]) / (expected + CLASS_USES);
	for (unsigned int o = 0; o < HEAT_OCTAVES; o++)
		rate[o] = (rates->uses[count][o] + CLASS_USES) /
			  (rates->exposure[count][o] + CLASS_USES / (all[o] * times));
}

/*
 * Uses a second over the stretch of time ahead that looks best. The rate of this moment alone would send away a block
 * just before the time when such blocks usually come back (after the pause that a session makes).
 */
static double index_of(const double *rate, unsigned int octave)
{
	double alive = 1, uses = 0, time = 0, best = 0;

	for (unsigned int o = octave; o < HEAT_OCTAVES; o++) {
		double span = (1u << o) * (o == octave ? 0.5 : 1.0) / HEAT_SEC;
		double survive = exp(-rate[o] * span);

		uses += alive * (1 - survive);
		time += alive * (1 - survive) / rate[o];
		alive *= survive;
		if (uses / time > best)
			best = uses / time;
	}
	return best;
}

/*
 * The octaves that are one, because blocks are not looked at more often: a block in use all the time is seen just when
 * they end, one seen early in them is not used any less. Looks may come half a round late.
 */
static unsigned int blind_octaves(uint32_t blind)
{
	unsigned int nr = 0;

	while (nr < HEAT_OCTAVES && (blind + blind / 2) >> nr)
		nr++;
	return nr;
}

/* What was seen in the octaves that are one, in equal parts. */
static void blur(struct heat_rates *rates, unsigned int octaves)
{
	for (unsigned int c = 0; c < HEAT_COUNTS && octaves; c++) {
		double uses = 0, exposure = 0;

		for (unsigned int o = 0; o < octaves; o++) {
			uses += rates->uses[c][o];
			exposure += rates->exposure[c][o];
		}
		for (unsigned int o = 0; o < octaves; o++) {
			rates->uses[c][o] = uses / octaves;
			rates->exposure[c][o] = exposure / octaves;
		}
	}
}

static unsigned int key_of(double log2_rate)
{
	double key = (log2_rate + 36) * HEAT_KEY_OCTAVE;

	return key < HEAT_KEY_MIN ? HEAT_KEY_MIN : key > HEAT_KEY_MAX ? HEAT_KEY_MAX : (unsigned int)key;
}

/*
 * Blocks that came back when they were looked at last are as hot as each other, however often they did before, and not
 * colder than any that did not: who reads them once a token is not seen more often than who reads them once a round.
 */
static void level(const struct heat_rates *seen, struct heat_keys *keys, unsigned int octaves)
{
	unsigned int end = octaves * HEAT_STEPS, top;
	double uses = GUESS_USES, time = GUESS_USES * seen->blind / HEAT_SEC;

	for (unsigned int c = 1; c < HEAT_COUNTS; c++) {
		for (unsigned int o = 0; o < octaves; o++) {
			uses += seen->uses[c][o];
			time += seen->exposure[c][o];
		}
	}
	top = key_of(log2(uses / time));
	for (unsigned int c = 1; c < HEAT_COUNTS && end < HEAT_IDLE_STEPS; c++)
		top = keys->key[c][end] > top ? keys->key[c][end] : top;
	for (unsigned int c = 1; c < HEAT_COUNTS; c++)
		for (unsigned int s = 0; s < end; s++)
			keys->key[c][s] = (uint16_t)top;
}

void heat_rank(const struct heat_rates *rates, struct heat_keys *keys)
{
	unsigned int blind = blind_octaves(rates->blind);
	struct heat_rates seen = *rates;
	double all[HEAT_OCTAVES];

	blur(&seen, blind);
	rates_of_all(&seen, all);
	for (unsigned int c = 0; c < HEAT_COUNTS; c++) {
		double rate[HEAT_OCTAVES], index[HEAT_OCTAVES];

		rates_of_class(&seen, c, all, rate);
		for (unsigned int o = 0; o < HEAT_OCTAVES; o++)
			index[o] = log2(index_of(rate, o));
		for (unsigned int s = 0; s < HEAT_IDLE_STEPS; s++) {
			/* between the middles of two octaves, so that order within an octave is by idle time too */
			double at = ((double)s + 0.5) / HEAT_STEPS - 0.5;
			unsigned int o = at < 0 ? 0 : (unsigned int)at;
			unsigned int next = o + 1 < HEAT_OCTAVES ? o + 1 : o;
			double part = at < 0 ? 0 : at - o;

			if (s < blind * HEAT_STEPS) {
				o = blind - 1;
				part = 0;
			}
			keys->key[c][s] = (uint16_t)key_of(index[o] * (1 - part) + index[next] * part);
		}
	}
	if (blind)
		level(&seen, keys, blind);
}

void heat_rank_lru(struct heat_keys *keys)
{
	for (unsigned int c = 0; c < HEAT_COUNTS; c++)
		for (unsigned int s = 0; s < HEAT_IDLE_STEPS; s++)
			keys->key[c][s] = (uint16_t)(HEAT_KEY_MIN + (HEAT_IDLE_STEPS - s) * 4);
}

void heat_weigh(struct heat_keys *keys, int steps)
{
	for (unsigned int c = 0; c < HEAT_COUNTS; c++) {
		for (unsigned int s = 0; s < HEAT_IDLE_STEPS; s++) {
			int key = keys->key[c][s] + steps;

			keys->key[c][s] = (uint16_t)(key < HEAT_KEY_MIN ? HEAT_KEY_MIN : key > HEAT_KEY_MAX ? HEAT_KEY_MAX : key);
		}
	}
}
