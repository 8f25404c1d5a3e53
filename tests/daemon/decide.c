// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * decide(): each rule on its own, and what must hold whatever the input.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/decide.h"
#include "daemon/rules.h"
#include "tap.h"

#define NOW	(1000 * HEAT_SEC)
#define MAX	8192

static struct decide_input in;
static struct decide_region regions[8];
static struct heat blocks[4096];
static struct heat_keys keys;
static struct decide_move moves[MAX], again[MAX];
static struct decide_work *work;

/* Two tiers: 100 frames in the fast one, 1000 in the slow one; one region of small blocks; links without limits. */
static void setup(uint64_t nr)
{
	struct heat_rates rates = { 0 };

	memset(&in, 0, sizeof(in));
	memset(blocks, 0, sizeof(blocks));
	heat_rank(&rates, &keys);
	rules_init(&in.rules);
	/* what the tests count with */
	in.rules.free_low = 200;
	in.rules.free_high = 300;
	in.rules.births_ahead = 10;
	in.now = NOW;
	in.tiers[0] = (struct decide_tier) { .present = true, .rank = 0, .bandwidth_mbps = 100000 };
	in.tiers[1] = (struct decide_tier) { .present = true, .rank = 1, .bandwidth_mbps = 30000 };
	in.tiers[0].pools[0] = (struct decide_pool) { .blocks = 100 };
	in.tiers[1].pools[0] = (struct decide_pool) { .blocks = 1000, .room = 500 };
	memset(in.link_bytes, 0x3f, sizeof(in.link_bytes));
	regions[0] = (struct decide_region) { .id = 1, .unit = 1, .nr = nr, .heat = blocks, .keys = &keys };
	in.regions = regions;
	in.nr_regions = 1;
}

static void put(uint64_t block, unsigned int tier, unsigned int idle_s, unsigned int flags)
{
	blocks[block] = (struct heat) {
		.tier = (uint8_t)tier,
		.flags = (uint8_t)(HEAT_PRESENT | flags),
		.used = NOW - idle_s * HEAT_SEC,
		.uses = 1,
		.placed = NOW - 900 * HEAT_SEC,
		.hinted = NOW,
	};
}

static size_t run(void)
{
	return decide(work, &in, moves, MAX);
}

/* Moves to @to, and among them @block. */
static unsigned int count(size_t nr, unsigned int to)
{
	unsigned int n = 0;

	for (size_t i = 0; i < nr; i++)
		n += moves[i].to == to;
	return n;
}

static const struct decide_move *find(size_t nr, uint64_t block)
{
	for (size_t i = 0; i < nr; i++)
		if (moves[i].block == block)
			return &moves[i];
	return NULL;
}

static void test_room(void)
{
	size_t nr;

	setup(100);
	/* far enough apart for their keys to differ */
	for (unsigned int b = 0; b < 100; b++)
		put(b, 0, b < 97 ? 10 + b : 8 * b, 0);
	in.tiers[0].pools[0].room = 2;
	check(run() == 0, "with as much room as the low mark nothing goes down");
	in.tiers[0].pools[0].room = 0;
	nr = run();
	check(nr == 3 && find(nr, 97) && find(nr, 98) && find(nr, 99), "below it the coldest go, up to the high mark");
	check(nr && moves[0].from == 0 && moves[0].to == 1 && moves[0].reason == DECIDE_DEMOTE_ROOM, "and say why");
	in.tiers[0].pools[0].births = 2;
	check(run() == 23, "with births to be expected there must be room for them");
	in.tiers[0].pools[0].births = 0;
	in.tiers[0].pools[0].room = in.tiers[0].pools[0].reserve = 4;
	check(run() == 3, "the kernel's reserve is no room for new blocks");
	in.tiers[0].pools[0].reserve = 0;
	in.tiers[0].pools[0].room = 0;
	in.tiers[1].pools[0].room = 1;
	check(run() <= 1, "no more go down than there is room");
	in.tiers[1].pools[0].room = 0;
	check(run() == 0, "none if there is no room");
}

static void test_hints(void)
{
	size_t nr;

	setup(100);
	for (unsigned int b = 0; b < 100; b++)
		put(b, 0, 10, b == 5 ? HEAT_COLD : b == 6 ? HEAT_DONE : b == 7 ? HEAT_SHARED : 0);
	for (unsigned int b = 90; b < 100; b++)
		put(b, 0, 60, b == 99 ? HEAT_SHARED : 0);
	in.tiers[0].pools[0].room = 0;
	nr = run();
	check(find(nr, 5) && find(nr, 5)->reason == DECIDE_DEMOTE_HINT, "what its client calls cold goes first");
	check(find(nr, 6) && !find(nr, 99), "a session that ended makes its blocks colder, sharing makes them hotter");

	setup(100);
	for (unsigned int b = 0; b < 99; b++)
		put(b, 0, 500, 0);
	put(99, 1, 800, HEAT_PREFETCH);
	in.tiers[0].pools[0].room = 10;
	nr = run();
	check(nr == 1 && moves[0].block == 99 && moves[0].reason == DECIDE_PROMOTE_PREFETCH,
	      "a prefetch hint brings a block up");
	blocks[99].hinted = NOW - 31 * HEAT_SEC;
	check(run() == 0, "but not for ever");
	for (unsigned int b = 0; b < 99; b++)
		put(b, 1, 500, HEAT_PREFETCH);
	in.tiers[0].pools[0].room = 100;
	check(run() == 25, "and a region's hints claim no more than their share");
}

