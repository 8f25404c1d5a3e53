// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Memory errors in blocks: what is found before a CPU consumes it costs at most its block, and with a twin nothing; a
 * frame that was hit is never handed out again. Frames without a block are poison_free.c's. Errors are told by KVOFF_CTL_POISON, found by the module's own copies, or put on
 * the pages by the kernel's memory_failure(), which hwpoison-inject and madvise(2) call.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pin.h"
#include "poison_bed.h"

/* ---- readers in threads of their own ---- */

struct reader {
	const struct region *r;
	uint64_t block;
	atomic_bool stop;
	atomic_ulong rounds;
	atomic_ulong wrong;
	pthread_t thread;
};

static void *reader_main(void *p)
{
	struct reader *reader = p;

	while (!atomic_load(&reader->stop)) {
		atomic_fetch_add(&reader->wrong,
				 count_wrong(block_at(reader->r, reader->block), reader->r->bs, reader->block));
		atomic_fetch_add(&reader->rounds, 1);
	}
	return NULL;
}

static int reader_start(struct reader *reader, const struct region *r, uint64_t block)
{
	memset(reader, 0, sizeof(*reader));
	reader->r = r;
	reader->block = block;
	return pthread_create(&reader->thread, NULL, reader_main, reader);
}

/* A whole round must have begun and ended from here on. */
static void reader_more(struct reader *reader)
{
	unsigned long seen = atomic_load(&reader->rounds);

	while (atomic_load(&reader->rounds) < seen + 2)
		nap();
}

static uint64_t reader_end(struct reader *reader)
{
	reader_more(reader);
	atomic_store(&reader->stop, true);
	pthread_join(reader->thread, NULL);
	return atomic_load(&reader->wrong);
}

TEST_F(poison, a_twin_is_dropped)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	uint64_t pfn, flips;
	uint32_t frames;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(0, sysfs_write("tuning/twins", "1"));
	pfn = block_pfn(r, 0);
	ASSERT_EQ(0, move_one(&self->rig, r, 0, self->rig.far, 0));
	ASSERT_EQ(variant->bs, sysfs_u64("tiers/dram/twin_bytes"));
	ASSERT_EQ(0, tell(&self->rig, pfn * PAGE + 4095, 2, &frames));
	SPOILT(pfn);
	SPOILT(pfn + 1);
	EXPECT_EQ(1, frames);
	EXPECT_EQ(0, sysfs_u64("tiers/dram/twin_bytes"));
	EXPECT_EQ(variant->bs, sysfs_u64("tiers/dram/poisoned_bytes"));
	EXPECT_EQ(self->rig.far, tier_of(r, 0));
	flips = stat_now("flips");
	EXPECT_EQ(0, move_one(&self->rig, r, 0, self->rig.near, 0));
	EXPECT_EQ(flips, stat_now("flips"));
	EXPECT_NE(pfn, block_pfn(r, 0));
	/* one that the kernel hit is not flipped to either */
	ASSERT_EQ(0, move_one(&self->rig, r, 1, self->rig.far, 0));
	pfn = block_pfn(r, 1);
	ASSERT_EQ(0, move_one(&self->rig, r, 1, self->rig.near, 0));
	ASSERT_EQ(0, hit(pfn));
	SPOILT(pfn);
	flips = stat_now("flips");
	EXPECT_EQ(0, move_one(&self->rig, r, 1, self->rig.far, 0));
	EXPECT_EQ(flips, stat_now("flips"));
	EXPECT_NE(pfn, block_pfn(r, 1));
	EXPECT_EQ(0, wrong_but(r, r->nr));
	EXPECT_TRUE(wait_poisoned("cxl0", variant->bs));
}

