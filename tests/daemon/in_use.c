// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Blocks that are all in use all the time, more than the fast tier holds: attention reads each of them for each token.
 * Their uses are seen one after the other, and that order must not move them.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/decide.h"
#include "daemon/rules.h"
#include "tap.h"

#define NR		96
#define FAST		48
#define ROOM		4
#define BUSY		16
#define TICK_MS		100
#define TICKS_A_SEC	(1000 / TICK_MS)
#define SECONDS		400
#define MAX		NR

/**
 * struct scene - who uses what
 * @every:	seconds between two uses of a block
 * @round:	seconds of a round of samples, 0: there are none
 * @told:	one in so many uses is told by the client, the others are found by samples
 * @busy:	the last BUSY blocks, which begin in the slow tier, are used each second
 */
struct scene {
	unsigned int every;
	unsigned int round;
	unsigned int told;
	bool busy;
};

static struct heat heat[NR];
static struct heat_look look[NR];
static unsigned int next[NR], uses[NR];
static struct heat_rates rates;
static struct heat_keys keys;
static struct decide_input in;
static struct decide_move moves[MAX];
static struct decide_work *work;

static void setup(const struct decide_region *region)
{
	memset(heat, 0, sizeof(heat));
	memset(uses, 0, sizeof(uses));
	memset(&rates, 0, sizeof(rates));
	memset(&in, 0, sizeof(in));
	in.regions = region;
	in.nr_regions = 1;
	rules_init(&in.rules);
	in.tiers[0] = (struct decide_tier) { .present = true, .rank = 0, .bandwidth_mbps = 100000 };
	in.tiers[1] = (struct decide_tier) { .present = true, .rank = 1, .bandwidth_mbps = 30000 };
	in.tiers[0].pools[0] = (struct decide_pool) { .blocks = FAST + ROOM, .room = ROOM };
	in.tiers[1].pools[0] = (struct decide_pool) { .blocks = 2 * NR, .room = NR };
	memset(in.link_bytes, 0x3f, sizeof(in.link_bytes));
	for (unsigned int b = 0; b < NR; b++)
		look[b] = (struct heat_look) { .tier = b >= FAST, .flags = HEAT_PRESENT };
}

/* The use that is due, and when the next one is: samples are on time, clients a tenth of it early or late. */
static void use(const struct scene *s, unsigned int b, unsigned int tick)
{
	unsigned int every = (s->busy && b >= NR - BUSY ? 1 : s->every) * TICKS_A_SEC;
	unsigned int part = s->round == s->every ? 0 : every / 10 + 1;

	look[b].used = look[b].told = false;
	if (!tick)
		next[b] = 1 + b * 7 % every;
	if (tick < next[b])
		return;
	look[b].used = true;
	look[b].told = uses[b]++ % s->told == 0;
	next[b] = tick + every - part + (b * 31 + uses[b] * 17) % (2 * part + 1);
}

/* Returns how many moves the second half of the time saw. */
static unsigned int play(const struct scene *s)
{
	const struct decide_region region = { .unit = 1, .nr = NR, .heat = heat, .keys = &keys };
	unsigned int late = 0;

	setup(&region);
	for (unsigned int tick = 0; tick < SECONDS * TICKS_A_SEC; tick++) {
		size_t nr;

		in.now = 1000 + tick * HEAT_SEC / TICKS_A_SEC;
		for (unsigned int b = 0; b < NR; b++) {
			use(s, b, tick);
			heat_see(&heat[b], &rates, &look[b], in.now, HEAT_SEC / TICKS_A_SEC);
		}
		if (tick % TICKS_A_SEC == 0) {
			rates.round = rules_round(s->round * 1000, TICK_MS);
			heat_rank(&rates, &keys);
		}
		nr = decide(work, &in, moves, MAX);
		for (size_t i = 0; i < nr; i++) {
			look[moves[i].block].tier = moves[i].to;
			in.tiers[0].pools[0].room += moves[i].to ? 1 : -1ull;
			in.tiers[1].pools[0].room += moves[i].to ? -1ull : 1;
		}
		late += tick > SECONDS * TICKS_A_SEC / 2 ? (unsigned int)nr : 0;
	}
	return late;
}

/* Nearly none: most blocks never, while each is used dozens of times. */
static bool still(struct scene s)
{
	unsigned int nr = play(&s);

	if (nr > NR / 4)
		printf("# every %u s, samples every %u s: %u moves in %u s\n", s.every, s.round, nr, SECONDS / 2);
	return nr <= NR / 4;
}

/* Whatever the round: keys are learned for stretches of idle time, in which a round ends anywhere. */
static bool still_in_rounds(struct scene s)
{
	bool ok = true;

	for (s.round = 5; s.round < 25; s.round++) {
		s.every = s.round;
		ok &= still(s);
	}
	return ok;
}

static bool busy_are_fast(struct scene s)
{
	unsigned int fast = 0;

	s.busy = true;
	play(&s);
	for (unsigned int b = NR - BUSY; b < NR; b++)
		fast += look[b].tier == 0;
	if (fast < BUSY)
		printf("# %u of %u are in the fast tier\n", fast, BUSY);
	return fast == BUSY;
}

int main(void)
{
	static const struct scene samples = { .every = 12, .round = 12, .told = 20 };
	static const struct scene told = { .every = 4, .told = 1 };
	static const struct scene both = { .every = 2, .round = 60, .told = 1 };

	tap_plan(6);
	work = decide_work_new();
	if (!work)
		return 1;
	check(still_in_rounds(samples), "blocks in use are not swapped for each other as samples come to them");
	check(still(told), "nor as their clients tell of uses");
	check(still(both), "nor where samples tell nothing new");
	check(busy_are_fast(samples), "what is used more often is brought up from among samples");
	check(busy_are_fast(told), "and from among uses that clients tell of");
	check(busy_are_fast(both), "samples that tell nothing new do not stand in the way");
	decide_work_free(work);
	return tap_end();
}
