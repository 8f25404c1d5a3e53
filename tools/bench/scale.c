// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A large machine, on paper and by simulation: 1 TiB of DRAM, 8 TiB of CXL memory on four devices of which two are
 * behind a switch, eight GPUs that read the cache over their links as fast as these go. The policy runs on as many
 * blocks as that memory holds; the rest follows from what it needs and from the figures below.
 */
#include <errno.h>
#include <stdlib.h>

#include "tools/bench/bench.h"
#include "tools/bench/stage.h"

#define GPUS		8
#define GPU_MBPS	55000.0		/* PCIe 5.0 x16, one direction */
#define CXL_MBPS	30000		/* CXL 2.0 x8, one direction */
#define BUDGET		0.25		/* of a link, the daemon's default */
#define CPU_PERCENT	10.0		/* of a core that the daemon takes at most, its default */
#define MAX_MOVES	4096		/* of a tick, its default */
#define COPY_MBPS	10000.0		/* of one core, DRAM to CXL: what the kernel's copies of large blocks reach */
#define SAMPLE_SHARE	0.1		/* % of a core for 10,000 sampled blocks at the default interval: the promise */

/* The switch's two devices share its one link, so each has half of it. */
static const struct stage_tier tiers[] = {
	{ 0, 300000, 11 }, { 1, CXL_MBPS, 23 }, { 1, CXL_MBPS, 23 }, { 2, CXL_MBPS / 2, 22 }, { 2, CXL_MBPS / 2, 21 },
};
#define NR_TIERS	(sizeof(tiers) / sizeof(tiers[0]))

static int run(struct bench_out *out)
{
	struct stage s = {
		.nr = bench_quick() ? 1u << 18 : 1u << 25, .nr_regions = GPUS, .unit = 1, .block_size = 256u << 10,
		.tiers = tiers, .nr_tiers = NR_TIERS, .max_moves = MAX_MOVES, .tick = HEAT_SEC / 10,
	};
	double uses = GPUS * GPU_MBPS * 1e6 / s.block_size, ns[16], pass[16], ratio[16], look[16], decide[16], tick, interval;
	double links = 2 * (2 * CXL_MBPS + CXL_MBPS) * BUDGET, mbps, blocks = (double)s.nr;
	unsigned int rounds = bench_quick() ? 2 : 16;
	int ret = stage_open(&s);

	if (ret)
		goto out;
	interval = 0.1;
	for (unsigned int i = 0; i < rounds + 4; i++) {
		unsigned int at = i < 4 ? 0 : i - 4;

		/* the longer a tick takes, the less often it comes, and the more has changed */
		s.tick = (uint32_t)(interval * HEAT_SEC);
		stage_live(&s, (uint64_t)(uses * interval));
		pass[at] = stage_pass(&s);
		ns[at] = stage_tick(&s);
		ratio[at] = ns[at] / pass[at];
		look[at] = s.look_ns;
		decide[at] = s.settle_ns + s.decide_ns;
		interval = ns[at] / 1e9 * 100 / CPU_PERCENT;
		interval = interval < 0.1 ? 0.1 : interval;
	}
	tick = bench_median(ns, rounds);
	bench_row(out, &(struct bench_row){
			.value = tick / 1e6, .unit = "ms", .peer = "pass over the arrays",
			.peer_value = bench_median(pass, rounds) / 1e6, .ratio = bench_median(ratio, rounds) },
		  "a tick over 2^25 blocks of 256 KiB, 8 regions, 5 tiers");
	bench_row(out, &(struct bench_row){ .value = bench_median(look, rounds) / 1e6, .unit = "ms" }, "... looking");
	bench_row(out, &(struct bench_row){ .value = bench_median(decide, rounds) / 1e6, .unit = "ms" }, "... deciding");
	interval = tick / 1e9 * 100 / CPU_PERCENT;
	interval = interval < 0.1 ? 0.1 : interval;
	bench_row(out, &(struct bench_row){ .value = interval * 1000, .unit = "ms" },
		  "between two ticks, at %.0f %% of a core", CPU_PERCENT);
	bench_row(out, &(struct bench_row){ .value = uses * interval / blocks * 100, .unit = "%" },
		  "of the blocks used meanwhile, by 8 GPUs that read %.0f MB/s each", GPU_MBPS);
	mbps = MAX_MOVES / interval * s.block_size / 1e6;
	bench_row(out, &(struct bench_row){
			.value = mbps, .unit = "MB/s", .peer = "what the links' budgets allow", .peer_value = links },
		  "moved at most: %d blocks a tick", MAX_MOVES);
	bench_row(out, &(struct bench_row){ .value = (mbps < links ? mbps : links) / COPY_MBPS, .unit = "cores" },
		  "the module's copies of that, at %.0f MB/s a core", COPY_MBPS);
	bench_row(out, &(struct bench_row){ .value = links / COPY_MBPS, .unit = "cores" },
		  "... of all that the budgets allow");
	bench_row(out, &(struct bench_row){ .value = blocks / 10000 * SAMPLE_SHARE / 100, .unit = "cores" },
		  "the module's samples, if all were of mapped regions and cost what is promised at most");
	bench_note(out, "the ticks are run; all else is reckoned from them and from the figures in tools/bench/scale.c");
out:
	stage_close(&s);
	return ret;
}

const struct bench bench_scale = {
	.name = "scale", .what = "the policy on a machine of 9 TiB, and what limits that first", .run = run,
};