static void test_promotion(void)
{
	size_t nr;

	setup(200);
	for (unsigned int b = 0; b < 100; b++)
		put(b, 0, 500, 0);
	for (unsigned int b = 100; b < 200; b++)
		put(b, 1, 1, b < 110 ? HEAT_FRESH : 0);
	in.tiers[0].pools[0].room = 50;
	nr = run();
	check(nr == 10 && count(nr, 0) == 10 && find(nr, 100) && find(nr, 109),
	      "what was used where it lies comes up, nothing else does");
	check(nr && moves[0].reason == DECIDE_PROMOTE_HOT, "and says why");
	in.tiers[0].pools[0].room = 3;
	nr = run();
	check(count(nr, 0) == 1 && count(nr, 1) == 10 && moves[0].to == 1,
	      "in a full tier it swaps, and makes room for all that are to come up");
	in.tiers[0].pools[0].room = 3 + 9;
	nr = run();
	check(count(nr, 0) == 10 && count(nr, 1) == 1, "they do when there is room, and no more is made for them");
	in.link_bytes[1][0] = 4 * KVOFF_BLOCK_SIZE_MIN;
	in.tiers[0].pools[0].room = 3;
	nr = run();
	check(count(nr, 0) == 1 && count(nr, 1) == 4, "nor for more than the link takes");
	memset(in.link_bytes, 0x3f, sizeof(in.link_bytes));
	for (unsigned int b = 0; b < 100; b++)
		put(b, 0, 1, 0);
	check(run() == 0, "not with a block that is as hot");
	in.tiers[0].pools[0].room = 50;
	for (unsigned int b = 100; b < 110; b++)
		blocks[b].placed = NOW - HEAT_SEC;
	check(run() == 0, "and not right after it came there");
	for (unsigned int b = 100; b < 110; b++)
		put(b, 1, 1, HEAT_FRESH | HEAT_IN_FLIGHT);
	check(run() == 0, "a block that is moving is left alone");
	put(100, 1, 1, HEAT_FRESH);
	put(101, 1, 1, HEAT_FRESH);
	for (unsigned int b = 102; b < 110; b++)
		put(b, 1, 1, 0);
	blocks[100].refused = 1;
	blocks[100].retry = NOW + 5;
	nr = run();
	check(nr == 1 && moves[0].block == 101, "a refused one waits");
	in.now = NOW + 5;
	check(run() == 2, "and is tried again");
}

/* Two tenants do the same: a full fast tier, and as many blocks below that were used just as lately. */
static void test_classes(void)
{
	static struct heat_keys batch, latency;
	struct conf conf;
	size_t nr;

	setup(20);
	conf_init(&conf);
	batch = latency = keys;
	heat_weigh(&batch, rules_class_steps(&conf, KVOFF_CLASS_BATCH));
	heat_weigh(&latency, rules_class_steps(&conf, KVOFF_CLASS_LATENCY));
	check(rules_class_steps(&conf, KVOFF_CLASS_NORMAL) == 0 && rules_class_steps(&conf, KVOFF_CLASS_LATENCY) ==
	      2 * HEAT_KEY_OCTAVE, "a use of class latency counts as four");
	for (unsigned int b = 0; b < 40; b++)
		put(b, b < 20 ? 0 : 1, 5, HEAT_FRESH);
	in.tiers[0].pools[0].room = 3;
	regions[1] = regions[0];
	regions[1].id = 2;
	regions[1].heat = blocks + 20;
	in.nr_regions = 2;
	check(run() == 0, "blocks of one class stay");
	regions[0].keys = &batch;
	nr = run();
	check(nr && count(nr, 1) && moves[0].region == 0 && moves[0].to == 1, "those of class batch make way for others");
	regions[0].keys = &keys;
	regions[1].keys = &latency;
	nr = run();
	check(nr && count(nr, 1) && moves[0].region == 0 && moves[0].to == 1, "others do for class latency");
	for (unsigned int b = 20; b < 40; b++)
		put(b, 1, 200, HEAT_FRESH);
	check(run() == 0, "but not for blocks that were not used for long");
	heat_weigh(&latency, 10000);
	heat_weigh(&batch, -10000);
	check(heat_class_key(&latency, 5, 0) == HEAT_KEY_MAX && heat_class_key(&batch, 0, 150) == HEAT_KEY_MIN,
	      "keys stay in their range");
}

