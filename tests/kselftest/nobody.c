// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Promise 10: a user without any rights looks everywhere, a descriptor for reading stays one, and a client that asks for
 * absurd sizes hurts itself alone.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "rig.h"

#define BS	(64 * KIB)
/* What red's bytes are. */
#define SECRET	77

/* Runs @fn as another user; what it returns, which is below 98. */
static int as_user(uid_t uid, int (*fn)(void *arg), void *arg)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
			_exit(99);
		_exit(fn(arg));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 98;
	return WEXITSTATUS(status);
}

FIXTURE(nobody)
{
	struct rig rig;
};

FIXTURE_SETUP(nobody)
{
	ASSERT_EQ(0, rig_up(&self->rig, BS, 2 * MIB));
}

FIXTURE_TEARDOWN(nobody)
{
	const char *wrong = rig_down(&self->rig);

	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

/* ---- descriptors and processes of other users ---- */

struct victim {
	pid_t pid;
	struct region *red;
};

static bool opens(int flags, const char *fmt, ...)
{
	char path[128];
	va_list ap;
	int fd;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	fd = open(path, flags | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Runs as a user who shares nothing with red. */
static int steal(void *arg)
{
	struct victim *v = arg;
	struct iovec near, far;
	uint64_t word;
	int pidfd;

	/* what was open before is a gift, not a theft */
	close_range(3, ~0U, 0);
	if (opens(O_RDWR, "/proc/%d/fd/%d", v->pid, v->red->fd) || opens(O_RDONLY, "/proc/%d/fd/%d", v->pid, v->red->fd))
		return 1;
	if (opens(O_RDONLY, "/proc/%d/mem", v->pid))
		return 2;
	if (opens(O_RDONLY, "/proc/%d/maps", v->pid) || opens(O_RDONLY, "/proc/%d/pagemap", v->pid) ||
	    opens(O_RDONLY, "/proc/%d/map_files/%lx-%lx", v->pid, (unsigned long)v->red->data,
		  (unsigned long)v->red->data + v->red->nr * v->red->bs))
		return 3;
	near = (struct iovec){ .iov_base = &word, .iov_len = sizeof(word) };
	far = (struct iovec){ .iov_base = v->red->data, .iov_len = sizeof(word) };
	if (process_vm_readv(v->pid, &near, 1, &far, 1, 0) >= 0 || process_vm_writev(v->pid, &near, 1, &far, 1, 0) >= 0)
		return 4;
	pidfd = syscall(SYS_pidfd_open, v->pid, 0);
	if (pidfd >= 0 && syscall(SYS_pidfd_getfd, pidfd, v->red->fd, 0) >= 0)
		return 5;
	if (opens(O_RDONLY, "/dev/kvoff/control") || opens(O_RDONLY, "/dev/kvoff/default"))
		return 6;
	return 0;
}

#define NO_NAMESPACE	50

/* Root in a user namespace of one's own is not root, even where the node's mode lets everybody in. */
static int root_of_nothing(void *arg)
{
	close_range(3, ~0U, 0);
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return NO_NAMESPACE;
	if (opens(O_RDWR, "/dev/kvoff/control") || errno != EPERM)
		return 1;
	return opens(O_RDWR, "/dev/kvoff/default") || errno != EACCES ? 2 : 0;
}

TEST_F(nobody, takes_descriptors_and_memory)
{
	struct victim v = { .pid = getpid(), .red = rig_region(&self->rig, BS, 2) };
	int ret;

	ASSERT_NE(NULL, v.red);
	fill(v.red->data, 2 * BS, SECRET);
	EXPECT_EQ(0, as_user(65534, steal, &v));
	ASSERT_EQ(0, chmod("/dev/kvoff/control", 0666));
	ret = as_user(65534, root_of_nothing, NULL);
	if (ret == NO_NAMESPACE)
		TH_LOG("no user namespaces for users here");
	else
		EXPECT_EQ(0, ret);
	EXPECT_EQ(0, chmod("/dev/kvoff/control", 0600));
	EXPECT_EQ(0, count_wrong(v.red->data, 2 * BS, SECRET));
}

/* A read-only descriptor, opened again by its link in /proc, is not writable, nor is it anything else. */
static int open_again(void *arg)
{
	struct region *ro = arg;

	return opens(O_RDWR, "/proc/self/fd/%d", ro->fd) || opens(O_RDONLY, "/proc/self/fd/%d", ro->fd);
}

TEST_F(nobody, read_only_stays_read_only)
{
	struct region *red = rig_region(&self->rig, BS, 2), ro;

	ASSERT_NE(NULL, red);
	fill(red->data, 2 * BS, SECRET);
	ASSERT_EQ(0, region_attach(red, &ro, O_RDONLY));
	EXPECT_EQ(0, open_again(&ro));
	EXPECT_EQ(0, as_user(65534, open_again, &ro));
	EXPECT_EQ(-1, mprotect(ro.data, BS, PROT_READ | PROT_WRITE));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, BS, PROT_READ | PROT_WRITE, MAP_SHARED, ro.fd, KVOFF_OFF_DATA));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ro.fd, KVOFF_OFF_HINT));
	/* root may write through /proc/PID/mem to what is not writable in other files; not here */
	{
		int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
		uint64_t word = 0;

		ASSERT_LE(0, mem);
		EXPECT_EQ(-1, pwrite(mem, &word, sizeof(word), (uintptr_t)ro.data));
		EXPECT_EQ(-1, pwrite(mem, &word, sizeof(word), (uintptr_t)ro.state));
		close(mem);
	}
	EXPECT_EQ(0, count_wrong(red->data, 2 * BS, SECRET));
	region_close(&ro);
}

