// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Promises 5, 8 and 10: two tenants who try to read each other's bytes, in frames and arrays that were the other's, or
 * that the other has pinned still; and to take what the other was promised.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "pin.h"
#include "rig.h"

#define BS	(64 * KIB)
/* What red writes; blue must never see a word of it. */
#define SECRET	77

FIXTURE(spies)
{
	struct rig rig;
	/* nodes of two tenants */
	int red;
	int blue;
};

static int tenant_node(const struct rig *rig, const char *name)
{
	struct kvoff_ctl_tenant arg = { .size = sizeof(arg) };
	char path[64];

	snprintf(arg.name, sizeof(arg.name), "%s", name);
	snprintf(path, sizeof(path), "/dev/kvoff/%s", name);
	/* one that a test that died has left is as good */
	if (ioctl(rig->control, KVOFF_CTL_TENANT_ADD, &arg) && errno != EEXIST)
		return -errno;
	return open(path, O_RDWR | O_CLOEXEC);
}

static int tenant_end(int control, const char *name, int fd)
{
	struct kvoff_ctl_tenant arg = { .size = sizeof(arg) };

	snprintf(arg.name, sizeof(arg.name), "%s", name);
	close(fd);
	return ioctl(control, KVOFF_CTL_TENANT_REMOVE, &arg);
}

/* The same tiers, through this node. */
static struct rig seen_by(const struct rig *rig, int tenant)
{
	struct rig seen = *rig;

	seen.tenant = tenant;
	return seen;
}

FIXTURE_SETUP(spies)
{
	ASSERT_EQ(0, rig_up_sized(&self->rig, BS, 16 * MIB, 2 * MIB, 2 * MIB));
	ASSERT_EQ(0, sysfs_write("tuning/twins", "1"));
	self->red = tenant_node(&self->rig, "red");
	ASSERT_LE(0, self->red);
	self->blue = tenant_node(&self->rig, "blue");
	ASSERT_LE(0, self->blue);
}

