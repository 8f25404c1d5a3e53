// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A tier can be emptied while its blocks are in use: nothing comes to it any more, everything can leave, what cannot
 * leave is named, and no promise is broken on the way.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "drains.h"
#include "pin.h"
#include "rig.h"

#define BS	(64 * KIB)
#define NR	24

FIXTURE(drain)
{
	struct rig rig;
	int other;
};

FIXTURE_SETUP(drain)
{
	/* half of each tier is capacity that no pool has yet */
	ASSERT_EQ(0, rig_up_sized(&self->rig, BS, 32 * MIB, 4 * MIB, 4 * MIB));
	self->other = open("/dev/kvoff/control", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->other);
}

FIXTURE_TEARDOWN(drain)
{
	const char *wrong;

	undrain(self->rig.control, "dram");
	undrain(self->rig.control, "cxl0");
	close(self->other);
	wrong = rig_down(&self->rig);
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

static struct region *filled(struct rig *rig, uint32_t bs, uint64_t nr, uint64_t salt)
{
	struct region *r = rig_region(rig, bs, nr);
	uint64_t b;

	for (b = 0; r && b < nr; b++)
		fill(block_at(r, b), bs, salt + b);
	return r;
}

static uint64_t wrong_bytes(const struct region *r, uint64_t salt)
{
	uint64_t b, wrong = 0;

	for (b = 0; b < r->nr; b++)
		wrong += count_wrong(block_at(r, b), r->bs, salt + b);
	return wrong;
}

/* Blocks of several sizes leave while they are read and written; then the tier goes, and comes back. */
TEST_F(drain, everything_leaves_while_in_use)
{
	static const uint32_t sizes[] = { 64 * KIB, 256 * KIB, 2 * MIB };
	struct region *r[3];
	struct user users[3];
	uint64_t used;
	int i;

	for (i = 0; i < 3; i++) {
		r[i] = filled(&self->rig, sizes[i], 4, 100 * i);
		ASSERT_NE(NULL, r[i]);
		ASSERT_EQ(self->rig.near, tier_of(r[i], 0));
		ASSERT_EQ(0, user_start(&users[i], r[i], 100 * i));
	}
	ASSERT_EQ(0, drain(self->other, "dram", 0, &used));
	EXPECT_EQ(sysfs_u64("tiers/dram/used_bytes"), used);
	EXPECT_TRUE(state_becomes("dram", "draining"));
	/* by a descriptor without the lease */
	ASSERT_TRUE(empty_tier(self->other, r, 3, self->rig.near, self->rig.far));
	EXPECT_EQ(0, sysfs_u64("tiers/dram/used_bytes"));
	EXPECT_TRUE(state_becomes("dram", "drained"));
	EXPECT_EQ(0, sysfs_u64("tiers/dram/keep_bytes"));
	EXPECT_TRUE(figure_becomes("tiers/dram/free_bytes", 0));
	EXPECT_EQ(0, tier_remove(self->rig.control, "dram"));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, user_stop(&users[i]));
		EXPECT_EQ(0, wrong_bytes(r[i], 100 * i));
		EXPECT_EQ(self->rig.far, tier_of(r[i], 3));
	}

	/* a tier that comes back is not being drained */
	ASSERT_EQ(0, tier_add(&self->rig, "dram", 0, 0, 32 * MIB, &self->rig.near));
	ASSERT_EQ(0, pool_set(&self->rig, "dram", BS, 4 * MIB, KVOFF_POOL_WAIT));
	EXPECT_TRUE(state_becomes("dram", "ready"));
	EXPECT_EQ(4, move_blocks(&self->rig, r[0], 0, 4, self->rig.near, 0, NULL));
	EXPECT_EQ(0, wrong_bytes(r[0], 0));
}

