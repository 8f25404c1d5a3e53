// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libkvoff_alloc() and libkvoff_free() beside malloc(), of the C library and of others: time, system calls, waste.
 * Each allocator runs in a process of its own (worker/allocator.c); they take turns.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/kselftest/rig.h"
#include "tools/bench/bench.h"

#define ROUNDS	3

/* libkvoff first: the others are its peers. */
static const struct {
	const char *name;
	const char *preload;
} allocators[] = {
	{ "kvoff", NULL },
	{ "mimalloc", "libmimalloc.so.3" },
	{ "jemalloc", "libjemalloc.so.2" },
	{ "malloc", NULL },
};
#define NR	(sizeof(allocators) / sizeof(allocators[0]))

/**
 * struct load - what one worker does
 * @allocator:	index; not there if @missing
 * @what:	"recycle", "calls" or "waste"
 * @args:	what follows it on the command line
 * @second:	out: the second number that it says
 */
struct load {
	unsigned int allocator;
	const char *what;
	char args[96];
	double second;
};

static bool missing[NR];
/* The peer whose row has the limit: others beside it need not say it again. */
static unsigned int first_peer;

/* The first number that the worker says, or -errno; -ENOPKG, the allocator is not to be had. */
static double run_worker(void *ctx)
{
	char path[512], command[768], said[128];
	struct load *load = ctx;
	const char *preload = allocators[load->allocator].preload;
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
	double first = -EIO;
	int status;
	FILE *f;

	if (len < 0)
		return -errno;
	path[len] = 0;
	snprintf(command, sizeof(command), "%s%s %s-allocator %s %s %s", preload ? "env LD_PRELOAD=" : "",
		 preload ?: "", path, allocators[load->allocator].name, load->what, load->args);
	f = popen(command, "re");
	if (!f)
		return -errno;
	if (!fgets(said, sizeof(said), f) || sscanf(said, "%lf %lf", &first, &load->second) != 2)
		first = -EIO;
	status = pclose(f);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		return -ENOPKG;
	return status ? -EIO : first;
}

static void find_allocators(struct bench_out *out)
{
	struct load load = { .what = "recycle", .args = "16384 16 1 16" };

	for (load.allocator = 0; load.allocator < NR; load.allocator++) {
		missing[load.allocator] = run_worker(&load) == -ENOPKG;
		if (missing[load.allocator])
			bench_note(out, "%s is not here", allocators[load.allocator].name);
	}
	/* malloc() always is */
	for (first_peer = 1; missing[first_peer]; first_peer++)
		;
}

static int once(struct load *loads, unsigned int nr, double *value)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		value[i] = run_worker(&loads[i]);
		if (value[i] <= -1)
			return (int)value[i];
	}
	return 0;
}

/*
 * Each allocator in turn; @value[] are the least of all rounds, where the allocator is there. @rounds 0: what is
 * measured is the same each time, so once is enough.
 */
static int in_turn(const char *what, const char *args, unsigned int rounds, double *value, double *second)
{
	struct bench_arm arms[NR];
	struct load loads[NR];
	unsigned int nr = 0, i;
	double found[NR];
	int ret;

	for (i = 0; i < NR; i++) {
		if (missing[i])
			continue;
		loads[nr] = (struct load){ .allocator = i, .what = what };
		snprintf(loads[nr].args, sizeof(loads[nr].args), "%s", args);
		arms[nr] = (struct bench_arm){ .run = run_worker, .ctx = &loads[nr] };
		nr++;
	}
	ret = rounds ? bench_in_turn(arms, nr, bench_quick() ? 1 : rounds) : once(loads, nr, found);
	for (i = 0; i < nr; i++) {
		value[loads[i].allocator] = rounds ? arms[i].min : found[i];
		second[loads[i].allocator] = loads[i].second;
	}
	return ret;
}

static const char *size_text(char *buf, size_t len, size_t size)
{
	if (!size)
		snprintf(buf, len, "16 KiB to 4 MiB mixed");
	else if (size < 1 << 20)
		snprintf(buf, len, "%.4g KiB", (double)size / 1024);
	else
		snprintf(buf, len, "%.3g MiB", (double)size / (1 << 20));
	return buf;
}

