// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A region with a name outlives its processes: whoever opens it finds sealed units where they were, and nothing else;
 * others find it only where they may, and it ends when it shall.
 */
#include <kselftest_harness.h>

#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "named.h"

FIXTURE(named)
{
	struct rig rig;
};

FIXTURE_SETUP(named)
{
	ASSERT_EQ(0, rig_up(&self->rig, BS, 64 * BS));
	ASSERT_EQ(0, bus_catch());
}

FIXTURE_TEARDOWN(named)
{
	const char *wrong;

	named_remove_all(self->rig.control);
	wrong = rig_down(&self->rig);
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

/* Blocks 0 to 2, 5 and 6, 9 are units; 12 is sealed; every block up to 15 is filled. */
static int populate(const struct region *r)
{
	uint64_t b;
	int ret;

	ret = region_commit(r, 20 * BS, NULL);
	for (b = 0; !ret && b < 16; b++) {
		fill(block_at(r, b), BS, b);
		r->hint[b].bits = KVOFF_HINT_SHARED;
	}
	return ret ?: seal(r->fd, 0, 3, "zero", NULL) ?: seal(r->fd, 5, 2, "five", NULL) ?:
	       seal(r->fd, 9, 1, "nine", NULL) ?: seal(r->fd, 12, 1, NULL, NULL);
}

static const uint8_t kept[16] = { 1, 1, 1, [5] = 1, 1, [9] = 1, [12] = 1 };
#define NR_KEPT	7

static const char *what_is_wrong(const struct region *r)
{
	struct kvoff_unit list[8];
	uint64_t b;

	for (b = 0; b < 16; b++) {
		if (is_sealed(r, b) != kept[b])
			return "sealed or not";
		if (r->hint[b].bits != KVOFF_HINT_SHARED)
			return "hints";
		if (!kept[b] && KVOFF_LOC_FLAGS(location(r, b)) & KVOFF_STATE_PRESENT)
			return "an unsealed block has a frame";
		if (kept[b] && (count_wrong(block_at(r, b), BS, b) || !store_gets_bus(block_at(r, b))))
			return "a sealed block";
	}
	if (units(r->fd, 0, list, 8) != 3 || list[0].first || list[0].nr != 3 || strcmp((char *)list[0].tag, "zero") ||
	    list[1].first != 5 || list[1].nr != 2 || strcmp((char *)list[1].tag, "five") || list[2].first != 9 ||
	    strcmp((char *)list[2].tag, "nine"))
		return "units";
	return NULL;
}

/**
 * struct server - a process with a named region, to be killed
 * @id:		the region's
 */
struct server {
	pid_t pid;
	struct {
		uint32_t id;
		int error;
	} *told;
};

static int server_start(struct server *s, int tenant, const char *name, uint32_t ttl_s)
{
	s->told = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->told == MAP_FAILED)
		return -errno;
	s->told->error = 1;
	s->pid = fork();
	if (!s->pid) {
		struct region r;
		int ret = named_map(named_create(tenant, name, 0, ttl_s), &r);

		s->told->id = r.id;
		__atomic_store_n(&s->told->error, ret ?: populate(&r), __ATOMIC_SEQ_CST);
		for (;;)
			pause();
	}
	if (!comes_true(__atomic_load_n(&s->told->error, __ATOMIC_SEQ_CST) != 1))
		return 1;
	return s->told->error;
}

static uint32_t server_kill(struct server *s)
{
	uint32_t id = s->told->id;

	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	munmap(s->told, PAGE);
	return id;
}

