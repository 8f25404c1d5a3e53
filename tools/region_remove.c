// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvoffctl regions rm: take a region's name away, so that it ends.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/ctl.h"
#include "tools/json.h"

/* Several users and tenants may use one name: a person must say which is meant. */
static void complain_ambiguous(const char *name, const struct kvoff_region_info *r, unsigned int nr)
{
	unsigned int i;

	complain("more than one region is called '%s': give the number of the one to remove", name);
	for (i = 0; i < nr; i++)
		if (!strcmp(r[i].name, name))
			fprintf(stderr, "  region %u of tenant %s, user %u\n", r[i].id, r[i].tenant, r[i].uid);
}

/* Returns 0 or -errno (complained about). */
static int find_by_name(const char *name, unsigned int *id)
{
	struct kvoff_region_info *r;
	unsigned int nr, i, found = 0;
	int ret;

	ret = regions_read(&r, &nr);
	if (ret)
		return ret;
	for (i = 0; i < nr; i++) {
		if (strcmp(r[i].name, name))
			continue;
		*id = r[i].id;
		found++;
	}
	if (!found) {
		complain("no region is called '%s' (kvoffctl regions lists them)", name);
		ret = -ENOENT;
	} else if (found > 1) {
		complain_ambiguous(name, r, nr);
		ret = -EEXIST;
	}
	free(r);
	return ret;
}

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
	const char *which = argv[1];
	unsigned long id;
	int ctl, err = 0;

	if (argc != 2 || !*which)
		return usage_error("regions rm: expected the number or the name of one region");
	if (which[strspn(which, "0123456789")]) {
		if (find_by_name(which, &arg.id))
			return EXIT_FAILED;
	} else {
		errno = 0;
		id = strtoul(which, NULL, 10);
		if (errno || id > UINT_MAX)
			return usage_error("regions rm %s: no region has so large a number", which);
		arg.id = (unsigned int)id;
	}
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
