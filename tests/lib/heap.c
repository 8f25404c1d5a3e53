// SPDX-License-Identifier: GPL-2.0-or-later
/* What libkvoff_alloc() and libkvoff_free() promise, against a model and a module that keeps accounts. */
#include <pthread.h>

#include "region.h"

static uint64_t seed = 88172645463325252;

static uint64_t rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

/* ------------------------------------------------------------------ a model */

#define MOST 4096

/* What should be: who has which grain of 64 bytes, and how many allocations are on each block. */
static struct {
	uint64_t block;
	uint64_t nr_blocks;
	uint16_t *owner;
	uint16_t *on_block;
	uint64_t in_use;
	struct {
		char *ptr;
		uint64_t size;
	} live[MOST];
	unsigned int nr;
} model;

static void model_init(uint64_t block, uint64_t length)
{
	free(model.owner);
	free(model.on_block);
	memset(&model, 0, sizeof(model));
	model.block = block;
	model.nr_blocks = length / block;
	model.owner = calloc(length / 64, sizeof(*model.owner));
	model.on_block = calloc(model.nr_blocks, sizeof(*model.on_block));
}

/* @on: 1 to take the grains, 0 to give them back. */
static void model_mark(struct libkvoff *kv, unsigned int i, int on)
{
	uint64_t start = libkvoff_offset(kv, model.live[i].ptr), end = start + model.live[i].size, grain, block;

	for (grain = start / 64; grain <= (end - 1) / 64; grain++) {
		if (!CHECK(!!model.owner[grain] != on))
			return;
		model.owner[grain] = (uint16_t)on;
	}
	for (block = start / model.block; block <= (end - 1) / model.block; block++) {
		if (on && !model.on_block[block]++)
			model.in_use++;
		if (!on && !--model.on_block[block])
			model.in_use--;
	}
}

static uint64_t expected_align(uint64_t size)
{
	if (size % model.block == 0)
		return model.block;
	return size >= 64 * KIB || size % 4096 == 0 ? 4096 : 64;
}

static bool model_alloc(struct libkvoff *kv, uint64_t align, uint64_t size)
{
	uint64_t want = align > expected_align(size) ? align : expected_align(size), first, last;
	unsigned int i = model.nr;
	char *ptr = align ? libkvoff_aligned_alloc(kv, align, size) : libkvoff_alloc(kv, size);

	if (!ptr) {
		CHECK(errno == ENOMEM);
		return false;
	}
	/* on a block only as long as there is room */
	if (want == model.block && align < model.block)
		want = 4096;
	CHECK((uintptr_t)ptr % want == 0);
	CHECK(libkvoff_usable_size(kv, ptr) >= size && libkvoff_usable_size(kv, ptr) < size + 64);
	first = libkvoff_index(kv, ptr);
	last = libkvoff_index(kv, ptr + size - 1);
	if (!CHECK(first < model.nr_blocks && last < model.nr_blocks && last - first <= size / model.block + 1))
		return false;
	model.live[i].ptr = ptr;
	model.live[i].size = size;
	model.nr++;
	model_mark(kv, i, 1);
	CHECK(mock.committed >= model.in_use);
	/* use some of it: every block of it must be good for a fault */
	if (rnd(3))
		for (; first <= last; first++)
			mock_fault(first);
	return true;
}

static void model_free(struct libkvoff *kv, unsigned int i)
{
	uint64_t block, covered = 0;

	model_mark(kv, i, 0);
	CHECK(libkvoff_free(kv, model.live[i].ptr) == 0);
	CHECK(libkvoff_usable_size(kv, model.live[i].ptr) == 0);
	CHECK(libkvoff_free(kv, model.live[i].ptr) == -EINVAL);
	model.live[i] = model.live[--model.nr];
	/* what has memory and what may come to have it */
	for (block = 0; block < model.nr_blocks; block++)
		covered += model.on_block[block] || mock.state[block].location & KVOFF_STATE_PRESENT;
	CHECK(mock.committed >= covered);
}

static uint64_t random_size(uint64_t block)
{
	switch (rnd(5)) {
	case 0:
		return 1 + rnd(4096);
	case 1:
		return block / 4 * (1 + rnd(12));
	case 2:
		return 1 + rnd(4 * block);
	case 3:
		return 4096 * (1 + rnd(64));
	default:
		return 1 + rnd(64 * KIB);
	}
}

