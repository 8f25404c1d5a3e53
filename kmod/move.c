// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moving blocks of a mapped region; those of framed ones are in framed.c. Who moves what and when is decided elsewhere;
 * how copies are queued is in batch.c.
 *
 *	arm	lock block, lock frame, clear "written", unmap, see that nobody else holds the frame, unlock both
 *	copy	readers refault on the old frame, read-only, and go on
 *	flip	lock block, set MOVING, look for references, lock frame, unmap, see that no write came and that nobody
 *		else holds the frame, put the new frame in its place
 *
 * Arming without the frame lock would miss a write fault that has passed page_mkwrite but not mapped its page yet;
 * without the freeze it would miss a write pin taken before. Either loses a write.
 *
 * Neighbours go together, as a run: each step is taken by all of them before the next, so that they are unmapped in
 * one go. Only the first block's lock is waited for; the run ends before a block that somebody else has locked. Each
 * mapping is a reference: a count that can be frozen at one says that there is nothing to unmap.
 */
#include <linux/pagemap.h>

#include "drain.h"
#include "framed.h"
#include "kvoff.h"
#include "move.h"
#include "poison.h"
#include "tenant.h"
#include "trace.h"

/* What comes next for a block; see struct kvoff_move::step. */
enum kvoff_step {
	KVOFF_STEP_OVER,	/* nothing: error says why */
	KVOFF_STEP_ARM,
	KVOFF_STEP_COPY,	/* the block is not locked */
	KVOFF_STEP_FLIP,	/* the target holds the same bytes */
	KVOFF_STEP_STOP,	/* copy and flip, while the block stands still */
};

/*
 * Announce that the block's place is about to change, and see whether any client has counted itself in. Called with
 * the block locked. Pairs with the client's count, fence, look at MOVING.
 */
static bool kvoff_move_announce(struct kvoff_region *region, struct kvoff_move *m)
{
	kvoff_block_publish(m->chunk, m->desc->block, KVOFF_STATE_MOVING);
	/* the client's fence is between its count and its look at MOVING */
	smp_mb();
	return !kvoff_region_referenced(region, m->desc->block);
}

/* Put the target in the place of the frozen, unmapped, locked old frame. */
static void kvoff_move_replace(struct kvoff_region *region, struct kvoff_move *m)
{
	struct folio *old = m->b->frame;

	m->target->index = m->desc->block << kvoff_order_of(region->index);
	m->target->mapping = region->shared->mapping;
	WRITE_ONCE(m->b->frame, m->target);
	m->b->tier = m->desc->to;
	m->b->gen++;
	kvoff_block_reason(m->chunk, m->desc->block, m->desc->reason);
	atomic64_dec(&region->tier_used[m->from]);
	atomic64_inc(&region->tier_used[m->desc->to]);
	/* it is unmapped: whoever writes from now on comes through page_mkwrite */
	clear_bit(KVOFF_B_WRITTEN, &m->b->flags);
	old->mapping = NULL;
	old->index = 0;
	m->target = old;
}

static void kvoff_move_refuse(struct kvoff_move *m, int error)
{
	m->step = KVOFF_STEP_OVER;
	m->error = error;
}

/*
 * Freeze the counts of all frames that are held, taking them out of the page tables where somebody has them mapped:
 * then nobody has them, or gets at them. What somebody holds even so is refused.
 */
static void kvoff_run_freeze(struct kvoff_region *region, struct kvoff_move *moves, unsigned int nr)
{
	unsigned int i, first = 0, mapped = 0;

	for (i = 0; i <= nr; i++) {
		if (i < nr && moves[i].held) {
			moves[i].frozen = folio_ref_freeze(moves[i].held, 1);
			if (moves[i].frozen)
				continue;
			if (!mapped)
				first = i;
			mapped = i + 1 - first;
		} else if (mapped) {
			/* what is frozen in between is mapped by nobody */
			kvoff_block_unmap(region, moves[first].desc->block, mapped);
			mapped = 0;
		}
	}
	for (i = 0; i < nr; i++) {
		if (!moves[i].held || moves[i].frozen)
			continue;
		moves[i].frozen = folio_ref_freeze(moves[i].held, 1);
		if (!moves[i].frozen)
			kvoff_move_refuse(&moves[i], -EBUSY);
	}
}

