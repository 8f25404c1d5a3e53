// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moving one block of a mapped region; those of framed ones are in framed.c. Who moves what and when is decided
 * elsewhere; how copies are queued is in batch.c.
 *
 *	arm	lock block, lock frame, clear "written", unmap, see that nobody else holds the frame, unlock both
 *	copy	readers refault on the old frame, read-only, and go on
 *	flip	lock block, set MOVING, look for references, lock frame, unmap, see that no write came and that nobody
 *		else holds the frame, put the new frame in its place
 *
 * Arming without the frame lock would miss a write fault that has passed page_mkwrite but not mapped its page yet;
 * without the freeze it would miss a write pin taken before. Either loses a write.
 */
#include <linux/pagemap.h>

#include "drain.h"
#include "framed.h"
#include "kvoff.h"
#include "poison.h"
#include "tenant.h"
#include "trace.h"

/**
 * struct kvoff_move - a move in progress
 * @region:	of the block
 * @chunk:	holds its record
 * @b:		its record
 * @block:	its index
 * @from:	where it is
 * @to:		where it goes
 * @reason:	the policy's code
 * @target:	the frame it goes to; after the move, the frame it has left
 */
struct kvoff_move {
	struct kvoff_region *region;
	struct kvoff_chunk *chunk;
	struct kvoff_block *b;
	u64 block;
	u32 from;
	u32 to;
	u16 reason;
	struct folio *target;
};

/*
 * Announce that the block's place is about to change, and see whether any client has counted itself in. Called with
 * the block locked. Pairs with the client's count, fence, look at MOVING.
 */
static bool kvoff_move_announce(struct kvoff_move *m)
{
	kvoff_block_publish(m->chunk, m->block, KVOFF_STATE_MOVING);
	/* the client's fence is between its count and its look at MOVING */
	smp_mb();
	return !kvoff_region_referenced(m->region, m->block);
}

/* Put the target in the place of the frozen, unmapped, locked old frame. */
static void kvoff_move_replace(struct kvoff_move *m, struct folio *old)
{
	m->target->index = m->block << kvoff_order_of(m->region->index);
	m->target->mapping = m->region->shared->mapping;
	WRITE_ONCE(m->b->frame, m->target);
	m->b->tier = m->to;
	m->b->gen++;
	WRITE_ONCE(kvoff_chunk_state(m->chunk, m->block)->reason, m->reason);
	atomic64_dec(&m->region->tier_used[m->from]);
	atomic64_inc(&m->region->tier_used[m->to]);
	/* it is unmapped: whoever writes from now on comes through page_mkwrite */
	clear_bit(KVOFF_B_WRITTEN, &m->b->flags);
	old->mapping = NULL;
	old->index = 0;
	folio_ref_unfreeze(old, 1);
	m->target = old;
}

static int kvoff_move_arm(struct kvoff_move *m)
{
	struct folio *folio = m->b->frame;
	int ret = 0;

	if (kvoff_region_referenced(m->region, m->block))
		return -EAGAIN;
	folio_lock(folio);
	clear_bit(KVOFF_B_WRITTEN, &m->b->flags);
	kvoff_block_unmap(m->region, m->block, 1);
	if (folio_ref_freeze(folio, 1))
		folio_ref_unfreeze(folio, 1);
	else
		ret = -EBUSY;
	folio_unlock(folio);
	return ret;
}

/* The target holds the same bytes, unless a write came since the block was armed. */
static int kvoff_move_flip(struct kvoff_move *m)
{
	struct folio *folio = m->b->frame;
	int ret = -EAGAIN;

	if (!kvoff_move_announce(m))
		goto out;
	kvoff_hook(flip);
	folio_lock(folio);
	kvoff_block_unmap(m->region, m->block, 1);
	if (test_bit(KVOFF_B_WRITTEN, &m->b->flags)) {
		ret = -ECANCELED;
	} else if (!folio_ref_freeze(folio, 1)) {
		ret = -EBUSY;
	} else {
		kvoff_move_replace(m, folio);
		ret = 0;
	}
	folio_unlock(folio);
out:
	kvoff_block_publish(m->chunk, m->block, 0);
	return ret;
}

