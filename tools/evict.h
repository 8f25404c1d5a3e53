/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moving blocks out of a tier that is being drained. No lease is needed for that, and kvoffd may run or not.
 */
#ifndef KVOFF_TOOLS_EVICT_H
#define KVOFF_TOOLS_EVICT_H

#include <stdbool.h>
#include <stdint.h>

#include <kvoff.h>

#include "tools/tiers.h"

/**
 * struct evict_region - a region with blocks in the tier
 * @id:		the region's number
 * @pid:	its creator
 * @block_size:	bytes
 * @label:	the client's word
 * @nr_blocks:	length of @cancels
 * @cancels:	for each block, how often a write has cancelled its move
 * @pinned:	blocks that something in the kernel holds, in the last round; the same of the following
 * @acquired:	that a client holds
 * @written:	that are being written to
 * @no_room:	that no tier has a frame for
 * @quota:	whose tenant may have no more elsewhere
 * @failed:	anything else, a memory error for example
 */
struct evict_region {
	uint32_t id;
	int pid;
	uint64_t block_size;
	char label[KVOFF_NAME_LEN];
	uint64_t nr_blocks;
	uint8_t *cancels;
	uint64_t pinned;
	uint64_t acquired;
	uint64_t written;
	uint64_t no_room;
	uint64_t quota;
	uint64_t failed;
};

/**
 * struct evict - what is known from round to round
 * @control:	descriptor of the control device
 * @from:	number of the tier that is to be emptied
 * @regions:	@nr of them, those that had blocks there in the last round
 * @moved:	blocks moved so far
 * @moved_bytes: and their bytes
 * @full:	how often in a row a tier had no frame of this size
 * @stop:	set by a signal: come back soon
 * @tell:	called after each batch, with @arg
 * @arg:	the caller's
 */
struct evict {
	int control;
	unsigned int from;
	unsigned int nr;
	struct evict_region *regions;
	uint64_t moved;
	uint64_t moved_bytes;
	uint8_t full[KVOFF_MAX_TIERS][KVOFF_NR_BLOCK_SIZES];
	const volatile bool *stop;
	void (*tell)(void *arg);
	void *arg;
};

/**
 * evict_round - try once to move up to @bytes out of the tier
 * @e:		begin with { .control, .from, .stop, .tell, .arg }
 * @tiers:	as they are now
 * @bytes:	so many at the most, and a block more
 *
 * Returns the number of blocks that moved, or -errno: what is then said is said. Blocks go to slower tiers first, the
 * nearest by rank before others, then to faster ones.
 */
int64_t evict_round(struct evict *e, const struct tiers *tiers, uint64_t bytes);

void evict_free(struct evict *e);

#endif
