/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What suites of memory errors stand on: the rig's tiers, and a list of the pages that a test has spoilt. Comes after
 * kselftest_harness.h.
 */
#ifndef POISON_BED_H
#define POISON_BED_H

#include "poison_rig.h"

/* Frames a test may spoil; looked at again when the tiers are gone. */
#define SPOILT_MAX	256

FIXTURE(poison)
{
	struct rig rig;
	uint64_t spoilt[SPOILT_MAX];
	unsigned int nr_spoilt;
};

FIXTURE_VARIANT(poison)
{
	uint32_t bs;
	uint64_t nr;
};

FIXTURE_VARIANT_ADD(poison, 64k) { .bs = 64 * KIB, .nr = 32 };
FIXTURE_VARIANT_ADD(poison, 2m) { .bs = 2 * MIB, .nr = 4 };

FIXTURE_SETUP(poison)
{
	ASSERT_EQ(0, rig_up(&self->rig, variant->bs, 3 * variant->nr * variant->bs));
	ASSERT_EQ(0, copies_fail(false));
}

/* The frames are bad when the tiers are gone as they were before, and no allocator has them. */
FIXTURE_TEARDOWN(poison)
{
	unsigned int i;
	const char *wrong;

	EXPECT_EQ(0, copies_fail(false));
	EXPECT_TRUE(adds_up("dram", variant->bs));
	EXPECT_TRUE(adds_up("cxl0", variant->bs));
	wrong = rig_down(&self->rig);
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
	for (i = 0; i < self->nr_spoilt; i++) {
		EXPECT_TRUE(page_has(self->spoilt[i], KPF_HWPOISON));
		EXPECT_FALSE(page_has(self->spoilt[i], KPF_BUDDY));
	}
}

#define SPOILT(pfn)	(self->spoilt[self->nr_spoilt++ % SPOILT_MAX] = (pfn))

#endif /* POISON_BED_H */
