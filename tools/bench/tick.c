// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A tick of the policy against reading the shared arrays once; and the daemon's memory.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/bench/bench.h"
#include "tools/bench/stage.h"

static const struct stage_tier tiers[] = { { 0, 200000, 20 }, { 1, 30000, 80 } };

/* Resident memory, in bytes. */
static double resident(void)
{
	unsigned long long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f || fscanf(f, "%*u %llu", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/**
 * struct ticks - what many ticks came to
 * @ns:		a tick
 * @pass_ns:	a pass over the arrays
 * @ratio:	median of one by the other
 * @changed:	share of the blocks that changed in a tick, %
 * @moves:	a tick
 * @learn_ns:	noting what became of a move
 * @bytes:	the daemon's resident memory, a block
 */
struct ticks {
	double ns;
	double pass_ns;
	double ratio;
	double changed;
	double moves;
	double learn_ns;
	double bytes;
};

static int measure(struct stage *s, double percent, unsigned int rounds, struct ticks *t)
{
	double *ns = calloc(rounds, sizeof(*ns)), *pass = calloc(rounds, sizeof(*pass));
	double *ratio = calloc(rounds, sizeof(*ratio)), *learn = calloc(rounds, sizeof(*learn));
	double before = resident(), arrays = (double)(s->nr * (sizeof(struct kvoff_state) + sizeof(struct kvoff_hint)));
	uint64_t change = (uint64_t)((double)s->nr * percent / 100), moved = 0, changed = 0;
	int ret = ns && pass && ratio && learn ? stage_open(s) : -ENOMEM;

	/* the first ticks move more than the following ones, and memory is not all there */
	for (unsigned int i = 0; i < rounds + 5 && !ret; i++) {
		size_t moves = s->nr_moves;

		stage_live(s, change > moves ? change - moves : 0);
		if (i < 5) {
			stage_pass(s);
			stage_tick(s);
			continue;
		}
		pass[i - 5] = stage_pass(s);
		ns[i - 5] = stage_tick(s);
		ratio[i - 5] = ns[i - 5] / pass[i - 5];
		learn[i - 5] = moves ? s->learn_ns / (double)moves : 0;
		moved += s->nr_moves;
		changed += change > moves ? change : moves;
	}
	if (!ret)
		*t = (struct ticks) {
			.ns = bench_median(ns, rounds),
			.pass_ns = bench_median(pass, rounds),
			.ratio = bench_median(ratio, rounds),
			.changed = (double)changed * 100 / (double)s->nr / rounds,
			.moves = (double)moved / rounds,
			.learn_ns = bench_median(learn, rounds),
			.bytes = (resident() - before - arrays) / (double)s->nr,
		};
	stage_close(s);
	free(ns);
	free(pass);
	free(ratio);
	free(learn);
	return ret;
}

static int one(struct bench_out *out, uint64_t nr, uint32_t unit, double percent, size_t max_moves, double limit,
	       struct ticks *t)
{
	struct stage s = {
		.nr = nr, .nr_regions = 1, .unit = unit, .block_size = KVOFF_BLOCK_SIZE_MIN, .tiers = tiers, .nr_tiers = 2,
		.max_moves = max_moves, .tick = HEAT_SEC / 10,
	};
	unsigned int rounds = bench_quick() ? 3 : nr > 5000000 ? 40 : 200;
	int ret = measure(&s, percent, rounds, t);

	if (ret)
		return ret;
	bench_row(out, &(struct bench_row){
			.value = t->ns / 1e6, .unit = "ms", .peer = "pass over the arrays", .peer_value = t->pass_ns / 1e6,
			.ratio = t->ratio, .direction = limit ? BENCH_AT_MOST : BENCH_NO_LIMIT, .limit = limit },
		  "10^%.0f blocks, %.1f %% changed, units of %u, %.0f moves a tick", log10((double)nr), t->changed, unit,
		  t->moves);
	return 0;
}

static int run(struct bench_out *out)
{
	struct ticks small, million, many, other;
	int ret = one(out, 100000, 1, 1, 4096, 0, &small);

	ret = ret ?: one(out, 1000000, 1, 1, 4096, 4, &million);
	ret = ret ?: one(out, 10000000, 1, 1, 4096, 0, &many);
	ret = ret ?: one(out, 1000000, 1, 0, 4096, 0, &other);
	ret = ret ?: one(out, 1000000, 36, 1, 4096, 0, &other);
	if (ret)
		return ret;
	bench_row(out, &(struct bench_row){
			.value = many.ns / 1e6, .unit = "ms", .peer = "ten times 10^6 blocks", .peer_value = million.ns / 1e5,
			.direction = BENCH_AT_MOST, .limit = 1 },
		  "a tick over 10^7 blocks: growth");
	bench_row(out, &(struct bench_row){ .value = million.learn_ns, .unit = "ns" }, "noting what became of a move");
	bench_row(out, &(struct bench_row){ .value = many.bytes, .unit = "B" }, "the daemon's memory, a block, of 10^7");
	bench_note(out, "processor time, of the machine itself; changed: touched by a client at random, or moved");
	return 0;
}

const struct bench bench_tick = {
	.name = "tick", .what = "a tick of the policy against a pass over the shared arrays", .run = run,
};
