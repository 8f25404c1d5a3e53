// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shared arrays: pages that appear on first use, mapped by clients and by the policy daemon's views. They outlive
 * their region for as long as a view maps them, without keeping the region's memory.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/pagemap.h>
#include <linux/poll.h>
#include <linux/slab.h>

#include "kvoff.h"
#include "tenant.h"

/* Every offset at which something can be mapped lies below this: i_size of a region's files. */
#define KVOFF_FILE_SIZE		KVOFF_OFF_WINDOW(KVOFF_MAX_TIERS)

static const struct file_operations kvoff_anchor_fops = {
	.owner	= THIS_MODULE,
};

struct kvoff_shared *kvoff_shared_create(u64 nr_blocks)
{
	struct kvoff_shared *shared = kzalloc(sizeof(*shared), GFP_KERNEL_ACCOUNT);
	int ret = -ENOMEM;

	if (!shared)
		return ERR_PTR(-ENOMEM);
	shared->zero = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!shared->zero)
		goto err_free;
	shared->anchor = anon_inode_create_getfile("[kvoff]", &kvoff_anchor_fops, NULL, O_RDWR, NULL);
	if (IS_ERR(shared->anchor)) {
		ret = PTR_ERR(shared->anchor);
		goto err_zero;
	}
	kref_init(&shared->ref);
	xa_init_flags(&shared->state, XA_FLAGS_ACCOUNT);
	xa_init_flags(&shared->hint, XA_FLAGS_ACCOUNT);
	init_waitqueue_head(&shared->wait);
	shared->nr_blocks = nr_blocks;
	shared->mapping = shared->anchor->f_mapping;
	i_size_write(file_inode(shared->anchor), KVOFF_FILE_SIZE);
	mapping_set_unevictable(shared->mapping);
	return shared;

err_zero:
	__free_page(shared->zero);
err_free:
	kfree(shared);
	return ERR_PTR(ret);
}

void kvoff_pages_free(struct xarray *xa)
{
	unsigned long i;
	struct page *page;

	/* a page may still be pinned by a driver: its last holder frees it */
	xa_for_each(xa, i, page)
		put_page(page);
	xa_destroy(xa);
}

static void kvoff_shared_release(struct kref *ref)
{
	struct kvoff_shared *shared = container_of(ref, struct kvoff_shared, ref);

	kvoff_pages_free(&shared->state);
	kvoff_pages_free(&shared->hint);
	put_page(shared->zero);
	fput(shared->anchor);
	kfree(shared);
}

void kvoff_shared_put(struct kvoff_shared *shared)
{
	kref_put(&shared->ref, kvoff_shared_release);
}

void kvoff_shared_die(struct kvoff_shared *shared)
{
	WRITE_ONCE(shared->dead, true);
	wake_up_all(&shared->wait);
}

/* A page of an array, made if there is none; NULL for want of memory. */
static struct page *kvoff_page_get(struct xarray *xa, unsigned long i)
{
	struct page *page = xa_load(xa, i), *old;

	if (page)
		return page;
	page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!page)
		return NULL;
	old = xa_cmpxchg(xa, i, NULL, page, GFP_KERNEL_ACCOUNT);
	if (old) {
		__free_page(page);
		page = xa_is_err(old) ? NULL : old;
	}
	return page;
}

/* The same, and whoever has the zero page mapped there gets to see the new one. */
static struct page *kvoff_shared_populate(struct kvoff_shared *shared, struct xarray *xa, u64 off, unsigned long i)
{
	struct page *page = xa_load(xa, i);

	if (page)
		return page;
	page = kvoff_page_get(xa, i);
	if (!page)
		return NULL;
	/* a fault that found no page maps the zero page under its lock: after this, or seen by this */
	lock_page(shared->zero);
	unmap_mapping_range(shared->mapping, off + ((loff_t)i << PAGE_SHIFT), PAGE_SIZE, 1);
	unlock_page(shared->zero);
	return page;
}

/*
 * kvoff_shared_state - a chunk's entries in the state array, made if there are none
 */
struct kvoff_state *kvoff_shared_state(struct kvoff_shared *shared, unsigned long chunk)
{
	struct page *page = kvoff_shared_populate(shared, &shared->state, KVOFF_OFF_STATE, chunk);
	struct kvoff_state *state;
	unsigned int i;

