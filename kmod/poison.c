// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks whose frame is bad; those of framed regions are framed.c's. A block whose twin is good is repaired by a flip.
 * Another one is copied away, by a copy that survives a machine check. Where that fails, the block is poisoned: it has
 * no frame any more, loads get SIGBUS, and so it stays until somebody discards it. The bad frame goes to quarantine,
 * when the last pin is gone.
 *
 * A block that something has pinned for writing cannot be copied away. It is left as it is, unmapped: the next fault on
 * it tries again, as does its next move.
 */
#include <linux/highmem.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>

#include "framed.h"
#include "kvoff.h"
#include "poison.h"
#include "seal.h"
#include "tenant.h"

/* How often, and at what distance, something that holds a bad frame for a moment is waited for. */
#define KVOFF_POISON_TRIES	50
#define KVOFF_POISON_PAUSE	(HZ / 50 ?: 1)

/* Does a copy of this page fail, because a test wants it to? */
static bool kvoff_copy_breaks(struct page *page)
{
#ifdef KVOFF_TEST_HOOKS
	return READ_ONCE(kvoff_hook_copy_bad) && PageHWPoison(page);
#else
	return false;
#endif
}

/**
 * kvoff_copy - copy a frame, and survive it if the source is bad
 * @to:		where to
 * @from:	the source, of the same size; a page of it that cannot be read is marked bad
 */
int kvoff_copy(struct folio *to, struct folio *from)
{
	long i, nr = folio_nr_pages(from);

	for (i = 0; i < nr; i++) {
		struct page *page = folio_page(from, i);

		if (kvoff_copy_breaks(page) || copy_mc_highpage(folio_page(to, i), page)) {
			kvoff_page_mark(page);
			return -EHWPOISON;
		}
		cond_resched();
	}
	return 0;
}

/*
 * The block's frame is gone from it: count it out of its tier. The frame is unmapped and its lock is held. A fault
 * that has a reference still finds out by the mapping.
 */
static void kvoff_poison_leave(struct kvoff_region *region, struct kvoff_block *b)
{
	b->frame->mapping = NULL;
	b->gen++;
	clear_bit(KVOFF_B_WRITTEN, &b->flags);
	clear_bit(KVOFF_B_SAMPLED, &b->flags);
	atomic64_dec(&region->tier_used[b->tier]);
	kvoff_tenant_uncharge(region->tenant, b->tier, kvoff_region_bs(region));
}

/* Put a frame with the same bytes in the place of the bad one. The tenant has been charged for it. */
static void kvoff_poison_replace(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block,
				 struct folio *folio, u32 tier)
{
	struct kvoff_block *b = kvoff_chunk_block(chunk, block);

	kvoff_poison_leave(region, b);
	/* in its own tier it is for the same reason as before */
	if (tier != b->tier)
		kvoff_block_reason(chunk, block, KVOFF_REASON_RESCUE);
	folio->index = block << kvoff_order_of(region->index);
	folio->mapping = region->shared->mapping;
	WRITE_ONCE(b->frame, folio);
	b->tier = tier;
	atomic64_inc(&region->tier_used[tier]);
}

/* The block's bytes are lost. */
static void kvoff_poison_lose(struct kvoff_region *region, struct kvoff_block *b, u64 block)
{
	pr_warn_ratelimited("kvoff: region %u: block %llu: lost to a memory error in its frame at %#llx: discard it\n",
			    region->id, block, (u64)PFN_PHYS(folio_pfn(b->frame)));
	kvoff_twin_drop(b, region->index);
	kvoff_poison_leave(region, b);
	set_bit(KVOFF_B_POISONED, &b->flags);
	/* kvoff_region_empty() looks for one of the two without the lock */
	smp_wmb();
	WRITE_ONCE(b->frame, NULL);
	atomic64_inc(&region->poisoned);
	kvoff_count(KVOFF_POISON_LOST, 1);
}

/* A frame to copy the block to: in its own tier if possible. The tenant is charged for it. */
static struct folio *kvoff_poison_target(struct kvoff_region *region, struct kvoff_block *b, u32 *tier)
{
	struct folio *folio = kvoff_frame_target(region->index, b->tier);
	bool zeroed;

	if (!folio)
		return kvoff_frame_first(region->tenant, region->index, tier, &zeroed);
	*tier = b->tier;
	kvoff_tenant_charge(region->tenant, *tier, kvoff_region_bs(region), true);
	return folio;
}

