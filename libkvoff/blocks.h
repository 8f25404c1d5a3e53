/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which blocks a call is about: an array of indices, or a run. */
#ifndef LKV_BLOCKS_H
#define LKV_BLOCKS_H

#include "region.h"

/**
 * struct lkv_blocks - the argument of a call
 * @index:	indices, or NULL: then @first and its followers
 * @n:		how many
 */
struct lkv_blocks {
	const uint64_t *index;
	uint64_t first;
	size_t n;
};

static inline uint64_t lkv_block(const struct lkv_blocks *blocks, size_t i)
{
	return blocks->index ? blocks->index[i] : blocks->first + i;
}

/* Checks them; 0, or -errno with a message about @call, which writes to the region unless @reads. */
int lkv_blocks_index(struct libkvoff *kv, const char *call, bool reads, const uint64_t *index, size_t n,
		     struct lkv_blocks *blocks);
int lkv_blocks_range(struct libkvoff *kv, const char *call, bool reads, const void *ptr, size_t len,
		     struct lkv_blocks *blocks);

#endif
