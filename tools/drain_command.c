// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvoffctl tier drain, tier undrain, and the drain behind a capacity below what is in use.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/ctl.h"
#include "tools/drain.h"
#include "tools/json.h"
#include "tools/offline.h"
#include "tools/size.h"

#define TIMEOUT_MAX	(366ull * 24 * 3600)

enum { OPT_KEEP = 1, OPT_TIMEOUT, OPT_OFFLINE };

static const struct option options[] = {
	{ "keep", required_argument, NULL, OPT_KEEP },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "offline", no_argument, NULL, OPT_OFFLINE },
	{ NULL, 0, NULL, 0 },
};

/* 0 or an exit status. */
static int parse(int argc, char **argv, struct drain *d, bool *offline)
{
	int opt;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case OPT_KEEP:
			if (size_parse(optarg, &d->keep) || d->keep == UINT64_MAX)
				return usage_error("--keep %s: expected a size", optarg);
			break;
		case OPT_TIMEOUT:
			if (number_parse(optarg, TIMEOUT_MAX, &d->timeout) || !d->timeout)
				return usage_error("--timeout %s: expected seconds, from 1 to %llu", optarg,
						   TIMEOUT_MAX);
			break;
		case OPT_OFFLINE:
			*offline = true;
			break;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind != argc - 1)
		return usage_error("tier %s: expected one tier name", argv[0]);
	if (!*argv[optind] || strlen(argv[optind]) >= KVOFF_NAME_LEN)
		return usage_error("tier %s: a name has 1 to %d characters", argv[optind], KVOFF_NAME_LEN - 1);
	strcpy(d->name, argv[optind]);
	if (*offline && d->keep)
		return usage_error("tier drain %s: --offline takes all of the tier, --keep leaves a part", d->name);
	return 0;
}

static int remove_tier(const struct drain *d)
{
	struct kvoff_ctl_tier t = { .size = sizeof(t) };
	unsigned int tries;

	strcpy(t.name, d->name);
	for (tries = 0; tries < 10; tries++) {
		if (!ioctl(d->evict.control, KVOFF_CTL_TIER_REMOVE, &t))
			return 0;
		if (errno != EBUSY)
			break;
		usleep(100000);
	}
	complain("tier %s: drained, but it cannot be removed: %s", d->name, strerror(errno));
	return -1;
}

static int take_offline(const struct drain *d, int node, struct offline *off)
{
	unsigned int i;
	int ret;

	memset(off, 0, sizeof(*off));
	if (remove_tier(d))
		return EXIT_FAILED;
	ret = offline_node(node, off);
	if (ret < 0) {
		complain("node %d: its memory cannot be taken offline: %s", node, strerror(-ret));
		return EXIT_FAILED;
	}
	for (i = 0; i < off->nr_held; i++)
		complain("node %d: %s stays online: %s", node, off->held[i],
			 off->error == EBUSY ? "the kernel itself has pages there that do not move" :
					       strerror(off->error));
	if (ret)
		complain(
			"node %d: %u of %u memory blocks are offline. The kernel's own data goes to the first kernel-zone block that comes online: where the first block of a node is brought online as movable and the others as kernel memory, all of them can go again",
			node, off->gone, off->blocks);
	return ret ? EXIT_FAILED : 0;
}

static void report(const struct drain *d, bool done, const struct offline *off)
{
	struct json j = { .out = stdout };
	unsigned int i;

	json_object(&j, NULL);
	json_string(&j, "tier", d->name);
	json_bool(&j, "drained", done);
	json_bool(&j, "interrupted", d->interrupted);
	json_u64(&j, "keep_bytes", d->keep);
	json_u64(&j, "used_bytes", d->used);
	json_u64(&j, "orphan_bytes", d->orphan);
	json_u64(&j, "moved_blocks", d->evict.moved);
	json_u64(&j, "moved_bytes", d->evict.moved_bytes);
	json_double(&j, "seconds", d->seconds);
	json_array(&j, "left");
	for (i = 0; i < d->evict.nr && !done; i++) {
		const struct evict_region *r = &d->evict.regions[i];

		json_object(&j, NULL);
		json_u64(&j, "region", r->id);
		json_string(&j, "label", r->label);
		json_i64(&j, "pid", r->pid);
		json_u64(&j, "block_bytes", r->block_size);
		json_u64(&j, "pinned", r->pinned);
		json_u64(&j, "acquired", r->acquired);
		json_u64(&j, "written", r->written);
		json_u64(&j, "no_room", r->no_room);
		json_u64(&j, "over_quota", r->quota);
		json_u64(&j, "failed", r->failed);
		json_end(&j);
	}
	json_end(&j);
	if (off) {
		json_object(&j, "offline");
		json_u64(&j, "memory_blocks", off->blocks);
		json_u64(&j, "offline_blocks", off->gone);
		json_array(&j, "held");
		for (i = 0; i < off->nr_held; i++)
			json_string(&j, NULL, off->held[i]);
		json_end(&j);
		json_end(&j);
	}
	json_end(&j);
}

