// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Promise 10, for what is mapped and for descriptors as files: what may not be mapped, what a read-only descriptor
 * may not do, what no file call may do to a region, what a child does not inherit, and who may open what.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "rig.h"

#define BS	(64 * KIB)
#define NR	2048
#define RW	(PROT_READ | PROT_WRITE)

FIXTURE(bad_mappings)
{
	struct rig rig;
	struct region *r;
	int reader;
	int view;
};

FIXTURE_SETUP(bad_mappings)
{
	struct kvoff_region_attach attach = { .size = sizeof(attach), .fd_flags = O_RDONLY };
	struct kvoff_ctl_region_view view = { .size = sizeof(view) };

	ASSERT_EQ(0, rig_up(&self->rig, BS, 64 * BS));
	self->r = &self->rig.regions[0];
	ASSERT_EQ(0, region_create(&self->rig, self->r, BS, NR));
	ASSERT_EQ(0, region_commit(self->r, 8 * BS, NULL));
	fill(self->r->data, 4 * BS, 1);
	view.id = self->r->id;
	self->view = ioctl(self->rig.control, KVOFF_CTL_REGION_VIEW, &view);
	self->reader = ioctl(self->r->fd, KVOFF_REGION_ATTACH, &attach);
	ASSERT_LE(0, self->view);
	ASSERT_LE(0, self->reader);
}

FIXTURE_TEARDOWN(bad_mappings)
{
	const char *wrong;

	EXPECT_EQ(0, count_wrong(self->r->data, 4 * BS, 1));
	close(self->view);
	close(self->reader);
	wrong = rig_down(&self->rig);
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

/* 0 or -errno; what succeeds is unmapped. */
static int map_error(int fd, uint64_t length, int prot, int flags, uint64_t off)
{
	void *p = mmap(NULL, length, prot, flags, fd, off);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, length);
	return 0;
}

