// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Framed and named regions by the library against the real module, in the emulated machine. What a module of an older
 * version does not have is skipped.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "libkvoff.h"
#include "tests/kselftest/rig.h"
#include "tests/lib/ktap.h"

#define BS	(64 * KIB)
#define NR	16
#define INDEX(handle) ((handle) & 0xffffffffffffULL)

bool ktap_failed;
static bool skipped;
static struct rig rig;

/* True if the call worked; a module that does not have it skips the test. */
static bool have(int ret, const char *what)
{
	if (ret >= 0)
		return true;
	printf("# %s: %s\n", what, libkvoff_strerror(ret));
	if (ret == -EOPNOTSUPP || ret == -ENOTTY || ret == -EINVAL)
		skipped = true;
	else
		ktap_failed = true;
	return false;
}

static struct libkvoff *open_framed(const char *name)
{
	struct libkvoff_options opts = { .size = sizeof(opts), .flags = LIBKVOFF_OPEN_FRAMED, .block_size = BS,
					 .fast_bytes = NR * BS, .far_bytes = NR * BS, .name = name };
	struct libkvoff *kv = NULL;

	have(libkvoff_open(&kv, &opts), "opening a framed region");
	return kv;
}

static struct region moved_of(struct libkvoff *kv)
{
	struct libkvoff_stats stats = { .size = sizeof(stats) };

	CHECK(libkvoff_stats(kv, &stats) == 0);
	return (struct region){ .fd = -1, .id = stats.region_id };
}

/* Nobody has acquired the block: it goes, unless the window there is full. */
static void moves(void)
{
	struct libkvoff *kv = open_framed(NULL);
	struct libkvoff_block where;
	uint64_t h[NR], i, round;
	struct region r;
	void *addr;

	if (!kv)
		return;
	r = moved_of(kv);
	if (!CHECK(libkvoff_block_alloc(kv, h, NR) == 0))
		goto out;
	for (i = 0; i < NR; i++) {
		CHECK(libkvoff_acquire_addr(kv, &h[i], 1, &addr) == 0);
		fill(addr, BS, i);
		CHECK(libkvoff_query(kv, &h[i], 1, &where) == 0 && where.flags == LIBKVOFF_BLOCK_ACQUIRED);
		CHECK(libkvoff_release(kv, &h[i], 1) == 0);
	}
	for (round = 0; round < 20; round++)
		for (i = 0; i < NR; i++) {
			uint32_t to = (round + i) % 2 ? rig.far : rig.near;
			int ret = move_one(&rig, &r, INDEX(h[i]), to, 0);

			CHECK(ret == 0 || ret == -ENOSPC);
			if (!CHECK(libkvoff_acquire_addr(kv, &h[i], 1, &addr) == 0) ||
			    !CHECK(!count_wrong(addr, BS, i)))
				goto out;
			CHECK(libkvoff_release(kv, &h[i], 1) == 0);
		}
	CHECK(libkvoff_block_free(kv, h, NR) == 0 && libkvoff_acquire(kv, h, 1) == -ESTALE);
out:
	libkvoff_close(kv);
}

static void acquired(void)
{
	struct libkvoff *kv = open_framed(NULL);
	struct region r;
	uint64_t h;

	if (!kv)
		return;
	r = moved_of(kv);
	CHECK(libkvoff_block_alloc(kv, &h, 1) == 0 && libkvoff_acquire(kv, &h, 1) == 0);
	CHECK(move_one(&rig, &r, INDEX(h), rig.far, 0) == -EAGAIN);
	CHECK(libkvoff_block_free(kv, &h, 1) == -EBUSY && libkvoff_discard(kv, &h, 1) == -EBUSY);
	CHECK(libkvoff_release(kv, &h, 1) == 0 && libkvoff_block_free(kv, &h, 1) == 0);
	libkvoff_close(kv);
}

