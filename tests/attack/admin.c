// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Operations of the administrator: tiers, pools, links, tuning, the list of regions, views, the lease.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attack.h"

static const char * const tier_names[] = { "dram", "cxl0" };

static struct kvoff_ctl_tier named(const char *name)
{
	struct kvoff_ctl_tier arg = { .size = sizeof(arg) };

	strcpy(arg.name, name);
	return arg;
}

static void op_tier_set(struct self *me)
{
	unsigned int which = below(me, 3);
	struct kvoff_ctl_tier arg = named(which < 2 ? tier_names[which] : "nowhere");
	int ret;

	arg.flags = 1 + below(me, 7);
	arg.rank = below(me, 3);
	arg.capacity = (48 + 2 * below(me, 60)) * MIB;
	arg.latency_ns = rnd(me);
	arg.bandwidth_mbps = rnd(me);
	if (chance(me, 5))
		arg.capacity = rnd(me);
	ret = call(me->rig->control, KVOFF_CTL_TIER_SET, &arg);
	note(me, "tier set", which, arg.flags, arg.capacity, ret);
	expect(me, "tier set", ret, -ENOENT, -EBUSY, -ENOSPC, -EINVAL, -ESHUTDOWN);
	if (which == 2 && ret != -ENOENT)
		wrong(me, "a change of no tier: %d", ret);
}

/* A tier that can go comes back at once. */
static void op_tier_remove(struct self *me)
{
	unsigned int which = below(me, 2);
	int ret, node = which ? me->rig->far_node : 0;
	uint32_t id;

	lock(&world->tiers_lock, me);
	ret = tier_remove(me->rig->control, tier_names[which]);
	note(me, "tier remove", which, 0, 0, ret);
	expect(me, "tier remove", ret, -EBUSY);
	if (!ret) {
		ret = tier_add(me->rig, tier_names[which], node, which, 128 * MIB, &id);
		if (ret)
			wrong(me, "tier %s could not come back: %d", tier_names[which], ret);
		atomic_store(&world->tier_ids[which], id);
	}
	unlock(&world->tiers_lock);
}

static void op_tier_add(struct self *me)
{
	struct kvoff_ctl_tier arg = named("other");
	int ret, right = -EEXIST;

	lock(&world->tiers_lock, me);
	arg.node = below(me, 2) ? me->rig->far_node : 0;
	arg.capacity = 2 * MIB * (1 + below(me, 20));
	switch (below(me, 6)) {
	case 0:
		arg.node = 900 + below(me, 1000);
		right = -ENXIO;
		break;
	case 1:
		arg.node = -1 - (int)below(me, 5);
		right = -ENXIO;
		break;
	case 2:
		arg.capacity = 1ULL << (40 + below(me, 23));
		right = -ENOSPC;
		break;
	case 3:
		arg.name[below(me, 5)] = "/ %\x01\xff"[below(me, 5)];
		right = -EINVAL;
		break;
	case 4:
		memset(arg.name, 'x', sizeof(arg.name));
		right = -EINVAL;
		break;
	}
	ret = call(me->rig->control, KVOFF_CTL_TIER_ADD, &arg);
	note(me, "tier add", arg.node, arg.capacity, 0, ret);
	if (ret != right)
		wrong(me, "tier add of node %d: expected %d, found %d", arg.node, right, ret);
	unlock(&world->tiers_lock);
}

static void op_pool(struct self *me)
{
	uint32_t bs = KVOFF_BLOCK_SIZE_MIN << below(me, KVOFF_NR_BLOCK_SIZES);
	uint64_t bytes = below(me, 12 * MIB / bs) * bs;
	const char *tier = tier_names[below(me, 2)];
	uint32_t flags = below(me, 2);
	int ret;

	if (chance(me, 10))
		bytes += rnd(me) >> below(me, 64);
	ret = pool_set(me->rig, tier, bs, bytes, flags);
	note(me, "pool set", bs, bytes, flags, ret);
	expect(me, "pool set", ret, -ENOSPC, -EBUSY, -ENOMEM, -ESHUTDOWN, bytes % bs ? -EINVAL : -ENOENT, -ENOENT);
}

static int drain(struct self *me, const char *name, uint32_t flags, uint64_t keep)
{
	struct kvoff_ctl_tier_drain arg = { .size = sizeof(arg), .flags = flags, .keep = keep };

	strcpy(arg.name, name);
	return call(me->rig->control, KVOFF_CTL_TIER_DRAIN, &arg);
}

