// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvoffctl watch: a line every so many seconds.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tools/ctl.h"
#include "tools/json.h"
#include "tools/size.h"
#include "tools/sysfs.h"

#define HEADER_EVERY	20

static const char *const refused[] = { "move_busy", "move_acquired", "move_written", "move_no_frame", "move_over_quota",
				       "move_draining", "move_poisoned" };
#define NR_REFUSED	(sizeof(refused) / sizeof(refused[0]))

static uint64_t refusals(const struct counters *c)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < NR_REFUSED; i++)
		n += counters_get(c, refused[i]);
	return n;
}

static void line_json(const struct tiers *t, const struct counters *c, const struct counters *before, double seconds)
{
	struct json j = { .out = stdout, .compact = true };
	unsigned int i;

	json_object(&j, NULL);
	json_double(&j, "seconds", seconds);
	json_object(&j, "used_bytes");
	for (i = 0; i < t->nr; i++)
		json_u64(&j, t->tier[i].name, t->tier[i].used);
	json_end(&j);
	/* what each counter grew by since the line before */
	json_object(&j, "counters");
	for (i = 0; i < c->nr; i++)
		json_u64(&j, c->name[i], c->value[i] - counters_get(before, c->name[i]));
	json_end(&j);
	json_end(&j);
}

static void line_people(const struct tiers *t, const struct counters *c, const struct counters *before, double seconds,
			bool header)
{
	uint64_t bytes = counters_get(c, "moved_bytes") - counters_get(before, "moved_bytes");
	unsigned int i;

	if (header) {
		for (i = 0; i < t->nr; i++)
			printf("%12.12s %8s ", t->tier[i].name, "free");
		printf("%9s %9s %9s %9s\n", "moves/s", "moved/s", "refused/s", "faults/s");
	}
	for (i = 0; i < t->nr; i++)
		printf("%12s %8s ", size_format(t->tier[i].used).s, size_format(t->tier[i].free).s);
	printf("%9.0f %9s %9.0f %9.0f\n", (counters_get(c, "moves") - counters_get(before, "moves")) / seconds,
	       size_format(bytes / seconds).s, (refusals(c) - refusals(before)) / seconds,
	       (counters_get(c, "faults") - counters_get(before, "faults")) / seconds);
}

static double elapsed(const struct timespec *from, const struct timespec *to)
{
	return to->tv_sec - from->tv_sec + (to->tv_nsec - from->tv_nsec) / 1e9;
}

int cmd_watch(int argc, char **argv, bool json)
{
	struct timespec pause, last, now;
	uint64_t count = 0, n;
	struct counters before, c;
	double interval = 1;
	struct tiers t;
	char *end;
	int opt;

	while ((opt = getopt(argc, argv, "n:c:")) != -1) {
		switch (opt) {
		case 'n':
			interval = strtod(optarg, &end);
			if (end == optarg || *end || !(interval >= 0.1 && interval <= 86400))
				return usage_error("-n %s: expected seconds, 0.1 to 86400", optarg);
			break;
		case 'c':
			if (number_parse(optarg, UINT32_MAX, &count) || !count)
				return usage_error("-c %s: expected a number of lines, 1 or more", optarg);
			break;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind != argc)
		return usage_error("watch takes -n and -c only, not '%s'", argv[optind]);

	pause.tv_sec = interval;
	pause.tv_nsec = (interval - pause.tv_sec) * 1e9;
	counters_read(&before);
	clock_gettime(CLOCK_MONOTONIC, &last);
	for (n = 0; !count || n < count; n++) {
		nanosleep(&pause, NULL);
		if (counters_read(&c)) {
			complain("the module is not loaded%s",
				 n ? " any more" : " (modprobe kvoff; kvoffctl doctor says more)");
			return EXIT_FAILED;
		}
		tiers_read(&t);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (json)
			line_json(&t, &c, &before, elapsed(&last, &now));
		else
			line_people(&t, &c, &before, elapsed(&last, &now), n % HEADER_EVERY == 0);
		/* whoever reads from a pipe wants the line now; whoever stopped reading ends us */
		if (fflush(stdout))
			return EXIT_FAILED;
		before = c;
		last = now;
	}
	return 0;
}
