// SPDX-License-Identifier: LGPL-2.1-or-later
/* The windows of a framed region: how much of each tier, and where in this process. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "region.h"

/**
 * struct share - what tiers of one kind have and shall give
 * @tiers:	bit N: tier N is one of them
 * @room:	bytes that each has available
 * @sum:	of all of them
 * @kind:	for messages
 */
struct share {
	uint32_t tiers;
	uint64_t room[KVOFF_MAX_TIERS];
	uint64_t sum;
	const char *kind;
};

static void look(struct libkvoff *kv, struct share *share)
{
	uint64_t block = UINT64_C(1) << kv->block_shift;
	unsigned int tier;

	for (tier = 0; tier < KVOFF_MAX_TIERS; tier++) {
		struct kvoff_region_window w = { .tier = tier };

		/* a tier that is not there, or is being drained, has nothing for us */
		if (!(share->tiers >> tier & 1) || kv->backend->window(kv, &w))
			continue;
		share->room[tier] = w.available & ~(block - 1);
		share->sum += share->room[tier];
	}
}

static int not_enough(struct libkvoff *kv, const struct share *share, uint64_t want)
{
	char need[LKV_SIZE_LEN], have[LKV_SIZE_LEN], each[LKV_SIZE_LEN], list[256] = "";
	unsigned int tier;
	size_t len = 0;

	for (tier = 0; tier < KVOFF_MAX_TIERS && len < sizeof(list); tier++)
		if (share->room[tier])
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s tier %u has %s",
						len ? "," : ":", tier, lkv_size(each, share->room[tier]));
	return lkv_fail(ENOMEM,
			"kvoff: %s: windows of %s in the %s tiers: they have %s available for blocks of %u KiB%s: "
			"ask for less, or "
			"give a tier more capacity (kvoffctl)",
			kv->name, lkv_size(need, want), share->kind, lkv_size(have, share->sum),
			1U << (kv->block_shift - 10), list);
}

static int grow(struct libkvoff *kv, unsigned int tier, uint64_t bytes)
{
	struct kvoff_region_window w = { .tier = tier, .bytes = bytes };
	char need[LKV_SIZE_LEN], have[LKV_SIZE_LEN];
	int ret = kv->backend->window(kv, &w);

	if (!ret) {
		kv->window[tier].bytes = w.bytes;
		return 0;
	}
	lkv_size(need, bytes);
	lkv_size(have, w.available);
	switch (ret) {
	case -EDQUOT:
		return lkv_fail(EDQUOT, "kvoff: %s: a window of %s in tier %u: the tenant's quota leaves %s: ask for "
				"less, or have the "
				"quota raised (kvoffctl tenant set)", kv->name, need, tier, have);
	case -ESHUTDOWN:
		return lkv_fail(ESHUTDOWN, "kvoff: %s: a window of %s in tier %u: the tier is being drained: try "
				"again", kv->name, need,
				tier);
	default:
		return lkv_fail(-ret, "kvoff: %s: a window of %s in tier %u failed: %s: %s are available", kv->name,
				need, tier,
				strerrordesc_np(-ret), have);
	}
}

/* Spreads @want over the tiers in proportion to what they have. */
static int take(struct libkvoff *kv, struct share *share, uint64_t want)
{
	uint64_t bytes, block = UINT64_C(1) << kv->block_shift, left = want, sum;
	unsigned int tier;
	int ret;

	if (!want)
		return 0;
	look(kv, share);
	if (share->sum < want)
		return not_enough(kv, share, want);
	sum = share->sum;
	for (tier = 0; tier < KVOFF_MAX_TIERS && left; tier++) {
		if (!share->room[tier])
			continue;
		/* of what is left, over the tiers that are left: what is rounded here, the last evens out */
		bytes = (uint64_t)((unsigned __int128)left * share->room[tier] / sum);
		bytes = (bytes + block - 1) & ~(block - 1);
		if (bytes > left)
			bytes = left;
		sum -= share->room[tier];
		ret = bytes ? grow(kv, tier, bytes) : 0;
		if (ret)
			return ret;
		left -= bytes;
	}
	return 0;
}

int lkv_windows_take(struct libkvoff *kv, const struct lkv_create *create)
{
	struct share fast = { .kind = "fastest" }, far = { .kind = "other" };
	struct kvoff_region_info info;
	int ret = kv->backend->info(kv, &info);

	if (ret)
		return lkv_fail(-ret, "kvoff: %s: it does not answer: %s", kv->name, strerrordesc_np(-ret));
	fast.tiers = info.fast_tiers;
	far.tiers = ~info.fast_tiers;
	ret = take(kv, &fast, create->fast_bytes);
	return ret ? ret : take(kv, &far, create->far_bytes);
}

int lkv_windows_map(struct libkvoff *kv)
{
	unsigned int tier;

	for (tier = 0; tier < KVOFF_MAX_TIERS; tier++) {
		struct lkv_window *window = &kv->window[tier];

		if (!window->bytes)
			continue;
		window->base = lkv_map_data(kv, KVOFF_OFF_WINDOW(tier), window->bytes);
		if (!window->base)
			return -errno;
	}
	return 0;
}

void lkv_windows_unmap(struct libkvoff *kv)
{
	unsigned int tier;

	for (tier = 0; tier < KVOFF_MAX_TIERS; tier++)
		if (kv->window[tier].base)
			munmap(kv->window[tier].base, kv->window[tier].bytes);
}

int libkvoff_windows(struct libkvoff *kv, size_t chunk, struct libkvoff_window *out, size_t n)
{
	uint64_t offset, piece;
	unsigned int tier;
	size_t nr = 0;

	if (!kv->framed)
		return lkv_fail(EOPNOTSUPP, "kvoff: %s: windows: a mapped region has none: its pages move. Open it "
				"with "
				"LIBKVOFF_OPEN_FRAMED", kv->name);
	if (chunk & ((UINT64_C(1) << kv->block_shift) - 1) || (n && !out))
		return lkv_fail(EINVAL, "kvoff: %s: windows: pieces of %zu bytes must be a multiple of the block "
				"size (%" PRIu64
				"), and there must be a place for them", kv->name, chunk,
				UINT64_C(1) << kv->block_shift);
	for (tier = 0; tier < KVOFF_MAX_TIERS; tier++)
		for (offset = 0; offset < kv->window[tier].bytes; offset += piece) {
			piece = kv->window[tier].bytes - offset;
			if (chunk && piece > chunk)
				piece = chunk;
			if (nr < n)
				out[nr] = (struct libkvoff_window){
					.addr = kv->window[tier].base + offset, .len = piece, .tier = (int)tier
				};
			nr++;
		}
	if (nr > INT_MAX)
		return lkv_fail(EINVAL, "kvoff: %s: windows: too many pieces of %zu bytes", kv->name, chunk);
	return (int)nr;
}
