// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The policies there are, and those that decide nothing.
 */
#include <string.h>

#include "tools/simulate/policy.h"

const struct sim_policy sim_dram_only = { .name = "dram-only", .title = "DRAM only", .kind = SIM_DRAM_ONLY };
const struct sim_policy sim_striped = {
	.name = "striping", .title = "static striping by bandwidth", .kind = SIM_STRIPED,
};
const struct sim_policy sim_first_touch = {
	.name = "first-touch", .title = "first touch", .kind = SIM_FIRST_TOUCH, .plain = true,
};
const struct sim_policy sim_daemon_policy = { .name = "kvoffd", .title = "kvoffd", .kind = SIM_DAEMON, .plain = true };

const struct sim_policy *const sim_policies[] = {
	&sim_dram_only, &sim_dram_nvme, &sim_striped, &sim_first_touch, &sim_lru, &sim_lfu, &sim_arc, &sim_s3fifo,
	&sim_tinylfu, &sim_daemon_policy, &sim_belady, NULL,
};

const struct sim_policy *sim_policy_find(const char *name, size_t len)
{
	for (const struct sim_policy *const *p = sim_policies; *p; p++)
		if (strlen((*p)->name) == len && !memcmp((*p)->name, name, len))
			return *p;
	return NULL;
}
