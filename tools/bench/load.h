/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Somebody who reads memory all the time, while the kernel looks at how it is used.
 */
#ifndef KVOFF_BENCH_LOAD_H
#define KVOFF_BENCH_LOAD_H

#include <stddef.h>
#include <stdint.h>

#include "tools/bench/memory.h"

/**
 * struct load - reads one byte in each @step of @bytes at @p, over and over again
 * @sweeps:	so many times
 */
struct load {
	const void *p;
	size_t bytes;
	size_t step;
	uint64_t sweeps;
};

/* How long it takes. */
uint64_t load_run(const struct load *load);
/* Set @sweeps so that it takes about @ns with nothing else going on. */
void load_calibrate(struct load *load, uint64_t ns);

/**
 * struct look - what it costs that somebody looks
 * @ns:		for each block and each time it was looked at, the faults that come of it included
 * @looks:	blocks times looks that were measured
 * @faults:	minor faults for each look
 */
struct look {
	double ns;
	double looks;
	double faults;
};

/*
 * NUMA balancing, on memory of this kind that it maps in a process of its own, on the node where that runs; a look is
 * a block's page table entries made inaccessible. Uses @load->bytes and @load->step.
 */
int look_numa(enum memory_kind kind, const struct load *load, size_t bs, uint64_t ns, struct look *look);
/* DAMON, with a region a block and a sample each @interval_us. */
int look_damon(struct load *load, size_t bs, uint64_t ns, unsigned int interval_us, struct look *look);

#endif /* KVOFF_BENCH_LOAD_H */
