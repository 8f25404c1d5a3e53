/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's own kinds of memory, as peers: anonymous and huge pages, and what an admin turns for them.
 */
#ifndef KVOFF_BENCH_MEMORY_H
#define KVOFF_BENCH_MEMORY_H

#include <stddef.h>
#include <stdint.h>

enum memory_kind {
	MEMORY_PAGES,		/* anonymous, 4 KiB pages */
	MEMORY_THP,		/* anonymous, transparent huge pages of the size asked for */
	MEMORY_HUGETLB,		/* from the hugetlb pool, 2 MiB, private */
	MEMORY_HUGETLB_SHARED,
	MEMORY_SHARED,		/* shared memory, 4 KiB pages */
};

const char *memory_name(enum memory_kind kind);

/*
 * @bytes of it, aligned to 2 MiB, untouched; NULL with errno set. @huge: for MEMORY_THP, bytes of a huge page; the
 * other sizes are turned off until memory_unmap().
 */
void *memory_map(enum memory_kind kind, size_t bytes, size_t huge);
void memory_unmap(enum memory_kind kind, void *p, size_t bytes);

/* The hugetlb pool of 2 MiB pages; how many it has then, or -errno. */
long hugetlb_set(unsigned long nr);

/* One byte of each page, read or written. */
void touch_read(const void *p, size_t bytes);
void touch_write(void *p, size_t bytes);

/* Minor faults of this process so far. */
uint64_t faults_now(void);

/* Write @value to any file, /proc and /sys above all; 0 or -errno. */
int file_write(const char *path, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The word in brackets, or else the first; 0 or -errno. */
int file_choice(const char *path, char *buf, size_t size);
/* The number after @key, at the beginning of a line, in /proc/vmstat and the like; @otherwise where there is none. */
uint64_t file_key(const char *path, const char *key, uint64_t otherwise);

#endif /* KVOFF_BENCH_MEMORY_H */
