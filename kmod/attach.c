// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attachments: the open files through which processes use a region. Each has a reference array of its own, which
 * ends with it. All share the region's address space, so that one unmap reaches every process.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/slab.h>

#include "framed.h"
#include "kvoff.h"
#include "seal.h"
#include "tenant.h"

#define KVOFF_REFS_PER_PAGE	(PAGE_SIZE / sizeof(u32))

/*
 * kvoff_region_referenced - does any attachment hold a reference to this block?
 *
 * A page that is not there yet holds none, and a client that makes it appear after this looked sees MOVING.
 */
bool kvoff_region_referenced(struct kvoff_region *region, u64 block)
{
	struct kvoff_attach *attach;
	bool found = false;

	spin_lock(&region->attach_lock);
	list_for_each_entry(attach, &region->attachments, node) {
		struct page *page = xa_load(&attach->refs, block / KVOFF_REFS_PER_PAGE);

		if (!page)
			continue;
		if (READ_ONCE(((u32 *)page_address(page))[block % KVOFF_REFS_PER_PAGE])) {
			found = true;
			break;
		}
	}
	spin_unlock(&region->attach_lock);
	return found;
}

static int kvoff_data_mmap(struct kvoff_region *region, struct vm_area_struct *vma)
{
	u64 pages = region->nr_blocks << kvoff_order_of(region->index);

	if (region->windows || vma->vm_pgoff >= pages || vma_pages(vma) > pages - vma->vm_pgoff)
		return -EINVAL;
	/* a read-only descriptor's shared mapping has VM_SHARED cleared, but not this */
	if (!(vma->vm_flags & VM_MAYSHARE) || vma->vm_flags & VM_EXEC)
		return -EINVAL;
	vm_flags_clear(vma, VM_MAYEXEC);
	vm_flags_set(vma, VM_DONTEXPAND | VM_DONTDUMP | VM_DONTCOPY |
		     kvoff_map_flags(kvoff_order_of(region->index)));
	vma->vm_ops = &kvoff_data_vmops;
	return 0;
}

static int kvoff_attach_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct kvoff_attach *attach = file->private_data;
	bool writable = file->f_mode & FMODE_WRITE;
	u64 off = (u64)vma->vm_pgoff << PAGE_SHIFT;

	if (off < KVOFF_OFF_STATE)
		return kvoff_data_mmap(attach->region, vma);
	if (off < KVOFF_OFF_REFS)
		return kvoff_shared_mmap(attach->region->shared, vma, writable);
	if (attach->region->windows && off >= KVOFF_OFF_WINDOW(0))
		return kvoff_window_mmap(attach->region, vma);
	if (!writable)
		return -EACCES;
	return kvoff_refs_mmap(attach->region->shared, &attach->refs, vma);
}

static long kvoff_call_attach(struct file *file, void *p)
{
	struct kvoff_attach *attach = file->private_data;
	struct kvoff_region_attach *arg = p;

	if (arg->flags || arg->reserved || arg->fd_flags & ~(O_CLOEXEC | O_ACCMODE) ||
	    ((arg->fd_flags & O_ACCMODE) != O_RDONLY && (arg->fd_flags & O_ACCMODE) != O_RDWR))
		return -EINVAL;
	return kvoff_attach_fd(attach->region, arg->fd_flags, file->f_mode);
}

static long kvoff_call_info(struct file *file, void *p)
{
	struct kvoff_attach *attach = file->private_data;

	kvoff_region_info(attach->region, p);
	return 0;
}

static int kvoff_commit_blocks(struct kvoff_region *region, const struct kvoff_region_commit *arg, u64 *blocks)
{
	/* there, growing a window commits */
	if (region->windows)
		return -EOPNOTSUPP;
	if (arg->flags || !arg->bytes || !IS_ALIGNED(arg->bytes, kvoff_region_bs(region)))
		return -EINVAL;
	*blocks = div_u64(arg->bytes, kvoff_region_bs(region));
	return 0;
}

static u64 kvoff_region_committed(struct kvoff_region *region)
{
	u64 committed;

	spin_lock(&region->account_lock);
	committed = region->committed;
	spin_unlock(&region->account_lock);
	return committed * kvoff_region_bs(region);
}

static long kvoff_call_commit(struct file *file, void *p)
{
	struct kvoff_attach *attach = file->private_data;
	struct kvoff_region *region = attach->region;
	struct kvoff_region_commit *arg = p;
	u64 blocks, available = 0;
	bool fits;
	int ret;

	ret = kvoff_commit_blocks(region, arg, &blocks);
	if (ret)
		return ret;
	ret = blocks > region->nr_blocks ? -ENOMEM : kvoff_region_promise(region, blocks, &available);
	if (!ret) {
		spin_lock(&region->account_lock);
		fits = region->committed + blocks <= region->nr_blocks;
		if (fits)
			region->committed += blocks;
		spin_unlock(&region->account_lock);
		if (!fits) {
			kvoff_region_unpromise(region, blocks);
			ret = -ENOMEM;
		}
	}
	arg->committed = kvoff_region_committed(region);
	arg->available = available * kvoff_region_bs(region);
	return ret;
}

