// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Every allocation of what named regions and seals add fails once, as in fail_nth.c: seals, units and their tags, the
 * end of the last attachment, opening again, and taking the name away.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <sys/mman.h>

#include "walk.h"

#define BS		(64 * KIB)
#define FRAMES		64
#define NR		4

WALK_FIXTURE(fail_nth_named, BS, FRAMES, 2 * NR)

/* What the calls make and use; each test has a process of its own. */
static struct {
	int fd;
	uint32_t id;
	uint32_t flags;
} my;

static int do_create(struct bed *bed)
{
	struct kvoff_region_create arg = {
		.size = sizeof(arg), .flags = KVOFF_REGION_NAMED, .block_size = BS, .fd_flags = O_CLOEXEC,
		.length = NR * BS, .name = "fails",
	};

	my.fd = call(bed->rig.tenant, KVOFF_REGION_CREATE, &arg);
	if (my.fd >= 0)
		my.id = arg.id;
	return my.fd;
}

static int do_close(struct bed *bed)
{
	int ret = close(my.fd);

	my.fd = -1;
	return ret;
}

static int do_remove(struct bed *bed)
{
	struct kvoff_ctl_region_remove arg = { .size = sizeof(arg), .id = my.id };

	return call(bed->rig.control, KVOFF_CTL_REGION_REMOVE, &arg);
}

static int undo_create(struct bed *bed)
{
	return do_close(bed) ?: do_remove(bed);
}

/* ---- seals ---- */

static int prepare_seal(struct bed *bed)
{
	fill(bed->r->data, NR * BS, 1);
	return 0;
}

static int seal(int fd, uint32_t flags)
{
	struct kvoff_region_seal arg = { .size = sizeof(arg), .flags = flags, .nr = NR };

	if (flags)
		memset(arg.tag, 0x5a, sizeof(arg.tag));
	return call(fd, KVOFF_REGION_SEAL, &arg);
}

static int do_seal(struct bed *bed)
{
	return seal(bed->r->fd, my.flags);
}

static int undo_seal(struct bed *bed)
{
	return count_wrong(bed->r->data, NR * BS, 1) ? -EIO : region_discard(bed->r, 0, NR, NULL);
}

static int do_units(struct bed *bed)
{
	static struct kvoff_unit units[NR];
	struct kvoff_region_units arg = { .size = sizeof(arg), .nr = NR, .units = (uintptr_t)units };
	int ret = call(bed->r->fd, KVOFF_REGION_UNITS, &arg);

	return ret ?: arg.nr != 1 ? -EIO : 0;
}

static int prepare_units(struct bed *bed)
{
	return prepare_seal(bed) ?: seal(bed->r->fd, KVOFF_SEAL_TAG);
}

static int do_discard(struct bed *bed)
{
	return region_discard(bed->r, 0, NR, NULL);
}

TEST_F(fail_nth_named, seals)
{
	WALK(.name = "seal", .prepare = prepare_seal, .run = do_seal, .undo = undo_seal);
	my.flags = KVOFF_SEAL_TAG;
	WALK_REFUSED(.name = "seal a unit", .prepare = prepare_seal, .run = do_seal, .undo = undo_seal);
	WALK(.name = "units", .prepare = prepare_units, .run = do_units, .undo = undo_seal);
	WALK(.name = "discard a unit", .prepare = prepare_units, .run = do_discard);
}

/* ---- names ---- */

static int prepare_create(struct bed *bed)
{
	int ret = do_create(bed);

	return ret < 0 ? ret : 0;
}

/* With all blocks filled and sealed as a unit. */
static int prepare_unit(struct bed *bed)
{
	struct kvoff_region_commit commit = { .size = sizeof(commit), .bytes = NR * BS };
	int ret = prepare_create(bed) ?: call(my.fd, KVOFF_REGION_COMMIT, &commit);
	uint8_t *data;

	if (ret)
		return ret;
	data = mmap(NULL, NR * BS, PROT_READ | PROT_WRITE, MAP_SHARED, my.fd, KVOFF_OFF_DATA);
	if (data == MAP_FAILED)
		return -errno;
	fill(data, NR * BS, 7);
	munmap(data, NR * BS);
	return seal(my.fd, KVOFF_SEAL_TAG);
}

static int do_open(struct bed *bed)
{
	struct kvoff_region_open arg = {
		.size = sizeof(arg), .fd_flags = O_RDWR | O_CLOEXEC, .uid = KVOFF_UID_SELF, .name = "fails",
	};

	my.fd = call(bed->rig.tenant, KVOFF_REGION_OPEN, &arg);
	return my.fd;
}

/* What was sealed is there still. */
static int undo_open(struct bed *bed)
{
	uint8_t *data = mmap(NULL, NR * BS, PROT_READ, MAP_SHARED, my.fd, KVOFF_OFF_DATA);
	int ret;

	if (data == MAP_FAILED)
		return -errno;
	ret = count_wrong(data, NR * BS, 7) ? -EIO : 0;
	munmap(data, NR * BS);
	return ret ?: undo_create(bed);
}

static int undo_close(struct bed *bed)
{
	int ret = do_open(bed);

	return ret < 0 ? ret : undo_open(bed);
}

static int prepare_open(struct bed *bed)
{
	return prepare_unit(bed) ?: do_close(bed);
}

TEST_F(fail_nth_named, names)
{
	WALK_REFUSED(.name = "create", .run = do_create, .undo = undo_create);
	WALK(.name = "close", .prepare = prepare_unit, .run = do_close, .undo = undo_close);
	WALK_REFUSED(.name = "open", .prepare = prepare_open, .run = do_open, .undo = undo_open);
	WALK(.name = "remove", .prepare = prepare_open, .run = do_remove);
}

TEST_HARNESS_MAIN
