// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The server's index: a hash table of entries that stay, and a list of those held in the order of their use.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/index.h"

#define SLAB_ENTRIES	4096

struct entry_slab {
	struct entry_slab *next;
	struct entry entry[SLAB_ENTRIES];
};

int index_init(struct index *x, size_t ids, size_t bound)
{
	memset(x, 0, sizeof(*x));
	x->bound = bound;
	x->nr_chains = 1024;
	while (x->nr_chains < ids)
		x->nr_chains *= 2;
	x->chains = calloc(x->nr_chains, sizeof(*x->chains));
	return x->chains ? 0 : -ENOMEM;
}

void index_destroy(struct index *x)
{
	struct entry_slab *s;

	while ((s = x->slabs)) {
		x->slabs = s->next;
		free(s);
	}
	free(x->chains);
	memset(x, 0, sizeof(*x));
}

static struct entry *find(struct index *x, uint64_t id)
{
	struct entry **chain = &x->chains[(id * 0x9e3779b97f4a7c15ULL >> 20) & (x->nr_chains - 1)];
	struct entry_slab *s = x->slabs;
	struct entry *e;

	for (e = *chain; e; e = e->next)
		if (e->id == id)
			return e;
	if (!s || x->slab_used == SLAB_ENTRIES) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return NULL;
		s->next = x->slabs;
		x->slabs = s;
		x->slab_used = 0;
	}
	e = &s->entry[x->slab_used++];
	e->id = id;
	e->next = *chain;
	*chain = e;
	x->distinct++;
	return e;
}

static void take_out(struct index *x, struct entry *e)
{
	*(e->older ? &e->older->newer : &x->oldest) = e->newer;
	*(e->newer ? &e->newer->older : &x->newest) = e->older;
	x->held--;
}

static void put_newest(struct index *x, struct entry *e)
{
	e->newer = NULL;
	e->older = x->newest;
	*(x->newest ? &x->newest->newer : &x->oldest) = e;
	x->newest = e;
	x->held++;
}

struct entry *index_use(struct index *x, uint64_t id, bool *hit)
{
	struct entry *e = find(x, id);

	if (!e)
		return NULL;
	*hit = atomic_load(&e->state) != ENTRY_GONE;
	/* what could not be made before is tried again, once nobody waits for it any more */
	if (*hit && atomic_load(&e->state) == ENTRY_FAILED && !atomic_load(&e->pins))
		*hit = false;
	if (atomic_load(&e->state) != ENTRY_GONE)
		take_out(x, e);
	if (!*hit)
		atomic_store(&e->state, ENTRY_PENDING);
	put_newest(x, e);
	atomic_fetch_add(&e->pins, 1);
	return e;
}

struct entry *index_evict(struct index *x)
{
	struct entry *e;

	if (x->held <= x->bound)
		return NULL;
	for (e = x->oldest; e; e = e->newer)
		if (!atomic_load(&e->pins))
			break;
	if (e) {
		take_out(x, e);
		atomic_store(&e->state, ENTRY_GONE);
	}
	return e;
}

struct entry *index_next(struct index *x, struct entry *e)
{
	return e ? e->newer : x->oldest;
}
