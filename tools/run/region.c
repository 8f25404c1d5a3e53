// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What lies in the region. Each allocation has whole blocks to itself: so what goes of it can be discarded block by
 * block, and zeroed by that.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <libkvoff.h>

#include "run.h"

/* Address space of a region: costs nothing. */
#define RANGE	    ((size_t)1 << 40)
#define ALIGN_MAX   ((size_t)1 << 30)
#define QUERY_BATCH 64
/* What an allocation has for itself is at most this part more than what it asked for. */
#define ROUND_UP    16

enum run_state run_state;
struct run_range run_range;
struct run_counts run_counts;
struct libkvoff *run_kv;
int run_fd = -1;

static size_t block_size;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static __thread bool inside __attribute__((tls_model("initial-exec")));

bool run_inside(void)
{
	return inside;
}

void run_lock(void)
{
	pthread_mutex_lock(&lock);
	inside = true;
}

bool run_trylock(void)
{
	if (pthread_mutex_trylock(&lock))
		return false;
	inside = true;
	return true;
}

void run_unlock_quietly(void)
{
	inside = false;
	pthread_mutex_unlock(&lock);
}

void run_unlock(void)
{
	run_unlock_quietly();
	report_if_wanted();
}

static void open_region(void)
{
	struct libkvoff_options opts = LIBKVOFF_OPTIONS_INIT;
	struct low_descriptors low;
	size_t block = (size_t)2 << 20;
	int ret;

	while (block > (size_t)64 << 10 && block > run_settings.min_size / ROUND_UP)
		block /= 2;
	opts.tenant = run_settings.tenant;
	opts.label = run_settings.label;
	opts.block_size = block;
	opts.length = RANGE;
	low_descriptors_take(&low);
	ret = libkvoff_open(&run_kv, &opts);
	low_descriptors_give(&low);
	if (ret) {
		run_state = RUN_OFF;
		report_say("no region, going on with ordinary memory: %s", libkvoff_strerror(ret));
		return;
	}
	block_size = libkvoff_block_size(run_kv);
	run_fd = libkvoff_fd(run_kv);
	run_state = RUN_OPEN;
	run_range.length = RANGE;
	__atomic_store_n(&run_range.base, libkvoff_base(run_kv), __ATOMIC_RELEASE);
	report_init();
}

static size_t blocks_up(size_t n)
{
	return (n + block_size - 1) & ~(block_size - 1);
}

/*
 * Whole blocks of the range that have memory lose it: they read as zero. A block that cannot (a driver has it pinned)
 * is overwritten, if the range is @mapped.
 */
static void discard(char *start, size_t len, bool mapped)
{
	uint64_t index[QUERY_BATCH], first = libkvoff_index(run_kv, start);
	size_t nr = len / block_size, done, n, i, from;
	struct libkvoff_block where[QUERY_BATCH];

	for (done = 0; done < nr; done += n) {
		n = nr - done < QUERY_BATCH ? nr - done : QUERY_BATCH;
		for (i = 0; i < n; i++)
			index[i] = first + done + i;
		/* a poisoned block is an error, and @where is filled all the same */
		libkvoff_query(run_kv, index, n, where);
		for (i = 0; i < n; i++) {
			from = i;
			while (i < n && (where[i].tier >= 0 || where[i].flags & LIBKVOFF_BLOCK_POISONED))
				i++;
			if (i > from && libkvoff_discard_ptr(run_kv, start + (done + from) * block_size,
							     (i - from) * block_size) && mapped)
				memset(start + (done + from) * block_size, 0, (i - from) * block_size);
		}
	}
}

void region_zero(char *start, size_t len)
{
	char *end = start + len, *from = run_range.base + blocks_up((size_t)(start - run_range.base));
	char *to = run_range.base + ((size_t)(end - run_range.base) & ~(block_size - 1));

	if (from >= to) {
		memset(start, 0, len);
		return;
	}
	memset(start, 0, (size_t)(from - start));
	discard(from, (size_t)(to - from), true);
	memset(to, 0, (size_t)(end - to));
}

static void *get_locked(size_t size, size_t align, bool zero, bool mapped)
{
	size_t room;
	void *p;

	if (run_state == RUN_NEW)
		open_region();
	if (run_state != RUN_OPEN)
		return NULL;
	room = blocks_up(size);
	p = libkvoff_aligned_alloc(run_kv, align > block_size ? align : block_size, room);
	if (!p) {
		if (!run_counts.plain++)
			report_say("%zu bytes are going to ordinary memory, and so will others: %s", size,
				   libkvoff_strerror(-errno));
		run_counts.plain_bytes += size;
		return NULL;
	}
	if (!book_add(p, size, room, mapped)) {
		libkvoff_free(run_kv, p);
		return NULL;
	}
	if (zero)
		discard(p, room, true);
	run_counts.served++;
	run_counts.served_bytes += size;
	run_counts.live++;
	run_counts.live_bytes += size;
	if (run_counts.live_bytes > run_counts.peak_bytes)
		run_counts.peak_bytes = run_counts.live_bytes;
	return p;
}

