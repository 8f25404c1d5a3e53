// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What it costs to see which blocks are used: sampled refaults, NUMA hint faults and DAMON, each on memory that
 * somebody reads all the time. A cost is the difference to the same reads without it, so it has everything in it: the
 * unmapping, the faults, and what the observer keeps in books. Emulated processors count instructions and not what a
 * TLB miss or an interrupt for another processor takes.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/kselftest/rig.h"
#include "tools/bench/bench.h"
#include "tools/bench/load.h"
#include "tools/bench/memory.h"

#define BYTES		(64 * MIB)
#define INTERVAL_MS	20
/* What the module begins with. */
#define USUAL_MS	5000.0
#define USUAL_PERCENT	10.0

struct sample_case {
	size_t bs;
	size_t step;
	const char *use;
};

static uint64_t run_ns(void)
{
	return bench_quick() ? 60000000 : 300000000;
}

static int look_kvoff(struct load *load, struct look *look)
{
	uint64_t without, with, samples, faults;
	int ret;

	load_calibrate(load, run_ns());
	without = load_run(load);
	samples = stat_now("samples");
	faults = stat_now("faults");
	ret = sysfs_write("tuning/sample_percent", "100") ?: sysfs_write("tuning/sample_interval_ms", "20");
	if (ret)
		return ret;
	with = load_run(load);
	ret = sysfs_write("tuning/sample_interval_ms", "0");
	sysfs_write("tuning/sample_percent", "10");
	look->looks = stat_now("samples") - samples;
	look->faults = (stat_now("faults") - faults) / look->looks;
	look->ns = ((double)with - (double)without) / look->looks;
	return ret ?: look->looks < 1 ? -ENODATA : 0;
}

static void row(struct bench_out *out, const struct sample_case *c, const struct look *own, const char *peer,
		const struct look *other, bool limit)
{
	bench_row(out, &(struct bench_row){ .value = own->ns, .unit = "ns", .peer = peer, .peer_value = other->ns,
					    .direction = limit ? BENCH_AT_MOST : BENCH_NO_LIMIT, .limit = 1 },
		  "%zu KiB blocks, %s: a sample of a block", c->bs / KIB, c->use);
}

static int numa(struct bench_out *out, const struct sample_case *c, const struct look *own, enum memory_kind kind,
		bool limit)
{
	struct load load = { .bytes = BYTES, .step = c->step };
	struct look other;
	char name[96];
	int ret = look_numa(kind, &load, c->bs, run_ns(), &other);

	if (ret) {
		bench_note(out, "NUMA balancing of %s: %s", memory_name(kind), strerror(-ret));
		return ret;
	}
	snprintf(name, sizeof(name), "NUMA hint faults, %s", memory_name(kind));
	row(out, c, own, name, &other, limit);
	bench_row(out, &(struct bench_row){ .value = own->faults, .unit = "count", .peer = name,
					    .peer_value = other.faults },
		  "%zu KiB blocks, %s: faults of a sample", c->bs / KIB, c->use);
	return 0;
}

static int damon(struct bench_out *out, const struct sample_case *c, const struct look *own, enum memory_kind kind)
{
	struct load load = { .bytes = BYTES, .step = c->step };
	void *p = memory_map(kind, BYTES, c->bs);
	struct look other;
	int ret;

	if (!p)
		return -errno;
	touch_write(p, BYTES);
	load.p = p;
	/* some kernels watch all memory by themselves, and then do nothing else */
	file_write("/sys/module/damon_stat/parameters/enabled", "N");
	ret = look_damon(&load, c->bs, run_ns(), INTERVAL_MS * 1000, &other);
	memory_unmap(kind, p, BYTES);
	if (ret)
		bench_note(out, "DAMON: %s", strerror(-ret));
	else
		row(out, c, own, "DAMON, a region a block", &other, false);
	/* a kernel may be without it, or use it for something else */
	return ret == -ENOENT || ret == -EBUSY ? 0 : ret;
}

static int peers(struct bench_out *out, const struct sample_case *c, const struct look *own)
{
	enum memory_kind kind = c->bs == 2 * MIB ? MEMORY_THP : MEMORY_PAGES;
	int ret = numa(out, c, own, kind, true);

	/* 64 KiB as a huge page is something that an admin must turn on */
	if (!ret && c->bs != 2 * MIB)
		ret = numa(out, c, own, MEMORY_THP, false);
	return ret ?: damon(out, c, own, kind);
}

static int one(struct bench_out *out, struct rig *rig, const struct sample_case *c)
{
	struct region *r = rig_region(rig, c->bs, BYTES / c->bs);
	struct load load = { .bytes = BYTES, .step = c->step };
	struct look own, idle;
	uint8_t byte = 0;
	double second;
	int ret;

	if (!r)
		return -errno;
	touch_write(r->data, BYTES);
	load.p = r->data;
	ret = look_kvoff(&load, &own);
	if (ret)
		return ret;
	load = (struct load){ .p = &byte, .bytes = 1, .step = 1 };
	ret = look_kvoff(&load, &idle);
	if (ret)
		return ret;
	ret = peers(out, c, &own);
	bench_row(out, &(struct bench_row){ .value = idle.ns, .unit = "ns" },
		  "%zu KiB blocks, not in use: a sample of a block", c->bs / KIB);
	/* of a core, for one block: 10 % of the blocks every 5 s */
	second = own.ns * 1e-9 * USUAL_PERCENT / 100 / (USUAL_MS / 1000);
	bench_row(out, &(struct bench_row){ .value = second * 10000 * 100, .unit = "%", .direction = BENCH_AT_MOST,
					    .limit = 0.1 },
		  "%zu KiB blocks, %s: of a core, 10,000 of them, defaults", c->bs / KIB, c->use);
	bench_row(out, &(struct bench_row){ .value = second * (1 << 30) / c->bs * 100, .unit = "%" },
		  "%zu KiB blocks, %s: of a core, a GiB of them, defaults", c->bs / KIB, c->use);
	region_close(r);
	return ret;
}

static int run(struct bench_out *out)
{
	static const struct sample_case cases[] = {
		{ 64 * KIB, PAGE, "every page in use" },
		{ 64 * KIB, 64 * KIB, "one page in use" },
		{ 2 * MIB, PAGE, "every page in use" },
	};
	struct rig rig;
	size_t i;
	int ret = 0;

	sysfs_write("tuning/sample_interval_ms", "0");
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]) && !ret; i++) {
		if (bench_quick() && i == 1)
			continue;
		ret = rig_up(&rig, cases[i].bs, BYTES + 4 * cases[i].bs + BYTES / 16) ?: one(out, &rig, &cases[i]);
		ret = bench_rig_down(out, &rig, ret);
	}
	sysfs_write("tuning/sample_interval_ms", "5000");
	return ret;
}

const struct bench bench_sample = {
	.name = "sample", .what = "seeing which blocks are used, beside NUMA hint faults and DAMON", .guest = true,
	.run = run,
};
