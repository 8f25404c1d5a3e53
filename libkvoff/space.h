/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which part of an address range is taken: two-level segregated fit, with its book outside the range (what lies there
 * is a tenant's data, and far away). Knows nothing of memory or commits; the caller locks.
 */
#ifndef LKV_SPACE_H
#define LKV_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Everything starts at, and is a multiple of, so many bytes. */
#define LKV_GRAIN_SHIFT	 6
#define LKV_GRAIN	 (UINT64_C(1) << LKV_GRAIN_SHIFT)

/* Size classes: 32 to a power of two, for up to 2^46 bytes. */
#define LKV_SUB_SHIFT	 5
#define LKV_SUB		 (1U << LKV_SUB_SHIFT)
#define LKV_CLASS_GROUPS 38
#define LKV_CLASSES	 (LKV_CLASS_GROUPS * LKV_SUB)

/* The table from address to span grows bucket by bucket; segment k > 0 doubles what the segments before it hold. */
#define LKV_FIRST_BUCKETS 512U
#define LKV_SEGMENTS	  23

/**
 * struct lkv_span - a run of addresses, taken or free; two free ones never touch
 * @start:	offset in the region, a multiple of LKV_GRAIN
 * @size:	bytes, a multiple of LKV_GRAIN
 * @asked:	bytes that the caller wanted of a taken span; 0 says that it is free
 * @below:	the span that ends where this starts
 * @above:	the span that starts where this ends
 * @next:	taken: next of the bucket; free: next of the class; unused descriptors: next of these
 * @prev:	free only
 */
struct lkv_span {
	uint64_t start;
	uint64_t size;
	uint64_t asked;
	struct lkv_span *below;
	struct lkv_span *above;
	struct lkv_span *next;
	struct lkv_span *prev;
};

/**
 * struct lkv_space - the book of one range
 * @base:	address of offset 0, for alignments
 * @block:	bytes of a block
 * @groups:	bit g: @subs[g] is not zero
 * @subs:	bit s of g: class g * LKV_SUB + s has a span
 * @class:	the free spans of a class, the latest freed first
 * @unused:	spare descriptors; @nr_unused of them
 * @slabs:	where descriptors came from, linked through their first word
 * @segment:	buckets of the table of taken spans; @nr_buckets in all
 * @nr_taken:	taken spans
 */
struct lkv_space {
	uintptr_t base;
	uint64_t block;
	uint64_t groups;
	uint32_t subs[LKV_CLASS_GROUPS];
	struct lkv_span *class[LKV_CLASSES];
	struct lkv_span *unused;
	size_t nr_unused;
	void *slabs;
	struct lkv_span **segment[LKV_SEGMENTS];
	uint64_t nr_buckets;
	uint64_t nr_taken;
};

/**
 * struct lkv_place - a place for a request in a free span
 * @span:	free, and big enough
 * @start:	where the request would start
 * @size:	bytes it takes
 */
struct lkv_place {
	struct lkv_span *span;
	uint64_t start;
	uint64_t size;
};

/* 0 or -ENOMEM; lkv_space_destroy() in both cases. */
int lkv_space_init(struct lkv_space *space, uintptr_t base, uint64_t length, uint64_t block);
void lkv_space_destroy(struct lkv_space *space);

/* Finds room, changes nothing. Takes a bounded number of steps, except before it returns false. */
bool lkv_space_find(struct lkv_space *space, uint64_t asked, uint64_t align, struct lkv_place *place);

/* Takes the place that the last lkv_space_find() found. 0, or -ENOMEM and nothing changed. */
int lkv_space_take(struct lkv_space *space, const struct lkv_place *place, uint64_t asked);

/* The taken span that starts at @start, or NULL. */
struct lkv_span *lkv_space_lookup(struct lkv_space *space, uint64_t start);

/* Frees a taken span; returns the free span it is now part of. */
struct lkv_span *lkv_space_give(struct lkv_space *space, struct lkv_span *span);

#endif
