// SPDX-License-Identifier: GPL-2.0-only
/*
 * Telling clients that blocks have moved: an eventfd for each attachment.
 */
#include <linux/err.h>
#include <linux/eventfd.h>

#include "framed.h"
#include "kvoff.h"

/* A block of the region is in another tier now. */
void kvoff_event_moved(struct kvoff_region *region)
{
	struct kvoff_attach *attach;

	spin_lock(&region->attach_lock);
	list_for_each_entry(attach, &region->attachments, node)
		if (attach->event)
			eventfd_signal(attach->event);
	spin_unlock(&region->attach_lock);
}

static void kvoff_event_replace(struct kvoff_attach *attach, struct eventfd_ctx *event)
{
	struct eventfd_ctx *old;

	spin_lock(&attach->region->attach_lock);
	old = attach->event;
	attach->event = event;
	spin_unlock(&attach->region->attach_lock);
	if (old)
		eventfd_ctx_put(old);
}

/* The attachment ends. */
void kvoff_event_end(struct kvoff_attach *attach)
{
	kvoff_event_replace(attach, NULL);
}

long kvoff_call_eventfd(struct file *file, void *p)
{
	struct kvoff_region_eventfd *arg = p;
	struct eventfd_ctx *event = NULL;

	if (arg->flags || arg->reserved)
		return -EINVAL;
	if (arg->fd != -1) {
		event = eventfd_ctx_fdget(arg->fd);
		if (IS_ERR(event))
			return PTR_ERR(event);
	}
	kvoff_event_replace(file->private_data, event);
	return 0;
}
