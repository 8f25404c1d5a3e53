// SPDX-License-Identifier: GPL-2.0-or-later
/* How the heap commits and gives back, in front of a module that keeps accounts. */
#include "region.h"

static void commit_steps(void)
{
	uint64_t block = 64 * KIB, i;
	struct libkvoff *kv;
	char *p[64], *big;
	unsigned int calls;

	mock_reset(1000);
	kv = open_region(block, 1ULL << 30, 8 * block);
	CHECK(mock_all_calls() == 1 && mock.calls[MOCK_CREATE] == 1);
	p[0] = libkvoff_alloc(kv, block);
	CHECK(mock.commits[0] == 8 && mock.committed == 8);
	for (i = 1; i < 8; i++)
		p[i] = libkvoff_alloc(kv, block);
	CHECK(mock.calls[MOCK_COMMIT] == 1);
	p[8] = libkvoff_alloc(kv, block);
	CHECK(mock.calls[MOCK_COMMIT] == 2 && mock.committed == 16);
	/* more than a step at once: just what is missing */
	big = libkvoff_alloc(kv, 30 * block);
	CHECK(mock.calls[MOCK_COMMIT] == 3 && mock.commits[0] == 23 && mock.committed == 39);
	/* using memory again makes no system call */
	calls = mock_all_calls();
	for (i = 0; i < 100; i++) {
		mock_fault(libkvoff_index(kv, p[i % 9]));
		CHECK(libkvoff_free(kv, p[i % 9]) == 0);
		p[i % 9] = libkvoff_alloc(kv, block);
	}
	CHECK(mock_all_calls() == calls);
	/* 30 blocks idle: give back down to a step, in one call each */
	for (i = 9; i < 39; i++)
		mock_fault(i);
	CHECK(libkvoff_free(kv, big) == 0);
	CHECK(mock.calls[MOCK_UNCOMMIT] == 1 && mock.committed == 39 - 16);
	CHECK(mock.calls[MOCK_DISCARD] == 1 && mock.discards[0].first + mock.discards[0].nr == 39);
	CHECK(mock.discards[0].nr == 16 && mock.used == 9 + 14);
	libkvoff_close(kv);
}

static void commit_smaller_steps(void)
{
	uint64_t block = 64 * KIB;
	struct libkvoff *kv;
	char *p, *q;

	mock_reset(11);
	kv = open_region(block, 1ULL << 30, 8 * block);
	CHECK((p = libkvoff_alloc(kv, 2 * block)) && mock.committed == 8);
	/* 8 do not fit any more, 3 do */
	CHECK((q = libkvoff_alloc(kv, 7 * block)));
	CHECK(mock.committed >= 9 && mock.committed <= 11);
	CHECK(libkvoff_alloc(kv, 2 * block));
	CHECK(mock.committed == 11);
	CHECK(!libkvoff_alloc(kv, 3 * block) && errno == ENOMEM);
	CHECK(says("192 KiB") && says("have 0 B left") && says("region 7 (test)") && says("kvoffctl"));
	mock.quota = true;
	CHECK(!libkvoff_alloc(kv, 3 * block) && errno == EDQUOT);
	CHECK(says("the tenant's quota leaves 0 B"));
	strcpy(mock.tenant, "search");
	CHECK(!libkvoff_alloc(kv, 3 * block) && errno == EDQUOT);
	CHECK(says("tenant \"search\" has 704 KiB of its quota of 704 KiB committed"));
	CHECK(says("needs 192 KiB more") && says("kvoffctl tenant set search --quota SIZE"));
	mock.quota = false;
	/* what is on a block that is in use anyway needs no commit */
	CHECK(libkvoff_free(kv, p) == 0 && libkvoff_alloc(kv, block) == p);
	CHECK(libkvoff_alloc(kv, block / 2) && libkvoff_alloc(kv, block / 2));
	mock.fail[MOCK_COMMIT] = EIO;
	mock.fail_nr[MOCK_COMMIT] = 1;
	CHECK(!libkvoff_alloc(kv, block) && errno == EIO);
	/* a signal in the middle of waiting is not a failure */
	mock.limit = 100;
	mock.fail[MOCK_COMMIT] = EINTR;
	mock.fail_nr[MOCK_COMMIT] = 2;
	CHECK(libkvoff_alloc(kv, block));
	libkvoff_close(kv);
}

