/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A model of how long a request waits for its prefix on real hardware. An emulated machine cannot measure it.
 */
#ifndef KVOFF_TOOLS_WAIT_H
#define KVOFF_TOOLS_WAIT_H

#include <stddef.h>
#include <stdint.h>

#include "tools/placement.h"

/**
 * struct wait_model - what reading costs
 * @latency_ns:		of each place, once a request
 * @bandwidth_mbps:	of each place, 10^6 bytes a second
 * @scale:		bytes of the modelled server for each byte that was read here
 */
struct wait_model {
	double latency_ns[NR_PLACES];
	double bandwidth_mbps[NR_PLACES];
	double scale;
};

/* The tiers' own figures where they are known, else DRAM (100 ns, 80 GB/s) for rank 0 and CXL (250 ns, 30 GB/s). */
void wait_model_init(struct wait_model *m, const struct tiers *tiers);

/* Microseconds until @bytes are read: tiers side by side, so the slowest counts. No queueing between requests. */
double wait_us(const struct wait_model *m, const uint64_t bytes[NR_PLACES]);

/**
 * struct wait_summary - the waits of all requests, microseconds
 */
struct wait_summary {
	double mean;
	double p50;
	double p99;
};

/* Sorts @waits. */
struct wait_summary wait_summarize(double *waits, size_t n);

#endif
