// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * From a trace to what is simulated.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/simulate/load.h"

#define NO_SESSION	UINT32_MAX
#define REFS_MAX	(1u << 30)

uint64_t sim_mix(uint64_t seed, uint64_t n)
{
	uint64_t x = (seed + 1) * 0x9e3779b97f4a7c15ull + n * 0xbf58476d1ce4e5b9ull;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static bool drawn(uint64_t seed, uint64_t n, double percent)
{
	return (double)(sim_mix(seed, n) >> 11) / (double)(1ull << 53) * 100 < percent;
}

/**
 * struct numbers - from block ids to numbers
 * @ids:	a hash table, @mask + 1 places
 * @number:	of the id in the same place; SIM_NEVER: the place is free
 */
struct numbers {
	uint64_t *ids;
	uint32_t *number;
	size_t mask;
	uint32_t nr;
};

static bool numbers_init(struct numbers *n, size_t ids)
{
	size_t room = 1024;

	while (room < 2 * ids)
		room *= 2;
	n->mask = room - 1;
	n->nr = 0;
	n->ids = calloc(room, sizeof(*n->ids));
	n->number = malloc(room * sizeof(*n->number));
	if (!n->ids || !n->number)
		return false;
	memset(n->number, 0xff, room * sizeof(*n->number));
	return true;
}

static void numbers_free(struct numbers *n)
{
	free(n->ids);
	free(n->number);
}

static uint32_t number_of(struct numbers *n, uint64_t id)
{
	size_t at = sim_mix(0, id) & n->mask;

	while (n->number[at] != SIM_NEVER && n->ids[at] != id)
		at = (at + 1) & n->mask;
	if (n->number[at] == SIM_NEVER) {
		n->ids[at] = id;
		n->number[at] = n->nr++;
	}
	return n->number[at];
}

/* The session of each request, and how many of its blocks the session had before. */
static int find_sessions(struct sim_load *load)
{
	const struct sim_refs *refs = &load->refs;
	uint32_t *ends_with = malloc(((size_t)refs->nr_blocks + 1) * sizeof(*ends_with));
	uint32_t *last = malloc(((size_t)load->nr + 1) * sizeof(*last));

	if (!ends_with || !last) {
		free(ends_with);
		free(last);
		return -ENOMEM;
	}
	memset(ends_with, 0xff, ((size_t)refs->nr_blocks + 1) * sizeof(*ends_with));
	for (uint32_t i = 0; i < load->nr; i++) {
		struct sim_request *r = &load->requests[i], *before;
		const uint32_t *blocks = &refs->block[r->first];
		uint32_t session = NO_SESSION;

		for (uint32_t k = r->nr; k-- > 1 && session == NO_SESSION;)
			session = ends_with[blocks[k]];
		if (session == NO_SESSION) {
			session = load->nr_sessions++;
		} else {
			before = &load->requests[last[session]];
			while (r->known < r->nr && r->known < before->nr &&
			       blocks[r->known] == refs->block[before->first + r->known])
				r->known++;
		}
		r->session = session;
		last[session] = i;
		for (uint32_t k = r->nr > 2 ? r->nr - 2 : 1; k < r->nr; k++)
			ends_with[blocks[k]] = session;
	}
	for (uint32_t s = 0; s < load->nr_sessions; s++)
		load->requests[last[s]].ends = true;
	free(ends_with);
	free(last);
	return 0;
}

static int number_blocks(struct sim_load *load, const uint64_t *ids, size_t nr_ids)
{
	struct sim_refs *refs = &load->refs;
	struct numbers numbers = { 0 };
	uint32_t *uses = NULL;
	int err = -ENOMEM;

	refs->nr = (uint32_t)nr_ids;
	refs->block = malloc((nr_ids + 1) * sizeof(*refs->block));
	refs->next = malloc((nr_ids + 1) * sizeof(*refs->next));
	if (!refs->block || !refs->next || !numbers_init(&numbers, nr_ids))
		goto out;
	for (size_t i = 0; i < nr_ids; i++)
		refs->block[i] = number_of(&numbers, ids[i]);
	refs->nr_blocks = numbers.nr;
	uses = calloc((size_t)refs->nr_blocks + 1, 2 * sizeof(*uses));
	if (!uses)
		goto out;
	for (uint32_t i = refs->nr; i-- > 0;) {
		uint32_t *use = &uses[2 * (size_t)refs->block[i]];

		refs->next[i] = use[0] ? use[1] : SIM_NEVER;
		use[1] = i;
		if (++use[0] > refs->most)
			refs->most = use[0];
	}
	err = 0;
out:
	free(uses);
	numbers_free(&numbers);
	return err;
}

static int take(struct sim_load *load, const struct trace *trace, const uint8_t *wanted)
{
	uint64_t *ids = malloc((trace->nr_ids + 1) * sizeof(*ids));
	size_t nr_ids = 0;
	int err;

	load->requests = calloc(trace->nr_requests + 1, sizeof(*load->requests));
	if (!ids || !load->requests) {
		free(ids);
		return -ENOMEM;
	}
	for (size_t i = 0; i < trace->nr_requests; i++) {
		const struct trace_request *from = &trace->requests[i];

		if (wanted && !wanted[i])
			continue;
		load->requests[load->nr++] = (struct sim_request) {
			.ms = (double)(from->timestamp_ms - trace->requests[0].timestamp_ms),
			.input = from->input_length, .output = from->output_length,
			.first = (uint32_t)nr_ids, .nr = from->nr_ids,
		};
		memcpy(&ids[nr_ids], &trace->ids[from->first_id], from->nr_ids * sizeof(*ids));
		nr_ids += from->nr_ids;
	}
	err = load->nr ? number_blocks(load, ids, nr_ids) : -ENOENT;
	free(ids);
	return err ? err : find_sessions(load);
}

int sim_load_make(struct sim_load *load, const struct trace *trace, const struct sim_choice *choice)
{
	uint8_t *wanted;
	int err;

	*load = (struct sim_load) { 0 };
	if (trace->nr_ids > REFS_MAX)
		return -E2BIG;
	err = take(load, trace, NULL);
	if (!err && choice->sessions < 100) {
		wanted = malloc(load->nr);
		for (uint32_t i = 0; wanted && i < load->nr; i++)
			wanted[i] = drawn(choice->seed, load->requests[i].session, choice->sessions);
		sim_load_free(load);
		err = wanted ? take(load, trace, wanted) : -ENOMEM;
		free(wanted);
	}
	for (uint32_t i = 0; !err && i < load->nr; i++)
		load->requests[i].ends &= drawn(~choice->seed, load->requests[i].session, choice->hints);
	if (err)
		sim_load_free(load);
	return err;
}

void sim_load_free(struct sim_load *load)
{
	free(load->requests);
	free(load->refs.block);
	free(load->refs.next);
	*load = (struct sim_load) { 0 };
}
