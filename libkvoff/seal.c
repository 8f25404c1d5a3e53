// SPDX-License-Identifier: LGPL-2.1-or-later
/* Blocks that are complete, and the units they make. */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "blocks.h"

_Static_assert(LIBKVOFF_TAG_LEN == KVOFF_TAG_LEN, "tags in the library's header and the kernel's");
_Static_assert(sizeof(struct libkvoff_unit) == sizeof(struct kvoff_unit) &&
	       offsetof(struct libkvoff_unit, nr) == offsetof(struct kvoff_unit, nr) &&
	       offsetof(struct libkvoff_unit, tag) == offsetof(struct kvoff_unit, tag), "units are filled in place");

/* The most that a call of the kernel lists. */
#define UNITS_MAX 1024

static const char *reason(int err)
{
	switch (err) {
	case ENODATA:
		return "it has no memory yet";
	case EBUSY:
		return "direct I/O or the like has it pinned, and may write to it";
	case EIO:
		return "its bytes are lost to a memory error: discard or free it";
	default:
		return strerrordesc_np(err);
	}
}

static int seal_blocks(struct libkvoff *kv, uint64_t first, uint64_t nr, const void *tag)
{
	uint64_t sealed = 0;
	int ret = kv->backend->seal(kv, first, nr, tag, &sealed);

	switch (ret) {
	case 0:
		return 0;
	case -EEXIST:
		return lkv_fail(EEXIST, "kvoff: %s: seal of blocks %" PRIu64 " to %" PRIu64 " as a unit: one of them "
				"belongs to a unit "
				"already: nothing was done", kv->name, first, first + nr - 1);
	case -ENOTSUP:
	case -ENOTTY:
		return lkv_fail(ENOTSUP, "kvoff: %s: seal: %s", kv->name, kv->backend == &lkv_fallback ?
				"plain memory (LIBKVOFF_FALLBACK=1) keeps no tags" :
				"this kernel module is of a version that knows no seals");
	}
	return lkv_fail(-ret, "kvoff: %s: seal of blocks %" PRIu64 " to %" PRIu64 ": block %" PRIu64 ": %s: those "
			"before it are "
			"sealed", kv->name, first, first + nr - 1, first + sealed, reason(-ret));
}

static int seal_run(struct libkvoff *kv, uint64_t first, uint64_t nr)
{
	return seal_blocks(kv, first, nr, NULL);
}

int libkvoff_seal(struct libkvoff *kv, const uint64_t *index, size_t n)
{
	struct lkv_blocks blocks;
	int ret = lkv_blocks_live(kv, "seal", index, n, &blocks);

	return ret ? ret : lkv_blocks_runs(kv, &blocks, seal_run);
}

int libkvoff_seal_ptr(struct libkvoff *kv, void *ptr, size_t len)
{
	struct lkv_blocks blocks;
	int ret = lkv_blocks_whole(kv, "seal", ptr, len, &blocks);

	return ret ? ret : seal_run(kv, blocks.first, blocks.n);
}

int libkvoff_seal_tagged(struct libkvoff *kv, uint64_t first, uint64_t nr, const void *tag)
{
	struct lkv_blocks blocks;
	int ret = lkv_blocks_live(kv, "seal", &first, 1, &blocks);

	if (ret)
		return ret;
	if (!nr || !tag)
		return lkv_fail(EINVAL, "kvoff: %s: seal: a unit needs a block at least, and a tag", kv->name);
	first = lkv_block(&blocks, 0);
	if (nr > kv->nr_blocks - first)
		return lkv_fail(ERANGE,
				"kvoff: %s: seal: %" PRIu64 " blocks from %" PRIu64 " reach outside the region, "
				"which has %" PRIu64
				" blocks: nothing was done", kv->name, nr, first, kv->nr_blocks);
	return seal_blocks(kv, first, nr, tag);
}

int libkvoff_units(struct libkvoff *kv, uint64_t from, struct libkvoff_unit *out, size_t n)
{
	size_t nr = 0, i;
	int ret;

	if (n && !out)
		return lkv_fail(EINVAL, "kvoff: %s: units: no place for them (NULL)", kv->name);
	if (kv->framed)
		from &= LKV_HANDLE_INDEX;
	if (n > INT_MAX)
		n = INT_MAX;
	while (nr < n) {
		uint32_t want = n - nr < UNITS_MAX ? (uint32_t)(n - nr) : UNITS_MAX;

		ret = kv->backend->units(kv, from, (struct kvoff_unit *)(out + nr), want);
		if (ret == -ENOTTY || ret == -ENOTSUP)
			return lkv_fail(ENOTSUP, "kvoff: %s: units: %s", kv->name, kv->backend == &lkv_fallback ?
					"plain memory (LIBKVOFF_FALLBACK=1) keeps no tags" :
					"this kernel module is of a version that knows none");
		if (ret < 0)
			return lkv_fail(-ret, "kvoff: %s: units: %s", kv->name, strerrordesc_np(-ret));
		if (!ret)
			break;
		nr += (size_t)ret;
		from = out[nr - 1].first + 1;
		if ((uint32_t)ret < want)
			break;
	}
	for (i = 0; i < nr && kv->framed; i++)
		out[i].first = lkv_handle(out[i].first, lkv_location(kv, out[i].first));
	return (int)nr;
}
