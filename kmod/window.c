// SPDX-License-Identifier: GPL-2.0-only
/*
 * Windows of framed regions: in each tier the frames that a region keeps for life, always at the same place, so that
 * they can be registered with a device once. Unlike pool.c, whose frames belong to nobody, this file knows whose they
 * are; which block is in which frame is framed.c's business.
 *
 * A window's frames count as used in their pool, whether they hold a block or not. In the window a frame is in one
 * place: the free list, the twins, a block, or the hands of a mover; the lists are linked through folio->lru. Nothing
 * ever unmaps a frame or looks at its reference count before the region ends.
 */
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "drain.h"
#include "framed.h"
#include "kvoff.h"
#include "poison.h"
#include "tenant.h"

/* Pages between the windows of two tiers. */
#define KVOFF_WINDOW_PAGES	(1ULL << (48 - PAGE_SHIFT))

/* How long a window waits for a frame that must be free soon, and how often. */
#define KVOFF_WINDOW_PAUSE	(HZ / 50 ?: 1)
#define KVOFF_WINDOW_TRIES	80

static pgoff_t kvoff_window_first(u32 tier)
{
	return KVOFF_OFF_WINDOW(tier) >> PAGE_SHIFT;
}

u32 kvoff_window_slot(const struct kvoff_region *region, const struct folio *folio)
{
	return (folio->index & (KVOFF_WINDOW_PAGES - 1)) >> kvoff_order_of(region->index);
}

/* ---- their life ---- */

int kvoff_windows_create(struct kvoff_region *region)
{
	unsigned int i;

	region->windows = kcalloc(KVOFF_MAX_TIERS, sizeof(*region->windows), GFP_KERNEL_ACCOUNT);
	if (!region->windows)
		return -ENOMEM;
	for (i = 0; i < KVOFF_MAX_TIERS; i++) {
		struct kvoff_window *w = &region->windows[i];

		spin_lock_init(&w->lock);
		xa_init_flags(&w->frames, XA_FLAGS_ACCOUNT);
		INIT_LIST_HEAD(&w->free);
		INIT_LIST_HEAD(&w->twins);
		INIT_LIST_HEAD(&w->bad);
	}
	return 0;
}

/* The region ends: no block has a frame any more, nothing maps them, but drivers may have them pinned. */
void kvoff_windows_give_back(struct kvoff_region *region)
{
	unsigned int tier;

	for (tier = 0; region->windows && tier < KVOFF_MAX_TIERS; tier++) {
		struct kvoff_window *w = &region->windows[tier];
		struct folio *folio;
		unsigned long slot;

		WARN_ON_ONCE(w->nr_free + w->nr_bad != w->nr);
		xa_for_each(&w->frames, slot, folio) {
			list_del_init(&folio->lru);
			kvoff_frame_put(folio, region->index, tier);
			cond_resched();
		}
		kvoff_tenant_uncharge(region->tenant, tier, w->nr * kvoff_region_bs(region));
		xa_destroy(&w->frames);
		w->nr_free = 0;
		w->nr_bad = 0;
		WRITE_ONCE(w->nr, 0);
	}
}

void kvoff_windows_destroy(struct kvoff_region *region)
{
	kfree(region->windows);
}

/* Bytes of all windows. */
u64 kvoff_windows_bytes(struct kvoff_region *region)
{
	u64 nr = 0;
	u32 tier;

	for (tier = 0; region->windows && tier < KVOFF_MAX_TIERS; tier++)
		nr += kvoff_window_nr(region, tier);
	return nr * kvoff_region_bs(region);
}

/* ---- taking frames, putting them back ---- */

static void kvoff_window_twin_unlink(struct kvoff_window *w, struct folio *folio)
{
	struct kvoff_block *b = folio->private;

	lockdep_assert_held(&w->lock);
	list_del_init(&folio->lru);
	folio->private = NULL;
	WRITE_ONCE(b->twin, NULL);
	w->nr_twins--;
}

/* A frame with a memory error stays in its place, as whoever registered it has it still, but no block gets it. */
static void kvoff_window_add(struct kvoff_window *w, struct folio *folio)
{
	lockdep_assert_held(&w->lock);
	if (unlikely(kvoff_frame_bad(folio))) {
		list_add(&folio->lru, &w->bad);
		w->nr_bad++;
	} else {
		list_add(&folio->lru, &w->free);
		w->nr_free++;
	}
}