static void settle(void)
{
	static bool settled;

	if (__atomic_load_n(&settled, __ATOMIC_ACQUIRE))
		return;
	run_lock();
	if (!settled)
		run_settings_read();
	__atomic_store_n(&settled, true, __ATOMIC_RELEASE);
	run_unlock();
}

/*
 * A program may lock itself into a sandbox, or give up its privileges, before it allocates anything large. That of the
 * command line has its region before it begins; what it executes, and so may be anything, has one when it needs it.
 */
static __attribute__((constructor)) void begin(void)
{
	settle();
	if (run_settings.pid != getpid())
		return;
	run_lock();
	if (run_state == RUN_NEW)
		open_region();
	run_unlock();
}

void *region_get(size_t size, size_t align, bool zero, bool mapped, const void *caller)
{
	int err = errno;
	void *p = NULL;

	/* without an environment it is too early to know what is wanted */
	if (inside || align > ALIGN_MAX || !environ)
		return NULL;
	settle();
	if (size < run_settings.min_size || size > PTRDIFF_MAX - ALIGN_MAX || run_state > RUN_OPEN)
		return NULL;
	/* before the lock: the loader may call malloc() with its own lock held */
	inside = true;
	if (run_matches(caller)) {
		run_lock();
		p = get_locked(size, align, zero, mapped);
		run_unlock();
	}
	inside = false;
	errno = err;
	return p;
}

/* The piece that is a whole allocation at @p; NULL if there is none. */
static struct piece *allocation(const void *p)
{
	size_t i = book_find(p);

	return i < book_nr && book[i].start == p && !book[i].of->mapped ? &book[i] : NULL;
}

size_t region_size(const void *p)
{
	const struct piece *piece;
	size_t size;

	run_lock();
	piece = allocation(p);
	size = piece ? piece->len : 0;
	run_unlock();
	return size;
}

/* The last piece of @extent has gone. */
static void give_back(struct extent *extent)
{
	run_counts.live--;
	if (extent->torn)
		return;
	if (extent->protected)
		real_mprotect(extent->start, extent->room, PROT_READ | PROT_WRITE);
	libkvoff_free(run_kv, extent->start);
	book_drop_extent(extent);
}

bool region_put(void *p)
{
	struct extent *extent;
	struct piece *piece;
	size_t len;

	run_lock();
	piece = allocation(p);
	if (piece) {
		len = piece->len;
		extent = piece->of;
		book_cut((size_t)(piece - book), p, len);
		run_counts.live_bytes -= len;
		if (run_state == RUN_CHILD)
			fork_release(p, len);
		else
			give_back(extent);
	}
	run_unlock();
	return piece;
}

bool region_resize(void *p, size_t size)
{
	struct piece *piece;
	bool ok;

	run_lock();
	piece = run_state == RUN_OPEN ? allocation(p) : NULL;
	ok = piece && size >= run_settings.min_size && size <= piece->of->room && size > piece->of->room / 2;
	if (ok) {
		run_counts.live_bytes += size - piece->len;
		piece->of->live += size - piece->len;
		piece->len = size;
	}
	run_unlock();
	return ok;
}

bool region_has(const char *start, size_t len)
{
	const char *end = start + len;
	size_t i;

	for (i = book_find(start); i < book_nr && start < end && book[i].start <= start; i++)
		start = book[i].start + ((book[i].len + RUN_PAGE - 1) & ~(RUN_PAGE - 1));
	return start >= end;
}

void region_set_protected(const char *start, size_t len)
{
	size_t i;

	for (i = book_find(start); i < book_nr && book[i].start < start + len; i++)
		book[i].of->protected = true;
}

/* The blocks around @p that no piece is on lose their memory. */
static void empty_gap(const struct extent *extent, const char *p)
{
	size_t i = book_find(p);
	char *from = extent->start, *to = extent->start + extent->room;

	if (i && book[i - 1].of == extent)
		from = book[i - 1].start + book[i - 1].len;
	if (i < book_nr && book[i].of == extent)
		to = book[i].start;
	from = run_range.base + blocks_up((size_t)(from - run_range.base));
	to = run_range.base + ((size_t)(to - run_range.base) & ~(block_size - 1));
	if (from < to)
		discard(from, (size_t)(to - from), false);
}

void region_unmap(char *start, size_t len, bool keep)
{
	struct extent *extent;
	char *from, *to;
	size_t i;

	while ((i = book_find(start)) < book_nr && book[i].start < start + len) {
		extent = book[i].of;
		from = book[i].start > start ? book[i].start : start;
		to = book[i].start + book[i].len;
		if (to > start + len)
			to = start + len;
		/* a middle that cannot be noted stays: it is only memory */
		if (book_reserve())
			return;
		book_cut(i, from, (size_t)(to - from));
		run_counts.live_bytes -= (uint64_t)(to - from);
		extent->torn |= keep;
		if (!extent->live) {
			if (extent->torn)
				discard(extent->start, extent->room, false);
			give_back(extent);
			continue;
		}
		if (!keep) {
			real_mprotect(from, ((size_t)(to - from) + RUN_PAGE - 1) & ~(RUN_PAGE - 1), PROT_NONE);
			extent->protected = true;
		}
		empty_gap(extent, from);
	}
}
