// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which blocks exist, and where: the server's index, which drops the least recently used block when all tiers are full,
 * births, and moves as the policy or kvoffd wants them.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/simulate/owners.h"
#include "tools/simulate/server.h"

static void begin_move(struct server *s, uint32_t block, unsigned int to)
{
	if (to != SIM_NOWHERE && sim_move_begin(&s->machine, s->now, block, to, SIM_NO_BATCH, 0))
		s->err = -ENOMEM;
}

/* The policy has changed its mind: bring the block to where it wants it, if it is not under way. */
static void settle(struct server *s, uint32_t block)
{
	struct sim_machine *m = &s->machine;
	bool is_fast = m->where[block] == 0, wanted = s->fast.in[block];

	if (m->where[block] == SIM_NOWHERE || m->moving[block] || is_fast == wanted || m->nr_tiers < 2)
		return;
	begin_move(s, block, wanted ? 0 : sim_emptiest(m, 1));
}

static void changed(void *ctx, uint32_t block, bool in)
{
	/* what enters is settled by its reference: a new block has no frame yet */
	if (!in)
		settle(ctx, block);
}

static bool far_kind(const struct server *s)
{
	return s->policy->kind != SIM_DRAM_ONLY;
}

static void carry_out(void *ctx, unsigned int batch, unsigned int from, unsigned int to, uint32_t nr,
		      const uint64_t *blocks)
{
	struct server *s = ctx;

	for (uint32_t i = 0; i < nr; i++) {
		uint32_t block = (uint32_t)blocks[i];

		if (s->machine.where[block] != from)
			sim_daemon_moved(s->daemon, s->now, batch, i, -ENODATA);
		else if (sim_move_begin(&s->machine, s->now, block, to, batch, i))
			s->err = -ENOMEM;
	}
}

static int daemon_init(struct server *s)
{
	struct sim_daemon_tier tiers[SIM_TIERS];
	const char *set[1 + 64];
	char budget[32];
	struct sim_daemon_setup setup = {
		.nr_blocks = s->load->refs.nr_blocks, .nr_tiers = s->machine.nr_tiers, .tiers = tiers, .set = set,
		.reserve_percent = (unsigned int)s->model->reserve_percent, .move = carry_out, .ctx = s,
		.round_ms = s->fast.in_place ? (uint64_t)s->model->sample_ms : 0,
	};

	snprintf(budget, sizeof(budget), "budget=%.2f%%", s->model->budget_percent);
	set[setup.nr_set++] = budget;
	for (unsigned int i = 0; i < s->setup->nr_set && setup.nr_set < 65; i++)
		set[setup.nr_set++] = s->setup->set[i];
	for (unsigned int t = 0; t < s->machine.nr_tiers; t++)
		tiers[t] = (struct sim_daemon_tier) {
			.rank = s->machine.tier[t].rank, .frames = s->machine.tier[t].frames,
			.blocks_per_s = s->machine.tier[t].blocks_per_ms * 1e3,
		};
	s->daemon = sim_daemon_new(&setup);
	if (!s->daemon)
		return -ENOMEM;
	for (unsigned int a = 0; a < s->machine.nr_tiers; a++)
		for (unsigned int b = 0; b < s->machine.nr_tiers; b++)
			s->machine.queue[a][b].blocks_per_ms = sim_daemon_budget(s->daemon, a, b) / 1e3;
	return 0;
}

