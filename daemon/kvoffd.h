/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon as a whole: what its parts share.
 */
#ifndef KVOFFD_KVOFFD_H
#define KVOFFD_KVOFFD_H

#include "act.h"
#include "conf.h"
#include "decide.h"
#include "loop.h"
#include "node.h"
#include "poison.h"
#include "region.h"
#include "rules.h"
#include "tier.h"

#define CONTROL_PATH	"/dev/kvoff/control"

/**
 * struct kvoffd - the daemon
 * @conf_path:	the configuration file
 * @conf_given:	it was named on the command line, so it must exist
 * @conf:	what it says; a file that is wrong never gets here
 * @nodes:	the machine
 * @tiers:	the kernel's tiers
 * @regions:	the kernel's regions
 * @act:	moves under way
 * @loop:	what is waited for
 * @poison:	who listens for memory errors
 * @control:	/dev/kvoff/control, with the lease
 * @signals:	signalfd
 * @timer:	timerfd: the next tick
 * @work:	decide()'s
 * @input:	decide()'s
 * @views:	regions as decide() sees them, @nr_views of room
 * @moves:	decisions of a tick, room for @conf.max_moves
 * @births:	new blocks, [tier][size class]
 * @expected:	of these, how many the next tick may see
 * @observed:	sums since the start
 * @interval_ms: between the last tick and the one before
 * @ticked:	time of the last tick, CLOCK_MONOTONIC in ms
 * @reported:	time of the last report
 * @refreshed:	time of the last look at all that tiers say, in the same ms
 * @sizes:	bit mask of the size classes that were looked at then
 * @tick_us:	processor time of the last tick
 * @cpu_us:	of all ticks
 * @ticks:	how many there were
 * @sync:	the list of regions may have changed
 * @stopping:	a signal asked to end
 * @started:	CLOCK_REALTIME in seconds
 */
struct kvoffd {
	const char *conf_path;
	bool conf_given;
	struct conf conf;
	struct nodes nodes;
	struct tiers tiers;
	struct regions regions;
	struct act act;
	struct loop *loop;
	struct poison poison;
	int control;
	int signals;
	int timer;
	struct decide_work *work;
	struct decide_input input;
	struct decide_region *views;
	size_t nr_views;
	struct decide_move *moves;
	struct births births[KVOFF_MAX_TIERS][KVOFF_NR_BLOCK_SIZES];
	uint64_t expected[KVOFF_MAX_TIERS][KVOFF_NR_BLOCK_SIZES];
	struct observed observed;
	uint64_t interval_ms;
	uint64_t ticked;
	uint64_t reported;
	uint64_t refreshed;
	unsigned int sizes;
	uint64_t tick_us;
	uint64_t cpu_us;
	uint64_t ticks;
	bool sync;
	bool stopping;
	int64_t started;
};

/** clock_us, clock_ms - CLOCK_MONOTONIC */
uint64_t clock_us(void);
uint64_t clock_ms(void);
/** heat_now - the same as heat.h counts it */
uint32_t heat_now(void);

/** tick - look, decide, send (tick.c); sets the timer for the next one */
void tick(struct kvoffd *d);
/** tick_after - let the next tick be in so many ms */
void tick_after(struct kvoffd *d, uint64_t ms);
/** tick_ranks - each tier's rank, for act.c */
void tick_ranks(const struct kvoffd *d, uint32_t rank[KVOFF_MAX_TIERS]);

/** report_write - write the status file (report.c) */
void report_write(const struct kvoffd *d);
/** report_remove - take it away: at the end, or when the configuration names another */
void report_remove(const struct conf *conf);

#endif /* KVOFFD_KVOFFD_H */
