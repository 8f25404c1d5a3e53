// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Promise 8: what was committed can be used, and a commit that cannot be met fails at the call. Also uncommit and
 * discard, which give back.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "rig.h"

#define BS	(64 * KIB)
#define POOL	(4 * MIB)
#define FRAMES	(POOL / BS)

FIXTURE(commit)
{
	struct rig rig;
	struct region r;
};

/* Capacity that no pool has, as at first, or all of it in pools of one size. */
FIXTURE_VARIANT(commit)
{
	uint64_t pool;
};

FIXTURE_VARIANT_ADD(commit, pools_full) { .pool = POOL };
FIXTURE_VARIANT_ADD(commit, pools_grow) { .pool = 0 };

FIXTURE_SETUP(commit)
{
	ASSERT_EQ(0, rig_up_sized(&self->rig, BS, POOL, variant->pool, variant->pool));
	ASSERT_EQ(0, region_create(&self->rig, &self->r, BS, 4 * FRAMES));
}

FIXTURE_TEARDOWN(commit)
{
	const char *wrong;

	region_close(&self->r);
	wrong = rig_down(&self->rig);
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

static sigjmp_buf caught;

static void on_sigbus(int sig)
{
	siglongjmp(caught, 1);
}

/* Does touching this byte end in SIGBUS? */
static bool is_bus_error(volatile uint8_t *at, bool write)
{
	struct sigaction act = { .sa_handler = on_sigbus }, old;
	volatile bool bus = true;

	sigaction(SIGBUS, &act, &old);
	if (!sigsetjmp(caught, 1)) {
		if (write)
			*at = 1;
		else
			(void)*at;
		bus = false;
	}
	sigaction(SIGBUS, &old, NULL);
	return bus;
}

TEST_F(commit, more_than_there_is)
{
	uint64_t refused = stat_now("commit_refused");
	struct kvoff_region_commit out;

	EXPECT_EQ(-ENOMEM, region_commit(&self->r, 3 * POOL, &out));
	EXPECT_EQ(refused + 1, stat_now("commit_refused"));
	EXPECT_EQ(0, out.committed);
	EXPECT_LT(0, out.available);
	EXPECT_GE(2 * POOL, out.available);
	/* more than the region is long is refused without a look at the tiers */
	EXPECT_EQ(-ENOMEM, region_commit(&self->r, 4 * POOL + BS, &out));

	/* what is said to be available is, and not a block more */
	EXPECT_EQ(-ENOMEM, region_commit(&self->r, 3 * POOL, &out));
	EXPECT_EQ(0, region_commit(&self->r, out.available, &out));
	EXPECT_EQ(0, out.available);
	EXPECT_EQ(-ENOMEM, region_commit(&self->r, BS, &out));
	EXPECT_EQ(0, out.available);
	EXPECT_LT(POOL, out.committed);
}

/**
 * struct busy - blocks moved to and fro while somebody needs their frames
 */
struct busy {
	struct rig *rig;
	struct region *r;
	atomic_bool stop;
	atomic_ulong moved;
};

static void *keep_moving(void *arg)
{
	struct busy *busy = arg;
	uint64_t n;

	for (n = 0; !atomic_load(&busy->stop); n++) {
		uint32_t to = n % 2 ? busy->rig->near : busy->rig->far;
		int ret = move_blocks(busy->rig, busy->r, 0, FRAMES, to, n % 3 ? 0 : KVOFF_MOVE_STOP, NULL);

		if (ret > 0)
			atomic_fetch_add(&busy->moved, ret);
	}
	return NULL;
}

/*
 * As much as can be committed, in commits of one block, and all of it used, while moves want frames too. Three
 * times over.
 */
TEST_F(commit, all_of_it_can_be_used)
{
	struct busy busy = { .rig = &self->rig, .r = &self->r };
	uint64_t b, blocks = 0, round, wrong = 0;
	struct kvoff_region_info info;
	pthread_t t;

	while (!region_commit(&self->r, BS, NULL))
		blocks++;
	EXPECT_LT(2 * FRAMES * 9 / 10, blocks);
	EXPECT_GE(2 * FRAMES, blocks);
	ASSERT_EQ(0, pthread_create(&t, NULL, keep_moving, &busy));
	for (round = 0; round < 3; round++) {
		for (b = 0; b < blocks; b++)
			fill(block_at(&self->r, b), BS, round * 1000 + b);
		for (b = 0; b < blocks; b++)
			wrong += count_wrong(block_at(&self->r, b), BS, round * 1000 + b);
		ASSERT_EQ(0, region_info(self->r.fd, &info));
		EXPECT_EQ(blocks * BS, info.used);
		EXPECT_EQ(blocks * BS, info.committed);
		EXPECT_EQ(blocks, info.high);
		if (round < 2)
			EXPECT_EQ(0, region_discard(&self->r, 0, self->r.nr, NULL));
	}
	EXPECT_TRUE(comes_true(atomic_load(&busy.moved)));
	atomic_store(&busy.stop, true);
	pthread_join(t, NULL);
	EXPECT_EQ(0, wrong);
	EXPECT_EQ(0, stat_now("commit_broken"));
}

TEST_F(commit, beyond_it_is_a_bus_error)
{
	uint64_t freed;

	EXPECT_TRUE(is_bus_error(block_at(&self->r, 0), false));
	EXPECT_TRUE(is_bus_error(block_at(&self->r, 0), true));
	ASSERT_EQ(0, region_commit(&self->r, 3 * BS, NULL));
	/* any three blocks */
	EXPECT_FALSE(is_bus_error(block_at(&self->r, 100), true));
	EXPECT_FALSE(is_bus_error(block_at(&self->r, 7), false));
	EXPECT_FALSE(is_bus_error(block_at(&self->r, self->r.nr - 1) + BS - 1, true));
	EXPECT_TRUE(is_bus_error(block_at(&self->r, 0), true));
	EXPECT_FALSE(is_bus_error(block_at(&self->r, 100) + PAGE, true));
	ASSERT_EQ(0, region_discard(&self->r, 100, 1, &freed));
	EXPECT_EQ(1, freed);
	EXPECT_FALSE(is_bus_error(block_at(&self->r, 0), true));
	EXPECT_TRUE(is_bus_error(block_at(&self->r, 100), true));
	EXPECT_EQ(0, stat_now("commit_broken"));
}

TEST_F(commit, uncommit)
{
	struct kvoff_region_commit out;

	EXPECT_EQ(-EBUSY, region_uncommit(&self->r, BS));
	ASSERT_EQ(0, region_commit(&self->r, 4 * BS, NULL));
	fill(self->r.data, 3 * BS, 1);
	EXPECT_EQ(-EBUSY, region_uncommit(&self->r, 5 * BS));
	EXPECT_EQ(-EBUSY, region_uncommit(&self->r, 2 * BS));
	EXPECT_EQ(0, region_uncommit(&self->r, BS));
	EXPECT_EQ(-EBUSY, region_uncommit(&self->r, BS));
	ASSERT_EQ(0, region_discard(&self->r, 0, 1, NULL));
	EXPECT_EQ(0, region_uncommit(&self->r, BS));
	EXPECT_TRUE(is_bus_error(self->r.data, true));

	/* what was given back, others can have: all but two blocks */
	while (!region_commit(&self->r, BS, &out))
		;
	EXPECT_EQ(0, region_uncommit(&self->r, out.committed - 2 * BS));
	EXPECT_EQ(0, region_commit(&self->r, out.committed - 2 * BS, NULL));
}

TEST_F(commit, discard_reads_zero)
{
	uint64_t freed;

	ASSERT_EQ(0, region_commit(&self->r, 8 * BS, NULL));
	fill(self->r.data, 6 * BS, 1);
	ASSERT_EQ(0, region_discard(&self->r, 2, 100, &freed));
	EXPECT_EQ(4, freed);
	EXPECT_EQ(KVOFF_TIER_NONE, tier_of(&self->r, 2));
	EXPECT_EQ(0, count_wrong(self->r.data, 2 * BS, 1));
	EXPECT_EQ(0, count_nonzero(block_at(&self->r, 2), 6 * BS));
	/* nothing there: nothing freed, over the whole length */
	ASSERT_EQ(0, region_discard(&self->r, 100, self->r.nr - 100, &freed));
	EXPECT_EQ(0, freed);
}

/* A frame that is pinned cannot go: it is zeroed where it is, for whoever has it pinned too. */
TEST_F(commit, pinned_discard_reads_zero)
{
	struct iovec iov = { .iov_base = self->r.data + BS + PAGE, .iov_len = PAGE };
	uint64_t page[WORDS], freed;
	int pipe_fds[2];

	ASSERT_EQ(0, region_commit(&self->r, 4 * BS, NULL));
	fill(self->r.data, 3 * BS, 1);
	ASSERT_EQ(0, pipe(pipe_fds));
	ASSERT_EQ(PAGE, vmsplice(pipe_fds[1], &iov, 1, 0));
	ASSERT_EQ(0, region_discard(&self->r, 0, 3, &freed));
	EXPECT_EQ(2, freed);
	EXPECT_EQ(self->rig.near, tier_of(&self->r, 1));
	EXPECT_EQ(0, count_nonzero(self->r.data, 3 * BS));
	ASSERT_EQ(PAGE, read(pipe_fds[0], page, PAGE));
	EXPECT_EQ(0, count_nonzero((uint8_t *)page, PAGE));
	ASSERT_EQ(0, region_discard(&self->r, 0, 3, &freed));
	EXPECT_EQ(3, freed);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

struct grabber {
	struct region r;
	uint64_t got;
	uint64_t wrong;
	pthread_t thread;
};

/* Take what there is, a block at a time; use it; give every other one back and take again. */
static void *grab(void *arg)
{
	struct grabber *g = arg;
	unsigned int i;

	while (!region_commit(&g->r, BS, NULL)) {
		g->got++;
		if (g->got % 3)
			continue;
		g->wrong += region_uncommit(&g->r, BS) != 0;
		if (!region_commit(&g->r, BS, NULL))
			continue;
		g->got--;
		break;
	}
	for (i = 0; i < g->got; i++)
		fill(block_at(&g->r, i), BS, i);
	for (i = 0; i < g->got; i++)
		g->wrong += count_wrong(block_at(&g->r, i), BS, i);
	return NULL;
}

TEST_F(commit, many_at_once)
{
	struct kvoff_region_commit out;
	uint64_t total = 0, most = 0;
	struct grabber g[4] = { 0 };
	unsigned int i;

	while (!region_commit(&self->r, BS, NULL))
		most++;
	ASSERT_EQ(0, region_uncommit(&self->r, most * BS));
	for (i = 0; i < ARRAY_SIZE(g); i++)
		ASSERT_EQ(0, region_create(&self->rig, &g[i].r, BS, 4 * FRAMES));
	for (i = 0; i < ARRAY_SIZE(g); i++)
		ASSERT_EQ(0, pthread_create(&g[i].thread, NULL, grab, &g[i]));
	for (i = 0; i < ARRAY_SIZE(g); i++) {
		pthread_join(g[i].thread, NULL);
		EXPECT_EQ(0, g[i].wrong);
		total += g[i].got;
	}
	/* one of them may have given a block back just when another looked: never more than there is, seldom less */
	EXPECT_GE(most, total);
	EXPECT_LE(most - ARRAY_SIZE(g), total);
	for (i = 0; i < ARRAY_SIZE(g); i++)
		region_close(&g[i].r);
	/* all of it came back */
	EXPECT_EQ(0, region_commit(&self->r, most * BS, &out));
	EXPECT_EQ(-ENOMEM, region_commit(&self->r, BS, &out));
}

/*
 * Blocks of another size want the same capacity: they get what is idle, but nothing that is promised or that the
 * admin set.
 */
TEST_F(commit, sizes_share_the_capacity)
{
	uint64_t most = 0, converted = stat_now("converted_bytes");
	struct kvoff_region_commit out;
	struct region big;

	ASSERT_EQ(0, region_create(&self->rig, &big, 256 * KIB, 64));
	while (!region_commit(&self->r, BS, NULL))
		most++;
	EXPECT_EQ(-ENOMEM, region_commit(&big, 256 * KIB, &out));
	EXPECT_EQ(0, out.available);
	fill(self->r.data, most * BS, 2);
	ASSERT_EQ(0, region_discard(&self->r, most - 40, 40, NULL));
	EXPECT_EQ(-ENOMEM, region_commit(&big, 256 * KIB, &out));
	ASSERT_EQ(0, region_uncommit(&self->r, 40 * BS));
	if (variant->pool) {
		EXPECT_EQ(-ENOMEM, region_commit(&big, 256 * KIB, &out));
		EXPECT_EQ(0, out.available);
		EXPECT_EQ(converted, stat_now("converted_bytes"));
	} else {
		EXPECT_EQ(0, region_commit(&big, 512 * KIB, &out));
		EXPECT_LE(512 * KIB, stat_now("converted_bytes") - converted);
		EXPECT_EQ(0, count_nonzero(big.data, 512 * KIB));
		fill(big.data, 512 * KIB, 1);
		EXPECT_EQ(0, count_wrong(big.data, 512 * KIB, 1));
	}
	EXPECT_EQ(0, count_wrong(self->r.data, (most - 40) * BS, 2));
	region_close(&big);
}

TEST_HARNESS_MAIN
