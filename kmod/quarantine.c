// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bad frames: how they are known, and where they stay. What becomes of a block whose frame is bad is in poison.c.
 *
 * The page flag PG_hwpoison says that a page is bad, whoever found out: memory_failure() sets it on the page alone and
 * leaves our frames to us, as it does with all memory of drivers; kvoff_frame_condemn() and a copy that fails set it
 * too. (The count of such pages in /proc/meminfo is not open to modules.) A frame with such a page is bad as a whole.
 * Every way into a free list and out of it leads through kvoff_quarantine(), so that a bad frame is not used again
 * whenever its error was found. It stays on the pool's list of poisoned frames until the tier ends, and then nowhere:
 * an allocator that got it back would hand its pages out.
 */
#include <linux/mmzone.h>
#include <linux/nodemask.h>
#include <linux/pagemap.h>

#include "kvoff.h"
#include "poison.h"

/* The pool of every frame, by its first page's number in the smallest block size. Changes under the pool's lock. */
static DEFINE_XARRAY(kvoff_frames);

/* Nodes on which kvoff itself has marked pages. */
static nodemask_t kvoff_bad_nodes;

static unsigned long kvoff_frame_key(struct folio *folio)
{
	return folio_pfn(folio) >> kvoff_order_of(0);
}

/* The pool has got a frame from its node; false for want of memory to note it. */
bool kvoff_frame_enroll(struct kvoff_pool *pool, struct folio *folio)
{
	return !xa_err(xa_store(&kvoff_frames, kvoff_frame_key(folio), pool, GFP_KERNEL));
}

/* And gives it up. Called with the pool locked. */
void kvoff_frame_strike(struct folio *folio)
{
	xa_erase(&kvoff_frames, kvoff_frame_key(folio));
}

/* Has the node had memory errors, found by anybody? Until then nobody needs to look at pages. */
static bool kvoff_node_suspect(int node)
{
#ifdef CONFIG_MEMORY_FAILURE
	if (READ_ONCE(NODE_DATA(node)->mf_stats.total))
		return true;
#endif
	return node_isset(node, kvoff_bad_nodes);
}

/**
 * kvoff_frame_bad - has the frame a bad page?
 * @folio:	the frame
 *
 * Costs next to nothing while the node has had no memory errors, then a look at each page.
 */
bool kvoff_frame_bad(struct folio *folio)
{
	long i, nr = folio_nr_pages(folio);

	if (likely(!kvoff_node_suspect(folio_nid(folio))))
		return false;
	for (i = 0; i < nr; i++)
		if (PageHWPoison(folio_page(folio, i)))
			return true;
	return false;
}

/* A page of a frame of ours is bad. */
void kvoff_page_mark(struct page *page)
{
	node_set(page_to_nid(page), kvoff_bad_nodes);
	SetPageHWPoison(page);
	/* the core maps no page table entry of a large page over it */
	folio_set_has_hwpoisoned(page_folio(page));
}

/* So are those of the frame's pages that lie in this range. */
void kvoff_frame_mark(struct folio *folio, unsigned long first, unsigned long last)
{
	unsigned long pfn = folio_pfn(folio), end = pfn + folio_nr_pages(folio);

	for (pfn = max(pfn, first); pfn <= last && pfn < end; pfn++)
		kvoff_page_mark(pfn_to_page(pfn));
}

/**
 * kvoff_quarantine - keep a frame if it is bad
 * @pool:	its pool, locked
 * @folio:	the frame, on no list and nobody else's, counted in @pool->filled only
 *
 * False if the frame is good: it is the caller's still.
 */
bool kvoff_quarantine(struct kvoff_pool *pool, struct folio *folio)
{
	lockdep_assert_held(&pool->lock);
	if (likely(!kvoff_frame_bad(folio)))
		return false;
	list_add(&folio->lru, &pool->poisoned);
	/* tells it from a free frame */
	folio->private = pool;
	pool->nr_poisoned++;
	kvoff_pool_account_locked(pool);
	pr_warn_ratelimited("kvoff: tier %s: frame at %#llx: memory error: its %zu KiB are not used again\n",
			    pool->tier->name, (u64)PFN_PHYS(folio_pfn(folio)), kvoff_size_of(pool->index) >> 10);
	return true;
}

/*
 * The tier ends: its poisoned frames belong to nobody from now on. Returns their bytes.
 */
