/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The allocator of a region: which addresses are taken (space.h), and what had to be committed for them. */
#ifndef LKV_HEAP_H
#define LKV_HEAP_H

#include <pthread.h>
#include <stdint.h>

#include "bitmap.h"
#include "space.h"

struct libkvoff;

/**
 * struct lkv_heap - the book; all counts are in blocks
 * @lock:	everything here
 * @grow_lock:	one thread at a time asks for more commit; taken before, and never while holding, @lock, so that
 *		waiting for the kernel holds up nobody who needs no more
 * @space:	which addresses are taken
 * @resident:	blocks no allocation is on that have memory still
 * @in_use:	blocks that an allocation is on
 * @committed:	what the kernel promised us; never less than @in_use + @resident.count, and never more than the
 *		kernel's own figure
 * @grown:	counts successful commits, for those who waited for @grow_lock
 * @allocated:	bytes, as asked for
 */
struct lkv_heap {
	pthread_mutex_t lock;
	pthread_mutex_t grow_lock;
	struct lkv_space space;
	struct lkv_bitmap resident;
	uint64_t in_use;
	uint64_t committed;
	uint64_t grown;
	uint64_t allocated;
};

/**
 * struct lkv_run - neighbouring blocks
 * @first:	the first
 * @nr:		how many, may be 0
 */
struct lkv_run {
	uint64_t first;
	uint64_t nr;
};

/* 0, or -errno with a message; sets kv->heap. */
int lkv_heap_create(struct libkvoff *kv);
void lkv_heap_destroy(struct libkvoff *kv);

/* commit.c, with heap->lock held, which only lkv_commit_more() drops for a while. */

/* How many blocks more must be committed before the blocks of @run, free until now, may be used; 0 if none. */
uint64_t lkv_commit_missing(struct libkvoff *kv, const struct lkv_run *run);

/* Gets @missing blocks committed, for an allocation of @size bytes: 0 (look again), or -errno with a message. */
int lkv_commit_more(struct libkvoff *kv, uint64_t missing, uint64_t size);

/* An allocation is on the blocks of @run now; none is any more. */
void lkv_commit_use(struct libkvoff *kv, const struct lkv_run *run);
void lkv_commit_unuse(struct libkvoff *kv, const struct lkv_run *run);

#endif
