// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Promise 2 at its narrowest places: a write fault in flight while the mover arms the block, a write pin held across
 * the arming, a write pin taken during the copy, an acquire during the flip. The module's test hooks hold the doors
 * open; what a pin waits for is a page that userfaultfd withholds, so that the pin lasts exactly as long as the test
 * wants.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "pin.h"
#include "rig.h"

FIXTURE(write_races)
{
	struct rig rig;
	struct region *r;
	volatile uint64_t *p;
	atomic_bool begun;
};

FIXTURE_VARIANT(write_races)
{
	uint32_t bs;
};

FIXTURE_VARIANT_ADD(write_races, 64k) { .bs = 64 * KIB };
FIXTURE_VARIANT_ADD(write_races, 2m) { .bs = 2 * MIB };

static void hooks_off(void)
{
	hook_set("fault", 0);
	hook_set("mkwrite", 0);
	hook_set("copy", 0);
	hook_set("flip", 0);
}

FIXTURE_SETUP(write_races)
{
	if (hook_set("copy", 0) == -ENOENT)
		SKIP(return, "this module has no test hooks");
	hooks_off();
	ASSERT_EQ(0, rig_up(&self->rig, variant->bs, 4 * variant->bs));
	self->r = rig_region(&self->rig, variant->bs, 1);
	ASSERT_NE(NULL, self->r);
	self->p = (volatile uint64_t *)self->r->data;
	fill(self->r->data, variant->bs, 1);
}