/* The frame is locked, and frozen: what becomes of the block? */
static void kvoff_move_decide(struct kvoff_region *region, struct kvoff_move *m)
{
	if (m->step == KVOFF_STEP_ARM) {
		m->step = KVOFF_STEP_COPY;
		return;
	}
	if (m->step == KVOFF_STEP_STOP) {
		m->copied = true;
		if (kvoff_copy(m->target, m->held)) {
			kvoff_move_refuse(m, -EHWPOISON);
			return;
		}
	}
	kvoff_move_replace(region, m);
	m->step = KVOFF_STEP_OVER;
	m->error = 0;
}

/*
 * Arm, flip, or stop and move blocks, whichever comes next for each of them. Called with those blocks locked that have
 * a step before them.
 */
static void kvoff_run_step(struct kvoff_region *region, struct kvoff_move *moves, unsigned int nr)
{
	struct kvoff_move *m, *end = moves + nr;
	bool flip = false;

	for (m = moves; m < end; m++) {
		m->announced = m->step == KVOFF_STEP_FLIP || m->step == KVOFF_STEP_STOP;
		if (m->announced ? !kvoff_move_announce(region, m) :
		    m->step == KVOFF_STEP_ARM && kvoff_region_referenced(region, m->desc->block))
			kvoff_move_refuse(m, -EAGAIN);
		flip |= m->step == KVOFF_STEP_FLIP;
	}
	if (flip)
		kvoff_hook(flip);
	for (m = moves; m < end; m++) {
		m->held = NULL;
		if (m->step == KVOFF_STEP_OVER)
			continue;
		m->held = m->b->frame;
		folio_lock(m->held);
		if (m->step == KVOFF_STEP_ARM)
			clear_bit(KVOFF_B_WRITTEN, &m->b->flags);
	}
	kvoff_run_freeze(region, moves, nr);
	for (m = moves; m < end; m++) {
		if (!m->held)
			continue;
		if (m->frozen) {
			kvoff_move_decide(region, m);
			folio_ref_unfreeze(m->held, 1);
		}
		folio_unlock(m->held);
	}
	for (m = moves; m < end; m++)
		if (m->announced)
			kvoff_block_publish(m->chunk, m->desc->block, 0);
}

