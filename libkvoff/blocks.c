// SPDX-License-Identifier: LGPL-2.1-or-later
/* What is said and asked of blocks without a system call, and discard. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "blocks.h"

int lkv_check_access(struct libkvoff *kv, const char *call)
{
	if (kv->rdonly)
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

	ret = reads ? 0 : lkv_check_access(kv, call);
	if (ret)
		return ret;
	if (n && !index)
		return lkv_fail(EINVAL, "kvoff: %s: %s: %zu blocks, but no array of indices (NULL)", kv->name, call, n);
	*blocks = (struct lkv_blocks){ .index = index, .mask = kv->framed ? LKV_HANDLE_INDEX : UINT64_MAX, .n = n };
	for (i = 0; i < n; i++)
		bad |= (index[i] & blocks->mask) >= kv->nr_blocks;
	if (!bad)
		return 0;
	for (i = 0; (index[i] & blocks->mask) < kv->nr_blocks; i++)
		;
	return lkv_fail(ERANGE,
			"kvoff: %s: %s: index %" PRIu64 " (entry %zu of %zu) is outside the region, which has %" PRIu64
			" blocks: nothing was done",
			kv->name, call, index[i] & blocks->mask, i, n, kv->nr_blocks);
}

int lkv_blocks_stale(struct libkvoff *kv, const char *call, const struct lkv_blocks *blocks, size_t i, const char *what)
{
	return lkv_fail(ESTALE,
			"kvoff: %s: %s: the block of handle %#" PRIx64 " (index %" PRIu64 ", entry %zu of %zu) was "
			"freed: %s was done",
			kv->name, call, blocks->index[i], lkv_block(blocks, i), i, blocks->n, what);
}

int lkv_blocks_live(struct libkvoff *kv, const char *call, const uint64_t *index, size_t n, struct lkv_blocks *blocks)
{
	int ret = lkv_blocks_index(kv, call, false, index, n, blocks);
	size_t i;

	if (ret || !kv->framed)
		return ret;
	for (i = 0; i < n; i++)
		if (!lkv_is_current(index[i], lkv_location(kv, lkv_block(blocks, i))))
			return lkv_blocks_stale(kv, call, blocks, i, "nothing");
	return 0;
}

int lkv_blocks_range(struct libkvoff *kv, const char *call, bool reads, const void *ptr, size_t len,
		     struct lkv_blocks *blocks)
{
	uint64_t offset = libkvoff_offset(kv, ptr);
	int ret;

	if (kv->framed)
		return lkv_fail(EOPNOTSUPP,
				"kvoff: %s: %s: %p: a framed region's blocks have no addresses that stay: use the "
				"call that takes "
				"handles", kv->name, call, ptr);
	ret = reads ? 0 : lkv_check_access(kv, call);
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

int lkv_blocks_whole(struct libkvoff *kv, const char *call, const void *ptr, size_t len, struct lkv_blocks *blocks)
{
	uint64_t offset = libkvoff_offset(kv, ptr), rest = (UINT64_C(1) << kv->block_shift) - 1;
	int ret = lkv_blocks_range(kv, call, false, ptr, len, blocks);

	if (ret || !((offset | len) & rest))
		return ret;
	return lkv_fail(EINVAL,
			"kvoff: %s: %s: the %zu bytes at %p (offset %" PRIu64 ") are not whole blocks of %" PRIu64
			" bytes: nothing was done",
			kv->name, call, len, ptr, offset, rest + 1);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int lkv_blocks_runs(struct libkvoff *kv, const struct lkv_blocks *blocks,
		    int (*run)(struct libkvoff *kv, uint64_t first, uint64_t nr))
{
	struct lkv_blocks in_order = *blocks;
	uint64_t *sorted = NULL, first, last, next;
	size_t i, n = blocks->n;
	int ret = 0;

	for (i = 1; i < n && lkv_block(blocks, i - 1) < lkv_block(blocks, i); i++)
		;
	/* without memory to sort it takes more calls */
	if (i < n && (sorted = malloc(n * sizeof(*sorted)))) {
		for (i = 0; i < n; i++)
			sorted[i] = lkv_block(blocks, i);
		qsort(sorted, n, sizeof(*sorted), compare);
		in_order.index = sorted;
	}
	for (i = 0; i < n && !ret;) {
		first = last = lkv_block(&in_order, i);
		for (i++; i < n; i++) {
			next = lkv_block(&in_order, i);
			if (next - last > 1)
				break;
			last = next;
		}
		ret = run(kv, first, last - first + 1);
	}
	free(sorted);
	return ret;
}

