// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The frame that a block leaves stays behind as its clean copy: moving back is then a flip, without a copy. The
 * first write ends it, and it stands in nobody's way.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <string.h>

#include "rig.h"

FIXTURE(twins)
{
	struct rig rig;
};

FIXTURE_VARIANT(twins)
{
	uint32_t bs;
	uint64_t nr;
};

FIXTURE_VARIANT_ADD(twins, 64k) { .bs = 64 * KIB, .nr = 32 };
FIXTURE_VARIANT_ADD(twins, 2m) { .bs = 2 * MIB, .nr = 4 };

FIXTURE_SETUP(twins)
{
	/* room for the zeroed frames that the tier keeps at hand beside the twins */
	ASSERT_EQ(0, rig_up(&self->rig, variant->bs, 2 * variant->nr * variant->bs));
	ASSERT_EQ(0, sysfs_write("tuning/twins", "1"));
}

FIXTURE_TEARDOWN(twins)
{
	const char *wrong = rig_down(&self->rig);

	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

static struct region *filled(struct rig *rig, uint32_t bs, uint64_t nr)
{
	struct region *r = rig_region(rig, bs, nr);
	uint64_t b;

	for (b = 0; r && b < nr; b++)
		fill(block_at(r, b), bs, b);
	return r;
}

static uint64_t wrong_bytes(const struct region *r)
{
	uint64_t b, wrong = 0;

	for (b = 0; b < r->nr; b++)
		wrong += count_wrong(block_at(r, b), r->bs, b);
	return wrong;
}

TEST_F(twins, moving_back_is_a_flip)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	uint64_t flips = stat_now("flips"), all = variant->nr * variant->bs;
	int round;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(r->nr, move_blocks(&self->rig, r, 0, r->nr, self->rig.far, 0, NULL));
	EXPECT_EQ(flips, stat_now("flips"));
	EXPECT_EQ(all, sysfs_u64("tiers/dram/twin_bytes"));
	EXPECT_EQ(0, sysfs_u64("tiers/cxl0/twin_bytes"));
	EXPECT_EQ(0, sysfs_u64("tiers/dram/used_bytes"));
	EXPECT_EQ(0, wrong_bytes(r));
	for (round = 1; round <= 6; round++) {
		uint32_t to = round % 2 ? self->rig.near : self->rig.far;

		ASSERT_EQ(r->nr, move_blocks(&self->rig, r, 0, r->nr, to, 0, NULL));
		EXPECT_EQ(flips + round * r->nr, stat_now("flips"));
		EXPECT_EQ(to, tier_of(r, 0));
		EXPECT_EQ(all, sysfs_u64(round % 2 ? "tiers/cxl0/twin_bytes" : "tiers/dram/twin_bytes"));
		EXPECT_EQ(all, sysfs_u64(round % 2 ? "tiers/dram/used_bytes" : "tiers/cxl0/used_bytes"));
		EXPECT_EQ(0, wrong_bytes(r));
	}
}

/* One word of one block, whichever page of it: that block's copy is worth nothing, the others' are. */
TEST_F(twins, a_write_ends_it)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	uint64_t flips, dropped = stat_now("twins_written");
	uint64_t *word;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(r->nr, move_blocks(&self->rig, r, 0, r->nr, self->rig.far, 0, NULL));
	flips = stat_now("flips");
	EXPECT_EQ(0, wrong_bytes(r));
	word = (uint64_t *)(block_at(r, 1) + variant->bs - sizeof(*word));
	*word ^= 1;
	EXPECT_EQ(dropped + 1, stat_now("twins_written"));
	EXPECT_EQ((r->nr - 1) * variant->bs, sysfs_u64("tiers/dram/twin_bytes"));
	ASSERT_EQ(r->nr, move_blocks(&self->rig, r, 0, r->nr, self->rig.near, 0, NULL));
	EXPECT_EQ(flips + r->nr - 1, stat_now("flips"));
	*word ^= 1;
	EXPECT_EQ(0, wrong_bytes(r));
}

