/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tenants as the module shows them in /sys/class/kvoff, to root.
 */
#ifndef KVOFF_TOOLS_TENANTS_H
#define KVOFF_TOOLS_TENANTS_H

#include <stdint.h>

#include "tools/tiers.h"

/**
 * struct tenant - one tenant, a snapshot
 * @name:	the node's name below /dev/kvoff
 * @class:	latency, normal or batch
 * @quota:	bytes that may be committed, 0 for no limit
 * @committed:	bytes committed
 * @used:	bytes in all tiers
 * @tier_quota:	bytes in each tier, by its place in struct tiers; 0 for no limit
 * @tier_used:	the same for what is there
 */
struct tenant {
	char name[KVOFF_NAME_LEN];
	char class[16];
	uint64_t quota;
	uint64_t committed;
	uint64_t used;
	uint64_t tier_quota[KVOFF_MAX_TIERS];
	uint64_t tier_used[KVOFF_MAX_TIERS];
};

/**
 * tenants_read - list the tenants, by name
 * @out:	out: an array, to be freed
 * @nr:		out: how many
 * @tiers:	the tiers of which to read quota and use
 *
 * Returns 0 or -errno: -EACCES where only root may look, -ENOENT without the module.
 */
int tenants_read(struct tenant **out, unsigned int *nr, const struct tiers *tiers);

#endif
