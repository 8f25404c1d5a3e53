/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sending moves to the kernel, and learning from what becomes of them.
 *
 * A batch holds blocks that go from one tier to one other. Batches are sent as io_uring commands, several at once; or,
 * where io_uring is not to be had, as short ioctl()s between two looks at the loop's other events.
 */
#ifndef KVOFFD_ACT_H
#define KVOFFD_ACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "decide.h"
#include "region.h"

/* Batches at once, and bytes in each: enough to keep the links busy over a tick, little enough to stop soon. */
#define ACT_BATCHES		16
#define ACT_BATCH_BYTES		(64ull << 20)

/* An ioctl holds up the loop: no more bytes than this, and no longer than this by the link's budget. */
#define ACT_IOCTL_BYTES		(8ull << 20)
#define ACT_IOCTL_MS		50

/* Classes of results, for counters: struct kvoff_move_result::error. */
enum act_result {
	ACT_MOVED,
	ACT_BUSY,	/* pinned by something in the kernel */
	ACT_ACQUIRED,	/* a client holds a reference */
	ACT_WRITTEN,	/* a write came during the copy */
	ACT_NOT_BEGUN,	/* the command was cancelled before */
	ACT_NO_FRAME,	/* the target is full */
	ACT_OVER_QUOTA,	/* the tenant has its share of the target */
	ACT_DRAINING,	/* the target is being drained */
	ACT_POISONED,	/* the source cannot be read */
	ACT_VANISHED,	/* the region or block is not there any more */
	ACT_FAILED,	/* anything else */
	ACT_NR_RESULTS
};

/**
 * struct act_counters - since the daemon was started; they only grow
 * @promoted:	blocks moved to a lower rank
 * @demoted:	blocks moved to a higher one
 * @results:	blocks by what became of them
 * @reasons:	moved blocks by reason
 */
struct act_counters {
	uint64_t promoted;
	uint64_t promoted_bytes;
	uint64_t demoted;
	uint64_t demoted_bytes;
	uint64_t results[ACT_NR_RESULTS];
	uint64_t reasons[DECIDE_NR_REASONS];
};

/**
 * struct act_batch - one command
 * @busy:	it is in the kernel's hands, or queued for an ioctl
 * @last_try: it is not to be tried another way if this one fails
 * @from:	tier
 * @to:		tier
 * @size_class:	of all its blocks
 * @arg:	the command
 * @descs:	its blocks
 * @results:	what became of them
 */
struct act_batch {
	bool busy;
	bool last_try;
	uint8_t from;
	uint8_t to;
	uint32_t size_class;
	struct kvoff_ctl_move arg;
	struct kvoff_move_desc descs[KVOFF_MOVE_MAX];
	struct kvoff_move_result results[KVOFF_MOVE_MAX];
};

/**
 * struct act - all that is under way
 * @control:	descriptor with the lease
 * @send:	starts a batch asynchronously, 0 or a negative errno; NULL: ioctls are used
 * @ctx:	for @send
 * @batches:	those under way and free ones
 * @order:	batches queued for ioctls, oldest first
 * @nr_order:	how many
 * @pending:	blocks under way, [to][size class]
 * @pending_bytes: bytes under way, [from][to]
 * @credit:	bytes that links may take by their budgets, [from][to]
 * @full:	size classes for which a tier had no frame since act_forget_full(), [to]: a bit mask
 * @counters:	for reports
 */
struct act {
	int control;
	int (*send)(void *ctx, unsigned int batch, struct kvoff_ctl_move *arg);
	void *ctx;
	struct act_batch batches[ACT_BATCHES];
	unsigned int order[ACT_BATCHES];
	unsigned int nr_order;
	uint64_t pending[KVOFF_MAX_TIERS][KVOFF_NR_BLOCK_SIZES];
	uint64_t pending_bytes[KVOFF_MAX_TIERS][KVOFF_MAX_TIERS];
	uint64_t credit[KVOFF_MAX_TIERS][KVOFF_MAX_TIERS];
	uint8_t full[KVOFF_MAX_TIERS];
	struct act_counters counters;
};

/** act_tick - a new interval of @ms begins: links get their share of budget (MB/s; 0 counts as @speed) */
void act_tick(struct act *act, const uint32_t budget[][KVOFF_MAX_TIERS], const uint32_t *speed, uint64_t ms);

/** act_forget_full - tiers that were full may have room again */
void act_forget_full(struct act *act);

/** act_link_bytes - how much may be sent now */
uint64_t act_link_bytes(const struct act *act, unsigned int from, unsigned int to);

/**
 * act_send - send moves
 * @moves:	decisions; regions are indices into @regions
 *
 * What finds no free batch is left out. Returns how many blocks were sent.
 */
size_t act_send(struct act *act, struct regions *regions, const struct decide_move *moves, size_t nr);

/** act_done - a batch has ended: @res is the number moved, or a negative errno of the command as a whole */
void act_done(struct act *act, struct regions *regions, unsigned int batch, int res, uint32_t now,
	      const uint32_t *rank);

/** act_step - carry out one queued ioctl, if there is one. Returns whether there are more */
bool act_step(struct act *act, struct regions *regions, uint32_t now, const uint32_t *rank,
	      const uint32_t budget[][KVOFF_MAX_TIERS]);

/** act_fall_back - use ioctls from now on; batches that were not taken are queued again by act_done() */
void act_fall_back(struct act *act);

/** act_busy - are batches under way? */
bool act_busy(const struct act *act);

/** act_result_of - the class of a result (pure) */
enum act_result act_result_of(const struct kvoff_move_result *result);
const char *act_result_name(enum act_result result);

/**
 * act_learn - note in a block's heat what became of its move (pure)
 * @h:		the block
 * @result:	the class
 * @to:		where it went
 * @promoted:	that is up
 * @now:	the time
 *
 * Refusals hold a block back, twice as long each time; a move that writes cancelled twice is worth stopping writers.
 */
void act_learn(struct heat *h, enum act_result result, uint8_t to, bool promoted, uint32_t now);

#endif /* KVOFFD_ACT_H */
