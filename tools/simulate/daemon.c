// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The only file of the simulator that knows the inside of kvoffd. What daemon/tick.c does with the kernel's tiers and
 * clock stands here with the simulator's; all else is kvoffd's own: observe.c, heat.c, decide.c, act.c, rules.c,
 * conf.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/act.h"
#include "daemon/conf.h"
#include "daemon/decide.h"
#include "daemon/log.h"
#include "daemon/region.h"
#include "daemon/rules.h"
#include "tools/simulate/daemon.h"

#define SIZE_CLASS	5
_Static_assert((KVOFF_BLOCK_SIZE_MIN << SIZE_CLASS) == SIM_DAEMON_BLOCK, "SIZE_CLASS is SIM_DAEMON_BLOCK's");

/* A bandwidth that nothing comes up to, MB/s. */
#define UNLIMITED_MBPS	(UINT32_MAX / 4)

struct sim_daemon {
	struct sim_daemon_setup setup;
	struct sim_daemon_tier tiers[KVOFF_MAX_TIERS];
	struct conf conf;
	struct region region;
	struct region *region_list[1];
	struct regions regions;
	struct kvoff_state *state;
	struct kvoff_hint *hint;
	struct act act;
	uint32_t ended[ACT_BATCHES];
	struct decide_work *work;
	struct decide_input input;
	struct decide_region view;
	struct decide_move *moves;
	struct births births[KVOFF_MAX_TIERS];
	uint64_t expected[KVOFF_MAX_TIERS];
	uint32_t rank[KVOFF_MAX_TIERS];
	uint32_t speed[KVOFF_MAX_TIERS];
	uint32_t budget[KVOFF_MAX_TIERS][KVOFF_MAX_TIERS];
	double ticked;
	bool has_ticked;
};

static uint32_t heat_time(double ms)
{
	return (uint32_t)(uint64_t)(ms / (1000 / HEAT_SEC));
}

static int set_key(struct conf *conf, const char *set, char *err, int len)
{
	static const enum conf_section sections[] = { CONF_POLICY, CONF_DAEMON, CONF_LINKS };
	const char *value = strchr(set, '=');
	char key[64], allowed[512] = "";
	int ret = -ENOENT;

	if (!value || value == set || (size_t)(value - set) >= sizeof(key)) {
		snprintf(err, len, "expected KEY=VALUE, a key of kvoffd.conf(5)");
		return -EINVAL;
	}
	memcpy(key, set, value - set);
	key[value - set] = 0;
	for (unsigned int i = 0; i < 3 && ret == -ENOENT; i++) {
		char known[512] = "";

		ret = conf_key_set(sections[i], conf, key, value + 1, known, sizeof(known));
		if (ret == -EINVAL)
			strcpy(allowed, known);
	}
	if (ret == -ENOENT)
		snprintf(err, len, "kvoffd.conf(5) has no such key in [policy], [daemon] or [links]");
	else if (ret)
		snprintf(err, len, "expected %s", allowed);
	return ret ? -EINVAL : 0;
}

int sim_daemon_check(const char *set, char *err, int len)
{
	struct conf conf;

	conf_init(&conf);
	return set_key(&conf, set, err, len);
}

static uint32_t mbps(double blocks_per_s)
{
	double v = blocks_per_s * SIM_DAEMON_BLOCK / 1e6;

	return v < 1 ? 1 : v < UNLIMITED_MBPS ? (uint32_t)v : UNLIMITED_MBPS;
}

static void set_links(struct sim_daemon *d)
{
	unsigned int nr = d->setup.nr_tiers;

	for (unsigned int t = 0; t < nr; t++) {
		d->rank[t] = d->setup.tiers[t].rank;
		d->speed[t] = d->setup.unlimited ? UNLIMITED_MBPS : mbps(d->setup.tiers[t].blocks_per_s);
	}
	for (unsigned int a = 0; a < nr; a++) {
		for (unsigned int b = 0; b < nr; b++) {
			const struct conf_amount *budget = &d->conf.budget;
			uint32_t slower = d->speed[a] < d->speed[b] ? d->speed[a] : d->speed[b];

			d->budget[a][b] = budget->percent ? (uint32_t)((uint64_t)slower * budget->value / 10000) :
							    mbps((double)budget->value * 1e6 / SIM_DAEMON_BLOCK);
			if (d->setup.unlimited || !budget->value)
				d->budget[a][b] = slower;
		}
	}
}

