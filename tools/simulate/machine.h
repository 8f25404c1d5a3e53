/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tiers of the simulated machine: which block has a frame where, moves that take time, links that are shared.
 *
 * Each tier has a link. Reads of requests queue up on it; moves are copied beside them, one after the other from one
 * tier to one other, at the rate of their budget, which the reads do not have meanwhile.
 */
#ifndef KVOFF_SIMULATE_MACHINE_H
#define KVOFF_SIMULATE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/simulate/model.h"

#define SIM_TIERS	(1 + SIM_DEVICES_MAX)
#define SIM_NOWHERE	0xff
/* The batch of a move that is not kvoffd's. */
#define SIM_NO_BATCH	UINT32_MAX

/**
 * struct sim_move - a block under way
 * @end_ms:	when its copy is done
 * @birth:	the block's life that it was begun in
 * @batch, @index: kvoffd's name of it
 */
struct sim_move {
	double end_ms;
	uint32_t block;
	uint32_t birth;
	uint32_t batch;
	uint32_t index;
	uint8_t from;
	uint8_t to;
};

/** struct sim_queue - moves from one tier to one other, oldest first */
struct sim_queue {
	double blocks_per_ms;
	double busy_ms;
	struct sim_move *ring;
	size_t head, nr, room;
};

/** struct sim_tier - one tier: 0 is the fast one; @rank: 0 fast, 1 far, 2 behind a switch */
struct sim_tier {
	unsigned int rank;
	uint64_t frames, used, reserve;
	double blocks_per_ms, latency_ms;
	double busy_ms;		/* until when reads are queued */
	bool half_duplex;	/* writes take from what reads have */
};

/**
 * struct sim_machine - all of it
 * @where:	each block's tier, or SIM_NOWHERE
 * @birth:	how often each block got its first frame
 * @moving:	the block is in a queue
 * @changes:	grows with each change of place
 */
struct sim_machine {
	struct sim_tier tier[SIM_TIERS];
	unsigned int nr_tiers;
	struct sim_queue queue[SIM_TIERS][SIM_TIERS];
	uint8_t *where;
	uint32_t *birth;
	uint8_t *moving;
	uint64_t changes;
};

/** sim_machine_init - with the tiers of @model; @fast, @far: frames, of all far tiers together. 0 or -ENOMEM */
int sim_machine_init(struct sim_machine *m, const struct sim_model *model, uint32_t nr_blocks, uint64_t fast,
		     uint64_t far, bool nvme);
void sim_machine_free(struct sim_machine *m);

static inline uint64_t sim_room(const struct sim_machine *m, unsigned int tier)
{
	return m->tier[tier].frames - m->tier[tier].used;
}

/** sim_place - give a block its first frame, in a tier with room */
void sim_place(struct sim_machine *m, uint32_t block, unsigned int tier);
/** sim_take - a block ceases to exist */
void sim_take(struct sim_machine *m, uint32_t block);
/** sim_emptiest - the tier from @first on that is emptiest for its bandwidth and has more than its reserve; or any with
 * a frame; SIM_NOWHERE */
unsigned int sim_emptiest(const struct sim_machine *m, unsigned int first);

/** sim_move_begin - queue a move; 0 or -ENOMEM */
int sim_move_begin(struct sim_machine *m, double now, uint32_t block, unsigned int to, uint32_t batch, uint32_t index);
/** sim_move_next - when the next move ends; INFINITY: none is under way */
double sim_move_next(const struct sim_machine *m);
/** sim_move_end - take the move that ends next off its queue; the caller decides whether it counts (sim_move_apply) */
struct sim_move sim_move_end(struct sim_machine *m);
/** sim_move_apply - the block is in its new tier now. 0; -ENODATA: it has ceased to exist; -ENOSPC: no frame is free */
int sim_move_apply(struct sim_machine *m, const struct sim_move *move);

/** sim_read - read so many blocks of a tier; returns when that is done */
double sim_read(struct sim_machine *m, unsigned int tier, double now, double blocks);

#endif
