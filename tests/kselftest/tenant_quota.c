// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How much a tenant may have, in all and in each tier, and what it is charged for: a quota is never exceeded by what is
 * new, what was committed can be used all the same, and all that was charged is given back.
 */
#include <kselftest_harness.h>

#include <pthread.h>

#include "tenant_bed.h"

/* ---- quota at the commit ---- */

TEST_F(tenants, quota)
{
	uint64_t over = stat_now("commit_over_quota"), refused = stat_now("commit_refused");
	struct kvoff_region_commit out;
	struct region *r, *other;

	ASSERT_EQ(0, set_quota(&self->rig, "red", 8 * BS));
	r = rig_region(&self->red, BS, 6);
	other = rig_region(&self->red, BS, 1);
	ASSERT_NE(NULL, r);
	ASSERT_NE(NULL, other);
	EXPECT_EQ(7 * BS, sysfs_u64("red/committed_bytes"));
	region_close(r);
	EXPECT_EQ(BS, sysfs_u64("red/committed_bytes"));
	ASSERT_EQ(0, region_create(&self->red, r, BS, 100));
	EXPECT_EQ(-EDQUOT, region_commit(r, 8 * BS, &out));
	EXPECT_EQ(7 * BS, out.available);
	EXPECT_EQ(0, out.committed);
	/* what is said to be available is, and not a block more */
	EXPECT_EQ(0, region_commit(r, out.available, &out));
	EXPECT_EQ(0, out.available);
	EXPECT_EQ(-EDQUOT, region_commit(other, BS, &out));
	EXPECT_EQ(-EDQUOT, region_commit(r, BS, &out));
	EXPECT_EQ(over + 3, stat_now("commit_over_quota"));
	EXPECT_EQ(refused, stat_now("commit_refused"));
	/* all of it can be used, and others have quotas of their own */
	fill(r->data, 7 * BS, 1);
	EXPECT_EQ(0, count_wrong(r->data, 7 * BS, 1));
	EXPECT_EQ(7 * BS, sysfs_u64("red/used_bytes"));
	EXPECT_NE(NULL, rig_region(&self->blue, BS, 20));
	EXPECT_EQ(20 * BS, sysfs_u64("blue/committed_bytes"));

	/* lowered below what is committed: nothing is taken, nothing new is given */
	ASSERT_EQ(0, set_quota(&self->rig, "red", 4 * BS));
	EXPECT_EQ(0, count_wrong(r->data, 7 * BS, 1));
	ASSERT_EQ(0, region_discard(r, 0, 7, NULL));
	fill(r->data, 7 * BS, 2);
	EXPECT_EQ(-EDQUOT, region_commit(r, BS, &out));
	EXPECT_EQ(0, out.available);
	ASSERT_EQ(0, region_discard(r, 0, 7, NULL));
	EXPECT_EQ(0, region_uncommit(r, 4 * BS));
	EXPECT_EQ(-EDQUOT, region_commit(r, BS, &out));
	EXPECT_EQ(0, region_uncommit(r, BS));
	EXPECT_EQ(0, region_commit(r, BS, &out));
	EXPECT_EQ(4 * BS, sysfs_u64("red/committed_bytes"));

	/* raised, and taken away */
	ASSERT_EQ(0, set_quota(&self->rig, "red", 5 * BS));
	EXPECT_EQ(-EDQUOT, region_commit(r, 2 * BS, &out));
	EXPECT_EQ(BS, out.available);
	ASSERT_EQ(0, set_quota(&self->rig, "red", 0));
	EXPECT_EQ(0, region_commit(r, 2 * BS, &out));
	EXPECT_LT(0, out.available);
}

/* A commit that fails for another reason leaves the quota alone, and available is the lesser of the two. */
TEST_F(tenants, refused_by_tiers)
{
	struct kvoff_region_commit out;
	struct region r;

	ASSERT_EQ(0, set_quota(&self->rig, "red", 100 * FRAMES * BS));
	ASSERT_EQ(0, region_create(&self->red, &r, BS, 100 * FRAMES));
	EXPECT_EQ(-ENOMEM, region_commit(&r, 10 * FRAMES * BS, &out));
	EXPECT_EQ(0, sysfs_u64("red/committed_bytes"));
	EXPECT_GE(2 * POOL, out.available);
	EXPECT_LT(POOL, out.available);
	EXPECT_EQ(-ENOMEM, region_commit(&r, 101 * FRAMES * BS, &out));
	EXPECT_EQ(0, set_quota(&self->rig, "red", 4 * BS));
	EXPECT_EQ(-EDQUOT, region_commit(&r, 10 * FRAMES * BS, &out));
	EXPECT_EQ(4 * BS, out.available);
	EXPECT_EQ(0, region_commit(&r, BS, &out));
	/* more than the region is long, on top of what it has */
	EXPECT_EQ(0, set_quota(&self->rig, "red", 0));
	region_close(&r);
	ASSERT_EQ(0, region_create(&self->red, &r, BS, 4));
	EXPECT_EQ(0, region_commit(&r, 3 * BS, &out));
	EXPECT_EQ(-ENOMEM, region_commit(&r, 2 * BS, &out));
	EXPECT_EQ(3 * BS, sysfs_u64("red/committed_bytes"));
	region_close(&r);
}

