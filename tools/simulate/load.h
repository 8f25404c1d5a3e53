/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The load that is simulated: a trace's requests with their sessions, blocks numbered from 0 in order of appearance.
 */
#ifndef KVOFF_SIMULATE_LOAD_H
#define KVOFF_SIMULATE_LOAD_H

#include "tools/simulate/policy.h"
#include "tools/trace.h"

/**
 * struct sim_request - one request
 * @ms:		arrival, milliseconds of the trace
 * @input:	tokens of the prompt
 * @output:	tokens of the answer
 * @first:	position of its first block in the references
 * @nr:		blocks
 * @session:	which session it belongs to
 * @known:	its first so many blocks were the session's before
 * @ends:	it is the last of a session that announces its end
 */
struct sim_request {
	double ms;
	uint32_t input;
	uint32_t output;
	uint32_t first;
	uint32_t nr;
	uint32_t session;
	uint32_t known;
	bool ends;
};

/**
 * struct sim_load - what is simulated
 * @requests:	in order of arrival
 * @refs:	the blocks of all requests, one after the other
 * @nr_sessions: different sessions
 */
struct sim_load {
	struct sim_request *requests;
	uint32_t nr;
	struct sim_refs refs;
	uint32_t nr_sessions;
};

/**
 * struct sim_choice - which part of a trace, and what its servers tell
 * @sessions:	so many percent of the sessions, drawn by @seed
 * @hints:	so many percent of them announce their end with their last request
 */
struct sim_choice {
	double sessions;
	double hints;
	uint64_t seed;
};

/**
 * sim_load_make - number the blocks, find the sessions, draw
 *
 * A request continues the session whose latest request ended in a block that this one holds (or in the one before it,
 * for the last block of a prompt is seldom full), other than the first block of all. Returns 0, -ENOMEM, -E2BIG, or
 * -ENOENT where nothing was drawn.
 */
int sim_load_make(struct sim_load *load, const struct trace *trace, const struct sim_choice *choice);
void sim_load_free(struct sim_load *load);

/** sim_mix - a number that looks random, by @seed and @n */
uint64_t sim_mix(uint64_t seed, uint64_t n);

#endif