/* It goes on while others work; sooner or later it is stopped. */
static void op_drain(struct self *me)
{
	const char *tier = tier_names[below(me, 2)];
	bool stop = chance(me, 40);
	int ret = drain(me, tier, stop ? KVOFF_DRAIN_STOP : 0, stop ? 0 : 2 * MIB * below(me, 24));

	note(me, "drain", tier[0], stop, 0, ret);
	expect(me, "drain", ret, -EBUSY, -ENOENT);
	if (drain(me, "nowhere", 0, 0) != -ENOENT)
		wrong(me, "a drain of no tier");
	if (!stop && chance(me, 70)) {
		usleep(below(me, 3000));
		drain(me, tier, KVOFF_DRAIN_STOP, 0);
	}
}

void drains_stop(struct self *me)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		drain(me, tier_names[i], KVOFF_DRAIN_STOP, 0);
}

static int link_set(struct self *me, uint32_t from, uint32_t to, uint32_t budget)
{
	struct kvoff_ctl_link arg = { .size = sizeof(arg), .from = from, .to = to, .budget_mbps = budget };

	return call(me->rig->control, KVOFF_CTL_LINK_SET, &arg);
}

static void op_link(struct self *me)
{
	uint32_t from = below(me, 3), to = below(me, 3), budget = chance(me, 20) ? 150 + below(me, 1000) : 0;
	int ret;

	if (chance(me, 10))
		to = rnd(me);
	ret = link_set(me, from, to, budget);
	note(me, "link set", from, to, budget, ret);
	expect(me, "link set", ret, -ENOENT, -EINVAL);
	if (from == to && ret != -EINVAL)
		wrong(me, "link from %u to itself: %d", from, ret);
}

void links_free(struct self *me)
{
	uint32_t from, to;

	for (from = 0; from < 3; from++)
		for (to = 0; to < 3; to++)
			link_set(me, from, to, 0);
}

static void op_regions(struct self *me)
{
	uint32_t ids[64], i, k, after = chance(me, 50) ? 0 : below(me, 100);
	struct kvoff_ctl_regions arg = {
		.size = sizeof(arg), .after = after, .nr = 1 + below(me, 64), .ids = (uintptr_t)ids,
	};
	uint32_t room = arg.nr;
	int ret = call(me->rig->control, KVOFF_CTL_REGIONS, &arg);
	bool cut = arg.nr == room;

	note(me, "regions", after, room, arg.nr, ret);
	if (ret || arg.nr > room)
		wrong(me, "list of regions: %d, %u of %u", ret, arg.nr, room);
	for (i = 0; i < arg.nr; i++)
		if (ids[i] <= (i ? ids[i - 1] : after))
			wrong(me, "list of regions after %u: number %u is %u", after, i, ids[i]);
	for (i = 0; i < HOLDS && !cut; i++) {
		struct hold *h = &me->holds[i];
		uint32_t id;

		if (h->fd < 0)
			continue;
		id = world->slots[h->slot].id;
		for (k = 0; k < arg.nr && ids[k] != id; k++)
			;
		if (k == arg.nr && id > after)
			wrong(me, "list of regions after %u: %u is not in it", after, id);
	}
}

static void op_view(struct self *me)
{
	struct slot *s = &world->slots[below(me, SLOTS)];
	struct kvoff_ctl_region_view arg = { .size = sizeof(arg), .id = s->id, .fd_flags = O_CLOEXEC };
	struct kvoff_region_info info;
	struct pollfd p = { .events = POLLIN };
	uint64_t words[8];
	void *at;
	int ret;

	if (chance(me, 10))
		arg.id = rnd(me);
	p.fd = call(me->rig->control, KVOFF_CTL_REGION_VIEW, &arg);
	note(me, "view", arg.id, 0, 0, p.fd);
	expect(me, "view", p.fd, -ENOENT);
	if (p.fd < 0)
		return;
	ret = region_info(p.fd, &info);
	expect(me, "info of a view", ret, -ENODEV);
	if (!ret && info.id != arg.id)
		wrong(me, "view of %u: info says %u", arg.id, info.id);
	poll(&p, 1, 0);
	at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, p.fd, below(me, 2) ? KVOFF_OFF_STATE : KVOFF_OFF_HINT);
	if (at == MAP_FAILED || copy_words(words, at, 8))
		wrong(me, "the arrays of a view cannot be read");
	if (!mprotect(at, PAGE, PROT_READ | PROT_WRITE))
		wrong(me, "the arrays of a view can be made writable");
	close(p.fd);
	if (copy_words(words, at, 8))
		wrong(me, "the arrays of a closed view cannot be read");
	munmap(at, PAGE);
}

