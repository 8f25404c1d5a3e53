// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Every allocation of what an admin does fails once, as in fail_nth.c: tiers and their pools, tenants, the policy's
 * lease, attributes.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>

#include "walk.h"

#define BS		(64 * KIB)
#define FRAMES		64

WALK_FIXTURE(fail_nth_admin, BS, FRAMES, FRAMES)

/* What the calls make and use; each test has a process of its own. */
static struct {
	int fd;
	const char *path;
	const char *value;
	struct kvoff_ctl_tier tier;
	struct kvoff_ctl_tenant tenant;
} my = { .fd = -1 };

static int undo_fd(struct bed *bed)
{
	int ret = close(my.fd);

	my.fd = -1;
	return ret;
}

/* ---- tiers ---- */

static struct kvoff_ctl_tier cxl0(const struct bed *bed)
{
	return (struct kvoff_ctl_tier){
		.size = sizeof(struct kvoff_ctl_tier), .name = "cxl0", .node = bed->rig.far_node, .rank = 1,
		.capacity = 8 * MIB,
	};
}

static int do_tier_add(struct bed *bed)
{
	return call(bed->rig.control, KVOFF_CTL_TIER_ADD, &my.tier);
}

static int do_tier_remove(struct bed *bed)
{
	return tier_remove(bed->rig.control, "cxl0");
}

static int do_tier_set(struct bed *bed)
{
	struct kvoff_ctl_tier arg = my.tier;

	arg.flags = KVOFF_TIER_RANK | KVOFF_TIER_CAPACITY | KVOFF_TIER_COST;
	arg.capacity += 2 * MIB;
	return call(bed->rig.control, KVOFF_CTL_TIER_SET, &arg);
}

static int do_pool_set(struct bed *bed)
{
	return pool_set(&bed->rig, "cxl0", BS, 16 * BS, KVOFF_POOL_WAIT);
}

static int undo_pool_set(struct bed *bed)
{
	return pool_set(&bed->rig, "cxl0", BS, 0, KVOFF_POOL_WAIT);
}

/* A tier that has held frames goes, and comes again. */
static int prepare_tier_remove(struct bed *bed)
{
	return do_tier_add(bed) ?: do_pool_set(bed);
}

TEST_F(fail_nth_admin, tiers)
{
	my.tier = cxl0(&self->bed);
	WALK(.name = "tier set", .run = do_tier_set);
	ASSERT_EQ(0, undo_pool_set(&self->bed));
	WALK(.name = "pool set", .run = do_pool_set, .undo = undo_pool_set);
	ASSERT_EQ(0, do_tier_remove(&self->bed));
	WALK(.name = "tier remove", .prepare = prepare_tier_remove, .run = do_tier_remove);
	ASSERT_EQ(0, do_tier_add(&self->bed));
}

/* ---- tenants ---- */

static int do_tenant_add(struct bed *bed)
{
	struct kvoff_ctl_tenant arg = my.tenant;

	arg.flags = 0;
	return call(bed->rig.control, KVOFF_CTL_TENANT_ADD, &arg);
}

static int do_tenant_set(struct bed *bed)
{
	return call(bed->rig.control, KVOFF_CTL_TENANT_SET, &my.tenant);
}

static int do_tenant_remove(struct bed *bed)
{
	struct kvoff_ctl_tenant arg = { .size = sizeof(arg) };

	strcpy(arg.name, my.tenant.name);
	return call(bed->rig.control, KVOFF_CTL_TENANT_REMOVE, &arg);
}

static int do_create(struct bed *bed)
{
	struct kvoff_region_create arg = {
		.size = sizeof(arg), .block_size = BS, .fd_flags = O_CLOEXEC, .length = 4 * BS,
	};
	int tenant = open("/dev/kvoff/red", O_RDWR | O_CLOEXEC);

	if (tenant < 0)
		return -errno;
	my.fd = call(tenant, KVOFF_REGION_CREATE, &arg);
	close(tenant);
	return my.fd;
}

TEST_F(fail_nth_admin, tenants)
{
	const struct rig *rig = &self->bed.rig;

	my.tenant = (struct kvoff_ctl_tenant){
		.size = sizeof(my.tenant), .name = "red", .class = KVOFF_CLASS_BATCH, .quota = 8 * BS,
		.flags = KVOFF_TENANT_CLASS | KVOFF_TENANT_UID | KVOFF_TENANT_GID | KVOFF_TENANT_MODE |
			 KVOFF_TENANT_QUOTA,
		.tiers = 1U << rig->near | 1U << rig->far,
	};
	/* what a test that died has left */
	do_tenant_remove(&self->bed);
	WALK_REFUSED(.name = "tenant add", .run = do_tenant_add, .undo = do_tenant_remove);
	WALK(.name = "tenant remove", .prepare = do_tenant_add, .run = do_tenant_remove);
	ASSERT_EQ(0, do_tenant_add(&self->bed));
	WALK(.name = "tenant set", .run = do_tenant_set);
	WALK_REFUSED(.name = "create through its node", .run = do_create, .undo = undo_fd);
	/* each tenant has an entry for each tier */
	ASSERT_EQ(0, do_tier_remove(&self->bed));
	my.tier = cxl0(&self->bed);
	WALK_REFUSED(.name = "tier add", .run = do_tier_add, .undo = do_tier_remove);
	ASSERT_EQ(0, do_tier_add(&self->bed));
	EXPECT_EQ(0, do_tenant_remove(&self->bed));
}

