// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Is the policy daemon at work?
 */
#include <stdio.h>
#include <string.h>

#include "tools/doctor.h"
#include "tools/sysfs.h"

/* It writes its report once a second. */
#define REPORT_AGE_MAX	10

static int look_for_kvoffd(const char *pid, void *arg)
{
	char comm[32];

	if (strspn(pid, "0123456789") != strlen(pid) || sys_read(comm, sizeof(comm), "/proc/%s/comm", pid) ||
	    strcmp(comm, "kvoffd"))
		return 0;
	snprintf(arg, 16, "%.15s", pid);
	return 1;
}

void doctor_daemon(struct doctor *d)
{
	const struct daemon *daemon = &d->daemon;
	const char *policy = json_member_string(daemon->report, "policy", "");
	char pid[16];

	if (!daemon->pid) {
		if (sys_each("/proc", look_for_kvoffd, pid) == 1)
			mend(found(d, "daemon-no-lease", SEVERITY_WARNING,
				   "kvoffd runs as process %s but does not hold the policy lease: nothing moves", pid),
			     "systemctl restart kvoffd; journalctl -u kvoffd -n 20");
		else
			mend(found(d, "daemon-not-running", SEVERITY_WARNING,
				   "kvoffd is not running: everything works and nothing moves"),
			     "systemctl start kvoffd");
		return;
	}
	if (!*daemon->comm)
		found(d, "lease-stranger", SEVERITY_WARNING,
		      "the policy lease is held by process %d, which is not to be seen from here: another PID namespace?",
		      daemon->pid);
	else if (strcmp(daemon->comm, "kvoffd"))
		mend(found(d, "lease-stranger", SEVERITY_WARNING,
			   "the policy lease is held by process %d (%s), which is not kvoffd: kvoffd cannot start",
			   daemon->pid, daemon->comm),
		     "ps -fp %d", daemon->pid);
	else if (daemon->report && daemon->age > REPORT_AGE_MAX)
		mend(found(d, "daemon-stuck", SEVERITY_WARNING,
			   "kvoffd (process %d) has not reported for %.0f seconds; it does so every second",
			   daemon->pid, daemon->age),
		     "systemctl restart kvoffd");
	if (!strcmp(policy, "static"))
		found(d, "policy-static", SEVERITY_NOTE, "kvoffd's policy is static: by intention nothing moves");
}
