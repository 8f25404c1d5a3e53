// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tiers that shall hold less. A drain lowers the targets of a tier's pools, and with them what the pools answer for
 * in the commit account, below what is in use: from then on frames only come back. A smaller capacity lowers them as
 * far as idle frames go. Moving blocks away is the admin's tool's business.
 *
 * What was promised stays true: a target goes down only as far as the pools of all tiers can still answer for every
 * commit, and those of other tiers grow first if they may. The sum of the targets is at most what the tier may keep,
 * and a pool gives no frame away beyond its target, so that the tier cannot come to hold more than that.
 */
#include "drain.h"
#include "kvoff.h"
#include "tenant.h"

/* How often the other tiers' pools are let grow, one block size at a time, before a drain is refused. */
#define KVOFF_DRAIN_ROUNDS	(4 * KVOFF_NR_BLOCK_SIZES)

/* Bytes of frames that hold a block, or whose block is gone but which something pins. */
u64 kvoff_tier_used(struct kvoff_tier *tier)
{
	u64 used = 0;
	unsigned int i;

	for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++) {
		struct kvoff_pool *pool = &tier->pools[i];

		used += (u64)(READ_ONCE(pool->nr_used) + READ_ONCE(pool->nr_orphans)) * kvoff_size_of(i);
	}
	return used;
}

/* Would @bytes more be beyond what a draining tier may keep? */
bool kvoff_tier_full(struct kvoff_tier *tier, size_t bytes)
{
	u64 keep = READ_ONCE(tier->keep);

	return keep != KVOFF_KEEP_ALL && kvoff_tier_used(tier) + bytes > keep;
}

/* The same of a tier that may not be there: that is for others to say. */
bool kvoff_tier_closed(u32 id, size_t bytes)
{
	struct kvoff_tier *tier;
	bool closed;

	rcu_read_lock();
	tier = rcu_dereference(kvoff_tiers)->by_id[id];
	closed = tier && kvoff_tier_full(tier, bytes);
	rcu_read_unlock();
	return closed;
}

/*
 * May this block be moved by somebody who is not the policy? 1 if it is in a tier that is being drained, at this
 * moment, 0 if there is nothing to move, as it is empty or gone; else -EPERM.
 */
int kvoff_drain_covers(const struct kvoff_move_desc *desc)
{
	struct kvoff_region *region = kvoff_region_get(desc->region);
	struct kvoff_chunk *chunk = NULL;
	int ret = 0;

	if (!region)
		return 0;
	if (desc->block < region->nr_blocks)
		chunk = kvoff_chunk(region, desc->block, false);
	if (chunk) {
		struct kvoff_block *b = kvoff_chunk_block(chunk, desc->block);
		struct kvoff_tier *tier;

		rcu_read_lock();
		tier = rcu_dereference(kvoff_tiers)->by_id[READ_ONCE(b->tier)];
		if (READ_ONCE(b->frame))
			ret = tier && kvoff_tier_draining(tier) ? 1 : -EPERM;
		rcu_read_unlock();
	}
	kvoff_region_put(region);
	return ret;
}

/* Frames that are in use, or pinned. */
static unsigned long kvoff_pool_held(struct kvoff_pool *pool)
{
	unsigned long held;

	spin_lock(&pool->lock);
	held = pool->nr_used + pool->nr_orphans;
	spin_unlock(&pool->lock);
	return held;
}

/* Of what the pool answers for in the commit account, what no other pool could. */
static unsigned long kvoff_pool_owed(struct kvoff_pool *pool)
{
	unsigned long backing = READ_ONCE(pool->backing);

	return backing - min_t(u64, backing, kvoff_commit_room(pool->index));
}

/* The lowest target with which the pool answers for what it owes. */
static unsigned long kvoff_pool_least(struct kvoff_pool *pool)
{
	unsigned int percent = READ_ONCE(kvoff_reserve_percent);
	unsigned long owed = kvoff_pool_owed(pool);
	unsigned long frames = owed;

	if (!owed)
		return 0;
	frames += div_u64((u64)owed * percent, 100 - percent);
	while (frames - kvoff_pool_reserve(pool, frames) < owed)
		frames++;
	/* as kvoff_pool_backing() has it */
	frames += READ_ONCE(pool->nr_orphans) + READ_ONCE(pool->nr_poisoned);
	return min(frames, READ_ONCE(pool->target));
}

