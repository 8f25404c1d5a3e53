// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One allocator under one load, in a process of its own: libkvoff, or whatever malloc() is here (LD_PRELOAD says). So
 * all of them are measured by the same code, each as a program would have it. alloc.c starts these in turn.
 *
 * usage: kvoff-bench-allocator ALLOCATOR recycle|calls SIZE LIVE THREADS PAIRS [COMMIT_STEP]
 *	  kvoff-bench-allocator ALLOCATOR waste BLOCK_SIZE SIZE
 *
 *   ALLOCATOR	kvoff, malloc, mimalloc or jemalloc, or nothing: what the loop itself costs
 *   recycle	LIVE allocations of SIZE bytes (0: from 16 KiB to 4 MiB, as many of each power of two as of any other)
 *		stay alive; each thread frees 16 of its part, chosen at random, and allocates as many, in all PAIRS
 *		times. Says: nanoseconds a pair, context switches per million pairs
 *   calls	the same, but says: system calls made in that time, and those of them that are futex(2)
 *   waste	256 MiB of allocations of SIZE bytes (0: of 300 sizes from 16 KiB to 4 MiB, most of them odd); then some
 *		of them, chosen at random, are freed and allocated again, seven times. Says: how many percent more was
 *		used than asked for, at the worst, and for which size. libkvoff: bytes of the blocks that something is
 *		on, or of the addresses up to the last; others: malloc_usable_size()
 *
 * exit status: 77 where this allocator, or counting system calls, is not to be had
 */
#include <dlfcn.h>
#include <err.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <libkvoff.h>

#include "tools/bench/syscalls.h"

#define BURST	 16
#define MIN_SIZE ((size_t)16 << 10)
#define DOUBLINGS 8 /* from 16 KiB to 4 MiB */

static struct libkvoff *kv;
/* "nothing" is measured: what the loop itself costs */
static bool nothing;

static void *get(size_t size)
{
	void *p = nothing ? &nothing : kv ? libkvoff_alloc(kv, size) : malloc(size);

	if (!p)
		errx(1, "%zu bytes: %s", size, kv ? libkvoff_strerror(-errno) : "no memory");
	return p;
}

static void put(void *p)
{
	if (kv)
		libkvoff_free(kv, p);
	else if (!nothing)
		free(p);
}

/**
 * struct share - a thread's part of the load
 * @slot:	its allocations, @nr of them, of @size[i] bytes each
 * @bursts:	how often it frees and allocates BURST
 * @seed:	of its choices
 */
struct share {
	void **slot;
	size_t *size;
	size_t nr;
	uint64_t bursts;
	uint64_t seed;
};

/**
 * struct load - the whole of it
 * @share:	@threads of them
 * @count:	count system calls
 * @ready, @go, @done: how many threads wait; they may start; how many have finished
 * @ns, @switches: of the time in which all of them worked
 */
struct load {
	struct share *share;
	unsigned int threads;
	bool count;
	unsigned int ready;
	bool go;
	unsigned int done;
	double ns;
	double switches;
};

static struct load load;

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void burst(struct share *s)
{
	uint64_t at[BURST];
	unsigned int i, n = 0;

	/* what was freed in this burst is passed over, so that all allocators see the same calls */
	for (i = 0; i < BURST; i++) {
		at[n] = next(&s->seed) % s->nr;
		if (!s->slot[at[n]])
			continue;
		put(s->slot[at[n]]);
		s->slot[at[n++]] = NULL;
	}
	while (n--)
		s->slot[at[n]] = get(s->size[at[n]]);
}

static void warm_up(struct share *s)
{
	uint64_t i;

	for (i = 0; i < s->nr; i++)
		s->slot[i] = get(s->size[i]);
	/* what is new is not yet recycled: pools fill, books grow */
	for (i = 0; i < s->bursts / 4; i++)
		burst(s);
}

static void *work(void *arg)
{
	struct share *s = arg;
	uint64_t i;

	warm_up(s);
	__atomic_add_fetch(&load.ready, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&load.go, __ATOMIC_ACQUIRE))
		sched_yield();
	for (i = 0; i < s->bursts; i++)
		burst(s);
	__atomic_add_fetch(&load.done, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&load.go, __ATOMIC_ACQUIRE))
		sched_yield();
	return NULL;
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double switches(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)r.ru_nvcsw;
}

