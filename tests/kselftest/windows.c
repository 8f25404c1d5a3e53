// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Windows of framed regions: what they cost and to whom, how they are mapped, and promises 5 and 6 for their frames:
 * zero before another region sees them, given back when the region ends, except those that a driver has pinned.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "framed_rig.h"

#define BS	(64 * KIB)
#define NR	64

FIXTURE(windows)
{
	struct rig rig;
};

FIXTURE_SETUP(windows)
{
	ASSERT_EQ(0, rig_up(&self->rig, BS, NR * BS));
}

FIXTURE_TEARDOWN(windows)
{
	const char *wrong;

	EXPECT_EQ(0, sysfs_write("default/quota_bytes", "0"));
	EXPECT_EQ(0, sysfs_write("default/tiers/cxl0/quota_bytes", "0"));
	wrong = rig_down(&self->rig);
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
	EXPECT_EQ(0, sysfs_u64("default/committed_bytes"));
	EXPECT_EQ(0, sysfs_u64("default/used_bytes"));
}

TEST_F(windows, are_told)
{
	uint32_t near = self->rig.near, far = self->rig.far;
	struct kvoff_region_info info;
	struct region *mapped;
	struct framed f;

	ASSERT_EQ(0, framed_create(&self->rig, &f, BS, 32, 4, 9));
	ASSERT_EQ(0, blocks_alloc(f.r.fd, 10, 5, NULL));
	ASSERT_EQ(0, region_seal(f.r.fd, 11, 2, NULL));
	ASSERT_EQ(0, region_info(f.r.fd, &info));
	EXPECT_EQ(KVOFF_REGION_FRAMED, info.flags);
	EXPECT_EQ(32 * BS, info.length);
	EXPECT_EQ(13 * BS, info.committed);
	EXPECT_EQ(5 * BS, info.used);
	EXPECT_EQ(15, info.high);
	EXPECT_EQ(3 * BS, info.tier_used[near]);
	EXPECT_EQ(2 * BS, info.tier_used[far]);
	EXPECT_EQ(4 * BS, info.window[near]);
	EXPECT_EQ(9 * BS, info.window[far]);
	EXPECT_EQ(1U << near, info.fast_tiers);
	EXPECT_EQ(2 * BS, info.sealed);
	EXPECT_EQ(13 * BS, sysfs_u64("regions/%u/window_bytes", f.r.id));
	EXPECT_EQ(13 * BS, sysfs_u64("regions/%u/committed_bytes", f.r.id));
	EXPECT_EQ(5 * BS, sysfs_u64("regions/%u/used_bytes", f.r.id));
	EXPECT_EQ(13 * BS, sysfs_u64("default/committed_bytes"));
	EXPECT_EQ(9 * BS, sysfs_u64("default/tiers/cxl0/used_bytes"));
	EXPECT_EQ(9 * BS, sysfs_u64("tiers/cxl0/used_bytes"));
	framed_close(&f);
	EXPECT_EQ(0, sysfs_u64("tiers/cxl0/used_bytes"));

	mapped = rig_region(&self->rig, BS, 2);
	ASSERT_NE(NULL, mapped);
	ASSERT_EQ(0, region_info(mapped->fd, &info));
	EXPECT_EQ(0, info.flags);
	EXPECT_EQ(0, info.window[near]);
	EXPECT_EQ(0, sysfs_u64("regions/%u/window_bytes", mapped->id));
}

TEST_F(windows, grow_under_a_mapping)
{
	int fd = framed_fd(&self->rig, BS, 32), k;
	struct kvoff_region_window w;
	uint64_t value = 7;
	struct iovec near = { &value, sizeof(value) }, far = { NULL, sizeof(value) };
	uint8_t *at;

	ASSERT_LE(0, fd);
	at = mmap(NULL, 8 * BS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, KVOFF_OFF_WINDOW(self->rig.far));
	ASSERT_NE(MAP_FAILED, at);
	for (k = 0; k < 8; k++) {
		far.iov_base = at + k * BS;
		EXPECT_EQ(-1, process_vm_writev(getpid(), &near, 1, &far, 1, 0));
		ASSERT_EQ(0, window_grow(fd, self->rig.far, BS, &w));
		EXPECT_EQ((k + 1) * BS, w.bytes);
		EXPECT_EQ(w.bytes, w.free);
		EXPECT_EQ(0, count_nonzero(at + k * BS, BS));
		EXPECT_EQ(8, process_vm_writev(getpid(), &near, 1, &far, 1, 0));
	}
	for (k = 0; k < 8; k++)
		EXPECT_EQ(7, *(uint64_t *)(at + k * BS));
	munmap(at, 8 * BS);
	close(fd);
}

