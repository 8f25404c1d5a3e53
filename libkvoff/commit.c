// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is committed. A block that a page fault may reach takes one block of what the kernel promised, so at any time
 *
 *	committed >= blocks that an allocation is on + free blocks that still have memory
 *
 * Both directions go in steps of commit_step: allocating asks for a step when nothing is left, freeing gives back when
 * more than two steps are idle, and keeps at least one. Until then free blocks keep their memory, and using them again
 * makes no system call.
 */
#include <inttypes.h>
#include <string.h>

#include "heap.h"
#include "region.h"

/* From so many blocks on it pays to ask the kernel how far up there can be memory, before looking block by block. */
#define ASK_HIGH 4096

static uint64_t step_blocks(const struct libkvoff *kv)
{
	return kv->commit_step >> kv->block_shift;
}

uint64_t lkv_commit_missing(struct libkvoff *kv, const struct lkv_run *run)
{
	struct lkv_heap *heap = kv->heap;
	uint64_t again = 0, end = run->first + run->nr, block, want;

	for (block = lkv_bitmap_next(&heap->resident, run->first, end); block != LKV_BIT_NONE;
	     block = lkv_bitmap_next(&heap->resident, block + 1, end))
		again++;
	want = heap->in_use + run->nr + heap->resident.count - again;
	return want > heap->committed ? want - heap->committed : 0;
}

/*
 * Takes the memory of free blocks, the highest first, until at most @keep have any. What the kernel could not take
 * (a driver has it pinned) stays in the set.
 */
static void discard_down_to(struct libkvoff *kv, uint64_t keep)
{
	struct lkv_heap *heap = kv->heap;
	uint64_t last = heap->resident.nr, first, block, over;

	while (heap->resident.count > keep) {
		over = heap->resident.count - keep;
		last = lkv_bitmap_prev(&heap->resident, last);
		if (last == LKV_BIT_NONE)
			return;
		first = last;
		while (first && last - first + 1 < over && lkv_bitmap_test(&heap->resident, first - 1))
			first--;
		if (!kv->backend->discard(kv, first, last - first + 1)) {
			if (kv->backend->present)
				kv->backend->present(kv, first, last - first + 1, false);
			for (block = first; block <= last; block++)
				if (!lkv_is_present(kv, block))
					lkv_bitmap_clear(&heap->resident, block);
		}
		last = first;
	}
}

static int over_quota(struct libkvoff *kv, const char *what, const char *need, const char *room)
{
	char quota[LKV_SIZE_LEN], taken[LKV_SIZE_LEN];
	struct kvoff_region_info info;

	/* a module of the first version does not tell, and the quota may have been taken away just now */
	if (kv->backend->info(kv, &info) || !info.tenant[0] || !info.tenant_quota)
		return lkv_fail(EDQUOT,
				"kvoff: %s: an allocation of %s needs %s more committed, and the tenant's quota leaves %s: "
				"free some, or have the quota raised",
				kv->name, what, need, room);
	return lkv_fail(EDQUOT,
			"kvoff: %s: an allocation of %s needs %s more committed, and tenant \"%.*s\" has %s of its quota of "
			"%s committed: free some, or ask the admin: kvoffctl tenant set %.*s --quota SIZE",
			kv->name, what, need, KVOFF_NAME_LEN, info.tenant, lkv_size(taken, info.tenant_committed),
			lkv_size(quota, info.tenant_quota), KVOFF_NAME_LEN, info.tenant);
}

static int no_commit(struct libkvoff *kv, int err, uint64_t missing, uint64_t available, uint64_t size)
{
	char need[LKV_SIZE_LEN], room[LKV_SIZE_LEN], what[LKV_SIZE_LEN], block[LKV_SIZE_LEN];

	lkv_size(need, missing << kv->block_shift);
	lkv_size(room, available);
	lkv_size(what, size);
	lkv_size(block, UINT64_C(1) << kv->block_shift);
	switch (err) {
	case ENOMEM:
		return lkv_fail(err,
				"kvoff: %s: an allocation of %s needs %s more committed, and the tiers have %s left for "
				"%s blocks: free some, close other regions, or give a tier more capacity (kvoffctl)",
				kv->name, what, need, room, block);
	case EDQUOT:
		return over_quota(kv, what, need, room);
	default:
		return lkv_fail(err, "kvoff: %s: committing %s for an allocation of %s failed: %s", kv->name, need, what,
				strerrordesc_np(err));
	}
}

