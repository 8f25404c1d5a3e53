/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvoffd's own code in virtual time: the simulator writes what the kernel and the clients would write to the shared
 * arrays, calls a tick when it is due, and carries out the batches of moves that come of it.
 */
#ifndef KVOFF_SIMULATE_DAEMON_H
#define KVOFF_SIMULATE_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

struct sim_daemon;

/* The block size that blocks have for kvoffd; what is said in bytes is scaled to it. */
#define SIM_DAEMON_BLOCK	(2u << 20)

/**
 * struct sim_daemon_tier - a tier, by number
 * @rank:	0 is the fastest
 * @frames:	blocks
 * @blocks_per_s: bandwidth
 */
struct sim_daemon_tier {
	uint32_t rank;
	uint64_t frames;
	double blocks_per_s;
};

/**
 * struct sim_daemon_setup - a machine
 * @nr_blocks:	the region's length
 * @tiers:	@nr_tiers of them
 * @reserve_percent: free frames that new blocks may not take
 * @round_ms:	until samples have come to every block; 0: there are none
 * @set:	"key=value", the configuration file's [policy], [daemon] and [links] keys, @nr_set of them
 * @unlimited:	links have no budget
 * @move:	carry out a batch of @nr moves of @blocks to tier @to, and call sim_daemon_moved() for each at its time
 * @ctx:	for @move
 */
struct sim_daemon_setup {
	uint32_t nr_blocks;
	unsigned int nr_tiers;
	const struct sim_daemon_tier *tiers;
	unsigned int reserve_percent;
	uint64_t round_ms;
	const char *const *set;
	unsigned int nr_set;
	bool unlimited;
	void (*move)(void *ctx, unsigned int batch, unsigned int from, unsigned int to, uint32_t nr,
		     const uint64_t *blocks);
	void *ctx;
};

/** sim_daemon_check - is "key=value" one that kvoffd knows? 0, or -EINVAL with what would be right in @err */
int sim_daemon_check(const char *set, char *err, int len);

/** sim_daemon_new - NULL: no memory */
struct sim_daemon *sim_daemon_new(const struct sim_daemon_setup *setup);
void sim_daemon_free(struct sim_daemon *d);

/** sim_daemon_interval_ms - the time between two ticks by the configuration */
double sim_daemon_interval_ms(const struct sim_daemon *d);
/** sim_daemon_budget - blocks a second that may go from one tier to another */
double sim_daemon_budget(const struct sim_daemon *d, unsigned int from, unsigned int to);

/* What happens to a block: it gets a frame, loses it, is touched by its client, is found in use by sampling. */
void sim_daemon_born(struct sim_daemon *d, uint32_t block, unsigned int tier);
void sim_daemon_gone(struct sim_daemon *d, uint32_t block);
void sim_daemon_touch(struct sim_daemon *d, uint32_t block);
void sim_daemon_sampled(struct sim_daemon *d, uint32_t block);
/* Hints of the client, as libkvoff_prefetch() and libkvoff_hint(DONE) give them. */
void sim_daemon_prefetch(struct sim_daemon *d, uint32_t block);
void sim_daemon_done(struct sim_daemon *d, uint32_t block);

/**
 * sim_daemon_tick - look, decide, send
 * @now_ms:	the time
 * @room:	free frames of each tier
 */
void sim_daemon_tick(struct sim_daemon *d, double now_ms, const uint64_t *room);

/**
 * sim_daemon_moved - one move of a batch has ended
 * @index:	which of the batch
 * @error:	0, or as in struct kvoff_move_result
 *
 * The batch has ended with its last move.
 */
void sim_daemon_moved(struct sim_daemon *d, double now_ms, unsigned int batch, uint32_t index, int error);

#endif
