// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvoffctl regions rm: take a region's name away, so that it ends.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/ctl.h"
#include "tools/json.h"

static int remove_failed(unsigned int id, int err)
{
	if (err == ENOENT)
		complain("region %u cannot be removed: there is none of this number (kvoffctl regions lists them)", id);
	else if (err == EINVAL)
		complain("region %u cannot be removed: it has no name, and ends with the processes that use it", id);
	else if (err == ENOTTY)
		complain("region %u cannot be removed: the module is older than this tool and knows no named regions",
			 id);
	else
		complain("region %u cannot be removed: %s", id, strerror(err));
	return EXIT_FAILED;
}

static void removed(const struct kvoff_ctl_region_remove *arg, bool json)
{
	struct json j = { .out = stdout };

	if (json) {
		json_object(&j, NULL);
		json_u64(&j, "region", arg->id);
		json_u64(&j, "attached", arg->nr_attached);
		json_end(&j);
	} else if (arg->nr_attached) {
		printf("region %u has no name any more; %u attachment%s still there, and it ends with the last\n",
		       arg->id, arg->nr_attached, arg->nr_attached == 1 ? " is" : "s are");
	} else {
		printf("region %u has ended\n", arg->id);
	}
}

int regions_remove(int argc, char **argv, bool json)
{
	struct kvoff_ctl_region_remove arg = { .size = sizeof(arg) };
	int ctl, err = 0, ret;

	if (argc != 2 || !*argv[1])
		return usage_error("regions rm: expected the number or the name of one region");
	ret = region_named(argv[1], &arg.id);
	if (ret)
		return ret;
	ctl = control_open();
	if (ctl < 0)
		return EXIT_FAILED;
	if (ioctl(ctl, KVOFF_CTL_REGION_REMOVE, &arg) < 0)
		err = errno;
	close(ctl);
	if (err)
		return remove_failed(arg.id, err);
	removed(&arg, json);
	return 0;
}
