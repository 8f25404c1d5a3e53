// SPDX-License-Identifier: GPL-2.0-only
/*
 * The commit account: for each block size, how many frames the pools of all tiers answer for, and how many have been
 * promised. A commit is a counter, not memory; what it promises is that first touch will find a frame.
 */
#include <linux/sched/signal.h>

#include "kvoff.h"

/* How often a commit lets pools grow before it gives up. */
#define KVOFF_COMMIT_ROUNDS	16

DEFINE_SPINLOCK(kvoff_commit_lock);

static struct {
	u64 backing;
	u64 committed;
} kvoff_account[KVOFF_NR_BLOCK_SIZES];

static bool kvoff_commit_try(unsigned int index, u64 nr)
{
	bool ok = false;

	spin_lock(&kvoff_commit_lock);
	if (kvoff_account[index].committed + nr <= kvoff_account[index].backing) {
		kvoff_account[index].committed += nr;
		ok = true;
	}
	spin_unlock(&kvoff_commit_lock);
	return ok;
}

/* Frames that could be promised still, without new ones. */
u64 kvoff_commit_room(unsigned int index)
{
	u64 room = 0;

	spin_lock(&kvoff_commit_lock);
	if (kvoff_account[index].backing > kvoff_account[index].committed)
		room = kvoff_account[index].backing - kvoff_account[index].committed;
	spin_unlock(&kvoff_commit_lock);
	return room;
}

/**
 * kvoff_commit_rebase - change what one pool answers for
 * @index:	block size index
 * @backing:	the pool's present contribution; updated
 * @want:	its new contribution
 * @refuse:	fail rather than leave promises without frames
 */
int kvoff_commit_rebase(unsigned int index, unsigned long *backing, unsigned long want, bool refuse)
{
	int ret = 0;

	spin_lock(&kvoff_commit_lock);
	if (refuse && want < *backing &&
	    kvoff_account[index].backing - *backing + want < kvoff_account[index].committed) {
		ret = -EBUSY;
	} else {
		kvoff_account[index].backing += want;
		kvoff_account[index].backing -= *backing;
		*backing = want;
	}
	spin_unlock(&kvoff_commit_lock);
	return ret;
}

/* Make pools of other sizes give up idle bytes until the tier has @bytes that no pool has, or they have no more. */
static void kvoff_tier_convert(struct kvoff_tier *tier, unsigned int index, u64 bytes)
{
	unsigned int i;

	for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++) {
		u64 free = kvoff_tier_unassigned(tier);

		if (free >= bytes)
			return;
		if (i != index)
			kvoff_pool_yield(&tier->pools[i], div_u64(bytes - free - 1, kvoff_size_of(i)) + 1);
	}
}

/*
 * Give capacity that no pool has to the tier's pool of this size, until it can answer for @need frames more; with
 * @convert, take it from pools of other sizes. Returns how many frames were asked for. Called with kvoff_tier_mutex
 * held.
 */
static u64 kvoff_tier_give(struct kvoff_tier *tier, unsigned int index, u64 need, bool convert)
{
	struct kvoff_pool *pool = &tier->pools[index];
	size_t size = kvoff_size_of(index);
	/* the reserve takes its share of what is added, and at least one frame of a new pool */
	u64 add = need + div_u64(need * 2 * kvoff_reserve_percent, 100) + 2;

	add = max_t(u64, add, KVOFF_GROW_BYTES / size);
	if (READ_ONCE(pool->short_of) || tier->fixed)
		return 0;
	if (convert)
		kvoff_tier_convert(tier, index, add * size);
	add = min(add, div_u64(kvoff_tier_unassigned(tier), size));
	if (!add || kvoff_pool_set_target(pool, READ_ONCE(pool->target) + add))
		return 0;
	kvoff_tier_kick(tier);
	return add;
}

/* The same for all tiers together, fastest first. */
static u64 kvoff_commit_grow(unsigned int index, u64 need, bool convert)
{
	struct kvoff_tier_set *set;
	u64 asked = 0;
	unsigned int i;

	mutex_lock(&kvoff_tier_mutex);
	set = rcu_dereference_protected(kvoff_tiers, lockdep_is_held(&kvoff_tier_mutex));
	for (i = 0; i < set->nr && need; i++) {
		u64 add = kvoff_tier_give(set->by_rank[i], index, need, convert);

		asked += add;
		need -= min(need, add);
	}
	mutex_unlock(&kvoff_tier_mutex);
	return asked;
}

/* A tier, held by its kobject; it may be removed meanwhile. NULL if there is none of this number. */
struct kvoff_tier *kvoff_tier_hold(u32 id)
{
	struct kvoff_tier *tier = NULL;

	rcu_read_lock();
	if (id < KVOFF_MAX_TIERS)
		tier = rcu_dereference(kvoff_tiers)->by_id[id];
	if (tier && !kobject_get_unless_zero(&tier->kobj))
		tier = NULL;
	rcu_read_unlock();
	return tier;
}

/*
 * Wait until @nr frames can be promised, or every pool of this size has what it can get; -EINTR when the task is
 * dying.
 */
