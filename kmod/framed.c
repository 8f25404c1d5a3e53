// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks of framed regions: given a frame of one of the region's windows, taken back, and moved from frame to frame.
 * Unlike move.c this file neither unmaps anything nor looks at reference counts: windows are mapped and pinned for
 * life. What makes a block's bytes its own is a client's reference alone, so all of this happens under MOVING, with no
 * reference seen after it was set; only a sealed block, whose bytes do not change, is copied before.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "drain.h"
#include "framed.h"
#include "kvoff.h"
#include "poison.h"
#include "seal.h"
#include "trace.h"

/*
 * Announce that the block's bytes are about to change or to go elsewhere, and see whether any client has counted itself
 * in. Called with the block locked. Pairs with the client's count, fence, look at MOVING.
 */
static bool kvoff_framed_announce(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block)
{
	kvoff_block_publish(chunk, block, KVOFF_STATE_MOVING);
	/* the client's fence is between its count and its look at MOVING */
	smp_mb();
	if (kvoff_region_referenced(region, block))
		return false;
	/* pairs with the release of the last reference: what was written under it is seen from here on */
	smp_rmb();
	return true;
}

/* ---- frames come and go ---- */

static struct folio *kvoff_framed_first_of(void *arg, struct kvoff_tier *tier, unsigned int pass)
{
	if (pass < KVOFF_PASSES - 1 && kvoff_tier_draining(tier))
		return NULL;
	return kvoff_window_take(arg, tier->id, pass == 0);
}

/*
 * A frame of the fastest window that has one above its reserve, or of any; of a tier that is being drained only if
 * there is no other.
 */
static struct folio *kvoff_framed_first(struct kvoff_region *region, u32 *tier)
{
	return kvoff_frame_walk(kvoff_framed_first_of, region, tier);
}

static void kvoff_framed_give(struct kvoff_region *region, struct kvoff_block *b, struct folio *folio, u32 tier)
{
	b->tier = tier;
	b->slot = kvoff_window_slot(region, folio);
	WRITE_ONCE(b->frame, folio);
	atomic64_inc(&region->tier_used[tier]);
	spin_lock(&region->account_lock);
	region->used++;
	spin_unlock(&region->account_lock);
}

static int kvoff_framed_alloc(struct kvoff_region *region, u64 block)
{
	struct kvoff_chunk *chunk = kvoff_chunk(region, block, true);
	struct kvoff_block *b;
	struct folio *folio;
	int ret = 0;
	u32 tier;

	if (!chunk)
		return -ENOMEM;
	b = kvoff_chunk_block(chunk, block);
	kvoff_block_lock(b);
	if (b->frame || test_bit(KVOFF_B_POISONED, &b->flags)) {
		ret = -EEXIST;
		goto out;
	}
	folio = kvoff_framed_first(region, &tier);
	if (!folio) {
		ret = -ENOSPC;
		goto out;
	}
	b->gen++;
	kvoff_framed_give(region, b, folio, tier);
	kvoff_region_raise_high(region, block + 1);
	kvoff_block_publish(chunk, block, 0);
out:
	kvoff_block_unlock(b);
	return ret;
}

/* The block has no frame any more. It is locked and idle, and nobody may use its bytes. */
static void kvoff_framed_strip(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block)
{
	struct kvoff_block *b = kvoff_chunk_block(chunk, block);
	struct folio *folio = b->frame;

	kvoff_window_twin_drop(region, b);
	kvoff_seal_break(region, b);
	WRITE_ONCE(b->frame, NULL);
	b->slot = 0;
	b->gen++;
	/* before another block can have the frame */
	kvoff_block_publish(chunk, block, 0);
	kvoff_window_put(region, b->tier, folio);
	atomic64_dec(&region->tier_used[b->tier]);
	spin_lock(&region->account_lock);
	region->used--;
	spin_unlock(&region->account_lock);
}

static int kvoff_framed_clear(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block)
{
	struct kvoff_block *b = kvoff_chunk_block(chunk, block);
	int ret = 0;

	kvoff_block_lock_idle(b);
	if (test_bit(KVOFF_B_POISONED, &b->flags)) {
		b->gen++;
		kvoff_block_heal(region, chunk, block);
	} else if (!b->frame) {
		ret = -ENODATA;
	} else if (!kvoff_framed_announce(region, chunk, block)) {
		kvoff_block_publish(chunk, block, 0);
		ret = -EBUSY;
	} else {
		kvoff_framed_strip(region, chunk, block);
	}
	kvoff_block_unlock(b);
	return ret;
}