int keep_init(struct server *s)
{
	const struct sim_model *model = s->model;
	size_t nr = (size_t)s->load->refs.nr_blocks + 1;
	double all = model->capacity_percent / 100 * s->load->refs.nr_blocks, fast = all * s->setup->fast_percent / 100;
	uint64_t far = (uint64_t)all - (uint64_t)fast, keep;
	bool nvme = s->policy->kind == SIM_NVME;
	int err;

	if (nvme)
		far = (uint64_t)(model->nvme_percent / 100 * s->load->refs.nr_blocks);
	else if (!far_kind(s))
		far = 0;
	if (fast < 1)
		return -ERANGE;
	err = sim_machine_init(&s->machine, model, s->load->refs.nr_blocks, (uint64_t)fast, far, nvme);
	if (err)
		return err;
	s->known = calloc(nr, 1);
	s->mark = calloc(nr, 1);
	s->born_ms = calloc(nr, sizeof(*s->born_ms));
	s->sampled_ms = calloc(nr, sizeof(*s->sampled_ms));
	s->moved_ms = calloc(nr, sizeof(*s->moved_ms));
	s->users = calloc(nr, sizeof(*s->users));
	s->owners = calloc(nr, sizeof(*s->owners));
	s->fast = (struct sim_fast) { .in_place = model->pcie_mbps <= 0, .changed = changed, .ctx = s };
	s->fast.in = calloc(nr, 1);
	if (!links_init(&s->index_links, s->load->refs.nr_blocks) || !s->known || !s->mark || !s->born_ms ||
	    !s->sampled_ms || !s->moved_ms || !s->users || !s->owners || !s->fast.in)
		return -ENOMEM;
	s->index = LIST_INIT;
	keep = (uint64_t)ceil((double)((uint64_t)fast + far) * model->headroom_percent / 100);
	s->index_max = (uint32_t)((uint64_t)fast + far > keep + 1 ? (uint64_t)fast + far - keep : 1);
	keep = s->machine.tier[0].reserve + (uint64_t)ceil(fast * model->headroom_percent / 100);
	s->fast.capacity = (uint64_t)fast > keep + 1 ? (uint32_t)((uint64_t)fast - keep) : 1;
	if (s->policy->make) {
		s->state = s->policy->make(&s->fast, &s->load->refs);
		return s->state ? 0 : -ENOMEM;
	}
	return s->policy->kind == SIM_DAEMON ? daemon_init(s) : 0;
}

void keep_free(struct server *s)
{
	if (s->state)
		s->policy->free(s->state);
	sim_daemon_free(s->daemon);
	sim_machine_free(&s->machine);
	links_free(&s->index_links);
	free(s->known);
	free(s->mark);
	free(s->born_ms);
	free(s->sampled_ms);
	free(s->moved_ms);
	free(s->users);
	free(s->owners);
	free(s->fast.in);
}

uint32_t keep_prefix(const struct server *s, const struct sim_request *r)
{
	const uint32_t *blocks = &s->load->refs.block[r->first];
	uint32_t n = 0;

	while (n < r->nr && s->machine.where[blocks[n]] != SIM_NOWHERE)
		n++;
	return n;
}

static void reference(struct server *s, uint32_t block, uint32_t at)
{
	s->policy->reference(s->state, block, at);
	settle(s, block);
}

void keep_announce(struct server *s, const struct sim_request *r)
{
	uint32_t hits = keep_prefix(s, r);

	for (uint32_t at = r->first; at < r->first + hits; at++) {
		uint32_t block = s->load->refs.block[at];

		if (s->state)
			reference(s, block, at);
		else if (s->daemon)
			sim_daemon_prefetch(s->daemon, block);
	}
}

static void drop(struct server *s, uint32_t block)
{
	list_remove(&s->index, &s->index_links, block);
	sim_take(&s->machine, block);
	s->mark[block] = 0;
	if (s->state)
		s->policy->drop(s->state, block);
	if (s->daemon)
		sim_daemon_gone(s->daemon, block);
}

/* Room for one more block in the index; blocks in use do not go. */
static bool make_room(struct server *s)
{
	uint32_t block = s->index.tail;

	while (s->index.nr >= s->index_max) {
		while (block != LIST_END && s->users[block])
			block = s->index_links.prev[block];
		if (block == LIST_END)
			return false;
		drop(s, block);
		block = s->index.tail;
	}
	return true;
}

static unsigned int birthplace(struct server *s, uint32_t block, uint32_t at)
{
	const struct sim_machine *m = &s->machine;
	bool fast = true, room = sim_room(m, 0) > m->tier[0].reserve;
	unsigned int far = sim_emptiest(m, 1);

	if (s->policy->kind == SIM_STRIPED)
		return sim_emptiest(m, 0);
	if (s->state) {
		s->policy->reference(s->state, block, at);
		fast = s->fast.in[block];
	}
	if ((fast && room) || far == SIM_NOWHERE)
		return sim_room(m, 0) ? 0 : SIM_NOWHERE;
	return far;
}

static void make(struct server *s, uint32_t block, uint32_t at)
{
	unsigned int tier = make_room(s) ? birthplace(s, block, at) : SIM_NOWHERE;

	s->known[block] = 1;
	if (tier == SIM_NOWHERE) {
		if (s->state)
			s->policy->drop(s->state, block);
		return;
	}
	sim_place(&s->machine, block, tier);
	s->born_ms[block] = s->now;
	s->mark[block] = 0;
	list_push(&s->index, &s->index_links, block);
	if (s->daemon) {
		sim_daemon_born(s->daemon, block, tier);
		sim_daemon_touch(s->daemon, block);
	}
}

