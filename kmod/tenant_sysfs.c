// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/class/kvoff/<tenant>: see sysfs-class-kvoff. A tenant's part of each tier is a folder tiers/<tier>, which comes
 * and goes with the tier.
 */
#include <linux/slab.h>

#include "kvoff.h"
#include "tenant.h"

static const char * const kvoff_classes[] = {
	[KVOFF_CLASS_NORMAL]	= "normal",
	[KVOFF_CLASS_LATENCY]	= "latency",
	[KVOFF_CLASS_BATCH]	= "batch",
};

static struct kvoff_tenant *to_tenant(struct device *dev)
{
	return container_of(dev, struct kvoff_tenant, dev);
}

static ssize_t class_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", kvoff_classes[READ_ONCE(to_tenant(dev)->class)]);
}

static ssize_t class_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t len)
{
	int class = sysfs_match_string(kvoff_classes, buf);

	if (class < 0)
		return class;
	WRITE_ONCE(to_tenant(dev)->class, class);
	return len;
}
static DEVICE_ATTR_ADMIN_RW(class);

static ssize_t quota_bytes_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	u64 quota, committed;

	kvoff_tenant_account(to_tenant(dev), &quota, &committed);
	return sysfs_emit(buf, "%llu\n", quota);
}

static ssize_t quota_bytes_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t len)
{
	u64 quota;
	int ret = kstrtou64(buf, 0, &quota);

	if (ret)
		return ret;
	kvoff_tenant_set_quota(to_tenant(dev), quota);
	return len;
}
static DEVICE_ATTR_ADMIN_RW(quota_bytes);

static ssize_t committed_bytes_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	u64 quota, committed;

	kvoff_tenant_account(to_tenant(dev), &quota, &committed);
	return sysfs_emit(buf, "%llu\n", committed);
}
static DEVICE_ATTR_ADMIN_RO(committed_bytes);

static ssize_t used_bytes_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	u64 used = 0;
	unsigned int i;

	for (i = 0; i < KVOFF_MAX_TIERS; i++)
		used += atomic64_read(&to_tenant(dev)->tier_used[i]);
	return sysfs_emit(buf, "%llu\n", used);
}
static DEVICE_ATTR_ADMIN_RO(used_bytes);

static struct attribute *kvoff_tenant_attrs[] = {
	&dev_attr_class.attr,
	&dev_attr_quota_bytes.attr,
	&dev_attr_committed_bytes.attr,
	&dev_attr_used_bytes.attr,
	NULL
};

static const struct attribute_group kvoff_tenant_group = { .attrs = kvoff_tenant_attrs };
const struct attribute_group *kvoff_tenant_groups[] = { &kvoff_tenant_group, NULL };

/* ---- shares ---- */

static struct kvoff_share *to_share(struct kobject *kobj)
{
	return container_of(kobj, struct kvoff_share, kobj);
}

static ssize_t share_quota_bytes_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct kvoff_share *share = to_share(kobj);

	return sysfs_emit(buf, "%llu\n", READ_ONCE(share->tenant->tier_quota[share->tier]));
}

static ssize_t share_quota_bytes_store(struct kobject *kobj, struct kobj_attribute *attr, const char *buf, size_t len)
{
	struct kvoff_share *share = to_share(kobj);
	u64 quota;
	int ret = kstrtou64(buf, 0, &quota);

	if (ret)
		return ret;
	WRITE_ONCE(share->tenant->tier_quota[share->tier], quota);
	return len;
}

static ssize_t share_used_bytes_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct kvoff_share *share = to_share(kobj);

	return sysfs_emit(buf, "%lld\n", atomic64_read(&share->tenant->tier_used[share->tier]));
}

static struct kobj_attribute kvoff_share_quota =
	__ATTR(quota_bytes, 0600, share_quota_bytes_show, share_quota_bytes_store);
static struct kobj_attribute kvoff_share_used = __ATTR(used_bytes, 0400, share_used_bytes_show, NULL);

static struct attribute *kvoff_share_attrs[] = {
	&kvoff_share_quota.attr,
	&kvoff_share_used.attr,
	NULL
};
ATTRIBUTE_GROUPS(kvoff_share);

static void kvoff_share_release(struct kobject *kobj)
{
	kfree(to_share(kobj));
}

static const struct kobj_type kvoff_share_ktype = {
	.release	= kvoff_share_release,
	.sysfs_ops	= &kobj_sysfs_ops,
	.default_groups	= kvoff_share_groups,
};

/* Called with kvoff_tier_admin held, as all that follow. */
int kvoff_share_add(struct kvoff_tenant *tenant, u32 tier, const char *name)
{
	struct kvoff_share *share = kzalloc(sizeof(*share), GFP_KERNEL);
	int ret;

	if (!share)
		return -ENOMEM;
	share->tenant = tenant;
	share->tier = tier;
	ret = kobject_init_and_add(&share->kobj, &kvoff_share_ktype, tenant->tiers_kobj, "%s", name);
	if (ret)
		kobject_put(&share->kobj);
	else
		tenant->shares[tier] = share;
	return ret;
}

void kvoff_share_del(struct kvoff_tenant *tenant, u32 tier)
{
	struct kvoff_share *share = tenant->shares[tier];

	if (!share)
		return;
	tenant->shares[tier] = NULL;
	kobject_del(&share->kobj);
	kobject_put(&share->kobj);
}

/* A failure leaves what kvoff_tenant_sysfs_del() takes back. */
int kvoff_tenant_sysfs_add(struct kvoff_tenant *tenant)
{
	struct kvoff_tier_set *set = rcu_dereference_protected(kvoff_tiers, lockdep_is_held(&kvoff_tier_admin));
	unsigned int i;
	int ret = 0;

	tenant->tiers_kobj = kobject_create_and_add("tiers", &tenant->dev.kobj);
	if (!tenant->tiers_kobj)
		return -ENOMEM;
	for (i = 0; i < set->nr && !ret; i++)
		ret = kvoff_share_add(tenant, set->by_rank[i]->id, set->by_rank[i]->name);
	return ret;
}

void kvoff_tenant_sysfs_del(struct kvoff_tenant *tenant)
{
	unsigned int i;

	for (i = 0; i < KVOFF_MAX_TIERS; i++)
		kvoff_share_del(tenant, i);
	kobject_put(tenant->tiers_kobj);
}
