// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <ftw.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/tools/ktap.h"

static int planned, done, failed;
static char top[64];

int run_status;
char run_output[OUTPUT_MAX];

static __attribute__((noreturn)) void bail(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

void ktap_begin(int tests)
{
	const char *tmp = getenv("TMPDIR");
	char self[PATH_MAX];
	ssize_t n;

	planned = tests;
	printf("KTAP version 1\n1..%d\n", tests);
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		bail("/proc/self/exe");
	self[n] = 0;
	setenv("BIN", dirname(self), 1);
	snprintf(top, sizeof(top), "%.40s/kvoff-test.XXXXXX", tmp && strlen(tmp) <= 40 ? tmp : "/tmp");
	if (!mkdtemp(top))
		bail(top);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

void drop(const char *path)
{
	nftw(scratch("%s", path), remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void ktap_note(const char *fmt, ...)
{
	va_list ap;

	fputs("# ", stdout);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void ktap_result(bool ok, const char *fmt, ...)
{
	va_list ap;

	printf("%sok %d ", ok ? "" : "not ", ++done);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	failed += !ok;
}

int ktap_end(void)
{
	nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	if (done != planned)
		ktap_note("%d tests planned, %d run", planned, done);
	return failed || done != planned;
}

const char *scratch(const char *fmt, ...)
{
	static char paths[4][PATH_MAX];
	static unsigned int next;
	char *p = paths[next++ % 4];
	va_list ap;
	int n;

	n = snprintf(p, PATH_MAX, "%s/", top);
	va_start(ap, fmt);
	vsnprintf(p + n, PATH_MAX - n, fmt, ap);
	va_end(ap);
	return p;
}

static const char *make_parents(const char *path)
{
	const char *full = scratch("%s", path);
	char copy[PATH_MAX], *slash;

	snprintf(copy, sizeof(copy), "%s", full);
	for (slash = strchr(copy + strlen(top) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(copy, 0755) && errno != EEXIST)
			bail(copy);
		*slash = '/';
	}
	return full;
}

void put(const char *path, const char *text)
{
	const char *full = make_parents(path);
	FILE *f = fopen(full, "w");

	if (!f || fputs(text, f) < 0 || fclose(f))
		bail(full);
}

void put_link(const char *path, const char *target)
{
	const char *full = make_parents(path);

	unlink(full);
	if (symlink(target, full))
		bail(full);
}

void run(const char *fmt, ...)
{
	char command[4 * PATH_MAX];
	size_t n, got = 0;
	va_list ap;
	FILE *p;
	int st;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	strcat(command, " 2>&1");
	p = popen(command, "r");
	if (!p)
		bail("popen");
	while ((n = fread(run_output + got, 1, sizeof(run_output) - 1 - got, p)) > 0)
		got += n;
	run_output[got] = 0;
	st = pclose(p);
	run_status = WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}

bool output_has(const char *text)
{
	if (strstr(run_output, text))
		return true;
	ktap_note("expected '%s' in: %.600s", text, run_output);
	return false;
}
