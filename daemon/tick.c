// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One tick: look at the blocks, decide, send the moves, and choose when to do so again.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>

#include "kvoffd.h"
#include "log.h"

/* With nothing to look after, only the report keeps the daemon awake. */
#define IDLE_MS		1000

/* What does not change with every block is read so often; the kernel refuses what is no longer right. */
#define REFRESH_MS	1000

uint64_t clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t clock_ms(void)
{
	return clock_us() / 1000;
}

uint32_t heat_now(void)
{
	return (uint32_t)(clock_ms() / (1000 / HEAT_SEC));
}

static uint64_t cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

void tick_ranks(const struct kvoffd *d, uint32_t rank[KVOFF_MAX_TIERS])
{
	for (unsigned int t = 0; t < KVOFF_MAX_TIERS; t++)
		rank[t] = d->tiers.tier[t].rank;
}

static void rank(const struct kvoffd *d, struct region *region, uint32_t now)
{
	region->ranked = now;
	region->rates.round = rules_round(d->tiers.sample_round_ms, d->interval_ms);
	region->rates.blind = region->touched ? 0 : region->rates.round;
	if (d->conf.policy == DECIDE_LRU)
		heat_rank_lru(&region->keys);
	else
		heat_rank(&region->rates, &region->keys);
	heat_weigh(&region->keys, rules_class_steps(&d->conf, region->tenant_class));
}

static void look(struct kvoffd *d, uint32_t now, struct observed *observed)
{
	uint32_t present = 0;

	for (unsigned int t = 0; t < KVOFF_MAX_TIERS; t++)
		present |= d->tiers.tier[t].present ? 1u << t : 0;
	rules_of(&d->conf, d->interval_ms, &d->input.rules);
	for (size_t i = 0; i < d->regions.nr; i++) {
		struct region *region = d->regions.region[i];

		if (region_grow(region)) {
			d->sync |= region->gone;
			continue;
		}
		region_look(region, present, now, observed);
		heat_age(&region->rates, now, (uint32_t)d->conf.half_life_s * HEAT_SEC);
		if (now - region->ranked >= RANK_EVERY)
			rank(d, region, now);
	}
}

static void age_births(struct kvoffd *d, const struct observed *observed)
{
	for (unsigned int t = 0; t < KVOFF_MAX_TIERS; t++) {
		for (unsigned int c = 0; c < KVOFF_NR_BLOCK_SIZES; c++) {
			d->expected[t][c] = births_expect(&d->births[t][c], &d->conf, d->interval_ms,
							  observed->births[t][c]);
		}
	}
	d->observed.looked = observed->looked;
	d->observed.rereads += observed->rereads;
	d->observed.reread_bytes += observed->reread_bytes;
}

static void fill_tier(struct kvoffd *d, unsigned int t, unsigned int sizes)
{
	const struct tier *tier = &d->tiers.tier[t];
	struct decide_tier *out = &d->input.tiers[t];

	memset(out, 0, sizeof(*out));
	if (!tier->present)
		return;
	out->present = true;
	out->rank = tier->rank;
	out->bandwidth_mbps = tier->bandwidth_mbps;
	for (unsigned int c = 0; c < KVOFF_NR_BLOCK_SIZES; c++) {
		uint64_t size = (uint64_t)KVOFF_BLOCK_SIZE_MIN << c, room, pending = d->act.pending[t][c];
		struct decide_pool *pool = &out->pools[c];

		if (!(sizes & (1u << c)))
			continue;
		room = tier->pools[c].free / size;
		pool->blocks = tier->pools[c].filled / size;
		pool->room = room > pending && !(d->act.full[t] & (1u << c)) && !tier->draining ? room - pending : 0;
		pool->reserve = (pool->blocks * d->tiers.reserve_percent + 99) / 100;
		pool->births = d->expected[t][c];
	}
}

