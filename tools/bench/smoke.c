// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A few blocks moved and flipped back: shows that the guest, the module and the clock are there.
 */
#include <errno.h>

#include "tests/kselftest/rig.h"
#include "tools/bench/bench.h"

#define NR	4

static int moves(struct bench_out *out, struct rig *rig)
{
	struct region *r = rig_region(rig, 64 * KIB, NR);
	uint64_t begin, copy, flip, flips = stat_now("flips");
	uint64_t b;

	if (!r)
		return -errno;
	for (b = 0; b < NR; b++)
		fill(block_at(r, b), r->bs, b);
	begin = bench_ns();
	if (move_blocks(rig, r, 0, NR, rig->far, 0, NULL) != NR)
		return -EIO;
	copy = bench_ns() - begin;
	begin = bench_ns();
	if (move_blocks(rig, r, 0, NR, rig->near, 0, NULL) != NR)
		return -EIO;
	flip = bench_ns() - begin;
	bench_row(out, &(struct bench_row){ .value = flip / NR, .unit = "ns", .peer = "copy", .peer_value = copy / NR },
		  "64 KiB x %d, moved and moved back by a flip", NR);
	bench_row(out, &(struct bench_row){ .value = stat_now("flips") - flips, .unit = "flips",
					    .direction = BENCH_AT_LEAST, .limit = NR }, "of them without a copy");
	for (b = 0; b < NR; b++)
		if (count_wrong(block_at(r, b), r->bs, b))
			return -EILSEQ;
	return 0;
}

static int run(struct bench_out *out)
{
	struct rig rig;
	int ret = rig_up(&rig, 64 * KIB, 2 * NR * 64 * KIB) ?: sysfs_write("tuning/twins", "1") ?: moves(out, &rig);

	return bench_rig_down(out, &rig, ret);
}

const struct bench bench_smoke = {
	.name = "smoke", .what = "a few blocks moved, to see that everything is there", .guest = true, .run = run,
};
