/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Blocks that do not change any more, and units: what seal.c does for the others.
 */
#ifndef KVOFF_SEAL_H
#define KVOFF_SEAL_H

#include "kvoff.h"

void kvoff_seal_break(struct kvoff_region *region, struct kvoff_block *b);
int kvoff_unit_end(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block,
		   int (*fn)(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block));
void kvoff_units_free(struct kvoff_region *region);
long kvoff_call_seal(struct file *file, void *p);
long kvoff_call_units(struct file *file, void *p);

#endif /* KVOFF_SEAL_H */
