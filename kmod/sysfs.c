// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/class/kvoff: see sysfs-class-kvoff for what each attribute means. The class has one device each for the
 * control node, tiers, tuning, stats and regions, and one for each tenant (tenant_sysfs.c).
 */
#include <linux/device.h>
#include <linux/slab.h>

#include "drain.h"
#include "framed.h"
#include "kvoff.h"
#include "named.h"
#include "tenant.h"

unsigned int kvoff_sample_interval_ms = 5000;
unsigned int kvoff_sample_percent = 10;
unsigned int kvoff_reserve_percent = 2;
unsigned int kvoff_twins = 1;

DEFINE_PER_CPU(struct kvoff_counters, kvoff_counters);

struct kobject *kvoff_tiers_kobj;
struct kobject *kvoff_regions_kobj;

u64 kvoff_counter_read(enum kvoff_counter c)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu(kvoff_counters, cpu).v[c]);
	return sum;
}

/* ---- stats ---- */

static const char * const kvoff_counter_names[KVOFF_NR_COUNTERS] = {
	[KVOFF_FAULTS]			= "faults",
	[KVOFF_WRITE_FAULTS]		= "write_faults",
	[KVOFF_FIRST_TOUCHES]		= "first_touches",
	[KVOFF_FIRST_TOUCH_ZEROED]	= "first_touch_zeroed",
	[KVOFF_MOVES]			= "moves",
	[KVOFF_MOVED_BYTES]		= "moved_bytes",
	[KVOFF_FLIPS]			= "flips",
	[KVOFF_TWINS_WRITTEN]		= "twins_written",
	[KVOFF_TWINS_ROOM]		= "twins_room",
	[KVOFF_MOVES_BUSY]		= "move_busy",
	[KVOFF_MOVES_ACQUIRED]		= "move_acquired",
	[KVOFF_MOVES_WRITTEN]		= "move_written",
	[KVOFF_MOVES_CANCELLED]		= "move_cancelled",
	[KVOFF_MOVES_NO_FRAME]		= "move_no_frame",
	[KVOFF_MOVES_OVER_QUOTA]	= "move_over_quota",
	[KVOFF_MOVES_DRAINING]		= "move_draining",
	[KVOFF_MOVES_POISONED]		= "move_poisoned",
	[KVOFF_MOVES_INVALID]		= "move_invalid",
	[KVOFF_SAMPLES]			= "samples",
	[KVOFF_REFAULTS]		= "refaults",
	[KVOFF_ORPHANED]		= "orphaned",
	[KVOFF_COMMIT_REFUSED]		= "commit_refused",
	[KVOFF_COMMIT_OVER_QUOTA]	= "commit_over_quota",
	[KVOFF_COMMIT_BROKEN]		= "commit_broken",
	[KVOFF_CONVERTED_BYTES]		= "converted_bytes",
	[KVOFF_SEALS]			= "seals",
	[KVOFF_SEALS_BUSY]		= "seals_busy",
	[KVOFF_NAMES_EXPIRED]		= "names_expired",
	[KVOFF_POISON_REPAIRED]		= "poison_repaired",
	[KVOFF_POISON_COPIED]		= "poison_copied",
	[KVOFF_POISON_LOST]		= "poison_lost",
};

static struct device_attribute kvoff_counter_attrs[KVOFF_NR_COUNTERS];
static struct attribute *kvoff_stats_attrs[KVOFF_NR_COUNTERS + 1];
static const struct attribute_group kvoff_stats_group = { .attrs = kvoff_stats_attrs };
static const struct attribute_group *kvoff_stats_groups[] = { &kvoff_stats_group, NULL };

static ssize_t kvoff_counter_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", kvoff_counter_read(attr - kvoff_counter_attrs));
}

static void kvoff_stats_init(void)
{
	unsigned int i;

	for (i = 0; i < KVOFF_NR_COUNTERS; i++) {
		struct device_attribute *attr = &kvoff_counter_attrs[i];

		sysfs_attr_init(&attr->attr);
		attr->attr.name = kvoff_counter_names[i];
		attr->attr.mode = 0444;
		attr->show = kvoff_counter_show;
		kvoff_stats_attrs[i] = &attr->attr;
	}
}

/* ---- tuning ---- */

