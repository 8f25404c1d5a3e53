// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tenants: who may open what, how they come and go, and that one sees nothing of another. How much each may have is
 * tenant_quota.c's.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "tenant_bed.h"

TEST_F(tenants, names)
{
	static const char * const bad[] = {
		"", ".", "..", ".red", "a/b", "../stats", "a b", "a\tb", "a!0", "\xff", "a\n", "%s",
		"01234567890123456789012345678901",
	};
	static const char * const taken[] = { "control", "tiers", "regions", "tuning", "stats", "default", "red" };
	unsigned int i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, tenant_add(&self->rig, bad[i], NULL)) TH_LOG("%u", i);
		EXPECT_EQ(-EINVAL, set_quota(&self->rig, bad[i], 1)) TH_LOG("%u", i);
		EXPECT_EQ(-EINVAL, tenant_remove(&self->rig, bad[i])) TH_LOG("%u", i);
	}
	for (i = 0; i < ARRAY_SIZE(taken); i++)
		EXPECT_EQ(-EEXIST, tenant_add(&self->rig, taken[i], NULL)) TH_LOG("%u", i);
	/* these are devices of the class, but no tenants */
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(-ENOENT, set_quota(&self->rig, taken[i], 1)) TH_LOG("%u", i);
		EXPECT_EQ(-ENOENT, tenant_remove(&self->rig, taken[i])) TH_LOG("%u", i);
	}
	EXPECT_EQ(-ENOENT, set_quota(&self->rig, "none", 1));
	EXPECT_EQ(-ENOENT, tenant_remove(&self->rig, "none"));
	EXPECT_EQ(0, tenant_add(&self->rig, "0123456789012345678901234567-_.", NULL));
	fd = node_open("0123456789012345678901234567-_.", O_RDWR);
	EXPECT_LE(0, fd);
	close(fd);
	EXPECT_EQ(0, tenant_remove(&self->rig, "0123456789012345678901234567-_."));
	EXPECT_EQ(-ENOENT, node_open("0123456789012345678901234567-_.", O_RDWR));
}

TEST_F(tenants, bad_fields)
{
	const struct rig *rig = &self->rig;
	struct kvoff_ctl_tenant bad[] = {
		{ .flags = KVOFF_TENANT_CLASS, .class = KVOFF_CLASS_BATCH + 1 },
		{ .flags = KVOFF_TENANT_CLASS, .class = UINT32_MAX },
		{ .flags = KVOFF_TENANT_UID, .uid = UINT32_MAX },
		{ .flags = KVOFF_TENANT_GID, .gid = UINT32_MAX },
		{ .flags = KVOFF_TENANT_MODE, .mode = 0700 },
		{ .flags = KVOFF_TENANT_MODE, .mode = 04600 },
		{ .flags = KVOFF_TENANT_MODE, .mode = S_IFREG | 0600 },
		{ .flags = KVOFF_TENANT_QUOTA, .tiers = 1U << KVOFF_MAX_TIERS },
		{ .flags = KVOFF_TENANT_QUOTA, .reserved = 1 },
	};
	struct kvoff_ctl_tenant arg = { .tiers = 1U << 15 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, tenant_set(rig, "red", &bad[i])) TH_LOG("%u", i);
		bad[i].flags = 0;
		EXPECT_EQ(-EINVAL, tenant_add(rig, "green", &bad[i])) TH_LOG("%u", i);
	}
	EXPECT_EQ(-ENXIO, tenant_set(rig, "red", &arg));
	EXPECT_EQ(-ENXIO, tenant_add(rig, "green", &arg));
	EXPECT_EQ(-ENOENT, node_open("green", O_RDWR));
	EXPECT_EQ(-EINVAL, tenant_set(rig, "red", NULL));
	arg = (struct kvoff_ctl_tenant){ .flags = KVOFF_TENANT_QUOTA << 1 };
	EXPECT_EQ(-EINVAL, tenant_set(rig, "red", &arg));
	EXPECT_EQ(0, sysfs_u64("red/quota_bytes"));
	EXPECT_GT(0, sysfs_write("red/quota_bytes", "-1"));
	EXPECT_GT(0, sysfs_write("red/quota_bytes", "much"));
	EXPECT_GT(0, sysfs_write("red/class", "first"));
	EXPECT_EQ(0, sysfs_write("red/class", "latency"));
	EXPECT_EQ(0, sysfs_write("red/quota_bytes", "65536"));
	EXPECT_EQ(65536, sysfs_u64("red/quota_bytes"));
	/* not a tenant's business */
	EXPECT_EQ(-ENOTTY, tenant_add(&(struct rig){ .control = self->red.tenant }, "green", NULL));
}

