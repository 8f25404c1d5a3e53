// SPDX-License-Identifier: GPL-2.0-only
/*
 * Regions: how they begin and end, and the list of them. How processes use them is in attach.c.
 */
#include <linux/cred.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>

#include "framed.h"
#include "kvoff.h"
#include "named.h"
#include "seal.h"
#include "tenant.h"

/* All regions that have an attachment or rest, by number. Looked up under RCU. */
static DEFINE_XARRAY_ALLOC1(kvoff_regions);
static u32 kvoff_region_last;

struct kvoff_region *kvoff_region_get(u32 id)
{
	struct kvoff_region *region;

	rcu_read_lock();
	region = xa_load(&kvoff_regions, id);
	if (region && !kobject_get_unless_zero(&region->kobj))
		region = NULL;
	rcu_read_unlock();
	return region;
}

/* The first region numbered above *@id, held; *@id becomes its number. NULL after the last. */
struct kvoff_region *kvoff_region_next(u32 *id)
{
	struct kvoff_region *region = NULL;
	unsigned long i = *id;

	rcu_read_lock();
	while (!region && (region = xa_find_after(&kvoff_regions, &i, U32_MAX, XA_PRESENT)))
		if (!kobject_get_unless_zero(&region->kobj))
			region = NULL;
	rcu_read_unlock();
	*id = i;
	return region;
}

void kvoff_region_put(struct kvoff_region *region)
{
	kobject_put(&region->kobj);
}

u32 kvoff_region_list(u32 after, u32 *ids, u32 nr)
{
	struct kvoff_region *region;
	unsigned long i = after;
	u32 n = 0;

	rcu_read_lock();
	while (n < nr && (region = xa_find_after(&kvoff_regions, &i, U32_MAX, XA_PRESENT)))
		ids[n++] = i;
	rcu_read_unlock();
	return n;
}

/* The tiers of the lowest rank, as bits. */
static u32 kvoff_fast_tiers(void)
{
	struct kvoff_tier_set *set;
	unsigned int i;
	u32 fast = 0;

	rcu_read_lock();
	set = rcu_dereference(kvoff_tiers);
	for (i = 0; i < set->nr && READ_ONCE(set->by_rank[i]->rank) == READ_ONCE(set->by_rank[0]->rank); i++)
		fast |= 1U << set->by_rank[i]->id;
	rcu_read_unlock();
	return fast;
}

void kvoff_region_info(struct kvoff_region *region, struct kvoff_region_info *info)
{
	struct kvoff_tenant *tenant = region->tenant;
	size_t bs = kvoff_region_bs(region);
	unsigned int i;

	/* callers of the first versions are understood still */
	static_assert(offsetof(struct kvoff_region_create, name) == KVOFF_REGION_CREATE_MIN);
	static_assert(offsetof(struct kvoff_region_info, tenant) == KVOFF_REGION_INFO_MIN);
	info->flags = region->windows ? KVOFF_REGION_FRAMED : 0;
	info->id = region->id;
	info->block_size = bs;
	info->length = region->nr_blocks * bs;
	info->unit_size = region->unit_size;
	spin_lock(&region->account_lock);
	info->committed = region->committed * bs;
	info->used = region->used * bs;
	spin_unlock(&region->account_lock);
	info->nr_attached = atomic_read(&region->nr_attached);
	info->pid = kvoff_region_pid(region);
	info->high = atomic64_read(&region->high);
	info->uid = from_kuid_munged(current_user_ns(), region->uid);
	info->reserved = 0;
	strscpy_pad(info->label, region->label, sizeof(info->label));
	strscpy_pad(info->tenant, dev_name(&tenant->dev), sizeof(info->tenant));
	kvoff_tenant_account(tenant, &info->tenant_quota, &info->tenant_committed);
	info->tenant_class = READ_ONCE(tenant->class);
	memset_after(info, 0, tenant_class);
	info->sealed = atomic64_read(&region->sealed) * bs;
	kvoff_named_info(region, info);
	info->poisoned = atomic64_read(&region->poisoned) * bs;
	info->fast_tiers = kvoff_fast_tiers();
	for (i = 0; i < KVOFF_MAX_TIERS; i++)
		info->tier_used[i] = atomic64_read(&region->tier_used[i]) * bs;
	for (i = 0; i < KVOFF_MAX_TIERS && region->windows; i++)
		info->window[i] = kvoff_window_nr(region, i) * bs;
}

