// SPDX-License-Identifier: GPL-2.0-or-later
/* Every other call of the library: what it tells the module, what it writes into the shared arrays, how it fails. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "ktap.h"
#include "mock.h"

#define BLOCK	  ((size_t)64 << 10)
#define NR	  64
#define ALL_HINTS (KVOFF_HINT_PREFETCH | KVOFF_HINT_COLD | KVOFF_HINT_SHARED | KVOFF_HINT_DONE)

static struct libkvoff_options small(void)
{
	return (struct libkvoff_options){
		.size = sizeof(struct libkvoff_options), .block_size = BLOCK, .length = NR * BLOCK, .label = "test"
	};
}

static struct libkvoff *fresh(void)
{
	struct libkvoff_options opts = small();
	struct libkvoff *kv = NULL;

	mock_reset(1000);
	if (!CHECK(libkvoff_open(&kv, &opts) == 0))
		exit(1);
	return kv;
}

static bool says(int err, const char *part)
{
	const char *text = libkvoff_strerror(err);
	bool found = strstr(text, part);

	if (!found)
		printf("# \"%s\" is not in: %s\n", part, text);
	return found;
}

/* ------------------------------------------------------------------ open */

static bool open_is(const struct libkvoff_options *opts, int want)
{
	struct libkvoff *kv = (struct libkvoff *)&kv;
	int ret = libkvoff_open(&kv, opts);

	if (ret != want)
		printf("# got %d, not %d: %s\n", ret, want, ret ? libkvoff_strerror(ret) : "");
	if (ret && kv) {
		printf("# a failed open left a region\n");
		return false;
	}
	libkvoff_close(kv);
	return ret == want;
}

static void open_defaults(void)
{
	struct libkvoff_options opts = LIBKVOFF_OPTIONS_INIT;

	mock_reset(1000);
	CHECK(open_is(NULL, 0));
	CHECK(!strcmp(mock.node, "/dev/kvoff/default"));
	CHECK(mock.create.length == 1ULL << 40 && mock.create.block_size == 2 << 20 && !mock.create.unit_size);
	CHECK(mock.create.fd_flags == O_CLOEXEC && !strcmp(mock.create.label, "lib-calls"));
	/* the block follows the unit */
	opts.tenant = "team-a.1";
	opts.flags = LIBKVOFF_OPEN_INHERIT;
	opts.unit_size = 1121976;
	mock_reset(1000);
	CHECK(open_is(&opts, 0));
	CHECK(!strcmp(mock.node, "/dev/kvoff/team-a.1") && !mock.create.fd_flags);
	CHECK(mock.create.block_size == 1 << 20 && mock.create.unit_size == 1121976);
	opts.unit_size = 1000;
	mock_reset(1000);
	CHECK(open_is(&opts, 0) && mock.create.block_size == 64 << 10);
	opts.unit_size = 2359296;
	mock_reset(1000);
	CHECK(open_is(&opts, 0) && mock.create.block_size == 2 << 20);
	/* whole blocks */
	opts = small();
	opts.length = 3 * BLOCK + 1;
	mock_reset(1000);
	CHECK(open_is(&opts, 0) && mock.create.length == 4 * BLOCK);
}

static void open_bad_options(void)
{
	static const char *const bad_names[] = { "", ".x", "a/b", "a b", "../null", "0123456789012345678901234567890123" };
	struct {
		struct libkvoff_options known;
		char more[16];
	} newer = { .known = small() };
	struct libkvoff_options opts;
	unsigned int i;

	mock_reset(1000);
	CHECK(libkvoff_open(NULL, NULL) == -EINVAL);
	for (i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++) {
		opts = small();
		opts.tenant = bad_names[i];
		CHECK(open_is(&opts, -EINVAL) && says(-EINVAL, "tenant"));
		opts = small();
		opts.label = bad_names[i];
		CHECK(!*bad_names[i] || (open_is(&opts, -EINVAL) && says(-EINVAL, "label")));
	}
	opts = small();
	opts.tenant = "control";
	CHECK(open_is(&opts, -EINVAL));
	for (i = 0; i < 3; i++) {
		opts = small();
		opts.block_size = (size_t[]){ 32 << 10, 4 << 20, 3 << 16 }[i];
		CHECK(open_is(&opts, -EINVAL) && says(-EINVAL, "block_size"));
	}
	opts = small();
	opts.length = (1ULL << 46) + 1;
	CHECK(open_is(&opts, -EINVAL) && says(-EINVAL, "64 TiB"));
	opts.length = UINT64_MAX;
	CHECK(open_is(&opts, -EINVAL));
	opts = small();
	opts.unit_size = NR * BLOCK + 1;
	CHECK(open_is(&opts, -EINVAL) && says(-EINVAL, "unit_size"));
	opts = small();
	opts.flags = LIBKVOFF_OPEN_RDONLY;
	CHECK(open_is(&opts, -EINVAL));
	opts.flags = 1U << 31;
	CHECK(open_is(&opts, -EINVAL));
	/* sizes of other versions */
	opts = small();
	opts.size = 4;
	CHECK(open_is(&opts, -EINVAL) && says(-EINVAL, "LIBKVOFF_OPTIONS_INIT"));
	CHECK(!mock.calls[MOCK_CREATE]);
	newer.known.size = sizeof(newer);
	CHECK(open_is(&newer.known, 0));
	newer.more[15] = 1;
	CHECK(open_is(&newer.known, -E2BIG) && says(-E2BIG, "newer"));
	mock_reset(1000);
	opts = small();
	opts.unit_size = BLOCK;
	opts.size = offsetof(struct libkvoff_options, unit_size);
	CHECK(open_is(&opts, 0) && mock.create.length == NR * BLOCK && !mock.create.unit_size);
}

