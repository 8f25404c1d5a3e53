// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading the tiers and the counters.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/sysfs.h"
#include "tools/tiers.h"

struct pool_walk {
	struct tier *tier;
	char dir[SYS_PATH_MAX];
};

static int read_pool(const char *name, void *arg)
{
	struct pool_walk *w = arg;
	uint64_t filled;

	if (!sys_read_u64(&filled, "%s/%s/filled_bytes", w->dir, name))
		w->tier->filled += filled;
	return 0;
}

static uint64_t attribute(const char *tier, const char *name)
{
	uint64_t v;

	/* an attribute that is not there counts as 0: unknown */
	sys_read_u64(&v, SYS_KVOFF "/tiers/%s/%s", tier, name);
	return v;
}

static int read_tier(const char *name, void *arg)
{
	struct pool_walk w;
	struct tiers *all = arg;
	struct tier *t;
	uint64_t id;

	/* gone while we looked, or not a tier */
	if (all->nr == KVOFF_MAX_TIERS || strlen(name) >= KVOFF_NAME_LEN ||
	    sys_read_u64(&id, SYS_KVOFF "/tiers/%s/id", name) || id >= KVOFF_MAX_TIERS)
		return 0;
	t = &all->tier[all->nr++];
	strcpy(t->name, name);
	t->id = id;
	t->node = attribute(name, "node");
	t->rank = attribute(name, "rank");
	t->capacity = attribute(name, "capacity_bytes");
	t->used = attribute(name, "used_bytes");
	t->free = attribute(name, "free_bytes");
	t->orphan = attribute(name, "orphan_bytes");
	t->poisoned = attribute(name, "poisoned_bytes");
	t->latency_ns = attribute(name, "latency_ns");
	t->bandwidth_mbps = attribute(name, "bandwidth_mbps");
	sys_read(t->state, sizeof(t->state), SYS_KVOFF "/tiers/%s/state", name);
	w.tier = t;
	snprintf(w.dir, sizeof(w.dir), SYS_KVOFF "/tiers/%s/pools", name);
	sys_each(w.dir, read_pool, &w);
	return 0;
}

static int by_rank(const void *a, const void *b)
{
	const struct tier *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

int tiers_read(struct tiers *t)
{
	int ret;

	memset(t, 0, sizeof(*t));
	ret = sys_each(SYS_KVOFF "/tiers", read_tier, t);
	/* the module is there, the folder of tiers is made with the first of them */
	if (ret == -ENOENT && sys_exists(SYS_KVOFF))
		ret = 0;
	qsort(t->tier, t->nr, sizeof(t->tier[0]), by_rank);
	return ret;
}

const struct tier *tiers_find(const struct tiers *t, const char *name)
{
	unsigned int i;

	for (i = 0; i < t->nr; i++)
		if (!strcmp(t->tier[i].name, name))
			return &t->tier[i];
	return NULL;
}

static int read_counter(const char *name, void *arg)
{
	struct counters *c = arg;

	if (c->nr == COUNTERS_MAX || strlen(name) >= KVOFF_NAME_LEN ||
	    sys_read_u64(&c->value[c->nr], SYS_KVOFF "/stats/%s", name))
		return 0;
	strcpy(c->name[c->nr++], name);
	return 0;
}

int counters_read(struct counters *c)
{
	memset(c, 0, sizeof(*c));
	return sys_each(SYS_KVOFF "/stats", read_counter, c);
}

uint64_t counters_get(const struct counters *c, const char *name)
{
	unsigned int i;

	for (i = 0; i < c->nr; i++)
		if (!strcmp(c->name[i], name))
			return c->value[i];
	return 0;
}