void keep_read(struct server *s, uint32_t block)
{
	if (s->mark[block] & MARK_PROMOTED) {
		s->mark[block] = 0;
		if (s->counting)
			s->result->reread_bytes += s->model->block_bytes;
	}
}

void keep_sampled(struct server *s, const struct sim_request *r)
{
	for (uint32_t at = r->first; at < r->first + r->nr; at++) {
		uint32_t block = s->load->refs.block[at];

		if (s->machine.where[block] == SIM_NOWHERE || s->now - s->sampled_ms[block] < s->model->sample_ms)
			continue;
		s->sampled_ms[block] = s->now;
		if (s->daemon)
			sim_daemon_sampled(s->daemon, block);
		else if (s->state)
			reference(s, block, at);
	}
}

void keep_begin(struct server *s, const struct sim_request *r, uint32_t hits)
{
	const uint32_t *blocks = &s->load->refs.block[r->first];

	sim_owners_begin(s->owners, s->load, r);
	/* the end of a prefix is the first to go */
	for (uint32_t i = r->nr; i-- > 0;) {
		if (s->machine.where[blocks[i]] == SIM_NOWHERE)
			continue;
		list_remove(&s->index, &s->index_links, blocks[i]);
		list_push(&s->index, &s->index_links, blocks[i]);
	}
	for (uint32_t i = 0; i < r->nr; i++) {
		uint32_t block = blocks[i];

		if (s->machine.where[block] == SIM_NOWHERE)
			continue;
		/* it was announced when it did not exist yet */
		if (s->state && (i >= hits || s->born_ms[block] > r->ms / s->model->speed))
			reference(s, block, r->first + i);
		if (s->daemon)
			sim_daemon_touch(s->daemon, block);
		if (i < hits)
			keep_read(s, block);
		/* nothing of its own goes to make room for the rest */
		s->users[block]++;
	}
	for (uint32_t i = hits; i < r->nr; i++) {
		if (s->machine.where[blocks[i]] != SIM_NOWHERE)
			continue;
		make(s, blocks[i], r->first + i);
		s->users[blocks[i]]++;
	}
}

void keep_end(struct server *s, const struct sim_request *r)
{
	const uint32_t *blocks = &s->load->refs.block[r->first];

	for (uint32_t i = 0; i < r->nr; i++) {
		if (!--s->users[blocks[i]] && s->fast.in_place && s->state && s->policy->release)
			s->policy->release(s->state, blocks[i], r->first + i);
		if (r->ends && sim_owners_end(s->owners, s->load, r, i) && s->daemon &&
		    s->machine.where[blocks[i]] != SIM_NOWHERE)
			sim_daemon_done(s->daemon, blocks[i]);
	}
}

static void count_move(struct server *s, const struct sim_move *move)
{
	uint32_t block = move->block;
	bool up = move->to == 0, down = move->from == 0;

	s->mark[block] = up ? MARK_PROMOTED : 0;
	if (s->counting) {
		s->result->promoted_bytes += up ? s->model->block_bytes : 0;
		s->result->demoted_bytes += down ? s->model->block_bytes : 0;
		s->result->twice += s->moved_ms[block] > 0 && s->now - s->moved_ms[block] < s->model->window_ms;
	}
	s->moved_ms[block] = s->now;
}

void keep_move_end(struct server *s)
{
	struct sim_machine *m = &s->machine;
	struct sim_move move = sim_move_end(m);
	bool wanted = s->daemon || s->fast.in[move.block] == (move.to == 0);
	int err = wanted ? sim_move_apply(m, &move) : 0;

	if (wanted && !err)
		count_move(s, &move);
	if (move.batch != SIM_NO_BATCH)
		sim_daemon_moved(s->daemon, s->now, move.batch, move.index, err);
	/* a block that has no room up there waits for its next use; one that must go tries again */
	else if (err == -ENOSPC && move.to)
		settle(s, move.block);
}

void keep_tick(struct server *s)
{
	uint64_t room[SIM_TIERS] = { 0 };

	for (unsigned int t = 0; t < s->machine.nr_tiers; t++)
		room[t] = sim_room(&s->machine, t);
	sim_daemon_tick(s->daemon, s->now, room);
}
