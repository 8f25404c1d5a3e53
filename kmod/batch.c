// SPDX-License-Identifier: GPL-2.0-only
/*
 * Batches of moves: from the submitter, by ioctl or io_uring, to the links that copy, and back. Each pair of tiers
 * is a link with a queue, a worker and a budget; unlike move.c this file knows nothing of blocks.
 *
 * A batch is alive until it is finished, which happens when its last item leaves the links. Cancelling takes items
 * that have not begun off the queues at once, so that no throttled link holds up a dying submitter.
 */
#include <linux/completion.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "drain.h"
#include "kvoff.h"
#include "move.h"

struct kvoff_batch;

/**
 * struct kvoff_item - one block of a batch
 * @node:	in its link's queue; empty once a worker or a cancellation has it. Under the link's lock
 * @batch:	whose
 * @link:	whose queue
 * @run:	how many neighbours it may be moved together with, at most
 * @desc:	what to move
 * @result:	what became of it
 */
struct kvoff_item {
	struct list_head node;
	struct kvoff_batch *batch;
	struct kvoff_link *link;
	unsigned int run;
	struct kvoff_move_desc desc;
	struct kvoff_move_result result;
};

/**
 * struct kvoff_batch - a command in flight
 * @pending:	items not finished, and one for the submission itself
 * @moved:	items that succeeded
 * @nr:		number of items
 * @results:	user address
 * @cmd:	the io_uring command, NULL for an ioctl
 * @done:	for an ioctl
 * @items:	the items
 */
struct kvoff_batch {
	atomic_t pending;
	atomic_t moved;
	u32 nr;
	u64 results;
	struct io_uring_cmd *cmd;
	struct completion done;
	struct kvoff_item items[] __counted_by(nr);
};

/**
 * struct kvoff_link - copies from one tier to another
 * @lock:	protects @queue
 * @queue:	items waiting
 * @work:	the worker; never runs twice at once
 * @wait:	where the worker sleeps while the budget is used up
 * @budget_mbps: 10^6 bytes a second, 0 for no limit
 * @next_ns:	when the next copy may begin; the worker's own
 */
struct kvoff_link {
	spinlock_t lock;
	struct list_head queue;
	struct work_struct work;
	wait_queue_head_t wait;
	u32 budget_mbps;
	u64 next_ns;
};

static struct kvoff_link kvoff_links[KVOFF_MAX_TIERS][KVOFF_MAX_TIERS];
struct workqueue_struct *kvoff_workers;

static void kvoff_batch_uring_done(struct io_uring_cmd *cmd, unsigned int issue_flags, bool dead);
KVOFF_DEFINE_URING_TW(kvoff_batch_tw, kvoff_batch_uring_done)

static void kvoff_batch_put(struct kvoff_batch *batch)
{
	if (!atomic_dec_and_test(&batch->pending))
		return;
	if (batch->cmd)
		io_uring_cmd_complete_in_task(batch->cmd, kvoff_batch_tw);
	else
		complete(&batch->done);
}

static void kvoff_item_finish(struct kvoff_item *item, int error, u16 from)
{
	item->result.error = error;
	item->result.from = from;
	if (!error)
		atomic_inc(&item->batch->moved);
	kvoff_batch_put(item->batch);
}

/* Move neighbours. */
static void kvoff_items_run(struct kvoff_link *link, struct kvoff_item **items, unsigned int nr)
{
	u32 budget = READ_ONCE(link->budget_mbps);
	struct kvoff_move moves[KVOFF_RUN_MAX];
	struct kvoff_region *region;
	unsigned int i, done;

	for (i = 0; i < nr; i++)
		moves[i] = (struct kvoff_move) {
			.desc = &items[i]->desc, .error = -ENOENT, .from = KVOFF_TIER_NONE,
		};
	/* held for one run only: a queued batch keeps no region alive */
	region = kvoff_region_get(items[0]->desc.region);
	if (region) {
		for (done = 0; done < nr; )
			done += kvoff_move_run(region, moves + done, nr - done);
		/* what was copied in vain has used the link as well */
		for (i = 0; budget && i < nr; i++)
			if (moves[i].copied)
				link->next_ns = max(link->next_ns, ktime_get_ns()) +
						div_u64((u64)kvoff_region_bs(region) * 1000, budget);
		kvoff_region_put(region);
	} else {
		kvoff_count(KVOFF_MOVES_INVALID, nr);
	}
	for (i = 0; i < nr; i++)
		kvoff_item_finish(items[i], moves[i].error, moves[i].from);
}

