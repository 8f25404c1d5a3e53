/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvoff-replay: a trace played through libkvoff as an inference server would.
 */
#ifndef KVOFF_TOOLS_REPLAY_H
#define KVOFF_TOOLS_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <libkvoff.h>

#include "tools/placement.h"
#include "tools/tiers.h"
#include "tools/trace.h"
#include "tools/wait.h"

/**
 * struct replay_options - the command line
 * @skip, @requests:	which part of the trace; 0 @requests for all
 * @block_bytes:	bytes of a KV block (of 512 tokens in the trace)
 * @index_blocks:	bound of the server's index, 0 for none
 * @speed:		seconds of the trace in a second; 0 for as fast as possible
 * @threads:		requests served at the same time
 * @queue:		requests that wait, known to the server, their prefix being prefetched
 * @rewrite:		percent of the re-read blocks that are written to as well
 * @acquire:		hold the blocks where they are while they are read
 * @anonymous:		on anonymous memory (pages.h)
 * @seed:		of the choice of what is rewritten
 * @sample_ms:		how often all blocks are looked at
 * @corrupt:		flip one bit of the first block, for the tests
 * @progress:		say how far we are, on stderr
 */
struct replay_options {
	const char *trace, *tenant, *json, *samples;
	size_t skip, requests;
	uint64_t block_bytes, index_blocks, model_block_bytes;
	double speed, lead;
	unsigned int threads, queue, rewrite, sample_ms;
	uint64_t seed;
	bool acquire, anonymous, corrupt, progress;
};

/**
 * struct replay_wrong - where the first wrong byte was
 * @block:	id in the trace
 * @write:	how often the block had been written when these bytes were
 * @offset:	in the block
 */
struct replay_wrong {
	uint64_t block;
	uint32_t write;
	size_t offset;
	uint8_t expected, found;
};

/**
 * struct replay_results - what happened
 * @requests:		requests served
 * @references:		blocks they named
 * @rereads:		of these, blocks that the index held
 * @lost:		of these, blocks that had failed to be made
 * @blocks:		different blocks
 * @evicted:		blocks that left the index for its bound
 * @rewritten:		blocks written to after they were read
 * @reread_bytes:	by place
 * @written, @verified:	bytes
 * @alloc_failures:	libkvoff_alloc() calls that failed
 * @wrong_bytes:	wrong bytes read; @wrong is the first
 * @nr_waits:		requests that re-read something; @waits are theirs, modelled, in microseconds
 * @late_s:		how much later than planned a request was begun, at most
 */
struct replay_results {
	uint64_t requests, references, rereads, lost, blocks, evicted, rewritten;
	uint64_t reread_bytes[NR_PLACES];
	uint64_t written, verified;
	uint64_t alloc_failures;
	uint64_t wrong_bytes;
	struct replay_wrong wrong;
	double *waits;
	size_t nr_waits;
	double seconds, late_s;
	struct moved moved;
	struct counters before, after;
	bool fallback;
};

/* serve.c. Returns 0, or -errno if it could not be carried through; wrong bytes are a result. */
int serve(const struct replay_options *o, const struct trace *t, struct libkvoff *kv, struct placement *p,
	  const struct wait_model *m, struct replay_results *r);

/* Asks serve() to queue no further request; may be called from a signal handler. */
void serve_stop(void);

/* report.c */
void report_people(FILE *f, const struct replay_options *o, const struct tiers *tiers, const struct wait_model *m,
		   const struct replay_results *r);
void report_json(FILE *f, const struct replay_options *o, const struct tiers *tiers, const struct wait_model *m,
		 const struct replay_results *r);

#endif
