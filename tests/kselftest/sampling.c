// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sampling sees plain loads without any help: blocks in use come back after each sample, idle ones do not. And what
 * may be tuned.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>

#include "rig.h"

#define BS	(64 * KIB)
#define NR	16

FIXTURE(sampling)
{
	struct rig rig;
	struct region *r;
};

FIXTURE_SETUP(sampling)
{
	ASSERT_EQ(0, rig_up(&self->rig, BS, 128 * BS));
}

FIXTURE_TEARDOWN(sampling)
{
	const char *wrong = rig_down(&self->rig);

	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
	sysfs_write("tuning/sample_percent", "10");
	sysfs_write("tuning/reserve_percent", "2");
}

static uint16_t samples(const struct region *r, uint64_t b)
{
	return __atomic_load_n(&r->state[b].samples, __ATOMIC_RELAXED);
}

static uint16_t refaults(const struct region *r, uint64_t b)
{
	return __atomic_load_n(&r->state[b].refaults, __ATOMIC_RELAXED);
}

struct user {
	const struct region *r;
	atomic_bool stop;
};

/* Every block has been sampled so often, and every used one seen again, or not in spite of all samples. */
static bool well_sampled(const struct region *r)
{
	uint64_t b;

	for (b = 0; b < NR; b++)
		if (samples(r, b) < 20 || (b < NR / 2 && refaults(r, b) < 10 && samples(r, b) < 2000))
			return false;
	return true;
}

/* Loads only, from the first half of the blocks, any page of them. */
static void *use(void *arg)
{
	struct user *u = arg;
	uint64_t n;

	for (n = 0; !atomic_load(&u->stop); n++) {
		(void)*(volatile uint8_t *)(block_at(u->r, n % (NR / 2)) + n * 7 % 16 * PAGE);
		if (n % 64 == 0)
			usleep(200);
	}
	return NULL;
}

TEST_F(sampling, used_blocks_come_back)
{
	uint64_t b, all, back;
	struct user u;
	pthread_t t;

	self->r = rig_region(&self->rig, BS, NR);
	ASSERT_NE(NULL, self->r);
	fill(self->r->data, NR * BS, 1);
	/* populating is not use */
	for (b = 0; b < NR; b++) {
		EXPECT_EQ(0, samples(self->r, b));
		EXPECT_EQ(0, refaults(self->r, b));
	}
	all = stat_now("samples");
	back = stat_now("refaults");
	u = (struct user){ .r = self->r };
	ASSERT_EQ(0, pthread_create(&t, NULL, use, &u));
	ASSERT_EQ(0, sysfs_write("tuning/sample_percent", "100"));
	ASSERT_EQ(0, sysfs_write("tuning/sample_interval_ms", "50"));
	EXPECT_TRUE(comes_true(well_sampled(self->r)));
	ASSERT_EQ(0, sysfs_write("tuning/sample_interval_ms", "0"));
	atomic_store(&u.stop, true);
	pthread_join(t, NULL);
	for (b = 0; b < NR; b++) {
		EXPECT_GE(samples(self->r, b), refaults(self->r, b)) TH_LOG("block %lu", b);
		if (b < NR / 2) {
			EXPECT_LE(10, refaults(self->r, b)) TH_LOG("block %lu", b);
		} else {
			EXPECT_EQ(0, refaults(self->r, b)) TH_LOG("block %lu", b);
		}
	}
	EXPECT_LE(20 * NR, stat_now("samples") - all);
	EXPECT_LE(10 * NR / 2, stat_now("refaults") - back);
	/* an idle block that is used once comes back once, whatever the number of samples it missed */
	(void)*(volatile uint8_t *)block_at(self->r, NR - 1);
	EXPECT_EQ(1, refaults(self->r, NR - 1));
	(void)*(volatile uint8_t *)block_at(self->r, NR - 1);
	EXPECT_EQ(1, refaults(self->r, NR - 1));
	EXPECT_EQ(0, count_wrong(self->r->data, NR * BS, 1));
}

