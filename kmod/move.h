/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Moves of blocks, one run of neighbours at a time.
 */
#ifndef KVOFF_MOVE_H
#define KVOFF_MOVE_H

#include "kvoff.h"

/*
 * So many neighbours are moved together at most: for what one step takes with all of them a fault may have to wait, and
 * the frames of more would make unmap_mapping_range() allocate a page for its list of them (MMU_GATHER_BUNDLE). And so
 * many bytes, as a discard may have to wait for their copies.
 */
#define KVOFF_RUN_MAX	3U
#define KVOFF_RUN_BYTES	KVOFF_BLOCK_SIZE_MAX

/**
 * struct kvoff_move - a block's move
 * @desc:	what is asked for; set by the caller, and nothing else is
 * @error:	out: what struct kvoff_move_result::error documents
 * @from:	out: the tier the block was in
 * @copied:	out: bytes were copied, in vain or not
 * @twin:	@target is the block's twin
 * @announced:	MOVING is told
 * @frozen:	the count of @held could be frozen
 * @mine:	the step that is taken at the moment is for this block, too
 * @step:	what comes next, move.c's enum kvoff_step
 * @chunk:	holds the block's record
 * @b:		the record
 * @target:	the frame it goes to; after the move, the frame it has left
 * @held:	the frame whose lock is held
 */
struct kvoff_move {
	const struct kvoff_move_desc *desc;
	int error;
	u16 from;
	bool copied;
	bool twin;
	bool announced;
	bool frozen;
	bool mine;
	u8 step;
	struct kvoff_chunk *chunk;
	struct kvoff_block *b;
	struct folio *target;
	struct folio *held;
};

unsigned int kvoff_move_run(struct kvoff_region *region, struct kvoff_move *moves, unsigned int nr);

/* How many neighbours may be moved together. */
static inline unsigned int kvoff_run_max(const struct kvoff_region *region)
{
	/* a framed block is unmapped by nobody */
	if (region->windows)
		return 1;
	return clamp_t(size_t, KVOFF_RUN_BYTES / kvoff_region_bs(region), 1, KVOFF_RUN_MAX);
}

#endif /* KVOFF_MOVE_H */
