/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The library that kvoff-run preloads: large anonymous allocations of a program that knows nothing of kvoff lie in a
 * region. It uses libkvoff's public interface and nothing else of it.
 *
 * One lock (run_lock()) holds the book of what lies in the region and all calls of libkvoff together. Nothing small
 * ever takes it: what is not large, or not in the region's address range, goes to the C library or the kernel at once.
 * What libkvoff and the C library do meanwhile comes back to the wrappers here; run_inside() sends it on, plain.
 */
#ifndef KVOFF_RUN_H
#define KVOFF_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RUN_EXPORT __attribute__((visibility("default")))
#define RUN_PAGE   ((size_t)4096)

/* ---- settings.c: what kvoff-run was told, by the environment ---- */

#define RUN_ENV_MIN_SIZE "KVOFF_RUN_MIN_SIZE"	/* bytes, decimal */
#define RUN_ENV_MATCH	 "KVOFF_RUN_MATCH"	/* names, separated by colons */
#define RUN_ENV_FORK	 "KVOFF_RUN_FORK"	/* copy or deny */
#define RUN_ENV_TENANT	 "KVOFF_RUN_TENANT"
#define RUN_ENV_LABEL	 "KVOFF_RUN_LABEL"
#define RUN_ENV_REPORT	 "KVOFF_RUN_REPORT"	/* a file to append to, or none */
#define RUN_ENV_PID	 "KVOFF_RUN_PID"	/* the process that has its region from the start */
#define RUN_MIN_SIZE	 ((size_t)64 << 20)
/* Smaller than a few blocks of the smallest size would be waste. */
#define RUN_MIN_SIZE_MIN ((size_t)256 << 10)

/**
 * struct run_settings - constant after run_settings_read()
 * @min_size:	allocations of so many bytes and more are served
 * @match:	NULL, or only those that code in one of these files asks for
 * @fork_copy:	a forked child gets the bytes; else it must do without
 * @tenant, @label: NULL for libkvoff's default
 * @report:	NULL for standard error, a file's name, or "none"
 * @pid:	the process that does not wait for something large, 0 for none
 */
struct run_settings {
	size_t min_size;
	const char *match;
	bool fork_copy;
	const char *tenant;
	const char *label;
	const char *report;
	pid_t pid;
};

extern struct run_settings run_settings;
void run_settings_read(void);
/* @caller is code that may be served. */
bool run_matches(const void *caller);

/* ---- real.c: what is below us ---- */

/* The next allocator's; usable before it is known, and from within finding it. */
void *real_malloc(size_t size);
void *real_calloc(size_t nr, size_t size);
void *real_realloc(void *p, size_t size);
void *real_memalign(size_t align, size_t size);
void real_free(void *p);
size_t real_usable_size(void *p);

/* The kernel's, without a wrapper between. */
void *real_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
int real_munmap(void *addr, size_t len);
int real_mprotect(void *addr, size_t len, int prot);
void *real_mremap(void *addr, size_t old_len, size_t new_len, int flags, void *new_addr);
int real_madvise(void *addr, size_t len, int advice);
int real_close(int fd);

/* ---- region.c: what lies in the region ---- */

enum run_state {
	RUN_NEW,	/* nothing large was asked for yet */
	RUN_OPEN,
	RUN_OFF,	/* the region could not be opened; all is plain */
	RUN_CHILD,	/* forked off by one that was RUN_OPEN: what it left is found here, nothing new is served */
};

/**
 * struct run_range - the addresses of the region; in a forked child of what was one
 * @base:	the first, NULL before there is one
 * @length:	in bytes
 */
struct run_range {
	char *base;
	size_t length;
};

/**
 * struct run_counts - what became of large allocations
 * @served, @served_bytes: in the region, since the start
 * @live, @live_bytes, @peak_bytes: of these
 * @plain, @plain_bytes: those for which there was no room
 */