struct grabber {
	struct region r;
	uint64_t got;
	uint64_t wrong;
	pthread_t thread;
};

/* Take what the quota allows, a block at a time, and give some of it back now and then. */
static void *grab(void *arg)
{
	struct grabber *g = arg;
	int n;

	for (n = 0; n < 3000 / (int)rig_slow(); n++) {
		int ret = region_commit(&g->r, BS, NULL);

		g->got += !ret;
		g->wrong += ret && ret != -EDQUOT;
		if (n % 3 == 0 && g->got) {
			g->wrong += region_uncommit(&g->r, BS) != 0;
			g->got--;
		}
	}
	while (!region_commit(&g->r, BS, NULL))
		g->got++;
	return NULL;
}

TEST_F(tenants, two_regions_at_once)
{
	const uint64_t quota = 20;
	struct grabber g[2] = { 0 };
	uint64_t most = 0;
	unsigned int i;

	ASSERT_EQ(0, set_quota(&self->rig, "red", quota * BS));
	for (i = 0; i < ARRAY_SIZE(g); i++)
		ASSERT_EQ(0, region_create(&self->red, &g[i].r, BS, 4 * FRAMES));
	for (i = 0; i < ARRAY_SIZE(g); i++)
		ASSERT_EQ(0, pthread_create(&g[i].thread, NULL, grab, &g[i]));
	for (i = 0; i < 2000 / rig_slow(); i++) {
		uint64_t now = sysfs_u64("red/committed_bytes");

		most = now > most ? now : most;
	}
	for (i = 0; i < ARRAY_SIZE(g); i++) {
		pthread_join(g[i].thread, NULL);
		EXPECT_EQ(0, g[i].wrong);
	}
	EXPECT_GE(quota * BS, most);
	EXPECT_EQ(quota, g[0].got + g[1].got);
	EXPECT_EQ(quota * BS, sysfs_u64("red/committed_bytes"));
	for (i = 0; i < ARRAY_SIZE(g); i++)
		region_close(&g[i].r);
}

/* Whoever attaches, the tenant that made the region pays, also when the creator is gone. */
TEST_F(tenants, the_creator_pays)
{
	struct region *r = rig_region(&self->red, BS, 4), a;
	struct kvoff_region_info info;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(0, region_uncommit(r, 2 * BS));
	ASSERT_EQ(0, region_attach(r, &a, O_RDWR));
	region_close(r);
	EXPECT_EQ(2 * BS, sysfs_u64("red/committed_bytes"));
	ASSERT_EQ(0, set_quota(&self->rig, "red", 3 * BS));
	ASSERT_EQ(0, set_quota(&self->rig, "blue", BS));
	EXPECT_EQ(0, region_commit(&a, BS, NULL));
	EXPECT_EQ(-EDQUOT, region_commit(&a, BS, NULL));
	EXPECT_EQ(0, sysfs_u64("blue/committed_bytes"));
	ASSERT_EQ(0, region_info(a.fd, &info));
	EXPECT_STREQ("red", info.tenant);
	/* the policy daemon goes and another comes: nothing changes */
	close(self->rig.control);
	self->rig.control = open("/dev/kvoff/control", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->rig.control);
	EXPECT_EQ(3 * BS, sysfs_u64("red/quota_bytes"));
	EXPECT_EQ(-EDQUOT, region_commit(&a, BS, NULL));
	region_close(&a);
	EXPECT_EQ(0, sysfs_u64("red/committed_bytes"));
}

/* ---- quota in a tier ---- */

