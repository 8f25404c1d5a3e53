/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Regions that outlive their processes: what named.c does for the others.
 */
#ifndef KVOFF_NAMED_H
#define KVOFF_NAMED_H

#include "kvoff.h"

int kvoff_named_begin(struct kvoff_region *region, const struct kvoff_region_create *arg);
void kvoff_named_begun(struct kvoff_region *region, bool success);
void kvoff_named_detach(struct kvoff_region *region);
void kvoff_named_free(struct kvoff_region *region);
void kvoff_named_info(const struct kvoff_region *region, struct kvoff_region_info *info);
const char *kvoff_named_name(const struct kvoff_region *region);
umode_t kvoff_named_mode(const struct kvoff_region *region);
u32 kvoff_named_ttl(const struct kvoff_region *region);
s64 kvoff_named_left(const struct kvoff_region *region);
int kvoff_region_open(struct kvoff_tenant *tenant, struct kvoff_region_open *arg, fmode_t have);
int kvoff_region_remove(struct kvoff_ctl_region_remove *arg);

#endif /* KVOFF_NAMED_H */
