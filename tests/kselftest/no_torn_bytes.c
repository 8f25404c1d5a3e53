// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Promise 2: no read returns torn or stale bytes and no write is lost, with readers, writers, direct I/O and moves
 * at once.
 *
 * Every page has one writer, which says in plain memory which life of the page it begins and which it has finished.
 * Each word of a page tells the page and the life. So a reader knows the oldest and the newest life that it may see:
 * an older one is a lost write or a stale frame, a newer one or another page's is a wrong frame. A CPU writer writes
 * words in ascending order and readers read in descending order: what is read later may not be older.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

#include "rig.h"

#define DISK		"/dev/vda"
#define DISK_BYTES	(64 * MIB)
/* Pages in a row that direct I/O reads or writes at once. */
#define RUN		4
/* Each of these has to happen so often for the moves to have had company. */
#define READS_MIN	100
#define WRITES_MIN	100
#define RUNS_MIN	50

/**
 * struct life - of one page
 * @begun:	the life its writer has begun to write
 * @done:	the life that is complete
 */
struct life {
	atomic_uint begun;
	atomic_uint done;
};

FIXTURE(no_torn_bytes)
{
	struct rig rig;
	struct region *r;
	struct life *lives;
	uint64_t pages;
	uint64_t per_block;
	useconds_t pause_us;
	int disk;
	atomic_bool stop;
	atomic_ulong wrong;
	atomic_ulong failed;
	atomic_ulong writes;
	atomic_ulong reads;
	atomic_ulong disk_reads;
	atomic_ulong disk_writes;
};

FIXTURE_VARIANT(no_torn_bytes)
{
	uint32_t bs;
	uint64_t nr;
	uint64_t moves;
	const char *interval_ms;
	useconds_t pause_us;
	const char *twins;
};

FIXTURE_VARIANT_ADD(no_torn_bytes, 64k)
{
	.bs = 64 * KIB, .nr = 64, .moves = 20000, .interval_ms = "20", .pause_us = 500, .twins = "0",
};

FIXTURE_VARIANT_ADD(no_torn_bytes, 2m)
{
	.bs = 2 * MIB, .nr = 8, .moves = 500, .interval_ms = "50", .pause_us = 20000, .twins = "0",
};

/*
 * the same with clean copies that stay behind: many of the moves are flips, which a write must have made
 * impossible
 */
FIXTURE_VARIANT_ADD(no_torn_bytes, 64k_twins)
{
	.bs = 64 * KIB, .nr = 64, .moves = 8000, .interval_ms = "20", .pause_us = 500, .twins = "1",
};

FIXTURE_VARIANT_ADD(no_torn_bytes, 2m_twins)
{
	.bs = 2 * MIB, .nr = 8, .moves = 6000, .interval_ms = "50", .pause_us = 20000, .twins = "1",
};

typedef FIXTURE_DATA(no_torn_bytes) scene;

FIXTURE_SETUP(no_torn_bytes)
{
	ASSERT_EQ(0, rig_up(&self->rig, variant->bs, (variant->nr + 4) * variant->bs));
	self->r = rig_region(&self->rig, variant->bs, variant->nr);
	ASSERT_NE(NULL, self->r);
	self->per_block = variant->bs / PAGE;
	self->pause_us = variant->pause_us;
	self->pages = variant->nr * self->per_block;
	self->lives = calloc(self->pages, sizeof(*self->lives));
	self->disk = open(DISK, O_RDWR | O_DIRECT | O_CLOEXEC);
	ASSERT_LE(0, self->disk);
	/* blocks come and go under the sampler's hands too */
	ASSERT_EQ(0, sysfs_write("tuning/sample_interval_ms", variant->interval_ms));
	ASSERT_EQ(0, sysfs_write("tuning/twins", variant->twins));
}

FIXTURE_TEARDOWN(no_torn_bytes)
{
	const char *wrong;

	close(self->disk);
	wrong = rig_down(&self->rig);
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
	free(self->lives);
}

static uint64_t stamp(uint64_t page, uint32_t life)
{
	return (page + 1) << 32 | life;
}

static volatile uint64_t *page_at(scene *s, uint64_t page)
{
	return (volatile uint64_t *)(s->r->data + page * PAGE);
}

/* Pages of runs 0 and 1 of every four are the CPU's, of run 2 and 3 the disk's. */
static bool is_disks(uint64_t page)
{
	return page / RUN % 4 >= 2;
}

static uint64_t next(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return *seed >> 33;
}