static void complain_end(const struct drain *d)
{
	if (d->ended) {
		complain("tier %s: the drain was ended by somebody else, or the tier is gone", d->name);
		return;
	}
	drain_complain(d);
	complain(
		"tier %s: %s, %s of it are in use: it stays draining; kvoffctl tier drain %s goes on, kvoffctl tier undrain %s ends it",
		d->name, d->interrupted ? "interrupted" : "not drained", size_format(d->used + d->orphan).s, d->name,
		d->name);
}

int cmd_tier_drain(int argc, char **argv, bool json)
{
	struct drain d = { .quiet = json };
	const struct tier *t;
	struct offline off;
	struct tiers tiers;
	bool offline = false, done;
	int ret = parse(argc, argv, &d, &offline), node, control;

	if (ret)
		return ret;
	control = control_open();
	if (control < 0)
		return EXIT_FAILED;
	tiers_read(&tiers);
	t = tiers_find(&tiers, d.name);
	node = t ? t->node : -1;
	ret = EXIT_FAILED;
	if (drain_begin(control, &d))
		goto out;
	done = drain_run(&d);
	if (!done)
		complain_end(&d);
	else
		ret = offline ? take_offline(&d, node, &off) : 0;
	if (json)
		report(&d, done, done && offline ? &off : NULL);
	else if (done && !ret)
		printf("tier %s: drained, %llu blocks (%s) moved in %.1f s%s\n", d.name,
		       (unsigned long long)d.evict.moved, size_format(d.evict.moved_bytes).s, d.seconds,
		       offline ? "; removed, and its node's memory is offline" : "");
	evict_free(&d.evict);
out:
	close(control);
	return ret;
}

int cmd_tier_undrain(int argc, char **argv, bool json)
{
	struct json j = { .out = stdout };
	struct drain d = {0};
	bool offline = false;
	int ret = parse(argc, argv, &d, &offline), control;

	if (ret)
		return ret;
	if (offline || d.keep || d.timeout)
		return usage_error("tier undrain %s: takes no options", d.name);
	control = control_open();
	if (control < 0)
		return EXIT_FAILED;
	ret = drain_stop(control, d.name);
	close(control);
	if (!ret && json) {
		json_object(&j, NULL);
		json_string(&j, "tier", d.name);
		json_end(&j);
	}
	return ret ? EXIT_FAILED : 0;
}

int shrink_below_use(int control, const char *name, uint64_t capacity, uint64_t timeout, bool json)
{
	struct drain d = { .keep = capacity, .timeout = timeout, .quiet = json };
	struct kvoff_ctl_tier t = { .size = sizeof(t), .flags = KVOFF_TIER_CAPACITY, .capacity = capacity };
	const struct tier *now;
	struct tiers tiers;
	int err = 0;

	strcpy(d.name, name);
	strcpy(t.name, name);
	tiers_read(&tiers);
	now = tiers_find(&tiers, name);
	if (now && (!strcmp(now->state, "draining") || !strcmp(now->state, "drained"))) {
		complain("tier %s: is being drained, and more than %s of it is in use (%s) or kept: kvoffctl tier undrain %s ends that",
			 name, size_format(capacity).s, size_format(now->used + now->orphan).s, name);
		return EXIT_FAILED;
	}
	if (drain_begin(control, &d))
		return EXIT_FAILED;
	if (!drain_run(&d)) {
		drain_complain(&d);
		complain("tier %s: capacity %s is below what is in use (%s) and could not be moved away: it stays as it was",
			 name, size_format(capacity).s, size_format(d.used + d.orphan).s);
		err = EBUSY;
	} else if (ioctl(control, KVOFF_CTL_TIER_SET, &t)) {
		err = errno;
		complain("tier %s: its capacity cannot be set, though there is room now: %s", name, strerror(err));
	}
	evict_free(&d.evict);
	/* also after a failure: it shall be as it was */
	if (!d.ended && drain_stop(control, name))
		err = EBUSY;
	return err ? EXIT_FAILED : 0;
}