static void begin(void)
{
	load.switches = switches();
	load.ns = now_ns();
	if (load.count)
		bench_syscalls_count(true);
}

static void end(void)
{
	if (load.count)
		bench_syscalls_count(false);
	load.ns = now_ns() - load.ns;
	load.switches = switches() - load.switches;
}

/* Nobody else runs meanwhile: where the clock counts instructions it counts those of all processors. */
static void run_alone(void)
{
	struct share *s = load.share;
	uint64_t i;

	warm_up(s);
	begin();
	for (i = 0; i < s->bursts; i++)
		burst(s);
	end();
}

static void run(void *unused)
{
	pthread_t thread[64];
	unsigned int i;

	if (load.threads == 1) {
		run_alone();
		return;
	}
	for (i = 0; i < load.threads; i++)
		if (pthread_create(&thread[i], NULL, work, &load.share[i]))
			errx(1, "no thread");
	while (__atomic_load_n(&load.ready, __ATOMIC_ACQUIRE) < load.threads)
		sched_yield();
	begin();
	__atomic_store_n(&load.go, true, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&load.done, __ATOMIC_ACQUIRE) < load.threads)
		sched_yield();
	end();
	__atomic_store_n(&load.go, false, __ATOMIC_SEQ_CST);
	for (i = 0; i < load.threads; i++)
		pthread_join(thread[i], NULL);
}

static size_t size_of(size_t size, uint64_t i, size_t nr)
{
	return size ? size : MIN_SIZE << (i * (DOUBLINGS + 1) / nr);
}

static void make_load(size_t size, size_t live, unsigned int threads, uint64_t pairs)
{
	size_t part = threads ? live / threads : 0, i;
	unsigned int t;

	if (threads > 64 || !part)
		errx(2, "from 1 to 64 threads, and an allocation for each");
	load.threads = threads;
	load.share = calloc(threads, sizeof(*load.share));
	for (t = 0; t < threads; t++) {
		load.share[t] = (struct share){
			.slot = calloc(part, sizeof(void *)),
			.size = calloc(part, sizeof(size_t)),
			.nr = part,
			.bursts = pairs / threads / BURST,
			.seed = UINT64_C(88172645463325252) + t,
		};
		for (i = 0; i < part; i++)
			load.share[t].size[i] = size_of(size, i, part);
	}
}

static void recycle(bool count)
{
	struct bench_syscalls calls;
	double pairs = (double)load.share->bursts * BURST * load.threads;
	int ret;

	load.count = count;
	if (!count) {
		run(NULL);
		printf("%.1f %.1f\n", load.ns / pairs, load.switches / pairs * 1e6);
		return;
	}
	ret = bench_syscalls_run(run, NULL, &calls);
	if (ret)
		errx(77, "system calls cannot be counted here: %s", strerror(-ret));
	printf("%llu %llu\n", (unsigned long long)calls.all, (unsigned long long)calls.futex);
}

/* ------------------------------------------------------------------ waste */

#define ASKED	((size_t)256 << 20)

/* Percent beyond @size * @live. */
static double beyond(uint64_t used, size_t size, size_t live)
{
	return ((double)used / ((double)size * (double)live) - 1) * 100;
}

static double used_by_malloc(void **slot, size_t size, size_t live)
{
	uint64_t used = 0;
	size_t i;

	for (i = 0; i < live; i++)
		used += malloc_usable_size(slot[i]);
	return beyond(used, size, live);
}

static double used_by_kvoff(void **slot, size_t size, size_t live)
{
	uint64_t first, end, highest = 0, nr = 0, block = libkvoff_block_size(kv), b;
	double blocks, addresses;
	unsigned char *seen;
	size_t i;

	for (i = 0; i < live; i++) {
		end = libkvoff_offset(kv, slot[i]) + size;
		highest = end > highest ? end : highest;
	}
	seen = calloc(highest / block + 1, 1);
	if (!seen)
		errx(1, "no memory");
	for (i = 0; i < live; i++) {
		first = libkvoff_index(kv, slot[i]);
		end = libkvoff_index(kv, (char *)slot[i] + size - 1);
		for (b = first; b <= end; b++) {
			nr += !seen[b];
			seen[b] = 1;
		}
	}
	free(seen);
	/* the last block is full when more is allocated */
	blocks = beyond((nr - 1) * block, size, live);
	addresses = beyond(highest, size, live);
	return blocks > addresses ? blocks : addresses;
}

