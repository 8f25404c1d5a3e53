// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Moves as io_uring commands: every block gets its result, what was submitted is what counts, a batch on a throttled
 * link can be cancelled and does not hold up a dying submitter. And the link budgets themselves.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "rig.h"

#define BS	(64 * KIB)
#define NR	KVOFF_MOVE_MAX
/* What a batch of NR blocks takes at 1 MB/s is 33 s: what ends before all of them have moved did not wait for it. */
#define BATCH_MS	33000

FIXTURE(batches)
{
	struct rig rig;
	struct region *r;
	struct io_uring ring;
	struct kvoff_move_desc descs[NR];
	struct kvoff_move_result results[NR];
};

static void set_descs(struct kvoff_move_desc *descs, const struct region *r, uint64_t first, unsigned int nr,
		      uint32_t to)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		descs[i] = (struct kvoff_move_desc){ .region = r->id, .to = to, .block = first + i };
}

static int budget(const struct rig *rig, uint32_t from, uint32_t to, uint32_t mbps)
{
	struct kvoff_ctl_link arg = { .size = sizeof(arg), .from = from, .to = to, .budget_mbps = mbps };

	return ioctl(rig->control, KVOFF_CTL_LINK_SET, &arg) ? -errno : 0;
}

FIXTURE_SETUP(batches)
{
	uint64_t b;

	ASSERT_EQ(0, rig_up(&self->rig, BS, (NR + 32) * BS));
	self->r = rig_region(&self->rig, BS, NR);
	ASSERT_NE(NULL, self->r);
	/* a page of each block: the others stay zero, which is as good */
	for (b = 0; b < NR; b++)
		fill(block_at(self->r, b), PAGE, b);
	set_descs(self->descs, self->r, 0, NR, self->rig.far);
	memset(self->results, 0xff, sizeof(self->results));
	ASSERT_EQ(0, io_uring_queue_init(32, &self->ring, 0));
}

