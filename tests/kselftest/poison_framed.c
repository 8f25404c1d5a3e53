// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Memory errors in framed regions: the windows stand still, so the blocks move out of bad frames, and no block gets
 * one of these again.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <string.h>

#include "framed_rig.h"
#include "poison_rig.h"

#define NR	12
#define NEAR_NR	6
#define FAR_NR	6
#define LIVE	3

FIXTURE(poison_framed)
{
	struct rig rig;
	struct framed f;
	int fd;
	uint64_t bad_bytes;
};

FIXTURE_VARIANT(poison_framed)
{
	uint32_t bs;
};

FIXTURE_VARIANT_ADD(poison_framed, 64k) { .bs = 64 * KIB };
FIXTURE_VARIANT_ADD(poison_framed, 2m) { .bs = 2 * MIB };

/* Blocks 0 to LIVE - 1 are in the near window, filled. */
FIXTURE_SETUP(poison_framed)
{
	uint64_t b;

	ASSERT_EQ(0, rig_up(&self->rig, variant->bs, 16 * variant->bs));
	ASSERT_EQ(0, sysfs_write("tuning/twins", "1"));
	ASSERT_EQ(0, copies_fail(false));
	ASSERT_EQ(0, framed_create(&self->rig, &self->f, variant->bs, NR, NEAR_NR, FAR_NR));
	self->fd = self->f.r.fd;
	ASSERT_EQ(0, blocks_alloc(self->fd, 0, LIVE, NULL));
	for (b = 0; b < LIVE; b++) {
		ASSERT_EQ(self->rig.near, tier_of(&self->f.r, b));
		fill(frame_of(&self->f, acquire(&self->f, b)), variant->bs, b);
		release(&self->f, b);
	}
}

