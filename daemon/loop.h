/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Waiting for whatever comes next: one io_uring for signals, the timer, the control device, memory errors and moves; where
 * there is no io_uring, poll() for all but the last.
 */
#ifndef KVOFFD_LOOP_H
#define KVOFFD_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "kvoff.h"

struct loop;

/* What to wait for. */
enum loop_source { LOOP_SIGNAL, LOOP_TIMER, LOOP_CONTROL, LOOP_POISON, LOOP_NR_SOURCES };

/**
 * struct loop_events - what came
 * @ready:	by source
 * @nr_done:	batches that ended
 * @done:	they, with their results
 */
struct loop_events {
	bool ready[LOOP_NR_SOURCES];
	unsigned int nr_done;
	struct {
		unsigned int batch;
		int res;
	} done[64];
};

/**
 * loop_new - make a loop
 * @fds:	descriptor of each source; they stay the caller's. -1: nothing comes from there
 * @uring:	try io_uring
 *
 * Returns NULL with errno set.
 */
struct loop *loop_new(const int fds[LOOP_NR_SOURCES], bool uring);
/** loop_free - end it; commands under way are cancelled by the kernel */
void loop_free(struct loop *loop);
/** loop_has_uring - does it take moves? */
bool loop_has_uring(const struct loop *loop);
/** loop_wait - wait; @timeout_ms as for poll(). Returns 0 or a negative errno */
int loop_wait(struct loop *loop, struct loop_events *events, int timeout_ms);
/** loop_watch - look at a source, or leave it alone for now */
void loop_watch(struct loop *loop, enum loop_source source, bool on);
/** loop_send - start a batch of moves; 0 or a negative errno. Fits struct act::send */
int loop_send(void *loop, unsigned int batch, struct kvoff_ctl_move *arg);
/** loop_cancel - ask the kernel to end a batch after its current block */
void loop_cancel(struct loop *loop, unsigned int batch);

#endif /* KVOFFD_LOOP_H */
