// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What tiers, pools, links and the lease refuse, and that a refusal leaves them as they were.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "rig.h"

#define BS	(64 * KIB)

FIXTURE(bad_tiers)
{
	struct rig rig;
};

FIXTURE_SETUP(bad_tiers)
{
	ASSERT_EQ(0, rig_up_sized(&self->rig, BS, 8 * MIB, 2 * MIB, 2 * MIB));
}

FIXTURE_TEARDOWN(bad_tiers)
{
	const char *wrong = rig_down(&self->rig);

	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

static int tier_set(const struct rig *rig, const char *name, uint32_t flags, uint64_t capacity, uint32_t rank,
		    uint32_t ns)
{
	struct kvoff_ctl_tier arg = {
		.size = sizeof(arg), .flags = flags, .capacity = capacity, .rank = rank, .latency_ns = ns,
		.bandwidth_mbps = ns,
	};

	snprintf(arg.name, sizeof(arg.name), "%s", name);
	return ioctl(rig->control, KVOFF_CTL_TIER_SET, &arg) ? -errno : 0;
}

/* Bytes of a node's memory as its own files tell. */
static uint64_t node_bytes(int node)
{
	unsigned long kib = 0;
	char line[128];
	FILE *f;

	snprintf(line, sizeof(line), "/sys/devices/system/node/node%d/meminfo", node);
	f = fopen(line, "r");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f) && sscanf(line, "Node %*d MemTotal: %lu kB", &kib) != 1)
		;
	fclose(f);
	return kib * KIB;
}

TEST_F(bad_tiers, nodes)
{
	struct rig *rig = &self->rig;
	uint64_t far_bytes = node_bytes(rig->far_node);

	/* both nodes are taken, both names too */
	EXPECT_EQ(-EEXIST, tier_add(rig, "dram", rig->far_node, 0, 2 * MIB, NULL));
	EXPECT_EQ(-EEXIST, tier_add(rig, "another", 0, 0, 2 * MIB, NULL));
	EXPECT_EQ(-EEXIST, tier_add(rig, "another", rig->far_node, 0, 2 * MIB, NULL));
	ASSERT_EQ(0, tier_remove(rig->control, "cxl0"));
	EXPECT_EQ(-EEXIST, tier_add(rig, "dram", rig->far_node, 0, 2 * MIB, NULL));
	EXPECT_EQ(-ENXIO, tier_add(rig, "another", -1, 0, 2 * MIB, NULL));
	EXPECT_EQ(-ENXIO, tier_add(rig, "another", 900, 0, 2 * MIB, NULL));
	EXPECT_EQ(-ENXIO, tier_add(rig, "another", INT32_MAX, 0, 2 * MIB, NULL));
	EXPECT_EQ(-ENXIO, tier_add(rig, "another", INT32_MIN, 0, 2 * MIB, NULL));
	EXPECT_EQ(-ENXIO, tier_add(rig, "another", rig->far_node + 1, 0, 2 * MIB, NULL));
	/* a node that the machine describes but that holds no memory */
	if (rig->far_node > 1)
		EXPECT_EQ(-ENXIO, tier_add(rig, "another", 1, 0, 2 * MIB, NULL));
	ASSERT_LT(0, far_bytes);
	EXPECT_EQ(-ENOSPC, tier_add(rig, "another", rig->far_node, 0, (far_bytes / (2 * MIB) + 1) * 2 * MIB, NULL));
	EXPECT_EQ(-ENOSPC, tier_add(rig, "another", rig->far_node, 0, 1ULL << 62, NULL));
	EXPECT_EQ(UINT64_MAX, sysfs_u64("tiers/another/id"));
	/* the id and the node come free again */
	EXPECT_EQ(0, tier_add(rig, "cxl0", rig->far_node, 1, 8 * MIB, &rig->far));
	EXPECT_EQ(1, rig->far);
	EXPECT_EQ(rig->far_node, sysfs_u64("tiers/cxl0/node"));
}

