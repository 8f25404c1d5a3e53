// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * attack-parsers: every structure of the interface with every length and with flipped bits, commands whose arrays
 * and submission entries change under the kernel's hands, and submitters killed on the way. What must come back is
 * a documented error; what is in the blocks must stay.
 *
 *	attack-parsers [--seed N] [--flips N] [--seconds N]
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "parsers.h"

#define SIZE_MAX_ARG	512
/* Where buffers lie: a single flipped bit of an address in here leads to the arena or to nothing. */
#define ARENA_AT	0x200000000000UL
#define ARENA_BYTES	(4 * MIB)

enum on { CONTROL, TENANT, REGION, VIEW, NR_ON };

/**
 * struct kind - a call
 * @errors:	what it may answer beside what all calls may, zero-terminated
 * @may_succeed: with an unharmed structure it succeeds; else it fails with @errors[0]
 */
struct kind {
	const char *name;
	unsigned long cmd;
	size_t size;
	enum on on;
	bool may_succeed;
	int errors[8];
};

static const struct kind kinds[] = {
	{ "region_create", KVOFF_REGION_CREATE, sizeof(struct kvoff_region_create), TENANT, true,
	  { -EOPNOTSUPP, -EEXIST } },
	{ "region_open", KVOFF_REGION_OPEN, sizeof(struct kvoff_region_open), TENANT, false, { -ENOENT, -EACCES } },
	{ "region_seal", KVOFF_REGION_SEAL, sizeof(struct kvoff_region_seal), REGION, false,
	  { -ERANGE, -ENODATA, -EBUSY, -EEXIST } },
	{ "region_units", KVOFF_REGION_UNITS, sizeof(struct kvoff_region_units), REGION, true, { 0 } },
	{ "region_window", KVOFF_REGION_WINDOW, sizeof(struct kvoff_region_window), REGION, false, { -EOPNOTSUPP } },
	{ "block_alloc", KVOFF_REGION_BLOCK_ALLOC, sizeof(struct kvoff_region_blocks), REGION, false, { -EOPNOTSUPP } },
	{ "block_free", KVOFF_REGION_BLOCK_FREE, sizeof(struct kvoff_region_blocks), REGION, false, { -EOPNOTSUPP } },
	{ "region_eventfd", KVOFF_REGION_EVENTFD, sizeof(struct kvoff_region_eventfd), REGION, true, { -EBADF } },
	{ "region_attach", KVOFF_REGION_ATTACH, sizeof(struct kvoff_region_attach), REGION, true, { -EACCES } },
	{ "region_info", KVOFF_REGION_INFO, sizeof(struct kvoff_region_info), REGION, true, { 0 } },
	{ "view_info", KVOFF_REGION_INFO, sizeof(struct kvoff_region_info), VIEW, true, { 0 } },
	{ "region_commit", KVOFF_REGION_COMMIT, sizeof(struct kvoff_region_commit), REGION, false, { -ENOMEM } },
	{ "region_uncommit", KVOFF_REGION_UNCOMMIT, sizeof(struct kvoff_region_commit), REGION, false, { -EBUSY } },
	{ "region_discard", KVOFF_REGION_DISCARD, sizeof(struct kvoff_region_discard), REGION, false, { -ERANGE } },
	{ "region_settle", KVOFF_REGION_SETTLE, sizeof(struct kvoff_region_settle), REGION, true, { -ERANGE } },
	{ "lease", KVOFF_CTL_LEASE, sizeof(struct kvoff_ctl_lease), CONTROL, true, { 0 } },
	{ "tier_add", KVOFF_CTL_TIER_ADD, sizeof(struct kvoff_ctl_tier), CONTROL, false, { -EEXIST, -ENXIO, -ENOSPC } },
	{ "tier_set", KVOFF_CTL_TIER_SET, sizeof(struct kvoff_ctl_tier), CONTROL, true, { -ENOENT, -EBUSY, -ENOSPC } },
	{ "tier_remove", KVOFF_CTL_TIER_REMOVE, sizeof(struct kvoff_ctl_tier), CONTROL, false, { -EBUSY, -ENOENT } },
	{ "tier_drain", KVOFF_CTL_TIER_DRAIN, sizeof(struct kvoff_ctl_tier_drain), CONTROL, false, { -ENOENT } },
	{ "poison", KVOFF_CTL_POISON, sizeof(struct kvoff_ctl_poison), CONTROL, false, { -ERANGE } },
	{ "region_remove", KVOFF_CTL_REGION_REMOVE, sizeof(struct kvoff_ctl_region_remove), CONTROL, false,
	  { -ENOENT } },
	{ "pool_set", KVOFF_CTL_POOL_SET, sizeof(struct kvoff_ctl_pool), CONTROL, true,
	  { -ENOENT, -ENOSPC, -EBUSY, -ENOMEM } },
	{ "link_set", KVOFF_CTL_LINK_SET, sizeof(struct kvoff_ctl_link), CONTROL, true, { -ENOENT } },
	{ "regions", KVOFF_CTL_REGIONS, sizeof(struct kvoff_ctl_regions), CONTROL, true, { 0 } },
	{ "region_view", KVOFF_CTL_REGION_VIEW, sizeof(struct kvoff_ctl_region_view), CONTROL, true, { -ENOENT } },
	{ "move", KVOFF_CTL_MOVE, sizeof(struct kvoff_ctl_move), CONTROL, true, { 0 } },
	{ "tenant_add", KVOFF_CTL_TENANT_ADD, sizeof(struct kvoff_ctl_tenant), CONTROL, false, { -EEXIST, -ENXIO } },
	{ "tenant_set", KVOFF_CTL_TENANT_SET, sizeof(struct kvoff_ctl_tenant), CONTROL, true, { -ENOENT, -ENXIO } },
	{ "tenant_remove", KVOFF_CTL_TENANT_REMOVE, sizeof(struct kvoff_ctl_tenant), CONTROL, false,
	  { -EBUSY, -ENOENT } },
};