TEST_F(tenants, quota_in_a_tier)
{
	uint64_t over = stat_now("move_over_quota"), b;
	struct region *r = rig_region(&self->red, BS, 12);
	struct rig *rig = &self->rig;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(0, set_tier_quota(rig, "red", rig->near, 4 * BS));
	fill(r->data, 8 * BS, 1);
	for (b = 0; b < 8; b++)
		EXPECT_EQ(b < 4 ? rig->near : rig->far, tier_of(r, b));
	EXPECT_EQ(4 * BS, sysfs_u64("red/tiers/dram/used_bytes"));
	EXPECT_EQ(4 * BS, sysfs_u64("red/tiers/cxl0/used_bytes"));

	/* moves in are refused at the quota, moves out are not, and make room */
	EXPECT_EQ(-EDQUOT, move_one(rig, r, 4, rig->near, 0));
	EXPECT_EQ(-EDQUOT, move_one(rig, r, 4, rig->near, KVOFF_MOVE_STOP));
	EXPECT_EQ(over + 2, stat_now("move_over_quota"));
	EXPECT_EQ(rig->far, tier_of(r, 4));
	/* there already is not a move in */
	EXPECT_EQ(0, move_one(rig, r, 0, rig->near, 0));
	EXPECT_EQ(0, move_one(rig, r, 0, rig->far, 0));
	EXPECT_EQ(0, move_one(rig, r, 4, rig->near, 0));
	EXPECT_EQ(-EDQUOT, move_one(rig, r, 0, rig->near, 0));

	/* a move that fails gives its charge back */
	EXPECT_EQ(0, move_one(rig, r, 1, rig->far, 0));
	r->refs[5] = 1;
	EXPECT_EQ(-EAGAIN, move_one(rig, r, 5, rig->near, 0));
	EXPECT_EQ(-EAGAIN, move_one(rig, r, 5, rig->near, KVOFF_MOVE_STOP));
	r->refs[5] = 0;
	EXPECT_EQ(3 * BS, sysfs_u64("red/tiers/dram/used_bytes"));
	EXPECT_EQ(0, move_one(rig, r, 5, rig->near, 0));

	/* so does a discard, and the next first touch may come in again */
	ASSERT_EQ(0, region_discard(r, 4, 2, NULL));
	EXPECT_EQ(2 * BS, sysfs_u64("red/tiers/dram/used_bytes"));
	fill(block_at(r, 8), 3 * BS, 3);
	EXPECT_EQ(rig->near, tier_of(r, 8));
	EXPECT_EQ(rig->near, tier_of(r, 9));
	EXPECT_EQ(rig->far, tier_of(r, 10));

	/* lowered: nothing is taken away; blue has no such limit */
	ASSERT_EQ(0, set_tier_quota(rig, "red", rig->near, BS));
	EXPECT_EQ(4 * BS, sysfs_u64("red/tiers/dram/used_bytes"));
	EXPECT_EQ(0, count_wrong(block_at(r, 8), 3 * BS, 3));
	r = rig_region(&self->blue, BS, 8);
	ASSERT_NE(NULL, r);
	fill(r->data, 8 * BS, 1);
	EXPECT_EQ(8 * BS, sysfs_u64("blue/tiers/dram/used_bytes"));
	EXPECT_EQ(0, sysfs_u64("blue/tiers/cxl0/used_bytes"));
}

/* Nowhere within the quotas is there room: what was committed can be used all the same. */
TEST_F(tenants, committed_can_be_used)
{
	struct rig *rig = &self->rig;
	struct region *r;
	uint64_t b;

	/* nothing at all in the near tier, four blocks in the far one */
	ASSERT_EQ(0, set_tier_quota(rig, "red", rig->near, 1));
	ASSERT_EQ(0, set_tier_quota(rig, "red", rig->far, 4 * BS));
	r = rig_region(&self->red, BS, 40);
	ASSERT_NE(NULL, r);
	fill(r->data, 40 * BS, 1);
	for (b = 0; b < 4; b++)
		EXPECT_EQ(rig->far, tier_of(r, b));
	EXPECT_EQ(rig->near, tier_of(r, 4));
	EXPECT_EQ(0, count_wrong(r->data, 40 * BS, 1));
	EXPECT_EQ(40 * BS, sysfs_u64("red/used_bytes"));
	EXPECT_EQ(40 * BS, sysfs_u64("red/tiers/dram/used_bytes") + sysfs_u64("red/tiers/cxl0/used_bytes"));
	EXPECT_EQ(0, stat_now("commit_broken"));
}

/* Charges and what they are for stay together while blocks move and vanish. */
struct churn {
	const struct rig *rig;
	struct region *r;
	atomic_bool stop;
};

static void *keep_moving(void *arg)
{
	struct churn *c = arg;
	uint64_t n;

	for (n = 0; !atomic_load(&c->stop); n++)
		move_blocks(c->rig, c->r, 0, 16, n % 2 ? c->rig->near : c->rig->far, n % 3 ? 0 : KVOFF_MOVE_STOP, NULL);
	return NULL;
}

TEST_F(tenants, charges_under_churn)
{
	struct region *r = rig_region(&self->red, BS, 16);
	struct churn c = { .rig = &self->rig, .r = r };
	uint64_t n, most = 0;
	pthread_t t;

	ASSERT_NE(NULL, r);
	ASSERT_EQ(0, set_tier_quota(&self->rig, "red", self->rig.near, 8 * BS));
	ASSERT_EQ(0, pthread_create(&t, NULL, keep_moving, &c));
	for (n = 0; n < 300 / rig_slow(); n++) {
		uint64_t near;

		fill(r->data, 16 * BS, n);
		near = sysfs_u64("red/tiers/dram/used_bytes");
		most = near > most ? near : most;
		EXPECT_EQ(0, count_wrong(r->data, 16 * BS, n));
		ASSERT_EQ(0, region_discard(r, n % 16, 16 - n % 16, NULL));
	}
	atomic_store(&c.stop, true);
	pthread_join(t, NULL);
	EXPECT_GE(8 * BS, most);
	ASSERT_EQ(0, region_discard(r, 0, 16, NULL));
	EXPECT_EQ(0, sysfs_u64("red/tiers/dram/used_bytes"));
	EXPECT_EQ(0, sysfs_u64("red/tiers/cxl0/used_bytes"));
}

TEST_HARNESS_MAIN