static void test_limits(void)
{
	size_t nr;

	setup(200);
	for (unsigned int b = 0; b < 200; b++)
		put(b, 1, 1, HEAT_FRESH);
	in.tiers[0].pools[0].room = 100;
	in.link_bytes[1][0] = 7 * 65536 + 65535;
	check(run() == 7, "a link carries no more than it has left");
	memset(in.link_bytes, 0x3f, sizeof(in.link_bytes));
	nr = decide(work, &in, moves, 10);
	check(nr <= 10 && nr >= 5, "the list is no longer than asked");
	for (unsigned int b = 0; b < 200; b++)
		blocks[b].used = NOW - (b + 1) * HEAT_SEC;
	in.link_bytes[1][0] = 7 * 65536;
	nr = run();
	check(nr == 7 && find(nr, 0) && find(nr, 6), "the hottest come first");
	in.rules.policy = DECIDE_STATIC;
	check(run() == 0, "static moves nothing");
	in.rules.policy = DECIDE_HEAT;
	in.tiers[1].rank = 0;
	check(run() == 0, "between tiers of one rank nothing moves");
}

static void test_tiers(void)
{
	size_t nr;

	setup(400);
	in.tiers[2] = (struct decide_tier) { .present = true, .rank = 1, .bandwidth_mbps = 10000 };
	in.tiers[0].pools[0] = (struct decide_pool) { .blocks = 400 };
	in.tiers[1].pools[0] = (struct decide_pool) { .blocks = 1000, .room = 1000 };
	in.tiers[2].pools[0] = in.tiers[1].pools[0];
	in.rules.free_low = in.rules.free_high = 2000;
	for (unsigned int b = 0; b < 400; b++)
		put(b, 0, 10 + b, 0);
	nr = run();
	check(nr >= 80 && count(nr, 1) > 2 * count(nr, 2) && count(nr, 2) > 10,
	      "tiers of one rank share in proportion to their bandwidth");
	in.tiers[2].rank = 7;
	in.tiers[1].pools[0].room = 0;
	for (unsigned int b = 200; b < 400; b++)
		put(b, 1, 10 + b, 0);
	in.tiers[0].pools[0].room = 200;
	nr = run();
	check(nr && count(nr, 2) == nr && moves[0].from == 1, "a full middle tier sends its coldest further down");
	setup(8);
	regions[0].unit = 4;
	for (unsigned int b = 0; b < 8; b++)
		put(b, 1, 600, b == 2 ? HEAT_FRESH : 0);
	put(2, 1, 1, HEAT_FRESH);
	in.tiers[0].pools[0].room = 50;
	for (unsigned int b = 0; b < 8; b++)
		blocks[b].flags |= b < 4 ? HEAT_FRESH : 0;
	nr = run();
	check(nr == 4 && find(nr, 0) && find(nr, 3) && !find(nr, 4), "the blocks of a unit come together");
}

static uint64_t seed = 1;

static uint32_t draw(uint32_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % n;
}

static void random_input(void)
{
	unsigned int at = 0;

	setup(0);
	in.rules.policy = draw(2);
	in.rules.free_low = draw(2500);
	in.rules.free_high = in.rules.free_low + draw(500);
	in.rules.births_ahead = draw(20);
	in.rules.margin = draw(100);
	in.rules.residence = draw(300);
	in.rules.prefetch_share = draw(101);
	for (unsigned int t = 0; t < KVOFF_MAX_TIERS; t++) {
		in.tiers[t] = (struct decide_tier) {
			.present = draw(3) != 0, .rank = draw(5), .bandwidth_mbps = draw(3) * 1000};
		for (unsigned int c = 0; c < KVOFF_NR_BLOCK_SIZES; c++)
			in.tiers[t].pools[c] = (struct decide_pool) {
				.blocks = draw(200),
				.room = draw(3) ? draw(60) : 0,
				.reserve = draw(5),
				.births = draw(4),
			};
		for (unsigned int to = 0; to < KVOFF_MAX_TIERS; to++)
			in.link_bytes[t][to] = draw(4) ? draw(1 << 30) : 0;
	}
	in.nr_regions = draw(9);
	for (unsigned int i = 0; i < in.nr_regions; i++) {
		regions[i] = (struct decide_region) {
			.id = i * 7,
			.size_class = draw(KVOFF_NR_BLOCK_SIZES),
			.unit = 1 + draw(5),
			.nr = draw(500),
			.heat = blocks + at,
			.keys = &keys,
		};
		for (unsigned int b = 0; b < regions[i].nr; b++, at++) {
			for (unsigned int w = 0; w < sizeof(struct heat); w++)
				((uint8_t *)&blocks[at])[w] = (uint8_t)draw(256);
			if (draw(4))
				blocks[at].tier %= KVOFF_MAX_TIERS;
			if (draw(4))
				blocks[at].flags = (blocks[at].flags | HEAT_PRESENT) & ~HEAT_IN_FLIGHT;
		}
	}
}