/* Readers go on all the time, from a block that has nothing but a bad frame and a twin. */
TEST_F(poison, a_twin_repairs_its_block)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	uint64_t pfn, repaired = stat_now("poison_repaired");
	struct reader reader;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(0, sysfs_write("tuning/twins", "1"));
	ASSERT_EQ(0, move_one(&self->rig, r, 0, self->rig.far, 0));
	pfn = block_pfn(r, 0);
	ASSERT_EQ(0, copies_fail(true));
	ASSERT_EQ(0, reader_start(&reader, r, 0));
	reader_more(&reader);
	ASSERT_EQ(0, tell(&self->rig, pfn * PAGE, 64, NULL));
	SPOILT(pfn);
	EXPECT_EQ(0, reader_end(&reader));
	EXPECT_EQ(repaired + 1, stat_now("poison_repaired"));
	EXPECT_EQ(self->rig.near, tier_of(r, 0));
	EXPECT_EQ(KVOFF_REASON_RESCUE, r->state[0].reason);
	EXPECT_EQ(KVOFF_STATE_PRESENT, flags_of(r, 0));
	EXPECT_NE(pfn, block_pfn(r, 0));
	EXPECT_EQ(variant->bs, sysfs_u64("tiers/cxl0/poisoned_bytes"));
	EXPECT_EQ(0, sysfs_u64("tiers/cxl0/used_bytes"));
	EXPECT_EQ(0, sysfs_u64("tiers/dram/twin_bytes"));
	EXPECT_EQ(0, wrong_but(r, r->nr));
}

/* The same where it is the kernel that hit the frame, and the next fault that sees it. */
TEST_F(poison, a_twin_repairs_its_block_at_a_fault)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	uint64_t pfn;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(0, sysfs_write("tuning/twins", "1"));
	ASSERT_EQ(0, move_one(&self->rig, r, 0, self->rig.far, 0));
	pfn = block_pfn(r, 0);
	ASSERT_EQ(0, hit(pfn));
	SPOILT(pfn);
	ASSERT_EQ(0, copies_fail(true));
	/* a mapping that is new: each of its pages faults */
	ASSERT_EQ(r->data, mmap(r->data, r->nr * r->bs, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, r->fd, 0));
	EXPECT_EQ(0, wrong_but(r, r->nr));
	EXPECT_EQ(self->rig.near, tier_of(r, 0));
	EXPECT_TRUE(wait_poisoned("cxl0", variant->bs));
}

TEST_F(poison, a_block_is_copied_away)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	uint64_t pfn, copied = stat_now("poison_copied");
	struct reader reader;

	ASSERT_NE(NULL, r);
	pfn = block_pfn(r, 0);
	ASSERT_EQ(0, reader_start(&reader, r, 0));
	reader_more(&reader);
	/* a reference is to the block's place, which stays the same: its address, and its tier */
	__atomic_add_fetch(&r->refs[0], 1, __ATOMIC_SEQ_CST);
	ASSERT_EQ(0, tell(&self->rig, pfn * PAGE, 64, NULL));
	SPOILT(pfn);
	EXPECT_EQ(0, reader_end(&reader));
	__atomic_sub_fetch(&r->refs[0], 1, __ATOMIC_SEQ_CST);
	EXPECT_EQ(copied + 1, stat_now("poison_copied"));
	EXPECT_EQ(self->rig.near, tier_of(r, 0));
	/* in the tier where it was */
	EXPECT_EQ(KVOFF_REASON_NONE, r->state[0].reason);
	EXPECT_NE(pfn, block_pfn(r, 0));
	EXPECT_EQ(variant->bs, sysfs_u64("tiers/dram/poisoned_bytes"));
	EXPECT_EQ(0, wrong_but(r, r->nr));
	EXPECT_EQ(0, move_one(&self->rig, r, 0, self->rig.far, 0));
}

static void expect_lost(struct __test_metadata *_metadata, struct rig *rig, const struct region *r, uint64_t block)
{
	struct kvoff_region_info info;

	EXPECT_EQ(KVOFF_STATE_POISONED, flags_of(r, block));
	EXPECT_EQ(KVOFF_TIER_NONE, tier_of(r, block));
	EXPECT_EQ(BUS_MCEERR_AR, touch_code(block_at(r, block), false));
	EXPECT_EQ(BUS_MCEERR_AR, touch_code(block_at(r, block) + r->bs - 1, true));
	EXPECT_EQ(EFAULT, write_errno(block_at(r, block) + r->bs / 2));
	EXPECT_EQ(-EHWPOISON, move_one(rig, r, block, rig->far, 0));
	EXPECT_EQ(-EHWPOISON, move_one(rig, r, block, rig->near, KVOFF_MOVE_STOP));
	ASSERT_EQ(0, region_info(r->fd, &info));
	EXPECT_EQ(r->bs, info.poisoned);
	EXPECT_EQ(r->nr * r->bs, info.used);
	/* what is in use stays committed */
	EXPECT_EQ(-EBUSY, region_uncommit(r, r->bs));
	EXPECT_EQ(0, wrong_but(r, block));
	/* it is not forgotten when nobody looks */
	EXPECT_EQ(BUS_MCEERR_AR, touch_code(block_at(r, block), false));

	ASSERT_EQ(0, region_discard(r, block, 1, NULL));
	EXPECT_EQ(0, flags_of(r, block));
	ASSERT_EQ(0, region_info(r->fd, &info));
	EXPECT_EQ(0, info.poisoned);
	EXPECT_EQ((r->nr - 1) * r->bs, info.used);
	EXPECT_EQ(0, count_nonzero(block_at(r, block), r->bs));
	fill(block_at(r, block), r->bs, block);
	EXPECT_EQ(KVOFF_STATE_PRESENT, flags_of(r, block));
	EXPECT_EQ(0, wrong_but(r, r->nr));
}

