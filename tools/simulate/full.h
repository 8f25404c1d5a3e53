/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The full simulation: requests queue, load their prefix over links that they share, are prefilled, and answered; moves
 * take time; what fits nowhere is recomputed.
 */
#ifndef KVOFF_SIMULATE_FULL_H
#define KVOFF_SIMULATE_FULL_H

#include "tools/simulate/load.h"
#include "tools/simulate/model.h"
#include "tools/simulate/policy.h"

/**
 * struct sim_setup - one run
 * @fast_percent: the fast tier, of the capacity of all tiers
 * @from_ms:	requests that arrive before this time of the trace are not reported
 * @set, @nr_set: kvoffd's configuration
 */
struct sim_setup {
	const struct sim_model *model;
	double fast_percent;
	double from_ms;
	const char *const *set;
	unsigned int nr_set;
};

/** struct sim_spread - of a value that each request has, milliseconds */
struct sim_spread {
	double mean, p50, p99;
};

/**
 * struct sim_result - what came out, of the part that is reported
 * @requests:	requests
 * @seconds:	that they took
 * @prefilled:	tokens that were computed in prefills
 * @recomputed:	of these, tokens that had been computed before
 * @rereads:	blocks found and used at a request's begin, @fast_rereads of them in the fast tier
 * @read_bytes:	read from tiers, for each token of the answers too where that is done in place
 * @promoted_bytes, @demoted_bytes: moved
 * @reread_bytes: promoted, and read before they were demoted
 * @twice:	moves of blocks that had moved within the window before
 * @stall:	time that a request waited for blocks while nothing was computed for it
 * @excess:	of it, what it would not have waited were all blocks in DRAM and nobody else reading
 * @ttft:	time to first token
 * @goodput:	requests a second that kept the objective
 * @kept:	share of the requests that did
 * @busy:	share of the time that GPUs were prefilling
 * @fast_busy, @far_busy: share of the time that the links were reading for requests
 */
struct sim_result {
	uint64_t requests, prefilled, recomputed, rereads, fast_rereads, twice;
	double seconds, read_bytes, promoted_bytes, demoted_bytes, reread_bytes;
	struct sim_spread stall, excess, ttft;
	double goodput, kept, busy, fast_busy, far_busy;
};

/** sim_full_run - returns 0, -ENOMEM, or -ERANGE where a tier would have no frame */
int sim_full_run(const struct sim_load *load, const struct sim_policy *policy, const struct sim_setup *setup,
		 struct sim_result *result);

#endif
