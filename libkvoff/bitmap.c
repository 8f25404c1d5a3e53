// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <sys/mman.h>

#include "bitmap.h"
#include "region.h"

static uint64_t words(uint64_t bits)
{
	return (bits + 63) / 64;
}

int lkv_bitmap_init(struct lkv_bitmap *map, uint64_t nr)
{
	map->nr = nr;
	map->word = lkv_pages(words(nr) * 8);
	map->sum = lkv_pages(words(words(nr)) * 8);
	return map->word && map->sum ? 0 : -ENOMEM;
}

void lkv_bitmap_destroy(struct lkv_bitmap *map)
{
	if (map->word)
		munmap(map->word, words(map->nr) * 8);
	if (map->sum)
		munmap(map->sum, words(words(map->nr)) * 8);
}

bool lkv_bitmap_test(const struct lkv_bitmap *map, uint64_t n)
{
	return map->word[n / 64] >> (n % 64) & 1;
}

void lkv_bitmap_set(struct lkv_bitmap *map, uint64_t n)
{
	if (lkv_bitmap_test(map, n))
		return;
	map->word[n / 64] |= UINT64_C(1) << (n % 64);
	map->sum[n / 4096] |= UINT64_C(1) << (n / 64 % 64);
	map->count++;
}

void lkv_bitmap_clear(struct lkv_bitmap *map, uint64_t n)
{
	if (!lkv_bitmap_test(map, n))
		return;
	map->word[n / 64] &= ~(UINT64_C(1) << (n % 64));
	if (!map->word[n / 64])
		map->sum[n / 4096] &= ~(UINT64_C(1) << (n / 64 % 64));
	map->count--;
}

static uint64_t next_in(const uint64_t *word, uint64_t from, uint64_t below)
{
	uint64_t i = from / 64, bits, n;

	if (from >= below)
		return LKV_BIT_NONE;
	bits = word[i] & (~UINT64_C(0) << (from % 64));
	while (!bits) {
		if (++i >= words(below))
			return LKV_BIT_NONE;
		bits = word[i];
	}
	n = i * 64 + (uint64_t)__builtin_ctzll(bits);
	return n < below ? n : LKV_BIT_NONE;
}

static uint64_t prev_in(const uint64_t *word, uint64_t below)
{
	uint64_t i = below / 64, bits = 0;

	if (below % 64)
		bits = word[i] & ~(~UINT64_C(0) << (below % 64));
	while (!bits) {
		if (!i--)
			return LKV_BIT_NONE;
		bits = word[i];
	}
	return i * 64 + 63 - (uint64_t)__builtin_clzll(bits);
}

uint64_t lkv_bitmap_next(const struct lkv_bitmap *map, uint64_t from, uint64_t below)
{
	uint64_t i = from / 64, bits, n;

	if (from >= below)
		return LKV_BIT_NONE;
	bits = map->word[i] & (~UINT64_C(0) << (from % 64));
	if (!bits) {
		i = next_in(map->sum, i + 1, words(below));
		if (i == LKV_BIT_NONE)
			return i;
		bits = map->word[i];
	}
	n = i * 64 + (uint64_t)__builtin_ctzll(bits);
	return n < below ? n : LKV_BIT_NONE;
}

uint64_t lkv_bitmap_prev(const struct lkv_bitmap *map, uint64_t below)
{
	uint64_t i = below / 64, bits = 0;

	if (below % 64)
		bits = map->word[i] & ~(~UINT64_C(0) << (below % 64));
	if (bits)
		return i * 64 + 63 - (uint64_t)__builtin_clzll(bits);
	i = prev_in(map->sum, i);
	return i == LKV_BIT_NONE ? i : i * 64 + 63 - (uint64_t)__builtin_clzll(map->word[i]);
}
