// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvoff-replay: the command line, and the frame around serving a trace.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tools/content.h"
#include "tools/index.h"
#include "tools/pages.h"
#include "tools/replay.h"
#include "tools/simulate/simulate.h"
#include "tools/size.h"

#define EXIT_FAILED	1
#define EXIT_BAD_INPUT	2

#define MODELS_MAX	KVOFF_MAX_TIERS

static const char usage_text[] =
	"usage: kvoff-replay [options] TRACE\n"
	"Play a request trace through libkvoff as an inference server would, check every byte, and say which tier served what.\n"
	"\n"
	"which requests\n"
	"  --skip N               leave out the first N requests\n"
	"  --requests N           stop after N requests (default: all)\n"
	"  --speed X              X seconds of the trace in one second; 0 (default): as fast as possible\n"
	"the server\n"
	"  --block-bytes SIZE     bytes of a KV block, from 64K to 1G (default 64K)\n"
	"  --index-blocks N       keep N blocks, evict the least recently used beyond (default: keep all)\n"
	"  --threads N            serve N requests at a time (default 1)\n"
	"  --queue N              up to N requests wait and have their prefix prefetched (default 8)\n"
	"  --lead X               requests wait for X seconds of the trace in the queue, as at a busy server (default 0)\n"
	"  --rewrite PERCENT      write to so many of the re-read blocks (default 0)\n"
	"  --acquire              hold blocks where they are while they are read\n"
	"  --seed N               other choices of what is rewritten (default 1)\n"
	"  --anonymous            on anonymous memory instead of libkvoff's: what the kernel does to it is measured\n"
	"  --tenant NAME          device node below /dev/kvoff (default \"default\")\n"
	"the report\n"
	"  --json FILE            write the report as JSON too, \"-\" for standard output instead of the readable one\n"
	"  --samples FILE         write a time series as CSV: t, bytes in each tier, promoted, demoted and re-read so far\n"
	"  --sample-ms N          look at all blocks every N ms (default 100)\n"
	"  --progress             say every few seconds how far it is\n"
	"the model of the wait for a prefix\n"
	"  --model TIER=NS,MBPS   latency and bandwidth of a tier (default: the tier's own, else DRAM 100,80000, CXL 250,30000)\n"
	"  --model-block-bytes SIZE  bytes of a KV block in the model (default: --block-bytes)\n"
	"\n"
	"kvoff-replay --simulate --help: what policies would be worth, and --generate for another trace\n"
	"\n"
	"exit status: 0 all bytes right, 1 wrong bytes or no memory, 2 bad input\n";

enum {
	OPT_SKIP = 256, OPT_REQUESTS, OPT_SPEED, OPT_LEAD, OPT_BLOCK_BYTES, OPT_INDEX_BLOCKS, OPT_THREADS, OPT_QUEUE,
	OPT_REWRITE,
	OPT_ACQUIRE, OPT_ANONYMOUS, OPT_SEED, OPT_TENANT, OPT_JSON, OPT_SAMPLES, OPT_SAMPLE_MS, OPT_PROGRESS, OPT_MODEL,
	OPT_MODEL_BLOCK_BYTES, OPT_CORRUPT, OPT_HELP, OPT_VERSION,
};

static const struct option longopts[] = {
	{ "skip", required_argument, NULL, OPT_SKIP },
	{ "requests", required_argument, NULL, OPT_REQUESTS },
	{ "speed", required_argument, NULL, OPT_SPEED },
	{ "lead", required_argument, NULL, OPT_LEAD },
	{ "block-bytes", required_argument, NULL, OPT_BLOCK_BYTES },
	{ "index-blocks", required_argument, NULL, OPT_INDEX_BLOCKS },
	{ "threads", required_argument, NULL, OPT_THREADS },
	{ "queue", required_argument, NULL, OPT_QUEUE },
	{ "rewrite", required_argument, NULL, OPT_REWRITE },
	{ "acquire", no_argument, NULL, OPT_ACQUIRE },
	{ "anonymous", no_argument, NULL, OPT_ANONYMOUS },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "tenant", required_argument, NULL, OPT_TENANT },
	{ "json", required_argument, NULL, OPT_JSON },
	{ "samples", required_argument, NULL, OPT_SAMPLES },
	{ "sample-ms", required_argument, NULL, OPT_SAMPLE_MS },
	{ "progress", no_argument, NULL, OPT_PROGRESS },
	{ "model", required_argument, NULL, OPT_MODEL },
	{ "model-block-bytes", required_argument, NULL, OPT_MODEL_BLOCK_BYTES },
	/* proves that a wrong byte is found; not in the manual */
	{ "corrupt-one", no_argument, NULL, OPT_CORRUPT },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

struct model_option {
	char tier[KVOFF_NAME_LEN];
	double latency_ns, bandwidth_mbps;
};

struct command_line {
	struct replay_options o;
	struct model_option model[MODELS_MAX];
	unsigned int nr_models;
};

static __attribute__((noreturn)) void bad_option(const char *option, const char *value, const char *expected)
{
	fprintf(stderr, "kvoff-replay: --%s %s: expected %s\n", option, value, expected);
	exit(EXIT_BAD_INPUT);
}

