// SPDX-License-Identifier: GPL-2.0-only
/*
 * Block records: how they come into being, their lock, and their end. What happens to a block in between is in
 * fault.c and move.c.
 */
#include <linux/lockdep.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "framed.h"
#include "kvoff.h"
#include "poison.h"
#include "seal.h"
#include "tenant.h"

/* A bit lock is invisible to lockdep; this stands for all of them. Who has one may try another, but not wait for it. */
#ifdef CONFIG_LOCKDEP
static struct lockdep_map kvoff_block_dep = STATIC_LOCKDEP_MAP_INIT("kvoff_block", &kvoff_block_dep);
#endif

void kvoff_block_lock(struct kvoff_block *b)
{
	might_sleep();
	lock_map_acquire(&kvoff_block_dep);
	wait_on_bit_lock(&b->flags, KVOFF_B_LOCK, TASK_UNINTERRUPTIBLE);
}

bool kvoff_block_trylock(struct kvoff_block *b)
{
	if (test_and_set_bit_lock(KVOFF_B_LOCK, &b->flags))
		return false;
	lock_map_acquire_try(&kvoff_block_dep);
	return true;
}

void kvoff_block_unlock(struct kvoff_block *b)
{
	lock_map_release(&kvoff_block_dep);
	clear_bit_unlock(KVOFF_B_LOCK, &b->flags);
	/* pairs with the waiter's look at the bit after it has queued itself */
	smp_mb__after_atomic();
	wake_up_bit(&b->flags, KVOFF_B_LOCK);
}

/* Lock a block that no mover reads. A copy in progress is waited for: a run of them is no longer than a large block. */
void kvoff_block_lock_idle(struct kvoff_block *b)
{
	kvoff_block_lock(b);
	while (test_bit(KVOFF_B_COPYING, &b->flags)) {
		kvoff_block_unlock(b);
		wait_on_bit(&b->flags, KVOFF_B_COPYING, TASK_UNINTERRUPTIBLE);
		kvoff_block_lock(b);
	}
}

/* A mover is done reading the block's frame. */
void kvoff_block_settled(struct kvoff_block *b)
{
	clear_bit_unlock(KVOFF_B_COPYING, &b->flags);
	/* as in kvoff_block_unlock() */
	smp_mb__after_atomic();
	wake_up_bit(&b->flags, KVOFF_B_COPYING);
}

/**
 * kvoff_chunk - the chunk that holds a block's record
 * @region:	the region
 * @block:	index, inside the region
 * @create:	make it if there is none; memory is charged to the caller
 *
 * NULL if there is none and @create is false, or for want of memory. Chunks live as long as the region's structure.
 */
struct kvoff_chunk *kvoff_chunk(struct kvoff_region *region, u64 block, bool create)
{
	unsigned long nr = block / KVOFF_CHUNK_BLOCKS;
	struct kvoff_chunk *chunk = xa_load(&region->chunks, nr);

	if (chunk || !create)
		return chunk;
	mutex_lock(&region->chunk_mutex);
	chunk = xa_load(&region->chunks, nr);
	if (chunk)
		goto out;
	chunk = kzalloc(sizeof(*chunk), GFP_KERNEL_ACCOUNT);
	if (!chunk)
		goto out;
	chunk->blocks = kvcalloc(KVOFF_CHUNK_BLOCKS, sizeof(*chunk->blocks), GFP_KERNEL_ACCOUNT);
	if (chunk->blocks)
		chunk->state = kvoff_shared_state(region->shared, nr);
	if (!chunk->state || xa_err(xa_store(&region->chunks, nr, chunk, GFP_KERNEL_ACCOUNT))) {
		kvoff_chunk_free(chunk);
		chunk = NULL;
	}
out:
	mutex_unlock(&region->chunk_mutex);
	return chunk;
}

void kvoff_chunk_free(struct kvoff_chunk *chunk)
{
	kvfree(chunk->blocks);
	kfree(chunk);
}

/* Note what brought a block to its tier. Called with the block locked; kvoff_block_publish() is to follow. */
void kvoff_block_reason(struct kvoff_chunk *chunk, u64 block, u16 reason)
{
	WRITE_ONCE(kvoff_chunk_state(chunk, block)->reason, reason);
}

