// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A sealed block does not change until it is discarded, whoever tries and whatever becomes of its place; and units
 * are found again as they were sealed, or not at all.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "pin.h"
#include "seal.h"

#define DISK	"/dev/vda"

FIXTURE(seal)
{
	struct rig rig;
	struct region *r;
};

FIXTURE_VARIANT(seal)
{
	uint32_t bs;
	uint64_t nr;
};

FIXTURE_VARIANT_ADD(seal, 64k) { .bs = 64 * KIB, .nr = 16 };
FIXTURE_VARIANT_ADD(seal, 2m) { .bs = 2 * MIB, .nr = 6 };

FIXTURE_SETUP(seal)
{
	uint64_t b;

	ASSERT_EQ(0, rig_up(&self->rig, variant->bs, 2 * variant->nr * variant->bs));
	ASSERT_EQ(0, sysfs_write("tuning/twins", "1"));
	self->r = rig_region(&self->rig, variant->bs, variant->nr);
	ASSERT_NE(NULL, self->r);
	/* the last block stays empty */
	for (b = 0; b < variant->nr - 1; b++)
		fill(block_at(self->r, b), variant->bs, b);
	ASSERT_EQ(0, bus_catch());
}

FIXTURE_TEARDOWN(seal)
{
	const char *wrong = rig_down(&self->rig);

	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

static uint64_t sealed_bytes(const struct region *r)
{
	struct kvoff_region_info info;

	if (region_info(r->fd, &info) || sysfs_u64("regions/%u/sealed_bytes", r->id) != info.sealed)
		return UINT64_MAX;
	return info.sealed;
}

TEST_F(seal, a_store_gets_sigbus)
{
	struct region other;
	uint64_t off;

	ASSERT_EQ(0, region_attach(self->r, &other, O_RDWR));
	EXPECT_EQ(0, count_wrong(block_at(&other, 1), variant->bs, 1));
	ASSERT_EQ(0, seal(self->r->fd, 1, 2, NULL, NULL));
	EXPECT_EQ(2 * variant->bs, sealed_bytes(self->r));
	EXPECT_TRUE(is_sealed(self->r, 1) && is_sealed(self->r, 2));
	EXPECT_FALSE(is_sealed(self->r, 0) || is_sealed(self->r, 3));
	for (off = 0; off < variant->bs; off += variant->bs / 4 - 1) {
		EXPECT_TRUE(store_gets_bus(block_at(self->r, 1) + off)) TH_LOG("%lu", (unsigned long)off);
		EXPECT_TRUE(store_gets_bus(block_at(&other, 2) + off)) TH_LOG("%lu", (unsigned long)off);
	}
	/* what is mapped for reading becomes no better by that */
	EXPECT_EQ(0, count_wrong(block_at(self->r, 1), variant->bs, 1));
	EXPECT_TRUE(store_gets_bus(block_at(self->r, 1)));
	EXPECT_EQ(0, mprotect(block_at(self->r, 1), variant->bs, PROT_READ));
	EXPECT_EQ(0, mprotect(block_at(self->r, 1), variant->bs, PROT_READ | PROT_WRITE));
	EXPECT_TRUE(store_gets_bus(block_at(self->r, 1)));
	/* the neighbours are as they were */
	EXPECT_FALSE(store_gets_bus(block_at(self->r, 0) + variant->bs - 1));
	EXPECT_FALSE(store_gets_bus(block_at(&other, 3)));
	EXPECT_EQ(0, count_wrong(block_at(self->r, 1), variant->bs, 1));
	EXPECT_EQ(0, count_wrong(block_at(&other, 2), variant->bs, 2));
	/* again is nothing */
	EXPECT_EQ(0, seal(self->r->fd, 1, 2, NULL, NULL));
	EXPECT_EQ(2 * variant->bs, sealed_bytes(self->r));
	region_close(&other);
}

TEST_F(seal, a_system_call_gets_efault)
{
	uint8_t *at = block_at(self->r, 1), word[8] = { 1 };
	struct iovec from = { .iov_base = word, .iov_len = sizeof(word) };
	struct iovec to = { .iov_base = at, .iov_len = sizeof(word) };
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	int disk = open(DISK, O_RDONLY | O_DIRECT | O_CLOEXEC);

	ASSERT_LE(0, zero);
	ASSERT_LE(0, mem);
	ASSERT_LE(0, disk);
	/* it can, before */
	EXPECT_EQ(PAGE, pread(disk, at, PAGE, 0));
	fill(at, variant->bs, 1);
	ASSERT_EQ(0, seal(self->r->fd, 1, 1, NULL, NULL));
	EXPECT_EQ(-1, read(zero, at, PAGE));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, pread(disk, at, PAGE, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, process_vm_writev(getpid(), &from, 1, &to, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, pwrite(mem, word, sizeof(word), (uintptr_t)at));
	EXPECT_EQ(-1, madvise(at, variant->bs, MADV_POPULATE_WRITE));
	/* as does what begins before it: up to there */
	EXPECT_EQ(PAGE, read(zero, at - PAGE, 2 * PAGE));
	EXPECT_EQ(0, count_wrong(at, variant->bs, 1));
	/* reading is free */
	EXPECT_EQ(sizeof(word), process_vm_readv(getpid(), &from, 1, &to, 1, 0));
	EXPECT_EQ(0, memcmp(word, at, sizeof(word)));
	close(zero);
	close(mem);
	close(disk);
}

/* Moved, flipped, sampled: the bytes and the seal stay, and no store ever costs the twin. */
TEST_F(seal, moves_keep_it)
{
	uint64_t flips, written = stat_now("twins_written"), nr = variant->nr - 1, b;
	int round;

	ASSERT_EQ(0, seal(self->r->fd, 0, nr, NULL, NULL));
	ASSERT_EQ(nr, move_blocks(&self->rig, self->r, 0, nr, self->rig.far, 0, NULL));
	flips = stat_now("flips");
	for (round = 1; round <= 4; round++) {
		uint32_t to = round % 2 ? self->rig.near : self->rig.far;

		EXPECT_TRUE(store_gets_bus(block_at(self->r, round % nr)));
		ASSERT_EQ(nr, move_blocks(&self->rig, self->r, 0, nr, to, 0, NULL));
		EXPECT_EQ(flips + round * nr, stat_now("flips"));
		for (b = 0; b < nr; b++) {
			EXPECT_TRUE(is_sealed(self->r, b));
			EXPECT_EQ(0, count_wrong(block_at(self->r, b), variant->bs, b));
		}
		EXPECT_TRUE(store_gets_bus(block_at(self->r, round % nr)));
	}
	ASSERT_EQ(0, sysfs_write("tuning/twins", "0"));
	ASSERT_EQ(nr, move_blocks(&self->rig, self->r, 0, nr, self->rig.near, KVOFF_MOVE_STOP, NULL));
	ASSERT_EQ(nr, move_blocks(&self->rig, self->r, 0, nr, self->rig.far, KVOFF_MOVE_STOP, NULL));
	EXPECT_TRUE(is_sealed(self->r, 0) && store_gets_bus(block_at(self->r, 0)));
	EXPECT_EQ(0, count_wrong(self->r->data, variant->bs, 0));
	EXPECT_EQ(written, stat_now("twins_written"));
	EXPECT_EQ(nr * variant->bs, sealed_bytes(self->r));
}

/* A seal does not wait for a copy, nor disturb it. */
TEST_F(seal, while_it_is_copied)
{
	struct mover m;

	if (hook_set("copy", 0) == -ENOENT)
		SKIP(return, "this module has no test hooks");
	ASSERT_EQ(0, mover_catch(&m, &self->rig, self->r, "copy", KVOFF_STATE_COPYING));
	EXPECT_EQ(0, seal(self->r->fd, 0, 1, NULL, NULL));
	EXPECT_TRUE(is_sealed(self->r, 0));
	EXPECT_TRUE(store_gets_bus(self->r->data));
	EXPECT_EQ(0, mover_join(&m));
	EXPECT_EQ(self->rig.far, tier_of(self->r, 0));
	EXPECT_TRUE(is_sealed(self->r, 0));
	EXPECT_EQ(0, count_wrong(self->r->data, variant->bs, 0));
}

TEST_F(seal, discard_ends_it)
{
	struct pin pin;
	uint64_t freed;

	ASSERT_EQ(0, seal(self->r->fd, 0, 4, NULL, NULL));
	ASSERT_EQ(0, region_discard(self->r, 1, 1, &freed));
	EXPECT_EQ(1, freed);
	EXPECT_EQ(3 * variant->bs, sealed_bytes(self->r));
	EXPECT_FALSE(is_sealed(self->r, 1));
	EXPECT_EQ(0, count_nonzero(block_at(self->r, 1), variant->bs));
	EXPECT_FALSE(store_gets_bus(block_at(self->r, 1)));
	/* where it is pinned its bytes go, and the seal with them, but not its frame */
	ASSERT_EQ(0, pin_take(&pin, 0, (uint64_t *)block_at(self->r, 2), PIN_READ));
	ASSERT_EQ(0, region_discard(self->r, 2, 1, &freed));
	EXPECT_EQ(0, freed);
	EXPECT_EQ(2 * variant->bs, sealed_bytes(self->r));
	EXPECT_EQ(KVOFF_STATE_PRESENT, KVOFF_LOC_FLAGS(location(self->r, 2)));
	EXPECT_EQ(0, count_nonzero(block_at(self->r, 2), variant->bs));
	EXPECT_FALSE(store_gets_bus(block_at(self->r, 2)));
	EXPECT_EQ(0, pin_finish(&pin, 0));
	EXPECT_TRUE(store_gets_bus(block_at(self->r, 0)));
	EXPECT_TRUE(store_gets_bus(block_at(self->r, 3)));
}

TEST_F(seal, refused)
{
	struct kvoff_region_seal arg = { .size = sizeof(arg), .nr = 1 };
	struct kvoff_region_attach attach = { .size = sizeof(attach), .fd_flags = O_RDONLY | O_CLOEXEC };
	uint64_t busy = stat_now("seals_busy"), sealed, nr = variant->nr;
	struct kvoff_unit unit;
	struct pin pin;
	int fd, kind;

	/* up to the empty one */
	EXPECT_EQ(-ENODATA, seal(self->r->fd, nr - 3, 3, "t", &sealed));
	EXPECT_EQ(2, sealed);
	EXPECT_EQ(0, units(self->r->fd, 0, &unit, 1));
	EXPECT_EQ(-ERANGE, seal(self->r->fd, nr, 1, NULL, &sealed));
	EXPECT_EQ(0, sealed);
	EXPECT_EQ(-ERANGE, seal(self->r->fd, 1, nr, NULL, NULL));
	EXPECT_EQ(-ERANGE, seal(self->r->fd, 1, UINT64_MAX, NULL, NULL));
	EXPECT_EQ(-ERANGE, seal(self->r->fd, UINT64_MAX, 2, NULL, NULL));
	EXPECT_EQ(-EINVAL, seal(self->r->fd, 0, 0, NULL, NULL));
	arg.tag[KVOFF_TAG_LEN - 1] = 1;
	EXPECT_EQ(-1, ioctl(self->r->fd, KVOFF_REGION_SEAL, &arg));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(2 * variant->bs, sealed_bytes(self->r));
	/* whoever holds a page may write to it */
	for (kind = PIN_READ; kind <= PIN_WRITE; kind++) {
		ASSERT_EQ(0, pin_take(&pin, 0, (uint64_t *)block_at(self->r, 1), kind));
		EXPECT_EQ(-EBUSY, seal(self->r->fd, 0, 2, "t", &sealed));
		EXPECT_EQ(1, sealed);
		EXPECT_FALSE(is_sealed(self->r, 1));
		EXPECT_EQ(0, pin_finish(&pin, 0x5ea1));
	}
	EXPECT_EQ(0x5ea1, *(uint64_t *)block_at(self->r, 1));
	EXPECT_EQ(busy + 2, stat_now("seals_busy"));
	EXPECT_EQ(0, seal(self->r->fd, 0, 2, "t", NULL));
	fd = ioctl(self->r->fd, KVOFF_REGION_ATTACH, &attach);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EACCES, seal(fd, 2, 1, NULL, NULL));
	EXPECT_EQ(1, units(fd, 0, &unit, 1));
	close(fd);
}

/**
 * struct writer - stores one number after the other until it is stopped by a seal
 * @last:	what was stored last
 */
struct writer {
	volatile uint64_t *at;
	volatile uint64_t last;
};

static void *writer_main(void *arg)
{
	struct writer *w = arg;

	if (sigsetjmp(bus_env, 1))
		return NULL;
	for (;;) {
		*w->at = w->last + 1;
		w->last++;
	}
}

static void *keep_moving(void *arg)
{
	struct mover *m = arg;
	unsigned int n;

	for (n = 0; !atomic_load(&m->done); n++)
		move_one(m->rig, m->r, 0, n % 2 ? m->rig->near : m->rig->far, 0);
	return NULL;
}

/* No store is lost that was made, none is made after the seal; moves come between. */
TEST_F(seal, a_race_with_writers_and_moves)
{
	struct mover m = { .rig = &self->rig, .r = self->r };
	pthread_t writer, moves;
	int round, ret;

	ASSERT_EQ(0, pthread_create(&moves, NULL, keep_moving, &m));
	for (round = 0; round < 60; round++) {
		struct writer w = { .at = (uint64_t *)(self->r->data + variant->bs / 2) };
		uint64_t last;

		*w.at = 0;
		ASSERT_EQ(0, pthread_create(&writer, NULL, writer_main, &w));
		EXPECT_TRUE(comes_true(w.last >= 100));
		/* a mover or the writer may hold the block at that moment */
		EXPECT_TRUE(comes_true((ret = seal(self->r->fd, 0, 1, NULL, NULL)) != -EBUSY));
		ASSERT_EQ(0, ret);
		last = *w.at;
		pthread_join(writer, NULL);
		EXPECT_EQ(last, *w.at);
		EXPECT_EQ(w.last, *w.at);
		ASSERT_EQ(0, region_discard(self->r, 0, 1, NULL));
	}
	atomic_store(&m.done, true);
	pthread_join(moves, NULL);
}

TEST_F(seal, units)
{
	struct kvoff_unit list[8], *inside = (struct kvoff_unit *)block_at(self->r, 0);
	uint64_t sealed;

	EXPECT_EQ(0, units(self->r->fd, 0, list, 8));
	ASSERT_EQ(0, seal(self->r->fd, 2, 2, "two", NULL));
	ASSERT_EQ(0, seal(self->r->fd, 1, 1, "one", NULL));
	/* each way to overlap; nothing is sealed by that */
	EXPECT_EQ(-EEXIST, seal(self->r->fd, 0, 2, "x", &sealed));
	EXPECT_EQ(0, sealed);
	EXPECT_FALSE(is_sealed(self->r, 0));
	EXPECT_EQ(-EEXIST, seal(self->r->fd, 1, 1, "x", NULL));
	EXPECT_EQ(-EEXIST, seal(self->r->fd, 3, 2, "x", NULL));
	EXPECT_EQ(-EEXIST, seal(self->r->fd, 0, 5, "x", NULL));
	EXPECT_FALSE(is_sealed(self->r, 4));
	/* blocks that are sealed already can be of a unit */
	ASSERT_EQ(0, seal(self->r->fd, 4, 1, NULL, NULL));
	ASSERT_EQ(0, seal(self->r->fd, 4, 1, "four", NULL));
	ASSERT_EQ(3, units(self->r->fd, 0, list, 8));
	EXPECT_EQ(1, list[0].first);
	EXPECT_EQ(1, list[0].nr);
	EXPECT_STREQ("one", (char *)list[0].tag);
	EXPECT_EQ(2, list[1].first);
	EXPECT_EQ(2, list[1].nr);
	EXPECT_STREQ("two", (char *)list[1].tag);
	EXPECT_EQ(4, list[2].first);
	EXPECT_STREQ("four", (char *)list[2].tag);
	/* from there on, so many */
	ASSERT_EQ(1, units(self->r->fd, 3, list, 8));
	EXPECT_EQ(4, list[0].first);
	ASSERT_EQ(2, units(self->r->fd, 0, list, 2));
	EXPECT_EQ(2, list[1].first);
	EXPECT_EQ(0, units(self->r->fd, 5, list, 8));
	EXPECT_EQ(0, units(self->r->fd, UINT64_MAX, list, 8));
	EXPECT_EQ(-EINVAL, units(self->r->fd, 0, list, 0));
	EXPECT_EQ(-EINVAL, units(self->r->fd, 0, list, 1025));
	EXPECT_EQ(-EFAULT, units(self->r->fd, 0, NULL, 1));
	/* the list may be wanted in kvoff's own memory: not in what is sealed */
	EXPECT_EQ(3, units(self->r->fd, 0, inside, 3));
	EXPECT_EQ(2, inside[1].first);
	EXPECT_EQ(-EFAULT, units(self->r->fd, 0, (struct kvoff_unit *)block_at(self->r, 2), 3));
	/* a unit is whole or not there; what is left of it stays sealed */
	ASSERT_EQ(0, region_discard(self->r, 3, 1, NULL));
	ASSERT_EQ(2, units(self->r->fd, 0, list, 8));
	EXPECT_EQ(1, list[0].first);
	EXPECT_EQ(4, list[1].first);
	EXPECT_TRUE(is_sealed(self->r, 2));
	EXPECT_TRUE(store_gets_bus(block_at(self->r, 2)));
	ASSERT_EQ(0, seal(self->r->fd, 2, 1, "again", NULL));
	/* and an untagged discard far away costs none */
	ASSERT_EQ(0, region_discard(self->r, 0, 1, NULL));
	ASSERT_EQ(3, units(self->r->fd, 0, list, 8));
	ASSERT_EQ(0, region_discard(self->r, 0, self->r->nr, NULL));
	EXPECT_EQ(0, units(self->r->fd, 0, list, 8));
	EXPECT_EQ(0, sealed_bytes(self->r));
}

FIXTURE(many_units)
{
	struct rig rig;
};

#define BS	(64 * KIB)
#define MANY	2100

FIXTURE_SETUP(many_units)
{
	ASSERT_EQ(0, rig_up_sized(&self->rig, BS, 0, (MANY + 100) * BS, 2 * MIB));
}

FIXTURE_TEARDOWN(many_units)
{
	const char *wrong = rig_down(&self->rig);

	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

/* Sealed in no order, listed in order, in steps, and every third gone. */
TEST_F(many_units, are_all_there)
{
	struct kvoff_unit *list = calloc(1024, sizeof(*list));
	struct region *r = rig_region(&self->rig, BS, MANY);
	uint64_t from = 0, next = 0, b;
	char tag[32];
	int i, n;

	ASSERT_NE(NULL, r);
	ASSERT_NE(NULL, list);
	for (i = 0; i < MANY; i++) {
		b = i * 1013ULL % MANY;
		*(uint64_t *)block_at(r, b) = b;
		snprintf(tag, sizeof(tag), "unit %lu", (unsigned long)b);
		ASSERT_EQ(0, seal(r->fd, b, 1, tag, NULL));
	}
	for (b = 0; b < MANY; b += 3)
		ASSERT_EQ(0, region_discard(r, b, 1, NULL));
	while ((n = units(r->fd, from, list, 1024)) > 0) {
		for (i = 0; i < n; i++) {
			next += next % 3 == 0;
			snprintf(tag, sizeof(tag), "unit %lu", (unsigned long)next);
			ASSERT_EQ(next, list[i].first);
			ASSERT_STREQ(tag, (char *)list[i].tag);
			ASSERT_EQ(next, *(uint64_t *)block_at(r, next));
			next++;
		}
		from = list[n - 1].first + 1;
	}
	EXPECT_EQ(0, n);
	EXPECT_EQ(MANY, next);
	free(list);
}

TEST_HARNESS_MAIN