TEST_F(poison, without_a_copy_only_the_block_is_lost)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	uint64_t pfn, lost = stat_now("poison_lost");

	ASSERT_NE(NULL, r);
	pfn = block_pfn(r, 1);
	ASSERT_EQ(0, copies_fail(true));
	ASSERT_EQ(0, tell(&self->rig, (pfn + 1) * PAGE, 64, NULL));
	SPOILT(pfn + 1);
	EXPECT_EQ(lost + 1, stat_now("poison_lost"));
	EXPECT_EQ(variant->bs, sysfs_u64("tiers/dram/poisoned_bytes"));
	EXPECT_EQ((r->nr - 1) * variant->bs, sysfs_u64("tiers/dram/used_bytes"));
	EXPECT_TRUE(adds_up("dram", variant->bs));
	expect_lost(_metadata, &self->rig, r, 1);
	EXPECT_FALSE(comes_back(&self->rig, variant->bs, pfn, variant->bs / PAGE));
}

/* It ends with its region, too. */
TEST_F(poison, a_lost_block_does_not_hold_up_the_region)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	uint64_t pfn;

	ASSERT_NE(NULL, r);
	pfn = block_pfn(r, 1);
	ASSERT_EQ(0, copies_fail(true));
	ASSERT_EQ(0, tell(&self->rig, pfn * PAGE, 1, NULL));
	SPOILT(pfn);
	region_close(r);
	EXPECT_EQ(0, tiers_sum("used_bytes"));
	EXPECT_EQ(0, tiers_sum("orphan_bytes"));
}

/* A copy to another tier finds what nobody has told. Both kinds of copy. */
TEST_F(poison, a_move_that_cannot_read_loses_the_block)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	uint64_t pfn, moves = stat_now("move_poisoned");

	ASSERT_NE(NULL, r);
	ASSERT_EQ(0, copies_fail(true));
	pfn = block_pfn(r, 2);
	ASSERT_EQ(0, hit(pfn + variant->bs / PAGE - 1));
	SPOILT(pfn + variant->bs / PAGE - 1);
	EXPECT_EQ(-EHWPOISON, move_one(&self->rig, r, 2, self->rig.far, 0));
	EXPECT_EQ(moves + 1, stat_now("move_poisoned"));
	expect_lost(_metadata, &self->rig, r, 2);
	pfn = block_pfn(r, 3);
	ASSERT_EQ(0, hit(pfn));
	SPOILT(pfn);
	EXPECT_EQ(-EHWPOISON, move_one(&self->rig, r, 3, self->rig.far, KVOFF_MOVE_STOP));
	expect_lost(_metadata, &self->rig, r, 3);
	EXPECT_EQ(0, sysfs_u64("tiers/cxl0/used_bytes"));
	EXPECT_EQ(0, sysfs_u64("tiers/cxl0/poisoned_bytes"));
	EXPECT_TRUE(wait_poisoned("dram", 2 * variant->bs));
}

/* Nor does an error that a copy gets over: the frame that the block leaves is bad, and no twin. */
TEST_F(poison, a_bad_frame_that_is_left_becomes_no_twin)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	uint64_t pfn;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(0, sysfs_write("tuning/twins", "1"));
	pfn = block_pfn(r, 0);
	ASSERT_EQ(0, hit(pfn));
	SPOILT(pfn);
	EXPECT_EQ(0, move_one(&self->rig, r, 0, self->rig.far, 0));
	EXPECT_EQ(self->rig.far, tier_of(r, 0));
	EXPECT_EQ(0, sysfs_u64("tiers/dram/twin_bytes"));
	EXPECT_TRUE(wait_poisoned("dram", variant->bs));
	EXPECT_EQ(0, wrong_but(r, r->nr));
}