FIXTURE_TEARDOWN(write_races)
{
	const char *wrong;

	hooks_off();
	wrong = rig_down(&self->rig);
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

/* All words but the one at @at, which is @value. */
static bool is_whole(struct region *r, uint64_t at, uint64_t value)
{
	volatile uint64_t *p = (volatile uint64_t *)r->data;

	return p[at] == value && count_wrong(r->data, r->bs, 1) == 1;
}

static void *store_42(void *arg)
{
	volatile uint64_t *p = arg;

	p[0] = 42;
	return NULL;
}

/*
 * The write's fault has passed page_mkwrite and maps its page while the mover is under way; a store must not end
 * in the old frame.
 */
static void race_write_fault(struct __test_metadata *_metadata, FIXTURE_DATA(write_races) *self)
{
	uint64_t faults = stat_now("write_faults");
	struct mover m;
	pthread_t t;
	int error;

	ASSERT_EQ(0, hook_set("mkwrite", 250));
	ASSERT_EQ(0, hook_set("copy", 500));
	ASSERT_EQ(0, pthread_create(&t, NULL, store_42, (void *)self->p));
	/* counted when it is past the block lock, before the hook */
	EXPECT_TRUE(comes_true(stat_now("write_faults") > faults));
	ASSERT_EQ(0, mover_start(&m, &self->rig, self->r, 0, self->rig.far, 0));
	pthread_join(t, NULL);
	error = mover_join(&m);
	hooks_off();
	EXPECT_TRUE(error == 0 || error == -ECANCELED || error == -EBUSY) TH_LOG("error %d", error);
	EXPECT_TRUE(is_whole(self->r, 0, 42));
	/* nor may it be forgotten later: once there and back */
	EXPECT_EQ(0, move_one(&self->rig, self->r, 0, self->rig.near, 0));
	EXPECT_EQ(0, move_one(&self->rig, self->r, 0, self->rig.far, 0));
	EXPECT_TRUE(is_whole(self->r, 0, 42));
}

TEST_F(write_races, write_to_an_unmapped_block_while_arming)
{
	ASSERT_EQ(0, move_one(&self->rig, self->r, 0, self->rig.far, 0));
	ASSERT_EQ(0, move_one(&self->rig, self->r, 0, self->rig.near, 0));
	race_write_fault(_metadata, self);
}

TEST_F(write_races, write_to_a_block_mapped_for_reading_while_arming)
{
	ASSERT_EQ(0, move_one(&self->rig, self->r, 0, self->rig.far, 0));
	ASSERT_EQ(0, move_one(&self->rig, self->r, 0, self->rig.near, 0));
	EXPECT_EQ(0, count_wrong(self->r->data, self->r->bs, 1));
	race_write_fault(_metadata, self);
}

static void *load(void *arg)
{
	volatile uint64_t *p = arg;

	return (void *)p[0];
}

/*
 * A load's fault holds the frame, locked, and maps it a little later: the mover waits for that, and the move
 * succeeds.
 */
static void load_in_flight(struct __test_metadata *_metadata, FIXTURE_DATA(write_races) *self, pthread_t *t)
{
	uint64_t faults = stat_now("faults");

	ASSERT_EQ(0, hook_set("fault", 2000));
	ASSERT_EQ(0, pthread_create(t, NULL, load, (void *)self->p));
	/* counted just before it takes the block lock */
	EXPECT_TRUE(comes_true(stat_now("faults") > faults));
	usleep(20000);
}

static void load_has_landed(struct __test_metadata *_metadata, FIXTURE_DATA(write_races) *self, pthread_t t)
{
	pthread_join(t, NULL);
	hooks_off();
	EXPECT_EQ(self->rig.far, tier_of(self->r, 0));
	EXPECT_EQ(0, count_wrong(self->r->data, self->r->bs, 1));
	EXPECT_EQ(0, move_one(&self->rig, self->r, 0, self->rig.near, 0));
	EXPECT_EQ(0, count_wrong(self->r->data, self->r->bs, 1));
}

TEST_F(write_races, load_in_flight_while_arming)
{
	pthread_t t;

	ASSERT_EQ(0, move_one(&self->rig, self->r, 0, self->rig.far, 0));
	ASSERT_EQ(0, move_one(&self->rig, self->r, 0, self->rig.near, 0));
	load_in_flight(_metadata, self, &t);
	EXPECT_EQ(0, move_one(&self->rig, self->r, 0, self->rig.far, 0));
	load_has_landed(_metadata, self, t);
}

TEST_F(write_races, load_in_flight_while_flipping)
{
	struct mover m;
	pthread_t t;

	ASSERT_EQ(0, mover_catch(&m, &self->rig, self->r, "copy", KVOFF_STATE_COPYING));
	load_in_flight(_metadata, self, &t);
	EXPECT_EQ(0, mover_join(&m));
	load_has_landed(_metadata, self, t);
}

/* A store during the copy cancels the move. */
TEST_F(write_races, write_during_the_copy)
{
	uint64_t written = stat_now("move_written");
	struct mover m;

	ASSERT_EQ(0, mover_catch(&m, &self->rig, self->r, "copy", KVOFF_STATE_COPYING));
	self->p[9] = 43;
	EXPECT_EQ(-ECANCELED, mover_join(&m));
	EXPECT_EQ(written + 1, stat_now("move_written"));
	EXPECT_EQ(self->rig.near, tier_of(self->r, 0));
	EXPECT_TRUE(is_whole(self->r, 9, 43));
	EXPECT_EQ(0, move_one(&self->rig, self->r, 0, self->rig.far, 0));
	EXPECT_TRUE(is_whole(self->r, 9, 43));
}

TEST_F(write_races, reads_during_the_copy_do_not_cancel)
{
	struct mover m;

	ASSERT_EQ(0, mover_catch(&m, &self->rig, self->r, "copy", KVOFF_STATE_COPYING));
	EXPECT_EQ(0, count_wrong(self->r->data, self->r->bs, 1));
	EXPECT_EQ(0, mover_join(&m));
	EXPECT_EQ(self->rig.far, tier_of(self->r, 0));
	EXPECT_EQ(0, count_wrong(self->r->data, self->r->bs, 1));
}

/*
 * The pin was there before the block was armed, so no fault will tell of the write that comes through it. A mover
 * that arms in spite of it copies, and finds the pin gone at the flip: the write is lost.
 */
TEST_F(write_races, write_pin_across_the_arming)
{
	struct mover m;
	struct pin pin;

	ASSERT_EQ(0, pin_take(&pin, 0, &self->p[9], PIN_WRITE));
	ASSERT_EQ(0, hook_set("copy", PATIENCE_MS));
	ASSERT_EQ(0, mover_start(&m, &self->rig, self->r, 0, self->rig.far, 0));
	m.hook = "copy";
	/* refused; if it is not, let the write come while the copy is kept waiting */
	EXPECT_TRUE(comes_true(atomic_load(&m.done) || KVOFF_LOC_FLAGS(location(self->r, 0)) & KVOFF_STATE_COPYING));
	EXPECT_EQ(0, pin_finish(&pin, 43));
	EXPECT_EQ(-EBUSY, mover_join(&m));
	hooks_off();
	EXPECT_TRUE(is_whole(self->r, 9, 43));
	EXPECT_EQ(0, move_one(&self->rig, self->r, 0, self->rig.far, 0));
	EXPECT_TRUE(is_whole(self->r, 9, 43));
}

/*
 * The pin comes while the block is copied and writes after the move has ended: the block has to stay where the pin
 * writes.
 */
TEST_F(write_races, write_pin_during_the_copy)
{
	struct mover m;
	struct pin pin;
	int error;

	ASSERT_EQ(0, mover_catch(&m, &self->rig, self->r, "copy", KVOFF_STATE_COPYING));
	ASSERT_EQ(0, pin_take(&pin, 0, &self->p[9], PIN_WRITE));
	error = mover_join(&m);
	EXPECT_TRUE(error == -ECANCELED || error == -EBUSY) TH_LOG("error %d", error);
	/* still pinned */
	EXPECT_EQ(-EBUSY, move_one(&self->rig, self->r, 0, self->rig.far, KVOFF_MOVE_STOP));
	EXPECT_EQ(0, pin_finish(&pin, 43));
	EXPECT_TRUE(is_whole(self->r, 9, 43));
	EXPECT_EQ(0, move_one(&self->rig, self->r, 0, self->rig.far, 0));
	EXPECT_TRUE(is_whole(self->r, 9, 43));
}

/*
 * A pin for reading that is older than the move, too: what it delivers later must not be the old frame's next
 * owner's.
 */
TEST_F(write_races, read_pin_during_the_copy)
{
	struct mover m;
	struct pin pin;

	ASSERT_EQ(0, mover_catch(&m, &self->rig, self->r, "copy", KVOFF_STATE_COPYING));
	ASSERT_EQ(0, pin_take(&pin, 0, &self->p[9], PIN_READ));
	EXPECT_EQ(-EBUSY, mover_join(&m));
	self->p[9] = 44;
	EXPECT_EQ(0, pin_finish(&pin, 0));
	EXPECT_EQ(44, pin.got);
	EXPECT_EQ(0, move_one(&self->rig, self->r, 0, self->rig.far, 0));
	EXPECT_TRUE(is_whole(self->r, 9, 44));
}

static void *store_43(void *arg)
{
	FIXTURE_DATA(write_races) *self = arg;

	atomic_store(&self->begun, true);
	self->p[9] = 43;
	return NULL;
}

/* The block is about to become its twin, which does not hold what is written now. */
TEST_F(write_races, write_during_a_flip_to_a_twin)
{
	uint64_t flips = stat_now("flips");
	struct mover m;
	pthread_t t;
	int error;

	ASSERT_EQ(0, sysfs_write("tuning/twins", "1"));
	ASSERT_EQ(0, move_one(&self->rig, self->r, 0, self->rig.far, 0));
	ASSERT_EQ(0, move_one(&self->rig, self->r, 0, self->rig.near, 0));
	EXPECT_EQ(flips + 1, stat_now("flips"));
	/* mapped for reading: the store has only to be allowed */
	EXPECT_EQ(0, count_wrong(self->r->data, self->r->bs, 1));
	ASSERT_EQ(0, mover_catch(&m, &self->rig, self->r, "flip", KVOFF_STATE_MOVING));
	ASSERT_EQ(0, pthread_create(&t, NULL, store_43, self));
	while (!atomic_load(&self->begun))
		nap();
	/* by now it waits for the block, mostly */
	usleep(50000);
	error = mover_join(&m);
	pthread_join(t, NULL);
	EXPECT_TRUE(error == 0 || error == -EBUSY) TH_LOG("error %d", error);
	EXPECT_TRUE(is_whole(self->r, 9, 43));
	/* and no twin of before comes back */
	EXPECT_EQ(0, move_one(&self->rig, self->r, 0, error ? self->rig.far : self->rig.near, 0));
	EXPECT_TRUE(is_whole(self->r, 9, 43));
}

/* What is given up while it is copied is given up after that. */
TEST_F(write_races, discard_during_the_copy)
{
	struct mover m;
	uint64_t freed;

	ASSERT_EQ(0, mover_catch(&m, &self->rig, self->r, "copy", KVOFF_STATE_COPYING));
	mover_let(&m);
	EXPECT_EQ(0, region_discard(self->r, 0, 1, &freed));
	EXPECT_EQ(1, freed);
	EXPECT_EQ(0, mover_join(&m));
	EXPECT_EQ(0, tiers_sum("used_bytes"));
	EXPECT_EQ(0, count_nonzero(self->r->data, self->r->bs));
}

/*
 * A client that counts itself in when MOVING is set already steps back, settles, and then holds the block where it
 * is now.
 */
TEST_F(write_races, acquire_during_the_flip)
{
	struct kvoff_region_settle settle = { .size = sizeof(settle) };
	struct mover m;

	ASSERT_EQ(0, mover_catch(&m, &self->rig, self->r, "flip", KVOFF_STATE_MOVING));
	__atomic_add_fetch(&self->r->refs[0], 1, __ATOMIC_SEQ_CST);
	EXPECT_NE(0, KVOFF_LOC_FLAGS(location(self->r, 0)) & KVOFF_STATE_MOVING);
	__atomic_sub_fetch(&self->r->refs[0], 1, __ATOMIC_SEQ_CST);
	mover_let(&m);
	ASSERT_EQ(0, ioctl(self->r->fd, KVOFF_REGION_SETTLE, &settle));
	EXPECT_EQ(0, KVOFF_LOC_FLAGS(location(self->r, 0)) & KVOFF_STATE_MOVING);
	EXPECT_EQ(self->rig.far, tier_of(self->r, 0));
	__atomic_add_fetch(&self->r->refs[0], 1, __ATOMIC_SEQ_CST);
	EXPECT_EQ(0, KVOFF_LOC_FLAGS(location(self->r, 0)) & KVOFF_STATE_MOVING);
	EXPECT_EQ(0, mover_join(&m));
	EXPECT_EQ(-EAGAIN, move_one(&self->rig, self->r, 0, self->rig.near, 0));
	EXPECT_EQ(self->rig.far, tier_of(self->r, 0));
	__atomic_sub_fetch(&self->r->refs[0], 1, __ATOMIC_SEQ_CST);
	EXPECT_EQ(0, move_one(&self->rig, self->r, 0, self->rig.near, 0));
	EXPECT_EQ(0, count_wrong(self->r->data, self->r->bs, 1));
}

/*
 * A client that counts itself in during the copy finds MOVING clear: the block is its, and the move ends without a
 * flip.
 */
TEST_F(write_races, acquire_during_the_copy)
{
	struct mover m;

	ASSERT_EQ(0, mover_catch(&m, &self->rig, self->r, "copy", KVOFF_STATE_COPYING));
	__atomic_add_fetch(&self->r->refs[0], 1, __ATOMIC_SEQ_CST);
	EXPECT_EQ(0, KVOFF_LOC_FLAGS(location(self->r, 0)) & KVOFF_STATE_MOVING);
	EXPECT_EQ(-EAGAIN, mover_join(&m));
	EXPECT_EQ(self->rig.near, tier_of(self->r, 0));
	__atomic_sub_fetch(&self->r->refs[0], 1, __ATOMIC_SEQ_CST);
	EXPECT_EQ(0, count_wrong(self->r->data, self->r->bs, 1));
}

TEST_HARNESS_MAIN
