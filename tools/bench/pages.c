// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Moving blocks, beside move_pages(2) on the same number of bytes of anonymous memory. Both copy by the same routine,
 * folio_mc_copy() page by page. One allocates its targets, which the kernel zeroes where init_on_alloc is set, and maps
 * the pages again; the other takes frames from a pool, and lets the next reader fault. So there are rows for the move
 * alone, and for the move and what it takes until all processes have read all pages again.
 */
#include <errno.h>
#include <stdio.h>

#include "tools/bench/bench.h"
#include "tools/bench/peer.h"
#include "tools/bench/trip.h"

/**
 * struct both - the same bytes, twice
 * @t:		as blocks
 * @p:		as pages
 * @crowd:	has the pages mapped
 * @there:	where they go next
 * @again:	count reading them again
 */
struct both {
	struct trip t;
	struct pages p;
	struct crowd crowd;
	bool there;
	bool again;
};

/* The blocks' way there and back, with the reading that follows each; nanoseconds a block. */
static double blocks_arm(void *ctx)
{
	struct both *x = ctx;
	uint64_t bytes = (uint64_t)x->t.nr * x->t.r->bs, begin;
	double ns = trip_both(&x->t);
	int ret;

	if (ns < 0 || !x->again)
		return ns;
	begin = bench_ns();
	ret = crowd_read(&x->t.crowd, x->t.r->data, bytes);
	return ret ? ret : ns + (double)(bench_ns() - begin) / x->t.nr;
}

static double pages_arm(void *ctx)
{
	struct both *x = ctx;
	double ns = 0;
	int way, ret;

	for (way = 0; way < 2; way++) {
		double one;

		ret = crowd_read(&x->crowd, x->p.data, x->p.bytes);
		if (ret)
			return ret;
		one = pages_move(&x->p, 0, x->p.nr, way ? 0 : x->t.rig->far_node);
		if (one < 0)
			return one;
		ns += one / 2;
	}
	if (x->again) {
		uint64_t begin = bench_ns();

		ret = crowd_read(&x->crowd, x->p.data, x->p.bytes);
		if (ret)
			return ret;
		ns += bench_ns() - begin;
	}
	return ns / x->t.nr;
}

struct plan {
	uint32_t bs;
	uint32_t nr;
	bool huge;
	double limit;
};

static int compare(struct bench_out *out, struct rig *rig, const struct plan *plan, unsigned int processes, bool limits)
{
	struct both x = { 0 };
	struct bench_arm arms[] = { { .run = blocks_arm, .ctx = &x }, { .run = pages_arm, .ctx = &x } };
	const char *pages = plan->huge ? "move_pages, huge pages" : "move_pages, 4 KiB pages";
	uint64_t bytes = (uint64_t)plan->bs * plan->nr;
	int ret, down;

	ret = trip_up(&x.t, rig, plan->bs, plan->nr, processes);
	if (!ret)
		ret = pages_up(&x.p, bytes, plan->huge, 0);
	if (ret == -ENOTSUP)
		bench_note(out, "this kernel gives no transparent huge pages");
	/* by fork: they have the very pages mapped */
	if (!ret)
		ret = crowd_up(&x.crowd, processes - 1, -1, x.p.data, bytes);
	for (; !ret; x.again = true) {
		struct bench_row row = { .unit = "ns", .peer = pages };

		ret = bench_in_turn(arms, 2, bytes > 4 * MIB ? 1 : 3);
		if (ret)
			break;
		row.value = arms[0].median;
		row.peer_value = arms[1].median;
		row.ratio = row.peer_value / row.value;
		if (limits && !x.again) {
			row.direction = BENCH_AT_LEAST;
			row.limit = plan->limit;
		}
		bench_row(out, &row, "%s x %u, %u process%s, a block%s; times as fast", size_name(plan->bs), plan->nr,
			  processes, processes > 1 ? "es" : "", x.again ? ", and read again" : "");
		if (x.again)
			break;
	}
	crowd_down(&x.crowd);
	pages_down(&x.p);
	down = trip_down(&x.t);
	return ret ?: down;
}

static int all(struct bench_out *out, bool limits)
{
	static const struct plan plans[] = {
		{ .bs = 64 * KIB, .nr = 32, .limit = 2.5 },
		{ .bs = 256 * KIB, .nr = 32, .limit = 2.5 },
		{ .bs = 2 * MIB, .nr = 16, .limit = 3 },
		{ .bs = 2 * MIB, .nr = 16, .huge = true, .limit = 1.8 },
	};
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < (bench_quick() ? 1 : 4); i++) {
		const struct plan *plan = &plans[i];
		struct rig rig;

		ret = rig_up(&rig, plan->bs, 2ULL * plan->nr * plan->bs);
		if (!ret)
			ret = compare(out, &rig, plan, 1, limits) ?: compare(out, &rig, plan, 9, limits);
		ret = bench_rig_down(out, &rig, ret);
	}
	return ret;
}

static int run(struct bench_out *out)
{
	return all(out, true);
}

/* What is compared here is not what users of stock kernels get, but those of kernels made for speed. */
static int run_unzeroed(struct bench_out *out)
{
	return all(out, false);
}

const struct bench bench_pages = {
	.name = "pages", .what = "moving blocks, beside move_pages(2)", .guest = true, .run = run,
};

const struct bench bench_pages_unzeroed = {
	.name = "pages_unzeroed", .what = "the same on a kernel that does not zero what it allocates", .guest = true,
	.vm = "-a init_on_alloc=0", .run = run_unzeroed,
};
