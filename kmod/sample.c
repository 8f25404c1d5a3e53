// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sampling: every interval a share of each region's blocks is unmapped; those that fault again are in use. It sees
 * plain CPU loads, of which nobody tells. Whether a block is hot is for the policy to say.
 */
#include <linux/workqueue.h>

#include "kvoff.h"

static void kvoff_sample_work(struct work_struct *work);
static DECLARE_DELAYED_WORK(kvoff_sampler, kvoff_sample_work);
/* Orders changes of the interval. */
static DEFINE_MUTEX(kvoff_sample_mutex);

/* Mark blocks [first, end) of one chunk and unmap the runs of resident ones. */
static void kvoff_sample_chunk(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 first, u64 end)
{
	u64 block, run = 0;

	for (block = first; block <= end; block++) {
		struct kvoff_block *b = block < end ? kvoff_chunk_block(chunk, block) : NULL;

		/* a block that a mover has armed is unmapped as it is */
		if (b && READ_ONCE(b->frame) && !test_bit(KVOFF_B_COPYING, &b->flags)) {
			struct kvoff_state *state = kvoff_chunk_state(chunk, block);

			/* before unmapping: the hottest blocks are back at once */
			set_bit(KVOFF_B_SAMPLED, &b->flags);
			WRITE_ONCE(state->samples, state->samples + 1);
			run++;
		} else if (run) {
			kvoff_block_unmap(region, block - run, run);
			kvoff_count(KVOFF_SAMPLES, run);
			run = 0;
		}
	}
}

static void kvoff_sample_region(struct kvoff_region *region)
{
	u64 high = atomic64_read(&region->high);
	u64 nr = DIV_ROUND_UP_ULL(high * READ_ONCE(kvoff_sample_percent), 100);
	u64 block = region->sample_next;

	while (nr) {
		struct kvoff_chunk *chunk;
		u64 end;

		if (block >= high)
			block = 0;
		chunk = kvoff_chunk(region, block, false);
		if (!chunk) {
			unsigned long next = block / KVOFF_CHUNK_BLOCKS;
			u64 skipped;

			/* addresses that were never used take no time */
			if (!xa_find_after(&region->chunks, &next, ULONG_MAX, XA_PRESENT))
				skipped = high - block;
			else
				skipped = (u64)next * KVOFF_CHUNK_BLOCKS - block;
			nr -= min(nr, skipped);
			block += skipped;
			continue;
		}
		end = min3(high, block + nr, round_down(block, KVOFF_CHUNK_BLOCKS) + KVOFF_CHUNK_BLOCKS);
		kvoff_sample_chunk(region, chunk, block, end);
		nr -= end - block;
		block = end;
		cond_resched();
	}
	region->sample_next = block;
}

static void kvoff_sample_work(struct work_struct *work)
{
	unsigned int interval = READ_ONCE(kvoff_sample_interval_ms);
	struct kvoff_region *region;
	u32 id = 0;

	if (!interval)
		return;
	while ((region = kvoff_region_next(&id))) {
		/* windows stay mapped: there is nothing to see */
		if (!region->windows)
			kvoff_sample_region(region);
		kvoff_region_put(region);
	}
	queue_delayed_work(kvoff_workers, &kvoff_sampler, msecs_to_jiffies(interval));
}

/* Set the interval, 0 for never; the module begins with it. */
void kvoff_sample_set(unsigned int interval)
{
	mutex_lock(&kvoff_sample_mutex);
	WRITE_ONCE(kvoff_sample_interval_ms, interval);
	if (interval)
		mod_delayed_work(kvoff_workers, &kvoff_sampler, msecs_to_jiffies(interval));
	else
		cancel_delayed_work_sync(&kvoff_sampler);
	mutex_unlock(&kvoff_sample_mutex);
}
