// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Waiting: io_uring, or poll().
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "loop.h"

#define ENTRIES		64

/* What a completion belongs to: sources by number, batches after them, and what nobody waits for. */
#define DATA_BATCH	((uint64_t)LOOP_NR_SOURCES)
#define DATA_NOBODY	UINT64_MAX

/**
 * struct loop - see loop.h
 * @fds:	of the sources
 * @uring:	@ring is there
 * @ring:	the ring
 * @ignored: nothing is to come from this source for now
 * @armed:	a poll of this source is in the ring
 */
struct loop {
	int fds[LOOP_NR_SOURCES];
	bool uring;
	struct io_uring ring;
	bool ignored[LOOP_NR_SOURCES];
	bool armed[LOOP_NR_SOURCES];
};

struct loop *loop_new(const int fds[LOOP_NR_SOURCES], bool uring)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int err;

	if (!loop)
		return NULL;
	memcpy(loop->fds, fds, sizeof(loop->fds));
	if (!uring)
		return loop;
	err = io_uring_queue_init(ENTRIES, &loop->ring, 0);
	if (err)
		log_warn("no io_uring here: using poll and ioctls", "error=\"%s\"", strerror(-err));
	loop->uring = !err;
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	if (loop->uring)
		io_uring_queue_exit(&loop->ring);
	free(loop);
}

bool loop_has_uring(const struct loop *loop)
{
	return loop->uring;
}

void loop_watch(struct loop *loop, enum loop_source source, bool on)
{
	loop->ignored[source] = !on;
}

static struct io_uring_sqe *get_sqe(struct loop *loop)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);

	if (sqe)
		return sqe;
	io_uring_submit(&loop->ring);
	return io_uring_get_sqe(&loop->ring);
}

int loop_send(void *ctx, unsigned int batch, struct kvoff_ctl_move *arg)
{
	struct loop *loop = ctx;
	struct io_uring_sqe *sqe = get_sqe(loop);
	uint64_t address = (uint64_t)(uintptr_t)arg;

	if (!sqe)
		return -EBUSY;
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = loop->fds[LOOP_CONTROL];
	sqe->cmd_op = (uint32_t)KVOFF_CTL_MOVE;
	memcpy(sqe->cmd, &address, sizeof(address));
	io_uring_sqe_set_data64(sqe, DATA_BATCH + batch);
	return 0;
}

void loop_cancel(struct loop *loop, unsigned int batch)
{
	struct io_uring_sqe *sqe = loop->uring ? get_sqe(loop) : NULL;

	if (!sqe)
		return;
	io_uring_prep_cancel64(sqe, DATA_BATCH + batch, 0);
	io_uring_sqe_set_data64(sqe, DATA_NOBODY);
}

/* Returns 0, or a negative errno when a source cannot be waited for. */
static int take(struct loop *loop, struct loop_events *events, const struct io_uring_cqe *cqe)
{
	uint64_t data = io_uring_cqe_get_data64(cqe);

	if (data < LOOP_NR_SOURCES) {
		loop->armed[data] = false;
		if (cqe->res < 0)
			return cqe->res;
		events->ready[data] = true;
	} else if (data != DATA_NOBODY) {
		events->done[events->nr_done].batch = (unsigned int)(data - DATA_BATCH);
		events->done[events->nr_done++].res = cqe->res;
	}
	return 0;
}

static int wait_uring(struct loop *loop, struct loop_events *events, int timeout_ms)
{
	struct __kernel_timespec ts = { .tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000ll };
	struct io_uring_cqe *cqe;
	int err;

	for (unsigned int s = 0; s < LOOP_NR_SOURCES; s++) {
		struct io_uring_sqe *sqe;

		if (loop->armed[s] || loop->ignored[s] || loop->fds[s] < 0)
			continue;
		sqe = get_sqe(loop);
		if (!sqe)
			return -EBUSY;
		io_uring_prep_poll_add(sqe, loop->fds[s], POLLIN);
		io_uring_sqe_set_data64(sqe, s);
		loop->armed[s] = true;
	}
	err = io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1, timeout_ms < 0 ? NULL : &ts, NULL);
	if (err < 0 && err != -ETIME && err != -EINTR && err != -EAGAIN && err != -EBUSY)
		return err;
	while (events->nr_done < sizeof(events->done) / sizeof(events->done[0]) &&
	       !io_uring_peek_cqe(&loop->ring, &cqe)) {
		err = take(loop, events, cqe);
		io_uring_cqe_seen(&loop->ring, cqe);
		if (err)
			return err;
	}
	return 0;
}

int loop_wait(struct loop *loop, struct loop_events *events, int timeout_ms)
{
	struct pollfd polls[LOOP_NR_SOURCES];

	memset(events, 0, sizeof(*events));
	if (loop->uring)
		return wait_uring(loop, events, timeout_ms);
	for (unsigned int s = 0; s < LOOP_NR_SOURCES; s++)
		polls[s] = (struct pollfd) { .fd = loop->ignored[s] ? -1 : loop->fds[s], .events = POLLIN };
	if (poll(polls, LOOP_NR_SOURCES, timeout_ms) < 0)
		return errno == EINTR ? 0 : -errno;
	for (unsigned int s = 0; s < LOOP_NR_SOURCES; s++)
		events->ready[s] = polls[s].revents != 0;
	return 0;
}
