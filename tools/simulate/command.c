// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The command line of --simulate and --generate.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/json.h"
#include "tools/simulate/daemon.h"
#include "tools/simulate/simulate.h"
#include "tools/size.h"

#define EXIT_FAILED	1
#define EXIT_BAD_INPUT	2

static const char usage_text[] =
	"usage: kvoff-replay --simulate [options] TRACE\n"
	"       kvoff-replay --generate agents [--seed N] [--seconds N] [--scale X]\n"
	"Say what placement policies would be worth for a trace, in virtual time.\n"
	"\n"
	"  --policy NAME,...|all  dram-only, dram-nvme, striping, first-touch, lru, lfu, arc, s3-fifo, tinylfu,\n"
	"                         kvoffd, belady (default all)\n"
	"  --fast PERCENT,...     sizes of the fast tier, of all tiers together (default 10,20,33,50)\n"
	"  --consumer NAME,...|all  who reads: cpu, gpu, gpus (default all)\n"
	"  --set [CONSUMER.]KEY=VALUE  a number of the model, below\n"
	"  --daemon KEY=VALUE     a key of kvoffd.conf(5), of [policy], [daemon] or [links]\n"
	"  --hit-share-only       the plain comparison: moving costs nothing, the fast tier is a share of all blocks\n"
	"  --tick-ms N            kvoffd looks so often (default 100)\n"
	"  --split-at PERCENT     report only what comes after this part of the trace's time\n"
	"  --end-at PERCENT       leave out what comes after this part of it\n"
	"  --hints PERCENT        so many of the sessions announce their end with their last request\n"
	"  --seed N               other choices of sessions, and another generated trace (default 1)\n"
	"  --skip N, --requests N which requests of the trace\n"
	"  --csv time=COLUMN,block=COLUMN[,request=COLUMN][,input=COLUMN][,output=COLUMN][,unit=s|ms|us]\n"
	"                         the trace is CSV with these columns (default: JSON lines)\n"
	"  --json FILE            write the results as JSON too, \"-\" for standard output instead of the tables\n"
	"  --progress             say what is being simulated\n"
	"  --seconds N            length of a generated trace (default 3600)\n"
	"  --scale X              so many times its load (default 1)\n"
	"\n"
	"numbers of the model\n";

enum {
	OPT_SIMULATE = 256, OPT_GENERATE, OPT_POLICY, OPT_FAST, OPT_CONSUMER, OPT_SET, OPT_DAEMON, OPT_PLAIN, OPT_TICK,
	OPT_SPLIT, OPT_END, OPT_HINTS, OPT_SEED, OPT_SKIP, OPT_REQUESTS, OPT_CSV, OPT_JSON, OPT_PROGRESS,
	OPT_SECONDS, OPT_SCALE, OPT_HELP,
};

static const struct option longopts[] = {
	{ "simulate", no_argument, NULL, OPT_SIMULATE },
	{ "generate", required_argument, NULL, OPT_GENERATE },
	{ "policy", required_argument, NULL, OPT_POLICY },
	{ "fast", required_argument, NULL, OPT_FAST },
	{ "consumer", required_argument, NULL, OPT_CONSUMER },
	{ "set", required_argument, NULL, OPT_SET },
	{ "daemon", required_argument, NULL, OPT_DAEMON },
	{ "hit-share-only", no_argument, NULL, OPT_PLAIN },
	{ "tick-ms", required_argument, NULL, OPT_TICK },
	{ "split-at", required_argument, NULL, OPT_SPLIT },
	{ "end-at", required_argument, NULL, OPT_END },
	{ "hints", required_argument, NULL, OPT_HINTS },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "skip", required_argument, NULL, OPT_SKIP },
	{ "requests", required_argument, NULL, OPT_REQUESTS },
	{ "csv", required_argument, NULL, OPT_CSV },
	{ "json", required_argument, NULL, OPT_JSON },
	{ "progress", no_argument, NULL, OPT_PROGRESS },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "scale", required_argument, NULL, OPT_SCALE },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static __attribute__((noreturn)) void bad_option(const char *option, const char *value, const char *expected)
{
	fprintf(stderr, "kvoff-replay: --%s %s: %s\n", option, value, expected);
	exit(EXIT_BAD_INPUT);
}

