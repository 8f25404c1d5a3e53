// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Opening a region of 1 TiB, and committing: neither may take time by the byte. A commit of 1 TiB takes tiers that have
 * it, which the emulated machine has not: commits of two sizes show that the size is nothing.
 */
#include <errno.h>
#include <sys/mman.h>

#include "libkvoff.h"
#include "tests/kselftest/rig.h"
#include "tools/bench/bench.h"
#include "tools/bench/memory.h"

#define TIB		(1024 * 1024 * MIB)
#define BS		(64 * KIB)
#define COMMIT		(128 * MIB)
#define ROUNDS		(bench_quick() ? 1 : 9)

struct opened {
	struct region *r;
	uint64_t bytes;
};

static double open_arm(void *ctx)
{
	struct libkvoff_options opts = LIBKVOFF_OPTIONS_INIT;
	uint64_t begin = bench_ns();
	struct libkvoff *kv;
	int ret;

	opts.block_size = BS;
	opts.length = *(const uint64_t *)ctx;
	ret = libkvoff_open(&kv, &opts);
	if (ret)
		return ret;
	begin = bench_ns() - begin;
	libkvoff_close(kv);
	return begin;
}

static double mmap_arm(void *ctx)
{
	uint64_t begin = bench_ns(), bytes = *(const uint64_t *)ctx;
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	begin = bench_ns() - begin;
	munmap(p, bytes);
	return begin;
}

static double commit_arm(void *ctx)
{
	struct opened *o = ctx;
	uint64_t begin = bench_ns();
	int ret = region_commit(o->r, o->bytes, NULL);

	if (ret)
		return ret;
	begin = bench_ns() - begin;
	ret = region_uncommit(o->r, o->bytes);
	return ret ?: (double)begin;
}

/* hugetlb promises at mmap() too. */
static double reserve_arm(void *ctx)
{
	struct opened *o = ctx;
	uint64_t begin = bench_ns();
	void *p = memory_map(MEMORY_HUGETLB, o->bytes, 0);

	if (!p)
		return -errno;
	begin = bench_ns() - begin;
	memory_unmap(MEMORY_HUGETLB, p, o->bytes);
	return begin;
}

static int measure(struct bench_out *out, struct rig *rig)
{
	uint64_t large = TIB, small = 64 * MIB;
	struct opened little = { .bytes = 2 * MIB }, much = { .bytes = COMMIT };
	struct bench_arm arms[] = {
		{ .run = open_arm, .ctx = &large }, { .run = open_arm, .ctx = &small },
		{ .run = mmap_arm, .ctx = &large }, { .run = commit_arm, .ctx = &little },
		{ .run = commit_arm, .ctx = &much }, { .run = reserve_arm, .ctx = &much },
	};
	struct region r;
	int ret = region_create(rig, &r, BS, TIB / BS);

	if (ret)
		return ret;
	little.r = much.r = &r;
	ret = bench_in_turn(arms, sizeof(arms) / sizeof(arms[0]), ROUNDS);
	region_close(&r);
	if (ret)
		return ret;
	bench_row(out, &(struct bench_row){ .value = arms[0].median, .unit = "ns", .peer = "a region of 64 MiB",
					    .peer_value = arms[1].median, .direction = BENCH_AT_MOST, .limit = 1.1 },
		  "opening a region of 1 TiB, by the library");
	bench_row(out, &(struct bench_row){ .value = arms[0].median, .unit = "ns", .peer = "mmap(2) of 1 TiB",
					    .peer_value = arms[2].median },
		  "opening a region of 1 TiB, by the library");
	bench_row(out, &(struct bench_row){ .value = arms[4].median, .unit = "ns", .peer = "a commit of 2 MiB",
					    .peer_value = arms[3].median, .direction = BENCH_AT_MOST, .limit = 1.1 },
		  "committing 128 MiB of a region of 1 TiB");
	bench_row(out, &(struct bench_row){ .value = arms[4].median, .unit = "ns", .peer = "mmap(2) of hugetlb",
					    .peer_value = arms[5].median },
		  "committing 128 MiB of a region of 1 TiB");
	return 0;
}

static int run(struct bench_out *out)
{
	struct rig rig;
	int ret;

	if (hugetlb_set(COMMIT / (2 * MIB)) < (long)(COMMIT / (2 * MIB)))
		return -ENOMEM;
	ret = rig_up_sized(&rig, BS, 0, COMMIT + 16 * MIB, 2 * MIB) ?: measure(out, &rig);
	ret = bench_rig_down(out, &rig, ret);
	hugetlb_set(0);
	return ret;
}

const struct bench bench_region = {
	.name = "region", .what = "opening 1 TiB, and committing", .guest = true, .run = run,
};
