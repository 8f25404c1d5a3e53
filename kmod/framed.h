/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Framed regions: windows, the blocks in them, and telling clients of moves.
 */
#ifndef KVOFF_FRAMED_H
#define KVOFF_FRAMED_H

#include "kvoff.h"

/* ---- window.c ---- */

/**
 * struct kvoff_window - a framed region's frames in one tier
 * @lock:	protects the lists and their lengths
 * @frames:	struct folio by slot; entries are only added, until the region ends
 * @nr:		how many of @frames there are to see; grows under region->window_mutex
 * @free:	frames without a block
 * @twins:	frames without a block that hold the true copy of a sealed one, oldest first: the last to be taken.
 *		The way back to the block is folio->private
 * @bad:	frames with a memory error, for no block any more
 * @nr_free:	length of @free
 * @nr_twins:	length of @twins
 * @nr_bad:	length of @bad
 */
struct kvoff_window {
	spinlock_t lock;
	struct xarray frames;
	u64 nr;
	struct list_head free;
	struct list_head twins;
	struct list_head bad;
	u64 nr_free;
	u64 nr_twins;
	u64 nr_bad;
};

int kvoff_windows_create(struct kvoff_region *region);
void kvoff_windows_give_back(struct kvoff_region *region);
void kvoff_windows_destroy(struct kvoff_region *region);
u64 kvoff_windows_bytes(struct kvoff_region *region);
int kvoff_window_mmap(struct kvoff_region *region, struct vm_area_struct *vma);
long kvoff_call_window(struct file *file, void *p);
u32 kvoff_window_slot(const struct kvoff_region *region, const struct folio *folio);
struct folio *kvoff_window_take(struct kvoff_region *region, u32 tier, bool leave_reserve);
void kvoff_window_put(struct kvoff_region *region, u32 tier, struct folio *folio);
void kvoff_window_twin_keep(struct kvoff_region *region, struct kvoff_block *b, u32 tier, struct folio *folio);
struct folio *kvoff_window_twin_take(struct kvoff_region *region, struct kvoff_block *b);
void kvoff_window_twin_drop(struct kvoff_region *region, struct kvoff_block *b);

static inline u64 kvoff_window_nr(const struct kvoff_region *region, u32 tier)
{
	/* pairs with the release after the frames of new slots are in place */
	return smp_load_acquire(&region->windows[tier].nr);
}

/* ---- framed.c ---- */
int kvoff_framed_move(struct kvoff_region *region, struct kvoff_chunk *chunk, const struct kvoff_move_desc *desc,
		      bool *copied);
int kvoff_framed_discard(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block);
void kvoff_framed_teardown(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block);
int kvoff_framed_rescue(struct kvoff_region *region, struct folio *folio);
long kvoff_call_block_alloc(struct file *file, void *p);
long kvoff_call_block_free(struct file *file, void *p);

/* ---- event.c ---- */
void kvoff_event_moved(struct kvoff_region *region);
void kvoff_event_end(struct kvoff_attach *attach);
long kvoff_call_eventfd(struct file *file, void *p);

#endif /* KVOFF_FRAMED_H */
