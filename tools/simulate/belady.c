// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Belady's bound: it knows the future, and sends away the block that is used again last. A block that would be the one
 * to go does not enter.
 */
#include "tools/simulate/policy.h"
#include <stdlib.h>

/**
 * struct belady - the state
 * @next:	position of the next use of each block in the fast tier
 * @heap:	blocks with their next use when they were put there, the latest on top; entries that no longer hold
 *		are passed over
 */
struct belady {
	struct sim_fast *fast;
	const struct sim_refs *refs;
	uint32_t *next;
	struct entry {
		uint32_t next;
		uint32_t block;
	} *heap;
	size_t nr, room;
};

static void belady_free(void *state)
{
	struct belady *belady = state;

	free(belady->next);
	free(belady->heap);
	free(belady);
}

static void *belady_make(struct sim_fast *fast, const struct sim_refs *refs)
{
	struct belady *belady = calloc(1, sizeof(*belady));

	if (!belady)
		return NULL;
	belady->fast = fast;
	belady->refs = refs;
	belady->next = calloc((size_t)refs->nr_blocks + 1, sizeof(*belady->next));
	belady->room = 2 * (size_t)refs->nr_blocks + 64;
	belady->heap = calloc(belady->room, sizeof(*belady->heap));
	if (belady->next && belady->heap)
		return belady;
	belady_free(belady);
	return NULL;
}

static void heap_push(struct belady *b, struct entry e)
{
	size_t i = b->nr++;

	for (; i && b->heap[(i - 1) / 2].next < e.next; i = (i - 1) / 2)
		b->heap[i] = b->heap[(i - 1) / 2];
	b->heap[i] = e;
}

static void heap_pop(struct belady *b)
{
	struct entry e = b->heap[--b->nr];
	size_t i = 0, child;

	for (; (child = 2 * i + 1) < b->nr; i = child) {
		if (child + 1 < b->nr && b->heap[child + 1].next > b->heap[child].next)
			child++;
		if (b->heap[child].next <= e.next)
			break;
		b->heap[i] = b->heap[child];
	}
	b->heap[i] = e;
}

/* The block that is used again last; the fast tier holds one. */
static struct entry latest(struct belady *b)
{
	while (!b->fast->in[b->heap[0].block] || b->next[b->heap[0].block] != b->heap[0].next)
		heap_pop(b);
	return b->heap[0];
}

static void expect(struct belady *b, uint32_t block, uint32_t next)
{
	b->next[block] = next;
	if (b->nr < b->room) {
		heap_push(b, (struct entry) { .next = next, .block = block });
		return;
	}
	/* full of entries that hold no longer */
	b->nr = 0;
	for (uint32_t i = 0; i < b->refs->nr_blocks; i++)
		if (b->fast->in[i])
			heap_push(b, (struct entry) { .next = b->next[i], .block = i });
}

static void belady_reference(void *state, uint32_t block, uint32_t at)
{
	struct belady *b = state;
	/* what is being read is needed at once */
	uint32_t next = b->fast->in_place ? 0 : b->refs->next[at];

	if (!b->fast->in[block]) {
		if (b->fast->nr == b->fast->capacity) {
			struct entry victim = latest(b);

			if (victim.next <= next)
				return;
			heap_pop(b);
			sim_leave(b->fast, victim.block);
		}
		sim_enter(b->fast, block);
	} else if (b->next[block] == next) {
		return;
	}
	expect(b, block, next);
}

static void belady_release(void *state, uint32_t block, uint32_t at)
{
	struct belady *b = state;

	if (b->fast->in[block])
		expect(b, block, b->refs->next[at]);
}

static void belady_drop(void *state, uint32_t block)
{
	struct belady *b = state;

	if (b->fast->in[block])
		sim_leave(b->fast, block);
}

const struct sim_policy sim_belady = {
	.name = "belady", .title = "Belady (bound)", .kind = SIM_CACHE, .plain = true,
	.make = belady_make, .reference = belady_reference, .release = belady_release,
	.drop = belady_drop, .free = belady_free,
};