/* A pair of alloc and free of recycled memory. */
static int time_row(struct bench_out *out, size_t size, size_t live, unsigned int threads, unsigned int pairs,
		    unsigned int rounds)
{
	double value[NR], second[NR];
	char args[96], text[32];
	unsigned int i;
	int ret;

	snprintf(args, sizeof(args), "%zu %zu %u %u", size, live, threads, bench_quick() ? pairs / 100 : pairs);
	ret = in_turn("recycle", args, rounds, value, second);
	if (ret)
		return ret;
	for (i = 1; i < NR; i++)
		if (!missing[i])
			bench_row(out, &(struct bench_row){ .value = value[0], .unit = "ns", .peer = allocators[i].name,
							    .peer_value = value[i] },
				  "alloc and free, %s, %zu live, %u thread%s",
				  size_text(text, sizeof(text), size), live, threads, threads > 1 ? "s" : "");
	return 0;
}

/* How a pair's time grows with the number of live allocations; @limit 0 for none. */
static int growth_rows(struct bench_out *out, size_t size, double limit)
{
	static const size_t live[] = { 1000, 10000, 100000, 1000000 };
	struct bench_arm arms[4];
	struct load loads[4];
	double value[4];
	unsigned int i, nr = bench_quick() ? 2 : 4;
	char text[32];
	int ret;

	for (i = 0; i < nr; i++) {
		loads[i] = (struct load){ .what = "recycle" };
		snprintf(loads[i].args, sizeof(loads[i].args), "%zu %zu 1 %u", size, live[i],
			 limit ? 20000U : 200000U);
		arms[i] = (struct bench_arm){ .run = run_worker, .ctx = &loads[i] };
	}
	ret = limit ? once(loads, nr, value) : bench_in_turn(arms, nr, bench_quick() ? 1 : ROUNDS);
	if (ret)
		return ret;
	for (i = 0; i < nr && !limit; i++)
		value[i] = arms[i].min;
	for (i = 1; i < nr; i++)
		bench_row(out, &(struct bench_row){ .value = value[i], .unit = "ns", .peer = "1000 live",
						    .peer_value = value[0], .limit = limit,
						    .direction = limit ? BENCH_AT_MOST : BENCH_NO_LIMIT },
			  "alloc and free, %s, %zu live", size_text(text, sizeof(text), size), live[i]);
	return 0;
}

/* System calls made by so many pairs. */
static int calls_row(struct bench_out *out, size_t size, size_t live, unsigned int threads)
{
	unsigned int pairs = bench_quick() ? 2000 : 100000, i;
	double value[NR], second[NR];
	char args[96], text[32];
	int ret;

	snprintf(args, sizeof(args), "%zu %zu %u %u", size, live, threads, pairs);
	ret = in_turn("calls", args, 0, value, second);
	if (ret == -ENOPKG) {
		bench_note(out, "system calls cannot be counted here: the kernel has no seccomp notifications");
		return 0;
	}
	if (ret)
		return ret;
	for (i = 1; i < NR; i++)
		if (!missing[i])
			bench_row(out, &(struct bench_row){ .value = value[0], .unit = "calls",
							    .peer = allocators[i].name, .peer_value = value[i],
							    .direction = threads == 1 && i == first_peer ?
									 BENCH_AT_MOST : BENCH_NO_LIMIT,
							    .of_value = true },
				  "system calls of %u pairs, %s, %u thread%s", pairs,
				  size_text(text, sizeof(text), size), threads, threads > 1 ? "s" : "");
	return 0;
}

/* The counter counts: an allocator that keeps nothing back asks the kernel again and again. */
static int calls_control(struct bench_out *out, size_t size, size_t live)
{
	struct load load = { .what = "calls" };
	double calls;

	snprintf(load.args, sizeof(load.args), "%zu %zu 1 20000 65536", size, live);
	calls = run_worker(&load);
	if (calls == -ENOPKG)
		return 0;
	if (calls < 0)
		return (int)calls;
	bench_row(out, &(struct bench_row){ .value = calls, .unit = "calls", .direction = BENCH_AT_LEAST, .limit = 1 },
		  "the counter counts: the same where every block is committed by itself");
	return 0;
}

