// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Decoding where blocks are read in place: all active answers get their next token together, when the computing is done
 * and each of them has read all its blocks.
 */
#include <math.h>
#include <string.h>

#include "tools/simulate/server.h"

void answer_add(struct server *s, uint32_t request, double ready)
{
	uint32_t output = s->load->requests[request].output, at = s->head_waiting + s->nr_waiting++;

	while (at > s->head_waiting && s->waiting[at - 1].begin_ms > ready) {
		s->waiting[at] = s->waiting[at - 1];
		at--;
	}
	s->waiting[at] = (struct answer) {
		.request = request, .left = output > 1 ? output - 1 : 0, .begin_ms = ready, .sampled_ms = ready,
		.changes = UINT64_MAX,
	};
}

double answer_next(const struct server *s)
{
	if (s->nr_active)
		return s->step_end;
	return s->nr_waiting ? s->waiting[s->head_waiting].begin_ms : INFINITY;
}

static void end(struct server *s, const struct answer *a)
{
	const struct sim_request *r = &s->load->requests[a->request];
	struct outcome *o = &s->outcomes[a->request];

	if (r->output > 1 && (s->now - a->begin_ms) / (r->output - 1) > s->model->objective_token_ms)
		o->kept = false;
	keep_end(s, r);
}

/* Where an answer's blocks are, unless nothing has changed since. */
static void look(struct server *s, struct answer *a)
{
	const struct sim_request *r = &s->load->requests[a->request];
	const uint32_t *blocks = &s->load->refs.block[r->first];
	bool nvme = s->policy->kind == SIM_NVME;

	if (a->changes == s->machine.changes)
		return;
	a->changes = s->machine.changes;
	memset(a->blocks, 0, sizeof(a->blocks));
	for (uint32_t i = 0; i < r->nr; i++) {
		uint8_t tier = s->machine.where[blocks[i]];

		/* what is not kept, and what is on a disk, is in a buffer of DRAM while it is used */
		a->blocks[tier == SIM_NOWHERE || nvme ? 0 : tier]++;
		keep_read(s, blocks[i]);
	}
}

static void step_begin(struct server *s)
{
	uint64_t blocks[SIM_TIERS] = { 0 };

	double all = 0;

	for (uint32_t i = 0; i < s->nr_active; i++) {
		look(s, &s->active[i]);
		for (unsigned int t = 0; t < s->machine.nr_tiers; t++)
			blocks[t] += s->active[i].blocks[t];
	}
	for (unsigned int t = 0; t < s->machine.nr_tiers; t++)
		all += (double)blocks[t];
	s->step_ms = s->now;
	s->step_bare = fmax(s->model->decode_ms, all / s->machine.tier[0].blocks_per_ms);
	s->step_end = s->now + s->model->decode_ms;
	for (unsigned int t = 0; t < s->machine.nr_tiers; t++) {
		s->step_end = fmax(s->step_end, sim_read(&s->machine, t, s->now, (double)blocks[t]));
		if (!s->counting)
			continue;
		s->result->read_bytes += (double)blocks[t] * s->model->block_bytes;
		*(t ? &s->result->far_busy : &s->result->fast_busy) +=
			(double)blocks[t] / s->machine.tier[t].blocks_per_ms;
	}
}

void answer_step(struct server *s)
{
	double took = s->step_end - s->step_ms;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < s->nr_active; i++) {
		struct answer *a = &s->active[i];

		s->outcomes[a->request].stall += took - s->model->decode_ms;
		s->outcomes[a->request].excess += fmax(0, took - s->step_bare);
		a->left--;
		if (s->now - a->sampled_ms >= s->model->sample_ms) {
			a->sampled_ms = s->now;
			keep_sampled(s, &s->load->requests[a->request]);
		}
		if (a->left)
			s->active[kept++] = *a;
		else
			end(s, a);
	}
	s->nr_active = kept;
	while (s->nr_waiting && s->nr_active < (uint32_t)s->model->batch &&
	       s->waiting[s->head_waiting].begin_ms <= s->now) {
		struct answer *a = &s->waiting[s->head_waiting++];

		s->nr_waiting--;
		if (a->left)
			s->active[s->nr_active++] = *a;
		else
			end(s, a);
	}
	if (s->nr_active)
		step_begin(s);
}
