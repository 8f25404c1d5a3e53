// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Memory errors told by KVOFF_CTL_POISON for frames that hold no block, and for ranges of memory: such a frame is never
 * handed out again, nothing else is lost, and the tier may go meanwhile. Blocks are poison.c's.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "poison_bed.h"

TEST_F(poison, a_free_frame_is_never_used_again)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	uint64_t pfn;
	uint32_t frames;

	ASSERT_NE(NULL, r);
	pfn = block_pfn(r, 1);
	ASSERT_NE(0, pfn);
	ASSERT_EQ(0, region_discard(r, 1, 1, NULL));
	/* one byte in the middle of its last page */
	ASSERT_EQ(0, tell(&self->rig, pfn * PAGE + variant->bs - 77, 1, &frames));
	SPOILT(pfn + variant->bs / PAGE - 1);
	EXPECT_EQ(1, frames);
	EXPECT_EQ(variant->bs, sysfs_u64("tiers/dram/poisoned_bytes"));
	EXPECT_TRUE(adds_up("dram", variant->bs));
	/* the same again changes nothing */
	ASSERT_EQ(0, tell(&self->rig, pfn * PAGE, variant->bs, &frames));
	EXPECT_EQ(1, frames);
	EXPECT_EQ(variant->bs, sysfs_u64("tiers/dram/poisoned_bytes"));
	EXPECT_EQ(0, wrong_but(r, 1));
	region_close(r);
	EXPECT_FALSE(comes_back(&self->rig, variant->bs, pfn, variant->bs / PAGE));
	EXPECT_TRUE(adds_up("dram", variant->bs));
}

/* What the kernel finds out about a free frame of ours, nobody tells us. */
TEST_F(poison, a_free_frame_that_the_kernel_hit_is_never_used_again)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	uint64_t pfn, last;

	ASSERT_NE(NULL, r);
	pfn = block_pfn(r, 0);
	last = block_pfn(r, variant->nr - 1);
	ASSERT_EQ(0, region_discard(r, 0, 1, NULL));
	ASSERT_EQ(0, hit(pfn + 3));
	SPOILT(pfn + 3);
	/* and one that is in use, and comes back */
	ASSERT_EQ(0, hit(last + variant->bs / PAGE - 1));
	SPOILT(last + variant->bs / PAGE - 1);
	ASSERT_TRUE(page_has(pfn + 3, KPF_HWPOISON));
	region_close(r);
	EXPECT_FALSE(comes_back(&self->rig, variant->bs, pfn, variant->bs / PAGE));
	EXPECT_FALSE(comes_back(&self->rig, variant->bs, last, variant->bs / PAGE));
	EXPECT_TRUE(wait_poisoned("dram", 2 * variant->bs));
}

TEST_F(poison, ranges)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	struct kvoff_ctl_poison arg = { .size = sizeof(arg), .length = 1 };
	uint64_t pfn, own;
	bool before, behind;
	uint32_t frames;
	void *page;

	ASSERT_NE(NULL, r);
	pfn = block_pfn(r, 2);
	EXPECT_EQ(-EINVAL, tell(&self->rig, pfn * PAGE, 0, NULL));
	EXPECT_EQ(-ERANGE, tell(&self->rig, 1ULL << 50, PAGE, NULL));
	EXPECT_EQ(-ERANGE, tell(&self->rig, UINT64_MAX - 1, 2 * PAGE, NULL));
	EXPECT_EQ(-ERANGE, tell(&self->rig, UINT64_MAX, 1, NULL));
	arg.flags = 1;
	EXPECT_EQ(-1, ioctl(self->rig.control, KVOFF_CTL_POISON, &arg));
	EXPECT_EQ(EINVAL, errno);
	arg.flags = 0;
	arg.reserved = 1;
	EXPECT_EQ(-1, ioctl(self->rig.control, KVOFF_CTL_POISON, &arg));
	EXPECT_EQ(EINVAL, errno);
	/* memory of others is not ours to judge */
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	own = pfn_of(page);
	ASSERT_NE(0, own);
	EXPECT_EQ(0, tell(&self->rig, own * PAGE, PAGE, &frames));
	EXPECT_EQ(0, frames);
	EXPECT_FALSE(page_has(own, KPF_HWPOISON));
	munmap(page, PAGE);
	EXPECT_EQ(0, tiers_sum("poisoned_bytes"));
	/* a whole frame, and not a byte of its neighbours, which another test may have spoilt */
	before = page_has(pfn - 1, KPF_HWPOISON);
	behind = page_has(pfn + variant->bs / PAGE, KPF_HWPOISON);
	ASSERT_EQ(0, tell(&self->rig, pfn * PAGE, variant->bs, &frames));
	EXPECT_EQ(1, frames);
	SPOILT(pfn);
	SPOILT(pfn + variant->bs / PAGE - 1);
	EXPECT_EQ(before, page_has(pfn - 1, KPF_HWPOISON));
	EXPECT_EQ(behind, page_has(pfn + variant->bs / PAGE, KPF_HWPOISON));
	EXPECT_EQ(variant->bs, tiers_sum("poisoned_bytes"));
	EXPECT_EQ(0, wrong_but(r, r->nr));
}

