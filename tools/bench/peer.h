/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What moves are compared with: the bare copy in the kernel, and move_pages(2) on anonymous memory.
 */
#ifndef KVOFF_BENCH_PEER_H
#define KVOFF_BENCH_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/kmod/peer.h"

/* Nanoseconds for copying @nr blocks of @bs from one node to another, in the kernel; negative: -errno. */
double bare_copy(int from, int to, uint32_t bs, uint32_t nr, unsigned int routine);

/**
 * struct pages - anonymous memory that move_pages(2) moves
 * @data:	aligned to 2 MiB
 * @bytes:	its length
 * @step:	what one entry of move_pages moves: 4 KiB, or 2 MiB where it is huge pages
 * @nr:		number of entries in the following arrays
 * @at:		address of each entry
 * @to:		node of each
 * @status:	what became of each
 */
struct pages {
	uint8_t *data;
	uint64_t bytes;
	uint64_t step;
	uint64_t nr;
	void **at;
	int *to;
	int *status;
};

/* All of it on @node, written, as transparent huge pages or without; 0 or -errno, -ENOTSUP where there are none. */
int pages_up(struct pages *p, uint64_t bytes, bool huge, int node);
void pages_down(struct pages *p);
/*
 * Move entries from @first on, @nr of them, to @node, whoever has them mapped. Nanoseconds; negative: -errno, -EBUSY if
 * not all have moved.
 */
double pages_move(struct pages *p, uint64_t first, uint64_t nr, int node);

#endif /* KVOFF_BENCH_PEER_H */
