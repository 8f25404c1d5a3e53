// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Framed regions: windows whose pages never change, blocks that are handles, and what may and may not happen to them.
 * Moves with company are in framed_moves.c, what the windows cost and to whom in windows.c.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "framed_rig.h"
#include "seal.h"

#define NR	24
#define NEAR_NR	10
#define FAR_NR	20

FIXTURE(framed)
{
	struct rig rig;
	struct framed f;
	int fd;
};

FIXTURE_VARIANT(framed)
{
	uint32_t bs;
};

FIXTURE_VARIANT_ADD(framed, 64k) { .bs = 64 * KIB };
FIXTURE_VARIANT_ADD(framed, 2m) { .bs = 2 * MIB };

FIXTURE_SETUP(framed)
{
	ASSERT_EQ(0, rig_up(&self->rig, variant->bs, 32 * variant->bs));
	ASSERT_EQ(0, sysfs_write("tuning/twins", "1"));
	ASSERT_EQ(0, framed_create(&self->rig, &self->f, variant->bs, NR, NEAR_NR, FAR_NR));
	self->fd = self->f.r.fd;
}

FIXTURE_TEARDOWN(framed)
{
	const char *wrong;

	framed_close(&self->f);
	wrong = rig_down(&self->rig);
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

static void fill_block(const struct framed *f, uint64_t block)
{
	fill(frame_of(f, acquire(f, block)), f->r.bs, block + 1);
	release(f, block);
}

static uint64_t wrong_in(const struct framed *f, uint64_t block)
{
	uint64_t wrong = count_wrong(frame_of(f, acquire(f, block)), f->r.bs, block + 1);

	release(f, block);
	return wrong;
}

static uint64_t pfn_at(int pagemap, const uint8_t *at)
{
	uint64_t entry = 0;

	if (pread(pagemap, &entry, sizeof(entry), (uintptr_t)at / PAGE * sizeof(entry)) != sizeof(entry))
		return 0;
	return entry & ((1ULL << 55) - 1);
}

TEST_F(framed, windows_are_zero_and_hold_still)
{
	uint64_t pfn[NR_WINDOWS][FAR_NR];
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), round;
	uint64_t i, b, w, before;

	ASSERT_LE(0, pagemap);
	before = stat_now("faults");
	for (w = 0; w < NR_WINDOWS; w++)
		EXPECT_EQ(0, count_nonzero(self->f.window[w], self->f.frames[w] * variant->bs));
	/* a large block is mapped at once */
	if (variant->bs == 2 * MIB)
		EXPECT_EQ(before + NEAR_NR + FAR_NR, stat_now("faults"));
	for (w = 0; w < NR_WINDOWS; w++) {
		for (i = 0; i < self->f.frames[w]; i++) {
			pfn[w][i] = pfn_at(pagemap, self->f.window[w] + i * variant->bs);
			EXPECT_NE(0, pfn[w][i]);
		}
	}
	ASSERT_EQ(0, blocks_alloc(self->fd, 0, NEAR_NR - 1, NULL));
	for (b = 0; b < NEAR_NR - 1; b++)
		fill_block(&self->f, b);
	before = stat_now("faults");
	for (round = 0; round < 10; round++) {
		ASSERT_EQ(NEAR_NR - 1, move_blocks(&self->rig, &self->f.r, 0, NEAR_NR - 1,
						   round % 2 ? self->rig.near : self->rig.far, 0, NULL));
		for (b = 0; b < NEAR_NR - 1; b++)
			EXPECT_EQ(0, wrong_in(&self->f, b));
	}
	/* nothing was unmapped, and nothing is elsewhere */
	EXPECT_EQ(before, stat_now("faults"));
	for (w = 0; w < NR_WINDOWS; w++)
		for (i = 0; i < self->f.frames[w]; i++)
			EXPECT_EQ(pfn[w][i], pfn_at(pagemap, self->f.window[w] + i * variant->bs));
	close(pagemap);
}