u64 kvoff_quarantine_leak(struct kvoff_pool *pool)
{
	struct folio *folio, *next;
	u64 frames;

	spin_lock(&pool->lock);
	frames = pool->nr_poisoned;
	list_for_each_entry_safe(folio, next, &pool->poisoned, lru) {
		list_del_init(&folio->lru);
		folio->private = NULL;
		kvoff_frame_strike(folio);
	}
	pool->filled -= pool->nr_poisoned;
	pool->nr_poisoned = 0;
	spin_unlock(&pool->lock);
	return frames * kvoff_size_of(pool->index);
}

/* Frames looked at before the pool's lock is let go. */
#define KVOFF_PULL_BURST	1024

/* Look for a free frame in one of its pool's lists, each time a part of the list that then goes to the end. */
static bool kvoff_pull_from(struct kvoff_pool *pool, struct folio *folio, struct list_head *list, unsigned long *nr)
{
	unsigned long left = READ_ONCE(*nr) + 1;

	while (left) {
		unsigned long burst = min(left, KVOFF_PULL_BURST);
		struct list_head *pos;
		bool found = false;

		left -= burst;
		spin_lock(&pool->lock);
		list_for_each(pos, list) {
			found = pos == &folio->lru;
			if (found || !--burst)
				break;
		}
		if (found && kvoff_frame_bad(folio)) {
			list_del_init(&folio->lru);
			(*nr)--;
			kvoff_quarantine(pool, folio);
		} else if (!found && pos != list && !list_is_last(pos, list)) {
			list_rotate_to_front(pos->next, list);
		} else {
			left = 0;
		}
		spin_unlock(&pool->lock);
		if (found)
			return true;
		cond_resched();
	}
	return false;
}

/*
 * The pool that has the frame, its tier held; NULL if it is not kvoff's. A tier ends only after all of its frames were
 * struck out of the array, each under the array's lock: until we let go of that, this one has not.
 */
static struct kvoff_pool *kvoff_frame_pool(unsigned long key)
{
	struct kvoff_pool *pool;

	xa_lock(&kvoff_frames);
	pool = xa_load(&kvoff_frames, key);
	if (pool)
		kobject_get(&pool->tier->kobj);
	xa_unlock(&kvoff_frames);
	return pool;
}

/**
 * kvoff_frame_condemn - pages of a frame are bad: mark them, and quarantine the frame if it is free
 * @pfn:	the frame's first page
 * @first:	first bad page
 * @last:	last bad page
 * @all:	mark pages of a region's frame too: otherwise that is left to whoever finds the block, for a fault that
 *		is about to map such a page must not find it marked
 * @out:	out: it is not in its pool, but a block's, or somebody works on it
 *
 * Returns how many pages the frame has, 0 if it is not kvoff's (any more). Waits for nobody: the tier may be drained or
 * removed meanwhile.
 */
unsigned long kvoff_frame_condemn(unsigned long pfn, unsigned long first, unsigned long last, bool all, bool *out)
{
	unsigned long key = pfn >> kvoff_order_of(0), end = 0;
	struct kvoff_pool *pool;
	struct folio *folio;
	bool listed = false;

	*out = false;
	pool = kvoff_frame_pool(key);
	if (!pool)
		return 0;
	spin_lock(&pool->lock);
	/* what is enrolled under the lock does not leave for the node before it is marked, nor after */
	if (xa_load(&kvoff_frames, key) != pool) {
		spin_unlock(&pool->lock);
		goto put;
	}
	folio = page_folio(pfn_to_page(pfn));
	end = pfn + folio_nr_pages(folio);
	if (all || !folio->mapping)
		kvoff_frame_mark(folio, first, last);
	if (folio->mapping) {
		/* a region's: what lists there are is its business */
		*out = true;
	} else if (!folio->private) {
		listed = !list_empty(&folio->lru);
		*out = !listed;
	} else if (folio->private != pool) {
		kvoff_twin_evict(pool, folio);
	}
	spin_unlock(&pool->lock);
	/* neither there nor there: an orphan, which is looked at when its pin goes */
	if (listed && !kvoff_pull_from(pool, folio, &pool->dirty, &pool->nr_dirty))
		kvoff_pull_from(pool, folio, &pool->clean, &pool->nr_clean);
put:
	kobject_put(&pool->tier->kobj);
	return end ? end - pfn : 0;
}

/* The number of the first page of the first frame that begins at page *@pfn or later, up to page @last. */
bool kvoff_frame_find(unsigned long *pfn, unsigned long last)
{
	unsigned long key = DIV_ROUND_UP(*pfn, 1UL << kvoff_order_of(0));

	if (!xa_find(&kvoff_frames, &key, last >> kvoff_order_of(0), XA_PRESENT))
		return false;
	*pfn = key << kvoff_order_of(0);
	return true;
}
