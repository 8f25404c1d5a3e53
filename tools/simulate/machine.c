// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tiers, frames, moves and links. Times are milliseconds.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/simulate/machine.h"

/* However much is moved, reads get this part of a link. */
#define READ_SHARE	0.1

static double blocks_per_ms(const struct sim_model *model, double mbps)
{
	return mbps * 1e3 / model->block_bytes;
}

int sim_machine_init(struct sim_machine *m, const struct sim_model *model, uint32_t nr_blocks, uint64_t fast,
		     uint64_t far, bool nvme)
{
	unsigned int devices = nvme ? 1 : (unsigned int)model->cxl_devices;
	unsigned int direct = nvme ? 1 : devices - (unsigned int)fmin(devices, model->switched_devices);
	size_t nr = (size_t)nr_blocks + 1;

	*m = (struct sim_machine) { .nr_tiers = far ? 1 + devices : 1 };
	for (unsigned int t = 0; t < m->nr_tiers; t++) {
		struct sim_tier *tier = &m->tier[t];

		tier->frames = t ? far / devices + (t <= far % devices) : fast;
		tier->reserve = (uint64_t)ceil((double)tier->frames * model->reserve_percent / 100);
		tier->rank = !t ? 0 : t <= direct ? 1 : 2;
		tier->blocks_per_ms = blocks_per_ms(model, !t ? model->dram_mbps : nvme ? model->nvme_mbps :
						    t <= direct ? model->cxl_mbps : model->switched_mbps);
		tier->latency_ms = (!t ? model->dram_ns : nvme ? model->nvme_ns :
				    t <= direct ? model->cxl_ns : model->switched_ns) / 1e6;
		tier->half_duplex = !t;
	}
	for (unsigned int a = 0; a < m->nr_tiers; a++)
		for (unsigned int b = 0; b < m->nr_tiers; b++)
			m->queue[a][b].blocks_per_ms = fmin(m->tier[a].blocks_per_ms, m->tier[b].blocks_per_ms) *
						       model->budget_percent / 100;
	m->where = malloc(nr);
	m->birth = calloc(nr, sizeof(*m->birth));
	m->moving = calloc(nr, 1);
	if (m->where && m->birth && m->moving) {
		memset(m->where, SIM_NOWHERE, nr);
		return 0;
	}
	sim_machine_free(m);
	return -ENOMEM;
}

void sim_machine_free(struct sim_machine *m)
{
	for (unsigned int a = 0; a < m->nr_tiers; a++)
		for (unsigned int b = 0; b < m->nr_tiers; b++)
			free(m->queue[a][b].ring);
	free(m->where);
	free(m->birth);
	free(m->moving);
	*m = (struct sim_machine) { 0 };
}

void sim_place(struct sim_machine *m, uint32_t block, unsigned int tier)
{
	m->where[block] = (uint8_t)tier;
	m->tier[tier].used++;
	m->birth[block]++;
	m->changes++;
}

void sim_take(struct sim_machine *m, uint32_t block)
{
	m->tier[m->where[block]].used--;
	m->where[block] = SIM_NOWHERE;
	m->moving[block] = 0;
	m->changes++;
}

unsigned int sim_emptiest(const struct sim_machine *m, unsigned int first)
{
	unsigned int best = SIM_NOWHERE;
	double least = INFINITY;

	for (unsigned int t = first; t < m->nr_tiers; t++) {
		double load = (double)m->tier[t].used / m->tier[t].blocks_per_ms;

		if (!sim_room(m, t))
			continue;
		if (sim_room(m, t) <= m->tier[t].reserve)
			load += 1e12;
		if (load < least) {
			least = load;
			best = t;
		}
	}
	return best;
}

int sim_move_begin(struct sim_machine *m, double now, uint32_t block, unsigned int to, uint32_t batch, uint32_t index)
{
	unsigned int from = m->where[block];
	struct sim_queue *q = &m->queue[from][to];

	if (q->nr == q->room) {
		size_t room = q->room ? q->room * 2 : 64;
		struct sim_move *ring = malloc(room * sizeof(*ring));

		if (!ring)
			return -ENOMEM;
		for (size_t i = 0; i < q->nr; i++)
			ring[i] = q->ring[(q->head + i) % q->room];
		free(q->ring);
		q->ring = ring;
		q->room = room;
		q->head = 0;
	}
	q->busy_ms = fmax(q->busy_ms, now) + 1 / q->blocks_per_ms;
	q->ring[(q->head + q->nr++) % q->room] = (struct sim_move) {
		.end_ms = q->busy_ms, .block = block, .birth = m->birth[block], .batch = batch, .index = index,
		.from = (uint8_t)from, .to = (uint8_t)to,
	};
	m->moving[block] = 1;
	return 0;
}

static const struct sim_queue *next_queue(const struct sim_machine *m)
{
	const struct sim_queue *next = NULL;

	for (unsigned int a = 0; a < m->nr_tiers; a++) {
		for (unsigned int b = 0; b < m->nr_tiers; b++) {
			const struct sim_queue *q = &m->queue[a][b];

			if (q->nr && (!next || q->ring[q->head].end_ms < next->ring[next->head].end_ms))
				next = q;
		}
	}
	return next;
}

double sim_move_next(const struct sim_machine *m)
{
	const struct sim_queue *q = next_queue(m);

	return q ? q->ring[q->head].end_ms : INFINITY;
}

struct sim_move sim_move_end(struct sim_machine *m)
{
	struct sim_queue *q = (struct sim_queue *)next_queue(m);
	struct sim_move move = q->ring[q->head];

	q->head = (q->head + 1) % q->room;
	q->nr--;
	if (m->birth[move.block] == move.birth)
		m->moving[move.block] = 0;
	return move;
}

int sim_move_apply(struct sim_machine *m, const struct sim_move *move)
{
	if (m->birth[move->block] != move->birth || m->where[move->block] != move->from)
		return -ENODATA;
	if (!sim_room(m, move->to))
		return -ENOSPC;
	m->tier[move->from].used--;
	m->tier[move->to].used++;
	m->where[move->block] = move->to;
	m->changes++;
	return 0;
}

/* What moves take from the reads of a tier at a time, and until when that stays so. */
static double taken(const struct sim_machine *m, unsigned int tier, double at, double *until)
{
	double rate = 0;

	*until = INFINITY;
	for (unsigned int other = 0; other < m->nr_tiers; other++) {
		const struct sim_queue *out = &m->queue[tier][other], *in = &m->queue[other][tier];

		if (out->busy_ms > at) {
			rate += out->blocks_per_ms;
			*until = fmin(*until, out->busy_ms);
		}
		if (m->tier[tier].half_duplex && in->busy_ms > at) {
			rate += in->blocks_per_ms;
			*until = fmin(*until, in->busy_ms);
		}
	}
	return rate;
}

double sim_read(struct sim_machine *m, unsigned int tier, double now, double blocks)
{
	struct sim_tier *t = &m->tier[tier];
	double at = fmax(now, t->busy_ms);

	if (blocks <= 0)
		return now;
	for (;;) {
		double until, rate = t->blocks_per_ms - taken(m, tier, at, &until);

		rate = fmax(rate, READ_SHARE * t->blocks_per_ms);
		if (at + blocks / rate <= until) {
			t->busy_ms = at + blocks / rate;
			return t->busy_ms + t->latency_ms;
		}
		blocks -= (until - at) * rate;
		at = until;
	}
}
