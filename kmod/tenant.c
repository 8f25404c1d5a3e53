// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tenants: /dev/kvoff/<tenant>, where clients begin. Permission on the node is the authorisation; what a tenant may
 * have is in quota.c.
 *
 * Tenants come and go under kvoff_tier_admin, as tiers do: each tenant has an entry for each tier in sysfs. They are
 * found by minor number, under the lock of the array that holds them; a region or an open node keeps its tenant.
 */
#include <linux/cdev.h>
#include <linux/slab.h>

#include "kvoff.h"
#include "named.h"
#include "tenant.h"

/* By minor number. A number comes again after all others, so that a node left behind in a container is nobody's. */
static DEFINE_XARRAY_ALLOC1(kvoff_tenants);
static u32 kvoff_tenant_last;
static dev_t kvoff_tenant_devt;
static struct cdev kvoff_tenant_cdev;

static struct kvoff_tenant *to_tenant(const struct device *dev)
{
	return container_of(dev, struct kvoff_tenant, dev);
}

/* ---- use ---- */

/* Keep the tenant from being removed: a region was made. */
void kvoff_tenant_use(struct kvoff_tenant *tenant)
{
	xa_lock(&kvoff_tenants);
	tenant->users++;
	xa_unlock(&kvoff_tenants);
	get_device(&tenant->dev);
}

/* The node was closed, or the region has given everything back. kvoff_tenant_put() is to follow. */
void kvoff_tenant_unuse(struct kvoff_tenant *tenant)
{
	xa_lock(&kvoff_tenants);
	tenant->users--;
	xa_unlock(&kvoff_tenants);
}

void kvoff_tenant_put(struct kvoff_tenant *tenant)
{
	put_device(&tenant->dev);
}

static int kvoff_tenant_open(struct inode *inode, struct file *file)
{
	struct kvoff_tenant *tenant;

	xa_lock(&kvoff_tenants);
	tenant = xa_load(&kvoff_tenants, iminor(inode));
	if (tenant) {
		tenant->users++;
		get_device(&tenant->dev);
	}
	xa_unlock(&kvoff_tenants);
	if (!tenant)
		return -ENXIO;
	file->private_data = tenant;
	return nonseekable_open(inode, file);
}

static int kvoff_tenant_close(struct inode *inode, struct file *file)
{
	kvoff_tenant_unuse(file->private_data);
	kvoff_tenant_put(file->private_data);
	return 0;
}

static long kvoff_call_region_create(struct file *file, void *p)
{
	return kvoff_region_create(file->private_data, p);
}

static long kvoff_call_region_open(struct file *file, void *p)
{
	return kvoff_region_open(file->private_data, p, file->f_mode);
}

static const struct kvoff_call kvoff_tenant_calls[] = {
	{
		.cmd		= KVOFF_REGION_CREATE,
		.size		= sizeof(struct kvoff_region_create),
		.min_size	= KVOFF_REGION_CREATE_MIN,
		.write		= true,
		.makes_fd	= true,
		.fn		= kvoff_call_region_create,
	}, {
		.cmd		= KVOFF_REGION_OPEN,
		.size		= sizeof(struct kvoff_region_open),
		.min_size	= sizeof(struct kvoff_region_open),
		.makes_fd	= true,
		.fn		= kvoff_call_region_open,
	},
};

static long kvoff_tenant_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return kvoff_call(kvoff_tenant_calls, ARRAY_SIZE(kvoff_tenant_calls), file, cmd, arg);
}

static const struct file_operations kvoff_tenant_fops = {
	.owner		= THIS_MODULE,
	.open		= kvoff_tenant_open,
	.release	= kvoff_tenant_close,
	.unlocked_ioctl	= kvoff_tenant_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
};

/* ---- the device ---- */

static char *kvoff_tenant_devnode(const struct device *dev, umode_t *mode, kuid_t *uid, kgid_t *gid)
{
	const struct kvoff_tenant *tenant = to_tenant(dev);

	if (mode)
		*mode = READ_ONCE(tenant->mode);
	if (uid)
		*uid = tenant->uid;
	if (gid)
		*gid = tenant->gid;
	return kasprintf(GFP_KERNEL, "kvoff/%s", dev_name(dev));
}

static void kvoff_tenant_release(struct device *dev)
{
	kfree(to_tenant(dev));
}

static const struct device_type kvoff_tenant_type = {
	.name		= "kvoff_tenant",
	.groups		= kvoff_tenant_groups,
	.devnode	= kvoff_tenant_devnode,
	.release	= kvoff_tenant_release,
};

/* ---- coming, changing and going: all with kvoff_tier_admin held ---- */

