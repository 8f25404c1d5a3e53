// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Virtual time: arrivals, begins, tokens, ticks and ends of moves, each at its time.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/simulate/full.h"
#include "tools/simulate/server.h"

static double arrival(const struct server *s, uint32_t i)
{
	return s->load->requests[i].ms / s->model->speed;
}

static unsigned int free_gpu(const struct server *s, const double *until)
{
	unsigned int first = 0;

	for (unsigned int g = 1; g < (unsigned int)s->model->servers; g++)
		if (until[g] < until[first])
			first = g;
	return first;
}

/* Read a request's prefix over all links; returns when the last of it is there. */
static double load_prefix(struct server *s, const struct sim_request *r, uint32_t hits)
{
	double end = s->now, n[SIM_TIERS] = { 0 };
	struct sim_machine *m = &s->machine;

	for (uint32_t i = 0; i < hits; i++)
		n[m->where[s->load->refs.block[r->first + i]]]++;
	for (unsigned int t = 0; t < m->nr_tiers; t++) {
		if (!n[t])
			continue;
		end = fmax(end, sim_read(m, t, s->now, n[t]));
		if (!s->counting)
			continue;
		s->result->read_bytes += n[t] * s->model->block_bytes;
		*(t ? &s->result->far_busy : &s->result->fast_busy) += n[t] / m->tier[t].blocks_per_ms;
	}
	if (s->model->pcie_mbps > 0)
		end = fmax(end, s->now + hits * s->model->block_bytes / (s->model->pcie_mbps * 1e3));
	if (s->counting) {
		s->result->rereads += hits;
		s->result->fast_rereads += (uint64_t)n[0];
	}
	return end;
}

/* What has been read from a disk is in DRAM now, where there is room. */
static void bring_in(struct server *s, const struct sim_request *r, uint32_t hits)
{
	struct sim_machine *m = &s->machine;

	for (uint32_t i = 0; i < hits; i++) {
		uint32_t block = s->load->refs.block[r->first + i];

		if (m->where[block] == 0 || !s->fast.in[block] || !sim_room(m, 0))
			continue;
		m->tier[m->where[block]].used--;
		m->tier[0].used++;
		m->where[block] = 0;
		m->changes++;
		if (s->counting) {
			s->result->promoted_bytes += s->model->block_bytes;
			s->result->reread_bytes += s->model->block_bytes;
		}
	}
}