FIXTURE_TEARDOWN(batches)
{
	const char *wrong;

	budget(&self->rig, self->rig.near, self->rig.far, 0);
	io_uring_queue_exit(&self->ring);
	wrong = rig_down(&self->rig);
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

static uint64_t wrong_bytes(const struct region *r)
{
	uint64_t b, wrong = 0;

	for (b = 0; b < NR; b++)
		wrong += count_wrong(block_at(r, b), PAGE, b) + count_nonzero(block_at(r, b) + PAGE, PAGE);
	return wrong;
}

static struct io_uring_sqe *blank_sqe(struct io_uring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	*sqe = (struct io_uring_sqe){ 0 };
	return sqe;
}

static void submit(struct io_uring *ring, int control, const struct kvoff_ctl_move *arg, uint32_t op,
		   uint64_t user_data)
{
	struct io_uring_sqe *sqe = blank_sqe(ring);
	uint64_t addr = (uintptr_t)arg;

	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = control;
	sqe->cmd_op = op;
	memcpy(sqe->cmd, &addr, sizeof(addr));
	sqe->user_data = user_data;
	io_uring_submit(ring);
}

/* The next completion: its result, and whose it is. -ETIME if there is none in @ms. */
static int complete(struct io_uring *ring, uint64_t *user_data, unsigned int ms)
{
	struct __kernel_timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	struct io_uring_cqe *cqe;
	int ret = io_uring_wait_cqe_timeout(ring, &cqe, &ts);

	if (ret)
		return ret;
	ret = cqe->res;
	if (user_data)
		*user_data = cqe->user_data;
	io_uring_cqe_seen(ring, cqe);
	return ret;
}

static struct kvoff_ctl_move command(const struct kvoff_move_desc *descs, struct kvoff_move_result *results,
				     uint32_t nr)
{
	return (struct kvoff_ctl_move){
		.size = sizeof(struct kvoff_ctl_move), .nr = nr, .descs = (uintptr_t)descs,
		.results = (uintptr_t)results,
	};
}

TEST_F(batches, all_there_and_back)
{
	struct kvoff_ctl_move arg = command(self->descs, self->results, NR);
	unsigned int i, wrong = 0, round;

	for (round = 0; round < 2; round++) {
		uint32_t from = round ? self->rig.far : self->rig.near, to = round ? self->rig.near : self->rig.far;

		set_descs(self->descs, self->r, 0, NR, to);
		submit(&self->ring, self->rig.control, &arg, KVOFF_CTL_MOVE, 1);
		EXPECT_EQ(NR, complete(&self->ring, NULL, PATIENCE_MS));
		for (i = 0; i < NR; i++)
			wrong += self->results[i].error != 0 || self->results[i].from != from ||
				 tier_of(self->r, i) != to;
		EXPECT_EQ(0, wrong);
	}
	EXPECT_EQ(0, wrong_bytes(self->r));
}

/* Sixteen batches at once, one of them with nothing that can be moved; each answers for itself. */
TEST_F(batches, many_in_flight)
{
	struct kvoff_ctl_move args[16];
	unsigned int i, k, seen = 0;
	uint64_t whose;
	int res;

	for (k = 0; k < 32; k++)
		self->descs[5 * 32 + k].block = NR + k;
	for (i = 0; i < 16; i++) {
		args[i] = command(&self->descs[i * 32], &self->results[i * 32], 32);
		submit(&self->ring, self->rig.control, &args[i], KVOFF_CTL_MOVE, i);
	}
	for (i = 0; i < 16; i++) {
		res = complete(&self->ring, &whose, PATIENCE_MS);
		ASSERT_GT(16, whose);
		seen |= 1U << whose;
		EXPECT_EQ(whose == 5 ? 0 : 32, res);
		for (k = 0; k < 32; k++)
			EXPECT_EQ(whose == 5 ? -ERANGE : 0, self->results[whose * 32 + k].error);
	}
	EXPECT_EQ(0xffff, seen);
	EXPECT_EQ(0, wrong_bytes(self->r));
}

/* What was read at submission is what is done. */
TEST_F(batches, later_changes_have_no_effect)
{
	struct kvoff_ctl_move arg = command(self->descs, self->results, 64);
	unsigned int i, wrong = 0;

	ASSERT_EQ(0, budget(&self->rig, self->rig.near, self->rig.far, 20));
	submit(&self->ring, self->rig.control, &arg, KVOFF_CTL_MOVE, 1);
	memset(self->descs, 0xff, sizeof(self->descs));
	memset(&arg, 0xff, sizeof(arg));
	EXPECT_EQ(64, complete(&self->ring, NULL, PATIENCE_MS));
	for (i = 0; i < 64; i++)
		wrong += self->results[i].error != 0 || tier_of(self->r, i) != self->rig.far;
	for (; i < NR; i++)
		wrong += tier_of(self->r, i) != self->rig.near;
	EXPECT_EQ(0, wrong);
	EXPECT_EQ(0, wrong_bytes(self->r));
}

/* Results of a batch that was cancelled on the way: moved first, then not begun. */
static void check_cancelled(struct __test_metadata *_metadata, FIXTURE_DATA(batches) *self, int moved)
{
	unsigned int i, done = 0, not_begun = 0;

	for (i = 0; i < NR; i++) {
		if (!self->results[i].error) {
			done++;
			EXPECT_EQ(self->rig.far, tier_of(self->r, i));
		} else {
			EXPECT_EQ(-ECANCELED, self->results[i].error);
			EXPECT_EQ(KVOFF_TIER_NONE, self->results[i].from);
			EXPECT_EQ(self->rig.near, tier_of(self->r, i));
			not_begun++;
		}
	}
	EXPECT_EQ(moved, done);
	EXPECT_LT(0, done);
	EXPECT_LT(0, not_begun);
	EXPECT_EQ(NR, done + not_begun);
	EXPECT_EQ(0, wrong_bytes(self->r));
}

static bool wait_for_moves(uint64_t more_than)
{
	return comes_true(stat_now("moves") > more_than);
}

/* Until nothing moves any more: at the slowest, a block takes 66 ms. */
static void wait_for_rest(void)
{
	uint64_t moves;

	do {
		moves = stat_now("moves");
		usleep(400000);
	} while (stat_now("moves") != moves);
}

/*
 * The kernels of today cancel a command when its ring or its submitter ends, and know nothing of it in
 * IORING_OP_ASYNC_CANCEL. One that does must get a batch that ends soon; one that does not, a batch that goes on
 * undisturbed.
 */
TEST_F(batches, async_cancel)
{
	uint64_t moves = stat_now("moves"), cancelled = stat_now("move_cancelled"), whose = 0;
	struct kvoff_ctl_move arg = command(self->descs, self->results, NR);
	struct io_uring_sqe *sqe;
	int res, moved = 0;

	ASSERT_EQ(0, budget(&self->rig, self->rig.near, self->rig.far, 1));
	submit(&self->ring, self->rig.control, &arg, KVOFF_CTL_MOVE, 1);
	ASSERT_TRUE(wait_for_moves(moves));
	sqe = io_uring_get_sqe(&self->ring);
	io_uring_prep_cancel64(sqe, 1, 0);
	sqe->user_data = 2;
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	res = complete(&self->ring, &whose, PATIENCE_MS);
	if (whose == 2 && res == -ENOENT) {
		EXPECT_EQ(0, budget(&self->rig, self->rig.near, self->rig.far, 0));
		EXPECT_EQ(NR, complete(&self->ring, &whose, PATIENCE_MS));
		EXPECT_EQ(1, whose);
		EXPECT_EQ(cancelled, stat_now("move_cancelled"));
		EXPECT_EQ(0, wrong_bytes(self->r));
		return;
	}
	moved = whose == 1 ? res : complete(&self->ring, &whose, PATIENCE_MS);
	EXPECT_EQ(cancelled + NR - moved, stat_now("move_cancelled"));
	check_cancelled(_metadata, self, moved);
}

/* The ring goes with a batch in flight. */
TEST_F(batches, ring_exit)
{
	struct kvoff_ctl_move arg = command(self->descs, self->results, NR);
	uint64_t before = stat_now("moves");

	ASSERT_EQ(0, budget(&self->rig, self->rig.near, self->rig.far, 1));
	submit(&self->ring, self->rig.control, &arg, KVOFF_CTL_MOVE, 1);
	ASSERT_TRUE(wait_for_moves(before));
	io_uring_queue_exit(&self->ring);
	ASSERT_EQ(0, io_uring_queue_init(4, &self->ring, 0));
	/* the end of a ring is asynchronous */
	wait_for_rest();
	EXPECT_GT(before + NR, stat_now("moves"));
	EXPECT_GT(NR, move_blocks(&self->rig, self->r, 0, 1, self->rig.near, 0, NULL));
	EXPECT_EQ(0, wrong_bytes(self->r));
}

TEST_F(batches, submitter_killed)
{
	uint64_t before = stat_now("moves");
	int status;
	pid_t pid;

	ASSERT_EQ(0, budget(&self->rig, self->rig.near, self->rig.far, 1));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct kvoff_ctl_move args[4];
		struct io_uring ring;
		unsigned int i;

		if (io_uring_queue_init(8, &ring, 0))
			_exit(1);
		for (i = 0; i < 4; i++) {
			args[i] = command(&self->descs[i * 128], &self->results[i * 128], 128);
			submit(&ring, self->rig.control, &args[i], KVOFF_CTL_MOVE, i);
		}
		for (;;)
			pause();
	}
	ASSERT_TRUE(wait_for_moves(before));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(SIGKILL, WTERMSIG(status));
	wait_for_rest();
	EXPECT_GT(before + NR, stat_now("moves"));
	/* the link is free for others */
	ASSERT_EQ(0, budget(&self->rig, self->rig.near, self->rig.far, 0));
	EXPECT_EQ(NR, move_blocks(&self->rig, self->r, 0, NR, self->rig.far, 0, NULL));
	EXPECT_EQ(0, wrong_bytes(self->r));
}