/* The block has moved: the frame it left becomes its twin, in the place of one it may have had. */
static void kvoff_move_leave(struct kvoff_region *region, struct kvoff_move *m)
{
	kvoff_twin_drop(m->b, region->index);
	if (READ_ONCE(kvoff_twins) && !kvoff_tier_closed(m->from, 0) && !kvoff_frame_bad(m->target))
		kvoff_twin_keep(m->b, m->target, region->index, m->from);
	else
		kvoff_frame_put(m->target, region->index, m->from);
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

/* A move that had its target has ended. Called with the block locked; it is unlocked then. */
static void kvoff_move_end(struct kvoff_region *region, struct kvoff_move *m)
{
	const struct kvoff_move_desc *desc = m->desc;
	size_t bs = kvoff_region_bs(region);

	if (!m->error)
		kvoff_move_leave(region, m);
	else if (m->twin)
		/* who holds the frame can write only after a fault that waits for the block lock: it is true still */
		kvoff_twin_keep(m->b, m->target, region->index, desc->to);
	else if (m->target)
		kvoff_frame_put(m->target, region->index, desc->to);
	if (m->error == -EHWPOISON)
		kvoff_block_rescue(region, m->chunk, desc->block, false);
	kvoff_block_unlock(m->b);
	kvoff_tenant_uncharge(region->tenant, m->error ? desc->to : m->from, bs);
	trace_kvoff_move_end(region->id, desc->block, m->from, desc->to, desc->reason, m->error);
	if (!m->error) {
		if (m->twin)
			kvoff_count(KVOFF_FLIPS, 1);
		kvoff_event_moved(region);
	}
	kvoff_move_count(m->error, bs);
}

/*
 * A frame to move the block to: its twin, if it has one there, for no write came since they parted. Called with the
 * block locked.
 */
static bool kvoff_move_target(struct kvoff_region *region, struct kvoff_move *m)
{
	if (m->b->twin_tier == m->desc->to)
		m->target = kvoff_twin_take(m->b, region->index);
	if (m->target && kvoff_frame_bad(m->target)) {
		kvoff_frame_put(m->target, region->index, m->desc->to);
		m->target = NULL;
	}
	m->twin = m->target;
	if (!m->twin)
		m->target = kvoff_frame_target(region->index, m->desc->to);
	return m->target;
}

/* Is there something to be moved, and may it go there? Called with the block locked. */
static int kvoff_move_may(struct kvoff_region *region, struct kvoff_move *m)
{
	struct kvoff_block *b = m->b;
	size_t bs = kvoff_region_bs(region);

	if (!b->frame)
		return test_bit(KVOFF_B_POISONED, &b->flags) ? -EHWPOISON : -ENODATA;
	m->from = b->tier;
	if (m->from == m->desc->to)
		return 0;
	if (kvoff_tier_closed(m->desc->to, bs))
		return -ESHUTDOWN;
	/* the same block in two batches: one mover at a time */
	if (test_bit(KVOFF_B_COPYING, &b->flags))
		return -EBUSY;
	/* framed blocks are paid for where their windows are */
	if (!region->windows && !kvoff_tenant_charge(region->tenant, m->desc->to, bs, false))
		return -EDQUOT;
	return 1;
}

/* Called with the block locked; it is unlocked if its move is over. */
static void kvoff_move_begin(struct kvoff_region *region, struct kvoff_move *m)
{
	const struct kvoff_move_desc *desc = m->desc;
	int ret = kvoff_move_may(region, m);

	if (ret <= 0) {
		kvoff_block_unlock(m->b);
		m->error = ret;
		/* one that is there already has not moved */
		if (ret)
			kvoff_move_count(ret, 0);
		return;
	}
	if (region->windows) {
		m->error = kvoff_framed_move(region, m->chunk, desc, &m->copied);
		kvoff_block_unlock(m->b);
		if (!m->error)
			kvoff_event_moved(region);
		kvoff_move_count(m->error, kvoff_region_bs(region));
		return;
	}
	trace_kvoff_move_start(region->id, desc->block, m->from, desc->to, desc->reason);
	if (!kvoff_move_target(region, m)) {
		m->error = -ENOSPC;
		kvoff_move_end(region, m);
		return;
	}
	if (m->twin)
		m->step = KVOFF_STEP_FLIP;
	else
		m->step = desc->flags & KVOFF_MOVE_STOP ? KVOFF_STEP_STOP : KVOFF_STEP_ARM;
}

/* Find the block's record: 0, or why there is none. */
static int kvoff_move_find(struct kvoff_region *region, struct kvoff_move *m)
{
	const struct kvoff_move_desc *desc = m->desc;

	if (desc->flags & ~KVOFF_MOVE_STOP || desc->reserved[0] || desc->reserved[1] || desc->reserved[2])
		return -EINVAL;
	if (!kvoff_tier_exists(desc->to))
		return -ENOENT;
	if (desc->block >= region->nr_blocks)
		return -ERANGE;
	m->chunk = kvoff_chunk(region, desc->block, false);
	if (!m->chunk)
		return -ENODATA;
	m->b = kvoff_chunk_block(m->chunk, desc->block);
	return 0;
}

/*
 * Take the first step of a run: flip to twins, arm what is to be copied. Returns how many were looked at.
 */
static unsigned int kvoff_run_begin(struct kvoff_region *region, struct kvoff_move *moves, unsigned int nr)
{
	unsigned int i, done;

	for (done = 0; done < nr; done++) {
		struct kvoff_move *m = &moves[done];

		*m = (struct kvoff_move) { .desc = m->desc, .from = KVOFF_TIER_NONE };
		m->error = kvoff_move_find(region, m);
		if (m->error) {
			kvoff_move_count(m->error, 0);
			continue;
		}
		if (!done)
			kvoff_block_lock(m->b);
		else if (!kvoff_block_trylock(m->b))
			break;
		kvoff_move_begin(region, m);
	}
	kvoff_run_step(region, moves, done);
	for (i = 0; i < done; i++) {
		struct kvoff_move *m = &moves[i];

		if (m->step == KVOFF_STEP_COPY) {
			set_bit(KVOFF_B_COPYING, &m->b->flags);
			kvoff_block_publish(m->chunk, m->desc->block, KVOFF_STATE_COPYING);
			kvoff_block_unlock(m->b);
		} else if (m->target) {
			kvoff_move_end(region, m);
		}
	}
	return done;
}

/* Called with no lock held: whoever would take a frame away waits for KVOFF_B_COPYING. */
static bool kvoff_run_copy(struct kvoff_move *moves, unsigned int nr)
{
	bool any = false;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		struct kvoff_move *m = &moves[i];

		if (m->step != KVOFF_STEP_COPY)
			continue;
		any = true;
		/* what was written meanwhile is copied in vain: the flip looks again, and says so */
		if (test_bit(KVOFF_B_WRITTEN, &m->b->flags))
			continue;
		m->copied = true;
		if (kvoff_copy(m->target, m->b->frame))
			m->error = -EHWPOISON;
	}
	if (any)
		kvoff_hook(copy);
	return any;
}

