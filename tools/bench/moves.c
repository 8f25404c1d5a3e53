// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Moving blocks, beside the bare copy of the same bytes by the same routine between the same nodes: the limit. Blocks
 * are mapped, by as many processes as the row says, when their move begins.
 */
#include <errno.h>
#include <stdio.h>

#include "tools/bench/bench.h"
#include "tools/bench/peer.h"
#include "tools/bench/trip.h"

/* Batches of one are so many, one after the other. */
#define SINGLES	8
/* Blocks that the bare copy is timed with: it does not depend on their number. */
#define BARE_NR	16

static double bare(const struct trip *t, int from, int to, unsigned int routine)
{
	uint32_t nr = t->nr < BARE_NR ? t->nr : BARE_NR;
	double ns = bare_copy(from, to, t->r->bs, nr, routine);

	return ns < 0 ? ns : ns / nr;
}

static double bare_there(void *ctx)
{
	struct trip *t = ctx;

	return bare(t, 0, t->rig->far_node, KVOFF_PEER_MC);
}

static double bare_back(void *ctx)
{
	struct trip *t = ctx;

	return bare(t, t->rig->far_node, 0, KVOFF_PEER_MC);
}

/* 10^6 bytes a second */
static double speed(uint32_t bs, double ns)
{
	return bs * 1000.0 / ns;
}

/*
 * @beyond: what a block takes beyond the copy, the mean of both ways. The throughput of blocks that many processes have
 * mapped has no limit of its own: what it takes to unmap them has.
 */
static int measure(struct bench_out *out, struct trip *t, const char *how, bool limit, double *beyond)
{
	struct bench_arm arms[] = {
		{ .run = trip_there, .ctx = t }, { .run = bare_there, .ctx = t },
		{ .run = trip_back, .ctx = t },	 { .run = bare_back, .ctx = t },
	};
	static const char *const way[] = { "DRAM to far", "far to DRAM" };
	uint32_t bs = t->r->bs;
	uint64_t bytes = (uint64_t)t->nr * bs;
	int ret, i;

	/* a byte is an instruction or more in the guest: what has many is not told apart by more rounds */
	ret = bench_in_turn(arms, 4, bytes >= GIB / 8 ? 0 : bytes > 4 * MIB ? 1 : 3);
	*beyond = 0;
	for (i = 0; !ret && i < 2; i++) {
		double more = arms[2 * i].median - arms[2 * i + 1].median;
		struct bench_row row = {
			.value = speed(bs, arms[2 * i].median), .unit = "MB/s",
			.peer = "bare copy", .peer_value = speed(bs, arms[2 * i + 1].median),
		};

		if (limit && t->batch > 1 && (bs == 2 * MIB || bs == 64 * KIB)) {
			row.direction = BENCH_AT_LEAST;
			row.limit = bs == 2 * MIB ? 0.95 : 0.85;
		}
		bench_row(out, &row, "%s x %u, %s, %s; %.0f ns beyond the copy", size_name(bs), t->batch, how, way[i],
			  more);
		*beyond += more / 2;
	}
	return ret;
}

static int mapped(struct bench_out *out, struct rig *rig, uint32_t bs, uint32_t batch)
{
	static const unsigned int processes[] = { 1, 9 };
	double beyond[2];
	int ret = 0, i;

	/* a gigabyte takes a while to be moved: once will do */
	for (i = 0; !ret && i < ((uint64_t)bs * batch >= GIB ? 1 : 2); i++) {
		struct trip t;
		char how[32];
		int down;

		snprintf(how, sizeof(how), "%u process%s", processes[i], processes[i] > 1 ? "es" : "");
		ret = trip_up(&t, rig, bs, batch > 1 ? batch : SINGLES, processes[i]);
		t.batch = batch;
		if (!ret)
			ret = measure(out, &t, how, processes[i] == 1, &beyond[i]);
		down = trip_down(&t);
		ret = ret ?: down;
	}
	if (!ret && i == 2 && batch > 1)
		bench_row(out, &(struct bench_row){ .value = beyond[1], .unit = "ns", .peer = "1 process",
						    .peer_value = beyond[0], .direction = BENCH_AT_MOST, .limit = 9 },
			  "%s x %u, 9 processes, beyond the copy", size_name(bs), batch);
	return ret;
}

static int framed(struct bench_out *out, struct rig *rig, uint32_t bs, uint32_t batch)
{
	struct trip t;
	int ret = trip_up_framed(&t, rig, bs, batch > 1 ? batch : SINGLES);
	double beyond;

	t.batch = batch;
	if (!ret)
		ret = measure(out, &t, "framed", true, &beyond);
	return trip_down(&t) ?: ret;
}

/* What the bare copy would be by other routines. */
static int routines(struct bench_out *out, struct rig *rig, uint32_t bs)
{
	static const char *const names[] = {
		[KVOFF_PEER_PLAIN] = "as pages are copied otherwise", [KVOFF_PEER_FLUSHCACHE] = "past the caches",
	};
	struct region r = { .bs = bs };
	struct trip t = { .rig = rig, .r = &r, .nr = BARE_NR };
	double mc = bare_there(&t), other;
	unsigned int i;

	for (i = KVOFF_PEER_PLAIN; i <= KVOFF_PEER_FLUSHCACHE; i++) {
		other = bare(&t, 0, rig->far_node, i);
		if (mc < 0 || other < 0)
			return mc < 0 ? mc : other;
		bench_row(out, &(struct bench_row){ .value = speed(bs, other), .unit = "MB/s",
						    .peer = "machine-check safe", .peer_value = speed(bs, mc) },
			  "%s, bare copy %s, DRAM to far", size_name(bs), names[i]);
	}
	return 0;
}

static int one_size(struct bench_out *out, uint32_t bs)
{
	static const uint32_t batches[] = { 1, 32, 512 };
	uint32_t most = bench_quick() ? 32 : 512;
	struct rig rig;
	unsigned int i;
	/* room enough that no move takes a frame that was zeroed for a first touch: others would be zeroed meanwhile */
	int ret = rig_up(&rig, bs, (most + most / 4 + 32ULL) * bs);

	for (i = 0; !ret && i < 3 && batches[i] <= most; i++) {
		ret = mapped(out, &rig, bs, batches[i]);
		if (!ret && (uint64_t)bs * batches[i] < GIB)
			ret = framed(out, &rig, bs, batches[i]);
	}
	if (!ret)
		ret = routines(out, &rig, bs);
	return bench_rig_down(out, &rig, ret);
}

static int run(struct bench_out *out)
{
	if (bench_quick())
		return one_size(out, 64 * KIB);
	return one_size(out, 64 * KIB) ?: one_size(out, 256 * KIB) ?: one_size(out, 2 * MIB);
}

const struct bench bench_moves = {
	.name = "moves", .what = "moving blocks, beside the bare copy", .guest = true,
	.vm = "-M 3G -C 256M,256M,2560M", .run = run,
};