/* All or nothing: what is refused costs nothing, and what is said to be available is. */
TEST_F(windows, quota_and_capacity)
{
	uint64_t over = stat_now("commit_over_quota"), refused = stat_now("commit_refused");
	int fd = framed_fd(&self->rig, BS, 1000);
	struct kvoff_region_window w;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, sysfs_write("default/quota_bytes", "1048576"));
	EXPECT_EQ(-EDQUOT, window_grow(fd, self->rig.far, 17 * BS, &w));
	EXPECT_EQ(16 * BS, w.available);
	EXPECT_EQ(over + 1, stat_now("commit_over_quota"));
	ASSERT_EQ(0, sysfs_write("default/quota_bytes", "0"));
	ASSERT_EQ(0, sysfs_write("default/tiers/cxl0/quota_bytes", "1048576"));
	EXPECT_EQ(-EDQUOT, window_grow(fd, self->rig.far, 17 * BS, &w));
	EXPECT_EQ(16 * BS, w.available);
	EXPECT_EQ(0, w.bytes);
	ASSERT_EQ(0, window_grow(fd, self->rig.far, 10 * BS, &w));
	EXPECT_EQ(6 * BS, w.available);
	EXPECT_EQ(-EDQUOT, window_grow(fd, self->rig.far, 7 * BS, &w));
	EXPECT_EQ(10 * BS, w.bytes);
	ASSERT_EQ(0, sysfs_write("default/tiers/cxl0/quota_bytes", "0"));

	EXPECT_EQ(-ENOMEM, window_grow(fd, self->rig.far, 64 * BS, &w));
	EXPECT_EQ(-ENOMEM, window_grow(fd, self->rig.far, KVOFF_REGION_SIZE_MAX, &w));
	EXPECT_EQ(-ENOMEM, window_grow(fd, self->rig.far, 0 - (uint64_t)BS, &w));
	EXPECT_EQ(refused + 3, stat_now("commit_refused"));
	EXPECT_EQ(10 * BS, w.bytes);
	EXPECT_EQ(10 * BS, sysfs_u64("tiers/cxl0/used_bytes"));
	EXPECT_EQ(10 * BS, sysfs_u64("default/tiers/cxl0/used_bytes"));
	EXPECT_EQ(10 * BS, sysfs_u64("default/committed_bytes"));
	/* 64 frames, one in reserve */
	EXPECT_EQ(53 * BS, w.available);
	ASSERT_EQ(0, window_grow(fd, self->rig.far, 53 * BS, &w));
	EXPECT_EQ(0, w.available);
	EXPECT_EQ(-ENOMEM, window_grow(fd, self->rig.far, BS, &w));
	EXPECT_EQ(-ENOENT, window_grow(fd, 9, BS, NULL));
	EXPECT_EQ(-ENOENT, window_grow(fd, KVOFF_MAX_TIERS, 0, NULL));
	EXPECT_EQ(-ENOENT, window_grow(fd, UINT32_MAX, BS, NULL));
	close(fd);
	EXPECT_EQ(0, sysfs_u64("tiers/cxl0/used_bytes"));
}

/* What was promised to others is theirs, though a window comes for it first. */
TEST_F(windows, promises_to_others_hold)
{
	struct region *r = rig_region(&self->rig, BS, 100);
	int fd = framed_fd(&self->rig, BS, 1000);
	struct kvoff_region_window w;
	uint64_t b;

	ASSERT_NE(NULL, r);
	/* 126 frames without the reserves, 100 of them promised */
	EXPECT_EQ(-ENOMEM, window_grow(fd, self->rig.near, 27 * BS, &w));
	EXPECT_EQ(26 * BS, w.available);
	ASSERT_EQ(0, window_grow(fd, self->rig.near, 26 * BS, &w));
	for (b = 0; b < 100; b++)
		*block_at(r, b) = 1;
	EXPECT_EQ(0, stat_now("commit_broken"));
	close(fd);
}

/* Pools grow for a window, in its own tier, and take what another block size has idle. */
TEST_F(windows, pools_grow_for_them)
{
	struct kvoff_region_window w;
	struct rig rig;
	int fd;

	EXPECT_EQ(NULL, rig_down(&self->rig));
	ASSERT_EQ(0, rig_up_sized(&rig, BS, 32 * MIB, 0, 0));
	fd = framed_fd(&rig, BS, 1000);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, window_grow(fd, rig.far, 100 * BS, &w)) TH_LOG("available %llu", w.available);
	EXPECT_EQ(0, sysfs_u64("tiers/dram/pools/64kB/filled_bytes"));
	EXPECT_EQ(100 * BS, w.free);
	close(fd);
	/* what that pool is still being filled with is waited for, and then taken from it */
	fd = framed_fd(&rig, 2 * MIB, 1000);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, window_grow(fd, rig.far, 12 * 2 * MIB, &w)) TH_LOG("available %llu", w.available);
	close(fd);
	EXPECT_EQ(NULL, rig_down(&rig));
	ASSERT_EQ(0, rig_up(&self->rig, BS, NR * BS));
}