/* What was bad in the windows is bad in the tiers when the region is gone. */
FIXTURE_TEARDOWN(poison_framed)
{
	const char *wrong;

	EXPECT_EQ(0, copies_fail(false));
	framed_close(&self->f);
	EXPECT_TRUE(wait_for_sum("used_bytes", 0));
	EXPECT_EQ(self->bad_bytes, tiers_sum("poisoned_bytes"));
	EXPECT_TRUE(adds_up("dram", variant->bs));
	EXPECT_TRUE(adds_up("cxl0", variant->bs));
	wrong = rig_down(&self->rig);
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

/* The page number of a block's frame. Looks at its last page, for tests spoil others. */
static uint64_t frame_pfn(const struct framed *f, uint64_t block)
{
	uint8_t *last = frame_of(f, location(&f->r, block)) + f->r.bs - PAGE;

	*(volatile uint8_t *)last;
	return pfn_of(last) - f->r.bs / PAGE + 1;
}

/* What block @b holds; the reference is given back. */
static uint64_t wrong_in(const struct framed *f, uint64_t b)
{
	uint64_t wrong = count_wrong(frame_of(f, acquire(f, b)), f->r.bs, b);

	release(f, b);
	return wrong;
}

/* All frames that blocks can get: how often is it this one? Leaves no block but those below LIVE. */
static unsigned int gets_frame(const struct framed *f, uint32_t tier, uint32_t frame)
{
	unsigned int found = 0;
	uint64_t b;

	for (b = LIVE; b < NR && !block_alloc(f->r.fd, b); b++)
		;
	while (b-- > LIVE) {
		found += tier_of(&f->r, b) == tier && KVOFF_LOC_FRAME(location(&f->r, b)) == frame;
		block_free(f->r.fd, b);
	}
	return found;
}

TEST_F(poison_framed, a_block_moves_out_of_its_frame)
{
	uint64_t before = location(&self->f.r, 1), after, copied = stat_now("poison_copied"), b;
	uint32_t frames;

	ASSERT_EQ(0, tell(&self->rig, frame_pfn(&self->f, 1) * PAGE + 5, 1, &frames));
	self->bad_bytes = variant->bs;
	EXPECT_EQ(1, frames);
	EXPECT_EQ(copied + 1, stat_now("poison_copied"));
	after = location(&self->f.r, 1);
	/* in its own window, for its own user */
	EXPECT_EQ(self->rig.near, KVOFF_LOC_TIER(after));
	EXPECT_NE(KVOFF_LOC_FRAME(before), KVOFF_LOC_FRAME(after));
	EXPECT_EQ(KVOFF_LOC_GEN(before), KVOFF_LOC_GEN(after));
	for (b = 0; b < LIVE; b++)
		EXPECT_EQ(0, wrong_in(&self->f, b));
	EXPECT_EQ(0, gets_frame(&self->f, self->rig.near, KVOFF_LOC_FRAME(before)));
}

/* Where its own window has no frame it changes tiers, and says why. */
TEST_F(poison_framed, a_block_moves_to_another_window)
{
	uint64_t b;

	ASSERT_EQ(0, blocks_alloc(self->fd, LIVE, NR - LIVE, NULL));
	for (b = LIVE; tier_of(&self->f.r, b) == self->rig.near; b++)
		;
	ASSERT_EQ(0, block_free(self->fd, b));
	ASSERT_EQ(0, tell(&self->rig, frame_pfn(&self->f, 1) * PAGE, PAGE, NULL));
	self->bad_bytes = variant->bs;
	EXPECT_EQ(self->rig.far, tier_of(&self->f.r, 1));
	EXPECT_EQ(KVOFF_REASON_RESCUE, self->f.r.state[1].reason);
	EXPECT_EQ(0, wrong_in(&self->f, 1));
}

TEST_F(poison_framed, a_free_frame_is_never_used_again)
{
	uint32_t frame = KVOFF_LOC_FRAME(location(&self->f.r, 2));
	uint64_t pfn = frame_pfn(&self->f, 2);

	ASSERT_EQ(0, block_free(self->fd, 2));
	ASSERT_EQ(0, tell(&self->rig, pfn * PAGE, variant->bs, NULL));
	self->bad_bytes = variant->bs;
	EXPECT_EQ(0, gets_frame(&self->f, self->rig.near, frame));
	ASSERT_EQ(0, block_alloc(self->fd, 2));
	EXPECT_NE(frame, KVOFF_LOC_FRAME(location(&self->f.r, 2)));
}

TEST_F(poison_framed, a_twin_repairs_its_block)
{
	uint64_t repaired = stat_now("poison_repaired"), before = location(&self->f.r, 0), after;

	ASSERT_EQ(0, region_seal(self->fd, 0, 1, NULL));
	ASSERT_EQ(0, move_one(&self->rig, &self->f.r, 0, self->rig.far, 0));
	/* even where the frame cannot be read any more */
	ASSERT_EQ(0, copies_fail(true));
	ASSERT_EQ(0, tell(&self->rig, frame_pfn(&self->f, 0) * PAGE, PAGE, NULL));
	self->bad_bytes = variant->bs;
	EXPECT_EQ(repaired + 1, stat_now("poison_repaired"));
	after = location(&self->f.r, 0);
	EXPECT_EQ(KVOFF_LOC_TIER(before), KVOFF_LOC_TIER(after));
	EXPECT_EQ(KVOFF_REASON_RESCUE, self->f.r.state[0].reason);
	EXPECT_EQ(KVOFF_LOC_FRAME(before), KVOFF_LOC_FRAME(after));
	EXPECT_EQ(KVOFF_STATE_PRESENT | KVOFF_STATE_SEALED, KVOFF_LOC_FLAGS(after));
	EXPECT_EQ(0, wrong_in(&self->f, 0));
}

TEST_F(poison_framed, a_bad_twin_is_worth_nothing)
{
	uint64_t twin = frame_pfn(&self->f, 0);
	uint32_t frame = KVOFF_LOC_FRAME(location(&self->f.r, 0));

	ASSERT_EQ(0, region_seal(self->fd, 0, 1, NULL));
	ASSERT_EQ(0, move_one(&self->rig, &self->f.r, 0, self->rig.far, 0));
	ASSERT_EQ(0, tell(&self->rig, twin * PAGE, PAGE, NULL));
	self->bad_bytes = variant->bs;
	EXPECT_EQ(self->rig.far, tier_of(&self->f.r, 0));
	EXPECT_EQ(0, wrong_in(&self->f, 0));
	ASSERT_EQ(0, move_one(&self->rig, &self->f.r, 0, self->rig.near, 0));
	EXPECT_NE(frame, KVOFF_LOC_FRAME(location(&self->f.r, 0)));
	EXPECT_EQ(0, wrong_in(&self->f, 0));
}

/* The bytes are lost, and nothing else: neither its neighbours nor its handle. */
static void lose(struct __test_metadata *_metadata, FIXTURE_DATA(poison_framed) *self, uint32_t bs)
{
	uint64_t lost = stat_now("poison_lost");
	struct kvoff_region_info info;

	ASSERT_EQ(0, copies_fail(true));
	ASSERT_EQ(0, tell(&self->rig, frame_pfn(&self->f, 1) * PAGE, PAGE, NULL));
	self->bad_bytes = bs;
	EXPECT_EQ(lost + 1, stat_now("poison_lost"));
	EXPECT_EQ(KVOFF_STATE_POISONED, KVOFF_LOC_FLAGS(location(&self->f.r, 1)));
	ASSERT_EQ(0, region_info(self->fd, &info));
	EXPECT_EQ(bs, info.poisoned);
	EXPECT_EQ(LIVE * bs, info.used);
	EXPECT_EQ(-EHWPOISON, move_one(&self->rig, &self->f.r, 1, self->rig.far, 0));
	EXPECT_EQ(-EIO, region_seal(self->fd, 1, 1, NULL));
	EXPECT_EQ(-EEXIST, block_alloc(self->fd, 1));
	EXPECT_EQ(0, wrong_in(&self->f, 0));
	EXPECT_EQ(0, wrong_in(&self->f, 2));
}

TEST_F(poison_framed, a_lost_block_can_be_freed)
{
	uint32_t gen = KVOFF_LOC_GEN(location(&self->f.r, 1)), frame = KVOFF_LOC_FRAME(location(&self->f.r, 1));
	struct kvoff_region_info info;

	lose(_metadata, self, variant->bs);
	ASSERT_EQ(0, block_free(self->fd, 1));
	EXPECT_EQ(0, KVOFF_LOC_FLAGS(location(&self->f.r, 1)));
	/* whoever has the handle still sees that it is none any more */
	EXPECT_NE(gen, KVOFF_LOC_GEN(location(&self->f.r, 1)));
	ASSERT_EQ(0, region_info(self->fd, &info));
	EXPECT_EQ(0, info.poisoned);
	EXPECT_EQ((LIVE - 1) * variant->bs, info.used);
	ASSERT_EQ(0, block_alloc(self->fd, 1));
	EXPECT_EQ(0, gets_frame(&self->f, self->rig.near, frame));
}

TEST_F(poison_framed, a_lost_block_can_be_discarded)
{
	uint32_t gen = KVOFF_LOC_GEN(location(&self->f.r, 1));
	uint64_t freed;

	lose(_metadata, self, variant->bs);
	ASSERT_EQ(0, region_discard(&self->f.r, 1, 1, &freed));
	EXPECT_EQ(KVOFF_STATE_PRESENT, KVOFF_LOC_FLAGS(location(&self->f.r, 1)));
	EXPECT_EQ(gen, KVOFF_LOC_GEN(location(&self->f.r, 1)));
	EXPECT_EQ(0, count_nonzero(frame_of(&self->f, acquire(&self->f, 1)), variant->bs));
	release(&self->f, 1);
}

/* Its frame is gone for good: it waits for another one, and is poisoned until then. */
TEST_F(poison_framed, a_lost_block_needs_a_free_frame)
{
	uint64_t b;

	lose(_metadata, self, variant->bs);
	for (b = LIVE; b < NR && !block_alloc(self->fd, b); b++)
		;
	/* all but the bad one */
	ASSERT_EQ(NR, b);
	EXPECT_EQ(-ENOSPC, region_discard(&self->f.r, 1, 1, NULL));
	EXPECT_EQ(KVOFF_STATE_POISONED, KVOFF_LOC_FLAGS(location(&self->f.r, 1)));
	ASSERT_EQ(0, block_free(self->fd, NR - 1));
	ASSERT_EQ(0, region_discard(&self->f.r, 1, 1, NULL));
	EXPECT_EQ(KVOFF_STATE_PRESENT, KVOFF_LOC_FLAGS(location(&self->f.r, 1)));
	EXPECT_EQ(0, count_nonzero(frame_of(&self->f, acquire(&self->f, 1)), variant->bs));
	release(&self->f, 1);
}

TEST_F(poison_framed, a_lost_block_ends_with_its_region)
{
	lose(_metadata, self, variant->bs);
}

TEST_F(poison_framed, a_move_that_cannot_read_loses_the_block)
{
	uint64_t pfn = frame_pfn(&self->f, 1);

	ASSERT_EQ(0, hit(pfn));
	ASSERT_EQ(0, copies_fail(true));
	EXPECT_EQ(-EHWPOISON, move_one(&self->rig, &self->f.r, 1, self->rig.far, 0));
	self->bad_bytes = variant->bs;
	EXPECT_EQ(KVOFF_STATE_POISONED, KVOFF_LOC_FLAGS(location(&self->f.r, 1)));
	EXPECT_EQ(0, wrong_in(&self->f, 0));
	EXPECT_EQ(0, wrong_in(&self->f, 2));
}

/* Nobody takes a block away from a client that is using it, not even for its own good. */
TEST_F(poison_framed, a_reference_holds_up_the_copy)
{
	uint64_t pfn = frame_pfn(&self->f, 1), before;

	before = acquire(&self->f, 1);
	ASSERT_EQ(0, tell(&self->rig, pfn * PAGE, PAGE, NULL));
	self->bad_bytes = variant->bs;
	EXPECT_EQ(KVOFF_LOC_FRAME(before), KVOFF_LOC_FRAME(location(&self->f.r, 1)));
	release(&self->f, 1);
	ASSERT_EQ(0, tell(&self->rig, pfn * PAGE, PAGE, NULL));
	EXPECT_NE(KVOFF_LOC_FRAME(before), KVOFF_LOC_FRAME(location(&self->f.r, 1)));
	EXPECT_EQ(0, wrong_in(&self->f, 1));
	EXPECT_EQ(0, gets_frame(&self->f, self->rig.near, KVOFF_LOC_FRAME(before)));
}

TEST_HARNESS_MAIN