/* ---- drains and bad memory ---- */

static int do_drain(struct bed *bed)
{
	struct kvoff_ctl_tier_drain arg = { .size = sizeof(arg), .name = "cxl0", .keep = 4 * BS };

	return call(bed->rig.control, KVOFF_CTL_TIER_DRAIN, &arg);
}

static int do_drain_stop(struct bed *bed)
{
	struct kvoff_ctl_tier_drain arg = { .size = sizeof(arg), .flags = KVOFF_DRAIN_STOP, .name = "cxl0" };

	return call(bed->rig.control, KVOFF_CTL_TIER_DRAIN, &arg);
}

TEST_F(fail_nth_admin, drain)
{
	WALK(.name = "drain", .run = do_drain, .undo = do_drain_stop);
	WALK(.name = "drain stopped", .prepare = do_drain, .run = do_drain_stop);
}

/* Memory of the machine that is nobody's: each real report takes frames away for good. */
static int do_poison(struct bed *bed)
{
	struct kvoff_ctl_poison arg = { .size = sizeof(arg), .addr = 16 * MIB, .length = PAGE };

	return call(bed->rig.control, KVOFF_CTL_POISON, &arg);
}

TEST_F(fail_nth_admin, poison)
{
	WALK(.name = "poison", .run = do_poison);
}

/* ---- the rest of control ---- */

static int do_lease(struct bed *bed)
{
	struct kvoff_ctl_lease arg = { .size = sizeof(arg) };

	return call(bed->rig.control, KVOFF_CTL_LEASE, &arg);
}

static int do_drop(struct bed *bed)
{
	struct kvoff_ctl_lease arg = { .size = sizeof(arg), .flags = KVOFF_LEASE_DROP };

	return call(bed->rig.control, KVOFF_CTL_LEASE, &arg);
}

static int do_link(struct bed *bed)
{
	struct kvoff_ctl_link arg = { .size = sizeof(arg), .from = bed->rig.near, .to = bed->rig.far };

	return call(bed->rig.control, KVOFF_CTL_LINK_SET, &arg);
}

static int do_regions(struct bed *bed)
{
	uint32_t ids[16];
	struct kvoff_ctl_regions arg = { .size = sizeof(arg), .nr = 16, .ids = (uintptr_t)ids };

	return call(bed->rig.control, KVOFF_CTL_REGIONS, &arg);
}

TEST_F(fail_nth_admin, control_calls)
{
	ASSERT_EQ(0, do_drop(&self->bed));
	WALK(.name = "lease", .run = do_lease, .undo = do_drop);
	WALK(.name = "lease dropped", .prepare = do_lease, .run = do_drop);
	WALK(.name = "link set", .run = do_link);
	WALK_REFUSED(.name = "regions", .run = do_regions);
}

/* ---- sysfs ---- */

static int do_sysfs_open(struct bed *bed)
{
	my.fd = open(my.path, O_RDWR | O_CLOEXEC);
	return my.fd < 0 ? -errno : 0;
}

static int do_sysfs_write(struct bed *bed)
{
	return pwrite(my.fd, my.value, strlen(my.value), 0) < 0 ? -errno : 0;
}

static int do_sysfs_read(struct bed *bed)
{
	char text[64];

	return pread(my.fd, text, sizeof(text), 0) < 0 ? -errno : 0;
}

static void sysfs_close(struct bed *bed)
{
	undo_fd(bed);
}

TEST_F(fail_nth_admin, sysfs)
{
	static const struct {
		const char *path;
		const char *value;
	} attrs[] = {
		{ "/sys/class/kvoff/tuning/sample_interval_ms", "5000" },
		{ "/sys/class/kvoff/tuning/sample_percent", "10" },
		{ "/sys/class/kvoff/tuning/reserve_percent", "2" },
		{ "/sys/class/kvoff/tuning/twins", "0" },
		{ "/sys/class/kvoff/tiers/dram/capacity_bytes", "8388608" },
		{ "/sys/class/kvoff/tiers/dram/pools/64kB/bytes", "2097152" },
		{ "/sys/class/kvoff/default/class", "normal" },
		{ "/sys/class/kvoff/default/quota_bytes", "0" },
		{ "/sys/class/kvoff/default/tiers/dram/quota_bytes", "0" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(attrs); i++) {
		my.path = attrs[i].path;
		my.value = attrs[i].value;
		WALK_REFUSED(.name = my.path, .run = do_sysfs_open, .undo = undo_fd);
		WALK_REFUSED(.name = "written", .prepare = do_sysfs_open, .run = do_sysfs_write, .cleanup = sysfs_close);
		WALK_REFUSED(.name = "read", .prepare = do_sysfs_open, .run = do_sysfs_read, .cleanup = sysfs_close);
	}
}

TEST_HARNESS_MAIN
