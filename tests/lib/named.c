// SPDX-License-Identifier: GPL-2.0-or-later
/* A server that comes back: what was sealed is an allocation, all else is free, and the commits are accounted for. */
#include <fcntl.h>

#include "region.h"

#define BLOCK (64 * KIB)
#define NR    64

static struct libkvoff_options named(void)
{
	return (struct libkvoff_options){ .size = sizeof(struct libkvoff_options), .block_size = BLOCK,
					 .length = NR * BLOCK,
					  .commit_step = 4 * BLOCK, .label = "test", .name = "cache", .mode = 0640,
					  .ttl_s = 60 };
}

static struct libkvoff_options again(unsigned int flags)
{
	return (struct libkvoff_options){ .size = sizeof(struct libkvoff_options), .flags = flags, .name = "cache",
					  .commit_step = 4 * BLOCK };
}

static void options(void)
{
	static const char *const bad[] = { "", ".x", "a/b", "0123456789012345678901234567890123" };
	struct libkvoff_options opts = named(), open = again(0);
	struct libkvoff *kv;
	unsigned int i;

	mock_reset(100);
	for (i = 0; i < 4; i++) {
		opts.name = open.name = bad[i];
		CHECK(libkvoff_open(&kv, &opts) == -EINVAL &&
		      libkvoff_open_named(&kv, LIBKVOFF_UID_SELF, &open) == -EINVAL);
	}
	opts.name = NULL;
	CHECK(libkvoff_open(&kv, &opts) == -EINVAL && says("set name"));
	opts = named();
	opts.mode = 0700;
	CHECK(libkvoff_open(&kv, &opts) == -EINVAL && says("0666"));
	CHECK(libkvoff_open_named(&kv, 0, NULL) == -EINVAL && libkvoff_open_named(NULL, 0, &open) == -EINVAL);
	open = again(LIBKVOFF_OPEN_FRAMED);
	CHECK(libkvoff_open_named(&kv, 0, &open) == -EINVAL);
	open = again(0);
	CHECK(libkvoff_open_named(&kv, 77, &open) == -ENOENT && says("\"cache\" of user 77") && mock.open.uid == 77);
	mock.fail[MOCK_OPEN] = EACCES;
	mock.fail_nr[MOCK_OPEN] = 1;
	CHECK(libkvoff_open_named(&kv, LIBKVOFF_UID_SELF, &open) == -EACCES && says("mode"));
	CHECK(!mock.open.uid || mock.open.uid == 77);
	mock.fail[MOCK_OPEN] = ENOTTY;
	mock.fail_nr[MOCK_OPEN] = 1;
	CHECK(libkvoff_open_named(&kv, LIBKVOFF_UID_SELF, &open) == -EOPNOTSUPP && says("version"));
	opts = named();
	mock.fail[MOCK_CREATE] = EEXIST;
	mock.fail_nr[MOCK_CREATE] = 1;
	CHECK(libkvoff_open(&kv, &opts) == -EEXIST && says("libkvoff_open_named()"));
	CHECK(libkvoff_open(&kv, &opts) == 0 && mock.create.flags == KVOFF_REGION_NAMED && mock.create.mode == 0640);
	CHECK(!strcmp(mock.create.name, "cache") && mock.create.ttl_s == 60);
	libkvoff_close(kv);
}