TEST_F(framed, fast_frames_go_first_but_for_the_reserve)
{
	struct kvoff_region_window w;
	uint32_t done;
	uint64_t b;

	ASSERT_EQ(0, blocks_alloc(self->fd, 0, NR, &done));
	EXPECT_EQ(NR, done);
	for (b = 0; b < NR; b++)
		EXPECT_EQ(b < NEAR_NR - 1 ? self->rig.near : self->rig.far, tier_of(&self->f.r, b)) TH_LOG("%lu", b);
	EXPECT_EQ(0, window_grow(self->fd, self->rig.near, 0, &w));
	EXPECT_EQ(NEAR_NR * variant->bs, w.bytes);
	EXPECT_EQ(variant->bs, w.free);
	EXPECT_EQ(0, window_grow(self->fd, self->rig.far, 0, &w));
	EXPECT_EQ(FAR_NR * variant->bs, w.bytes);
	EXPECT_EQ((FAR_NR - (NR - NEAR_NR + 1)) * variant->bs, w.free);
}

/* The reason of a move is the block's that moved: the next user's has not. */
TEST_F(framed, a_new_block_has_no_reason)
{
	struct kvoff_move_desc desc = { .region = self->f.r.id, .to = self->rig.far, .reason = 0x1234 };
	struct kvoff_move_result result;

	ASSERT_EQ(0, block_alloc(self->fd, 0));
	ASSERT_EQ(0, move_batch(self->rig.control, &desc, 1, &result, NULL));
	ASSERT_EQ(0, result.error);
	EXPECT_EQ(0x1234, self->f.r.state[0].reason);
	ASSERT_EQ(0, block_free(self->fd, 0));
	ASSERT_EQ(0, block_alloc(self->fd, 0));
	EXPECT_EQ(KVOFF_REASON_NONE, self->f.r.state[0].reason);
}

/* Frames of all windows, the reserves included, and then no more. */
TEST_F(framed, every_frame_can_be_used)
{
	struct framed f;
	uint32_t done;
	uint64_t b, i;

	ASSERT_EQ(0, framed_create(&self->rig, &f, variant->bs, 64, 3, 2));
	EXPECT_EQ(-ENOSPC, blocks_alloc(f.r.fd, 10, 8, &done));
	EXPECT_EQ(5, done);
	for (b = 10; b < 15; b++)
		for (i = 10; i < b; i++)
			EXPECT_NE(frame_of(&f, location(&f.r, b)), frame_of(&f, location(&f.r, i)));
	EXPECT_EQ(0, KVOFF_LOC_FLAGS(location(&f.r, 15)));
	ASSERT_EQ(f.tier[NEAR], tier_of(&f.r, 10));
	ASSERT_EQ(f.tier[FAR], tier_of(&f.r, 14));
	EXPECT_EQ(-ENOSPC, move_one(&self->rig, &f.r, 10, f.tier[FAR], 0));
	EXPECT_EQ(0, block_free(f.r.fd, 14));
	EXPECT_EQ(0, move_one(&self->rig, &f.r, 10, f.tier[FAR], 0));
	framed_close(&f);
}

TEST_F(framed, a_stale_handle_is_seen)
{
	uint64_t first, second, moved;

	ASSERT_EQ(0, block_alloc(self->fd, 3));
	first = location(&self->f.r, 3);
	EXPECT_EQ(KVOFF_STATE_PRESENT, KVOFF_LOC_FLAGS(first));
	/* a move changes where it is, not whose */
	ASSERT_EQ(0, move_one(&self->rig, &self->f.r, 3, self->rig.far, 0));
	moved = location(&self->f.r, 3);
	EXPECT_EQ(self->rig.far, KVOFF_LOC_TIER(moved));
	EXPECT_EQ(KVOFF_LOC_GEN(first), KVOFF_LOC_GEN(moved));
	ASSERT_EQ(0, block_free(self->fd, 3));
	EXPECT_EQ(0, KVOFF_LOC_FLAGS(location(&self->f.r, 3)));
	EXPECT_EQ(KVOFF_TIER_NONE, KVOFF_LOC_TIER(location(&self->f.r, 3)));
	EXPECT_NE(KVOFF_LOC_GEN(first), KVOFF_LOC_GEN(location(&self->f.r, 3)));
	ASSERT_EQ(0, block_alloc(self->fd, 3));
	second = location(&self->f.r, 3);
	EXPECT_EQ(KVOFF_LOC_GEN(first) + 2, KVOFF_LOC_GEN(second));
}

