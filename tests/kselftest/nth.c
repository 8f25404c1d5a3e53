// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fault injection, and what must be the same after a call that failed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nth.h"

/* No call allocates so often. */
#define NTH_MAX		4000

/**
 * struct mark - what must be the same again
 * @used:	bytes in frames
 * @orphans:	bytes in frames that something has pinned
 * @regions:	regions
 * @tiers:	tiers
 * @devices:	tenants, and the class's other devices
 * @committed:	bytes the region has committed
 * @promised:	bytes its tenant has committed
 * @attached:	the region's attachments
 * @fd:		the lowest free descriptor
 */
struct mark {
	uint64_t used;
	uint64_t orphans;
	uint64_t regions;
	uint64_t tiers;
	uint64_t devices;
	uint64_t committed;
	uint64_t promised;
	uint64_t attached;
	uint64_t fd;
};

static int attr_write(const char *dir, const char *attr, const char *value)
{
	char path[128];
	int fd, ret;

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", dir, attr);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = write(fd, value, strlen(value)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static int nth_open(struct bed *bed)
{
	/* allocations that may sleep and single pages are spared otherwise; and no stack trace for each failure */
	static const char * const attrs[][3] = {
		{ "failslab", "ignore-gfp-wait", "N" },
		{ "failslab", "verbose", "0" },
		{ "fail_page_alloc", "ignore-gfp-wait", "N" },
		{ "fail_page_alloc", "ignore-gfp-highmem", "N" },
		{ "fail_page_alloc", "min-order", "0" },
		{ "fail_page_alloc", "verbose", "0" },
	};
	unsigned int i;
	int ret = 0;

	bed->nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (bed->nth < 0)
		return -errno;
	for (i = 0; i < sizeof(attrs) / sizeof(attrs[0]) && !ret; i++)
		ret = attr_write(attrs[i][0], attrs[i][1], attrs[i][2]);
	/* a page of this program that has to be read from its file is no part of any call */
	if (!ret && mlockall(MCL_CURRENT))
		ret = -errno;
	return ret == -ENOENT ? -ENODEV : ret;
}

int nth_up(struct bed *bed, uint32_t bs, uint64_t frames, uint64_t nr)
{
	int ret = nth_open(bed);

	if (ret)
		return ret;
	ret = rig_up(&bed->rig, bs, frames * bs);
	bed->r = &bed->rig.regions[0];
	if (!ret)
		ret = region_create(&bed->rig, bed->r, bs, nr);
	return ret ?: region_commit(bed->r, 8 * bs, NULL);
}

const char *nth_down(struct bed *bed)
{
	close(bed->nth);
	return rig_down(&bed->rig);
}

unsigned int nth_entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned int n = 0;
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		n += e->d_type != DT_REG && e->d_name[0] != '.' && strcmp(e->d_name, "power") &&
		     strcmp(e->d_name, "subsystem");
	if (dir)
		closedir(dir);
	return n;
}

static void mark_take(const struct bed *bed, struct mark *m)
{
	struct kvoff_region_info info = { 0 };

	region_info(bed->r->fd, &info);
	m->used = tiers_sum("used_bytes");
	m->orphans = tiers_sum("orphan_bytes");
	m->regions = nth_entries("/sys/class/kvoff/regions/");
	m->tiers = nth_entries("/sys/class/kvoff/tiers/");
	m->devices = nth_entries("/sys/class/kvoff/");
	m->committed = info.committed;
	m->promised = info.tenant_committed;
	m->attached = info.nr_attached;
	m->fd = dup(bed->nth);
	close(m->fd);
}

/* What differs, NULL if nothing does. */
static const char *mark_differs(const struct mark *a, const struct mark *b)
{
	static char text[128];
	const struct {
		const char *name;
		uint64_t was, is;
	} all[] = {
		{ "bytes in use", a->used, b->used },
		{ "orphaned bytes", a->orphans, b->orphans },
		{ "regions", a->regions, b->regions },
		{ "tiers", a->tiers, b->tiers },
		{ "devices", a->devices, b->devices },
		{ "committed bytes", a->committed, b->committed },
		{ "the tenant's committed bytes", a->promised, b->promised },
		{ "attachments", a->attached, b->attached },
		{ "lowest free descriptor", a->fd, b->fd },
	};
	unsigned int i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i].was == all[i].is)
			continue;
		snprintf(text, sizeof(text), "%s: %llu before, %llu after", all[i].name,
			 (unsigned long long)all[i].was, (unsigned long long)all[i].is);
		return text;
	}
	return NULL;
}

static void nth_set(const struct bed *bed, unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	if (pwrite(bed->nth, text, len, 0) != len)
		abort();
}

/* How many allocations were still to come; 0: one has failed. */
static unsigned int nth_get(const struct bed *bed)
{
	char text[16] = "";

	if (pread(bed->nth, text, sizeof(text) - 1, 0) <= 0)
		abort();
	return strtoul(text, NULL, 10);
}

static const char *wrong(const struct nth_call *call, unsigned int n, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static const char *wrong(const struct nth_call *call, unsigned int n, const char *fmt, ...)
{
	static char text[256];
	va_list ap;
	int len;

	len = snprintf(text, sizeof(text), "%s, allocation %u: ", call->name, n);
	va_start(ap, fmt);
	vsnprintf(text + len, sizeof(text) - len, fmt, ap);
	va_end(ap);
	return text;
}

static int run(struct bed *bed, const struct nth_call *call, unsigned int n, unsigned int *left)
{
	int ret;

	/* from here to nth_get() every allocation of this thread counts */
	nth_set(bed, n);
	ret = call->run(bed);
	*left = nth_get(bed);
	nth_set(bed, 0);
	return call->after ? call->after(bed, ret) : ret;
}

/* With allocation @n failing; *@left is 0 if there was one. *@ret is what the call said to that. */
static const char *nth_step(struct bed *bed, const struct nth_call *call, unsigned int n, unsigned int *left, int *ret)
{
	struct mark before, after;
	const char *differs;
	unsigned int none;
	int again;

	*ret = call->prepare ? call->prepare(bed) : 0;
	if (*ret)
		return wrong(call, n, "cannot be prepared: %d", *ret);
	mark_take(bed, &before);
	*ret = again = run(bed, call, n, left);
	if (*ret < 0) {
		if (*left)
			return wrong(call, n, "fails with %d where no allocation has", *ret);
		if (*ret != -ENOMEM)
			return wrong(call, n, "fails with %d", *ret);
		mark_take(bed, &after);
		differs = mark_differs(&before, &after);
		if (differs)
			return wrong(call, n, "%s", differs);
		/* what the failure left must not be in the way of the next */
		again = run(bed, call, 0, &none);
		if (again < 0)
			return wrong(call, n, "fails with %d when repeated", again);
	}
	again = call->undo ? call->undo(bed) : 0;
	if (again)
		return wrong(call, n, "has not done what it should: %d", again);
	if (call->cleanup)
		call->cleanup(bed);
	return NULL;
}

const char *nth_walk(struct bed *bed, const struct nth_call *call, unsigned int *refused)
{
	unsigned int n, left = 0, no = 0, yes = 0;
	const char *what = NULL;
	int ret;

	for (n = 1; !left && !what; n++) {
		what = nth_step(bed, call, n, &left, &ret);
		no += ret < 0;
		yes += ret >= 0 && !left;
		if (n == NTH_MAX && !what)
			what = wrong(call, n, "does not come to an end");
	}
	printf("# %s: %u refused, %u done all the same\n", call->name, no, yes);
	if (refused)
		*refused = no;
	return what;
}