/* The rest must be able to answer for everything that is promised, used or not. */
TEST_F(drain, refused_when_commits_do_not_fit)
{
	struct region big;
	struct kvoff_region_commit out;
	uint64_t target = sysfs_u64("tiers/dram/pools/64kB/bytes"), used;

	ASSERT_EQ(0, region_create(&self->rig, &big, BS, 2048));
	ASSERT_EQ(-ENOMEM, region_commit(&big, 2048 * BS, &out));
	ASSERT_EQ(0, region_commit(&big, out.available, &out));
	target = sysfs_u64("tiers/dram/pools/64kB/bytes");
	EXPECT_EQ(-EBUSY, drain(self->other, "dram", 0, &used));
	EXPECT_EQ(-EBUSY, drain(self->other, "cxl0", 16 * MIB, &used));
	EXPECT_EQ(target, sysfs_u64("tiers/dram/pools/64kB/bytes"));
	EXPECT_TRUE(state_becomes("dram", "ready"));
	EXPECT_EQ(32 * MIB, sysfs_u64("tiers/dram/keep_bytes"));
	/* what was promised can be used in spite of it */
	EXPECT_EQ(0, touch_all(&big, out.committed / BS));
	ASSERT_EQ(0, region_discard(&big, 0, big.nr, NULL));
	/* with half of it gone the other tier can answer for the rest, once its pool has grown */
	ASSERT_EQ(0, region_uncommit(&big, out.committed / 2 / BS * BS + 4 * MIB));
	EXPECT_EQ(0, drain(self->other, "dram", 0, &used));
	/* and nothing can be promised beyond that while it lasts */
	EXPECT_EQ(-ENOMEM, region_commit(&big, 8 * MIB, NULL));
	EXPECT_EQ(0, undrain(self->other, "dram"));
	EXPECT_EQ(0, region_commit(&big, 8 * MIB, NULL));
	region_close(&big);
}

/* First touches and moves go elsewhere; twins there are worth nothing any more. */
TEST_F(drain, nothing_comes_in)
{
	uint64_t used, refused = stat_now("move_draining"), flips;
	struct region *old, *r;
	uint64_t b;

	ASSERT_EQ(0, sysfs_write("tuning/twins", "1"));
	old = filled(&self->rig, BS, NR, 7);
	ASSERT_NE(NULL, old);
	ASSERT_EQ(NR / 2, move_blocks(&self->rig, old, 0, NR / 2, self->rig.far, 0, NULL));
	ASSERT_EQ(NR / 2 * BS, sysfs_u64("tiers/dram/twin_bytes"));
	flips = stat_now("flips");
	ASSERT_EQ(0, drain(self->other, "dram", 0, &used));
	EXPECT_EQ(NR / 2 * BS, used);
	EXPECT_EQ(0, sysfs_u64("tiers/dram/twin_bytes"));
	EXPECT_EQ(-ESHUTDOWN, move_one(&self->rig, old, 0, self->rig.near, 0));
	EXPECT_EQ(-ESHUTDOWN, move_one(&self->rig, old, 1, self->rig.near, KVOFF_MOVE_STOP));
	EXPECT_EQ(refused + 2, stat_now("move_draining"));
	EXPECT_EQ(-ESHUTDOWN, pool_set(&self->rig, "dram", BS, 8 * MIB, 0));
	r = filled(&self->rig, BS, NR, 1);
	ASSERT_NE(NULL, r);
	for (b = 0; b < NR; b++)
		EXPECT_EQ(self->rig.far, tier_of(r, b));
	/* what leaves it leaves no twin behind */
	ASSERT_TRUE(empty_tier(self->other, &old, 1, self->rig.near, self->rig.far));
	EXPECT_EQ(0, sysfs_u64("tiers/dram/twin_bytes"));
	EXPECT_EQ(-ESHUTDOWN, move_one(&self->rig, old, 0, self->rig.near, 0));
	EXPECT_TRUE(figure_becomes("tiers/dram/free_bytes", 0));
	EXPECT_EQ(flips, stat_now("flips"));
	EXPECT_EQ(0, wrong_bytes(old, 7));
	EXPECT_EQ(0, wrong_bytes(r, 1));
	/* stopped, it fills again and is used as before */
	ASSERT_EQ(0, undrain(self->other, "dram"));
	EXPECT_TRUE(figure_becomes("tiers/dram/pools/64kB/filled_bytes", 4 * MIB));
	EXPECT_TRUE(state_becomes("dram", "ready"));
	EXPECT_EQ(0, move_one(&self->rig, old, 0, self->rig.near, 0));
	ASSERT_EQ(0, sysfs_write("tuning/twins", "0"));
}

