// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tiers: which node, how much of it, and the thread that keeps the pools of a tier as large and as clean as they
 * shall be.
 */
#include <linux/kthread.h>
#include <linux/mmzone.h>
#include <linux/nodemask.h>
#include <linux/slab.h>

#include "drain.h"
#include "kvoff.h"
#include "poison.h"
#include "tenant.h"

/*
 * kvoff_tier_admin is held over the whole of adding and removing a tier, sysfs included; kvoff_tier_mutex protects
 * the set and the sizes. Attributes are written under the latter only, so that removing a tier may wait for them.
 */
DEFINE_MUTEX(kvoff_tier_admin);
DEFINE_MUTEX(kvoff_tier_mutex);
struct kvoff_tier_set __rcu *kvoff_tiers;
/* The set before this one: no reader has it any more, and the next one is built in it. */
static struct kvoff_tier_set *kvoff_tier_spare;

/* How often the thread looks at orphans. */
#define KVOFF_ORPHAN_INTERVAL	(HZ / 20)

static struct kvoff_tier_set *kvoff_tier_set(void)
{
	return rcu_dereference_protected(kvoff_tiers, lockdep_is_held(&kvoff_tier_mutex));
}

void kvoff_tier_kick(struct kvoff_tier *tier)
{
	/* pairs with the thread's barrier: either it sees what there is to do, or we see that it may not have */
	smp_mb();
	if (READ_ONCE(tier->kicked))
		return;
	WRITE_ONCE(tier->kicked, true);
	wake_up(&tier->wake);
}

/* The share of every pool that is kept back has changed. */
void kvoff_tiers_account(void)
{
	struct kvoff_tier_set *set;
	unsigned int i, k;

	mutex_lock(&kvoff_tier_mutex);
	set = kvoff_tier_set();
	for (i = 0; i < set->nr; i++)
		for (k = 0; k < KVOFF_NR_BLOCK_SIZES; k++)
			kvoff_pool_account(&set->by_rank[i]->pools[k]);
	mutex_unlock(&kvoff_tier_mutex);
}

bool kvoff_tier_exists(u32 id)
{
	bool exists;

	rcu_read_lock();
	exists = id < KVOFF_MAX_TIERS && rcu_dereference(kvoff_tiers)->by_id[id];
	rcu_read_unlock();
	return exists;
}

/* Bytes of the tier's capacity that its pools were given. */
static u64 kvoff_tier_assigned(struct kvoff_tier *tier)
{
	u64 assigned = 0;
	unsigned int i;

	lockdep_assert_held(&kvoff_tier_mutex);
	for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++)
		assigned += (u64)READ_ONCE(tier->pools[i].target) * kvoff_size_of(i);
	return assigned;
}

/* And what is left for them to grow by. */
u64 kvoff_tier_unassigned(struct kvoff_tier *tier)
{
	u64 assigned = kvoff_tier_assigned(tier);

	if (tier->fixed)
		return 0;
	return tier->capacity > assigned ? tier->capacity - assigned : 0;
}

/* In a word: is it filled, or does it try? Or shall it hold less? */
const char *kvoff_tier_state(struct kvoff_tier *tier)
{
	const char *state = "ready";
	unsigned int i;

	if (kvoff_tier_draining(tier))
		return kvoff_tier_full(tier, 0) ? "draining" : "drained";
	for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++) {
		struct kvoff_pool *pool = &tier->pools[i];

		if (READ_ONCE(pool->filled) >= READ_ONCE(pool->target))
			continue;
		if (READ_ONCE(pool->short_of))
			return "short";
		state = "filling";
	}
	return state;
}

/* A move found the pool empty: the next one shall find a frame, if the tier has capacity that no pool has. */
static void kvoff_tier_grow(struct kvoff_pool *pool)
{
	u64 bytes;

	if (!READ_ONCE(pool->wanting))
		return;
	mutex_lock(&kvoff_tier_mutex);
	WRITE_ONCE(pool->wanting, false);
	bytes = min_t(u64, kvoff_tier_unassigned(pool->tier), KVOFF_GROW_BYTES);
	if (!pool->tier->going && !READ_ONCE(pool->short_of) && bytes >= kvoff_size_of(pool->index))
		kvoff_pool_set_target(pool, READ_ONCE(pool->target) + div_u64(bytes, kvoff_size_of(pool->index)));
	mutex_unlock(&kvoff_tier_mutex);
}

