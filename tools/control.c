// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The control device: opening it, and the list of regions.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/ctl.h"
#include "tools/sysfs.h"

#define REGIONS_STEP	1024

int control_open(void)
{
	struct sys_path p = sys_path("/dev/kvoff/control");
	int fd = open(p.s, O_RDWR | O_CLOEXEC), err = errno;

	if (fd >= 0)
		return fd;
	if (err == ENOENT || err == ENODEV || err == ENXIO)
		complain(
			"/dev/kvoff/control is not there: the module is not loaded (modprobe kvoff; kvoffctl doctor says more)");
	else if (err == EACCES || err == EPERM)
		complain("/dev/kvoff/control cannot be opened: that takes CAP_SYS_ADMIN (sudo kvoffctl ...)");
	else
		complain("/dev/kvoff/control cannot be opened: %s", strerror(err));
	return -err;
}

static int read_region(int ctl, unsigned int id, struct kvoff_region_info *r)
{
	struct kvoff_ctl_region_view view = { .size = sizeof(view), .id = id, .fd_flags = O_CLOEXEC };
	int fd, ret = 0;

	memset(r, 0, sizeof(*r));
	r->size = sizeof(*r);
	fd = ioctl(ctl, KVOFF_CTL_REGION_VIEW, &view);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, KVOFF_REGION_INFO, r) < 0)
		ret = -errno;
	close(fd);
	/* a name for people that a client chose */
	r->label[KVOFF_NAME_LEN - 1] = 0;
	r->tenant[KVOFF_NAME_LEN - 1] = 0;
	r->name[KVOFF_NAME_LEN - 1] = 0;
	return ret;
}

int regions_read(struct kvoff_region_info **out, unsigned int *nr)
{
	struct kvoff_ctl_regions list = { .size = sizeof(list) };
	__u32 ids[REGIONS_STEP];
	struct kvoff_region_info *bigger;
	int ctl, ret = 0;
	unsigned int i;

	*out = NULL;
	*nr = 0;
	ctl = control_open();
	if (ctl < 0)
		return ctl;
	do {
		list.nr = REGIONS_STEP;
		list.ids = (uintptr_t)ids;
		if (ioctl(ctl, KVOFF_CTL_REGIONS, &list) < 0) {
			ret = -errno;
			break;
		}
		bigger = reallocarray(*out, *nr + list.nr + 1, sizeof(**out));
		if (!bigger) {
			ret = -ENOMEM;
			break;
		}
		*out = bigger;
		for (i = 0; i < list.nr && i < REGIONS_STEP; i++) {
			list.after = ids[i];
			ret = read_region(ctl, ids[i], &bigger[*nr]);
			/* gone since the list was made */
			if (ret == -ENOENT || ret == -ENODEV)
				ret = 0;
			else if (!ret)
				++*nr;
			else
				break;
		}
	} while (!ret && list.nr == REGIONS_STEP);
	if (ret) {
		complain("the regions cannot be listed: %s", strerror(-ret));
		free(*out);
		*out = NULL;
		*nr = 0;
	}
	close(ctl);
	return ret;
}