/* Take the block's twin, if there is a good one. The tenant is charged for it. */
static struct folio *kvoff_poison_twin(struct kvoff_region *region, struct kvoff_block *b, u32 *tier)
{
	struct folio *folio = kvoff_twin_take(b, region->index);

	if (!folio)
		return NULL;
	*tier = b->twin_tier;
	if (kvoff_frame_bad(folio)) {
		kvoff_frame_put(folio, region->index, *tier);
		return NULL;
	}
	kvoff_tenant_charge(region->tenant, *tier, kvoff_region_bs(region), true);
	return folio;
}

/**
 * kvoff_block_rescue - save what can be saved of a block whose frame is bad
 * @region:	the region
 * @chunk:	holds the block's record
 * @block:	its index; locked, with a frame, and no mover reads it
 * @readable:	the frame can perhaps be read
 *
 * 0 if the block has a good frame now, -EHWPOISON if it is poisoned, -EBUSY if something has it pinned: then it is
 * unmapped, but otherwise as it was. References of clients do not matter: the block's address stays.
 */
int kvoff_block_rescue(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block, bool readable)
{
	struct kvoff_block *b = kvoff_chunk_block(chunk, block);
	struct folio *folio = b->frame, *target;
	u32 from = b->tier, to;
	bool twin = true;
	int ret = 0;

	/* somebody writes to a block only after its twin is dropped: who has it pinned now just reads */
	target = kvoff_poison_twin(region, b, &to);
	if (!target && readable) {
		twin = false;
		target = kvoff_poison_target(region, b, &to);
	}
	kvoff_block_publish(chunk, block, KVOFF_STATE_MOVING);
	folio_lock(folio);
	kvoff_block_unmap(region, block, 1);
	if (!target) {
		ret = -EHWPOISON;
	} else if (!twin && !folio_ref_freeze(folio, 1)) {
		ret = -EBUSY;
	} else if (!twin) {
		ret = kvoff_copy(target, folio);
		folio_ref_unfreeze(folio, 1);
	}
	if (!ret) {
		kvoff_poison_replace(region, chunk, block, target, to);
		kvoff_count(twin ? KVOFF_POISON_REPAIRED : KVOFF_POISON_COPIED, 1);
	} else if (ret == -EHWPOISON) {
		kvoff_poison_lose(region, b, block);
	}
	folio_unlock(folio);
	kvoff_block_publish(chunk, block, 0);
	if (ret && target) {
		kvoff_tenant_uncharge(region->tenant, to, kvoff_region_bs(region));
		kvoff_frame_put(target, region->index, to);
	}
	if (ret != -EBUSY)
		kvoff_frame_put(folio, region->index, from);
	return ret;
}

/*
 * kvoff_block_heal - a poisoned block is empty from now on
 *
 * Called with the block locked. Whether it was poisoned.
 */
bool kvoff_block_heal(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block)
{
	if (!test_and_clear_bit(KVOFF_B_POISONED, &kvoff_chunk_block(chunk, block)->flags))
		return false;
	atomic64_dec(&region->poisoned);
	spin_lock(&region->account_lock);
	region->used--;
	spin_unlock(&region->account_lock);
	kvoff_seal_break(region, kvoff_chunk_block(chunk, block));
	kvoff_block_publish(chunk, block, 0);
	return true;
}

/**
 * kvoff_poison_fault - a fault has come to a poisoned block, or to one with a bad frame
 * @region:	the region
 * @chunk:	holds the block's record
 * @block:	its index, locked
 * @page:	which of its pages
 *
 * 0 if the fault can go on; the block is locked still, but was not all the time.
 */
vm_fault_t kvoff_poison_fault(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block, unsigned long page)
{
	struct kvoff_block *b = kvoff_chunk_block(chunk, block);
	unsigned int tries = 0;

	while (kvoff_block_suspect(b)) {
		if (test_bit(KVOFF_B_POISONED, &b->flags))
			return VM_FAULT_HWPOISON;
		if (!test_bit(KVOFF_B_COPYING, &b->flags)) {
			if (kvoff_block_rescue(region, chunk, block, true) != -EBUSY)
				continue;
			/* the frame is good where it is needed */
			if (!PageHWPoison(folio_page(b->frame, page)))
				return 0;
			if (tries++ == KVOFF_POISON_TRIES || fatal_signal_pending(current))
				return VM_FAULT_HWPOISON;
		}
		kvoff_block_unlock(b);
		if (tries)
			schedule_timeout_killable(KVOFF_POISON_PAUSE);
		kvoff_block_lock_idle(b);
	}
	return 0;
}