static void on_signal(int sig)
{
}

/**
 * struct caller - a batch by ioctl in a thread
 */
struct caller {
	struct rig *rig;
	struct kvoff_move_desc *descs;
	struct kvoff_move_result *results;
	uint32_t moved;
	int ret;
};

static void *caller_main(void *arg)
{
	struct caller *c = arg;

	c->ret = move_batch(c->rig->control, c->descs, NR, c->results, &c->moved);
	return NULL;
}

TEST_F(batches, ioctl_interrupted)
{
	struct caller c = { .rig = &self->rig, .descs = self->descs, .results = self->results };
	struct sigaction act = { .sa_handler = on_signal };
	uint64_t moves = stat_now("moves");
	pthread_t t;

	sigaction(SIGUSR1, &act, NULL);
	ASSERT_EQ(0, budget(&self->rig, self->rig.near, self->rig.far, 1));
	ASSERT_EQ(0, pthread_create(&t, NULL, caller_main, &c));
	ASSERT_TRUE(wait_for_moves(moves));
	pthread_kill(t, SIGUSR1);
	pthread_join(t, NULL);
	EXPECT_EQ(0, c.ret);
	check_cancelled(_metadata, self, c.moved);
}

/* Lifting the budget lets a waiting batch go at once. */
TEST_F(batches, budget)
{
	uint64_t free_ms, held_ms, begin = now_ms(), moves;
	struct kvoff_ctl_move arg = command(self->descs, self->results, NR);
	unsigned int nr = 128, tries;

	EXPECT_EQ(nr, move_blocks(&self->rig, self->r, 0, nr, self->rig.far, 0, NULL));
	free_ms = now_ms() - begin;
	ASSERT_EQ(nr, move_blocks(&self->rig, self->r, 0, nr, self->rig.near, 0, NULL));

	/* 8.4 MB at 4 MB/s: 2.1 s, less a block and the burst that a link may run ahead */
	ASSERT_EQ(0, budget(&self->rig, self->rig.near, self->rig.far, 4));
	begin = now_ms();
	EXPECT_EQ(nr, move_blocks(&self->rig, self->r, 0, nr, self->rig.far, 0, NULL));
	held_ms = now_ms() - begin;
	TH_LOG("%lu ms without a budget, %lu ms with", free_ms, held_ms);
	EXPECT_LE(1900, held_ms);
	/* the other direction has a budget of its own: none. That is so if it is fast once; a machine may pause */
	for (tries = 5; tries; tries--) {
		begin = now_ms();
		ASSERT_EQ(nr, move_blocks(&self->rig, self->r, 0, nr, self->rig.near, 0, NULL));
		if (now_ms() - begin < held_ms + free_ms)
			break;
		ASSERT_EQ(nr, move_blocks(&self->rig, self->r, 0, nr, self->rig.far, 0, NULL));
	}
	EXPECT_LT(0, tries);

	for (tries = 5; tries; tries--) {
		ASSERT_EQ(0, budget(&self->rig, self->rig.near, self->rig.far, 1));
		moves = stat_now("moves");
		begin = now_ms();
		submit(&self->ring, self->rig.control, &arg, KVOFF_CTL_MOVE, 1);
		ASSERT_TRUE(wait_for_moves(moves));
		ASSERT_EQ(0, budget(&self->rig, self->rig.near, self->rig.far, 0));
		EXPECT_EQ(NR, complete(&self->ring, NULL, PATIENCE_MS));
		if (now_ms() - begin < BATCH_MS / 2)
			break;
		ASSERT_EQ(NR, move_blocks(&self->rig, self->r, 0, NR, self->rig.near, 0, NULL));
	}
	EXPECT_LT(0, tries);
	EXPECT_EQ(0, wrong_bytes(self->r));
}