static void open_errors(void)
{
	struct libkvoff_options opts = small();

	mock_reset(1000);
	mock.open_error = ENOENT;
	opts.tenant = "team";
	CHECK(open_is(&opts, -ENOENT) && says(-ENOENT, "no tenant \"team\""));
	mock.have_dir = false;
	CHECK(open_is(&opts, -ENODEV) && says(-ENODEV, "modprobe kvoff") && says(-ENODEV, "LIBKVOFF_FALLBACK=1"));
	mock.open_error = ENXIO;
	CHECK(open_is(&opts, -ENODEV));
	mock.open_error = EACCES;
	CHECK(open_is(&opts, -EACCES) && says(-EACCES, "/dev/kvoff/team") && says(-EACCES, "uid"));
	mock.open_error = EMFILE;
	CHECK(open_is(&opts, -EMFILE) && says(-EMFILE, "Too many open files"));
	mock.open_error = 0;
	mock.fail[MOCK_CREATE] = ENOMEM;
	mock.fail_nr[MOCK_CREATE] = 1;
	CHECK(open_is(&opts, -ENOMEM) && says(-ENOMEM, "4 MiB"));
	mock.fail[MOCK_CREATE] = EINTR;
	mock.fail_nr[MOCK_CREATE] = 1;
	CHECK(open_is(&opts, 0));
	/* not this thread's last error: a general text */
	CHECK(!strcmp(libkvoff_strerror(-EXDEV), strerror(EXDEV)));
	CHECK(!strcmp(libkvoff_strerror(EXDEV), strerror(EXDEV)));
	CHECK(libkvoff_strerror(0) && libkvoff_strerror((int)(1U << 31)));
}

/* ------------------------------------------------------------------ where things are */

static void places(void)
{
	struct libkvoff *kv = fresh();
	char *base = libkvoff_base(kv);

	CHECK(libkvoff_block_size(kv) == BLOCK && libkvoff_fd(kv) >= 0);
	CHECK(libkvoff_offset(kv, base) == 0 && libkvoff_offset(kv, base + NR * BLOCK - 1) == NR * BLOCK - 1);
	CHECK(libkvoff_offset(kv, base + NR * BLOCK) == UINT64_MAX && libkvoff_offset(kv, base - 1) == UINT64_MAX);
	CHECK(libkvoff_offset(kv, NULL) == UINT64_MAX && libkvoff_index(kv, NULL) == UINT64_MAX);
	CHECK(libkvoff_index(kv, base + 5 * BLOCK + 1) == 5);
	base[7] = 77;
	CHECK(mock.data[7] == 77);
	libkvoff_close(kv);
	libkvoff_close(NULL);
}

/* ------------------------------------------------------------------ hints */

