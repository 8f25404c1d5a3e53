/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvoffctl doctor: what is found, and the checks that find it.
 */
#ifndef KVOFF_TOOLS_DOCTOR_H
#define KVOFF_TOOLS_DOCTOR_H

#include <stdbool.h>

#include "tools/ctl.h"

#define FINDINGS_MAX	64

/* An error keeps kvoff from working, a warning from helping, a note is worth knowing and changes no exit status. */
enum severity { SEVERITY_ERROR, SEVERITY_WARNING, SEVERITY_NOTE };

/**
 * struct finding - one thing found
 * @id:		stable name, for programs
 * @severity:	how bad
 * @text:	what is wrong, with the figures
 * @command:	what mends it; empty where no command does
 */
struct finding {
	const char *id;
	enum severity severity;
	char text[400];
	char command[400];
};

/**
 * struct doctor - an examination
 * @finding:	@nr of them, in the order found
 * @loaded:	the module is there
 * @tiers, @counters, @daemon: as they were at the start
 */
struct doctor {
	unsigned int nr;
	struct finding finding[FINDINGS_MAX];
	bool loaded;
	struct tiers tiers;
	struct counters counters;
	struct daemon daemon;
};

/* Adds a finding; NULL if there are too many. */
struct finding *found(struct doctor *d, const char *id, enum severity severity, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Says what mends it; @f may be NULL. */
void mend(struct finding *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void doctor_module(struct doctor *d);
void doctor_cxl(struct doctor *d);
void doctor_tiers(struct doctor *d);
void doctor_daemon(struct doctor *d);

#endif