TEST_F(named, comes_back_after_a_kill)
{
	struct region r;
	struct kvoff_move_result results[16];
	struct kvoff_move_desc descs[16];
	struct kvoff_region_info info;
	const char *wrong;
	struct server s;
	int life, i;
	uint32_t id;

	ASSERT_EQ(0, server_start(&s, self->rig.tenant, "cache", 0));
	id = server_kill(&s);
	for (life = 0; life < 3; life++) {
		ASSERT_TRUE(wait_until(rests, id));
		/* what is not sealed is given back at once */
		EXPECT_EQ(NR_KEPT * BS, sysfs_u64("regions/%u/sealed_bytes", id));
		EXPECT_EQ(NR_KEPT * BS, sysfs_u64("regions/%u/used_bytes", id));
		EXPECT_EQ(NR_KEPT * BS, sysfs_u64("regions/%u/committed_bytes", id));
		EXPECT_EQ(NR_KEPT * BS, sysfs_u64("default/committed_bytes"));
		EXPECT_EQ(NR_KEPT * BS, tiers_sum("used_bytes"));
		/* the policy goes on with it */
		for (i = 0; i < 16; i++)
			descs[i] = (struct kvoff_move_desc){
				.region = id, .block = i, .to = life % 2 ? self->rig.near : self->rig.far,
			};
		ASSERT_EQ(0, move_batch(self->rig.control, descs, 16, results, NULL));
		for (i = 0; i < 16; i++)
			EXPECT_EQ(kept[i] ? 0 : -ENODATA, results[i].error) TH_LOG("%d", i);

		ASSERT_EQ(0, named_map(named_open(self->rig.tenant, "cache", KVOFF_UID_SELF, O_RDWR), &r));
		ASSERT_EQ(0, region_info(r.fd, &info));
		EXPECT_EQ(1, info.nr_attached);
		EXPECT_EQ(getpid(), info.pid);
		EXPECT_EQ(KVOFF_REGION_NAMED, info.flags);
		EXPECT_EQ(0600, info.mode);
		EXPECT_STREQ("cache", info.name);
		EXPECT_EQ(NR_KEPT * BS, info.sealed);
		for (i = 0; i < 16; i++)
			EXPECT_TRUE(!kept[i] || tier_of(&r, i) == descs[i].to) TH_LOG("%d", i);
		wrong = what_is_wrong(&r);
		EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
		/* and what was promised is promised no more */
		EXPECT_TRUE(store_gets_bus(block_at(&r, 3)));
		ASSERT_EQ(0, region_commit(&r, 9 * BS, NULL));
		for (i = 0; i < 16; i++)
			EXPECT_TRUE(kept[i] || !count_nonzero(block_at(&r, i), BS)) TH_LOG("%d", i);
		fill(block_at(&r, 3), BS, 77);
		region_close(&r);
	}
}

TEST_F(named, two_attachments_and_one_end)
{
	struct region a, b;

	ASSERT_EQ(0, named_map(named_create(self->rig.tenant, "cache", 0, 0), &a));
	ASSERT_EQ(0, populate(&a));
	ASSERT_EQ(0, named_map(named_open(self->rig.tenant, "cache", KVOFF_UID_SELF, O_RDWR), &b));
	EXPECT_EQ(a.id, b.id);
	region_close(&a);
	EXPECT_EQ(0, count_wrong(block_at(&b, 3), BS, 3));
	EXPECT_EQ(20 * BS, sysfs_u64("regions/%u/committed_bytes", b.id));
	region_close(&b);
	EXPECT_EQ(NR_KEPT * BS, sysfs_u64("default/committed_bytes"));
}

