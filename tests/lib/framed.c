// SPDX-License-Identifier: GPL-2.0-or-later
/* Framed regions, and seals: handles that go stale, addresses that hold while a block is acquired, windows. */
#include <fcntl.h>
#include <pthread.h>

#include "region.h"

#define BLOCK (64 * KIB)
#define FAST  16
#define FAR   32
#define INDEX(handle) ((handle) & 0xffffffffffffULL)
#define POISONED KVOFF_STATE_POISONED

static struct libkvoff_options framed(uint64_t fast, uint64_t far)
{
	return (struct libkvoff_options){ .size = sizeof(struct libkvoff_options), .flags = LIBKVOFF_OPEN_FRAMED,
					  .block_size = BLOCK, .label = "test", .fast_bytes = fast * BLOCK,
					  .far_bytes = far * BLOCK };
}

static struct libkvoff *fresh(void)
{
	struct libkvoff_options opts = framed(FAST, FAR);
	struct libkvoff *kv = NULL;

	mock_reset(1000);
	mock.room[0] = 20;
	mock.room[1] = 30;
	mock.room[3] = 30;
	if (!CHECK(libkvoff_open(&kv, &opts) == 0)) {
		printf("# %s\n", libkvoff_strerror(errno));
		exit(1);
	}
	return kv;
}

static void windows(void)
{
	struct libkvoff *kv = fresh(), *two;
	struct libkvoff_options ro = { .size = sizeof(ro), .flags = LIBKVOFF_OPEN_RDONLY };
	struct libkvoff_window out[8];
	char *base;

	CHECK(mock.create.flags == KVOFF_REGION_FRAMED && mock.create.length == (FAST + FAR) * BLOCK);
	/* far memory in proportion to what there is */
	CHECK(mock.window[0] == FAST && mock.window[1] == FAR / 2 && mock.window[3] == FAR / 2);
	CHECK(!libkvoff_base(kv) && libkvoff_offset(kv, NULL) == UINT64_MAX && libkvoff_index(kv, kv) == UINT64_MAX);
	CHECK(libkvoff_windows(kv, 0, NULL, 0) == 3);
	CHECK(libkvoff_windows(kv, 0, out, 8) == 3 && out[0].tier == 0 && out[1].tier == 1 && out[2].tier == 3);
	CHECK(out[0].len == FAST * BLOCK && out[2].len == FAR / 2 * BLOCK && !((uintptr_t)out[1].addr & (2 * MIB - 1)));
	base = out[0].addr;
	CHECK(libkvoff_windows(kv, 10 * BLOCK, out, 3) == 6);
	CHECK(out[0].len == 10 * BLOCK && out[1].len == 6 * BLOCK && out[1].addr == base + 10 * BLOCK &&
	      out[2].tier == 1);
	CHECK(libkvoff_windows(kv, BLOCK + 1, out, 8) == -EINVAL && libkvoff_windows(kv, 0, NULL, 1) == -EINVAL);
	/* pointers are no names here */
	CHECK(libkvoff_touch_ptr(kv, base, 1) == -EOPNOTSUPP && says("handles"));
	CHECK(libkvoff_acquire_ptr(kv, base, 1) == -EOPNOTSUPP && libkvoff_discard_ptr(kv, base, BLOCK) == -EOPNOTSUPP);
	CHECK(libkvoff_seal_ptr(kv, base, BLOCK) == -EOPNOTSUPP && libkvoff_free(kv, base) == -EOPNOTSUPP);
	CHECK(!libkvoff_alloc(kv, 1) && errno == EOPNOTSUPP && says("libkvoff_block_alloc()"));
	CHECK(libkvoff_usable_size(kv, base) == 0);
	/* another process sees the same frames */
	CHECK(libkvoff_attach(&two, libkvoff_fd(kv), &ro) == 0);
	CHECK(libkvoff_windows(two, 0, out, 8) == 3 && out[0].addr != base);
	base[5] = 55;
	CHECK(((char *)out[0].addr)[5] == 55);
	libkvoff_close(two);
	libkvoff_close(kv);
}