static int kvoff_region_check(const struct kvoff_region_create *arg)
{
	if (arg->flags & ~(KVOFF_REGION_FRAMED | KVOFF_REGION_NAMED) || arg->fd_flags & ~O_CLOEXEC || arg->reserved)
		return -EINVAL;
	if (!is_power_of_2(arg->block_size) || arg->block_size < KVOFF_BLOCK_SIZE_MIN ||
	    arg->block_size > KVOFF_BLOCK_SIZE_MAX)
		return -EINVAL;
	if (!arg->length || !IS_ALIGNED(arg->length, arg->block_size) || arg->length > KVOFF_REGION_SIZE_MAX ||
	    arg->unit_size > arg->length)
		return -EINVAL;
	return kvoff_check_name(arg->label, true);
}

static struct kvoff_region *kvoff_region_alloc(struct kvoff_tenant *tenant, const struct kvoff_region_create *arg)
{
	struct kvoff_region *region = kzalloc(sizeof(*region), GFP_KERNEL_ACCOUNT);

	if (!region)
		return ERR_PTR(-ENOMEM);
	region->index = ilog2(arg->block_size) - ilog2(KVOFF_BLOCK_SIZE_MIN);
	region->nr_blocks = arg->length >> ilog2(arg->block_size);
	region->unit_size = arg->unit_size;
	strscpy(region->label, arg->label, sizeof(region->label));
	xa_init_flags(&region->chunks, XA_FLAGS_ACCOUNT);
	mutex_init(&region->chunk_mutex);
	INIT_LIST_HEAD(&region->attachments);
	spin_lock_init(&region->attach_lock);
	spin_lock_init(&region->account_lock);
	init_rwsem(&region->unit_sem);
	region->units = RB_ROOT;
	mutex_init(&region->window_mutex);
	if (arg->flags & KVOFF_REGION_FRAMED && kvoff_windows_create(region)) {
		kfree(region);
		return ERR_PTR(-ENOMEM);
	}
	region->shared = kvoff_shared_create(region->nr_blocks);
	if (IS_ERR(region->shared)) {
		void *err = region->shared;

		kvoff_windows_destroy(region);
		kfree(region);
		return err;
	}
	region->pid = get_pid(task_tgid(current));
	region->uid = current_uid();
	region->tenant = tenant;
	kvoff_tenant_use(tenant);
	kobject_init(&region->kobj, &kvoff_region_ktype);
	return region;
}

/* The last reference to the structure is gone; see kvoff_region_ktype. */
void kvoff_region_free(struct kvoff_region *region)
{
	struct kvoff_chunk *chunk;
	unsigned long i;

	xa_for_each(&region->chunks, i, chunk)
		kvoff_chunk_free(chunk);
	xa_destroy(&region->chunks);
	kvoff_units_free(region);
	kvoff_named_free(region);
	kvoff_windows_destroy(region);
	kvoff_shared_put(region->shared);
	put_pid(region->pid);
	kvoff_tenant_put(region->tenant);
	kfree_rcu(region, rcu);
}

/*
 * Whose region it is, in the caller's namespace. The process may be gone.
 */
pid_t kvoff_region_pid(struct kvoff_region *region)
{
	pid_t pid;

	spin_lock(&region->account_lock);
	pid = pid_nr_ns(region->pid, task_active_pid_ns(current));
	spin_unlock(&region->account_lock);
	return pid;
}

/* The caller's process takes the place of the creator's. */
void kvoff_region_adopt(struct kvoff_region *region)
{
	struct pid *old, *pid = get_pid(task_tgid(current));

	spin_lock(&region->account_lock);
	old = region->pid;
	region->pid = pid;
	spin_unlock(&region->account_lock);
	put_pid(old);
}