/* ---- sysfs ---- */

static struct walk {
	uint64_t files;
	uint64_t secret;
	uint64_t wrong;
	char path[256];
} *walked;

/* A file in sysfs, seen by nobody. */
static int look_at(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	bool readable = opens(O_RDONLY, "%s", path), writable = opens(O_WRONLY, "%s", path);

	if (type != FTW_F)
		return 0;
	walked->files++;
	walked->secret += !(st->st_mode & 0044);
	if (!writable && !(st->st_mode & 0022) && (!readable || st->st_mode & 0044))
		return 0;
	walked->wrong++;
	snprintf(walked->path, sizeof(walked->path), "%s", path);
	return 0;
}

static int walk_sysfs(void *arg)
{
	nftw("/sys/devices/virtual/kvoff", look_at, 16, FTW_PHYS);
	nftw("/sys/class/kvoff/", look_at, 16, FTW_PHYS);
	nftw("/sys/module/kvoff/", look_at, 16, FTW_PHYS);
	return 0;
}

TEST_F(nobody, reads_no_secret_attribute)
{
	struct region *red = rig_region(&self->rig, BS, 2);

	ASSERT_NE(NULL, red);
	walked = mmap(NULL, sizeof(*walked), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, walked);
	EXPECT_EQ(0, as_user(65534, walk_sysfs, NULL));
	EXPECT_EQ(0, walked->wrong) TH_LOG("%s", walked->path);
	/* regions and tenants are secret, tiers and counters are not */
	EXPECT_LT(20, walked->secret);
	EXPECT_LT(walked->secret, walked->files);
	munmap(walked, sizeof(*walked));
}

/* ---- a client that would like to eat the kernel's memory ---- */

#define GROUP		"/sys/fs/cgroup/kvoff-nobody"
#define GROUP_MAX	(24 * MIB)

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* A number in a file, by itself or behind a word; UINT64_MAX if there is none. */
static uint64_t get(const char *path, const char *word)
{
	char line[256];
	uint64_t value = UINT64_MAX;
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, word, strlen(word)) && sscanf(line + strlen(word), "%lu", &value) == 1)
			break;
	if (f)
		fclose(f);
	return value;
}

