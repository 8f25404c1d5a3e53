/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drains as an admin's tool does them, and clients that are busy meanwhile. Functions that return int give 0 or
 * -errno unless they say otherwise.
 */
#ifndef DRAINS_H
#define DRAINS_H

#include <stdatomic.h>

#include "rig.h"

int drain(int control, const char *tier, uint64_t keep, uint64_t *used);
int undrain(int control, const char *tier);
/* Move all blocks of the regions that are in @from to @to; true when none is left there. At most @tries times each. */
bool empty_tier_tries(int control, struct region **r, int nr, uint32_t from, uint32_t to, int tries);
/* The same until PATIENCE_MS are over. */
bool empty_tier(int control, struct region **r, int nr, uint32_t from, uint32_t to);

bool state_becomes(const char *tier, const char *state);
bool figure_becomes(const char *path, uint64_t value);
/* What all pools of the tier shall have together. */
uint64_t pool_bytes(const char *tier);
bool filled_at_most(const char *tier, uint64_t bytes);
/* Write to the first @nr blocks and look that they were empty; how many were not. */
uint64_t touch_all(const struct region *r, uint64_t nr);

/**
 * struct user - a client that reads all of a region and rewrites it with the same bytes
 * @wrong:	words that were not what fill(@salt + block) puts there
 */
struct user {
	const struct region *r;
	uint64_t salt;
	uint64_t wrong;
	atomic_bool stop;
	unsigned long thread;
};

int user_start(struct user *u, const struct region *r, uint64_t salt);
/* How many words were wrong. */
uint64_t user_stop(struct user *u);

/**
 * struct churn - clients that commit, touch, discard and uncommit, and a policy that moves blocks about
 * @touched:	first touches that were done
 * @moved:	moves that were done
 * @wrong:	blocks that were not empty at their first touch
 */
struct churn {
	struct rig *rig;
	const struct region *r;
	atomic_ulong touched;
	atomic_ulong moved;
	atomic_ulong wrong;
	atomic_bool stop;
	unsigned long threads[3];
};

int churn_start(struct churn *c, struct rig *rig, const struct region *r);
/* @wrong */
uint64_t churn_stop(struct churn *c);

#endif /* DRAINS_H */
