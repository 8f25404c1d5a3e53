// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Moves: by ioctl, where each result is checked against what may have happened, and as io_uring commands that are
 * cancelled and whose arrays change while they are in flight.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "attack.h"

/* A region number: one of ours, a live one, or none. */
static uint32_t random_region(struct self *me, uint64_t *blocks)
{
	struct hold *h = pick_hold(me, false);
	struct slot *s = &world->slots[below(me, SLOTS)];

	if (h && chance(me, 80))
		s = &world->slots[h->slot];
	*blocks = s->nr ?: 1;
	return chance(me, 3) ? rnd(me) : s->id;
}

void random_descs(struct self *me, struct kvoff_move_desc *descs, uint32_t nr)
{
	uint32_t i;

	for (i = 0; i < nr; i++) {
		uint64_t blocks;

		descs[i] = (struct kvoff_move_desc){ .region = random_region(me, &blocks), .reason = rnd(me) };
		descs[i].block = below(me, blocks);
		descs[i].to = atomic_load(&world->tier_ids[below(me, 2)]);
		if (chance(me, 20))
			descs[i].flags = KVOFF_MOVE_STOP;
		if (chance(me, 3))
			descs[i].block = rnd(me) >> below(me, 64);
		if (chance(me, 3))
			descs[i].to = rnd(me) >> below(me, 16);
		if (chance(me, 2))
			descs[i].flags = rnd(me);
		if (chance(me, 1))
			descs[i].reserved[below(me, 3)] = rnd(me);
	}
}

static int slot_of_region(const struct self *me, uint32_t region)
{
	int i;

	for (i = 0; i < SLOTS; i++)
		if (world->slots[i].id == region && slot_mine(me, i, atomic_load(&world->slots[i].gen)))
			return i;
	return -1;
}

static bool malformed(const struct kvoff_move_desc *d)
{
	return d->flags & ~KVOFF_MOVE_STOP || d->reserved[0] || d->reserved[1] || d->reserved[2];
}

static void check_documented(struct self *me, const struct kvoff_move_desc *d, const struct kvoff_move_result *r)
{
	expect(me, "result of a move", r->error > 0 ? -1000 : r->error, -ENOENT, -ERANGE, -ENODATA, -EBUSY, -EAGAIN,
	       -ECANCELED, -ENOSPC, -EINVAL, -ESHUTDOWN);
	if (r->reserved || (r->from >= KVOFF_MAX_TIERS && r->from != KVOFF_TIER_NONE))
		wrong(me, "result of a move: from %u, reserved %u", r->from, r->reserved);
	if (!r->error && (r->from == KVOFF_TIER_NONE || malformed(d)))
		wrong(me, "move of region %u block %llu: success from %u with flags %x", d->region, d->block, r->from,
		      d->flags);
	atomic_fetch_add(&world->moves, 1);
	if (!r->error && r->from != d->to)
		atomic_fetch_add(&world->moved, 1);
}

/* What may have become of a block of a region that we had all the time. */
static void check_result(struct self *me, const struct kvoff_move_desc *d, const struct kvoff_move_result *r,
			 bool cancelled, bool may_be_referenced)
{
	int slot = slot_of_region(me, d->region);
	struct slot *s;

	check_documented(me, d, r);
	if (slot < 0)
		return;
	s = &world->slots[slot];
	if (malformed(d) && r->error != -EINVAL && !(cancelled && r->error == -ECANCELED))
		wrong(me, "move with flags %x: %d", d->flags, r->error);
	if (!malformed(d) && r->error == -EINVAL)
		wrong(me, "move without a fault: EINVAL");
	if (malformed(d))
		return;
	if (r->error == -ENOENT && (int)d->to == atomic_load(&world->tier_ids[0]) && !atomic_load(&world->tiers_lock))
		wrong(me, "move of region %u: no such region or tier", d->region);
	if (r->error == -ERANGE && d->block < s->nr)
		wrong(me, "move of block %llu of %lu: ERANGE", d->block, s->nr);
	if (!r->error && d->block >= s->nr)
		wrong(me, "move of block %llu of %lu: success", d->block, s->nr);
	if (r->error == -EAGAIN && !may_be_referenced)
		wrong(me, "move of region %u block %llu: EAGAIN, and nobody has a reference", d->region, d->block);
	if (r->error == -ECANCELED && r->from == KVOFF_TIER_NONE && !cancelled)
		wrong(me, "move of region %u block %llu: cancelled, and nobody cancelled it", d->region, d->block);
}