/* What is wrong with the moves, or NULL. */
static const char *judge(size_t nr, size_t max)
{
	uint64_t room[KVOFF_MAX_TIERS][KVOFF_NR_BLOCK_SIZES], link[KVOFF_MAX_TIERS][KVOFF_MAX_TIERS];
	static bool seen[4096];

	memset(seen, 0, sizeof(seen));
	memcpy(link, in.link_bytes, sizeof(link));
	for (unsigned int t = 0; t < KVOFF_MAX_TIERS; t++)
		for (unsigned int c = 0; c < KVOFF_NR_BLOCK_SIZES; c++)
			room[t][c] = in.tiers[t].pools[c].room;
	if (nr > max)
		return "the list is too long";
	for (size_t i = 0; i < nr; i++) {
		const struct decide_move *m = &moves[i];
		const struct decide_region *r = &regions[m->region];
		const struct heat *h = &r->heat[m->block];
		uint64_t size = (uint64_t)KVOFF_BLOCK_SIZE_MIN << r->size_class;

		if (m->region >= in.nr_regions || m->block >= r->nr)
			return "no such block";
		if (seen[h - blocks])
			return "a block twice";
		seen[h - blocks] = true;
		if (!(h->flags & HEAT_PRESENT) || (h->flags & HEAT_IN_FLIGHT))
			return "a block that is not there, or moving";
		if (m->from != h->tier || m->to >= KVOFF_MAX_TIERS || !in.tiers[m->to].present ||
		    !in.tiers[m->from].present)
			return "a wrong tier";
		if (in.tiers[m->to].rank == in.tiers[m->from].rank)
			return "a move within a rank";
		if (!room[m->to][r->size_class]--)
			return "a full pool";
		if (link[m->from][m->to] < size)
			return "a link over its budget";
		link[m->from][m->to] -= size;
		if (in.now - h->placed < in.rules.residence)
			return "a block that has just come";
		if (m->reason == DECIDE_NONE || m->reason >= DECIDE_NR_REASONS)
			return "no reason";
	}
	return NULL;
}

static void test_always(void)
{
	const char *wrong = NULL;
	bool same = true;
	size_t total = 0;

	for (unsigned int i = 0; i < 2000 && !wrong && same; i++) {
		struct decide_work *other;
		size_t max, nr;

		random_input();
		max = draw(3) ? draw(64) : MAX;
		nr = decide(work, &in, moves, max);
		wrong = judge(nr, max);
		/* other memory, filled by another input, and the same result */
		other = decide_work_new();
		same = decide(other, &in, again, max) == nr && !memcmp(again, moves, nr * sizeof(moves[0]));
		decide_work_free(other);
		total += nr;
		if (wrong || !same)
			printf("# input %u: %s\n", i, wrong ? wrong : "differs");
	}
	printf("# %zu moves\n", total);
	check(!wrong && total > 10000, "whatever the input: no full pool, no link over budget, no block twice");
	check(same, "the same input gives the same moves");
}

/* Room runs out, blocks are used at random: after it has settled, nothing goes to and fro. */
static void test_settles(void)
{
	size_t nr = 0, last = 0, total = 0;

	setup(300);
	for (unsigned int b = 0; b < 300; b++)
		put(b, b < 100 ? 0 : 1, b < 100 ? 300 + b : b, HEAT_FRESH);
	in.tiers[0].pools[0].room = 0;
	for (unsigned int step = 0; step < 200; step++) {
		in.now += HEAT_SEC / 10;
		nr = run();
		for (size_t i = 0; i < nr; i++) {
			struct heat *h = &blocks[moves[i].block];

			in.tiers[h->tier].pools[0].room++;
			in.tiers[moves[i].to].pools[0].room--;
			h->tier = moves[i].to;
			h->placed = in.now;
			h->flags &= (uint8_t)~HEAT_FRESH;
		}
		last = nr ? step : last;
		total += nr;
	}
	printf("# %zu moves, the last in step %zu\n", total, last);
	check(total > 100 && total < 600 && last < 150, "when nothing is used, moving ends");
}

int main(void)
{
	work = decide_work_new();
	tap_plan(7 + 5 + 10 + 5 + 3 + 2 + 1 + 6);
	test_room();
	test_hints();
	test_promotion();
	test_classes();
	test_limits();
	test_tiers();
	test_always();
	test_settles();
	decide_work_free(work);
	return tap_end();
}