TEST_F(sampling, zero_stops_it)
{
	uint16_t before[NR];
	uint64_t b;

	self->r = rig_region(&self->rig, BS, NR);
	ASSERT_NE(NULL, self->r);
	fill(self->r->data, NR * BS, 1);
	ASSERT_EQ(0, sysfs_write("tuning/sample_percent", "100"));
	ASSERT_EQ(0, sysfs_write("tuning/sample_interval_ms", "10"));
	EXPECT_TRUE(comes_true(samples(self->r, 0) >= 3));
	ASSERT_EQ(0, sysfs_write("tuning/sample_interval_ms", "0"));
	for (b = 0; b < NR; b++)
		before[b] = samples(self->r, b);
	usleep(200000);
	for (b = 0; b < NR; b++)
		EXPECT_EQ(before[b], samples(self->r, b));
	/* and on again */
	ASSERT_EQ(0, sysfs_write("tuning/sample_interval_ms", "10"));
	EXPECT_TRUE(comes_true(samples(self->r, 0) > before[0]));
}

/* A share of the blocks each time, but all of them in turn. Empty blocks are not sampled. */
TEST_F(sampling, every_block_in_turn)
{
	uint16_t least = UINT16_MAX, most = 0;
	uint64_t b;

	self->r = rig_region(&self->rig, BS, 100);
	ASSERT_NE(NULL, self->r);
	for (b = 0; b < 100; b++)
		if (b != 50)
			self->r->data[b * BS] = 1;
	ASSERT_EQ(0, sysfs_write("tuning/sample_percent", "10"));
	ASSERT_EQ(0, sysfs_write("tuning/sample_interval_ms", "10"));
	EXPECT_TRUE(comes_true(samples(self->r, 99) >= 3));
	ASSERT_EQ(0, sysfs_write("tuning/sample_interval_ms", "0"));
	for (b = 0; b < 100; b++) {
		if (b == 50)
			continue;
		least = samples(self->r, b) < least ? samples(self->r, b) : least;
		most = samples(self->r, b) > most ? samples(self->r, b) : most;
	}
	EXPECT_LE(3, least);
	EXPECT_GE(least + 1, most);
	EXPECT_EQ(0, samples(self->r, 50));
}

TEST(tuning_refuses_nonsense)
{
	static const struct {
		const char *name;
		uint64_t usual;
		const char *good[2];
		const char *bad[6];
	} tunings[] = {
		{ "sample_interval_ms", 5000, { "10", "3600000" },
		  { "-1", "9", "3600001", "abc", "99999999999999999999", "5 6" } },
		{ "sample_percent", 10, { "1", "100" }, { "-1", "0", "101", "abc", "4294967297", "5%" } },
		{ "reserve_percent", 2, { "0", "50" }, { "-1", "51", "1000", "abc", "4294967298", "5%" } },
	};
	char path[64], usual[24];
	unsigned int i, k;

	for (i = 0; i < ARRAY_SIZE(tunings); i++) {
		snprintf(path, sizeof(path), "tuning/%s", tunings[i].name);
		snprintf(usual, sizeof(usual), "%lu", tunings[i].usual);
		EXPECT_EQ(tunings[i].usual, sysfs_u64("%s", path)) TH_LOG("%s", path);
		for (k = 0; k < ARRAY_SIZE(tunings[i].bad); k++) {
			EXPECT_GT(0, sysfs_write(path, tunings[i].bad[k])) TH_LOG("%s: %s", path, tunings[i].bad[k]);
			EXPECT_EQ(tunings[i].usual, sysfs_u64("%s", path)) TH_LOG("%s: %s", path, tunings[i].bad[k]);
		}
		for (k = 0; k < ARRAY_SIZE(tunings[i].good); k++) {
			EXPECT_EQ(0, sysfs_write(path, tunings[i].good[k]));
			EXPECT_EQ(strtoull(tunings[i].good[k], NULL, 10), sysfs_u64("%s", path));
		}
		EXPECT_EQ(0, sysfs_write(path, usual));
	}
}

/* Whoever polls an attribute is told when it is written. */
TEST(tuning_is_announced)
{
	struct pollfd p = { .events = POLLPRI };
	char text[32];

	p.fd = open("/sys/class/kvoff/tuning/sample_percent", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, p.fd);
	ASSERT_LT(0, pread(p.fd, text, sizeof(text), 0));
	EXPECT_EQ(0, poll(&p, 1, 0));
	EXPECT_EQ(0, sysfs_write("tuning/sample_percent", "10"));
	EXPECT_EQ(1, poll(&p, 1, PATIENCE_MS));
	close(p.fd);
}

TEST_HARNESS_MAIN
