// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Moving a block to its twin, beside the same move by copy.
 */
#include <errno.h>

#include "tools/bench/bench.h"
#include "tools/bench/trip.h"

#define NR	32

static int one_size(struct bench_out *out, uint32_t bs)
{
	struct trip flip = { 0 }, copy = { 0 };
	struct bench_arm arms[] = { { .run = trip_both, .ctx = &flip }, { .run = trip_both, .ctx = &copy } };
	struct rig rig;
	const char *wrong;
	uint64_t before;
	int ret, down;

	ret = rig_up(&rig, bs, 4ULL * NR * bs) ?: sysfs_write("tuning/twins", "1") ?: trip_up(&flip, &rig, bs, NR, 1) ?:
	      trip_up(&copy, &rig, bs, NR, 1);
	copy.write = true;
	before = stat_now("flips");
	if (!ret)
		ret = bench_in_turn(arms, 2, 2);
	if (!ret) {
		/* all but the very first way are flips, of the blocks that nobody writes to */
		if (stat_now("flips") - before != 5 * NR)
			bench_note(out, "%s: %lu flips instead of %d", size_name(bs), stat_now("flips") - before,
				   5 * NR);
		bench_row(out, &(struct bench_row){ .value = arms[0].median, .unit = "ns", .peer = "by copy",
						    .peer_value = arms[1].median },
			  "%s x %d, mapped, moved to its twin", size_name(bs), NR);
	}
	down = trip_down(&flip);
	down = trip_down(&copy) ?: down;
	wrong = rig_down(&rig);
	if (wrong)
		bench_note(out, "%s: afterwards: %s", size_name(bs), wrong);
	return ret ?: down ?: wrong ? -EIO : 0;
}

static int run(struct bench_out *out)
{
	return one_size(out, 64 * KIB) ?: bench_quick() ? 0 : one_size(out, 2 * MIB);
}

const struct bench bench_flips = {
	.name = "flips", .what = "moving blocks to their twins, beside copying them", .guest = true, .run = run,
};