static void hints(void)
{
	static const uint64_t three[] = { 3, 9, 3 };
	struct libkvoff *kv = fresh();
	char *base = libkvoff_base(kv);

	CHECK(libkvoff_touch(kv, three, 3) == 0);
	CHECK(mock.hint[3].touches == 2 && mock.hint[9].touches == 1 && mock.hint[4].touches == 0);
	mock.hint[9].bits = ALL_HINTS;
	CHECK(libkvoff_touch(kv, three, 3) == 0 && mock.hint[9].bits == KVOFF_HINT_SHARED);
	/* every block that the range touches, no other */
	CHECK(libkvoff_touch_ptr(kv, base + 20 * BLOCK - 1, BLOCK + 2) == 0);
	CHECK(!mock.hint[18].touches && mock.hint[19].touches && mock.hint[20].touches && mock.hint[21].touches);
	CHECK(!mock.hint[22].touches);
	mock.hint[3].bits = KVOFF_HINT_COLD | KVOFF_HINT_DONE | KVOFF_HINT_SHARED;
	CHECK(libkvoff_prefetch(kv, three, 3) == 0);
	CHECK(mock.hint[3].bits == (KVOFF_HINT_PREFETCH | KVOFF_HINT_SHARED) && mock.hint[9].bits & KVOFF_HINT_PREFETCH);
	CHECK(libkvoff_hint(kv, three, 3, LIBKVOFF_HINT_COLD) == 0);
	CHECK(mock.hint[3].bits == (KVOFF_HINT_COLD | KVOFF_HINT_SHARED));
	CHECK(libkvoff_hint(kv, three, 3, LIBKVOFF_HINT_DONE) == 0);
	CHECK(mock.hint[3].bits == (KVOFF_HINT_COLD | KVOFF_HINT_SHARED | KVOFF_HINT_DONE));
	mock.hint[3].bits = ALL_HINTS | 1U << 31;
	CHECK(libkvoff_hint(kv, three, 3, LIBKVOFF_HINT_NORMAL) == 0 && mock.hint[3].bits == 1U << 31);
	CHECK(libkvoff_hint_ptr(kv, base + 40 * BLOCK, 1, LIBKVOFF_HINT_SHARED) == 0);
	CHECK(mock.hint[40].bits == KVOFF_HINT_SHARED && !mock.hint[41].bits);
	CHECK(libkvoff_prefetch_ptr(kv, base + 41 * BLOCK, BLOCK) == 0);
	CHECK(mock.hint[41].bits == KVOFF_HINT_PREFETCH && !mock.hint[42].bits);
	CHECK(libkvoff_hint(kv, three, 3, (enum libkvoff_hint)99) == -EINVAL && says(-EINVAL, "99"));
	/* all of it without asking the module */
	CHECK(mock_all_calls() == 1);
	libkvoff_close(kv);
}

static void bad_blocks(void)
{
	static const uint64_t bad[] = { 1, NR, 2 };
	struct libkvoff *kv = fresh();
	char *base = libkvoff_base(kv);
	struct libkvoff_block out[3];

	CHECK(libkvoff_touch(kv, bad, 3) == -ERANGE && says(-ERANGE, "index 64 (entry 1 of 3)"));
	CHECK(!mock.hint[1].touches);
	CHECK(libkvoff_prefetch(kv, bad, 3) == -ERANGE && !mock.hint[1].bits);
	CHECK(libkvoff_hint(kv, bad, 3, LIBKVOFF_HINT_COLD) == -ERANGE && !mock.hint[1].bits);
	CHECK(libkvoff_acquire(kv, bad, 3) == -ERANGE && !mock.refs[1]);
	CHECK(libkvoff_release(kv, bad, 3) == -ERANGE);
	CHECK(libkvoff_discard(kv, bad, 3) == -ERANGE && !mock.calls[MOCK_DISCARD]);
	CHECK(libkvoff_query(kv, bad, 3, out) == -ERANGE);
	CHECK(libkvoff_query(kv, bad, 1, NULL) == -EINVAL);
	CHECK(libkvoff_touch(kv, NULL, 1) == -EINVAL && libkvoff_touch(kv, NULL, 0) == 0);
	CHECK(libkvoff_touch(kv, (uint64_t[]){ UINT64_MAX }, 1) == -ERANGE);
	CHECK(libkvoff_touch_ptr(kv, base, 0) == -EINVAL);
	CHECK(libkvoff_touch_ptr(kv, base - 1, 1) == -ERANGE);
	CHECK(libkvoff_touch_ptr(kv, base + 1, NR * BLOCK) == -ERANGE && says(-ERANGE, "not in the region"));
	CHECK(libkvoff_touch_ptr(kv, base + 1, SIZE_MAX) == -ERANGE);
	CHECK(libkvoff_touch_ptr(kv, base, NR * BLOCK) == 0);
	CHECK(libkvoff_query_ptr(kv, base + NR * BLOCK, out) == -ERANGE);
	CHECK(libkvoff_query_ptr(kv, base, NULL) == -EINVAL);
	libkvoff_close(kv);
}

/* ------------------------------------------------------------------ discard */