TEST_F(named, time_to_live)
{
	uint64_t expired = stat_now("names_expired"), left;
	struct region r;
	struct server s;
	uint32_t id;
	int fd;

	/* an hour is enough for any machine */
	ASSERT_EQ(0, server_start(&s, self->rig.tenant, "hour", 3600));
	EXPECT_EQ(3600, sysfs_u64("regions/%u/ttl_seconds", s.told->id));
	id = server_kill(&s);
	ASSERT_TRUE(wait_until(rests, id));
	left = sysfs_u64("regions/%u/ends_in_seconds", id);
	EXPECT_TRUE(left > 3000 && left <= 3600);
	ASSERT_EQ(0, named_map(named_open(self->rig.tenant, "hour", KVOFF_UID_SELF, O_RDWR), &r));
	EXPECT_EQ(NULL, what_is_wrong(&r));
	region_close(&r);
	left = sysfs_u64("regions/%u/ends_in_seconds", id);
	EXPECT_TRUE(left > 3000 && left <= 3600);
	EXPECT_EQ(0, named_remove(self->rig.control, id, NULL));
	EXPECT_TRUE(has_ended(id));

	ASSERT_EQ(0, server_start(&s, self->rig.tenant, "second", 1));
	/* it does not run while somebody is attached */
	sleep(2);
	fd = named_open(self->rig.tenant, "second", KVOFF_UID_SELF, O_RDONLY);
	EXPECT_LE(0, fd);
	close(fd);
	id = server_kill(&s);
	EXPECT_TRUE(wait_until(has_ended, id));
	EXPECT_EQ(-ENOENT, named_open(self->rig.tenant, "second", KVOFF_UID_SELF, O_RDWR));
	/* counted when it has ended */
	EXPECT_TRUE(comes_true(stat_now("names_expired") == expired + 1));
	EXPECT_EQ(0, tiers_sum("used_bytes"));
	EXPECT_EQ(0, sysfs_u64("default/committed_bytes"));
	/* the name is free */
	fd = named_create(self->rig.tenant, "second", 0, 0);
	EXPECT_LE(0, fd);
	close(fd);
}

/* The exit status is an errno, 0 for a descriptor. */
static int try_as(int tenant, uid_t uid, gid_t gid, const char *name, uint32_t whose, uint32_t flags, bool create)
{
	pid_t pid = fork();

	if (!pid) {
		int ret;

		if (setgroups(0, NULL) || setgid(gid) || setuid(uid))
			_exit(255);
		ret = create ? named_create(tenant, name, 0644, 0) : named_open(tenant, name, whose, flags);
		_exit(ret < 0 ? -ret : 0);
	}
	return exit_status(pid);
}

TEST_F(named, whose_it_is)
{
	int t = self->rig.tenant, fd;
	uint32_t ids[8];

	/* one name, three users */
	ASSERT_EQ(0, try_as(t, 1000, 1000, "cache", 0, 0, true));
	EXPECT_EQ(EEXIST, try_as(t, 1000, 1000, "cache", 0, 0, true));
	ASSERT_EQ(0, try_as(t, 1001, 1001, "cache", 0, 0, true));
	fd = named_create(t, "cache", 0, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EEXIST, named_create(t, "cache", 0, 0));
	EXPECT_EQ(3, region_ids(self->rig.control, ids, 8));
	EXPECT_EQ(0, try_as(t, 1000, 1000, "cache", KVOFF_UID_SELF, O_RDWR, false));
	EXPECT_EQ(0, try_as(t, 1000, 1000, "cache", 1000, O_RDWR, false));
	EXPECT_EQ(ENOENT, try_as(t, 1002, 1002, "cache", KVOFF_UID_SELF, O_RDONLY, false));
	EXPECT_EQ(ENOENT, try_as(t, 1000, 1000, "cash", KVOFF_UID_SELF, O_RDONLY, false));
	/* 0644: the others may read, if they say whose */
	EXPECT_EQ(0, try_as(t, 1001, 1001, "cache", 1000, O_RDONLY, false));
	EXPECT_EQ(EACCES, try_as(t, 1001, 1001, "cache", 1000, O_RDWR, false));
	EXPECT_EQ(EACCES, try_as(t, 1001, 1000, "cache", 1000, O_RDWR, false));
	/* 0600 */
	EXPECT_EQ(EACCES, try_as(t, 1001, 1001, "cache", 0, O_RDONLY, false));
	EXPECT_EQ(EACCES, try_as(t, 1001, 0, "cache", 0, O_RDONLY, false));
	close(fd);
	/* root may what it may with a file */
	fd = named_open(t, "cache", 1000, O_RDWR);
	EXPECT_LE(0, fd);
	close(fd);
}