static int kvoff_tier_thread(void *data)
{
	struct kvoff_tier *tier = data;
	const char *state = NULL;

	while (!kthread_should_stop()) {
		long timeout = MAX_SCHEDULE_TIMEOUT;
		bool more = false;
		unsigned int i;

		WRITE_ONCE(tier->kicked, false);
		/* pairs with kvoff_tier_kick() */
		smp_mb();
		/* what one pool gives up another may be waiting for */
		for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++)
			while (kvoff_pool_empty(&tier->pools[i]))
				;
		for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++) {
			struct kvoff_pool *pool = &tier->pools[i];

			kvoff_tier_grow(pool);
			more |= kvoff_pool_work(pool);
			if (READ_ONCE(pool->short_of))
				timeout = min(timeout, (long)KVOFF_SHORT_INTERVAL);
			if (READ_ONCE(pool->nr_orphans))
				timeout = min(timeout, (long)KVOFF_ORPHAN_INTERVAL);
		}
		wake_up_all(&tier->settled);
		if (kvoff_tier_state(tier) != state) {
			state = kvoff_tier_state(tier);
			sysfs_notify(&tier->kobj, NULL, "state");
		}
		if (!more)
			wait_event_interruptible_timeout(tier->wake,
							 kthread_should_stop() || READ_ONCE(tier->kicked), timeout);
		cond_resched();
	}
	return 0;
}

/* Bytes of a node that a tier can use: what is neither movable nor a device's. */
static u64 kvoff_node_bytes(int node, bool *movable)
{
	u64 pages = 0;
	int i;

	*movable = false;
	for (i = 0; i < MAX_NR_ZONES; i++) {
		struct zone *zone = &NODE_DATA(node)->node_zones[i];

		if (i == ZONE_MOVABLE)
			*movable = zone_managed_pages(zone) > 0;
		else if (!zone_is_zone_device(zone))
			pages += zone_managed_pages(zone);
	}
	return pages << PAGE_SHIFT;
}

static int kvoff_node_check(int node, u64 capacity)
{
	bool movable;
	u64 bytes;

	if (node < 0 || node >= MAX_NUMNODES || !node_online(node) || !node_state(node, N_MEMORY))
		return -ENXIO;
	bytes = kvoff_node_bytes(node, &movable);
	if (!bytes)
		return movable ? -EOPNOTSUPP : -ENXIO;
	return capacity > bytes ? -ENOSPC : 0;
}

static struct kvoff_tier *kvoff_tier_find(const char *name)
{
	struct kvoff_tier_set *set = kvoff_tier_set();
	unsigned int i;

	for (i = 0; i < set->nr; i++)
		if (!strcmp(set->by_rank[i]->name, name))
			return set->by_rank[i];
	return NULL;
}

void kvoff_tier_unlock(void)
{
	mutex_unlock(&kvoff_tier_mutex);
	mutex_unlock(&kvoff_tier_admin);
}

/*
 * The tier called @name, with kvoff_tier_admin and kvoff_tier_mutex held until kvoff_tier_unlock(); an error, and
 * neither, if the name is none or there is no such tier.
 */
struct kvoff_tier *kvoff_tier_lock(const char *name)
{
	int ret = kvoff_check_name(name, false);
	struct kvoff_tier *tier;

	if (ret)
		return ERR_PTR(ret);
	mutex_lock(&kvoff_tier_admin);
	mutex_lock(&kvoff_tier_mutex);
	tier = kvoff_tier_find(name);
	if (tier)
		return tier;
	kvoff_tier_unlock();
	return ERR_PTR(-ENOENT);
}

/*
 * Replace the set by one without @gone and with @come, in order of rank. NULL for neither: ranks have changed.
 * Readers of the old set are waited for. Called with kvoff_tier_admin and kvoff_tier_mutex held.
 */
static void kvoff_tier_set_replace(struct kvoff_tier *gone, struct kvoff_tier *come)
{
	struct kvoff_tier_set *old = kvoff_tier_set(), *set = kvoff_tier_spare;
	unsigned int i, k;

	memset(set, 0, sizeof(*set));
	for (i = 0; i <= old->nr; i++) {
		struct kvoff_tier *tier = i < old->nr ? old->by_rank[i] : come;

		if (!tier || tier == gone)
			continue;
		for (k = set->nr++; k && set->by_rank[k - 1]->rank > tier->rank; k--)
			set->by_rank[k] = set->by_rank[k - 1];
		set->by_rank[k] = tier;
		set->by_id[tier->id] = tier;
	}
	rcu_assign_pointer(kvoff_tiers, set);
	synchronize_rcu();
	kvoff_tier_spare = old;
}

