// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sending moves.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "act.h"
#include "log.h"

/* Refused for the first time: a tenth of a second; each further time twice that, up to a minute. */
#define RETRY_FIRST	(HEAT_SEC / 10)
#define RETRY_MAX	(60 * HEAT_SEC)
#define RETRY_POISONED	(3600 * HEAT_SEC)

/* Budgets smaller than a block a tick must add up to one. */
#define CREDIT_MIN	((uint64_t)KVOFF_BLOCK_SIZE_MAX)

const char *act_result_name(enum act_result result)
{
	static const char *const names[ACT_NR_RESULTS] = {
		[ACT_MOVED] = "moved",
		[ACT_BUSY] = "busy",
		[ACT_ACQUIRED] = "acquired",
		[ACT_WRITTEN] = "written",
		[ACT_NOT_BEGUN] = "not_begun",
		[ACT_NO_FRAME] = "no_frame",
		[ACT_OVER_QUOTA] = "over_quota",
		[ACT_DRAINING] = "draining",
		[ACT_POISONED] = "poisoned",
		[ACT_VANISHED] = "vanished",
		[ACT_FAILED] = "failed",
	};

	return names[result];
}

enum act_result act_result_of(const struct kvoff_move_result *result)
{
	switch (result->error) {
	case 0:
		return ACT_MOVED;
	case -EBUSY:
		return ACT_BUSY;
	case -EAGAIN:
		return ACT_ACQUIRED;
	case -ECANCELED:
		return result->from == KVOFF_TIER_NONE ? ACT_NOT_BEGUN : ACT_WRITTEN;
	case -ENOSPC:
		return ACT_NO_FRAME;
	case -EDQUOT:
		return ACT_OVER_QUOTA;
	case -ESHUTDOWN:
		return ACT_DRAINING;
	case -EHWPOISON:
		return ACT_POISONED;
	case -ENOENT:
	case -ERANGE:
	case -ENODATA:
		return ACT_VANISHED;
	default:
		return ACT_FAILED;
	}
}

void act_learn(struct heat *h, enum act_result result, uint8_t to, bool promoted, uint32_t now)
{
	uint32_t wait = RETRY_FIRST;

	h->flags &= (uint8_t)~HEAT_IN_FLIGHT;
	/* discarded while it moved: there is nothing to learn of */
	if (!(h->flags & HEAT_PRESENT))
		return;
	switch (result) {
	case ACT_MOVED:
		h->tier = to;
		h->placed = now;
		h->refused = 0;
		h->cancelled = 0;
		h->flags &= (uint8_t)~(HEAT_FRESH | HEAT_PROMOTED);
		h->flags |= promoted ? HEAT_PROMOTED : 0;
		return;
	case ACT_NOT_BEGUN:
	case ACT_NO_FRAME:
	case ACT_DRAINING:
	case ACT_VANISHED:
		return;
	case ACT_WRITTEN:
		h->cancelled += h->cancelled < HEAT_CANCELLED_MAX;
		break;
	case ACT_POISONED:
		h->refused = HEAT_REFUSED_MAX;
		h->retry = now + RETRY_POISONED;
		return;
	default:
		break;
	}
	for (unsigned int i = 0; i < h->refused && wait < RETRY_MAX; i++)
		wait *= 2;
	h->refused += h->refused < HEAT_REFUSED_MAX;
	h->retry = now + (wait < RETRY_MAX ? wait : RETRY_MAX);
}

void act_tick(struct act *act, const uint32_t budget[][KVOFF_MAX_TIERS], const uint32_t *speed, uint64_t ms)
{
	for (unsigned int a = 0; a < KVOFF_MAX_TIERS; a++) {
		for (unsigned int b = 0; b < KVOFF_MAX_TIERS; b++) {
			uint64_t mbps = budget[a][b], slower = speed[a] < speed[b] ? speed[a] : speed[b], share, most;

			if (!mbps)
				mbps = slower ? slower : 10000;
			/* 10^6 bytes a second are 1000 bytes a millisecond */
			share = mbps * 1000 * ms;
			most = 2 * share > CREDIT_MIN ? 2 * share : CREDIT_MIN;
			act->credit[a][b] += share;
			if (act->credit[a][b] > most)
				act->credit[a][b] = most;
		}
	}
}

void act_forget_full(struct act *act)
{
	memset(act->full, 0, sizeof(act->full));
}

