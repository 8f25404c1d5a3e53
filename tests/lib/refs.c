// SPDX-License-Identifier: GPL-2.0-or-later
/* References: taken and given back as a whole, never while a block is flipped, from several threads. */
#include <pthread.h>
#include <unistd.h>

#include "region.h"

#define BLOCK  (64 * KIB)
#define NR     64
#define MOVING KVOFF_STATE_MOVING

static struct libkvoff *fresh(void)
{
	mock_reset(1000);
	return open_region(BLOCK, NR * BLOCK, 0);
}

static void nests(void)
{
	static const uint64_t twice[] = { 5, 6, 5 };
	struct libkvoff *kv = fresh();
	char *base = libkvoff_base(kv);

	CHECK(libkvoff_acquire(kv, twice, 3) == 0 && mock.refs[5] == 2 && mock.refs[6] == 1);
	CHECK(libkvoff_acquire_ptr(kv, base + 5 * BLOCK, 1) == 0 && mock.refs[5] == 3);
	CHECK(libkvoff_release(kv, twice, 3) == 0 && mock.refs[5] == 1 && mock.refs[6] == 0);
	/* one reference, two releases: none of them */
	CHECK(libkvoff_acquire(kv, twice, 2) == 0 && mock.refs[5] == 2 && mock.refs[6] == 1);
	CHECK(libkvoff_release(kv, (uint64_t[]){ 5, 6, 6 }, 3) == -EINVAL && says("block 6 (entry 2 of 3)"));
	CHECK(mock.refs[5] == 2 && mock.refs[6] == 1);
	CHECK(libkvoff_release(kv, (uint64_t[]){ 6, 5, 7 }, 3) == -EINVAL && mock.refs[5] == 2 && mock.refs[6] == 1);
	CHECK(libkvoff_release_ptr(kv, base + 5 * BLOCK, 2 * BLOCK) == 0 && mock.refs[5] == 1 && mock.refs[6] == 0);
	CHECK(libkvoff_release_ptr(kv, base + 5 * BLOCK, 1) == 0 && mock.refs[5] == 0);
	CHECK(libkvoff_release(kv, twice, 1) == -EINVAL && mock.refs[5] == 0);
	CHECK(mock_all_calls() == 1);
	libkvoff_close(kv);
}

static void overflow(void)
{
	struct libkvoff *kv = fresh();

	mock.refs[2] = (1U << 31) - 2;
	CHECK(libkvoff_acquire(kv, (uint64_t[]){ 1, 2 }, 2) == 0 && mock.refs[2] == (1U << 31) - 1);
	CHECK(libkvoff_acquire(kv, (uint64_t[]){ 1, 2, 3 }, 3) == -EOVERFLOW && says("block 2"));
	CHECK(mock.refs[1] == 1 && mock.refs[2] == (1U << 31) - 1 && mock.refs[3] == 0);
	libkvoff_close(kv);
}

/* The mock checks that nobody waits for a flip with a reference to that block. */
static void moving(void)
{
	static const uint64_t index[] = { 1, 2, 3 };
	struct libkvoff *kv = fresh();

	mock.state[2].location |= MOVING;
	mock.flips = 2;
	CHECK(libkvoff_acquire(kv, index, 3) == 0);
	CHECK(mock.calls[MOCK_SETTLE] == 3);
	CHECK(mock.refs[1] == 1 && mock.refs[2] == 1 && mock.refs[3] == 1);
	CHECK(libkvoff_release(kv, index, 3) == 0);
	/* a signal */
	mock.state[2].location |= MOVING;
	mock.fail[MOCK_SETTLE] = EINTR;
	mock.fail_nr[MOCK_SETTLE] = 3;
	CHECK(libkvoff_acquire(kv, index, 3) == 0 && mock.refs[2] == 1);
	CHECK(libkvoff_release(kv, index, 3) == 0);
	/* the call fails: none is held */
	mock.state[2].location |= MOVING;
	mock.fail[MOCK_SETTLE] = EIO;
	mock.fail_nr[MOCK_SETTLE] = 1;
	CHECK(libkvoff_acquire(kv, index, 3) == -EIO && says("block 2"));
	CHECK(!mock.refs[1] && !mock.refs[2] && !mock.refs[3]);
	/* a copy is nothing to wait for */
	mock.state[2].location = KVOFF_STATE_PRESENT | KVOFF_STATE_COPYING;
	mock.calls[MOCK_SETTLE] = 0;
	CHECK(libkvoff_acquire(kv, index, 3) == 0 && !mock.calls[MOCK_SETTLE]);
	libkvoff_close(kv);
}

