// SPDX-License-Identifier: LGPL-2.1-or-later
/* A server comes back to its named region: what is sealed there is taken, all else is free. */
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "frames.h"
#include "heap.h"
#include "region.h"

/* Units listed in one call. */
#define AT_ONCE 256

/**
 * struct scan - what is in the region, in ascending order
 * @unit:	the last units listed, @nr of them; @i is the next
 * @more:	there may be others behind them
 */
struct scan {
	struct kvoff_unit unit[AT_ONCE];
	uint32_t nr;
	uint32_t i;
	bool more;
};

/* The next unit that ends above @block, NULL if there is none; *@err is set where the kernel does not say. */
static const struct kvoff_unit *unit_from(struct libkvoff *kv, struct scan *scan, uint64_t block, int *err)
{
	for (;;) {
		for (; scan->i < scan->nr; scan->i++)
			if (scan->unit[scan->i].first >= block)
				return &scan->unit[scan->i];
		if (!scan->more)
			return NULL;
		*err = kv->backend->units(kv, block, scan->unit, AT_ONCE);
		if (*err < 0)
			return NULL;
		scan->nr = (uint32_t)*err;
		scan->i = 0;
		scan->more = scan->nr == AT_ONCE;
		*err = 0;
	}
}

/* Marks @nr blocks from @first as an allocation; @rest is the free span above all that is taken. */
static int reserve(struct libkvoff *kv, struct lkv_span *rest, uint64_t first, uint64_t nr)
{
	struct lkv_place place = { .span = rest, .start = first << kv->block_shift, .size = nr << kv->block_shift };

	if (lkv_space_take(&kv->heap->space, &place, place.size))
		return -ENOMEM;
	kv->heap->in_use += nr;
	kv->heap->allocated += place.size;
	return 0;
}

/* A call on the free span @rest's book after each reserve(): the span object stays the upper part. */
static int take_sealed(struct libkvoff *kv, struct scan *scan, struct lkv_span *rest, uint64_t high)
{
	const struct kvoff_unit *unit;
	uint64_t block, location, nr;
	int ret = 0;

	unit = unit_from(kv, scan, 0, &ret);
	for (block = 0; block < high && !ret; block += nr) {
		nr = 1;
		if (unit && unit->first == block) {
			nr = unit->nr;
			ret = reserve(kv, rest, block, nr);
			if (!ret)
				unit = unit_from(kv, scan, block + nr, &ret);
			continue;
		}
		location = lkv_location(kv, block);
		if (location & LKV_SPENT)
			ret = reserve(kv, rest, block, 1);
		else if (location & KVOFF_STATE_PRESENT)
			/* the last of the others went a moment ago: free memory that is still there */
			lkv_bitmap_set(&kv->heap->resident, block);
	}
	return ret;
}

static int adopt_mapped(struct libkvoff *kv, const struct kvoff_region_info *info, struct scan *scan)
{
	struct lkv_place all;
	uint64_t need, available;
	int ret = lkv_heap_create(kv);

	if (ret)
		return ret;
	lkv_space_find(&kv->heap->space, 1, 1, &all);
	ret = take_sealed(kv, scan, all.span, info->high);
	if (ret)
		return lkv_fail(-ret, "kvoff: %s: taking over what is sealed in it failed: %s", kv->name,
				strerrordesc_np(-ret));
	kv->heap->committed = info->committed >> kv->block_shift;
	need = kv->heap->in_use + kv->heap->resident.count;
	if (need <= kv->heap->committed)
		return 0;
	/* a sealed block that lost its memory to an error may be used again after it was freed */
	ret = kv->backend->commit(kv, (need - kv->heap->committed) << kv->block_shift, &available);
	if (ret)
		return lkv_fail(-ret, "kvoff: %s: committing what is sealed in it failed: %s", kv->name,
				strerrordesc_np(-ret));
	kv->heap->committed = need;
	return 0;
}

/* Blocks that are not sealed are nobody's: whoever knew them has gone. */
static int adopt_framed(struct libkvoff *kv, const struct kvoff_region_info *info)
{
	uint64_t block, location;
	uint32_t done;
	int ret = lkv_frames_create(kv);

	for (block = 0; block < info->high && !ret; block++) {
		location = lkv_location(kv, block);
		/* a poisoned block has no frame, but it is somebody's until it is freed */
		if (!(location & (KVOFF_STATE_PRESENT | KVOFF_STATE_POISONED)))
			continue;
		if (location & KVOFF_STATE_SEALED || kv->backend->block_free(kv, &block, 1, &done)) {
			lkv_bitmap_clear(&kv->frames->free, block);
			kv->frames->taken++;
		}
	}
	return ret;
}

int lkv_adopt(struct libkvoff *kv, const struct kvoff_region_info *info)
{
	struct scan *scan;
	int ret;

	if (kv->framed)
		return adopt_framed(kv, info);
	scan = lkv_pages(sizeof(*scan));
	if (!scan)
		return lkv_fail(ENOMEM, "kvoff: %s: no memory to list what is sealed in it", kv->name);
	scan->more = true;
	ret = adopt_mapped(kv, info, scan);
	munmap(scan, sizeof(*scan));
	return ret;
}
