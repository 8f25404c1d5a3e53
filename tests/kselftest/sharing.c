// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A region's descriptor can be handed to another process, over a socket as any other: to one that may open no node and
 * runs as another user. What it can do with it is what the descriptor was made for, and nothing makes that more.
 */
#include <kselftest_harness.h>

#include <fcntl.h>
#include <grp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "seal.h"

#define BS	(64 * KIB)
#define NR	16
#define RW	(PROT_READ | PROT_WRITE)

FIXTURE(sharing)
{
	struct rig rig;
	struct region *r;
	/* a descriptor for each kind of access */
	int writer;
	int reader;
	int pair[2];
};

FIXTURE_SETUP(sharing)
{
	struct kvoff_region_attach attach = { .size = sizeof(attach) };
	uint64_t b;

	ASSERT_EQ(0, rig_up(&self->rig, BS, 64 * BS));
	self->r = rig_region(&self->rig, BS, NR);
	ASSERT_NE(NULL, self->r);
	for (b = 0; b < 8; b++)
		fill(block_at(self->r, b), BS, b);
	attach.fd_flags = O_RDWR | O_CLOEXEC;
	self->writer = ioctl(self->r->fd, KVOFF_REGION_ATTACH, &attach);
	ASSERT_LE(0, self->writer);
	attach.fd_flags = O_RDONLY | O_CLOEXEC;
	self->reader = ioctl(self->r->fd, KVOFF_REGION_ATTACH, &attach);
	ASSERT_LE(0, self->reader);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, self->pair));
	ASSERT_EQ(0, bus_catch());
}

FIXTURE_TEARDOWN(sharing)
{
	const char *wrong;

	close(self->pair[0]);
	close(self->pair[1]);
	if (self->writer >= 0)
		close(self->writer);
	if (self->reader >= 0)
		close(self->reader);
	wrong = rig_down(&self->rig);
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

union control {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static int send_fd(int sock, int fd)
{
	struct iovec iov = { .iov_base = "", .iov_len = 1 };
	union control control = {
		.head = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) },
	};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control),
	};

	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	return sendmsg(sock, &msg, 0) == 1 ? 0 : -errno;
}

static int receive_fd(int sock)
{
	char c;
	struct iovec iov = { .iov_base = &c, .iov_len = 1 };
	union control control;
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control),
	};
	int fd;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != 1 || msg.msg_controllen < CMSG_LEN(sizeof(int)))
		return -1;
	memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
	return fd;
}

/*
 * A process of another user's that was there before and has nothing but its end of the socket. It does what @run
 * says with the descriptor that it is sent; its exit status says what went wrong, 0 for nothing.
 */
static pid_t stranger(FIXTURE_DATA(sharing) *self, int (*run)(int fd, int sock))
{
	pid_t pid = fork();
	int fd, sock;

	if (pid)
		return pid;
	sock = dup2(self->pair[1], 3);
	if (sock != 3 || close_range(4, ~0U, 0) || setgroups(0, NULL) || setgid(1000) || setuid(1000))
		_exit(101);
	if (open("/dev/kvoff/default", O_RDWR) >= 0)
		_exit(102);
	fd = receive_fd(sock);
	_exit(fd < 0 ? 103 : run(fd, sock));
}

static int wait_exit(pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

/* One byte there, one byte back. */
static int told(int sock)
{
	char c;

	return read(sock, &c, 1) == 1 ? 0 : -1;
}

static int tell(int sock)
{
	return write(sock, "", 1) == 1 ? 0 : -1;
}

/* ---- with a descriptor for writing ---- */

static int write_and_hold(int fd, int sock)
{
	struct region from = { .fd = fd, .bs = BS, .nr = NR }, r;
	uint64_t b;

	if (region_attach(&from, &r, O_RDWR))
		return 1;
	for (b = 0; b < 8; b++)
		if (count_wrong(block_at(&r, b), BS, b))
			return 2;
	fill(block_at(&r, 1), BS, 101);
	fill(block_at(&r, 9), BS, 109);
	r.hint[9].touches = 3;
	__atomic_add_fetch(&r.refs[2], 1, __ATOMIC_SEQ_CST);
	if (tell(sock) || told(sock))
		return 3;
	/* it has moved meanwhile, and the other side has written */
	if (count_wrong(block_at(&r, 1), BS, 101) || count_wrong(block_at(&r, 4), BS, 104))
		return 4;
	if (region_commit(&r, BS, NULL) != -ENOMEM || region_uncommit(&r, BS) || region_discard(&r, 5, 1, NULL))
		return 5;
	/* and ends with a reference held */
	return 0;
}

TEST_F(sharing, a_stranger_reads_and_writes)
{
	pid_t pid = stranger(self, write_and_hold);

	ASSERT_EQ(0, send_fd(self->pair[0], self->writer));
	ASSERT_EQ(0, told(self->pair[0]));
	EXPECT_EQ(0, count_wrong(block_at(self->r, 1), BS, 101));
	EXPECT_EQ(0, count_wrong(block_at(self->r, 9), BS, 109));
	EXPECT_EQ(3, self->r->hint[9].touches);
	/* its references count, in an array of its own */
	EXPECT_EQ(0, self->r->refs[2]);
	EXPECT_EQ(-EAGAIN, move_one(&self->rig, self->r, 2, self->rig.far, 0));
	EXPECT_EQ(0, move_one(&self->rig, self->r, 1, self->rig.far, 0));
	EXPECT_EQ(0, move_one(&self->rig, self->r, 4, self->rig.far, 0));
	fill(block_at(self->r, 4), BS, 104);
	ASSERT_EQ(0, tell(self->pair[0]));
	EXPECT_EQ(0, wait_exit(pid));
	EXPECT_EQ(0, move_one(&self->rig, self->r, 2, self->rig.far, 0));
	EXPECT_EQ(0, count_nonzero(block_at(self->r, 5), BS));
}

/* ---- with one for reading ---- */

static int refused(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) == -1 && errno == EACCES ? 0 : -1;
}