static void write_page(scene *s, uint64_t page)
{
	struct life *l = &s->lives[page];
	uint32_t life = atomic_load(&l->done) + 1;
	volatile uint64_t *p = page_at(s, page);
	unsigned int i;

	atomic_store(&l->begun, life);
	for (i = 0; i < WORDS; i++)
		p[i] = stamp(page, life);
	atomic_store(&l->done, life);
}

/* Is @v a word of @page that can be seen between the lives @low and @high? */
static bool is_right(uint64_t v, uint64_t page, uint32_t low, uint32_t high)
{
	return v >= stamp(page, low) && v <= stamp(page, high);
}

static void read_page(scene *s, uint64_t page)
{
	uint32_t low = atomic_load(&s->lives[page].done), high;
	uint64_t seen[WORDS], least = 0, most = 0;
	volatile uint64_t *p = page_at(s, page);
	bool ordered = true;
	unsigned int i;

	for (i = WORDS; i-- > 0; )
		seen[i] = p[i];
	high = atomic_load(&s->lives[page].begun);
	least = most = seen[WORDS - 1];
	for (i = WORDS; i-- > 0; ) {
		/* read after word i + 1, and written before it */
		if (i < WORDS - 1 && seen[i] < seen[i + 1])
			ordered = false;
		least = seen[i] < least ? seen[i] : least;
		most = seen[i] > most ? seen[i] : most;
	}
	if (!is_right(least, page, low, high) || !is_right(most, page, low, high) || (!ordered && !is_disks(page)))
		atomic_fetch_add(&s->wrong, 1);
	atomic_fetch_add(&s->reads, 1);
}

/* Bursts in one block, with pauses: moves of all other blocks go through meanwhile. */
static void *writer(void *arg)
{
	uint64_t seed = 1, i;
	scene *s = arg;

	while (!atomic_load(&s->stop)) {
		uint64_t block = next(&seed) % s->r->nr;

		for (i = 0; i < 16; i++) {
			uint64_t page = block * s->per_block + next(&seed) % s->per_block;

			if (is_disks(page))
				continue;
			write_page(s, page);
			atomic_fetch_add(&s->writes, 1);
		}
		usleep(s->pause_us);
	}
	return NULL;
}

static void *reader(void *arg)
{
	uint64_t seed = 2;
	scene *s = arg;

	while (!atomic_load(&s->stop)) {
		unsigned int i;

		for (i = 0; i < 32; i++)
			read_page(s, next(&seed) % s->pages);
		usleep(s->pause_us);
	}
	return NULL;
}

/* Give a run of pages a new life that comes from the disk. */
static void disk_to_block(scene *s, uint64_t *bounce, uint64_t first)
{
	uint64_t off = first % (DISK_BYTES / 2 / PAGE) * PAGE;
	uint64_t i, k;

	for (i = 0; i < RUN; i++) {
		struct life *l = &s->lives[first + i];
		uint32_t life = atomic_load(&l->done) + 1;

		for (k = 0; k < WORDS; k++)
			bounce[i * WORDS + k] = stamp(first + i, life);
		atomic_store(&l->begun, life);
	}
	if (pwrite(s->disk, bounce, RUN * PAGE, off) != (ssize_t)(RUN * PAGE) ||
	    pread(s->disk, (void *)page_at(s, first), RUN * PAGE, off) != (ssize_t)(RUN * PAGE)) {
		atomic_fetch_add(&s->failed, 1);
		return;
	}
	for (i = 0; i < RUN; i++)
		atomic_store(&s->lives[first + i].done, atomic_load(&s->lives[first + i].begun));
	atomic_fetch_add(&s->disk_reads, 1);
}

/* What the disk gets from a run of pages is what they held. */
static void block_to_disk(scene *s, uint64_t *bounce, uint64_t first)
{
	uint64_t off = DISK_BYTES / 2 + first % (DISK_BYTES / 2 / PAGE) * PAGE;
	uint32_t low[RUN], high[RUN];
	uint64_t i, k;

	for (i = 0; i < RUN; i++)
		low[i] = atomic_load(&s->lives[first + i].done);
	if (pwrite(s->disk, (void *)page_at(s, first), RUN * PAGE, off) != (ssize_t)(RUN * PAGE)) {
		atomic_fetch_add(&s->failed, 1);
		return;
	}
	for (i = 0; i < RUN; i++)
		high[i] = atomic_load(&s->lives[first + i].begun);
	if (pread(s->disk, bounce, RUN * PAGE, off) != (ssize_t)(RUN * PAGE)) {
		atomic_fetch_add(&s->failed, 1);
		return;
	}
	for (i = 0; i < RUN; i++) {
		for (k = 0; k < WORDS; k++)
			if (!is_right(bounce[i * WORDS + k], first + i, low[i], high[i]))
				break;
		if (k < WORDS)
			atomic_fetch_add(&s->wrong, 1);
	}
	atomic_fetch_add(&s->disk_writes, 1);
}

