// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A workload of another shape than a chat service's: agents that work in steps and pause in between, for seconds while
 * a tool runs, for minutes while somebody thinks; all of them begin with one shared prefix. Now and then a batch job
 * reads through documents, twice each, in order. Some requests come once and never again.
 */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "tools/simulate/load.h"
#include "tools/simulate/simulate.h"

#define BLOCK_TOKENS	512

/* Blocks of the prefix that all agents share. */
#define SHARED_BLOCKS	24
/* Seconds from one agent's begin to the next; its steps, the blocks it begins with, those that a step adds (means). */
#define AGENT_EVERY	5.0
#define AGENT_STEPS	14
#define AGENT_BLOCKS	12
#define STEP_BLOCKS	2
/* Of a hundred pauses so many are long ones; medians in seconds. */
#define LONG_PERCENT	25
#define SHORT_PAUSE	4.0
#define LONG_PAUSE	90.0
/* Seconds from one request that never comes again to the next, and its blocks. */
#define ONCE_EVERY	2.0
#define ONCE_BLOCKS	14
/* The batch job: when it begins first, how often, for how long it reads; a document every so often, and its blocks. */
#define BATCH_FIRST	420.0
#define BATCH_EVERY	1500.0
#define BATCH_SECONDS	300.0
#define DOCUMENT_EVERY	0.75
#define DOCUMENT_BLOCKS	40

struct event {
	double s;
	uint64_t first_own;	/* blocks of its own, numbered from here */
	uint32_t own, shared, input, output, order;
};

struct events {
	struct event *event;
	size_t nr, room;
	uint64_t next_block, seed, draws;
	double end;
	bool full;
};

static double draw(struct events *e)
{
	return ((double)(sim_mix(e->seed, e->draws++) >> 11) + 0.5) / (double)(1ull << 53);
}

static double draw_exponential(struct events *e, double mean)
{
	return -log(draw(e)) * mean;
}

/* Around a median, by a factor of two or so to both sides. */
static double draw_around(struct events *e, double median)
{
	double a = draw(e), b = draw(e);

	return median * exp(0.8 * sqrt(-2 * log(a)) * cos(6.283185307179586 * b));
}

static uint32_t draw_count(struct events *e, double mean, uint32_t least)
{
	return least + (uint32_t)draw_exponential(e, mean - least + 0.5);
}

static void add(struct events *e, double s, uint32_t shared, uint64_t first, uint32_t own, uint32_t output)
{
	if (e->nr == e->room) {
		size_t room = e->room ? e->room * 2 : 4096;
		struct event *bigger = realloc(e->event, room * sizeof(*bigger));

		if (!bigger) {
			e->full = true;
			return;
		}
		e->event = bigger;
		e->room = room;
	}
	/* the last block is not full */
	e->event[e->nr] = (struct event) {
		.s = s, .first_own = first, .own = own, .shared = shared, .order = (uint32_t)e->nr, .output = output,
		.input = (shared + own) * BLOCK_TOKENS - (uint32_t)(draw(e) * (BLOCK_TOKENS - 1)),
	};
	e->nr++;
}

static void agent(struct events *e, double s)
{
	uint32_t steps = draw_count(e, AGENT_STEPS, 1), own = draw_count(e, AGENT_BLOCKS, 2);
	uint64_t first = e->next_block;

	for (uint32_t i = 0; i < steps && s < e->end; i++) {
		bool is_long = draw(e) * 100 < LONG_PERCENT;

		add(e, s, SHARED_BLOCKS, first, own, 20 + (uint32_t)draw_exponential(e, 200));
		s += draw_around(e, is_long ? LONG_PAUSE : SHORT_PAUSE);
		own += draw_count(e, STEP_BLOCKS, 1);
	}
	/* numbers are not reused, even those that no step came to */
	e->next_block += own;
}

static void batch(struct events *e, double s)
{
	uint32_t nr = (uint32_t)(BATCH_SECONDS / 2 / DOCUMENT_EVERY);
	uint64_t first = e->next_block;

	for (uint32_t pass = 0; pass < 2; pass++)
		for (uint32_t i = 0; i < nr; i++, s += DOCUMENT_EVERY)
			if (s < e->end)
				add(e, s, 0, first + (uint64_t)i * DOCUMENT_BLOCKS, DOCUMENT_BLOCKS, 16);
	e->next_block += (uint64_t)nr * DOCUMENT_BLOCKS;
}

static int by_time(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	if (x->s != y->s)
		return x->s < y->s ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

int sim_generate(FILE *f, uint64_t seed, double seconds, double scale)
{
	struct events e = { .seed = seed, .end = seconds, .next_block = SHARED_BLOCKS };

	for (double s = 0; s < e.end; s += draw_exponential(&e, AGENT_EVERY / scale))
		agent(&e, s);
	for (double s = 1; s < e.end; s += draw_exponential(&e, ONCE_EVERY / scale)) {
		uint32_t own = draw_count(&e, ONCE_BLOCKS, 1);

		add(&e, s, 0, e.next_block, own, 20 + (uint32_t)draw_exponential(&e, 300));
		e.next_block += own;
	}
	for (double s = BATCH_FIRST; s < e.end; s += BATCH_EVERY)
		batch(&e, s);
	if (e.full) {
		free(e.event);
		return -ENOMEM;
	}
	qsort(e.event, e.nr, sizeof(*e.event), by_time);
	for (size_t i = 0; i < e.nr; i++) {
		const struct event *v = &e.event[i];

		fprintf(f, "{\"timestamp\": %.0f, \"input_length\": %u, \"output_length\": %u, \"hash_ids\": [",
			floor(v->s * 1000), v->input, v->output);
		for (uint32_t k = 0; k < v->shared; k++)
			fprintf(f, "%s%u", k ? ", " : "", k);
		for (uint32_t k = 0; k < v->own; k++)
			fprintf(f, "%s%llu", k || v->shared ? ", " : "", (unsigned long long)(v->first_own + k));
		fputs("]}\n", f);
	}
	free(e.event);
	return 0;
}