	BUILD_BUG_ON(KVOFF_CHUNK_BLOCKS * sizeof(struct kvoff_state) != PAGE_SIZE);
	if (!page)
		return NULL;
	state = page_address(page);
	for (i = 0; i < KVOFF_CHUNK_BLOCKS; i++)
		WRITE_ONCE(state[i].location, (u64)KVOFF_TIER_NONE << 8);
	return state;
}

static vm_fault_t kvoff_page_fault(struct vm_fault *vmf, struct page *page)
{
	if (!page)
		return VM_FAULT_OOM;
	get_page(page);
	vmf->page = page;
	return 0;
}

/* The page if there is one, else the zero page, locked so that kvoff_shared_populate() cannot miss its mapping. */
static vm_fault_t kvoff_reader_fault(struct vm_fault *vmf, struct xarray *xa, u64 off)
{
	struct kvoff_shared *shared = vmf->vma->vm_private_data;
	unsigned long i = vmf->pgoff - (off >> PAGE_SHIFT);
	struct page *page = xa_load(xa, i);

	if (page)
		return kvoff_page_fault(vmf, page);
	get_page(shared->zero);
	lock_page(shared->zero);
	page = xa_load(xa, i);
	if (page) {
		unlock_page(shared->zero);
		put_page(shared->zero);
		return kvoff_page_fault(vmf, page);
	}
	vmf->page = shared->zero;
	return VM_FAULT_LOCKED;
}

static vm_fault_t kvoff_state_fault(struct vm_fault *vmf)
{
	struct kvoff_shared *shared = vmf->vma->vm_private_data;

	return kvoff_reader_fault(vmf, &shared->state, KVOFF_OFF_STATE);
}

static vm_fault_t kvoff_hint_reader_fault(struct vm_fault *vmf)
{
	struct kvoff_shared *shared = vmf->vma->vm_private_data;

	return kvoff_reader_fault(vmf, &shared->hint, KVOFF_OFF_HINT);
}

static vm_fault_t kvoff_hint_client_fault(struct vm_fault *vmf)
{
	struct kvoff_shared *shared = vmf->vma->vm_private_data;
	unsigned long i = vmf->pgoff - (KVOFF_OFF_HINT >> PAGE_SHIFT);

	return kvoff_page_fault(vmf, kvoff_shared_populate(shared, &shared->hint, KVOFF_OFF_HINT, i));
}

static vm_fault_t kvoff_refs_fault(struct vm_fault *vmf)
{
	struct xarray *refs = vmf->vma->vm_private_data;

	return kvoff_page_fault(vmf, kvoff_page_get(refs, vmf->pgoff - (KVOFF_OFF_REFS >> PAGE_SHIFT)));
}

static const struct vm_operations_struct kvoff_state_vmops = { .fault = kvoff_state_fault };
static const struct vm_operations_struct kvoff_hint_reader_vmops = { .fault = kvoff_hint_reader_fault };
static const struct vm_operations_struct kvoff_hint_client_vmops = { .fault = kvoff_hint_client_fault };
static const struct vm_operations_struct kvoff_refs_vmops = { .fault = kvoff_refs_fault };

/* Does the VMA lie within an array of @entry bytes a block that begins at @off? */
static bool kvoff_vma_within(const struct kvoff_shared *shared, struct vm_area_struct *vma, u64 off, size_t entry)
{
	u64 first = off >> PAGE_SHIFT;
	u64 pages = PAGE_ALIGN(shared->nr_blocks * entry) >> PAGE_SHIFT;

	return vma->vm_pgoff >= first && vma->vm_pgoff - first < pages &&
	       vma_pages(vma) <= pages - (vma->vm_pgoff - first);
}

static int kvoff_array_mmap(struct vm_area_struct *vma, const struct vm_operations_struct *ops, void *private,
			    bool writable)
{
	if (!(vma->vm_flags & VM_MAYSHARE) || vma->vm_flags & VM_EXEC)
		return -EINVAL;
	if (!writable) {
		if (vma->vm_flags & VM_WRITE)
			return -EACCES;
		vm_flags_clear(vma, VM_MAYWRITE);
	}
	vm_flags_clear(vma, VM_MAYEXEC);
	vm_flags_set(vma, VM_DONTEXPAND | VM_DONTDUMP | VM_DONTCOPY);
	vma->vm_ops = ops;
	vma->vm_private_data = private;
	return 0;
}

