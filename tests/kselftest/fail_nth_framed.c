// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Every allocation of what framed regions add fails once, as in fail_nth.c: windows, blocks, moves between frames,
 * eventfds.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "walk.h"

#define BS		(64 * KIB)
#define FRAMES		64
/* Frames of a window, and blocks that are given one. */
#define NR		4
/* Blocks are so far apart that each has records and array pages of its own. */
#define STRIDE		(1024 * MIB / BS)
#define LIFE		128

WALK_FIXTURE(fail_nth_framed, BS, FRAMES, FRAMES)

/*
 * What the calls make and use; each test has a process of its own.
 *
 * @life: which of the groups of blocks is in use; grows with each walk's step
 */
static struct {
	int fd;
	int event;
	uint32_t id;
	void *map;
	uint64_t life;
	uint64_t blocks[NR];
} my;

static int do_create(struct bed *bed)
{
	struct kvoff_region_create arg = {
		.size = sizeof(arg), .flags = KVOFF_REGION_FRAMED, .block_size = BS, .fd_flags = O_CLOEXEC,
		.length = LIFE * STRIDE * BS,
	};

	my.fd = call(bed->rig.tenant, KVOFF_REGION_CREATE, &arg);
	my.id = arg.id;
	return my.fd;
}

static int undo_fd(struct bed *bed)
{
	int ret = close(my.fd);

	my.fd = -1;
	return ret;
}

static void cleanup_fd(struct bed *bed)
{
	undo_fd(bed);
}

static int grow(uint32_t tier)
{
	struct kvoff_region_window arg = { .size = sizeof(arg), .tier = tier, .bytes = NR * BS };

	return call(my.fd, KVOFF_REGION_WINDOW, &arg);
}

static int do_grow(struct bed *bed)
{
	return grow(bed->rig.near);
}

/* The window has what was asked for, and all of it is free. */
static int undo_grow(struct bed *bed)
{
	struct kvoff_region_window arg = { .size = sizeof(arg), .tier = bed->rig.near };
	int ret = call(my.fd, KVOFF_REGION_WINDOW, &arg);

	return ret ?: arg.bytes != NR * BS || arg.free != NR * BS ? -EIO : 0;
}

static int prepare_create(struct bed *bed)
{
	int ret = do_create(bed);

	return ret < 0 ? ret : 0;
}

static int prepare_window(struct bed *bed)
{
	return prepare_create(bed) ?: do_grow(bed);
}

static int do_map(struct bed *bed)
{
	my.map = mmap(NULL, NR * BS, PROT_READ | PROT_WRITE, MAP_SHARED, my.fd, KVOFF_OFF_WINDOW(bed->rig.near));
	return my.map == MAP_FAILED ? -errno : 0;
}

static int undo_map(struct bed *bed)
{
	return munmap(my.map, NR * BS);
}

static int prepare_map(struct bed *bed)
{
	return prepare_window(bed) ?: do_map(bed);
}

static int do_write(struct bed *bed)
{
	*(volatile uint8_t *)my.map = 1;
	return 0;
}

TEST_F(fail_nth_framed, windows)
{
	WALK_REFUSED(.name = "create", .run = do_create, .undo = undo_fd);
	WALK(.name = "grow a window", .prepare = prepare_create, .run = do_grow, .undo = undo_grow,
	     .cleanup = cleanup_fd);
	WALK_REFUSED(.name = "map a window", .prepare = prepare_window, .run = do_map, .undo = undo_map,
		     .cleanup = cleanup_fd);
	WALK(.name = "write to a window", .prepare = prepare_map, .run = do_write, .undo = undo_map,
	     .cleanup = cleanup_fd);
	WALK(.name = "close", .prepare = prepare_map, .run = undo_map, .undo = undo_fd);
}

static int blocks(unsigned long cmd)
{
	struct kvoff_region_blocks arg = { .size = sizeof(arg), .nr = NR, .blocks = (uintptr_t)my.blocks };
	int ret = call(my.fd, cmd, &arg);

	return ret;
}

static int do_free(struct bed *bed)
{
	return blocks(KVOFF_REGION_BLOCK_FREE);
}

/* A failure in the middle leaves the first with their frames: the call is repeated for all. */
static int after_alloc(struct bed *bed, int ret)
{
	struct kvoff_region_blocks arg = { .size = sizeof(arg), .nr = 1 };
	unsigned int i;

	for (i = 0; ret < 0 && i < NR; i++) {
		arg.blocks = (uintptr_t)&my.blocks[i];
		call(my.fd, KVOFF_REGION_BLOCK_FREE, &arg);
	}
	return ret;
}

static int do_alloc(struct bed *bed)
{
	return blocks(KVOFF_REGION_BLOCK_ALLOC);
}

static int next_blocks(struct bed *bed)
{
	unsigned int i;

	for (i = 0; i < NR; i++)
		my.blocks[i] = my.life * STRIDE + i * (STRIDE / NR);
	return ++my.life < LIFE ? 0 : -ERANGE;
}

static int prepare_blocks(struct bed *bed)
{
	return next_blocks(bed) ?: do_alloc(bed);
}

static int do_move(struct bed *bed)
{
	struct kvoff_move_result results[NR];
	struct kvoff_move_desc descs[NR];
	uint32_t moved = 0, i;
	int ret;

	for (i = 0; i < NR; i++)
		descs[i] = (struct kvoff_move_desc){ .region = my.id, .to = bed->rig.far, .block = my.blocks[i] };
	ret = move_batch(bed->rig.control, descs, NR, results, &moved);
	return ret ?: moved == NR ? 0 : -EIO;
}

static int do_seal(struct bed *bed)
{
	struct kvoff_region_seal arg = { .size = sizeof(arg), .first = my.blocks[0], .nr = 1 };

	return call(my.fd, KVOFF_REGION_SEAL, &arg);
}

TEST_F(fail_nth_framed, blocks)
{
	ASSERT_EQ(0, prepare_window(&self->bed));
	ASSERT_EQ(0, grow(self->bed.rig.far));
	WALK_REFUSED(.name = "alloc", .prepare = next_blocks, .run = do_alloc, .after = after_alloc, .undo = do_free);
	WALK(.name = "free", .prepare = prepare_blocks, .run = do_free);
	WALK_REFUSED(.name = "move", .prepare = prepare_blocks, .run = do_move, .undo = do_free);
	WALK(.name = "seal", .prepare = prepare_blocks, .run = do_seal, .undo = do_free);
	EXPECT_EQ(0, undo_fd(&self->bed));
}

static int do_eventfd(struct bed *bed)
{
	struct kvoff_region_eventfd arg = { .size = sizeof(arg), .fd = my.event };

	return call(my.fd, KVOFF_REGION_EVENTFD, &arg);
}

TEST_F(fail_nth_framed, eventfd)
{
	ASSERT_EQ(0, prepare_create(&self->bed));
	my.event = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, my.event);
	WALK(.name = "eventfd", .run = do_eventfd);
	close(my.event);
	EXPECT_EQ(0, undo_fd(&self->bed));
}

TEST_HARNESS_MAIN