/*
 * The block stands still for the length of the copy: faults wait for the block lock, pins fail on the frozen
 * count.
 */
static int kvoff_move_stopped(struct kvoff_move *m)
{
	struct folio *folio = m->b->frame;
	int ret = -EAGAIN;

	if (!kvoff_move_announce(m))
		goto out;
	folio_lock(folio);
	kvoff_block_unmap(m->region, m->block, 1);
	if (!folio_ref_freeze(folio, 1)) {
		ret = -EBUSY;
	} else if (kvoff_copy(m->target, folio)) {
		folio_ref_unfreeze(folio, 1);
		ret = -EHWPOISON;
	} else {
		kvoff_move_replace(m, folio);
		ret = 0;
	}
	folio_unlock(folio);
out:
	kvoff_block_publish(m->chunk, m->block, 0);
	return ret;
}

/* Called with the block locked; returns with it locked. */
static int kvoff_move_live(struct kvoff_move *m)
{
	int ret = kvoff_move_arm(m);
	int copied;

	if (ret)
		return ret;
	set_bit(KVOFF_B_COPYING, &m->b->flags);
	kvoff_block_publish(m->chunk, m->block, KVOFF_STATE_COPYING);
	kvoff_block_unlock(m->b);

	/* whoever would take the frame away waits for KVOFF_B_COPYING */
	copied = kvoff_copy(m->target, m->b->frame);
	kvoff_hook(copy);

	kvoff_block_lock(m->b);
	kvoff_block_settled(m->b);
	if (copied) {
		kvoff_block_publish(m->chunk, m->block, 0);
		return -EHWPOISON;
	}
	return kvoff_move_flip(m);
}

/*
 * Move a block to where its twin is: no write came since they parted, or there would be no twin. -ENOENT if there is
 * none there. On failure the twin stays.
 */
static int kvoff_move_to_twin(struct kvoff_move *m)
{
	int ret;

	if (m->b->twin_tier != m->to)
		return -ENOENT;
	m->target = kvoff_twin_take(m->b, m->region->index);
	if (!m->target)
		return -ENOENT;
	if (kvoff_frame_bad(m->target)) {
		kvoff_frame_put(m->target, m->region->index, m->to);
		m->target = NULL;
		return -ENOENT;
	}
	ret = kvoff_move_flip(m);
	if (ret) {
		/*
		 * whoever holds the frame can write only after a fault that waits for the block lock: it is
		 * true still
		 */
		kvoff_twin_keep(m->b, m->target, m->region->index, m->to);
		m->target = NULL;
	} else {
		kvoff_count(KVOFF_FLIPS, 1);
	}
	return ret;
}

/* The block has moved: the frame it left becomes its twin, in the place of one it may have had. */
static void kvoff_move_leave(struct kvoff_move *m)
{
	kvoff_twin_drop(m->b, m->region->index);
	if (READ_ONCE(kvoff_twins) && !kvoff_tier_closed(m->from, 0) && !kvoff_frame_bad(m->target))
		kvoff_twin_keep(m->b, m->target, m->region->index, m->from);
	else
		kvoff_frame_put(m->target, m->region->index, m->from);
}

static void kvoff_move_count(int ret, size_t bytes)
{
	switch (ret) {
	case 0:
		kvoff_count(KVOFF_MOVES, 1);
		kvoff_count(KVOFF_MOVED_BYTES, bytes);
		break;
	case -EBUSY:
		kvoff_count(KVOFF_MOVES_BUSY, 1);
		break;
	case -EAGAIN:
		kvoff_count(KVOFF_MOVES_ACQUIRED, 1);
		break;
	case -ECANCELED:
		kvoff_count(KVOFF_MOVES_WRITTEN, 1);
		break;
	case -ENOSPC:
		kvoff_count(KVOFF_MOVES_NO_FRAME, 1);
		break;
	case -EDQUOT:
		kvoff_count(KVOFF_MOVES_OVER_QUOTA, 1);
		break;
	case -ESHUTDOWN:
		kvoff_count(KVOFF_MOVES_DRAINING, 1);
		break;
	case -EHWPOISON:
		kvoff_count(KVOFF_MOVES_POISONED, 1);
		break;
	default:
		kvoff_count(KVOFF_MOVES_INVALID, 1);
	}
}