/* Tenants and the class's other devices share their names. */
static bool kvoff_name_is_ours(const char *name)
{
	static const char * const ours[] = { "control", "tiers", "regions", "tuning", "stats" };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ours); i++)
		if (!strcmp(ours[i], name))
			return true;
	return false;
}

static struct kvoff_tenant *kvoff_tenant_find(const char *name)
{
	struct kvoff_tenant *tenant;
	unsigned long i;

	lockdep_assert_held(&kvoff_tier_admin);
	xa_for_each(&kvoff_tenants, i, tenant)
		if (!strcmp(dev_name(&tenant->dev), name))
			return tenant;
	return NULL;
}

#define KVOFF_TENANT_FLAGS	(KVOFF_TENANT_CLASS | KVOFF_TENANT_UID | KVOFF_TENANT_GID | KVOFF_TENANT_MODE | \
				 KVOFF_TENANT_QUOTA)

/* Are the fields that @which names in their ranges, and do the tiers exist? */
static int kvoff_tenant_check(const struct kvoff_ctl_tenant *arg, u32 which)
{
	unsigned int i;

	if (which & KVOFF_TENANT_CLASS && arg->class > KVOFF_CLASS_BATCH)
		return -EINVAL;
	if (which & KVOFF_TENANT_UID && !uid_valid(make_kuid(current_user_ns(), arg->uid)))
		return -EINVAL;
	if (which & KVOFF_TENANT_GID && !gid_valid(make_kgid(current_user_ns(), arg->gid)))
		return -EINVAL;
	if (which & KVOFF_TENANT_MODE && arg->mode & ~0666)
		return -EINVAL;
	if (arg->tiers >> KVOFF_MAX_TIERS || arg->reserved)
		return -EINVAL;
	for (i = 0; i < KVOFF_MAX_TIERS; i++)
		if (arg->tiers & BIT(i) && !kvoff_tier_exists(i))
			return -ENXIO;
	return 0;
}

static void kvoff_tenant_apply(struct kvoff_tenant *tenant, const struct kvoff_ctl_tenant *arg, u32 which)
{
	unsigned int i;

	if (which & KVOFF_TENANT_CLASS)
		WRITE_ONCE(tenant->class, arg->class);
	if (which & KVOFF_TENANT_UID)
		tenant->uid = make_kuid(current_user_ns(), arg->uid);
	if (which & KVOFF_TENANT_GID)
		tenant->gid = make_kgid(current_user_ns(), arg->gid);
	if (which & KVOFF_TENANT_MODE)
		WRITE_ONCE(tenant->mode, arg->mode ?: 0600);
	if (which & KVOFF_TENANT_QUOTA)
		kvoff_tenant_set_quota(tenant, arg->quota);
	for (i = 0; i < KVOFF_MAX_TIERS; i++)
		if (arg->tiers & BIT(i))
			WRITE_ONCE(tenant->tier_quota[i], arg->tier_quota[i]);
}

static void kvoff_tenant_end(struct kvoff_tenant *tenant)
{
	kvoff_tenant_sysfs_del(tenant);
	device_unregister(&tenant->dev);
}

static int kvoff_tenant_add_locked(const struct kvoff_ctl_tenant *arg)
{
	struct kvoff_tenant *tenant;
	int ret;

	ret = kvoff_tenant_check(arg, KVOFF_TENANT_FLAGS);
	if (ret)
		return ret;
	if (kvoff_name_is_ours(arg->name) || kvoff_tenant_find(arg->name))
		return -EEXIST;
	tenant = kzalloc(sizeof(*tenant), GFP_KERNEL);
	if (!tenant)
		return -ENOMEM;
	spin_lock_init(&tenant->lock);
	device_initialize(&tenant->dev);
	tenant->dev.class = &kvoff_class;
	tenant->dev.type = &kvoff_tenant_type;
	kvoff_tenant_apply(tenant, arg, KVOFF_TENANT_FLAGS);
	ret = dev_set_name(&tenant->dev, "%s", arg->name);
	if (ret)
		goto err_put;
	/* reserved only: whoever has a node of this number already cannot open it yet */
	ret = xa_alloc_cyclic(&kvoff_tenants, &tenant->minor, NULL, XA_LIMIT(1, KVOFF_MAX_TENANTS), &kvoff_tenant_last,
			      GFP_KERNEL);
	if (ret < 0) {
		ret = ret == -EBUSY ? -EUSERS : ret;
		goto err_put;
	}
	tenant->dev.devt = kvoff_tenant_devt + tenant->minor;
	/* before the node is there: it can be opened from then on */
	xa_store(&kvoff_tenants, tenant->minor, tenant, GFP_KERNEL);
	ret = device_add(&tenant->dev);
	if (ret)
		goto err_erase;
	ret = kvoff_tenant_sysfs_add(tenant);
	if (ret)
		goto err_end;
	return 0;

err_end:
	xa_erase(&kvoff_tenants, tenant->minor);
	kvoff_tenant_end(tenant);
	return ret;
err_erase:
	xa_erase(&kvoff_tenants, tenant->minor);
err_put:
	put_device(&tenant->dev);
	return ret;
}