TEST_F(named, modes)
{
	/* what owner, group and others may: 0 nothing, 1 read, 2 read and write */
	static const struct {
		uint32_t mode;
		int may[3];
	} cases[] = {
		{ 0600, { 2, 0, 0 } }, { 0660, { 2, 2, 0 } }, { 0666, { 2, 2, 2 } }, { 0640, { 2, 1, 0 } },
		{ 0444, { 1, 1, 1 } }, { 0066, { 0, 2, 2 } }, { 0606, { 2, 0, 2 } }, { 0222, { 0, 0, 0 } },
	};
	static const uid_t uids[] = { 1000, 1001, 1001 };
	static const gid_t gids[] = { 1000, 1000, 1001 };
	unsigned int i, k;
	char name[KVOFF_NAME_LEN];
	pid_t pid;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(name, sizeof(name), "m%o", cases[i].mode);
		pid = fork();
		if (!pid) {
			if (setgid(1000) || setuid(1000))
				_exit(255);
			_exit(named_create(self->rig.tenant, name, cases[i].mode, 0) < 0);
		}
		ASSERT_EQ(0, exit_status(pid));
		for (k = 0; k < 3; k++) {
			int may = cases[i].may[k];

			EXPECT_EQ(may >= 1 ? 0 : EACCES,
				  try_as(self->rig.tenant, uids[k], gids[k], name, 1000, O_RDONLY, false))
				TH_LOG("%s %u", name, k);
			EXPECT_EQ(may == 2 ? 0 : EACCES,
				  try_as(self->rig.tenant, uids[k], gids[k], name, 1000, O_RDWR, false))
				TH_LOG("%s %u", name, k);
		}
	}
}

static int in_another_namespace(int tenant)
{
	int fd;

	if (unshare(CLONE_NEWIPC))
		return -1;
	if (named_open(tenant, "cache", KVOFF_UID_SELF, O_RDONLY) != -ENOENT)
		return -2;
	if (named_open(tenant, "cache", 0, O_RDONLY) != -ENOENT)
		return -3;
	fd = named_create(tenant, "cache", 0, 0);
	if (fd < 0)
		return -4;
	close(fd);
	fd = named_open(tenant, "cache", KVOFF_UID_SELF, O_RDONLY);
	return fd < 0 ? -5 : 0;
}

TEST_F(named, where_it_is)
{
	struct kvoff_ctl_tenant red = { .size = sizeof(red), .name = "red" };
	uint32_t ids[8];
	int fd, other;

	if (access("/proc/self/ns/ipc", F_OK))
		SKIP(return, "this kernel has no IPC namespaces");
	fd = named_create(self->rig.tenant, "cache", 0, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, in_child(in_another_namespace(self->rig.tenant)));
	EXPECT_EQ(2, region_ids(self->rig.control, ids, 8));
	/* another tenant's names are its own; it stays while its region waits */
	ioctl(self->rig.control, KVOFF_CTL_TENANT_REMOVE, &red);
	ASSERT_EQ(0, ioctl(self->rig.control, KVOFF_CTL_TENANT_ADD, &red));
	other = open("/dev/kvoff/red", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, other);
	EXPECT_EQ(-ENOENT, named_open(other, "cache", KVOFF_UID_SELF, O_RDONLY));
	close(named_create(other, "cache", 0, 0));
	close(other);
	EXPECT_EQ(-1, ioctl(self->rig.control, KVOFF_CTL_TENANT_REMOVE, &red));
	EXPECT_EQ(EBUSY, errno);
	named_remove_all(self->rig.control);
	EXPECT_EQ(0, ioctl(self->rig.control, KVOFF_CTL_TENANT_REMOVE, &red));
	close(fd);
}