/*
 * A link may run ahead of its budget by so much: sleeping takes a few milliseconds at the least, in which a fast
 * link copies many blocks.
 */
#define KVOFF_LINK_BURST_NS	(20 * NSEC_PER_MSEC)

/* How long the head of the queue has to wait for the budget, in jiffies. */
static long kvoff_link_wait(struct kvoff_link *link)
{
	u64 now;

	if (!READ_ONCE(link->budget_mbps))
		return 0;
	now = ktime_get_ns() + KVOFF_LINK_BURST_NS;
	return link->next_ns > now ? max(1UL, nsecs_to_jiffies(link->next_ns - now)) : 0;
}

/* Can a block be moved together with the one before it? */
static bool kvoff_item_follows(const struct kvoff_item *item, const struct kvoff_item *before)
{
	const struct kvoff_move_desc *a = &before->desc, *b = &item->desc;

	return b->region == a->region && b->block == a->block + 1 && b->to == a->to && !a->flags && !b->flags;
}

/* Take the head of the queue off it, with what can be moved together with it; how many. */
static unsigned int kvoff_link_next(struct kvoff_link *link, struct kvoff_item **items)
{
	struct kvoff_item *item;
	unsigned int nr = 0;

	spin_lock(&link->lock);
	while ((item = list_first_entry_or_null(&link->queue, struct kvoff_item, node))) {
		if (nr && (nr >= items[0]->run || !kvoff_item_follows(item, items[nr - 1])))
			break;
		list_del_init(&item->node);
		items[nr++] = item;
	}
	spin_unlock(&link->lock);
	return nr;
}

static bool kvoff_link_idle(struct kvoff_link *link)
{
	bool idle;

	spin_lock(&link->lock);
	idle = list_empty(&link->queue);
	spin_unlock(&link->lock);
	return idle;
}

static void kvoff_link_work(struct work_struct *work)
{
	struct kvoff_link *link = container_of(work, struct kvoff_link, work);

	for (;;) {
		struct kvoff_item *items[KVOFF_RUN_MAX];
		long wait = kvoff_link_wait(link);
		unsigned int nr;

		if (wait && !kvoff_link_idle(link)) {
			wait_event_idle_timeout(link->wait,
						!READ_ONCE(link->budget_mbps) || kvoff_link_idle(link), wait);
			continue;
		}
		nr = kvoff_link_next(link, items);
		if (!nr)
			break;
		kvoff_items_run(link, items, nr);
		cond_resched();
	}
}

/*
 * The link that will copy the block, by where it is now. A guess is enough: the move itself looks again. *@region is
 * what the item before was in, NULL if nothing.
 */
static void kvoff_item_route(struct kvoff_item *item, struct kvoff_region **region)
{
	u32 from = 0, to = min_t(u32, item->desc.to, KVOFF_MAX_TIERS - 1);
	struct kvoff_chunk *chunk = NULL;

	if (*region && (*region)->id != item->desc.region) {
		kvoff_region_put(*region);
		*region = NULL;
	}
	if (!*region)
		*region = kvoff_region_get(item->desc.region);
	item->run = *region ? kvoff_run_max(*region) : 1;
	if (*region && item->desc.block < (*region)->nr_blocks)
		chunk = kvoff_chunk(*region, item->desc.block, false);
	if (chunk)
		from = READ_ONCE(kvoff_chunk_block(chunk, item->desc.block)->tier);
	item->link = &kvoff_links[from][to];
}

