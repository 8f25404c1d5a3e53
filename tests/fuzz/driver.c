// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A small coverage-guided fuzzer for where there is no libFuzzer: the compiler tells of every edge that the target takes, and
 * inputs that take new ones are kept to be changed further. Bounded in runs and a function of its seed.
 *
 *	fuzz-NAME [--seed N] [--runs N]		prints KTAP
 *	fuzz-NAME FILE...			runs these inputs, nothing else
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>

#include <sanitizer/common_interface_defs.h>

#include "fuzz.h"

#define INPUT_MAX	4096
#define KEPT_MAX	4096
#define EDGES		(1U << 16)

struct input {
	size_t size;
	uint8_t data[INPUT_MAX];
};

static struct input *kept[KEPT_MAX], now;
static size_t nr_kept;
static uint8_t seen[EDGES], taken[EDGES];
static uintptr_t last_pc;
static uint64_t state, seed = 1, run;
static const char *name;

/* The compiler puts a call of this at every edge. The program does not move in memory: runs are the same every time. */
void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
	uintptr_t pc = (uintptr_t)__builtin_return_address(0);

	taken[(pc ^ last_pc >> 1) % EDGES] = 1;
	last_pc = pc;
}

static uint64_t rnd(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static size_t below(size_t n)
{
	return n ? rnd() % n : 0;
}

/* The sanitizers' last words, and must()'s, are followed by what it was that did it. */
static void dump(void)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s.crash", name);
	f = fopen(path, "we");
	if (f) {
		fwrite(now.data, 1, now.size, f);
		fclose(f);
	}
	fprintf(stderr, "# seed %lu, run %lu; the input is in %s\n", seed, run, path);
}

static void on_abort(int sig)
{
	dump();
}

static void insert(struct input *in, size_t at, const void *what, size_t len)
{
	if (len > INPUT_MAX - in->size)
		len = INPUT_MAX - in->size;
	memmove(in->data + at + len, in->data + at, in->size - at);
	memcpy(in->data + at, what, len);
	in->size += len;
}

static void erase(struct input *in, size_t at, size_t len)
{
	if (len > in->size - at)
		len = in->size - at;
	memmove(in->data + at, in->data + at + len, in->size - at - len);
	in->size -= len;
}

static const char *word(void)
{
	static const char * const numbers[] = {
		"0", "-1", "1", "255", "256", "65536", "4294967295", "4294967296", "9223372036854775807",
		"9223372036854775808", "18446744073709551615", "18446744073709551616", "1e999", "0.0000001",
	};
	size_t nr = 0;

	if (rnd() % 3 == 0)
		return numbers[below(sizeof(numbers) / sizeof(*numbers))];
	while (fuzz_words[nr])
		nr++;
	return nr ? fuzz_words[below(nr)] : "";
}

static void mutate(struct input *in)
{
	const struct input *other = kept[below(nr_kept)];
	size_t at = below(in->size + 1), from, len;
	uint8_t bytes[16];
	const char *text;

	switch (rnd() % 9) {
	case 0:
		if (in->size)
			in->data[at % in->size] ^= 1U << rnd() % 8;
		break;
	case 1:
		if (in->size)
			in->data[at % in->size] = rnd();
		break;
	case 2:
		for (len = 0; len < sizeof(bytes); len++)
			bytes[len] = rnd();
		insert(in, at, bytes, 1 + below(sizeof(bytes)));
		break;
	case 3:
		erase(in, at, 1 + below(rnd() % 4 ? 8 : in->size + 1));
		break;
	case 4:
	case 5:
		text = word();
		insert(in, at, text, strlen(text));
		break;
	case 6:
		/* a part of another, or of itself */
		from = below(other->size);
		insert(in, at, other->data + from, below(other->size - from + 1));
		break;
	case 7:
		/* the same again and again: what grows with the number of lines, or in depth */
		from = below(in->size);
		len = below(in->size - from < 64 ? in->size - from + 1 : 64);
		memcpy(&bytes, in->data + from, len < sizeof(bytes) ? len : sizeof(bytes));
		for (at = below(200); at; at--)
			insert(in, from, bytes, len < sizeof(bytes) ? len : sizeof(bytes));
		break;
	case 8:
		text = word();
		len = strlen(text);
		if (at + len <= in->size)
			memcpy(in->data + at, text, len);
		break;
	}
}

/* True if it went where none went before. */
static bool try(void)
{
	/* of its very size, so that one byte too many is found */
	uint8_t *exact = malloc(now.size ? now.size : 1);
	bool news = false;
	size_t i;

	if (!exact)
		exit(1);
	memcpy(exact, now.data, now.size);
	memset(taken, 0, sizeof(taken));
	last_pc = 0;
	LLVMFuzzerTestOneInput(exact, now.size);
	free(exact);
	for (i = 0; i < EDGES; i++) {
		news |= taken[i] > seen[i];
		seen[i] |= taken[i];
	}
	return news;
}

static void keep(void)
{
	struct input *in = malloc(sizeof(*in));

	if (!in)
		exit(1);
	*in = now;
	/* the newest takes a random one's place when there is no room */
	if (nr_kept < KEPT_MAX) {
		kept[nr_kept++] = in;
	} else {
		size_t i = below(KEPT_MAX);

		free(kept[i]);
		kept[i] = in;
	}
}

static int run_file(const char *path)
{
	FILE *f = fopen(path, "re");

	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	now.size = fread(now.data, 1, INPUT_MAX, f);
	fclose(f);
	try();
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "runs", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 }
	};
	uint64_t runs = 5000, edges = 0;
	unsigned int i;
	int c, ret = 0;

	name = argv[0];
	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		if (c == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (c == 'r')
			runs = strtoull(optarg, NULL, 0);
		else
			return 2;
	}
	__sanitizer_set_death_callback(dump);
	signal(SIGABRT, on_abort);
	if (optind < argc) {
		for (; optind < argc; optind++)
			ret |= run_file(argv[optind]);
		return ret;
	}
	state = seed;
	printf("KTAP version 1\n1..1\n# seed %lu, %lu inputs\n", seed, runs);
	fflush(stdout);
	for (i = 0; fuzz_seeds[i]; i++) {
		now.size = strlen(fuzz_seeds[i]);
		memcpy(now.data, fuzz_seeds[i], now.size);
		try();
		keep();
	}
	now.size = 0;
	try();
	keep();
	for (run = 1; run <= runs; run++) {
		now = *kept[below(nr_kept)];
		for (i = 1 + below(4); i; i--)
			mutate(&now);
		if (try())
			keep();
	}
	for (i = 0; i < EDGES; i++)
		edges += seen[i];
	printf("# %lu edges seen, %zu inputs kept\n", edges, nr_kept);
	printf("ok 1 - %s: no input breaks it (promise 10)\n", strrchr(name, '/') ? strrchr(name, '/') + 1 : name);
	return 0;
}
