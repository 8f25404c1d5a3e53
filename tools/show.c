// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvoffctl status, tiers, regions: what is there now.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl.h"
#include "tools/json.h"
#include "tools/size.h"
#include "tools/sysfs.h"

static int need_module(void)
{
	if (sys_exists(SYS_KVOFF))
		return 0;
	complain("the module is not loaded (modprobe kvoff; kvoffctl doctor says more)");
	return EXIT_FAILED;
}

static void tier_json(struct json *j, const struct tier *t, const struct daemon *d)
{
	const struct json_value *more = daemon_tier(d, t->name);

	json_object(j, NULL);
	json_string(j, "name", t->name);
	json_u64(j, "id", t->id);
	json_i64(j, "node", t->node);
	json_u64(j, "rank", t->rank);
	json_string(j, "state", t->state);
	json_u64(j, "capacity_bytes", t->capacity);
	json_u64(j, "filled_bytes", t->filled);
	json_u64(j, "used_bytes", t->used);
	json_u64(j, "free_bytes", t->free);
	json_u64(j, "orphan_bytes", t->orphan);
	json_u64(j, "poisoned_bytes", t->poisoned);
	json_u64(j, "latency_ns", t->latency_ns);
	json_u64(j, "bandwidth_mbps", t->bandwidth_mbps);
	if (more) {
		json_string(j, "cost_source", json_member_string(more, "latency_source", ""));
		json_string(j, "path", json_member_string(more, "path", ""));
	}
	json_end(j);
}

static void tiers_json(struct json *j, const struct tiers *t, const struct daemon *d)
{
	unsigned int i;

	json_array(j, "tiers");
	for (i = 0; i < t->nr; i++)
		tier_json(j, &t->tier[i], d);
	json_end(j);
}

static void tiers_people(const struct tiers *tiers, const struct daemon *d)
{
	unsigned int i;

	if (!tiers->nr) {
		puts("no tiers (kvoffctl tier add makes one, kvoffd makes them from its configuration)");
		return;
	}
	printf("%-12s %4s %4s %-8s %8s %8s %8s %8s %8s %8s %8s %9s  %s\n", "TIER", "RANK", "NODE", "STATE", "CAPACITY",
	       "FILLED", "USED", "FREE", "ORPHANS", "POISONED", "LATENCY", "BANDWIDTH", "COST FROM");
	for (i = 0; i < tiers->nr; i++) {
		const struct tier *t = &tiers->tier[i];
		const struct json_value *more = daemon_tier(d, t->name);
		char latency[24] = "?", bandwidth[24] = "?";

		if (t->latency_ns)
			snprintf(latency, sizeof(latency), "%uns", t->latency_ns);
		if (t->bandwidth_mbps)
			snprintf(bandwidth, sizeof(bandwidth), "%.1fGB/s", t->bandwidth_mbps / 1e3);
		printf("%-12s %4u %4d %-8s %8s %8s %8s %8s %8s %8s %8s %9s  %s\n", t->name, t->rank, t->node, t->state,
		       size_format(t->capacity).s, size_format(t->filled).s, size_format(t->used).s,
		       size_format(t->free).s, size_format(t->orphan).s, size_format(t->poisoned).s, latency, bandwidth,
		       json_member_string(more, "latency_source", "-"));
	}
}

int cmd_tiers(int argc, char **argv, bool json)
{
	struct json j = { .out = stdout };
	struct daemon d;
	struct tiers t;

	if (argc != 1)
		return usage_error("tiers takes no arguments");
	if (need_module())
		return EXIT_FAILED;
	tiers_read(&t);
	daemon_read(&d);
	if (json) {
		json_object(&j, NULL);
		tiers_json(&j, &t, &d);
		json_end(&j);
	} else {
		tiers_people(&t, &d);
	}
	daemon_free(&d);
	return 0;
}

static const char *tier_name(const struct tiers *t, unsigned int id)
{
	unsigned int i;

	for (i = 0; i < t->nr; i++)
		if (t->tier[i].id == id)
			return t->tier[i].name;
	return NULL;
}

/* Seconds until a region that nobody is attached to ends, -1 if it does not end by itself. */
static long long ends_in(const struct kvoff_region_info *r)
{
	char text[32];

	if (sys_read(text, sizeof(text), SYS_KVOFF "/regions/%u/ends_in_seconds", r->id))
		return -1;
	return strtoll(text, NULL, 10);
}

static void region_json(struct json *j, const struct kvoff_region_info *r, const struct tiers *t)
{
	unsigned int i;
	char mode[8];

	snprintf(mode, sizeof(mode), "%04o", r->mode & 0666);
	json_object(j, NULL);
	json_u64(j, "id", r->id);
	json_string(j, "tenant", r->tenant);
	json_string(j, "label", r->label);
	json_i64(j, "pid", r->pid);
	json_u64(j, "uid", r->uid);
	json_u64(j, "block_bytes", r->block_size);
	json_u64(j, "unit_bytes", r->unit_size);
	json_u64(j, "length_bytes", r->length);
	json_u64(j, "committed_bytes", r->committed);
	json_u64(j, "used_bytes", r->used);
	json_u64(j, "attached", r->nr_attached);
	json_u64(j, "sealed_bytes", r->sealed);
	if (r->flags & KVOFF_REGION_NAMED) {
		json_string(j, "name", r->name);
		json_string(j, "mode", mode);
		json_u64(j, "ttl_seconds", r->ttl_s);
		json_i64(j, "ends_in_seconds", ends_in(r));
	}
	json_object(j, "tiers");
	for (i = 0; i < KVOFF_MAX_TIERS; i++)
		if (tier_name(t, i))
			json_u64(j, tier_name(t, i), r->tier_used[i]);
	json_end(j);
	if (r->flags & KVOFF_REGION_FRAMED) {
		json_object(j, "windows");
		for (i = 0; i < KVOFF_MAX_TIERS; i++)
			if (tier_name(t, i))
				json_u64(j, tier_name(t, i), r->window[i]);
		json_end(j);
	}
	json_end(j);
}

