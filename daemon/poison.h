/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory errors: what devices and the kernel say of bad memory, passed on to the module, which looks after its frames.
 * Heard through an instance of tracefs of our own.
 */
#ifndef KVOFFD_POISON_H
#define KVOFFD_POISON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct poison_range - memory that is bad
 * @addr:	physical address
 * @length:	bytes, at least 1
 */
struct poison_range {
	uint64_t addr;
	uint64_t length;
};

/**
 * struct poison - the listener; begin with all zero and @pipe -1
 * @pipe:	trace_pipe of the instance, -1 if there is none
 * @control:	/dev/kvoff/control
 * @line:	a line that has not ended yet
 * @len:	its length
 * @scanned:	when the devices' lists were last read, CLOCK_MONOTONIC in ms
 * @records:	events that named memory
 * @frames:	frames of the module's among it; one that is named again counts again
 * @failed:	events that could not be passed on
 * @scans:	lists read
 */
struct poison {
	int pipe;
	int control;
	char line[1024];
	size_t len;
	uint64_t scanned;
	uint64_t records;
	uint64_t frames;
	uint64_t failed;
	uint64_t scans;
};

/**
 * poison_event - what an event says (pure)
 * @line:	as trace_pipe has it, without the newline
 * @page:	bytes of a page
 * @range:	out
 *
 * Returns whether it names memory that is bad.
 */
bool poison_event(const char *line, uint64_t page, struct poison_range *range);

/** poison_open - begin to listen; what cannot be had is logged. False if nothing can be heard */
bool poison_open(struct poison *p, int control);
/** poison_close - stop, and take the instance away */
void poison_close(struct poison *p);
/** poison_take - pass on what has come since; never waits for more */
void poison_take(struct poison *p);
/** poison_scan - let each CXL device tell its list of bad memory, which then comes as events */
void poison_scan(struct poison *p);

#endif /* KVOFFD_POISON_H */
