// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Looking at blocks: what counts as use, and that arrays full of nonsense do no harm.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/act.h"
#include "daemon/region.h"
#include "tap.h"

#define NR	1024
#define SOME	64

static struct kvoff_state state[NR];
static struct kvoff_hint hint[NR];
static uint32_t said[NR];
static struct heat *heat;
static struct region region;
static uint32_t now = 100000;

static void setup(void)
{
	memset(state, 0, sizeof(state));
	memset(hint, 0, sizeof(hint));
	memset(said, 0, sizeof(said));
	census_free(&region.census);
	region = (struct region) {
		.block_size = 65536, .limit = NR, .nr = NR, .state = state, .hint = hint, .said = said};
	region.census.unit = 1;
	if (census_resize(&region.census, NR))
		abort();
	heat = region.census.heat;
	region.seen = now;
}

static struct observed look(void)
{
	struct observed observed = { 0 };

	now += HEAT_SEC * 2;
	region_look(&region, 0x3, now, &observed);
	return observed;
}

static void place(unsigned int block, unsigned int tier)
{
	state[block].location = KVOFF_STATE_PRESENT | tier << 8;
}

static void test_uses(void)
{
	struct observed seen;

	setup();
	place(1, 0);
	place(2, 1);
	place(3, 2);
	hint[1].touches = 4000000000u;
	seen = look();
	check(seen.births[0][0] == 1 && seen.births[1][0] == 1 && seen.looked == NR,
	      "new blocks are counted where they are born");
	check(!(heat[3].flags & HEAT_PRESENT), "a block in a tier that does not exist is not there");
	check(heat[1].uses == 0 && !(heat[1].flags & HEAT_FRESH), "filling a block is not using it");
	hint[1].touches++;
	look();
	check(heat[1].uses == 1 && (heat[1].flags & HEAT_FRESH) && heat[1].used == now, "a touch is");
	look();
	check(heat[1].uses == 1 && heat[1].used == now - 2 * HEAT_SEC, "and counts once");
	state[2].samples = 65535;
	state[2].refaults = 65535;
	look();
	state[2].samples = 0;
	state[2].refaults = 0;
	look();
	check(heat[2].uses == 2 && heat[2].used == now, "so is a refault, also when the counter wraps");
	state[2].samples++;
	look();
	check(heat[2].uses == 2 && heat[2].used < now, "a sample that nobody came back to is not");
	state[2].location = 0;
	look();
	check(!(heat[2].flags & HEAT_PRESENT) && !heat[2].uses, "a block that is gone is forgotten");
	hint[1].bits = KVOFF_HINT_PREFETCH | KVOFF_HINT_SHARED;
	look();
	check((heat[1].flags & (HEAT_PREFETCH | HEAT_SHARED | HEAT_COLD | HEAT_DONE)) ==
			      (HEAT_PREFETCH | HEAT_SHARED) &&
		      heat[1].hinted == now,
	      "hints are seen");
	hint[1].bits = KVOFF_HINT_COLD | KVOFF_HINT_DONE;
	look();
	check((heat[1].flags & (HEAT_PREFETCH | HEAT_SHARED | HEAT_COLD | HEAT_DONE)) == (HEAT_COLD | HEAT_DONE),
	      "and seen to end");
}

static void test_reread(void)
{
	struct observed seen;

	setup();
	place(1, 1);
	place(2, 1);
	look();
	for (unsigned int b = 1; b <= 2; b++) {
		place(b, 0);
		census_loosen(&region.census, b);
		act_learn(&heat[b], ACT_MOVED, 0, true, now);
	}
	hint[1].touches++;
	seen = look();
	check(seen.rereads == 1 && seen.reread_bytes == 65536, "the first use after a promotion is counted");
	hint[1].touches++;
	seen = look();
	check(seen.rereads == 0, "once");
	place(2, 1);
	census_loosen(&region.census, 2);
	act_learn(&heat[2], ACT_MOVED, 1, false, now);
	hint[2].touches++;
	seen = look();
	check(seen.rereads == 0, "not when it was demoted before");
}

static void test_refusals(void)
{
	struct kvoff_move_result r = { .error = -ECANCELED, .from = KVOFF_TIER_NONE };
	uint32_t first, second;

	setup();
	place(1, 1);
	look();
	check(act_result_of(&r) == ACT_NOT_BEGUN, "a block that had no turn was not cancelled by a write");
	r.from = 1;
	check(act_result_of(&r) == ACT_WRITTEN, "one that had its turn was");
	heat[1].flags |= HEAT_IN_FLIGHT;
	act_learn(&heat[1], ACT_BUSY, 0, true, now);
	first = heat[1].retry - now;
	act_learn(&heat[1], ACT_ACQUIRED, 0, true, now);
	second = heat[1].retry - now;
	check(first > 0 && second == 2 * first && !(heat[1].flags & HEAT_IN_FLIGHT),
	      "refusals hold a block back, twice as long each time");
	for (unsigned int i = 0; i < 300; i++)
		act_learn(&heat[1], ACT_BUSY, 0, true, now);
	check(heat[1].retry - now == 60 * HEAT_SEC, "up to a minute");
	act_learn(&heat[1], ACT_MOVED, 0, true, now);
	check(!heat[1].refused && heat[1].tier == 0 && (heat[1].flags & HEAT_PROMOTED), "until it has moved");
	act_learn(&heat[1], ACT_WRITTEN, 1, false, now);
	act_learn(&heat[1], ACT_WRITTEN, 1, false, now);
	check(heat[1].cancelled == 2, "cancellations by writes are counted apart");
	heat[1].refused = 0;
	act_learn(&heat[1], ACT_NO_FRAME, 1, false, now);
	check(!heat[1].refused, "a full tier is not the block's fault");
	r.error = -ESHUTDOWN;
	check(act_result_of(&r) == ACT_DRAINING, "a tier that is being drained is a refusal of its own");
	act_learn(&heat[1], ACT_DRAINING, 1, false, now);
	check(!heat[1].refused, "and not the block's fault either");
	r.error = -EDQUOT;
	check(act_result_of(&r) == ACT_OVER_QUOTA, "a tenant's quota is a refusal of its own");
	act_learn(&heat[1], ACT_OVER_QUOTA, 0, true, now);
	check(heat[1].refused && heat[1].retry > now, "which holds back the block: others may have room");
}