static struct libkvoff *shared;
static uint64_t flipping = NR;
static unsigned int flips;
static bool stop;

/* The mover has flipped blocks, and somebody has had to wait for it. */
static bool met(void)
{
	return __atomic_load_n(&flips, __ATOMIC_RELAXED) && __atomic_load_n(&mock.calls[MOCK_SETTLE], __ATOMIC_RELAXED);
}

static void *take_and_give(void *arg)
{
	uint64_t seed = (uintptr_t)arg, index[8];
	int i, k;

	/* until they have met, however late the mover begins */
	for (i = 0; i < 20000 || (!met() && i < 100000000); i++) {
		for (k = 0; k < 8; k++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			index[k] = (seed >> 40) % 16;
		}
		if (!CHECK(libkvoff_acquire(shared, index, 8) == 0))
			return NULL;
		for (k = 0; k < 8; k++)
			if (!CHECK(__atomic_load_n(&mock.refs[index[k]], __ATOMIC_SEQ_CST)) ||
			    !CHECK(__atomic_load_n(&flipping, __ATOMIC_SEQ_CST) != index[k]))
				return NULL;
		if (!CHECK(libkvoff_release(shared, index, 8) == 0))
			return NULL;
		/* a refused release must not disturb the others */
		index[7] = 20;
		if (i % 16 == 0 && !CHECK(libkvoff_acquire(shared, index, 7) == 0 &&
					  libkvoff_release(shared, index, 8) == -EINVAL &&
					  libkvoff_release(shared, index, 7) == 0))
			return NULL;
	}
	return NULL;
}

/* The kernel's part of the rule: what it flips has no reference from when it looked until the flip is over. */
static void *flip(void *arg)
{
	uint64_t block = 0;
	int i;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		block = (block + 1) % 16;
		__atomic_fetch_or(&mock.state[block].location, MOVING, __ATOMIC_SEQ_CST);
		if (!__atomic_load_n(&mock.refs[block], __ATOMIC_SEQ_CST)) {
			__atomic_store_n(&flipping, block, __ATOMIC_SEQ_CST);
			for (i = 0; i < 50; i++)
				__atomic_thread_fence(__ATOMIC_SEQ_CST);
			__atomic_store_n(&flipping, NR, __ATOMIC_SEQ_CST);
			__atomic_fetch_add(&flips, 1, __ATOMIC_RELAXED);
		}
		__atomic_fetch_and(&mock.state[block].location, ~(__u64)MOVING, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void threads(void)
{
	pthread_t thread[3], mover;
	unsigned int i;

	shared = fresh();
	mock.mover = true;
	stop = false;
	flips = 0;
	pthread_create(&mover, NULL, flip, NULL);
	for (i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, take_and_give, (void *)(uintptr_t)(i + 1));
	for (i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(mover, NULL);
	printf("# %u flips between, %u waits\n", flips, mock.calls[MOCK_SETTLE]);
	CHECK(met());
	for (i = 0; i < NR; i++)
		CHECK(!mock.refs[i]);
	libkvoff_close(shared);
}

static void *refused(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		CHECK(libkvoff_release(shared, (uint64_t[]){ 1, 2, 3, 4, 5, 6, 7, 8, 9 }, 9) == -EINVAL);
	return NULL;
}

/* The kernel may look at any moment: it must not find a block free that a refused release was about. */
static void refused_release(void)
{
	static const uint64_t held[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	pthread_t thread;
	int i, seen = 0;

	shared = fresh();
	CHECK(libkvoff_acquire(shared, held, 8) == 0);
	stop = false;
	pthread_create(&thread, NULL, refused, NULL);
	for (i = 0; i < 5000000 || (!seen && i < 1000000000); i++) {
		uint32_t refs = __atomic_load_n(&mock.refs[1 + i % 8], __ATOMIC_RELAXED);

		seen += refs != 1;
		if (!refs && !CHECK(refs))
			break;
		/* it may not have begun */
		if (i >= 5000000 && i % 1000 == 0)
			usleep(100);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	printf("# looked into %d refused releases\n", seen);
	CHECK(seen);
	CHECK(libkvoff_release(shared, held, 8) == 0);
	for (i = 0; i < NR; i++)
		CHECK(!mock.refs[i]);
	libkvoff_close(shared);
}

static const struct ktap_test tests[] = {
	{ "acquire nests, release is all or none", nests },
	{ "acquire: overflow", overflow },
	{ "acquire steps back from a flip", moving },
	{ "acquire and release from threads, with flips", threads },
	{ "a refused release frees nothing, not for a moment", refused_release },
};
KTAP_MAIN(tests)