TEST_F(framed, wrong_blocks)
{
	uint64_t list[] = { 0, 1, NR, 2 };
	struct kvoff_region_blocks arg = { .size = sizeof(arg), .nr = 4, .blocks = (uintptr_t)list };
	uint32_t done;

	EXPECT_EQ(-1, ioctl(self->fd, KVOFF_REGION_BLOCK_ALLOC, &arg));
	EXPECT_EQ(ERANGE, errno);
	EXPECT_EQ(2, arg.done);
	EXPECT_EQ(-EEXIST, blocks_alloc(self->fd, 0, 4, &done));
	EXPECT_EQ(0, done);
	EXPECT_EQ(-ENODATA, blocks_free(self->fd, 0, 4, &done));
	EXPECT_EQ(2, done);
	EXPECT_EQ(-ENODATA, move_one(&self->rig, &self->f.r, 0, self->rig.far, 0));
	EXPECT_EQ(-ENODATA, region_seal(self->fd, 0, 1, NULL));
	arg.nr = KVOFF_BLOCKS_MAX + 1;
	EXPECT_EQ(-1, ioctl(self->fd, KVOFF_REGION_BLOCK_ALLOC, &arg));
	EXPECT_EQ(EINVAL, errno);
	arg.nr = 0;
	EXPECT_EQ(-1, ioctl(self->fd, KVOFF_REGION_BLOCK_FREE, &arg));
	EXPECT_EQ(EINVAL, errno);
	arg.nr = 1;
	arg.flags = 1;
	EXPECT_EQ(-1, ioctl(self->fd, KVOFF_REGION_BLOCK_FREE, &arg));
	EXPECT_EQ(EINVAL, errno);
	arg.flags = 0;
	arg.blocks = 8;
	EXPECT_EQ(-1, ioctl(self->fd, KVOFF_REGION_BLOCK_ALLOC, &arg));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(0, arg.done);
}

TEST_F(framed, a_reference_keeps_all_as_it_is)
{
	uint64_t loc, freed;
	struct framed other;

	ASSERT_EQ(0, blocks_alloc(self->fd, 0, 2, NULL));
	fill_block(&self->f, 0);
	/* of whichever attachment */
	ASSERT_EQ(0, framed_attach(&self->f, &other, O_RDWR));
	loc = acquire(&other, 0);
	EXPECT_EQ(-EAGAIN, move_one(&self->rig, &self->f.r, 0, self->rig.far, 0));
	EXPECT_EQ(-EAGAIN, move_one(&self->rig, &self->f.r, 0, self->rig.far, KVOFF_MOVE_STOP));
	EXPECT_EQ(-EBUSY, block_free(self->fd, 0));
	EXPECT_EQ(-EBUSY, region_discard(&self->f.r, 0, 2, NULL));
	EXPECT_EQ(loc, location(&self->f.r, 0));
	EXPECT_EQ(0, count_wrong(frame_of(&self->f, loc), variant->bs, 1));
	release(&other, 0);
	EXPECT_EQ(0, move_one(&self->rig, &self->f.r, 0, self->rig.far, 0));
	EXPECT_EQ(0, wrong_in(&self->f, 0));
	EXPECT_EQ(0, region_discard(&self->f.r, 0, 1, &freed));
	EXPECT_EQ(0, block_free(self->fd, 0));
	/* a reference ends with its descriptor */
	acquire(&other, 1);
	framed_close(&other);
	EXPECT_EQ(0, block_free(self->fd, 1));
}

