/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Anonymous memory in the place of a region's data, and where its pages are. What the kernel does by itself to such
 * memory (first touch, memory policies, NUMA balancing, DAMON) is measured by the same replay that measures kvoff.
 */
#ifndef KVOFF_TOOLS_PAGES_H
#define KVOFF_TOOLS_PAGES_H

#include <stddef.h>
#include <stdint.h>

#include <libkvoff.h>

#include "tools/tiers.h"

#define PAGES_SIZE	4096UL

/* Places of pages: node 0 is DRAM, what is on any other node is in the slower tier. */
enum { PAGES_DRAM, PAGES_FAR };

/* The two places as tiers. */
void pages_tiers(struct tiers *tiers);

/**
 * pages_replace - put anonymous memory where a region of plain memory (LIBKVOFF_FALLBACK) has its data
 * @kv:		the region, nothing of which is in use
 * @base:	out: where it begins
 *
 * What the library gives back stays: nothing must be freed and used again.
 *
 * Returns 0 or -errno: -EINVAL if the region is a real one, as the module is loaded.
 */
int pages_replace(struct libkvoff *kv, void **base);

/**
 * pages_query - where pages are now, as libkvoff_query() tells it of blocks
 * @base:	from pages_replace()
 * @first:	the first page, counted from there
 * @nr:		how many
 * @out:	out: their places; -1 where there is no memory yet
 *
 * Returns 0 or -errno.
 */
int pages_query(const void *base, uint64_t first, size_t nr, int *out);

/* Bytes in each place, of the mapping that has @base. */
void pages_used(const void *base, uint64_t used[2]);

#endif
