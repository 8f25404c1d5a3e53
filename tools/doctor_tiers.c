// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Are the tiers what they should be, and can blocks move between them?
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/doctor.h"
#include "tools/size.h"
#include "tools/sysfs.h"

/* Below so many refusals, or this share of all tries, nobody need be told. */
#define REFUSALS_MIN	100
#define REFUSALS_PART	10

/* More than this part of a tier lost to memory errors is not bad luck any more. */
#define POISONED_PART	100

/* Enough of /proc/PID/maps to find a region: large servers map thousands of files. */
#define MAPS_MAX	(1U << 20)

struct pinners {
	char list[200];
	bool only_rings;		/* else only who maps a region */
	char *maps;
};

struct ring_walk {
	const char *pid;
	bool ring;
};

static int look_at_fd(const char *name, void *arg)
{
	struct ring_walk *w = arg;
	struct sys_path p = sys_path("/proc/%s/fd/%s", w->pid, name);
	char target[64];
	ssize_t n = readlink(p.s, target, sizeof(target) - 1);

	if (n < 0)
		return 0;
	target[n] = 0;
	w->ring = strstr(target, "[io_uring]") || strstr(target, "infiniband/uverbs") || strstr(target, "/dev/nvidia");
	return w->ring;
}

static int look_at_process(const char *pid, void *arg)
{
	struct ring_walk w = { .pid = pid };
	struct pinners *p = arg;
	size_t used = strlen(p->list);
	char comm[32], dir[32];

	if (!isdigit((unsigned char)*pid) || strlen(pid) > 10 || sys_read(p->maps, MAPS_MAX, "/proc/%s/maps", pid) ||
	    !strstr(p->maps, "[kvoff"))
		return 0;
	snprintf(dir, sizeof(dir), "/proc/%s/fd", pid);
	sys_each(dir, look_at_fd, &w);
	if (p->only_rings && !w.ring)
		return 0;
	sys_read(comm, sizeof(comm), "/proc/%s/comm", pid);
	snprintf(p->list + used, sizeof(p->list) - used, "%s%s (%s)", used ? ", " : "", pid, comm);
	return 0;
}

/* Who could pin memory of a region: maps one, and has a ring or a device that registers memory. */
static void name_pinners(struct pinners *p)
{
	memset(p, 0, sizeof(*p));
	p->only_rings = true;
	p->maps = malloc(MAPS_MAX);
	if (!p->maps)
		return;
	sys_each("/proc", look_at_process, p);
	if (!*p->list) {
		p->only_rings = false;
		sys_each("/proc", look_at_process, p);
	}
	free(p->maps);
}

static void look_at_tier(struct doctor *d, const struct tier *t)
{
	struct node_memory m = {0};
	bool known = !sys_node_memory(t->node, &m);
	struct pinners p;

	if (!known)
		found(d, "tier-node-gone", SEVERITY_ERROR, "tier %s: node %d is not there any more", t->name, t->node);
	else if (t->capacity > m.total)
		mend(found(d, "tier-too-large", SEVERITY_WARNING, "tier %s: capacity %s is more than node %d has (%s)",
			   t->name, size_format(t->capacity).s, t->node, size_format(m.total).s),
		     "kvoffctl tier set %s --capacity %s", t->name, size_exact(m.total / 10 * 9 >> 21 << 21).s);
	else if (!strcmp(t->state, "short"))
		mend(found(d, "tier-short", SEVERITY_WARNING,
			   "tier %s: node %d gave %s of %s and has no more (%s free): commits may fail earlier than its capacity says",
			   t->name, t->node, size_format(t->filled).s, size_format(t->capacity).s,
			   size_format(m.free).s),
		     "kvoffctl tier set %s --capacity %s", t->name, size_exact(t->filled >> 21 << 21).s);
	else if (!strcmp(t->state, "draining") || !strcmp(t->state, "drained"))
		mend(found(d, "tier-draining", SEVERITY_NOTE, "tier %s is being drained (%s in use): no block goes there",
			   t->name, size_format(t->used + t->orphan).s),
		     "kvoffctl tier undrain %s", t->name);
	if (!t->capacity)
		mend(found(d, "tier-empty", SEVERITY_WARNING, "tier %s has no capacity", t->name),
		     "kvoffctl tier set %s --capacity SIZE", t->name);
	if (t->poisoned)
		found(d, "tier-poisoned", t->poisoned >= t->filled / POISONED_PART ? SEVERITY_WARNING : SEVERITY_NOTE,
		      "tier %s: %s is out of use for memory errors, until node %d is repaired and the machine booted again",
		      t->name, size_format(t->poisoned).s, t->node);
	if (t->orphan) {
		name_pinners(&p);
		found(d, "tier-orphans", SEVERITY_WARNING,
		      "tier %s: %s is still pinned by something after its block went; it comes back when the pin goes%s%s",
		      t->name, size_format(t->orphan).s, *p.list ? ". Processes that could hold it: " : "", p.list);
	}
}

