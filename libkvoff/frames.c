// SPDX-License-Identifier: LGPL-2.1-or-later
/* Giving out the blocks of a framed region, and taking them back. */
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "blocks.h"
#include "frames.h"

static uint64_t nr_frames(const struct libkvoff *kv)
{
	uint64_t bytes = 0;
	unsigned int tier;

	for (tier = 0; tier < KVOFF_MAX_TIERS; tier++)
		bytes += kv->window[tier].bytes;
	return bytes >> kv->block_shift;
}

int lkv_frames_create(struct libkvoff *kv)
{
	struct lkv_frames *frames = lkv_pages(sizeof(*frames));
	uint64_t i;

	if (!frames)
		goto err;
	kv->frames = frames;
	pthread_mutex_init(&frames->lock, NULL);
	if (lkv_bitmap_init(&frames->free, kv->nr_blocks) || lkv_bitmap_init(&frames->leaving, kv->nr_blocks))
		goto err;
	frames->limit = nr_frames(kv) < kv->nr_blocks ? nr_frames(kv) : kv->nr_blocks;
	for (i = 0; i < frames->limit; i++)
		lkv_bitmap_set(&frames->free, i);
	return 0;
err:
	return lkv_fail(ENOMEM, "kvoff: %s: no memory for the book of its blocks", kv->name);
}

void lkv_frames_destroy(struct libkvoff *kv)
{
	struct lkv_frames *frames = kv->frames;

	if (!frames)
		return;
	lkv_bitmap_destroy(&frames->free);
	lkv_bitmap_destroy(&frames->leaving);
	pthread_mutex_destroy(&frames->lock);
	munmap(frames, sizeof(*frames));
}

uint64_t lkv_frames_taken(struct libkvoff *kv)
{
	uint64_t nr;

	pthread_mutex_lock(&kv->frames->lock);
	nr = kv->frames->taken;
	pthread_mutex_unlock(&kv->frames->lock);
	return nr;
}

static int check_book(struct libkvoff *kv, const char *call)
{
	if (!kv->framed)
		return lkv_fail(EOPNOTSUPP, "kvoff: %s: %s: a mapped region has memory, not blocks to give out: "
				"libkvoff_alloc(), or "
				"open it with LIBKVOFF_OPEN_FRAMED", kv->name, call);
	if (!kv->frames)
		return lkv_fail(EPERM, "kvoff: %s: %s: this process is attached to the region, and only the one that "
				"opened it "
				"gives out blocks: have it do so, and pass on the handles", kv->name, call);
	return 0;
}

/* With the lock held; a free index is there. */
static uint64_t take_index(struct lkv_frames *frames)
{
	uint64_t index = lkv_bitmap_next(&frames->free, frames->next, frames->limit);

	if (index == LKV_BIT_NONE)
		index = lkv_bitmap_next(&frames->free, 0, frames->limit);
	if (index == LKV_BIT_NONE)
		index = lkv_bitmap_next(&frames->free, frames->limit, frames->free.nr);
	lkv_bitmap_clear(&frames->free, index);
	frames->taken++;
	frames->next = index + 1;
	return index;
}

static void give_indices(struct lkv_frames *frames, const uint64_t *index, size_t n)
{
	size_t i;

	pthread_mutex_lock(&frames->lock);
	for (i = 0; i < n; i++)
		lkv_bitmap_set(&frames->free, index[i]);
	frames->taken -= n;
	pthread_mutex_unlock(&frames->lock);
}

static int alloc_failed(struct libkvoff *kv, size_t n, size_t got, int err)
{
	char bytes[LKV_SIZE_LEN];

	if (err != ENOSPC)
		return lkv_fail(err, "kvoff: %s: giving a frame to block %zu of %zu failed: %s: nothing was done",
				kv->name, got, n,
				strerrordesc_np(err));
	return lkv_fail(ENOSPC, "kvoff: %s: no room for %zu blocks: the windows (%s) have %zu free frames: free "
			"some, or open the "
			"region with more fast_bytes or far_bytes", kv->name, n,
			lkv_size(bytes, nr_frames(kv) << kv->block_shift), got);
}