/* Without the lease blocks can be moved out of a draining tier, and nowhere else. */
TEST_F(drain, the_lease_is_needed_elsewhere)
{
	struct region *r = filled(&self->rig, BS, NR, 3);
	struct kvoff_move_result results[2];
	struct kvoff_move_desc descs[2];
	uint64_t used;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(1, move_blocks(&self->rig, r, 1, 1, self->rig.far, 0, NULL));
	descs[0] = (struct kvoff_move_desc){ .region = r->id, .to = self->rig.far, .block = 0 };
	descs[1] = (struct kvoff_move_desc){ .region = r->id, .to = self->rig.near, .block = 1 };
	EXPECT_EQ(-EPERM, move_batch(self->other, descs, 1, results, NULL));
	ASSERT_EQ(0, drain(self->other, "dram", 0, &used));
	EXPECT_EQ(-EPERM, move_batch(self->other, descs, 2, results, NULL));
	EXPECT_EQ(-EPERM, move_batch(self->other, descs + 1, 1, results, NULL));
	EXPECT_EQ(self->rig.near, tier_of(r, 0));
	/* a batch of nothing is no way around it */
	descs[1].region = 0x7ffffff0;
	EXPECT_EQ(-EPERM, move_batch(self->other, descs + 1, 1, results, NULL));
	EXPECT_EQ(0, move_batch(self->other, descs, 2, results, NULL));
	EXPECT_EQ(0, results[0].error);
	EXPECT_EQ(-ENOENT, results[1].error);
	EXPECT_EQ(self->rig.far, tier_of(r, 0));
	/* it has left: no more */
	descs[0].to = self->rig.near;
	EXPECT_EQ(-EPERM, move_batch(self->other, descs, 1, results, NULL));
	ASSERT_EQ(0, undrain(self->other, "dram"));
	descs[0] = (struct kvoff_move_desc){ .region = r->id, .to = self->rig.far, .block = 2 };
	EXPECT_EQ(-EPERM, move_batch(self->other, descs, 1, results, NULL));
	EXPECT_EQ(0, wrong_bytes(r, 3));
}

/* What is pinned or acquired stays, is said to, and goes when it is let go; the tier cannot go before. */
TEST_F(drain, held_blocks_stay_until_released)
{
	struct region *r = filled(&self->rig, BS, NR, 5);
	struct pin pin = {0};
	struct kvoff_move_desc descs[2];
	struct kvoff_move_result results[2];
	uint64_t used;
	int ret, i;

	ASSERT_NE(NULL, r);
	ret = pin_take(&pin, 0, (uint64_t *)block_at(r, 0), PIN_READ);
	if (ret == -EPERM || ret == -ENOSYS)
		SKIP(return, "no pins here: %d", ret);
	ASSERT_EQ(0, ret);
	__atomic_add_fetch(&r->refs[1], 1, __ATOMIC_SEQ_CST);
	ASSERT_EQ(0, drain(self->other, "dram", 0, &used));
	EXPECT_FALSE(empty_tier_tries(self->other, &r, 1, self->rig.near, self->rig.far, 3));
	EXPECT_EQ(2 * BS, sysfs_u64("tiers/dram/used_bytes"));
	for (i = 0; i < 2; i++)
		descs[i] = (struct kvoff_move_desc){ .region = r->id, .to = self->rig.far, .block = i };
	ASSERT_EQ(0, move_batch(self->other, descs, 2, results, NULL));
	EXPECT_EQ(-EBUSY, results[0].error);
	EXPECT_EQ(-EAGAIN, results[1].error);
	EXPECT_EQ(-EBUSY, tier_remove(self->rig.control, "dram"));
	EXPECT_TRUE(state_becomes("dram", "draining"));
	__atomic_sub_fetch(&r->refs[1], 1, __ATOMIC_SEQ_CST);
	EXPECT_EQ(0, pin_finish(&pin, 0));
	EXPECT_TRUE(empty_tier(self->other, &r, 1, self->rig.near, self->rig.far));
	EXPECT_EQ(0, wrong_bytes(r, 5));
	EXPECT_EQ(0, tier_remove(self->rig.control, "dram"));
	ASSERT_EQ(0, tier_add(&self->rig, "dram", 0, 0, 32 * MIB, &self->rig.near));
}

/* Stopped half way, it goes on where it was, with the same bytes. */
TEST_F(drain, can_be_stopped_and_resumed)
{
	struct region *r = filled(&self->rig, BS, NR, 9);
	uint64_t used;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(0, drain(self->other, "dram", 0, &used));
	EXPECT_EQ(NR * BS, used);
	EXPECT_EQ(NR / 2, move_blocks(&self->rig, r, 0, NR / 2, self->rig.far, 0, NULL));
	ASSERT_EQ(0, undrain(self->other, "dram"));
	EXPECT_TRUE(state_becomes("dram", "ready"));
	EXPECT_TRUE(figure_becomes("tiers/dram/pools/64kB/filled_bytes", 4 * MIB));
	EXPECT_EQ(4, move_blocks(&self->rig, r, 0, 4, self->rig.near, 0, NULL));
	/* twice is no more than once */
	ASSERT_EQ(0, drain(self->other, "dram", 0, &used));
	ASSERT_EQ(0, drain(self->other, "dram", 0, &used));
	EXPECT_EQ((NR / 2 + 4) * BS, used);
	EXPECT_TRUE(empty_tier(self->other, &r, 1, self->rig.near, self->rig.far));
	EXPECT_EQ(0, wrong_bytes(r, 9));
	ASSERT_EQ(0, undrain(self->other, "dram"));
	ASSERT_EQ(0, undrain(self->other, "dram"));
	EXPECT_EQ(4 * MIB, sysfs_u64("tiers/dram/pools/64kB/bytes"));
}