/**
 * kvoff_window_take - take a frame that holds no block
 * @region:	framed
 * @tier:	of which window
 * @leave_reserve: not if that leaves fewer than moves shall find
 *
 * A free one, or else the oldest twin, whose block forgets it. NULL if there is none.
 */
struct folio *kvoff_window_take(struct kvoff_region *region, u32 tier, bool leave_reserve)
{
	struct kvoff_window *w = &region->windows[tier];
	struct folio *folio = NULL;
	u64 leave = 0;

	if (leave_reserve)
		leave = max(1ULL, div_u64(kvoff_window_nr(region, tier) * READ_ONCE(kvoff_reserve_percent), 100));
	spin_lock(&w->lock);
	while (w->nr_free + w->nr_twins > leave) {
		folio = list_first_entry_or_null(&w->free, struct folio, lru);
		if (folio) {
			list_del_init(&folio->lru);
			w->nr_free--;
		} else {
			folio = list_first_entry(&w->twins, struct folio, lru);
			kvoff_window_twin_unlink(w, folio);
			kvoff_count(KVOFF_TWINS_ROOM, 1);
		}
		if (likely(!kvoff_frame_bad(folio)))
			break;
		/* its error was found while it held no block */
		kvoff_window_add(w, folio);
		folio = NULL;
	}
	spin_unlock(&w->lock);
	return folio;
}

/* The frame holds no block any more. */
void kvoff_window_put(struct kvoff_region *region, u32 tier, struct folio *folio)
{
	struct kvoff_window *w = &region->windows[tier];

	spin_lock(&w->lock);
	kvoff_window_add(w, folio);
	spin_unlock(&w->lock);
}

/* A frame with the block's bytes becomes its twin. The block is locked and has none. */
void kvoff_window_twin_keep(struct kvoff_region *region, struct kvoff_block *b, u32 tier, struct folio *folio)
{
	struct kvoff_window *w = &region->windows[tier];

	spin_lock(&w->lock);
	folio->private = b;
	list_add_tail(&folio->lru, &w->twins);
	w->nr_twins++;
	b->twin_tier = tier;
	WRITE_ONCE(b->twin, folio);
	spin_unlock(&w->lock);
}

/* Take the twin of a block, which is locked. NULL if it has none, or had to give way. */
struct folio *kvoff_window_twin_take(struct kvoff_region *region, struct kvoff_block *b)
{
	struct kvoff_window *w = &region->windows[b->twin_tier];
	struct folio *folio;

	if (!READ_ONCE(b->twin))
		return NULL;
	spin_lock(&w->lock);
	folio = b->twin;
	if (folio)
		kvoff_window_twin_unlink(w, folio);
	spin_unlock(&w->lock);
	return folio;
}

/* The block, which is locked, needs its twin no more. */
void kvoff_window_twin_drop(struct kvoff_region *region, struct kvoff_block *b)
{
	struct folio *folio = kvoff_window_twin_take(region, b);

	if (folio)
		kvoff_window_put(region, b->twin_tier, folio);
}

/* ---- growth ---- */

static void kvoff_window_abandon(struct kvoff_region *region, u32 tier, struct list_head *frames)
{
	struct folio *folio, *next;

	list_for_each_entry_safe(folio, next, frames, lru) {
		list_del_init(&folio->lru);
		kvoff_frame_put(folio, region->index, tier);
		cond_resched();
	}
}

/* Take @nr promised frames of the tier, zeroed. What was taken when it fails is in @frames too. */
static int kvoff_window_gather(struct kvoff_region *region, struct kvoff_tier *tier, u64 nr, struct list_head *frames)
{
	unsigned int tries = 0;
	int ret;

	while (nr) {
		struct folio *folio;
		bool zeroed;

		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
		folio = kvoff_frame_window(region->index, tier->id, &zeroed);
		if (!folio) {
			/*
			 * The pool's thread may be zeroing it, or somebody was faster. Not on kvoff_frame_wait: whoever
			 * waits there comes before all moves.
			 */
			schedule_timeout_killable(KVOFF_WINDOW_PAUSE);
			ret = ++tries > KVOFF_WINDOW_TRIES ? -ENOMEM : kvoff_tier_make_room(tier, region->index, nr);
			if (ret)
				return ret;
			continue;
		}
		list_add_tail(&folio->lru, frames);
		nr--;
		if (!zeroed)
			kvoff_frame_zero(folio);
	}
	return 0;
}