static void kvoff_batch_route(struct kvoff_batch *batch)
{
	struct kvoff_region *region = NULL;
	u32 i;

	for (i = 0; i < batch->nr; i++)
		kvoff_item_route(&batch->items[i], &region);
	if (region)
		kvoff_region_put(region);
}

/* Queue every item. The batch may be finished, but not freed, when this returns. */
static void kvoff_batch_submit(struct kvoff_batch *batch)
{
	struct kvoff_link *link;
	u32 i = 0;

	while (i < batch->nr) {
		link = batch->items[i].link;
		spin_lock(&link->lock);
		for (; i < batch->nr && batch->items[i].link == link; i++)
			list_add_tail(&batch->items[i].node, &link->queue);
		spin_unlock(&link->lock);
		queue_work(kvoff_workers, &link->work);
	}
}

/* Take what has not begun off the queues. The rest finishes by itself, a run later. */
static void kvoff_batch_cancel(struct kvoff_batch *batch)
{
	u32 i;

	for (i = 0; i < batch->nr; i++) {
		struct kvoff_item *item = &batch->items[i];
		struct kvoff_link *link = item->link;
		bool queued;

		spin_lock(&link->lock);
		queued = !list_empty(&item->node);
		list_del_init(&item->node);
		spin_unlock(&link->lock);
		if (!queued)
			continue;
		wake_up(&link->wait);
		kvoff_count(KVOFF_MOVES_CANCELLED, 1);
		kvoff_item_finish(item, -ECANCELED, KVOFF_TIER_NONE);
	}
}

/* Read the command and its descriptors, once. */
static struct kvoff_batch *kvoff_batch_create(const struct kvoff_ctl_move *arg)
{
	const struct kvoff_move_desc __user *descs = u64_to_user_ptr(arg->descs);
	struct kvoff_batch *batch;
	u32 i;

	if (arg->flags || !arg->nr || arg->nr > KVOFF_MOVE_MAX)
		return ERR_PTR(-EINVAL);
	batch = kvzalloc(struct_size(batch, items, arg->nr), GFP_KERNEL);
	if (!batch)
		return ERR_PTR(-ENOMEM);
	batch->nr = arg->nr;
	batch->results = arg->results;
	init_completion(&batch->done);
	atomic_set(&batch->pending, arg->nr + 1);
	for (i = 0; i < arg->nr; i++) {
		struct kvoff_item *item = &batch->items[i];

		if (copy_from_user(&item->desc, &descs[i], sizeof(item->desc))) {
			kvfree(batch);
			return ERR_PTR(-EFAULT);
		}
		INIT_LIST_HEAD(&item->node);
		item->batch = batch;
	}
	/* not before: reading user memory can take for ever, and no region is held for that */
	kvoff_batch_route(batch);
	return batch;
}

static int kvoff_batch_results(struct kvoff_batch *batch)
{
	struct kvoff_move_result __user *results = u64_to_user_ptr(batch->results);
	u32 i;

	for (i = 0; i < batch->nr; i++)
		if (copy_to_user(&results[i], &batch->items[i].result, sizeof(results[i])))
			return -EFAULT;
	return 0;
}

/* Without the lease: are all of its blocks in tiers that are being drained? */
static int kvoff_batch_may(const struct kvoff_batch *batch, bool lease)
{
	int any = lease;
	u32 i;

	for (i = 0; i < batch->nr && !lease; i++) {
		int ret = kvoff_drain_covers(&batch->items[i].desc);

		if (ret < 0)
			return ret;
		any |= ret;
	}
	return any ? 0 : -EPERM;
}

int kvoff_batch_ioctl(struct kvoff_ctl_move *arg, bool lease)
{
	struct kvoff_batch *batch = kvoff_batch_create(arg);
	int ret;

	if (IS_ERR(batch))
		return PTR_ERR(batch);
	ret = kvoff_batch_may(batch, lease);
	if (ret) {
		kvfree(batch);
		return ret;
	}
	kvoff_batch_submit(batch);
	kvoff_batch_put(batch);
	if (wait_for_completion_interruptible(&batch->done)) {
		kvoff_batch_cancel(batch);
		/* at most one run a link */
		wait_for_completion(&batch->done);
	}
	arg->moved = atomic_read(&batch->moved);
	ret = kvoff_batch_results(batch);
	kvfree(batch);
	return ret;
}