/* A unit goes with its bytes: not where they stay, behind a block that somebody is using, nor in it. */
TEST_F(framed, a_reference_keeps_the_units)
{
	struct kvoff_unit list[4];
	uint32_t done;

	ASSERT_EQ(0, blocks_alloc(self->fd, 0, 6, NULL));
	ASSERT_EQ(0, seal(self->fd, 0, 2, "before", NULL));
	ASSERT_EQ(0, seal(self->fd, 2, 2, "in use", NULL));
	ASSERT_EQ(0, seal(self->fd, 4, 2, "behind", NULL));
	acquire(&self->f, 2);
	EXPECT_EQ(-EBUSY, region_discard(&self->f.r, 0, 6, NULL));
	ASSERT_EQ(2, units(self->fd, 0, list, 4));
	EXPECT_STREQ("in use", (char *)list[0].tag);
	EXPECT_STREQ("behind", (char *)list[1].tag);
	EXPECT_FALSE(is_sealed(&self->f.r, 1));
	EXPECT_TRUE(is_sealed(&self->f.r, 2) && is_sealed(&self->f.r, 5));
	EXPECT_EQ(-EBUSY, blocks_free(self->fd, 2, 4, &done));
	EXPECT_EQ(0, done);
	EXPECT_EQ(2, units(self->fd, 0, list, 4));
	release(&self->f, 2);
	/* one block of each */
	ASSERT_EQ(0, blocks_free(self->fd, 2, 1, NULL));
	ASSERT_EQ(1, units(self->fd, 0, list, 4));
	EXPECT_TRUE(is_sealed(&self->f.r, 3));
	ASSERT_EQ(0, region_discard(&self->f.r, 5, 1, NULL));
	EXPECT_EQ(0, units(self->fd, 0, list, 4));
}

TEST_F(framed, discarded_is_zero_in_its_place)
{
	uint64_t freed = 1, loc;

	ASSERT_EQ(0, blocks_alloc(self->fd, 4, 2, NULL));
	fill_block(&self->f, 4);
	fill_block(&self->f, 5);
	ASSERT_EQ(0, region_seal(self->fd, 4, 1, NULL));
	loc = location(&self->f.r, 4);
	EXPECT_TRUE(KVOFF_LOC_FLAGS(loc) & KVOFF_STATE_SEALED);
	ASSERT_EQ(0, region_discard(&self->f.r, 0, 5, &freed));
	EXPECT_EQ(0, freed);
	EXPECT_EQ(loc & ~(uint64_t)KVOFF_STATE_SEALED, location(&self->f.r, 4));
	EXPECT_EQ(0, count_nonzero(frame_of(&self->f, loc), variant->bs));
	EXPECT_EQ(0, wrong_in(&self->f, 5));
	EXPECT_EQ(-ERANGE, region_discard(&self->f.r, 0, NR + 1, NULL));
}

/* ---- seals and twins ---- */

TEST_F(framed, a_sealed_block_moves_back_by_a_flip)
{
	uint64_t flips = stat_now("flips"), b;
	struct kvoff_region_window w;
	int round;

	ASSERT_EQ(0, blocks_alloc(self->fd, 0, 4, NULL));
	for (b = 0; b < 4; b++)
		fill_block(&self->f, b);
	ASSERT_EQ(0, region_seal(self->fd, 0, 3, &b));
	EXPECT_EQ(3, b);
	ASSERT_EQ(4, move_blocks(&self->rig, &self->f.r, 0, 4, self->rig.far, 0, NULL));
	EXPECT_EQ(flips, stat_now("flips"));
	/* what it left is free for others */
	EXPECT_EQ(0, window_grow(self->fd, self->rig.near, 0, &w));
	EXPECT_EQ(w.bytes, w.free);
	for (round = 1; round <= 4; round++) {
		ASSERT_EQ(4, move_blocks(&self->rig, &self->f.r, 0, 4, round % 2 ? self->rig.near : self->rig.far, 0,
					 NULL));
		EXPECT_EQ(flips + 3 * round, stat_now("flips"));
		for (b = 0; b < 4; b++)
			EXPECT_EQ(0, wrong_in(&self->f, b));
	}
	/* a discard ends it */
	ASSERT_EQ(0, region_discard(&self->f.r, 0, 1, NULL));
	ASSERT_EQ(0, move_one(&self->rig, &self->f.r, 0, self->rig.near, 0));
	EXPECT_EQ(flips + 12, stat_now("flips"));
	EXPECT_EQ(0, count_nonzero(frame_of(&self->f, location(&self->f.r, 0)), variant->bs));
	/* and so does turning it off, for what moves from then on */
	ASSERT_EQ(0, sysfs_write("tuning/twins", "0"));
	ASSERT_EQ(0, move_one(&self->rig, &self->f.r, 1, self->rig.near, 0));
	EXPECT_EQ(flips + 13, stat_now("flips"));
	ASSERT_EQ(0, move_one(&self->rig, &self->f.r, 1, self->rig.far, 0));
	EXPECT_EQ(flips + 13, stat_now("flips"));
	EXPECT_EQ(0, wrong_in(&self->f, 1));
}