/* Asks for a step; where that is too much, for less, down to @missing. Blocks committed, or -errno. */
static int64_t ask(struct libkvoff *kv, uint64_t missing, uint64_t committed, uint64_t *available)
{
	uint64_t want = step_blocks(kv), most = kv->nr_blocks - committed;
	int ret;

	if (want < missing)
		want = missing;
	if (want > most && most >= missing)
		want = most;
	for (;;) {
		ret = kv->backend->commit(kv, want << kv->block_shift, available);
		if (!ret)
			return (int64_t)want;
		if ((ret != -ENOMEM && ret != -EDQUOT) || want == missing)
			return ret;
		want /= 2;
		if (want > *available >> kv->block_shift)
			want = *available >> kv->block_shift;
		if (want < missing)
			want = missing;
	}
}

int lkv_commit_more(struct libkvoff *kv, uint64_t missing, uint64_t size)
{
	struct lkv_heap *heap = kv->heap;
	uint64_t grown = heap->grown, committed, available = 0, idle;
	int64_t got = 0;

	pthread_mutex_unlock(&heap->lock);
	pthread_mutex_lock(&heap->grow_lock);
	pthread_mutex_lock(&heap->lock);
	/* somebody else was faster: perhaps that is enough */
	if (heap->grown != grown)
		goto out;
	committed = heap->committed;
	pthread_mutex_unlock(&heap->lock);
	got = ask(kv, missing, committed, &available);
	pthread_mutex_lock(&heap->lock);
	if (got > 0) {
		heap->committed += (uint64_t)got;
		heap->grown++;
		goto out;
	}
	/* no more to be had: what free blocks hold is ours to use elsewhere */
	idle = heap->resident.count;
	discard_down_to(kv, idle > missing ? idle - missing : 0);
	if (heap->resident.count < idle)
		got = 0;
out:
	pthread_mutex_unlock(&heap->grow_lock);
	return got < 0 ? no_commit(kv, (int)-got, missing, available, size) : 0;
}

void lkv_commit_use(struct libkvoff *kv, const struct lkv_run *run)
{
	struct lkv_heap *heap = kv->heap;
	uint64_t block, end = run->first + run->nr;

	heap->in_use += run->nr;
	for (block = lkv_bitmap_next(&heap->resident, run->first, end); block != LKV_BIT_NONE;
	     block = lkv_bitmap_next(&heap->resident, block + 1, end))
		lkv_bitmap_clear(&heap->resident, block);
	if (kv->backend->present)
		kv->backend->present(kv, run->first, run->nr, true);
}

/* Gives back what is idle beyond two steps, in whole steps. */
static void trim(struct libkvoff *kv)
{
	struct lkv_heap *heap = kv->heap;
	uint64_t step = step_blocks(kv), idle = heap->committed - heap->in_use, give;

	if (idle <= 2 * step)
		return;
	give = (idle - step) / step * step;
	discard_down_to(kv, idle - give);
	if (heap->resident.count > idle - give)
		give = (idle - heap->resident.count) / step * step;
	/* a failure leaves more committed than needed, and the next free tries again */
	if (give && !kv->backend->uncommit(kv, give << kv->block_shift))
		heap->committed -= give;
}

/* What nobody may write to must not be given out again: it loses its memory at once. */
static void empty_spent(struct libkvoff *kv, uint64_t first, uint64_t end)
{
	uint64_t from;

	for (; first < end; first++) {
		for (from = first; first < end && lkv_location(kv, first) & LKV_SPENT; first++)
			;
		if (first > from && !kv->backend->discard(kv, from, first - from) && kv->backend->present)
			kv->backend->present(kv, from, first - from, false);
	}
}

void lkv_commit_unuse(struct libkvoff *kv, const struct lkv_run *run)
{
	uint64_t block, end = run->first + run->nr;
	struct kvoff_region_info info;

	if (!run->nr)
		return;
	kv->heap->in_use -= run->nr;
	if (run->nr >= ASK_HIGH && !kv->backend->info(kv, &info) && info.high < end)
		end = info.high;
	empty_spent(kv, run->first, end);
	for (block = run->first; block < end; block++)
		if (lkv_is_present(kv, block))
			lkv_bitmap_set(&kv->heap->resident, block);
	trim(kv);
}