/* Free blocks hold memory, the tiers have no more, and the request goes to blocks that have none. */
static void commit_from_idle(void)
{
	uint64_t block = 64 * KIB, i;
	struct libkvoff *kv;
	char *p[16];

	mock_reset(16);
	kv = open_region(block, 1ULL << 30, 16 * block);
	for (i = 0; i < 16; i++) {
		p[i] = libkvoff_alloc(kv, block);
		mock_fault(i);
	}
	for (i = 0; i < 16; i += 2)
		CHECK(libkvoff_free(kv, p[i]) == 0);
	CHECK(mock.used == 16 && !mock.calls[MOCK_DISCARD]);
	p[0] = libkvoff_alloc(kv, 8 * block);
	CHECK(p[0] && mock.committed == 16 && mock.used == 8);
	for (i = 0; i < 8; i++)
		mock_fault(libkvoff_index(kv, p[0]) + i);
	CHECK(!libkvoff_alloc(kv, block) && errno == ENOMEM);
	libkvoff_close(kv);
}

/* A free block that a driver has pinned keeps its frame, which then stays committed. */
static void commit_pinned(void)
{
	uint64_t block = 64 * KIB, i;
	struct libkvoff *kv;
	char *p, *q;

	mock_reset(100);
	kv = open_region(block, 1ULL << 30, 4 * block);
	p = libkvoff_alloc(kv, 20 * block);
	for (i = 0; i < 20; i++)
		mock_fault(i);
	for (i = 0; i < 20; i++)
		mock.pinned[i] = 1;
	CHECK(libkvoff_free(kv, p) == 0);
	CHECK(mock.used == 20 && mock.committed == 20);
	mock.limit = 20;
	CHECK(libkvoff_alloc(kv, 20 * block) == p);
	q = libkvoff_alloc(kv, block);
	CHECK(!q && errno == ENOMEM);
	for (i = 0; i < 20; i++)
		mock.pinned[i] = 0;
	CHECK(libkvoff_free(kv, p) == 0);
	CHECK(mock.committed <= 8 && mock.used <= mock.committed);
	/* giving back fails: nothing is lost, and the next free tries again */
	CHECK((p = libkvoff_alloc(kv, 20 * block)));
	mock.fail[MOCK_UNCOMMIT] = EBUSY;
	mock.fail_nr[MOCK_UNCOMMIT] = 1;
	CHECK((q = libkvoff_alloc(kv, 64)) == NULL);
	mock.limit = 30;
	CHECK((q = libkvoff_alloc(kv, 64)));
	CHECK(libkvoff_free(kv, p) == 0 && mock.committed > 8);
	CHECK(libkvoff_free(kv, q) == 0 && mock.committed <= 8);
	libkvoff_close(kv);
}

/* What is pinned counts against what may be used elsewhere. */
static void commit_beside_pinned(void)
{
	uint64_t block = 64 * KIB, i;
	struct libkvoff *kv;
	char *p, *wall;

	mock_reset(40);
	kv = open_region(block, 40 * block, block);
	p = libkvoff_alloc(kv, 20 * block);
	wall = libkvoff_alloc(kv, block);
	for (i = 0; i < 20; i++) {
		mock_fault(i);
		mock.pinned[i] = 1;
	}
	mock.limit = 21;
	CHECK(libkvoff_free(kv, p) == 0 && mock.used == 20);
	/* the only hole of this size is above, and without the pinned frames there is no memory for it */
	CHECK(!libkvoff_alloc(kv, 19 * block) && errno == ENOMEM);
	memset(mock.pinned, 0, 20);
	p = libkvoff_alloc(kv, 19 * block);
	CHECK(p > wall);
	for (i = 0; i < 19; i++)
		mock_fault(libkvoff_index(kv, p) + i);
	libkvoff_close(kv);
}

static const struct ktap_test tests[] = {
	{ "commits in steps, uses again without calls", commit_steps },
	{ "commits smaller steps, refuses with figures", commit_smaller_steps },
	{ "takes the memory of free blocks when tiers are full", commit_from_idle },
	{ "pinned free blocks stay committed", commit_pinned },
	{ "pinned frames count against the rest", commit_beside_pinned },
};
KTAP_MAIN(tests)