static uint64_t number_option(const char *option, const char *value, uint64_t min, uint64_t max)
{
	char expected[64];
	uint64_t v;

	if (number_parse(value, max, &v) || v < min) {
		snprintf(expected, sizeof(expected), "a number from %llu to %llu", (unsigned long long)min,
			 (unsigned long long)max);
		bad_option(option, value, expected);
	}
	return v;
}

static double real_option(const char *option, const char *value)
{
	char *end;
	double v = strtod(value, &end);

	if (end == value || *end || !(v >= 0 && v <= 1e9))
		bad_option(option, value, "a number of 0 or more");
	return v;
}

static uint64_t size_option(const char *option, const char *value)
{
	uint64_t v;

	if (size_parse(value, &v) || v < KVOFF_BLOCK_SIZE_MIN || v > 1ULL << 30 || v % (ENTRY_PARTS * CONTENT_STEP))
		bad_option(option, value, "a size from 64K to 1G, a multiple of 512");
	return v;
}

static void model_option(struct command_line *c, const char *value)
{
	struct model_option *m = &c->model[c->nr_models];
	int end = 0;

	if (c->nr_models == MODELS_MAX ||
	    sscanf(value, "%31[^=]=%lf,%lf%n", m->tier, &m->latency_ns, &m->bandwidth_mbps, &end) != 3 || value[end] ||
	    !(m->latency_ns >= 0) || !(m->bandwidth_mbps > 0))
		bad_option("model", value, "TIER=NS,MBPS, for example cxl0=250,30000");
	c->nr_models++;
}

static void parse(struct command_line *c, int argc, char **argv)
{
	struct replay_options *o = &c->o;
	int opt, which;

	*o = (struct replay_options){ .block_bytes = 64 << 10, .threads = 1, .queue = 8, .seed = 1, .sample_ms = 100 };
	while ((opt = getopt_long(argc, argv, "hV", longopts, &which)) != -1) {
		const char *name = opt >= OPT_SKIP ? longopts[which].name : "";

		switch (opt) {
		case OPT_SKIP:
			o->skip = number_option(name, optarg, 0, UINT32_MAX);
			break;
		case OPT_REQUESTS:
			o->requests = number_option(name, optarg, 1, UINT32_MAX);
			break;
		case OPT_SPEED:
			o->speed = real_option(name, optarg);
			break;
		case OPT_LEAD:
			o->lead = real_option(name, optarg);
			break;
		case OPT_BLOCK_BYTES:
			o->block_bytes = size_option(name, optarg);
			break;
		case OPT_INDEX_BLOCKS:
			o->index_blocks = number_option(name, optarg, 1, UINT32_MAX);
			break;
		case OPT_THREADS:
			o->threads = number_option(name, optarg, 1, 1024);
			break;
		case OPT_QUEUE:
			o->queue = number_option(name, optarg, 1, 65536);
			break;
		case OPT_REWRITE:
			o->rewrite = number_option(name, optarg, 0, 100);
			break;
		case OPT_ACQUIRE:
			o->acquire = true;
			break;
		case OPT_ANONYMOUS:
			o->anonymous = true;
			break;
		case OPT_SEED:
			o->seed = number_option(name, optarg, 0, UINT64_MAX);
			break;
		case OPT_TENANT:
			o->tenant = optarg;
			break;
		case OPT_JSON:
			o->json = optarg;
			break;
		case OPT_SAMPLES:
			o->samples = optarg;
			break;
		case OPT_SAMPLE_MS:
			o->sample_ms = number_option(name, optarg, 1, 3600000);
			break;
		case OPT_PROGRESS:
			o->progress = true;
			break;
		case OPT_MODEL:
			model_option(c, optarg);
			break;
		case OPT_MODEL_BLOCK_BYTES:
			if (size_parse(optarg, &o->model_block_bytes) || !o->model_block_bytes)
				bad_option(name, optarg, "a size, for example 64M");
			break;
		case OPT_CORRUPT:
			o->corrupt = true;
			break;
		case OPT_HELP:
		case 'h':
			fputs(usage_text, stdout);
			exit(0);
		case OPT_VERSION:
		case 'V':
			puts("kvoff-replay " KVOFF_VERSION);
			exit(0);
		default:
			fputs("kvoff-replay --help tells the options\n", stderr);
			exit(EXIT_BAD_INPUT);
		}
	}
	if (optind != argc - 1) {
		fputs("usage: kvoff-replay [options] TRACE\n", stderr);
		exit(EXIT_BAD_INPUT);
	}
	o->trace = argv[optind];
	if (o->anonymous && (o->index_blocks || o->tenant)) {
		fputs("kvoff-replay: --anonymous: nothing is freed there and there are no tenants\n", stderr);
		exit(EXIT_BAD_INPUT);
	}
	if (o->lead && !o->speed) {
		fputs("kvoff-replay: --lead needs --speed: without a clock nobody waits\n", stderr);
		exit(EXIT_BAD_INPUT);
	}
}

