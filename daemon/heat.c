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

/* Up to this idle time, in seconds, the guess does not go by what was learned of shorter times. */
#define GUESS_ALONE	5.0

/* What part of the uses is a good part. */
#define UNTOLD		0.25

/* Bins in an octave of idle times. */
#define PARTS		(HEAT_STEPS / HEAT_BIN_STEPS)

#define HINTS		(HEAT_PREFETCH | HEAT_COLD | HEAT_DONE | HEAT_SHARED)

unsigned int heat_see(struct heat *h, struct heat_rates *rates, const struct heat_look *look, uint32_t now,
		      uint32_t since)
{
	unsigned int saw = 0, count, bin;
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
	bin = heat_step(now, h->used) / HEAT_BIN_STEPS;
	rates->exposure[count][bin] += (double)since / HEAT_SEC;
	if (look->used) {
		saw |= HEAT_SAW_USE;
		if (h->flags & HEAT_PROMOTED)
			saw |= HEAT_SAW_REREAD;
		h->flags &= ~HEAT_PROMOTED;
		h->flags |= HEAT_FRESH;
		/* a block in use all the time is used once in each such stretch, not once for ever */
		if (idle >= HEAT_EPISODE || now / HEAT_EPISODE != h->used / HEAT_EPISODE) {
			rates->uses[count][bin] += 1;
			rates->untold += !look->told;
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
	rates->untold /= 2;
	for (unsigned int c = 0; c < HEAT_COUNTS; c++) {
		for (unsigned int b = 0; b < HEAT_BINS; b++) {
			rates->uses[c][b] /= 2;
			rates->exposure[c][b] /= 2;
		}
	}
}

/* How long a bin lasts, in seconds, and the idle time in its middle. */
static double span_of(unsigned int bin)
{
	return (double)(1u << bin / PARTS) / PARTS / HEAT_SEC;
}

static double middle_of(unsigned int bin)
{
	return span_of(bin) * (PARTS + bin % PARTS + 0.5);
}

/*
 * Uses a second in each bin, by all blocks together: a block is expected to be used again within about as long as it has
 * been idle. Where no block has been idle for so long yet, at most as often as in the bin before, for as many times longer
 * as it has been idle: else all that grew old would seem to be worth more than what is used.
 */
static void rates_of_all(const struct heat_rates *rates, double rate[HEAT_BINS])
{
	for (unsigned int b = 0; b < HEAT_BINS; b++) {
		double middle = middle_of(b), guess = 1 / (4 * (middle + 10)), uses = 0, exposure = 0;

		for (unsigned int c = 0; c < HEAT_COUNTS; c++) {
			uses += rates->uses[c][b];
			exposure += rates->exposure[c][b];
		}
		if (middle > GUESS_ALONE && guess > rate[b - 1] * middle_of(b - 1) / middle)
			guess = rate[b - 1] * middle_of(b - 1) / middle;
		rate[b] = (uses + GUESS_USES) / (exposure + GUESS_USES / guess);
	}
}

/*
 * The same by blocks of a class: as of all blocks, so many times as often. How many times changes with the idle time: what
 * was seen at shorter ones tells as far as uses at this one do not. (Blocks used often come back much sooner than others, but
 * what has not come back after half an hour is much the same.)
 */
static void rates_of_class(const struct heat_rates *rates, unsigned int count, const double *all, double rate[HEAT_BINS])
{
	static const double guess[HEAT_COUNTS] = { 0.5, 1, 2, 3, 5, 8 };
	double uses = 0, expected = 0, times;

	for (unsigned int b = 0; b < HEAT_BINS; b++) {
		uses += rates->uses[count][b];
		expected += rates->exposure[count][b] * all[b];
	}
	times = (uses + CLASS_USES * guess[count]) / (expected + CLASS_USES);
	for (unsigned int b = 0; b < HEAT_BINS; b++) {
		times = (rates->uses[count][b] + CLASS_USES * times) /
			(rates->exposure[count][b] * all[b] + CLASS_USES);
		rate[b] = all[b] * times;
	}
}

/*
 * Uses a second over the stretch of time ahead that looks best, of those not shorter than @soon seconds. The rate of
 * this moment alone would send away a block just before the time when such blocks usually come back (after the pause
 * that a session makes), and the shortest stretch would take what is just about to come round for hotter than what is
 * read by many, and so comes round more often.
 */
static double index_of(const double *rate, unsigned int bin, double soon)
{
	double alive = 1, uses = 0, time = 0, best = 0;

	for (unsigned int b = bin; b < HEAT_BINS; b++) {
		double span = span_of(b) * (b == bin ? 0.5 : 1.0);
		double survive = exp(-rate[b] * span);

		uses += alive * (1 - survive);
		time += alive * (1 - survive) / rate[b];
		alive *= survive;
		if (uses / fmax(time, soon) > best)
			best = uses / fmax(time, soon);
	}
	return best;
}

/*
 * The steps of the key table that are one, because blocks are not looked at more often: a block in use all the time is
 * seen just when they end, one seen early in them is not used any less.
 */
static unsigned int blind_steps(uint32_t blind)
{
	return blind ? heat_step(blind, 0) + 1 : 0;
}

/* What was seen in the bins that are one, in equal parts. */
static void blur(struct heat_rates *rates, unsigned int bins)
{
	for (unsigned int c = 0; c < HEAT_COUNTS && bins; c++) {
		double uses = 0, exposure = 0;

		for (unsigned int b = 0; b < bins; b++) {
			uses += rates->uses[c][b];
			exposure += rates->exposure[c][b];
		}
		for (unsigned int b = 0; b < bins; b++) {
			rates->uses[c][b] = uses / bins;
			rates->exposure[c][b] = exposure / bins;
		}
	}
}

/*
 * Within how long uses are equally good, in hundredths of a second. Where samples show a good part of them, of all that
 * is in use all the time some is seen sooner than other, which says nothing: until a round is over.
 */
static uint32_t soon_of(const struct heat_rates *rates)
{
	double uses = 0;

	if (rates->blind)
		return rates->blind;
	for (unsigned int c = 0; c < HEAT_COUNTS; c++)
		for (unsigned int b = 0; b < HEAT_BINS; b++)
			uses += rates->uses[c][b];
	return rates->round > HEAT_SOON && rates->untold > UNTOLD * uses ? rates->round : HEAT_SOON;
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
static void level(const struct heat_rates *seen, struct heat_keys *keys, unsigned int end, unsigned int bins)
{
	unsigned int top;
	double uses = GUESS_USES, time = GUESS_USES * seen->blind / HEAT_SEC;

	for (unsigned int c = 1; c < HEAT_COUNTS; c++) {
		for (unsigned int b = 0; b < bins; b++) {
			uses += seen->uses[c][b];
			time += seen->exposure[c][b];
		}
	}
	top = key_of(log2(uses / time));
	for (unsigned int c = 1; c < HEAT_COUNTS && end < HEAT_IDLE_STEPS; c++)
		top = keys->key[c][end] > top ? keys->key[c][end] : top;
	for (unsigned int c = 1; c < HEAT_COUNTS; c++)
		for (unsigned int s = 0; s < end; s++)
			keys->key[c][s] = (uint16_t)top;
}

/*
 * Until the time is over within which uses are equally good, a block is no colder than when it was just used: what
 * comes a little late is not done with.
 */
static void hold(struct heat_keys *keys, unsigned int end)
{
	for (unsigned int c = 1; c < HEAT_COUNTS; c++)
		for (unsigned int s = 1; s < end; s++)
			if (keys->key[c][s] < keys->key[c][s - 1])
				keys->key[c][s] = keys->key[c][s - 1];
}

void heat_rank(const struct heat_rates *rates, struct heat_keys *keys)
{
	unsigned int blind = blind_steps(rates->blind), bins = (blind + HEAT_BIN_STEPS - 1) / HEAT_BIN_STEPS;
	struct heat_rates seen = *rates;
	uint32_t soon = soon_of(rates);
	double all[HEAT_BINS];

	blur(&seen, bins);
	rates_of_all(&seen, all);
	for (unsigned int c = 0; c < HEAT_COUNTS; c++) {
		double rate[HEAT_BINS], index[HEAT_BINS];

		rates_of_class(&seen, c, all, rate);
		for (unsigned int b = 0; b < HEAT_BINS; b++)
			index[b] = log2(index_of(rate, b, (double)soon / HEAT_SEC));
		for (unsigned int s = 0; s < HEAT_IDLE_STEPS; s++) {
			/* between the middles of two bins, so that order within a bin is by idle time too */
			double at = ((double)s + 0.5) / HEAT_BIN_STEPS - 0.5;
			unsigned int b = at < 0 ? 0 : (unsigned int)at;
			unsigned int next = b + 1 < HEAT_BINS ? b + 1 : b;
			double part = at < 0 ? 0 : at - b;

			/* the bin in which they end is all theirs: who is past their end is as those in the next one */
			if (blind && s < bins * HEAT_BIN_STEPS + HEAT_BIN_STEPS / 2) {
				b = s < blind || bins == HEAT_BINS ? bins - 1 : bins;
				part = 0;
			}
			keys->key[c][s] = (uint16_t)key_of(index[b] * (1 - part) + index[next] * part);
		}
	}
	if (blind)
		level(&seen, keys, blind, bins);
	else
		hold(keys, heat_step(soon, 0));
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