TEST_F(bad_tiers, names)
{
	static const char * const bad[] = {
		"", ".", "..", ".cxl", "a/b", "../stats", "a b", "a\tb", "cxl!0", "\xff", "a\n",
		"01234567890123456789012345678901",
	};
	struct kvoff_ctl_tier arg = { .size = sizeof(arg), .node = self->rig.far_node, .capacity = 2 * MIB };
	unsigned int i;

	ASSERT_EQ(0, tier_remove(self->rig.control, "cxl0"));
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		memset(arg.name, 0, sizeof(arg.name));
		memcpy(arg.name, bad[i], strnlen(bad[i], sizeof(arg.name)));
		EXPECT_EQ(-1, ioctl(self->rig.control, KVOFF_CTL_TIER_ADD, &arg)) TH_LOG("%u", i);
		EXPECT_EQ(EINVAL, errno) TH_LOG("%u", i);
		EXPECT_EQ(-1, ioctl(self->rig.control, KVOFF_CTL_TIER_REMOVE, &arg)) TH_LOG("%u", i);
		EXPECT_EQ(EINVAL, errno) TH_LOG("%u", i);
	}
	EXPECT_EQ(0, tier_add(&self->rig, "cxl0", self->rig.far_node, 1, 8 * MIB, &self->rig.far));
}

TEST_F(bad_tiers, capacity)
{
	struct rig *rig = &self->rig;
	uint64_t far_bytes = node_bytes(rig->far_node), b;
	struct region *r;

	EXPECT_EQ(-ENOENT, tier_set(rig, "none", KVOFF_TIER_CAPACITY, 8 * MIB, 0, 0));
	EXPECT_EQ(-EINVAL, tier_set(rig, "dram", KVOFF_TIER_CAPACITY, 0, 0, 0));
	EXPECT_EQ(-EINVAL, tier_set(rig, "dram", KVOFF_TIER_CAPACITY, 9 * MIB, 0, 0));
	EXPECT_EQ(-ENOSPC, tier_set(rig, "cxl0", KVOFF_TIER_CAPACITY, (far_bytes / (2 * MIB) + 1) * 2 * MIB, 0, 0));
	/* below what is in use */
	EXPECT_EQ(0, tier_set(rig, "dram", KVOFF_TIER_CAPACITY, 2 * MIB, 0, 0));
	EXPECT_EQ(0, pool_set(rig, "dram", BS, 1 * MIB, KVOFF_POOL_WAIT));
	EXPECT_EQ(0, tier_set(rig, "dram", KVOFF_TIER_CAPACITY, 4 * MIB, 0, 0));
	EXPECT_EQ(0, pool_set(rig, "dram", BS, 4 * MIB, KVOFF_POOL_WAIT));
	r = rig_region(rig, BS, 40);
	ASSERT_NE(NULL, r);
	for (b = 0; b < r->nr; b++)
		*block_at(r, b) = 1;
	EXPECT_EQ(-EBUSY, tier_set(rig, "dram", KVOFF_TIER_CAPACITY, 2 * MIB, 0, 0));
	EXPECT_EQ(4 * MIB, sysfs_u64("tiers/dram/capacity_bytes"));
	EXPECT_GT(0, sysfs_write("tiers/dram/capacity_bytes", "2097152"));
	EXPECT_GT(0, sysfs_write("tiers/dram/capacity_bytes", "-1"));
	EXPECT_GT(0, sysfs_write("tiers/dram/capacity_bytes", "many"));
	EXPECT_EQ(4 * MIB, sysfs_u64("tiers/dram/capacity_bytes"));
	/* only below what the pools were given */
	region_close(r);
	EXPECT_TRUE(wait_for_sum("used_bytes", 0));
	EXPECT_EQ(0, tier_set(rig, "dram", KVOFF_TIER_CAPACITY, 2 * MIB, 0, 0));
	EXPECT_EQ(2 * MIB, sysfs_u64("tiers/dram/pools/64kB/bytes"));
	EXPECT_EQ(0, sysfs_write("tiers/dram/capacity_bytes", "6291456"));
	EXPECT_EQ(6 * MIB, sysfs_u64("tiers/dram/capacity_bytes"));
	/* only what the flags name is changed */
	EXPECT_EQ(0, tier_set(rig, "dram", KVOFF_TIER_COST, 2 * MIB, 99, 123));
	EXPECT_EQ(6 * MIB, sysfs_u64("tiers/dram/capacity_bytes"));
	EXPECT_EQ(0, sysfs_u64("tiers/dram/rank"));
	EXPECT_EQ(123, sysfs_u64("tiers/dram/latency_ns"));
}