static int kvoff_framed_free(struct kvoff_region *region, u64 block)
{
	struct kvoff_chunk *chunk = kvoff_chunk(region, block, false);

	return chunk ? kvoff_unit_end(region, chunk, block, kvoff_framed_clear) : -ENODATA;
}

/* The region ends: there is nobody left who could hold a reference. */
void kvoff_framed_teardown(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block)
{
	struct kvoff_block *b = kvoff_chunk_block(chunk, block);

	kvoff_block_lock_idle(b);
	if (b->frame)
		kvoff_framed_strip(region, chunk, block);
	else
		kvoff_block_heal(region, chunk, block);
	kvoff_block_unlock(b);
}

/* The block's bytes are lost. Called with the block locked. */
static void kvoff_framed_lose(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block)
{
	struct kvoff_block *b = kvoff_chunk_block(chunk, block);
	struct folio *old = b->frame;

	kvoff_window_twin_drop(region, b);
	atomic64_dec(&region->tier_used[b->tier]);
	set_bit(KVOFF_B_POISONED, &b->flags);
	/* kvoff_region_empty() looks for one of the two without the lock */
	smp_wmb();
	WRITE_ONCE(b->frame, NULL);
	b->slot = 0;
	atomic64_inc(&region->poisoned);
	kvoff_block_publish(chunk, block, 0);
	kvoff_window_put(region, b->tier, old);
	kvoff_count(KVOFF_POISON_LOST, 1);
}

/* A poisoned block becomes a block of zeroes, in another frame. Called with the block locked. */
static int kvoff_framed_heal(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block)
{
	struct folio *folio;
	u32 tier;

	folio = kvoff_framed_first(region, &tier);
	if (!folio)
		return -ENOSPC;
	kvoff_frame_zero(folio);
	kvoff_block_heal(region, chunk, block);
	kvoff_framed_give(region, kvoff_chunk_block(chunk, block), folio, tier);
	kvoff_block_publish(chunk, block, 0);
	return 0;
}

/*
 * Zero the block in place, or in another frame if it has lost its own. 0; -EBUSY if a client holds a reference;
 * -ENOSPC, and the block is poisoned still, if it needs another frame and no window has a free one.
 */
int kvoff_framed_discard(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block)
{
	struct kvoff_block *b = kvoff_chunk_block(chunk, block);
	int ret = 0;

	kvoff_block_lock_idle(b);
	if (test_bit(KVOFF_B_POISONED, &b->flags)) {
		ret = kvoff_framed_heal(region, chunk, block);
	} else if (b->frame) {
		if (!kvoff_framed_announce(region, chunk, block)) {
			ret = -EBUSY;
		} else if (unlikely(kvoff_frame_bad(b->frame))) {
			kvoff_framed_lose(region, chunk, block);
			ret = kvoff_framed_heal(region, chunk, block);
		} else {
			kvoff_window_twin_drop(region, b);
			kvoff_seal_break(region, b);
			kvoff_frame_zero(b->frame);
		}
		kvoff_block_publish(chunk, block, 0);
	}
	kvoff_block_unlock(b);
	return ret;
}

static long kvoff_framed_each(struct file *file, struct kvoff_region_blocks *arg,
			      int (*fn)(struct kvoff_region *region, u64 block))
{
	struct kvoff_attach *attach = file->private_data;
	const u64 __user *blocks = u64_to_user_ptr(arg->blocks);
	struct kvoff_region *region = attach->region;
	u32 i, nr = arg->nr;
	long ret = 0;

	arg->done = 0;
	if (arg->flags || !nr || nr > KVOFF_BLOCKS_MAX)
		return -EINVAL;
	if (!region->windows)
		return -EOPNOTSUPP;
	for (i = 0; i < nr && !ret; i++) {
		u64 block;

		cond_resched();
		if (fatal_signal_pending(current))
			ret = -EINTR;
		else if (get_user(block, blocks + i))
			ret = -EFAULT;
		else if (block >= region->nr_blocks)
			ret = -ERANGE;
		else
			ret = fn(region, block);
		if (!ret)
			arg->done++;
	}
	return ret;
}

long kvoff_call_block_alloc(struct file *file, void *p)
{
	return kvoff_framed_each(file, p, kvoff_framed_alloc);
}

