// SPDX-License-Identifier: GPL-2.0-only
/*
 * Seals and units. A sealed block does not change until it is discarded or freed; a unit is a range of blocks that was
 * sealed together, with the client's tag on it.
 *
 * region->unit_sem protects the units. Discards hold it for reading, so that they run side by side, but for writing
 * where the block belongs to a unit; sealing with a tag holds it for writing, so that no unit ever has a block that was
 * discarded. No fault takes it, and user memory is not touched under it: the memory's owner could hold up everybody
 * else of the region for ever.
 */
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "kvoff.h"
#include "seal.h"

/**
 * struct kvoff_unit_node - a unit
 * @node:	in region->units, by first block; units do not overlap
 * @unit:	what the client is told
 */
struct kvoff_unit_node {
	struct rb_node node;
	struct kvoff_unit unit;
};

/* ---- blocks ---- */

/*
 * Nobody can write any more after this: whoever had the block mapped faults, and page_mkwrite refuses once the bit is
 * set; whoever has a page of it pinned makes the freeze fail. Called with the block locked.
 */
static int kvoff_seal_frame(struct kvoff_region *region, struct kvoff_block *b, u64 block)
{
	struct folio *folio = b->frame;
	int ret = -EBUSY;

	folio_lock(folio);
	kvoff_block_unmap(region, block, 1);
	if (folio_ref_freeze(folio, 1)) {
		folio_ref_unfreeze(folio, 1);
		ret = 0;
	}
	folio_unlock(folio);
	return ret;
}

/*
 * A copy in progress goes on: the seal changes no byte, and a write that came before it has cancelled the copy. The
 * twin stays for the same reason.
 */
static int kvoff_seal_try(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block)
{
	struct kvoff_block *b = kvoff_chunk_block(chunk, block);
	int ret = 0;

	kvoff_block_lock(b);
	if (!b->frame) {
		ret = test_bit(KVOFF_B_POISONED, &b->flags) ? -EIO : -ENODATA;
	} else if (!test_bit(KVOFF_B_SEALED, &b->flags)) {
		/* windows are mapped and pinned for life: there it is the client's word */
		if (!region->windows)
			ret = kvoff_seal_frame(region, b, block);
		if (!ret) {
			set_bit(KVOFF_B_SEALED, &b->flags);
			atomic64_inc(&region->sealed);
			kvoff_block_publish(chunk, block,
					    test_bit(KVOFF_B_COPYING, &b->flags) ? KVOFF_STATE_COPYING : 0);
			kvoff_count(KVOFF_SEALS, 1);
		}
	}
	kvoff_block_unlock(b);
	return ret;
}

/* Faults and exits of other processes hold a page for a moment: whoever holds it longer has it pinned. */
#define KVOFF_SEAL_TRIES	5

static int kvoff_seal_block(struct kvoff_region *region, u64 block)
{
	struct kvoff_chunk *chunk = kvoff_chunk(region, block, false);
	unsigned int i;
	int ret;

	if (!chunk)
		return -ENODATA;
	ret = kvoff_seal_try(region, chunk, block);
	for (i = 1; i < KVOFF_SEAL_TRIES && ret == -EBUSY; i++) {
		schedule_timeout_killable(1);
		ret = kvoff_seal_try(region, chunk, block);
	}
	if (ret == -EBUSY)
		kvoff_count(KVOFF_SEALS_BUSY, 1);
	return ret;
}

static int kvoff_seal_blocks(struct kvoff_region *region, struct kvoff_region_seal *arg)
{
	int ret = 0;

	for (; arg->sealed < arg->nr; arg->sealed++) {
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = kvoff_seal_block(region, arg->first + arg->sealed);
		if (ret)
			break;
		cond_resched();
	}
	return ret;
}

/* The block's bytes go: so does the seal. Called with the block locked; kvoff_block_publish() is to follow. */
void kvoff_seal_break(struct kvoff_region *region, struct kvoff_block *b)
{
	if (test_and_clear_bit(KVOFF_B_SEALED, &b->flags))
		atomic64_dec(&region->sealed);
}

/* ---- units ---- */

static struct kvoff_unit_node *to_unit(struct rb_node *node)
{
	return rb_entry_safe(node, struct kvoff_unit_node, node);
}

/* The first unit that begins at @from or above. Called with unit_sem held. */
static struct kvoff_unit_node *kvoff_unit_from(struct kvoff_region *region, u64 from)
{
	struct rb_node *node = region->units.rb_node;
	struct kvoff_unit_node *found = NULL;