static void *direct_io(void *arg)
{
	uint64_t *bounce = aligned_alloc(PAGE, RUN * PAGE);
	uint64_t seed = 3;
	scene *s = arg;

	while (bounce && !atomic_load(&s->stop)) {
		uint64_t first = next(&seed) % (s->pages / RUN) * RUN;

		if (is_disks(first))
			disk_to_block(s, bounce, first);
		block_to_disk(s, bounce, next(&seed) % (s->pages / RUN) * RUN);
		usleep(2 * s->pause_us);
	}
	free(bounce);
	return NULL;
}

/* How many of a batch of random blocks really moved. */
static int move_some(scene *s, uint64_t *seed, unsigned int nr)
{
	struct kvoff_move_result results[32];
	struct kvoff_move_desc descs[32];
	unsigned int i;
	int moved = 0;

	for (i = 0; i < nr; i++) {
		uint64_t block = next(seed) % s->r->nr;
		uint32_t to = tier_of(s->r, block) == s->rig.near ? s->rig.far : s->rig.near;

		/* every eighth block is stopped for its copy */
		descs[i] = (struct kvoff_move_desc){
			.region = s->r->id, .to = to, .block = block, .flags = next(seed) % 8 ? 0 : KVOFF_MOVE_STOP,
		};
	}
	if (move_batch(s->rig.control, descs, nr, results, NULL))
		return -1;
	for (i = 0; i < nr; i++) {
		switch (results[i].error) {
		case 0:
			moved += results[i].from != descs[i].to;
			break;
		case -EBUSY:
		case -ECANCELED:
		case -ENOSPC:
			break;
		default:
			return -1;
		}
	}
	return moved;
}

static bool busy_enough(scene *s)
{
	return atomic_load(&s->writes) > WRITES_MIN && atomic_load(&s->reads) > READS_MIN &&
	       atomic_load(&s->disk_reads) > RUNS_MIN && atomic_load(&s->disk_writes) > RUNS_MIN;
}

TEST_F(no_torn_bytes, all_at_once)
{
	uint64_t p, k, moved = 0, tried = 0, lost = 0, seed = 4, before = stat_now("moves");
	uint64_t begin = now_ms(), want = variant->moves / rig_slow();
	unsigned int patience = PATIENCE_MS;
	pthread_t threads[3];

	for (p = 0; p < self->pages; p++)
		write_page(self, p);
	ASSERT_EQ(0, pthread_create(&threads[0], NULL, writer, self));
	ASSERT_EQ(0, pthread_create(&threads[1], NULL, reader, self));
	ASSERT_EQ(0, pthread_create(&threads[2], NULL, direct_io, self));
	/* all may be done before the others have begun: go on, with pauses, until there was something to disturb */
	while ((moved < want ? tried < 20 * variant->moves : !busy_enough(self) && patience--) &&
	       !atomic_load(&self->wrong) && !atomic_load(&self->failed)) {
		unsigned int nr = variant->nr < 32 ? variant->nr : 32;
		int n = move_some(self, &seed, nr);

		if (n < 0)
			break;
		moved += n;
		tried += nr;
		if (moved >= want)
			nap();
	}
	atomic_store(&self->stop, true);
	for (k = 0; k < 3; k++)
		pthread_join(threads[k], NULL);

	TH_LOG("%lu ms: %lu moves of %lu tried, %lu writes, %lu reads, %lu runs from disk, %lu to disk",
	       now_ms() - begin, moved, tried, atomic_load(&self->writes), atomic_load(&self->reads),
	       atomic_load(&self->disk_reads), atomic_load(&self->disk_writes));
	EXPECT_EQ(0, atomic_load(&self->wrong));
	EXPECT_EQ(0, atomic_load(&self->failed));
	EXPECT_LE(want, moved);
	EXPECT_LE(moved, stat_now("moves") - before);
	EXPECT_LT(WRITES_MIN, atomic_load(&self->writes));
	EXPECT_LT(READS_MIN, atomic_load(&self->reads));
	EXPECT_LT(RUNS_MIN, atomic_load(&self->disk_reads));
	EXPECT_LT(RUNS_MIN, atomic_load(&self->disk_writes));

	/* nobody writes any more: every word is of the last life */
	for (p = 0; p < self->pages; p++)
		for (k = 0; k < WORDS; k++)
			lost += page_at(self, p)[k] != stamp(p, atomic_load(&self->lives[p].done));
	EXPECT_EQ(0, lost);
}

TEST_HARNESS_MAIN