long kvoff_call_block_free(struct file *file, void *p)
{
	return kvoff_framed_each(file, p, kvoff_framed_free);
}

/* ---- what a move is made of ---- */

/* Nobody uses the block: its bytes are in the target from now on. Returns the frame it was in. */
static struct folio *kvoff_framed_replace(struct kvoff_region *region, struct kvoff_block *b, u32 to,
					  struct folio *target)
{
	struct folio *old = b->frame;

	atomic64_dec(&region->tier_used[b->tier]);
	atomic64_inc(&region->tier_used[to]);
	b->tier = to;
	b->slot = kvoff_window_slot(region, target);
	WRITE_ONCE(b->frame, target);
	return old;
}

/*
 * Put the target in the frame's place; with @copy, what it held comes with it. Of a block that is not sealed nobody may
 * read or write a byte from before the copy until the new place is told. On success *@target is the old frame.
 */
static int kvoff_framed_flip(struct kvoff_region *region, struct kvoff_chunk *chunk,
			     const struct kvoff_move_desc *desc, struct folio **target, bool copy)
{
	struct kvoff_block *b = kvoff_chunk_block(chunk, desc->block);
	int ret = 0;

	if (!kvoff_framed_announce(region, chunk, desc->block)) {
		ret = -EAGAIN;
		goto out;
	}
	kvoff_hook(flip);
	if (copy && kvoff_copy(*target, b->frame)) {
		ret = -EHWPOISON;
		goto out;
	}
	*target = kvoff_framed_replace(region, b, desc->to, *target);
	kvoff_block_reason(chunk, desc->block, desc->reason);
out:
	kvoff_block_publish(chunk, desc->block, 0);
	return ret;
}

/* A sealed block is read on while it is copied. Called with the block locked, and so it returns. */
static int kvoff_framed_copy(struct kvoff_chunk *chunk, u64 block, struct folio *target)
{
	struct kvoff_block *b = kvoff_chunk_block(chunk, block);
	int ret;

	set_bit(KVOFF_B_COPYING, &b->flags);
	kvoff_block_publish(chunk, block, KVOFF_STATE_COPYING);
	kvoff_block_unlock(b);

	/* whoever would take the frame or the seal away waits for KVOFF_B_COPYING */
	ret = kvoff_copy(target, b->frame);
	kvoff_hook(copy);

	kvoff_block_lock(b);
	kvoff_block_settled(b);
	if (!ret)
		return 0;
	kvoff_block_publish(chunk, block, 0);
	return -EHWPOISON;
}

/* A frame with the bytes of the block, true or not: its twin if that is allowed, else free. */
static void kvoff_framed_leave(struct kvoff_region *region, struct kvoff_block *b, u32 tier, struct folio *folio,
			       bool same)
{
	if (!same || !test_bit(KVOFF_B_SEALED, &b->flags) || !READ_ONCE(kvoff_twins) || kvoff_tier_closed(tier, 0)) {
		kvoff_window_put(region, tier, folio);
		return;
	}
	kvoff_window_twin_drop(region, b);
	kvoff_window_twin_keep(region, b, tier, folio);
}

/* ---- memory errors ---- */

/*
 * A good twin takes the place of the block's bad frame; false if there is none. Called with the block locked. A client
 * that holds a reference has been reading the bad frame: nothing can be done for it.
 */
static bool kvoff_framed_to_twin(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block)
{
	struct kvoff_block *b = kvoff_chunk_block(chunk, block);
	struct folio *twin = kvoff_window_twin_take(region, b), *old;
	u32 from = b->tier;

	if (!twin)
		return false;
	if (kvoff_frame_bad(twin)) {
		kvoff_window_put(region, b->twin_tier, twin);
		return false;
	}
	old = kvoff_framed_replace(region, b, b->twin_tier, twin);
	kvoff_block_reason(chunk, block, KVOFF_REASON_RESCUE);
	/* before anybody else can have the frame */
	kvoff_block_publish(chunk, block, 0);
	kvoff_window_put(region, from, old);
	kvoff_count(KVOFF_POISON_REPAIRED, 1);
	return true;
}