static void told(void)
{
	struct libkvoff *kv = open_framed(NULL);
	struct libkvoff_completion done;
	struct pollfd p = { .events = POLLIN };
	struct region r;
	uint64_t h[2];
	int n = 0;

	if (!kv)
		return;
	r = moved_of(kv);
	p.fd = libkvoff_eventfd(kv);
	if (!have(p.fd, "eventfd"))
		goto out;
	CHECK(libkvoff_block_alloc(kv, h, 2) == 0);
	CHECK(move_one(&rig, &r, INDEX(h[0]), rig.far, 0) == 0 && move_one(&rig, &r, INDEX(h[1]), rig.far, 0) == 0);
	CHECK(libkvoff_reap(kv, &done, 1) == 0 && poll(&p, 1, 0) == 0);
	if (!have(libkvoff_prefetch_until(kv, h, 2, 0, 42), "prefetch_until"))
		goto out;
	CHECK(poll(&p, 1, 0) == 0);
	CHECK(move_one(&rig, &r, INDEX(h[0]), rig.near, 0) == 0 && move_one(&rig, &r, INDEX(h[1]), rig.near, 0) == 0);
	while (!n && CHECK(poll(&p, 1, PATIENCE_MS) == 1))
		n = libkvoff_reap(kv, &done, 1);
	CHECK(n == 1 && done.cookie == 42 && done.n_fast == 2 && !done.late && poll(&p, 1, 0) == 0);
out:
	libkvoff_close(kv);
}

/* The region ends with its name: a test that died must not leave one behind for the next. */
static void remove_region(uint32_t id)
{
	struct kvoff_ctl_region_remove arg = { .size = sizeof(arg), .id = id };

	CHECK(ioctl(rig.control, KVOFF_CTL_REGION_REMOVE, &arg) == 0);
}

static void named(bool framed)
{
	struct libkvoff_options opts = { .size = sizeof(opts), .block_size = BS, .length = NR * BS, .name = "live" };
	char tag[LIBKVOFF_TAG_LEN] = "the unit";
	struct libkvoff_unit unit[2];
	struct libkvoff *kv = NULL;
	struct region r;
	uint64_t h = 0;
	void *addr = NULL;

	if (framed)
		kv = open_framed("live");
	else
		have(libkvoff_open(&kv, &opts), "opening a named region");
	if (!kv)
		return;
	r = moved_of(kv);
	if (framed) {
		CHECK(libkvoff_block_alloc(kv, &h, 1) == 0 && libkvoff_acquire_addr(kv, &h, 1, &addr) == 0);
	} else {
		addr = libkvoff_alloc(kv, BS);
		h = libkvoff_index(kv, addr);
	}
	if (!CHECK(addr))
		goto out;
	fill(addr, BS, 9);
	if (!have(libkvoff_seal_tagged(kv, h, 1, tag), "seal"))
		goto out;
	libkvoff_close(kv);
	if (!have(libkvoff_open_named(&kv, LIBKVOFF_UID_SELF, &opts), "opening it again"))
		goto gone;
	CHECK(libkvoff_units(kv, 0, unit, 2) == 1 && unit[0].first == h && !memcmp(unit[0].tag, tag, sizeof(tag)));
	CHECK(libkvoff_acquire_addr(kv, &h, 1, &addr) == 0 && !count_wrong(addr, BS, 9) &&
	      libkvoff_release(kv, &h, 1) == 0);
	if (framed)
		CHECK(libkvoff_block_free(kv, &h, 1) == 0);
	else
		CHECK(libkvoff_free(kv, addr) == 0 && libkvoff_alloc(kv, NR * BS));
	CHECK(libkvoff_units(kv, 0, unit, 2) == 0);
out:
	libkvoff_close(kv);
gone:
	remove_region(r.id);
}

static void named_mapped(void)
{
	named(false);
}

static void named_framed(void)
{
	named(true);
}

static const struct ktap_test tests[] = {
	{ "handles name the same bytes while blocks move", moves },
	{ "an acquired block stays", acquired },
	{ "a prefetch is told by the descriptor", told },
	{ "a mapped region with a name comes back", named_mapped },
	{ "a framed region with a name comes back", named_framed },
};

int main(void)
{
	size_t nr = sizeof(tests) / sizeof(tests[0]), i;
	const char *wrong;
	int bad = 0, ret;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("KTAP version 1\n1..%zu\n", nr);
	for (i = 0; i < nr; i++) {
		ktap_failed = skipped = false;
		ret = rig_up(&rig, BS, 4 * NR * BS);
		if (CHECK(!ret)) {
			tests[i].run();
			wrong = rig_down(&rig);
			if (wrong)
				printf("# %s\n", wrong);
			CHECK(!wrong);
		}
		printf("%s %zu %s%s\n", ktap_failed ? "not ok" : "ok", i + 1, tests[i].name,
		       skipped && !ktap_failed ? " # SKIP this module does not have it" : "");
		bad |= ktap_failed;
	}
	return bad;
}
