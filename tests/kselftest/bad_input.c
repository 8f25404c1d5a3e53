// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Promise 10: nothing that a client passes can hurt. Every call on every kind of descriptor: unknown numbers, sizes,
 * addresses, flags, reserved fields and values out of range. What mappings may be asked for is in bad_mappings.c.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "rig.h"

#define BS	(64 * KIB)

enum kind { CONTROL, TENANT, REGION, VIEW, KINDS };

FIXTURE(bad_input)
{
	struct rig rig;
	struct region *r;
	int fds[KINDS];
	/* arguments that point somewhere point here */
	uint32_t ids[4];
	struct kvoff_unit units[1];
	struct kvoff_move_desc desc;
	struct kvoff_move_result result;
};

FIXTURE_SETUP(bad_input)
{
	struct kvoff_ctl_region_view view = { .size = sizeof(view) };

	ASSERT_EQ(0, rig_up(&self->rig, BS, 64 * BS));
	self->r = rig_region(&self->rig, BS, 8);
	ASSERT_NE(NULL, self->r);
	fill(self->r->data, 4 * BS, 1);
	view.id = self->r->id;
	self->fds[CONTROL] = self->rig.control;
	self->fds[TENANT] = self->rig.tenant;
	self->fds[REGION] = self->r->fd;
	self->fds[VIEW] = ioctl(self->rig.control, KVOFF_CTL_REGION_VIEW, &view);
	ASSERT_LE(0, self->fds[VIEW]);
}