/* ---- mappings ---- */

static int try_map(int fd, uint64_t bytes, int prot, int flags, uint64_t off)
{
	void *p = mmap(NULL, bytes, prot, flags, fd, off);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, bytes);
	return 0;
}

TEST_F(windows, nonsense_mappings)
{
	uint32_t near = self->rig.near;
	struct region *mapped = rig_region(&self->rig, BS, 4);
	struct framed f;

	ASSERT_NE(NULL, mapped);
	ASSERT_EQ(0, framed_create(&self->rig, &f, BS, 16, 4, 4));
	EXPECT_EQ(-EINVAL, try_map(f.r.fd, BS, PROT_READ, MAP_SHARED, KVOFF_OFF_DATA));
	EXPECT_EQ(-EINVAL, try_map(f.r.fd, BS, PROT_READ, MAP_PRIVATE, KVOFF_OFF_WINDOW(near)));
	/* newer kernels refuse it themselves */
	EXPECT_GT(0, try_map(f.r.fd, BS, PROT_READ | PROT_EXEC, MAP_SHARED, KVOFF_OFF_WINDOW(near)));
	EXPECT_EQ(-EINVAL, try_map(f.r.fd, BS, PROT_READ, MAP_SHARED, KVOFF_OFF_WINDOW(KVOFF_MAX_TIERS)));
	EXPECT_EQ(-EINVAL, try_map(f.r.fd, BS, PROT_READ, MAP_SHARED, 1ULL << 60));
	EXPECT_EQ(-EINVAL, try_map(f.r.fd, 2 * PAGE, PROT_READ, MAP_SHARED,
				   KVOFF_OFF_WINDOW(near) + KVOFF_REGION_SIZE_MAX - PAGE));
	EXPECT_EQ(-EINVAL, try_map(f.r.fd, 2 * PAGE, PROT_READ, MAP_SHARED, KVOFF_OFF_WINDOW(near + 1) - PAGE));
	EXPECT_EQ(0, try_map(f.r.fd, PAGE, PROT_READ, MAP_SHARED, KVOFF_OFF_WINDOW(15)));
	EXPECT_EQ(0, try_map(f.r.fd, 2 * PAGE, PROT_READ, MAP_SHARED, KVOFF_OFF_WINDOW(near) + PAGE));
	EXPECT_EQ(-EINVAL, try_map(mapped->fd, BS, PROT_READ, MAP_SHARED, KVOFF_OFF_WINDOW(near)));
	EXPECT_EQ(-1, mprotect(f.window[NEAR], PAGE, PROT_READ | PROT_EXEC));
	EXPECT_EQ(MAP_FAILED, mremap(f.window[NEAR], 4 * BS, 8 * BS, MREMAP_MAYMOVE));
	framed_close(&f);
}

TEST_F(windows, calls_of_the_other_kind)
{
	struct region *mapped = rig_region(&self->rig, BS, 4);
	struct framed f;

	ASSERT_NE(NULL, mapped);
	ASSERT_EQ(0, framed_create(&self->rig, &f, BS, 16, 4, 0));
	EXPECT_EQ(-EOPNOTSUPP, region_commit(&f.r, BS, NULL));
	EXPECT_EQ(-EOPNOTSUPP, region_uncommit(&f.r, BS));
	EXPECT_EQ(-EOPNOTSUPP, window_grow(mapped->fd, self->rig.near, BS, NULL));
	EXPECT_EQ(-EOPNOTSUPP, block_alloc(mapped->fd, 0));
	EXPECT_EQ(-EOPNOTSUPP, block_free(mapped->fd, 0));
	/* no window there */
	ASSERT_EQ(0, block_alloc(f.r.fd, 0));
	EXPECT_EQ(-ENOENT, move_one(&self->rig, &f.r, 0, self->rig.far, 0));
	framed_close(&f);
}