int kvoff_tenant_add(const struct kvoff_ctl_tenant *arg)
{
	int ret = kvoff_check_name(arg->name, false);

	if (ret)
		return ret;
	if (arg->flags)
		return -EINVAL;
	mutex_lock(&kvoff_tier_admin);
	ret = kvoff_tenant_add_locked(arg);
	mutex_unlock(&kvoff_tier_admin);
	return ret;
}

int kvoff_tenant_change(const struct kvoff_ctl_tenant *arg)
{
	struct kvoff_tenant *tenant;
	int ret = kvoff_check_name(arg->name, false);

	if (ret)
		return ret;
	if (arg->flags & ~KVOFF_TENANT_FLAGS || (!arg->flags && !arg->tiers))
		return -EINVAL;
	mutex_lock(&kvoff_tier_admin);
	ret = kvoff_tenant_check(arg, arg->flags);
	tenant = ret ? NULL : kvoff_tenant_find(arg->name);
	if (tenant) {
		kvoff_tenant_apply(tenant, arg, arg->flags);
		/* udev, where there is one, gives the node its new owner and mode */
		if (arg->flags & (KVOFF_TENANT_UID | KVOFF_TENANT_GID | KVOFF_TENANT_MODE))
			kobject_uevent(&tenant->dev.kobj, KOBJ_CHANGE);
	} else if (!ret) {
		ret = -ENOENT;
	}
	mutex_unlock(&kvoff_tier_admin);
	return ret;
}

int kvoff_tenant_remove(const struct kvoff_ctl_tenant *arg)
{
	struct kvoff_tenant *tenant;
	int ret = kvoff_check_name(arg->name, false);

	if (ret)
		return ret;
	if (arg->flags || arg->tiers || arg->reserved)
		return -EINVAL;
	mutex_lock(&kvoff_tier_admin);
	tenant = kvoff_tenant_find(arg->name);
	if (tenant) {
		xa_lock(&kvoff_tenants);
		if (tenant->users)
			ret = -EBUSY;
		else
			__xa_erase(&kvoff_tenants, tenant->minor);
		xa_unlock(&kvoff_tenants);
		if (!ret)
			kvoff_tenant_end(tenant);
	} else {
		ret = -ENOENT;
	}
	mutex_unlock(&kvoff_tier_admin);
	return ret;
}

/* A tier comes: every tenant gets an entry for it. kvoff_tenants_tier_gone() takes back what a failure leaves. */
int kvoff_tenants_tier_come(u32 tier, const char *name)
{
	struct kvoff_tenant *tenant;
	unsigned long i;
	int ret = 0;

	xa_for_each(&kvoff_tenants, i, tenant) {
		ret = kvoff_share_add(tenant, tier, name);
		if (ret)
			break;
	}
	return ret;
}

/* A tier goes: the next one of its number begins without quotas. */
void kvoff_tenants_tier_gone(u32 tier)
{
	struct kvoff_tenant *tenant;
	unsigned long i;

	xa_for_each(&kvoff_tenants, i, tenant) {
		kvoff_share_del(tenant, tier);
		WRITE_ONCE(tenant->tier_quota[tier], 0);
	}
}

/**
 * kvoff_tenants_init - make the tenant "default", without any limit
 * @devt:	device number before the tenants' first
 */
int kvoff_tenants_init(dev_t devt)
{
	const struct kvoff_ctl_tenant arg = { .name = "default" };
	int ret;

	kvoff_tenant_devt = devt;
	cdev_init(&kvoff_tenant_cdev, &kvoff_tenant_fops);
	kvoff_tenant_cdev.owner = THIS_MODULE;
	ret = cdev_add(&kvoff_tenant_cdev, devt + 1, KVOFF_MAX_TENANTS);
	if (ret)
		return ret;
	ret = kvoff_tenant_add(&arg);
	if (ret)
		cdev_del(&kvoff_tenant_cdev);
	return ret;
}

/* At unload no node is open and no region is left. */
void kvoff_tenants_exit(void)
{
	struct kvoff_tenant *tenant;
	unsigned long i;

	cdev_del(&kvoff_tenant_cdev);
	xa_for_each(&kvoff_tenants, i, tenant) {
		xa_erase(&kvoff_tenants, i);
		kvoff_tenant_end(tenant);
	}
	xa_destroy(&kvoff_tenants);
}