/* act_send()'s way out. */
static int send_batch(void *ctx, unsigned int batch, struct kvoff_ctl_move *arg)
{
	struct sim_daemon *d = ctx;
	const struct kvoff_move_desc *descs = d->act.batches[batch].descs;
	uint64_t blocks[KVOFF_MOVE_MAX];

	for (uint32_t i = 0; i < arg->nr; i++)
		blocks[i] = descs[i].block;
	d->ended[batch] = 0;
	d->setup.move(d->setup.ctx, batch, d->act.batches[batch].from, d->act.batches[batch].to, arg->nr, blocks);
	return 0;
}

struct sim_daemon *sim_daemon_new(const struct sim_daemon_setup *setup)
{
	struct sim_daemon *d = calloc(1, sizeof(*d));
	char err[512];

	if (!d)
		return NULL;
	log_set_level(LOG_LEVEL_ERROR);
	d->setup = *setup;
	/* what the caller points to need not last */
	memcpy(d->tiers, setup->tiers, setup->nr_tiers * sizeof(*setup->tiers));
	d->setup.tiers = d->tiers;
	d->setup.set = NULL;
	conf_init(&d->conf);
	for (unsigned int i = 0; i < setup->nr_set; i++)
		set_key(&d->conf, setup->set[i], err, sizeof(err));
	set_links(d);
	d->state = calloc((size_t)setup->nr_blocks + 1, sizeof(*d->state));
	d->hint = calloc((size_t)setup->nr_blocks + 1, sizeof(*d->hint));
	d->region.said = calloc((size_t)setup->nr_blocks + 1, sizeof(*d->region.said));
	d->moves = calloc(d->conf.max_moves, sizeof(*d->moves));
	d->work = decide_work_new();
	d->region.id = 1;
	d->region.view = -1;
	d->region.block_size = SIM_DAEMON_BLOCK;
	d->region.size_class = SIZE_CLASS;
	d->region.census.unit = 1;
	d->region.limit = d->region.mapped = setup->nr_blocks;
	d->region.state = d->state;
	d->region.hint = d->hint;
	d->region.ranked = 0u - RANK_EVERY;
	d->region_list[0] = &d->region;
	d->regions = (struct regions) { .nr = 1, .room = 1, .region = d->region_list };
	d->act.control = -1;
	d->act.send = send_batch;
	d->act.ctx = d;
	if (!census_resize(&d->region.census, setup->nr_blocks) && d->state && d->hint && d->region.said && d->moves &&
	    d->work)
		return d;
	sim_daemon_free(d);
	return NULL;
}

void sim_daemon_free(struct sim_daemon *d)
{
	if (!d)
		return;
	free(d->state);
	free(d->hint);
	free(d->region.said);
	census_free(&d->region.census);
	free(d->moves);
	decide_work_free(d->work);
	free(d);
}

double sim_daemon_interval_ms(const struct sim_daemon *d)
{
	return (double)d->conf.interval_ms;
}

double sim_daemon_budget(const struct sim_daemon *d, unsigned int from, unsigned int to)
{
	return (double)d->budget[from][to] * 1e6 / SIM_DAEMON_BLOCK;
}

static void locate(struct sim_daemon *d, uint32_t block, unsigned int tier)
{
	uint64_t gen = KVOFF_LOC_GEN(d->state[block].location) + 1;

	d->state[block].location = KVOFF_STATE_PRESENT | (uint64_t)tier << 8 | (gen & 0xffff) << 16;
}

void sim_daemon_born(struct sim_daemon *d, uint32_t block, unsigned int tier)
{
	locate(d, block, tier);
	d->hint[block].bits = 0;
	if (block >= d->region.nr)
		d->region.nr = (uint64_t)block + 1;
}

void sim_daemon_gone(struct sim_daemon *d, uint32_t block)
{
	d->state[block].location &= ~(uint64_t)KVOFF_STATE_PRESENT;
	d->hint[block].bits = 0;
}

void sim_daemon_touch(struct sim_daemon *d, uint32_t block)
{
	d->hint[block].touches++;
	d->hint[block].bits &= ~(KVOFF_HINT_PREFETCH | KVOFF_HINT_COLD | KVOFF_HINT_DONE);
}