/* A process consumes an error: it may get SIGBUS, which it can be killed by; whoever shares the block goes on. */
TEST_F(poison, what_one_process_consumes)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	uint64_t pfn;
	int status;
	pid_t pid;

	ASSERT_NE(NULL, r);
	pfn = block_pfn(r, 1);
	/* the kernel may tell all who have the page mapped */
	signal(SIGBUS, SIG_IGN);
	pid = fork();
	ASSERT_NE(-1, pid);
	if (!pid) {
		uint8_t *own = mmap(NULL, r->nr * r->bs, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);

		signal(SIGBUS, SIG_DFL);
		if (own == MAP_FAILED)
			_exit(2);
		(void)*(volatile uint8_t *)(own + r->bs);
		if (madvise(own + r->bs, PAGE, MADV_HWPOISON) && errno != EHWPOISON && errno != EBUSY)
			_exit(3);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE((WIFEXITED(status) && !WEXITSTATUS(status)) || (WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS));
	ASSERT_TRUE(page_has(pfn, KPF_HWPOISON));
	SPOILT(pfn);
	EXPECT_EQ(0, wrong_but(r, 1));
	ASSERT_EQ(0, move_one(&self->rig, r, 0, self->rig.far, 0));
	ASSERT_EQ(0, region_discard(r, 1, 1, NULL));
	EXPECT_EQ(0, count_nonzero(block_at(r, 1), variant->bs));
	EXPECT_NE(pfn, block_pfn(r, 1));
	EXPECT_TRUE(wait_poisoned("dram", variant->bs));
	region_close(r);
	EXPECT_FALSE(comes_back(&self->rig, variant->bs, pfn, variant->bs / PAGE));
}

/* Something writes to the frame while its error is told: the block stays, and what was written is not lost. */
TEST_F(poison, a_pin_holds_up_the_copy)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	volatile uint64_t *word;
	uint64_t pfn, was;
	struct pin pin;

	ASSERT_NE(NULL, r);
	pfn = block_pfn(r, 0);
	word = (volatile uint64_t *)(block_at(r, 0) + 8 * PAGE);
	was = *word;
	ASSERT_EQ(0, pin_take(&pin, 0, word, PIN_WRITE));
	ASSERT_EQ(0, tell(&self->rig, pfn * PAGE, 64, NULL));
	SPOILT(pfn);
	EXPECT_EQ(KVOFF_STATE_PRESENT, flags_of(r, 0));
	/* other pages of the frame are good still */
	EXPECT_EQ(was, *word);
	EXPECT_EQ(0, sysfs_u64("tiers/dram/poisoned_bytes"));
	EXPECT_EQ(-EBUSY, move_one(&self->rig, r, 0, self->rig.far, 0));
	ASSERT_EQ(0, pin_finish(&pin, ~was));
	EXPECT_EQ(~was, *word);
	*word = was;
	EXPECT_EQ(0, move_one(&self->rig, r, 0, self->rig.far, 0));
	EXPECT_EQ(0, wrong_but(r, r->nr));
	EXPECT_TRUE(wait_poisoned("dram", variant->bs));
}

/* A pinned bad frame whose block is gone is an orphan, and bad when the pin goes. */
TEST_F(poison, a_pinned_frame_comes_back_bad)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	volatile uint64_t *word;
	struct pin pin;
	uint64_t pfn;

	ASSERT_NE(NULL, r);
	pfn = block_pfn(r, 0);
	word = (volatile uint64_t *)block_at(r, 0);
	ASSERT_EQ(0, pin_take(&pin, 0, word, PIN_WRITE));
	ASSERT_EQ(0, tell(&self->rig, (pfn + 1) * PAGE, 64, NULL));
	SPOILT(pfn + 1);
	ASSERT_EQ(0, region_discard(r, 0, 1, NULL));
	EXPECT_EQ(variant->bs, sysfs_u64("tiers/dram/orphan_bytes"));
	EXPECT_EQ(0, sysfs_u64("tiers/dram/poisoned_bytes"));
	EXPECT_EQ(0, count_nonzero(block_at(r, 0), variant->bs));
	ASSERT_EQ(0, pin_finish(&pin, 1));
	EXPECT_TRUE(wait_poisoned("dram", variant->bs));
	EXPECT_TRUE(wait_for_sum("orphan_bytes", 0));
	EXPECT_EQ(0, count_nonzero(block_at(r, 0), variant->bs));
	region_close(r);
	EXPECT_FALSE(comes_back(&self->rig, variant->bs, pfn, variant->bs / PAGE));
}

