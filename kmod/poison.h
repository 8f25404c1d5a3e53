/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory errors: frames with bad pages, and their blocks.
 */
#ifndef KVOFF_POISON_H
#define KVOFF_POISON_H

#include "kvoff.h"

/* ---- quarantine.c ---- */
bool kvoff_frame_enroll(struct kvoff_pool *pool, struct folio *folio);
void kvoff_frame_strike(struct folio *folio);
bool kvoff_frame_bad(struct folio *folio);
void kvoff_page_mark(struct page *page);
bool kvoff_quarantine(struct kvoff_pool *pool, struct folio *folio);
u64 kvoff_quarantine_leak(struct kvoff_pool *pool);
bool kvoff_frame_find(unsigned long *pfn, unsigned long last);
void kvoff_frame_mark(struct folio *folio, unsigned long first, unsigned long last);
unsigned long kvoff_frame_condemn(unsigned long pfn, unsigned long first, unsigned long last, bool all, bool *out);

/* ---- poison.c ---- */
int kvoff_copy(struct folio *to, struct folio *from);
int kvoff_block_rescue(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block, bool readable);
bool kvoff_block_heal(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block);
vm_fault_t kvoff_poison_fault(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block, unsigned long page);
int kvoff_poison(struct kvoff_ctl_poison *arg);

/* Is the block poisoned, or will it be? Called with the block locked. */
static inline bool kvoff_block_suspect(const struct kvoff_block *b)
{
	return test_bit(KVOFF_B_POISONED, &b->flags) || (b->frame && kvoff_frame_bad(b->frame));
}

#endif /* KVOFF_POISON_H */
