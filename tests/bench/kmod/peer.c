// SPDX-License-Identifier: GPL-2.0-only
/*
 * The limit that moves are measured against: the same bytes copied by the same routine between the same nodes, and
 * nothing else. Unlike kvoff this module takes its frames from the allocator, before it looks at the clock.
 */
#include <linux/highmem.h>
#include <linux/ktime.h>
#include <linux/log2.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "peer.h"

#define PEER_FRAMES_MAX	1024U

static void peer_free(struct folio **folios, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr && folios[i]; i++)
		folio_put(folios[i]);
	kvfree(folios);
}

static struct folio **peer_alloc(unsigned int nr, unsigned int order, int node)
{
	struct folio **folios = kvcalloc(nr, sizeof(*folios), GFP_KERNEL);
	unsigned int i;

	if (!folios)
		return NULL;
	for (i = 0; i < nr; i++) {
		folios[i] = __folio_alloc_node(GFP_HIGHUSER | __GFP_THISNODE | __GFP_COMP | __GFP_ZERO, order, node);
		if (!folios[i]) {
			peer_free(folios, i);
			return NULL;
		}
	}
	return folios;
}

static int peer_copy_mc(struct folio *to, struct folio *from)
{
	return folio_mc_copy(to, from);
}

static int peer_copy_plain(struct folio *to, struct folio *from)
{
	folio_copy(to, from);
	return 0;
}

static int peer_copy_flushcache(struct folio *to, struct folio *from)
{
	long i, nr = folio_nr_pages(from);

	for (i = 0; i < nr; i++) {
		memcpy_flushcache(page_address(folio_page(to, i)), page_address(folio_page(from, i)), PAGE_SIZE);
		cond_resched();
	}
	return 0;
}

static int (*const peer_routines[])(struct folio *to, struct folio *from) = {
	[KVOFF_PEER_MC]		= peer_copy_mc,
	[KVOFF_PEER_PLAIN]	= peer_copy_plain,
	[KVOFF_PEER_FLUSHCACHE]	= peer_copy_flushcache,
};

static bool peer_node(u32 node)
{
	return node < MAX_NUMNODES && node_state(node, N_MEMORY);
}

static int peer_copy(struct kvoff_peer_copy *arg)
{
	struct folio **from, **to;
	unsigned int order;
	int ret = 0;
	u64 begin;
	u32 i;

	if (!peer_node(arg->from) || !peer_node(arg->to) || !is_power_of_2(arg->block_size) ||
	    arg->block_size < PAGE_SIZE || arg->block_size > PMD_SIZE || !arg->frames ||
	    arg->frames > PEER_FRAMES_MAX || arg->routine >= ARRAY_SIZE(peer_routines))
		return -EINVAL;
	order = ilog2(arg->block_size) - PAGE_SHIFT;
	from = peer_alloc(arg->frames, order, arg->from);
	if (!from)
		return -ENOMEM;
	to = peer_alloc(arg->frames, order, arg->to);
	if (!to) {
		peer_free(from, arg->frames);
		return -ENOMEM;
	}
	begin = ktime_get_ns();
	for (i = 0; i < arg->nr && !ret; i++)
		ret = peer_routines[arg->routine](to[i % arg->frames], from[i % arg->frames]);
	arg->ns = ktime_get_ns() - begin;
	peer_free(to, arg->frames);
	peer_free(from, arg->frames);
	return ret;
}

static long peer_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	struct kvoff_peer_copy copy;
	int ret;

	if (cmd != KVOFF_PEER_COPY)
		return -ENOTTY;
	if (copy_from_user(&copy, user, sizeof(copy)))
		return -EFAULT;
	ret = peer_copy(&copy);
	if (!ret && copy_to_user(user, &copy, sizeof(copy)))
		ret = -EFAULT;
	return ret;
}

static const struct file_operations peer_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= peer_ioctl,
};

static struct miscdevice peer_device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "kvoff_peer",
	.fops	= &peer_fops,
	.mode	= 0600,
};
module_misc_device(peer_device);

MODULE_DESCRIPTION("Bare copies between nodes, for kvoff-bench to compare with");
MODULE_LICENSE("GPL");
