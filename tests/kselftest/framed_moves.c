// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Promises 1 and 2 for framed regions: eight workers and a scheduler, processes of their own, use one region whose
 * windows each worker has registered with its io_uring for the whole run, as a driver of a GPU would, while blocks move
 * all the time. No wrong byte, and no move refused because of the registration.
 *
 * Each block has one writer among the workers, and all of them read it. The pages of a block live one life after the
 * other: its writer says in plain shared memory which life of a page it begins and which it has finished, and each word
 * of a page tells page and life. So a reader knows the oldest and the newest life that it may see. What is read later
 * may not be older: writers write in ascending order, readers read in descending order. A few blocks are sealed: they
 * move by flips, and are read during copies. Now and then a writer frees a block and takes it anew; who has the
 * generation from before is told so.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "framed_rig.h"

#define DISK		"/dev/vda"
#define BS		(64 * KIB)
#define PER_BLOCK	(BS / PAGE)
#define WORKERS		8
#define NR		48
#define NR_SEALED	8
#define PAGES		(NR * PER_BLOCK)
#define NEAR_NR		40
#define FAR_NR		44
#define MOVES		20000
#define BATCH		24
/* Each of these has to happen so often, by all workers together, for the moves to have had company. */
#define OPS_MIN		200

enum op { READ, WRITE, FROM_DISK, TO_DISK, RENEW, STALE, NR_OPS };

/**
 * struct life - of one page
 * @begun:	the life its writer has begun to write
 * @done:	the life that is complete
 */
struct life {
	atomic_uint begun;
	atomic_uint done;
};

/**
 * struct common - memory that all processes share
 * @gen:	each block's generation, once it is all written
 * @ready:	workers that have begun
 * @stop:	end
 * @wrong:	bytes that were not what they had to be
 * @failed:	calls that failed
 * @ops:	what the workers did
 * @touches:	what the scheduler did
 * @events:	moves that its eventfd told it of
 */
struct common {
	struct life lives[PAGES];
	atomic_uint gen[NR];
	atomic_uint ready;
	atomic_bool stop;
	atomic_ulong wrong;
	atomic_ulong failed;
	atomic_ulong ops[NR_OPS];
	atomic_ulong touches;
	atomic_ulong events;
};

/**
 * struct worker - one process
 * @f:		its attachment
 * @c:		what it shares
 * @ring:	has both windows registered
 * @disk:	a file of its own, so to say
 * @off:	where on the disk
 * @bounce:	one page
 * @seed:	of its own
 */
struct worker {
	struct framed f;
	struct common *c;
	unsigned int id;
	struct io_uring ring;
	int disk;
	uint64_t off;
	uint64_t *bounce;
	uint64_t seed;
};

FIXTURE(framed_moves)
{
	struct rig rig;
	struct framed f;
	struct common *c;
};

