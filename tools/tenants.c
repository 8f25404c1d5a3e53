// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading the tenants: whatever in the class has a quota is one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/sysfs.h"
#include "tools/tenants.h"

struct walk {
	struct tenant *list;
	unsigned int nr;
	const struct tiers *tiers;
};

static uint64_t attribute(const char *tenant, const char *name)
{
	uint64_t v;

	sys_read_u64(&v, SYS_KVOFF "/%s/%s", tenant, name);
	return v;
}

static int read_tenant(const char *name, void *arg)
{
	struct walk *w = arg;
	struct tenant *t;
	unsigned int i;
	uint64_t quota;
	int ret;

	if (strlen(name) >= KVOFF_NAME_LEN)
		return 0;
	ret = sys_read_u64(&quota, SYS_KVOFF "/%s/quota_bytes", name);
	if (ret == -EACCES)
		return ret;
	/* control, tiers and so on; or gone while we looked */
	if (ret)
		return 0;
	t = reallocarray(w->list, w->nr + 1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	w->list = t;
	t += w->nr++;
	memset(t, 0, sizeof(*t));
	strcpy(t->name, name);
	sys_read(t->class, sizeof(t->class), SYS_KVOFF "/%s/class", name);
	t->quota = quota;
	t->committed = attribute(name, "committed_bytes");
	t->used = attribute(name, "used_bytes");
	for (i = 0; i < w->tiers->nr; i++) {
		sys_read_u64(&t->tier_quota[i], SYS_KVOFF "/%s/tiers/%s/quota_bytes", name, w->tiers->tier[i].name);
		sys_read_u64(&t->tier_used[i], SYS_KVOFF "/%s/tiers/%s/used_bytes", name, w->tiers->tier[i].name);
	}
	return 0;
}

int tenants_read(struct tenant **out, unsigned int *nr, const struct tiers *tiers)
{
	struct walk w = { .tiers = tiers };
	int ret = sys_each(SYS_KVOFF, read_tenant, &w);

	if (ret) {
		free(w.list);
		w.list = NULL;
		w.nr = 0;
	}
	*out = w.list;
	*nr = w.nr;
	return ret;
}
