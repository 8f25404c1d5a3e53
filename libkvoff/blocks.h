/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which blocks a call is about: an array of indices, or a run. */
#ifndef LKV_BLOCKS_H
#define LKV_BLOCKS_H

#include "region.h"

/**
 * struct lkv_blocks - the argument of a call
 * @index:	indices, or handles, or NULL: then @first and its followers
 * @mask:	what of @index is index
 * @n:		how many
 */
struct lkv_blocks {
	const uint64_t *index;
	uint64_t mask;
	uint64_t first;
	size_t n;
};

static inline uint64_t lkv_block(const struct lkv_blocks *blocks, size_t i)
{
	return blocks->index ? blocks->index[i] & blocks->mask : blocks->first + i;
}

/* The region can be written; 0, or -EACCES with a message about @call. */
int lkv_check_access(struct libkvoff *kv, const char *call);

/* Checks them; 0, or -errno with a message about @call, which writes to the region unless @reads. */
int lkv_blocks_index(struct libkvoff *kv, const char *call, bool reads, const uint64_t *index, size_t n,
		     struct lkv_blocks *blocks);
int lkv_blocks_range(struct libkvoff *kv, const char *call, bool reads, const void *ptr, size_t len,
		     struct lkv_blocks *blocks);

/* True unless entry @i is a handle whose block had this location a moment ago, and was freed. */
static inline bool lkv_blocks_current(const struct libkvoff *kv, const struct lkv_blocks *blocks, size_t i,
				      uint64_t location)
{
	return !kv->framed || !blocks->index || lkv_is_current(blocks->index[i], location);
}

/* -ESTALE, with a message about entry @i; @what was done. */
int lkv_blocks_stale(struct libkvoff *kv, const char *call, const struct lkv_blocks *blocks, size_t i,
		     const char *what);

/* The same as lkv_blocks_index(), and no handle is stale. */
int lkv_blocks_live(struct libkvoff *kv, const char *call, const uint64_t *index, size_t n, struct lkv_blocks *blocks);

/* Hints that they will be used soon. */
void lkv_blocks_prefetch(struct libkvoff *kv, const struct lkv_blocks *blocks);

/* The range is whole blocks; 0, or -errno with a message. */
int lkv_blocks_whole(struct libkvoff *kv, const char *call, const void *ptr, size_t len, struct lkv_blocks *blocks);

/* Calls @run for the blocks in ascending order, neighbours in one call, until it fails; returns what it returned. */
int lkv_blocks_runs(struct libkvoff *kv, const struct lkv_blocks *blocks,
		    int (*run)(struct libkvoff *kv, uint64_t first, uint64_t nr));

#endif