/* Give the frames their places behind those that are there, and let them be seen: all or none. */
static int kvoff_window_append(struct kvoff_region *region, u32 tier, u64 nr, struct list_head *frames)
{
	struct kvoff_window *w = &region->windows[tier];
	unsigned int order = kvoff_order_of(region->index);
	struct folio *folio;
	u64 slot = w->nr;
	int ret;

	list_for_each_entry(folio, frames, lru) {
		ret = xa_err(xa_store(&w->frames, slot, folio, GFP_KERNEL_ACCOUNT));
		if (ret)
			goto err_erase;
		folio->index = kvoff_window_first(tier) + (slot << order);
		folio->mapping = region->shared->mapping;
		slot++;
		cond_resched();
	}
	spin_lock(&region->account_lock);
	region->committed += nr;
	spin_unlock(&region->account_lock);
	/* pairs with kvoff_window_nr() */
	smp_store_release(&w->nr, w->nr + nr);
	spin_lock(&w->lock);
	list_splice_tail_init(frames, &w->free);
	w->nr_free += nr;
	spin_unlock(&w->lock);
	return 0;

err_erase:
	while (slot-- > w->nr)
		xa_erase(&w->frames, slot);
	return ret;
}

/* Promise, take, append. The tenant's quota in the tier is charged already. */
static int kvoff_window_extend(struct kvoff_region *region, struct kvoff_tier *tier, u64 nr)
{
	LIST_HEAD(frames);
	u64 available;
	int ret;

	/* the pool first: a promise could otherwise make another tier grow for it */
	ret = kvoff_tier_make_room(tier, region->index, nr);
	if (ret) {
		if (ret == -ENOMEM)
			kvoff_count(KVOFF_COMMIT_REFUSED, 1);
		return ret;
	}
	ret = kvoff_region_promise(region, nr, &available);
	if (ret)
		return ret;
	ret = kvoff_window_gather(region, tier, nr, &frames);
	if (!ret)
		ret = kvoff_window_append(region, tier->id, nr, &frames);
	if (ret) {
		/* frames before promises: what was promised to others is there when they come */
		kvoff_window_abandon(region, tier->id, &frames);
		kvoff_region_unpromise(region, nr);
	}
	return ret;
}

static int kvoff_window_grow(struct kvoff_region *region, struct kvoff_tier *tier, u64 bytes)
{
	struct kvoff_window *w = &region->windows[tier->id];
	u64 nr = div_u64(bytes, kvoff_region_bs(region));
	int ret;

	/* before a pool grows for it */
	if (bytes > kvoff_tenant_room(region->tenant)) {
		kvoff_count(KVOFF_COMMIT_OVER_QUOTA, 1);
		return -EDQUOT;
	}
	if (mutex_lock_killable(&region->window_mutex))
		return -EINTR;
	if (bytes > KVOFF_REGION_SIZE_MAX - w->nr * kvoff_region_bs(region)) {
		kvoff_count(KVOFF_COMMIT_REFUSED, 1);
		ret = -ENOMEM;
		goto out;
	}
	ret = -EDQUOT;
	if (!kvoff_tenant_charge(region->tenant, tier->id, bytes, false))
		goto out;
	ret = kvoff_window_extend(region, tier, nr);
	if (ret)
		kvoff_tenant_uncharge(region->tenant, tier->id, bytes);
out:
	mutex_unlock(&region->window_mutex);
	return ret;
}