/* In the submitter's context, or, when it is dead, in a worker's that has no memory of its. */
static void kvoff_batch_uring_done(struct io_uring_cmd *cmd, unsigned int issue_flags, bool dead)
{
	struct kvoff_batch *batch = *io_uring_cmd_to_pdu(cmd, struct kvoff_batch *);
	int ret = dead ? -ECANCELED : kvoff_batch_results(batch);

	/* from here on no cancellation can find the batch */
	kvoff_uring_done(cmd, ret ?: atomic_read(&batch->moved), issue_flags);
	kvfree(batch);
}

int kvoff_batch_uring(struct io_uring_cmd *cmd, unsigned int issue_flags, bool lease)
{
	struct kvoff_batch **pdu = io_uring_cmd_to_pdu(cmd, struct kvoff_batch *);
	struct kvoff_ctl_move arg;
	struct kvoff_batch *batch;
	int ret;

	if (issue_flags & IO_URING_F_CANCEL) {
		kvoff_batch_cancel(*pdu);
		return 0;
	}
	if (kvoff_uring_arg(cmd, 1))
		return -EINVAL;
	ret = kvoff_copy_struct(&arg, sizeof(arg), sizeof(arg), kvoff_uring_arg(cmd, 0));
	if (ret)
		return ret;
	batch = kvoff_batch_create(&arg);
	if (IS_ERR(batch))
		return PTR_ERR(batch);
	ret = kvoff_batch_may(batch, lease);
	if (ret) {
		kvfree(batch);
		return ret;
	}
	batch->cmd = cmd;
	*pdu = batch;
	/* queued before a cancellation can look for what is queued; unfinished until the last put */
	kvoff_batch_submit(batch);
	io_uring_cmd_mark_cancelable(cmd, issue_flags);
	/* a worker may issue a command after its dying submitter has looked for what is to be cancelled */
	if (fatal_signal_pending(current))
		kvoff_batch_cancel(batch);
	kvoff_batch_put(batch);
	return -EIOCBQUEUED;
}

int kvoff_link_set(const struct kvoff_ctl_link *arg)
{
	struct kvoff_link *link;

	if (arg->flags || arg->reserved || arg->from == arg->to)
		return -EINVAL;
	if (!kvoff_tier_exists(arg->from) || !kvoff_tier_exists(arg->to))
		return -ENOENT;
	link = &kvoff_links[arg->from][arg->to];
	WRITE_ONCE(link->budget_mbps, arg->budget_mbps);
	wake_up(&link->wait);
	return 0;
}

/* A tier has this number now: what was set for one that had it before is not its. */
void kvoff_links_reset(u32 tier)
{
	unsigned int i;

	for (i = 0; i < KVOFF_MAX_TIERS; i++) {
		WRITE_ONCE(kvoff_links[tier][i].budget_mbps, 0);
		WRITE_ONCE(kvoff_links[i][tier].budget_mbps, 0);
	}
}

int kvoff_batch_init(void)
{
	unsigned int from, to;

	/* not reclaim's business, and long copies should not count against other work's concurrency */
	kvoff_workers = alloc_workqueue("kvoff", WQ_UNBOUND, 0);
	if (!kvoff_workers)
		return -ENOMEM;
	for (from = 0; from < KVOFF_MAX_TIERS; from++) {
		for (to = 0; to < KVOFF_MAX_TIERS; to++) {
			struct kvoff_link *link = &kvoff_links[from][to];

			spin_lock_init(&link->lock);
			INIT_LIST_HEAD(&link->queue);
			INIT_WORK(&link->work, kvoff_link_work);
			init_waitqueue_head(&link->wait);
		}
	}
	return 0;
}

void kvoff_batch_exit(void)
{
	destroy_workqueue(kvoff_workers);
}
