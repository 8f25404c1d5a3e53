// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The list of regions, and the mappings of their arrays.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"
#include "region.h"

#define LIST_MAX	1024

static void unmap(const void *map, uint64_t bytes)
{
	if (map)
		munmap((void *)map, bytes);
}

static void region_free(struct region *region)
{
	unmap(region->state, region->mapped * sizeof(*region->state));
	unmap(region->hint, region->mapped * sizeof(*region->hint));
	unmap(region->said, region->mapped * sizeof(*region->said));
	census_free(&region->census);
	if (region->view >= 0)
		close(region->view);
	free(region);
}

static int read_info(struct region *region, struct kvoff_region_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	return ioctl(region->view, KVOFF_REGION_INFO, info) ? -errno : 0;
}

static struct region *region_open(int control, uint32_t id, uint32_t now)
{
	struct kvoff_ctl_region_view arg = { .size = sizeof(arg), .id = id, .fd_flags = O_CLOEXEC };
	struct region *region = calloc(1, sizeof(*region));
	struct kvoff_region_info info;

	if (!region)
		return NULL;
	region->id = id;
	region->view = ioctl(control, KVOFF_CTL_REGION_VIEW, &arg);
	if (region->view < 0) {
		/* one that went between the list and now is no event */
		if (errno != ENOENT)
			log_warn("region cannot be looked at: its blocks will not move", "region=%u error=\"%s\"", id,
				 strerror(errno));
		region_free(region);
		return NULL;
	}
	if (read_info(region, &info) || info.block_size < KVOFF_BLOCK_SIZE_MIN ||
	    info.block_size > KVOFF_BLOCK_SIZE_MAX) {
		region_free(region);
		return NULL;
	}
	region->block_size = info.block_size;
	region->size_class = (uint32_t)__builtin_ctz(info.block_size / KVOFF_BLOCK_SIZE_MIN);
	region->limit = info.length / info.block_size;
	/* a unit that is most of the region is none: its blocks would all have one heat */
	region->census.unit = 1;
	if (info.unit_size > info.block_size && info.unit_size <= (uint64_t)info.block_size << 16)
		region->census.unit = (uint32_t)((info.unit_size + info.block_size - 1) / info.block_size);
	region->seen = now;
	region->rates.aged = now;
	region->ranked = now - RANK_EVERY;
	log_info("region found", "region=%u label=\"%.*s\" block_size=%uK unit_blocks=%u length=%lluM pid=%d", id,
		 (int)sizeof(info.label), info.label, info.block_size >> 10, region->census.unit,
		 (unsigned long long)info.length >> 20, info.pid);
	return region;
}

static int by_id(const void *key, const void *element)
{
	uint32_t id = *(const uint32_t *)key, other = (*(struct region *const *)element)->id;

	return id < other ? -1 : id > other;
}

struct region *regions_find(const struct regions *regions, uint32_t id)
{
	struct region **found = regions->nr ? bsearch(&id, regions->region, regions->nr, sizeof(*found), by_id) : NULL;

	return found ? *found : NULL;
}

static int append(struct regions *regions, struct region *region)
{
	if (regions->nr == regions->room) {
		size_t room = regions->room ? regions->room * 2 : 16;
		struct region **grown = realloc(regions->region, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		regions->region = grown;
		regions->room = room;
	}
	regions->region[regions->nr++] = region;
	return 0;
}

int regions_sync(struct regions *regions, int control, uint32_t now)
{
	struct regions next = { 0 };
	uint32_t ids[LIST_MAX];
	struct kvoff_ctl_regions arg;
	uint32_t after = 0;
	int err = 0;

	do {
		arg = (struct kvoff_ctl_regions) { .size = sizeof(arg), .after = after, .nr = LIST_MAX };
		arg.ids = (uint64_t)(uintptr_t)ids;
		if (ioctl(control, KVOFF_CTL_REGIONS, &arg)) {
			err = -errno;
			break;
		}
		for (uint32_t i = 0; i < arg.nr && i < LIST_MAX; i++) {
			struct region *known = regions_find(regions, ids[i]);
			struct region *region = known ? known : region_open(control, ids[i], now);

			after = ids[i];
			if (!region || !append(&next, region))
				continue;
			if (!known)
				region_free(region);
			err = -ENOMEM;
			break;
		}
	} while (!err && arg.nr >= LIST_MAX);

	if (err) {
		/* what is known stays; what is new was not kept yet */
		for (size_t i = 0; i < next.nr; i++)
			if (!regions_find(regions, next.region[i]->id))
				region_free(next.region[i]);
		free(next.region);
		return err;
	}
	for (size_t i = 0; i < regions->nr; i++) {
		if (!regions_find(&next, regions->region[i]->id)) {
			log_info("region gone", "region=%u", regions->region[i]->id);
			region_free(regions->region[i]);
		}
	}
	free(regions->region);
	*regions = next;
	return 0;
}

void regions_drop(struct regions *regions)
{
	for (size_t i = 0; i < regions->nr; i++)
		region_free(regions->region[i]);
	free(regions->region);
	*regions = (struct regions) { 0 };
}

int region_grow(struct region *region)
{
	struct kvoff_region_info info;
	uint64_t high, reach;
	void *state, *hint, *said;
	int err = read_info(region, &info);

	if (err) {
		region->gone = err == -ENODEV;
		return err;
	}
	region->tenant_class = info.tenant_class;
	high = info.high < region->limit ? info.high : region->limit;
	if (high > region->nr) {
		err = census_resize(&region->census, high);
		if (err)
			return err;
	}
	if (high <= region->mapped) {
		region->nr = high > region->nr ? high : region->nr;
		return 0;
	}
	/* doubling, so that a region that fills up is mapped a few times only; at least a page of every array */
	reach = region->mapped ? region->mapped : 4096;
	while (reach < high)
		reach *= 2;
	/* the arrays end where the region does */
	if (reach > region->limit)
		reach = region->limit;
	state = mmap(NULL, reach * sizeof(*region->state), PROT_READ, MAP_SHARED, region->view, KVOFF_OFF_STATE);
	if (state == MAP_FAILED)
		return -errno;
	hint = mmap(NULL, reach * sizeof(*region->hint), PROT_READ, MAP_SHARED, region->view, KVOFF_OFF_HINT);
	if (hint == MAP_FAILED) {
		err = -errno;
		goto err_state;
	}
	if (region->said)
		said = mremap(region->said, region->mapped * sizeof(*region->said), reach * sizeof(*region->said),
			      MREMAP_MAYMOVE);
	else
		said = mmap(NULL, reach * sizeof(*region->said), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (said == MAP_FAILED) {
		err = -errno;
		goto err_hint;
	}
	census_huge(said, reach * sizeof(*region->said));
	unmap(region->state, region->mapped * sizeof(*region->state));
	unmap(region->hint, region->mapped * sizeof(*region->hint));
	region->state = state;
	region->hint = hint;
	region->said = said;
	region->mapped = reach;
	region->nr = high;
	return 0;

err_hint:
	munmap(hint, reach * sizeof(*region->hint));
err_state:
	munmap(state, reach * sizeof(*region->state));
	return err;
}
