// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

struct run_settings run_settings = { .min_size = RUN_MIN_SIZE };

void run_settings_read(void)
{
	const char *s = getenv(RUN_ENV_MIN_SIZE);
	size_t min = s ? strtoull(s, NULL, 10) : 0;

	if (min)
		run_settings.min_size = min < RUN_MIN_SIZE_MIN ? RUN_MIN_SIZE_MIN : min;
	s = getenv(RUN_ENV_MATCH);
	run_settings.match = s && *s ? s : NULL;
	s = getenv(RUN_ENV_FORK);
	run_settings.fork_copy = s && !strcmp(s, "copy");
	run_settings.tenant = getenv(RUN_ENV_TENANT);
	run_settings.label = getenv(RUN_ENV_LABEL);
	run_settings.report = getenv(RUN_ENV_REPORT);
	s = getenv(RUN_ENV_PID);
	run_settings.pid = s ? (pid_t)strtol(s, NULL, 10) : 0;
}

/**
 * struct search - whose code an address is
 * @caller:	the address
 * @yes:	a file that matches has it
 */
struct search {
	uintptr_t caller;
	bool yes;
};

/* One of the names, which are separated by colons, is part of @file. */
static bool any_name(const char *names, const char *file)
{
	size_t len;

	for (; *names; names += len + (names[len] == ':')) {
		len = strcspn(names, ":");
		if (len && memmem(file, strlen(file), names, len))
			return true;
	}
	return false;
}

static int look(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *search = arg;
	const char *file = info->dlpi_name, *slash;
	int i;

	for (i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD &&
		    search->caller - (info->dlpi_addr + info->dlpi_phdr[i].p_vaddr) < info->dlpi_phdr[i].p_memsz)
			break;
	if (i == info->dlpi_phnum)
		return 0;
	/* the program itself has no name there */
	if (!*file)
		file = program_invocation_name;
	slash = strrchr(file, '/');
	search->yes = any_name(run_settings.match, slash ? slash + 1 : file);
	return 1;
}

bool run_matches(const void *caller)
{
	struct search search = { .caller = (uintptr_t)caller };

	if (!run_settings.match)
		return true;
	dl_iterate_phdr(look, &search);
	return search.yes;
}
