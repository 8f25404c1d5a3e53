// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The region that a person means, by its number or its name.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl.h"
#include "tools/size.h"

/* Several users and tenants may use one name: a person must say which is meant. */
static void complain_ambiguous(const char *name, const struct kvoff_region_info *r, unsigned int nr)
{
	unsigned int i;

	complain("more than one region is called '%s': give the number of the one that is meant", name);
	for (i = 0; i < nr; i++)
		if (!strcmp(r[i].name, name))
			fprintf(stderr, "  region %u of tenant %s, user %u\n", r[i].id, r[i].tenant, r[i].uid);
}

static int find_by_name(const char *name, unsigned int *id)
{
	struct kvoff_region_info *r;
	unsigned int nr, i, found = 0;

	if (regions_read(&r, &nr))
		return EXIT_FAILED;
	for (i = 0; i < nr; i++) {
		if (strcmp(r[i].name, name))
			continue;
		*id = r[i].id;
		found++;
	}
	if (!found)
		complain("no region is called '%s' (kvoffctl regions lists them)", name);
	else if (found > 1)
		complain_ambiguous(name, r, nr);
	free(r);
	return found == 1 ? 0 : EXIT_FAILED;
}

int region_named(const char *which, unsigned int *id)
{
	uint64_t number;

	if (!*which)
		return usage_error("expected the number or the name of a region");
	if (which[strspn(which, "0123456789")])
		return find_by_name(which, id);
	if (number_parse(which, UINT_MAX, &number))
		return usage_error("%s: no region has so large a number", which);
	*id = (unsigned int)number;
	return 0;
}