/**
 * kvoff_move_block - move one block
 * @region:	held by the caller
 * @desc:	which block, whereto
 * @from:	out: the tier it was in
 * @copied:	out: whether bytes were copied, in vain or not
 *
 * Returns what struct kvoff_move_result::error documents.
 */
int kvoff_move_block(struct kvoff_region *region, const struct kvoff_move_desc *desc, u16 *from, bool *copied)
{
	struct kvoff_move m = {
		.region	= region,
		.block	= desc->block,
		.to	= desc->to,
		.reason	= desc->reason,
	};
	size_t bs = kvoff_region_bs(region);
	int ret;

	*from = KVOFF_TIER_NONE;
	*copied = false;
	ret = -EINVAL;
	if (desc->flags & ~KVOFF_MOVE_STOP || desc->reserved[0] || desc->reserved[1] || desc->reserved[2])
		goto out_count;
	ret = -ENOENT;
	if (!kvoff_tier_exists(desc->to))
		goto out_count;
	ret = -ERANGE;
	if (desc->block >= region->nr_blocks)
		goto out_count;
	ret = -ENODATA;
	m.chunk = kvoff_chunk(region, desc->block, false);
	if (!m.chunk)
		goto out_count;
	m.b = kvoff_chunk_block(m.chunk, desc->block);

	kvoff_block_lock(m.b);
	if (!m.b->frame) {
		if (test_bit(KVOFF_B_POISONED, &m.b->flags))
			ret = -EHWPOISON;
		goto out_unlock;
	}
	m.from = m.b->tier;
	*from = m.from;
	if (m.from == m.to) {
		kvoff_block_unlock(m.b);
		return 0;
	}
	ret = -ESHUTDOWN;
	if (kvoff_tier_closed(m.to, bs))
		goto out_unlock;
	/* the same block in two batches: one mover at a time */
	ret = -EBUSY;
	if (test_bit(KVOFF_B_COPYING, &m.b->flags))
		goto out_unlock;
	if (region->windows) {
		ret = kvoff_framed_move(region, m.chunk, desc, copied);
		kvoff_block_unlock(m.b);
		goto out_moved;
	}
	ret = -EDQUOT;
	if (!kvoff_tenant_charge(region->tenant, m.to, bs, false))
		goto out_unlock;
	trace_kvoff_move_start(region->id, m.block, m.from, m.to, m.reason);
	ret = kvoff_move_to_twin(&m);
	if (ret == -ENOENT) {
		ret = -ENOSPC;
		m.target = kvoff_frame_target(region->index, m.to);
		if (m.target) {
			*copied = true;
			ret = desc->flags & KVOFF_MOVE_STOP ? kvoff_move_stopped(&m) : kvoff_move_live(&m);
		}
	}
	if (!ret)
		kvoff_move_leave(&m);
	else if (m.target)
		kvoff_frame_put(m.target, region->index, m.to);
	if (ret == -EHWPOISON)
		kvoff_block_rescue(region, m.chunk, m.block, false);
	kvoff_block_unlock(m.b);
	kvoff_tenant_uncharge(region->tenant, ret ? m.to : m.from, bs);
	trace_kvoff_move_end(region->id, m.block, m.from, m.to, m.reason, ret);
out_moved:
	if (!ret)
		kvoff_event_moved(region);
	kvoff_move_count(ret, bs);
	return ret;

out_unlock:
	kvoff_block_unlock(m.b);
out_count:
	kvoff_move_count(ret, 0);
	return ret;
}