static void window_errors(void)
{
	struct libkvoff_options opts = framed(0, 0);
	struct libkvoff *kv;

	mock_reset(1000);
	mock.room[0] = 10;
	mock.room[2] = 20;
	CHECK(libkvoff_open(&kv, &opts) == -EINVAL && says("fast_bytes"));
	opts.flags = 0;
	opts.far_bytes = BLOCK;
	CHECK(libkvoff_open(&kv, &opts) == -EINVAL && says("LIBKVOFF_OPEN_FRAMED"));
	opts = framed(4, 21);
	CHECK(libkvoff_open(&kv, &opts) == -ENOMEM && !kv && says("other tiers") && says("tier 2 has 1.25 MiB"));
	opts = framed(30, 0);
	mock_reset(1000);
	mock.room[0] = 10;
	CHECK(libkvoff_open(&kv, &opts) == -ENOMEM && says("fastest tiers") && says("tier 0 has 640 KiB"));
	opts = framed(4, 0);
	mock_reset(1000);
	mock.fail[MOCK_CREATE] = EOPNOTSUPP;
	mock.fail_nr[MOCK_CREATE] = 1;
	CHECK(libkvoff_open(&kv, &opts) == -EOPNOTSUPP && says("version"));
	opts.fast_bytes = UINT64_MAX;
	CHECK(libkvoff_open(&kv, &opts) == -EINVAL);
	/* less than a block is one; windows need not be as large as the region */
	mock_reset(1000);
	mock.room[0] = 10;
	opts = framed(0, 0);
	opts.fast_bytes = 1;
	opts.length = 1ULL << 40;
	CHECK(libkvoff_open(&kv, &opts) == 0 && mock.window[0] == 1 && mock.create.length == 1ULL << 40);
	libkvoff_close(kv);
}

static void handles(void)
{
	struct libkvoff *kv = fresh(), *two;
	struct libkvoff_stats stats = { .size = sizeof(stats) };
	struct libkvoff_block where[2];
	uint64_t h[FAST + FAR], old, i, all[2];
	void *addr;

	CHECK(libkvoff_block_alloc(kv, h, 2) == 0 && h[0] != h[1] && mock.calls[MOCK_ALLOC] == 1);
	CHECK(h[0] >> 48 == 1 && INDEX(h[1]) == INDEX(h[0]) + 1);
	old = h[0];
	CHECK(libkvoff_touch(kv, h, 2) == 0 && mock.hint[INDEX(old)].touches == 1);
	CHECK(libkvoff_stats(kv, &stats) == 0 && stats.nr_allocated == 2 && stats.allocated == 2 * BLOCK);
	CHECK(libkvoff_block_free(kv, h, 1) == 0);
	CHECK(libkvoff_block_free(kv, h, 1) == -ESTALE && says("was freed"));
	/* the index again, another block */
	mock.state[INDEX(old)].location = 5ULL << 16 | KVOFF_STATE_PRESENT;
	CHECK(libkvoff_touch(kv, &old, 1) == -ESTALE && mock.hint[INDEX(old)].touches == 1);
	CHECK(libkvoff_prefetch(kv, &old, 1) == -ESTALE && libkvoff_hint(kv, &old, 1, LIBKVOFF_HINT_COLD) == -ESTALE);
	CHECK(!mock.hint[INDEX(old)].bits);
	CHECK(libkvoff_acquire(kv, &old, 1) == -ESTALE && libkvoff_acquire_addr(kv, &old, 1, &addr) == -ESTALE);
	CHECK(!mock.refs[INDEX(old)] && libkvoff_release(kv, &old, 1) == -ESTALE);
	CHECK(libkvoff_acquire(kv, (uint64_t[]){ h[1], old }, 2) == -ESTALE && !mock.refs[INDEX(h[1])]);
	CHECK(libkvoff_seal(kv, &old, 1) == -ESTALE && libkvoff_discard(kv, &old, 1) == -ESTALE &&
	      !mock.calls[MOCK_SEAL]);
	all[0] = old;
	all[1] = h[1];
	where[0].flags = 77;
	CHECK(libkvoff_query(kv, all, 2, where) == -ESTALE && where[0].tier == -1 && where[1].tier == 0);
	CHECK(where[0].generation == 5 && !where[0].flags);
	mock.state[INDEX(old)].location = 2ULL << 16;
	/* acquired, duplicates, what is before them */
	CHECK(libkvoff_acquire(kv, h + 1, 1) == 0);
	CHECK(libkvoff_block_alloc(kv, h, 1) == 0);
	CHECK(libkvoff_block_free(kv, h, 2) == -EBUSY && says("entry 1 of 2"));
	CHECK(libkvoff_query(kv, h, 2, where) == -ESTALE && where[1].flags == LIBKVOFF_BLOCK_ACQUIRED);
	CHECK(libkvoff_discard(kv, h + 1, 1) == -EBUSY && says("acquired"));
	CHECK(libkvoff_release(kv, h + 1, 1) == 0);
	CHECK(libkvoff_block_free(kv, (uint64_t[]){ h[1], h[1] }, 2) == -ESTALE && says("entry 1 of 2") && !mock.used);
	/* all or none */
	CHECK(libkvoff_block_alloc(kv, h, FAST + FAR) == 0);
	CHECK(libkvoff_block_alloc(kv, &old, 1) == -ENOSPC && says("larger windows"));
	CHECK(libkvoff_block_free(kv, h + 1, 3) == 0);
	for (i = 0; i < 2; i++) {
		mock.fail[MOCK_ALLOC] = i ? EIO : ENOSPC;
		mock.fail_nr[MOCK_ALLOC] = 1;
		CHECK(libkvoff_block_alloc(kv, h + 1, 3) == (i ? -EIO : -ENOSPC));
	}
	CHECK(libkvoff_block_alloc(kv, h + 1, 3) == 0);
	CHECK(libkvoff_block_free(kv, h, FAST + FAR) == 0 && !mock.used);
	CHECK(libkvoff_block_alloc(kv, NULL, 1) == -EINVAL && libkvoff_block_alloc(kv, NULL, 0) == 0);
	CHECK(libkvoff_block_free(kv, (uint64_t[]){ FAST + FAR }, 1) == -ERANGE);
	/* one process gives out blocks */
	CHECK(libkvoff_attach(&two, libkvoff_fd(kv), NULL) == 0);
	CHECK(libkvoff_block_alloc(two, h, 1) == -EPERM && libkvoff_block_free(two, h, 1) == -EPERM);
	libkvoff_close(two);
	libkvoff_close(kv);
	mock_reset(100);
	kv = open_region(BLOCK, MIB, BLOCK);
	CHECK(libkvoff_block_alloc(kv, h, 1) == -EOPNOTSUPP && libkvoff_block_free(kv, h, 1) == -EOPNOTSUPP);
	CHECK(libkvoff_windows(kv, 0, NULL, 0) == -EOPNOTSUPP);
	CHECK(libkvoff_acquire_addr(kv, (uint64_t[]){ 3 }, 1, &addr) == 0 &&
	      addr == (char *)libkvoff_base(kv) + 3 * BLOCK);
	libkvoff_close(kv);
}

