// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pools of frames: one a tier and block size. Everything that needs a frame takes it from here, nothing is allocated
 * while a client waits. Unlike tier.c, which knows capacities and names, this file knows frames; which pool is asked
 * for one is frame.c's business.
 *
 * A frame is in exactly one place: a free list, an orphan list, a block, or the hands of a mover. It has one
 * reference of its own; it comes back only after that count could be frozen at one, so that nobody else can still
 * reach it. The free lists are linked through folio->lru, which nothing else uses: the frames are on no LRU.
 */
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/pagemap.h>

#include "drain.h"
#include "kvoff.h"
#include "poison.h"

/* Frames handled before the thread looks at other pools and lets others run. */
#define KVOFF_POOL_BURST	32
#define KVOFF_ORPHAN_BURST	256UL

/* One part in so many of a pool is kept zeroed, for first touches. */
#define KVOFF_POOL_CLEAN	8

DECLARE_WAIT_QUEUE_HEAD(kvoff_frame_wait);

void kvoff_pool_init(struct kvoff_pool *pool, struct kvoff_tier *tier, unsigned int index)
{
	pool->tier = tier;
	pool->index = index;
	pool->order = kvoff_order_of(index);
	spin_lock_init(&pool->lock);
	INIT_LIST_HEAD(&pool->clean);
	INIT_LIST_HEAD(&pool->dirty);
	INIT_LIST_HEAD(&pool->orphans);
	INIT_LIST_HEAD(&pool->twins);
	INIT_LIST_HEAD(&pool->poisoned);
}

/* Frames that first touch leaves alone, so that moves find a target. */
unsigned long kvoff_pool_reserve(const struct kvoff_pool *pool, unsigned long frames)
{
	if (!frames)
		return 0;
	return clamp(frames * READ_ONCE(kvoff_reserve_percent) / 100, 1UL, frames);
}

/* What the pool answers for if its target were @target. */
static unsigned long kvoff_pool_backing(const struct kvoff_pool *pool, unsigned long target)
{
	unsigned long frames = min(pool->filled, target);

	frames -= min(frames, pool->nr_orphans + pool->nr_poisoned);
	return frames - kvoff_pool_reserve(pool, frames);
}

/* Frames the pool would answer for beyond those of now if it had @more. */
unsigned long kvoff_pool_gain(struct kvoff_pool *pool, unsigned long more)
{
	unsigned long has, gain;

	spin_lock(&pool->lock);
	has = min(pool->filled, pool->target);
	has -= min(has, pool->nr_orphans + pool->nr_poisoned);
	gain = more - (kvoff_pool_reserve(pool, has + more) - kvoff_pool_reserve(pool, has));
	spin_unlock(&pool->lock);
	return gain;
}

void kvoff_pool_account_locked(struct kvoff_pool *pool)
{
	lockdep_assert_held(&pool->lock);
	kvoff_commit_rebase(pool->index, &pool->backing, kvoff_pool_backing(pool, pool->target), false);
}

void kvoff_pool_account(struct kvoff_pool *pool)
{
	spin_lock(&pool->lock);
	kvoff_pool_account_locked(pool);
	spin_unlock(&pool->lock);
}

static int kvoff_pool_set_target_locked(struct kvoff_pool *pool, unsigned long target)
{
	int ret = kvoff_commit_rebase(pool->index, &pool->backing, kvoff_pool_backing(pool, target), true);

	if (!ret) {
		pool->target = target;
		pool->short_of = false;
	}
	return ret;
}

/*
 * kvoff_pool_set_target - change how many frames the pool shall have
 *
 * -EBUSY if that would take frames away that are promised or in use. The tier's thread does the work.
 */
int kvoff_pool_set_target(struct kvoff_pool *pool, unsigned long target)
{
	int ret = 0;

	spin_lock(&pool->lock);
	if (target < pool->target && target < pool->nr_used + pool->nr_orphans)
		ret = -EBUSY;
	else
		ret = kvoff_pool_set_target_locked(pool, target);
	spin_unlock(&pool->lock);
	return ret;
}

/* The same below what is in use: frames go as they come back, until the target is reached. */
int kvoff_pool_limit(struct kvoff_pool *pool, unsigned long target)
{
	int ret;

	spin_lock(&pool->lock);
	ret = kvoff_pool_set_target_locked(pool, target);
	spin_unlock(&pool->lock);
	return ret;
}

/* Take back a change of the target, or, when the tier ends, whatever it was. */
void kvoff_pool_restore_target(struct kvoff_pool *pool, unsigned long target)
{
	spin_lock(&pool->lock);
	pool->target = target;
	kvoff_pool_account_locked(pool);
	spin_unlock(&pool->lock);
}