static int kvoff_parse(const char *buf, unsigned int min, unsigned int max, unsigned int *value)
{
	unsigned int v;
	int ret = kstrtouint(buf, 0, &v);

	if (ret)
		return ret;
	if (v < min || v > max)
		return -EINVAL;
	WRITE_ONCE(*value, v);
	return 0;
}

static ssize_t sample_interval_ms_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(kvoff_sample_interval_ms));
}

static ssize_t sample_interval_ms_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t len)
{
	unsigned int v;
	int ret = kvoff_parse(buf, 0, 3600000, &v);

	if (ret)
		return ret;
	if (v && v < 10)
		return -EINVAL;
	kvoff_sample_set(v);
	sysfs_notify(&dev->kobj, NULL, attr->attr.name);
	return len;
}
static DEVICE_ATTR_RW(sample_interval_ms);

static ssize_t sample_percent_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(kvoff_sample_percent));
}

static ssize_t sample_percent_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t len)
{
	int ret = kvoff_parse(buf, 1, 100, &kvoff_sample_percent);

	if (ret)
		return ret;
	sysfs_notify(&dev->kobj, NULL, attr->attr.name);
	return len;
}
static DEVICE_ATTR_RW(sample_percent);

static ssize_t reserve_percent_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(kvoff_reserve_percent));
}

static ssize_t reserve_percent_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t len)
{
	int ret = kvoff_parse(buf, 0, 50, &kvoff_reserve_percent);

	if (ret)
		return ret;
	kvoff_tiers_account();
	sysfs_notify(&dev->kobj, NULL, attr->attr.name);
	return len;
}
static DEVICE_ATTR_RW(reserve_percent);

static ssize_t twins_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(kvoff_twins));
}

static ssize_t twins_store(struct device *dev, struct device_attribute *attr, const char *buf, size_t len)
{
	int ret = kvoff_parse(buf, 0, 1, &kvoff_twins);

	if (ret)
		return ret;
	sysfs_notify(&dev->kobj, NULL, attr->attr.name);
	return len;
}
static DEVICE_ATTR_RW(twins);

static struct attribute *kvoff_tuning_attrs[] = {
	&dev_attr_sample_interval_ms.attr,
	&dev_attr_sample_percent.attr,
	&dev_attr_reserve_percent.attr,
	&dev_attr_twins.attr,
	NULL
};
ATTRIBUTE_GROUPS(kvoff_tuning);

/* ---- control ---- */

static ssize_t abi_version_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", KVOFF_ABI_VERSION);
}
static DEVICE_ATTR_RO(abi_version);

static ssize_t policy_pid_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", kvoff_control_policy_pid());
}
static DEVICE_ATTR_RO(policy_pid);

static struct attribute *kvoff_control_attrs[] = {
	&dev_attr_abi_version.attr,
	&dev_attr_policy_pid.attr,
	NULL
};
ATTRIBUTE_GROUPS(kvoff_control);

/* ---- tiers, pools, regions: directories of plain kobjects ---- */

/**
 * struct kvoff_entry - an attribute of a tier, pool or region
 * @attr:	its name and mode
 * @show:	prints the value
 * @store:	NULL for a read-only attribute
 */
struct kvoff_entry {
	struct attribute attr;
	ssize_t (*show)(struct kobject *kobj, char *buf);
	int (*store)(struct kobject *kobj, u64 value);
};

static ssize_t kvoff_entry_show(struct kobject *kobj, struct attribute *attr, char *buf)
{
	return container_of(attr, struct kvoff_entry, attr)->show(kobj, buf);
}

static ssize_t kvoff_entry_store(struct kobject *kobj, struct attribute *attr, const char *buf, size_t len)
{
	struct kvoff_entry *entry = container_of(attr, struct kvoff_entry, attr);
	u64 value;
	int ret;

	if (!entry->store)
		return -EIO;
	ret = kstrtou64(buf, 0, &value);
	if (!ret)
		ret = entry->store(kobj, value);
	if (ret)
		return ret;
	sysfs_notify(kobj, NULL, attr->name);
	return len;
}

static const struct sysfs_ops kvoff_entry_ops = {
	.show	= kvoff_entry_show,
	.store	= kvoff_entry_store,
};

static struct kvoff_tier *to_tier(struct kobject *kobj)
{
	return container_of(kobj, struct kvoff_tier, kobj);
}