/* Only what the flags name changes, and the region tells. */
TEST_F(tenants, change)
{
	struct kvoff_ctl_tenant arg = {
		.flags = KVOFF_TENANT_CLASS, .class = KVOFF_CLASS_BATCH, .quota = 1, .uid = 9, .gid = 9, .mode = 0666,
	};
	struct kvoff_region_info info;
	struct region *r;

	EXPECT_EQ(0, set_quota(&self->rig, "red", 8 * BS));
	EXPECT_EQ(0, set_tier_quota(&self->rig, "red", self->rig.far, 3 * BS));
	EXPECT_EQ(0, tenant_set(&self->rig, "red", &arg));
	EXPECT_EQ(8 * BS, sysfs_u64("red/quota_bytes"));
	EXPECT_EQ(3 * BS, sysfs_u64("red/tiers/cxl0/quota_bytes"));
	EXPECT_EQ(0, sysfs_u64("red/tiers/dram/quota_bytes"));
	r = rig_region(&self->red, BS, 2);
	ASSERT_NE(NULL, r);
	ASSERT_EQ(0, region_info(r->fd, &info));
	EXPECT_STREQ("red", info.tenant);
	EXPECT_EQ(8 * BS, info.tenant_quota);
	EXPECT_EQ(2 * BS, info.tenant_committed);
	EXPECT_EQ(KVOFF_CLASS_BATCH, info.tenant_class);
	/* the others are as they were */
	EXPECT_EQ(0, sysfs_u64("blue/quota_bytes"));
	EXPECT_EQ(0, sysfs_u64("default/quota_bytes"));
}

/* A caller that knows the first version of the structure gets that, and nothing behind it. */
TEST_F(tenants, older_callers)
{
	struct kvoff_region_info info;
	struct region *r = rig_region(&self->red, BS, 2);

	ASSERT_NE(NULL, r);
	memset(&info, 0x5a, sizeof(info));
	info.size = KVOFF_REGION_INFO_MIN;
	ASSERT_EQ(0, ioctl(r->fd, KVOFF_REGION_INFO, &info));
	EXPECT_EQ(2 * BS, info.committed);
	EXPECT_EQ(0x5a, info.tenant[0]);
	EXPECT_EQ(0x5a5a5a5a, info.mode);
}

/* A tier's quotas go with it; its folder comes and goes. */
TEST_F(tenants, tiers_come_and_go)
{
	struct rig *rig = &self->rig;
	struct kvoff_ctl_tenant arg = { .tiers = 1U << rig->far };

	ASSERT_EQ(0, set_tier_quota(rig, "red", rig->far, BS));
	ASSERT_EQ(0, tier_remove(rig->control, "cxl0"));
	EXPECT_EQ(UINT64_MAX, sysfs_u64("red/tiers/cxl0/quota_bytes"));
	EXPECT_EQ(-ENXIO, set_tier_quota(rig, "red", rig->far, BS));
	EXPECT_EQ(0, tenant_add(rig, "green", NULL));
	EXPECT_EQ(UINT64_MAX, sysfs_u64("green/tiers/cxl0/quota_bytes"));
	ASSERT_EQ(0, tier_add(rig, "cxl0", rig->far_node, 1, POOL, &rig->far));
	EXPECT_EQ(0, sysfs_u64("red/tiers/cxl0/quota_bytes"));
	EXPECT_EQ(0, sysfs_u64("green/tiers/cxl0/quota_bytes"));
	EXPECT_EQ(0, tenant_remove(rig, "green"));
	/* given with the tenant, by number; and written as a file */
	arg.tier_quota[rig->far] = 7 * BS;
	EXPECT_EQ(0, tenant_add(rig, "green", &arg));
	EXPECT_EQ(7 * BS, sysfs_u64("green/tiers/cxl0/quota_bytes"));
	EXPECT_EQ(0, sysfs_write("green/tiers/cxl0/quota_bytes", "131072"));
	EXPECT_EQ(131072, sysfs_u64("green/tiers/cxl0/quota_bytes"));
	EXPECT_EQ(0, tenant_remove(rig, "green"));
}