void sim_daemon_sampled(struct sim_daemon *d, uint32_t block)
{
	d->state[block].samples++;
	d->state[block].refaults++;
}

void sim_daemon_prefetch(struct sim_daemon *d, uint32_t block)
{
	d->hint[block].bits &= ~(KVOFF_HINT_COLD | KVOFF_HINT_DONE);
	d->hint[block].bits |= KVOFF_HINT_PREFETCH;
}

void sim_daemon_done(struct sim_daemon *d, uint32_t block)
{
	d->hint[block].bits &= ~KVOFF_HINT_PREFETCH;
	d->hint[block].bits |= KVOFF_HINT_DONE;
}

static void fill_tiers(struct sim_daemon *d, const uint64_t *room)
{
	for (unsigned int t = 0; t < d->setup.nr_tiers; t++) {
		struct decide_tier *out = &d->input.tiers[t];
		struct decide_pool *pool = &out->pools[SIZE_CLASS];
		uint64_t pending = d->act.pending[t][SIZE_CLASS];

		out->present = true;
		out->rank = d->rank[t];
		out->bandwidth_mbps = d->speed[t];
		pool->blocks = d->setup.tiers[t].frames;
		pool->room = room[t] > pending && !(d->act.full[t] & (1u << SIZE_CLASS)) ? room[t] - pending : 0;
		pool->reserve = (pool->blocks * d->setup.reserve_percent + 99) / 100;
		pool->births = d->expected[t];
	}
}

void sim_daemon_tick(struct sim_daemon *d, double now_ms, const uint64_t *room)
{
	uint64_t interval = d->has_ticked && now_ms > d->ticked ? (uint64_t)(now_ms - d->ticked) : d->conf.interval_ms;
	uint32_t now = heat_time(now_ms);
	struct observed observed = { 0 };
	size_t nr;

	d->ticked = now_ms;
	d->has_ticked = true;
	region_look(&d->region, (1u << d->setup.nr_tiers) - 1, now, &observed);
	heat_age(&d->region.rates, now, (uint32_t)d->conf.half_life_s * HEAT_SEC);
	if (now - d->region.ranked >= RANK_EVERY) {
		d->region.ranked = now;
		d->region.rates.round = rules_round(d->setup.round_ms, interval);
		if (d->conf.policy == DECIDE_LRU)
			heat_rank_lru(&d->region.keys);
		else
			heat_rank(&d->region.rates, &d->region.keys);
	}
	for (unsigned int t = 0; t < d->setup.nr_tiers; t++)
		d->expected[t] = births_expect(&d->births[t], &d->conf, interval ? interval : 1,
					       observed.births[t][SIZE_CLASS]);
	act_tick(&d->act, (const uint32_t (*)[KVOFF_MAX_TIERS])d->budget, d->speed, interval);
	d->view = (struct decide_region) {
		.id = d->region.id, .size_class = SIZE_CLASS, .unit = 1, .nr = d->region.nr,
		.heat = d->region.census.heat, .keys = &d->region.keys, .census = &d->region.census,
	};
	d->input.now = now;
	d->input.regions = &d->view;
	d->input.nr_regions = 1;
	rules_of(&d->conf, interval ? interval : 1, &d->input.rules);
	census_settle(&d->region.census, &d->region.keys, d->input.rules.residence, d->input.rules.prefetch);
	fill_tiers(d, room);
	for (unsigned int a = 0; a < d->setup.nr_tiers; a++)
		for (unsigned int b = 0; b < d->setup.nr_tiers; b++)
			d->input.link_bytes[a][b] = act_link_bytes(&d->act, a, b);
	act_forget_full(&d->act);
	nr = decide(d->work, &d->input, d->moves, d->conf.max_moves);
	act_send(&d->act, &d->regions, d->moves, nr);
}

void sim_daemon_moved(struct sim_daemon *d, double now_ms, unsigned int batch, uint32_t index, int error)
{
	struct act_batch *b = &d->act.batches[batch];

	b->results[index] = (struct kvoff_move_result) { .error = error, .from = b->from };
	if (!error)
		locate(d, (uint32_t)b->descs[index].block, b->to);
	if (++d->ended[batch] == b->arg.nr)
		act_done(&d->act, &d->regions, batch, (int)b->arg.nr, heat_time(now_ms), d->rank);
}