static int waste_row(struct bench_out *out, size_t block, size_t size)
{
	double value[NR], second[NR];
	char args[96], of[32], in[32], whose[64];
	unsigned int i;
	int ret;

	snprintf(args, sizeof(args), "%zu %zu", block, size ?: bench_quick() ? (size_t)99999 : 0);
	ret = in_turn("waste", args, 0, value, second);
	if (ret)
		return ret;
	for (i = 1; i < NR; i++) {
		if (missing[i])
			continue;
		snprintf(whose, sizeof(whose), "%s, %.0f B", allocators[i].name, second[i]);
		bench_row(out, &(struct bench_row){ .value = value[0], .unit = "%", .peer = whose,
						    .peer_value = value[i],
						    .direction = i == first_peer ? BENCH_AT_MOST : BENCH_NO_LIMIT,
						    .limit = 7, .of_value = true },
			  "waste, units of %s, blocks of %s", size ? size_text(of, sizeof(of), size) :
			  "16 KiB to 4 MiB, the worst", size_text(in, sizeof(in), block));
	}
	if (!size)
		bench_note(out, "the worst unit in blocks of %s: %.0f B", size_text(in, sizeof(in), block), second[0]);
	return 0;
}

#define UNIT_1_07	((size_t)1122000)
#define UNIT_2_25	((size_t)2304 << 10)

static int run(struct bench_out *out)
{
	static const size_t sizes[] = { 16 << 10, 64 << 10, 256 << 10, UNIT_1_07, UNIT_2_25, 4 << 20, 0 };
	static const unsigned int threads[] = { 1, 2, 8 };
	unsigned int t, s;
	int ret = 0;

	setenv("LIBKVOFF_FALLBACK", "1", 1);
	find_allocators(out);
	for (s = 0; s < sizeof(sizes) / sizeof(sizes[0]) && !ret; s++)
		ret = time_row(out, sizes[s], 1000, 1, 200000, ROUNDS);
	for (t = 1; t < 3 && !ret; t++)
		ret = time_row(out, 16 << 10, 1000, threads[t], 200000, ROUNDS) ?:
		      time_row(out, UNIT_1_07, 1000, threads[t], 200000, ROUNDS) ?:
		      time_row(out, 0, 1000, threads[t], 200000, ROUNDS);
	for (s = 10000; s <= 100000 && !ret; s *= 10)
		ret = time_row(out, 16 << 10, s, 1, 200000, ROUNDS);
	ret = ret ?: growth_rows(out, 16 << 10, 0);
	for (t = 0; t < 3 && !ret; t++)
		ret = calls_row(out, 16 << 10, 1000, threads[t]) ?: calls_row(out, UNIT_1_07, 1000, threads[t]);
	ret = ret ?: calls_control(out, UNIT_1_07, 100);
	ret = ret ?: waste_row(out, 64 << 10, 0) ?: waste_row(out, 2 << 20, 0);
	for (s = 0; s < sizeof(sizes) / sizeof(sizes[0]) - 1 && !ret; s++)
		ret = waste_row(out, 2 << 20, sizes[s]);
	bench_note(out, "the least of %d rounds; libkvoff on plain memory, whose bytes nobody touches. Caches and not "
		   "steps make many live allocations slower: alloc_guest counts instructions", ROUNDS);
	bench_note(out, "waste of the peers: what malloc_usable_size() says");
	return ret;
}

const struct bench bench_alloc = {
	.name = "alloc", .what = "libkvoff_alloc() and libkvoff_free(): time, system calls, waste", .run = run,
};

/* ------------------------------------------------------------------ with the module, in instructions */

/* Room for the live allocations, and for the steps in which they are committed. */
#define TIER_BYTES	((uint64_t)320 << 20)

static int guest_rows(struct bench_out *out)
{
	int ret = time_row(out, 16 << 10, 1000, 1, 20000, 0) ?: time_row(out, UNIT_1_07, 100, 1, 20000, 0) ?:
		  time_row(out, UNIT_2_25, 64, 1, 20000, 0) ?: time_row(out, 4 << 20, 32, 1, 20000, 0) ?:
		  time_row(out, 0, 144, 1, 20000, 0);

	return ret ?: calls_row(out, UNIT_1_07, 100, 1) ?: calls_control(out, UNIT_1_07, 100) ?:
	       growth_rows(out, 256, 1.1);
}

static int run_guest(struct bench_out *out)
{
	struct rig rig;
	int ret;

	unsetenv("LIBKVOFF_FALLBACK");
	ret = rig_up(&rig, 2 << 20, TIER_BYTES);
	if (!ret) {
		find_allocators(out);
		ret = guest_rows(out);
	}
	return bench_rig_down(out, &rig, ret);
}

const struct bench bench_alloc_guest = {
	.name = "alloc_guest", .what = "libkvoff_alloc() and libkvoff_free() with the module, in instructions",
	.guest = true, .run = run_guest,
};