static int stop;

static void *scribble(void *arg)
{
	uint64_t seed = 7;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		__atomic_store_n((uint64_t *)hint + (seed >> 33) % NR, seed, __ATOMIC_RELAXED);
		__atomic_store_n((uint64_t *)state + (seed >> 23) % (NR * 2), seed, __ATOMIC_RELAXED);
	}
	return arg;
}

static void test_scribbles(void)
{
	struct heat_keys keys;
	pthread_t thread;
	bool ok = true;

	setup();
	pthread_create(&thread, NULL, scribble, NULL);
	for (unsigned int i = 0; i < 2000; i++) {
		struct observed seen = look();

		for (unsigned int b = 0; b < NR; b++)
			ok &= !(heat[b].flags & HEAT_PRESENT) || heat[b].tier < 2;
		for (unsigned int t = 2; t < KVOFF_MAX_TIERS; t++)
			ok &= !seen.births[t][0];
		heat_age(&region.rates, now, 3600);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	heat_rank(&region.rates, &keys);
	for (unsigned int c = 0; c < HEAT_COUNTS; c++)
		for (unsigned int s = 0; s < HEAT_IDLE_STEPS; s++)
			ok &= keys.key[c][s] >= HEAT_KEY_MIN && keys.key[c][s] <= HEAT_KEY_MAX;
	check(ok, "arrays that are scribbled on all the time do no harm");
}

static void test_time(void)
{
	struct heat h = { 0 };
	struct heat_rates rates = { 0 };
	struct heat_look l = { .flags = HEAT_PRESENT };
	uint32_t at = UINT32_MAX - 10;

	heat_see(&h, &rates, &l, at, 10);
	l.used = true;
	heat_see(&h, &rates, &l, at + 2 * HEAT_SEC, 2 * HEAT_SEC);
	check(h.uses == 1 && h.used == at + 2 * HEAT_SEC, "time may wrap");
	l.used = false;
	/* 30 steps of two months */
	for (unsigned int i = 0; i < 30; i++) {
		at += 60u * 86400u * HEAT_SEC;
		heat_see(&h, &rates, &l, at, 60u * 86400u * HEAT_SEC);
		if (at - h.used > 1u << 30)
			break;
	}
	check(at - h.used == 1u << 30, "and a block idle for years does not look new");
}

/* A prefix that every request shares is used all the time: it must not look like a block that was never used again. */
static void test_busy(void)
{
	struct heat h = { 0 };
	struct heat_rates rates = { 0 };
	struct heat_look l = { .flags = HEAT_PRESENT };

	for (unsigned int i = 0; i < 20 * 10; i++) {
		l.used = true;
		heat_see(&h, &rates, &l, 1000 + i * HEAT_SEC / 10, HEAT_SEC / 10);
	}
	check(h.uses >= 18 && h.uses <= 21, "ten uses a second for 20 s count once a second");
}

/*
 * Half of the blocks are in use all the time, which only samples show: one after the other in rounds of two seconds, some
 * of them late. The others were used so for twenty seconds at most, then no more.
 */
static void test_samples(void)
{
	static struct heat_keys keys;
	struct observed observed = { 0 };
	unsigned int low = HEAT_KEYS, high = 0, idle = 0;
	bool fast = true;

	setup();
	for (unsigned int t = 0; t < 1200; t++) {
		for (unsigned int b = 0; b < SOME; b++) {
			bool late = (b * 7 + t / 20) % 5 == 0;

			/* some are young: few uses are seen of them */
			if (t == b % 4 * 375)
				place(b, b / 4 % 2);
			if (!state[b].location || (t + 20 - b % 20 - 9 * late) % 20 || (b >= SOME / 2 && t > 200))
				continue;
			state[b].samples++;
			state[b].refaults++;
		}
		now += HEAT_SEC / 10;
		region_look(&region, 0x3, now, &observed);
	}
	check(!region.touched, "samples are not what clients tell");
	/* a round, and a half for those that are late */
	region.rates.blind = 3 * HEAT_SEC;
	heat_rank(&region.rates, &keys);
	for (unsigned int b = 0; b < SOME; b++) {
		unsigned int key = heat_key(&heat[b], &keys, now, 0);

		if (b >= SOME / 2) {
			if (heat[b].uses)
				idle = key > idle ? key : idle;
			continue;
		}
		low = key < low ? key : low;
		high = key > high ? key : high;
	}
	check(low == high, "of blocks in use all the time none is hotter for being seen later, or for longer");
	check(idle + HEAT_KEY_OCTAVE < low, "those that nobody came back to are colder");
	for (unsigned int c = 1; c < HEAT_COUNTS; c++)
		fast &= low > keys.key[c][heat_step(32 * HEAT_SEC / 10, 0)] + (unsigned int)HEAT_KEY_OCTAVE;
	check(fast, "as soon as they should have been seen");
	hint[1].touches++;
	look();
	check(region.touched, "a touch is");
}

int main(void)
{
	tap_plan(10 + 3 + 11 + 1 + 2 + 1 + 5);
	test_uses();
	test_reread();
	test_refusals();
	test_scribbles();
	test_time();
	test_busy();
	test_samples();
	return tap_end();
}
