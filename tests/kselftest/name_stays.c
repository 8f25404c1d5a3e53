// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Promise 1: a pointer means the same bytes while its block moves any number of times. And promise 5: memory is zero
 * before another region can see it.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <sys/mman.h>

#include "rig.h"

#define ROUNDS	12

FIXTURE(name_stays)
{
	struct rig rig;
};

FIXTURE_VARIANT(name_stays)
{
	uint32_t bs;
	uint64_t nr;
};

FIXTURE_VARIANT_ADD(name_stays, 64k) { .bs = 64 * KIB, .nr = 48 };
FIXTURE_VARIANT_ADD(name_stays, 256k) { .bs = 256 * KIB, .nr = 16 };
FIXTURE_VARIANT_ADD(name_stays, 2m) { .bs = 2 * MIB, .nr = 4 };

FIXTURE_SETUP(name_stays)
{
	ASSERT_EQ(0, rig_up(&self->rig, variant->bs, (variant->nr + 8) * variant->bs));
}

FIXTURE_TEARDOWN(name_stays)
{
	const char *wrong = rig_down(&self->rig);

	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

/* Also through a second mapping and a read-only attachment, and by what the state array and INFO tell. */
TEST_F(name_stays, same_bytes_after_many_moves)
{
	struct region *r = rig_region(&self->rig, variant->bs, variant->nr);
	struct kvoff_move_result results[64];
	struct kvoff_region_info info;
	uint64_t b, gen[64], salt = 0;
	struct region reader;
	uint8_t *second;
	int round;

	ASSERT_NE(NULL, r);
	second = mmap(NULL, r->nr * r->bs, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
	ASSERT_NE(MAP_FAILED, (void *)second);
	ASSERT_EQ(0, region_attach(r, &reader, O_RDONLY));
	for (b = 0; b < r->nr; b++) {
		fill(block_at(r, b), r->bs, b);
		EXPECT_EQ(self->rig.near, tier_of(r, b));
		gen[b] = KVOFF_LOC_GEN(location(r, b));
	}

	for (round = 0; round < ROUNDS; round++) {
		uint32_t to = round % 2 ? self->rig.near : self->rig.far;
		uint32_t from = round % 2 ? self->rig.far : self->rig.near;
		uint16_t flags = round % 4 == 3 ? KVOFF_MOVE_STOP : 0;

		ASSERT_EQ(r->nr, move_blocks(&self->rig, r, 0, r->nr, to, flags, results));
		for (b = 0; b < r->nr; b++) {
			uint64_t loc = location(r, b);

			ASSERT_EQ(0, results[b].error);
			ASSERT_EQ(from, results[b].from);
			ASSERT_EQ(to, KVOFF_LOC_TIER(loc));
			ASSERT_EQ(KVOFF_STATE_PRESENT, KVOFF_LOC_FLAGS(loc));
			ASSERT_EQ((uint16_t)(gen[b] + 1), KVOFF_LOC_GEN(loc));
			gen[b] = KVOFF_LOC_GEN(loc);
		}
		ASSERT_EQ(0, region_info(r->fd, &info));
		EXPECT_EQ(r->nr * r->bs, info.tier_used[to]);
		EXPECT_EQ(0, info.tier_used[from]);
		EXPECT_EQ(r->nr * r->bs, info.used);
		for (b = 0; b < r->nr; b++) {
			ASSERT_EQ(0, count_wrong(block_at(r, b), r->bs, salt + b));
			ASSERT_EQ(0, count_wrong(block_at(&reader, b), r->bs, salt + b));
		}
		if (round % 3)
			continue;
		/* what one mapping writes after a move, all see after the next */
		salt += 1000;
		for (b = 0; b < r->nr; b++)
			fill(second + b * r->bs, r->bs, salt + b);
	}
	munmap(second, r->nr * r->bs);
	region_close(&reader);
}

/* Moving a block to where it is already is no move. */
TEST_F(name_stays, moving_home_changes_nothing)
{
	struct region *r = rig_region(&self->rig, variant->bs, 1);
	struct kvoff_move_result result;
	uint64_t moves, loc;

	ASSERT_NE(NULL, r);
	fill(r->data, r->bs, 7);
	loc = location(r, 0);
	moves = stat_now("moves");
	ASSERT_EQ(1, move_blocks(&self->rig, r, 0, 1, self->rig.near, 0, &result));
	EXPECT_EQ(0, result.error);
	EXPECT_EQ(self->rig.near, result.from);
	EXPECT_EQ(loc, location(r, 0));
	EXPECT_EQ(moves, stat_now("moves"));
	EXPECT_EQ(0, count_wrong(r->data, r->bs, 7));
}

/* The state array keeps the policy's reason of the last move that happened. */
TEST_F(name_stays, reason_is_kept)
{
	struct kvoff_move_desc desc = { .to = self->rig.far, .reason = 0x1234 };
	struct region *r = rig_region(&self->rig, variant->bs, 1);
	struct kvoff_move_result result;

	ASSERT_NE(NULL, r);
	fill(r->data, r->bs, 7);
	desc.region = r->id;
	ASSERT_EQ(0, move_batch(self->rig.control, &desc, 1, &result, NULL));
	ASSERT_EQ(0, result.error);
	EXPECT_EQ(0x1234, r->state[0].reason);
	desc.reason = 0x4321;
	ASSERT_EQ(0, move_batch(self->rig.control, &desc, 1, &result, NULL));
	EXPECT_EQ(0x1234, r->state[0].reason);
	/* it is this block's: the next one there has not moved */
	ASSERT_EQ(0, region_discard(r, 0, 1, NULL));
	EXPECT_EQ(KVOFF_REASON_NONE, r->state[0].reason);
	r->data[0] = 1;
	ASSERT_EQ(KVOFF_STATE_PRESENT, KVOFF_LOC_FLAGS(location(r, 0)));
	EXPECT_EQ(KVOFF_REASON_NONE, r->state[0].reason);
}

/* Frames that held another region's bytes, were targets and sources of moves, and came back by close and by discard. */
TEST_F(name_stays, memory_is_zero_on_first_touch)
{
	struct region *old = rig_region(&self->rig, variant->bs, variant->nr), *r;
	uint64_t b, wrong = 0;

	ASSERT_NE(NULL, old);
	for (b = 0; b < old->nr; b++) {
		EXPECT_EQ(0, count_nonzero(block_at(old, b), old->bs));
		fill(block_at(old, b), old->bs, b);
	}
	ASSERT_EQ(old->nr, move_blocks(&self->rig, old, 0, old->nr, self->rig.far, 0, NULL));
	ASSERT_EQ(old->nr / 2, move_blocks(&self->rig, old, 0, old->nr / 2, self->rig.near, 0, NULL));
	ASSERT_EQ(0, region_discard(old, 0, old->nr / 4, NULL));
	for (b = 0; b < old->nr / 4; b++)
		wrong += count_nonzero(block_at(old, b), old->bs);
	EXPECT_EQ(0, wrong);
	for (; b < old->nr; b++)
		wrong += count_wrong(block_at(old, b), old->bs, b);
	EXPECT_EQ(0, wrong);
	region_close(old);

	/* all that can be committed: every frame of both pools but the reserves */
	r = rig_region(&self->rig, variant->bs, 2 * variant->nr);
	ASSERT_NE(NULL, r);
	for (b = 0; b < r->nr; b++)
		wrong += count_nonzero(block_at(r, b), r->bs);
	EXPECT_EQ(0, wrong);
}

/* The last word of a block and the first of the next, at the border of two frames in two tiers. */
TEST_F(name_stays, neighbours_in_different_tiers)
{
	struct region *r = rig_region(&self->rig, variant->bs, variant->nr);
	uint64_t b, wrong = 0;

	ASSERT_NE(NULL, r);
	fill(r->data, r->nr * r->bs, 3);
	for (b = 0; b < r->nr; b += 2)
		ASSERT_EQ(0, move_one(&self->rig, r, b, self->rig.far, 0));
	for (b = 0; b < r->nr; b++)
		EXPECT_EQ(b % 2 ? self->rig.near : self->rig.far, tier_of(r, b));
	wrong = count_wrong(r->data, r->nr * r->bs, 3);
	EXPECT_EQ(0, wrong);
}

/* KiB of the mapping at @at that /proc/self/smaps counts as mapped by whole PMDs. */
static long pmd_mapped_kib(const void *at)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	bool here = false;
	long kib = -1;
	char line[256];

	if (!f)
		return -1;
	while (kib < 0 && fgets(line, sizeof(line), f)) {
		unsigned long from, to;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from == (unsigned long)at;
		else if (here)
			sscanf(line, "FilePmdMapped: %ld", &kib);
	}
	fclose(f);
	return kib;
}

FIXTURE(big_pages)
{
	struct rig rig;
};

FIXTURE_SETUP(big_pages)
{
	ASSERT_EQ(0, rig_up(&self->rig, 2 * MIB, 12 * MIB));
}

FIXTURE_TEARDOWN(big_pages)
{
	const char *wrong = rig_down(&self->rig);

	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

TEST_F(big_pages, one_pmd_before_and_after_moves)
{
	struct region *r = rig_region(&self->rig, 2 * MIB, 4);
	uint64_t b, faults;

	ASSERT_NE(NULL, r);
	EXPECT_EQ(0, (uintptr_t)r->data % (2 * MIB));
	fill(r->data, r->nr * r->bs, 5);
	EXPECT_EQ(4 * 2048, pmd_mapped_kib(r->data));

	/* moved: unmapped; then one fault a block maps it whole again */
	ASSERT_EQ(4, move_blocks(&self->rig, r, 0, 4, self->rig.far, 0, NULL));
	EXPECT_EQ(0, pmd_mapped_kib(r->data));
	faults = stat_now("faults");
	EXPECT_EQ(0, count_wrong(r->data, r->nr * r->bs, 5));
	EXPECT_EQ(4, stat_now("faults") - faults);
	EXPECT_EQ(4 * 2048, pmd_mapped_kib(r->data));

	/* a write to what was read keeps the PMD */
	for (b = 0; b < 4; b++)
		fill(block_at(r, b), r->bs, b);
	EXPECT_EQ(4 * 2048, pmd_mapped_kib(r->data));
	ASSERT_EQ(4, move_blocks(&self->rig, r, 0, 4, self->rig.near, 0, NULL));
	for (b = 0; b < 4; b++)
		EXPECT_EQ(0, count_wrong(block_at(r, b), r->bs, b));
	EXPECT_EQ(4 * 2048, pmd_mapped_kib(r->data));
}

TEST_HARNESS_MAIN