TEST_F(bad_mappings, ranges)
{
	/* entries of state are 16 bytes, of hint 8, of refs 4 */
	const struct {
		uint64_t off;
		uint64_t bytes;
	} arrays[] = {
		{ KVOFF_OFF_DATA, NR * BS }, { KVOFF_OFF_STATE, NR * 16 },
		{ KVOFF_OFF_HINT, NR * 8 }, { KVOFF_OFF_REFS, NR * 4 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(arrays); i++) {
		uint64_t off = arrays[i].off, bytes = arrays[i].bytes;

		EXPECT_EQ(0, map_error(self->r->fd, bytes, PROT_READ, MAP_SHARED, off)) TH_LOG("%u", i);
		EXPECT_EQ(0, map_error(self->r->fd, PAGE, PROT_READ, MAP_SHARED, off + bytes - PAGE)) TH_LOG("%u", i);
		EXPECT_EQ(-EINVAL, map_error(self->r->fd, bytes + PAGE, PROT_READ, MAP_SHARED, off)) TH_LOG("%u", i);
		EXPECT_EQ(-EINVAL, map_error(self->r->fd, PAGE, PROT_READ, MAP_SHARED, off + bytes)) TH_LOG("%u", i);
		EXPECT_EQ(-EINVAL, map_error(self->r->fd, 2 * PAGE, PROT_READ, MAP_SHARED, off + bytes - PAGE))
			TH_LOG("%u", i);
		EXPECT_GT(0, map_error(self->r->fd, PAGE, PROT_READ, MAP_SHARED, off + (1ULL << 48) - PAGE))
			TH_LOG("%u", i);
		EXPECT_EQ(-EINVAL, map_error(self->r->fd, PAGE, PROT_READ, MAP_PRIVATE, off)) TH_LOG("%u", i);
		EXPECT_EQ(-EINVAL, map_error(self->r->fd, PAGE, RW, MAP_PRIVATE, off)) TH_LOG("%u", i);
		EXPECT_GT(0, map_error(self->r->fd, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, off)) TH_LOG("%u", i);
	}
	EXPECT_GT(0, map_error(self->r->fd, PAGE, PROT_READ, MAP_SHARED, 4ULL << 48));
	EXPECT_GT(0, map_error(self->r->fd, PAGE, PROT_READ, MAP_SHARED, 1ULL << 62));
	EXPECT_EQ(-EACCES, map_error(self->r->fd, PAGE, RW, MAP_SHARED, KVOFF_OFF_STATE));
	/* neither control nor tenant can be mapped */
	EXPECT_EQ(-ENODEV, map_error(self->rig.control, PAGE, PROT_READ, MAP_SHARED, 0));
	EXPECT_EQ(-ENODEV, map_error(self->rig.tenant, PAGE, PROT_READ, MAP_SHARED, 0));
}

TEST_F(bad_mappings, views_are_for_looking)
{
	EXPECT_EQ(0, map_error(self->view, NR * 16, PROT_READ, MAP_SHARED, KVOFF_OFF_STATE));
	EXPECT_EQ(0, map_error(self->view, NR * 8, PROT_READ, MAP_SHARED, KVOFF_OFF_HINT));
	EXPECT_GT(0, map_error(self->view, PAGE, PROT_READ, MAP_SHARED, KVOFF_OFF_DATA));
	EXPECT_GT(0, map_error(self->view, PAGE, PROT_READ, MAP_SHARED, KVOFF_OFF_REFS));
	EXPECT_GT(0, map_error(self->view, PAGE, RW, MAP_SHARED, KVOFF_OFF_HINT));
	EXPECT_GT(0, map_error(self->view, PAGE, RW, MAP_SHARED, KVOFF_OFF_STATE));
	EXPECT_GT(0, map_error(self->view, PAGE, PROT_READ, MAP_PRIVATE, KVOFF_OFF_STATE));
}

/* A view shows what was written later to pages that it mapped when they were empty. */
TEST_F(bad_mappings, views_see_later_pages)
{
	volatile struct kvoff_state *state = mmap(NULL, NR * 16, PROT_READ, MAP_SHARED, self->view, KVOFF_OFF_STATE);
	volatile struct kvoff_hint *hint = mmap(NULL, NR * 8, PROT_READ, MAP_SHARED, self->view, KVOFF_OFF_HINT);

	ASSERT_NE(MAP_FAILED, (void *)state);
	ASSERT_NE(MAP_FAILED, (void *)hint);
	EXPECT_EQ(0, KVOFF_LOC_FLAGS(state[NR - 1].location));
	EXPECT_EQ(0, hint[NR - 1].touches);
	self->r->data[(NR - 1) * BS] = 1;
	self->r->hint[NR - 1].touches = 77;
	EXPECT_EQ(KVOFF_STATE_PRESENT, KVOFF_LOC_FLAGS(state[NR - 1].location));
	EXPECT_EQ(77, hint[NR - 1].touches);
	munmap((void *)state, NR * 16);
	munmap((void *)hint, NR * 8);
}

TEST_F(bad_mappings, read_only_descriptor)
{
	struct kvoff_region_commit commit = { .size = sizeof(commit), .bytes = BS };
	struct kvoff_region_discard discard = { .size = sizeof(discard), .nr = 1 };
	struct kvoff_region_attach attach = { .size = sizeof(attach), .fd_flags = O_RDWR };
	struct kvoff_region_info info = { .size = sizeof(info) };
	static const uint64_t offs[] = { KVOFF_OFF_DATA, KVOFF_OFF_STATE, KVOFF_OFF_HINT, KVOFF_OFF_REFS };
	unsigned int i;
	uint8_t *p;
	int fd;

	for (i = 0; i < ARRAY_SIZE(offs); i++) {
		EXPECT_EQ(-EACCES, map_error(self->reader, PAGE, RW, MAP_SHARED, offs[i])) TH_LOG("%u", i);
		p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, self->reader, offs[i]);
		EXPECT_EQ(offs[i] == KVOFF_OFF_REFS, p == MAP_FAILED) TH_LOG("%u", i);
		if (p == MAP_FAILED)
			continue;
		EXPECT_EQ(-1, mprotect(p, PAGE, RW)) TH_LOG("%u", i);
		EXPECT_EQ(EACCES, errno);
		EXPECT_EQ(-1, mprotect(p, PAGE, PROT_READ | PROT_EXEC)) TH_LOG("%u", i);
		munmap(p, PAGE);
	}
	EXPECT_EQ(-1, ioctl(self->reader, KVOFF_REGION_COMMIT, &commit));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, ioctl(self->reader, KVOFF_REGION_UNCOMMIT, &commit));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, ioctl(self->reader, KVOFF_REGION_DISCARD, &discard));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, ioctl(self->reader, KVOFF_REGION_ATTACH, &attach));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(0, ioctl(self->reader, KVOFF_REGION_INFO, &info));
	attach.fd_flags = O_RDONLY;
	fd = ioctl(self->reader, KVOFF_REGION_ATTACH, &attach);
	EXPECT_LE(0, fd);
	attach.fd_flags = O_RDWR;
	EXPECT_EQ(-1, ioctl(fd, KVOFF_REGION_ATTACH, &attach));
	EXPECT_EQ(EACCES, errno);
	close(fd);
	/* a control descriptor that is read-only rules nothing */
	fd = open("/dev/kvoff/control", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EACCES, tier_remove(fd, "dram"));
	close(fd);
}