/* A part may stay, and is used like before; not a block more. */
TEST_F(drain, keeps_what_it_may)
{
	struct region *r = filled(&self->rig, BS, NR, 11), *more;
	uint64_t used, b, in = 0;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(0, drain(self->other, "dram", 16 * BS, &used));
	EXPECT_EQ(16 * BS, sysfs_u64("tiers/dram/keep_bytes"));
	EXPECT_TRUE(state_becomes("dram", "draining"));
	EXPECT_EQ(-ESHUTDOWN, move_one(&self->rig, r, 0, self->rig.far, 0) ?:
			      move_one(&self->rig, r, 0, self->rig.near, 0));
	EXPECT_EQ(7, move_blocks(&self->rig, r, 1, 7, self->rig.far, 0, NULL));
	EXPECT_TRUE(state_becomes("dram", "drained"));
	EXPECT_EQ(16 * BS, sysfs_u64("tiers/dram/used_bytes"));
	EXPECT_EQ(-ESHUTDOWN, move_one(&self->rig, r, 0, self->rig.near, 0));
	/* one out, one in */
	EXPECT_EQ(0, move_one(&self->rig, r, 8, self->rig.far, 0));
	/* the tier's thread may have the only free frame in its hands, to zero it */
	EXPECT_TRUE(comes_true(move_one(&self->rig, r, 0, self->rig.near, 0) != -ENOSPC));
	EXPECT_EQ(self->rig.near, tier_of(r, 0));
	EXPECT_EQ(4, move_blocks(&self->rig, r, 9, 4, self->rig.far, 0, NULL));
	more = filled(&self->rig, BS, NR, 13);
	ASSERT_NE(NULL, more);
	for (b = 0; b < NR; b++)
		in += tier_of(more, b) == self->rig.near;
	/* the pool's reserve stays free for moves */
	EXPECT_GE(4, in);
	EXPECT_GE(16 * BS, sysfs_u64("tiers/dram/used_bytes"));
	EXPECT_EQ(0, wrong_bytes(r, 11));
	EXPECT_EQ(0, wrong_bytes(more, 13));
}

TEST_F(drain, bad_arguments)
{
	struct kvoff_ctl_tier_drain arg = { .size = sizeof(arg), .name = "dram", .flags = 2 };
	uint64_t used;

	EXPECT_EQ(-1, ioctl(self->other, KVOFF_CTL_TIER_DRAIN, &arg));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-ENOENT, drain(self->other, "nosuch", 0, &used));
	EXPECT_EQ(-ENOENT, undrain(self->other, "nosuch"));
	EXPECT_EQ(-EINVAL, drain(self->other, "dram", UINT64_MAX, &used));
	arg.flags = KVOFF_DRAIN_STOP;
	arg.keep = 1;
	EXPECT_EQ(-1, ioctl(self->other, KVOFF_CTL_TIER_DRAIN, &arg));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, undrain(self->other, "dram"));
}

/* Drains begin and end under first touches, moves, commits and changes of the reserve: no promise breaks. */
TEST_F(drain, churn)
{
	struct region *r = filled(&self->rig, BS, NR, 17);
	struct churn churn;
	uint64_t used, i;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(0, churn_start(&churn, &self->rig, r));
	for (i = 0; i < 60; i++) {
		const char *name = i % 4 == 3 ? "cxl0" : "dram";
		int ret = drain(self->other, name, i % 3 ? 0 : 8 * BS, &used);

		if (ret) {
			EXPECT_EQ(-EBUSY, ret);
			continue;
		}
		if (i % 5 == 0)
			EXPECT_EQ(0, sysfs_write("tuning/reserve_percent", i % 2 ? "2" : "5"));
		empty_tier_tries(self->other, &r, 1, i % 4 == 3 ? self->rig.far : self->rig.near,
				 i % 4 == 3 ? self->rig.near : self->rig.far, 2);
		EXPECT_EQ(0, undrain(self->other, name));
		EXPECT_EQ(0, stat_now("commit_broken"));
	}
	EXPECT_TRUE(comes_true(atomic_load(&churn.touched) && atomic_load(&churn.moved)));
	EXPECT_EQ(0, churn_stop(&churn));
	EXPECT_EQ(0, sysfs_write("tuning/reserve_percent", "2"));
	EXPECT_EQ(0, stat_now("commit_broken"));
	EXPECT_EQ(0, wrong_bytes(r, 17));
}

