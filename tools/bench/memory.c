// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Mapping what the kernel has, and turning its knobs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tools/bench/memory.h"

#define PAGE	4096UL
#define HUGE	(2UL << 20)

#define THP_DIR		"/sys/kernel/mm/transparent_hugepage"
#define HUGETLB_NR	"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

const char *memory_name(enum memory_kind kind)
{
	switch (kind) {
	case MEMORY_PAGES: return "anonymous, 4 KiB pages";
	case MEMORY_THP: return "anonymous, THP";
	case MEMORY_HUGETLB: return "hugetlb, 2 MiB";
	case MEMORY_HUGETLB_SHARED: return "hugetlb, shared";
	case MEMORY_SHARED: return "shared memory";
	}
	return "?";
}

int file_write(const char *path, const char *fmt, ...)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), len, ret = 0;
	char text[64];
	va_list ap;

	if (fd < 0)
		return -errno;
	va_start(ap, fmt);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (write(fd, text, len) != len)
		ret = errno ? -errno : -EIO;
	close(fd);
	return ret;
}

int file_choice(const char *path, char *buf, size_t size)
{
	char text[256], *begin, *end;
	FILE *f = fopen(path, "re");

	if (!f)
		return -errno;
	begin = fgets(text, sizeof(text), f);
	fclose(f);
	if (!begin)
		return -EIO;
	end = strchr(text, '[');
	if (end)
		begin = end + 1;
	begin[strcspn(begin, "] \n")] = '\0';
	snprintf(buf, size, "%s", begin);
	return 0;
}

uint64_t file_key(const char *path, const char *key, uint64_t otherwise)
{
	size_t len = strlen(key);
	uint64_t value = otherwise;
	char line[256];
	FILE *f = fopen(path, "re");

	if (!f)
		return otherwise;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, len) || !strchr(" :\t", line[len]))
			continue;
		value = strtoull(line + len + strspn(line + len, " :\t"), NULL, 10);
		break;
	}
	fclose(f);
	return value;
}

/* ---- transparent huge pages: one size at a time ---- */

static char thp_large[32], thp_small[32];

static void thp_path(char *path, size_t size, size_t huge)
{
	if (huge == HUGE)
		snprintf(path, size, "%s/enabled", THP_DIR);
	else
		snprintf(path, size, "%s/hugepages-%zukB/enabled", THP_DIR, huge >> 10);
}

static int thp_only(size_t huge)
{
	char path[128];
	int ret;

	thp_path(path, sizeof(path), HUGE);
	ret = file_choice(path, thp_large, sizeof(thp_large));
	if (ret || huge == HUGE)
		return ret ?: file_write(path, "madvise");
	/* where one size is asked for by itself, the large one, which inherits, must not be */
	ret = file_write(path, "never");
	thp_path(path, sizeof(path), huge);
	ret = ret ?: file_choice(path, thp_small, sizeof(thp_small));
	return ret ?: file_write(path, "madvise");
}

static void thp_restore(size_t huge)
{
	char path[128];

	thp_path(path, sizeof(path), HUGE);
	file_write(path, "%s", thp_large);
	if (huge != HUGE && thp_small[0]) {
		thp_path(path, sizeof(path), huge);
		file_write(path, "%s", thp_small);
		thp_small[0] = '\0';
	}
}

static size_t thp_huge;

void *memory_map(enum memory_kind kind, size_t bytes, size_t huge)
{
	int flags = MAP_ANONYMOUS | MAP_NORESERVE, error;
	char *p, *aligned;

	if (kind == MEMORY_HUGETLB || kind == MEMORY_HUGETLB_SHARED) {
		flags = MAP_ANONYMOUS | MAP_HUGETLB;
		p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 flags | (kind == MEMORY_HUGETLB ? MAP_PRIVATE : MAP_SHARED), -1, 0);
		return p == MAP_FAILED ? NULL : p;
	}
	flags |= kind == MEMORY_SHARED ? MAP_SHARED : MAP_PRIVATE;
	p = mmap(NULL, bytes + HUGE, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	aligned = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	if (aligned > p)
		munmap(p, aligned - p);
	munmap(aligned + bytes, p + HUGE - aligned);
	if (kind == MEMORY_THP) {
		error = -thp_only(huge);
		thp_huge = huge;
	} else {
		error = 0;
	}
	if (!error && madvise(aligned, bytes, kind == MEMORY_THP ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		error = errno;
	if (!error)
		return aligned;
	memory_unmap(kind, aligned, bytes);
	errno = error;
	return NULL;
}

void memory_unmap(enum memory_kind kind, void *p, size_t bytes)
{
	munmap(p, bytes);
	if (kind == MEMORY_THP)
		thp_restore(thp_huge);
}

long hugetlb_set(unsigned long nr)
{
	char text[32];
	int ret = file_write(HUGETLB_NR, "%lu", nr) ?: file_choice(HUGETLB_NR, text, sizeof(text));

	return ret ?: strtol(text, NULL, 10);
}

void touch_read(const void *p, size_t bytes)
{
	size_t at;

	for (at = 0; at < bytes; at += PAGE)
		(void)*((const volatile uint8_t *)p + at);
}

void touch_write(void *p, size_t bytes)
{
	size_t at;

	for (at = 0; at < bytes; at += PAGE)
		*((volatile uint8_t *)p + at) = 1;
}

uint64_t faults_now(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_minflt;
}
