/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The index that an inference server keeps of its KV blocks: which block ids it holds and where, least recently used
 * first, bounded. One thread (the one that queues requests) looks up, adds and evicts.
 */
#ifndef KVOFF_TOOLS_INDEX_H
#define KVOFF_TOOLS_INDEX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A block's content is written in so many parts, each of which can be rewritten by itself. */
#define ENTRY_PARTS	8

enum entry_state {
	ENTRY_GONE,		/* never held, or evicted */
	ENTRY_PENDING,		/* a request that is queued or running makes it */
	ENTRY_READY,		/* written */
	ENTRY_FAILED,		/* could not be allocated; gone with its last pin */
};

/**
 * struct entry - what the server knows of one block id; never freed before the index
 * @id:		the id in the trace
 * @ptr:	where the bytes are, while @state is ENTRY_READY
 * @writes:	how often any of it was written; never goes back, also when the block is evicted and made again
 * @seed:	@writes as it was when each part was last written. Both under the block's content lock
 * @pins:	queued and running requests that use it: not evicted
 * @state:	enum entry_state; PENDING becomes READY or FAILED in the request that makes the block, the rest is the
 *		queueing thread's
 * @newer, @older: in the order of use, while held
 * @next:	in the hash chain
 */
struct entry {
	uint64_t id;
	unsigned char *ptr;
	uint32_t writes;
	uint32_t seed[ENTRY_PARTS];
	atomic_uint pins;
	atomic_int state;
	struct entry *newer, *older, *next;
};

/**
 * struct index - the index
 * @bound:	evict beyond so many held blocks
 * @held:	blocks held
 * @distinct:	ids ever seen
 * @newest, @oldest: ends of the order of use
 */
struct index {
	size_t bound;
	size_t held;
	size_t distinct;
	struct entry *newest, *oldest;
	struct entry **chains;
	size_t nr_chains;
	struct entry_slab *slabs;
	size_t slab_used;
};

/* @ids: how many different ids to expect. Returns 0 or -ENOMEM. */
int index_init(struct index *x, size_t ids, size_t bound);
void index_destroy(struct index *x);

/**
 * index_use - look up a block, make it the most recently used, pin it
 * @x:		the index
 * @id:		its id
 * @hit:	out: the index held it already; else it is PENDING now and the caller has to see that it is made
 *
 * Returns NULL without memory.
 */
struct entry *index_use(struct index *x, uint64_t id, bool *hit);

/* The least recently used block that nothing pins, taken out, if the index holds more than its bound; else NULL. */
struct entry *index_evict(struct index *x);

/* Walk over what is held, the oldest first: start with NULL. */
struct entry *index_next(struct index *x, struct entry *e);

#endif