static void op_view_wrong(struct self *me)
{
	struct hold *h = pick_hold(me, false);
	struct kvoff_ctl_region_view arg = { .size = sizeof(arg), .fd_flags = O_CLOEXEC };
	static const uint64_t offsets[] = { KVOFF_OFF_DATA, KVOFF_OFF_REFS, KVOFF_OFF_STATE, KVOFF_OFF_HINT };
	unsigned int which = below(me, 4);
	void *at;
	int fd;

	if (!h)
		return;
	arg.id = world->slots[h->slot].id;
	fd = call(me->rig->control, KVOFF_CTL_REGION_VIEW, &arg);
	if (fd < 0)
		wrong(me, "view of region %u: %d", arg.id, fd);
	at = mmap(NULL, PAGE, which < 2 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED, fd, offsets[which]);
	if (at != MAP_FAILED)
		wrong(me, "a view could be mapped at %lx, %s", offsets[which], which < 2 ? "read-only" : "writable");
	expect(me, "mmap of a view", -errno, -EINVAL, -EACCES);
	close(fd);
}

/* A second control descriptor: not the lease's. */
static void op_lease(struct self *me)
{
	struct kvoff_ctl_lease lease = { .size = sizeof(lease) };
	int fd = open("/dev/kvoff/control", O_RDWR | O_CLOEXEC), ret;
	struct kvoff_move_result result;
	/* blocks of a tier that is drained move without the lease; nobody has this region */
	struct kvoff_move_desc desc = { .region = INT32_MAX };

	if (fd < 0)
		wrong(me, "open of the control device: %s", strerror(errno));
	ret = call(fd, KVOFF_CTL_LEASE, &lease);
	if (ret != -EBUSY)
		wrong(me, "a second lease: %d", ret);
	ret = move_batch(fd, &desc, 1, &result, NULL);
	if (ret != -EPERM)
		wrong(me, "a move without the lease: %d", ret);
	lease.flags = KVOFF_LEASE_DROP;
	ret = call(fd, KVOFF_CTL_LEASE, &lease);
	if (ret)
		wrong(me, "dropping a lease one does not have: %d", ret);
	close(fd);
	lease.flags = 0;
	ret = call(me->rig->control, KVOFF_CTL_LEASE, &lease);
	if (ret)
		wrong(me, "the lease once more: %d", ret);
}

static void op_sysfs(struct self *me)
{
	static const char * const files[] = {
		"tuning/sample_interval_ms", "tuning/sample_percent", "tuning/reserve_percent",
		"tiers/dram/capacity_bytes",
		"tiers/cxl0/capacity_bytes", "tiers/dram/pools/64kB/bytes", "tiers/cxl0/pools/2048kB/bytes",
		"tiers/dram/pools/512kB/bytes", "tuning/twins", "tuning/twins",
	};
	const char *file = files[below(me, sizeof(files) / sizeof(*files))];
	char value[64];
	int ret;

	switch (below(me, 5)) {
	case 4:
		snprintf(value, sizeof(value), "%lu", below(me, 2));
		break;
	case 0:
		snprintf(value, sizeof(value), "%lu", below(me, 100));
		break;
	case 1:
		snprintf(value, sizeof(value), "%lu", below(me, 32) * 4 * MIB);
		break;
	case 2:
		snprintf(value, sizeof(value), "%ld", (long)(rnd(me) >> below(me, 64)));
		break;
	case 3:
		snprintf(value, sizeof(value), "%lx?\n%c", rnd(me), (char)(1 + below(me, 255)));
		break;
	}
	ret = sysfs_write(file, value);
	note(me, "sysfs", file[7], file[11], strtoul(value, NULL, 10), ret);
	expect(me, "write to sysfs", ret, -ESHUTDOWN, -EINVAL, -ERANGE, -EBUSY, -ENOSPC, -ENODEV, -ENOENT);
}

/* Where the module has them: delays in the places where races are. */
static void op_hook(struct self *me)
{
	static const char * const hooks[] = { "mkwrite", "copy", "flip" };

	hook_set(hooks[below(me, 3)], chance(me, 80) ? 0 : 1 + below(me, 2));
}

/* What the kernel does when it is short of large pages: it looks at every page there is. */
static void op_compact(struct self *me)
{
	static const char * const files[] = { "/proc/sys/vm/compact_memory", "/proc/sys/vm/drop_caches" };
	int fd = open(files[below(me, 2)], O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "1", 1) < 0)
		note(me, "compact", 0, 0, 0, -errno);
	close(fd);
}

const struct op admin_ops[] = {
	{ "tier-set", 8, op_tier_set },
	{ "tier-remove", 3, op_tier_remove },
	{ "tier-add", 4, op_tier_add },
	{ "pool", 8, op_pool },
	{ "drain", 8, op_drain },
	{ "link", 10, op_link },
	{ "regions", 8, op_regions },
	{ "view", 10, op_view },
	{ "view-wrong", 5, op_view_wrong },
	{ "lease", 5, op_lease },
	{ "sysfs", 10, op_sysfs },
	{ "hook", 8, op_hook },
	{ "compact", 1, op_compact },
	{ NULL, 0, NULL }
};