static void discards(void)
{
	static const uint64_t order[] = { 9, 3, 4, 5, 20, 4, 8 };
	struct libkvoff *kv = fresh();
	char *base = libkvoff_base(kv);

	CHECK(libkvoff_discard(kv, order, 7) == 0);
	CHECK(mock.calls[MOCK_DISCARD] == 3);
	CHECK(mock.discards[2].first == 3 && mock.discards[2].nr == 3);
	CHECK(mock.discards[1].first == 8 && mock.discards[1].nr == 2);
	CHECK(mock.discards[0].first == 20 && mock.discards[0].nr == 1);
	CHECK(libkvoff_discard(kv, (uint64_t[]){ 1, 2, 3 }, 3) == 0 && mock.calls[MOCK_DISCARD] == 4);
	CHECK(libkvoff_discard_ptr(kv, base + 2 * BLOCK, 5 * BLOCK) == 0);
	CHECK(mock.discards[0].first == 2 && mock.discards[0].nr == 5);
	CHECK(libkvoff_discard_ptr(kv, base + 1, BLOCK) == -EINVAL && says(-EINVAL, "whole blocks"));
	CHECK(libkvoff_discard_ptr(kv, base, BLOCK + 4096) == -EINVAL);
	CHECK(libkvoff_discard_ptr(kv, base, (NR + 1) * BLOCK) == -ERANGE);
	CHECK(libkvoff_discard(kv, NULL, 0) == 0);
	CHECK(mock.calls[MOCK_DISCARD] == 5);
	mock.fail[MOCK_DISCARD] = EIO;
	mock.fail_nr[MOCK_DISCARD] = 1;
	CHECK(libkvoff_discard_ptr(kv, base, BLOCK) == -EIO && says(-EIO, "blocks 0 to 0"));
	libkvoff_close(kv);
}

/* ------------------------------------------------------------------ query, stats */

static void queries(void)
{
	struct libkvoff_block out[2];
	struct libkvoff *kv = fresh();

	mock.state[4].location = KVOFF_STATE_PRESENT | KVOFF_STATE_MOVING | 3 << 8 | 0xabcdULL << 16 | 5ULL << 32;
	mock.hint[4].touches = 11;
	mock.refs[4] = 2;
	mock.state[5].location = 3 << 8 | 1 << 16;
	CHECK(libkvoff_query(kv, (uint64_t[]){ 4, 5 }, 2, out) == 0);
	CHECK(out[0].tier == 3 && out[0].generation == 0xabcd && out[0].touches == 11);
	CHECK(out[0].flags == (LIBKVOFF_BLOCK_MOVING | LIBKVOFF_BLOCK_ACQUIRED));
	CHECK(out[1].tier == -1 && !out[1].flags && out[1].generation == 1);
	CHECK(libkvoff_query_ptr(kv, (char *)libkvoff_base(kv) + 5 * BLOCK - 1, out) == 0 && out[0].tier == 3);
	CHECK(mock_all_calls() == 1);
	libkvoff_close(kv);
}

static void statistics(void)
{
	struct {
		struct libkvoff_stats known;
		char more[16];
	} newer = { .known.size = sizeof(newer), .more = { [3] = 1 } };
	struct libkvoff_stats stats = { .size = sizeof(stats) };
	struct libkvoff *kv = fresh();

	CHECK(libkvoff_alloc(kv, 100) && libkvoff_alloc(kv, BLOCK));
	mock_fault(0);
	CHECK(libkvoff_stats(kv, &stats) == 0 && stats.size == sizeof(stats));
	CHECK(stats.region_id == 7 && stats.length == NR * BLOCK && stats.committed == mock.committed * BLOCK);
	CHECK(stats.used == BLOCK && stats.tier_used[0] == BLOCK && stats.nr_attached == 1);
	CHECK(stats.allocated == BLOCK + 100 && stats.nr_allocated == 2 && !stats.flags);
	stats.size = 8;
	CHECK(libkvoff_stats(kv, &stats) == -EINVAL);
	stats.size = offsetof(struct libkvoff_stats, tier_used);
	stats.tier_used[0] = 99;
	CHECK(libkvoff_stats(kv, &stats) == 0 && stats.tier_used[0] == 99);
	CHECK(libkvoff_stats(kv, &newer.known) == 0 && !newer.more[3] && newer.known.size == sizeof(newer));
	CHECK(libkvoff_stats(kv, NULL) == -EINVAL);
	mock.fail[MOCK_INFO] = ENODEV;
	mock.fail_nr[MOCK_INFO] = 1;
	CHECK(libkvoff_stats(kv, &stats) == -ENODEV);
	libkvoff_close(kv);
}

/* ------------------------------------------------------------------ attach */