static double real_option(const char *option, const char *value, double min, double max)
{
	char *end, expected[80];
	double v = strtod(value, &end);

	if (end != value && !*end && v >= min && v <= max)
		return v;
	snprintf(expected, sizeof(expected), "expected a number from %g to %g", min, max);
	bad_option(option, value, expected);
}

static uint64_t number_option(const char *option, const char *value, uint64_t max)
{
	char expected[80];
	uint64_t v;

	if (!number_parse(value, max, &v))
		return v;
	snprintf(expected, sizeof(expected), "expected a whole number from 0 to %llu", (unsigned long long)max);
	bad_option(option, value, expected);
}

static void policy_option(struct sim_options *o, const char *list)
{
	o->nr_policies = 0;
	for (const char *at = list; *at;) {
		size_t n = strcspn(at, ",");
		const struct sim_policy *p = sim_policy_find(at, n);
		bool all = n == 3 && !strncmp(at, "all", 3);

		if (!p && !all)
			bad_option("policy", list,
				   "expected names that --simulate --help lists, with commas between them");
		for (unsigned int i = 0; sim_policies[i]; i++) {
			bool have = false;

			for (unsigned int k = 0; k < o->nr_policies; k++)
				have |= o->policies[k] == sim_policies[i];
			if (!have && (all || p == sim_policies[i]))
				o->policies[o->nr_policies++] = sim_policies[i];
		}
		at += n + (at[n] == ',');
	}
	if (!o->nr_policies)
		bad_option("policy", list, "expected at least one name");
}

static void fast_option(struct sim_options *o, const char *list)
{
	o->nr_fast = 0;
	for (const char *at = list; *at;) {
		char *end;
		double v = strtod(at, &end);

		if (end == at || (*end && *end != ',') || !(v > 0 && v <= 100) || o->nr_fast == SIM_FAST_MAX)
			bad_option("fast", list,
				   "expected up to 16 percentages above 0 and up to 100, with commas between them");
		o->fast[o->nr_fast++] = v;
		at = end + (*end == ',');
	}
	if (!o->nr_fast)
		bad_option("fast", list, "expected at least one percentage");
}

static void consumer_option(struct sim_options *o, const char *list)
{
	o->consumers = 0;
	for (const char *at = list; *at;) {
		size_t n = strcspn(at, ",");
		unsigned int found = n == 3 && !strncmp(at, "all", 3) ? (1u << SIM_NR_CONSUMERS) - 1 : 0;

		for (int c = 0; c < SIM_NR_CONSUMERS; c++)
			if (strlen(sim_consumer_names[c]) == n && !strncmp(at, sim_consumer_names[c], n))
				found |= 1u << c;
		if (!found)
			bad_option("consumer", list, "expected cpu, gpu or gpus, with commas between them, or all");
		o->consumers |= found;
		at += n + (at[n] == ',');
	}
	if (!o->consumers)
		bad_option("consumer", list, "expected at least one name");
}

static void help(void)
{
	struct sim_model models[SIM_NR_CONSUMERS];

	fputs(usage_text, stdout);
	for (int c = 0; c < SIM_NR_CONSUMERS; c++)
		sim_model_init(&models[c], c);
	for (unsigned int i = 0; i < sim_nr_keys; i++) {
		const struct sim_key *key = &sim_keys[i];
		double v[SIM_NR_CONSUMERS];

		for (int c = 0; c < SIM_NR_CONSUMERS; c++)
			v[c] = *sim_key_of(&models[c], key);
		printf("  %-20s %s", key->name, key->about);
		if (v[0] == v[1] && v[1] == v[2])
			printf(" (%.10g)\n", v[0]);
		else
			printf(" (cpu %.10g, gpu %.10g, gpus %.10g)\n", v[0], v[1], v[2]);
	}
	puts("\nexit status: 0 done, 1 no memory or a file that cannot be written, 2 bad input");
	exit(0);
}