/* First touch goes by rank, also when it changes. */
TEST_F(bad_tiers, rank)
{
	struct region *r = rig_region(&self->rig, BS, 4);

	ASSERT_NE(NULL, r);
	r->data[0] = 1;
	EXPECT_EQ(self->rig.near, tier_of(r, 0));
	EXPECT_EQ(0, tier_set(&self->rig, "dram", KVOFF_TIER_RANK, 0, 5, 0));
	r->data[BS] = 1;
	EXPECT_EQ(self->rig.far, tier_of(r, 1));
	EXPECT_EQ(0, tier_set(&self->rig, "dram", KVOFF_TIER_RANK, 0, 0, 0));
	r->data[2 * BS] = 1;
	EXPECT_EQ(self->rig.near, tier_of(r, 2));
}

TEST_F(bad_tiers, pools)
{
	struct rig *rig = &self->rig;
	struct region *r;

	EXPECT_EQ(-ENOENT, pool_set(rig, "none", BS, BS, 0));
	EXPECT_EQ(-EINVAL, pool_set(rig, "dram", BS, BS + 4096, 0));
	EXPECT_EQ(-EINVAL, pool_set(rig, "dram", 2 * MIB, 3 * MIB, 0));
	EXPECT_EQ(-ENOSPC, pool_set(rig, "dram", BS, 8 * MIB + BS, 0));
	EXPECT_EQ(-ENOSPC, pool_set(rig, "dram", 2 * MIB, 8 * MIB, 0));
	EXPECT_EQ(-ENOSPC, pool_set(rig, "dram", BS, 0 - (uint64_t)BS, 0));
	EXPECT_EQ(0, pool_set(rig, "dram", 2 * MIB, 6 * MIB, KVOFF_POOL_WAIT));
	EXPECT_EQ(6 * MIB, sysfs_u64("tiers/dram/pools/2048kB/filled_bytes"));
	EXPECT_EQ(-ENOSPC, pool_set(rig, "dram", BS, 2 * MIB + BS, 0));
	EXPECT_EQ(0, pool_set(rig, "dram", 2 * MIB, 0, KVOFF_POOL_WAIT));

	/* commits depend on them: of 32 and 32 frames, less a reserve in each, 40 are promised */
	r = rig_region(rig, BS, 40);
	ASSERT_NE(NULL, r);
	fill(r->data, 8 * BS, 1);
	EXPECT_EQ(-EBUSY, pool_set(rig, "dram", BS, 4 * BS, 0));
	EXPECT_EQ(-EBUSY, pool_set(rig, "cxl0", BS, 0, 0));
	EXPECT_GT(0, sysfs_write("tiers/cxl0/pools/64kB/bytes", "0"));
	EXPECT_EQ(2 * MIB, sysfs_u64("tiers/cxl0/pools/64kB/bytes"));
	EXPECT_EQ(-EBUSY, tier_remove(rig->control, "cxl0"));
	EXPECT_EQ(-EBUSY, tier_remove(rig->control, "dram"));
	EXPECT_EQ(0, region_uncommit(r, 30 * BS));
	/* only frames in use now */
	EXPECT_EQ(-EBUSY, tier_remove(rig->control, "dram"));
	EXPECT_EQ(0, pool_set(rig, "cxl0", BS, 0, 0));
	EXPECT_EQ(-EBUSY, pool_set(rig, "dram", BS, 7 * BS, 0));
	EXPECT_EQ(0, tier_remove(rig->control, "cxl0"));
	EXPECT_EQ(-ENOENT, move_one(rig, r, 0, rig->far, 0));
	EXPECT_EQ(0, count_wrong(r->data, 8 * BS, 1));
	EXPECT_EQ(0, tier_add(rig, "cxl0", rig->far_node, 1, 8 * MIB, &rig->far));
	region_close(r);
}