/* The tier is promised to others to the last frame: twins go, nobody waits, and nobody sees their bytes. */
TEST_F(twins, give_way_when_the_tier_fills)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr), other;
	struct kvoff_region_commit commit;
	uint64_t b, nr;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(r->nr, move_blocks(&self->rig, r, 0, r->nr, self->rig.far, 0, NULL));
	ASSERT_EQ(r->nr * variant->bs, sysfs_u64("tiers/dram/twin_bytes"));
	/* all that can still be committed: more than is left beside the twins */
	ASSERT_EQ(0, region_create(&self->rig, &other, variant->bs, 4 * variant->nr));
	ASSERT_EQ(-ENOMEM, region_commit(&other, 4 * variant->nr * variant->bs, &commit));
	nr = commit.available / variant->bs;
	ASSERT_LE(2 * variant->nr, nr);
	ASSERT_EQ(0, region_commit(&other, nr * variant->bs, &commit));
	for (b = 0; b < nr; b++) {
		ASSERT_EQ(0, count_nonzero(block_at(&other, b), variant->bs));
		memset(block_at(&other, b), 0x5a, variant->bs);
	}
	EXPECT_GT(variant->nr * variant->bs, sysfs_u64("tiers/dram/twin_bytes"));
	EXPECT_EQ(0, wrong_bytes(r));
	EXPECT_EQ(0, stat_now("commit_broken"));
	region_close(&other);
}

TEST_F(twins, go_with_their_block)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	uint64_t freed;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(r->nr, move_blocks(&self->rig, r, 0, r->nr, self->rig.far, 0, NULL));
	ASSERT_EQ(0, region_discard(r, 0, 1, &freed));
	EXPECT_EQ(1, freed);
	EXPECT_EQ((r->nr - 1) * variant->bs, sysfs_u64("tiers/dram/twin_bytes"));
	EXPECT_EQ(0, count_nonzero(block_at(r, 0), variant->bs));
	region_close(r);
	EXPECT_TRUE(wait_for_sum("used_bytes", 0));
	EXPECT_EQ(0, tiers_sum("twin_bytes"));
}

/* A reference keeps the block where it is, copy or no copy; and the copy is still good afterwards. */
TEST_F(twins, a_reference_refuses_the_flip)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	uint64_t flips;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(0, move_one(&self->rig, r, 0, self->rig.far, 0));
	flips = stat_now("flips");
	__atomic_add_fetch(&r->refs[0], 1, __ATOMIC_SEQ_CST);
	EXPECT_EQ(-EAGAIN, move_one(&self->rig, r, 0, self->rig.near, 0));
	EXPECT_EQ(variant->bs, sysfs_u64("tiers/dram/twin_bytes"));
	__atomic_sub_fetch(&r->refs[0], 1, __ATOMIC_SEQ_CST);
	EXPECT_EQ(0, move_one(&self->rig, r, 0, self->rig.near, 0));
	EXPECT_EQ(flips + 1, stat_now("flips"));
	EXPECT_EQ(0, wrong_bytes(r));
}

/* A tier that holds nothing but twins can go; the blocks forget them. */
TEST_F(twins, do_not_hold_up_their_tier)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	uint64_t flips;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(r->nr, move_blocks(&self->rig, r, 0, r->nr, self->rig.far, 0, NULL));
	flips = stat_now("flips");
	ASSERT_EQ(0, tier_remove(self->rig.control, "dram"));
	EXPECT_EQ(-ENOENT, move_one(&self->rig, r, 0, self->rig.near, 0));
	*block_at(r, 1) ^= 1;
	*block_at(r, 1) ^= 1;
	/* another tier of that number has no twins of theirs */
	ASSERT_EQ(0, tier_add(&self->rig, "dram", 0, 0, 2 * variant->nr * variant->bs, &self->rig.near));
	ASSERT_EQ(0, pool_set(&self->rig, "dram", variant->bs, 2 * variant->nr * variant->bs, KVOFF_POOL_WAIT));
	EXPECT_EQ(r->nr, move_blocks(&self->rig, r, 0, r->nr, self->rig.near, 0, NULL));
	EXPECT_EQ(flips, stat_now("flips"));
	EXPECT_EQ(0, wrong_bytes(r));
}

TEST_F(twins, can_be_turned_off)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);

	ASSERT_NE(NULL, r);
	ASSERT_EQ(0, sysfs_write("tuning/twins", "0"));
	ASSERT_EQ(r->nr, move_blocks(&self->rig, r, 0, r->nr, self->rig.far, 0, NULL));
	EXPECT_EQ(0, tiers_sum("twin_bytes"));
	EXPECT_EQ(-EINVAL, sysfs_write("tuning/twins", "2"));
}

TEST_HARNESS_MAIN