static void random_run(uint64_t block, uint64_t length, uint64_t limit, int ops)
{
	uint64_t step = 8 * block;
	struct libkvoff *kv;
	uint64_t size;
	int i, failed = 0;
	char *all;

	mock_reset(limit / block);
	model_init(block, length);
	kv = open_region(block, length, step);
	for (i = 0; i < ops; i++) {
		if (!model.nr || (model.nr < MOST && rnd(i / 500 % 2 ? 5 : 3) > 1)) {
			size = random_size(block);
			failed += !model_alloc(kv, rnd(4) ? 0 : UINT64_C(1) << rnd(22), size);
		} else {
			model_free(kv, (unsigned int)rnd(model.nr));
		}
		/* the tiers are full: somebody must go */
		if (failed && model.nr > 8)
			for (; failed; failed = 0)
				for (int k = 0; k < 8; k++)
					model_free(kv, (unsigned int)rnd(model.nr));
	}
	while (model.nr)
		model_free(kv, model.nr - 1);
	CHECK(mock.committed <= 2 * 8);
	/* all pieces found together again */
	mock.limit = length / block;
	all = libkvoff_alloc(kv, length);
	CHECK(all == libkvoff_base(kv));
	CHECK(mock.committed == length / block);
	CHECK(libkvoff_free(kv, all) == 0);
	CHECK(mock.committed <= 2 * 8);
	libkvoff_close(kv);
}

static void random_64k(void)
{
	random_run(64 * KIB, 48 * MIB, 1ULL << 40, 6000);
}

static void random_1m(void)
{
	random_run(MIB, 128 * MIB, 1ULL << 40, 4000);
}

static void random_2m(void)
{
	random_run(2 * MIB, 256 * MIB, 1ULL << 40, 3000);
}

static void random_full_tiers(void)
{
	random_run(64 * KIB, 48 * MIB, 12 * MIB, 6000);
}

static void random_full_region(void)
{
	random_run(256 * KIB, 8 * MIB, 1ULL << 40, 6000);
}

/* ------------------------------------------------------------------ waste */

/* Blocks that @n units of @size take, by the module's accounts. */
static uint64_t blocks_for(struct libkvoff *kv, uint64_t size, uint64_t n, char **unit)
{
	uint64_t i;

	for (i = 0; i < n; i++) {
		unit[i] = libkvoff_alloc(kv, size);
		if (!CHECK(unit[i]))
			exit(1);
	}
	return mock.committed;
}

/* Half of the units, chosen at random, go and come back. */
static void replace_half(struct libkvoff *kv, uint64_t size, uint64_t n, char **unit)
{
	uint64_t i;

	for (i = 0; i < n; i++)
		if (rnd(2)) {
			CHECK(libkvoff_free(kv, unit[i]) == 0);
			unit[i] = NULL;
		}
	for (i = 0; i < n; i++)
		if (!unit[i])
			CHECK((unit[i] = libkvoff_alloc(kv, size)));
}

static void waste(void)
{
	static const uint64_t sizes[] = {
		100,	      1000,	    4096,	 16 * KIB,     16 * KIB + 1, 17 * KIB,	   20 * KIB,	24 * KIB,
		32 * KIB,     33 * KIB + 7, 36 * KIB,	 40000,	       48 * KIB,     64 * KIB,	   64 * KIB + 1, 68 * KIB,
		100 * KIB,    128 * KIB,    200 * KIB,	 300 * KIB,    512 * KIB,    576 * KIB,	   700 * KIB,	MIB,
		1095 * KIB,   1121976,	    1122 * KIB,	 1152 * KIB,   1536 * KIB,   2 * MIB,	   2 * MIB + 1, 2304 * KIB,
		2560 * KIB,   3 * MIB,	    3584 * KIB,	 4 * MIB,      4 * MIB - 1,
		/* what these leave of a block is almost as large as they are */
		21128,	      43697,
	};
	static const uint64_t blocks[] = { 64 * KIB, 512 * KIB, MIB, 2 * MIB };
	struct libkvoff *kv;
	char **unit;
	unsigned int s, b, round;
	uint64_t n, i, used, after;
	double percent, worst;

	for (s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		worst = 0;
		for (b = 0; b < sizeof(blocks) / sizeof(blocks[0]); b++) {
			/* enough that the last block does not count */
			n = 2048 * MIB / sizes[s];
			if (n > 40000)
				n = 40000;
			unit = calloc(n, sizeof(*unit));
			mock_reset(1ULL << 40);
			/* committed to the block, so that the module's figure is ours */
			kv = open_region(blocks[b], 1ULL << 40, blocks[b]);
			used = blocks_for(kv, sizes[s], n, unit);
			percent = ((double)(used - 1) * (double)blocks[b] / ((double)n * (double)sizes[s]) - 1) * 100;
			if (percent > worst)
				worst = percent;
			/* every second one goes and comes back: in the holes they left */
			for (i = 0; i < n; i += 2)
				CHECK(libkvoff_free(kv, unit[i]) == 0);
			for (i = 0; i < n; i += 2)
				CHECK((unit[i] = libkvoff_alloc(kv, sizes[s])));
			for (round = 0; round < 3; round++)
				replace_half(kv, sizes[s], n, unit);
			after = mock.committed;
			CHECK(after <= used + 2);
			libkvoff_close(kv);
			free(unit);
		}
		printf("# unit of %" PRIu64 " bytes: at most %.2f %% more memory than bytes\n", sizes[s], worst);
		if (sizes[s] >= 16 * KIB)
			CHECK(worst <= 7.0);
		else
			CHECK(worst <= 30.0);
	}
}

