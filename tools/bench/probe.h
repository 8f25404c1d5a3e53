/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counts of what the kernel does: tracepoints, and calls of functions.
 */
#ifndef KVOFF_BENCH_PROBE_H
#define KVOFF_BENCH_PROBE_H

#include <stdint.h>

#define PROBE_CPUS	8
#define PROBE_EVENTS	8

/**
 * struct probe - a count over all processors
 * @events:	tracepoints, as "kmem/kmalloc", and functions, as "mutex_lock"; what a kernel does not have counts
 *		nothing
 * @fd:		one for each event and processor, -1 for none
 * @nr:		number of @fd
 */
struct probe {
	const char *events[PROBE_EVENTS];
	int fd[PROBE_EVENTS * PROBE_CPUS];
	unsigned int nr;
};

/* 0, or -errno if none of the events could be had. */
int probe_up(struct probe *p);
void probe_down(struct probe *p);
void probe_start(struct probe *p);
/* What was counted since probe_start(). */
uint64_t probe_stop(struct probe *p);

#endif /* KVOFF_BENCH_PROBE_H */
