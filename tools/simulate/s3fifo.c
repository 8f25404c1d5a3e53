// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * S3-FIFO (Yang et al., SOSP'23): new blocks go through a small queue; those used again there go on to the main queue,
 * where a use lets a block pass by once more; the others are remembered for a while, and go to the main queue if they
 * come back.
 */
#include "tools/simulate/list.h"
#include "tools/simulate/policy.h"

/* The authors' own: a tenth for the small queue, as many blocks remembered as the main queue has, two uses to pass. */
#define SMALL_SHARE	0.1
#define GHOST_SHARE	0.9
#define USES_TO_PASS	2
#define USES_MAX	3

enum s3_list { S3_NONE, S3_SMALL, S3_MAIN, S3_GHOST, S3_NR };

struct s3 {
	struct sim_fast *fast;
	struct links links;
	struct list lists[S3_NR];
	uint8_t *where;
	uint8_t *uses;
	uint32_t small_max, main_max, ghost_max;
	bool was_full;
};

static void s3_free(void *state)
{
	struct s3 *s3 = state;

	links_free(&s3->links);
	free(s3->where);
	free(s3->uses);
	free(s3);
}

static void *s3_make(struct sim_fast *fast, const struct sim_refs *refs)
{
	struct s3 *s3 = calloc(1, sizeof(*s3));

	if (!s3)
		return NULL;
	s3->fast = fast;
	s3->where = calloc((size_t)refs->nr_blocks + 1, 1);
	s3->uses = calloc((size_t)refs->nr_blocks + 1, 1);
	s3->small_max = (uint32_t)(fast->capacity * SMALL_SHARE);
	s3->main_max = fast->capacity - s3->small_max;
	s3->ghost_max = (uint32_t)(fast->capacity * GHOST_SHARE);
	for (int i = 0; i < S3_NR; i++)
		s3->lists[i] = LIST_INIT;
	if (links_init(&s3->links, refs->nr_blocks) && s3->where && s3->uses)
		return s3;
	s3_free(s3);
	return NULL;
}

static void s3_put(struct s3 *s3, uint32_t block, enum s3_list to)
{
	enum s3_list from = s3->where[block];

	if (from)
		list_remove(&s3->lists[from], &s3->links, block);
	s3->where[block] = to;
	if (to)
		list_push(&s3->lists[to], &s3->links, block);
}

static bool s3_evict_small(struct s3 *s3)
{
	while (s3->lists[S3_SMALL].nr) {
		uint32_t block = s3->lists[S3_SMALL].tail;

		if (s3->uses[block] >= USES_TO_PASS) {
			s3->uses[block] = 0;
			s3_put(s3, block, S3_MAIN);
			continue;
		}
		s3_put(s3, block, S3_GHOST);
		if (s3->lists[S3_GHOST].nr > s3->ghost_max)
			s3_put(s3, s3->lists[S3_GHOST].tail, S3_NONE);
		sim_leave(s3->fast, block);
		return true;
	}
	return false;
}

static void s3_evict_main(struct s3 *s3)
{
	for (;;) {
		uint32_t block = s3->lists[S3_MAIN].tail;

		if (s3->uses[block]) {
			s3->uses[block]--;
			s3_put(s3, block, S3_MAIN);
			continue;
		}
		s3_put(s3, block, S3_NONE);
		sim_leave(s3->fast, block);
		return;
	}
}

static void s3_reference(void *state, uint32_t block, uint32_t at)
{
	struct s3 *s3 = state;
	bool back = s3->where[block] == S3_GHOST;

	if (s3->fast->in[block]) {
		s3->uses[block] += s3->uses[block] < USES_MAX;
		return;
	}
	if (back)
		s3_put(s3, block, S3_NONE);
	while (s3->fast->nr == s3->fast->capacity) {
		s3->was_full = true;
		if (s3->lists[S3_MAIN].nr > s3->main_max || !s3_evict_small(s3))
			s3_evict_main(s3);
	}
	/* while there is room, the main queue is filled with what the small one has none for */
	if (!s3->was_full && s3->lists[S3_SMALL].nr >= s3->small_max)
		back = true;
	s3->uses[block] = 0;
	s3_put(s3, block, back ? S3_MAIN : S3_SMALL);
	sim_enter(s3->fast, block);
}

static void s3_drop(void *state, uint32_t block)
{
	struct s3 *s3 = state;

	if (!s3->fast->in[block])
		return;
	s3_put(s3, block, S3_NONE);
	sim_leave(s3->fast, block);
}

const struct sim_policy sim_s3fifo = {
	.name = "s3-fifo", .title = "S3-FIFO", .kind = SIM_CACHE, .plain = true,
	.make = s3_make, .reference = s3_reference, .drop = s3_drop, .free = s3_free,
};
