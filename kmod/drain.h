/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tiers that shall hold less: drains, and capacities below what the pools were given.
 */
#ifndef KVOFF_DRAIN_H
#define KVOFF_DRAIN_H

#include "kvoff.h"

int kvoff_tier_drain(struct kvoff_ctl_tier_drain *arg);
int kvoff_tier_shrink(struct kvoff_tier *tier, u64 capacity);
u64 kvoff_tier_used(struct kvoff_tier *tier);
bool kvoff_tier_full(struct kvoff_tier *tier, size_t bytes);
bool kvoff_tier_closed(u32 id, size_t bytes);
int kvoff_drain_covers(const struct kvoff_move_desc *desc);

/* In tier.c. */
struct kvoff_tier *kvoff_tier_lock(const char *name);
void kvoff_tier_unlock(void);

static inline bool kvoff_tier_draining(const struct kvoff_tier *tier)
{
	return READ_ONCE(tier->keep) != KVOFF_KEEP_ALL;
}

#endif /* KVOFF_DRAIN_H */