/* Copy the block from its bad frame to another one, in its own window if possible. Called with the block locked. */
static int kvoff_framed_leave_bad(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block)
{
	struct kvoff_block *b = kvoff_chunk_block(chunk, block);
	/* in its own window it is for the same reason as before */
	struct kvoff_move_desc desc = {
		.block = block, .to = b->tier, .reason = kvoff_chunk_state(chunk, block)->reason,
	};
	struct folio *folio;
	u32 from = b->tier, to;
	int ret;

	if (kvoff_framed_to_twin(region, chunk, block))
		return 0;
	folio = kvoff_window_take(region, from, false);
	if (!folio) {
		folio = kvoff_framed_first(region, &to);
		desc.to = to;
		desc.reason = KVOFF_REASON_RESCUE;
	}
	if (!folio)
		return -ENOSPC;
	ret = kvoff_framed_flip(region, chunk, &desc, &folio, true);
	kvoff_window_put(region, ret ? desc.to : from, folio);
	if (!ret)
		kvoff_count(KVOFF_POISON_COPIED, 1);
	if (ret != -EHWPOISON)
		return ret;
	kvoff_framed_lose(region, chunk, block);
	return 0;
}

/**
 * kvoff_framed_rescue - a frame of a window is bad: save the block that it holds, if it holds one
 * @region:	framed
 * @folio:	the frame
 *
 * 0 if no block is in it any more, good or lost; otherwise it is to be tried again: -EAGAIN, a client is using the
 * block, -ENOSPC, no window has a free frame. The next move of the block is another try.
 */
int kvoff_framed_rescue(struct kvoff_region *region, struct folio *folio)
{
	struct kvoff_chunk *chunk;
	unsigned long i, k;
	int ret;

	xa_for_each(&region->chunks, i, chunk) {
		for (k = 0; k < KVOFF_CHUNK_BLOCKS; k++) {
			struct kvoff_block *b = &chunk->blocks[k];

			if (READ_ONCE(b->frame) != folio)
				continue;
			kvoff_block_lock_idle(b);
			ret = b->frame == folio ?
			      kvoff_framed_leave_bad(region, chunk, (u64)i * KVOFF_CHUNK_BLOCKS + k) : -EAGAIN;
			kvoff_block_unlock(b);
			return ret;
		}
		cond_resched();
	}
	/* on no list, and in no block that was seen: in somebody's hands, and in a block soon */
	return list_empty(&folio->lru) ? -EAGAIN : 0;
}

/* ---- moves to another window ---- */

/**
 * kvoff_framed_move - move a block to another window
 * @region:	framed
 * @chunk:	holds the block's record
 * @desc:	which block, whereto; another tier than it is in
 * @copied:	out: whether bytes were copied, in vain or not
 *
 * Called with the block locked, with a frame, and no mover at it; returns with it locked. The tenant's quotas are not
 * looked at: they are charged for whole windows.
 */
int kvoff_framed_move(struct kvoff_region *region, struct kvoff_chunk *chunk, const struct kvoff_move_desc *desc,
		      bool *copied)
{
	struct kvoff_block *b = kvoff_chunk_block(chunk, desc->block);
	u32 from = b->tier, to = desc->to;
	struct folio *folio = NULL;
	bool same = true;
	int ret = 0;

	if (!kvoff_window_nr(region, to))
		return -ENOENT;
	if (READ_ONCE(b->twin) && b->twin_tier == to)
		folio = kvoff_window_twin_take(region, b);
	if (folio && kvoff_frame_bad(folio)) {
		kvoff_window_put(region, to, folio);
		folio = NULL;
	}
	if (!folio) {
		folio = kvoff_window_take(region, to, false);
		if (!folio)
			return -ENOSPC;
		same = false;
	}
	trace_kvoff_move_start(region->id, desc->block, from, to, desc->reason);
	*copied = !same;
	if (!same && test_bit(KVOFF_B_SEALED, &b->flags) && !(desc->flags & KVOFF_MOVE_STOP)) {
		ret = kvoff_framed_copy(chunk, desc->block, folio);
		same = !ret;
	}
	if (!ret)
		ret = kvoff_framed_flip(region, chunk, desc, &folio, !same);
	if (!ret && !*copied)
		kvoff_count(KVOFF_FLIPS, 1);
	kvoff_framed_leave(region, b, ret ? to : from, folio, !ret || same);
	if (ret == -EHWPOISON && !kvoff_framed_to_twin(region, chunk, desc->block))
		kvoff_framed_lose(region, chunk, desc->block);
	trace_kvoff_move_end(region->id, desc->block, from, to, desc->reason, ret);
	return ret;
}