/* A smaller capacity takes idle frames, whatever their size, and nothing that is promised or in use. */
TEST_F(drain, a_smaller_capacity)
{
	struct region *r = filled(&self->rig, BS, NR, 19), *big = filled(&self->rig, 2 * MIB, 2, 21);
	uint64_t most;

	ASSERT_NE(NULL, r);
	ASSERT_NE(NULL, big);
	most = sysfs_u64("tiers/dram/used_bytes");
	ASSERT_LT(4 * MIB, most);
	/* below what is in use */
	EXPECT_EQ(-EBUSY, sysfs_write("tiers/dram/capacity_bytes", "4194304"));
	EXPECT_EQ(32 * MIB, sysfs_u64("tiers/dram/capacity_bytes"));
	/* below what the pools were given */
	EXPECT_EQ(0, sysfs_write("tiers/dram/capacity_bytes", "8388608"));
	EXPECT_EQ(8 * MIB, sysfs_u64("tiers/dram/capacity_bytes"));
	EXPECT_GE(8 * MIB, pool_bytes("dram"));
	EXPECT_TRUE(filled_at_most("dram", 8 * MIB));
	EXPECT_EQ(most, sysfs_u64("tiers/dram/used_bytes"));
	/* growing while in use */
	EXPECT_EQ(0, sysfs_write("tiers/dram/capacity_bytes", "33554432"));
	EXPECT_EQ(0, pool_set(&self->rig, "dram", BS, 8 * MIB, KVOFF_POOL_WAIT));
	EXPECT_EQ(0, wrong_bytes(r, 19));
	EXPECT_EQ(0, wrong_bytes(big, 21));
}

/* Below use: a drain that keeps the new capacity, then the capacity, then the end of the drain. */
TEST_F(drain, a_capacity_below_use)
{
	struct region *r = filled(&self->rig, BS, 48, 23);
	uint64_t used;

	ASSERT_NE(NULL, r);
	EXPECT_EQ(-EBUSY, sysfs_write("tiers/dram/capacity_bytes", "2097152"));
	ASSERT_EQ(0, drain(self->other, "dram", 2 * MIB, &used));
	EXPECT_EQ(-EBUSY, sysfs_write("tiers/dram/capacity_bytes", "2097152"));
	EXPECT_EQ(16, move_blocks(&self->rig, r, 0, 16, self->rig.far, 0, NULL));
	EXPECT_EQ(0, sysfs_write("tiers/dram/capacity_bytes", "2097152"));
	ASSERT_EQ(0, undrain(self->other, "dram"));
	EXPECT_EQ(2 * MIB, sysfs_u64("tiers/dram/capacity_bytes"));
	EXPECT_EQ(2 * MIB, pool_bytes("dram"));
	EXPECT_TRUE(filled_at_most("dram", 2 * MIB));
	EXPECT_EQ(0, wrong_bytes(r, 23));
}

/* What blocks of one size leave idle those of another size get, while others are read, written and moved. */
TEST_F(drain, sizes_take_turns_under_load)
{
	static const uint32_t sizes[] = { 64 * KIB, 2 * MIB, 256 * KIB };
	struct region *r = filled(&self->rig, BS, NR, 25);
	uint64_t converted = stat_now("converted_bytes");
	struct churn churn;
	struct user user;
	int i;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(0, user_start(&user, r, 25));
	ASSERT_EQ(0, churn_start(&churn, &self->rig, r));
	for (i = 0; i < 9; i++) {
		uint32_t bs = sizes[i % 3];
		struct region big;

		ASSERT_EQ(0, region_create(&self->rig, &big, bs, 32 * MIB / bs));
		/* more than half of all there is: not without what the size before had */
		EXPECT_EQ(0, region_commit(&big, 32 * MIB, NULL)) TH_LOG("round %d", i);
		EXPECT_EQ(0, touch_all(&big, big.nr));
		region_close(&big);
		EXPECT_GE(32 * MIB, pool_bytes("dram"));
		EXPECT_GE(32 * MIB, pool_bytes("cxl0"));
	}
	EXPECT_EQ(0, churn_stop(&churn));
	EXPECT_EQ(0, user_stop(&user));
	EXPECT_LT(converted, stat_now("converted_bytes"));
	EXPECT_EQ(0, stat_now("commit_broken"));
	EXPECT_EQ(0, wrong_bytes(r, 25));
}

TEST_HARNESS_MAIN