static void op_move(struct self *me)
{
	uint32_t nr = 1 + below(me, 4), i, moved, events[BATCH], good = 0;
	struct kvoff_move_result results[BATCH];
	struct kvoff_move_desc descs[BATCH];
	bool interrupted = false;
	int ret;

	random_descs(me, descs, nr);
	/* the end of a command of ours comes as task work, which interrupts a waiting ioctl as a signal does */
	for (i = 0; i < BATCHES; i++)
		interrupted |= me->batches[i].busy;
	for (i = 0; i < nr; i++) {
		int slot = slot_of_region(me, descs[i].region);

		/* UINT32_MAX: somebody has one from the beginning */
		events[i] = slot < 0 || atomic_load(&world->slots[slot].refs_active) ?
			UINT32_MAX : atomic_load(&world->slots[slot].refs_events);
	}
	memset(results, 0xff, sizeof(results));
	ret = move_batch(me->rig->control, descs, nr, results, &moved);
	note(me, "move", descs[0].region, descs[0].block, descs[0].to, ret ?: results[0].error);
	if (ret)
		wrong(me, "move by ioctl: %d", ret);
	for (i = 0; i < nr; i++) {
		int slot = slot_of_region(me, descs[i].region);
		bool may = slot < 0 || events[i] == UINT32_MAX || atomic_load(&world->slots[slot].refs_active) ||
			   events[i] != atomic_load(&world->slots[slot].refs_events);

		check_result(me, &descs[i], &results[i], interrupted, may);
		good += !results[i].error;
	}
	if (moved != good)
		wrong(me, "move by ioctl: %u moved by its count, %u by its results", moved, good);
}

static void op_move_wrong(struct self *me)
{
	struct kvoff_move_desc desc = { .region = 1 };
	struct kvoff_move_result result;
	struct kvoff_ctl_move arg = {
		.size = sizeof(arg), .nr = 1, .descs = (uintptr_t)&desc, .results = (uintptr_t)&result,
	};
	int ret, right = -EINVAL;

	switch (below(me, 5)) {
	case 0:
		arg.nr = below(me, 2) ? 0 : KVOFF_MOVE_MAX + 1 + (rnd(me) & 0xffffff);
		break;
	case 1:
		arg.flags = 1U << below(me, 32);
		break;
	case 2:
		arg.descs = below(me, 2) ? below(me, PAGE) : rnd(me) | 1ULL << 63;
		right = -EFAULT;
		break;
	case 3:
		arg.results = below(me, 2) ? below(me, PAGE) : rnd(me) | 1ULL << 63;
		right = -EFAULT;
		break;
	case 4:
		arg.size = below(me, sizeof(arg));
		break;
	}
	ret = call(me->rig->control, KVOFF_CTL_MOVE, &arg);
	note(me, "move wrong", arg.nr, arg.flags, arg.size, ret);
	if (ret != right)
		wrong(me, "malformed move: expected %d, found %d", right, ret);
}

static struct io_uring_sqe *next_sqe(struct self *me)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&me->ring);

	if (!sqe)
		wrong(me, "no room in the submission queue");
	*sqe = (struct io_uring_sqe){ 0 };
	return sqe;
}

/* Batches are numbered from 1; 0 is for what is submitted beside them. */
static void op_submit(struct self *me)
{
	struct batch *b = me->batches;
	struct io_uring_sqe *sqe;
	uint64_t addr;

	while (b < me->batches + BATCHES && b->busy)
		b++;
	if (b == me->batches + BATCHES) {
		batches_reap(me);
		return;
	}
	b->nr = 1 + below(me, BATCH);
	random_descs(me, b->descs, b->nr);
	memset(b->results, 0xff, sizeof(b->results));
	b->arg = (struct kvoff_ctl_move){
		.size = sizeof(b->arg), .nr = b->nr, .descs = (uintptr_t)b->descs, .results = (uintptr_t)b->results,
	};
	addr = (uintptr_t)&b->arg;
	sqe = next_sqe(me);
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = me->rig->control;
	sqe->cmd_op = KVOFF_CTL_MOVE;
	memcpy(sqe->cmd, &addr, sizeof(addr));
	sqe->user_data = b - me->batches + 1;
	if (chance(me, 20))
		sqe->flags = IOSQE_ASYNC;
	b->busy = true;
	b->cancelled = false;
	io_uring_submit(&me->ring);
	note(me, "submit", b - me->batches, b->nr, sqe->flags, 0);
	/* with IOSQE_ASYNC it may not have been read yet */
	if (!(sqe->flags & IOSQE_ASYNC) && chance(me, 50)) {
		memset(sqe, 0xff, sizeof(*sqe));
		memset(&b->arg, 0xff, sizeof(b->arg));
		memset(b->descs, 0xff, sizeof(b->descs));
	}
}

