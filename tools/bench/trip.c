// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>

#include "tools/bench/bench.h"
#include "tools/bench/trip.h"

int trip_up(struct trip *t, struct rig *rig, uint32_t bs, uint32_t nr, unsigned int processes)
{
	uint32_t b;

	*t = (struct trip){ .rig = rig, .nr = nr, .batch = nr };
	t->framed.r.fd = -1;
	t->r = rig_region(rig, bs, nr);
	if (!t->r)
		return -errno;
	for (b = 0; b < nr; b++)
		fill(block_at(t->r, b), bs, b);
	return crowd_up(&t->crowd, processes - 1, t->r->fd, NULL, (uint64_t)nr * bs);
}

int trip_up_framed(struct trip *t, struct rig *rig, uint32_t bs, uint32_t nr)
{
	uint32_t b, part;
	int ret;

	*t = (struct trip){ .rig = rig, .nr = nr, .batch = nr };
	t->framed.r.fd = -1;
	ret = framed_create(rig, &t->framed, bs, nr, nr, nr);
	t->r = &t->framed.r;
	for (b = 0; !ret && b < nr; b += part) {
		part = nr - b < KVOFF_BLOCKS_MAX ? nr - b : KVOFF_BLOCKS_MAX;
		ret = blocks_alloc(t->r->fd, b, part, NULL);
	}
	return ret;
}

int trip_down(struct trip *t)
{
	int ret = 0;
	uint32_t b;

	crowd_down(&t->crowd);
	if (!t->r)
		return 0;
	for (b = 0; t->r->data && !t->write && b < t->nr; b++)
		if (count_wrong(block_at(t->r, b), t->r->bs, b))
			ret = -EILSEQ;
	if (t->r == &t->framed.r)
		framed_close(&t->framed);
	else
		region_close(t->r);
	return ret;
}

static double leg(struct trip *t, uint32_t to)
{
	uint64_t begin;
	uint32_t b;
	int ret = t->r->data ? crowd_read(&t->crowd, t->r->data, (uint64_t)t->nr * t->r->bs) : 0;

	if (ret)
		return ret;
	for (b = 0; t->write && b < t->nr; b++)
		*(volatile uint8_t *)block_at(t->r, b) = b;
	begin = bench_ns();
	for (b = 0; b < t->nr; b += t->batch) {
		ret = move_blocks(t->rig, t->r, b, t->batch, to, 0, NULL);
		if (ret != (int)t->batch)
			return ret < 0 ? ret : -EBUSY;
	}
	return (double)(bench_ns() - begin) / t->nr;
}

double trip_there(void *ctx)
{
	struct trip *t = ctx;

	return leg(t, t->rig->far);
}

double trip_back(void *ctx)
{
	struct trip *t = ctx;

	return leg(t, t->rig->near);
}

double trip_both(void *ctx)
{
	double there = trip_there(ctx), back = there < 0 ? there : trip_back(ctx);

	return back < 0 ? back : (there + back) / 2;
}

const char *size_name(uint32_t bytes)
{
	static char buf[16];

	if (bytes < MIB)
		snprintf(buf, sizeof(buf), "%lu KiB", bytes / KIB);
	else
		snprintf(buf, sizeof(buf), "%lu MiB", bytes / MIB);
	return buf;
}