uint64_t act_link_bytes(const struct act *act, unsigned int from, unsigned int to)
{
	uint64_t credit = act->credit[from][to], pending = act->pending_bytes[from][to];

	/* what the kernel has not yet done from earlier intervals is no less of a load */
	return credit > pending ? credit - pending : 0;
}

static uint64_t size_of(const struct act_batch *batch)
{
	return (uint64_t)KVOFF_BLOCK_SIZE_MIN << batch->size_class;
}

static unsigned int batch_limit(const struct act *act, uint32_t size_class)
{
	uint64_t bytes = act->send ? ACT_BATCH_BYTES : ACT_IOCTL_BYTES;
	uint64_t nr = bytes >> (16 + size_class);

	return nr > KVOFF_MOVE_MAX ? KVOFF_MOVE_MAX : (unsigned int)nr;
}

_Static_assert(KVOFF_BLOCK_SIZE_MIN == 1u << 16, "batch_limit() shifts by it");

static struct act_batch *find_free(struct act *act)
{
	for (unsigned int i = 0; i < ACT_BATCHES; i++)
		if (!act->batches[i].busy && !act->batches[i].arg.nr)
			return &act->batches[i];
	return NULL;
}

static void start(struct act *act, struct act_batch *batch)
{
	unsigned int index = (unsigned int)(batch - act->batches);

	batch->busy = true;
	batch->last_try = false;
	batch->arg.size = sizeof(batch->arg);
	batch->arg.flags = 0;
	batch->arg.moved = 0;
	batch->arg.descs = (uint64_t)(uintptr_t)batch->descs;
	batch->arg.results = (uint64_t)(uintptr_t)batch->results;
	/* if the kernel cannot write results, nothing may be believed that stands there */
	for (uint32_t i = 0; i < batch->arg.nr; i++)
		batch->results[i] = (struct kvoff_move_result) { .error = -ECANCELED, .from = KVOFF_TIER_NONE };
	if (act->send && !act->send(act->ctx, index, &batch->arg))
		return;
	act->order[act->nr_order++] = index;
}

/* The blocks lie far apart: have all of them come to the cache at once. */
static void expect(const struct regions *regions, const struct decide_move *moves, size_t nr)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < nr; i++)
		sum += census_peek(&regions->region[moves[i].region]->census, moves[i].block);
	__asm__ volatile("" : : "r"(sum));
}

size_t act_send(struct act *act, struct regions *regions, const struct decide_move *moves, size_t nr)
{
	struct act_batch *open[KVOFF_MAX_TIERS][KVOFF_MAX_TIERS] = { 0 };
	size_t sent = 0;

	expect(regions, moves, nr);
	for (size_t i = 0; i < nr; i++) {
		const struct decide_move *move = &moves[i];
		struct region *region = regions->region[move->region];
		struct heat *h = &region->census.heat[move->block];
		struct act_batch *batch = open[move->from][move->to];
		struct kvoff_move_desc *desc;

		if (batch && batch->size_class != region->size_class) {
			start(act, batch);
			batch = NULL;
		}
		if (!batch)
			batch = find_free(act);
		open[move->from][move->to] = batch;
		if (!batch)
			continue;
		batch->from = move->from;
		batch->to = move->to;
		batch->size_class = region->size_class;
		desc = &batch->descs[batch->arg.nr++];
		*desc = (struct kvoff_move_desc) {
			.region = region->id, .to = move->to, .block = move->block, .reason = move->reason,
		};
		/* writes came in between twice: readers and writers wait for one copy then */
		if (h->cancelled >= 2)
			desc->flags = KVOFF_MOVE_STOP;
		census_loosen(&region->census, move->block);
		h->flags |= HEAT_IN_FLIGHT;
		act->pending[move->to][region->size_class]++;
		act->pending_bytes[move->from][move->to] += region->block_size;
		sent++;
		if (batch->arg.nr >= batch_limit(act, batch->size_class)) {
			start(act, batch);
			open[move->from][move->to] = NULL;
		}
	}
	for (unsigned int a = 0; a < KVOFF_MAX_TIERS; a++)
		for (unsigned int b = 0; b < KVOFF_MAX_TIERS; b++)
			if (open[a][b])
				start(act, open[a][b]);
	return sent;
}