/**
 * kvoff_block_publish - tell the state array where a block is
 * @chunk:	holds its record
 * @block:	its index
 * @extra:	KVOFF_STATE_MOVING, KVOFF_STATE_COPYING
 *
 * Called with the block locked; it is the only writer.
 */
void kvoff_block_publish(struct kvoff_chunk *chunk, u64 block, u32 extra)
{
	struct kvoff_block *b = kvoff_chunk_block(chunk, block);
	u64 location = (u64)b->slot << 32 | (u64)b->gen << 16 | extra;

	if (b->frame) {
		location |= (u64)b->tier << 8 | KVOFF_STATE_PRESENT;
	} else {
		location |= (u64)KVOFF_TIER_NONE << 8;
		kvoff_block_reason(chunk, block, KVOFF_REASON_NONE);
	}
	if (test_bit(KVOFF_B_SEALED, &b->flags))
		location |= KVOFF_STATE_SEALED;
	if (test_bit(KVOFF_B_POISONED, &b->flags))
		location |= KVOFF_STATE_POISONED;
	/* the block's bytes are in place before anybody is told */
	smp_store_release(&kvoff_chunk_state(chunk, block)->location, location);
}

/* Take blocks out of every page table. Next use faults. */
void kvoff_block_unmap(struct kvoff_region *region, u64 block, u64 nr)
{
	loff_t size = kvoff_region_bs(region);

	unmap_mapping_range(region->shared->mapping, block * size, nr * size, 0);
}

/* Take the frame out of a block, which is locked and idle. */
static struct folio *kvoff_block_strip(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block)
{
	struct kvoff_block *b = kvoff_chunk_block(chunk, block);
	struct folio *folio = b->frame;

	kvoff_twin_drop(b, region->index);
	WRITE_ONCE(b->frame, NULL);
	b->gen++;
	clear_bit(KVOFF_B_SAMPLED, &b->flags);
	kvoff_seal_break(region, b);
	kvoff_block_publish(chunk, block, 0);
	atomic64_dec(&region->tier_used[b->tier]);
	kvoff_tenant_uncharge(region->tenant, b->tier, kvoff_region_bs(region));
	spin_lock(&region->account_lock);
	region->used--;
	spin_unlock(&region->account_lock);
	return folio;
}

/*
 * kvoff_block_discard - free a block's frame; where it is pinned, unless it is bad, and in framed regions, zero it in
 * place
 *
 * Returns 1 if a frame was freed; -EBUSY if a reference stands in the way, in framed regions only.
 */
int kvoff_block_discard(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block)
{
	struct kvoff_block *b = kvoff_chunk_block(chunk, block);
	struct folio *folio;
	bool frozen;
	u32 tier;

	if (region->windows)
		return kvoff_framed_discard(region, chunk, block);
	kvoff_block_lock_idle(b);
	folio = b->frame;
	if (!folio) {
		kvoff_block_heal(region, chunk, block);
		kvoff_block_unlock(b);
		return 0;
	}
	tier = b->tier;
	folio_lock(folio);
	kvoff_block_unmap(region, block, 1);
	frozen = folio_ref_freeze(folio, 1);
	if (!frozen && !kvoff_frame_bad(folio)) {
		kvoff_twin_drop(b, region->index);
		kvoff_frame_zero(folio);
		kvoff_seal_break(region, b);
		kvoff_block_publish(chunk, block, 0);
		folio_unlock(folio);
		kvoff_block_unlock(b);
		return 0;
	}
	kvoff_block_strip(region, chunk, block);
	folio->mapping = NULL;
	if (frozen)
		folio_ref_unfreeze(folio, 1);
	folio_unlock(folio);
	kvoff_block_unlock(b);
	kvoff_frame_put(folio, region->index, tier);
	return 1;
}

/* The region ends: nothing maps it any more, but drivers may have pages of it pinned. */
void kvoff_block_teardown(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block)
{
	struct kvoff_block *b = kvoff_chunk_block(chunk, block);
	struct folio *folio = NULL;
	u32 tier = 0;

	if (region->windows) {
		kvoff_framed_teardown(region, chunk, block);
		return;
	}
	kvoff_block_lock_idle(b);
	if (b->frame) {
		tier = b->tier;
		folio = kvoff_block_strip(region, chunk, block);
	} else {
		kvoff_block_heal(region, chunk, block);
	}
	kvoff_block_unlock(b);
	if (folio)
		kvoff_frame_put(folio, region->index, tier);
}