/* ---- the nodes ---- */

TEST_F(tenants, remove_busy)
{
	struct region *r = rig_region(&self->red, BS, 2);
	struct kvoff_region_info info;
	struct region a;
	struct stat st;
	int fd;

	ASSERT_NE(NULL, r);
	EXPECT_EQ(-EBUSY, tenant_remove(&self->rig, "red"));
	close(self->red.tenant);
	EXPECT_EQ(-EBUSY, tenant_remove(&self->rig, "red"));
	ASSERT_EQ(0, region_attach(r, &a, O_RDWR));
	region_close(r);
	EXPECT_EQ(-EBUSY, tenant_remove(&self->rig, "red"));
	/* what refused to go works on */
	fd = node_open("red", O_RDWR);
	EXPECT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, region_info(a.fd, &info));
	EXPECT_STREQ("red", info.tenant);
	region_close(&a);

	/* a container keeps a node of its own, which leads nowhere when the tenant is gone, and to no other */
	ASSERT_EQ(0, stat("/dev/kvoff/red", &st));
	unlink("/tmp/red");
	ASSERT_EQ(0, mknod("/tmp/red", S_IFCHR | 0600, st.st_rdev));
	fd = open("/tmp/red", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EBUSY, tenant_remove(&self->rig, "red"));
	close(fd);
	EXPECT_EQ(0, tenant_remove(&self->rig, "red"));
	EXPECT_EQ(-1, open("/tmp/red", O_RDWR | O_CLOEXEC));
	EXPECT_EQ(ENXIO, errno);
	ASSERT_EQ(0, tenant_add(&self->rig, "red", NULL));
	EXPECT_EQ(-1, open("/tmp/red", O_RDWR | O_CLOEXEC));
	EXPECT_EQ(ENXIO, errno);
	unlink("/tmp/red");
	self->red.tenant = node_open("red", O_RDWR);
	EXPECT_LE(0, self->red.tenant);
}

/* "default" is a tenant like any other, except that it is there from the beginning. */
TEST_F(tenants, default_is_a_tenant)
{
	EXPECT_EQ(-EBUSY, tenant_remove(&self->rig, "default"));
	close(self->rig.tenant);
	EXPECT_EQ(0, tenant_remove(&self->rig, "default"));
	EXPECT_EQ(-ENOENT, node_open("default", O_RDWR));
	EXPECT_EQ(0, tenant_add(&self->rig, "default", NULL));
	self->rig.tenant = node_open("default", O_RDWR);
	EXPECT_LE(0, self->rig.tenant);
}

/* Runs @fn as another user and without the test's descriptors being worth anything; what it returns. */
static int as_user(uid_t uid, gid_t gid, int (*fn)(void *arg), void *arg)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
			_exit(99);
		_exit(fn(arg) & 0x7f);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 98;
	return WEXITSTATUS(status);
}

/* 0 or an errno */
static int can_open(void *name)
{
	int fd = node_open(name, O_RDWR);

	return fd < 0 ? -fd : 0;
}