/* A range over everything: all frames of both tiers are bad, all blocks are lost, and nothing else happens. */
TEST_F(poison, everything)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	uint64_t all = 6 * variant->nr * variant->bs;
	struct kvoff_region_commit commit;
	struct kvoff_region_info info;
	uint32_t frames;
	uint64_t b;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(0, tell(&self->rig, 0, UINT64_MAX, &frames));
	EXPECT_EQ(all / variant->bs, frames);
	for (b = 0; b < r->nr; b++)
		EXPECT_EQ(KVOFF_STATE_POISONED, flags_of(r, b));
	EXPECT_EQ(all, tiers_sum("poisoned_bytes"));
	EXPECT_EQ(0, tiers_sum("used_bytes"));
	EXPECT_EQ(0, tiers_sum("free_bytes"));
	ASSERT_EQ(0, region_info(r->fd, &info));
	EXPECT_EQ(r->nr * variant->bs, info.poisoned);
	EXPECT_EQ(-ENOMEM, region_commit(r, variant->bs, &commit));
	EXPECT_EQ(0, commit.available);
	EXPECT_EQ(-EBUSY, region_uncommit(r, variant->bs));
	ASSERT_EQ(0, region_discard(r, 0, r->nr, NULL));
	EXPECT_EQ(0, region_uncommit(r, r->nr * variant->bs));
}

struct teller {
	const struct rig *rig;
	uint64_t pfn;
	uint64_t nr;
	atomic_bool stop;
	atomic_ulong told;
	atomic_ulong failed;
};

/* One page after the other, of frames that are the tier's, the node's, or on their way. */
static void *keep_telling(void *arg)
{
	struct teller *t = arg;
	uint64_t n;
	uint32_t frames;

	for (n = 0; !atomic_load(&t->stop); n++) {
		if (tell(t->rig, (t->pfn + n % t->nr) * PAGE, PAGE, &frames))
			atomic_fetch_add(&t->failed, 1);
		atomic_fetch_add(&t->told, 1);
	}
	return NULL;
}

/* A report holds nobody up, and is held up by nobody: not by the end of the tier whose frame it is about. */
TEST_F(poison, the_tier_may_go)
{
	struct teller t = { .rig = &self->rig };
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	uint64_t told = 0;
	pthread_t thread;
	int round;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(variant->nr, move_blocks(&self->rig, r, 0, variant->nr, self->rig.far, 0, NULL));
	t.pfn = block_pfn(r, 0);
	/* a page of a frame or two: a bad frame is never given back, and the tier comes again without it */
	t.nr = variant->bs / PAGE / 4;
	region_close(r);
	ASSERT_EQ(0, pthread_create(&thread, NULL, keep_telling, &t));
	for (round = 0; round < 30; round++) {
		EXPECT_TRUE(comes_true(tier_remove(self->rig.control, "cxl0") != -EBUSY));
		ASSERT_EQ(0, tier_add(&self->rig, "cxl0", self->rig.far_node, 1, 32 * MIB, &self->rig.far));
		EXPECT_EQ(0, pool_set(&self->rig, "cxl0", variant->bs, 8 * MIB, round % 2 ? KVOFF_POOL_WAIT : 0));
		EXPECT_TRUE(comes_true(atomic_load(&t.told) != told));
		told = atomic_load(&t.told);
	}
	atomic_store(&t.stop, true);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, atomic_load(&t.failed));
	EXPECT_LT(30, atomic_load(&t.told));
}

TEST_HARNESS_MAIN