/**
 * struct generate_options - of --generate
 * @what:	NULL: nothing is to be generated
 */
struct generate_options {
	const char *what;
	double seconds, scale;
};

static void parse(struct sim_options *o, struct generate_options *g, int argc, char **argv)
{
	char err[800];
	int opt, which;

	o->nr_fast = 4;
	memcpy(o->fast, (double[]){ 10, 20, 33, 50 }, 4 * sizeof(double));
	policy_option(o, "all");
	o->consumers = (1u << SIM_NR_CONSUMERS) - 1;
	o->seed = 1;
	o->tick_ms = 100;
	o->end = 100;
	for (int c = 0; c < SIM_NR_CONSUMERS; c++)
		sim_model_init(&o->models[c], c);
	*g = (struct generate_options) { .seconds = 3600, .scale = 1 };
	while ((opt = getopt_long(argc, argv, "h", longopts, &which)) != -1) {
		const char *name = opt >= OPT_SIMULATE ? longopts[which].name : "";

		switch (opt) {
		case OPT_SIMULATE:
			break;
		case OPT_GENERATE:
			if (strcmp(optarg, "agents"))
				bad_option(name, optarg, "expected \"agents\"");
			g->what = optarg;
			break;
		case OPT_POLICY:
			policy_option(o, optarg);
			break;
		case OPT_FAST:
			fast_option(o, optarg);
			break;
		case OPT_CONSUMER:
			consumer_option(o, optarg);
			break;
		case OPT_SET:
			if (sim_model_set(o->models, optarg, err, sizeof(err)))
				bad_option(name, optarg, err);
			break;
		case OPT_DAEMON:
			if (sim_daemon_check(optarg, err, sizeof(err)))
				bad_option(name, optarg, err);
			if (o->nr_sets == SIM_SET_MAX)
				bad_option(name, optarg, "this is one more than 64 of them");
			o->sets[o->nr_sets++] = optarg;
			break;
		case OPT_PLAIN:
			o->plain = true;
			break;
		case OPT_TICK:
			o->tick_ms = real_option(name, optarg, 10, 60000);
			for (int c = 0; c < SIM_NR_CONSUMERS; c++)
				o->models[c].tick_ms = o->tick_ms;
			break;
		case OPT_SPLIT:
			o->split = real_option(name, optarg, 0, 99);
			break;
		case OPT_END:
			o->end = real_option(name, optarg, 0.001, 100);
			break;
		case OPT_HINTS:
			o->hints = real_option(name, optarg, 0, 100);
			break;
		case OPT_SEED:
			o->seed = number_option(name, optarg, UINT64_MAX);
			break;
		case OPT_SKIP:
			o->skip = number_option(name, optarg, UINT32_MAX);
			break;
		case OPT_REQUESTS:
			o->requests = number_option(name, optarg, UINT32_MAX);
			break;
		case OPT_CSV:
			o->is_csv = true;
			if (sim_csv_parse(&o->csv, optarg, err, sizeof(err)))
				bad_option(name, optarg, err);
			break;
		case OPT_JSON:
			o->json = optarg;
			break;
		case OPT_PROGRESS:
			o->progress = true;
			break;
		case OPT_SECONDS:
			g->seconds = real_option(name, optarg, 1, 1e7);
			break;
		case OPT_SCALE:
			g->scale = real_option(name, optarg, 0.001, 1000);
			break;
		case OPT_HELP:
		case 'h':
			help();
			break;
		default:
			fputs("kvoff-replay --simulate --help tells the options\n", stderr);
			exit(EXIT_BAD_INPUT);
		}
	}
	if (optind != argc - !g->what) {
		fputs(g->what ? "kvoff-replay: --generate takes no TRACE\n" :
				"usage: kvoff-replay --simulate [options] TRACE; --help tells the options\n", stderr);
		exit(EXIT_BAD_INPUT);
	}
	o->trace = argv[optind];
}

