// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Least frequently used, the least recently used of these first. Uses are counted while a block is in the fast tier.
 */
#include "tools/simulate/list.h"
#include "tools/simulate/policy.h"

/* Counted to here, or to as many as the trace has. */
#define USES_MAX	65536u

/**
 * struct lfu - the state
 * @uses:	of each block in the fast tier
 * @lists:	blocks by number of uses
 * @least:	no list before this one has a block; @most: there is none after this one
 */
struct lfu {
	struct sim_fast *fast;
	struct links links;
	uint32_t *uses;
	struct list *lists;
	uint32_t least, most;
};

static void lfu_free(void *state)
{
	struct lfu *lfu = state;

	links_free(&lfu->links);
	free(lfu->uses);
	free(lfu->lists);
	free(lfu);
}

static void *lfu_make(struct sim_fast *fast, const struct sim_refs *refs)
{
	struct lfu *lfu = calloc(1, sizeof(*lfu));

	if (!lfu)
		return NULL;
	lfu->fast = fast;
	lfu->most = refs->most > USES_MAX ? refs->most : USES_MAX;
	lfu->uses = calloc((size_t)refs->nr_blocks + 1, sizeof(*lfu->uses));
	lfu->lists = malloc(((size_t)lfu->most + 1) * sizeof(*lfu->lists));
	if (!links_init(&lfu->links, refs->nr_blocks) || !lfu->uses || !lfu->lists) {
		lfu_free(lfu);
		return NULL;
	}
	for (uint32_t i = 0; i < lfu->most + 1; i++)
		lfu->lists[i] = LIST_INIT;
	return lfu;
}

static void lfu_reference(void *state, uint32_t block, uint32_t at)
{
	struct lfu *lfu = state;

	if (lfu->fast->in[block]) {
		list_remove(&lfu->lists[lfu->uses[block]], &lfu->links, block);
		lfu->uses[block] += lfu->uses[block] < lfu->most;
	} else {
		if (lfu->fast->nr == lfu->fast->capacity) {
			while (!lfu->lists[lfu->least].nr)
				lfu->least++;
			sim_leave(lfu->fast, list_pop(&lfu->lists[lfu->least], &lfu->links));
		}
		sim_enter(lfu->fast, block);
		lfu->uses[block] = 1;
		lfu->least = 1;
	}
	list_push(&lfu->lists[lfu->uses[block]], &lfu->links, block);
}

static void lfu_drop(void *state, uint32_t block)
{
	struct lfu *lfu = state;

	if (!lfu->fast->in[block])
		return;
	list_remove(&lfu->lists[lfu->uses[block]], &lfu->links, block);
	sim_leave(lfu->fast, block);
}

const struct sim_policy sim_lfu = {
	.name = "lfu", .title = "LFU", .kind = SIM_CACHE, .plain = true,
	.make = lfu_make, .reference = lfu_reference, .drop = lfu_drop, .free = lfu_free,
};
