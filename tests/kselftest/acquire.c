// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Promise 4: an acquired block does not move, whoever of the attached processes holds it, for as long as one of them
 * does. And of promise 6: a process that dies holds nothing.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "rig.h"

#define BS	(64 * KIB)
#define NR	32
/* Processes that read and write; one more only gives hints. */
#define WORKERS	8
#define MOVES	1500

FIXTURE(acquire)
{
	struct rig rig;
	struct region *r;
};

FIXTURE_SETUP(acquire)
{
	ASSERT_EQ(0, rig_up(&self->rig, BS, (NR + 8) * BS));
	self->r = rig_region(&self->rig, BS, NR);
	ASSERT_NE(NULL, self->r);
	fill(self->r->data, NR * BS, 1);
}

FIXTURE_TEARDOWN(acquire)
{
	const char *wrong = rig_down(&self->rig);

	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

/* As kvoff.h says: count, fence, look. Returns the location that holds now. */
static uint64_t hold(const struct region *r, uint64_t block)
{
	struct kvoff_region_settle settle = { .size = sizeof(settle), .block = block };

	for (;;) {
		uint64_t loc;

		__atomic_add_fetch(&r->refs[block], 1, __ATOMIC_SEQ_CST);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		loc = location(r, block);
		if (!(KVOFF_LOC_FLAGS(loc) & KVOFF_STATE_MOVING))
			return loc;
		__atomic_sub_fetch(&r->refs[block], 1, __ATOMIC_SEQ_CST);
		ioctl(r->fd, KVOFF_REGION_SETTLE, &settle);
	}
}

static void let_go(const struct region *r, uint64_t block)
{
	__atomic_sub_fetch(&r->refs[block], 1, __ATOMIC_SEQ_CST);
}

TEST_F(acquire, every_attachment_and_every_count)
{
	struct region a, b;

	ASSERT_EQ(0, region_attach(self->r, &a, O_RDWR));
	ASSERT_EQ(0, region_attach(&a, &b, O_RDWR));
	hold(&a, 5);
	hold(&a, 5);
	hold(&b, 5);
	EXPECT_EQ(-EAGAIN, move_one(&self->rig, self->r, 5, self->rig.far, 0));
	/* neither the neighbours nor another array's same entry */
	EXPECT_EQ(0, move_one(&self->rig, self->r, 4, self->rig.far, 0));
	EXPECT_EQ(0, move_one(&self->rig, self->r, 6, self->rig.far, 0));
	EXPECT_EQ(0, self->r->refs[5]);
	let_go(&a, 5);
	EXPECT_EQ(-EAGAIN, move_one(&self->rig, self->r, 5, self->rig.far, 0));
	let_go(&b, 5);
	EXPECT_EQ(-EAGAIN, move_one(&self->rig, self->r, 5, self->rig.far, 0));
	let_go(&a, 5);
	EXPECT_EQ(0, move_one(&self->rig, self->r, 5, self->rig.far, 0));
	region_close(&a);
	region_close(&b);
	EXPECT_EQ(0, count_wrong(self->r->data, NR * BS, 1));
}

/* The reference array's pages hold 1024 entries each: the last of one, the first of the next, and one far out. */
TEST_F(acquire, borders_of_the_reference_array)
{
	static const uint64_t blocks[] = { 0, 1023, 1024, 70000, 99999 };
	struct region *big = &self->rig.regions[1];
	unsigned int i, k;

	ASSERT_EQ(0, region_create(&self->rig, big, BS, 100000));
	ASSERT_EQ(0, region_commit(big, ARRAY_SIZE(blocks) * BS, NULL));
	for (i = 0; i < ARRAY_SIZE(blocks); i++)
		fill(block_at(big, blocks[i]), BS, i);
	for (i = 0; i < ARRAY_SIZE(blocks); i++) {
		uint32_t to = i % 2 ? self->rig.near : self->rig.far;

		hold(big, blocks[i]);
		for (k = 0; k < ARRAY_SIZE(blocks); k++)
			EXPECT_EQ(k == i ? -EAGAIN : 0, move_one(&self->rig, big, blocks[k], to, 0))
				TH_LOG("%u %u", i, k);
		let_go(big, blocks[i]);
		EXPECT_EQ(0, move_one(&self->rig, big, blocks[i], to, 0));
	}
	for (i = 0; i < ARRAY_SIZE(blocks); i++)
		EXPECT_EQ(0, count_wrong(block_at(big, blocks[i]), BS, i));
}

/* The array ends with its attachment: not with the descriptor while it is mapped, but with the last of the two. */
TEST_F(acquire, closing_lets_go)
{
	struct region a;

	ASSERT_EQ(0, region_attach(self->r, &a, O_RDWR));
	hold(&a, 3);
	close(a.fd);
	EXPECT_EQ(-EAGAIN, move_one(&self->rig, self->r, 3, self->rig.far, 0));
	/* closes a number that is free, which does no harm here */
	region_close(&a);
	EXPECT_EQ(0, move_one(&self->rig, self->r, 3, self->rig.far, 0));
}

/**
 * struct stops - moves of block 0 to and fro that stop it
 * @nr:		how many succeeded
 * @odd:	results that nothing of this can explain
 */
struct stops {
	struct rig *rig;
	struct region *r;
	atomic_bool stop;
	atomic_uint nr;
	atomic_uint odd;
};

static void *stops_main(void *arg)
{
	struct stops *s = arg;

	while (!atomic_load(&s->stop)) {
		uint32_t to = tier_of(s->r, 0) == s->rig->near ? s->rig->far : s->rig->near;
		int ret = move_one(s->rig, s->r, 0, to, KVOFF_MOVE_STOP);

		if (!ret)
			atomic_fetch_add(&s->nr, 1);
		else if (ret != -EAGAIN)
			atomic_fetch_add(&s->odd, 1);
	}
	return NULL;
}

/*
 * The mover says that it moves the block before it looks who holds it. If it looked first, it would not see who comes
 * between the two, and who comes would not see it.
 */
TEST_F(acquire, look_and_leap)
{
	struct stops s = { .rig = &self->rig, .r = self->r };
	unsigned int held;
	uint64_t loc;
	pthread_t t;

	/* some time between the two, where the module has it */
	hook_set("flip", 10);
	ASSERT_EQ(0, pthread_create(&t, NULL, stops_main, &s));
	for (held = 0; (held < 30 || atomic_load(&s.nr) < 30) && held < 2000; held++) {
		/* that a move is being tried may show, not that it has been done: tier and generation */
		loc = hold(self->r, 0) >> 8;
		usleep(30000);
		EXPECT_EQ(loc, location(self->r, 0) >> 8);
		let_go(self->r, 0);
		usleep(1000 * (held % 32));
	}
	atomic_store(&s.stop, true);
	pthread_join(t, NULL);
	hook_set("flip", 0);
	EXPECT_LE(30, atomic_load(&s.nr));
	EXPECT_EQ(0, atomic_load(&s.odd));
	EXPECT_EQ(0, count_wrong(self->r->data, NR * BS, 1));
}

/* What @child says through the pipe is that it is where we want it. */
static bool heard(int fd)
{
	char c;

	return read(fd, &c, 1) == 1;
}

TEST_F(acquire, a_dead_process_holds_nothing)
{
	int pipe_fds[2], status;
	pid_t child;

	ASSERT_EQ(0, pipe(pipe_fds));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		struct region mine;
		uint64_t b;

		if (region_attach(self->r, &mine, O_RDWR))
			_exit(1);
		for (b = 0; b < NR; b++)
			hold(&mine, b);
		/* the data, too, is mapped and used */
		if (count_wrong(mine.data, NR * BS, 1) || write(pipe_fds[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ASSERT_TRUE(heard(pipe_fds[0]));
	EXPECT_EQ(0, move_blocks(&self->rig, self->r, 0, NR, self->rig.far, 0, NULL));
	ASSERT_EQ(0, kill(child, SIGKILL));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(SIGKILL, WTERMSIG(status));
	/* gone with it: no waiting */
	EXPECT_EQ(NR, move_blocks(&self->rig, self->r, 0, NR, self->rig.far, 0, NULL));
	EXPECT_EQ(0, count_wrong(self->r->data, NR * BS, 1));
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/**
 * struct office - what nine processes share besides the region
 * @ready:	how many have attached
 * @stop:	end
 * @grab:	the last worker shall hold every block and wait to be killed
 * @holding:	it does
 * @wrong:	bytes that were not what they should be
 * @moved:	blocks that moved while they were held
 * @uses:	times a block was held
 * @touches:	hints given
 */
struct office {
	atomic_int ready;
	atomic_bool stop;
	atomic_bool grab;
	atomic_bool holding;
	atomic_ulong wrong;
	atomic_ulong moved;
	atomic_ulong uses;
	atomic_ulong touches;
};

/* Word @k of page @page of a block, as the parent has filled it. */
static uint64_t filled(const uint64_t *image, uint64_t b, unsigned int page, unsigned int k)
{
	return image[(b * BS + page * PAGE) / sizeof(*image) + k];
}

/* Worker @me writes word 1 of page @me of each block, and reads what the others write and what nobody writes. */
static void work(struct office *o, const struct region *r, const uint64_t *image, unsigned int me)
{
	uint64_t seq[NR] = { 0 }, seed = me + 1;

	while (!atomic_load(&o->stop)) {
		volatile uint64_t *p;
		uint64_t b, loc, k;

		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		b = (seed >> 33) % NR;
		loc = hold(r, b);
		for (k = 0; k < WORKERS; k++) {
			p = (volatile uint64_t *)(block_at(r, b) + k * PAGE);
			if (p[9] != filled(image, b, k, 9))
				atomic_fetch_add(&o->wrong, 1);
			if (p[1] >> 32 != k + 1 && p[1] != filled(image, b, k, 1))
				atomic_fetch_add(&o->wrong, 1);
		}
		p = (volatile uint64_t *)(block_at(r, b) + me * PAGE);
		if (seq[b] && p[1] != ((me + 1ULL) << 32 | seq[b]))
			atomic_fetch_add(&o->wrong, 1);
		seq[b]++;
		p[1] = (me + 1ULL) << 32 | seq[b];
		if (KVOFF_LOC_GEN(location(r, b)) != KVOFF_LOC_GEN(loc))
			atomic_fetch_add(&o->moved, 1);
		let_go(r, b);
		atomic_fetch_add(&o->uses, 1);
		usleep(300);
		if (me == WORKERS - 1 && atomic_load(&o->grab)) {
			for (b = 0; b < NR; b++)
				hold(r, b);
			atomic_store(&o->holding, true);
			for (;;)
				pause();
		}
	}
}

static void give_hints(struct office *o, const struct region *r)
{
	uint64_t b = 0;

	while (!atomic_load(&o->stop)) {
		__atomic_add_fetch(&r->hint[b].touches, 1, __ATOMIC_RELAXED);
		__atomic_or_fetch(&r->hint[b].bits, KVOFF_HINT_PREFETCH, __ATOMIC_RELAXED);
		atomic_fetch_add(&o->touches, 1);
		b = (b + 1) % NR;
		usleep(500);
	}
}

static pid_t hire(struct office *o, const struct region *from, const uint64_t *image, unsigned int me)
{
	struct region mine;
	pid_t pid = fork();

	if (pid)
		return pid;
	if (region_attach(from, &mine, O_RDWR))
		_exit(1);
	atomic_fetch_add(&o->ready, 1);
	if (me < WORKERS)
		work(o, &mine, image, me);
	else
		give_hints(o, &mine);
	_exit(0);
}

static uint64_t move_rounds(const struct rig *rig, const struct region *r, uint64_t want, uint64_t rounds)
{
	uint64_t moved = 0, n;

	for (n = 0; moved < want && n < rounds; n++) {
		int ret = move_blocks(rig, r, 0, NR, n % 2 ? rig->near : rig->far, 0, NULL);

		if (ret < 0)
			break;
		moved += ret;
	}
	return moved;
}

TEST_F(acquire, nine_processes)
{
	struct office *o = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t touches = 0, moves = MOVES / rig_slow(), b;
	uint64_t *image = malloc(NR * BS);
	struct kvoff_region_info info;
	pid_t pids[WORKERS + 1];
	unsigned int i;
	int status;

	ASSERT_NE(MAP_FAILED, (void *)o);
	ASSERT_NE(NULL, image);
	fill((uint8_t *)image, NR * BS, 1);
	for (i = 0; i <= WORKERS; i++) {
		pids[i] = hire(o, self->r, image, i);
		ASSERT_LT(0, pids[i]);
	}
	ASSERT_TRUE(comes_true(atomic_load(&o->ready) > WORKERS));
	ASSERT_EQ(0, region_info(self->r->fd, &info));
	EXPECT_EQ(WORKERS + 2, info.nr_attached);

	EXPECT_LE(moves, move_rounds(&self->rig, self->r, moves, 20 * MOVES / NR));

	/* one takes hold of everything, and dies */
	atomic_store(&o->grab, true);
	ASSERT_TRUE(comes_true(atomic_load(&o->holding)));
	b = tier_of(self->r, 0) == self->rig.near ? self->rig.far : self->rig.near;
	EXPECT_EQ(-EAGAIN, move_one(&self->rig, self->r, 0, b, 0));
	ASSERT_EQ(0, kill(pids[WORKERS - 1], SIGKILL));
	ASSERT_EQ(pids[WORKERS - 1], waitpid(pids[WORKERS - 1], &status, 0));
	EXPECT_LE(NR, move_rounds(&self->rig, self->r, NR, 200));
	/* moves may all be done before the others have had their turn */
	EXPECT_TRUE(comes_true(atomic_load(&o->uses) > WORKERS * 10 && atomic_load(&o->touches) >= NR));

	atomic_store(&o->stop, true);
	for (i = 0; i <= WORKERS; i++) {
		if (i == WORKERS - 1)
			continue;
		ASSERT_EQ(pids[i], waitpid(pids[i], &status, 0));
		EXPECT_EQ(0, status);
	}
	TH_LOG("%lu uses, %lu touches", atomic_load(&o->uses), atomic_load(&o->touches));
	EXPECT_EQ(0, atomic_load(&o->wrong));
	EXPECT_EQ(0, atomic_load(&o->moved));
	for (b = 0; b < NR; b++) {
		touches += self->r->hint[b].touches;
		EXPECT_EQ(KVOFF_HINT_PREFETCH, self->r->hint[b].bits);
	}
	EXPECT_EQ(atomic_load(&o->touches), touches);
	/* one word in each worker's page of each block may differ, no other */
	EXPECT_GE(NR * WORKERS, count_wrong(self->r->data, NR * BS, 1));
	free(image);
	munmap(o, PAGE);
}

TEST_HARNESS_MAIN
