// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Every allocation that a call makes fails once: the first, then the second, until a call gets by without a failure.
 * A call that fails says ENOMEM and leaves nothing behind; a fault is tried again by the kernel, since what was
 * committed can be used. Needs a kernel with fault injection (tests/debug); leaks are looked for after the program.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <sys/mman.h>

#include "walk.h"

#define BS		(64 * KIB)
#define FRAMES		64
/* Blocks are touched so far apart that each needs records, array pages and page tables of its own. */
#define STRIDE		(1024 * MIB / BS)
#define LIFE		512

FIXTURE(fail_nth)
{
	struct bed bed;
};

/*
 * What the calls make and use; each test has a process of its own.
 *
 * @life: which of the blocks that are STRIDE apart is in use; grows with each first fault
 */
static struct {
	int fd;
	void *map;
	uint64_t map_bytes;
	uint64_t map_off;
	uint64_t life;
	const char *path;
	struct kvoff_move_desc descs[KVOFF_MOVE_MAX];
	struct kvoff_move_result results[KVOFF_MOVE_MAX];
	uint32_t nr;
	struct io_uring ring;
} my;

FIXTURE_SETUP(fail_nth)
{
	int ret = nth_up(&self->bed, BS, FRAMES, LIFE * STRIDE);

	if (ret == -ENOENT)
		SKIP(return, "this kernel has no /proc/thread-self/fail-nth");
	ASSERT_EQ(0, ret);
	my.fd = -1;
	ASSERT_EQ(0, io_uring_queue_init(8, &my.ring, 0));
}