/* ------------------------------------------------------------------ where things go */

static void placement(void)
{
	uint64_t block = MIB;
	struct libkvoff *kv;
	char *p[16], *small, *base;
	int i;

	mock_reset(1ULL << 30);
	kv = open_region(block, 1ULL << 34, 0);
	base = libkvoff_base(kv);
	CHECK((uintptr_t)base % (2 * MIB) == 0);
	/* low addresses first, whole blocks on blocks */
	p[0] = libkvoff_alloc(kv, 100);
	CHECK(p[0] == base);
	p[1] = libkvoff_alloc(kv, 3 * block);
	CHECK(p[1] == base + block);
	/* a gap is for others */
	small = libkvoff_alloc(kv, 64 * KIB);
	CHECK(small > base && small < base + block);
	/* 15/16 of a block does not straddle, 10/16 must */
	for (i = 2; i < 6; i++) {
		p[i] = libkvoff_alloc(kv, 960 * KIB);
		CHECK(libkvoff_index(kv, p[i]) == libkvoff_index(kv, p[i] + 960 * KIB - 1));
	}
	for (i = 6; i < 16; i++)
		p[i] = libkvoff_alloc(kv, 640 * KIB);
	CHECK(p[15] + 640 * KIB <= base + 17 * block);
	/* the latest freed is used first, and at the same place */
	CHECK(libkvoff_free(kv, p[9]) == 0);
	CHECK(libkvoff_alloc(kv, 640 * KIB) == p[9]);
	/* large alignments are of the address */
	p[0] = libkvoff_aligned_alloc(kv, 1 << 30, 100);
	CHECK(p[0] && (uintptr_t)p[0] % (1 << 30) == 0);
	libkvoff_close(kv);
}

/* A region of one block: what only is better than not is given up before the call fails. */
static void must_straddle(void)
{
	struct libkvoff *kv;
	char *p;

	mock_reset(1ULL << 30);
	kv = open_region(64 * KIB, 128 * KIB, 0);
	CHECK((p = libkvoff_alloc(kv, 32 * KIB)));
	CHECK(libkvoff_alloc(kv, 64 * KIB));
	CHECK(libkvoff_alloc(kv, 32 * KIB));
	CHECK(!libkvoff_alloc(kv, 64) && errno == ENOMEM);
	CHECK(says("128 KiB") && says("larger length"));
	libkvoff_close(kv);
}

/* ------------------------------------------------------------------ arguments */

static void bad_arguments(void)
{
	struct libkvoff *kv;
	char *p;

	mock_reset(1ULL << 30);
	kv = open_region(64 * KIB, 1ULL << 30, 0);
	CHECK(!libkvoff_alloc(kv, 0) && errno == EINVAL);
	CHECK(!libkvoff_alloc(kv, SIZE_MAX) && errno == ENOMEM);
	CHECK(!libkvoff_alloc(kv, (1ULL << 30) + 1) && errno == ENOMEM);
	CHECK(!libkvoff_aligned_alloc(kv, 3, 64) && errno == EINVAL);
	CHECK(!libkvoff_aligned_alloc(kv, 0, 64) && errno == EINVAL);
	CHECK(!libkvoff_aligned_alloc(kv, 2ULL << 30, 64) && errno == EINVAL && says("1 GiB"));
	CHECK(libkvoff_free(kv, NULL) == 0);
	CHECK(libkvoff_free(kv, &kv) == -EINVAL);
	CHECK((p = libkvoff_alloc(kv, 4096)));
	CHECK(libkvoff_free(kv, p + 64) == -EINVAL);
	CHECK(libkvoff_free(kv, p + 1) == -EINVAL);
	CHECK(libkvoff_usable_size(kv, p) == 4096);
	CHECK(libkvoff_usable_size(kv, p + 64) == 0);
	CHECK(libkvoff_free(kv, p) == 0);
	libkvoff_close(kv);
}