/* Beyond all addresses that a processor has. */
#define NO_MEMORY	(1ULL << 62)

struct rig rig;
struct region *region;
static int view;
uint8_t *arena;
/* A structure that ends here ends at memory that is not there. */
static uint8_t *edge;
static uint64_t seed, state;
static unsigned int bad, tests;

uint64_t rnd(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

struct kvoff_move_desc *descs(void)
{
	return (struct kvoff_move_desc *)(arena + MIB);
}

struct kvoff_move_result *results(void)
{
	return (struct kvoff_move_result *)(arena + 2 * MIB);
}

void set_descs(void)
{
	unsigned int i;

	for (i = 0; i < NR; i++)
		descs()[i] = (struct kvoff_move_desc){
			.region = region->id, .block = i, .to = rnd() % 2 ? rig.near : rig.far, .flags = rnd() % 8 == 0,
		};
}

void set_move(struct kvoff_ctl_move *cmd)
{
	*cmd = (struct kvoff_ctl_move){
		.size = sizeof(*cmd), .nr = NR, .descs = (uintptr_t)descs(), .results = (uintptr_t)results(),
	};
}

/* A good structure of this kind, or one whose only fault is the one the kind names. */
static void good(const struct kind *k, void *p)
{
	union {
		struct kvoff_region_create create;
		struct kvoff_region_commit commit;
		struct kvoff_region_discard discard;
		struct kvoff_region_open open;
		struct kvoff_region_seal seal;
		struct kvoff_region_units units;
		struct kvoff_region_window window;
		struct kvoff_region_blocks blocks;
		struct kvoff_region_eventfd eventfd;
		struct kvoff_ctl_tier_drain drain;
		struct kvoff_ctl_poison poison;
		struct kvoff_ctl_region_remove remove;
		struct kvoff_ctl_tier tier;
		struct kvoff_ctl_pool pool;
		struct kvoff_ctl_link link;
		struct kvoff_ctl_regions regions;
		struct kvoff_ctl_region_view view;
		struct kvoff_ctl_move move;
		struct kvoff_ctl_tenant tenant;
	} *u = p;

	memset(p, 0, k->size);
	*(uint32_t *)p = k->size;
	switch (k->cmd) {
	case KVOFF_REGION_CREATE:
		u->create.block_size = BS;
		u->create.length = 4 * BS;
		strcpy(u->create.label, "parsers");
		break;
	case KVOFF_REGION_COMMIT:
	case KVOFF_REGION_UNCOMMIT:
		u->commit.bytes = 2 * NR * BS;
		break;
	case KVOFF_REGION_DISCARD:
		u->discard.first = 1ULL << 60;
		u->discard.nr = 1;
		break;
	case KVOFF_REGION_OPEN:
		strcpy(u->open.name, "nobody");
		u->open.uid = KVOFF_UID_SELF;
		break;
	case KVOFF_REGION_SEAL:
		u->seal.first = 1ULL << 60;
		u->seal.nr = 1;
		break;
	case KVOFF_REGION_UNITS:
		u->units.nr = 4;
		u->units.units = (uintptr_t)arena;
		break;
	case KVOFF_REGION_WINDOW:
		u->window.bytes = BS;
		break;
	case KVOFF_REGION_BLOCK_ALLOC:
	case KVOFF_REGION_BLOCK_FREE:
		u->blocks.nr = 1;
		u->blocks.blocks = (uintptr_t)arena;
		break;
	case KVOFF_REGION_EVENTFD:
		u->eventfd.fd = -1;
		break;
	case KVOFF_CTL_TIER_DRAIN:
		strcpy(u->drain.name, "nowhere");
		break;
	case KVOFF_CTL_POISON:
		u->poison.addr = NO_MEMORY;
		u->poison.length = 1;
		break;
	case KVOFF_CTL_REGION_REMOVE:
		u->remove.id = INT32_MAX;
		break;
	case KVOFF_CTL_TIER_ADD:
	case KVOFF_CTL_TIER_SET:
	case KVOFF_CTL_TIER_REMOVE:
		strcpy(u->tier.name, "dram");
		if (k->cmd == KVOFF_CTL_TIER_REMOVE)
			break;
		u->tier.capacity = 32 * MIB;
		if (k->cmd == KVOFF_CTL_TIER_SET)
			u->tier.flags = KVOFF_TIER_COST;
		break;
	case KVOFF_CTL_POOL_SET:
		strcpy(u->pool.tier, "cxl0");
		u->pool.block_size = 4 * BS;
		u->pool.bytes = 8 * BS;
		break;
	case KVOFF_CTL_LINK_SET:
		u->link.from = rig.near;
		u->link.to = rig.far;
		break;
	case KVOFF_CTL_REGIONS:
		u->regions.nr = 16;
		u->regions.ids = (uintptr_t)arena;
		break;
	case KVOFF_CTL_REGION_VIEW:
		u->view.id = region->id;
		break;
	case KVOFF_CTL_MOVE:
		set_descs();
		set_move(&u->move);
		break;
	case KVOFF_CTL_TENANT_ADD:
	case KVOFF_CTL_TENANT_SET:
	case KVOFF_CTL_TENANT_REMOVE:
		strcpy(u->tenant.name, "default");
		if (k->cmd == KVOFF_CTL_TENANT_SET)
			u->tenant.flags = KVOFF_TENANT_CLASS;
		break;
	}
}

/* The size of the structure's first version. */
static size_t first_size(const struct kind *k)
{
	return k->cmd == KVOFF_REGION_INFO ? KVOFF_REGION_INFO_MIN :
	       k->cmd == KVOFF_REGION_CREATE ? KVOFF_REGION_CREATE_MIN : k->size;
}

static int fd_of(const struct kind *k)
{
	const int fds[] = { rig.control, rig.tenant, region->fd, view };

	return fds[k->on];
}

static void complain(const struct kind *k, const char *what, uint64_t a, int64_t ret)
{
	if (bad++ < 20)
		printf("# %s: %s %lu: found %ld (%s), seed %lu\n", k->name, what, a, ret,
		       ret < 0 ? strerror(-ret) : "success", seed);
}

/* Take back what the call has done. */
static void undo(const struct kind *k, const void *p, int64_t ret)
{
	struct kvoff_ctl_lease lease = { .size = sizeof(lease) };
	const struct kvoff_region_commit *commit = p;
	const struct kvoff_region_create *create = p;
	const struct kvoff_region_seal *seal = p;
	const struct kvoff_ctl_tier *tier = p;
	const struct kvoff_ctl_link *link = p;
	struct kvoff_ctl_region_remove named = { .size = sizeof(named) };
	struct kvoff_ctl_tenant tenant = { .size = sizeof(tenant) };

	if (ret < 0)
		return;
	switch (k->cmd) {
	case KVOFF_REGION_CREATE:
		close(ret);
		/* a flipped bit may have given it a name, by which it stays */
		named.id = create->id;
		ioctl(rig.control, KVOFF_CTL_REGION_REMOVE, &named);
		break;
	case KVOFF_REGION_OPEN:
	case KVOFF_REGION_ATTACH:
	case KVOFF_CTL_REGION_VIEW:
		close(ret);
		break;
	case KVOFF_REGION_SEAL:
		region_discard(region, seal->first, seal->nr, NULL);
		break;
	case KVOFF_REGION_COMMIT:
		region_uncommit(region, commit->bytes);
		break;
	case KVOFF_REGION_UNCOMMIT:
		region_commit(region, commit->bytes, NULL);
		break;
	case KVOFF_CTL_LEASE:
		ioctl(rig.control, KVOFF_CTL_LEASE, &lease);
		break;
	case KVOFF_CTL_TIER_ADD:
		tier_remove(rig.control, tier->name);
		break;
	case KVOFF_CTL_TENANT_ADD:
		memcpy(tenant.name, ((struct kvoff_ctl_tenant *)p)->name, sizeof(tenant.name));
		ioctl(rig.control, KVOFF_CTL_TENANT_REMOVE, &tenant);
		break;
	case KVOFF_CTL_LINK_SET:
		((struct kvoff_ctl_link *)link)->budget_mbps = 0;
		((struct kvoff_ctl_link *)link)->size = sizeof(*link);
		ioctl(rig.control, KVOFF_CTL_LINK_SET, link);
		break;
	}
}

static bool documented(const struct kind *k, int64_t ret)
{
	static const int shared[] = { -EINVAL, -E2BIG, -EFAULT };
	unsigned int i;

	if (ret >= 0)
		return true;
	for (i = 0; i < 3; i++)
		if (ret == shared[i])
			return true;
	for (i = 0; k->errors[i]; i++)
		if (ret == k->errors[i])
			return true;
	return false;
}

static int64_t attempt(const struct kind *k, void *p)
{
	int64_t ret = ioctl(fd_of(k), k->cmd, p);

	tests++;
	return ret < 0 ? -errno : ret;
}

/* Where it lies need not be aligned. */
static void set_size(uint8_t *p, uint32_t size)
{
	memcpy(p, &size, sizeof(size));
}

/*
 * Every length up to twice the structure's and a bit: too short, just right, longer with zeros, longer with a one
 * somewhere; always at the very end of readable memory, and one byte less than announced.
 */
static void lengths(const struct kind *k)
{
	uint8_t arg[SIZE_MAX_ARG];
	size_t len, max = 2 * k->size + 8;
	uint8_t *p;
	int64_t ret;

	for (len = 0; len <= max; len++) {
		size_t n = len < k->size ? len : k->size;

		p = edge - len;
		good(k, arg);
		memset(p, 0, len);
		memcpy(p, arg, n);
		if (len >= sizeof(uint32_t))
			set_size(p, len);
		ret = attempt(k, p);
		if (len < sizeof(uint32_t) ? ret != -EFAULT : len < first_size(k) ? ret != -EINVAL :
		    k->may_succeed ? ret < 0 : ret != k->errors[0])
			complain(k, "length", len, ret);
		undo(k, p, ret);
		if (len <= k->size)
			continue;
		/* a byte that this kernel does not know */
		good(k, arg);
		memcpy(p, arg, n);
		set_size(p, len);
		p[k->size + rnd() % (len - k->size)] = 1 + rnd() % 255;
		ret = attempt(k, p);
		if (ret != -E2BIG)
			complain(k, "length with a tail", len, ret);
		undo(k, p, ret);
		/* announced, and not there */
		memcpy(p + 1, arg, n - 1);
		p = edge - len + 1;
		set_size(p, len);
		ret = attempt(k, p);
		if (ret != -EFAULT && ret != -E2BIG)
			complain(k, "length beyond what is there", len, ret);
		undo(k, p, ret);
	}
	for (len = PAGE - 1; len <= PAGE + 1; len++) {
		p = edge - len;
		good(k, arg);
		memset(p, 0, len);
		memcpy(p, arg, k->size);
		set_size(p, len);
		ret = attempt(k, p);
		if (len > PAGE ? ret != -E2BIG : k->may_succeed ? ret < 0 : ret != k->errors[0])
			complain(k, "length", len, ret);
		undo(k, p, ret);
	}
}

static void flip(const struct kind *k, uint8_t *p, unsigned int bits, uint64_t which)
{
	int64_t ret;

	good(k, p);
	while (bits--) {
		p[which / 8] ^= 1U << which % 8;
		which = rnd() % (k->size * 8);
	}
	/* a pool's size, however odd, is soon there, but nobody waits for it here; budgets are not to hold us up */
	if (k->cmd == KVOFF_CTL_LINK_SET)
		((struct kvoff_ctl_link *)p)->budget_mbps |= 1U << 20;
	/* no memory of this machine shall be given up */
	if (k->cmd == KVOFF_CTL_POISON)
		((struct kvoff_ctl_poison *)p)->addr |= NO_MEMORY;
	ret = attempt(k, p);
	if (!documented(k, ret))
		complain(k, "flipped bit", which, ret);
	undo(k, p, ret);
}

static void put_back(void)
{
	struct kvoff_ctl_tier tier = {
		.size = sizeof(tier), .flags = KVOFF_TIER_RANK | KVOFF_TIER_CAPACITY, .name = "dram",
		.capacity = 32 * MIB,
	};

	uint64_t b;
	struct kvoff_ctl_tenant tenant = {
		.size = sizeof(tenant), .flags = KVOFF_TENANT_QUOTA | KVOFF_TENANT_CLASS, .name = "default",
		.tiers = 1U << rig.near | 1U << rig.far,
	};

	ioctl(rig.control, KVOFF_CTL_TIER_SET, &tier);
	ioctl(rig.control, KVOFF_CTL_TENANT_SET, &tenant);
	pool_set(&rig, "cxl0", 4 * BS, 0, KVOFF_POOL_WAIT);
	/* a discard may have got through */
	for (b = 0; b < NR; b++)
		fill(block_at(region, b), BS, b);
}

static void flips(const struct kind *k, unsigned int nr)
{
	uint8_t *p = edge - k->size;
	unsigned int i;

	for (i = 0; i < k->size * 8; i++)
		flip(k, p, 1, i);
	for (i = 0; i < nr; i++)
		flip(k, p, 2 + rnd() % 6, rnd() % (k->size * 8));
	put_back();
}

/* Calls on a descriptor that does not have them. */
static void strangers(void)
{
	static const char * const names[] = { "control", "tenant", "region", "view" };
	uint8_t arg[SIZE_MAX_ARG];
	unsigned int i, on;

	for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		for (on = 0; on < NR_ON; on++) {
			struct kind k = kinds[i];
			int64_t ret;

			if (on == k.on || (k.cmd == KVOFF_REGION_INFO && on >= REGION))
				continue;
			k.on = on;
			good(&k, arg);
			ret = attempt(&k, arg);
			if (ret != -ENOTTY)
				complain(&k, names[on], on, ret);
		}
	}
}