static int calls_of_a_reader(int fd)
{
	struct kvoff_region_attach attach = { .size = sizeof(attach), .fd_flags = O_RDWR };
	struct kvoff_region_info info = { .size = sizeof(info) };
	struct kvoff_region_commit commit = { .size = sizeof(commit), .bytes = BS };
	struct kvoff_region_discard discard = { .size = sizeof(discard), .nr = 1 };
	struct kvoff_region_settle settle = { .size = sizeof(settle) };
	struct kvoff_region_seal tag = { .size = sizeof(tag), .nr = 1 };
	struct kvoff_unit unit;

	if (refused(fd, KVOFF_REGION_COMMIT, &commit) || refused(fd, KVOFF_REGION_UNCOMMIT, &commit) ||
	    refused(fd, KVOFF_REGION_DISCARD, &discard) || refused(fd, KVOFF_REGION_SEAL, &tag) ||
	    refused(fd, KVOFF_REGION_ATTACH, &attach))
		return 1;
	if (ioctl(fd, KVOFF_REGION_INFO, &info) || info.nr_attached < 3 || ioctl(fd, KVOFF_REGION_SETTLE, &settle) ||
	    units(fd, 0, &unit, 1) != 1 || strcmp((char *)unit.tag, "six"))
		return 2;
	attach.fd_flags = O_RDONLY;
	fd = ioctl(fd, KVOFF_REGION_ATTACH, &attach);
	attach.fd_flags = O_RDWR;
	return fd < 0 || refused(fd, KVOFF_REGION_ATTACH, &attach) ? 3 : 0;
}

/* None of these may give a mapping that can be written, whatever it says. */
static int mappings_of_a_reader(int fd, uint8_t *p)
{
	struct iovec near = { .iov_base = &fd, .iov_len = sizeof(fd) };
	struct iovec far = { .iov_base = p, .iov_len = sizeof(fd) };
	uint8_t *q;
	int mem;

	if (mmap(NULL, BS, RW, MAP_SHARED, fd, 0) != MAP_FAILED ||
	    mmap(NULL, BS, PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED ||
	    mmap(NULL, BS, RW, MAP_PRIVATE, fd, 0) != MAP_FAILED ||
	    mmap(NULL, PAGE, RW, MAP_SHARED, fd, KVOFF_OFF_HINT) != MAP_FAILED ||
	    mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, KVOFF_OFF_REFS) != MAP_FAILED)
		return 1;
	if (!mprotect(p, BS, RW) || !mprotect(p + PAGE, PAGE, PROT_WRITE))
		return 2;
	/* moved, doubled or cut, it is what it was */
	q = mremap(p, 0, BS, MREMAP_MAYMOVE);
	if (q != MAP_FAILED && !mprotect(q, BS, RW))
		return 3;
	q = mremap(p + BS, BS, BS, MREMAP_MAYMOVE | MREMAP_FIXED, p + 64 * MIB);
	if (q == MAP_FAILED || !mprotect(q, BS, RW) || count_wrong(q, BS, 1))
		return 4;
	if (munmap(p + PAGE, PAGE) || !mprotect(p, PAGE, RW))
		return 5;
	if (process_vm_writev(getpid(), &near, 1, &far, 1, 0) != -1)
		return 6;
	mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	if (mem >= 0 && pwrite(mem, &fd, sizeof(fd), (uintptr_t)p) >= 0)
		return 7;
	return madvise(p, PAGE, MADV_POPULATE_WRITE) ? 0 : 8;
}

