// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Emptying a tier: the kernel lets nothing in, we move out what is there.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "tools/ctl.h"
#include "tools/drain.h"
#include "tools/size.h"

/* Between rounds that moved nothing. */
#define PAUSE_FIRST_US	20000
#define PAUSE_MAX_US	1000000
/* How often progress is shown: in a line that changes, in a line of its own. */
#define TERMINAL_SECONDS	0.1
#define LINE_SECONDS		1.0

static volatile bool interrupted;

static void on_signal(int sig)
{
	interrupted = true;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static int call(int control, const char *name, uint32_t flags, uint64_t keep)
{
	struct kvoff_ctl_tier_drain arg = { .size = sizeof(arg), .flags = flags, .keep = keep };

	memcpy(arg.name, name, strnlen(name, KVOFF_NAME_LEN - 1));
	return ioctl(control, KVOFF_CTL_TIER_DRAIN, &arg) < 0 ? -errno : 0;
}

/* What is committed, and what the other tiers have: the figures behind a refusal. */
static void complain_busy(const struct drain *d, const struct tiers *tiers)
{
	struct kvoff_region_info *regions;
	uint64_t committed = 0, others = 0;
	unsigned int nr, i;

	if (regions_read(&regions, &nr))
		return;
	for (i = 0; i < nr; i++)
		committed += regions[i].committed;
	for (i = 0; i < tiers->nr; i++)
		if (strcmp(tiers->tier[i].name, d->name))
			others += tiers->tier[i].capacity;
	complain(
		"tier %s: cannot be drained to %s: %s are committed (kvoffctl regions tells by whom), the other tiers have %s, of which each pool keeps a reserve for moves; give another tier more capacity, or end a region",
		d->name, size_format(d->keep).s, size_format(committed).s, size_format(others).s);
}

int drain_begin(int control, struct drain *d)
{
	const struct tier *t;
	struct tiers tiers;
	int ret = call(control, d->name, 0, d->keep);

	tiers_read(&tiers);
	t = tiers_find(&tiers, d->name);
	switch (ret) {
	case 0:
		break;
	case -ENOENT:
		complain("tier %s: there is no such tier (kvoffctl tiers shows them)", d->name);
		break;
	case -EBUSY:
		complain_busy(d, &tiers);
		break;
	case -EPERM:
	case -EACCES:
		complain("tier %s: that takes CAP_SYS_ADMIN (sudo kvoffctl ...)", d->name);
		break;
	case -ENOTTY:
		complain("tier %s: the loaded module cannot drain tiers, it is older than this kvoffctl", d->name);
		break;
	default:
		complain("tier %s: cannot be drained: %s", d->name, strerror(-ret));
	}
	if (ret)
		return ret;
	if (!t) {
		complain("tier %s: was removed meanwhile", d->name);
		return -ENOENT;
	}
	d->evict = (struct evict){ .control = control, .from = t->id, .stop = &interrupted };
	return 0;
}

int drain_stop(int control, const char *name)
{
	int ret = call(control, name, KVOFF_DRAIN_STOP, 0);

	if (ret == -ENOENT)
		complain("tier %s: there is no such tier (kvoffctl tiers shows them)", name);
	else if (ret)
		complain("tier %s: the drain cannot be stopped: %s", name, strerror(-ret));
	return ret;
}

/**
 * struct progress - the line that tells how far it is
 * @drain:	what it tells of
 * @out:	where
 * @terminal:	one line that changes
 * @last:	when it was written
 * @length:	of what stands in the line
 */
struct progress {
	struct drain *drain;
	FILE *out;
	bool terminal;
	double last;
	int length;
};

static void show(struct progress *p, bool last)
{
	const struct drain *d = p->drain;
	uint64_t held = 0, room = 0;
	char text[256];
	unsigned int i;
	int n;

	if (!last && p->last && now() - p->last < (p->terminal ? TERMINAL_SECONDS : LINE_SECONDS))
		return;
	p->last = now();
	for (i = 0; i < d->evict.nr; i++) {
		const struct evict_region *r = &d->evict.regions[i];

		held += r->pinned + r->acquired + r->written + r->failed;
		room += r->no_room + r->quota;
	}
	n = snprintf(text, sizeof(text), "tier %s: %s moved, %s left", d->name, size_format(d->evict.moved_bytes).s,
		     size_format(d->used + d->orphan).s);
	if (d->keep)
		n += snprintf(text + n, sizeof(text) - n, ", %s may stay", size_format(d->keep).s);
	if (held || room)
		snprintf(text + n, sizeof(text) - n, " (%llu blocks held, %llu without room)", (unsigned long long)held,
			 (unsigned long long)room);
	if (p->terminal) {
		n = fprintf(p->out, "\r%-*s", p->length, text);
		p->length = n - 1;
		if (last)
			fputc('\n', p->out);
	} else {
		fprintf(p->out, "%s\n", text);
	}
	fflush(p->out);
}

/* How it stands now; false if there is no drain any more. */
static bool look(struct drain *d, struct tiers *tiers)
{
	const struct tier *t;

	if (tiers_read(tiers))
		return false;
	t = tiers_find(tiers, d->name);
	if (!t || t->id != d->evict.from || (strcmp(t->state, "draining") && strcmp(t->state, "drained")))
		return false;
	d->used = t->used;
	d->orphan = t->orphan;
	return true;
}

/* In the middle of a round. */
static void tell(void *arg)
{
	struct progress *p = arg;
	struct tiers tiers;

	if (now() - p->last >= (p->terminal ? TERMINAL_SECONDS : LINE_SECONDS) && look(p->drain, &tiers))
		show(p, false);
}

bool drain_run(struct drain *d)
{
	struct sigaction action = { .sa_handler = on_signal }, old_int, old_term;
	struct progress p = { .drain = d, .out = d->quiet ? stderr : stdout };
	useconds_t pause = PAUSE_FIRST_US;
	double began = now();
	bool done = false;
	struct tiers tiers;

	p.terminal = isatty(fileno(p.out));
	d->evict.tell = tell;
	d->evict.arg = &p;
	interrupted = false;
	sigaction(SIGINT, &action, &old_int);
	sigaction(SIGTERM, &action, &old_term);
	for (;;) {
		int64_t moved;

		d->ended = !look(d, &tiers);
		done = !d->ended && d->used + d->orphan <= d->keep;
		show(&p, false);
		if (done || d->ended || interrupted || (d->timeout && now() - began >= d->timeout))
			break;
		moved = evict_round(&d->evict, &tiers, d->used + d->orphan - d->keep);
		if (moved < 0)
			break;
		if (moved) {
			pause = PAUSE_FIRST_US;
			continue;
		}
		usleep(pause);
		pause = pause * 2 < PAUSE_MAX_US ? pause * 2 : PAUSE_MAX_US;
	}
	show(&p, true);
	d->interrupted = interrupted;
	d->seconds = now() - began;
	sigaction(SIGINT, &old_int, NULL);
	sigaction(SIGTERM, &old_term, NULL);
	return done;
}

static void complain_region(const struct evict_region *r)
{
	const struct {
		uint64_t blocks;
		const char *why;
	} reasons[] = {
		{ r->pinned, "pinned (direct I/O, a registered buffer)" },
		{ r->acquired, "acquired by a client" },
		{ r->written, "being written to" },
		{ r->no_room, "without a free frame in another tier" },
		{ r->quota, "over the tenant's quota in the other tiers" },
		{ r->failed, "unreadable, or refused otherwise" },
	};
	unsigned int i;

	for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].blocks)
			complain("region %u (%s, process %d): %llu blocks of %s %s", r->id, *r->label ? r->label : "-",
				 r->pid, (unsigned long long)reasons[i].blocks, size_format(r->block_size).s,
				 reasons[i].why);
}

void drain_complain(const struct drain *d)
{
	unsigned int i;

	for (i = 0; i < d->evict.nr; i++)
		complain_region(&d->evict.regions[i]);
	if (d->orphan)
		complain("tier %s: %s pinned by a driver after its process ended: they come back when the pin goes",
			 d->name, size_format(d->orphan).s);
}