/* By how many bytes the window could grow: the tier's memory, what is promised to others, and both quotas. */
static u64 kvoff_window_available(struct kvoff_region *region, struct kvoff_tier *tier)
{
	u64 frames = min(kvoff_tier_room(tier, region->index), kvoff_commit_available(region->index));
	size_t bs = kvoff_region_bs(region);
	u64 bytes = min3(frames * bs, kvoff_tenant_room(region->tenant),
			 kvoff_tenant_tier_room(region->tenant, tier->id));

	return round_down(min(bytes, KVOFF_REGION_SIZE_MAX - kvoff_window_nr(region, tier->id) * bs), bs);
}

long kvoff_call_window(struct file *file, void *p)
{
	struct kvoff_attach *attach = file->private_data;
	struct kvoff_region *region = attach->region;
	size_t bs = kvoff_region_bs(region);
	struct kvoff_region_window *arg = p;
	struct kvoff_window *w;
	struct kvoff_tier *tier;
	long ret = 0;

	if (arg->flags || arg->reserved || !IS_ALIGNED(arg->bytes, bs))
		return -EINVAL;
	if (!region->windows)
		return -EOPNOTSUPP;
	if (arg->bytes && !(file->f_mode & FMODE_WRITE))
		return -EACCES;
	tier = kvoff_tier_hold(arg->tier);
	if (!tier)
		return -ENOENT;
	if (arg->bytes && kvoff_tier_draining(tier))
		ret = -ESHUTDOWN;
	else if (arg->bytes)
		ret = kvoff_window_grow(region, tier, arg->bytes);
	w = &region->windows[tier->id];
	spin_lock(&w->lock);
	arg->free = (w->nr_free + w->nr_twins) * bs;
	spin_unlock(&w->lock);
	arg->bytes = kvoff_window_nr(region, tier->id) * bs;
	arg->available = kvoff_window_available(region, tier);
	kobject_put(&tier->kobj);
	return ret;
}

/* ---- mappings ---- */

static vm_fault_t kvoff_window_fault(struct vm_fault *vmf)
{
	struct kvoff_attach *attach = vmf->vma->vm_file->private_data;
	struct kvoff_region *region = attach->region;
	unsigned int order = kvoff_order_of(region->index);
	pgoff_t page = vmf->pgoff - kvoff_window_first(0);
	u32 tier = page / KVOFF_WINDOW_PAGES;
	u64 slot = (page % KVOFF_WINDOW_PAGES) >> order;
	struct folio *folio;

	if (slot >= kvoff_window_nr(region, tier))
		return VM_FAULT_SIGBUS;
	kvoff_count(KVOFF_FAULTS, 1);
	folio = xa_load(&region->windows[tier].frames, slot);
	if (unlikely(PageHWPoison(folio_page(folio, page & ((1UL << order) - 1)))))
		return VM_FAULT_HWPOISON;
	folio_get(folio);
	folio_lock(folio);
	vmf->page = folio_page(folio, page & ((1UL << order) - 1));
	return VM_FAULT_LOCKED;
}

/* Nothing to map around a fault; being there keeps faults under the VMA's own lock. */
static vm_fault_t kvoff_window_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end)
{
	return 0;
}

/* No page_mkwrite: writes are not looked for here, and the kernel pins pages for life and for writing only without. */
static const struct vm_operations_struct kvoff_window_vmops = {
	.fault		= kvoff_window_fault,
	.map_pages	= kvoff_window_map_pages,
};

/* Any part of one window, also before it has grown so far: until then a use of that part gets SIGBUS. */
int kvoff_window_mmap(struct kvoff_region *region, struct vm_area_struct *vma)
{
	pgoff_t page = vma->vm_pgoff - kvoff_window_first(0);
	u64 end = page % KVOFF_WINDOW_PAGES + vma_pages(vma);

	if (page / KVOFF_WINDOW_PAGES >= KVOFF_MAX_TIERS || end > KVOFF_REGION_SIZE_MAX >> PAGE_SHIFT)
		return -EINVAL;
	/* as in kvoff_data_mmap() */
	if (!(vma->vm_flags & VM_MAYSHARE) || vma->vm_flags & VM_EXEC)
		return -EINVAL;
	vm_flags_clear(vma, VM_MAYEXEC);
	vm_flags_set(vma, VM_DONTEXPAND | VM_DONTDUMP | VM_DONTCOPY);
	vma->vm_ops = &kvoff_window_vmops;
	return 0;
}