static void comes_back(void)
{
	struct libkvoff_options opts = named(), open = again(0), ro = again(LIBKVOFF_OPEN_RDONLY);
	struct libkvoff_stats stats = { .size = sizeof(stats) };
	char tag[LIBKVOFF_TAG_LEN] = "tag", *p, *base, *more;
	struct libkvoff_unit unit[2];
	struct libkvoff *kv, *two;
	uint64_t i;

	mock_reset(40);
	CHECK(libkvoff_open(&kv, &opts) == 0);
	p = libkvoff_alloc(kv, 20 * BLOCK);
	for (i = 0; i < 20; i++)
		mock_fault(i);
	p[5 * BLOCK] = 55;
	CHECK(libkvoff_seal_tagged(kv, 5, 3, tag) == 0 && libkvoff_seal_tagged(kv, 8, 1, tag) == 0);
	CHECK(libkvoff_seal(kv, (uint64_t[]){ 12, 13 }, 2) == 0);
	CHECK(libkvoff_attach(&two, libkvoff_fd(kv), NULL) == 0);
	libkvoff_close(two);
	libkvoff_close(kv);
	CHECK(mock.waits && mock.used == 6 && mock.committed == 6);
	CHECK(libkvoff_open_named(&kv, LIBKVOFF_UID_SELF, &open) == 0 && mock.open.uid == KVOFF_UID_SELF);
	CHECK(mock.open.fd_flags == (O_RDWR | O_CLOEXEC));
	base = libkvoff_base(kv);
	CHECK(base[5 * BLOCK] == 55 && libkvoff_units(kv, 0, unit, 2) == 2 && unit[0].first == 5);
	CHECK(libkvoff_usable_size(kv, base + 5 * BLOCK) == 3 * BLOCK &&
	      libkvoff_usable_size(kv, base + 8 * BLOCK) == BLOCK);
	CHECK(libkvoff_usable_size(kv, base + 12 * BLOCK) == BLOCK &&
	      libkvoff_usable_size(kv, base + 13 * BLOCK) == BLOCK);
	CHECK(!libkvoff_usable_size(kv, base + 6 * BLOCK) && !libkvoff_usable_size(kv, base));
	CHECK(libkvoff_stats(kv, &stats) == 0 && stats.allocated == 6 * BLOCK && stats.nr_allocated == 4);
	/* a second process, and one that only looks */
	CHECK(libkvoff_open_named(&two, LIBKVOFF_UID_SELF, &open) == 0 && !libkvoff_alloc(two, 1) && errno == EPERM);
	libkvoff_close(two);
	CHECK(libkvoff_open_named(&two, 0, &ro) == 0 && mock.open.fd_flags == (O_RDONLY | O_CLOEXEC));
	CHECK(libkvoff_units(two, 0, unit, 2) == 2 && libkvoff_seal(two, (uint64_t[]){ 5 }, 1) == -EACCES);
	libkvoff_close(two);
	/* all that is free is given out, and nothing that is not: the mock checks that commits cover it */
	for (i = 0; (more = libkvoff_alloc(kv, BLOCK)); i++) {
		uint64_t block = libkvoff_index(kv, more);

		CHECK(!(block >= 5 && block <= 8) && block != 12 && block != 13);
		mock_fault(block);
	}
	CHECK(errno == ENOMEM && i == 34 && mock.used == 40 && mock.committed == 40);
	CHECK(libkvoff_free(kv, base + 5 * BLOCK) == 0 && libkvoff_units(kv, 0, unit, 2) == 1 && mock.used == 37);
	CHECK(libkvoff_alloc(kv, 3 * BLOCK) == base + 5 * BLOCK);
	CHECK(libkvoff_free(kv, base + 12 * BLOCK) == 0 && libkvoff_free(kv, base + 12 * BLOCK) == -EINVAL);
	libkvoff_close(kv);
}

/* Attached while the last of the others was going: unsealed memory is still there, and is used again. */
static void at_the_last_moment(void)
{
	struct libkvoff_options opts = named(), open = again(0);
	struct libkvoff *kv;
	uint64_t i;

	mock_reset(10);
	CHECK(libkvoff_open(&kv, &opts) == 0 && libkvoff_alloc(kv, 10 * BLOCK));
	for (i = 0; i < 10; i++)
		mock_fault(i);
	CHECK(libkvoff_seal(kv, (uint64_t[]){ 9 }, 1) == 0);
	libkvoff_close(kv);
	mock.committed = 10;
	for (i = 0; i < 9; i++)
		mock_fault(i);
	CHECK(libkvoff_open_named(&kv, LIBKVOFF_UID_SELF, &open) == 0);
	CHECK(libkvoff_alloc(kv, 9 * BLOCK) == libkvoff_base(kv) && !libkvoff_alloc(kv, BLOCK) && mock.committed == 10);
	libkvoff_close(kv);
	/* only looking: nothing is taken over, and one who looks counts as somebody */
	open.flags = LIBKVOFF_OPEN_RDONLY;
	CHECK(libkvoff_open_named(&kv, LIBKVOFF_UID_SELF, &open) == 0 && !libkvoff_alloc(kv, 1) && errno == EPERM);
	libkvoff_close(kv);
}