FIXTURE_TEARDOWN(fail_nth)
{
	const char *wrong;

	if (self->bed.nth < 0)
		return;
	io_uring_queue_exit(&my.ring);
	wrong = nth_down(&self->bed);
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

static int undo_fd(struct bed *bed)
{
	int ret = close(my.fd);

	my.fd = -1;
	return ret;
}

/* ---- descriptors ---- */

static int do_open(struct bed *bed)
{
	my.fd = open(my.path, O_RDWR | O_CLOEXEC);
	return my.fd < 0 ? -errno : my.fd;
}

static int do_create(struct bed *bed)
{
	struct kvoff_region_create arg = {
		.size = sizeof(arg), .block_size = BS, .fd_flags = O_CLOEXEC, .length = 4 * BS, .label = "fails",
	};

	my.fd = call(bed->rig.tenant, KVOFF_REGION_CREATE, &arg);
	return my.fd;
}

static int do_attach(struct bed *bed)
{
	struct kvoff_region_attach arg = { .size = sizeof(arg), .fd_flags = O_RDWR | O_CLOEXEC };

	my.fd = call(bed->r->fd, KVOFF_REGION_ATTACH, &arg);
	return my.fd;
}

static int do_view(struct bed *bed)
{
	struct kvoff_ctl_region_view arg = { .size = sizeof(arg), .id = bed->r->id, .fd_flags = O_CLOEXEC };

	my.fd = call(bed->rig.control, KVOFF_CTL_REGION_VIEW, &arg);
	return my.fd;
}

TEST_F(fail_nth, descriptors)
{
	my.path = "/dev/kvoff/default";
	WALK_REFUSED(.name = "open a tenant", .run = do_open, .undo = undo_fd);
	my.path = "/dev/kvoff/control";
	WALK_REFUSED(.name = "open control", .run = do_open, .undo = undo_fd);
	WALK_REFUSED(.name = "create", .run = do_create, .undo = undo_fd);
	WALK_REFUSED(.name = "attach", .run = do_attach, .undo = undo_fd);
	WALK_REFUSED(.name = "view", .run = do_view, .undo = undo_fd);
}

/* The end of a region cannot fail, and gives everything back. */
static int prepare_close(struct bed *bed)
{
	struct region r;
	int ret;

	ret = region_create(&bed->rig, &r, BS, 4);
	if (!ret)
		ret = region_commit(&r, 4 * BS, NULL);
	if (ret)
		return ret;
	fill(r.data, 2 * BS, 1);
	r.hint[1].touches = 1;
	r.refs[3] = 1;
	my.fd = dup(r.fd);
	region_close(&r);
	return my.fd < 0 ? -errno : 0;
}

static int do_close(struct bed *bed)
{
	return close(my.fd) ? -errno : 0;
}

static int undo_close(struct bed *bed)
{
	my.fd = -1;
	return tiers_sum("used_bytes") == 0 && nth_entries("/sys/class/kvoff/regions/") == 1 ? 0 : -EBUSY;
}

TEST_F(fail_nth, end_of_a_region)
{
	WALK(.name = "close", .prepare = prepare_close, .run = do_close, .undo = undo_close);
}

/* ---- calls on a region and a view ---- */

static int do_info(struct bed *bed)
{
	struct kvoff_region_info info = { .size = sizeof(info) };

	return call(my.fd, KVOFF_REGION_INFO, &info);
}

static int do_commit(struct bed *bed)
{
	return region_commit(bed->r, 4 * BS, NULL);
}

static int do_uncommit(struct bed *bed)
{
	return region_uncommit(bed->r, 4 * BS);
}

static int prepare_discard(struct bed *bed)
{
	fill(bed->r->data, 2 * BS, 1);
	return 0;
}

static int do_discard(struct bed *bed)
{
	return region_discard(bed->r, 0, 2 * STRIDE, NULL);
}

static int undo_discard(struct bed *bed)
{
	return tiers_sum("used_bytes") == 0 && count_nonzero(bed->r->data, 2 * BS) == 0 ?
	       region_discard(bed->r, 0, 2, NULL) : -EBUSY;
}

static int do_settle(struct bed *bed)
{
	struct kvoff_region_settle arg = { .size = sizeof(arg), .block = 0 };

	return call(bed->r->fd, KVOFF_REGION_SETTLE, &arg);
}

TEST_F(fail_nth, regions_calls)
{
	my.fd = self->bed.r->fd;
	WALK(.name = "info", .run = do_info);
	WALK(.name = "commit", .run = do_commit, .undo = do_uncommit);
	WALK(.name = "uncommit", .prepare = do_commit, .run = do_uncommit);
	WALK(.name = "discard", .prepare = prepare_discard, .run = do_discard, .undo = undo_discard);
	WALK(.name = "settle", .prepare = prepare_discard, .run = do_settle);
	ASSERT_LE(0, do_view(&self->bed));
	WALK(.name = "info of a view", .run = do_info);
	EXPECT_EQ(0, undo_fd(&self->bed));
}

/* ---- mappings ---- */

static int do_mmap(struct bed *bed)
{
	my.map = mmap(NULL, my.map_bytes, PROT_READ, MAP_SHARED, my.fd, my.map_off);
	return my.map == MAP_FAILED ? -errno : 0;
}

static int undo_mmap(struct bed *bed)
{
	return munmap(my.map, my.map_bytes);
}

TEST_F(fail_nth, mappings)
{
	my.fd = self->bed.r->fd;
	my.map_bytes = 2 * MIB;
	my.map_off = KVOFF_OFF_DATA;
	WALK_REFUSED(.name = "map data", .run = do_mmap, .undo = undo_mmap);
	my.map_off = KVOFF_OFF_STATE;
	WALK_REFUSED(.name = "map state", .run = do_mmap, .undo = undo_mmap);
	my.map_off = KVOFF_OFF_HINT;
	WALK_REFUSED(.name = "map hint", .run = do_mmap, .undo = undo_mmap);
	my.map_off = KVOFF_OFF_REFS;
	WALK_REFUSED(.name = "map refs", .run = do_mmap, .undo = undo_mmap);
	ASSERT_LE(0, do_view(&self->bed));
	my.map_off = KVOFF_OFF_STATE;
	WALK_REFUSED(.name = "map a view's state", .run = do_mmap, .undo = undo_mmap);
	my.map_off = KVOFF_OFF_HINT;
	WALK_REFUSED(.name = "map a view's hint", .run = do_mmap, .undo = undo_mmap);
	EXPECT_EQ(0, undo_fd(&self->bed));
}

/*
 * Faults. None may end in SIGBUS, which would end the test: the kernel comes again until there is memory. Afterwards
 * the block can be moved and given back.
 */

static uint64_t now_living(struct bed *bed)
{
	return my.life * STRIDE;
}

static int next_life(struct bed *bed)
{
	return ++my.life < LIFE ? 0 : -ERANGE;
}

static int do_write(struct bed *bed)
{
	*(volatile uint8_t *)block_at(bed->r, now_living(bed)) = 1;
	return 0;
}

static int do_read(struct bed *bed)
{
	return *(volatile uint8_t *)block_at(bed->r, now_living(bed));
}

static int undo_write(struct bed *bed)
{
	uint64_t b = now_living(bed), freed;
	int ret;

	if (*block_at(bed->r, b) > 1 || count_nonzero(block_at(bed->r, b) + PAGE, BS - PAGE))
		return -EIO;
	ret = move_one(&bed->rig, bed->r, b, bed->rig.far, 0);
	if (!ret && tier_of(bed->r, b) != bed->rig.far)
		ret = -EIO;
	ret = ret ?: region_discard(bed->r, b, 1, &freed);
	return ret ?: freed != 1;
}

static int do_write_hint(struct bed *bed)
{
	((volatile struct kvoff_hint *)bed->r->hint)[now_living(bed)].touches = 1;
	return 0;
}

static int do_write_refs(struct bed *bed)
{
	((volatile uint32_t *)bed->r->refs)[now_living(bed)] = 1;
	return 0;
}

static int do_read_state(struct bed *bed)
{
	return KVOFF_LOC_FLAGS(location(bed->r, now_living(bed)));
}

TEST_F(fail_nth, first_faults)
{
	WALK(.name = "first write", .prepare = next_life, .run = do_write, .undo = undo_write);
	WALK(.name = "first read", .prepare = next_life, .run = do_read, .undo = undo_write);
	WALK(.name = "hint", .prepare = next_life, .run = do_write_hint);
	WALK(.name = "refs", .prepare = next_life, .run = do_write_refs);
	WALK(.name = "state", .prepare = next_life, .run = do_read_state);
	EXPECT_EQ(0, stat_now("commit_broken"));
}

/* An array's page appears where another process, and a view, have the zero page mapped. */
static int prepare_zero_mapped(struct bed *bed)
{
	int ret = next_life(bed);

	return ret ?: do_read_state(bed);
}

/* A block that has moved is in nobody's page tables. */
static int prepare_moved(struct bed *bed)
{
	uint32_t to;

	do_write(bed);
	to = tier_of(bed->r, now_living(bed)) == bed->rig.near ? bed->rig.far : bed->rig.near;
	return move_one(&bed->rig, bed->r, now_living(bed), to, 0);
}

/* And now it is, for reading. */
static int prepare_read(struct bed *bed)
{
	return prepare_moved(bed) ?: do_read(bed) - 1;
}

TEST_F(fail_nth, later_faults)
{
	WALK(.name = "first write, seen", .prepare = prepare_zero_mapped, .run = do_write, .undo = undo_write);
	WALK(.name = "read after a move", .prepare = prepare_moved, .run = do_read);
	WALK(.name = "write after a move", .prepare = prepare_moved, .run = do_write);
	WALK(.name = "write after a read", .prepare = prepare_read, .run = do_write);
	ASSERT_EQ(0, sysfs_write("tuning/twins", "1"));
	WALK(.name = "write that drops a twin", .prepare = prepare_read, .run = do_write);
	ASSERT_EQ(0, sysfs_write("tuning/twins", "0"));
	EXPECT_EQ(0, undo_write(&self->bed));
}

/* ---- moves ---- */

static int prepare_move(struct bed *bed)
{
	uint32_t i, to;

	for (i = 0; i < 4; i++)
		fill(block_at(bed->r, i), PAGE, i);
	to = tier_of(bed->r, 0) == bed->rig.near ? bed->rig.far : bed->rig.near;
	for (i = 0; i < KVOFF_MOVE_MAX; i++)
		my.descs[i] = (struct kvoff_move_desc){ .region = bed->r->id, .to = to, .block = i % 4 };
	return 0;
}

static struct kvoff_ctl_move move_arg(struct bed *bed)
{
	return (struct kvoff_ctl_move){
		.size = sizeof(struct kvoff_ctl_move), .nr = my.nr, .descs = (uintptr_t)my.descs,
		.results = (uintptr_t)my.results,
	};
}

static int do_move(struct bed *bed)
{
	struct kvoff_ctl_move arg = move_arg(bed);

	return call(bed->rig.control, KVOFF_CTL_MOVE, &arg);
}

static int undo_move(struct bed *bed)
{
	uint32_t i;

	for (i = 0; i < 4; i++)
		if (my.results[i].error || tier_of(bed->r, i) != my.descs[i].to ||
		    count_wrong(block_at(bed->r, i), PAGE, i))
			return -EIO;
	return 0;
}

static int do_move_uring(struct bed *bed)
{
	static struct kvoff_ctl_move arg;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&my.ring);
	uint64_t addr = (uintptr_t)&arg;

	arg = move_arg(bed);
	*sqe = (struct io_uring_sqe){
		.opcode = IORING_OP_URING_CMD, .fd = bed->rig.control, .cmd_op = KVOFF_CTL_MOVE,
	};
	memcpy(sqe->cmd, &addr, sizeof(addr));
	return io_uring_submit(&my.ring);
}