static int failed(const struct sim_options *o, int err)
{
	fprintf(stderr, "kvoff-replay: %s: cannot be simulated: %s\n", o->trace,
		err == -E2BIG ? "more than 2^30 blocks in its requests, use --requests" :
		err == -ENOENT ? "no session was drawn, use a larger sessions_percent or another --seed" :
		err == -ERANGE ? "the fast tier has no room for one block, use a larger --fast or capacity_percent" :
		strerror(-err));
	return err == -ENOMEM ? EXIT_FAILED : EXIT_BAD_INPUT;
}

static double from_ms(const struct sim_options *o, const struct sim_load *load)
{
	return load->requests[load->nr - 1].ms * o->split / 100;
}

static int run_plain(const struct sim_options *o, const struct trace *t, FILE *out, struct json *j)
{
	struct sim_choice choice = { .sessions = 100, .hints = o->hints, .seed = o->seed };
	struct sim_row *rows = calloc((size_t)o->nr_fast * o->nr_policies, sizeof(*rows));
	struct sim_load load;
	int err = rows ? sim_load_make(&load, t, &choice) : -ENOMEM;

	if (err) {
		free(rows);
		return err;
	}
	for (unsigned int i = 0; i < o->nr_fast * o->nr_policies && !err; i++) {
		struct sim_plain how = {
			.fast = (uint32_t)(o->fast[i / o->nr_policies] / 100 * load.refs.nr_blocks),
			.tick_ms = o->tick_ms, .from_ms = from_ms(o, &load), .set = o->sets, .nr_set = o->nr_sets,
		};

		rows[i].policy = o->policies[i % o->nr_policies];
		if (!how.fast)
			err = -ERANGE;
		else if (rows[i].policy->plain)
			err = sim_plain_run(&load, rows[i].policy, &how, &rows[i].share);
		if (o->progress)
			fprintf(stderr, "%g %% %s: %.2f s\n", o->fast[i / o->nr_policies], rows[i].policy->name,
				rows[i].share.seconds);
	}
	if (!err && out)
		sim_report_plain(out, o, &load, rows);
	if (!err && j) {
		sim_json_load(j, "load", &load);
		json_double(j, "tick_ms", o->tick_ms);
		json_array(j, "hit_share");
		sim_json_plain(j, o, rows);
		json_end(j);
	}
	sim_load_free(&load);
	free(rows);
	return err;
}

static int run_consumer(const struct sim_options *o, enum sim_consumer c, const struct sim_load *load,
			struct sim_row *rows)
{
	int err = 0;

	for (unsigned int i = 0; i < o->nr_fast * o->nr_policies && !err; i++) {
		struct sim_setup setup = {
			.model = &o->models[c], .fast_percent = o->fast[i / o->nr_policies],
			.from_ms = from_ms(o, load), .set = o->sets, .nr_set = o->nr_sets,
		};

		rows[i].policy = o->policies[i % o->nr_policies];
		if (o->progress)
			fprintf(stderr, "%s %g %% %s\n", sim_consumer_names[c], setup.fast_percent,
				rows[i].policy->name);
		err = sim_full_run(load, rows[i].policy, &setup, &rows[i].full);
	}
	return err;
}