static void attaching(void)
{
	struct libkvoff_options ro = { .size = sizeof(ro), .flags = LIBKVOFF_OPEN_RDONLY | LIBKVOFF_OPEN_INHERIT };
	struct libkvoff_options odd = { .size = sizeof(odd), .flags = 1U << 20 };
	struct libkvoff *kv = fresh(), *two = NULL, *three = NULL;
	struct libkvoff_block out;
	char *p = libkvoff_alloc(kv, BLOCK);
	uint64_t zero = 0;

	CHECK(libkvoff_attach(&two, libkvoff_fd(kv), NULL) == 0);
	CHECK(mock.attach.fd_flags == (O_CLOEXEC | O_RDWR) && libkvoff_fd(two) != libkvoff_fd(kv));
	CHECK(libkvoff_block_size(two) == BLOCK && libkvoff_base(two) != libkvoff_base(kv));
	p[5] = 42;
	CHECK(((char *)libkvoff_base(two))[libkvoff_offset(kv, p) + 5] == 42);
	CHECK(libkvoff_touch(two, &zero, 1) == 0 && mock.hint[0].touches == 1);
	errno = 0;
	CHECK(!libkvoff_alloc(two, 100) && errno == EPERM && says(EPERM, "opened it"));
	CHECK(libkvoff_free(two, libkvoff_base(two)) == -EINVAL && libkvoff_free(two, NULL) == 0);
	CHECK(libkvoff_usable_size(two, libkvoff_base(two)) == 0);
	/* read-only: looking, nothing else */
	CHECK(libkvoff_attach(&three, libkvoff_fd(two), &ro) == 0);
	CHECK(mock.attach.fd_flags == O_RDONLY);
	CHECK(libkvoff_touch(three, &zero, 1) == -EACCES && libkvoff_prefetch(three, &zero, 1) == -EACCES);
	CHECK(libkvoff_hint(three, &zero, 1, LIBKVOFF_HINT_COLD) == -EACCES);
	CHECK(libkvoff_acquire(three, &zero, 1) == -EACCES && libkvoff_release(three, &zero, 1) == -EACCES);
	CHECK(libkvoff_discard(three, &zero, 1) == -EACCES && says(-EACCES, "LIBKVOFF_OPEN_RDONLY"));
	CHECK(!libkvoff_alloc(three, 100) && errno == EPERM);
	CHECK(libkvoff_query(three, &zero, 1, &out) == 0 && out.tier == -1 && out.touches == 0);
	CHECK(((char *)libkvoff_base(three))[5] == 42);
	libkvoff_close(two);
	CHECK(libkvoff_attach(&two, libkvoff_fd(three), NULL) == -EACCES && !two);
	CHECK(says(-EACCES, "read-only"));
	CHECK(libkvoff_attach(&two, 0, NULL) == -ENOTTY && says(-ENOTTY, "libkvoff_fd()"));
	CHECK(libkvoff_attach(&two, 9999, NULL) == -EBADF);
	CHECK(libkvoff_attach(&two, libkvoff_fd(kv), &odd) == -EINVAL);
	CHECK(libkvoff_attach(NULL, libkvoff_fd(kv), NULL) == -EINVAL);
	libkvoff_close(three);
	libkvoff_close(kv);
}

static int open_fds(void)
{
	int fd, nr = 0;

	for (fd = 0; fd < 256; fd++)
		nr += fcntl(fd, F_GETFD) >= 0;
	return nr;
}

static void leaves_nothing(void)
{
	struct libkvoff *kv = fresh(), *two;
	int before = open_fds();

	CHECK(libkvoff_attach(&two, libkvoff_fd(kv), NULL) == 0);
	libkvoff_close(two);
	mock.fail[MOCK_INFO] = EIO;
	mock.fail_nr[MOCK_INFO] = 1;
	CHECK(libkvoff_attach(&two, libkvoff_fd(kv), NULL) == -EIO);
	CHECK(open_fds() == before);
	libkvoff_close(kv);
	CHECK(open_fds() == before - 1);
}

static const struct ktap_test tests[] = {
	{ "open: defaults and what follows from the unit", open_defaults },
	{ "open: options out of range, sizes of other versions", open_bad_options },
	{ "open: errors say what to do", open_errors },
	{ "offsets and indices", places },
	{ "touch, prefetch, hint", hints },
	{ "blocks outside the region", bad_blocks },
	{ "discard joins neighbours", discards },
	{ "query", queries },
	{ "stats", statistics },
	{ "attach, read-write and read-only", attaching },
	{ "nothing is left open", leaves_nothing },
};
KTAP_MAIN(tests)
