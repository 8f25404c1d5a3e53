// SPDX-License-Identifier: LGPL-2.1-or-later
/* Allocating and freeing. */
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "heap.h"
#include "region.h"

#define ALIGN_MAX (UINT64_C(1) << 30)

int lkv_heap_create(struct libkvoff *kv)
{
	struct lkv_heap *heap = lkv_pages(sizeof(*heap));

	if (!heap)
		goto err;
	kv->heap = heap;
	pthread_mutex_init(&heap->lock, NULL);
	pthread_mutex_init(&heap->grow_lock, NULL);
	if (lkv_space_init(&heap->space, (uintptr_t)kv->base, kv->length, UINT64_C(1) << kv->block_shift) ||
	    lkv_bitmap_init(&heap->resident, kv->nr_blocks))
		goto err;
	return 0;
err:
	return lkv_fail(ENOMEM, "kvoff: %s: no memory for the allocator's book", kv->name);
}

void lkv_heap_destroy(struct libkvoff *kv)
{
	struct lkv_heap *heap = kv->heap;

	if (!heap)
		return;
	lkv_bitmap_destroy(&heap->resident);
	lkv_space_destroy(&heap->space);
	pthread_mutex_destroy(&heap->lock);
	pthread_mutex_destroy(&heap->grow_lock);
	munmap(heap, sizeof(*heap));
}

/* The blocks that lie wholly in the free span @start, @size and that @taken_start, @taken_size is on. */
static struct lkv_run shared_blocks(const struct libkvoff *kv, uint64_t start, uint64_t size, uint64_t taken_start,
				    uint64_t taken_size)
{
	uint64_t up = (UINT64_C(1) << kv->block_shift) - 1, first, end, taken_end = taken_start + taken_size;

	first = (start + up) >> kv->block_shift;
	end = (start + size) >> kv->block_shift;
	if (first < taken_start >> kv->block_shift)
		first = taken_start >> kv->block_shift;
	if (end > (taken_end + up) >> kv->block_shift)
		end = (taken_end + up) >> kv->block_shift;
	return (struct lkv_run){ .first = first, .nr = end > first ? end - first : 0 };
}

static int region_full(struct libkvoff *kv, uint64_t size)
{
	char what[LKV_SIZE_LEN], length[LKV_SIZE_LEN], used[LKV_SIZE_LEN];

	return lkv_fail(ENOMEM,
			"kvoff: %s: no %s in one piece: %s of the region's %s of address space are allocated: open it "
			"with a larger length, which costs nothing",
			kv->name, lkv_size(what, size), lkv_size(used, kv->heap->allocated),
			lkv_size(length, kv->length));
}

/* With the lock held. 0 and *offset, or -errno with a message. */
static int allocate(struct libkvoff *kv, uint64_t align, uint64_t size, uint64_t *offset)
{
	struct lkv_heap *heap = kv->heap;
	struct lkv_place place;
	struct lkv_run run;
	uint64_t missing;
	int ret;

	for (;;) {
		if (!lkv_space_find(&heap->space, size, align, &place))
			return region_full(kv, size);
		run = shared_blocks(kv, place.span->start, place.span->size, place.start, place.size);
		missing = lkv_commit_missing(kv, &run);
		if (!missing)
			break;
		/* drops the lock: what was found may be gone */
		ret = lkv_commit_more(kv, missing, size);
		if (ret)
			return ret;
	}
	if (lkv_space_take(&heap->space, &place, size))
		return lkv_fail(ENOMEM, "kvoff: %s: no memory for the allocator's book", kv->name);
	lkv_commit_use(kv, &run);
	heap->allocated += size;
	*offset = place.start;
	return 0;
}

void *libkvoff_aligned_alloc(struct libkvoff *kv, size_t align, size_t size)
{
	uint64_t offset = 0;
	int ret;

	if (kv->framed) {
		lkv_fail(EOPNOTSUPP, "kvoff: %s: a framed region gives out blocks, not memory: "
			 "libkvoff_block_alloc()", kv->name);
		return NULL;
	}
	if (!kv->heap) {
		lkv_fail(EPERM,
			 "kvoff: %s: this process is attached to the region, and only the one that opened it allocates: "
			 "have it do so, and pass on libkvoff_offset()",
			 kv->name);
		return NULL;
	}
	if (!size || !align || align & (align - 1) || align > ALIGN_MAX) {
		lkv_fail(EINVAL,
			 "kvoff: %s: an allocation of %zu bytes aligned to %zu: the size must be at least 1, the alignment a "
			 "power of two up to 1 GiB",
			 kv->name, size, align);
		return NULL;
	}
	pthread_mutex_lock(&kv->heap->lock);
	/* sizes that could overflow are not tried */
	ret = size > kv->length ? region_full(kv, size) : allocate(kv, align, size, &offset);
	pthread_mutex_unlock(&kv->heap->lock);
	return ret ? NULL : kv->base + offset;
}

void *libkvoff_alloc(struct libkvoff *kv, size_t size)
{
	return libkvoff_aligned_alloc(kv, 1, size);
}

static struct lkv_span *lookup(struct libkvoff *kv, const void *ptr)
{
	uint64_t offset = libkvoff_offset(kv, ptr);

	return offset == UINT64_MAX ? NULL : lkv_space_lookup(&kv->heap->space, offset);
}

int libkvoff_free(struct libkvoff *kv, void *ptr)
{
	struct lkv_span *span, *whole;
	uint64_t start, size;
	struct lkv_run run;

	if (!ptr)
		return 0;
	if (kv->framed)
		return lkv_fail(EOPNOTSUPP, "kvoff: %s: free of %p: a framed region gives out blocks: "
				"libkvoff_block_free()", kv->name,
				ptr);
	if (!kv->heap)
		return lkv_fail(EINVAL, "kvoff: %s: free of %p: this process is attached, and the one that allocated frees",
				kv->name, ptr);
	pthread_mutex_lock(&kv->heap->lock);
	span = lookup(kv, ptr);
	if (!span) {
		pthread_mutex_unlock(&kv->heap->lock);
		return lkv_fail(EINVAL,
				"kvoff: %s: free of %p, which is not the start of a live allocation: freed twice, or never "
				"allocated here?",
				kv->name, ptr);
	}
	kv->heap->allocated -= span->asked;
	start = span->start;
	size = span->size;
	whole = lkv_space_give(&kv->heap->space, span);
	run = shared_blocks(kv, whole->start, whole->size, start, size);
	lkv_commit_unuse(kv, &run);
	pthread_mutex_unlock(&kv->heap->lock);
	lkv_reap_wake(kv);
	return 0;
}

size_t libkvoff_usable_size(struct libkvoff *kv, const void *ptr)
{
	struct lkv_span *span;
	size_t size = 0;

	if (!kv->heap)
		return 0;
	pthread_mutex_lock(&kv->heap->lock);
	span = lookup(kv, ptr);
	if (span)
		size = (span->asked + LKV_GRAIN - 1) & ~(LKV_GRAIN - 1);
	pthread_mutex_unlock(&kv->heap->lock);
	return size;
}
