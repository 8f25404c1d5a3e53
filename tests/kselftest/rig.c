// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The two tiers, the regions in them, and moves between them.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rig.h"

static int call(int fd, unsigned long cmd, void *arg)
{
	int ret = ioctl(fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

int far_node(void)
{
	FILE *f = fopen("/sys/devices/system/node/has_memory", "r");
	int first, last = -1, c;

	if (!f)
		return -1;
	/* a list such as "0,2-3" */
	while (fscanf(f, "%d", &first) == 1) {
		if (first)
			last = first < 0 ? -first : first;
		c = fgetc(f);
		if (c != ',' && c != '-')
			break;
	}
	fclose(f);
	return last;
}

int tier_add(struct rig *rig, const char *name, int node, uint32_t rank, uint64_t capacity, uint32_t *id)
{
	struct kvoff_ctl_tier arg = { .size = sizeof(arg), .node = node, .rank = rank, .capacity = capacity };
	int ret;

	snprintf(arg.name, sizeof(arg.name), "%s", name);
	ret = call(rig->control, KVOFF_CTL_TIER_ADD, &arg);
	if (!ret && id)
		*id = arg.id;
	return ret;
}

int tier_remove(int control, const char *name)
{
	struct kvoff_ctl_tier arg = { .size = sizeof(arg) };

	snprintf(arg.name, sizeof(arg.name), "%s", name);
	return call(control, KVOFF_CTL_TIER_REMOVE, &arg);
}

int pool_set(struct rig *rig, const char *tier, uint32_t bs, uint64_t bytes, uint32_t flags)
{
	struct kvoff_ctl_pool arg = { .size = sizeof(arg), .flags = flags, .block_size = bs, .bytes = bytes };

	snprintf(arg.tier, sizeof(arg.tier), "%s", tier);
	return call(rig->control, KVOFF_CTL_POOL_SET, &arg);
}

static uint64_t capacity_for(uint64_t bytes)
{
	return (bytes + 2 * MIB - 1) / (2 * MIB) * (2 * MIB);
}

int rig_up_sized(struct rig *rig, uint32_t bs, uint64_t capacity, uint64_t near_bytes, uint64_t far_bytes)
{
	struct kvoff_ctl_lease lease = { .size = sizeof(lease) };
	int ret, i;

	memset(rig, 0, sizeof(*rig));
	for (i = 0; i < RIG_REGIONS; i++)
		rig->regions[i].fd = -1;
	rig->tenant = -1;
	rig->control = open("/dev/kvoff/control", O_RDWR | O_CLOEXEC);
	if (rig->control < 0)
		return -errno;
	rig->tenant = open("/dev/kvoff/default", O_RDWR | O_CLOEXEC);
	if (rig->tenant < 0)
		return -errno;
	/* what a test that died has left must not fail the next */
	tier_remove(rig->control, "dram");
	tier_remove(rig->control, "cxl0");
	rig->far_node = far_node();
	if (rig->far_node < 0)
		return -ENXIO;
	/* most suites are about copies; the others turn it on */
	if (sysfs_write("tuning/twins", "0"))
		return -EIO;
	/* a sample unmaps blocks: they fault again, and are busy while they are unmapped; who wants that turns it on */
	if (sysfs_write("tuning/sample_interval_ms", "0"))
		return -EIO;
	ret = call(rig->control, KVOFF_CTL_LEASE, &lease);
	if (!ret)
		ret = tier_add(rig, "dram", 0, 0, capacity ?: capacity_for(near_bytes), &rig->near);
	if (!ret)
		ret = tier_add(rig, "cxl0", rig->far_node, 1, capacity ?: capacity_for(far_bytes), &rig->far);
	if (!ret && near_bytes)
		ret = pool_set(rig, "dram", bs, near_bytes, KVOFF_POOL_WAIT);
	if (!ret && far_bytes)
		ret = pool_set(rig, "cxl0", bs, far_bytes, KVOFF_POOL_WAIT);
	return ret;
}

int rig_up(struct rig *rig, uint32_t bs, uint64_t bytes)
{
	return rig_up_sized(rig, bs, 0, bytes, bytes);
}

const char *rig_down(struct rig *rig)
{
	const char *wrong = NULL;
	int i;

	for (i = 0; i < RIG_REGIONS; i++)
		region_close(&rig->regions[i]);
	if (!wait_for_sum("used_bytes", 0))
		wrong = "frames are still in use after the last region";
	else if (!wait_for_sum("orphan_bytes", 0))
		wrong = "orphans are left";
	else if (stat_now("commit_broken"))
		wrong = "a commit was broken";
	if (tier_remove(rig->control, "dram") || tier_remove(rig->control, "cxl0"))
		wrong = wrong ?: "a tier could not be removed";
	/* as a module has them that was just loaded */
	sysfs_write("tuning/sample_interval_ms", "5000");
	sysfs_write("tuning/twins", "1");
	close(rig->tenant);
	close(rig->control);
	return wrong;
}

static void *map(int fd, uint64_t bytes, int prot, uint64_t off)
{
	void *p = mmap(NULL, bytes, prot, MAP_SHARED, fd, off);

	return p == MAP_FAILED ? NULL : p;
}

static int region_map(struct region *r, bool writable)
{
	int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;

	r->data = map(r->fd, r->nr * r->bs, prot, KVOFF_OFF_DATA);
	r->state = map(r->fd, r->nr * sizeof(*r->state), PROT_READ, KVOFF_OFF_STATE);
	if (writable) {
		r->hint = map(r->fd, r->nr * sizeof(*r->hint), prot, KVOFF_OFF_HINT);
		r->refs = map(r->fd, r->nr * sizeof(*r->refs), prot, KVOFF_OFF_REFS);
	}
	if (r->data && r->state && (!writable || (r->hint && r->refs)))
		return 0;
	region_close(r);
	return -EIO;
}

int region_create(struct rig *rig, struct region *r, uint32_t bs, uint64_t nr)
{
	struct kvoff_region_create arg = {
		.size = sizeof(arg), .block_size = bs, .fd_flags = O_CLOEXEC, .length = nr * bs, .label = "kselftest",
	};

	memset(r, 0, sizeof(*r));
	r->fd = call(rig->tenant, KVOFF_REGION_CREATE, &arg);
	if (r->fd < 0)
		return r->fd;
	r->id = arg.id;
	r->bs = bs;
	r->nr = nr;
	return region_map(r, true);
}

int region_attach(const struct region *from, struct region *r, uint32_t flags)
{
	struct kvoff_region_attach arg = { .size = sizeof(arg), .fd_flags = flags | O_CLOEXEC };

	*r = (struct region){ .id = from->id, .bs = from->bs, .nr = from->nr };
	r->fd = call(from->fd, KVOFF_REGION_ATTACH, &arg);
	if (r->fd < 0)
		return r->fd;
	return region_map(r, (flags & O_ACCMODE) == O_RDWR);
}

void region_close(struct region *r)
{
	if (r->fd < 0)
		return;
	if (r->data)
		munmap(r->data, r->nr * r->bs);
	if (r->state)
		munmap((void *)r->state, r->nr * sizeof(*r->state));
	if (r->hint)
		munmap(r->hint, r->nr * sizeof(*r->hint));
	if (r->refs)
		munmap(r->refs, r->nr * sizeof(*r->refs));
	close(r->fd);
	memset(r, 0, sizeof(*r));
	r->fd = -1;
}

struct region *rig_region(struct rig *rig, uint32_t bs, uint64_t nr)
{
	struct region *r = rig->regions;
	int ret;

	while (r < rig->regions + RIG_REGIONS && r->fd >= 0)
		r++;
	if (r == rig->regions + RIG_REGIONS) {
		errno = EUSERS;
		return NULL;
	}
	ret = region_create(rig, r, bs, nr);
	if (!ret)
		ret = region_commit(r, nr * bs, NULL);
	if (!ret)
		return r;
	region_close(r);
	r->fd = -1;
	errno = -ret;
	return NULL;
}

int region_commit(const struct region *r, uint64_t bytes, struct kvoff_region_commit *out)
{
	struct kvoff_region_commit arg = { .size = sizeof(arg), .bytes = bytes };
	int ret = call(r->fd, KVOFF_REGION_COMMIT, &arg);

	if (out)
		*out = arg;
	return ret;
}

int region_uncommit(const struct region *r, uint64_t bytes)
{
	struct kvoff_region_commit arg = { .size = sizeof(arg), .bytes = bytes };

	return call(r->fd, KVOFF_REGION_UNCOMMIT, &arg);
}

int region_discard(const struct region *r, uint64_t first, uint64_t nr, uint64_t *freed)
{
	struct kvoff_region_discard arg = { .size = sizeof(arg), .first = first, .nr = nr };
	int ret = call(r->fd, KVOFF_REGION_DISCARD, &arg);

	if (freed)
		*freed = arg.freed;
	return ret;
}

int region_info(int fd, struct kvoff_region_info *info)
{
	*info = (struct kvoff_region_info){ .size = sizeof(*info) };
	return call(fd, KVOFF_REGION_INFO, info);
}

int move_batch(int control, const struct kvoff_move_desc *descs, uint32_t nr, struct kvoff_move_result *results,
	       uint32_t *moved)
{
	struct kvoff_ctl_move arg = {
		.size = sizeof(arg), .nr = nr, .descs = (uintptr_t)descs, .results = (uintptr_t)results,
	};
	int ret = call(control, KVOFF_CTL_MOVE, &arg);

	if (moved)
		*moved = arg.moved;
	return ret;
}

int move_blocks(const struct rig *rig, const struct region *r, uint64_t first, uint32_t nr, uint32_t to, uint16_t flags,
		struct kvoff_move_result *results)
{
	struct kvoff_move_result own[KVOFF_MOVE_MAX];
	struct kvoff_move_desc descs[KVOFF_MOVE_MAX];
	uint32_t i, moved = 0;
	int ret;

	if (nr > KVOFF_MOVE_MAX)
		return -EINVAL;
	for (i = 0; i < nr; i++)
		descs[i] = (struct kvoff_move_desc){ .region = r->id, .to = to, .flags = flags, .block = first + i };
	ret = move_batch(rig->control, descs, nr, results ?: own, &moved);
	return ret ?: (int)moved;
}

int move_one(const struct rig *rig, const struct region *r, uint64_t block, uint32_t to, uint16_t flags)
{
	struct kvoff_move_result result = { .error = 1 };
	int ret = move_blocks(rig, r, block, 1, to, flags, &result);

	return ret < 0 ? ret : result.error;
}

static void *mover_main(void *p)
{
	struct mover *m = p;

	m->error = move_one(m->rig, m->r, m->block, m->to, m->flags);
	atomic_store(&m->done, true);
	return NULL;
}

int mover_start(struct mover *m, const struct rig *rig, const struct region *r, uint64_t block, uint32_t to,
		uint16_t flags)
{
	*m = (struct mover){ .rig = rig, .r = r, .block = block, .to = to, .flags = flags, .error = 1 };
	return -pthread_create(&m->thread, NULL, mover_main, m);
}

int mover_join(struct mover *m)
{
	if (m->hook)
		hook_set(m->hook, 0);
	pthread_join(m->thread, NULL);
	return m->error;
}

void mover_let(struct mover *m)
{
	hook_set(m->hook, 300);
}

int mover_catch(struct mover *m, const struct rig *rig, const struct region *r, const char *hook, uint32_t flag)
{
	int ret;

	hook_set(hook, PATIENCE_MS);
	ret = mover_start(m, rig, r, 0, rig->far, 0);
	if (ret) {
		hook_set(hook, 0);
		return ret;
	}
	m->hook = hook;
	while (!atomic_load(&m->done) && !(KVOFF_LOC_FLAGS(location(r, 0)) & flag))
		usleep(200);
	if (!atomic_load(&m->done))
		return 0;
	return mover_join(m) ?: -ETIMEDOUT;
}
