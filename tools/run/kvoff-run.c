// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs a program with its large allocations in kvoff: looks whether that can be, sets the environment that the
 * preloaded library (run.h) reads, and becomes the program.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <libkvoff.h>

#include "tools/run/run.h"
#include "tools/size.h"

#define LIBRARY "libkvoff-run.so"

/* As env(1) and others have them. */
enum { FAILED = 125, NOT_EXECUTABLE = 126, NOT_FOUND = 127 };

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
	va_list ap;

	fputs("kvoff-run: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static void usage(FILE *f)
{
	fputs("usage: kvoff-run [OPTION]... [--] PROGRAM [ARG]...\n"
	      "\n"
	      "Runs PROGRAM with its large anonymous allocations in a kvoff region.\n"
	      "\n"
	      "  --min-size SIZE   how large (256K at least; default 64M)\n"
	      "  --match NAME      only what is asked for by code in a file with NAME in its name, such as libggml;\n"
	      "                    may be given several times\n"
	      "  --fork copy|deny  a forked child that goes on gets the bytes, or (default) is stopped where it\n"
	      "                    touches them\n"
	      "  --tenant NAME     the region belongs to this tenant (default: default)\n"
	      "  --label NAME      the region's name for people (default: the program's)\n"
	      "  --report FILE     append what went where to FILE; none: say nothing (default: standard error)\n"
	      "  --fallback        where this is no machine with kvoff, run PROGRAM plainly and say so\n"
	      "\n"
	      "The exit status is PROGRAM's; 125: kvoff-run itself failed, 126: PROGRAM cannot be executed,\n"
	      "127: it was not found.\n",
	      f);
}

/* Beside the program's own directory, as it is built and installed. */
static bool find_library(char *path, size_t size)
{
	static const char *const places[] = { "/../lib/" LIBRARY, "/../lib/kvoff/" LIBRARY };
	char self[4096], *slash;
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	unsigned int i;

	if (len < 0)
		return false;
	self[len] = 0;
	slash = strrchr(self, '/');
	*slash = 0;
	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, size, "%s%s", self, places[i]);
		if (!access(path, R_OK))
			return true;
	}
	snprintf(path, size, "%s", KVOFF_LIBDIR "/" LIBRARY);
	return !access(path, R_OK);
}

/* Where execvp() would find it; as it was given if nowhere. */
static void find_program(const char *name, char *path, size_t size)
{
	const char *dirs = getenv("PATH");
	size_t len;

	snprintf(path, size, "%s", name);
	if (strchr(name, '/'))
		return;
	for (dirs = dirs ? dirs : "/bin:/usr/bin"; *dirs; dirs += len + (dirs[len] == ':')) {
		len = strcspn(dirs, ":");
		snprintf(path, size, "%.*s%s%s", (int)len, dirs, len ? "/" : "./", name);
		if (!access(path, X_OK))
			return;
	}
	snprintf(path, size, "%s", name);
}

/* It names no program that loads its libraries, so nothing can be preloaded. What is not ELF is not asked. */
static bool is_static(int fd)
{
	Elf64_Phdr phdr;
	Elf64_Ehdr ehdr;
	unsigned int i;

	if (pread(fd, &ehdr, sizeof(ehdr), 0) != sizeof(ehdr) || memcmp(ehdr.e_ident, ELFMAG, SELFMAG) ||
	    ehdr.e_ident[EI_CLASS] != ELFCLASS64)
		return false;
	for (i = 0; i < ehdr.e_phnum; i++) {
		if (pread(fd, &phdr, sizeof(phdr), (off_t)(ehdr.e_phoff + i * ehdr.e_phentsize)) != sizeof(phdr))
			return false;
		if (phdr.p_type == PT_INTERP)
			return false;
	}
	return true;
}