FIXTURE_SETUP(framed_moves)
{
	ASSERT_EQ(0, rig_up(&self->rig, BS, 64 * BS));
	ASSERT_EQ(0, sysfs_write("tuning/twins", "1"));
	ASSERT_EQ(0, sysfs_write("tuning/sample_interval_ms", "20"));
	ASSERT_EQ(0, framed_create(&self->rig, &self->f, BS, NR, NEAR_NR, FAR_NR));
	self->c = mmap(NULL, sizeof(*self->c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->c);
}

FIXTURE_TEARDOWN(framed_moves)
{
	const char *wrong;

	munmap(self->c, sizeof(*self->c));
	framed_close(&self->f);
	wrong = rig_down(&self->rig);
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

static uint64_t stamp(uint64_t page, uint32_t life)
{
	return (page + 1) << 32 | life;
}

static uint64_t next(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return *seed >> 33;
}

static volatile uint64_t *page_in(const struct framed *f, uint64_t loc, uint64_t page)
{
	return (volatile uint64_t *)(frame_of(f, loc) + page % PER_BLOCK * PAGE);
}

static void write_words(volatile uint64_t *at, uint64_t page, uint32_t life)
{
	uint64_t k;

	for (k = 0; k < WORDS; k++)
		at[k] = stamp(page, life);
}

/* Read in descending order: no word may be older than the one before, nor than @low, nor newer than @life's end. */
static bool is_right(const volatile uint64_t *at, uint64_t page, uint32_t low, struct life *life)
{
	uint64_t k;

	for (k = WORDS; k--; ) {
		uint64_t v = at[k];

		if (v >> 32 != page + 1 || (uint32_t)v < low || (uint32_t)v > atomic_load(&life->begun))
			return false;
		low = (uint32_t)v;
	}
	return true;
}

static void count(struct worker *w, enum op op)
{
	atomic_fetch_add(&w->c->ops[op], 1);
}

/* A fixed read or write of one page; false if it failed. */
static bool fixed_io(struct worker *w, bool from_disk, uint64_t loc, uint64_t page)
{
	int window = KVOFF_LOC_TIER(loc) == w->f.tier[NEAR] ? NEAR : FAR;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&w->ring);
	void *at = (void *)page_in(&w->f, loc, page);
	struct io_uring_cqe *cqe;
	int res;

	if (from_disk)
		io_uring_prep_read_fixed(sqe, w->disk, at, PAGE, w->off, window);
	else
		io_uring_prep_write_fixed(sqe, w->disk, at, PAGE, w->off, window);
	if (io_uring_submit_and_wait(&w->ring, 1) < 0 || io_uring_wait_cqe(&w->ring, &cqe))
		return false;
	res = cqe->res;
	io_uring_cqe_seen(&w->ring, cqe);
	return res == PAGE;
}

/* Let the page begin its next life, by the CPU or by a device. The block is referenced. */
static void renew_page(struct worker *w, uint64_t loc, uint64_t page, bool by_disk)
{
	struct life *l = &w->c->lives[page];
	uint32_t life = atomic_load(&l->done) + 1;

	atomic_store(&l->begun, life);
	if (by_disk) {
		write_words(w->bounce, page, life);
		if (pwrite(w->disk, w->bounce, PAGE, w->off) != (ssize_t)PAGE || !fixed_io(w, true, loc, page))
			atomic_fetch_add(&w->c->failed, 1);
	} else {
		write_words(page_in(&w->f, loc, page), page, life);
	}
	atomic_store(&l->done, life);
}

static void check_page(struct worker *w, uint64_t loc, uint64_t page, bool by_disk)
{
	struct life *l = &w->c->lives[page];
	uint32_t low = atomic_load(&l->done);
	bool right;

	if (!by_disk) {
		right = is_right(page_in(&w->f, loc, page), page, low, l);
	} else if (fixed_io(w, false, loc, page) && pread(w->disk, w->bounce, PAGE, w->off) == (ssize_t)PAGE) {
		/* the device reads in an order of its own */
		uint64_t k;

		for (k = 0, right = true; k < WORDS && right; k++)
			right = w->bounce[k] >> 32 == page + 1 && (uint32_t)w->bounce[k] >= low &&
				(uint32_t)w->bounce[k] <= atomic_load(&l->begun);
	} else {
		atomic_fetch_add(&w->c->failed, 1);
		return;
	}
	if (!right)
		atomic_fetch_add(&w->c->wrong, 1);
}

/* All pages of a block that has just got a frame. */
static void renew_block(struct worker *w, uint64_t block)
{
	uint64_t loc = acquire(&w->f, block), k;

	for (k = 0; k < PER_BLOCK; k++)
		renew_page(w, loc, block * PER_BLOCK + k, false);
	atomic_store(&w->c->gen[block], KVOFF_LOC_GEN(loc) | 1U << 16);
	release(&w->f, block);
}

static void recycle(struct worker *w, uint64_t block)
{
	int ret;

	atomic_store(&w->c->gen[block], 0);
	ret = block_free(w->f.r.fd, block);
	/* somebody reads it */
	if (ret == -EBUSY) {
		renew_block(w, block);
		return;
	}
	if (ret || block_alloc(w->f.r.fd, block)) {
		atomic_fetch_add(&w->c->failed, 1);
		return;
	}
	renew_block(w, block);
	count(w, RENEW);
}

static bool is_sealed(uint64_t block)
{
	return block >= NR - NR_SEALED;
}

static void work_on(struct worker *w, uint64_t page, enum op op)
{
	uint64_t block = page / PER_BLOCK, loc;

	if (op == RENEW) {
		recycle(w, block);
		return;
	}
	loc = acquire(&w->f, block);
	if ((KVOFF_LOC_GEN(loc) | 1U << 16) != atomic_load(&w->c->gen[block])) {
		/* no such block any more, or not yet */
		count(w, STALE);
	} else {
		if (op == WRITE || op == FROM_DISK)
			renew_page(w, loc, page, op == FROM_DISK);
		else
			check_page(w, loc, page, op == TO_DISK);
		count(w, op);
	}
	release(&w->f, block);
}

static void worker_main(struct worker *w, const struct framed *f, struct common *c, unsigned int id)
{
	struct iovec iov[NR_WINDOWS];
	uint64_t b;
	int i;

	*w = (struct worker){ .c = c, .id = id, .off = id * PAGE, .seed = id + 100 };
	w->disk = open(DISK, O_RDWR | O_DIRECT | O_CLOEXEC);
	w->bounce = aligned_alloc(PAGE, PAGE);
	if (w->disk < 0 || !w->bounce || framed_attach(f, &w->f, O_RDWR) || io_uring_queue_init(4, &w->ring, 0))
		_exit(2);
	for (i = 0; i < NR_WINDOWS; i++)
		iov[i] = (struct iovec){ w->f.window[i], w->f.frames[i] * BS };
	if (io_uring_register_buffers(&w->ring, iov, NR_WINDOWS))
		_exit(3);
	for (b = id; b < NR; b += WORKERS)
		renew_block(w, b);
	for (b = id; b < NR; b += WORKERS)
		if (is_sealed(b) && region_seal(w->f.r.fd, b, 1, NULL))
			_exit(4);
	atomic_fetch_add(&c->ready, 1);

	while (!atomic_load(&c->stop)) {
		uint64_t page = next(&w->seed) % PAGES, block = page / PER_BLOCK, dice = next(&w->seed) % 64;
		bool own = block % WORKERS == id && !is_sealed(block);
		enum op op = dice % 2 ? READ : TO_DISK;

		if (own)
			op = dice == 0 ? RENEW : dice % 2 ? WRITE : FROM_DISK;
		work_on(w, page, op);
		usleep(1000);
	}
	io_uring_queue_exit(&w->ring);
	framed_close(&w->f);
	_exit(0);
}

/* Says what will be needed, looks where it is, holds some of it for a while, and is told of moves. */
static void scheduler_main(const struct framed *from, struct common *c)
{
	int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	uint64_t seed = 99, n;
	struct framed f;

	if (event < 0 || framed_attach(from, &f, O_RDWR) || region_eventfd(f.r.fd, event))
		_exit(2);
	atomic_fetch_add(&c->ready, 1);
	while (!atomic_load(&c->stop)) {
		uint64_t block = next(&seed) % NR;

		__atomic_add_fetch(&f.r.hint[block].touches, 1, __ATOMIC_RELAXED);
		__atomic_or_fetch(&f.r.hint[block].bits, KVOFF_HINT_PREFETCH, __ATOMIC_RELAXED);
		acquire(&f, block);
		usleep(500);
		release(&f, block);
		if (read(event, &n, sizeof(n)) == sizeof(n))
			atomic_fetch_add(&c->events, n);
		atomic_fetch_add(&c->touches, 1);
		usleep(500);
	}
	framed_close(&f);
	_exit(0);
}

/* Moves a batch of different blocks to where each is not; how many moved, or -1 if one was refused for no good reason. */
static int move_some(struct rig *rig, const struct framed *f, uint64_t *seed, uint64_t *moved_sealed)
{
	struct kvoff_move_result results[BATCH];
	struct kvoff_move_desc descs[BATCH];
	uint64_t first = next(seed) % NR;
	int moved = 0, i;

	for (i = 0; i < BATCH; i++) {
		/* 5 and 48 have no common divisor */
		uint64_t block = (first + i * 5) % NR;

		descs[i] = (struct kvoff_move_desc){
			.region = f->r.id, .block = block, .flags = next(seed) % 8 ? 0 : KVOFF_MOVE_STOP,
			.to = tier_of(&f->r, block) == rig->near ? rig->far : rig->near,
		};
	}
	if (move_batch(rig->control, descs, BATCH, results, NULL))
		return -1;
	for (i = 0; i < BATCH; i++) {
		switch (results[i].error) {
		case 0:
			moved += results[i].from != descs[i].to;
			*moved_sealed += results[i].from != descs[i].to && is_sealed(descs[i].block);
			break;
		case -EAGAIN:
		case -ENOSPC:
		case -ENODATA:
			break;
		default:
			fprintf(stderr, "# block %llu: %d\n", descs[i].block, results[i].error);
			return -1;
		}
	}
	return moved;
}

static bool busy_enough(struct common *c)
{
	int op;

	for (op = 0; op <= TO_DISK; op++)
		if (atomic_load(&c->ops[op]) < OPS_MIN)
			return false;
	return atomic_load(&c->ops[RENEW]) > 0 && atomic_load(&c->events) > 0;
}

TEST_F(framed_moves, under_registered_windows)
{
	uint64_t moved = 0, sealed = 0, tried = 0, busy = stat_now("move_busy"), flips = stat_now("flips"), seed = 4;
	uint64_t begin = now_ms(), lost = 0, p;
	pid_t pids[WORKERS + 1];
	unsigned int patience = PATIENCE_MS, i;
	int status;

	ASSERT_EQ(0, blocks_alloc(self->f.r.fd, 0, NR, NULL));
	for (i = 0; i <= WORKERS; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		/* they end with the test, however it ends */
		if (!pids[i])
			prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!pids[i] && i < WORKERS) {
			struct worker w;

			worker_main(&w, &self->f, self->c, i);
		}
		if (!pids[i])
			scheduler_main(&self->f, self->c);
	}
	EXPECT_TRUE(comes_true(atomic_load(&self->c->ready) > WORKERS));
	while ((moved - sealed < MOVES ? tried < 40 * MOVES : !busy_enough(self->c) && patience--) &&
	       atomic_load(&self->c->ready) > WORKERS && !atomic_load(&self->c->wrong) &&
	       !atomic_load(&self->c->failed)) {
		int n = move_some(&self->rig, &self->f, &seed, &sealed);

		/* they have their company yet to come */
		if (moved - sealed >= MOVES)
			nap();
		if (n < 0) {
			atomic_fetch_add(&self->c->failed, 1);
			break;
		}
		moved += n;
		tried += BATCH;
	}
	atomic_store(&self->c->stop, true);
	for (i = 0; i <= WORKERS; i++) {
		ASSERT_EQ(pids[i], waitpid(pids[i], &status, 0));
		EXPECT_EQ(0, status) TH_LOG("process %u", i);
	}
	flips = stat_now("flips") - flips;

	TH_LOG("%lu ms: %lu moves of %lu tried, %lu of them of sealed blocks, %lu flips; %lu reads, %lu writes, "
	       "%lu from disk, %lu to disk, %lu recycled, %lu stale; %lu touches, told of %lu moves",
	       now_ms() - begin, moved, tried, sealed, flips, atomic_load(&self->c->ops[READ]),
	       atomic_load(&self->c->ops[WRITE]), atomic_load(&self->c->ops[FROM_DISK]),
	       atomic_load(&self->c->ops[TO_DISK]), atomic_load(&self->c->ops[RENEW]),
	       atomic_load(&self->c->ops[STALE]), atomic_load(&self->c->touches), atomic_load(&self->c->events));
	EXPECT_EQ(0, atomic_load(&self->c->wrong));
	EXPECT_EQ(0, atomic_load(&self->c->failed));
	EXPECT_LE(MOVES, moved - sealed);
	EXPECT_EQ(busy, stat_now("move_busy"));
	EXPECT_LT(0, flips);
	EXPECT_LE(flips, sealed);
	EXPECT_LE(atomic_load(&self->c->events), moved);
	EXPECT_TRUE(busy_enough(self->c));

	/* nobody writes any more: every page is of its last life */
	for (p = 0; p < PAGES; p++)
		lost += !is_right(page_in(&self->f, location(&self->f.r, p / PER_BLOCK), p), p,
				  atomic_load(&self->c->lives[p].done), &self->c->lives[p]);
	EXPECT_EQ(0, lost);
}

TEST_HARNESS_MAIN
