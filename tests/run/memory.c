// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Does memory behave as a program expects it, when kvoff-run has put it somewhere else? Knows nothing of kvoff but
 * the name that its memory has in /proc/self/maps. Started by kvoff-run --min-size 1M.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/lib/ktap.h"
#include "tests/run/memory.h"

#define PAGE	((size_t)4096)

bool is_served(const void *p)
{
	FILE *f = fopen("/proc/self/maps", "re");
	uintptr_t low, high;
	bool served = false;
	char line[512];

	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &low, &high) == 2 && (uintptr_t)p >= low &&
		    (uintptr_t)p < high)
			served = strstr(line, "kvoff");
	fclose(f);
	return served;
}

bool all_are(const void *p, size_t len, unsigned char c)
{
	const unsigned char *s = p;

	return !len || (s[0] == c && !memcmp(s, s + 1, len - 1));
}

static void *map(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* ------------------------------------------------------------------ what faults */

static sigjmp_buf back;

static void fault(int sig)
{
	siglongjmp(back, 1);
}

static bool faults(volatile char *p, bool write)
{
	struct sigaction act = { .sa_handler = fault }, old;
	bool yes = true;

	sigaction(SIGSEGV, &act, &old);
	if (!sigsetjmp(back, 1)) {
		if (write)
			*p = 1;
		else
			(void)*p;
		yes = false;
	}
	sigaction(SIGSEGV, &old, NULL);
	return yes;
}

/* ------------------------------------------------------------------ */

/* Before any library has been initialised. */
static char *early;
static void take_early(int argc, char **argv, char **envp)
{
	early = malloc(3 * MIB);
	if (early)
		memset(early, 7, 3 * MIB);
}
__attribute__((section(".preinit_array"), used)) static void (*const preinit)(int, char **, char **) = take_early;

static void before_main(void)
{
	CHECK(early && all_are(early, 3 * MIB, 7));
	early = realloc(early, 4 * MIB);
	CHECK(early && all_are(early, 3 * MIB, 7));
	free(early);
}

static void who_is_served(void)
{
	char *small = malloc(100 * 1024), *large = malloc(MIB), *zeroed = calloc(3, MIB), *mapped = map(2 * MIB);

	CHECK(!is_served(small));
	CHECK(is_served(large) && is_served(zeroed) && is_served(mapped));
	CHECK(all_are(zeroed, 3 * MIB, 0) && all_are(mapped, 2 * MIB, 0));
	CHECK(malloc_usable_size(large) >= MIB && malloc_usable_size(small) >= 100 * 1024);
	memset(large, 1, malloc_usable_size(large));
	memset(zeroed, 2, 3 * MIB);
	memset(mapped, 3, 2 * MIB);
	CHECK(all_are(large, MIB, 1));
	free(small);
	free(large);
	free(zeroed);
	CHECK(!munmap(mapped, 2 * MIB));
	mapped = mmap(NULL, 2 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(mapped != MAP_FAILED && !is_served(mapped));
	munmap(mapped, 2 * MIB);
	free(NULL);
}

static void alignment(void)
{
	static const size_t aligns[] = { 16, 64, 4096, 65536, 2 * MIB, 16 * MIB };
	unsigned int i;
	void *p;

	for (i = 0; i < sizeof(aligns) / sizeof(aligns[0]); i++) {
		CHECK(!posix_memalign(&p, aligns[i], MIB + 5));
		CHECK(is_served(p) && (uintptr_t)p % aligns[i] == 0);
		memset(p, 1, MIB + 5);
		free(p);
		p = aligned_alloc(aligns[i], 2 * MIB);
		CHECK(is_served(p) && (uintptr_t)p % aligns[i] == 0);
		free(p);
		p = memalign(aligns[i], 2 * MIB);
		CHECK(is_served(p) && (uintptr_t)p % aligns[i] == 0);
		free(p);
	}
	p = valloc(MIB + 1);
	CHECK(is_served(p) && (uintptr_t)p % PAGE == 0);
	free(p);
	p = pvalloc(MIB + 1);
	CHECK(is_served(p) && malloc_usable_size(p) >= MIB + PAGE);
	free(p);
	CHECK(posix_memalign(&p, 3, MIB) == EINVAL);
}

/* What comes back after it was used is zero where it must be. */
static void zeroes(void)
{
	char *p;
	int i;

	for (i = 0; i < 20; i++) {
		p = malloc(MIB + (size_t)i * 70000);
		memset(p, 0xee, MIB + (size_t)i * 70000);
		free(p);
		p = calloc(1, MIB + (size_t)i * 50000);
		CHECK(all_are(p, MIB + (size_t)i * 50000, 0));
		memset(p, 0xdd, MIB);
		free(p);
		p = map(MIB + (size_t)i * PAGE);
		CHECK(all_are(p, MIB + (size_t)i * PAGE, 0));
		memset(p, 0xcc, MIB);
		munmap(p, MIB + (size_t)i * PAGE);
	}
}

static void reallocs(void)
{
	static const size_t sizes[] = {
		10, 5000, 300000, MIB, 3 * MIB, 3 * MIB + 1, 2 * MIB + 7, MIB + 1, 70000, 2 * MIB, 1,
	};
	size_t last = 0, keep;
	unsigned int i;
	char *p = NULL;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		p = realloc(p, sizes[i]);
		keep = last < sizes[i] ? last : sizes[i];
		CHECK(p && all_are(p, keep, (unsigned char)i));
		CHECK(is_served(p) == (sizes[i] >= MIB));
		last = sizes[i];
		memset(p, (int)i + 1, last);
	}
	p = reallocarray(p, 2, MIB);
	CHECK(is_served(p));
	free(p);
}

static void no_memory(void)
{
	volatile size_t huge = SIZE_MAX / 2;
	void *volatile p;

	errno = 0;
	p = malloc(PTRDIFF_MAX);
	CHECK(!p && errno == ENOMEM);
	errno = 0;
	p = calloc(huge, 3);
	CHECK(!p && errno == ENOMEM);
	errno = 0;
	p = reallocarray(NULL, huge, 3);
	CHECK(!p && errno == ENOMEM);
	CHECK(!map(0) && errno == EINVAL);
}

static void partial_munmap(void)
{
	size_t len = 4 * MIB;
	char *p = map(len), *q;

	memset(p, 5, len);
	/* head, tail, middle, twice */
	CHECK(!munmap(p, 3 * PAGE));
	CHECK(!munmap(p + len - MIB, MIB));
	CHECK(!munmap(p + MIB + PAGE, MIB));
	CHECK(!munmap(p + MIB + PAGE, MIB));
	CHECK(faults(p, false) && faults(p + 3 * PAGE - 1, true) && faults(p + len - 1, false));
	CHECK(faults(p + MIB + PAGE, false) && faults(p + 2 * MIB, true) && faults(p + 2 * MIB + PAGE - 1, false));
	CHECK(all_are(p + 3 * PAGE, MIB - 2 * PAGE, 5));
	CHECK(all_are(p + 2 * MIB + PAGE, MIB - PAGE, 5));
	/* what goes is not found in what comes */
	q = map(len);
	CHECK(q && all_are(q, len, 0));
	CHECK(q + len <= p + 3 * PAGE || q >= p + len - MIB);
	munmap(q, len);
	/* the rest, holes and all, and then it can be had again */
	CHECK(!munmap(p, len));
	q = map(len);
	CHECK(is_served(q) && all_are(q, len, 0));
	memset(q, 6, len);
	CHECK(all_are(q, len, 6));
	CHECK(!munmap(q, len));
	errno = 0;
	q = map(len);
	CHECK(munmap(q + 1, PAGE) == -1 && errno == EINVAL);
	CHECK(munmap(q, 0) == -1 && errno == EINVAL);
	munmap(q, len);
}

/* As allocators do who want more alignment than mmap() gives: too much, and the ends go. */
static void trimmed(void)
{
	char *p[8], *start;
	int i;

	for (i = 0; i < 8; i++) {
		p[i] = map(3 * MIB);
		start = (char *)(((uintptr_t)p[i] + MIB - 1) & ~(uintptr_t)(MIB - 1));
		if (start > p[i])
			munmap(p[i], (size_t)(start - p[i]));
		munmap(start + MIB, (size_t)(p[i] + 3 * MIB - (start + MIB)));
		p[i] = start;
		memset(p[i], i + 1, MIB);
	}
	for (i = 0; i < 8; i++) {
		CHECK(all_are(p[i], MIB, (unsigned char)(i + 1)));
		CHECK(!munmap(p[i], MIB));
	}
}

static void mremaps(void)
{
	char *p = map(2 * MIB), *q, *at;

	memset(p, 1, 2 * MIB);
	q = mremap(p, 2 * MIB, 5 * MIB, MREMAP_MAYMOVE);
	CHECK(q != MAP_FAILED && all_are(q, 2 * MIB, 1) && all_are(q + 2 * MIB, 3 * MIB, 0));
	memset(q, 2, 5 * MIB);
	p = mremap(q, 5 * MIB, MIB, 0);
	CHECK(p == q && all_are(p, MIB, 2) && faults(p + MIB, false));
	/* what was cut off comes back as zero */
	p = mremap(p, MIB, 5 * MIB, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED && all_are(p, MIB, 2) && all_are(p + MIB, 4 * MIB, 0));
	at = mmap(NULL, 8 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	q = mremap(p, 5 * MIB, 4 * MIB, MREMAP_MAYMOVE | MREMAP_FIXED, at);
	CHECK(q == at && all_are(q, MIB, 2) && all_are(q + MIB, 3 * MIB, 0));
	munmap(at, 8 * MIB);
	p = map(MIB);
	errno = 0;
	CHECK(mremap(p, MIB, 2 * MIB, MREMAP_FIXED, at) == MAP_FAILED && errno == EINVAL);
	CHECK(mremap(p + 1, MIB, 2 * MIB, MREMAP_MAYMOVE) == MAP_FAILED && errno == EINVAL);
	munmap(p, MIB);
}

static void madvises(void)
{
	size_t len = 6 * MIB, from = 5 * PAGE, bytes = 3 * MIB + 7 * PAGE;
	char *p = map(len), *q = malloc(len);

	memset(p, 9, len);
	memset(q, 8, len);
	CHECK(!madvise(p + from, bytes, MADV_DONTNEED));
	CHECK(all_are(p, from, 9) && all_are(p + from, bytes, 0) && all_are(p + from + bytes, len - from - bytes, 9));
	memset(p + from, 7, bytes);
	CHECK(all_are(p + from, bytes, 7));
	CHECK(!madvise(p, PAGE, MADV_DONTNEED) && all_are(p, PAGE, 0) && p[PAGE] == 9);
	CHECK(!madvise(p, len, MADV_COLD) && !madvise(p, len, MADV_WILLNEED) && !madvise(p, len, MADV_HUGEPAGE) &&
	      !madvise(p, len, MADV_NOHUGEPAGE));
	CHECK(all_are(p + from, bytes, 7));
	CHECK(!posix_madvise(p, len, POSIX_MADV_DONTNEED) && all_are(p + from, bytes, 7));
	/* a part of what malloc() returned, as allocators upon it do */
	CHECK(!madvise((char *)(((uintptr_t)q + MIB) & ~(uintptr_t)(PAGE - 1)), 2 * MIB, MADV_DONTNEED));
	CHECK(q[2 * MIB] == 0 && q[0] == 8 && q[len - 1] == 8);
	munmap(p + 2 * MIB, MIB);
	errno = 0;
	CHECK(madvise(p, len, MADV_DONTNEED) == -1 && errno == ENOMEM);
	CHECK(madvise(p + 1, PAGE, MADV_DONTNEED) == -1 && errno == EINVAL);
	munmap(p, len);
	free(q);
}

static void protection(void)
{
	char *p = map(2 * MIB);

	memset(p, 4, 2 * MIB);
	CHECK(!mprotect(p, MIB, PROT_READ));
	CHECK(faults(p, true) && p[0] == 4 && !faults(p + MIB, true));
	CHECK(!munmap(p, 2 * MIB));
	p = map(2 * MIB);
	memset(p, 3, 2 * MIB);
	CHECK(all_are(p, 2 * MIB, 3));
	munmap(p, 2 * MIB);
}

/* Something else is mapped over part of it, and stays what it is. */
static void fixed_over(void)
{
	char *p = map(4 * MIB), *q, *more[8];
	int i;

	memset(p, 1, 4 * MIB);
	q = mmap(p + MIB, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(q == p + MIB && all_are(q, MIB, 0) && p[MIB - 1] == 1 && p[2 * MIB] == 1);
	memset(q, 2, MIB);
	munmap(p, MIB);
	munmap(p + 2 * MIB, 2 * MIB);
	for (i = 0; i < 8; i++) {
		more[i] = malloc(2 * MIB);
		memset(more[i], 0xff, 2 * MIB);
	}
	CHECK(all_are(q, MIB, 2));
	for (i = 0; i < 8; i++)
		free(more[i]);
}

/* A daemon closes what it does not know. */
static void all_descriptors_closed(void)
{
	char *p;
	int fd;

	p = malloc(2 * MIB);
	CHECK(is_served(p));
	free(p);
	for (fd = 3; fd < 300; fd++)
		close(fd);
	closefrom(3);
	CHECK(!close_range(3, 5, 0) && !close_range(200, 400, 0));
	fd = open("/dev/null", O_RDWR);
	CHECK(fd >= 3);
	p = calloc(1, 64 * MIB);
	CHECK(is_served(p));
	p[50 * MIB] = 1;
	free(p);
	p = calloc(1, 3 * MIB);
	CHECK(is_served(p) && all_are(p, 3 * MIB, 0));
	free(p);
	close(fd);
}

static const struct ktap_test tests[] = {
	{ "memory taken before anything is ready", before_main },
	{ "what is large is served, what is small is not", who_is_served },
	{ "alignment", alignment },
	{ "used memory comes back as zero", zeroes },
	{ "realloc keeps the bytes", reallocs },
	{ "what cannot be had is refused", no_memory },
	{ "munmap of parts", partial_munmap },
	{ "mappings trimmed at both ends", trimmed },
	{ "mremap", mremaps },
	{ "madvise", madvises },
	{ "mprotect", protection },
	{ "a mapping over part of it", fixed_over },
	{ "threads", threads },
	{ "reports are asked for all the time", signals },
	{ "fork and exec, posix_spawn, popen", children_that_execute },
	{ "a forked child that goes on", children_that_go_on },
	{ "all descriptors closed", all_descriptors_closed },
};

KTAP_MAIN(tests)