static struct kvoff_pool *to_pool(struct kobject *kobj)
{
	return container_of(kobj, struct kvoff_pool, kobj);
}

static struct kvoff_region *to_region(struct kobject *kobj)
{
	return container_of(kobj, struct kvoff_region, kobj);
}

#define KVOFF_TIER_ENTRY(_name, _mode, _store, fmt, expr)				\
static ssize_t tier_##_name##_show(struct kobject *kobj, char *buf)			\
{											\
	struct kvoff_tier *tier = to_tier(kobj);					\
											\
	return sysfs_emit(buf, fmt "\n", expr);						\
}											\
static struct kvoff_entry tier_##_name = {						\
	.attr = { .name = __stringify(_name), .mode = _mode },				\
	.show = tier_##_name##_show,						\
	.store = _store,								\
}

enum kvoff_pool_figure {
	KVOFF_POOL_FILLED,
	KVOFF_POOL_FREE,
	KVOFF_POOL_USED,
	KVOFF_POOL_ORPHANS,
	KVOFF_POOL_TWINS,
	KVOFF_POOL_POISONED,
};

static u64 kvoff_pool_bytes(struct kvoff_pool *pool, enum kvoff_pool_figure figure)
{
	unsigned long frames = 0;

	spin_lock(&pool->lock);
	switch (figure) {
	case KVOFF_POOL_FILLED:
		frames = pool->filled;
		break;
	case KVOFF_POOL_FREE:
		frames = pool->nr_clean + pool->nr_dirty + pool->nr_zeroing + pool->nr_twins;
		break;
	case KVOFF_POOL_USED:
		frames = pool->nr_used;
		break;
	case KVOFF_POOL_ORPHANS:
		frames = pool->nr_orphans;
		break;
	case KVOFF_POOL_TWINS:
		frames = pool->nr_twins;
		break;
	case KVOFF_POOL_POISONED:
		frames = pool->nr_poisoned;
		break;
	}
	spin_unlock(&pool->lock);
	return (u64)frames * kvoff_size_of(pool->index);
}

static u64 kvoff_tier_bytes(struct kvoff_tier *tier, enum kvoff_pool_figure figure)
{
	u64 bytes = 0;
	unsigned int i;

	for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++)
		bytes += kvoff_pool_bytes(&tier->pools[i], figure);
	return bytes;
}

static int tier_capacity_bytes_store(struct kobject *kobj, u64 value)
{
	return kvoff_tier_set_capacity(to_tier(kobj), value);
}

KVOFF_TIER_ENTRY(id, 0444, NULL, "%u", tier->id);
KVOFF_TIER_ENTRY(node, 0444, NULL, "%d", tier->node);
KVOFF_TIER_ENTRY(rank, 0444, NULL, "%u", READ_ONCE(tier->rank));
KVOFF_TIER_ENTRY(capacity_bytes, 0644, tier_capacity_bytes_store, "%llu", READ_ONCE(tier->capacity));
KVOFF_TIER_ENTRY(keep_bytes, 0444, NULL, "%llu",
		 kvoff_tier_draining(tier) ? READ_ONCE(tier->keep) : READ_ONCE(tier->capacity));
KVOFF_TIER_ENTRY(used_bytes, 0444, NULL, "%llu", kvoff_tier_bytes(tier, KVOFF_POOL_USED));
KVOFF_TIER_ENTRY(free_bytes, 0444, NULL, "%llu", kvoff_tier_bytes(tier, KVOFF_POOL_FREE));
KVOFF_TIER_ENTRY(orphan_bytes, 0444, NULL, "%llu", kvoff_tier_bytes(tier, KVOFF_POOL_ORPHANS));
KVOFF_TIER_ENTRY(twin_bytes, 0444, NULL, "%llu", kvoff_tier_bytes(tier, KVOFF_POOL_TWINS));
KVOFF_TIER_ENTRY(poisoned_bytes, 0444, NULL, "%llu", kvoff_tier_bytes(tier, KVOFF_POOL_POISONED));
KVOFF_TIER_ENTRY(state, 0444, NULL, "%s", kvoff_tier_state(tier));
KVOFF_TIER_ENTRY(latency_ns, 0444, NULL, "%u", READ_ONCE(tier->latency_ns));
KVOFF_TIER_ENTRY(bandwidth_mbps, 0444, NULL, "%u", READ_ONCE(tier->bandwidth_mbps));