struct run_counts {
	uint64_t served;
	uint64_t served_bytes;
	uint64_t live;
	uint64_t live_bytes;
	uint64_t peak_bytes;
	uint64_t plain;
	uint64_t plain_bytes;
};

extern enum run_state run_state;
extern struct run_range run_range;
extern struct run_counts run_counts;
extern struct libkvoff *run_kv;

static inline bool run_in_range(const void *p)
{
	const char *base = __atomic_load_n(&run_range.base, __ATOMIC_ACQUIRE);

	return base && (size_t)((const char *)p - base) < run_range.length;
}

/* This thread is at work in libkvoff or in here: its calls are to be plain ones. */
bool run_inside(void);

void run_lock(void);
void run_unlock(void);
/* The same, and looks at no wish for a report. */
void run_unlock_quietly(void);
bool run_trylock(void);

/* Memory of the region, or NULL: not large, not wanted, no room. Takes the lock. @mapped: for munmap(), not free(). */
void *region_get(size_t size, size_t align, bool zero, bool mapped, const void *caller);

/* Bytes of the allocation at @p, which is not of mmap(); 0 if there is none. Takes the lock. */
size_t region_size(const void *p);
/* Frees it; false if there is none. Takes the lock. */
bool region_put(void *p);
/* Makes it larger or smaller where it is; false if that cannot be. Takes the lock. */
bool region_resize(void *p, size_t size);

/*
 * With the lock held, @start and @len in pages: what is mapped of the range goes; @keep: the caller maps something
 * else.
 */
void region_unmap(char *start, size_t len, bool keep);
/* The bytes of the range, as far as it is mapped, are zero. */
void region_zero(char *start, size_t len);
/* All of the range is mapped. */
bool region_has(const char *start, size_t len);
void region_set_protected(const char *start, size_t len);

/* ---- book.c: pieces of address space that are in use, in ascending order; under the lock ---- */

/**
 * struct extent - one allocation of libkvoff's
 * @start:	its first byte
 * @room:	its bytes, whole blocks
 * @live:	bytes of all its pieces
 * @mapped:	made by mmap(): may go piece by piece
 * @protected:	not all of it is readable and writable
 * @torn:	the program has mapped something else over part of it: never given back
 * @next:	of those that are not in use
 */
struct extent {
	char *start;
	size_t room;
	size_t live;
	bool mapped;
	bool protected;
	bool torn;
	struct extent *next;
};

/**
 * struct piece - a part of an extent that is in use, all of it but for what munmap() took
 * @start:	first byte
 * @len:	bytes, as asked for
 * @of:		the extent
 */
struct piece {
	char *start;
	size_t len;
	struct extent *of;
};

extern struct piece *book;
extern size_t book_nr;

/* The first piece that ends above @p; book_nr if there is none. */
size_t book_find(const char *p);
/* A new extent with one piece; NULL without memory. */
struct extent *book_add(char *start, size_t len, size_t room, bool mapped);
/* Room for one more piece: 0, or -ENOMEM. */
int book_reserve(void);
/* Takes [@start, @start + @len) out of piece @i, which has it. Needs book_reserve() where it is in the middle. */
void book_cut(size_t i, char *start, size_t len);
void book_drop_extent(struct extent *extent);

/* ---- fork.c, report.c, descriptor.c ---- */

/* In a forked child: the memory at @p has been freed. */
void fork_release(char *p, size_t len);

void report_init(void);
/* One line on standard error, or where reports go. */
void report_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A report was asked for while the lock was held. */
void report_if_wanted(void);

/* Descriptors that are ours, and that the program must not lose for us: -1 where there is none. */
extern int run_fd;
extern int run_report_fd;
/* They are no smaller than this where that can be: programs count on the lowest free number. */
#define RUN_FD_MIN 240

/**
 * struct low_descriptors - takes all small numbers for a while
 * @taken:	by us
 */
struct low_descriptors {
	bool taken[RUN_FD_MIN];
};

void low_descriptors_take(struct low_descriptors *low);
void low_descriptors_give(const struct low_descriptors *low);

#endif
