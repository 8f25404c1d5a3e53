// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tenants' accounts: what each has committed, and what it uses of each tier. Unlike commit.c, which knows what there
 * is, this file knows what a tenant may have. A tenant's commits meet at its own lock only; using what was committed
 * takes one atomic counter of the tenant, and coming back to a block nothing.
 */
#include "kvoff.h"
#include "tenant.h"

/* Bytes that the tenant may still commit as far as its quota goes. Called with the tenant's lock held. */
static u64 kvoff_tenant_room_locked(const struct kvoff_tenant *tenant)
{
	lockdep_assert_held(&tenant->lock);
	if (!tenant->quota)
		return U64_MAX;
	/* a quota may have been lowered below what is committed */
	return tenant->quota - min(tenant->quota, tenant->committed);
}

/* Bytes that the tenant may still commit, U64_MAX without a quota. */
u64 kvoff_tenant_room(struct kvoff_tenant *tenant)
{
	u64 room;

	spin_lock(&tenant->lock);
	room = kvoff_tenant_room_locked(tenant);
	spin_unlock(&tenant->lock);
	return room;
}

static int kvoff_tenant_commit(struct kvoff_tenant *tenant, u64 bytes)
{
	int ret = -EDQUOT;

	spin_lock(&tenant->lock);
	if (bytes <= kvoff_tenant_room_locked(tenant)) {
		tenant->committed += bytes;
		ret = 0;
	}
	spin_unlock(&tenant->lock);
	return ret;
}

static void kvoff_tenant_uncommit(struct kvoff_tenant *tenant, u64 bytes)
{
	spin_lock(&tenant->lock);
	WARN_ON_ONCE(tenant->committed < bytes);
	tenant->committed -= bytes;
	spin_unlock(&tenant->lock);
}

void kvoff_tenant_account(struct kvoff_tenant *tenant, u64 *quota, u64 *committed)
{
	spin_lock(&tenant->lock);
	*quota = tenant->quota;
	*committed = tenant->committed;
	spin_unlock(&tenant->lock);
}

void kvoff_tenant_set_quota(struct kvoff_tenant *tenant, u64 quota)
{
	spin_lock(&tenant->lock);
	tenant->quota = quota;
	spin_unlock(&tenant->lock);
}

/**
 * kvoff_region_promise - promise frames to a region
 * @region:	whose tenant pays
 * @blocks:	how many
 * @available:	out: how many more could be promised, by tiers and quota; set when the call fails too
 *
 * -EDQUOT at once if the tenant's quota does not allow it, otherwise what kvoff_commit() returns. The quota comes
 * first: nobody else's commit is ever refused for one that its own quota forbids.
 */
int kvoff_region_promise(struct kvoff_region *region, u64 blocks, u64 *available)
{
	size_t bs = kvoff_region_bs(region);
	int ret;

	ret = kvoff_tenant_commit(region->tenant, blocks * bs);
	if (ret) {
		kvoff_count(KVOFF_COMMIT_OVER_QUOTA, 1);
		*available = kvoff_commit_available(region->index);
	} else {
		ret = kvoff_commit(region->index, blocks, available);
		if (ret)
			kvoff_tenant_uncommit(region->tenant, blocks * bs);
	}
	*available = min(*available, div_u64(kvoff_tenant_room(region->tenant), bs));
	return ret;
}

/* Take back a promise. */
void kvoff_region_unpromise(struct kvoff_region *region, u64 blocks)
{
	kvoff_uncommit(region->index, blocks);
	kvoff_tenant_uncommit(region->tenant, blocks * kvoff_region_bs(region));
}

/**
 * kvoff_tenant_charge - count a frame of a tier as the tenant's
 * @tenant:	whose
 * @tier:	the tier's number
 * @bytes:	the frame's size
 * @over:	also beyond the tenant's quota in this tier
 *
 * False, and nothing is counted, if the quota does not allow it.
 */
bool kvoff_tenant_charge(struct kvoff_tenant *tenant, u32 tier, size_t bytes, bool over)
{
	u64 quota = READ_ONCE(tenant->tier_quota[tier]);
	s64 used = atomic64_read(&tenant->tier_used[tier]);

	do {
		if (!over && quota && used + bytes > quota)
			return false;
	} while (!atomic64_try_cmpxchg(&tenant->tier_used[tier], &used, used + bytes));
	return true;
}

void kvoff_tenant_uncharge(struct kvoff_tenant *tenant, u32 tier, size_t bytes)
{
	atomic64_sub(bytes, &tenant->tier_used[tier]);
}

/* Bytes that the tenant may still use of a tier, U64_MAX without a quota there. */
u64 kvoff_tenant_tier_room(struct kvoff_tenant *tenant, u32 tier)
{
	u64 quota = READ_ONCE(tenant->tier_quota[tier]);
	u64 used = atomic64_read(&tenant->tier_used[tier]);

	return quota ? quota - min(quota, used) : U64_MAX;
}