static int can_read(void *path)
{
	char full[256];
	int fd;

	snprintf(full, sizeof(full), "/sys/class/kvoff/%s", (const char *)path);
	fd = open(full, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? errno : 0;
}

TEST_F(tenants, permission)
{
	struct kvoff_ctl_tenant alice = { .uid = 1000, .gid = 1000, .mode = 0600, .class = KVOFF_CLASS_LATENCY };
	struct kvoff_ctl_tenant team = { .gid = 2000, .mode = 0660 };
	struct stat st;

	EXPECT_EQ(0, tenant_add(&self->rig, "alice", &alice));
	EXPECT_EQ(0, tenant_add(&self->rig, "team", &team));
	ASSERT_EQ(0, stat("/dev/kvoff/alice", &st));
	EXPECT_EQ(S_IFCHR | 0600, st.st_mode);
	EXPECT_EQ(1000, st.st_uid);
	EXPECT_EQ(1000, st.st_gid);
	ASSERT_EQ(0, stat("/dev/kvoff/team", &st));
	EXPECT_EQ(S_IFCHR | 0660, st.st_mode);
	EXPECT_EQ(0, st.st_uid);
	EXPECT_EQ(2000, st.st_gid);
	/* nothing given: root's alone */
	ASSERT_EQ(0, stat("/dev/kvoff/red", &st));
	EXPECT_EQ(S_IFCHR | 0600, st.st_mode);
	EXPECT_EQ(0, st.st_uid);

	EXPECT_EQ(0, as_user(1000, 1000, can_open, "alice"));
	EXPECT_EQ(EACCES, as_user(1001, 1000, can_open, "alice"));
	EXPECT_EQ(EACCES, as_user(1000, 1000, can_open, "team"));
	EXPECT_EQ(0, as_user(1001, 2000, can_open, "team"));
	EXPECT_EQ(EACCES, as_user(1000, 1000, can_open, "red"));
	EXPECT_EQ(EACCES, as_user(1000, 1000, can_open, "default"));
	EXPECT_EQ(EACCES, as_user(1000, 1000, can_open, "control"));
	EXPECT_EQ(EACCES, as_user(1000, 1000, can_read, "red/quota_bytes"));
	EXPECT_EQ(EACCES, as_user(1000, 1000, can_read, "red/committed_bytes"));
	EXPECT_EQ(EACCES, as_user(1000, 1000, can_read, "red/tiers/dram/used_bytes"));

	/* changed: udev is told what the node shall be */
	alice = (struct kvoff_ctl_tenant){
		.flags = KVOFF_TENANT_UID | KVOFF_TENANT_GID | KVOFF_TENANT_MODE, .uid = 7, .gid = 8, .mode = 0640,
	};
	EXPECT_EQ(0, tenant_set(&self->rig, "alice", &alice));
	{
		char text[512] = "";
		int fd = open("/sys/class/kvoff/alice/uevent", O_RDONLY | O_CLOEXEC);

		ASSERT_LE(0, fd);
		EXPECT_LT(0, read(fd, text, sizeof(text) - 1));
		close(fd);
		EXPECT_NE(NULL, strstr(text, "DEVNAME=kvoff/alice\n"));
		EXPECT_NE(NULL, strstr(text, "DEVMODE=0640\n"));
		EXPECT_NE(NULL, strstr(text, "DEVUID=7\n"));
		EXPECT_NE(NULL, strstr(text, "DEVGID=8\n"));
	}
	EXPECT_EQ(0, tenant_remove(&self->rig, "alice"));
	EXPECT_EQ(0, tenant_remove(&self->rig, "team"));
}

/**
 * struct spy - what a process that is handed blue's node, and nothing else, tries on red's region
 */
struct spy {
	int blue;
	struct region *red;
};

static int spy(void *arg)
{
	struct spy *s = arg;
	struct kvoff_ctl_region_view view = { .size = sizeof(view), .id = s->red->id };
	struct kvoff_ctl_regions list = { .size = sizeof(list), .nr = 1, .ids = (uintptr_t)&list };
	struct kvoff_region_attach attach = { .size = sizeof(attach), .fd_flags = O_RDWR };
	struct kvoff_region_info info = { .size = sizeof(info) };
	uint64_t offsets[] = { KVOFF_OFF_DATA, KVOFF_OFF_STATE, KVOFF_OFF_HINT, KVOFF_OFF_REFS };
	char path[64];
	unsigned int i;

	/* the node answers nothing but KVOFF_REGION_CREATE, and maps nothing */
	if (ioctl(s->blue, KVOFF_CTL_REGION_VIEW, &view) >= 0 || errno != ENOTTY)
		return 1;
	if (ioctl(s->blue, KVOFF_CTL_REGIONS, &list) >= 0 || errno != ENOTTY)
		return 2;
	if (ioctl(s->blue, KVOFF_REGION_ATTACH, &attach) >= 0 || errno != ENOTTY)
		return 3;
	if (ioctl(s->blue, KVOFF_REGION_INFO, &info) >= 0 || errno != ENOTTY)
		return 4;
	for (i = 0; i < ARRAY_SIZE(offsets); i++)
		if (mmap(NULL, PAGE, PROT_READ, MAP_SHARED, s->blue, offsets[i]) != MAP_FAILED)
			return 5;
	if (can_open("red") != EACCES || can_open("control") != EACCES)
		return 6;
	/* nor does sysfs tell anything about the region, not even to the user who made one */
	snprintf(path, sizeof(path), "regions/%u/label", s->red->id);
	if (can_read(path) != EACCES)
		return 7;
	snprintf(path, sizeof(path), "regions/%u/used_bytes", s->red->id);
	if (can_read(path) != EACCES)
		return 8;
	return 0;
}

TEST_F(tenants, isolation)
{
	struct spy s = { .blue = self->blue.tenant };
	struct kvoff_region_commit out;
	struct region r, b;
	uint64_t nonzero = 0, i;
	char path[64];
	struct stat st;

	ASSERT_EQ(0, region_create(&self->red, &r, BS, 2 * FRAMES));
	while (!region_commit(&r, BS, &out))
		;
	fill(r.data, out.committed, 1);
	s.red = &r;
	EXPECT_EQ(0, as_user(1000, 1000, spy, &s));
	snprintf(path, sizeof(path), "/sys/class/kvoff/regions/%u/label", r.id);
	ASSERT_EQ(0, stat(path, &st));
	EXPECT_EQ(S_IFREG | 0400, st.st_mode);

	/* red had every frame there is: blue gets them, without a byte of red's, while they are still wet */
	region_close(&r);
	ASSERT_EQ(0, region_create(&self->blue, &b, BS, 2 * FRAMES));
	ASSERT_EQ(0, region_commit(&b, out.committed, NULL));
	for (i = 0; i < out.committed / BS; i++)
		nonzero += count_nonzero(block_at(&b, i), BS);
	EXPECT_EQ(0, nonzero);
	EXPECT_EQ(out.committed, sysfs_u64("blue/used_bytes"));
	region_close(&b);
}

/* A region ends with a client that is killed, and what it was charged comes back. */
TEST_F(tenants, killed)
{
	int pipe_fds[2], status;
	char c;
	pid_t pid;

	ASSERT_EQ(0, set_quota(&self->rig, "red", 8 * BS));
	ASSERT_EQ(0, pipe(pipe_fds));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct region *r = rig_region(&self->red, BS, 8);

		if (!r)
			_exit(1);
		fill(r->data, 5 * BS, 1);
		if (write(pipe_fds[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ASSERT_EQ(1, read(pipe_fds[0], &c, 1));
	EXPECT_EQ(8 * BS, sysfs_u64("red/committed_bytes"));
	EXPECT_EQ(5 * BS, sysfs_u64("red/used_bytes"));
	EXPECT_EQ(NULL, rig_region(&self->red, BS, 1));
	EXPECT_EQ(EDQUOT, errno);
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, sysfs_u64("red/used_bytes"));
	EXPECT_NE(NULL, rig_region(&self->red, BS, 8));
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* Tenants come and go while clients open them: no crash, and none is left. */
static void *keep_opening(void *stop)
{
	while (!atomic_load((atomic_bool *)stop)) {
		int fd = node_open("green", O_RDWR);

		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

TEST_F(tenants, come_and_go)
{
	atomic_bool stop = false;
	unsigned int i, removed = 0;
	pthread_t t;

	ASSERT_EQ(0, pthread_create(&t, NULL, keep_opening, &stop));
	for (i = 0; i < 200; i++) {
		int ret = tenant_add(&self->rig, "green", NULL);

		EXPECT_EQ(0, ret);
		while ((ret = tenant_remove(&self->rig, "green")) == -EBUSY)
			;
		EXPECT_EQ(0, ret);
		removed += !ret;
	}
	atomic_store(&stop, true);
	pthread_join(t, NULL);
	EXPECT_EQ(200, removed);
	EXPECT_EQ(-ENOENT, node_open("green", O_RDWR));
}

TEST_HARNESS_MAIN