/* What a tenant's dead servers have sealed is still the tenant's. */
TEST_F(named, quota_stays)
{
	struct kvoff_ctl_tenant red = { .size = sizeof(red), .name = "red", .quota = 24 * BS };
	struct region *r;
	struct rig mine = self->rig;
	struct server s;
	uint32_t id;

	ioctl(self->rig.control, KVOFF_CTL_TENANT_REMOVE, &red);
	ASSERT_EQ(0, ioctl(self->rig.control, KVOFF_CTL_TENANT_ADD, &red));
	mine.tenant = open("/dev/kvoff/red", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, mine.tenant);
	ASSERT_EQ(0, server_start(&s, mine.tenant, "cache", 0));
	EXPECT_EQ(20 * BS, sysfs_u64("red/committed_bytes"));
	id = server_kill(&s);
	ASSERT_TRUE(wait_until(rests, id));
	EXPECT_EQ(NR_KEPT * BS, sysfs_u64("red/committed_bytes"));
	EXPECT_EQ(NR_KEPT * BS, sysfs_u64("red/used_bytes"));
	EXPECT_EQ(NULL, rig_region(&mine, BS, 24 - NR_KEPT + 1));
	EXPECT_EQ(EDQUOT, errno);
	r = rig_region(&mine, BS, 24 - NR_KEPT);
	ASSERT_NE(NULL, r);
	region_close(r);
	EXPECT_EQ(0, named_remove(self->rig.control, id, NULL));
	EXPECT_EQ(0, sysfs_u64("red/committed_bytes"));
	EXPECT_EQ(0, sysfs_u64("red/used_bytes"));
	close(mine.tenant);
	EXPECT_EQ(0, ioctl(self->rig.control, KVOFF_CTL_TENANT_REMOVE, &red));
}

TEST_F(named, removed)
{
	struct kvoff_region_info info;
	struct region r, again, plain;
	uint32_t nr_attached = 9, ids[8], id;
	int control;

	ASSERT_EQ(0, named_map(named_create(self->rig.tenant, "cache", 0, 0), &r));
	ASSERT_EQ(0, populate(&r));
	control = open("/dev/kvoff/control", O_RDONLY | O_CLOEXEC);
	EXPECT_EQ(-EACCES, named_remove(control, r.id, NULL));
	close(control);
	EXPECT_EQ(-ENOENT, named_remove(self->rig.control, r.id + 1, NULL));
	/* while somebody is attached it goes on, without a name */
	EXPECT_EQ(0, named_remove(self->rig.control, r.id, &nr_attached));
	EXPECT_EQ(1, nr_attached);
	EXPECT_EQ(-EINVAL, named_remove(self->rig.control, r.id, NULL));
	EXPECT_EQ(-ENOENT, named_open(self->rig.tenant, "cache", KVOFF_UID_SELF, O_RDWR));
	ASSERT_EQ(0, region_info(r.fd, &info));
	EXPECT_EQ(0, info.flags);
	EXPECT_STREQ("", info.name);
	EXPECT_EQ(0, count_wrong(block_at(&r, 3), BS, 3));
	ASSERT_EQ(0, named_map(named_create(self->rig.tenant, "cache", 0, 0), &again));
	id = r.id;
	region_close(&r);
	EXPECT_TRUE(has_ended(id));
	EXPECT_EQ(0, tiers_sum("used_bytes"));
	/* and at once where nobody is */
	ASSERT_EQ(0, populate(&again));
	region_close(&again);
	EXPECT_EQ(NR_KEPT * BS, tiers_sum("used_bytes"));
	EXPECT_EQ(1, region_ids(self->rig.control, ids, 8));
	EXPECT_EQ(0, named_remove(self->rig.control, ids[0], &nr_attached));
	EXPECT_EQ(0, nr_attached);
	EXPECT_TRUE(has_ended(ids[0]));
	EXPECT_EQ(0, tiers_sum("used_bytes"));
	EXPECT_EQ(-ENOENT, named_remove(self->rig.control, ids[0], NULL));
	ASSERT_EQ(0, region_create(&self->rig, &plain, BS, 4));
	EXPECT_EQ(-EINVAL, named_remove(self->rig.control, plain.id, NULL));
	region_close(&plain);
}

