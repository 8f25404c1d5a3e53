// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a moved block costs in calls, flushes, interrupts, locks, allocations and faults: counts, which are the same on
 * any hardware. Each is the difference between a command of many blocks and one of few, so that what a command takes by
 * itself is not in it; what it is about is mapped by all processes beforehand.
 */
#include <errno.h>
#include <stdio.h>

#include "tools/bench/bench.h"
#include "tools/bench/peer.h"
#include "tools/bench/probe.h"
#include "tools/bench/trip.h"

/* Neighbours that are moved together: see KVOFF_RUN_MAX and KVOFF_RUN_BYTES of the module. */
#define RUN_MAX		3U
#define RUN_BYTES	(2 * MIB)
#define ROUNDS		3

enum { UNMAPS, FLUSHES, IPIS, LOCKS, ALLOCATIONS, FAULTS, NR_COUNTS };

static const struct {
	const char *what;
	struct probe probe;
} counted[NR_COUNTS] = {
	[UNMAPS] = { "unmap calls", { { "unmap_mapping_range", "try_to_migrate" } } },
	[FLUSHES] = { "TLB flushes", { { "flush_tlb_mm_range", "arch_tlbbatch_flush" } } },
	[IPIS] = { "IPIs", { { "ipi/ipi_send_cpumask", "ipi/ipi_send_cpu" } } },
	[LOCKS] = { "locks taken", { { "_raw_spin_lock", "_raw_spin_lock_irq", "_raw_spin_lock_irqsave", "mutex_lock",
				       "down_read", "down_write", "down_read_trylock" } } },
	[ALLOCATIONS] = { "allocations", { { "kmem/mm_page_alloc", "kmem/kmalloc", "kmem/kmem_cache_alloc" } } },
	[FAULTS] = { "faults when read again", { { "exceptions/page_fault_user" } } },
};

/**
 * struct subject - the same bytes, as blocks and as pages
 * @nr:		blocks of @t, and as many bytes of @p
 * @few:	blocks of the smaller command
 */
struct subject {
	struct trip t;
	struct pages p;
	struct crowd crowd;
	uint32_t nr;
	uint32_t few;
};

/* What moving the first @nr blocks, or as many bytes of pages, comes to; negative: -errno. */
static double count(struct subject *s, unsigned int which, uint32_t nr, bool pages)
{
	struct crowd *crowd = pages ? &s->crowd : &s->t.crowd;
	const uint8_t *data = pages ? s->p.data : s->t.r->data;
	uint64_t bytes = (uint64_t)nr * s->t.r->bs;
	struct probe p = counted[which].probe;
	double ret = probe_up(&p);
	uint64_t n;
	int way;

	for (way = 0; ret >= 0 && way < 2; way++) {
		if (crowd_read(crowd, data, bytes))
			ret = -EPIPE;
		if (ret < 0)
			break;
		/* only the way there is counted */
		if (which != FAULTS && !way)
			probe_start(&p);
		if (pages) {
			double ns = pages_move(&s->p, 0, bytes / s->p.step, way ? 0 : s->t.rig->far_node);

			ret = ns < 0 ? ns : ret;
		} else if (move_blocks(s->t.rig, s->t.r, 0, nr, way ? s->t.rig->near : s->t.rig->far, 0, NULL) !=
			   (int)nr) {
			ret = -EBUSY;
		}
		if (way)
			break;
		if (which == FAULTS)
			probe_start(&p);
		if (which == FAULTS && crowd_read(crowd, data, bytes))
			ret = -EPIPE;
		n = probe_stop(&p);
		ret = ret < 0 ? ret : n;
	}
	probe_down(&p);
	return ret;
}

/* A block's part of it, which may come out a little below zero; 0 or -errno. */
static int marginal(struct subject *s, unsigned int which, bool pages, double *part)
{
	double each[ROUNDS];
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		double few = count(s, which, s->few, pages), many = few < 0 ? few : count(s, which, s->nr, pages);

		if (many < 0)
			return many;
		each[i] = (many - few) / (s->nr - s->few);
	}
	*part = bench_median(each, ROUNDS);
	return 0;
}

static int rows(struct bench_out *out, struct subject *s, unsigned int processes, double *flushes)
{
	const char *peer = s->p.step > 4096 ? "move_pages, huge pages" : "move_pages, 4 KiB pages";
	unsigned int run = RUN_BYTES / s->t.r->bs < RUN_MAX ? RUN_BYTES / s->t.r->bs : RUN_MAX, i;

	for (i = 0; i < NR_COUNTS; i++) {
		struct bench_row row = { .unit = "a block", .peer = peer };
		int ret = marginal(s, i, false, &row.value) ?: marginal(s, i, true, &row.peer_value);

		if (ret)
			return ret;
		if (i == FLUSHES)
			*flushes = row.value;
		if (i == ALLOCATIONS) {
			/* the list of a command of many blocks is allocated in other steps than that of few */
			row.direction = BENCH_AT_MOST;
			row.limit = 0.01;
			row.of_value = true;
		}
		bench_row(out, &row, "%s, %u process%s: %s", size_name(s->t.r->bs), processes,
			  processes > 1 ? "es" : "", counted[i].what);
		if (i == UNMAPS)
			bench_row(out, &(struct bench_row){ .value = row.value * run, .unit = "calls",
							    .direction = BENCH_AT_MOST, .limit = 2 },
				  "%s, %u process%s: unmap calls for %u neighbours, both steps", size_name(s->t.r->bs),
				  processes, processes > 1 ? "es" : "", run);
	}
	return 0;
}

static int compare(struct bench_out *out, struct rig *rig, uint32_t bs, uint32_t few, uint32_t nr,
		   unsigned int processes, double *flushes)
{
	struct subject s = { .nr = nr, .few = few };
	int ret, down;

	ret = trip_up(&s.t, rig, bs, nr, processes) ?: pages_up(&s.p, (uint64_t)bs * nr, bs == 2 * MIB, 0) ?:
	      crowd_up(&s.crowd, processes - 1, -1, s.p.data, s.p.bytes);
	if (!ret)
		ret = rows(out, &s, processes, flushes);
	crowd_down(&s.crowd);
	pages_down(&s.p);
	down = trip_down(&s.t);
	return ret ?: down;
}

static int one_size(struct bench_out *out, uint32_t bs, uint32_t few, uint32_t nr)
{
	double flushes[2] = { 0 };
	struct rig rig;
	int ret = rig_up(&rig, bs, (nr + nr / 4 + 32ULL) * bs);

	if (!ret)
		ret = compare(out, &rig, bs, few, nr, 1, &flushes[0]) ?: bench_quick() ? 0 :
		      compare(out, &rig, bs, few, nr, 9, &flushes[1]);
	if (!ret)
		bench_row(out, &(struct bench_row){ .value = flushes[1], .unit = "a block", .peer = "1 process",
						    .peer_value = flushes[0], .direction = BENCH_AT_MOST, .limit = 9 },
			  "%s, 9 processes: TLB flushes", size_name(bs));
	return bench_rig_down(out, &rig, ret);
}

static int run(struct bench_out *out)
{
	if (bench_quick())
		return one_size(out, 64 * KIB, 8, 16);
	return one_size(out, 64 * KIB, 32, 288) ?: one_size(out, 2 * MIB, 4, 20);
}

const struct bench bench_counts = {
	.name = "counts", .what = "what a moved block costs in calls, flushes, locks, allocations and faults",
	.guest = true, .run = run,
};
