// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvoffctl doctor: runs the checks and prints what they found.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/doctor.h"
#include "tools/json.h"
#include "tools/sysfs.h"

static const char *const severity_names[] = { "error", "warning", "note" };

struct finding *found(struct doctor *d, const char *id, enum severity severity, const char *fmt, ...)
{
	struct finding *f;
	va_list ap;

	if (d->nr == FINDINGS_MAX)
		return NULL;
	f = &d->finding[d->nr++];
	f->id = id;
	f->severity = severity;
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	return f;
}

void mend(struct finding *f, const char *fmt, ...)
{
	va_list ap;

	if (!f)
		return;
	va_start(ap, fmt);
	vsnprintf(f->command, sizeof(f->command), fmt, ap);
	va_end(ap);
}

static void print_json(const struct doctor *d, bool healthy)
{
	struct json j = { .out = stdout };
	unsigned int i;

	json_object(&j, NULL);
	json_bool(&j, "healthy", healthy);
	json_array(&j, "findings");
	for (i = 0; i < d->nr; i++) {
		json_object(&j, NULL);
		json_string(&j, "id", d->finding[i].id);
		json_string(&j, "severity", severity_names[d->finding[i].severity]);
		json_string(&j, "text", d->finding[i].text);
		json_string(&j, "command", d->finding[i].command);
		json_end(&j);
	}
	json_end(&j);
	json_end(&j);
}

static void print_people(const struct doctor *d, bool healthy)
{
	unsigned int i;

	for (i = 0; i < d->nr; i++) {
		const struct finding *f = &d->finding[i];

		printf("%s: %s [%s]\n", severity_names[f->severity], f->text, f->id);
		if (*f->command)
			printf("    %s\n", f->command);
	}
	if (healthy)
		puts(d->nr ? "nothing keeps kvoff from working" : "nothing found: kvoff is at work");
}

int cmd_doctor(int argc, char **argv, bool json)
{
	bool healthy = true;
	struct doctor *d;
	unsigned int i;

	if (argc != 1)
		return usage_error("doctor takes no arguments");
	d = calloc(1, sizeof(*d));
	if (!d) {
		complain("no memory");
		return EXIT_FAILED;
	}
	d->loaded = sys_exists(SYS_KVOFF);
	tiers_read(&d->tiers);
	counters_read(&d->counters);
	daemon_read(&d->daemon);

	doctor_module(d);
	doctor_cxl(d);
	if (d->loaded) {
		doctor_tiers(d);
		doctor_daemon(d);
	}

	for (i = 0; i < d->nr; i++)
		healthy &= d->finding[i].severity == SEVERITY_NOTE;
	if (json)
		print_json(d, healthy);
	else
		print_people(d, healthy);
	daemon_free(&d->daemon);
	free(d);
	return healthy ? 0 : EXIT_FAILED;
}