static long kvoff_call_uncommit(struct file *file, void *p)
{
	struct kvoff_attach *attach = file->private_data;
	struct kvoff_region *region = attach->region;
	struct kvoff_region_commit *arg = p;
	u64 blocks;
	int ret;

	ret = kvoff_commit_blocks(region, arg, &blocks);
	if (ret)
		return ret;
	ret = -EBUSY;
	spin_lock(&region->account_lock);
	if (blocks <= region->committed && region->committed - blocks >= region->used) {
		region->committed -= blocks;
		ret = 0;
	}
	spin_unlock(&region->account_lock);
	if (!ret)
		kvoff_region_unpromise(region, blocks);
	arg->committed = kvoff_region_committed(region);
	arg->available = 0;
	return ret;
}

static long kvoff_call_discard(struct file *file, void *p)
{
	struct kvoff_attach *attach = file->private_data;
	struct kvoff_region *region = attach->region;
	struct kvoff_region_discard *arg = p;
	u64 block, end;
	int freed, ret = 0;

	if (arg->flags || !arg->nr)
		return -EINVAL;
	if (arg->first >= region->nr_blocks || arg->nr > region->nr_blocks - arg->first)
		return -ERANGE;
	arg->freed = 0;
	end = arg->first + arg->nr;
	for (block = arg->first; block < end; ) {
		struct kvoff_chunk *chunk = kvoff_chunk(region, block, false);

		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		cond_resched();
		if (!chunk) {
			unsigned long nr = block / KVOFF_CHUNK_BLOCKS;

			if (!xa_find_after(&region->chunks, &nr, ULONG_MAX, XA_PRESENT))
				break;
			block = (u64)nr * KVOFF_CHUNK_BLOCKS;
			continue;
		}
		freed = kvoff_unit_end(region, chunk, block++, kvoff_block_discard);
		if (freed < 0) {
			ret = freed;
			break;
		}
		arg->freed += freed;
	}
	return ret;
}

static long kvoff_call_settle(struct file *file, void *p)
{
	struct kvoff_attach *attach = file->private_data;
	struct kvoff_region_settle *arg = p;
	struct kvoff_chunk *chunk;

	if (arg->flags)
		return -EINVAL;
	if (arg->block >= attach->region->nr_blocks)
		return -ERANGE;
	chunk = kvoff_chunk(attach->region, arg->block, false);
	if (chunk) {
		struct kvoff_block *b = kvoff_chunk_block(chunk, arg->block);

		/* a flip happens under the block lock */
		kvoff_block_lock(b);
		kvoff_block_unlock(b);
	}
	return 0;
}

static const struct kvoff_call kvoff_attach_calls[] = {
	{
		.cmd		= KVOFF_REGION_ATTACH,
		.size		= sizeof(struct kvoff_region_attach),
		.min_size	= sizeof(struct kvoff_region_attach),
		.makes_fd	= true,
		.fn		= kvoff_call_attach,
	}, {
		.cmd		= KVOFF_REGION_INFO,
		.size		= sizeof(struct kvoff_region_info),
		.min_size	= KVOFF_REGION_INFO_MIN,
		.fn		= kvoff_call_info,
	}, {
		.cmd		= KVOFF_REGION_COMMIT,
		.size		= sizeof(struct kvoff_region_commit),
		.min_size	= sizeof(struct kvoff_region_commit),
		.write		= true,
		.out_on_error	= true,
		.fn		= kvoff_call_commit,
	}, {
		.cmd		= KVOFF_REGION_UNCOMMIT,
		.size		= sizeof(struct kvoff_region_commit),
		.min_size	= sizeof(struct kvoff_region_commit),
		.write		= true,
		.out_on_error	= true,
		.fn		= kvoff_call_uncommit,
	}, {
		.cmd		= KVOFF_REGION_DISCARD,
		.size		= sizeof(struct kvoff_region_discard),
		.min_size	= sizeof(struct kvoff_region_discard),
		.write		= true,
		.fn		= kvoff_call_discard,
	}, {
		.cmd		= KVOFF_REGION_SETTLE,
		.size		= sizeof(struct kvoff_region_settle),
		.min_size	= sizeof(struct kvoff_region_settle),
		.fn		= kvoff_call_settle,
	}, {
		.cmd		= KVOFF_REGION_SEAL,
		.size		= sizeof(struct kvoff_region_seal),
		.min_size	= sizeof(struct kvoff_region_seal),
		.write		= true,
		.out_on_error	= true,
		.fn		= kvoff_call_seal,
	}, {
		.cmd		= KVOFF_REGION_UNITS,
		.size		= sizeof(struct kvoff_region_units),
		.min_size	= sizeof(struct kvoff_region_units),
		.fn		= kvoff_call_units,
	}, {
		.cmd		= KVOFF_REGION_WINDOW,
		.size		= sizeof(struct kvoff_region_window),
		.min_size	= sizeof(struct kvoff_region_window),
		.out_on_error	= true,
		.fn		= kvoff_call_window,
	}, {
		.cmd		= KVOFF_REGION_BLOCK_ALLOC,
		.size		= sizeof(struct kvoff_region_blocks),
		.min_size	= sizeof(struct kvoff_region_blocks),
		.write		= true,
		.out_on_error	= true,
		.fn		= kvoff_call_block_alloc,
	}, {
		.cmd		= KVOFF_REGION_BLOCK_FREE,
		.size		= sizeof(struct kvoff_region_blocks),
		.min_size	= sizeof(struct kvoff_region_blocks),
		.write		= true,
		.out_on_error	= true,
		.fn		= kvoff_call_block_free,
	}, {
		.cmd		= KVOFF_REGION_EVENTFD,
		.size		= sizeof(struct kvoff_region_eventfd),
		.min_size	= sizeof(struct kvoff_region_eventfd),
		.fn		= kvoff_call_eventfd,
	},
};