static bool fill_input(struct kvoffd *d, uint32_t now, unsigned int sizes)
{
	if (d->nr_views < d->regions.nr) {
		size_t room = d->regions.nr * 2;
		struct decide_region *grown = realloc(d->views, room * sizeof(*grown));

		if (!grown)
			return false;
		d->views = grown;
		d->nr_views = room;
	}
	rules_of(&d->conf, d->interval_ms, &d->input.rules);
	for (size_t i = 0; i < d->regions.nr; i++) {
		struct region *r = d->regions.region[i];

		census_settle(&r->census, &r->keys, d->input.rules.residence, d->input.rules.prefetch);
		d->views[i] = (struct decide_region) {
			.id = r->id,
			.size_class = r->size_class,
			.unit = r->census.unit,
			.nr = r->census.nr,
			.heat = r->census.heat,
			.keys = &r->keys,
			.census = &r->census,
		};
	}
	d->input.now = now;
	d->input.regions = d->views;
	d->input.nr_regions = d->regions.nr;
	for (unsigned int t = 0; t < KVOFF_MAX_TIERS; t++) {
		fill_tier(d, t, sizes);
		for (unsigned int to = 0; to < KVOFF_MAX_TIERS; to++)
			d->input.link_bytes[t][to] = act_link_bytes(&d->act, t, to);
	}
	return true;
}

void tick_after(struct kvoffd *d, uint64_t ms)
{
	struct itimerspec when = {.it_value = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000}};

	timerfd_settime(d->timer, 0, &when, NULL);
}

void tick(struct kvoffd *d)
{
	uint64_t began = cpu_us(), now_ms = clock_ms(), next;
	uint32_t now = heat_now(), speed[KVOFF_MAX_TIERS];
	struct observed observed = { 0 };
	unsigned int sizes = 0;
	size_t nr = 0, sent = 0;
	int err;

	d->interval_ms = d->ticked && now_ms > d->ticked ? now_ms - d->ticked : d->conf.interval_ms;
	d->ticked = now_ms;
	if (d->sync) {
		err = regions_sync(&d->regions, d->control, now);
		if (err)
			log_warn("regions cannot be listed", "error=\"%s\"", strerror(-err));
		d->sync = err != 0;
		loop_watch(d->loop, LOOP_CONTROL, true);
	}
	look(d, now, &observed);
	age_births(d, &observed);

	for (size_t i = 0; i < d->regions.nr; i++)
		sizes |= 1u << d->regions.region[i]->size_class;
	/* opening a file of sysfs costs more than looking at thousands of blocks */
	if (now_ms - d->refreshed < REFRESH_MS && !(sizes & ~d->sizes)) {
		tiers_room(&d->tiers, sizes);
	} else {
		if (tiers_refresh(&d->tiers, sizes))
			tiers_set_links(&d->tiers, d->control, &d->conf);
		d->refreshed = now_ms;
		d->sizes = sizes;
	}
	for (unsigned int t = 0; t < KVOFF_MAX_TIERS; t++)
		speed[t] = d->tiers.tier[t].bandwidth_mbps;
	act_tick(&d->act, (const uint32_t (*)[KVOFF_MAX_TIERS])d->tiers.budget_mbps, speed, d->interval_ms);
	if (sizes && fill_input(d, now, sizes)) {
		act_forget_full(&d->act);
		nr = decide(d->work, &d->input, d->moves, d->conf.max_moves);
		sent = act_send(&d->act, &d->regions, d->moves, nr);
	}
	if (nr)
		log_debug("moves decided", "decided=%zu sent=%zu", nr, sent);

	d->tick_us = cpu_us() - began;
	d->cpu_us += d->tick_us;
	d->ticks++;
	/* a terabyte of small blocks takes longer to look through: then less often, so that it costs no more */
	next = d->tick_us * 100 / d->conf.cpu_percent / 1000;
	if (next < d->conf.interval_ms)
		next = d->conf.interval_ms;
	if (!d->regions.nr && next < IDLE_MS)
		next = IDLE_MS;
	tick_after(d, next);
}
