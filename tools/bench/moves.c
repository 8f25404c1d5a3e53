// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Moving blocks, beside the bare copy of the same bytes by the same routine between the same nodes: the limit. Blocks
 * are mapped, by as many processes as the row says, when their move begins.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/kselftest/framed_rig.h"
#include "tools/bench/bench.h"
#include "tools/bench/crowd.h"
#include "tools/bench/peer.h"

#define GIB	(1024 * MIB)
/* Batches of one are so many, one after the other. */
#define SINGLES	8
/* Blocks that the bare copy is timed with: it does not depend on their number. */
#define BARE_NR	16

/**
 * struct trip - blocks on their way there and back
 * @rig:	where
 * @r:		the region
 * @crowd:	further processes; none with a framed region
 * @nr:		blocks
 * @batch:	blocks a command
 * @ns:		out: what the way there and the way back took
 */
struct trip {
	struct rig *rig;
	struct region *r;
	struct crowd crowd;
	uint32_t nr;
	uint32_t batch;
	double ns[2];
};

static double leg(struct trip *t, uint32_t to)
{
	uint64_t begin;
	uint32_t b;
	int ret = t->r->data ? crowd_read(&t->crowd, t->r->data, (uint64_t)t->nr * t->r->bs) : 0;

	if (ret)
		return ret;
	begin = bench_ns();
	for (b = 0; b < t->nr; b += t->batch) {
		ret = move_blocks(t->rig, t->r, b, t->batch, to, 0, NULL);
		if (ret != (int)t->batch)
			return ret < 0 ? ret : -EBUSY;
	}
	return bench_ns() - begin;
}

static double a_block(const struct trip *t, double ns)
{
	return ns < 0 ? ns : ns / t->nr;
}

static double there(void *ctx)
{
	struct trip *t = ctx;

	return a_block(t, leg(t, t->rig->far));
}

static double back(void *ctx)
{
	struct trip *t = ctx;

	return a_block(t, leg(t, t->rig->near));
}

static double bare_there(void *ctx)
{
	struct trip *t = ctx;
	uint32_t nr = t->nr < BARE_NR ? t->nr : BARE_NR;

	return bare_copy(0, t->rig->far_node, t->r->bs, nr, KVOFF_PEER_MC) / nr;
}

static double bare_back(void *ctx)
{
	struct trip *t = ctx;
	uint32_t nr = t->nr < BARE_NR ? t->nr : BARE_NR;

	return bare_copy(t->rig->far_node, 0, t->r->bs, nr, KVOFF_PEER_MC) / nr;
}

static const char *size_name(uint32_t bs)
{
	static char buf[16];

	if (bs < MIB)
		snprintf(buf, sizeof(buf), "%lu KiB", bs / KIB);
	else
		snprintf(buf, sizeof(buf), "%lu MiB", bs / MIB);
	return buf;
}

/* 10^6 bytes a second */
static double speed(uint32_t bs, double ns)
{
	return bs * 1000.0 / ns;
}

static int measure(struct bench_out *out, struct trip *t, const char *how)
{
	struct bench_arm arms[] = {
		{ .run = there, .ctx = t }, { .run = bare_there, .ctx = t },
		{ .run = back, .ctx = t },  { .run = bare_back, .ctx = t },
	};
	static const char *const way[] = { "DRAM to far", "far to DRAM" };
	uint32_t bs = t->r->bs;
	uint64_t bytes = (uint64_t)t->nr * bs;
	int ret, i;

	/* a byte is an instruction or more in the guest: what has many is not told apart by more rounds */
	ret = bench_in_turn(arms, 4, bytes > GIB / 4 ? 0 : bytes > 4 * MIB ? 1 : 3);
	for (i = 0; !ret && i < 2; i++) {
		struct bench_row row = {
			.value = speed(bs, arms[2 * i].median), .unit = "MB/s",
			.peer = "bare copy", .peer_value = speed(bs, arms[2 * i + 1].median),
		};

		if (t->batch > 1 && (bs == 2 * MIB || bs == 64 * KIB)) {
			row.direction = BENCH_AT_LEAST;
			row.limit = bs == 2 * MIB ? 0.95 : 0.85;
		}
		bench_row(out, &row, "%s x %u, %s, %s; beyond the copy %.0f ns a block", size_name(bs), t->batch, how,
			  way[i], arms[2 * i].median - arms[2 * i + 1].median);
	}
	return ret;
}

static int mapped(struct bench_out *out, struct rig *rig, uint32_t bs, uint32_t batch, unsigned int processes)
{
	struct trip t = { .rig = rig, .batch = batch, .nr = batch > 1 ? batch : SINGLES };
	char how[32];
	uint32_t b;
	int ret;

	t.r = rig_region(rig, bs, t.nr);
	if (!t.r)
		return -errno;
	for (b = 0; b < t.nr; b++)
		fill(block_at(t.r, b), bs, b);
	ret = crowd_up(&t.crowd, processes - 1, t.r->fd, NULL, (uint64_t)t.nr * bs);
	snprintf(how, sizeof(how), "%u process%s", processes, processes > 1 ? "es" : "");
	if (!ret)
		ret = measure(out, &t, how);
	for (b = 0; !ret && b < t.nr; b++)
		if (count_wrong(block_at(t.r, b), bs, b))
			ret = -EILSEQ;
	crowd_down(&t.crowd);
	region_close(t.r);
	return ret;
}

static int framed(struct bench_out *out, struct rig *rig, uint32_t bs, uint32_t batch)
{
	struct trip t = { .rig = rig, .batch = batch, .nr = batch > 1 ? batch : SINGLES };
	struct framed f;
	int ret = framed_create(rig, &f, bs, t.nr, t.nr, t.nr);
	uint32_t b, part;

	if (ret)
		return ret;
	t.r = &f.r;
	for (b = 0; !ret && b < t.nr; b += part) {
		part = t.nr - b < KVOFF_BLOCKS_MAX ? t.nr - b : KVOFF_BLOCKS_MAX;
		ret = blocks_alloc(f.r.fd, b, part, NULL);
	}
	if (!ret)
		ret = measure(out, &t, "framed");
	framed_close(&f);
	return ret;
}

static int one_size(struct bench_out *out, uint32_t bs)
{
	static const uint32_t batches[] = { 1, 32, 512 };
	uint32_t most = bench_quick() ? 32 : 512;
	struct rig rig;
	const char *wrong;
	unsigned int i;
	/* room enough that no move takes a frame that was zeroed for a first touch: others would be zeroed meanwhile */
	int ret = rig_up(&rig, bs, (most + most / 4 + 32ULL) * bs);

	for (i = 0; !ret && i < 3 && batches[i] <= most; i++) {
		ret = mapped(out, &rig, bs, batches[i], 1);
		/* a gigabyte takes a while to be moved: once will do */
		if (!ret && (uint64_t)bs * batches[i] < GIB)
			ret = mapped(out, &rig, bs, batches[i], 9) ?: framed(out, &rig, bs, batches[i]);
	}
	wrong = rig_down(&rig);
	if (wrong)
		bench_note(out, "%s: afterwards: %s", size_name(bs), wrong);
	return ret ?: wrong ? -EIO : 0;
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