static void addresses(void)
{
	struct libkvoff *kv = fresh();
	uint64_t h[2];
	void *addr[2], *again;

	CHECK(libkvoff_block_alloc(kv, h, 2) == 0 && libkvoff_acquire_addr(kv, h, 2, addr) == 0);
	memset(addr[0], 1, BLOCK);
	memset(addr[1], 2, BLOCK);
	CHECK(mock_move(INDEX(h[0]), 1) == -EAGAIN);
	CHECK(libkvoff_release(kv, h, 2) == 0 && mock_move(INDEX(h[0]), 3) == 0);
	CHECK(libkvoff_acquire_addr(kv, h, 1, &again) == 0 && again != addr[0] && *(char *)again == 1);
	CHECK(((char *)again)[BLOCK - 1] == 1 && *(char *)addr[1] == 2);
	CHECK(libkvoff_release(kv, h, 1) == 0);
	/* poison: all or none */
	mock.state[INDEX(h[1])].location |= POISONED;
	CHECK(libkvoff_acquire_addr(kv, h, 2, addr) == -EIO && says("memory error"));
	CHECK(!mock.refs[INDEX(h[0])] && !mock.refs[INDEX(h[1])]);
	CHECK(libkvoff_seal(kv, h, 2) == -EIO && libkvoff_discard(kv, h + 1, 1) == 0);
	CHECK(libkvoff_acquire(kv, h, 2) == 0 && libkvoff_release(kv, h, 2) == 0);
	/* a frame beyond what was mapped */
	mock.state[INDEX(h[0])].location |= 1ULL << 50;
	CHECK(libkvoff_acquire_addr(kv, h, 1, addr) == -ENXIO && !mock.refs[INDEX(h[0])]);
	libkvoff_close(kv);
}

#define WORKERS 3
#define MINE	6
static struct libkvoff *shared;
static uint64_t of_all[WORKERS][MINE];
static unsigned int moved;
static bool stop;

/* So many moves must have come between, however slow the mover is. */
#define MOVES 3000

