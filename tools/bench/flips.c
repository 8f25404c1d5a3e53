// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Moving a block to its twin, beside the same move by copy.
 */
#include <errno.h>

#include "tools/bench/bench.h"
#include "tools/bench/trip.h"

#define NR	32

/* The mean of a way there and back; a region after the other, since copies take the place of twins. */
static int measure(struct rig *rig, uint32_t bs, bool write, double *ns)
{
	struct trip t = { 0 };
	struct bench_arm arm = { .run = trip_both, .ctx = &t };
	int ret = trip_up(&t, rig, bs, NR, 1), down;

	t.write = write;
	if (!ret)
		ret = bench_in_turn(&arm, 1, 2);
	*ns = arm.median;
	down = trip_down(&t);
	return ret ?: down;
}

static int one_size(struct bench_out *out, uint32_t bs)
{
	double flip, copy;
	struct rig rig;
	uint64_t flips;
	int ret = rig_up(&rig, bs, 3ULL * NR * bs) ?: sysfs_write("tuning/twins", "1");

	flips = stat_now("flips");
	ret = ret ?: measure(&rig, bs, false, &flip);
	flips = stat_now("flips") - flips;
	ret = ret ?: measure(&rig, bs, true, &copy);
	if (!ret) {
		bench_row(out, &(struct bench_row){ .value = flip, .unit = "ns", .peer = "by copy",
						    .peer_value = copy },
			  "%s x %d, mapped, moved to its twin", size_name(bs), NR);
		/* all ways but the very first */
		bench_row(out, &(struct bench_row){ .value = flips, .unit = "flips", .direction = BENCH_AT_LEAST,
						    .limit = 5 * NR }, "%s, moved without a copy", size_name(bs));
	}
	return bench_rig_down(out, &rig, ret);
}

static int run(struct bench_out *out)
{
	return one_size(out, 64 * KIB) ?: bench_quick() ? 0 : one_size(out, 2 * MIB);
}

const struct bench bench_flips = {
	.name = "flips", .what = "moving blocks to their twins, beside copying them", .guest = true, .run = run,
};