static int group_make(void)
{
	char text[32];
	int ret;

	if (access("/sys/fs/cgroup/cgroup.subtree_control", W_OK))
		return -ENODEV;
	ret = put("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	rmdir(GROUP);
	if (!ret && mkdir(GROUP, 0755))
		ret = -errno;
	snprintf(text, sizeof(text), "%lu", GROUP_MAX);
	return ret ?: put(GROUP "/memory.max", text);
}

/* Regions of 64 TiB by the hundred, their arrays touched here and there; ends by SIGKILL. */
static void glutton(struct rig *rig)
{
	uint64_t nr = KVOFF_REGION_SIZE_MAX / BS, i, k;
	volatile uint32_t sum = 0;

	if (put(GROUP "/cgroup.procs", "0"))
		_exit(1);
	for (k = 0; k < 400; k++) {
		struct kvoff_region_create arg = {
			.size = sizeof(arg), .block_size = BS, .length = KVOFF_REGION_SIZE_MAX, .label = "glutton",
		};
		int fd = ioctl(rig->tenant, KVOFF_REGION_CREATE, &arg);
		struct kvoff_hint *hint;
		const struct kvoff_state *state;
		uint32_t *refs;

		if (fd < 0)
			_exit(2);
		hint = mmap(NULL, nr * sizeof(*hint), PROT_READ | PROT_WRITE, MAP_SHARED, fd, KVOFF_OFF_HINT);
		refs = mmap(NULL, nr * sizeof(*refs), PROT_READ | PROT_WRITE, MAP_SHARED, fd, KVOFF_OFF_REFS);
		state = mmap(NULL, nr * sizeof(*state), PROT_READ, MAP_SHARED, fd, KVOFF_OFF_STATE);
		if (hint == MAP_FAILED || refs == MAP_FAILED || state == MAP_FAILED)
			_exit(3);
		for (i = 0; i < 64; i++) {
			uint64_t block = (k * 64 + i) * 262147 % nr;

			hint[block].touches = 1;
			refs[block] = 1;
			sum += state[block].samples;
		}
	}
	_exit(4);
}

static uint32_t nr_regions(const struct rig *rig)
{
	uint32_t ids[8];
	struct kvoff_ctl_regions list = { .size = sizeof(list), .nr = 8, .ids = (uintptr_t)ids };

	return ioctl(rig->control, KVOFF_CTL_REGIONS, &list) ? 0 : list.nr;
}

TEST_F(nobody, absurd_sizes)
{
	struct region *red;
	uint64_t before;
	int status;
	pid_t pid;

	if (group_make())
		SKIP(return, "no memory controller for a cgroup of ours");
	red = rig_region(&self->rig, BS, 4);
	ASSERT_NE(NULL, red);
	fill(red->data, 4 * BS, SECRET);
	before = get("/proc/meminfo", "MemAvailable:");
	pid = fork();
	if (!pid)
		glutton(&self->rig);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	/* it alone was hurt, by its own limit */
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) TH_LOG("status %#x", status);
	EXPECT_LT(0, get(GROUP "/memory.events", "oom_kill "));
	EXPECT_EQ(0, count_wrong(red->data, 4 * BS, SECRET));
	EXPECT_EQ(0, move_one(&self->rig, red, 0, self->rig.far, 0));
	/* and all came back: regions at once, memory as soon as the kernel has got round to it */
	EXPECT_TRUE(comes_true(nr_regions(&self->rig) == 1 && get(GROUP "/memory.current", "") < GROUP_MAX / 4));
	EXPECT_LT(before, get("/proc/meminfo", "MemAvailable:") + 2 * GROUP_MAX / KIB);
	/* who has died may be counted there for a moment */
	EXPECT_TRUE(comes_true(!rmdir(GROUP)));
}

TEST_HARNESS_MAIN
