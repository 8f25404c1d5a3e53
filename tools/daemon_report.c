// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is known of the policy daemon: who holds the lease, and what the daemon itself wrote last.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "tools/ctl.h"
#include "tools/sysfs.h"

#define REPORT		"/run/kvoff/kvoffd.json"
#define REPORT_MAX	(256U << 10)

static void read_report(struct daemon *d)
{
	struct sys_path p = sys_path(REPORT);
	struct timespec now;
	struct stat st;
	char *text;

	if (stat(p.s, &st) || !S_ISREG(st.st_mode))
		return;
	text = malloc(REPORT_MAX);
	if (!text)
		return;
	if (!sys_read(text, REPORT_MAX, REPORT))
		d->report = json_parse(text, strlen(text));
	free(text);
	clock_gettime(CLOCK_REALTIME, &now);
	d->age = now.tv_sec - st.st_mtim.tv_sec + (now.tv_nsec - st.st_mtim.tv_nsec) / 1e9;
}

void daemon_read(struct daemon *d)
{
	uint64_t pid;

	memset(d, 0, sizeof(*d));
	if (!sys_read_u64(&pid, SYS_KVOFF "/control/policy_pid") && pid <= INT32_MAX)
		d->pid = pid;
	if (d->pid)
		sys_read(d->comm, sizeof(d->comm), "/proc/%d/comm", d->pid);
	read_report(d);
	/* one that another kvoffd left says nothing of this one */
	if (d->pid && json_member_number(d->report, "pid", d->pid) != d->pid) {
		json_free(d->report);
		d->report = NULL;
	}
}

void daemon_free(struct daemon *d)
{
	json_free(d->report);
}

const struct json_value *daemon_tier(const struct daemon *d, const char *name)
{
	const struct json_value *t = json_member(d->report, "tiers");

	if (!t || t->type != JSON_ARRAY)
		return NULL;
	for (t = t->child; t; t = t->next)
		if (!strcmp(json_member_string(t, "name", ""), name))
			return t;
	return NULL;
}
