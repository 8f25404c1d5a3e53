// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * References: "this block stays where it is", by the rule in kvoff.h. All the kernel asks of an entry is whether it
 * is zero; the rest of its bits are ours:
 *
 *	bits 0-30	references of this process
 *	bit 31		ENDING: a release took the last of them and has not finished with its other blocks
 *
 * Thus a release that finds one of its blocks not acquired can put back what it took, and none of them was ever free
 * to move.
 */
#include <inttypes.h>
#include <string.h>

#include "blocks.h"

#define ENDING	 (UINT32_C(1) << 31)
#define REFS_MAX (ENDING - 1)

/* A reference more, unless that overflows. */
static bool take(uint32_t *refs)
{
	uint32_t old = __atomic_load_n(refs, __ATOMIC_RELAXED);

	do {
		if ((old & REFS_MAX) == REFS_MAX)
			return false;
	} while (!__atomic_compare_exchange_n(refs, &old, old + 1, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
	return true;
}

/* One less, of which there is one. What was read and written under the reference comes before. */
static void drop(uint32_t *refs)
{
	__atomic_fetch_sub(refs, 1, __ATOMIC_RELEASE);
}

/* The block was being flipped: steps back until that is over, and tries again. 0 with a reference, -errno without. */
static int take_again(struct libkvoff *kv, uint64_t block, uint64_t *location)
{
	uint32_t *refs = &kv->refs[block];
	int ret;

	do {
		drop(refs);
		ret = kv->backend->settle(kv, block);
		if (ret < 0)
			return lkv_fail(-ret, "kvoff: %s: acquire: waiting for the move of block %" PRIu64 " failed: %s",
					kv->name, block, strerrordesc_np(-ret));
		if (!take(refs))
			return lkv_fail(EOVERFLOW, "kvoff: %s: acquire: block %" PRIu64 " has %" PRIu32
					" references of this process: no more fit", kv->name, block, REFS_MAX);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		*location = lkv_location(kv, block);
	} while (*location & KVOFF_STATE_MOVING);
	return 0;
}

static int poisoned(struct libkvoff *kv, uint64_t block)
{
	return lkv_fail(EIO, "kvoff: %s: acquire: the bytes of block %" PRIu64 " are lost to a memory error: discard "
			"or free it; "
			"nothing was done", kv->name, block);
}

/* Where an acquired block's bytes are; NULL if that is not mapped here. */
static char *address(const struct libkvoff *kv, uint64_t block, uint64_t location)
{
	const struct lkv_window *window;
	uint64_t offset;

	if (!kv->framed)
		return kv->base + (block << kv->block_shift);
	window = &kv->window[KVOFF_LOC_TIER(location) % KVOFF_MAX_TIERS];
	offset = (uint64_t)KVOFF_LOC_FRAME(location) << kv->block_shift;
	return offset < window->bytes ? window->base + offset : NULL;
}

static int not_mapped(struct libkvoff *kv, uint64_t block)
{
	return lkv_fail(ENXIO, "kvoff: %s: acquire: block %" PRIu64 " is in a part of a window that was added after "
			"this "
			"process attached: attach again; nothing was done", kv->name, block);
}

/*
 * Orders what was counted in before what is looked at next. Where an atomic read-modify-write is a full barrier by
 * itself, only the compiler has to be told.
 */
static inline void fence_after_take(void)
{
#ifdef __x86_64__
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/*
 * The loops over all blocks are compiled once for an array of indices and once for a run, and work on a copy of struct
 * lkv_blocks that nothing else can see: each atomic operation may change everything else.
 */
#define each_kind(blocks, loop, ...) \
	((blocks).index ? loop(blocks, true, ##__VA_ARGS__) : loop(blocks, false, ##__VA_ARGS__))
#define always_inline inline __attribute__((always_inline))

static always_inline uint64_t nth(const struct lkv_blocks *blocks, bool listed, size_t i)
{
	return listed ? blocks->index[i] & blocks->mask : blocks->first + i;
}

/* Counts all in, or as many as have room for it; how many. */
static always_inline size_t take_each(const struct lkv_blocks blocks, bool listed, uint32_t *refs)
{
	size_t i;

	for (i = 0; i < blocks.n && take(&refs[nth(&blocks, listed, i)]); i++)
		;
	return i;
}

/* How many blocks, from @i on, there is nothing to be said of. */
static always_inline size_t skip_quiet(const struct lkv_blocks blocks, bool listed, const struct kvoff_state *state,
				       size_t i)
{
	for (; i < blocks.n; i++)
		if (__atomic_load_n(&state[nth(&blocks, listed, i)].location, __ATOMIC_ACQUIRE) &
		    (KVOFF_STATE_MOVING | KVOFF_STATE_POISONED))
			break;
	return i;
}

/* Gives back the first @taken references, but for entry @but. */
static void drop_all(struct libkvoff *kv, const struct lkv_blocks *blocks, size_t taken, size_t but)
{
	while (taken-- > 0)
		if (taken != but)
			drop(&kv->refs[lkv_block(blocks, taken)]);
}

/* Block @i is counted in: sees to it that it stays, and where. On failure all references are given back. */
static int look(struct libkvoff *kv, const struct lkv_blocks *blocks, size_t i, void **addr)
{
	uint64_t block = lkv_block(blocks, i), location = lkv_location(kv, block);
	int ret = 0;

	if (location & KVOFF_STATE_MOVING) {
		ret = take_again(kv, block, &location);
		if (ret) {
			drop_all(kv, blocks, blocks->n, i);
			return ret;
		}
	}
	/* from here on it stays; a block that was freed has another generation or is not there */
	if (!lkv_blocks_current(kv, blocks, i, location)) {
		ret = lkv_blocks_stale(kv, "acquire", blocks, i, "nothing");
	} else if (location & KVOFF_STATE_POISONED) {
		ret = poisoned(kv, block);
	} else if (addr) {
		addr[i] = address(kv, block, location);
		if (!addr[i])
			ret = not_mapped(kv, block);
	}
	if (ret)
		drop_all(kv, blocks, blocks->n, SIZE_MAX);
	return ret;
}

static int acquire(struct libkvoff *kv, const struct lkv_blocks *blocks, void **addr)
{
	size_t i = each_kind(*blocks, take_each, kv->refs);
	bool all = addr || kv->framed;
	int ret = 0;

	if (i < blocks->n) {
		ret = lkv_fail(EOVERFLOW,
			       "kvoff: %s: acquire: block %" PRIu64 " has %" PRIu32
			       " references of this process: no more fit, nothing was done",
			       kv->name, lkv_block(blocks, i), REFS_MAX);
		drop_all(kv, blocks, i, SIZE_MAX);
		return ret;
	}
	/* one for all: each was counted before it, and is looked at behind it */
	fence_after_take();
	for (i = 0; i < blocks->n && !ret; i++) {
		if (!all)
			i = each_kind(*blocks, skip_quiet, kv->state, i);
		if (i < blocks->n)
			ret = look(kv, blocks, i, addr);
	}
	return ret;
}

int libkvoff_acquire_addr(struct libkvoff *kv, const uint64_t *index, size_t n, void **addr)
{
	struct lkv_blocks blocks;
	/* a stale handle must not count, not for a moment: another block has its index now, which may move */
	int ret = lkv_blocks_live(kv, "acquire", index, n, &blocks);

	return ret ? ret : acquire(kv, &blocks, addr);
}

/* One block of a mapped region, of which there is nothing to complain: no list to go through, nothing to put back. */
static always_inline bool is_single(const struct libkvoff *kv, const uint64_t *index, size_t n)
{
	return n == 1 && index && !kv->framed && !kv->rdonly && *index < kv->nr_blocks;
}

int libkvoff_acquire(struct libkvoff *kv, const uint64_t *index, size_t n)
{
	struct lkv_blocks one;

	if (!is_single(kv, index, n) || !take(&kv->refs[*index]))
		return libkvoff_acquire_addr(kv, index, n, NULL);
	fence_after_take();
	if (!(lkv_location(kv, *index) & (KVOFF_STATE_MOVING | KVOFF_STATE_POISONED)))
		return 0;
	one = (struct lkv_blocks){ .index = index, .mask = UINT64_MAX, .n = 1 };
	return look(kv, &one, 0, NULL);
}

int libkvoff_acquire_ptr(struct libkvoff *kv, const void *ptr, size_t len)
{
	struct lkv_blocks blocks;
	int ret = lkv_blocks_range(kv, "acquire", false, ptr, len, &blocks);

	return ret ? ret : acquire(kv, &blocks, NULL);
}

/*
 * Takes a reference of the caller's away, but leaves the entry other than zero, unless it is the @last of a call: then
 * nothing will have to be put back. False if there is none.
 */
static always_inline bool begin_end(uint32_t *refs, bool last)
{
	uint32_t old = __atomic_load_n(refs, __ATOMIC_RELAXED), new;

	do {
		if (!(old & REFS_MAX))
			return false;
		new = old == 1 && !last ? ENDING : old - 1;
	} while (!__atomic_compare_exchange_n(refs, &old, new, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
	return true;
}

static void undo_end(uint32_t *refs)
{
	uint32_t old = __atomic_load_n(refs, __ATOMIC_RELAXED);

	while (!__atomic_compare_exchange_n(refs, &old, (old & REFS_MAX) + 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

static void end(uint32_t *refs)
{
	if (__atomic_load_n(refs, __ATOMIC_RELAXED) & ENDING)
		__atomic_fetch_and(refs, ~ENDING, __ATOMIC_RELEASE);
}

/* Releases all, which is not none, or nothing; the entry that is not acquired, or their number. */
static always_inline size_t release_each(const struct lkv_blocks blocks, bool listed, uint32_t *refs)
{
	size_t i, last = blocks.n - 1;

	for (i = 0; i < last; i++)
		if (!begin_end(&refs[nth(&blocks, listed, i)], false))
			goto err_undo;
	if (!begin_end(&refs[nth(&blocks, listed, last)], true))
		goto err_undo;
	for (i = 0; i < last; i++)
		end(&refs[nth(&blocks, listed, i)]);
	return blocks.n;

err_undo:
	for (last = i; last-- > 0;)
		undo_end(&refs[nth(&blocks, listed, last)]);
	return i;
}

static int release(struct libkvoff *kv, const struct lkv_blocks *blocks)
{
	size_t done = blocks->n ? each_kind(*blocks, release_each, kv->refs) : 0;

	if (done == blocks->n)
		return 0;
	return lkv_fail(EINVAL,
			"kvoff: %s: release: block %" PRIu64 " (entry %zu of %zu) is not acquired so often by this process: "
			"nothing was done",
			kv->name, lkv_block(blocks, done), done, blocks->n);
}

int libkvoff_release(struct libkvoff *kv, const uint64_t *index, size_t n)
{
	struct lkv_blocks blocks;
	int ret;

	if (is_single(kv, index, n) && begin_end(&kv->refs[*index], true))
		return 0;
	/* a block that is acquired is not freed: where the handle is stale, the references are those of another */
	ret = lkv_blocks_live(kv, "release", index, n, &blocks);
	return ret ? ret : release(kv, &blocks);
}

int libkvoff_release_ptr(struct libkvoff *kv, const void *ptr, size_t len)
{
	struct lkv_blocks blocks;
	int ret = lkv_blocks_range(kv, "release", false, ptr, len, &blocks);

	return ret ? ret : release(kv, &blocks);
}