TEST_F(windows, read_only)
{
	struct framed f, ro;

	ASSERT_EQ(0, framed_create(&self->rig, &f, BS, 16, 4, 4));
	ASSERT_EQ(0, block_alloc(f.r.fd, 0));
	fill(frame_of(&f, location(&f.r, 0)), BS, 1);
	ASSERT_EQ(0, framed_attach(&f, &ro, O_RDONLY));
	EXPECT_EQ(0, count_wrong(frame_of(&ro, location(&ro.r, 0)), BS, 1));
	EXPECT_EQ(-1, mprotect(ro.window[NEAR], PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(-EACCES, try_map(ro.r.fd, BS, PROT_READ | PROT_WRITE, MAP_SHARED, KVOFF_OFF_WINDOW(self->rig.near)));
	EXPECT_EQ(-EACCES, block_alloc(ro.r.fd, 1));
	EXPECT_EQ(-EACCES, block_free(ro.r.fd, 0));
	EXPECT_EQ(-EACCES, region_seal(ro.r.fd, 0, 1, NULL));
	EXPECT_EQ(-EACCES, region_discard(&ro.r, 0, 1, NULL));
	EXPECT_EQ(-EACCES, window_grow(ro.r.fd, self->rig.near, BS, NULL));
	EXPECT_EQ(0, window_grow(ro.r.fd, self->rig.near, 0, NULL));
	framed_close(&ro);
	framed_close(&f);
}

/* ---- promises 5 and 6 ---- */

/* A client that fills its windows, has the far one pinned by @ring if there is one, and works until it is killed. */
static pid_t client_start(struct rig *rig, struct io_uring *ring, int ready)
{
	pid_t pid = fork();
	struct iovec iov;
	struct framed f;
	uint64_t b;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(rig->control);
	if (framed_create(rig, &f, BS, 32, 10, 20) || blocks_alloc(f.r.fd, 0, 24, NULL))
		_exit(1);
	memset(f.window[NEAR], 0xa5, 10 * BS);
	memset(f.window[FAR], 0xa5, 20 * BS);
	iov = (struct iovec){ f.window[FAR], 20 * BS };
	if (ring && io_uring_register_buffers(ring, &iov, 1))
		_exit(1);
	if (write(ready, "r", 1) != 1)
		_exit(1);
	for (b = 0;; b++) {
		*(volatile uint64_t *)frame_of(&f, acquire(&f, b % 24)) = b;
		release(&f, b % 24);
	}
}

static bool is_ready(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char c;

	return poll(&p, 1, PATIENCE_MS) == 1 && read(fd, &c, 1) == 1;
}

static int reap(pid_t pid)
{
	int status = 0;

	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

/* Frames of a new region that are not zero, from all that the tiers can give. */
static uint64_t dirty_bytes(struct rig *rig, uint64_t near, uint64_t far)
{
	struct framed f;
	uint64_t dirty;

	if (framed_create(rig, &f, BS, 32, near, far))
		return UINT64_MAX;
	dirty = count_nonzero(f.window[NEAR], near * BS) + count_nonzero(f.window[FAR], far * BS);
	framed_close(&f);
	return dirty;
}

TEST_F(windows, come_back_from_the_killed)
{
	int ready[2], round;
	pid_t pid;

	ASSERT_EQ(0, pipe(ready));
	for (round = 0; round < 4; round++) {
		pid = client_start(&self->rig, NULL, ready[1]);
		ASSERT_TRUE(is_ready(ready[0]));
		EXPECT_EQ(30 * BS, tiers_sum("used_bytes"));
		EXPECT_EQ(SIGKILL, reap(pid));
		EXPECT_TRUE(wait_for_sum("used_bytes", 0));
		EXPECT_EQ(0, tiers_sum("orphan_bytes"));
		/* nobody else gets to see what was in them, in a region of either kind */
		EXPECT_EQ(0, dirty_bytes(&self->rig, NR - 1, NR - 1));
	}
	close(ready[0]);
	close(ready[1]);
}

/* The ring outlives the client that registered its window with it: the frames are nobody's until it goes. */
TEST_F(windows, pinned_ones_are_orphans)
{
	struct kvoff_region_window w;
	struct io_uring ring;
	int ready[2], fd;
	pid_t pid;

	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, io_uring_queue_init(4, &ring, 0));
	pid = client_start(&self->rig, &ring, ready[1]);
	ASSERT_TRUE(is_ready(ready[0]));
	EXPECT_EQ(SIGKILL, reap(pid));
	EXPECT_TRUE(wait_for_sum("used_bytes", 0));
	EXPECT_EQ(20 * BS, sysfs_u64("tiers/cxl0/orphan_bytes"));
	EXPECT_EQ(0, sysfs_u64("default/committed_bytes"));
	/* all the others, and not one of these */
	fd = framed_fd(&self->rig, BS, 100);
	EXPECT_EQ(-ENOMEM, window_grow(fd, self->rig.far, (NR - 20) * BS, &w));
	EXPECT_EQ((NR - 20 - 1) * BS, w.available);
	close(fd);
	EXPECT_EQ(0, dirty_bytes(&self->rig, NR - 1, NR - 20 - 1));
	EXPECT_EQ(20 * BS, sysfs_u64("tiers/cxl0/orphan_bytes"));
	io_uring_queue_exit(&ring);
	EXPECT_TRUE(wait_for_sum("orphan_bytes", 0));
	EXPECT_EQ(0, dirty_bytes(&self->rig, NR - 1, NR - 1));
	close(ready[0]);
	close(ready[1]);
}

TEST_HARNESS_MAIN