/* A label is a client's: nothing in it may reach the terminal as a control sequence. */
static void print_label(const char *s)
{
	for (; *s; s++)
		putchar(*s >= ' ' && *s <= '~' ? *s : '?');
}

/* A region with a name stays when its processes are gone. */
static void print_rest(const struct kvoff_region_info *r)
{
	long long left;

	if (r->nr_attached || !(r->flags & KVOFF_REGION_NAMED))
		return;
	left = ends_in(r);
	if (left >= 0)
		printf(" (nobody attached, ends in %lld s)", left);
	else
		printf(" (nobody attached)");
}

static void regions_people(const struct kvoff_region_info *r, unsigned int nr, const struct tiers *t)
{
	unsigned int i, k;

	if (!nr) {
		puts("no regions");
		return;
	}
	printf("%6s %-16s %8s %6s %6s %8s %9s %8s", "REGION", "TENANT", "PID", "UID", "BLOCK", "LENGTH", "COMMITTED", "USED");
	for (k = 0; k < t->nr; k++)
		printf(" %10s", t->tier[k].name);
	puts("  NAME             LABEL");
	for (i = 0; i < nr; i++, r++) {
		/* an older module names no tenant */
		printf("%6u %-16s %8d %6u %6s %8s %9s %8s", r->id, *r->tenant ? r->tenant : "-", r->pid, r->uid,
		       size_format(r->block_size).s, size_format(r->length).s, size_format(r->committed).s,
		       size_format(r->used).s);
		for (k = 0; k < t->nr; k++)
			printf(" %10s", size_format(r->tier_used[t->tier[k].id]).s);
		printf("  %-16s ", *r->name ? r->name : "-");
		print_label(r->label);
		print_rest(r);
		putchar('\n');
	}
}

int cmd_regions(int argc, char **argv, bool json)
{
	struct json j = { .out = stdout };
	struct kvoff_region_info *r;
	unsigned int nr, i;
	struct tiers t;

	if (argc > 1 && !strcmp(argv[1], "rm"))
		return regions_remove(argc - 1, argv + 1, json);
	if (argc != 1)
		return usage_error("regions: expected rm, or nothing");
	if (regions_read(&r, &nr))
		return EXIT_FAILED;
	tiers_read(&t);
	if (json) {
		json_object(&j, NULL);
		json_array(&j, "regions");
		for (i = 0; i < nr; i++)
			region_json(&j, &r[i], &t);
		json_end(&j);
		json_end(&j);
	} else {
		regions_people(r, nr, &t);
	}
	free(r);
	return 0;
}

/* The folder has entries of the driver core's own beside the numbered ones. */
static int count_region(const char *name, void *arg)
{
	*(unsigned int *)arg += name[strspn(name, "0123456789")] == 0;
	return 0;
}

int cmd_status(int argc, char **argv, bool json)
{
	struct json j = { .out = stdout };
	struct counters c;
	struct daemon d;
	struct tiers t;
	unsigned int i, nr = 0;
	uint64_t abi;

	if (argc != 1)
		return usage_error("status takes no arguments");
	if (need_module())
		return EXIT_FAILED;
	tiers_read(&t);
	counters_read(&c);
	daemon_read(&d);
	sys_read_u64(&abi, SYS_KVOFF "/control/abi_version");
	sys_each(SYS_KVOFF "/regions", count_region, &nr);

	if (json) {
		json_object(&j, NULL);
		json_u64(&j, "abi_version", abi);
		json_object(&j, "daemon");
		json_i64(&j, "pid", d.pid);
		json_string(&j, "name", d.comm);
		json_string(&j, "policy", json_member_string(d.report, "policy", ""));
		json_end(&j);
		tiers_json(&j, &t, &d);
		json_u64(&j, "regions", nr);
		json_object(&j, "counters");
		for (i = 0; i < c.nr; i++)
			json_u64(&j, c.name[i], c.value[i]);
		json_end(&j);
		json_end(&j);
	} else {
		printf("module   interface version %llu, %u region%s\n", (unsigned long long)abi, nr,
		       nr == 1 ? "" : "s");
		if (d.pid)
			printf("daemon   %s, process %d%s%s\n", *d.comm ? d.comm : "?", d.pid,
			       d.report ? ", policy " : "", json_member_string(d.report, "policy", ""));
		else
			puts("daemon   not running: everything works and nothing moves");
		printf("moves    %llu, %s; refused: %llu pinned, %llu acquired, %llu written to, %llu for want of a frame, %llu over quota\n",
		       (unsigned long long)counters_get(&c, "moves"), size_format(counters_get(&c, "moved_bytes")).s,
		       (unsigned long long)counters_get(&c, "move_busy"),
		       (unsigned long long)counters_get(&c, "move_acquired"),
		       (unsigned long long)counters_get(&c, "move_written"),
		       (unsigned long long)counters_get(&c, "move_no_frame"),
		       (unsigned long long)counters_get(&c, "move_over_quota"));
		tiers_people(&t, &d);
	}
	daemon_free(&d);
	return 0;
}
