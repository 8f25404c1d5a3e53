/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simulated server: what full.c (time and requests), keep.c (which blocks exist, and where) and answer.c (decoding)
 * share.
 */
#ifndef KVOFF_SIMULATE_SERVER_H
#define KVOFF_SIMULATE_SERVER_H

#include "tools/simulate/daemon.h"
#include "tools/simulate/full.h"
#include "tools/simulate/list.h"
#include "tools/simulate/machine.h"

/**
 * struct outcome - of one request
 * @stall:	waited for blocks so far
 * @excess:	of it, for blocks that were not in DRAM, or for others
 * @ttft:	time to first token
 * @kept:	it kept the objective
 */
struct outcome {
	double stall;
	double excess;
	double ttft;
	bool kept;
};

/**
 * struct answer - a request that is being decoded, or waits for it
 * @request:	which
 * @left:	tokens still to come
 * @begin_ms:	its first token came; @sampled_ms: its blocks were last found in use
 * @blocks:	in each tier, when the machine had seen @changes changes
 */
struct answer {
	uint32_t request;
	uint32_t left;
	double begin_ms;
	double sampled_ms;
	uint32_t blocks[SIM_TIERS];
	uint64_t changes;
};

/**
 * struct server - one run
 * @known:	one byte a block: it has been computed before
 * @born_ms:	when it was made last
 * @sampled_ms:	when a sample last found it in use: each finds a block once, however many read it
 * @mark:	MARK_*
 * @moved_ms:	when it moved last
 * @users:	answers that read it
 * @owners:	sessions that will need it, as far as the server knows
 * @index, @index_links: all blocks that exist, the least recently used last; at most @index_max
 * @waiting:	answers in order of @begin_ms, @nr_waiting of them from @head_waiting on
 * @active:	answers that are being decoded; @step_end: when they all have their next token; @step_ms: when it
 *		began; @step_bare: how long it would take with all blocks in DRAM
 * @counting:	what happens now is reported
 */
struct server {
	const struct sim_load *load;
	const struct sim_policy *policy;
	const struct sim_setup *setup;
	const struct sim_model *model;
	struct sim_result *result;
	struct sim_machine machine;
	struct sim_fast fast;
	void *state;
	struct sim_daemon *daemon;
	double now;
	bool counting;
	int err;

	uint8_t *known, *mark;
	double *born_ms, *sampled_ms, *moved_ms;
	uint32_t *users, *owners;
	struct links index_links;
	struct list index;
	uint32_t index_max;

	struct outcome *outcomes;
	struct answer *waiting;
	uint32_t head_waiting, nr_waiting;
	struct answer *active;
	uint32_t nr_active;
	double step_end, step_ms, step_bare;
};

#define MARK_PROMOTED	1	/* came up and was not read since */

/* keep.c */
int keep_init(struct server *s);
void keep_free(struct server *s);
/* How many of a request's first blocks exist. */
uint32_t keep_prefix(const struct server *s, const struct sim_request *r);
/* A request has arrived: what it will need is known. */
void keep_announce(struct server *s, const struct sim_request *r);
/* It begins: its first @hits blocks are used, the others are made. */
void keep_begin(struct server *s, const struct sim_request *r, uint32_t hits);
/* Its blocks are found in use. */
void keep_sampled(struct server *s, const struct sim_request *r);
/* It uses its blocks no more; its session may have announced its end. */
void keep_end(struct server *s, const struct sim_request *r);
/* A block is read where it is. */
void keep_read(struct server *s, uint32_t block);
/* The move that ends next ends; all moves were told the policy or the daemon. */
void keep_move_end(struct server *s);
/* The daemon's tick. */
void keep_tick(struct server *s);

/* answer.c: decoding in place */
void answer_add(struct server *s, uint32_t request, double ready);
/* When something happens next: a token for all, or a first answer to decode. */
double answer_next(const struct server *s);
void answer_step(struct server *s);

#endif