/* Writes where the block is, lets go, and finds it again wherever it went; frees and allocates now and then. */
static void *work(void *arg)
{
	uint64_t *h = of_all[(uintptr_t)arg], seed = (uintptr_t)arg + 1, stamp[MINE] = { 0 }, *word;
	void *addr;
	int i, k;

	for (i = 0; i < 5000 || (__atomic_load_n(&moved, __ATOMIC_RELAXED) < MOVES && i < 20000000); i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		k = (int)((seed >> 40) % MINE);
		if (!CHECK(libkvoff_acquire_addr(shared, &h[k], 1, &addr) == 0))
			return NULL;
		word = addr;
		if (stamp[k] && !CHECK(word[0] == stamp[k] && word[BLOCK / 8 - 1] == stamp[k]))
			return NULL;
		stamp[k] = seed;
		word[0] = seed;
		word[BLOCK / 8 - 1] = seed;
		if (!CHECK(libkvoff_release(shared, &h[k], 1) == 0))
			return NULL;
		if (i % 50)
			continue;
		if (!CHECK(libkvoff_block_free(shared, &h[k], 1) == 0) ||
		    !CHECK(libkvoff_acquire(shared, &h[k], 1) == -ESTALE) ||
		    !CHECK(libkvoff_block_alloc(shared, &h[k], 1) == 0))
			return NULL;
		stamp[k] = 0;
	}
	return NULL;
}