	while (node) {
		struct kvoff_unit_node *u = to_unit(node);

		if (u->unit.first >= from) {
			found = u;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return found;
}

/* The lowest unit with a block in [first, end). Called with unit_sem held. */
static struct kvoff_unit_node *kvoff_unit_within(struct kvoff_region *region, u64 first, u64 end)
{
	struct rb_node *node = region->units.rb_node;
	struct kvoff_unit_node *found = NULL;

	while (node) {
		struct kvoff_unit_node *u = to_unit(node);

		/* units do not overlap: their ends are in the order of their beginnings */
		if (u->unit.first + u->unit.nr > first) {
			found = u;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return found && found->unit.first < end ? found : NULL;
}

static void kvoff_unit_insert(struct kvoff_region *region, struct kvoff_unit_node *unit)
{
	struct rb_node **link = &region->units.rb_node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = unit->unit.first < to_unit(parent)->unit.first ? &parent->rb_left : &parent->rb_right;
	}
	rb_link_node(&unit->node, parent, link);
	rb_insert_color(&unit->node, &region->units);
}

static void kvoff_unit_erase(struct kvoff_region *region, struct kvoff_unit_node *unit)
{
	rb_erase(&unit->node, &region->units);
	kfree(unit);
}

/**
 * kvoff_unit_end - a block's bytes go, and with them the unit that it belongs to
 * @region:	the region
 * @chunk:	holds the block's record
 * @block:	its index
 * @fn:		takes the bytes away; below 0 if it could not
 *
 * Returns what @fn does, or -EINTR. The unit stays where @fn fails, and nobody sees one whose bytes have gone.
 */
int kvoff_unit_end(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block,
		   int (*fn)(struct kvoff_region *region, struct kvoff_chunk *chunk, u64 block))
{
	struct kvoff_unit_node *unit;
	int ret;

	if (down_read_killable(&region->unit_sem))
		return -EINTR;
	if (!kvoff_unit_within(region, block, block + 1)) {
		ret = fn(region, chunk, block);
		up_read(&region->unit_sem);
		return ret;
	}
	up_read(&region->unit_sem);
	if (down_write_killable(&region->unit_sem))
		return -EINTR;
	ret = fn(region, chunk, block);
	unit = ret < 0 ? NULL : kvoff_unit_within(region, block, block + 1);
	if (unit)
		kvoff_unit_erase(region, unit);
	up_write(&region->unit_sem);
	return ret;
}

/* The region's structure ends. */
void kvoff_units_free(struct kvoff_region *region)
{
	struct kvoff_unit_node *unit, *next;

	rbtree_postorder_for_each_entry_safe(unit, next, &region->units, node)
		kfree(unit);
}

/* ---- calls ---- */

static int kvoff_seal_unit(struct kvoff_region *region, struct kvoff_region_seal *arg)
{
	struct kvoff_unit_node *unit = kzalloc(sizeof(*unit), GFP_KERNEL_ACCOUNT);
	int ret = -EINTR;

	if (!unit)
		return -ENOMEM;
	unit->unit.first = arg->first;
	unit->unit.nr = arg->nr;
	memcpy(unit->unit.tag, arg->tag, sizeof(unit->unit.tag));
	if (down_write_killable(&region->unit_sem))
		goto out_free;
	ret = kvoff_unit_within(region, arg->first, arg->first + arg->nr) ? -EEXIST : kvoff_seal_blocks(region, arg);
	if (!ret) {
		kvoff_unit_insert(region, unit);
		unit = NULL;
	}
	up_write(&region->unit_sem);
out_free:
	kfree(unit);
	return ret;
}

long kvoff_call_seal(struct file *file, void *p)
{
	struct kvoff_attach *attach = file->private_data;
	struct kvoff_region *region = attach->region;
	struct kvoff_region_seal *arg = p;

	arg->sealed = 0;
	if (arg->flags & ~KVOFF_SEAL_TAG || !arg->nr)
		return -EINVAL;
	if (!(arg->flags & KVOFF_SEAL_TAG) && memchr_inv(arg->tag, 0, sizeof(arg->tag)))
		return -EINVAL;
	if (arg->first >= region->nr_blocks || arg->nr > region->nr_blocks - arg->first)
		return -ERANGE;
	return arg->flags & KVOFF_SEAL_TAG ? kvoff_seal_unit(region, arg) : kvoff_seal_blocks(region, arg);
}

/* Room for units in one call, and in one step of it. */
#define KVOFF_UNITS_MAX		1024
#define KVOFF_UNITS_STEP	(PAGE_SIZE / sizeof(struct kvoff_unit))

/* Up to @nr units from *@from on, which becomes the place to go on from. Returns how many, or -EINTR. */
static int kvoff_units_read(struct kvoff_region *region, u64 *from, struct kvoff_unit *units, u32 nr)
{
	struct kvoff_unit_node *unit;
	u32 n = 0;

	if (down_read_killable(&region->unit_sem))
		return -EINTR;
	for (unit = kvoff_unit_from(region, *from); unit && n < nr; unit = to_unit(rb_next(&unit->node)))
		units[n++] = unit->unit;
	up_read(&region->unit_sem);
	if (n)
		*from = units[n - 1].first + 1;
	return n;
}

long kvoff_call_units(struct file *file, void *p)
{
	struct kvoff_attach *attach = file->private_data;
	struct kvoff_region_units *arg = p;
	struct kvoff_unit __user *to = u64_to_user_ptr(arg->units);
	u32 done = 0, want;
	struct kvoff_unit *units;
	u64 from = arg->from;
	int n;

	if (arg->flags || arg->reserved || !arg->nr || arg->nr > KVOFF_UNITS_MAX)
		return -EINVAL;
	units = kmalloc_array(KVOFF_UNITS_STEP, sizeof(*units), GFP_KERNEL);
	if (!units)
		return -ENOMEM;
	do {
		want = min_t(u32, arg->nr - done, KVOFF_UNITS_STEP);
		n = kvoff_units_read(attach->region, &from, units, want);
		if (n > 0 && copy_to_user(to + done, units, n * sizeof(*units)))
			n = -EFAULT;
		if (n < 0)
			break;
		done += n;
	} while (n == want && done < arg->nr);
	kfree(units);
	arg->nr = done;
	return n < 0 ? n : 0;
}