static void finish_block(struct act *act, struct regions *regions, struct act_batch *batch, uint32_t i, uint32_t now,
			 const uint32_t *rank)
{
	const struct kvoff_move_desc *desc = &batch->descs[i];
	enum act_result result = act_result_of(&batch->results[i]);
	bool promoted = rank[batch->to] < rank[batch->from];
	struct region *region = regions_find(regions, desc->region);
	uint64_t size = size_of(batch);

	act->pending[batch->to][batch->size_class]--;
	act->pending_bytes[batch->from][batch->to] -= size;
	act->counters.results[result]++;
	if (region && desc->block < region->nr) {
		census_loosen(&region->census, desc->block);
		act_learn(&region->census.heat[desc->block], result, batch->to, promoted, now);
		region_look_again(region, desc->block);
	}
	if (result == ACT_NO_FRAME || result == ACT_DRAINING)
		act->full[batch->to] |= (uint8_t)(1u << batch->size_class);
	/* credit is for copies: those that did not happen give theirs back */
	if (result == ACT_MOVED || result == ACT_WRITTEN)
		act->credit[batch->from][batch->to] -= size < act->credit[batch->from][batch->to] ?
							size : act->credit[batch->from][batch->to];
	if (result != ACT_MOVED || batch->results[i].from == batch->to)
		return;
	act->counters.reasons[desc->reason]++;
	if (promoted) {
		act->counters.promoted++;
		act->counters.promoted_bytes += size;
	} else {
		act->counters.demoted++;
		act->counters.demoted_bytes += size;
	}
}

void act_done(struct act *act, struct regions *regions, unsigned int index, int res, uint32_t now, const uint32_t *rank)
{
	struct act_batch *batch = &act->batches[index];

	if ((res == -EOPNOTSUPP || res == -ENOSYS || res == -ENOTTY) && act->send) {
		log_warn("the kernel takes no moves by io_uring: using ioctls", "error=\"%s\"", strerror(-res));
		act_fall_back(act);
	}
	if ((res == -EOPNOTSUPP || res == -ENOSYS || res == -ENOTTY) && !batch->last_try) {
		batch->last_try = true;
		act->order[act->nr_order++] = index;
		return;
	}
	if (res < 0 && res != -ECANCELED)
		log_error(res == -EPERM ? "moves are refused: the policy lease was lost" : "a batch of moves failed",
			  "blocks=%u error=\"%s\"", batch->arg.nr, strerror(-res));
	for (uint32_t i = 0; i < batch->arg.nr; i++)
		finish_block(act, regions, batch, i, now, rank);
	batch->busy = false;
	batch->arg.nr = 0;
}

bool act_step(struct act *act, struct regions *regions, uint32_t now, const uint32_t *rank,
	      const uint32_t budget[][KVOFF_MAX_TIERS])
{
	struct act_batch *batch;
	struct kvoff_ctl_move part;
	unsigned int index;
	uint64_t nr;
	int err = 0;

	if (!act->nr_order)
		return false;
	index = act->order[0];
	batch = &act->batches[index];
	part = batch->arg;
	/* @moved counts what earlier calls have done of this batch */
	nr = ACT_IOCTL_BYTES;
	if (budget[batch->from][batch->to] && (uint64_t)budget[batch->from][batch->to] * 1000 * ACT_IOCTL_MS < nr)
		nr = (uint64_t)budget[batch->from][batch->to] * 1000 * ACT_IOCTL_MS;
	nr = nr / size_of(batch) ? nr / size_of(batch) : 1;
	part.nr = batch->arg.nr - batch->arg.moved;
	if (part.nr > nr)
		part.nr = (uint32_t)nr;
	part.descs += batch->arg.moved * sizeof(batch->descs[0]);
	part.results += batch->arg.moved * sizeof(batch->results[0]);
	batch->arg.moved += part.nr;
	part.moved = 0;
	if (ioctl(act->control, KVOFF_CTL_MOVE, &part))
		err = -errno;
	if (err || batch->arg.moved >= batch->arg.nr) {
		memmove(act->order, act->order + 1, --act->nr_order * sizeof(act->order[0]));
		batch->last_try = true;
		act_done(act, regions, index, err, now, rank);
	}
	return act->nr_order != 0;
}

void act_fall_back(struct act *act)
{
	act->send = NULL;
}

bool act_busy(const struct act *act)
{
	for (unsigned int i = 0; i < ACT_BATCHES; i++)
		if (act->batches[i].busy)
			return true;
	return false;
}
