// SPDX-License-Identifier: LGPL-2.1-or-later
/* What is said and asked of blocks without a system call, and discard. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "blocks.h"

static int check_access(struct libkvoff *kv, const char *call, bool reads)
{
	if (kv->rdonly && !reads)
		return lkv_fail(EACCES, "kvoff: %s: %s: attached read-only: attach without LIBKVOFF_OPEN_RDONLY", kv->name,
				call);
	return 0;
}

int lkv_blocks_index(struct libkvoff *kv, const char *call, bool reads, const uint64_t *index, size_t n,
		     struct lkv_blocks *blocks)
{
	uint64_t bad = 0;
	size_t i;
	int ret;

	ret = check_access(kv, call, reads);
	if (ret)
		return ret;
	if (n && !index)
		return lkv_fail(EINVAL, "kvoff: %s: %s: %zu blocks, but no array of indices (NULL)", kv->name, call, n);
	*blocks = (struct lkv_blocks){ .index = index, .n = n };
	for (i = 0; i < n; i++)
		bad |= index[i] >= kv->nr_blocks;
	if (!bad)
		return 0;
	for (i = 0; index[i] < kv->nr_blocks; i++)
		;
	return lkv_fail(ERANGE,
			"kvoff: %s: %s: index %" PRIu64 " (entry %zu of %zu) is outside the region, which has %" PRIu64
			" blocks: nothing was done",
			kv->name, call, index[i], i, n, kv->nr_blocks);
}

int lkv_blocks_range(struct libkvoff *kv, const char *call, bool reads, const void *ptr, size_t len,
		     struct lkv_blocks *blocks)
{
	uint64_t offset = libkvoff_offset(kv, ptr);
	int ret;

	ret = check_access(kv, call, reads);
	if (ret)
		return ret;
	if (!len)
		return lkv_fail(EINVAL, "kvoff: %s: %s: the range at %p is empty (length 0)", kv->name, call, ptr);
	if (offset == UINT64_MAX || len > kv->length - offset)
		return lkv_fail(ERANGE,
				"kvoff: %s: %s: the %zu bytes at %p are not in the region, which is mapped from %p to %p: "
				"nothing was done",
				kv->name, call, len, ptr, (void *)kv->base, (void *)(kv->base + kv->length));
	*blocks = (struct lkv_blocks){
		.first = offset >> kv->block_shift,
		.n = ((offset + len - 1) >> kv->block_shift) - (offset >> kv->block_shift) + 1,
	};
	return 0;
}

/* ------------------------------------------------------------------ hints */

