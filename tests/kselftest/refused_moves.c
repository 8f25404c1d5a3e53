// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Promise 3: a move that fails leaves the block where it was, is reported for that block, and is counted. And
 * promise 4: what the kernel has pinned does not move.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "pin.h"
#include "rig.h"

#define BS	(64 * KIB)
/* Frames of the pools; neither can grow. */
#define NEAR	64
#define FAR	32
#define NR	40
/* Blocks from here on stay empty. */
#define EMPTY	39

FIXTURE(refused_moves)
{
	struct rig rig;
	struct region *r;
};

FIXTURE_SETUP(refused_moves)
{
	ASSERT_EQ(0, rig_up_sized(&self->rig, BS, 0, NEAR * BS, FAR * BS));
	self->r = rig_region(&self->rig, BS, NR);
	ASSERT_NE(NULL, self->r);
	fill(self->r->data, EMPTY * BS, 1);
}

FIXTURE_TEARDOWN(refused_moves)
{
	const char *wrong;

	hook_set("copy", 0);
	wrong = rig_down(&self->rig);
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

/* The move fails with @error, once counted under @counter, and nothing has changed. */
static void refuse(struct __test_metadata *_metadata, FIXTURE_DATA(refused_moves) *self, uint64_t block,
		   uint16_t flags, int error, const char *counter)
{
	uint64_t loc = location(self->r, block), before = stat_now(counter), moves = stat_now("moves");

	EXPECT_EQ(error, move_one(&self->rig, self->r, block, self->rig.far, flags));
	EXPECT_EQ(before + 1, stat_now(counter));
	EXPECT_EQ(moves, stat_now("moves"));
	EXPECT_EQ(loc, location(self->r, block));
	EXPECT_EQ(0, count_wrong(self->r->data, EMPTY * BS, 1));
}

static void moves_again(struct __test_metadata *_metadata, FIXTURE_DATA(refused_moves) *self, uint64_t block)
{
	int ret;

	/* a frame that was just left may be in the middle of being zeroed, and is not free for a moment */
	EXPECT_TRUE(comes_true((ret = move_one(&self->rig, self->r, block, self->rig.far, 0)) != -ENOSPC));
	EXPECT_EQ(0, ret);
	EXPECT_EQ(self->rig.far, tier_of(self->r, block));
	EXPECT_EQ(0, count_wrong(self->r->data, EMPTY * BS, 1));
}

/* One page of the block is in a pipe: no copy, a reference. */
TEST_F(refused_moves, page_in_a_pipe)
{
	struct iovec iov = { .iov_base = block_at(self->r, 2) + 5 * PAGE, .iov_len = PAGE };
	uint64_t page[WORDS];
	int pipe_fds[2];

	ASSERT_EQ(0, pipe(pipe_fds));
	ASSERT_EQ(PAGE, vmsplice(pipe_fds[1], &iov, 1, 0));
	refuse(_metadata, self, 2, 0, -EBUSY, "move_busy");
	refuse(_metadata, self, 2, KVOFF_MOVE_STOP, -EBUSY, "move_busy");
	/* the neighbour is free */
	moves_again(_metadata, self, 3);
	ASSERT_EQ(PAGE, read(pipe_fds[0], page, PAGE));
	EXPECT_EQ(0, memcmp(page, iov.iov_base, PAGE));
	moves_again(_metadata, self, 2);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

TEST_F(refused_moves, pinned_for_reading)
{
	volatile uint64_t *p = (volatile uint64_t *)block_at(self->r, 4);
	struct pin pin;

	ASSERT_EQ(0, pin_take(&pin, 0, p, PIN_READ));
	refuse(_metadata, self, 4, 0, -EBUSY, "move_busy");
	refuse(_metadata, self, 4, KVOFF_MOVE_STOP, -EBUSY, "move_busy");
	EXPECT_EQ(0, pin_finish(&pin, 0));
	EXPECT_EQ(p[0], pin.got);
	moves_again(_metadata, self, 4);
}

TEST_F(refused_moves, pinned_for_writing)
{
	volatile uint64_t *p = (volatile uint64_t *)block_at(self->r, 4);
	uint64_t same = p[0];
	struct pin pin;

	ASSERT_EQ(0, pin_take(&pin, 0, p, PIN_WRITE));
	refuse(_metadata, self, 4, 0, -EBUSY, "move_busy");
	refuse(_metadata, self, 4, KVOFF_MOVE_STOP, -EBUSY, "move_busy");
	EXPECT_EQ(0, pin_finish(&pin, same));
	moves_again(_metadata, self, 4);
}

/* A mapped region cannot be registered for life: the kernel refuses, and no pin is left behind by the attempt. */
TEST_F(refused_moves, long_term_pins_are_refused)
{
	struct iovec iov = { .iov_base = self->r->data, .iov_len = BS };
	struct io_uring ring;
	void *reader;

	ASSERT_EQ(0, io_uring_queue_init(4, &ring, 0));
	EXPECT_EQ(-EFAULT, io_uring_register_buffers(&ring, &iov, 1));
	reader = mmap(NULL, BS, PROT_READ, MAP_SHARED, self->r->fd, 0);
	ASSERT_NE(MAP_FAILED, reader);
	iov.iov_base = reader;
	EXPECT_EQ(-EFAULT, io_uring_register_buffers(&ring, &iov, 1));
	io_uring_queue_exit(&ring);
	munmap(reader, BS);
	moves_again(_metadata, self, 0);
}

TEST_F(refused_moves, acquired)
{
	__atomic_add_fetch(&self->r->refs[6], 1, __ATOMIC_SEQ_CST);
	refuse(_metadata, self, 6, 0, -EAGAIN, "move_acquired");
	refuse(_metadata, self, 6, KVOFF_MOVE_STOP, -EAGAIN, "move_acquired");
	__atomic_sub_fetch(&self->r->refs[6], 1, __ATOMIC_SEQ_CST);
	moves_again(_metadata, self, 6);
}

/* A second mover waits for its turn and finds the block where it wants it: one move, not two. */
TEST_F(refused_moves, same_block_by_two_movers)
{
	uint64_t moves = stat_now("moves");
	struct kvoff_move_result result;
	struct mover m;

	if (hook_set("copy", 0))
		SKIP(return, "this module has no test hooks");
	ASSERT_EQ(0, mover_catch(&m, &self->rig, self->r, "copy", KVOFF_STATE_COPYING));
	mover_let(&m);
	EXPECT_EQ(1, move_blocks(&self->rig, self->r, 0, 1, self->rig.far, KVOFF_MOVE_STOP, &result));
	EXPECT_EQ(0, result.error);
	EXPECT_EQ(self->rig.far, result.from);
	EXPECT_EQ(0, mover_join(&m));
	EXPECT_EQ(moves + 1, stat_now("moves"));
	EXPECT_EQ(self->rig.far, tier_of(self->r, 0));
	EXPECT_EQ(0, count_wrong(self->r->data, EMPTY * BS, 1));
}

/* The target is full; a frame set free there makes room again. */
TEST_F(refused_moves, no_frame)
{
	struct kvoff_move_result results[FAR + 2];
	unsigned int i, full = 0;

	EXPECT_EQ(FAR, move_blocks(&self->rig, self->r, 0, FAR + 2, self->rig.far, 0, results));
	for (i = 0; i < FAR + 2; i++)
		full += results[i].error == -ENOSPC && results[i].from == self->rig.near;
	EXPECT_EQ(2, full);
	refuse(_metadata, self, FAR + 3, 0, -ENOSPC, "move_no_frame");
	refuse(_metadata, self, FAR + 3, KVOFF_MOVE_STOP, -ENOSPC, "move_no_frame");
	ASSERT_EQ(0, move_one(&self->rig, self->r, 0, self->rig.near, 0));
	moves_again(_metadata, self, FAR + 3);
}

TEST_F(refused_moves, empty_block)
{
	refuse(_metadata, self, EMPTY, 0, -ENODATA, "move_invalid");
	self->r->data[EMPTY * BS] = 1;
	EXPECT_EQ(0, move_one(&self->rig, self->r, EMPTY, self->rig.far, 0));
	ASSERT_EQ(0, region_discard(self->r, EMPTY, 1, NULL));
	refuse(_metadata, self, EMPTY, 0, -ENODATA, "move_invalid");
}

/* Everything that can be wrong with a descriptor, between two that are right. */
TEST_F(refused_moves, one_result_a_block)
{
	struct kvoff_move_desc good = { .region = self->r->id, .to = self->rig.far };
	struct kvoff_move_result results[20];
	struct kvoff_move_desc descs[20];
	int want[20], n = 0, i;
	uint32_t moved, gone_id;
	uint64_t invalid = stat_now("move_invalid"), moves = stat_now("moves");
	struct region gone;

	ASSERT_EQ(0, region_create(&self->rig, &gone, BS, 1));
	gone_id = gone.id;
	region_close(&gone);

#define ITEM(error, change) do {		\
		descs[n] = good;		\
		change;				\
		want[n++] = error;		\
	} while (0)
	ITEM(0, descs[n].block = 0);
	ITEM(-ENOENT, descs[n].region = 0);
	ITEM(-ENOENT, descs[n].region = gone_id);
	ITEM(-ENOENT, descs[n].region = UINT32_MAX);
	ITEM(-ENOENT, descs[n].to = 5);
	ITEM(-ENOENT, descs[n].to = KVOFF_MAX_TIERS);
	ITEM(-ENOENT, descs[n].to = KVOFF_TIER_NONE);
	ITEM(-ENOENT, descs[n].to = UINT16_MAX);
	ITEM(-ERANGE, descs[n].block = NR);
	ITEM(-ERANGE, descs[n].block = UINT64_MAX);
	ITEM(-ERANGE, descs[n].block = 1ULL << 44);
	ITEM(-ENODATA, descs[n].block = EMPTY);
	ITEM(-EINVAL, descs[n].flags = 2);
	ITEM(-EINVAL, descs[n].flags = 0x8000 | KVOFF_MOVE_STOP);
	ITEM(-EINVAL, descs[n].reserved[0] = 1);
	ITEM(-EINVAL, descs[n].reserved[1] = 1);
	ITEM(-EINVAL, descs[n].reserved[2] = 1);
	ITEM(0, descs[n].block = 1);
#undef ITEM
	memset(results, 0xff, sizeof(results));
	ASSERT_EQ(0, move_batch(self->rig.control, descs, n, results, &moved));
	EXPECT_EQ(2, moved);
	for (i = 0; i < n; i++) {
		EXPECT_EQ(want[i], results[i].error) TH_LOG("item %d", i);
		EXPECT_EQ(want[i] ? KVOFF_TIER_NONE : self->rig.near, results[i].from) TH_LOG("item %d", i);
		EXPECT_EQ(0, results[i].reserved);
	}
	/* and no byte beyond the results that were asked for */
	EXPECT_EQ(-1, results[n].error);
	EXPECT_EQ(invalid + n - 2, stat_now("move_invalid"));
	EXPECT_EQ(moves + 2, stat_now("moves"));
	EXPECT_EQ(0, count_wrong(self->r->data, EMPTY * BS, 1));
}

/**
 * struct scribbler - writes to one word for as long as it may
 */
struct scribbler {
	volatile uint64_t *p;
	atomic_bool begun, stop;
	uint64_t last;
};

static void *scribble(void *arg)
{
	struct scribbler *s = arg;

	while (!atomic_load(&s->stop)) {
		*s->p = ++s->last;
		atomic_store(&s->begun, true);
	}
	return NULL;
}

/* Copies of a block under a writer that never rests are cancelled; stopping the block ends that. */
TEST_F(refused_moves, stop_beats_a_writer)
{
	struct scribbler s = { .p = (volatile uint64_t *)block_at(self->r, 7) };
	unsigned int i, cancelled = 0;
	uint64_t end;
	pthread_t t;
	int ret = 0;

	ASSERT_EQ(0, pthread_create(&t, NULL, scribble, &s));
	while (!atomic_load(&s.begun))
		nap();
	end = now_ms() + PATIENCE_MS;
	/* a writer that gets no CPU meets no copy: go on until one did */
	for (i = 0; i < 20 || (!cancelled && now_ms() < end); i++) {
		uint32_t to = i % 2 ? self->rig.near : self->rig.far;

		ret = move_one(&self->rig, self->r, 7, to, 0);
		cancelled += ret == -ECANCELED;
		if (!ret)
			continue;
		/* the writer may be in the middle of a fault: that is a moment, or as long as its CPU gets no time */
		for (;;) {
			ret = move_one(&self->rig, self->r, 7, to, KVOFF_MOVE_STOP);
			if (ret != -EBUSY || now_ms() > end)
				break;
			nap();
		}
		if (ret || tier_of(self->r, 7) != to)
			break;
	}
	atomic_store(&s.stop, true);
	pthread_join(t, NULL);
	EXPECT_EQ(0, ret);
	EXPECT_LE(20, i);
	EXPECT_LT(0, cancelled);
	EXPECT_EQ(s.last, *s.p);
	/* no other word has changed */
	EXPECT_EQ(1, count_wrong(self->r->data, EMPTY * BS, 1));
}

TEST_HARNESS_MAIN