/* The region that has this address space, held; NULL if there is none any more. */
static struct kvoff_region *kvoff_region_of(struct address_space *mapping)
{
	struct kvoff_region *region;
	u32 id = 0;

	while ((region = kvoff_region_next(&id))) {
		if (region->shared->mapping == mapping)
			return region;
		kvoff_region_put(region);
		cond_resched();
	}
	return NULL;
}

/*
 * Find the block that a frame with bad pages in this range belongs to, mark them, and rescue it. -EAGAIN if the frame
 * is on its way, pinned, or used by a client of a framed region.
 */
static int kvoff_poison_find(struct folio *folio, unsigned long first, unsigned long last)
{
	struct address_space *mapping = READ_ONCE(folio->mapping);
	struct kvoff_region *region;
	struct kvoff_chunk *chunk;
	struct kvoff_block *b;
	int ret = -EAGAIN;
	u64 block;

	if (!mapping)
		return ret;
	region = kvoff_region_of(mapping);
	if (!region)
		return ret;
	if (region->windows) {
		bool out;

		/* if it is a frame of kvoff's still: the region may have ended */
		kvoff_frame_condemn(folio_pfn(folio), first, last, true, &out);
		ret = kvoff_framed_rescue(region, folio);
		kvoff_region_put(region);
		return ret;
	}
	/* all this may change until the block is locked */
	block = READ_ONCE(folio->index) >> kvoff_order_of(region->index);
	chunk = block < region->nr_blocks ? kvoff_chunk(region, block, false) : NULL;
	if (chunk) {
		b = kvoff_chunk_block(chunk, block);
		kvoff_block_lock_idle(b);
		if (b->frame == folio) {
			/* a fault that holds the lock maps its page: the core would have it end in SIGBUS */
			folio_lock(folio);
			kvoff_frame_mark(folio, first, last);
			folio_unlock(folio);
			if (kvoff_block_rescue(region, chunk, block, true) != -EBUSY)
				ret = 0;
		}
		kvoff_block_unlock(b);
	}
	kvoff_region_put(region);
	return ret;
}

/* Is any of these pages memory of a node? */
static bool kvoff_pages_exist(unsigned long first, unsigned long last)
{
	int node;

	for_each_online_node(node)
		if (first < node_end_pfn(node) && last >= node_start_pfn(node))
			return true;
	return false;
}

/**
 * kvoff_poison - memory is bad
 * @arg:	of KVOFF_CTL_POISON
 *
 * What is pinned, or on its way, is waited for, but not for long: a bad frame that stays out is noticed by the next
 * fault or move, and when it comes back.
 */
int kvoff_poison(struct kvoff_ctl_poison *arg)
{
	unsigned long first, last, pfn;
	unsigned int tries = 0;
	u64 end;

	if (arg->flags || arg->reserved || !arg->length)
		return -EINVAL;
	if (check_add_overflow(arg->addr, arg->length - 1, &end))
		return -ERANGE;
	first = arg->addr >> PAGE_SHIFT;
	last = end >> PAGE_SHIFT;
	if (!kvoff_pages_exist(first, last))
		return -ERANGE;
	arg->frames = 0;
	/* a large frame may begin before the range */
	pfn = round_down(first, KVOFF_BLOCK_SIZE_MAX >> PAGE_SHIFT);
	while (kvoff_frame_find(&pfn, last)) {
		unsigned long nr;
		bool out;

		nr = kvoff_frame_condemn(pfn, first, last, false, &out);
		if (nr && pfn + nr > first)
			arg->frames++;
		else
			out = false;
		while (out && kvoff_poison_find(page_folio(pfn_to_page(pfn)), first, last)) {
			bool enough = tries++ >= KVOFF_POISON_TRIES || fatal_signal_pending(current);

			if (!enough)
				schedule_timeout_killable(KVOFF_POISON_PAUSE);
			kvoff_frame_condemn(pfn, first, last, enough, &out);
			if (enough)
				break;
		}
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
		pfn += max(nr, 1UL);
	}
	return 0;
}