/* Neither can the descriptor itself be made to write. */
static int descriptor_of_a_reader(int fd)
{
	static const int flags[] = { O_RDWR, O_WRONLY, O_RDWR | O_CREAT, O_RDWR | O_TRUNC, O_RDWR | O_APPEND };
	char path[32];
	unsigned int i;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (i = 0; i < ARRAY_SIZE(flags); i++)
		if (open(path, flags[i], 0600) >= 0)
			return 1;
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	if (open(path, O_RDWR) >= 0)
		return 2;
	fcntl(fd, F_SETFL, O_RDWR);
	if ((fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY || mmap(NULL, BS, RW, MAP_SHARED, fd, 0) != MAP_FAILED)
		return 3;
	fd = dup(fd);
	return mmap(NULL, BS, RW, MAP_SHARED, fd, 0) != MAP_FAILED ? 4 : 0;
}

static int only_read(int fd, int sock)
{
	uint8_t *p = mmap(NULL, 8 * BS, PROT_READ, MAP_SHARED, fd, 0);
	uint64_t b;
	int ret;

	if (p == MAP_FAILED)
		return 1;
	for (b = 0; b < 8; b++)
		if (count_wrong(p + b * BS, BS, b))
			return 2;
	ret = descriptor_of_a_reader(fd);
	if (ret)
		return 10 + ret;
	ret = calls_of_a_reader(fd);
	if (ret)
		return 20 + ret;
	ret = mappings_of_a_reader(fd, p);
	if (ret)
		return 30 + ret;
	tell(sock);
	told(sock);
	/* what the other side writes and the policy moves is seen */
	return count_wrong(p + 4 * BS, BS, 104) ? 40 : 0;
}

TEST_F(sharing, a_reader_reads)
{
	pid_t pid = stranger(self, only_read);
	uint64_t b;

	ASSERT_EQ(0, seal(self->r->fd, 6, 1, "six", NULL));
	ASSERT_EQ(0, send_fd(self->pair[0], self->reader));
	/* wherever it fails it ends, and its end of the socket with it */
	close(self->pair[1]);
	self->pair[1] = -1;
	told(self->pair[0]);
	EXPECT_EQ(0, move_one(&self->rig, self->r, 4, self->rig.far, 0));
	fill(block_at(self->r, 4), BS, 104);
	send(self->pair[0], "", 1, MSG_NOSIGNAL);
	EXPECT_EQ(0, wait_exit(pid));
	for (b = 0; b < 8; b++)
		EXPECT_EQ(0, count_wrong(block_at(self->r, b), BS, b == 4 ? 104 : b)) TH_LOG("%lu", (unsigned long)b);
}

/* ---- how long it lives ---- */

static int last_of_all(int fd, int sock)
{
	uint8_t *p = mmap(NULL, 8 * BS, PROT_READ, MAP_SHARED, fd, 0);
	uint64_t b;

	if (p == MAP_FAILED)
		return 1;
	close(fd);
	if (tell(sock) || told(sock))
		return 2;
	for (b = 0; b < 8; b++)
		if (count_wrong(p + b * BS, BS, b))
			return 3;
	return 0;
}

/* On its way, and then with the stranger alone, the region lives; then it does not. */
TEST_F(sharing, the_last_holder_keeps_it)
{
	pid_t pid;

	ASSERT_EQ(0, send_fd(self->pair[0], self->reader));
	close(self->reader);
	close(self->writer);
	self->reader = -1;
	self->writer = -1;
	region_close(self->r);
	EXPECT_EQ(8 * BS, tiers_sum("used_bytes"));
	pid = stranger(self, last_of_all);
	ASSERT_EQ(0, told(self->pair[0]));
	EXPECT_EQ(8 * BS, tiers_sum("used_bytes"));
	ASSERT_EQ(0, tell(self->pair[0]));
	EXPECT_EQ(0, wait_exit(pid));
	EXPECT_TRUE(wait_for_sum("used_bytes", 0));

	/* one that nobody takes from the socket goes with the socket */
	self->r = rig_region(&self->rig, BS, NR);
	ASSERT_NE(NULL, self->r);
	fill(self->r->data, BS, 1);
	ASSERT_EQ(0, send_fd(self->pair[0], self->r->fd));
	region_close(self->r);
	EXPECT_EQ(BS, tiers_sum("used_bytes"));
	close(self->pair[0]);
	close(self->pair[1]);
	EXPECT_TRUE(wait_for_sum("used_bytes", 0));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, self->pair));
}

/* Sealed by one, sealed for all. */
static int find_sealed(int fd, int sock)
{
	struct region from = { .fd = fd, .bs = BS, .nr = NR }, r;
	struct kvoff_unit unit;

	if (region_attach(&from, &r, O_RDWR) || bus_catch())
		return 1;
	if (units(r.fd, 0, &unit, 1) != 1 || unit.first != 6 || !is_sealed(&r, 6) || !store_gets_bus(block_at(&r, 6)))
		return 2;
	if (count_wrong(block_at(&r, 6), BS, 6) || store_gets_bus(block_at(&r, 7)))
		return 3;
	return seal(r.fd, 7, 1, "seven", NULL) ? 4 : 0;
}

TEST_F(sharing, seals_are_everybodys)
{
	pid_t pid = stranger(self, find_sealed);
	struct kvoff_unit list[4];

	ASSERT_EQ(0, seal(self->r->fd, 6, 1, "six", NULL));
	ASSERT_EQ(0, send_fd(self->pair[0], self->writer));
	EXPECT_EQ(0, wait_exit(pid));
	EXPECT_TRUE(store_gets_bus(block_at(self->r, 7)));
	EXPECT_EQ(2, units(self->r->fd, 0, list, 4));
}

TEST_HARNESS_MAIN