static int run_full(const struct sim_options *o, const struct trace *t, FILE *out, struct json *j)
{
	struct sim_row *rows = calloc((size_t)o->nr_fast * o->nr_policies * SIM_NR_CONSUMERS, sizeof(*rows));
	struct sim_load load[SIM_NR_CONSUMERS];
	unsigned int made = 0;
	int err = rows ? 0 : -ENOMEM, c;

#define ROWS(c)	(&rows[(size_t)(c) * o->nr_fast * o->nr_policies])
	for (c = 0; c < SIM_NR_CONSUMERS && !err; c++) {
		struct sim_choice choice = {
			.sessions = o->models[c].sessions_percent, .hints = o->hints, .seed = o->seed,
		};

		if (!(o->consumers & 1u << c))
			continue;
		err = sim_load_make(&load[c], t, &choice);
		if (err)
			break;
		made |= 1u << c;
		err = run_consumer(o, c, &load[c], ROWS(c));
		if (err || !out)
			continue;
		if (made != 1u << c)
			fputs("\n\n", out);
		sim_report_full(out, o, c, &load[c], ROWS(c));
		fflush(out);
	}
	if (!err && j) {
		json_object(j, "consumers");
		for (c = 0; c < SIM_NR_CONSUMERS; c++) {
			if (!(made & 1u << c))
				continue;
			json_object(j, sim_consumer_names[c]);
			json_string(j, "title", sim_consumer_titles[c]);
			sim_json_load(j, "load", &load[c]);
			json_object(j, "model");
			for (unsigned int i = 0; i < sim_nr_keys; i++)
				json_double(j, sim_keys[i].name,
					    *sim_key_of((struct sim_model *)&o->models[c], &sim_keys[i]));
			json_end(j);
			json_end(j);
		}
		json_end(j);
		json_array(j, "results");
		for (c = 0; c < SIM_NR_CONSUMERS; c++)
			if (made & 1u << c)
				sim_json_full(j, o, c, ROWS(c));
		json_end(j);
	}
#undef ROWS
	for (c = 0; c < SIM_NR_CONSUMERS; c++)
		if (made & 1u << c)
			sim_load_free(&load[c]);
	free(rows);
	return err;
}

static int simulate(const struct sim_options *o, const struct trace *t)
{
	bool to_stdout = o->json && !strcmp(o->json, "-");
	FILE *file = !o->json ? NULL : to_stdout ? stdout : fopen(o->json, "we"), *out = to_stdout ? NULL : stdout;
	struct json j = { .out = file };
	int err;

	if (o->json && !file) {
		fprintf(stderr, "kvoff-replay: %s: cannot be written: %s\n", o->json, strerror(errno));
		return EXIT_BAD_INPUT;
	}
	if (file) {
		json_object(&j, NULL);
		json_string(&j, "trace", o->trace);
		json_double(&j, "split_percent", o->split);
		json_double(&j, "end_percent", o->end);
		json_double(&j, "hints_percent", o->hints);
		json_u64(&j, "seed", o->seed);
		json_array(&j, "daemon");
		for (unsigned int i = 0; i < o->nr_sets; i++)
			json_string(&j, NULL, o->sets[i]);
		json_end(&j);
	}
	err = o->plain ? run_plain(o, t, out, file ? &j : NULL) : run_full(o, t, out, file ? &j : NULL);
	if (file && !err)
		json_end(&j);
	if (file && (ferror(file) | (to_stdout ? fflush(file) : fclose(file)))) {
		fprintf(stderr, "kvoff-replay: %s: cannot be written\n", o->json);
		return EXIT_FAILED;
	}
	if (err && file && !to_stdout)
		unlink(o->json);
	return err ? failed(o, err) : 0;
}

/* Leave out what comes after a part of the time; the first request stays. */
static void cut(struct trace *t, double percent)
{
	uint64_t first = t->requests[0].timestamp_ms, last = t->requests[t->nr_requests - 1].timestamp_ms;

	while (t->nr_requests > 1 &&
	       (double)(t->requests[t->nr_requests - 1].timestamp_ms - first) > (double)(last - first) * percent / 100)
		t->nr_requests--;
}

int sim_main(int argc, char **argv)
{
	struct sim_options o = { 0 };
	struct generate_options g;
	struct trace t;
	char err[512];
	int ret;

	parse(&o, &g, argc, argv);
	if (g.what) {
		ret = sim_generate(stdout, o.seed, g.seconds, g.scale);
		if (!ret && !ferror(stdout) && !fflush(stdout))
			return 0;
		fprintf(stderr, "kvoff-replay: the trace cannot be written: %s\n", strerror(ret ? -ret : errno));
		return EXIT_FAILED;
	}
	if (o.is_csv)
		ret = sim_csv_load(&t, o.trace, &o.csv, o.skip, o.requests, err, sizeof(err));
	else
		ret = trace_load(&t, o.trace, o.skip, o.requests, err, sizeof(err));
	if (ret) {
		fprintf(stderr, "%s\n", err);
		return EXIT_BAD_INPUT;
	}
	cut(&t, o.end);
	ret = simulate(&o, &t);
	trace_free(&t);
	return ret;
}