static int kvoff_commit_wait(unsigned int index, u64 nr)
{
	unsigned int id;

	for (id = 0; id < KVOFF_MAX_TIERS; id++) {
		struct kvoff_tier *tier = kvoff_tier_hold(id);
		int ret;

		if (!tier)
			continue;
		ret = wait_event_killable(tier->settled, kvoff_pool_settled(&tier->pools[index]) ||
					  kvoff_commit_room(index) >= nr);
		kobject_put(&tier->kobj);
		if (ret)
			return -EINTR;
	}
	return 0;
}

/* Frames of pool size @k that may be given up: those nobody was promised, which need no reserve. */
static u64 kvoff_commit_spare(struct kvoff_tier_set *set, unsigned int k)
{
	u64 spare = kvoff_commit_room(k);
	unsigned int i;

	for (i = 0; i < set->nr; i++) {
		struct kvoff_pool *pool = &set->by_rank[i]->pools[k];

		if (set->by_rank[i]->fixed)
			continue;
		spare += kvoff_pool_reserve(pool, READ_ONCE(pool->filled));
	}
	return spare;
}

/*
 * Frames that the tier's pool of this size would answer for beyond those of now if it took all it may; @spare is
 * reduced by what it takes from other sizes. Called with kvoff_tier_mutex held.
 */
static u64 kvoff_tier_growable(struct kvoff_tier *tier, unsigned int index, u64 *spare)
{
	u64 bytes = kvoff_tier_unassigned(tier);
	unsigned int k;

	if (READ_ONCE(tier->pools[index].short_of) || tier->fixed)
		return 0;
	for (k = 0; k < KVOFF_NR_BLOCK_SIZES; k++) {
		u64 idle = min_t(u64, kvoff_pool_idle(&tier->pools[k]), spare[k]);

		spare[k] -= idle;
		bytes += idle * kvoff_size_of(k);
	}
	return kvoff_pool_gain(&tier->pools[index], div_u64(bytes, kvoff_size_of(index)));
}

/*
 * Frames that could be promised if the tiers took all they may from their nodes and from pools of other sizes. What
 * the pools would then keep in reserve is not among them.
 */
static u64 kvoff_commit_growable(unsigned int index)
{
	u64 spare[KVOFF_NR_BLOCK_SIZES], frames = 0;
	struct kvoff_tier_set *set;
	unsigned int i, k;

	mutex_lock(&kvoff_tier_mutex);
	set = rcu_dereference_protected(kvoff_tiers, lockdep_is_held(&kvoff_tier_mutex));
	for (k = 0; k < KVOFF_NR_BLOCK_SIZES; k++)
		spare[k] = k == index ? 0 : kvoff_commit_spare(set, k);
	for (i = 0; i < set->nr; i++)
		frames += kvoff_tier_growable(set->by_rank[i], index, spare);
	mutex_unlock(&kvoff_tier_mutex);
	return frames;
}

/* Called with kvoff_tier_mutex held. */
static u64 kvoff_tier_room_locked(struct kvoff_tier *tier, unsigned int index)
{
	struct kvoff_tier_set *set = rcu_dereference_protected(kvoff_tiers, lockdep_is_held(&kvoff_tier_mutex));
	u64 spare[KVOFF_NR_BLOCK_SIZES];
	unsigned int k;

	for (k = 0; k < KVOFF_NR_BLOCK_SIZES; k++)
		spare[k] = k == index ? 0 : kvoff_commit_spare(set, k);
	return kvoff_pool_spare(&tier->pools[index]) + kvoff_tier_growable(tier, index, spare);
}

/* Frames that could be taken from the tier at this moment, promised or not, with new ones if need be. */
u64 kvoff_tier_room(struct kvoff_tier *tier, unsigned int index)
{
	u64 room;

	mutex_lock(&kvoff_tier_mutex);
	room = tier->going ? 0 : kvoff_tier_room_locked(tier, index);
	mutex_unlock(&kvoff_tier_mutex);
	return room;
}

/* Is no pool on its way to its target? What is on its way is in none of the figures. */
static bool kvoff_pools_settled(void)
{
	struct kvoff_tier_set *set;
	bool settled = true;
	unsigned int i, k;

	mutex_lock(&kvoff_tier_mutex);
	set = rcu_dereference_protected(kvoff_tiers, lockdep_is_held(&kvoff_tier_mutex));
	for (i = 0; i < set->nr; i++)
		for (k = 0; k < KVOFF_NR_BLOCK_SIZES; k++)
			settled &= kvoff_pool_settled(&set->by_rank[i]->pools[k]);
	mutex_unlock(&kvoff_tier_mutex);
	return settled;
}

/*
 * Nothing could be had at this moment. Wait for what is on its way, unless nothing is and it is not @possible that
 * there is enough: -ENOMEM. -EINTR when the task is dying. @round: how often before.
 */