uint64_t wrong_bytes(void)
{
	uint64_t b, n = 0;

	for (b = 0; b < NR; b++)
		n += count_wrong(block_at(region, b), BS, b);
	return n;
}

static int begin(void)
{
	uint64_t b;
	int ret;

	ret = rig_up_sized(&rig, BS, 32 * MIB, (NR + 4) * BS, (NR + 4) * BS);
	if (ret)
		return ret;
	region = rig_region(&rig, BS, NR);
	if (!region)
		return -errno;
	view = ioctl(rig.control, KVOFF_CTL_REGION_VIEW,
		     &(struct kvoff_ctl_region_view){ .size = sizeof(struct kvoff_ctl_region_view), .id = region->id });
	arena = mmap((void *)ARENA_AT, ARENA_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	edge = mmap((void *)(ARENA_AT / 2), 4 * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (view < 0 || arena == MAP_FAILED || edge == MAP_FAILED)
		return -errno;
	edge += 3 * PAGE;
	mprotect(edge, PAGE, PROT_NONE);
	for (b = 0; b < NR; b++)
		fill(block_at(region, b), BS, b);
	return 0;
}

static void verdict(unsigned int nr, bool good_one, const char *what)
{
	printf("%s %u - %s (promise 10)\n", good_one ? "ok" : "not ok", nr, what);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "flips", required_argument, NULL, 'f' },
		{ "seconds", required_argument, NULL, 't' },
		{ NULL, 0, NULL, 0 }
	};
	unsigned int nr_flips = 300, seconds = 6, i, failed = 0, nr = 0;
	const unsigned int nr_kinds = sizeof(kinds) / sizeof(*kinds);
	const char *left;
	int c, ret;

	seed = time(NULL) & 0xffffff;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		if (c == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (c == 'f')
			nr_flips = strtoul(optarg, NULL, 0);
		else if (c == 't')
			seconds = strtoul(optarg, NULL, 0);
		else
			return 2;
	}
	state = seed;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("KTAP version 1\n1..%u\n# seed %lu\n", 2 * nr_kinds + 5, seed);
	ret = begin();
	if (ret) {
		printf("Bail out! %s\n", strerror(-ret));
		return 1;
	}
	for (i = 0; i < nr_kinds; i++) {
		char name[64];

		bad = 0;
		lengths(&kinds[i]);
		snprintf(name, sizeof(name), "%s of every length", kinds[i].name);
		verdict(++nr, !bad, name);
		failed += bad;
		bad = 0;
		flips(&kinds[i], nr_flips);
		snprintf(name, sizeof(name), "%s with flipped bits", kinds[i].name);
		verdict(++nr, !bad, name);
		failed += bad;
	}
	bad = 0;
	strangers();
	verdict(++nr, !bad, "calls on descriptors that do not have them");
	failed += bad;
	printf("# %u calls\n", tests);
	ret = changing_hands(seconds);
	verdict(++nr, !ret, "commands that change under the kernel's hands");
	failed += ret;
	ret = killed_submitters(seconds);
	verdict(++nr, !ret, "submitters killed at any time");
	failed += ret;
	ret = coming_and_going(seconds);
	verdict(++nr, !ret, "a tier that goes and comes back under moves");
	failed += ret;
	close(view);
	left = rig_down(&rig);
	if (left)
		printf("# %s\n", left);
	verdict(++nr, !left, "nothing is left");
	return failed || left;
}