FIXTURE_TEARDOWN(bad_input)
{
	const char *wrong;

	/* whatever was tried, the region is what it was */
	EXPECT_EQ(0, count_wrong(self->r->data, 4 * BS, 1));
	close(self->fds[VIEW]);
	wrong = rig_down(&self->rig);
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

/**
 * struct sample - a call with arguments that have a known, harmless outcome
 * @size:	of the structure
 * @min:	of its first version
 * @want:	0 or -errno; MAKES_FD for a descriptor
 * @arg:	the argument
 */
struct sample {
	const char *name;
	unsigned long cmd;
	enum kind kind;
	size_t size;
	size_t min;
	int want;
	union {
		struct kvoff_region_create create;
		struct kvoff_region_open open;
		struct kvoff_region_attach attach;
		struct kvoff_region_info info;
		struct kvoff_region_commit commit;
		struct kvoff_region_discard discard;
		struct kvoff_region_settle settle;
		struct kvoff_region_seal seal;
		struct kvoff_region_units units;
		struct kvoff_region_window window;
		struct kvoff_region_blocks blocks;
		struct kvoff_region_eventfd event;
		struct kvoff_ctl_lease lease;
		struct kvoff_ctl_tier tier;
		struct kvoff_ctl_tier_drain drain;
		struct kvoff_ctl_pool pool;
		struct kvoff_ctl_link link;
		struct kvoff_ctl_poison poison;
		struct kvoff_ctl_regions regions;
		struct kvoff_ctl_region_view view;
		struct kvoff_ctl_region_remove remove;
		struct kvoff_ctl_move move;
		struct kvoff_ctl_tenant tenant;
		uint8_t bytes[8192];
		uint32_t head;
	} arg;
};

#define MAKES_FD	1000
#define SAMPLES		40

static unsigned int samples(FIXTURE_DATA(bad_input) *self, struct sample *s)
{
	unsigned int n = 0;

	memset(s, 0, SAMPLES * sizeof(*s));
	/* a region that is not there: a result of its own, not an error of the call */
	self->desc = (struct kvoff_move_desc){ .region = UINT32_MAX };
#define SAMPLE(call, on, type, member, outcome, ...) do {				\
		s[n].name = #call;							\
		s[n].cmd = call;							\
		s[n].kind = on;								\
		s[n].size = sizeof(struct type);					\
		s[n].min = call == KVOFF_REGION_INFO ? KVOFF_REGION_INFO_MIN :		\
			   call == KVOFF_REGION_CREATE ? KVOFF_REGION_CREATE_MIN : sizeof(struct type); \
		s[n].want = outcome;							\
		s[n].arg.member = (struct type){ .size = sizeof(struct type), ##__VA_ARGS__ };	\
		n++;									\
	} while (0)
	SAMPLE(KVOFF_REGION_CREATE, TENANT, kvoff_region_create, create, MAKES_FD, .block_size = BS, .length = BS);
	SAMPLE(KVOFF_REGION_OPEN, TENANT, kvoff_region_open, open, -ENOENT, .name = "none", .uid = KVOFF_UID_SELF);
	SAMPLE(KVOFF_REGION_ATTACH, REGION, kvoff_region_attach, attach, MAKES_FD, .fd_flags = O_RDWR);
	SAMPLE(KVOFF_REGION_INFO, REGION, kvoff_region_info, info, 0);
	SAMPLE(KVOFF_REGION_INFO, VIEW, kvoff_region_info, info, 0);
	SAMPLE(KVOFF_REGION_COMMIT, REGION, kvoff_region_commit, commit, -ENOMEM, .bytes = 1000 * BS);
	SAMPLE(KVOFF_REGION_UNCOMMIT, REGION, kvoff_region_commit, commit, -EBUSY, .bytes = 1000 * BS);
	SAMPLE(KVOFF_REGION_DISCARD, REGION, kvoff_region_discard, discard, 0, .first = 7, .nr = 1);
	SAMPLE(KVOFF_REGION_SETTLE, REGION, kvoff_region_settle, settle, 0);
	SAMPLE(KVOFF_REGION_SEAL, REGION, kvoff_region_seal, seal, -ENODATA, .first = 7, .nr = 1);
	SAMPLE(KVOFF_REGION_UNITS, REGION, kvoff_region_units, units, 0, .nr = 1, .units = (uintptr_t)self->units);
	SAMPLE(KVOFF_REGION_WINDOW, REGION, kvoff_region_window, window, -EOPNOTSUPP);
	SAMPLE(KVOFF_REGION_BLOCK_ALLOC, REGION, kvoff_region_blocks, blocks, -EOPNOTSUPP, .nr = 1);
	SAMPLE(KVOFF_REGION_BLOCK_FREE, REGION, kvoff_region_blocks, blocks, -EOPNOTSUPP, .nr = 1);
	SAMPLE(KVOFF_REGION_EVENTFD, REGION, kvoff_region_eventfd, event, 0, .fd = -1);
	SAMPLE(KVOFF_CTL_LEASE, CONTROL, kvoff_ctl_lease, lease, 0);
	SAMPLE(KVOFF_CTL_TIER_ADD, CONTROL, kvoff_ctl_tier, tier, -EEXIST, .name = "dram", .capacity = 2 * MIB);
	SAMPLE(KVOFF_CTL_TIER_SET, CONTROL, kvoff_ctl_tier, tier, -ENOENT, .name = "none", .flags = KVOFF_TIER_RANK);
	SAMPLE(KVOFF_CTL_TIER_REMOVE, CONTROL, kvoff_ctl_tier, tier, -ENOENT, .name = "none");
	SAMPLE(KVOFF_CTL_TIER_DRAIN, CONTROL, kvoff_ctl_tier_drain, drain, -ENOENT, .name = "none");
	SAMPLE(KVOFF_CTL_POOL_SET, CONTROL, kvoff_ctl_pool, pool, -ENOENT, .tier = "none", .block_size = BS);
	SAMPLE(KVOFF_CTL_LINK_SET, CONTROL, kvoff_ctl_link, link, -ENOENT, .from = 0, .to = 15);
	SAMPLE(KVOFF_CTL_POISON, CONTROL, kvoff_ctl_poison, poison, -ERANGE, .addr = UINT64_MAX, .length = 1);
	SAMPLE(KVOFF_CTL_REGIONS, CONTROL, kvoff_ctl_regions, regions, 0, .nr = 4, .ids = (uintptr_t)self->ids);
	SAMPLE(KVOFF_CTL_REGION_VIEW, CONTROL, kvoff_ctl_region_view, view, -ENOENT, .id = UINT32_MAX);
	SAMPLE(KVOFF_CTL_REGION_REMOVE, CONTROL, kvoff_ctl_region_remove, remove, -ENOENT, .id = UINT32_MAX);
	SAMPLE(KVOFF_CTL_MOVE, CONTROL, kvoff_ctl_move, move, 0, .nr = 1, .descs = (uintptr_t)&self->desc,
	       .results = (uintptr_t)&self->result);
	SAMPLE(KVOFF_CTL_TENANT_ADD, CONTROL, kvoff_ctl_tenant, tenant, -EEXIST, .name = "default");
	SAMPLE(KVOFF_CTL_TENANT_SET, CONTROL, kvoff_ctl_tenant, tenant, -ENOENT, .name = "none",
	       .flags = KVOFF_TENANT_QUOTA);
	SAMPLE(KVOFF_CTL_TENANT_REMOVE, CONTROL, kvoff_ctl_tenant, tenant, -ENOENT, .name = "none");
#undef SAMPLE
	return n;
}

/* 0 or -errno; MAKES_FD for a descriptor, which is closed. */
static int try_at(FIXTURE_DATA(bad_input) *self, const struct sample *s, void *arg)
{
	int ret = ioctl(self->fds[s->kind], s->cmd, arg);

	if (ret < 0)
		return -errno;
	if (s->want != MAKES_FD)
		return ret;
	close(ret);
	return MAKES_FD;
}

static int try(FIXTURE_DATA(bad_input) *self, const struct sample *s)
{
	struct sample copy = *s;

	return try_at(self, s, &copy.arg);
}

static void try_sizes(struct __test_metadata *_metadata, FIXTURE_DATA(bad_input) *self, const struct sample *s)
{
	static const uint32_t longer[] = { 1, 4, 8, 100 };
	uint32_t size;
	unsigned int i;

	EXPECT_EQ(s->want, try(self, s)) TH_LOG("%s", s->name);
	for (size = 0; size < s->size; size++) {
		struct sample t = *s;

		t.arg.head = size;
		EXPECT_EQ(size < s->min ? -EINVAL : s->want, try(self, &t)) TH_LOG("%s: %u bytes", s->name, size);
	}
	for (i = 0; i < ARRAY_SIZE(longer); i++) {
		struct sample t = *s;

		t.arg.head = s->size + longer[i];
		EXPECT_EQ(s->want, try(self, &t)) TH_LOG("%s: %u bytes more", s->name, longer[i]);
		t.arg.bytes[t.arg.head - 1] = 1;
		EXPECT_EQ(-E2BIG, try(self, &t)) TH_LOG("%s: %u bytes more, not zero", s->name, longer[i]);
		/* beyond what the caller says it passes, anything may be */
		t.arg.bytes[t.arg.head - 1] = 0;
		t.arg.bytes[t.arg.head] = 1;
		EXPECT_EQ(s->want, try(self, &t)) TH_LOG("%s: rubbish behind", s->name);
	}
	for (size = 4096; size <= 4097; size++) {
		struct sample t = *s;

		t.arg.head = size;
		EXPECT_EQ(size == 4096 ? s->want : -E2BIG, try(self, &t)) TH_LOG("%s: %u bytes", s->name, size);
	}
	for (i = 0; i < 2; i++) {
		struct sample t = *s;

		t.arg.head = i ? UINT32_MAX : 0x80000000U;
		EXPECT_EQ(-E2BIG, try(self, &t)) TH_LOG("%s: %u bytes", s->name, t.arg.head);
	}
}

TEST_F(bad_input, sizes)
{
	struct sample s[SAMPLES];
	unsigned int n, i;

	n = samples(self, s);
	for (i = 0; i < n; i++)
		try_sizes(_metadata, self, &s[i]);
}

/*
 * Nowhere, at the end of what is mapped, and where the answer cannot be written. Nothing is made that nobody can
 * be told of.
 */
static void try_addresses(struct __test_metadata *_metadata, FIXTURE_DATA(bad_input) *self, const struct sample *s)
{
	uint8_t *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvoff_region_info before, after;
	int ret;

	ASSERT_NE(MAP_FAILED, (void *)p);
	EXPECT_EQ(0, region_info(self->r->fd, &before));
	EXPECT_EQ(-EFAULT, try_at(self, s, NULL)) TH_LOG("%s", s->name);
	EXPECT_EQ(-EFAULT, try_at(self, s, (void *)0xffff888000000000UL)) TH_LOG("%s", s->name);
	munmap(p + PAGE, PAGE);
	memcpy(p + PAGE - s->size + 4, &s->arg, s->size - 4);
	EXPECT_EQ(-EFAULT, try_at(self, s, p + PAGE - s->size + 4)) TH_LOG("%s", s->name);
	memcpy(p + PAGE - s->size, &s->arg, s->size);
	EXPECT_EQ(s->want, try_at(self, s, p + PAGE - s->size)) TH_LOG("%s", s->name);
	memcpy(p, &s->arg, s->size);
	mprotect(p, PAGE, PROT_READ);
	ret = try_at(self, s, p);
	/* a call that makes a descriptor looks first */
	EXPECT_EQ(s->want < 0 && s->cmd != KVOFF_CTL_REGION_VIEW && s->cmd != KVOFF_REGION_OPEN ? s->want : -EFAULT, ret) TH_LOG("%s", s->name);
	EXPECT_EQ(0, region_info(self->r->fd, &after));
	EXPECT_EQ(before.nr_attached, after.nr_attached) TH_LOG("%s", s->name);
	munmap(p, PAGE);
}

TEST_F(bad_input, addresses)
{
	struct kvoff_ctl_regions list = { .size = sizeof(list), .nr = 4, .ids = (uintptr_t)self->ids };
	struct kvoff_ctl_move move = { .size = sizeof(move), .nr = 1 };
	struct sample s[SAMPLES];
	unsigned int n, i;

	n = samples(self, s);
	for (i = 0; i < n; i++)
		try_addresses(_metadata, self, &s[i]);
	/* one region, not two */
	EXPECT_EQ(0, ioctl(self->rig.control, KVOFF_CTL_REGIONS, &list));
	EXPECT_EQ(1, list.nr);

	list.ids = 8;
	EXPECT_EQ(-1, ioctl(self->rig.control, KVOFF_CTL_REGIONS, &list));
	EXPECT_EQ(EFAULT, errno);
	move.results = (uintptr_t)&self->result;
	move.descs = 8;
	EXPECT_EQ(-1, ioctl(self->rig.control, KVOFF_CTL_MOVE, &move));
	EXPECT_EQ(EFAULT, errno);
	move.descs = (uintptr_t)&self->desc;
	move.results = 8;
	EXPECT_EQ(-1, ioctl(self->rig.control, KVOFF_CTL_MOVE, &move));
	EXPECT_EQ(EFAULT, errno);
	/* in kvoff's own memory they are as good as anywhere, even in the block that moves */
	self->desc = (struct kvoff_move_desc){ .region = self->r->id, .to = self->rig.far, .block = 5 };
	memcpy(block_at(self->r, 5), &self->desc, sizeof(self->desc));
	move.descs = (uintptr_t)block_at(self->r, 5);
	move.results = (uintptr_t)(block_at(self->r, 5) + PAGE);
	EXPECT_EQ(0, ioctl(self->rig.control, KVOFF_CTL_MOVE, &move));
	EXPECT_EQ(self->rig.far, tier_of(self->r, 5));
	EXPECT_EQ(0, memcmp(block_at(self->r, 5), &self->desc, sizeof(self->desc)));
}

/* Every number on every kind of descriptor, and the known ones with another size or direction in them. */
TEST_F(bad_input, unknown_calls)
{
	struct sample all[SAMPLES];
	unsigned int n, i, k, nr;
	uint8_t arg[256] = { 0 };

	n = samples(self, all);
	for (k = 0; k < KINDS; k++) {
		for (nr = 0; nr < 256; nr++) {
			EXPECT_EQ(-1, ioctl(self->fds[k], _IO(KVOFF_IOC_TYPE, nr), arg));
			EXPECT_EQ(ENOTTY, errno);
			EXPECT_EQ(-1, ioctl(self->fds[k], _IOWR('k', nr, uint64_t), arg));
			EXPECT_EQ(ENOTTY, errno);
			EXPECT_EQ(-1, ioctl(self->fds[k], _IOWR(KVOFF_IOC_TYPE, nr, uint16_t), arg));
			EXPECT_EQ(ENOTTY, errno);
		}
		for (i = 0; i < n; i++) {
			if (all[i].kind == k || (all[i].cmd == KVOFF_REGION_INFO && (k == VIEW || k == REGION)))
				continue;
			EXPECT_EQ(-1, ioctl(self->fds[k], all[i].cmd, &all[i].arg)) TH_LOG("%s on %u", all[i].name, k);
			EXPECT_EQ(ENOTTY, errno) TH_LOG("%s on %u", all[i].name, k);
		}
	}
}

/* Fields that must be zero, or must hold nothing unknown. */
TEST_F(bad_input, reserved_and_flags)
{
	struct sample s[SAMPLES];
	unsigned int k;
	struct field {
		unsigned long cmd;
		size_t offset;
		uint32_t value;
	} fields[] = {
#define FIELD(call, type, member, bits) { call, offsetof(struct type, member), bits }
		FIELD(KVOFF_REGION_CREATE, kvoff_region_create, flags, 2),
		FIELD(KVOFF_REGION_CREATE, kvoff_region_create, flags, 0x80000000U),
		FIELD(KVOFF_REGION_CREATE, kvoff_region_create, fd_flags, O_NONBLOCK),
		FIELD(KVOFF_REGION_CREATE, kvoff_region_create, reserved, 1),
		FIELD(KVOFF_REGION_OPEN, kvoff_region_open, flags, 1),
		FIELD(KVOFF_REGION_OPEN, kvoff_region_open, fd_flags, O_WRONLY),
		FIELD(KVOFF_REGION_OPEN, kvoff_region_open, fd_flags, O_RDWR | O_NONBLOCK),
		FIELD(KVOFF_REGION_OPEN, kvoff_region_open, reserved, 1),
		FIELD(KVOFF_REGION_ATTACH, kvoff_region_attach, flags, 1),
		FIELD(KVOFF_REGION_ATTACH, kvoff_region_attach, fd_flags, O_WRONLY),
		FIELD(KVOFF_REGION_ATTACH, kvoff_region_attach, fd_flags, O_ACCMODE),
		FIELD(KVOFF_REGION_ATTACH, kvoff_region_attach, fd_flags, O_RDWR | O_APPEND),
		FIELD(KVOFF_REGION_ATTACH, kvoff_region_attach, reserved, 1),
		FIELD(KVOFF_REGION_COMMIT, kvoff_region_commit, flags, 1),
		FIELD(KVOFF_REGION_COMMIT, kvoff_region_commit, bytes, 0),
		FIELD(KVOFF_REGION_COMMIT, kvoff_region_commit, bytes, BS + 4096),
		FIELD(KVOFF_REGION_UNCOMMIT, kvoff_region_commit, flags, 1),
		FIELD(KVOFF_REGION_UNCOMMIT, kvoff_region_commit, bytes, 0),
		FIELD(KVOFF_REGION_UNCOMMIT, kvoff_region_commit, bytes, BS - 1),
		FIELD(KVOFF_REGION_DISCARD, kvoff_region_discard, flags, 1),
		FIELD(KVOFF_REGION_DISCARD, kvoff_region_discard, nr, 0),
		FIELD(KVOFF_REGION_SETTLE, kvoff_region_settle, flags, 1),
		FIELD(KVOFF_REGION_SEAL, kvoff_region_seal, flags, 2),
		FIELD(KVOFF_REGION_SEAL, kvoff_region_seal, nr, 0),
		FIELD(KVOFF_REGION_SEAL, kvoff_region_seal, tag, 1),
		FIELD(KVOFF_REGION_UNITS, kvoff_region_units, flags, 1),
		FIELD(KVOFF_REGION_UNITS, kvoff_region_units, reserved, 1),
		FIELD(KVOFF_REGION_UNITS, kvoff_region_units, nr, 0),
		FIELD(KVOFF_REGION_UNITS, kvoff_region_units, nr, 1025),
		FIELD(KVOFF_REGION_WINDOW, kvoff_region_window, flags, 1),
		FIELD(KVOFF_REGION_WINDOW, kvoff_region_window, reserved, 1),
		FIELD(KVOFF_REGION_WINDOW, kvoff_region_window, bytes, BS + 4096),
		FIELD(KVOFF_REGION_BLOCK_ALLOC, kvoff_region_blocks, flags, 1),
		FIELD(KVOFF_REGION_BLOCK_ALLOC, kvoff_region_blocks, nr, 0),
		FIELD(KVOFF_REGION_BLOCK_ALLOC, kvoff_region_blocks, nr, KVOFF_BLOCKS_MAX + 1),
		FIELD(KVOFF_REGION_BLOCK_FREE, kvoff_region_blocks, flags, 1),
		FIELD(KVOFF_REGION_EVENTFD, kvoff_region_eventfd, flags, 1),
		FIELD(KVOFF_REGION_EVENTFD, kvoff_region_eventfd, reserved, 1),
		FIELD(KVOFF_CTL_REGION_REMOVE, kvoff_ctl_region_remove, flags, 1),
		FIELD(KVOFF_CTL_LEASE, kvoff_ctl_lease, flags, 2),
		FIELD(KVOFF_CTL_TIER_ADD, kvoff_ctl_tier, flags, 1),
		FIELD(KVOFF_CTL_TIER_ADD, kvoff_ctl_tier, reserved, 1),
		FIELD(KVOFF_CTL_TIER_ADD, kvoff_ctl_tier, capacity, 0),
		FIELD(KVOFF_CTL_TIER_ADD, kvoff_ctl_tier, capacity, 3 * MIB),
		FIELD(KVOFF_CTL_TIER_SET, kvoff_ctl_tier, flags, 0),
		FIELD(KVOFF_CTL_TIER_SET, kvoff_ctl_tier, flags, 8),
		FIELD(KVOFF_CTL_TIER_SET, kvoff_ctl_tier, reserved, 1),
		FIELD(KVOFF_CTL_TIER_REMOVE, kvoff_ctl_tier, flags, 1),
		FIELD(KVOFF_CTL_TIER_REMOVE, kvoff_ctl_tier, reserved, 1),
		FIELD(KVOFF_CTL_TIER_DRAIN, kvoff_ctl_tier_drain, flags, 2),
		FIELD(KVOFF_CTL_POOL_SET, kvoff_ctl_pool, flags, 2),
		FIELD(KVOFF_CTL_POOL_SET, kvoff_ctl_pool, reserved, 1),
		FIELD(KVOFF_CTL_POOL_SET, kvoff_ctl_pool, block_size, 0),
		FIELD(KVOFF_CTL_POOL_SET, kvoff_ctl_pool, block_size, 32 * KIB),
		FIELD(KVOFF_CTL_POOL_SET, kvoff_ctl_pool, block_size, 96 * KIB),
		FIELD(KVOFF_CTL_POOL_SET, kvoff_ctl_pool, block_size, 4 * MIB),
		FIELD(KVOFF_CTL_POISON, kvoff_ctl_poison, flags, 1),
		FIELD(KVOFF_CTL_POISON, kvoff_ctl_poison, reserved, 1),
		FIELD(KVOFF_CTL_POISON, kvoff_ctl_poison, length, 0),
		FIELD(KVOFF_CTL_LINK_SET, kvoff_ctl_link, flags, 1),
		FIELD(KVOFF_CTL_LINK_SET, kvoff_ctl_link, reserved, 1),
		FIELD(KVOFF_CTL_LINK_SET, kvoff_ctl_link, to, 0),
		FIELD(KVOFF_CTL_REGIONS, kvoff_ctl_regions, flags, 1),
		FIELD(KVOFF_CTL_REGIONS, kvoff_ctl_regions, nr, 0),
		FIELD(KVOFF_CTL_REGIONS, kvoff_ctl_regions, nr, 1025),
		FIELD(KVOFF_CTL_REGIONS, kvoff_ctl_regions, nr, UINT32_MAX),
		FIELD(KVOFF_CTL_REGION_VIEW, kvoff_ctl_region_view, flags, 1),
		FIELD(KVOFF_CTL_REGION_VIEW, kvoff_ctl_region_view, fd_flags, O_RDWR),
		FIELD(KVOFF_CTL_TENANT_ADD, kvoff_ctl_tenant, flags, KVOFF_TENANT_QUOTA),
		FIELD(KVOFF_CTL_TENANT_ADD, kvoff_ctl_tenant, class, KVOFF_CLASS_BATCH + 1),
		FIELD(KVOFF_CTL_TENANT_ADD, kvoff_ctl_tenant, mode, 01000),
		FIELD(KVOFF_CTL_TENANT_ADD, kvoff_ctl_tenant, tiers, 1U << KVOFF_MAX_TIERS),
		FIELD(KVOFF_CTL_TENANT_ADD, kvoff_ctl_tenant, reserved, 1),
		FIELD(KVOFF_CTL_TENANT_SET, kvoff_ctl_tenant, flags, 0),
		FIELD(KVOFF_CTL_TENANT_SET, kvoff_ctl_tenant, flags, KVOFF_TENANT_QUOTA << 1),
		FIELD(KVOFF_CTL_TENANT_SET, kvoff_ctl_tenant, reserved, 1),
		FIELD(KVOFF_CTL_TENANT_REMOVE, kvoff_ctl_tenant, flags, KVOFF_TENANT_QUOTA),
		FIELD(KVOFF_CTL_TENANT_REMOVE, kvoff_ctl_tenant, tiers, 1),
		FIELD(KVOFF_CTL_TENANT_REMOVE, kvoff_ctl_tenant, reserved, 1),
		FIELD(KVOFF_CTL_MOVE, kvoff_ctl_move, flags, 1),
		FIELD(KVOFF_CTL_MOVE, kvoff_ctl_move, nr, 0),
		FIELD(KVOFF_CTL_MOVE, kvoff_ctl_move, nr, KVOFF_MOVE_MAX + 1),
		FIELD(KVOFF_CTL_MOVE, kvoff_ctl_move, nr, UINT32_MAX),
	};

	samples(self, s);
	for (k = 0; k < ARRAY_SIZE(fields); k++) {
		struct sample *t = s;
		uint32_t old;

		while (t->cmd != fields[k].cmd)
			t++;
		memcpy(&old, t->arg.bytes + fields[k].offset, sizeof(old));
		memcpy(t->arg.bytes + fields[k].offset, &fields[k].value, sizeof(old));
		EXPECT_EQ(-EINVAL, try(self, t))
			TH_LOG("%s, offset %zu, value %#x", t->name, fields[k].offset, fields[k].value);
		memcpy(t->arg.bytes + fields[k].offset, &old, sizeof(old));
		EXPECT_EQ(t->want, try(self, t)) TH_LOG("%s", t->name);
	}
}

static int create(const struct rig *rig, uint32_t bs, uint64_t length, uint64_t unit, uint32_t flags, const char *label)
{
	struct kvoff_region_create arg = {
		.size = sizeof(arg), .flags = flags, .block_size = bs, .length = length, .unit_size = unit,
	};
	int fd;

	memset(arg.label, 0, sizeof(arg.label));
	memcpy(arg.label, label, strnlen(label, sizeof(arg.label)));
	fd = ioctl(rig->tenant, KVOFF_REGION_CREATE, &arg);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

TEST_F(bad_input, regions)
{
	static const uint32_t bad_sizes[] = {
		0, 1, 4096, 32 * KIB, 96 * KIB, BS + 1, 4 * MIB, 0x80000000U, UINT32_MAX,
	};
	const struct rig *rig = &self->rig;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad_sizes); i++)
		EXPECT_EQ(-EINVAL, create(rig, bad_sizes[i], 1ULL << 32, 0, 0, "")) TH_LOG("%u", bad_sizes[i]);
	for (i = 0; i < KVOFF_NR_BLOCK_SIZES; i++)
		EXPECT_EQ(0, create(rig, KVOFF_BLOCK_SIZE_MIN << i, KVOFF_BLOCK_SIZE_MIN << i, 0, 0, ""));
	EXPECT_EQ(-EINVAL, create(rig, BS, 0, 0, 0, ""));
	EXPECT_EQ(-EINVAL, create(rig, BS, BS - 1, 0, 0, ""));
	EXPECT_EQ(-EINVAL, create(rig, BS, BS + 4096, 0, 0, ""));
	EXPECT_EQ(-EINVAL, create(rig, BS, KVOFF_REGION_SIZE_MAX + BS, 0, 0, ""));
	EXPECT_EQ(-EINVAL, create(rig, BS, 0 - (uint64_t)BS, 0, 0, ""));
	EXPECT_EQ(0, create(rig, BS, KVOFF_REGION_SIZE_MAX, 0, 0, ""));
	EXPECT_EQ(-EINVAL, create(rig, BS, 4 * BS, 4 * BS + 1, 0, ""));
	EXPECT_EQ(0, create(rig, BS, 4 * BS, 4 * BS, 0, ""));
	EXPECT_EQ(0, create(rig, BS, 4 * BS, 0, KVOFF_REGION_FRAMED, ""));
	EXPECT_EQ(0, create(rig, BS, BS, 0, 0, "A-z_0.9"));
	EXPECT_EQ(0, create(rig, BS, BS, 0, 0, "0123456789012345678901234567890"));
	EXPECT_EQ(-EINVAL, create(rig, BS, BS, 0, 0, "01234567890123456789012345678901"));
	EXPECT_EQ(-EINVAL, create(rig, BS, BS, 0, 0, ".hidden"));
	EXPECT_EQ(-EINVAL, create(rig, BS, BS, 0, 0, "../../etc"));
	EXPECT_EQ(-EINVAL, create(rig, BS, BS, 0, 0, "a b"));
	EXPECT_EQ(-EINVAL, create(rig, BS, BS, 0, 0, "a\nb"));
	EXPECT_EQ(-EINVAL, create(rig, BS, BS, 0, 0, "\xc3\xa4"));
	EXPECT_EQ(-EINVAL, create(rig, BS, BS, 0, 0, "%s"));
}

TEST_F(bad_input, ranges)
{
	struct kvoff_region_settle settle = { .size = sizeof(settle) };
	static const uint64_t bad[][2] = {
		{ 8, 1 }, { 0, 9 }, { 7, 2 }, { 1, UINT64_MAX }, { UINT64_MAX, 1 }, { UINT64_MAX, UINT64_MAX },
		{ 0, UINT64_MAX },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_EQ(-ERANGE, region_discard(self->r, bad[i][0], bad[i][1], NULL)) TH_LOG("%u", i);
	for (settle.block = 8; settle.block; settle.block = settle.block > UINT64_MAX / 2 ? 0 : settle.block * 2) {
		EXPECT_EQ(-1, ioctl(self->r->fd, KVOFF_REGION_SETTLE, &settle));
		EXPECT_EQ(ERANGE, errno);
	}
	EXPECT_EQ(-ENOMEM, region_commit(self->r, 0 - (uint64_t)BS, NULL));
	EXPECT_EQ(-EBUSY, region_uncommit(self->r, 0 - (uint64_t)BS));
}

TEST_HARNESS_MAIN