TEST_F(named, bad_input)
{
	static const char * const bad[] = {
		"", ".", "..", ".red", "a/b", "a b", "a\n", "%s", "\xff", "01234567890123456789012345678901",
	};
	struct kvoff_region_create arg = {
		.size = sizeof(arg), .block_size = BS, .length = BS, .name = "cache",
	};
	unsigned int i;
	int tenant, fd;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, named_create(self->rig.tenant, bad[i], 0, 0)) TH_LOG("%u", i);
		EXPECT_EQ(-EINVAL, named_open(self->rig.tenant, bad[i], 0, O_RDONLY)) TH_LOG("%u", i);
	}
	EXPECT_EQ(-EINVAL, named_create(self->rig.tenant, "cache", 01600, 0));
	EXPECT_EQ(-EINVAL, named_create(self->rig.tenant, "cache", 0700, 0));
	/* fields of named regions in one that is none */
	EXPECT_EQ(-1, ioctl(self->rig.tenant, KVOFF_REGION_CREATE, &arg));
	EXPECT_EQ(EINVAL, errno);
	memset(arg.name, 0, sizeof(arg.name));
	arg.mode = 0600;
	EXPECT_EQ(-1, ioctl(self->rig.tenant, KVOFF_REGION_CREATE, &arg));
	arg.mode = 0;
	arg.ttl_s = 1;
	EXPECT_EQ(-1, ioctl(self->rig.tenant, KVOFF_REGION_CREATE, &arg));
	/* a node that is open for reading opens for reading, and makes nothing */
	close(named_create(self->rig.tenant, "cache", 0, 0));
	EXPECT_EQ(-EINVAL, named_open(self->rig.tenant, "cache", KVOFF_UID_SELF, O_WRONLY));
	EXPECT_EQ(-EINVAL, named_open(self->rig.tenant, "cache", KVOFF_UID_SELF, O_RDWR | O_NONBLOCK));
	tenant = open("/dev/kvoff/default", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, tenant);
	EXPECT_EQ(-EACCES, named_open(tenant, "cache", KVOFF_UID_SELF, O_RDWR));
	EXPECT_EQ(-EACCES, named_create(tenant, "other", 0, 0));
	fd = named_open(tenant, "cache", KVOFF_UID_SELF, O_RDONLY);
	EXPECT_LE(0, fd);
	EXPECT_EQ(-EACCES, seal(fd, 0, 1, NULL, NULL));
	close(fd);
	close(tenant);
}

/* An open that fails has opened nothing. */
TEST_F(named, no_descriptor_left)
{
	struct rlimit none = { .rlim_cur = 3, .rlim_max = 3 };
	struct region r;
	uint32_t id;

	ASSERT_EQ(0, named_map(named_create(self->rig.tenant, "cache", 0, 3600), &r));
	ASSERT_EQ(0, populate(&r));
	id = r.id;
	EXPECT_EQ(EMFILE, in_child(setrlimit(RLIMIT_NOFILE, &none) ?:
				   named_open(self->rig.tenant, "cache", KVOFF_UID_SELF, O_RDWR)));
	EXPECT_EQ(1, sysfs_u64("regions/%u/attached", id));
	region_close(&r);
	EXPECT_EQ(EMFILE, in_child(setrlimit(RLIMIT_NOFILE, &none) ?:
				   named_open(self->rig.tenant, "cache", KVOFF_UID_SELF, O_RDWR)));
	EXPECT_TRUE(rests(id));
	EXPECT_GE(3600, sysfs_u64("regions/%u/ends_in_seconds", id));
	EXPECT_EQ(EMFILE, in_child(setrlimit(RLIMIT_NOFILE, &none) ?:
				   named_create(self->rig.tenant, "other", 0, 0)));
	EXPECT_EQ(-ENOENT, named_open(self->rig.tenant, "other", KVOFF_UID_SELF, O_RDWR));
	ASSERT_EQ(0, named_map(named_open(self->rig.tenant, "cache", KVOFF_UID_SELF, O_RDWR), &r));
	EXPECT_EQ(NULL, what_is_wrong(&r));
	region_close(&r);
}