static struct attribute *kvoff_tier_attrs[] = {
	&tier_id.attr,
	&tier_node.attr,
	&tier_rank.attr,
	&tier_capacity_bytes.attr,
	&tier_keep_bytes.attr,
	&tier_used_bytes.attr,
	&tier_free_bytes.attr,
	&tier_orphan_bytes.attr,
	&tier_twin_bytes.attr,
	&tier_poisoned_bytes.attr,
	&tier_state.attr,
	&tier_latency_ns.attr,
	&tier_bandwidth_mbps.attr,
	NULL
};
ATTRIBUTE_GROUPS(kvoff_tier);

static void kvoff_tier_release(struct kobject *kobj)
{
	kfree(to_tier(kobj));
}

const struct kobj_type kvoff_tier_ktype = {
	.release	= kvoff_tier_release,
	.sysfs_ops	= &kvoff_entry_ops,
	.default_groups	= kvoff_tier_groups,
};

#define KVOFF_POOL_ENTRY(_name, _mode, _store, expr)					\
static ssize_t pool_##_name##_show(struct kobject *kobj, char *buf)			\
{											\
	struct kvoff_pool *pool = to_pool(kobj);					\
											\
	return sysfs_emit(buf, "%llu\n", expr);						\
}											\
static struct kvoff_entry pool_##_name = {						\
	.attr = { .name = __stringify(_name), .mode = _mode },				\
	.show = pool_##_name##_show,						\
	.store = _store,								\
}

static int pool_bytes_store(struct kobject *kobj, u64 value)
{
	return kvoff_tier_pool_resize(to_pool(kobj), value);
}

KVOFF_POOL_ENTRY(bytes, 0644, pool_bytes_store, (u64)READ_ONCE(pool->target) * kvoff_size_of(pool->index));
KVOFF_POOL_ENTRY(filled_bytes, 0444, NULL, kvoff_pool_bytes(pool, KVOFF_POOL_FILLED));
KVOFF_POOL_ENTRY(free_bytes, 0444, NULL, kvoff_pool_bytes(pool, KVOFF_POOL_FREE));
KVOFF_POOL_ENTRY(used_bytes, 0444, NULL, kvoff_pool_bytes(pool, KVOFF_POOL_USED));

static struct attribute *kvoff_pool_attrs[] = {
	&pool_bytes.attr,
	&pool_filled_bytes.attr,
	&pool_free_bytes.attr,
	&pool_used_bytes.attr,
	NULL
};
ATTRIBUTE_GROUPS(kvoff_pool);

/* A pool is part of its tier; its kobject holds the tier. */
static void kvoff_pool_release(struct kobject *kobj)
{
	kobject_put(&to_pool(kobj)->tier->kobj);
}

const struct kobj_type kvoff_pool_ktype = {
	.release	= kvoff_pool_release,
	.sysfs_ops	= &kvoff_entry_ops,
	.default_groups	= kvoff_pool_groups,
};

#define KVOFF_REGION_ENTRY(_name, fmt, expr)						\
static ssize_t region_##_name##_show(struct kobject *kobj, char *buf)			\
{											\
	struct kvoff_region *region = to_region(kobj);					\
											\
	return sysfs_emit(buf, fmt "\n", expr);						\
}											\
static struct kvoff_entry region_##_name = {						\
	.attr = { .name = __stringify(_name), .mode = 0400 },				\
	.show = region_##_name##_show,							\
}

KVOFF_REGION_ENTRY(label, "%s", region->label);
KVOFF_REGION_ENTRY(tenant, "%s", dev_name(&region->tenant->dev));
KVOFF_REGION_ENTRY(pid, "%d", kvoff_region_pid(region));
KVOFF_REGION_ENTRY(uid, "%u", from_kuid_munged(current_user_ns(), region->uid));
KVOFF_REGION_ENTRY(block_bytes, "%zu", kvoff_region_bs(region));
KVOFF_REGION_ENTRY(length_bytes, "%llu", region->nr_blocks * kvoff_region_bs(region));
KVOFF_REGION_ENTRY(unit_bytes, "%llu", region->unit_size);
KVOFF_REGION_ENTRY(committed_bytes, "%llu", READ_ONCE(region->committed) * kvoff_region_bs(region));
KVOFF_REGION_ENTRY(used_bytes, "%llu", READ_ONCE(region->used) * kvoff_region_bs(region));
KVOFF_REGION_ENTRY(name, "%s", kvoff_named_name(region));
KVOFF_REGION_ENTRY(mode, "%04o", kvoff_named_mode(region));
KVOFF_REGION_ENTRY(ttl_seconds, "%u", kvoff_named_ttl(region));
KVOFF_REGION_ENTRY(ends_in_seconds, "%lld", kvoff_named_left(region));
KVOFF_REGION_ENTRY(sealed_bytes, "%llu", atomic64_read(&region->sealed) * kvoff_region_bs(region));
KVOFF_REGION_ENTRY(window_bytes, "%llu", kvoff_windows_bytes(region));
KVOFF_REGION_ENTRY(attached, "%d", atomic_read(&region->nr_attached));