/* Writes only what changes: the line stays shared between those who say the same again and again. */
static void change_bits(uint32_t *bits, uint32_t clear, uint32_t set)
{
	uint32_t old = __atomic_load_n(bits, __ATOMIC_RELAXED), new;

	do {
		new = (old & ~clear) | set;
		if (new == old)
			return;
	} while (!__atomic_compare_exchange_n(bits, &old, new, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

static void say(struct libkvoff *kv, const struct lkv_blocks *blocks, uint32_t clear, uint32_t set)
{
	size_t i;

	for (i = 0; i < blocks->n; i++)
		change_bits(&kv->hint[lkv_block(blocks, i)].bits, clear, set);
}

static void touch(struct libkvoff *kv, const struct lkv_blocks *blocks)
{
	struct kvoff_hint *hint;
	size_t i;

	for (i = 0; i < blocks->n; i++) {
		hint = &kv->hint[lkv_block(blocks, i)];
		__atomic_fetch_add(&hint->touches, 1, __ATOMIC_RELAXED);
		change_bits(&hint->bits, KVOFF_HINT_PREFETCH | KVOFF_HINT_COLD | KVOFF_HINT_DONE, 0);
	}
}

int libkvoff_touch(struct libkvoff *kv, const uint64_t *index, size_t n)
{
	struct lkv_blocks blocks;
	int ret = lkv_blocks_index(kv, "touch", false, index, n, &blocks);

	if (!ret)
		touch(kv, &blocks);
	return ret;
}

int libkvoff_touch_ptr(struct libkvoff *kv, const void *ptr, size_t len)
{
	struct lkv_blocks blocks;
	int ret = lkv_blocks_range(kv, "touch", false, ptr, len, &blocks);

	if (!ret)
		touch(kv, &blocks);
	return ret;
}

int libkvoff_prefetch(struct libkvoff *kv, const uint64_t *index, size_t n)
{
	struct lkv_blocks blocks;
	int ret = lkv_blocks_index(kv, "prefetch", false, index, n, &blocks);

	if (!ret)
		say(kv, &blocks, KVOFF_HINT_COLD | KVOFF_HINT_DONE, KVOFF_HINT_PREFETCH);
	return ret;
}

int libkvoff_prefetch_ptr(struct libkvoff *kv, const void *ptr, size_t len)
{
	struct lkv_blocks blocks;
	int ret = lkv_blocks_range(kv, "prefetch", false, ptr, len, &blocks);

	if (!ret)
		say(kv, &blocks, KVOFF_HINT_COLD | KVOFF_HINT_DONE, KVOFF_HINT_PREFETCH);
	return ret;
}

static int hint(struct libkvoff *kv, const struct lkv_blocks *blocks, enum libkvoff_hint what)
{
	switch (what) {
	case LIBKVOFF_HINT_NORMAL:
		say(kv, blocks, KVOFF_HINT_PREFETCH | KVOFF_HINT_COLD | KVOFF_HINT_SHARED | KVOFF_HINT_DONE, 0);
		return 0;
	case LIBKVOFF_HINT_COLD:
		say(kv, blocks, KVOFF_HINT_PREFETCH, KVOFF_HINT_COLD);
		return 0;
	case LIBKVOFF_HINT_SHARED:
		say(kv, blocks, 0, KVOFF_HINT_SHARED);
		return 0;
	case LIBKVOFF_HINT_DONE:
		say(kv, blocks, KVOFF_HINT_PREFETCH, KVOFF_HINT_DONE);
		return 0;
	}
	return lkv_fail(EINVAL, "kvoff: %s: hint: %d is no hint: see enum libkvoff_hint", kv->name, (int)what);
}

int libkvoff_hint(struct libkvoff *kv, const uint64_t *index, size_t n, enum libkvoff_hint what)
{
	struct lkv_blocks blocks;
	int ret = lkv_blocks_index(kv, "hint", false, index, n, &blocks);

	return ret ? ret : hint(kv, &blocks, what);
}

int libkvoff_hint_ptr(struct libkvoff *kv, const void *ptr, size_t len, enum libkvoff_hint what)
{
	struct lkv_blocks blocks;
	int ret = lkv_blocks_range(kv, "hint", false, ptr, len, &blocks);

	return ret ? ret : hint(kv, &blocks, what);
}

/* ------------------------------------------------------------------ discard */

static int discard_run(struct libkvoff *kv, uint64_t first, uint64_t nr)
{
	int ret = kv->backend->discard(kv, first, nr);

	if (!ret)
		return 0;
	return lkv_fail(-ret, "kvoff: %s: discard of blocks %" PRIu64 " to %" PRIu64 " failed: %s: blocks before them were "
			"discarded", kv->name, first, first + nr - 1, strerrordesc_np(-ret));
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int libkvoff_discard(struct libkvoff *kv, const uint64_t *index, size_t n)
{
	struct lkv_blocks blocks;
	uint64_t *sorted = NULL;
	size_t i, end;
	int ret = lkv_blocks_index(kv, "discard", false, index, n, &blocks);

	if (ret)
		return ret;
	for (i = 1; i < n && index[i - 1] < index[i]; i++)
		;
	/* in order, neighbours go in one call; without memory to sort it takes more calls */
	if (i < n) {
		sorted = malloc(n * sizeof(*sorted));
		if (sorted) {
			memcpy(sorted, index, n * sizeof(*sorted));
			qsort(sorted, n, sizeof(*sorted), compare);
			index = sorted;
		}
	}
	for (i = 0; i < n && !ret; i = end) {
		for (end = i + 1; end < n && index[end] - index[end - 1] <= 1; end++)
			;
		ret = discard_run(kv, index[i], index[end - 1] - index[i] + 1);
	}
	free(sorted);
	return ret;
}

int libkvoff_discard_ptr(struct libkvoff *kv, void *ptr, size_t len)
{
	uint64_t offset = libkvoff_offset(kv, ptr), rest = (UINT64_C(1) << kv->block_shift) - 1;
	struct lkv_blocks blocks;
	int ret = lkv_blocks_range(kv, "discard", false, ptr, len, &blocks);

	if (ret)
		return ret;
	if ((offset | len) & rest)
		return lkv_fail(EINVAL,
				"kvoff: %s: discard: the %zu bytes at %p (offset %" PRIu64 ") are not whole blocks of %" PRIu64
				" bytes: nothing was done",
				kv->name, len, ptr, offset, rest + 1);
	return discard_run(kv, blocks.first, blocks.n);
}

/* ------------------------------------------------------------------ query */

static void query(struct libkvoff *kv, const struct lkv_blocks *blocks, struct libkvoff_block *out)
{
	uint64_t location, block;
	size_t i;

	for (i = 0; i < blocks->n; i++) {
		block = lkv_block(blocks, i);
		location = __atomic_load_n(&kv->state[block].location, __ATOMIC_RELAXED);
		out[i] = (struct libkvoff_block){
			.tier = location & KVOFF_STATE_PRESENT ? (int)KVOFF_LOC_TIER(location) : -1,
			.flags = location & (KVOFF_STATE_MOVING | KVOFF_STATE_COPYING) ? LIBKVOFF_BLOCK_MOVING : 0,
			.generation = KVOFF_LOC_GEN(location),
		};
		if (kv->rdonly)
			continue;
		out[i].touches = __atomic_load_n(&kv->hint[block].touches, __ATOMIC_RELAXED);
		if (__atomic_load_n(&kv->refs[block], __ATOMIC_RELAXED))
			out[i].flags |= LIBKVOFF_BLOCK_ACQUIRED;
	}
}

int libkvoff_query(struct libkvoff *kv, const uint64_t *index, size_t n, struct libkvoff_block *out)
{
	struct lkv_blocks blocks;
	int ret = lkv_blocks_index(kv, "query", true, index, n, &blocks);

	if (!ret && n && !out)
		ret = lkv_fail(EINVAL, "kvoff: %s: query: no place for the answer (NULL)", kv->name);
	if (!ret)
		query(kv, &blocks, out);
	return ret;
}

int libkvoff_query_ptr(struct libkvoff *kv, const void *ptr, struct libkvoff_block *out)
{
	struct lkv_blocks blocks;
	int ret = lkv_blocks_range(kv, "query", true, ptr, 1, &blocks);

	if (!ret && !out)
		ret = lkv_fail(EINVAL, "kvoff: %s: query: no place for the answer (NULL)", kv->name);
	if (!ret)
		query(kv, &blocks, out);
	return ret;
}