/* Whoever reads through a pin keeps the frame; the block need not wait for that. */
TEST_F(poison, a_reading_pin_does_not_hold_up_the_twin)
{
	struct region *r = filled(&self->rig, variant->bs, variant->nr);
	volatile uint64_t *word;
	uint64_t pfn, was;
	struct pin pin;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(0, sysfs_write("tuning/twins", "1"));
	ASSERT_EQ(0, move_one(&self->rig, r, 0, self->rig.far, 0));
	pfn = block_pfn(r, 0);
	word = (volatile uint64_t *)block_at(r, 0);
	was = *word;
	ASSERT_EQ(0, pin_take(&pin, 0, word, PIN_READ));
	ASSERT_EQ(0, tell(&self->rig, (pfn + 2) * PAGE, 64, NULL));
	SPOILT(pfn + 2);
	EXPECT_EQ(self->rig.near, tier_of(r, 0));
	EXPECT_EQ(variant->bs, sysfs_u64("tiers/cxl0/orphan_bytes"));
	EXPECT_EQ(0, wrong_but(r, r->nr));
	ASSERT_EQ(0, pin_finish(&pin, 0));
	EXPECT_EQ(was, pin.got);
	EXPECT_TRUE(wait_poisoned("cxl0", variant->bs));
}

/* ---- all at once ---- */

struct storm {
	struct rig *rig;
	struct region *r;
	atomic_bool stop;
	atomic_ulong wrong;
};

/* Moves blocks to and fro. */
static void *storm_move(void *p)
{
	struct storm *storm = p;
	uint32_t to = storm->rig->far;

	while (!atomic_load(&storm->stop)) {
		move_blocks(storm->rig, storm->r, 0, storm->r->nr, to, 0, NULL);
		to = to == storm->rig->far ? storm->rig->near : storm->rig->far;
	}
	return NULL;
}

/* Writes the even blocks anew, and looks what became of it; the odd ones are looked at only. */
static void *storm_use(void *p)
{
	struct storm *storm = p;
	const struct region *r = storm->r;
	uint64_t b, life = 0;

	while (!atomic_load(&storm->stop)) {
		life++;
		for (b = 0; b < r->nr; b++) {
			uint64_t salt = b % 2 ? b : b + life * r->nr;

			if (!(b % 2)) {
				if (!(life % 8))
					region_discard(r, b, 1, NULL);
				fill(block_at(r, b), r->bs, salt);
			}
			atomic_fetch_add(&storm->wrong, count_wrong(block_at(r, b), r->bs, salt));
		}
	}
	return NULL;
}

/* Errors that copies get over, wherever they find the block: nobody may notice. */
TEST_F(poison, while_blocks_move_and_are_written)
{
	struct storm storm = { .rig = &self->rig };
	unsigned int want = variant->nr / 4 + 1;
	pthread_t move, use;
	uint64_t i;

	storm.r = filled(&self->rig, variant->bs, variant->nr / 2);
	ASSERT_NE(NULL, storm.r);
	ASSERT_EQ(0, sysfs_write("tuning/twins", "1"));
	ASSERT_EQ(0, pthread_create(&move, NULL, storm_move, &storm));
	ASSERT_EQ(0, pthread_create(&use, NULL, storm_use, &storm));
	/* a block may be unmapped again before its page can be asked for */
	for (i = 0; i < variant->nr || (self->nr_spoilt < want && i < 1000); i++) {
		uint64_t pfn = block_pfn(storm.r, i % storm.r->nr);

		if (!pfn || page_has(pfn, KPF_HWPOISON)) {
			nap();
			continue;
		}
		ASSERT_EQ(0, tell(&self->rig, pfn * PAGE, PAGE, NULL));
		if (page_has(pfn, KPF_HWPOISON))
			SPOILT(pfn);
		usleep(10000);
	}
	atomic_store(&storm.stop, true);
	pthread_join(move, NULL);
	pthread_join(use, NULL);
	EXPECT_EQ(0, atomic_load(&storm.wrong));
	EXPECT_LE(want, self->nr_spoilt);
	for (i = 0; i < self->nr_spoilt; i++) {
		uint64_t b;

		for (b = 0; b < storm.r->nr; b++)
			EXPECT_NE(self->spoilt[i], block_pfn(storm.r, b));
	}
}

TEST_HARNESS_MAIN
