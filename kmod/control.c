// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/kvoff/control: what the admin tools and the policy daemon call.
 */
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "drain.h"
#include "kvoff.h"
#include "named.h"
#include "poison.h"
#include "tenant.h"

/**
 * struct kvoff_control - an open control device
 * @regions_seen: the region list's generation at the last KVOFF_CTL_REGIONS from the start
 */
struct kvoff_control {
	u64 regions_seen;
};

static DEFINE_MUTEX(kvoff_lease_mutex);
static struct kvoff_control *kvoff_lease_holder;
static struct pid *kvoff_lease_pid;

static atomic64_t kvoff_regions_generation = ATOMIC64_INIT(1);
static DECLARE_WAIT_QUEUE_HEAD(kvoff_regions_wait);

void kvoff_control_regions_changed(void)
{
	atomic64_inc(&kvoff_regions_generation);
	wake_up_all(&kvoff_regions_wait);
}

/* The lease holder's number in the caller's namespace. */
pid_t kvoff_control_policy_pid(void)
{
	pid_t pid;

	mutex_lock(&kvoff_lease_mutex);
	pid = pid_nr_ns(kvoff_lease_pid, task_active_pid_ns(current));
	mutex_unlock(&kvoff_lease_mutex);
	return pid;
}

static bool kvoff_has_lease(struct kvoff_control *control)
{
	bool has;

	mutex_lock(&kvoff_lease_mutex);
	has = kvoff_lease_holder == control;
	mutex_unlock(&kvoff_lease_mutex);
	return has;
}

static void kvoff_lease_drop(struct kvoff_control *control)
{
	bool dropped = false;

	mutex_lock(&kvoff_lease_mutex);
	if (kvoff_lease_holder == control) {
		kvoff_lease_holder = NULL;
		put_pid(kvoff_lease_pid);
		kvoff_lease_pid = NULL;
		dropped = true;
	}
	mutex_unlock(&kvoff_lease_mutex);
	if (dropped)
		kvoff_sysfs_policy_changed();
}

static long kvoff_call_lease(struct file *file, void *p)
{
	struct kvoff_control *control = file->private_data;
	struct kvoff_ctl_lease *arg = p;
	int ret = 0;

	if (arg->flags & ~KVOFF_LEASE_DROP)
		return -EINVAL;
	if (arg->flags & KVOFF_LEASE_DROP) {
		kvoff_lease_drop(control);
		return 0;
	}
	mutex_lock(&kvoff_lease_mutex);
	if (kvoff_lease_holder && kvoff_lease_holder != control) {
		ret = -EBUSY;
	} else if (!kvoff_lease_holder) {
		kvoff_lease_holder = control;
		kvoff_lease_pid = get_pid(task_tgid(current));
	}
	mutex_unlock(&kvoff_lease_mutex);
	if (!ret)
		kvoff_sysfs_policy_changed();
	return ret;
}

static long kvoff_call_tier_add(struct file *file, void *p)
{
	return kvoff_tier_add(p);
}

static long kvoff_call_tier_set(struct file *file, void *p)
{
	return kvoff_tier_change(p);
}

static long kvoff_call_tier_remove(struct file *file, void *p)
{
	struct kvoff_ctl_tier *arg = p;

	if (arg->flags || arg->reserved)
		return -EINVAL;
	return kvoff_tier_remove(arg->name);
}

static long kvoff_call_tier_drain(struct file *file, void *p)
{
	return kvoff_tier_drain(p);
}

static long kvoff_call_pool_set(struct file *file, void *p)
{
	return kvoff_tier_pool_set(p);
}

static long kvoff_call_tenant_add(struct file *file, void *p)
{
	return kvoff_tenant_add(p);
}

static long kvoff_call_tenant_set(struct file *file, void *p)
{
	return kvoff_tenant_change(p);
}

static long kvoff_call_tenant_remove(struct file *file, void *p)
{
	return kvoff_tenant_remove(p);
}

static long kvoff_call_poison(struct file *file, void *p)
{
	return kvoff_poison(p);
}

static long kvoff_call_link_set(struct file *file, void *p)
{
	return kvoff_link_set(p);
}

/* Room for ids in one call. */
#define KVOFF_REGIONS_MAX	1024

static long kvoff_call_regions(struct file *file, void *p)
{
	struct kvoff_control *control = file->private_data;
	struct kvoff_ctl_regions *arg = p;
	u32 *ids;
	u32 nr;

	if (arg->flags || !arg->nr || arg->nr > KVOFF_REGIONS_MAX)
		return -EINVAL;
	ids = kmalloc_array(arg->nr, sizeof(*ids), GFP_KERNEL);
	if (!ids)
		return -ENOMEM;
	if (!arg->after)
		WRITE_ONCE(control->regions_seen, atomic64_read(&kvoff_regions_generation));
	nr = kvoff_region_list(arg->after, ids, arg->nr);
	if (copy_to_user(u64_to_user_ptr(arg->ids), ids, nr * sizeof(*ids))) {
		kfree(ids);
		return -EFAULT;
	}
	kfree(ids);
	arg->nr = nr;
	return 0;
}