/* io_uring itself says EAGAIN where it has no request; the command is still in the ring then. */
static int after_move_uring(struct bed *bed, int ret)
{
	struct io_uring_cqe *cqe;
	bool refused = ret < 1;

	if (refused && ret && ret != -EAGAIN && ret != -ENOMEM)
		return ret;
	if (refused && io_uring_submit(&my.ring) != 1)
		return -EIO;
	ret = io_uring_wait_cqe(&my.ring, &cqe);
	if (ret)
		return ret;
	ret = cqe->res;
	io_uring_cqe_seen(&my.ring, cqe);
	return refused && ret >= 0 ? -ENOMEM : ret;
}

TEST_F(fail_nth, moves)
{
	const struct nth_call by_ioctl = { .name = "move", .prepare = prepare_move, .run = do_move, .undo = undo_move };
	const struct nth_call by_uring = {
		.name = "move by io_uring", .prepare = prepare_move, .run = do_move_uring, .after = after_move_uring,
		.undo = undo_move,
	};

	my.nr = 4;
	WALK_REFUSED_AS(by_ioctl);
	/* twice: in the first round it is io_uring that fills its caches */
	WALK_AS(by_uring);
	WALK_REFUSED_AS(by_uring);
	/* a large batch is allocated in pieces where there is no piece so large */
	my.nr = KVOFF_MOVE_MAX;
	WALK_AS(by_ioctl);
	WALK_AS(by_uring);
}

TEST_HARNESS_MAIN