static struct attribute *kvoff_region_attrs[] = {
	&region_label.attr,
	&region_tenant.attr,
	&region_pid.attr,
	&region_uid.attr,
	&region_block_bytes.attr,
	&region_length_bytes.attr,
	&region_unit_bytes.attr,
	&region_committed_bytes.attr,
	&region_used_bytes.attr,
	&region_name.attr,
	&region_mode.attr,
	&region_ttl_seconds.attr,
	&region_ends_in_seconds.attr,
	&region_sealed_bytes.attr,
	&region_window_bytes.attr,
	&region_attached.attr,
	NULL
};
ATTRIBUTE_GROUPS(kvoff_region);

static void kvoff_region_release(struct kobject *kobj)
{
	kvoff_region_free(to_region(kobj));
}

const struct kobj_type kvoff_region_ktype = {
	.release	= kvoff_region_release,
	.sysfs_ops	= &kvoff_entry_ops,
	.default_groups	= kvoff_region_groups,
};

/* ---- the class ---- */

static char *kvoff_devnode(const struct device *dev, umode_t *mode)
{
	if (!MAJOR(dev->devt))
		return NULL;
	if (mode)
		*mode = 0600;
	return kasprintf(GFP_KERNEL, "kvoff/%s", dev_name(dev));
}

const struct class kvoff_class = {
	.name		= "kvoff",
	.devnode	= kvoff_devnode,
};

static struct device *kvoff_devices[5];

static struct device *kvoff_device(dev_t devt, const struct attribute_group **groups, const char *name)
{
	return device_create_with_groups(&kvoff_class, NULL, devt, NULL, groups, "%s", name);
}

void kvoff_sysfs_policy_changed(void)
{
	sysfs_notify(&kvoff_devices[0]->kobj, NULL, "policy_pid");
}

/**
 * kvoff_sysfs_init - make the class, its devices but the tenants, and the control node
 * @devt:	device number of the control node
 */
int kvoff_sysfs_init(dev_t devt)
{
	const struct {
		const char *name;
		dev_t devt;
		const struct attribute_group **groups;
	} devices[ARRAY_SIZE(kvoff_devices)] = {
		/* the control node comes last in use but first here: kvoff_sysfs_policy_changed() */
		{ "control", devt, kvoff_control_groups },
		{ "tiers", 0, NULL },
		{ "regions", 0, NULL },
		{ "tuning", 0, kvoff_tuning_groups },
		{ "stats", 0, kvoff_stats_groups },
	};
	unsigned int i;
	int ret;

	kvoff_stats_init();
	ret = class_register(&kvoff_class);
	if (ret)
		return ret;
	for (i = 0; i < ARRAY_SIZE(devices); i++) {
		struct device *dev = kvoff_device(devices[i].devt, devices[i].groups, devices[i].name);

		if (IS_ERR(dev)) {
			ret = PTR_ERR(dev);
			goto err_devices;
		}
		kvoff_devices[i] = dev;
	}
	kvoff_tiers_kobj = &kvoff_devices[1]->kobj;
	kvoff_regions_kobj = &kvoff_devices[2]->kobj;
	return 0;

err_devices:
	while (i--)
		device_unregister(kvoff_devices[i]);
	class_unregister(&kvoff_class);
	return ret;
}

void kvoff_sysfs_exit(void)
{
	unsigned int i = ARRAY_SIZE(kvoff_devices);

	while (i--)
		device_unregister(kvoff_devices[i]);
	class_unregister(&kvoff_class);
}