TEST_F(framed, twins_give_way)
{
	uint64_t room = stat_now("twins_room"), flips, b;

	ASSERT_EQ(0, blocks_alloc(self->fd, 0, 5, NULL));
	for (b = 0; b < 5; b++)
		fill_block(&self->f, b);
	ASSERT_EQ(0, region_seal(self->fd, 0, 5, NULL));
	ASSERT_EQ(5, move_blocks(&self->rig, &self->f.r, 0, 5, self->rig.far, 0, NULL));
	EXPECT_EQ(room, stat_now("twins_room"));
	/* five free frames, then four of the twins, then the reserve */
	ASSERT_EQ(0, blocks_alloc(self->fd, 5, NEAR_NR - 1, NULL));
	EXPECT_EQ(room + 4, stat_now("twins_room"));
	for (b = 5; b < 5 + NEAR_NR - 1; b++) {
		ASSERT_EQ(self->rig.near, tier_of(&self->f.r, b));
		fill_block(&self->f, b);
	}
	/* the oldest went first */
	flips = stat_now("flips");
	EXPECT_EQ(0, move_one(&self->rig, &self->f.r, 4, self->rig.near, 0));
	EXPECT_EQ(flips + 1, stat_now("flips"));
	EXPECT_EQ(-ENOSPC, move_one(&self->rig, &self->f.r, 0, self->rig.near, 0));
	EXPECT_EQ(0, block_free(self->fd, 5));
	EXPECT_EQ(0, move_one(&self->rig, &self->f.r, 0, self->rig.near, 0));
	EXPECT_EQ(flips + 1, stat_now("flips"));
	for (b = 0; b < 5 + NEAR_NR - 1; b++)
		if (b != 5)
			EXPECT_EQ(0, wrong_in(&self->f, b));
	/* a block that is freed takes its twin with it: the frame is any block's then */
	EXPECT_EQ(0, block_free(self->fd, 4));
	ASSERT_EQ(0, block_alloc(self->fd, 4));
	EXPECT_FALSE(KVOFF_LOC_FLAGS(location(&self->f.r, 4)) & KVOFF_STATE_SEALED);
}

/* Others read a sealed block while it is copied; who still reads at the end keeps it, and the copy is not lost. */
TEST_F(framed, a_sealed_block_is_read_while_it_is_copied)
{
	uint64_t flips, loc;
	struct mover m;

	if (hook_set("copy", 0))
		SKIP(return, "a module without test hooks");
	ASSERT_EQ(0, block_alloc(self->fd, 0));
	fill_block(&self->f, 0);
	ASSERT_EQ(0, region_seal(self->fd, 0, 1, NULL));
	ASSERT_EQ(0, mover_catch(&m, &self->rig, &self->f.r, "copy", KVOFF_STATE_COPYING));
	flips = stat_now("flips");
	loc = acquire(&self->f, 0);
	EXPECT_EQ(self->rig.near, KVOFF_LOC_TIER(loc));
	EXPECT_EQ(0, count_wrong(frame_of(&self->f, loc), variant->bs, 1));
	EXPECT_EQ(-EAGAIN, mover_join(&m));
	EXPECT_EQ(flips, stat_now("flips"));
	release(&self->f, 0);
	EXPECT_EQ(0, move_one(&self->rig, &self->f.r, 0, self->rig.far, 0));
	EXPECT_EQ(flips + 1, stat_now("flips"));
	EXPECT_EQ(0, wrong_in(&self->f, 0));
}