FIXTURE_TEARDOWN(spies)
{
	const char *wrong;

	EXPECT_EQ(0, tenant_end(self->rig.control, "red", self->red));
	EXPECT_EQ(0, tenant_end(self->rig.control, "blue", self->blue));
	wrong = rig_down(&self->rig);
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

/* ---- frames that were somebody else's ---- */

enum way { DISCARDED, UNCOMMITTED, ENDED, MOVED_AWAY, WITH_TWINS, NR_WAYS };

static const char * const way_names[] = { "discarded", "uncommitted", "ended", "moved away", "with twins" };

/* Everything that can be committed at this block size, in one region. */
static int take_all(struct rig *rig, struct region *r, uint32_t bs)
{
	struct kvoff_region_commit out;
	int ret = region_create(rig, r, bs, 64 * MIB / bs);

	while (!ret)
		ret = region_commit(r, bs, &out);
	if (ret != -ENOMEM)
		return ret;
	r->nr = 64 * MIB / bs;
	return out.committed / bs;
}

/* Words that are not zero in what blue gets after red has had all of it. */
static uint64_t leak(const struct rig *rig, int from, int to, uint32_t bs, enum way way, int *blocks)
{
	struct rig reds = seen_by(rig, from), blues = seen_by(rig, to);
	struct region red, blue;
	uint64_t i, k, nonzero = 0;
	int had = take_all(&reds, &red, bs);

	*blocks = had;
	if (had <= 0)
		return 0;
	if (way == MOVED_AWAY || way == WITH_TWINS)
		had /= 2;
	fill(red.data, had * bs, SECRET);
	switch (way) {
	case DISCARDED:
	case UNCOMMITTED:
		region_discard(&red, 0, had, NULL);
		if (way == UNCOMMITTED)
			region_uncommit(&red, had * bs);
		break;
	case MOVED_AWAY:
	case WITH_TWINS:
		/* there and back: with twins the bytes stay behind in the other tier, without they are in a free frame */
		sysfs_write("tuning/twins", way == WITH_TWINS ? "1" : "0");
		for (k = 0; k < 2; k++)
			for (i = 0; i < (uint64_t)had; i++)
				move_one(rig, &red, i, k ? rig->near : rig->far, 0);
		break;
	default:
		break;
	}
	if (way == ENDED)
		region_close(&red);
	else
		region_uncommit(&red, (*blocks - had) * bs);
	if (way == DISCARDED)
		region_uncommit(&red, had * bs);
	*blocks = take_all(&blues, &blue, bs);
	for (i = 0; *blocks > 0 && i < (uint64_t)*blocks; i++)
		nonzero += count_nonzero(block_at(&blue, i), bs);
	/* what red has left is red's still */
	if (way == MOVED_AWAY || way == WITH_TWINS)
		nonzero += count_wrong(red.data, had * bs, SECRET);
	region_close(&blue);
	if (way != ENDED)
		region_close(&red);
	return nonzero;
}

TEST_F(spies, recycled_frames)
{
	uint32_t bs;
	int way, blocks;

	for (bs = KVOFF_BLOCK_SIZE_MIN; bs <= KVOFF_BLOCK_SIZE_MAX; bs *= 2) {
		const char *wrong = rig_down(&self->rig);

		ASSERT_EQ(NULL, wrong) TH_LOG("%s", wrong);
		ASSERT_EQ(0, rig_up_sized(&self->rig, bs, 4 * MIB, 4 * MIB, 4 * MIB));
		for (way = 0; way < NR_WAYS; way++) {
			EXPECT_EQ(0, leak(&self->rig, self->red, self->blue, bs, way, &blocks))
				TH_LOG("%uK, %s", bs >> 10, way_names[way]);
			EXPECT_LT(0, blocks) TH_LOG("%uK, %s: nothing to look at", bs >> 10, way_names[way]);
		}
	}
}

/* A page that red has in a pipe, and one that it has pinned, are never blue's while they are there. */
TEST_F(spies, frames_that_red_still_holds)
{
	struct rig reds = seen_by(&self->rig, self->red), blues = seen_by(&self->rig, self->blue);
	struct region *red = rig_region(&reds, BS, 4), blue;
	struct iovec iov = { .iov_len = PAGE };
	uint8_t got[PAGE];
	struct pin pin;
	int fds[2], had, i;

	ASSERT_NE(NULL, red);
	fill(red->data, 4 * BS, SECRET);
	ASSERT_EQ(0, pipe2(fds, O_CLOEXEC));
	iov.iov_base = red->data;
	ASSERT_EQ(PAGE, vmsplice(fds[1], &iov, 1, 0));
	ASSERT_EQ(0, pin_take(&pin, 0, (volatile uint64_t *)block_at(red, 1), PIN_READ));
	/* the pin has a mapping to come from: it goes when the region does */
	EXPECT_EQ(0, region_discard(red, 0, 4, NULL));
	region_close(red);

	had = take_all(&blues, &blue, BS);
	ASSERT_LT(0, had);
	/* blue's secret, where red's pins would show it */
	for (i = 0; i < had; i++) {
		EXPECT_EQ(0, count_nonzero(block_at(&blue, i), BS));
		fill(block_at(&blue, i), BS, SECRET + 1 + i);
	}
	ASSERT_EQ(PAGE, read(fds[0], got, PAGE));
	/* zeroed in place by the discard */
	EXPECT_EQ(0, count_nonzero(got, PAGE));
	EXPECT_EQ(0, pin_finish(&pin, 0));
	EXPECT_EQ(0, pin.got);
	for (i = 0; i < had; i++)
		EXPECT_EQ(0, count_wrong(block_at(&blue, i), BS, SECRET + 1 + i));
	region_close(&blue);
	close(fds[0]);
	close(fds[1]);
}

/* A pin for writing that red keeps writes nowhere into blue. */
TEST_F(spies, writes_that_come_late)
{
	struct rig reds = seen_by(&self->rig, self->red), blues = seen_by(&self->rig, self->blue);
	struct region *red = rig_region(&reds, BS, 4), blue;
	struct io_uring ring;
	struct iovec iov;
	struct pin pin;
	int had, i;

	ASSERT_NE(NULL, red);
	fill(red->data, 4 * BS, SECRET);
	/* a registered buffer would be such a pin for good: mapped regions refuse it */
	ASSERT_EQ(0, io_uring_queue_init(2, &ring, 0));
	iov = (struct iovec){ .iov_base = red->data, .iov_len = PAGE };
	EXPECT_NE(0, io_uring_register_buffers(&ring, &iov, 1));
	io_uring_queue_exit(&ring);
	ASSERT_EQ(0, pin_take(&pin, 0, (volatile uint64_t *)red->data, PIN_WRITE));
	region_close(red);

	had = take_all(&blues, &blue, BS);
	ASSERT_LT(0, had);
	for (i = 0; i < had; i++)
		fill(block_at(&blue, i), BS, SECRET + i);
	EXPECT_EQ(0, pin_finish(&pin, 0x4141414141414141));
	for (i = 0; i < had; i++)
		EXPECT_EQ(0, count_wrong(block_at(&blue, i), BS, SECRET + i));
	region_close(&blue);
}

/**
 * struct promised - somebody who was promised memory and takes it, again and again
 * @stop:	enough
 * @broken:	how often what was promised was not there, or not zero
 * @rounds:	how often it was tried
 */
struct promised {
	struct rig rig;
	_Atomic bool stop;
	unsigned int broken;
	atomic_uint rounds;
};

static void *use_what_was_promised(void *arg)
{
	struct promised *p = arg;
	struct region r;

	while (!p->stop) {
		if (region_create(&p->rig, &r, BS, 4)) {
			p->broken++;
			break;
		}
		if (!region_commit(&r, 4 * BS, NULL)) {
			/* SIGBUS ends the test */
			p->broken += !!count_nonzero(r.data, 4 * BS);
			p->rounds++;
		}
		region_close(&r);
	}
	return NULL;
}

/*
 * A client that leaves frames behind that it still has in a pipe takes them from what can be promised, never from what
 * was, however the two meet.
 */
TEST_F(spies, left_behind)
{
	struct rig reds = seen_by(&self->rig, self->red), blues = seen_by(&self->rig, self->blue);
	struct promised p = { .rig = blues };
	unsigned int round, orphans = 0;
	struct region blue;
	pthread_t thread;
	int fds[2];

	/* promised, not used yet */
	ASSERT_EQ(0, region_create(&blues, &blue, BS, 16));
	ASSERT_EQ(0, region_commit(&blue, 16 * BS, NULL));
	ASSERT_EQ(0, pthread_create(&thread, NULL, use_what_was_promised, &p));
	EXPECT_TRUE(comes_true(p.rounds));
	for (round = 0; round < 60; round++) {
		struct iovec iov = { .iov_len = PAGE };
		struct region red;
		int had, i;

		ASSERT_EQ(0, pipe2(fds, O_CLOEXEC));
		had = take_all(&reds, &red, BS);
		ASSERT_LE(0, had);
		for (i = 0; i < had && i < 14; i++) {
			iov.iov_base = block_at(&red, i);
			*(volatile uint64_t *)iov.iov_base = SECRET;
			ASSERT_EQ(PAGE, vmsplice(fds[1], &iov, 1, 0));
		}
		region_close(&red);
		orphans += tiers_sum("orphan_bytes") > 0;
		if (round == 30)
			EXPECT_EQ(0, count_nonzero(blue.data, 16 * BS));
		close(fds[0]);
		close(fds[1]);
	}
	p.stop = true;
	pthread_join(thread, NULL);
	EXPECT_EQ(0, p.broken);
	EXPECT_LT(0, orphans);
	EXPECT_EQ(0, stat_now("commit_broken"));
	region_close(&blue);
}

/* What a region's arrays held is not in the next one's. */
TEST_F(spies, arrays_begin_empty)
{
	struct region r;
	uint64_t nr = 1 << 16, i, round, nonzero;

	for (round = 0; round < 4; round++) {
		ASSERT_EQ(0, region_create(&self->rig, &r, BS, nr));
		nonzero = count_nonzero((uint8_t *)r.hint, nr * sizeof(*r.hint));
		nonzero += count_nonzero((uint8_t *)r.refs, nr * sizeof(*r.refs));
		for (i = 0; i < nr; i++)
			nonzero += r.state[i].samples || r.state[i].refaults || r.state[i].reason ||
				   (r.state[i].location && r.state[i].location != (uint64_t)KVOFF_TIER_NONE << 8);
		EXPECT_EQ(0, nonzero);
		memset(r.hint, 0x5a, nr * sizeof(*r.hint));
		memset(r.refs, 0x5a, nr * sizeof(*r.refs));
		ASSERT_EQ(0, region_commit(&r, BS, NULL));
		r.data[round * 1000 * BS] = 1;
		region_close(&r);
	}
}

TEST_HARNESS_MAIN