TEST_F(bad_tiers, links)
{
	struct kvoff_ctl_link arg = { .size = sizeof(arg) };
	static const uint32_t none[] = { 2, 15, 16, 255, UINT32_MAX };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(none); i++) {
		arg.from = self->rig.near;
		arg.to = none[i];
		EXPECT_EQ(-1, ioctl(self->rig.control, KVOFF_CTL_LINK_SET, &arg));
		EXPECT_EQ(ENOENT, errno);
		arg.from = none[i];
		arg.to = self->rig.near;
		EXPECT_EQ(-1, ioctl(self->rig.control, KVOFF_CTL_LINK_SET, &arg));
		EXPECT_EQ(ENOENT, errno);
	}
}

static int lease(int control, uint32_t flags)
{
	struct kvoff_ctl_lease arg = { .size = sizeof(arg), .flags = flags };

	return ioctl(control, KVOFF_CTL_LEASE, &arg) ? -errno : 0;
}

/* One holder at a time; only it moves. */
TEST_F(bad_tiers, lease)
{
	struct region *r = rig_region(&self->rig, BS, 1);
	struct rig other = self->rig;
	int status;
	pid_t pid;

	ASSERT_NE(NULL, r);
	fill(r->data, BS, 1);
	other.control = open("/dev/kvoff/control", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, other.control);
	EXPECT_EQ(getpid(), sysfs_u64("control/policy_pid"));
	EXPECT_EQ(0, lease(self->rig.control, 0));
	EXPECT_EQ(-EBUSY, lease(other.control, 0));
	EXPECT_EQ(-EPERM, move_one(&other, r, 0, other.far, 0));
	/* dropping what one does not have changes nothing */
	EXPECT_EQ(0, lease(other.control, KVOFF_LEASE_DROP));
	EXPECT_EQ(0, move_one(&self->rig, r, 0, other.far, 0));
	EXPECT_EQ(0, lease(self->rig.control, KVOFF_LEASE_DROP));
	EXPECT_EQ(0, sysfs_u64("control/policy_pid"));
	EXPECT_EQ(-EPERM, move_one(&self->rig, r, 0, other.near, 0));
	EXPECT_EQ(0, lease(other.control, 0));
	EXPECT_EQ(0, move_one(&other, r, 0, other.near, 0));
	close(other.control);
	EXPECT_EQ(0, sysfs_u64("control/policy_pid"));

	/* it ends with a holder that is killed; all else stays */
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int control = open("/dev/kvoff/control", O_RDWR | O_CLOEXEC);

		if (lease(control, 0))
			_exit(1);
		for (;;)
			pause();
	}
	while (sysfs_u64("control/policy_pid") != (uint64_t)pid && !waitpid(pid, &status, WNOHANG))
		nap();
	EXPECT_EQ(-EBUSY, lease(self->rig.control, 0));
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, lease(self->rig.control, 0));
	EXPECT_EQ(0, move_one(&self->rig, r, 0, self->rig.far, 0));
	EXPECT_EQ(0, count_wrong(r->data, BS, 1));
}

TEST_HARNESS_MAIN