static int kvoff_commit_pause(bool possible, unsigned int round)
{
	if (!possible && kvoff_pools_settled())
		return -ENOMEM;
	/* others are about to take, or to give back, what there is: they are done soon */
	schedule_timeout_killable(1 + round);
	return fatal_signal_pending(current) ? -EINTR : 0;
}

/* One round of kvoff_tier_make_room(): 0 if there is enough, -EAGAIN if there may be soon. */
static int kvoff_tier_more(struct kvoff_tier *tier, unsigned int index, u64 nr, unsigned int round)
{
	bool possible, asked = false;
	u64 spare;
	int ret;

	mutex_lock(&kvoff_tier_mutex);
	if (tier->going) {
		mutex_unlock(&kvoff_tier_mutex);
		return -ENOENT;
	}
	spare = kvoff_pool_spare(&tier->pools[index]);
	possible = nr <= max(spare, kvoff_tier_room_locked(tier, index));
	if (spare < nr && possible)
		asked = kvoff_tier_give(tier, index, nr - spare, false) ||
			kvoff_tier_give(tier, index, nr - spare, true);
	mutex_unlock(&kvoff_tier_mutex);
	if (spare >= nr)
		return 0;
	ret = asked ? 0 : kvoff_commit_pause(possible, round);
	return ret ?: -EAGAIN;
}

/**
 * kvoff_tier_make_room - let a pool grow until frames can be taken from it
 * @tier:	held
 * @index:	block size index
 * @nr:		how many
 *
 * Others may take them first. -ENOMEM if the tier has not so much, -ENOENT if it is being removed.
 */
int kvoff_tier_make_room(struct kvoff_tier *tier, unsigned int index, u64 nr)
{
	struct kvoff_pool *pool = &tier->pools[index];
	unsigned int round;
	int ret;

	for (round = 0; round < KVOFF_COMMIT_ROUNDS; round++) {
		/* a target may not have been reached yet */
		if (wait_event_killable(tier->settled, kvoff_pool_settled(pool) || kvoff_pool_spare(pool) >= nr))
			return -EINTR;
		ret = kvoff_tier_more(tier, index, nr, round);
		if (ret != -EAGAIN)
			return ret;
	}
	return -ENOMEM;
}

/* Frames that could be promised at this moment, with new ones if need be. */
u64 kvoff_commit_available(unsigned int index)
{
	return kvoff_commit_room(index) + kvoff_commit_growable(index);
}

/*
 * Let the pools grow, if that can lead to @nr frames that can be promised. -ENOMEM if it cannot, -EINTR when the task
 * is dying.
 */
static int kvoff_commit_more(unsigned int index, u64 nr, unsigned int round)
{
	u64 room = kvoff_commit_room(index);
	bool possible;

	if (room >= nr)
		return 0;
	possible = nr - room <= kvoff_commit_growable(index);
	if (possible && (kvoff_commit_grow(index, nr - room, false) || kvoff_commit_grow(index, nr - room, true)))
		return 0;
	return kvoff_commit_pause(possible, round);
}

/**
 * kvoff_commit - promise frames
 * @index:	block size index
 * @nr:		how many
 * @available:	out: how many more could be promised; set when the call fails too
 *
 * Constant time while the pools have enough; otherwise lets them grow, and waits for that.
 */
int kvoff_commit(unsigned int index, u64 nr, u64 *available)
{
	unsigned int round;
	int ret = 0;

	if (kvoff_commit_try(index, nr))
		goto out;
	/* two commits of different sizes could take the last frames from each other for ever */
	for (round = 0; round < KVOFF_COMMIT_ROUNDS; round++) {
		/* a target may not have been reached yet: that comes first, for it needs no more capacity */
		ret = kvoff_commit_wait(index, nr);
		if (ret)
			break;
		if (kvoff_commit_try(index, nr))
			goto out;
		ret = kvoff_commit_more(index, nr, round);
		if (ret)
			break;
		ret = -ENOMEM;
	}
	if (ret == -ENOMEM)
		kvoff_count(KVOFF_COMMIT_REFUSED, 1);
out:
	*available = kvoff_commit_available(index);
	return ret;
}

/**
 * kvoff_commit_extend - let the pools grow until so many frames could be promised, without promising them
 * @index:	block size index
 * @nr:		how many
 *
 * 0, -ENOMEM if the pools cannot have that many, or -EINTR.
 */
int kvoff_commit_extend(unsigned int index, u64 nr)
{
	unsigned int round;

	for (round = 0; round < KVOFF_COMMIT_ROUNDS; round++) {
		int ret = kvoff_commit_wait(index, nr);
		u64 room = kvoff_commit_room(index);

		if (ret)
			return ret;
		if (room >= nr)
			return 0;
		ret = kvoff_commit_more(index, nr, round);
		if (ret)
			return ret;
	}
	return -ENOMEM;
}

void kvoff_uncommit(unsigned int index, u64 nr)
{
	spin_lock(&kvoff_commit_lock);
	WARN_ON_ONCE(kvoff_account[index].committed < nr);
	kvoff_account[index].committed -= nr;
	spin_unlock(&kvoff_commit_lock);
}