bool kvoff_pool_in_use(struct kvoff_pool *pool)
{
	bool in_use;

	spin_lock(&pool->lock);
	in_use = pool->nr_used || pool->nr_orphans;
	spin_unlock(&pool->lock);
	return in_use;
}

bool kvoff_pool_settled(struct kvoff_pool *pool)
{
	bool settled;

	spin_lock(&pool->lock);
	settled = pool->filled >= pool->target || pool->short_of || pool->tier->going;
	spin_unlock(&pool->lock);
	return settled;
}

/* Frames that are free, or will be as soon as they are zeroed, above the reserve and what goes back to the node. */
unsigned long kvoff_pool_spare(struct kvoff_pool *pool)
{
	unsigned long spare, keep;

	spin_lock(&pool->lock);
	spare = pool->nr_clean + pool->nr_dirty + pool->nr_twins + pool->nr_zeroing;
	keep = kvoff_pool_reserve(pool, pool->filled);
	if (pool->filled > pool->target)
		keep += pool->filled - pool->target;
	spare -= min(spare, keep);
	spin_unlock(&pool->lock);
	return spare;
}

static struct folio *kvoff_pool_pop(struct list_head *list, unsigned long *nr)
{
	struct folio *folio = list_first_entry_or_null(list, struct folio, lru);

	if (folio) {
		list_del_init(&folio->lru);
		(*nr)--;
	}
	return folio;
}

/* Frames that can be taken now. */
static unsigned long kvoff_pool_free(const struct kvoff_pool *pool)
{
	return pool->nr_clean + pool->nr_dirty + pool->nr_twins;
}

/*
 * A good frame: a zeroed one, one with somebody's old bytes, or a twin: in this order, or, for a copy's target, zeroed
 * ones last.
 */
static struct folio *kvoff_pool_pick(struct kvoff_pool *pool, bool want_clean, bool *zeroed)
{
	struct folio *folio;

	do {
		folio = want_clean ? kvoff_pool_pop(&pool->clean, &pool->nr_clean) : NULL;
		*zeroed = folio;
		if (!folio)
			folio = kvoff_pool_pop(&pool->dirty, &pool->nr_dirty);
		if (!folio)
			folio = kvoff_twin_steal(pool);
		if (!folio) {
			folio = kvoff_pool_pop(&pool->clean, &pool->nr_clean);
			*zeroed = folio;
		}
	} while (folio && kvoff_quarantine(pool, folio));
	return folio;
}

/*
 * Take a free frame, leaving @leave, and what the pool is about to give back to the node: another pool may have been
 * given its bytes. @want_clean says what is best; @zeroed what it got.
 */
struct folio *kvoff_pool_take(struct kvoff_pool *pool, unsigned long leave, bool want_clean, bool *zeroed)
{
	struct folio *folio = NULL;

	spin_lock(&pool->lock);
	if (pool->filled > pool->target)
		leave += pool->filled - pool->target;
	if (kvoff_pool_free(pool) > leave && !READ_ONCE(pool->tier->going))
		folio = kvoff_pool_pick(pool, want_clean, zeroed);
	if (folio)
		pool->nr_used++;
	spin_unlock(&pool->lock);
	return folio;
}

/* Moves want no zeroed target, and would only make the zeroing in vain: so only a part of the pool is kept zeroed. */
static bool kvoff_pool_wants_clean(const struct kvoff_pool *pool)
{
	return pool->nr_clean <= pool->filled / KVOFF_POOL_CLEAN;
}

/* A frame has come back: has the tier's thread something to do now? Called with the pool locked. */
bool kvoff_pool_has_work(const struct kvoff_pool *pool)
{
	lockdep_assert_held(&pool->lock);
	return kvoff_pool_wants_clean(pool) || pool->filled > pool->target || pool->nr_orphans ||
	       READ_ONCE(pool->tier->going) || kvoff_tier_draining(pool->tier);
}

/*
 * A frame has come back, after which the pool was unlocked: wake whoever waits for frames, and the thread if there is
 * work. Moves come here once a block, and mostly find nobody. Under RCU, which keeps the tier.
 */
void kvoff_pool_tell(struct kvoff_pool *pool, bool work)
{
	if (work || wq_has_sleeper(&pool->tier->settled))
		kvoff_tier_kick(pool->tier);
	if (wq_has_sleeper(&kvoff_frame_wait))
		wake_up(&kvoff_frame_wait);
}

/* A frame that nobody can reach any more belongs to no region. */
static void kvoff_frame_reset(struct folio *folio)
{
	folio->mapping = NULL;
	folio->index = 0;
}

