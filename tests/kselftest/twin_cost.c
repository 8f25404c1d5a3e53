// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a flip to a twin costs next to a copy. Only where the machine counts instructions as time (KVOFF_ICOUNT is
 * set): then the ratio of times is a ratio of instructions. The copy there is the kernel's machine-check safe one.
 */
#include <kselftest_harness.h>

#include <stdlib.h>
#include <time.h>

#include "rig.h"

#define NR	16

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* Move all blocks; nanoseconds for one. */
static uint64_t cost(struct rig *rig, struct region *r, uint32_t to)
{
	uint64_t begin = now_ns();

	if (move_blocks(rig, r, 0, r->nr, to, 0, NULL) != (int)r->nr)
		return UINT64_MAX;
	return (now_ns() - begin) / r->nr;
}

TEST(a_flip_is_a_hundredth_of_a_copy)
{
	uint64_t copy, flip, before;
	struct region *r;
	struct rig rig;
	const char *wrong;
	uint64_t b;

	if (!getenv("KVOFF_ICOUNT"))
		SKIP(return, "time does not count instructions here");
	ASSERT_EQ(0, rig_up(&rig, 2 * MIB, 2 * NR * 2 * MIB));
	ASSERT_EQ(0, sysfs_write("tuning/twins", "1"));
	r = rig_region(&rig, 2 * MIB, NR);
	ASSERT_NE(NULL, r);
	for (b = 0; b < NR; b++)
		fill(block_at(r, b), r->bs, b);
	before = stat_now("flips");
	copy = cost(&rig, r, rig.far);
	EXPECT_EQ(before, stat_now("flips"));
	/* mapped again, so that the flip has something to unmap */
	for (b = 0; b < NR; b++)
		EXPECT_EQ(0, count_wrong(block_at(r, b), PAGE, b));
	flip = cost(&rig, r, rig.near);
	EXPECT_EQ(before + NR, stat_now("flips"));
	TH_LOG("2 MiB block, instructions: copy %lu, flip %lu: %.2f %%", copy, flip, 100.0 * flip / copy);
	EXPECT_LT(flip * 100, copy);
	wrong = rig_down(&rig);
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

TEST_HARNESS_MAIN