static void *mover(void *arg)
{
	unsigned int n;

	for (n = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); n++)
		if (mock_move(n % (FAST + FAR), (unsigned int[]){ 0, 1, 3 }[n / 7 % 3]) == 0)
			__atomic_fetch_add(&moved, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void threads(void)
{
	pthread_t thread[WORKERS], moves;
	uintptr_t i;

	shared = fresh();
	mock.mover = true;
	stop = false;
	for (i = 0; i < WORKERS; i++)
		CHECK(libkvoff_block_alloc(shared, of_all[i], MINE) == 0);
	pthread_create(&moves, NULL, mover, NULL);
	for (i = 0; i < WORKERS; i++)
		pthread_create(&thread[i], NULL, work, (void *)i);
	for (i = 0; i < WORKERS; i++)
		pthread_join(thread[i], NULL);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(moves, NULL);
	printf("# %u moves\n", moved);
	CHECK(moved >= MOVES && mock.used == WORKERS * MINE);
	for (i = 0; i < FAST + FAR; i++)
		CHECK(!mock.refs[i]);
	libkvoff_close(shared);
}

static uint64_t twice;
static int freed;

static void *free_it(void *arg)
{
	int ret = libkvoff_block_free(shared, &twice, 1);

	CHECK(!ret || ret == -ESTALE);
	if (!ret)
		__atomic_add_fetch(&freed, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void *replace(void *arg)
{
	uint64_t *h = arg;

	CHECK(libkvoff_block_alloc(shared, h, 4) == 0);
	return NULL;
}

/* Freed by two at once while a third takes what is free: it is freed once, and nothing else is. */
static void free_races(void)
{
	uint64_t rest[FAST + FAR], h[4], i;
	struct libkvoff_block out[4];
	pthread_t thread[3];

	shared = fresh();
	CHECK(libkvoff_block_alloc(shared, rest, FAST + FAR - 4) == 0);
	for (i = 0; i < 500; i++) {
		CHECK(libkvoff_block_alloc(shared, &twice, 1) == 0);
		freed = 0;
		CHECK(libkvoff_block_free(shared, rest, 1) == 0);
		pthread_create(&thread[0], NULL, free_it, NULL);
		pthread_create(&thread[1], NULL, free_it, NULL);
		pthread_create(&thread[2], NULL, replace, h);
		pthread_join(thread[0], NULL);
		pthread_join(thread[1], NULL);
		pthread_join(thread[2], NULL);
		if (!CHECK(freed == 1) || !CHECK(libkvoff_query(shared, h, 4, out) == 0))
			break;
		CHECK(libkvoff_block_free(shared, h, 4) == 0 && libkvoff_block_alloc(shared, rest, 1) == 0);
	}
	libkvoff_close(shared);
}

static void seals(void)
{
	static const uint64_t order[] = { 9, 3, 4, 5, 20, 4, 8 };
	char tag[LIBKVOFF_TAG_LEN] = "a tag", other[LIBKVOFF_TAG_LEN] = "another";
	struct libkvoff_unit unit[4];
	struct libkvoff_block out;
	struct libkvoff *kv;
	char *p, *q;
	int i;

	mock_reset(100);
	kv = open_region(BLOCK, 64 * BLOCK, 4 * BLOCK);
	p = libkvoff_alloc(kv, 24 * BLOCK);
	CHECK(libkvoff_seal(kv, order, 7) == -ENODATA && says("block 3"));
	for (i = 0; i < 24; i++)
		mock_fault((uint64_t)i);
	mock.calls[MOCK_SEAL] = 0;
	CHECK(libkvoff_seal(kv, order, 7) == 0 && mock.calls[MOCK_SEAL] == 3);
	CHECK(mock.seals[2].first == 3 && mock.seals[2].nr == 3 && mock.seals[1].first == 8 && mock.seals[1].nr == 2);
	CHECK(libkvoff_query(kv, order, 1, &out) == 0 && out.flags == LIBKVOFF_BLOCK_SEALED);
	CHECK(libkvoff_seal_ptr(kv, p + 1, BLOCK) == -EINVAL && libkvoff_seal_ptr(kv, p, BLOCK) == 0);
	CHECK(libkvoff_seal_tagged(kv, 10, 3, tag) == 0 && libkvoff_seal_tagged(kv, 15, 1, other) == 0);
	CHECK(libkvoff_seal_tagged(kv, 12, 2, other) == -EEXIST && says("unit already"));
	CHECK(libkvoff_seal_tagged(kv, 12, 0, tag) == -EINVAL && libkvoff_seal_tagged(kv, 63, 2, tag) == -ERANGE);
	CHECK(libkvoff_seal_tagged(kv, 64, 1, tag) == -ERANGE && libkvoff_seal_tagged(kv, 1, 1, NULL) == -EINVAL);
	CHECK(libkvoff_units(kv, 0, unit, 4) == 2 && unit[0].first == 10 && unit[0].nr == 3 && unit[1].first == 15);
	CHECK(!memcmp(unit[0].tag, tag, sizeof(tag)) && !memcmp(unit[1].tag, other, sizeof(other)));
	CHECK(libkvoff_units(kv, 0, unit, 1) == 1 && libkvoff_units(kv, unit[0].first + 1, unit, 1) == 1 &&
	      unit[0].first == 15);
	CHECK(libkvoff_units(kv, 16, unit, 4) == 0 && libkvoff_units(kv, 0, NULL, 1) == -EINVAL);
	CHECK(libkvoff_discard(kv, (uint64_t[]){ 11 }, 1) == 0 && libkvoff_units(kv, 0, unit, 4) == 1);
	mock.pinned[20] = 1;
	mock.state[20].location &= ~(__u64)KVOFF_STATE_SEALED;
	CHECK(libkvoff_seal(kv, (uint64_t[]){ 20 }, 1) == -EBUSY && says("pinned"));
	mock.pinned[20] = 0;
	/* poison */
	mock.state[21].location |= POISONED;
	CHECK(libkvoff_acquire(kv, (uint64_t[]){ 1, 21 }, 2) == -EIO && !mock.refs[1] && !mock.refs[21]);
	CHECK(libkvoff_query(kv, (uint64_t[]){ 21 }, 1, &out) == -EIO && out.flags == LIBKVOFF_BLOCK_POISONED &&
	      says("block 21"));
	/* what is given out again can be written, and is no unit's */
	CHECK(libkvoff_free(kv, p) == 0 && libkvoff_units(kv, 0, unit, 4) == 0);
	q = libkvoff_alloc(kv, 24 * BLOCK);
	CHECK(q == p);
	for (i = 0; i < 24; i++) {
		CHECK(!(mock.state[i].location & (KVOFF_STATE_SEALED | POISONED)));
		mock_fault((uint64_t)i);
	}
	libkvoff_close(kv);
}

static void many_units(void)
{
	static struct libkvoff_unit unit[MOCK_UNITS_MAX];
	struct libkvoff *kv;
	char tag[LIBKVOFF_TAG_LEN] = "";
	uint64_t h, i, n;

	kv = fresh();
	for (i = 0; i < 3; i++) {
		CHECK(libkvoff_block_alloc(kv, &h, 1) == 0 && libkvoff_block_free(kv, &h, 1) == 0);
		CHECK(libkvoff_block_alloc(kv, &h, 1) == 0 && libkvoff_seal_tagged(kv, h, 1, tag) == 0);
	}
	for (i = 0, n = 0; libkvoff_units(kv, i, unit, 1) == 1; i = unit[0].first + 1, n++)
		CHECK(libkvoff_acquire(kv, &unit[0].first, 1) == 0);
	CHECK(n == 3);
	CHECK(libkvoff_seal_tagged(kv, h + (1ULL << 48), 1, tag) == -ESTALE);
	libkvoff_close(kv);
}

static const struct ktap_test tests[] = {
	{ "windows: shares, pieces, the same everywhere", windows },
	{ "windows: refused with figures", window_errors },
	{ "handles go stale", handles },
	{ "addresses hold while acquired", addresses },
	{ "workers, moves, frees and allocations at once", threads },
	{ "freed by two at once, once", free_races },
	{ "seals and units", seals },
	{ "units of a framed region are handles", many_units },
};
KTAP_MAIN(tests)
