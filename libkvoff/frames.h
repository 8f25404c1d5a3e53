/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The book of a framed region: which block indices are free. Only the process that allocates has one. */
#ifndef LKV_FRAMES_H
#define LKV_FRAMES_H

#include <pthread.h>
#include <stdint.h>

#include "bitmap.h"

struct libkvoff;

/**
 * struct lkv_frames - the book
 * @lock:	everything here
 * @free:	indices that no block has, those from @limit on only where one was freed
 * @leaving:	indices whose block is being freed now: freeing it twice at once must not free its successor
 * @taken:	blocks that are not free
 * @limit:	as many as there are frames: more indices are never needed, and the arrays stay small
 * @next:	where the search begins: going round makes it long until an index, and its generation, comes again
 */
struct lkv_frames {
	pthread_mutex_t lock;
	struct lkv_bitmap free;
	struct lkv_bitmap leaving;
	uint64_t taken;
	uint64_t limit;
	uint64_t next;
};

/* 0, or -errno with a message; sets kv->frames. Blocks that have a frame are taken. */
int lkv_frames_create(struct libkvoff *kv);
void lkv_frames_destroy(struct libkvoff *kv);

/* How many blocks are not free. */
uint64_t lkv_frames_taken(struct libkvoff *kv);

#endif