/* Bytes that the tier's pools must keep for what only they can answer for. */
static u64 kvoff_tier_least(struct kvoff_tier *tier)
{
	u64 least = 0;
	unsigned int i;

	for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++)
		least += (u64)kvoff_pool_least(&tier->pools[i]) * kvoff_size_of(i);
	return least;
}

/**
 * struct kvoff_share_out - how a number of bytes is divided among a tier's pools
 * @target:	of each pool
 * @most:	what each may get
 * @bytes:	what is left
 */
struct kvoff_share_out {
	unsigned long target[KVOFF_NR_BLOCK_SIZES];
	unsigned long most[KVOFF_NR_BLOCK_SIZES];
	u64 bytes;
};

static void kvoff_share_raise(struct kvoff_share_out *s, unsigned int i, unsigned long to)
{
	unsigned long room = div_u64(s->bytes, kvoff_size_of(i)), more;

	to = min(to, s->most[i]);
	if (to <= s->target[i])
		return;
	more = min(to - s->target[i], room);
	s->target[i] += more;
	s->bytes -= (u64)more * kvoff_size_of(i);
}

/*
 * Divide @limit: first what each pool must have, then what it has in use, what the admin gave it, and what it had.
 * With @drain, frames in use are no reason to keep a target up.
 */
static int kvoff_share_plan(struct kvoff_share_out *s, struct kvoff_tier *tier, u64 limit, bool drain)
{
	unsigned int i;

	s->bytes = limit;
	for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++) {
		struct kvoff_pool *pool = &tier->pools[i];
		unsigned long least = kvoff_pool_least(pool);

		s->most[i] = tier->fixed ? max(pool->restore, pool->target) : pool->target;
		s->target[i] = drain ? least : max(least, kvoff_pool_held(pool));
		if ((u64)s->target[i] * kvoff_size_of(i) > s->bytes)
			return -EBUSY;
		s->bytes -= (u64)s->target[i] * kvoff_size_of(i);
	}
	for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++)
		kvoff_share_raise(s, i, kvoff_pool_held(&tier->pools[i]));
	for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++)
		kvoff_share_raise(s, i, tier->pools[i].floor);
	for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++)
		kvoff_share_raise(s, i, s->most[i]);
	return 0;
}

/* Lower the targets until they are @limit bytes together; all of them or none. */
static int kvoff_tier_fit(struct kvoff_tier *tier, u64 limit, bool drain)
{
	unsigned long before[KVOFF_NR_BLOCK_SIZES];
	struct kvoff_share_out s;
	unsigned int i;
	int ret;

	lockdep_assert_held(&kvoff_tier_mutex);
	ret = kvoff_share_plan(&s, tier, limit, drain);
	for (i = 0; i < KVOFF_NR_BLOCK_SIZES && !ret; i++) {
		before[i] = tier->pools[i].target;
		ret = drain ? kvoff_pool_limit(&tier->pools[i], s.target[i]) :
			      kvoff_pool_set_target(&tier->pools[i], s.target[i]);
	}
	/* commits and first touches do not wait for us: what was planned may be wrong already */
	if (ret)
		while (i--)
			kvoff_pool_restore_target(&tier->pools[i], before[i]);
	kvoff_tier_kick(tier);
	return ret;
}

/* Let pools of other tiers grow until they answer for some of what stands in the way of a drain; -EBUSY if none can. */
static int kvoff_drain_make_room(struct kvoff_tier *tier, u64 keep)
{
	u64 least = kvoff_tier_least(tier);
	unsigned int i;
	int ret;

	if (least <= keep)
		return 0;
	for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++) {
		u64 frames = kvoff_pool_owed(&tier->pools[i]);
		u64 room = kvoff_commit_room(i), available = kvoff_commit_available(i);

		frames = min(frames, div_u64(least - keep - 1, kvoff_size_of(i)) + 1);
		frames = min(frames, available - min(available, room));
		if (!frames)
			continue;
		ret = kvoff_commit_extend(i, room + frames);
		if (ret != -ENOMEM)
			return ret;
	}
	return -EBUSY;
}

