/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A set of block numbers with a summary above it, so that finding members does not look at every word. */
#ifndef LKV_BITMAP_H
#define LKV_BITMAP_H

#include <stdbool.h>
#include <stdint.h>

#define LKV_BIT_NONE UINT64_MAX

/**
 * struct lkv_bitmap - the set
 * @word:	bit n of the set
 * @sum:	bit n: @word[n] is not zero
 * @nr:		numbers are below this
 * @count:	members
 */
struct lkv_bitmap {
	uint64_t *word;
	uint64_t *sum;
	uint64_t nr;
	uint64_t count;
};

/* 0 or -ENOMEM. The memory is taken when it is used. */
int lkv_bitmap_init(struct lkv_bitmap *map, uint64_t nr);
void lkv_bitmap_destroy(struct lkv_bitmap *map);

bool lkv_bitmap_test(const struct lkv_bitmap *map, uint64_t n);
void lkv_bitmap_set(struct lkv_bitmap *map, uint64_t n);
void lkv_bitmap_clear(struct lkv_bitmap *map, uint64_t n);

/* The lowest member from @from to @below - 1, the highest member below @below; LKV_BIT_NONE if there is none. */
uint64_t lkv_bitmap_next(const struct lkv_bitmap *map, uint64_t from, uint64_t below);
uint64_t lkv_bitmap_prev(const struct lkv_bitmap *map, uint64_t below);

#endif