static long kvoff_call_region_view(struct file *file, void *p)
{
	struct kvoff_ctl_region_view *arg = p;

	if (arg->flags || arg->fd_flags & ~O_CLOEXEC)
		return -EINVAL;
	return kvoff_view_create(arg->id, arg->fd_flags);
}

static long kvoff_call_region_remove(struct file *file, void *p)
{
	return kvoff_region_remove(p);
}

static long kvoff_call_move(struct file *file, void *p)
{
	return kvoff_batch_ioctl(p, kvoff_has_lease(file->private_data));
}

#define KVOFF_CTL_CALL(number, type, function)		\
	{						\
		.cmd		= number,		\
		.size		= sizeof(struct type),	\
		.min_size	= sizeof(struct type),	\
		.write		= true,			\
		.fn		= function,		\
	}

static const struct kvoff_call kvoff_control_calls[] = {
	KVOFF_CTL_CALL(KVOFF_CTL_LEASE, kvoff_ctl_lease, kvoff_call_lease),
	KVOFF_CTL_CALL(KVOFF_CTL_TIER_ADD, kvoff_ctl_tier, kvoff_call_tier_add),
	KVOFF_CTL_CALL(KVOFF_CTL_TIER_SET, kvoff_ctl_tier, kvoff_call_tier_set),
	KVOFF_CTL_CALL(KVOFF_CTL_TIER_REMOVE, kvoff_ctl_tier, kvoff_call_tier_remove),
	KVOFF_CTL_CALL(KVOFF_CTL_TIER_DRAIN, kvoff_ctl_tier_drain, kvoff_call_tier_drain),
	KVOFF_CTL_CALL(KVOFF_CTL_POOL_SET, kvoff_ctl_pool, kvoff_call_pool_set),
	KVOFF_CTL_CALL(KVOFF_CTL_POISON, kvoff_ctl_poison, kvoff_call_poison),
	KVOFF_CTL_CALL(KVOFF_CTL_LINK_SET, kvoff_ctl_link, kvoff_call_link_set),
	KVOFF_CTL_CALL(KVOFF_CTL_REGIONS, kvoff_ctl_regions, kvoff_call_regions),
	KVOFF_CTL_CALL(KVOFF_CTL_REGION_REMOVE, kvoff_ctl_region_remove, kvoff_call_region_remove),
	KVOFF_CTL_CALL(KVOFF_CTL_MOVE, kvoff_ctl_move, kvoff_call_move),
	KVOFF_CTL_CALL(KVOFF_CTL_TENANT_ADD, kvoff_ctl_tenant, kvoff_call_tenant_add),
	KVOFF_CTL_CALL(KVOFF_CTL_TENANT_SET, kvoff_ctl_tenant, kvoff_call_tenant_set),
	KVOFF_CTL_CALL(KVOFF_CTL_TENANT_REMOVE, kvoff_ctl_tenant, kvoff_call_tenant_remove),
	{
		.cmd		= KVOFF_CTL_REGION_VIEW,
		.size		= sizeof(struct kvoff_ctl_region_view),
		.min_size	= sizeof(struct kvoff_ctl_region_view),
		.write		= true,
		.makes_fd	= true,
		.fn		= kvoff_call_region_view,
	},
};

static long kvoff_control_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return kvoff_call(kvoff_control_calls, ARRAY_SIZE(kvoff_control_calls), file, cmd, arg);
}

static int kvoff_control_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	/* a cancellation reaches a command that was allowed when it was issued */
	if (!(issue_flags & IO_URING_F_CANCEL)) {
		if (cmd->cmd_op != KVOFF_CTL_MOVE)
			return -ENOTTY;
		if (!(cmd->file->f_mode & FMODE_WRITE))
			return -EACCES;
	}
	return kvoff_batch_uring(cmd, issue_flags, kvoff_has_lease(cmd->file->private_data));
}

static __poll_t kvoff_control_poll(struct file *file, struct poll_table_struct *wait)
{
	struct kvoff_control *control = file->private_data;

	poll_wait(file, &kvoff_regions_wait, wait);
	return READ_ONCE(control->regions_seen) == atomic64_read(&kvoff_regions_generation) ? 0 : EPOLLIN | EPOLLRDNORM;
}

static int kvoff_control_open(struct inode *inode, struct file *file)
{
	struct kvoff_control *control;

	/* the node's mode is not enough: a descriptor moves any tenant's blocks */
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	control = kzalloc(sizeof(*control), GFP_KERNEL);
	if (!control)
		return -ENOMEM;
	file->private_data = control;
	return nonseekable_open(inode, file);
}

static int kvoff_control_release(struct inode *inode, struct file *file)
{
	kvoff_lease_drop(file->private_data);
	kfree(file->private_data);
	return 0;
}

const struct file_operations kvoff_control_fops = {
	.owner		= THIS_MODULE,
	.open		= kvoff_control_open,
	.release	= kvoff_control_release,
	.unlocked_ioctl	= kvoff_control_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.uring_cmd	= kvoff_control_uring_cmd,
	.poll		= kvoff_control_poll,
};