/* Called with kvoff_tier_admin and kvoff_tier_mutex held; lets go of the latter in between. */
static int kvoff_drain_begin(struct kvoff_tier *tier, u64 keep)
{
	bool was_fixed = tier->fixed;
	unsigned int i, round;
	int ret;

	for (i = 0; i < KVOFF_NR_BLOCK_SIZES && !was_fixed; i++)
		tier->pools[i].restore = tier->pools[i].target;
	/* from here on it does not grow: what is promised meanwhile is to be elsewhere */
	WRITE_ONCE(tier->fixed, true);
	for (round = 0;; round++) {
		ret = kvoff_tier_fit(tier, keep, true);
		if (ret != -EBUSY || round == KVOFF_DRAIN_ROUNDS)
			break;
		mutex_unlock(&kvoff_tier_mutex);
		ret = kvoff_drain_make_room(tier, keep);
		mutex_lock(&kvoff_tier_mutex);
		if (ret)
			break;
	}
	if (ret) {
		WRITE_ONCE(tier->fixed, was_fixed);
		return ret;
	}
	WRITE_ONCE(tier->keep, keep);
	/*
	 * whoever takes a twin looks at keep under the pool's lock: once each was held, no block comes back by a flip
	 */
	for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++)
		if (kvoff_tier_used(tier) > keep || !tier->pools[i].target)
			kvoff_pool_shed_twins(&tier->pools[i]);
	kvoff_tier_kick(tier);
	return 0;
}

/* The pools get back what they had, as far as the capacity goes now. Called with kvoff_tier_mutex held. */
static void kvoff_drain_end(struct kvoff_tier *tier)
{
	struct kvoff_share_out s = { .bytes = tier->capacity };
	unsigned int i;

	if (!tier->fixed)
		return;
	for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++) {
		struct kvoff_pool *pool = &tier->pools[i];

		s.most[i] = max3(pool->restore, pool->target, kvoff_pool_held(pool));
		s.target[i] = pool->target;
		s.bytes -= min(s.bytes, (u64)pool->target * kvoff_size_of(i));
	}
	for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++)
		kvoff_share_raise(&s, i, kvoff_pool_held(&tier->pools[i]));
	for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++)
		kvoff_share_raise(&s, i, tier->pools[i].floor);
	for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++) {
		struct kvoff_pool *pool = &tier->pools[i];

		kvoff_share_raise(&s, i, s.most[i]);
		kvoff_pool_restore_target(pool, s.target[i]);
		pool->floor = min(pool->floor, pool->target);
	}
	WRITE_ONCE(tier->keep, KVOFF_KEEP_ALL);
	WRITE_ONCE(tier->fixed, false);
	kvoff_tier_kick(tier);
}

/**
 * kvoff_tier_drain - begin, change or stop a drain
 * @arg:	see struct kvoff_ctl_tier_drain
 *
 * May wait for pools of other tiers to grow. kvoff_tier_admin is held over that, so that the tier stays.
 */
int kvoff_tier_drain(struct kvoff_ctl_tier_drain *arg)
{
	bool stop = arg->flags & KVOFF_DRAIN_STOP;
	struct kvoff_tier *tier;
	int ret = 0;

	if (arg->flags & ~KVOFF_DRAIN_STOP || arg->keep == KVOFF_KEEP_ALL || (stop && arg->keep))
		return -EINVAL;
	tier = kvoff_tier_lock(arg->name);
	if (IS_ERR(tier))
		return PTR_ERR(tier);
	if (stop)
		kvoff_drain_end(tier);
	else
		ret = kvoff_drain_begin(tier, arg->keep);
	if (!ret)
		arg->used = kvoff_tier_used(tier);
	kvoff_tier_unlock();
	return ret;
}

/*
 * Make a tier's pools fit a smaller capacity, at the cost of idle frames of any size; -EBUSY, and nothing changes, if
 * these are not enough. Called with kvoff_tier_mutex held.
 */
int kvoff_tier_shrink(struct kvoff_tier *tier, u64 capacity)
{
	unsigned int i;
	int ret;

	if (kvoff_tier_used(tier) > capacity)
		return -EBUSY;
	ret = kvoff_tier_fit(tier, min(capacity, tier->keep), tier->fixed);
	if (ret)
		return ret;
	for (i = 0; i < KVOFF_NR_BLOCK_SIZES && !tier->fixed; i++)
		tier->pools[i].floor = min(tier->pools[i].floor, tier->pools[i].target);
	return 0;
}