int libkvoff_block_alloc(struct libkvoff *kv, uint64_t *handle, size_t n)
{
	struct lkv_frames *frames = kv->frames;
	uint32_t batch, done;
	size_t i, got;
	int ret = check_book(kv, "block_alloc");

	if (ret)
		return ret;
	if (n && !handle)
		return lkv_fail(EINVAL, "kvoff: %s: block_alloc: no place for %zu handles (NULL)", kv->name, n);
	pthread_mutex_lock(&frames->lock);
	if (n > frames->free.count) {
		uint64_t left = frames->free.count;

		pthread_mutex_unlock(&frames->lock);
		return lkv_fail(ENOSPC, "kvoff: %s: no room for %zu blocks: %" PRIu64 " can still be had (frames "
				"%" PRIu64 ", indices %" PRIu64 "): free some, or open the region with larger windows "
				"and length", kv->name, n, left, nr_frames(kv), kv->nr_blocks);
	}
	for (i = 0; i < n; i++)
		handle[i] = take_index(frames);
	pthread_mutex_unlock(&frames->lock);
	for (got = 0; got < n; got += batch) {
		batch = n - got < KVOFF_BLOCKS_MAX ? (uint32_t)(n - got) : KVOFF_BLOCKS_MAX;
		ret = kv->backend->block_alloc(kv, handle + got, batch, &done);
		if (ret) {
			got += done < batch ? done : batch;
			goto err_free;
		}
	}
	for (i = 0; i < n; i++)
		handle[i] = lkv_handle(handle[i], lkv_location(kv, handle[i]));
	return 0;

err_free:
	/* nobody has seen these blocks: nothing holds them */
	for (i = 0; i < got; i += batch) {
		batch = got - i < KVOFF_BLOCKS_MAX ? (uint32_t)(got - i) : KVOFF_BLOCKS_MAX;
		kv->backend->block_free(kv, handle + i, batch, &done);
	}
	give_indices(frames, handle, n);
	return alloc_failed(kv, n, got, -ret);
}

/* Marks the blocks that may be freed, up to the first that may not; returns how many. */
static uint32_t claim(struct libkvoff *kv, const struct lkv_blocks *blocks, size_t from, uint64_t *index, uint32_t n)
{
	struct lkv_frames *frames = kv->frames;
	uint32_t i;

	pthread_mutex_lock(&frames->lock);
	for (i = 0; i < n; i++) {
		index[i] = lkv_block(blocks, from + i);
		if (lkv_bitmap_test(&frames->leaving, index[i]) || lkv_bitmap_test(&frames->free, index[i]) ||
		    !lkv_blocks_current(kv, blocks, from + i, lkv_location(kv, index[i])))
			break;
		lkv_bitmap_set(&frames->leaving, index[i]);
	}
	pthread_mutex_unlock(&frames->lock);
	return i;
}

static void settle_claims(struct lkv_frames *frames, const uint64_t *index, uint32_t n, uint32_t freed)
{
	uint32_t i;

	pthread_mutex_lock(&frames->lock);
	for (i = 0; i < n; i++) {
		lkv_bitmap_clear(&frames->leaving, index[i]);
		if (i < freed)
			lkv_bitmap_set(&frames->free, index[i]);
	}
	frames->taken -= freed;
	pthread_mutex_unlock(&frames->lock);
}

static int free_failed(struct libkvoff *kv, const struct lkv_blocks *blocks, size_t i, int err)
{
	if (err == ENODATA)
		return lkv_blocks_stale(kv, "block_free", blocks, i, "what is before it");
	return lkv_fail(err, "kvoff: %s: block_free of block %" PRIu64 " (entry %zu of %zu): %s: those before it "
			"were freed",
			kv->name, lkv_block(blocks, i), i, blocks->n,
			err == EBUSY ? "it is acquired, release it first" : strerrordesc_np(err));
}

#define FREE_BATCH 512

int libkvoff_block_free(struct libkvoff *kv, const uint64_t *handle, size_t n)
{
	uint64_t index[FREE_BATCH];
	struct lkv_blocks blocks;
	uint32_t claimed, batch, done;
	size_t i;
	int ret = check_book(kv, "block_free");

	if (!ret)
		ret = lkv_blocks_index(kv, "block_free", false, handle, n, &blocks);
	for (i = 0; i < n && !ret; i += batch) {
		batch = n - i < FREE_BATCH ? (uint32_t)(n - i) : FREE_BATCH;
		claimed = claim(kv, &blocks, i, index, batch);
		done = claimed;
		if (claimed)
			ret = kv->backend->block_free(kv, index, claimed, &done);
		settle_claims(kv->frames, index, claimed, ret ? done : claimed);
		if (ret)
			ret = free_failed(kv, &blocks, i + done, -ret);
		else if (claimed < batch)
			ret = lkv_blocks_stale(kv, "block_free", &blocks, i + claimed, "what is before it");
	}
	if (n)
		lkv_reap_wake(kv);
	return ret;
}