static int kvoff_tier_sysfs_add(struct kvoff_tier *tier)
{
	unsigned int i;
	int ret;

	ret = kobject_add(&tier->kobj, kvoff_tiers_kobj, "%s", tier->name);
	if (ret)
		return ret;
	tier->pools_kobj = kobject_create_and_add("pools", &tier->kobj);
	if (!tier->pools_kobj)
		return -ENOMEM;
	for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++) {
		ret = kobject_add(&tier->pools[i].kobj, tier->pools_kobj, "%zukB", kvoff_size_of(i) >> 10);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * Ends a tier that no reader can find any more and whose frames are all in its pools. Called without
 * kvoff_tier_mutex.
 */
static void kvoff_tier_end(struct kvoff_tier *tier)
{
	unsigned int i;
	u64 leaked = 0;

	kvoff_tenants_tier_gone(tier->id);
	if (tier->thread)
		kthread_stop(tier->thread);
	for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++) {
		struct kvoff_pool *pool = &tier->pools[i];

		kvoff_pool_restore_target(pool, 0);
		while (kvoff_pool_empty(pool))
			;
		leaked += kvoff_quarantine_leak(pool);
		WARN_ON(pool->filled);
		if (pool->kobj.state_in_sysfs)
			kobject_del(&pool->kobj);
		kobject_put(&pool->kobj);
	}
	if (leaked)
		pr_warn("kvoff: tier %s: %llu KiB with memory errors do not go back to node %d\n", tier->name,
			leaked >> 10, tier->node);
	kobject_put(tier->pools_kobj);
	if (tier->kobj.state_in_sysfs)
		kobject_del(&tier->kobj);
	wake_up_all(&tier->settled);
	kobject_put(&tier->kobj);
}

int kvoff_tier_add(struct kvoff_ctl_tier *arg)
{
	struct kvoff_tier_set *set;
	struct kvoff_tier *tier;
	unsigned int i;
	int ret;

	if (arg->flags || arg->reserved || !arg->capacity || !IS_ALIGNED(arg->capacity, KVOFF_BLOCK_SIZE_MAX))
		return -EINVAL;
	ret = kvoff_check_name(arg->name, false);
	if (ret)
		return ret;
	ret = kvoff_node_check(arg->node, arg->capacity);
	if (ret)
		return ret;

	mutex_lock(&kvoff_tier_admin);
	set = rcu_dereference_protected(kvoff_tiers, lockdep_is_held(&kvoff_tier_admin));
	ret = -EUSERS;
	if (set->nr == KVOFF_MAX_TIERS)
		goto err_unlock;
	ret = -EEXIST;
	for (i = 0; i < set->nr; i++)
		if (!strcmp(set->by_rank[i]->name, arg->name) || set->by_rank[i]->node == arg->node)
			goto err_unlock;
	ret = -ENOMEM;
	tier = kzalloc(sizeof(*tier), GFP_KERNEL);
	if (!tier)
		goto err_unlock;

	kobject_init(&tier->kobj, &kvoff_tier_ktype);
	strscpy(tier->name, arg->name, sizeof(tier->name));
	while (set->by_id[tier->id])
		tier->id++;
	tier->node = arg->node;
	tier->rank = arg->rank;
	tier->capacity = arg->capacity;
	tier->keep = KVOFF_KEEP_ALL;
	tier->latency_ns = arg->latency_ns;
	tier->bandwidth_mbps = arg->bandwidth_mbps;
	init_waitqueue_head(&tier->wake);
	init_waitqueue_head(&tier->settled);
	for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++) {
		kvoff_pool_init(&tier->pools[i], tier, i);
		kobject_init(&tier->pools[i].kobj, &kvoff_pool_ktype);
		/* a pool's attributes may still be open when the tier ends */
		kobject_get(&tier->kobj);
	}

	ret = kvoff_tier_sysfs_add(tier);
	if (ret)
		goto err_end;
	ret = kvoff_tenants_tier_come(tier->id, tier->name);
	if (ret)
		goto err_end;
	tier->thread = kthread_run(kvoff_tier_thread, tier, "kvoff/%s", tier->name);
	if (IS_ERR(tier->thread)) {
		ret = PTR_ERR(tier->thread);
		tier->thread = NULL;
		goto err_end;
	}
	mutex_lock(&kvoff_tier_mutex);
	kvoff_links_reset(tier->id);
	kvoff_tier_set_replace(NULL, tier);
	mutex_unlock(&kvoff_tier_mutex);
	arg->id = tier->id;
	mutex_unlock(&kvoff_tier_admin);
	return 0;

