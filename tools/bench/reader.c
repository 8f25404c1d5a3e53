// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How long a reader waits when the block that it reads is being moved. The reader comes at random moments, before
 * anything else on the one processor of this guest, so it finds the mover wherever that happens to be, and what it
 * waits for is nothing but what the mover has to finish first: waiting for a processor is in none of the figures. Of
 * all reads those count that faulted.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tools/bench/bench.h"
#include "tools/bench/peer.h"
#include "tools/bench/trip.h"

/* Fewer reads that faulted say nothing. */
#define FEWEST		20
/* A read of what is mapped takes less, a fault more. */
#define FAULT_NS	600
/* Blocks that the bare copy is timed with. */
#define BARE_NR		8

/**
 * struct scene - a mover and a reader
 * @t:		blocks, NULL if pages are moved
 * @p:		pages
 * @data:	what is read
 * @bytes:	length of @data
 * @stop:	the reader has had enough
 * @error:	the mover's
 */
struct scene {
	struct trip *t;
	struct pages *p;
	int far_node;
	const uint8_t *data;
	uint64_t bytes;
	atomic_bool stop;
	int error;
};

static void *mover(void *arg)
{
	struct scene *s = arg;
	struct crowd alone = { 0 };
	double ns = 0;
	int way;

	for (way = 0; !atomic_load(&s->stop) && ns >= 0; way ^= 1) {
		if (s->t) {
			ns = way ? trip_back(s->t) : trip_there(s->t);
			/* a fault has the frame for a moment: the block stays, and the way back finds it there */
			if (ns == -EBUSY)
				ns = 0;
		} else {
			crowd_read(&alone, s->data, s->bytes);
			ns = pages_move(s->p, 0, s->p->nr, way ? 0 : s->far_node);
			if (ns == -EBUSY || ns == -EAGAIN)
				ns = 0;
		}
	}
	s->error = ns < 0 ? ns : 0;
	return NULL;
}

/* Sleep for a while, read a byte somewhere, say how long that took. */
static double sample(const struct scene *s, unsigned int *seed)
{
	struct timespec pause = { .tv_nsec = 20000 + rand_r(seed) % 80000 };
	uint64_t page = ((uint64_t)rand_r(seed) << 12) % s->bytes, begin;

	nanosleep(&pause, NULL);
	begin = bench_ns();
	(void)*(const volatile uint8_t *)(s->data + page);
	return bench_ns() - begin;
}

/* The waits of up to @nr reads that faulted, in @waits; how many, or -errno. */
static int watch(struct scene *s, double *waits, size_t nr)
{
	const struct sched_param first = { .sched_priority = 10 }, normal = { 0 };
	unsigned int seed = 1;
	pthread_t thread;
	size_t n = 0, tries;

	atomic_store(&s->stop, false);
	if (pthread_create(&thread, NULL, mover, s))
		return -EAGAIN;
	if (sched_setscheduler(0, SCHED_FIFO, &first)) {
		atomic_store(&s->stop, true);
		pthread_join(thread, NULL);
		return -EPERM;
	}
	for (tries = 0; n < nr && tries < 10 * nr; tries++) {
		double ns = sample(s, &seed);

		if (ns > FAULT_NS)
			waits[n++] = ns;
	}
	atomic_store(&s->stop, true);
	sched_setscheduler(0, SCHED_OTHER, &normal);
	pthread_join(thread, NULL);
	return s->error ?: n < FEWEST ? -ENODATA : (int)n;
}

static void percentiles(struct bench_out *out, const char *what, double *ours, size_t nr, double *theirs,
			size_t nr_theirs, const char *peer)
{
	static const double p[] = { 50, 99, 99.9 };
	unsigned int i;

	for (i = 0; i < 3; i++)
		bench_row(out, &(struct bench_row){ .value = bench_percentile(ours, nr, p[i]), .unit = "ns",
						    .peer = peer,
						    .peer_value = bench_percentile(theirs, nr_theirs, p[i]) },
			  "%s, a read that faults, p%g", what, p[i]);
}

static int one_size(struct bench_out *out, uint32_t bs, uint32_t nr, size_t samples)
{
	double *ours = calloc(samples, sizeof(*ours)), *theirs = calloc(samples, sizeof(*theirs));
	double flip = 0, bare = 0, wait;
	struct trip t = { 0 };
	struct pages p = { 0 };
	struct scene s = { .t = &t };
	struct rig rig;
	int ret, down, n = 0, n_theirs = 0;

	ret = rig_up(&rig, bs, 2ULL * nr * bs) ?: trip_up(&t, &rig, bs, nr, 1) ?:
	      pages_up(&p, (uint64_t)nr * bs, bs == 2 * MIB, 0);
	s.far_node = rig.far_node;
	if (!ret) {
		s.data = t.r->data;
		s.bytes = (uint64_t)nr * bs;
		n = watch(&s, ours, samples);
		ret = n < 0 ? n : 0;
	}
	if (!ret) {
		s.t = NULL;
		s.p = &p;
		s.data = p.data;
		n_theirs = watch(&s, theirs, samples);
		ret = n_theirs < 0 ? n_theirs : 0;
	}
	if (!ret) {
		bare = bare_copy(0, rig.far_node, bs, BARE_NR, KVOFF_PEER_MC);
		ret = bare < 0 ? (int)bare : sysfs_write("tuning/twins", "1");
	}
	if (!ret) {
		/* where they are and what twins they have is not known: the third time all have one */
		trip_both(&t);
		trip_both(&t);
		flip = trip_both(&t);
		ret = flip < 0 ? (int)flip : 0;
	}
	if (!ret) {
		percentiles(out, size_name(bs), ours, n, theirs, n_theirs,
			    p.step > 4096 ? "move_pages, huge pages" : "move_pages, 4 KiB pages");
		wait = bench_percentile(ours, n, 99.9);
		bench_row(out, &(struct bench_row){ .value = wait, .unit = "ns", .peer = "copy of a block",
						    .peer_value = bare / BARE_NR, .direction = BENCH_AT_MOST,
						    .limit = 1.1 },
			  "%s, a read that faults, p99.9", size_name(bs));
		bench_row(out, &(struct bench_row){ .value = wait, .unit = "ns", .peer = "a flip", .peer_value = flip,
						    .direction = BENCH_AT_MOST, .limit = 10 },
			  "%s, a read that faults, p99.9", size_name(bs));
	}
	down = trip_down(&t);
	pages_down(&p);
	free(ours);
	free(theirs);
	return bench_rig_down(out, &rig, ret ?: down);
}

static int run(struct bench_out *out)
{
	if (bench_quick())
		return one_size(out, 64 * KIB, 32, 50);
	return one_size(out, 64 * KIB, 32, 4000) ?: one_size(out, 2 * MIB, 8, 400);
}

const struct bench bench_reader = {
	.name = "reader", .what = "how long a reader waits for a block that is being moved", .guest = true,
	.vm = "-c 1 -a preempt=full", .run = run,
};