/*
 * kvoff_frame_put - give a frame back
 *
 * The caller has unmapped it and taken it out of its block. If something still holds it, it becomes an orphan.
 */
void kvoff_frame_put(struct folio *folio, unsigned int index, u32 tier)
{
	bool ours = folio_ref_freeze(folio, 1);
	struct kvoff_pool *pool;
	struct kvoff_tier *t;
	bool work;

	if (ours) {
		kvoff_frame_reset(folio);
		folio_ref_unfreeze(folio, 1);
	} else {
		/* a pin's owner may mark it dirty: it must not find an address space that may be gone by then */
		folio_lock(folio);
		folio->mapping = NULL;
		folio_unlock(folio);
	}

	/* while a frame is out its tier cannot go; after that RCU keeps it until we are done */
	rcu_read_lock();
	t = rcu_dereference(kvoff_tiers)->by_id[tier];
	pool = &t->pools[index];
	spin_lock(&pool->lock);
	if (ours && !kvoff_quarantine(pool, folio)) {
		list_add(&folio->lru, &pool->dirty);
		pool->nr_dirty++;
	} else if (!ours) {
		list_add(&folio->lru, &pool->orphans);
		pool->nr_orphans++;
		kvoff_pool_account_locked(pool);
		kvoff_count(KVOFF_ORPHANED, 1);
	}
	pool->nr_used--;
	work = kvoff_pool_has_work(pool);
	spin_unlock(&pool->lock);
	kvoff_pool_tell(pool, work);
	rcu_read_unlock();
}

/* A twin is a free frame like any other from now on. Called with the pool locked. */
void kvoff_pool_add(struct kvoff_pool *pool, struct folio *folio)
{
	lockdep_assert_held(&pool->lock);
	if (folio_ref_freeze(folio, 1)) {
		folio_ref_unfreeze(folio, 1);
		if (kvoff_quarantine(pool, folio))
			return;
		list_add(&folio->lru, &pool->dirty);
		pool->nr_dirty++;
	} else {
		list_add(&folio->lru, &pool->orphans);
		pool->nr_orphans++;
		kvoff_pool_account_locked(pool);
	}
}

/* No twin is left when this returns; none may come meanwhile. */
void kvoff_pool_shed_twins(struct kvoff_pool *pool)
{
	struct folio *folio;

	do {
		spin_lock(&pool->lock);
		folio = kvoff_twin_steal(pool);
		if (folio)
			kvoff_pool_add(pool, folio);
		spin_unlock(&pool->lock);
		cond_resched();
	} while (folio);
}

void kvoff_frame_zero(struct folio *folio)
{
	long i, nr = folio_nr_pages(folio);

	for (i = 0; i < nr; i++) {
		clear_highpage(folio_page(folio, i));
		cond_resched();
	}
}

/* Take frames from the node until the target is reached. */
static bool kvoff_pool_fill(struct kvoff_pool *pool)
{
	/*
	 * Never movable: a frame in ZONE_MOVABLE would make long-term pins spin. Zeroed by the allocator: where
	 * init_on_alloc is set it would do so in any case.
	 */
	const gfp_t gfp = GFP_HIGHUSER | __GFP_THISNODE | __GFP_COMP | __GFP_ZERO | __GFP_RETRY_MAYFAIL | __GFP_NOWARN;
	unsigned int i;

	for (i = 0; i < KVOFF_POOL_BURST; i++) {
		struct folio *folio;
		bool want;

		spin_lock(&pool->lock);
		want = pool->filled < pool->target &&
		       (!pool->short_of || time_after_eq(jiffies, pool->retry));
		spin_unlock(&pool->lock);
		if (!want)
			break;
		folio = __folio_alloc_node(gfp, pool->order, pool->tier->node);
		if (folio && !kvoff_frame_enroll(pool, folio)) {
			folio_put(folio);
			folio = NULL;
		}
		cond_resched();
		spin_lock(&pool->lock);
		pool->short_of = !folio;
		/* each try reclaims on the node: not at every kick */
		pool->retry = jiffies + KVOFF_SHORT_INTERVAL;
		if (folio) {
			INIT_LIST_HEAD(&folio->lru);
			pool->filled++;
			if (!kvoff_quarantine(pool, folio)) {
				list_add_tail(&folio->lru, &pool->clean);
				pool->nr_clean++;
			}
			kvoff_pool_account_locked(pool);
		}
		spin_unlock(&pool->lock);
		if (!folio)
			break;
	}
	if (i)
		wake_up_all(&kvoff_frame_wait);
	return i == KVOFF_POOL_BURST;
}