static void begin(struct server *s, uint32_t i, double *gpu)
{
	const struct sim_request *r = &s->load->requests[i];
	const struct sim_model *model = s->model;
	struct outcome *o = &s->outcomes[i];
	uint32_t hits = keep_prefix(s, r);
	double cached = hits * model->block_tokens, loaded, beside, rest, again = 0;
	double tokens = r->input > cached ? r->input - cached : 1, bare = hits / s->machine.tier[0].blocks_per_ms;

	for (uint32_t k = hits; k < r->nr; k++)
		if (s->known[s->load->refs.block[r->first + k]])
			again += fmin(model->block_tokens, fmax(r->input - k * model->block_tokens, 0));
	loaded = load_prefix(s, r, hits) - s->now;
	beside = tokens / model->prefill_tps * 1e3 * model->overlap_percent / 100;
	rest = tokens / model->prefill_tps * 1e3 - beside;
	if (model->pcie_mbps > 0)
		bare = fmax(bare, hits * model->block_bytes / (model->pcie_mbps * 1e3));
	o->stall = fmax(0, loaded - beside);
	o->excess = fmax(0, loaded - fmax(beside, bare));
	o->ttft = s->now - arrival(s, i) + fmax(loaded, beside) + rest;
	o->kept = o->ttft <= model->objective_ms;
	*gpu = s->now + fmax(loaded, beside) + rest;
	if (s->counting) {
		s->result->prefilled += (uint64_t)tokens;
		s->result->recomputed += (uint64_t)again;
		s->result->busy += fmax(loaded, beside) + rest;
	}
	keep_begin(s, r, hits);
	if (s->policy->kind == SIM_NVME)
		bring_in(s, r, hits);
	if (model->pcie_mbps > 0)
		keep_end(s, r);
	else
		answer_add(s, i, *gpu);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static struct sim_spread spread(double *v, size_t nr)
{
	struct sim_spread out = { 0 };

	if (!nr)
		return out;
	qsort(v, nr, sizeof(*v), by_value);
	for (size_t i = 0; i < nr; i++)
		out.mean += v[i] / (double)nr;
	out.p50 = v[(nr - 1) / 2];
	out.p99 = v[(size_t)ceil((double)nr * 0.99) - 1];
	return out;
}

static void finish(struct server *s, double from_ms)
{
	double *v = malloc(((size_t)s->load->nr + 1) * sizeof(*v)), ms = s->now - from_ms / s->model->speed;
	struct sim_result *result = s->result;
	uint32_t first = 0, kept = 0, nr;
	double far = 0;

	if (!v) {
		s->err = -ENOMEM;
		return;
	}
	while (first < s->load->nr && s->load->requests[first].ms < from_ms)
		first++;
	nr = s->load->nr - first;
	for (uint32_t i = 0; i < nr; i++) {
		v[i] = s->outcomes[first + i].stall;
		kept += s->outcomes[first + i].kept;
	}
	result->stall = spread(v, nr);
	for (uint32_t i = 0; i < nr; i++)
		v[i] = s->outcomes[first + i].excess;
	result->excess = spread(v, nr);
	for (uint32_t i = 0; i < nr; i++)
		v[i] = s->outcomes[first + i].ttft;
	result->ttft = spread(v, nr);
	free(v);
	for (unsigned int t = 1; t < s->machine.nr_tiers; t++)
		far++;
	result->requests = nr;
	result->seconds = ms / 1e3;
	result->kept = nr ? (double)kept / nr : 0;
	result->goodput = ms > 0 ? kept / (ms / 1e3) : 0;
	if (ms > 0) {
		result->busy /= ms * s->model->servers;
		result->fast_busy /= ms;
		result->far_busy /= ms * (far ? far : 1);
	}
}

static double least(double a, double b, double c, double d)
{
	return fmin(fmin(a, b), fmin(c, d));
}

static void play(struct server *s)
{
	double gpu[SIM_SERVERS_MAX] = { 0 }, tick = s->daemon ? s->model->tick_ms : INFINITY;
	uint32_t arrived = 0, begun = 0, nr = s->load->nr;

	for (;;) {
		unsigned int g = free_gpu(s, gpu);
		double move = sim_move_next(&s->machine), token = answer_next(s), start = INFINITY, arrives = INFINITY;

		if (arrived < nr)
			arrives = arrival(s, arrived);
		if (begun < nr)
			start = fmax(arrival(s, begun), gpu[g]);
		if (begun == nr && token == INFINITY)
			break;
		s->now = fmin(least(move, token, start, arrives), tick);
		/* the order at one time: what ends, what is told, what is decided, what begins */
		if (move == s->now) {
			keep_move_end(s);
		} else if (arrives == s->now) {
			s->counting = s->load->requests[arrived].ms >= s->setup->from_ms;
			keep_announce(s, &s->load->requests[arrived++]);
		} else if (tick == s->now) {
			keep_tick(s);
			tick += s->model->tick_ms;
		} else if (token == s->now) {
			answer_step(s);
		} else {
			begin(s, begun++, &gpu[g]);
		}
		if (s->err)
			return;
	}
	/* the last prefills end after the last begin */
	for (unsigned int g = 0; g < (unsigned int)s->model->servers; g++)
		s->now = fmax(s->now, gpu[g]);
}

int sim_full_run(const struct sim_load *load, const struct sim_policy *policy, const struct sim_setup *setup,
		 struct sim_result *result)
{
	struct server s = { .load = load, .policy = policy, .setup = setup, .model = setup->model, .result = result };

	*result = (struct sim_result) { 0 };
	s.outcomes = calloc((size_t)load->nr + 1, sizeof(*s.outcomes));
	s.waiting = calloc((size_t)load->nr + 1, sizeof(*s.waiting));
	s.active = calloc((size_t)setup->model->batch + 1, sizeof(*s.active));
	s.err = s.outcomes && s.waiting && s.active ? keep_init(&s) : -ENOMEM;
	if (!s.err)
		play(&s);
	if (!s.err)
		finish(&s, setup->from_ms);
	keep_free(&s);
	free(s.outcomes);
	free(s.waiting);
	free(s.active);
	return s.err;
}