TEST_F(named, holds_the_module)
{
	struct kvoff_ctl_lease lease = { .size = sizeof(lease) };
	struct region r;
	int ret, err;

	ASSERT_EQ(0, named_map(named_create(self->rig.tenant, "cache", 0, 0), &r));
	ASSERT_EQ(0, populate(&r));
	region_close(&r);
	close(self->rig.control);
	close(self->rig.tenant);
	ret = syscall(SYS_delete_module, "kvoff", O_NONBLOCK);
	err = errno;
	ASSERT_EQ(-1, ret);
	EXPECT_EQ(EWOULDBLOCK, err);
	self->rig.control = open("/dev/kvoff/control", O_RDWR | O_CLOEXEC);
	self->rig.tenant = open("/dev/kvoff/default", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->rig.control);
	EXPECT_EQ(0, ioctl(self->rig.control, KVOFF_CTL_LEASE, &lease));
	ASSERT_EQ(0, named_map(named_open(self->rig.tenant, "cache", KVOFF_UID_SELF, O_RDWR), &r));
	EXPECT_EQ(NULL, what_is_wrong(&r));
	region_close(&r);
}

/* Pages in a pipe outlive their process: a sealed block stays for the next, an unsealed one is nobody's. */
TEST_F(named, pinned_pages)
{
	struct iovec iov[2] = { { .iov_len = PAGE }, { .iov_len = PAGE } };
	uint64_t page[WORDS];
	int pipe_fds[2], i;
	struct region r;

	ASSERT_EQ(0, pipe(pipe_fds));
	ASSERT_EQ(0, named_map(named_create(self->rig.tenant, "cache", 0, 0), &r));
	ASSERT_EQ(0, populate(&r));
	iov[0].iov_base = block_at(&r, 1);
	iov[1].iov_base = block_at(&r, 3);
	ASSERT_EQ(2 * PAGE, vmsplice(pipe_fds[1], iov, 2, 0));
	region_close(&r);
	EXPECT_EQ(NR_KEPT * BS, tiers_sum("used_bytes"));
	EXPECT_EQ(BS, tiers_sum("orphan_bytes"));
	EXPECT_EQ(NR_KEPT * BS, sysfs_u64("default/committed_bytes"));
	ASSERT_EQ(0, named_map(named_open(self->rig.tenant, "cache", KVOFF_UID_SELF, O_RDWR), &r));
	ASSERT_EQ(0, region_commit(&r, BS, NULL));
	EXPECT_EQ(0, count_nonzero(block_at(&r, 3), BS));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(PAGE, read(pipe_fds[0], page, PAGE));
	EXPECT_TRUE(wait_for_sum("orphan_bytes", 0));
	EXPECT_EQ(0, count_nonzero(block_at(&r, 3), BS));
	EXPECT_EQ(0, count_wrong(block_at(&r, 1), BS, 1));
	region_close(&r);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* They are bounded, for they cost kernel memory that no process's limits bound. */
TEST_F(named, so_many)
{
	char name[KVOFF_NAME_LEN];
	int i, fd;

	for (i = 0; i < KVOFF_NAMED_MAX; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		fd = named_create(self->rig.tenant, name, 0, 0);
		ASSERT_LE(0, fd);
		close(fd);
	}
	EXPECT_EQ(-EUSERS, named_create(self->rig.tenant, "more", 0, 0));
	fd = named_open(self->rig.tenant, "n500", KVOFF_UID_SELF, O_RDONLY);
	EXPECT_LE(0, fd);
	close(fd);
	named_remove_all(self->rig.control);
	fd = named_create(self->rig.tenant, "more", 0, 0);
	EXPECT_LE(0, fd);
	close(fd);
}

TEST_HARNESS_MAIN
