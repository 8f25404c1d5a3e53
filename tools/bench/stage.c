// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A machine of numbers for the policy.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "daemon/rules.h"
#include "tools/bench/stage.h"

/* Blocks become this old before the first tick: octaves of hundredths of a second, 2^20 are three hours. */
#define OLDEST	20

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t draw(struct stage *s, uint64_t n)
{
	s->seed ^= s->seed << 13;
	s->seed ^= s->seed >> 7;
	s->seed ^= s->seed << 17;
	return s->seed % n;
}

static void *array(uint64_t bytes)
{
	void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return map == MAP_FAILED ? NULL : map;
}

static void place(struct region *region, uint64_t block, unsigned int tier)
{
	struct kvoff_state *state = (struct kvoff_state *)&region->state[block];

	state->location = KVOFF_STATE_PRESENT | (uint64_t)tier << 8 | block << 32;
}

static uint32_t mask(const struct stage *s)
{
	return (1u << s->nr_tiers) - 1;
}

static int open_region(struct stage *s, struct region *region)
{
	uint64_t nr = s->nr / s->nr_regions;

	*region = (struct region) {
		.block_size = s->block_size,
		.size_class = (uint32_t)__builtin_ctz(s->block_size / KVOFF_BLOCK_SIZE_MIN),
		.nr = nr,
		.limit = nr,
		.seen = s->now,
		.view = -1,
		.state = array(nr * sizeof(*region->state)),
		.hint = array(nr * sizeof(*region->hint)),
		.said = array(nr * sizeof(*region->said)),
		.census.unit = s->unit,
	};
	if (!region->state || !region->hint || !region->said || census_resize(&region->census, nr))
		return -ENOMEM;
	census_huge(region->said, nr * sizeof(*region->said));
	for (uint64_t unit = 0; unit < nr; unit += s->unit) {
		unsigned int tier = 0;
		uint64_t at = draw(s, 100);

		while (tier + 1 < s->nr_tiers && at >= s->tiers[tier].percent)
			at -= s->tiers[tier++].percent;
		for (uint64_t b = unit; b < unit + s->unit && b < nr; b++) {
			place(region, b, tier);
			s->in.tiers[tier].pools[region->size_class].blocks++;
		}
	}
	return 0;
}

static void look(struct stage *s)
{
	struct observed observed = { 0 };

	for (unsigned int i = 0; i < s->nr_regions; i++)
		region_look(&s->regions[i], mask(s), s->now, &observed);
}

static void settle(struct stage *s)
{
	for (unsigned int i = 0; i < s->nr_regions; i++) {
		struct region *region = &s->regions[i];

		if (s->now - region->ranked >= RANK_EVERY) {
			heat_rank(&region->rates, &region->keys);
			region->ranked = s->now;
		}
		census_settle(&region->census, &region->keys, s->in.rules.residence, s->in.rules.prefetch);
	}
}

static void touch(struct stage *s, uint64_t blocks)
{
	for (uint64_t done = 0; done < blocks; done += s->unit) {
		struct region *region = &s->regions[draw(s, s->nr_regions)];
		uint64_t unit = draw(s, (region->nr + s->unit - 1) / s->unit) * s->unit;

		for (uint64_t b = unit; b < unit + s->unit && b < region->nr; b++)
			((struct kvoff_hint *)region->hint)[b].touches++;
	}
}

int stage_open(struct stage *s)
{
	int ret = 0;

	s->seed = 88172645463325252u;
	s->now = 1000000;
	s->work = decide_work_new();
	s->regions = calloc(s->nr_regions, sizeof(*s->regions));
	s->views = calloc(s->nr_regions, sizeof(*s->views));
	s->moves = calloc(s->max_moves, sizeof(*s->moves));
	if (!s->work || !s->regions || !s->views || !s->moves)
		return -ENOMEM;
	rules_init(&s->in.rules);
	s->in.regions = s->views;
	s->in.nr_regions = s->nr_regions;
	for (unsigned int t = 0; t < s->nr_tiers; t++)
		s->in.tiers[t] = (struct decide_tier) {
			.present = true, .rank = s->tiers[t].rank, .bandwidth_mbps = s->tiers[t].mbps };
	for (unsigned int i = 0; i < s->nr_regions && !ret; i++) {
		ret = open_region(s, &s->regions[i]);
		s->views[i] = (struct decide_region) {
			.id = i,
			.size_class = s->regions[i].size_class,
			.unit = s->unit,
			.nr = s->regions[i].nr,
			.heat = s->regions[i].census.heat,
			.keys = &s->regions[i].keys,
			.census = &s->regions[i].census,
		};
	}
	for (unsigned int t = 0; t < s->nr_tiers; t++) {
		struct decide_pool *pool = &s->in.tiers[t].pools[__builtin_ctz(s->block_size / KVOFF_BLOCK_SIZE_MIN)];

		pool->room = pool->blocks / 50;
		pool->blocks += pool->room;
	}
	/* the same number of blocks in each octave of age */
	look(s);
	for (unsigned int octave = OLDEST; octave-- && !ret;) {
		touch(s, s->nr / OLDEST);
		s->now += 1u << octave;
		look(s);
		settle(s);
	}
	return ret;
}