/* Writable mappings stay what they are: not executable, not longer, not elsewhere by halves. */
TEST_F(bad_mappings, later_changes)
{
	uint8_t *p = mmap(NULL, 4 * BS, RW, MAP_SHARED, self->r->fd, 0), *q;

	ASSERT_NE(MAP_FAILED, (void *)p);
	EXPECT_EQ(-1, mprotect(p, BS, RW | PROT_EXEC));
	EXPECT_EQ(-1, mprotect((void *)self->r->state, PAGE, RW));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(MAP_FAILED, mremap(p, 4 * BS, 8 * BS, MREMAP_MAYMOVE));
	/* moving a mapping is fine, and moves go on beneath it */
	EXPECT_EQ(0, count_wrong(p, 4 * BS, 1));
	q = mremap(p, 4 * BS, 4 * BS, MREMAP_MAYMOVE | MREMAP_FIXED, p + 64 * MIB);
	ASSERT_EQ(p + 64 * MIB, q);
	EXPECT_EQ(4, move_blocks(&self->rig, self->r, 0, 4, self->rig.far, 0, NULL));
	EXPECT_EQ(0, count_wrong(q, 4 * BS, 1));
	/* a hole in the middle of a block */
	EXPECT_EQ(0, munmap(q + BS + PAGE, PAGE));
	EXPECT_EQ(4, move_blocks(&self->rig, self->r, 0, 4, self->rig.near, 0, NULL));
	EXPECT_EQ(0, count_wrong(self->r->data, 4 * BS, 1));
	munmap(q, 4 * BS);
}

TEST_F(bad_mappings, advice)
{
	static const int advice[] = {
		MADV_DONTNEED, MADV_REMOVE, MADV_FREE, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_MERGEABLE, MADV_COLD,
		MADV_PAGEOUT, MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_COLLAPSE, MADV_WILLNEED, MADV_DODUMP,
		MADV_WIPEONFORK, MADV_SEQUENTIAL,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(advice); i++) {
		/* some are refused, some do nothing: the bytes stay, and the blocks can move */
		madvise(self->r->data, 4 * BS, advice[i]);
		madvise((void *)self->r->state, PAGE, advice[i]);
		EXPECT_EQ(0, count_wrong(self->r->data, 4 * BS, 1)) TH_LOG("advice %d", advice[i]);
		EXPECT_EQ(4, move_blocks(&self->rig, self->r, 0, 4, i % 2 ? self->rig.near : self->rig.far, 0, NULL))
			TH_LOG("advice %d", advice[i]);
	}
	EXPECT_EQ(0, mlock(self->r->data, 4 * BS));
	EXPECT_EQ(4, move_blocks(&self->rig, self->r, 0, 4, self->rig.near, 0, NULL));
	EXPECT_EQ(0, munlock(self->r->data, 4 * BS));
	/* populating beyond what is committed fails, and takes nothing */
	EXPECT_EQ(-1, madvise(block_at(self->r, 4), 16 * BS, MADV_POPULATE_WRITE));
}