err_end:
	kvoff_tier_end(tier);
err_unlock:
	mutex_unlock(&kvoff_tier_admin);
	return ret;
}

/* Called with kvoff_tier_mutex held. */
static int kvoff_tier_set_capacity_locked(struct kvoff_tier *tier, u64 capacity)
{
	int ret;

	if (!capacity || !IS_ALIGNED(capacity, KVOFF_BLOCK_SIZE_MAX))
		return -EINVAL;
	ret = kvoff_node_check(tier->node, capacity);
	if (ret)
		return ret;
	if (capacity < tier->capacity)
		ret = kvoff_tier_shrink(tier, capacity);
	if (!ret)
		tier->capacity = capacity;
	return ret;
}

int kvoff_tier_set_capacity(struct kvoff_tier *tier, u64 capacity)
{
	int ret;

	mutex_lock(&kvoff_tier_mutex);
	ret = tier->going ? -ENODEV : kvoff_tier_set_capacity_locked(tier, capacity);
	mutex_unlock(&kvoff_tier_mutex);
	return ret;
}

int kvoff_tier_change(struct kvoff_ctl_tier *arg)
{
	struct kvoff_tier *tier;
	int ret = 0;

	if (arg->flags & ~(KVOFF_TIER_RANK | KVOFF_TIER_CAPACITY | KVOFF_TIER_COST) || !arg->flags || arg->reserved)
		return -EINVAL;
	/* a change of rank replaces the set, which adding a tier reads under kvoff_tier_admin alone */
	tier = kvoff_tier_lock(arg->name);
	if (IS_ERR(tier))
		return PTR_ERR(tier);
	if (arg->flags & KVOFF_TIER_CAPACITY)
		ret = kvoff_tier_set_capacity_locked(tier, arg->capacity);
	if (!ret && arg->flags & KVOFF_TIER_RANK) {
		WRITE_ONCE(tier->rank, arg->rank);
		kvoff_tier_set_replace(NULL, NULL);
	}
	if (!ret && arg->flags & KVOFF_TIER_COST) {
		tier->latency_ns = arg->latency_ns;
		tier->bandwidth_mbps = arg->bandwidth_mbps;
	}
	arg->id = tier->id;
	arg->node = tier->node;
	kvoff_tier_unlock();
	return ret;
}

/*
 * Stop frames from leaving the tier, if none is out and no promise depends on it; otherwise leave it as it was.
 */
static int kvoff_tier_close(struct kvoff_tier *tier)
{
	unsigned long targets[KVOFF_NR_BLOCK_SIZES];
	unsigned int i, k;
	int ret = 0;

	for (i = 0; i < KVOFF_NR_BLOCK_SIZES && !ret; i++) {
		targets[i] = tier->pools[i].target;
		ret = kvoff_pool_set_target(&tier->pools[i], 0);
	}
	if (!ret) {
		WRITE_ONCE(tier->going, true);
		/* takers look at going under the pool's lock: once each was held, nobody takes any more */
		for (k = 0; k < KVOFF_NR_BLOCK_SIZES; k++)
			if (kvoff_pool_in_use(&tier->pools[k]))
				ret = -EBUSY;
	}
	/* blocks elsewhere know of twins here, and find them through the set: they must forget them first */
	for (k = 0; k < KVOFF_NR_BLOCK_SIZES && !ret; k++)
		kvoff_pool_shed_twins(&tier->pools[k]);
	if (ret) {
		WRITE_ONCE(tier->going, false);
		for (k = 0; k < i; k++)
			kvoff_pool_restore_target(&tier->pools[k], targets[k]);
	}
	return ret;
}

int kvoff_tier_remove(const char *name)
{
	struct kvoff_tier *tier = kvoff_tier_lock(name);
	int ret;

	if (IS_ERR(tier))
		return PTR_ERR(tier);
	ret = kvoff_tier_close(tier);
	if (!ret)
		kvoff_tier_set_replace(tier, NULL);
	mutex_unlock(&kvoff_tier_mutex);
	if (!ret)
		kvoff_tier_end(tier);
	mutex_unlock(&kvoff_tier_admin);
	return ret;
}

