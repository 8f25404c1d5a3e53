// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where a frame comes from: which tier is asked for it, and how much of its pool stays for others. Unlike pool.c, which
 * knows how frames are kept, this file knows what they are wanted for.
 */
#include "drain.h"
#include "kvoff.h"
#include "tenant.h"

/**
 * kvoff_frame_walk - ask one tier after the other for a frame, fastest first
 * @take:	a frame of @tier, or NULL; the higher @pass, the less choosy
 * @arg:	for @take
 * @id:		out: the tier that had one
 */
struct folio *kvoff_frame_walk(kvoff_take_fn take, void *arg, u32 *id)
{
	struct kvoff_tier_set *set;
	struct folio *folio = NULL;
	unsigned int pass, i;

	rcu_read_lock();
	set = rcu_dereference(kvoff_tiers);
	for (pass = 0; pass < KVOFF_PASSES && !folio; pass++) {
		for (i = 0; i < set->nr && !folio; i++) {
			*id = set->by_rank[i]->id;
			folio = take(arg, set->by_rank[i], pass);
		}
	}
	rcu_read_unlock();
	return folio;
}

struct kvoff_first {
	struct kvoff_tenant *tenant;
	unsigned int index;
	bool *zeroed;
};

static struct folio *kvoff_frame_first_of(void *arg, struct kvoff_tier *tier, unsigned int pass)
{
	struct kvoff_first *f = arg;
	struct kvoff_pool *pool = &tier->pools[f->index];
	bool last = pass == KVOFF_PASSES - 1;
	unsigned long leave = last ? 0 : kvoff_pool_reserve(pool, READ_ONCE(pool->filled));
	size_t size = kvoff_size_of(f->index);
	struct folio *folio;

	/* what only it can answer for comes to a tier that is being drained all the same */
	if (!last && kvoff_tier_full(tier, size))
		return NULL;
	if (!kvoff_tenant_charge(f->tenant, tier->id, size, pass > 0))
		return NULL;
	folio = kvoff_pool_take(pool, leave, true, f->zeroed);
	if (!folio)
		kvoff_tenant_uncharge(f->tenant, tier->id, size);
	return folio;
}

/**
 * kvoff_frame_first - a frame for a block's first touch
 * @tenant:	who is charged for it
 * @index:	block size index
 * @tier:	out: where it is
 * @zeroed:	out: false if the caller must zero it
 *
 * The fastest tier with room above its reserve and within the tenant's quota there; then, as what was committed can be
 * used, beyond the quota; when all are down to their reserves, whatever is free.
 */
struct folio *kvoff_frame_first(struct kvoff_tenant *tenant, unsigned int index, u32 *tier, bool *zeroed)
{
	struct kvoff_first f = { .tenant = tenant, .index = index, .zeroed = zeroed };

	return kvoff_frame_walk(kvoff_frame_first_of, &f, tier);
}

/*
 * kvoff_frame_target - a frame to copy a block to; its bytes are somebody's old ones
 */
struct folio *kvoff_frame_target(unsigned int index, u32 tier)
{
	struct folio *folio = NULL;
	struct kvoff_tier *t;
	bool zeroed;

	/* a first touch of promised memory comes before any move */
	if (waitqueue_active(&kvoff_frame_wait))
		return NULL;
	rcu_read_lock();
	t = rcu_dereference(kvoff_tiers)->by_id[tier];
	if (t) {
		folio = kvoff_pool_take(&t->pools[index], 0, false, &zeroed);
		if (!folio) {
			WRITE_ONCE(t->pools[index].wanting, true);
			kvoff_tier_kick(t);
		}
	}
	rcu_read_unlock();
	return folio;
}

/*
 * kvoff_frame_window - a frame that a region keeps for life; @zeroed: false if the caller must zero it
 *
 * The reserve stays, for moves of others.
 */
struct folio *kvoff_frame_window(unsigned int index, u32 tier, bool *zeroed)
{
	struct folio *folio = NULL;
	struct kvoff_tier *t;

	rcu_read_lock();
	t = rcu_dereference(kvoff_tiers)->by_id[tier];
	if (t) {
		struct kvoff_pool *pool = &t->pools[index];

		folio = kvoff_pool_take(pool, kvoff_pool_reserve(pool, READ_ONCE(pool->filled)), true, zeroed);
	}
	rcu_read_unlock();
	return folio;
}