/* ------------------------------------------------------------------ hints */

/* Writes only what changes: the line stays shared between those who say the same again and again. */
static uint32_t change_bits(uint32_t *bits, uint32_t clear, uint32_t set)
{
	uint32_t old = __atomic_load_n(bits, __ATOMIC_RELAXED), new;

	do {
		new = (old & ~clear) | set;
		if (new == old)
			return 0;
	} while (!__atomic_compare_exchange_n(bits, &old, new, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return old & ~new;
}

static void say(struct libkvoff *kv, const struct lkv_blocks *blocks, uint32_t clear, uint32_t set)
{
	uint32_t gone = 0;
	size_t i;

	for (i = 0; i < blocks->n; i++)
		gone |= change_bits(&kv->hint[lkv_block(blocks, i)].bits, clear, set);
	if (gone & KVOFF_HINT_PREFETCH)
		lkv_reap_wake(kv);
}

void lkv_blocks_prefetch(struct libkvoff *kv, const struct lkv_blocks *blocks)
{
	say(kv, blocks, KVOFF_HINT_COLD | KVOFF_HINT_DONE, KVOFF_HINT_PREFETCH);
}

static void touch(struct libkvoff *kv, const struct lkv_blocks *blocks)
{
	struct kvoff_hint *hint;
	uint32_t gone = 0;
	size_t i;

	for (i = 0; i < blocks->n; i++) {
		hint = &kv->hint[lkv_block(blocks, i)];
		__atomic_fetch_add(&hint->touches, 1, __ATOMIC_RELAXED);
		gone |= change_bits(&hint->bits, KVOFF_HINT_PREFETCH | KVOFF_HINT_COLD | KVOFF_HINT_DONE, 0);
	}
	if (gone & KVOFF_HINT_PREFETCH)
		lkv_reap_wake(kv);
}

int libkvoff_touch(struct libkvoff *kv, const uint64_t *index, size_t n)
{
	struct lkv_blocks blocks;
	int ret = lkv_blocks_live(kv, "touch", index, n, &blocks);

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
	int ret = lkv_blocks_live(kv, "prefetch", index, n, &blocks);

	if (!ret)
		lkv_blocks_prefetch(kv, &blocks);
	return ret;
}

int libkvoff_prefetch_ptr(struct libkvoff *kv, const void *ptr, size_t len)
{
	struct lkv_blocks blocks;
	int ret = lkv_blocks_range(kv, "prefetch", false, ptr, len, &blocks);

	if (!ret)
		lkv_blocks_prefetch(kv, &blocks);
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
	int ret = lkv_blocks_live(kv, "hint", index, n, &blocks);

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
	if (ret == -EBUSY)
		return lkv_fail(EBUSY, "kvoff: %s: discard of blocks %" PRIu64 " to %" PRIu64 ": one of them is "
				"acquired, release it "
				"first: blocks before it were discarded", kv->name, first, first + nr - 1);
	if (ret == -ENOSPC)
		return lkv_fail(ENOSPC, "kvoff: %s: discard of blocks %" PRIu64 " to %" PRIu64 ": one of them is lost to a "
				"memory error, and no window has a free frame for it: free this or another block: blocks "
				"before it were discarded", kv->name, first, first + nr - 1);
	return lkv_fail(-ret, "kvoff: %s: discard of blocks %" PRIu64 " to %" PRIu64 " failed: %s: blocks before them were "
			"discarded", kv->name, first, first + nr - 1, strerrordesc_np(-ret));
}

int libkvoff_discard(struct libkvoff *kv, const uint64_t *index, size_t n)
{
	struct lkv_blocks blocks;
	int ret = lkv_blocks_live(kv, "discard", index, n, &blocks);

	if (ret)
		return ret;
	ret = lkv_blocks_runs(kv, &blocks, discard_run);
	lkv_reap_wake(kv);
	return ret;
}

int libkvoff_discard_ptr(struct libkvoff *kv, void *ptr, size_t len)
{
	struct lkv_blocks blocks;
	int ret = lkv_blocks_whole(kv, "discard", ptr, len, &blocks);

	if (ret)
		return ret;
	ret = discard_run(kv, blocks.first, blocks.n);
	lkv_reap_wake(kv);
	return ret;
}

/* ------------------------------------------------------------------ query */

static void fill(struct libkvoff *kv, uint64_t block, uint64_t location, struct libkvoff_block *out)
{
	*out = (struct libkvoff_block){
		.tier = location & KVOFF_STATE_PRESENT ? (int)KVOFF_LOC_TIER(location) : -1,
		.flags = (location & (KVOFF_STATE_MOVING | KVOFF_STATE_COPYING) ? LIBKVOFF_BLOCK_MOVING : 0) |
			 (location & KVOFF_STATE_SEALED ? LIBKVOFF_BLOCK_SEALED : 0) |
			 (location & KVOFF_STATE_POISONED ? LIBKVOFF_BLOCK_POISONED : 0),
		.generation = KVOFF_LOC_GEN(location),
	};
	if (kv->rdonly)
		return;
	out->touches = __atomic_load_n(&kv->hint[block].touches, __ATOMIC_RELAXED);
	if (__atomic_load_n(&kv->refs[block], __ATOMIC_RELAXED))
		out->flags |= LIBKVOFF_BLOCK_ACQUIRED;
}

/* Fills all of @out, whatever it returns. */
static int query(struct libkvoff *kv, const struct lkv_blocks *blocks, struct libkvoff_block *out)
{
	size_t i, stale = SIZE_MAX, poisoned = SIZE_MAX;
	uint64_t location, block;

	for (i = 0; i < blocks->n; i++) {
		block = lkv_block(blocks, i);
		location = __atomic_load_n(&kv->state[block].location, __ATOMIC_RELAXED);
		if (lkv_blocks_current(kv, blocks, i, location)) {
			fill(kv, block, location, &out[i]);
			if (out[i].flags & LIBKVOFF_BLOCK_POISONED && poisoned == SIZE_MAX)
				poisoned = i;
		} else {
			/* nothing of what has its index now */
			out[i] = (struct libkvoff_block){ .tier = -1, .generation = KVOFF_LOC_GEN(location) };
			if (stale == SIZE_MAX)
				stale = i;
		}
	}
	if (stale != SIZE_MAX)
		return lkv_blocks_stale(kv, "query", blocks, stale, "the rest");
	if (poisoned != SIZE_MAX)
		return lkv_fail(EIO,
				"kvoff: %s: query: the bytes of block %" PRIu64 " (entry %zu of %zu) are lost to a "
				"memory error: "
				"discard or free it",
				kv->name, lkv_block(blocks, poisoned), poisoned, blocks->n);
	return 0;
}

int libkvoff_query(struct libkvoff *kv, const uint64_t *index, size_t n, struct libkvoff_block *out)
{
	struct lkv_blocks blocks;
	int ret = lkv_blocks_index(kv, "query", true, index, n, &blocks);

	if (!ret && n && !out)
		ret = lkv_fail(EINVAL, "kvoff: %s: query: no place for the answer (NULL)", kv->name);
	return ret ? ret : query(kv, &blocks, out);
}

int libkvoff_query_ptr(struct libkvoff *kv, const void *ptr, struct libkvoff_block *out)
{
	struct lkv_blocks blocks;
	int ret = lkv_blocks_range(kv, "query", true, ptr, 1, &blocks);

	if (!ret && !out)
		ret = lkv_fail(EINVAL, "kvoff: %s: query: no place for the answer (NULL)", kv->name);
	return ret ? ret : query(kv, &blocks, out);
}