/* Set a pool's size. Called with kvoff_tier_mutex held. */
static int kvoff_tier_pool_resize_locked(struct kvoff_pool *pool, u64 bytes)
{
	struct kvoff_tier *tier = pool->tier;
	size_t size = kvoff_size_of(pool->index);
	u64 others;
	int ret;

	if (!IS_ALIGNED(bytes, size))
		return -EINVAL;
	if (tier->going)
		return -ENODEV;
	if (tier->fixed)
		return -ESHUTDOWN;
	others = kvoff_tier_assigned(tier) - (u64)pool->target * size;
	if (bytes > tier->capacity || others + bytes > tier->capacity)
		return -ENOSPC;
	ret = kvoff_pool_set_target(pool, div_u64(bytes, size));
	if (ret)
		return ret;
	pool->floor = div_u64(bytes, size);
	kvoff_tier_kick(tier);
	return 0;
}

int kvoff_tier_pool_resize(struct kvoff_pool *pool, u64 bytes)
{
	int ret;

	mutex_lock(&kvoff_tier_mutex);
	ret = kvoff_tier_pool_resize_locked(pool, bytes);
	mutex_unlock(&kvoff_tier_mutex);
	return ret;
}

int kvoff_tier_pool_set(struct kvoff_ctl_pool *arg)
{
	struct kvoff_pool *pool;
	struct kvoff_tier *tier;
	int ret;

	if (arg->flags & ~KVOFF_POOL_WAIT || arg->reserved || !is_power_of_2(arg->block_size) ||
	    arg->block_size < KVOFF_BLOCK_SIZE_MIN || arg->block_size > KVOFF_BLOCK_SIZE_MAX)
		return -EINVAL;
	ret = kvoff_check_name(arg->tier, false);
	if (ret)
		return ret;

	mutex_lock(&kvoff_tier_mutex);
	tier = kvoff_tier_find(arg->tier);
	if (!tier) {
		mutex_unlock(&kvoff_tier_mutex);
		return -ENOENT;
	}
	kobject_get(&tier->kobj);
	pool = &tier->pools[ilog2(arg->block_size) - ilog2(KVOFF_BLOCK_SIZE_MIN)];
	ret = kvoff_tier_pool_resize_locked(pool, arg->bytes);
	mutex_unlock(&kvoff_tier_mutex);

	if (!ret && arg->flags & KVOFF_POOL_WAIT) {
		if (wait_event_killable(tier->settled, kvoff_pool_settled(pool)))
			ret = -EINTR;
		else if (READ_ONCE(pool->filled) < READ_ONCE(pool->target))
			ret = -ENOMEM;
	}
	arg->filled = (u64)READ_ONCE(pool->filled) * kvoff_size_of(pool->index);
	kobject_put(&tier->kobj);
	return ret;
}

int kvoff_tiers_init(void)
{
	struct kvoff_tier_set *set = kzalloc(sizeof(*set), GFP_KERNEL);

	kvoff_tier_spare = kzalloc(sizeof(*set), GFP_KERNEL);
	if (!set || !kvoff_tier_spare) {
		kfree(set);
		kfree(kvoff_tier_spare);
		return -ENOMEM;
	}
	RCU_INIT_POINTER(kvoff_tiers, set);
	return 0;
}

/*
 * At unload no file is open, so no frame is in a block. What something still pins is let go: it is an ordinary page
 * by now, and returns to its node when the pin goes.
 */
void kvoff_tiers_exit(void)
{
	struct kvoff_tier_set *set = rcu_dereference_protected(kvoff_tiers, true);
	unsigned int i, k;

	/* attributes can be written until they are removed: from here on they are refused */
	mutex_lock(&kvoff_tier_mutex);
	for (i = 0; i < set->nr; i++) {
		WRITE_ONCE(set->by_rank[i]->going, true);
		for (k = 0; k < KVOFF_NR_BLOCK_SIZES; k++) {
			kvoff_pool_restore_target(&set->by_rank[i]->pools[k], 0);
			kvoff_pool_forget_orphans(&set->by_rank[i]->pools[k]);
		}
	}
	mutex_unlock(&kvoff_tier_mutex);
	for (i = 0; i < set->nr; i++)
		kvoff_tier_end(set->by_rank[i]);
	kfree(kvoff_tier_spare);
	kfree(set);
}
