/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What kvoff-replay writes into a block, so that one wrong byte anywhere is found: every 64-bit word depends on the
 * block's id, on the write it came with, and on its place.
 */
#ifndef KVOFF_TOOLS_CONTENT_H
#define KVOFF_TOOLS_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Lengths are multiples of this. */
#define CONTENT_STEP	64

/**
 * struct content_wrong - the first wrong byte of a range
 * @bytes:	how many bytes of the range are wrong
 * @offset:	of the first one in the range
 * @expected:	what was written there
 * @found:	what is there
 */
struct content_wrong {
	uint64_t bytes;
	size_t offset;
	uint8_t expected;
	uint8_t found;
};

/* @seed tells writes apart: the same id and seed mean the same bytes. @p is 64-byte aligned. */
void content_fill(void *p, size_t len, uint64_t id, uint64_t seed);

/* Returns true if all @len bytes are as content_fill() left them, else fills @wrong. */
bool content_check(const void *p, size_t len, uint64_t id, uint64_t seed, struct content_wrong *wrong);

#endif
