// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Least recently used. Also what keeps DRAM filled before a disk.
 */
#include "tools/simulate/list.h"
#include "tools/simulate/policy.h"

struct lru {
	struct sim_fast *fast;
	struct links links;
	struct list list;
};

static void lru_free(void *state)
{
	struct lru *lru = state;

	links_free(&lru->links);
	free(lru);
}

static void *lru_make(struct sim_fast *fast, const struct sim_refs *refs)
{
	struct lru *lru = calloc(1, sizeof(*lru));

	if (!lru)
		return NULL;
	lru->fast = fast;
	lru->list = LIST_INIT;
	if (links_init(&lru->links, refs->nr_blocks))
		return lru;
	lru_free(lru);
	return NULL;
}

static void lru_reference(void *state, uint32_t block, uint32_t at)
{
	struct lru *lru = state;

	if (lru->fast->in[block]) {
		list_remove(&lru->list, &lru->links, block);
	} else {
		if (lru->list.nr == lru->fast->capacity)
			sim_leave(lru->fast, list_pop(&lru->list, &lru->links));
		sim_enter(lru->fast, block);
	}
	list_push(&lru->list, &lru->links, block);
}

static void lru_drop(void *state, uint32_t block)
{
	struct lru *lru = state;

	if (!lru->fast->in[block])
		return;
	list_remove(&lru->list, &lru->links, block);
	sim_leave(lru->fast, block);
}

const struct sim_policy sim_lru = {
	.name = "lru", .title = "LRU", .kind = SIM_CACHE, .plain = true,
	.make = lru_make, .reference = lru_reference, .drop = lru_drop, .free = lru_free,
};

const struct sim_policy sim_dram_nvme = {
	.name = "dram-nvme", .title = "DRAM + NVMe, LRU", .kind = SIM_NVME,
	.make = lru_make, .reference = lru_reference, .drop = lru_drop, .free = lru_free,
};