/* ------------------------------------------------------------------ threads */

static struct libkvoff *shared;

static void *churn(void *arg)
{
	uint64_t state = (uintptr_t)arg * 2654435761u + 12345;
	struct {
		unsigned char *ptr;
		size_t size;
	} slot[32] = { 0 };
	int i, k, failed = 0;

	for (i = 0; i < 6000; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		k = (int)(state >> 59);
		if (slot[k].ptr) {
			CHECK(slot[k].ptr[0] == (unsigned char)k && slot[k].ptr[slot[k].size - 1] == (unsigned char)k);
			CHECK(libkvoff_free(shared, slot[k].ptr) == 0);
			slot[k].ptr = NULL;
			continue;
		}
		slot[k].size = 1 + (state >> 30) % (128 * KIB);
		slot[k].ptr = libkvoff_alloc(shared, slot[k].size);
		if (!slot[k].ptr) {
			failed++;
			continue;
		}
		mock_fault(libkvoff_index(shared, slot[k].ptr));
		mock_fault(libkvoff_index(shared, slot[k].ptr + slot[k].size - 1));
		slot[k].ptr[0] = slot[k].ptr[slot[k].size - 1] = (unsigned char)k;
	}
	for (k = 0; k < 32; k++)
		CHECK(libkvoff_free(shared, slot[k].ptr) == 0);
	return (void *)(intptr_t)failed;
}

static void threads(void)
{
	struct libkvoff_stats stats = { .size = sizeof(stats) };
	pthread_t thread[4];
	intptr_t failed = 0;
	void *ret;
	uintptr_t i;

	/* less than one of them would like to have */
	mock_reset(12);
	shared = open_region(64 * KIB, 1ULL << 30, 512 * KIB);
	for (i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, churn, (void *)(i + 1));
	for (i = 0; i < 4; i++) {
		pthread_join(thread[i], &ret);
		failed += (intptr_t)ret;
	}
	printf("# %d allocations refused\n", (int)failed);
	CHECK(failed > 0);
	CHECK(libkvoff_stats(shared, &stats) == 0);
	CHECK(!stats.allocated && !stats.nr_allocated);
	CHECK(mock.used <= mock.committed && mock.committed <= 12);
	libkvoff_close(shared);
}

/* ------------------------------------------------------------------ many */

static void millions(void)
{
	static char *p[300000];
	struct libkvoff_stats stats = { .size = sizeof(stats) };
	struct libkvoff *kv;
	unsigned int i, n = sizeof(p) / sizeof(p[0]);

	mock_reset(1ULL << 40);
	kv = open_region(64 * KIB, 1ULL << 44, 0);
	for (i = 0; i < n; i++)
		p[i] = libkvoff_alloc(kv, 16 * KIB);
	CHECK(libkvoff_stats(kv, &stats) == 0);
	CHECK(stats.nr_allocated == n && stats.allocated == n * 16 * KIB);
	for (i = 0; i < n; i++)
		CHECK(libkvoff_usable_size(kv, p[i]) == 16 * KIB);
	for (i = 0; i < n; i++)
		CHECK(libkvoff_free(kv, p[(i * 7919UL) % n]) == 0);
	CHECK(libkvoff_stats(kv, &stats) == 0);
	CHECK(!stats.nr_allocated && !stats.allocated);
	libkvoff_close(kv);
}

static const struct ktap_test tests[] = {
	{ "random sizes in blocks of 64 KiB", random_64k },
	{ "random sizes in blocks of 1 MiB", random_1m },
	{ "random sizes in blocks of 2 MiB", random_2m },
	{ "random sizes in full tiers", random_full_tiers },
	{ "random sizes in a full region", random_full_region },
	{ "waste by unit size, and after churn", waste },
	{ "placement", placement },
	{ "straddles where it must", must_straddle },
	{ "bad arguments", bad_arguments },
	{ "threads share full tiers", threads },
	{ "300000 allocations in 16 TiB", millions },
};
KTAP_MAIN(tests)
