// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Playing references with two tiers, the second one without end. A new block enters the fast tier; moves take no time.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "tools/simulate/daemon.h"
#include "tools/simulate/owners.h"
#include "tools/simulate/plain.h"

/**
 * struct play - one run
 * @fast:	what the policy wants, and has at once
 * @seen:	one byte a block
 * @counting:	the part of the trace that is reported has begun
 */
struct play {
	const struct sim_load *load;
	const struct sim_plain *how;
	struct sim_share *share;
	struct sim_fast fast;
	uint8_t *seen;
	bool counting;
	struct sim_daemon *daemon;
	double now_ms;
};

static void changed(void *ctx, uint32_t block, bool in)
{
	struct play *p = ctx;

	if (!p->counting || (in && !p->seen[block]))
		return;
	*(in ? &p->share->promoted : &p->share->demoted) += 1;
}

/* Counts one reference; the caller says where it found the block. */
static void count(struct play *p, uint32_t block)
{
	if (!p->counting || !p->seen[block])
		return;
	p->share->rereads++;
	p->share->fast += p->fast.in[block];
}

static int play_cache(struct play *p, const struct sim_policy *policy)
{
	const struct sim_refs *refs = &p->load->refs;
	void *state = policy->make ? policy->make(&p->fast, refs) : NULL;

	if (policy->make && !state)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->load->nr; i++) {
		const struct sim_request *r = &p->load->requests[i];

		p->counting = r->ms >= p->how->from_ms;
		for (uint32_t at = r->first; at < r->first + r->nr; at++) {
			uint32_t block = refs->block[at];

			count(p, block);
			if (state)
				policy->reference(state, block, at);
			else if (!p->seen[block] && p->fast.nr < p->fast.capacity)
				sim_enter(&p->fast, block);
			p->seen[block] = 1;
		}
	}
	if (state)
		policy->free(state);
	return 0;
}

static void move(void *ctx, unsigned int batch, unsigned int from, unsigned int to, uint32_t nr, const uint64_t *blocks)
{
	struct play *p = ctx;

	for (uint32_t i = 0; i < nr; i++) {
		if (to)
			sim_leave(&p->fast, (uint32_t)blocks[i]);
		else
			sim_enter(&p->fast, (uint32_t)blocks[i]);
		sim_daemon_moved(p->daemon, p->now_ms, batch, i, 0);
	}
}

static int play_daemon(struct play *p)
{
	const struct sim_refs *refs = &p->load->refs;
	const struct sim_daemon_tier tiers[2] = {
		{ .rank = 0, .frames = p->fast.capacity, .blocks_per_s = 4000 },
		{ .rank = 1, .frames = refs->nr_blocks, .blocks_per_s = 1000 },
	};
	const struct sim_daemon_setup setup = {
		.nr_blocks = refs->nr_blocks, .nr_tiers = 2, .tiers = tiers, .set = p->how->set,
		.nr_set = p->how->nr_set, .unlimited = true, .move = move, .ctx = p,
	};
	uint32_t *owners = calloc((size_t)refs->nr_blocks + 1, sizeof(*owners));
	double tick_ms = p->how->tick_ms;
	uint64_t born = 0;

	p->daemon = sim_daemon_new(&setup);
	if (!owners || !p->daemon) {
		free(owners);
		sim_daemon_free(p->daemon);
		return -ENOMEM;
	}
	p->now_ms = tick_ms;
	for (uint32_t i = 0; i < p->load->nr; i++) {
		const struct sim_request *r = &p->load->requests[i];

		for (; p->now_ms <= r->ms; p->now_ms += tick_ms) {
			uint64_t room[2] = { p->fast.capacity - p->fast.nr, refs->nr_blocks - (born - p->fast.nr) };

			sim_daemon_tick(p->daemon, p->now_ms, room);
		}
		p->counting = r->ms >= p->how->from_ms;
		sim_owners_begin(owners, p->load, r);
		for (uint32_t at = r->first; at < r->first + r->nr; at++) {
			uint32_t block = refs->block[at];

			count(p, block);
			if (!p->seen[block]) {
				bool room = p->fast.nr < p->fast.capacity;

				if (room)
					sim_enter(&p->fast, block);
				sim_daemon_born(p->daemon, block, !room);
				born++;
			}
			sim_daemon_touch(p->daemon, block);
			p->seen[block] = 1;
		}
		for (uint32_t k = 0; r->ends && k < r->nr; k++)
			if (sim_owners_end(owners, p->load, r, k))
				sim_daemon_done(p->daemon, refs->block[r->first + k]);
	}
	free(owners);
	sim_daemon_free(p->daemon);
	return 0;
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int sim_plain_run(const struct sim_load *load, const struct sim_policy *policy, const struct sim_plain *how,
		  struct sim_share *share)
{
	struct play p = { .load = load, .how = how, .share = share };
	double began = seconds();
	int err = -ENOMEM;

	*share = (struct sim_share) { 0 };
	p.fast = (struct sim_fast) { .capacity = how->fast, .changed = changed, .ctx = &p };
	p.fast.in = calloc((size_t)load->refs.nr_blocks + 1, 1);
	p.seen = calloc((size_t)load->refs.nr_blocks + 1, 1);
	if (p.fast.in && p.seen)
		err = policy->kind == SIM_DAEMON ? play_daemon(&p) : play_cache(&p, policy);
	free(p.fast.in);
	free(p.seen);
	share->seconds = seconds() - began;
	return err;
}