static void look_at_moves(struct doctor *d)
{
	uint64_t moves = counters_get(&d->counters, "moves"), busy = counters_get(&d->counters, "move_busy"),
		 acquired = counters_get(&d->counters, "move_acquired"),
		 no_frame = counters_get(&d->counters, "move_no_frame"),
		 tries = moves + busy + acquired + no_frame + counters_get(&d->counters, "move_written");
	struct pinners p;

	if (busy >= REFUSALS_MIN && busy >= tries / REFUSALS_PART) {
		name_pinners(&p);
		found(d, "moves-pinned", SEVERITY_WARNING,
		      "%llu of %llu moves were refused because something in the kernel had the block pinned (io_uring fixed buffers, RDMA, a GPU driver)%s%s",
		      (unsigned long long)busy, (unsigned long long)tries, *p.list ? ". Processes that could: " : "",
		      p.list);
	}
	if (acquired >= REFUSALS_MIN && acquired >= tries / REFUSALS_PART)
		mend(found(d, "moves-acquired", SEVERITY_WARNING,
			   "%llu of %llu moves were refused because a client held the block: acquire blocks only while they are used",
			   (unsigned long long)acquired, (unsigned long long)tries),
		     "kvoffctl regions");
	if (no_frame >= REFUSALS_MIN && no_frame >= tries / REFUSALS_PART)
		mend(found(d, "moves-no-frame", SEVERITY_WARNING,
			   "%llu of %llu moves found no free frame in their target: the reserve is too small",
			   (unsigned long long)no_frame, (unsigned long long)tries),
		     "echo 5 >" SYS_KVOFF "/tuning/reserve_percent");
}

static void look_at_commits(struct doctor *d)
{
	uint64_t refused = counters_get(&d->counters, "commit_refused"),
		 broken = counters_get(&d->counters, "commit_broken");

	if (broken)
		found(d, "commit-broken", SEVERITY_ERROR,
		      "%llu faults found no frame in spite of a commit: a bug, please report it with the kernel log",
		      (unsigned long long)broken);
	if (refused)
		mend(found(d, "commit-refused", SEVERITY_NOTE,
			   "%llu commits failed for want of memory in the tiers so far", (unsigned long long)refused),
		     "kvoffctl tiers");
}

/* Frames cannot be swapped out: if a tier takes much of a node, everything else on it may be. */
static void look_at_swap(struct doctor *d)
{
	unsigned long long total = 0, avail = 0;
	struct node_memory m;
	char buf[4096], *at;
	uint64_t out;
	unsigned int i;

	if (sys_read(buf, sizeof(buf), "/proc/meminfo"))
		return;
	at = strstr(buf, "SwapTotal:");
	if (at)
		sscanf(at, "SwapTotal: %llu kB", &total);
	at = strstr(buf, "SwapFree:");
	if (at)
		sscanf(at, "SwapFree: %llu kB", &avail);
	out = total > avail ? (total - avail) << 10 : 0;
	if (out < 64 << 20)
		return;
	for (i = 0; i < d->tiers.nr; i++) {
		const struct tier *t = &d->tiers.tier[i];

		if (sys_node_memory(t->node, &m) || t->filled < m.total / 2 || m.free > m.total / 20)
			continue;
		mend(found(d, "tier-crowds-node", SEVERITY_WARNING,
			   "tier %s holds %s of node %d's %s, and %s of other programs is swapped out", t->name,
			   size_format(t->filled).s, t->node, size_format(m.total).s, size_format(out).s),
		     "kvoffctl tier set %s --capacity %s", t->name, size_exact(t->filled / 4 * 3 >> 21 << 21).s);
	}
}

void doctor_tiers(struct doctor *d)
{
	uint64_t interval;
	unsigned int i;

	if (!d->tiers.nr)
		mend(found(d, "no-tiers", SEVERITY_ERROR,
			   "there are no tiers, so nothing can be allocated; kvoffd makes them from its configuration"),
		     "systemctl start kvoffd");
	else if (d->tiers.nr == 1)
		found(d, "one-tier", SEVERITY_WARNING, "tier %s is the only one: there is nowhere to move blocks to",
		      d->tiers.tier[0].name);
	for (i = 0; i < d->tiers.nr; i++)
		look_at_tier(d, &d->tiers.tier[i]);
	look_at_moves(d);
	look_at_commits(d);
	look_at_swap(d);
	if (!sys_read_u64(&interval, SYS_KVOFF "/tuning/sample_interval_ms") && !interval)
		mend(found(d, "sampling-off", SEVERITY_NOTE,
			   "sampling is off: use that servers do not announce (plain loads) is not seen"),
		     "echo 5000 >" SYS_KVOFF "/tuning/sample_interval_ms");
}
