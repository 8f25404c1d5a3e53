/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tenants: who may use how much.
 */
#ifndef KVOFF_TENANT_H
#define KVOFF_TENANT_H

#include "kvoff.h"

/* ---- tenant.c, tenant_sysfs.c, quota.c ---- */

/* Minor numbers from 1. */
#define KVOFF_MAX_TENANTS	MINORMASK

/**
 * struct kvoff_share - a tenant's part of a tier in sysfs
 * @kobj:	/sys/class/kvoff/<tenant>/tiers/<tier>
 * @tenant:	whose; there as long as @kobj can be found
 * @tier:	the tier's number
 */
struct kvoff_share {
	struct kobject kobj;
	struct kvoff_tenant *tenant;
	u32 tier;
};

/**
 * struct kvoff_tenant - whom quotas and classes of service belong to
 * @dev:	/dev/kvoff/<tenant>; its count is the lifetime of this structure. Its name never changes
 * @minor:	never changes
 * @uid:	the node's owner, under kvoff_tier_admin
 * @gid:	the node's group, under kvoff_tier_admin
 * @mode:	the node's mode, under kvoff_tier_admin
 * @class:	enum kvoff_class
 * @named:	regions with a name, under kvoff_names_lock
 * @users:	regions and open nodes; while there are any the tenant stays. Under the lock of the array of tenants
 * @lock:	protects @quota and @committed
 * @quota:	bytes that may be committed, 0 for no limit
 * @committed:	bytes that its regions have committed
 * @tier_quota:	bytes in each tier, 0 for no limit; written by the admin
 * @tier_used:	bytes of its regions in each tier
 * @tiers_kobj:	/sys/class/kvoff/<tenant>/tiers
 * @shares:	one for each tier, under kvoff_tier_admin
 */
struct kvoff_tenant {
	struct device dev;
	u32 minor;
	kuid_t uid;
	kgid_t gid;
	umode_t mode;
	u32 class;
	unsigned int named;
	unsigned int users;
	spinlock_t lock;
	u64 quota;
	u64 committed;
	u64 tier_quota[KVOFF_MAX_TIERS];
	atomic64_t tier_used[KVOFF_MAX_TIERS];
	struct kobject *tiers_kobj;
	struct kvoff_share *shares[KVOFF_MAX_TIERS];
};

int kvoff_tenant_add(const struct kvoff_ctl_tenant *arg);
int kvoff_tenant_change(const struct kvoff_ctl_tenant *arg);
int kvoff_tenant_remove(const struct kvoff_ctl_tenant *arg);
void kvoff_tenant_use(struct kvoff_tenant *tenant);
void kvoff_tenant_unuse(struct kvoff_tenant *tenant);
void kvoff_tenant_put(struct kvoff_tenant *tenant);
int kvoff_tenants_tier_come(u32 tier, const char *name);
void kvoff_tenants_tier_gone(u32 tier);
int kvoff_tenants_init(dev_t devt);
void kvoff_tenants_exit(void);

extern const struct attribute_group *kvoff_tenant_groups[];
int kvoff_tenant_sysfs_add(struct kvoff_tenant *tenant);
void kvoff_tenant_sysfs_del(struct kvoff_tenant *tenant);
int kvoff_share_add(struct kvoff_tenant *tenant, u32 tier, const char *name);
void kvoff_share_del(struct kvoff_tenant *tenant, u32 tier);

int kvoff_region_promise(struct kvoff_region *region, u64 blocks, u64 *available);
void kvoff_region_unpromise(struct kvoff_region *region, u64 blocks);
u64 kvoff_tenant_room(struct kvoff_tenant *tenant);
u64 kvoff_tenant_tier_room(struct kvoff_tenant *tenant, u32 tier);
bool kvoff_tenant_charge(struct kvoff_tenant *tenant, u32 tier, size_t bytes, bool over);
void kvoff_tenant_uncharge(struct kvoff_tenant *tenant, u32 tier, size_t bytes);
void kvoff_tenant_account(struct kvoff_tenant *tenant, u64 *quota, u64 *committed);
void kvoff_tenant_set_quota(struct kvoff_tenant *tenant, u64 quota);

#endif /* KVOFF_TENANT_H */