/* The block is locked, its copy is over. */
static void kvoff_move_settle(struct kvoff_move *m)
{
	kvoff_block_settled(m->b);
	m->step = KVOFF_STEP_FLIP;
	if (m->error)
		kvoff_move_refuse(m, m->error);
	else if (test_bit(KVOFF_B_WRITTEN, &m->b->flags))
		kvoff_move_refuse(m, -ECANCELED);
	if (m->step == KVOFF_STEP_OVER)
		kvoff_block_publish(m->chunk, m->desc->block, 0);
}

/* Flip as many blocks as can be locked without waiting for any but the first; how many were looked at. */
static unsigned int kvoff_run_flip(struct kvoff_region *region, struct kvoff_move *moves, unsigned int nr)
{
	unsigned int i, done;
	bool first = true;

	for (done = 0; done < nr; done++) {
		struct kvoff_move *m = &moves[done];

		m->held = NULL;
		m->mine = m->step == KVOFF_STEP_COPY;
		if (!m->mine)
			continue;
		if (first)
			kvoff_block_lock(m->b);
		else if (!kvoff_block_trylock(m->b))
			break;
		first = false;
		kvoff_move_settle(m);
	}
	kvoff_run_step(region, moves, done);
	for (i = 0; i < done; i++)
		if (moves[i].mine)
			kvoff_move_end(region, &moves[i]);
	return done;
}

/**
 * kvoff_move_run - move neighbouring blocks
 * @region:	held by the caller
 * @moves:	struct kvoff_move::desc is set, of successive blocks; one of a framed region, or with KVOFF_MOVE_STOP
 * @nr:		how many, at most kvoff_run_max()
 *
 * Returns how many were dealt with, at least one: the others are to be tried again, as a run of their own.
 */
unsigned int kvoff_move_run(struct kvoff_region *region, struct kvoff_move *moves, unsigned int nr)
{
	unsigned int done = kvoff_run_begin(region, moves, nr), flipped;

	if (kvoff_run_copy(moves, done))
		for (flipped = 0; flipped < done; )
			flipped += kvoff_run_flip(region, moves + flipped, done - flipped);
	return done;
}
