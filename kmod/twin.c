// SPDX-License-Identifier: GPL-2.0-only
/*
 * Twins: the frame that a block leaves behind when it moves stays a true copy until the first write, so that moving
 * back needs no copy. Unlike a block's own frame a twin is the tier's: it stands among the pool's free frames and
 * gives way as soon as somebody needs one.
 *
 * struct kvoff_block::twin is set under the block lock and the lock of the twin's pool, and cleared under the
 * latter alone: the pool takes a twin away without asking its block. The way back from the frame to the block is
 * folio->private.
 */
#include "drain.h"
#include "kvoff.h"

static struct kvoff_pool *kvoff_twin_pool(u32 tier, unsigned int index)
{
	struct kvoff_tier *t;

	RCU_LOCKDEP_WARN(!rcu_read_lock_held(), "the tier may go");
	t = rcu_dereference(kvoff_tiers)->by_id[tier];
	return t ? &t->pools[index] : NULL;
}

static void kvoff_twin_unlink(struct kvoff_pool *pool, struct folio *folio)
{
	struct kvoff_block *b = folio->private;

	lockdep_assert_held(&pool->lock);
	list_del_init(&folio->lru);
	folio->private = NULL;
	WRITE_ONCE(b->twin, NULL);
	pool->nr_twins--;
}

/*
 * The pool needs a frame: the twin that has waited longest goes. NULL if there is none. Called with the pool
 * locked; the frame is on no list then.
 */
struct folio *kvoff_twin_steal(struct kvoff_pool *pool)
{
	struct folio *folio = list_first_entry_or_null(&pool->twins, struct folio, lru);

	if (!folio)
		return NULL;
	kvoff_twin_unlink(pool, folio);
	kvoff_count(KVOFF_TWINS_ROOM, 1);
	return folio;
}

/* A twin is bad: its block has none any more. Called with the pool locked. */
void kvoff_twin_evict(struct kvoff_pool *pool, struct folio *folio)
{
	kvoff_twin_unlink(pool, folio);
	kvoff_pool_add(pool, folio);
}

/**
 * kvoff_twin_keep - a frame that a block has just left becomes its twin
 * @b:		the block, locked, without a twin
 * @folio:	the frame: unmapped, and frozen at one in the meantime
 * @index:	block size index
 * @tier:	where the frame is
 */
void kvoff_twin_keep(struct kvoff_block *b, struct folio *folio, unsigned int index, u32 tier)
{
	struct kvoff_pool *pool;
	bool work;

	rcu_read_lock();
	pool = kvoff_twin_pool(tier, index);
	spin_lock(&pool->lock);
	folio->private = b;
	list_add_tail(&folio->lru, &pool->twins);
	pool->nr_twins++;
	pool->nr_used--;
	b->twin_tier = tier;
	WRITE_ONCE(b->twin, folio);
	work = kvoff_pool_has_work(pool);
	spin_unlock(&pool->lock);
	kvoff_pool_tell(pool, work);
	rcu_read_unlock();
}

/**
 * kvoff_twin_take - take a block's twin, to move there
 * @b:		the block, locked
 * @index:	block size index
 *
 * NULL if it has none, or had to give way, or its tier is being removed, or drained and full. The frame counts as used
 * from here on.
 */
struct folio *kvoff_twin_take(struct kvoff_block *b, unsigned int index)
{
	struct folio *folio = NULL;
	struct kvoff_pool *pool;

	if (!READ_ONCE(b->twin))
		return NULL;
	rcu_read_lock();
	pool = kvoff_twin_pool(b->twin_tier, index);
	if (pool) {
		spin_lock(&pool->lock);
		folio = b->twin;
		if (READ_ONCE(pool->tier->going) || kvoff_tier_full(pool->tier, kvoff_size_of(index)))
			folio = NULL;
		if (folio) {
			kvoff_twin_unlink(pool, folio);
			pool->nr_used++;
		}
		spin_unlock(&pool->lock);
	}
	rcu_read_unlock();
	return folio;
}

/*
 * The block's bytes are about to change, or to go: its twin is worth nothing. Called with the block locked. In one
 * step: a tier that is being removed waits for frames that are out.
 */
void kvoff_twin_drop(struct kvoff_block *b, unsigned int index)
{
	struct kvoff_pool *pool;
	struct folio *folio;

	if (!READ_ONCE(b->twin))
		return;
	rcu_read_lock();
	pool = kvoff_twin_pool(b->twin_tier, index);
	if (pool) {
		spin_lock(&pool->lock);
		folio = b->twin;
		if (folio) {
			kvoff_twin_unlink(pool, folio);
			kvoff_pool_add(pool, folio);
		}
		spin_unlock(&pool->lock);
	}
	rcu_read_unlock();
}
