// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/kvoff/<tenant>: where clients begin. Permission on the node is the authorisation.
 */
#include "kvoff.h"

static long kvoff_call_region_create(struct file *file, void *p)
{
	return kvoff_region_create(p);
}

static const struct kvoff_call kvoff_tenant_calls[] = {
	{
		.cmd		= KVOFF_REGION_CREATE,
		.size		= sizeof(struct kvoff_region_create),
		.min_size	= sizeof(struct kvoff_region_create),
		.write		= true,
		.makes_fd	= true,
		.fn		= kvoff_call_region_create,
	},
};

static long kvoff_tenant_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return kvoff_call(kvoff_tenant_calls, ARRAY_SIZE(kvoff_tenant_calls), file, cmd, arg);
}

const struct file_operations kvoff_tenant_fops = {
	.owner		= THIS_MODULE,
	.open		= nonseekable_open,
	.unlocked_ioctl	= kvoff_tenant_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
};