static void op_submit_wrong(struct self *me)
{
	struct io_uring_sqe *sqe = next_sqe(me);
	uint64_t words[2] = { 0 };

	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = me->rig->control;
	sqe->cmd_op = KVOFF_CTL_MOVE;
	switch (below(me, 4)) {
	case 0:
		sqe->cmd_op = rnd(me) & 0xffff;
		break;
	case 1:
		words[0] = below(me, 2) ? 0 : rnd(me) | 1ULL << 63;
		break;
	case 2:
		words[1] = rnd(me) | 1;
		break;
	case 3:
		sqe->fd = me->rig->tenant;
		break;
	}
	memcpy(sqe->cmd, words, sizeof(words));
	io_uring_submit(&me->ring);
}

static void batch_ended(struct self *me, struct batch *b, int res)
{
	uint32_t i, good = 0;

	note(me, "ended", b - me->batches, b->nr, b->cancelled, res);
	b->busy = false;
	if (res < 0) {
		/* a cancellation before it was issued */
		expect(me, "batch by io_uring", res, b->cancelled ? -ECANCELED : -1000);
		return;
	}
	for (i = 0; i < b->nr; i++) {
		struct kvoff_move_result *r = &b->results[i];

		good += !r->error;
		/* what the descriptors were is not known where they have been overwritten */
		if (b->descs[i].reserved[0] != 0xffff)
			check_documented(me, &b->descs[i], r);
		if (r->error == -ECANCELED && r->from == KVOFF_TIER_NONE && !b->cancelled)
			wrong(me, "a block of a batch that nobody cancelled was cancelled");
	}
	if ((uint32_t)res != good)
		wrong(me, "batch by io_uring: %d moved by its count, %u by its results", res, good);
}

void batches_reap(struct self *me)
{
	struct io_uring_cqe *cqe;

	while (!io_uring_peek_cqe(&me->ring, &cqe)) {
		uint64_t whose = cqe->user_data;
		int res = cqe->res;

		io_uring_cqe_seen(&me->ring, cqe);
		if (whose)
			batch_ended(me, &me->batches[whose - 1], res);
		else
			expect(me, "a malformed command or a cancellation", res, -ENOENT, -EALREADY, -EINVAL, -EFAULT,
			       -ENOTTY, -EOPNOTSUPP, -E2BIG);
	}
}

static void batch_cancel(struct self *me, struct batch *b)
{
	struct io_uring_sqe *sqe = next_sqe(me);

	b->cancelled = true;
	sqe->opcode = IORING_OP_ASYNC_CANCEL;
	sqe->fd = -1;
	sqe->addr = b - me->batches + 1;
	io_uring_submit(&me->ring);
	note(me, "cancel", b - me->batches, 0, 0, 0);
}

static void op_cancel(struct self *me)
{
	struct batch *b = &me->batches[below(me, BATCHES)];

	if (b->busy)
		batch_cancel(me, b);
	batches_reap(me);
}

static void op_reap(struct self *me)
{
	batches_reap(me);
}

void batches_drain(struct self *me, bool cancel)
{
	unsigned int i;

	for (i = 0; i < BATCHES; i++) {
		if (cancel && me->batches[i].busy)
			batch_cancel(me, &me->batches[i]);
		while (me->batches[i].busy) {
			struct __kernel_timespec ts = { .tv_nsec = 100000000 };
			struct io_uring_cqe *cqe;

			nap_or_die();
			io_uring_wait_cqe_timeout(&me->ring, &cqe, &ts);
			batches_reap(me);
		}
	}
	batches_reap(me);
}

const struct op move_ops[] = {
	{ "move", 70, op_move },
	{ "move-wrong", 8, op_move_wrong },
	{ "submit", 40, op_submit },
	{ "submit-wrong", 5, op_submit_wrong },
	{ "cancel", 10, op_cancel },
	{ "reap", 20, op_reap },
	{ NULL, 0, NULL }
};
