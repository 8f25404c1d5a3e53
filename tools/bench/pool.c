// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How long memory takes to be there: pools that are filled, tiers that get ready, frames that change their size. The
 * emulated machine has not the memory for tiers of many gigabytes: the case says how much it was. Both sides zero.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/kselftest/rig.h"
#include "tools/bench/bench.h"
#include "tools/bench/memory.h"

static uint64_t bytes;

struct times {
	uint32_t bs;
	uint32_t to;
	uint64_t fill;
	uint64_t first;
	uint64_t all;
	uint64_t convert;
};

static int hugetlb_fill(uint64_t *ns)
{
	uint64_t begin = bench_ns();
	long nr = hugetlb_set(bytes / (2 * MIB));

	*ns = bench_ns() - begin;
	return nr < 0 ? nr : (uint64_t)nr < bytes / (2 * MIB) ? -ENOMEM : 0;
}

/* All of @bytes, then a first page. */
static int hugetlb_first(uint64_t *ns)
{
	uint64_t begin = bench_ns(), fill;
	int ret = hugetlb_fill(&fill);
	void *p;

	if (ret)
		return ret;
	p = memory_map(MEMORY_HUGETLB, 2 * MIB, 0);
	if (!p)
		return -errno;
	touch_write(p, 2 * MIB);
	*ns = bench_ns() - begin;
	memory_unmap(MEMORY_HUGETLB, p, 2 * MIB);
	return 0;
}

static bool ready(void)
{
	char state[32];

	return !file_choice("/sys/class/kvoff/tiers/dram/state", state, sizeof(state)) && !strcmp(state, "ready");
}

static int fill_pool(struct rig *rig, struct times *t)
{
	uint64_t begin = bench_ns();
	int ret = pool_set(rig, "dram", t->bs, bytes, KVOFF_POOL_WAIT);

	t->fill = bench_ns() - begin;
	return ret;
}

/* The pool is filled in the background: what a client sees that comes at once, and when all is there. */
static int first_block(struct rig *rig, struct times *t)
{
	uint64_t begin = bench_ns();
	struct region *r;
	int ret;

	ret = pool_set(rig, "dram", t->bs, bytes, 0);
	if (ret)
		return ret;
	r = rig_region(rig, t->bs, 1);
	if (!r)
		return -errno;
	touch_write(r->data, t->bs);
	t->first = bench_ns() - begin;
	while (!ready())
		nap();
	t->all = bench_ns() - begin;
	region_close(r);
	return 0;
}

/* A pool that grew for commits and is idle gives way to commits of another size. */
static int convert(struct rig *rig, struct times *t)
{
	uint64_t begin, part = bytes / 8 * 7, converted = stat_now("converted_bytes");
	struct region *r = rig_region(rig, t->bs, part / t->bs);

	if (!r)
		return -errno;
	region_close(r);
	begin = bench_ns();
	r = rig_region(rig, t->to, part / t->to);
	t->convert = bench_ns() - begin;
	if (!r)
		return -errno;
	region_close(r);
	return stat_now("converted_bytes") - converted < part / 2 ? -EIO : 0;
}

static int with_tier(struct bench_out *out, int (*fn)(struct rig *rig, struct times *t), struct times *t)
{
	struct rig rig;
	/* little of the other tier: what is committed shall have to come from this one */
	int ret = rig_up_sized(&rig, 64 * KIB, bytes, 0, 0) ?: sysfs_write("tiers/cxl0/capacity_bytes", "2097152") ?:
		  fn(&rig, t);

	return bench_rig_down(out, &rig, ret);
}

static void row(struct bench_out *out, const struct times *t, const char *what, uint64_t ns, const char *peer,
		uint64_t other)
{
	bench_row(out, &(struct bench_row){ .value = ns / 1e6, .unit = "ms", .peer = peer, .peer_value = other / 1e6 },
		  "%lu MiB, %u KiB blocks: %s", bytes / MIB, (unsigned int)(t->bs / KIB), what);
}

static int run(struct bench_out *out)
{
	struct times times[] = { { .bs = 64 * KIB, .to = 2 * MIB }, { .bs = 2 * MIB, .to = 64 * KIB } };
	uint64_t fill = 0, first = 0, again = 0;
	size_t i;
	int ret;

	bytes = bench_quick() ? 32 * MIB : 256 * MIB;
	ret = hugetlb_fill(&fill);
	/* the same pages given back and taken again: what a change of size would be */
	if (!ret && hugetlb_set(0) >= 0)
		ret = hugetlb_first(&first);
	if (!ret) {
		again = bench_ns();
		hugetlb_set(0);
		again = bench_ns() - again;
		ret = hugetlb_fill(&fill);
		again += fill;
	}
	hugetlb_set(0);
	for (i = 0; i < 2 && !ret; i++) {
		struct times *t = &times[i];

		ret = with_tier(out, fill_pool, t) ?: with_tier(out, first_block, t) ?: with_tier(out, convert, t);
		if (ret)
			break;
		row(out, t, "a pool is filled", t->fill, "hugetlb", fill);
		row(out, t, "a tier is ready, from nothing", t->all, "hugetlb", fill);
		row(out, t, "a client's first block is written", t->first, "hugetlb, pool and page", first);
		row(out, t, "7/8 of it become the other size", t->convert, "hugetlb, pool given back, filled", again);
	}
	return ret;
}

const struct bench bench_pool = {
	.name = "pool", .what = "filling pools, converting them, getting ready", .guest = true, .run = run,
};