void stage_close(struct stage *s)
{
	for (unsigned int i = 0; s->regions && i < s->nr_regions; i++) {
		struct region *region = &s->regions[i];

		if (region->state)
			munmap((void *)region->state, region->nr * sizeof(*region->state));
		if (region->hint)
			munmap((void *)region->hint, region->nr * sizeof(*region->hint));
		if (region->said)
			munmap(region->said, region->nr * sizeof(*region->said));
		census_free(&region->census);
	}
	decide_work_free(s->work);
	free(s->regions);
	free(s->views);
	free(s->moves);
	s->work = NULL;
	s->regions = NULL;
	s->views = NULL;
	s->moves = NULL;
}

void stage_live(struct stage *s, uint64_t touches)
{
	double begin = cpu_ns();

	for (size_t i = 0; i < s->nr_moves; i++) {
		const struct decide_move *move = &s->moves[i];
		struct region *region = &s->regions[move->region];

		place(region, move->block, move->to);
		s->in.tiers[move->from].pools[region->size_class].room++;
		s->in.tiers[move->to].pools[region->size_class].room--;
		census_loosen(&region->census, move->block);
		act_learn(&region->census.heat[move->block], ACT_MOVED, move->to,
			  s->in.tiers[move->to].rank < s->in.tiers[move->from].rank, s->now);
		region_look_again(region, move->block);
	}
	s->learn_ns = cpu_ns() - begin;
	s->nr_moves = 0;
	touch(s, touches);
	s->now += s->tick;
}

double stage_tick(struct stage *s)
{
	double begin = cpu_ns(), looked, settled, end;
	uint32_t peeked = 0;

	look(s);
	looked = cpu_ns();
	settle(s);
	settled = cpu_ns();
	s->in.now = s->now;
	for (unsigned int a = 0; a < s->nr_tiers; a++)
		for (unsigned int b = 0; b < s->nr_tiers; b++)
			s->in.link_bytes[a][b] = (uint64_t)(s->tiers[a].mbps < s->tiers[b].mbps ? s->tiers[a].mbps :
							    s->tiers[b].mbps) * 1000000 / HEAT_SEC * s->tick;
	s->nr_moves = decide(s->work, &s->in, s->moves, s->max_moves);
	/* as act_send() does it */
	for (size_t i = 0; i < s->nr_moves; i++)
		peeked += census_peek(&s->regions[s->moves[i].region].census, s->moves[i].block);
	__asm__ volatile("" : : "r"(peeked));
	for (size_t i = 0; i < s->nr_moves; i++) {
		struct census *census = &s->regions[s->moves[i].region].census;

		census_loosen(census, s->moves[i].block);
		census->heat[s->moves[i].block].flags |= HEAT_IN_FLIGHT;
	}
	end = cpu_ns();
	s->look_ns = looked - begin;
	s->settle_ns = settled - looked;
	s->decide_ns = end - settled;
	return end - begin;
}

typedef uint64_t lanes __attribute__((vector_size(64)));

static uint64_t sum(const void *array_, uint64_t bytes)
{
	const lanes *at = array_;
	lanes sums[4] = { 0 };
	uint64_t all = 0;

	for (uint64_t i = 0; i + 4 <= bytes / sizeof(lanes); i += 4)
		for (unsigned int k = 0; k < 4; k++)
			sums[k] += at[i + k];
	sums[0] += sums[1] + sums[2] + sums[3];
	for (unsigned int k = 0; k < 8; k++)
		all += sums[0][k];
	return all;
}

double stage_pass(const struct stage *s)
{
	double begin = cpu_ns();
	volatile uint64_t all = 0;

	for (unsigned int i = 0; i < s->nr_regions; i++)
		all += sum(s->regions[i].state, s->regions[i].nr * sizeof(struct kvoff_state)) +
		       sum(s->regions[i].hint, s->regions[i].nr * sizeof(struct kvoff_hint));
	return cpu_ns() - begin;
}
