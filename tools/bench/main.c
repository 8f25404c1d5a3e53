// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvoff-bench: run benchmarks by name, or show what runs of it have written.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tools/bench/result.h"

#define BENCH(name) extern const struct bench bench_##name;
#include "tools/bench/names.h"
#undef BENCH

static const struct bench *const benches[] = {
#define BENCH(name) &bench_##name,
#include "tools/bench/names.h"
#undef BENCH
};
#define NR	(sizeof(benches) / sizeof(benches[0]))

static bool quick;

bool bench_quick(void)
{
	return quick;
}

static void usage(FILE *f)
{
	fputs("usage: kvoff-bench [--json FILE] [--quick] NAME...\n"
	      "       kvoff-bench --show FILE...\n"
	      "       kvoff-bench --columns FILE...\n"
	      "       kvoff-bench --list\n"
	      "\n"
	      "  --json FILE  write the rows there as well\n"
	      "  --quick      as little as shows that a benchmark works; the figures mean nothing\n"
	      "  --show       one table of what runs have written\n"
	      "  --columns    the same for plots, by tabs: benchmark, case, value, unit, peer, its value, ratio\n"
	      "  --list       what there is: name, guest or host, options of tests/vm/run or -, what it is\n"
	      "\n"
	      "The clock of an emulated machine may count instructions: KVOFF_ICOUNT in the environment says so.\n"
	      "exit status: 0, 1 a target was missed or a benchmark failed, 2 wrong usage\n", f);
}

static const struct bench *find(const char *name)
{
	size_t i;

	for (i = 0; i < NR; i++)
		if (!strcmp(benches[i]->name, name))
			return benches[i];
	return NULL;
}

static const char *where(const struct bench *b)
{
	static char buf[160];
	struct utsname u;

	uname(&u);
	if (!b->guest)
		snprintf(buf, sizeof(buf), "host");
	else
		snprintf(buf, sizeof(buf), "%s%s", u.release, getenv("KVOFF_ICOUNT") ? ", 1 ns = 1 instruction" : "");
	return buf;
}

static int run(char **names, const char *json)
{
	struct bench_out out = { .loud = true };
	int ret, status;
	FILE *f;

	for (; *names; names++) {
		const struct bench *b = find(*names);
		struct bench_result *r = result_begin(&out, b->name, where(b));

		fprintf(stderr, "kvoff-bench: %s: %s\n", b->name, b->what);
		ret = b->run(&out);
		r->error = ret < 0 ? -ret : ret;
	}
	status = result_table(&out, stdout, !quick) ? 1 : 0;
	if (json) {
		f = fopen(json, "we");
		if (!f) {
			fprintf(stderr, "kvoff-bench: %s: %s\n", json, strerror(errno));
			return 1;
		}
		result_write(&out, f);
		if (fclose(f)) {
			fprintf(stderr, "kvoff-bench: %s: %s\n", json, strerror(errno));
			return 1;
		}
	}
	result_free(&out);
	return status;
}

static int show(char **files, bool columns)
{
	struct bench_out out = { 0 };
	int ret, status = 0;

	for (; *files; files++) {
		ret = result_read(&out, *files);
		if (ret) {
			fprintf(stderr, "kvoff-bench: %s: %s\n", *files, strerror(-ret));
			status = 1;
		}
	}
	if (columns)
		result_columns(&out, stdout);
	else if (result_table(&out, stdout, true))
		status = 1;
	result_free(&out);
	return status;
}

static void list(void)
{
	size_t i;

	for (i = 0; i < NR; i++)
		printf("%s\t%s\t%s\t%s\n", benches[i]->name, benches[i]->guest ? "guest" : "host",
		       benches[i]->vm ?: "-", benches[i]->what);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", required_argument, NULL, 'j' }, { "quick", no_argument, NULL, 'q' },
		{ "show", no_argument, NULL, 's' },	  { "columns", no_argument, NULL, 'c' },
		{ "list", no_argument, NULL, 'l' },	  { "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	const char *json = NULL;
	int c, what = 'r', i;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'j': json = optarg; break;
		case 'q': quick = true; break;
		case 's':
		case 'c':
		case 'l': what = c; break;
		case 'h': usage(stdout); return 0;
		default: usage(stderr); return 2;
		}
	}
	if (what == 'l') {
		list();
		return 0;
	}
	if (optind == argc) {
		usage(stderr);
		return 2;
	}
	if (what != 'r')
		return show(argv + optind, what == 'c');
	for (i = optind; i < argc; i++) {
		if (!find(argv[i])) {
			fprintf(stderr, "kvoff-bench: no benchmark is called %s: kvoff-bench --list shows all\n",
				argv[i]);
			return 2;
		}
	}
	return run(argv + optind, json);
}
