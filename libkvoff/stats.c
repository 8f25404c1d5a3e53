// SPDX-License-Identifier: LGPL-2.1-or-later
#include <string.h>

#include "frames.h"
#include "heap.h"
#include "region.h"

_Static_assert(LIBKVOFF_MAX_TIERS == KVOFF_MAX_TIERS, "tiers in the library's header and the kernel's");

int libkvoff_stats(struct libkvoff *kv, struct libkvoff_stats *out)
{
	struct libkvoff_stats stats = { 0 };
	struct kvoff_region_info info;
	size_t size;
	int ret;

	if (!out)
		return lkv_fail(EINVAL, "kvoff: %s: stats: no place for them (NULL)", kv->name);
	size = out->size;
	if (size < offsetof(struct libkvoff_stats, tier_used))
		return lkv_fail(EINVAL,
				"kvoff: %s: stats: size is %zu, less than any version of struct libkvoff_stats: set it to "
				"sizeof(struct libkvoff_stats)",
				kv->name, size);
	ret = kv->backend->info(kv, &info);
	if (ret < 0)
		return lkv_fail(-ret, "kvoff: %s: stats: %s", kv->name, strerrordesc_np(-ret));
	stats.flags = kv->backend == &lkv_fallback ? LIBKVOFF_STATS_FALLBACK : 0;
	stats.region_id = info.id;
	stats.length = info.length;
	stats.committed = info.committed;
	stats.used = info.used;
	stats.nr_attached = info.nr_attached;
	memcpy(stats.tier_used, info.tier_used, sizeof(stats.tier_used));
	if (kv->heap) {
		pthread_mutex_lock(&kv->heap->lock);
		stats.allocated = kv->heap->allocated;
		stats.nr_allocated = kv->heap->space.nr_taken;
		pthread_mutex_unlock(&kv->heap->lock);
	}
	if (kv->frames) {
		stats.nr_allocated = lkv_frames_taken(kv);
		stats.allocated = stats.nr_allocated << kv->block_shift;
	}
	/* what a newer program knows and we do not is zero */
	memset(out, 0, size);
	memcpy(out, &stats, size < sizeof(stats) ? size : sizeof(stats));
	out->size = size;
	return 0;
}