static int apply_models(const struct command_line *c, const struct tiers *tiers, struct wait_model *m)
{
	unsigned int i;

	wait_model_init(m, tiers);
	if (c->o.model_block_bytes)
		m->scale = (double)c->o.model_block_bytes / c->o.block_bytes;
	for (i = 0; i < c->nr_models; i++) {
		const struct tier *t = tiers_find(tiers, c->model[i].tier);

		if (!t) {
			fprintf(stderr, "kvoff-replay: --model %s: there is no such tier; kvoffctl tiers lists them\n",
				c->model[i].tier);
			return -EINVAL;
		}
		m->latency_ns[t->id] = c->model[i].latency_ns;
		m->bandwidth_mbps[t->id] = c->model[i].bandwidth_mbps;
	}
	return 0;
}

static FILE *open_output(const char *path)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "we") : stdout;

	if (!f)
		fprintf(stderr, "kvoff-replay: %s: cannot be written: %s\n", path, strerror(errno));
	return f;
}

static int close_output(FILE *f, const char *path)
{
	int bad = ferror(f) | (f == stdout ? fflush(f) : fclose(f));

	if (bad)
		fprintf(stderr, "kvoff-replay: %s: cannot be written\n", path);
	return bad;
}

static void on_signal(int sig)
{
	serve_stop();
}

static int replay(const struct command_line *c, const struct trace *t, struct libkvoff *kv)
{
	struct libkvoff_stats stats = { .size = sizeof(stats) };
	const struct replay_options *o = &c->o;
	static struct replay_results r;		/* too large for a stack */
	FILE *samples = NULL, *json = NULL;
	/* a second Ctrl-C kills; timeout(1) sends its signal twice */
	struct sigaction once = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND };
	struct sigaction act = { .sa_handler = on_signal };
	struct placement place;
	struct tiers tiers;
	struct wait_model model;
	int ret = EXIT_BAD_INPUT, err;
	void *pages = NULL;

	tiers_read(&tiers);
	r.fallback = !libkvoff_stats(kv, &stats) && stats.flags & LIBKVOFF_STATS_FALLBACK;
	if (o->anonymous) {
		err = pages_replace(kv, &pages);
		if (err) {
			fprintf(stderr, "kvoff-replay: --anonymous: %s\n",
				err == -EINVAL ? "the module is loaded: rmmod kvoff" : strerror(-err));
			return EXIT_FAILED;
		}
		pages_tiers(&tiers);
	} else if (r.fallback) {
		memset(&tiers, 0, sizeof(tiers));
		tiers.nr = 1;
		strcpy(tiers.tier[0].name, "memory");
	}
	if (apply_models(c, &tiers, &model))
		return ret;
	if (o->samples && !(samples = open_output(o->samples)))
		return ret;
	if (o->json && !(json = open_output(o->json)))
		goto err_samples;

	ret = EXIT_FAILED;
	counters_read(&r.before);
	err = placement_init(&place, kv, pages, &tiers);
	if (err)
		goto err_json;
	err = placement_watch(&place, &tiers, o->sample_ms, samples);
	if (err)
		goto err_placement;
	sigaction(SIGINT, &once, NULL);
	sigaction(SIGTERM, &act, NULL);
	err = serve(o, t, kv, &place, &model, &r);
	if (json != stdout)
		report_people(stdout, o, &tiers, &model, &r);
	if (json)
		report_json(json, o, &tiers, &model, &r);
	ret = err || r.wrong_bytes || r.alloc_failures ? EXIT_FAILED : 0;
	free(r.waits);
	placement_unwatch(&place);
err_placement:
	placement_destroy(&place);
err_json:
	if (err)
		fprintf(stderr, "kvoff-replay: cannot go on: %s\n", strerror(-err));
	if (json && close_output(json, o->json))
		ret = EXIT_FAILED;
err_samples:
	if (samples && close_output(samples, o->samples))
		ret = EXIT_FAILED;
	return ret;
}

static bool simulates(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--simulate") || !strncmp(argv[i], "--generate", strlen("--generate")))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	struct libkvoff_options opts = LIBKVOFF_OPTIONS_INIT;
	struct command_line c = {0};
	struct libkvoff *kv;
	struct trace t;
	char err[512];
	int ret;

	if (simulates(argc, argv))
		return sim_main(argc, argv);
	parse(&c, argc, argv);
	if (trace_load(&t, c.o.trace, c.o.skip, c.o.requests, err, sizeof(err))) {
		fprintf(stderr, "%s\n", err);
		return EXIT_BAD_INPUT;
	}
	opts.tenant = c.o.tenant;
	opts.label = "kvoff-replay";
	opts.unit_size = c.o.block_bytes;
	if (c.o.anonymous) {
		/* no longer than it must be: some of what the kernel does walks over all of it */
		opts.length = t.nr_ids * c.o.block_bytes;
		setenv("LIBKVOFF_FALLBACK", "1", 1);
	}
	ret = libkvoff_open(&kv, &opts);
	if (ret) {
		fprintf(stderr, "%s\n", libkvoff_strerror(ret));
		trace_free(&t);
		return EXIT_FAILED;
	}
	ret = replay(&c, &t, kv);
	libkvoff_close(kv);
	trace_free(&t);
	return ret;
}