TEST_F(batches, refused_commands)
{
	struct kvoff_ctl_move arg = command(self->descs, self->results, 1);
	struct kvoff_ctl_tier_drain drain = { .size = sizeof(drain), .name = "dram" };
	struct io_uring_sqe *sqe;
	int other;

	submit(&self->ring, self->rig.control, &arg, KVOFF_CTL_LEASE, 1);
	EXPECT_EQ(-ENOTTY, complete(&self->ring, NULL, PATIENCE_MS));
	submit(&self->ring, self->rig.control, (void *)8, KVOFF_CTL_MOVE, 1);
	EXPECT_EQ(-EFAULT, complete(&self->ring, NULL, PATIENCE_MS));
	arg.nr = 0;
	submit(&self->ring, self->rig.control, &arg, KVOFF_CTL_MOVE, 1);
	EXPECT_EQ(-EINVAL, complete(&self->ring, NULL, PATIENCE_MS));
	arg.nr = KVOFF_MOVE_MAX + 1;
	submit(&self->ring, self->rig.control, &arg, KVOFF_CTL_MOVE, 1);
	EXPECT_EQ(-EINVAL, complete(&self->ring, NULL, PATIENCE_MS));
	arg.nr = 1;
	arg.size = sizeof(arg) - 1;
	submit(&self->ring, self->rig.control, &arg, KVOFF_CTL_MOVE, 1);
	EXPECT_EQ(-EINVAL, complete(&self->ring, NULL, PATIENCE_MS));
	arg.size = sizeof(arg);
	arg.descs = 8;
	submit(&self->ring, self->rig.control, &arg, KVOFF_CTL_MOVE, 1);
	EXPECT_EQ(-EFAULT, complete(&self->ring, NULL, PATIENCE_MS));
	arg.descs = (uintptr_t)self->descs;

	/* a rest of the command area that is not zero */
	sqe = blank_sqe(&self->ring);
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = self->rig.control;
	sqe->cmd_op = KVOFF_CTL_MOVE;
	((uint64_t *)sqe->cmd)[0] = (uintptr_t)&arg;
	((uint64_t *)sqe->cmd)[1] = 1;
	io_uring_submit(&self->ring);
	EXPECT_EQ(-EINVAL, complete(&self->ring, NULL, PATIENCE_MS));

	/* a descriptor without the lease */
	other = open("/dev/kvoff/control", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, other);
	submit(&self->ring, other, &arg, KVOFF_CTL_MOVE, 1);
	EXPECT_EQ(-EPERM, complete(&self->ring, NULL, PATIENCE_MS));
	/* which may move blocks out of a tier that is being drained */
	EXPECT_EQ(0, ioctl(other, KVOFF_CTL_TIER_DRAIN, &drain));
	submit(&self->ring, other, &arg, KVOFF_CTL_MOVE, 1);
	EXPECT_EQ(1, complete(&self->ring, NULL, PATIENCE_MS));
	EXPECT_EQ(self->rig.far, tier_of(self->r, 0));
	submit(&self->ring, other, &arg, KVOFF_CTL_MOVE, 1);
	EXPECT_EQ(-EPERM, complete(&self->ring, NULL, PATIENCE_MS));
	drain.flags = KVOFF_DRAIN_STOP;
	EXPECT_EQ(0, ioctl(other, KVOFF_CTL_TIER_DRAIN, &drain));
	close(other);
	/* its pool fills again */
	EXPECT_TRUE(comes_true(move_one(&self->rig, self->r, 0, self->rig.near, 0) != -ENOSPC));
	/* and a region's, which takes no commands */
	submit(&self->ring, self->r->fd, &arg, KVOFF_CTL_MOVE, 1);
	EXPECT_EQ(-EOPNOTSUPP, complete(&self->ring, NULL, PATIENCE_MS));
	EXPECT_EQ(self->rig.near, tier_of(self->r, 0));

	/* results that cannot be written: the moves happen, the command says EFAULT */
	arg.results = 8;
	submit(&self->ring, self->rig.control, &arg, KVOFF_CTL_MOVE, 1);
	EXPECT_EQ(-EFAULT, complete(&self->ring, NULL, PATIENCE_MS));
	EXPECT_EQ(self->rig.far, tier_of(self->r, 0));
	EXPECT_EQ(0, wrong_bytes(self->r));
}

TEST_HARNESS_MAIN
