// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvoffctl: look at kvoff, set up its tiers and tenants, find out what keeps it from working.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tools/ctl.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv, bool json);
} commands[] = {
	{ "status", cmd_status },
	{ "tiers", cmd_tiers },
	{ "regions", cmd_regions },
	{ "tenants", cmd_tenants },
	{ "explain", cmd_explain },
	{ "watch", cmd_watch },
	{ "doctor", cmd_doctor },
	{ "tier", cmd_tier },
	{ "pool", cmd_pool },
	{ "tenant", cmd_tenant },
};
#define NR_COMMANDS	(sizeof(commands) / sizeof(commands[0]))

static const char usage_text[] =
"usage: kvoffctl COMMAND [--json]\n"
"\n"
"  status                          what is there and what it does\n"
"  tiers                           the tiers\n"
"  regions                         the regions and where their bytes are\n"
"  regions rm ID|NAME              take a region's name away: it ends, or will with the last that uses it\n"
"  explain [--pid PID] [REGION] BLOCK[-LAST]|ADDRESS   why a block is where it is\n"
"  tenants                         the tenants, their quotas and what they use\n"
"  watch [-n SECONDS] [-c COUNT]   a line every SECONDS (1), COUNT times (without end)\n"
"  doctor                          what keeps kvoff from working or from helping, and the command that mends it\n"
"\n"
"  tier add NAME --node N --capacity SIZE [--rank N] [--latency NS --bandwidth MBPS]\n"
"  tier set NAME [--capacity SIZE [--timeout SECONDS]] [--rank N] [--latency NS --bandwidth MBPS]\n"
"  tier drain NAME [--keep SIZE] [--timeout SECONDS] [--offline]\n"
"  tier undrain NAME\n"
"  tier remove NAME\n"
"  pool TIER --block SIZE --bytes SIZE [--wait]\n"
"\n"
"  tenant add NAME [--owner USER] [--group GROUP] [--mode MODE] [--class latency|normal|batch]\n"
"                  [--quota SIZE|none] [--tier TIER=SIZE|none]...\n"
"  tenant set NAME, and what to change of the same\n"
"  tenant remove NAME\n"
"\n"
"exit status: 0 done (doctor: nothing found), 1 failed (doctor: something found; drain: something is left), 2 wrong usage\n";

static void vcomplain(const char *fmt, va_list ap)
{
	fflush(stdout);
	fputs("kvoff: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

void complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vcomplain(fmt, ap);
	va_end(ap);
}

int usage_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vcomplain(fmt, ap);
	va_end(ap);
	fputs("kvoffctl --help tells how it is used\n", stderr);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	bool json = false;
	int i, n = 1, ret;
	size_t c;

	/* --json is every command's, and may stand anywhere */
	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			json = true;
		else
			argv[n++] = argv[i];
	}
	argv[n] = NULL;
	if (n < 2) {
		fputs(usage_text, stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		fputs(usage_text, stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("kvoffctl " KVOFF_VERSION);
		return 0;
	}
	for (c = 0; c < NR_COMMANDS; c++) {
		if (strcmp(argv[1], commands[c].name))
			continue;
		ret = commands[c].run(n - 1, argv + 1, json);
		if (fflush(stdout) || ferror(stdout)) {
			complain("standard output cannot be written");
			return EXIT_FAILED;
		}
		return ret;
	}
	return usage_error("there is no command '%s'", argv[1]);
}
