/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvoff-replay --simulate and --generate: what the command line asked for, and what came out.
 */
#ifndef KVOFF_SIMULATE_SIMULATE_H
#define KVOFF_SIMULATE_SIMULATE_H

#include <stdio.h>

#include "tools/simulate/csv.h"
#include "tools/simulate/full.h"
#include "tools/simulate/load.h"
#include "tools/simulate/model.h"
#include "tools/simulate/plain.h"
#include "tools/simulate/policy.h"

#define SIM_FAST_MAX	16
#define SIM_SET_MAX	64
#define SIM_POLICIES_MAX 16

/**
 * struct sim_options - the command line
 * @policies:	which ones, in the order of the tables
 * @fast:	sizes of the fast tier, percent
 * @consumers:	bit mask
 * @split:	report what comes after this percentage of the trace's time
 * @end:	leave out what comes after this one
 * @sets:	kvoffd's configuration
 */
struct sim_options {
	const char *trace, *json;
	const struct sim_policy *policies[SIM_POLICIES_MAX];
	unsigned int nr_policies;
	double fast[SIM_FAST_MAX];
	unsigned int nr_fast;
	unsigned int consumers;
	bool plain, is_csv, progress;
	struct sim_csv csv;
	double split, end, hints, tick_ms;
	uint64_t seed;
	size_t skip, requests;
	struct sim_model models[SIM_NR_CONSUMERS];
	const char *sets[SIM_SET_MAX];
	unsigned int nr_sets;
};

/** sim_main - the command line of kvoff-replay when it has --simulate or --generate; returns the exit status */
int sim_main(int argc, char **argv);

/** struct sim_row - one policy's column: results of one size and consumer */
struct sim_row {
	const struct sim_policy *policy;
	struct sim_share share;
	struct sim_result full;
};

struct json;

/** sim_report_plain - a table of shares and one of moves: @rows[size][policy] */
void sim_report_plain(FILE *f, const struct sim_options *o, const struct sim_load *load, const struct sim_row *rows);
/** sim_report_full - one consumer's tables */
void sim_report_full(FILE *f, const struct sim_options *o, enum sim_consumer c, const struct sim_load *load,
		     const struct sim_row *rows);
/* The same as JSON, inside of an open array. */
void sim_json_plain(struct json *j, const struct sim_options *o, const struct sim_row *rows);
void sim_json_full(struct json *j, const struct sim_options *o, enum sim_consumer c, const struct sim_row *rows);
void sim_json_load(struct json *j, const char *key, const struct sim_load *load);

/** sim_generate - print a trace of agents, batch jobs and a shared prefix; returns 0 or -errno */
int sim_generate(FILE *f, uint64_t seed, double seconds, double scale);

#endif
