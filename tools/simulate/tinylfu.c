// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * W-TinyLFU (Einziger, Friedman and Manes, TOS'17): new blocks enter a small LRU window. What falls out of it enters
 * the main part, a segmented LRU, only if a sketch of recent uses counts more uses of it than of the block that would
 * have to go. The sketch is four rows of small counters, halved when it has seen ten uses a block of capacity.
 */
#include "tools/simulate/list.h"
#include "tools/simulate/policy.h"

#define WINDOW_SHARE	0.01
#define PROTECTED_SHARE	0.8
#define ROWS		4
#define COUNT_MAX	15
#define USES_A_BLOCK	10

enum tiny_list { TINY_NONE, TINY_WINDOW, TINY_PROBATION, TINY_PROTECTED, TINY_NR };

/**
 * struct tiny - the state
 * @counts:	the sketch: ROWS rows of @width counters
 * @seen:	uses since it was halved
 */
struct tiny {
	struct sim_fast *fast;
	struct links links;
	struct list lists[TINY_NR];
	uint8_t *where;
	uint8_t *counts;
	uint32_t width, seen, window_max, protected_max;
};

static void tiny_free(void *state)
{
	struct tiny *tiny = state;

	links_free(&tiny->links);
	free(tiny->where);
	free(tiny->counts);
	free(tiny);
}

static void *tiny_make(struct sim_fast *fast, const struct sim_refs *refs)
{
	struct tiny *tiny = calloc(1, sizeof(*tiny));

	if (!tiny)
		return NULL;
	tiny->fast = fast;
	tiny->window_max = (uint32_t)(fast->capacity * WINDOW_SHARE);
	if (!tiny->window_max)
		tiny->window_max = 1;
	tiny->protected_max = (uint32_t)((fast->capacity - tiny->window_max) * PROTECTED_SHARE);
	for (tiny->width = 64; tiny->width < fast->capacity; tiny->width *= 2)
		;
	tiny->where = calloc((size_t)refs->nr_blocks + 1, 1);
	tiny->counts = calloc((size_t)tiny->width * ROWS, 1);
	for (int i = 0; i < TINY_NR; i++)
		tiny->lists[i] = LIST_INIT;
	if (links_init(&tiny->links, refs->nr_blocks) && tiny->where && tiny->counts)
		return tiny;
	tiny_free(tiny);
	return NULL;
}

static uint8_t *tiny_counter(struct tiny *tiny, uint32_t block, unsigned int row)
{
	uint64_t h = (block + 1 + ((uint64_t)row << 32)) * 0x9e3779b97f4a7c15ull;

	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ull;
	h ^= h >> 32;
	return &tiny->counts[(size_t)row * tiny->width + (h & (tiny->width - 1))];
}

static unsigned int tiny_uses(struct tiny *tiny, uint32_t block)
{
	unsigned int least = COUNT_MAX;

	for (unsigned int row = 0; row < ROWS; row++) {
		unsigned int count = *tiny_counter(tiny, block, row);

		least = count < least ? count : least;
	}
	return least;
}

static void tiny_count(struct tiny *tiny, uint32_t block)
{
	for (unsigned int row = 0; row < ROWS; row++) {
		uint8_t *count = tiny_counter(tiny, block, row);

		*count += *count < COUNT_MAX;
	}
	if (++tiny->seen < (uint64_t)USES_A_BLOCK * tiny->fast->capacity)
		return;
	tiny->seen /= 2;
	for (size_t i = 0; i < (size_t)tiny->width * ROWS; i++)
		tiny->counts[i] /= 2;
}

static void tiny_put(struct tiny *tiny, uint32_t block, enum tiny_list to)
{
	enum tiny_list from = tiny->where[block];

	if (from)
		list_remove(&tiny->lists[from], &tiny->links, block);
	tiny->where[block] = to;
	if (to)
		list_push(&tiny->lists[to], &tiny->links, block);
}

/* The window is too full: its last block goes on to the main part, or one of the two leaves. */
static void tiny_shift(struct tiny *tiny)
{
	uint32_t candidate = tiny->lists[TINY_WINDOW].tail, victim;

	tiny_put(tiny, candidate, TINY_PROBATION);
	if (tiny->fast->nr <= tiny->fast->capacity)
		return;
	victim = tiny->lists[TINY_PROBATION].tail;
	if (victim == candidate && tiny->lists[TINY_PROTECTED].nr)
		victim = tiny->lists[TINY_PROTECTED].tail;
	if (victim != candidate && tiny_uses(tiny, candidate) <= tiny_uses(tiny, victim))
		victim = candidate;
	tiny_put(tiny, victim, TINY_NONE);
	sim_leave(tiny->fast, victim);
}

static void tiny_reference(void *state, uint32_t block, uint32_t at)
{
	struct tiny *tiny = state;

	tiny_count(tiny, block);
	switch (tiny->where[block]) {
	case TINY_WINDOW:
		tiny_put(tiny, block, TINY_WINDOW);
		return;
	case TINY_PROBATION:
	case TINY_PROTECTED:
		tiny_put(tiny, block, TINY_PROTECTED);
		if (tiny->lists[TINY_PROTECTED].nr > tiny->protected_max)
			tiny_put(tiny, tiny->lists[TINY_PROTECTED].tail, TINY_PROBATION);
		return;
	default:
		tiny_put(tiny, block, TINY_WINDOW);
		sim_enter(tiny->fast, block);
	}
	if (tiny->lists[TINY_WINDOW].nr > tiny->window_max)
		tiny_shift(tiny);
}

static void tiny_drop(void *state, uint32_t block)
{
	struct tiny *tiny = state;

	if (!tiny->fast->in[block])
		return;
	tiny_put(tiny, block, TINY_NONE);
	sim_leave(tiny->fast, block);
}

const struct sim_policy sim_tinylfu = {
	.name = "tinylfu", .title = "W-TinyLFU", .kind = SIM_CACHE, .plain = true,
	.make = tiny_make, .reference = tiny_reference, .drop = tiny_drop, .free = tiny_free,
};