/* NULL, or why this program cannot have anything preloaded. */
static const char *cannot(const char *program)
{
	const char *why = NULL;
	struct stat st;
	char path[4096];
	int fd;

	find_program(program, path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	if (is_static(fd))
		why = "is statically linked, and nothing can be preloaded into it: use a dynamically linked build";
	else if (!fstat(fd, &st) && st.st_mode & (S_ISUID | S_ISGID) && geteuid())
		why = "changes its user or group when executed, and then nothing is preloaded: run it as that user";
	close(fd);
	return why;
}

/* 0, or -errno with a message; *@plain_memory: the library serves, but out of ordinary memory. */
static int try_region(const char *tenant, const char *label, bool *plain_memory)
{
	struct libkvoff_options opts = LIBKVOFF_OPTIONS_INIT;
	struct libkvoff_stats stats = { .size = sizeof(stats) };
	struct libkvoff *kv;
	int ret;

	opts.tenant = tenant;
	opts.label = label;
	ret = libkvoff_open(&kv, &opts);
	if (ret)
		return ret;
	*plain_memory = !libkvoff_stats(kv, &stats) && stats.flags & LIBKVOFF_STATS_FALLBACK;
	libkvoff_close(kv);
	return 0;
}

static void set(const char *name, const char *value)
{
	if (value ? setenv(name, value, 1) : unsetenv(name)) {
		say("%s: %s", name, strerror(errno));
		exit(FAILED);
	}
}

/* In front of what others preload: it is to see the calls first. */
static void preload(const char *library)
{
	const char *old = getenv("LD_PRELOAD");
	char *all;

	if (asprintf(&all, "%s%s%s", library, old && *old ? ":" : "", old ? old : "") < 0)
		exit(FAILED);
	set("LD_PRELOAD", all);
	free(all);
}

static void add_match(char **match, const char *name)
{
	char *all;

	if (!*name || strchr(name, ':')) {
		say("--match %s: not part of a file's name: it must not be empty or have a ':'", name);
		exit(FAILED);
	}
	if (asprintf(&all, "%s%s%s", *match ? *match : "", *match ? ":" : "", name) < 0)
		exit(FAILED);
	free(*match);
	*match = all;
}

static uint64_t parse_min_size(const char *s)
{
	uint64_t size;

	if (size_parse(s, &size) || size < RUN_MIN_SIZE_MIN) {
		say("--min-size %s: give a size of 256K or more, such as 64M: what is smaller is left where it is", s);
		exit(FAILED);
	}
	return size;
}

static int become(char **argv)
{
	int err;

	execvp(argv[0], argv);
	err = errno;
	say("%s: %s", argv[0], strerror(err));
	return err == ENOENT ? NOT_FOUND : NOT_EXECUTABLE;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "min-size", required_argument, NULL, 'm' }, { "match", required_argument, NULL, 'l' },
		{ "fork", required_argument, NULL, 'f' },     { "tenant", required_argument, NULL, 't' },
		{ "label", required_argument, NULL, 'n' },    { "report", required_argument, NULL, 'r' },
		{ "fallback", no_argument, NULL, 'p' },	      { "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	const char *fork_does = "deny", *tenant = NULL, *label = NULL, *report = NULL, *why;
	bool fallback = false, plain_memory = false;
	char library[4096 + 64], bytes[24], *match = NULL;
	uint64_t min_size = RUN_MIN_SIZE;
	int c, ret;

	/* "+": what comes after the program's name is the program's */
	while ((c = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		switch (c) {
		case 'm': min_size = parse_min_size(optarg); break;
		case 'l': add_match(&match, optarg); break;
		case 'f': fork_does = optarg; break;
		case 't': tenant = optarg; break;
		case 'n': label = optarg; break;
		case 'r': report = optarg; break;
		case 'p': fallback = true; break;
		case 'h': usage(stdout); return 0;
		default: usage(stderr); return FAILED;
		}
	}
	if (optind == argc) {
		usage(stderr);
		return FAILED;
	}
	if (strcmp(fork_does, "copy") && strcmp(fork_does, "deny")) {
		say("--fork %s: there are copy and deny", fork_does);
		return FAILED;
	}
	argv += optind;
	why = cannot(argv[0]);
	if (why && !fallback) {
		say("%s %s; --fallback runs it plainly", argv[0], why);
		return FAILED;
	}
	ret = why ? 0 : try_region(tenant, label, &plain_memory);
	if (ret && !fallback) {
		say("%s; --fallback runs the program plainly", libkvoff_strerror(ret));
		return FAILED;
	}
	if (why || ret) {
		say("running %s plainly, without kvoff: %s", argv[0], why ? why : libkvoff_strerror(ret));
		return become(argv);
	}
	if (!find_library(library, sizeof(library))) {
		say("%s is missing: it belongs into the lib directory beside kvoff-run's own, or into " KVOFF_LIBDIR,
		    LIBRARY);
		return FAILED;
	}
	if (plain_memory)
		say("LIBKVOFF_FALLBACK=1 is set and there is no module: the region is plain memory, and nothing moves");
	snprintf(bytes, sizeof(bytes), "%d", getpid());
	set(RUN_ENV_PID, bytes);
	snprintf(bytes, sizeof(bytes), "%" PRIu64, min_size);
	set(RUN_ENV_MIN_SIZE, bytes);
	set(RUN_ENV_MATCH, match);
	set(RUN_ENV_FORK, fork_does);
	set(RUN_ENV_TENANT, tenant);
	set(RUN_ENV_LABEL, label);
	set(RUN_ENV_REPORT, report);
	preload(library);
	return become(argv);
}
