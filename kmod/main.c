// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvoff: loading and unloading.
 */
#include <linux/cdev.h>
#include <linux/delay.h>
#include <linux/init.h>
#include <linux/module.h>

#include "kvoff.h"
#include "tenant.h"
#include "trace.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/* control, and the tenants */
#define KVOFF_NR_DEVICES	(1 + KVOFF_MAX_TENANTS)

static dev_t kvoff_devt;
static struct cdev kvoff_control_cdev;

#ifdef KVOFF_TEST_HOOKS
/* Delays in milliseconds at the places where races were found, for the tests that look for them. */
unsigned int kvoff_hook_fault_ms, kvoff_hook_mkwrite_ms, kvoff_hook_copy_ms, kvoff_hook_flip_ms;
module_param_named(hook_fault_ms, kvoff_hook_fault_ms, uint, 0600);
module_param_named(hook_mkwrite_ms, kvoff_hook_mkwrite_ms, uint, 0600);
module_param_named(hook_copy_ms, kvoff_hook_copy_ms, uint, 0600);
module_param_named(hook_flip_ms, kvoff_hook_flip_ms, uint, 0600);
/* A copy from a page with PG_hwpoison fails, as it does where the memory is bad indeed. */
bool kvoff_hook_copy_bad;
module_param_named(hook_copy_bad, kvoff_hook_copy_bad, bool, 0600);

/* A delay that is changed while it lasts ends so long after its beginning: set to nothing, at once. */
void kvoff_hook_wait(const unsigned int *ms)
{
	unsigned long begin = jiffies;

	while (time_before(jiffies, begin + msecs_to_jiffies(READ_ONCE(*ms))))
		usleep_range(1000, 2000);
}
#endif

static int __init kvoff_init(void)
{
	int ret;

	ret = kvoff_tiers_init();
	if (ret)
		return ret;
	ret = kvoff_batch_init();
	if (ret)
		goto err_tiers;
	ret = alloc_chrdev_region(&kvoff_devt, 0, KVOFF_NR_DEVICES, "kvoff");
	if (ret)
		goto err_batch;
	ret = kvoff_sysfs_init(kvoff_devt);
	if (ret)
		goto err_chrdev;
	cdev_init(&kvoff_control_cdev, &kvoff_control_fops);
	kvoff_control_cdev.owner = THIS_MODULE;
	ret = cdev_add(&kvoff_control_cdev, kvoff_devt, 1);
	if (ret)
		goto err_sysfs;
	ret = kvoff_tenants_init(kvoff_devt);
	if (ret)
		goto err_cdev;
	kvoff_sample_set(kvoff_sample_interval_ms);
	return 0;

err_cdev:
	cdev_del(&kvoff_control_cdev);
err_sysfs:
	kvoff_sysfs_exit();
err_chrdev:
	unregister_chrdev_region(kvoff_devt, KVOFF_NR_DEVICES);
err_batch:
	kvoff_batch_exit();
err_tiers:
	kvoff_tiers_exit();
	return ret;
}

static void __exit kvoff_exit(void)
{
	cdev_del(&kvoff_control_cdev);
	kvoff_tenants_exit();
	kvoff_tiers_exit();
	/* after this nobody can start the sampler any more */
	kvoff_sysfs_exit();
	kvoff_sample_set(0);
	kvoff_batch_exit();
	unregister_chrdev_region(kvoff_devt, KVOFF_NR_DEVICES);
}

module_init(kvoff_init);
module_exit(kvoff_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Tiered memory for LLM KV caches: blocks move, names stay");