/**
 * kvoff_shared_mmap - map the state or hint array
 * @shared:	whose
 * @vma:	where
 * @client:	may write hints, and makes pages of the hint array appear
 */
int kvoff_shared_mmap(struct kvoff_shared *shared, struct vm_area_struct *vma, bool client)
{
	if (kvoff_vma_within(shared, vma, KVOFF_OFF_STATE, sizeof(struct kvoff_state)))
		return kvoff_array_mmap(vma, &kvoff_state_vmops, shared, false);
	if (!kvoff_vma_within(shared, vma, KVOFF_OFF_HINT, sizeof(struct kvoff_hint)))
		return -EINVAL;
	if (client)
		return kvoff_array_mmap(vma, &kvoff_hint_client_vmops, shared, true);
	return kvoff_array_mmap(vma, &kvoff_hint_reader_vmops, shared, false);
}

int kvoff_refs_mmap(struct kvoff_shared *shared, struct xarray *refs, struct vm_area_struct *vma)
{
	if (!kvoff_vma_within(shared, vma, KVOFF_OFF_REFS, sizeof(u32)))
		return -EINVAL;
	return kvoff_array_mmap(vma, &kvoff_refs_vmops, refs, true);
}

/*
 * Views: what the policy daemon sees of a region.
 */

/**
 * struct kvoff_view - an open view
 * @shared:	the arrays
 * @id:		the region's number; the region itself may be gone
 */
struct kvoff_view {
	struct kvoff_shared *shared;
	u32 id;
};

static int kvoff_view_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct kvoff_view *view = file->private_data;

	return kvoff_shared_mmap(view->shared, vma, false);
}

static long kvoff_view_info(struct file *file, void *arg)
{
	struct kvoff_view *view = file->private_data;
	struct kvoff_region *region = kvoff_region_get(view->id);

	if (!region)
		return -ENODEV;
	kvoff_region_info(region, arg);
	kvoff_region_put(region);
	return 0;
}

static const struct kvoff_call kvoff_view_calls[] = {
	{
		.cmd		= KVOFF_REGION_INFO,
		.size		= sizeof(struct kvoff_region_info),
		.min_size	= KVOFF_REGION_INFO_MIN,
		.fn		= kvoff_view_info,
	},
};

static long kvoff_view_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return kvoff_call(kvoff_view_calls, ARRAY_SIZE(kvoff_view_calls), file, cmd, arg);
}

static __poll_t kvoff_view_poll(struct file *file, struct poll_table_struct *wait)
{
	struct kvoff_view *view = file->private_data;

	poll_wait(file, &view->shared->wait, wait);
	return READ_ONCE(view->shared->dead) ? EPOLLHUP : 0;
}

static int kvoff_view_release(struct inode *inode, struct file *file)
{
	struct kvoff_view *view = file->private_data;

	kvoff_shared_put(view->shared);
	kfree(view);
	return 0;
}

static const struct file_operations kvoff_view_fops = {
	.owner		= THIS_MODULE,
	.mmap		= kvoff_view_mmap,
	.unlocked_ioctl	= kvoff_view_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.poll		= kvoff_view_poll,
	.release	= kvoff_view_release,
};

int kvoff_view_create(u32 id, unsigned int fd_flags)
{
	struct kvoff_region *region = kvoff_region_get(id);
	struct kvoff_view *view;
	struct file *file;
	int fd, ret;

	if (!region)
		return -ENOENT;
	ret = -ENOMEM;
	view = kzalloc(sizeof(*view), GFP_KERNEL);
	if (!view)
		goto err_region;
	view->id = id;
	view->shared = region->shared;
	fd = get_unused_fd_flags(fd_flags);
	if (fd < 0) {
		ret = fd;
		goto err_view;
	}
	file = anon_inode_create_getfile("[kvoff-view]", &kvoff_view_fops, view, O_RDONLY, NULL);
	if (IS_ERR(file)) {
		ret = PTR_ERR(file);
		goto err_fd;
	}
	kref_get(&view->shared->ref);
	file->f_mapping = view->shared->mapping;
	kvoff_region_put(region);
	fd_install(fd, file);
	return fd;

err_fd:
	put_unused_fd(fd);
err_view:
	kfree(view);
err_region:
	kvoff_region_put(region);
	return ret;
}