/* Give frames back to the node until the target is reached; true if there is more to do at once. */
bool kvoff_pool_empty(struct kvoff_pool *pool)
{
	unsigned int i;

	for (i = 0; i < KVOFF_POOL_BURST; i++) {
		struct folio *folio = NULL;

		spin_lock(&pool->lock);
		if (pool->filled > pool->target) {
			bool zeroed;

			folio = kvoff_pool_pick(pool, false, &zeroed);
			if (folio) {
				pool->filled--;
				kvoff_frame_strike(folio);
				kvoff_pool_account_locked(pool);
			}
		}
		spin_unlock(&pool->lock);
		if (!folio)
			break;
		folio_put(folio);
		cond_resched();
	}
	return i == KVOFF_POOL_BURST;
}

/* Zero free frames ahead of first touches. */
static bool kvoff_pool_zero(struct kvoff_pool *pool)
{
	struct folio *folio = NULL;

	spin_lock(&pool->lock);
	if (kvoff_pool_wants_clean(pool)) {
		do
			folio = kvoff_pool_pop(&pool->dirty, &pool->nr_dirty) ?: kvoff_twin_steal(pool);
		while (folio && kvoff_quarantine(pool, folio));
		if (folio)
			pool->nr_zeroing++;
	}
	spin_unlock(&pool->lock);
	if (!folio)
		return false;
	kvoff_frame_zero(folio);
	spin_lock(&pool->lock);
	list_add_tail(&folio->lru, &pool->clean);
	pool->nr_clean++;
	pool->nr_zeroing--;
	spin_unlock(&pool->lock);
	wake_up(&kvoff_frame_wait);
	return true;
}

/* Orphans whose pin is gone return to the pool; the list is walked in turns. */
static void kvoff_pool_adopt(struct kvoff_pool *pool)
{
	bool found = false;
	unsigned long i;

	spin_lock(&pool->lock);
	for (i = min(pool->nr_orphans, KVOFF_ORPHAN_BURST); i; i--) {
		struct folio *folio = list_first_entry(&pool->orphans, struct folio, lru);

		if (!folio_ref_freeze(folio, 1)) {
			list_move_tail(&folio->lru, &pool->orphans);
			continue;
		}
		kvoff_frame_reset(folio);
		folio_ref_unfreeze(folio, 1);
		list_del_init(&folio->lru);
		pool->nr_orphans--;
		if (!kvoff_quarantine(pool, folio)) {
			list_add(&folio->lru, &pool->dirty);
			pool->nr_dirty++;
		}
		found = true;
	}
	if (found)
		kvoff_pool_account_locked(pool);
	spin_unlock(&pool->lock);
	if (found)
		wake_up(&kvoff_frame_wait);
}

/*
 * Frames that are free and above what the admin gave the pool. Whether they are promised is the account's
 * business.
 */
unsigned long kvoff_pool_idle(struct kvoff_pool *pool)
{
	unsigned long idle, keep;

	spin_lock(&pool->lock);
	keep = max(pool->floor, pool->nr_used + pool->nr_orphans + pool->nr_poisoned);
	idle = min(pool->filled, pool->target);
	idle -= min(idle, keep);
	spin_unlock(&pool->lock);
	return idle;
}

/*
 * Give up to @frames idle frames back to the node, so that another pool can have their bytes. The tier's thread
 * does the work. Called with kvoff_tier_mutex held.
 */
void kvoff_pool_yield(struct kvoff_pool *pool, unsigned long frames)
{
	unsigned long has = min(READ_ONCE(pool->target), READ_ONCE(pool->filled));
	unsigned long n = min3(frames, kvoff_pool_idle(pool), has);

	/* some may be promised: offer less */
	while (n && kvoff_pool_set_target(pool, has - n))
		n /= 2;
	if (n)
		kvoff_tier_kick(pool->tier);
	kvoff_count(KVOFF_CONVERTED_BYTES, n * kvoff_size_of(pool->index));
}

/* At unload: whoever has them pinned is the last to hold them. Bad ones are kept, so that nobody is. */
void kvoff_pool_forget_orphans(struct kvoff_pool *pool)
{
	struct folio *folio;

	spin_lock(&pool->lock);
	while ((folio = kvoff_pool_pop(&pool->orphans, &pool->nr_orphans))) {
		if (kvoff_quarantine(pool, folio))
			continue;
		pool->filled--;
		kvoff_frame_strike(folio);
		folio_put(folio);
	}
	spin_unlock(&pool->lock);
}

/*
 * kvoff_pool_work - one round of the tier's thread; true if there is more to do at once
 */
bool kvoff_pool_work(struct kvoff_pool *pool)
{
	bool more;

	kvoff_pool_adopt(pool);
	more = kvoff_pool_fill(pool);
	more |= kvoff_pool_zero(pool);
	return more;
}