static long kvoff_attach_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return kvoff_call(kvoff_attach_calls, ARRAY_SIZE(kvoff_attach_calls), file, cmd, arg);
}

static int kvoff_attach_release(struct inode *inode, struct file *file)
{
	struct kvoff_attach *attach = file->private_data;

	spin_lock(&attach->region->attach_lock);
	list_del(&attach->node);
	spin_unlock(&attach->region->attach_lock);
	kvoff_event_end(attach);
	kvoff_pages_free(&attach->refs);
	kvoff_region_detach(attach->region);
	kfree(attach);
	return 0;
}

static const struct file_operations kvoff_attach_fops = {
	.owner			= THIS_MODULE,
	.mmap			= kvoff_attach_mmap,
	.get_unmapped_area	= thp_get_unmapped_area,
	.unlocked_ioctl		= kvoff_attach_ioctl,
	.compat_ioctl		= compat_ptr_ioctl,
	.release		= kvoff_attach_release,
};

/**
 * kvoff_attach_fd - a new attachment
 * @region:	whose nr_attached cannot fall to zero meanwhile
 * @fd_flags:	O_CLOEXEC, O_RDONLY or O_RDWR
 * @have:	mode of the descriptor this was asked through
 */
int kvoff_attach_fd(struct kvoff_region *region, unsigned int fd_flags, fmode_t have)
{
	struct kvoff_attach *attach;
	struct file *file;
	int fd, ret;

	if ((fd_flags & O_ACCMODE) != O_RDONLY && !(have & FMODE_WRITE))
		return -EACCES;
	if (atomic_inc_return(&region->nr_attached) > KVOFF_ATTACH_MAX) {
		ret = -EUSERS;
		goto err_count;
	}
	ret = -ENOMEM;
	attach = kzalloc(sizeof(*attach), GFP_KERNEL_ACCOUNT);
	if (!attach)
		goto err_count;
	attach->region = region;
	xa_init_flags(&attach->refs, XA_FLAGS_ACCOUNT);
	fd = get_unused_fd_flags(fd_flags & O_CLOEXEC);
	if (fd < 0) {
		ret = fd;
		goto err_attach;
	}
	file = anon_inode_create_getfile("[kvoff-region]", &kvoff_attach_fops, attach, fd_flags & O_ACCMODE, NULL);
	if (IS_ERR(file)) {
		ret = PTR_ERR(file);
		goto err_fd;
	}
	/* one address space for all attachments: the mover unmaps there */
	file->f_mapping = region->shared->mapping;
	i_size_write(file_inode(file), i_size_read(region->shared->mapping->host));
	/* blocks are on no LRU: page aging has nothing to note */
	file->f_mode |= FMODE_NOREUSE;
	spin_lock(&region->attach_lock);
	list_add_tail(&attach->node, &region->attachments);
	spin_unlock(&region->attach_lock);
	fd_install(fd, file);
	return fd;

err_fd:
	put_unused_fd(fd);
err_attach:
	kfree(attach);
err_count:
	atomic_dec(&region->nr_attached);
	return ret;
}
