// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults on a region's data. The frame is returned locked: while it is being mapped the mover, which locks it
 * before it unmaps, waits. The first write to an armed block comes through page_mkwrite.
 */
#include <linux/pagemap.h>
#include <linux/sched/signal.h>

#include "kvoff.h"
#include "poison.h"
#include "trace.h"

/* How long a first touch waits for a frame that the account says must exist but that a move holds at the moment. */
#define KVOFF_FRAME_PATIENCE	(10 * HZ)

static bool kvoff_region_charge(struct kvoff_region *region)
{
	bool ok;

	spin_lock(&region->account_lock);
	ok = region->used < region->committed;
	if (ok)
		region->used++;
	spin_unlock(&region->account_lock);
	return ok;
}

static void kvoff_region_uncharge(struct kvoff_region *region)
{
	spin_lock(&region->account_lock);
	region->used--;
	spin_unlock(&region->account_lock);
}

/* The block below @high has a frame. */
void kvoff_region_raise_high(struct kvoff_region *region, u64 high)
{
	s64 old = atomic64_read(&region->high);

	while (old < high && !atomic64_try_cmpxchg(&region->high, &old, high))
		;
}

/* Give an empty block its first frame. Called with the block locked. */
static vm_fault_t kvoff_first_touch(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block)
{
	struct kvoff_block *b = kvoff_chunk_block(chunk, block);
	struct folio *folio;
	bool zeroed;
	u32 tier;

	if (!kvoff_region_charge(region))
		return VM_FAULT_SIGBUS;
	folio = kvoff_frame_first(region->tenant, region->index, &tier, &zeroed);
	if (!folio)
		wait_event_killable_timeout(kvoff_frame_wait,
					    (folio = kvoff_frame_first(region->tenant, region->index, &tier,
								       &zeroed)) != NULL,
					    KVOFF_FRAME_PATIENCE);
	if (!folio) {
		kvoff_region_uncharge(region);
		if (!fatal_signal_pending(current))
			kvoff_count(KVOFF_COMMIT_BROKEN, 1);
		return VM_FAULT_SIGBUS;
	}
	if (!zeroed) {
		kvoff_frame_zero(folio);
		kvoff_count(KVOFF_FIRST_TOUCH_ZEROED, 1);
	}
	folio->index = block << kvoff_order_of(region->index);
	folio->mapping = region->shared->mapping;
	b->tier = tier;
	b->gen++;
	WRITE_ONCE(b->frame, folio);
	atomic64_inc(&region->tier_used[tier]);
	kvoff_region_raise_high(region, block + 1);
	kvoff_block_publish(chunk, block, 0);
	kvoff_count(KVOFF_FIRST_TOUCHES, 1);
	return 0;
}

static vm_fault_t kvoff_fault(struct vm_fault *vmf)
{
	struct kvoff_attach *attach = vmf->vma->vm_file->private_data;
	struct kvoff_region *region = attach->region;
	unsigned int order = kvoff_order_of(region->index);
	u64 block = vmf->pgoff >> order;
	struct kvoff_chunk *chunk;
	struct kvoff_block *b;
	struct folio *folio;
	bool first = false, good = true;

	if (block >= region->nr_blocks)
		return VM_FAULT_SIGBUS;
	chunk = kvoff_chunk(region, block, false);
	if (!chunk) {
		/* no records for a block that could not have a frame */
		if (READ_ONCE(region->used) >= READ_ONCE(region->committed))
			return VM_FAULT_SIGBUS;
		chunk = kvoff_chunk(region, block, true);
		if (!chunk)
			return VM_FAULT_OOM;
	}
	kvoff_count(KVOFF_FAULTS, 1);

	b = kvoff_chunk_block(chunk, block);
	kvoff_block_lock(b);
	if (unlikely(kvoff_block_suspect(b))) {
		vm_fault_t ret = kvoff_poison_fault(region, chunk, block, vmf->pgoff & ((1UL << order) - 1));

		if (ret) {
			kvoff_block_unlock(b);
			return ret;
		}
		/* it may have other pages that are bad */
		good = false;
	}
	if (!b->frame) {
		vm_fault_t ret = kvoff_first_touch(region, chunk, block);

		if (ret) {
			kvoff_block_unlock(b);
			return ret;
		}
		first = true;
	} else if (test_and_clear_bit(KVOFF_B_SAMPLED, &b->flags)) {
		struct kvoff_state *state = kvoff_chunk_state(chunk, block);

		WRITE_ONCE(state->refaults, state->refaults + 1);
		kvoff_count(KVOFF_REFAULTS, 1);
	}
	folio = b->frame;
	folio_get(folio);
	folio_lock(folio);
	trace_kvoff_fault(region->id, block, b->tier, vmf->flags & FAULT_FLAG_WRITE, first);
	kvoff_block_unlock(b);
	kvoff_hook(fault);

	/* a write is mapped when page_mkwrite has seen it */
	if (good && !(vmf->flags & FAULT_FLAG_WRITE) && kvoff_map_block(vmf, folio, false)) {
		/* while it is locked: a mover that gets the lock next finds no reference of ours */
		folio_put(folio);
		folio_unlock(folio);
		return VM_FAULT_NOPAGE;
	}
	vmf->page = folio_page(folio, vmf->pgoff & ((1UL << order) - 1));
	return VM_FAULT_LOCKED;
}

static vm_fault_t kvoff_page_mkwrite(struct vm_fault *vmf)
{
	struct kvoff_attach *attach = vmf->vma->vm_file->private_data;
	struct kvoff_region *region = attach->region;
	u64 block = vmf->pgoff >> kvoff_order_of(region->index);
	struct folio *folio = page_folio(vmf->page);
	struct kvoff_chunk *chunk = kvoff_chunk(region, block, false);
	struct kvoff_block *b;
	bool good;

	if (WARN_ON_ONCE(!chunk))
		return VM_FAULT_SIGBUS;
	b = kvoff_chunk_block(chunk, block);
	kvoff_block_lock(b);
	/* the fault holds a reference, and a frame that somebody holds stays where it is, unless it is bad */
	if (folio != b->frame) {
		WARN_ON_ONCE(READ_ONCE(folio->mapping));
		kvoff_block_unlock(b);
		return VM_FAULT_NOPAGE;
	}
	if (test_bit(KVOFF_B_SEALED, &b->flags)) {
		kvoff_block_unlock(b);
		return VM_FAULT_SIGBUS;
	}
	set_bit(KVOFF_B_WRITTEN, &b->flags);
	if (READ_ONCE(b->twin)) {
		kvoff_twin_drop(b, region->index);
		kvoff_count(KVOFF_TWINS_WRITTEN, 1);
	}
	/* the lock keeps a mover from arming the block between this and the page's being mapped for writing */
	folio_lock(folio);
	good = likely(!kvoff_block_suspect(b));
	kvoff_block_unlock(b);
	kvoff_count(KVOFF_WRITE_FAULTS, 1);
	kvoff_hook(mkwrite);
	if (good && kvoff_map_block(vmf, folio, true)) {
		folio_unlock(folio);
		return VM_FAULT_NOPAGE;
	}
	return VM_FAULT_LOCKED;
}

/* Nothing to map around a fault; being there keeps faults under the VMA's own lock. */
static vm_fault_t kvoff_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end)
{
	return 0;
}

const struct vm_operations_struct kvoff_data_vmops = {
	.fault		= kvoff_fault,
	.map_pages	= kvoff_map_pages,
	.page_mkwrite	= kvoff_page_mkwrite,
};
