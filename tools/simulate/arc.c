// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ARC (Megiddo and Modha, FAST'03): blocks used once lately and blocks used more often, with a border between them that
 * moves to the side whose evicted blocks are asked for again.
 */
#include "tools/simulate/list.h"
#include "tools/simulate/policy.h"

enum arc_list { ARC_NONE, ARC_ONCE, ARC_OFTEN, ARC_ONCE_GHOST, ARC_OFTEN_GHOST, ARC_NR };

/**
 * struct arc - the state
 * @where:	the list of each block: enum arc_list
 * @target:	blocks that ARC_ONCE should have
 */
struct arc {
	struct sim_fast *fast;
	struct links links;
	struct list lists[ARC_NR];
	uint8_t *where;
	double target;
};

static void arc_free(void *state)
{
	struct arc *arc = state;

	links_free(&arc->links);
	free(arc->where);
	free(arc);
}

static void *arc_make(struct sim_fast *fast, const struct sim_refs *refs)
{
	struct arc *arc = calloc(1, sizeof(*arc));

	if (!arc)
		return NULL;
	arc->fast = fast;
	arc->where = calloc((size_t)refs->nr_blocks + 1, 1);
	for (int i = 0; i < ARC_NR; i++)
		arc->lists[i] = LIST_INIT;
	if (links_init(&arc->links, refs->nr_blocks) && arc->where)
		return arc;
	arc_free(arc);
	return NULL;
}

static void arc_put(struct arc *arc, uint32_t block, enum arc_list to)
{
	enum arc_list from = arc->where[block];

	if (from)
		list_remove(&arc->lists[from], &arc->links, block);
	arc->where[block] = to;
	if (to)
		list_push(&arc->lists[to], &arc->links, block);
}

static void arc_forget(struct arc *arc, enum arc_list list)
{
	if (arc->lists[list].nr)
		arc_put(arc, arc->lists[list].tail, ARC_NONE);
}

/* One block leaves the fast tier. */
static void arc_replace(struct arc *arc, bool from_often_ghost)
{
	const struct list *once = &arc->lists[ARC_ONCE], *often = &arc->lists[ARC_OFTEN];
	bool first = once->nr && (once->nr > arc->target || (from_often_ghost && once->nr == arc->target));
	uint32_t victim = first || !often->nr ? once->tail : often->tail;

	arc_put(arc, victim, first || !often->nr ? ARC_ONCE_GHOST : ARC_OFTEN_GHOST);
	sim_leave(arc->fast, victim);
}

static void arc_new(struct arc *arc)
{
	uint32_t once = arc->lists[ARC_ONCE].nr + arc->lists[ARC_ONCE_GHOST].nr, all = 0;
	uint32_t capacity = arc->fast->capacity;

	for (int i = ARC_ONCE; i < ARC_NR; i++)
		all += arc->lists[i].nr;
	if (once >= capacity) {
		if (arc->lists[ARC_ONCE].nr < capacity) {
			arc_forget(arc, ARC_ONCE_GHOST);
		} else {
			uint32_t victim = arc->lists[ARC_ONCE].tail;

			arc_put(arc, victim, ARC_NONE);
			sim_leave(arc->fast, victim);
			return;
		}
	} else if (all >= 2 * capacity) {
		arc_forget(arc, ARC_OFTEN_GHOST);
	}
	if (arc->fast->nr == capacity)
		arc_replace(arc, false);
}

static void arc_reference(void *state, uint32_t block, uint32_t at)
{
	struct arc *arc = state;
	double once = arc->lists[ARC_ONCE_GHOST].nr, often = arc->lists[ARC_OFTEN_GHOST].nr, step;
	enum arc_list where = arc->where[block];

	if (where == ARC_ONCE || where == ARC_OFTEN) {
		arc_put(arc, block, ARC_OFTEN);
		return;
	}
	if (where == ARC_ONCE_GHOST) {
		step = often > once ? often / once : 1;
		arc->target = arc->target + step < arc->fast->capacity ? arc->target + step : arc->fast->capacity;
	} else if (where == ARC_OFTEN_GHOST) {
		step = once > often ? once / often : 1;
		arc->target = arc->target > step ? arc->target - step : 0;
	}
	if (where) {
		arc_put(arc, block, ARC_NONE);
		if (arc->fast->nr == arc->fast->capacity)
			arc_replace(arc, where == ARC_OFTEN_GHOST);
	} else {
		arc_new(arc);
	}
	arc_put(arc, block, where ? ARC_OFTEN : ARC_ONCE);
	sim_enter(arc->fast, block);
}

static void arc_drop(void *state, uint32_t block)
{
	struct arc *arc = state;

	if (!arc->fast->in[block])
		return;
	arc_put(arc, block, ARC_NONE);
	sim_leave(arc->fast, block);
}

const struct sim_policy sim_arc = {
	.name = "arc", .title = "ARC", .kind = SIM_CACHE, .plain = true,
	.make = arc_make, .reference = arc_reference, .drop = arc_drop, .free = arc_free,
};