/* Has the block a frame, or has it lost one? Looks without the block lock: a mover may be losing it now. */
static bool kvoff_block_used(const struct kvoff_block *b)
{
	if (READ_ONCE(b->frame))
		return true;
	/* pairs with the barrier of whoever takes the frame away, after the flag was set */
	smp_rmb();
	return test_bit(KVOFF_B_POISONED, &b->flags);
}

/**
 * kvoff_region_empty - give back every frame
 * @region:	nothing maps it any more; a mover may be in the middle of a block, and drivers may have pages of it
 *		pinned
 * @sealed:	those of sealed blocks too
 */
void kvoff_region_empty(struct kvoff_region *region, bool sealed)
{
	struct kvoff_chunk *chunk;
	unsigned long i, k;

	xa_for_each(&region->chunks, i, chunk) {
		for (k = 0; k < KVOFF_CHUNK_BLOCKS; k++)
			if (kvoff_block_used(&chunk->blocks[k]) &&
			    (sealed || !test_bit(KVOFF_B_SEALED, &chunk->blocks[k].flags)))
				kvoff_block_teardown(region, chunk, (u64)i * KVOFF_CHUNK_BLOCKS + k);
		cond_resched();
	}
}

/* Give back what is committed beyond what is used. What a framed region has committed is its windows. */
void kvoff_region_uncommit_unused(struct kvoff_region *region)
{
	u64 unused;

	if (region->windows && kvoff_windows_bytes(region))
		return;
	spin_lock(&region->account_lock);
	unused = region->committed - region->used;
	region->committed = region->used;
	spin_unlock(&region->account_lock);
	kvoff_region_unpromise(region, unused);
}

/*
 * kvoff_region_end - the memory goes, and the region with it. Nobody is attached
 */
void kvoff_region_end(struct kvoff_region *region)
{
	xa_erase(&kvoff_regions, region->id);
	kvoff_region_empty(region, true);
	kvoff_windows_give_back(region);
	kvoff_region_uncommit_unused(region);
	kvoff_tenant_unuse(region->tenant);
	kvoff_shared_die(region->shared);
	kobject_del(&region->kobj);
	kvoff_region_put(region);
	kvoff_control_regions_changed();
}

/*
 * kvoff_region_detach - an attachment is gone; with the last one goes the memory, unless the region has a name
 */
void kvoff_region_detach(struct kvoff_region *region)
{
	if (region->named)
		kvoff_named_detach(region);
	else if (atomic_dec_and_test(&region->nr_attached))
		kvoff_region_end(region);
}

int kvoff_region_create(struct kvoff_tenant *tenant, struct kvoff_region_create *arg)
{
	struct kvoff_region *region;
	int fd, ret;

	ret = kvoff_region_check(arg);
	if (ret)
		return ret;
	region = kvoff_region_alloc(tenant, arg);
	if (IS_ERR(region))
		return PTR_ERR(region);
	ret = kvoff_named_begin(region, arg);
	if (ret)
		goto err_put;
	ret = xa_alloc_cyclic(&kvoff_regions, &region->id, NULL, xa_limit_31b, &kvoff_region_last, GFP_KERNEL_ACCOUNT);
	if (ret < 0)
		goto err_named;
	ret = kobject_add(&region->kobj, kvoff_regions_kobj, "%u", region->id);
	if (ret)
		goto err_erase;
	/* visible before the descriptor is: its end may come from another thread at once */
	xa_store(&kvoff_regions, region->id, region, GFP_KERNEL_ACCOUNT);
	arg->id = region->id;
	kobject_get(&region->kobj);
	fd = kvoff_attach_fd(region, arg->fd_flags | O_RDWR, FMODE_READ | FMODE_WRITE);
	if (fd >= 0) {
		kvoff_named_begun(region, true);
		kvoff_region_put(region);
		kvoff_control_regions_changed();
		return fd;
	}
	kvoff_region_put(region);
	ret = fd;
	kobject_del(&region->kobj);
err_erase:
	xa_erase(&kvoff_regions, region->id);
	kvoff_shared_die(region->shared);
err_named:
	kvoff_named_begun(region, false);
err_put:
	kvoff_tenant_unuse(tenant);
	kvoff_region_put(region);
	return ret;
}
