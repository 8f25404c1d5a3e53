// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Faults: the first touch of a block, and the first uses after it has moved. The peers zero their pages in the fault,
 * kvoff's pools have done so before, as long as they have zeroed frames left; both are shown.
 */
#include <errno.h>
#include <sys/mman.h>

#include "tools/bench/bench.h"
#include "tools/bench/memory.h"
#include "tools/bench/peer.h"
#include "tools/bench/trip.h"

/**
 * struct cost - of one block
 * @ns:		time
 * @faults:	minor faults
 */
struct cost {
	double ns;
	double faults;
};

static struct cost measure(void (*touch)(void *p, size_t bytes), void *p, size_t bytes, size_t nr)
{
	uint64_t faults = faults_now(), begin = bench_ns();
	struct cost cost;

	touch(p, bytes);
	cost.ns = (double)(bench_ns() - begin) / nr;
	cost.faults = (double)(faults_now() - faults) / nr;
	return cost;
}

static void read_all(void *p, size_t bytes)
{
	touch_read(p, bytes);
}

static void row(struct bench_out *out, size_t bs, const char *what, struct cost own, const char *peer,
		struct cost other)
{
	bench_row(out, &(struct bench_row){ .value = own.ns, .unit = "ns", .peer = peer, .peer_value = other.ns },
		  "%s block, %s", size_name(bs), what);
}

/* Shared memory whose pages are there, but not mapped. */
static int peer_refault(enum memory_kind kind, size_t bs, size_t nr, struct cost *cost)
{
	void *p = memory_map(kind, nr * bs, 0);

	if (!p)
		return -errno;
	touch_write(p, nr * bs);
	if (madvise(p, nr * bs, MADV_DONTNEED)) {
		memory_unmap(kind, p, nr * bs);
		return -errno;
	}
	*cost = measure(read_all, p, nr * bs, nr);
	memory_unmap(kind, p, nr * bs);
	return 0;
}

/* Anonymous memory that move_pages(2) has moved is mapped when that returns. */
static int peer_moved(size_t bs, size_t nr, int node, struct cost *cost)
{
	struct pages p;
	int ret = pages_up(&p, nr * bs, bs == 2 * MIB, 0);
	double ns = ret ?: pages_move(&p, 0, p.nr, node);

	if (ns >= 0)
		*cost = measure(read_all, p.data, p.bytes, nr);
	pages_down(&p);
	return ns < 0 ? (int)ns : 0;
}

static int moved(struct bench_out *out, struct rig *rig, struct region *r)
{
	struct cost reads, writes, other;
	uint64_t b;
	int ret;

	for (b = 0; b < r->nr; b += 32) {
		uint32_t nr = r->nr - b < 32 ? r->nr - b : 32;

		if (move_blocks(rig, r, b, nr, rig->far, 0, NULL) != (int)nr)
			return -EIO;
	}
	reads = measure(read_all, r->data, r->nr * r->bs, r->nr);
	writes = measure(touch_write, r->data, r->nr * r->bs, r->nr);
	ret = peer_refault(MEMORY_SHARED, r->bs, r->nr, &other);
	if (ret)
		return ret;
	row(out, r->bs, "read after a move, every page", reads, "shared memory, mapped again", other);
	if (r->bs == 2 * MIB) {
		ret = peer_refault(MEMORY_HUGETLB_SHARED, r->bs, r->nr, &other);
		if (ret)
			return ret;
		row(out, r->bs, "read after a move, every page", reads, "hugetlb, mapped again", other);
	}
	ret = peer_moved(r->bs, r->nr, rig->far_node, &other);
	if (ret)
		return ret;
	row(out, r->bs, "read after a move, every page", reads, "anonymous, which move_pages(2) has mapped", other);
	bench_row(out, &(struct bench_row){ .value = reads.faults, .unit = "count", .peer = "anonymous",
					    .peer_value = other.faults },
		  "%s block, faults of these reads", size_name(r->bs));
	bench_row(out, &(struct bench_row){ .value = writes.ns, .unit = "ns" },
		  "%s block, then written, every page", size_name(r->bs));
	bench_row(out, &(struct bench_row){ .value = writes.faults, .unit = "count" },
		  "%s block, faults of these writes", size_name(r->bs));
	return 0;
}

static int first_touch(struct bench_out *out, struct region *r)
{
	static const enum memory_kind peers[] = { MEMORY_PAGES, MEMORY_THP, MEMORY_HUGETLB };
	uint64_t zeroed = stat_now("first_touch_zeroed");
	struct cost clean, dirty, other;
	size_t i, bytes = r->nr * r->bs;

	clean = measure(touch_write, r->data, bytes, r->nr);
	if (stat_now("first_touch_zeroed") != zeroed)
		bench_note(out, "%s: %lu of %lu first touches had to zero their frame", size_name(r->bs),
			   stat_now("first_touch_zeroed") - zeroed, r->nr);
	if (region_discard(r, 0, r->nr, NULL))
		return -EIO;
	zeroed = stat_now("first_touch_zeroed");
	dirty = measure(touch_write, r->data, bytes, r->nr);
	for (i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
		void *p;

		if (peers[i] == MEMORY_HUGETLB && r->bs != 2 * MIB)
			continue;
		p = memory_map(peers[i], bytes, r->bs);
		if (!p) {
			bench_note(out, "%s of %s: %m", memory_name(peers[i]), size_name(r->bs));
			continue;
		}
		other = measure(touch_write, p, bytes, r->nr);
		memory_unmap(peers[i], p, bytes);
		row(out, r->bs, "first touch, every page, zeroed before", clean, memory_name(peers[i]), other);
		if (i == 1)
			row(out, r->bs, "first touch, every page, at once after a discard", dirty,
			    memory_name(peers[i]), other);
	}
	bench_row(out, &(struct bench_row){ .value = clean.faults, .unit = "count", .peer = memory_name(peers[i - 1]),
					    .peer_value = other.faults },
		  "%s block, faults of a first touch of every page", size_name(r->bs));
	bench_note(out, "%s: %lu of %lu touches after the discard zeroed their frame", size_name(r->bs),
		   stat_now("first_touch_zeroed") - zeroed, r->nr);
	return 0;
}

static int blocks(struct bench_out *out, size_t bs, size_t nr)
{
	struct region *r;
	struct rig rig;
	int ret;

	ret = rig_up(&rig, bs, (nr + nr / 4 + 2) * bs);
	if (!ret) {
		r = rig_region(&rig, bs, nr);
		ret = r ? first_touch(out, r) ?: moved(out, &rig, r) : -errno;
	}
	return bench_rig_down(out, &rig, ret);
}

static int run(struct bench_out *out)
{
	size_t nr = bench_quick() ? 8 : 64;
	int ret;

	sysfs_write("tuning/sample_interval_ms", "0");
	if (hugetlb_set(nr) < (long)nr)
		bench_note(out, "no pool of huge pages");
	ret = blocks(out, 64 * KIB, 16 * nr) ?: blocks(out, 2 * MIB, nr);
	hugetlb_set(0);
	sysfs_write("tuning/sample_interval_ms", "5000");
	return ret;
}

const struct bench bench_fault = {
	.name = "fault", .what = "the first touch of a block, and its first use after a move", .guest = true,
	.run = run,
};