static double used(void **slot, size_t size, size_t live)
{
	return kv ? used_by_kvoff(slot, size, live) : used_by_malloc(slot, size, live);
}

static void fill(void **slot, size_t size, size_t live)
{
	size_t i;

	for (i = 0; i < live; i++)
		if (!slot[i])
			slot[i] = get(size);
}

static double waste(size_t size)
{
	/* so many eighths of all are freed in each round */
	static const unsigned int part[] = { 4, 1, 7, 4, 2, 6, 1 };
	size_t live = ASKED / size, i;
	void **slot = calloc(live, sizeof(*slot));
	uint64_t seed = UINT64_C(88172645463325252);
	unsigned int round;
	double worst, now;

	fill(slot, size, live);
	worst = used(slot, size, live);
	for (round = 0; round < sizeof(part) / sizeof(part[0]); round++) {
		for (i = 0; i < live; i++)
			if (next(&seed) % 8 < part[round]) {
				put(slot[i]);
				slot[i] = NULL;
			}
		fill(slot, size, live);
		now = used(slot, size, live);
		worst = now > worst ? now : worst;
	}
	for (i = 0; i < live; i++)
		put(slot[i]);
	free(slot);
	return worst;
}

static void open_region(size_t block, uint64_t length, size_t step)
{
	struct libkvoff_options opts = LIBKVOFF_OPTIONS_INIT;
	int ret;

	opts.label = "bench-allocator";
	opts.block_size = block;
	opts.length = length;
	opts.commit_step = step;
	ret = libkvoff_open(&kv, &opts);
	if (ret)
		errx(1, "%s", libkvoff_strerror(ret));
}

static double waste_of_one(bool kvoff, size_t block, size_t size)
{
	double percent;

	if (kvoff)
		open_region(block, 0, 0);
	percent = waste(size);
	libkvoff_close(kv);
	return percent;
}

static void measure_waste(bool kvoff, size_t block, size_t size)
{
	double worst = -1, percent, scale = (double)MIN_SIZE;
	size_t worst_size = 0, s;
	int odd;

	if (size) {
		printf("%.3f %zu\n", waste_of_one(kvoff, block, size), size);
		return;
	}
	for (; scale <= (double)(MIN_SIZE << DOUBLINGS); scale *= 1.037)
		for (odd = 0; odd < 2; odd++) {
			s = odd ? (size_t)scale | 1 : ((size_t)scale + 4095) & ~(size_t)4095;
			percent = waste_of_one(kvoff, block, s);
			if (percent > worst) {
				worst = percent;
				worst_size = s;
			}
		}
	printf("%.3f %zu\n", worst, worst_size);
}

/* ------------------------------------------------------------------ */

/* A library that LD_PRELOAD names and that is not there is a warning only, and malloc() the C library's. */
static void check_allocator(const char *name)
{
	static const char *const own[][2] = { { "mimalloc", "mi_version" }, { "jemalloc", "mallctl" } };
	unsigned int i;

	for (i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (!strcmp(name, own[i][0]) != !!dlsym(RTLD_DEFAULT, own[i][1]))
			errx(77, "malloc() is %s%s", strcmp(name, own[i][0]) ? "" : "not ", own[i][0]);
}

static unsigned long long number(const char *s)
{
	char *end;
	unsigned long long n = strtoull(s, &end, 0);

	if (*end || end == s)
		errx(2, "\"%s\" is no number", s);
	return n;
}

int main(int argc, char **argv)
{
	bool count, kvoff;

	if (argc < 5)
		errx(2, "see the head of allocator.c");
	count = !strcmp(argv[2], "calls");
	kvoff = !strcmp(argv[1], "kvoff");
	nothing = !strcmp(argv[1], "nothing");
	check_allocator(argv[1]);
	if (!strcmp(argv[2], "waste")) {
		measure_waste(kvoff, number(argv[3]), number(argv[4]));
		return 0;
	}
	if (argc < 7 || argc > 8 || (!count && strcmp(argv[2], "recycle")))
		errx(2, "see the head of allocator.c");
	if (kvoff)
		open_region(0, (uint64_t)4 << 40, argc == 8 ? number(argv[7]) : 0);
	make_load(number(argv[3]), number(argv[4]), (unsigned int)number(argv[5]), number(argv[6]));
	recycle(count);
	libkvoff_close(kv);
	return 0;
}
