// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A node whose memory is all in ZONE_MOVABLE can back no tier: a long-term pin of a frame there would never end. Run
 * in a machine whose CXL memory came online so.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>

#include "rig.h"

TEST(movable_memory_is_refused)
{
	struct rig rig = { .tenant = -1, .far_node = far_node() };

	ASSERT_LT(0, rig.far_node);
	rig.control = open("/dev/kvoff/control", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, rig.control);
	EXPECT_EQ(-EOPNOTSUPP, tier_add(&rig, "cxl0", rig.far_node, 1, 2 * MIB, NULL));
	/* whatever the size */
	EXPECT_EQ(-EOPNOTSUPP, tier_add(&rig, "cxl0", rig.far_node, 1, 1ULL << 50, NULL));
	EXPECT_EQ(UINT64_MAX, sysfs_u64("tiers/cxl0/id"));
	/* it is the node, not the module */
	EXPECT_EQ(0, tier_add(&rig, "dram", 0, 0, 2 * MIB, NULL));
	EXPECT_EQ(0, tier_remove(rig.control, "dram"));
	close(rig.control);
}

TEST_HARNESS_MAIN