static void sealed_to_the_end(void)
{
	struct libkvoff_options opts = named(), open = again(0);
	char tag[LIBKVOFF_TAG_LEN] = "tag";
	struct libkvoff *kv;
	uint64_t i;

	mock_reset(NR);
	CHECK(libkvoff_open(&kv, &opts) == 0 && libkvoff_alloc(kv, NR * BLOCK));
	for (i = 0; i < NR; i++) {
		mock_fault(i);
		CHECK(libkvoff_seal_tagged(kv, i, 1, tag) == 0);
	}
	libkvoff_close(kv);
	CHECK(libkvoff_open_named(&kv, LIBKVOFF_UID_SELF, &open) == 0 && !libkvoff_alloc(kv, 1) && errno == ENOMEM);
	for (i = 0; i < NR; i++)
		CHECK(libkvoff_free(kv, (char *)libkvoff_base(kv) + i * BLOCK) == 0);
	CHECK(libkvoff_alloc(kv, NR * BLOCK) && mock.committed == NR);
	libkvoff_close(kv);
}

static void comes_back_framed(void)
{
	struct libkvoff_options opts = named(), open = again(0);
	struct libkvoff_unit unit[4];
	char tag[LIBKVOFF_TAG_LEN] = "tag";
	uint64_t h[8], got[8];
	struct libkvoff *kv;
	void *addr;

	mock_reset(100);
	mock.room[0] = 8;
	opts.flags = LIBKVOFF_OPEN_FRAMED;
	opts.fast_bytes = 8 * BLOCK;
	CHECK(libkvoff_open(&kv, &opts) == 0 && libkvoff_block_alloc(kv, h, 8) == 0);
	CHECK(libkvoff_acquire_addr(kv, &h[3], 1, &addr) == 0);
	*(char *)addr = 33;
	CHECK(libkvoff_seal_tagged(kv, h[3], 1, tag) == 0 && libkvoff_seal(kv, &h[6], 1) == 0);
	libkvoff_close(kv);
	CHECK(mock.waits && mock.used == 2);
	CHECK(libkvoff_open_named(&kv, LIBKVOFF_UID_SELF, &open) == 0 && libkvoff_units(kv, 0, unit, 4) == 1 &&
	      unit[0].first == h[3]);
	CHECK(libkvoff_acquire_addr(kv, &h[3], 1, &addr) == 0 && *(char *)addr == 33 &&
	      libkvoff_release(kv, &h[3], 1) == 0);
	CHECK(libkvoff_touch(kv, &h[6], 1) == 0 && libkvoff_touch(kv, &h[0], 1) == -ESTALE);
	CHECK(libkvoff_block_alloc(kv, got, 7) == -ENOSPC && libkvoff_block_alloc(kv, got, 6) == 0);
	CHECK(libkvoff_block_free(kv, &h[3], 1) == 0 && libkvoff_block_alloc(kv, got + 6, 1) == 0);
	libkvoff_close(kv);
}

static const struct ktap_test tests[] = {
	{ "names and modes", options },
	{ "sealed units are allocations again", comes_back },
	{ "memory of the last process that went", at_the_last_moment },
	{ "a region full of units", sealed_to_the_end },
	{ "handles of a framed region survive", comes_back_framed },
};
KTAP_MAIN(tests)
