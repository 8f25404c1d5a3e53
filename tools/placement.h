/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a region's blocks are and how they move, watched from outside: by looking at the shared state array at every
 * use and in the background. Trusts neither the daemon's nor the module's own counters.
 */
#ifndef KVOFF_TOOLS_PLACEMENT_H
#define KVOFF_TOOLS_PLACEMENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <libkvoff.h>

#include "tools/tiers.h"

/* Index of what is in no tier (or in memory that is no tier), after the tiers proper. */
#define PLACE_NONE	KVOFF_MAX_TIERS
#define NR_PLACES	(KVOFF_MAX_TIERS + 1)

/**
 * struct moved - what moved, bytes
 * @promoted:		towards a lower rank
 * @demoted:		towards a higher rank
 * @promoted_read:	of @promoted, read again before they were demoted or freed
 */
struct moved {
	uint64_t promoted;
	uint64_t demoted;
	uint64_t promoted_read;
};

struct watched_block;

/**
 * struct placement - the watch over one region
 * @kv:		the region
 * @pages:	anonymous memory instead (pages.h), of which each page is a block here; NULL for a region
 * @block_size:	bytes
 * @rank:	of each tier
 * @fastest:	the tier of the lowest rank
 * @moved:	totals; under @lock, as are @read, @block and @nr
 * @read:	bytes that each tier served
 * @block:	what was last seen of each block, @nr of them
 */
struct placement {
	struct libkvoff *kv;
	const void *pages;
	size_t block_size;
	unsigned int rank[NR_PLACES];
	unsigned int fastest;
	pthread_mutex_t lock;
	struct moved moved;
	uint64_t read[NR_PLACES];
	struct watched_block *block;
	uint64_t nr;
	struct watcher *watcher;
};

/* @pages: from pages_replace(), or NULL */
int placement_init(struct placement *p, struct libkvoff *kv, const void *pages, const struct tiers *tiers);
void placement_destroy(struct placement *p);

/*
 * [ptr, ptr + len) starts to hold something (may be said twice, before and after it is written), or has held it for the last
 * time (call before it is freed).
 */
int placement_begin(struct placement *p, const void *ptr, size_t len);
void placement_end(struct placement *p, const void *ptr, size_t len);

/* It is about to be read: adds the bytes that each tier serves to @bytes. */
void placement_read(struct placement *p, const void *ptr, size_t len, uint64_t bytes[NR_PLACES]);

struct moved placement_moved(struct placement *p);

/**
 * placement_watch - look at all blocks again and again in the background
 * @p:		the watch
 * @tiers:	columns of @samples
 * @interval_ms: how often
 * @samples:	if not NULL: gets a line of CSV each time
 */
int placement_watch(struct placement *p, const struct tiers *tiers, unsigned int interval_ms, FILE *samples);
/* Look once more, then stop. */
void placement_unwatch(struct placement *p);

#endif