/* An unsealed one stands still for the copy, and whoever comes meanwhile waits and finds the new place. */
TEST_F(framed, an_unsealed_block_is_waited_for)
{
	struct mover m;

	if (hook_set("flip", 0))
		SKIP(return, "a module without test hooks");
	ASSERT_EQ(0, block_alloc(self->fd, 0));
	fill_block(&self->f, 0);
	ASSERT_EQ(0, mover_catch(&m, &self->rig, &self->f.r, "flip", KVOFF_STATE_MOVING));
	mover_let(&m);
	EXPECT_EQ(self->rig.far, KVOFF_LOC_TIER(acquire(&self->f, 0)));
	EXPECT_EQ(0, mover_join(&m));
	release(&self->f, 0);
	EXPECT_EQ(0, wrong_in(&self->f, 0));
}

/* ---- events ---- */

static uint64_t events(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

TEST_F(framed, events_count_moves)
{
	struct region *mapped = rig_region(&self->rig, variant->bs, 2);
	int a = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), b = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct framed other;

	ASSERT_NE(NULL, mapped);
	ASSERT_EQ(0, blocks_alloc(self->fd, 0, 3, NULL));
	ASSERT_EQ(0, framed_attach(&self->f, &other, O_RDONLY));
	EXPECT_EQ(-EBADF, region_eventfd(self->fd, 12345));
	EXPECT_EQ(-EINVAL, region_eventfd(self->fd, self->rig.control));
	ASSERT_EQ(0, region_eventfd(self->fd, a));
	ASSERT_EQ(0, region_eventfd(other.r.fd, b));
	ASSERT_EQ(3, move_blocks(&self->rig, &self->f.r, 0, 3, self->rig.far, 0, NULL));
	EXPECT_EQ(3, events(a));
	EXPECT_EQ(3, events(b));
	/* there already, or refused */
	ASSERT_EQ(3, move_blocks(&self->rig, &self->f.r, 0, 3, self->rig.far, 0, NULL));
	acquire(&self->f, 0);
	EXPECT_EQ(-EAGAIN, move_one(&self->rig, &self->f.r, 0, self->rig.near, 0));
	release(&self->f, 0);
	EXPECT_EQ(0, events(a));
	ASSERT_EQ(0, region_eventfd(self->fd, -1));
	framed_close(&other);
	ASSERT_EQ(0, move_one(&self->rig, &self->f.r, 0, self->rig.near, 0));
	EXPECT_EQ(0, events(a));
	EXPECT_EQ(0, events(b));
	/* mapped regions too */
	ASSERT_EQ(0, region_eventfd(mapped->fd, a));
	ASSERT_EQ(0, region_eventfd(mapped->fd, b));
	*block_at(mapped, 1) = 1;
	ASSERT_EQ(0, move_one(&self->rig, mapped, 1, tier_of(mapped, 1) == self->rig.near ? self->rig.far :
			      self->rig.near, 0));
	EXPECT_EQ(0, events(a));
	EXPECT_EQ(1, events(b));
	close(a);
	close(b);
}

/* Blocks of a mapped region are sampled again and again meanwhile. */
TEST_F(framed, sampling_leaves_windows_alone)
{
	struct region *mapped = rig_region(&self->rig, variant->bs, 2);
	uint64_t before, b;

	ASSERT_NE(NULL, mapped);
	*block_at(mapped, 0) = 1;
	ASSERT_EQ(0, blocks_alloc(self->fd, 0, 4, NULL));
	for (b = 0; b < 4; b++)
		fill_block(&self->f, b);
	before = stat_now("faults");
	ASSERT_EQ(0, sysfs_write("tuning/sample_interval_ms", "10"));
	EXPECT_TRUE(comes_true(__atomic_load_n(&mapped->state[0].samples, __ATOMIC_RELAXED) >= 10));
	for (b = 0; b < 4; b++) {
		EXPECT_EQ(0, self->f.r.state[b].samples);
		EXPECT_EQ(0, wrong_in(&self->f, b));
	}
	EXPECT_EQ(before, stat_now("faults"));
}

TEST_HARNESS_MAIN
