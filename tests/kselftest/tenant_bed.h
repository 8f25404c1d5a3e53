/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two tenants, "red" and "blue", on the rig's two tiers, and what the admin does to them. Functions give 0 or -errno.
 * Comes after kselftest_harness.h.
 */
#ifndef TENANT_BED_H
#define TENANT_BED_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "rig.h"

#define BS	(64 * KIB)
#define POOL	(2 * MIB)
#define FRAMES	(POOL / BS)

FIXTURE(tenants)
{
	struct rig rig;
	/* the same tiers, seen by two tenants */
	struct rig red;
	struct rig blue;
};

static inline int tenant_call(int control, unsigned long cmd, const char *name, const struct kvoff_ctl_tenant *with)
{
	struct kvoff_ctl_tenant arg = with ? *with : (struct kvoff_ctl_tenant){ 0 };

	arg.size = sizeof(arg);
	memset(arg.name, 0, sizeof(arg.name));
	memcpy(arg.name, name, strnlen(name, sizeof(arg.name)));
	return ioctl(control, cmd, &arg) ? -errno : 0;
}

static inline int tenant_add(const struct rig *rig, const char *name, const struct kvoff_ctl_tenant *with)
{
	return tenant_call(rig->control, KVOFF_CTL_TENANT_ADD, name, with);
}

static inline int tenant_set(const struct rig *rig, const char *name, const struct kvoff_ctl_tenant *with)
{
	return tenant_call(rig->control, KVOFF_CTL_TENANT_SET, name, with);
}

static inline int tenant_remove(const struct rig *rig, const char *name)
{
	return tenant_call(rig->control, KVOFF_CTL_TENANT_REMOVE, name, NULL);
}

static inline int set_quota(const struct rig *rig, const char *name, uint64_t bytes)
{
	struct kvoff_ctl_tenant arg = { .flags = KVOFF_TENANT_QUOTA, .quota = bytes };

	return tenant_set(rig, name, &arg);
}

static inline int set_tier_quota(const struct rig *rig, const char *name, uint32_t tier, uint64_t bytes)
{
	struct kvoff_ctl_tenant arg = { .tiers = 1U << tier };

	arg.tier_quota[tier] = bytes;
	return tenant_set(rig, name, &arg);
}

/* Opens the node, which devtmpfs makes; -errno. */
static inline int node_open(const char *name, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/kvoff/%s", name);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

FIXTURE_SETUP(tenants)
{
	ASSERT_EQ(0, rig_up(&self->rig, BS, POOL));
	/* what a test that died has left */
	tenant_remove(&self->rig, "red");
	tenant_remove(&self->rig, "blue");
	ASSERT_EQ(0, tenant_add(&self->rig, "red", NULL));
	ASSERT_EQ(0, tenant_add(&self->rig, "blue", NULL));
	self->red = self->rig;
	self->red.tenant = node_open("red", O_RDWR);
	ASSERT_LE(0, self->red.tenant);
	self->blue = self->rig;
	self->blue.tenant = node_open("blue", O_RDWR);
	ASSERT_LE(0, self->blue.tenant);
}

FIXTURE_TEARDOWN(tenants)
{
	const char *wrong;
	int i;

	for (i = 0; i < RIG_REGIONS; i++) {
		region_close(&self->red.regions[i]);
		region_close(&self->blue.regions[i]);
	}
	/* all that was charged has been given back */
	EXPECT_EQ(0, sysfs_u64("red/committed_bytes"));
	EXPECT_EQ(0, sysfs_u64("red/used_bytes"));
	EXPECT_EQ(0, sysfs_u64("blue/committed_bytes"));
	EXPECT_EQ(0, sysfs_u64("blue/used_bytes"));
	close(self->red.tenant);
	close(self->blue.tenant);
	EXPECT_EQ(0, tenant_remove(&self->rig, "red"));
	EXPECT_EQ(0, tenant_remove(&self->rig, "blue"));
	wrong = rig_down(&self->rig);
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

#endif /* TENANT_BED_H */