/* A region is no file with bytes in it. */
TEST_F(bad_mappings, file_calls)
{
	int fds[] = { self->r->fd, self->reader, self->view }, pipe_fds[2];
	char buf[16] = "kvoff";
	struct stat before, after;
	unsigned int i;

	ASSERT_EQ(0, pipe(pipe_fds));
	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		EXPECT_EQ(0, fstat(fds[i], &before));
		EXPECT_GT(0, read(fds[i], buf, sizeof(buf)));
		EXPECT_GT(0, write(fds[i], buf, sizeof(buf)));
		EXPECT_GT(0, pread(fds[i], buf, sizeof(buf), 0));
		EXPECT_GT(0, pwrite(fds[i], buf, sizeof(buf), 0));
		EXPECT_GT(0, ftruncate(fds[i], 0));
		EXPECT_GT(0, ftruncate(fds[i], 1 << 20));
		EXPECT_GT(0, fallocate(fds[i], 0, 0, BS));
		EXPECT_GT(0, fallocate(fds[i], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BS));
		EXPECT_GT(0, sendfile(pipe_fds[1], fds[i], NULL, BS));
		EXPECT_GT(0, splice(fds[i], NULL, pipe_fds[1], NULL, BS, SPLICE_F_NONBLOCK));
		EXPECT_GT(0, copy_file_range(fds[i], NULL, fds[0], NULL, BS, 0));
		fsync(fds[i]);
		sync_file_range(fds[i], 0, BS, 7);
		posix_fadvise(fds[i], 0, BS, POSIX_FADV_DONTNEED);
		EXPECT_EQ(0, fstat(fds[i], &after));
		EXPECT_EQ(before.st_size, after.st_size);
	}
	msync(self->r->data, BS, MS_SYNC);
	EXPECT_EQ(0, count_wrong(self->r->data, 4 * BS, 1));
	EXPECT_EQ(4, move_blocks(&self->rig, self->r, 0, 4, self->rig.far, 0, NULL));
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static int wait_status(pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	return status;
}

TEST_F(bad_mappings, a_child_inherits_no_mapping)
{
	void *maps[] = { self->r->data, (void *)self->r->state, self->r->hint, self->r->refs };
	unsigned int i;
	int status;
	pid_t pid;

	for (i = 0; i < ARRAY_SIZE(maps); i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			(void)*(volatile uint8_t *)maps[i];
			_exit(0);
		}
		status = wait_status(pid);
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) TH_LOG("%u: %#x", i, status);
	}
}

/* What a process without privileges reports, as its exit status: an errno. */
static int as_nobody(const char *path)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		int fd;

		if (setgid(65534) || setuid(65534))
			_exit(255);
		fd = open(path, O_RDWR);
		_exit(fd < 0 ? errno : 0);
	}
	status = wait_status(pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(bad_mappings, who_may_open)
{
	struct stat st;

	ASSERT_EQ(0, stat("/dev/kvoff/default", &st));
	EXPECT_EQ(0600, st.st_mode & 0777);
	ASSERT_EQ(0, stat("/dev/kvoff/control", &st));
	EXPECT_EQ(0600, st.st_mode & 0777);
	EXPECT_EQ(EACCES, as_nobody("/dev/kvoff/default"));
	EXPECT_EQ(EACCES, as_nobody("/dev/kvoff/control"));
	/* permission on a tenant's node is the authorisation; on the control node it is not enough */
	ASSERT_EQ(0, chmod("/dev/kvoff/default", 0666));
	ASSERT_EQ(0, chmod("/dev/kvoff/control", 0666));
	EXPECT_EQ(0, as_nobody("/dev/kvoff/default"));
	EXPECT_EQ(EPERM, as_nobody("/dev/kvoff/control"));
	EXPECT_EQ(0, chmod("/dev/kvoff/default", 0600));
	EXPECT_EQ(0, chmod("/dev/kvoff/control", 0600));
}

TEST_HARNESS_MAIN
