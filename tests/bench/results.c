// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What kvoff-bench makes of figures: verdicts at and around a limit, figures that are none, JSON there and back, the
 * last line of the table, percentiles.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tools/ktap.h"
#include "tools/bench/result.h"

static void test_verdicts(void)
{
	static const struct {
		struct bench_row row;
		enum bench_verdict verdict;
	} rows[] = {
		{ { .value = 3 }, BENCH_NONE },
		{ { .value = 3, .direction = BENCH_AT_LEAST, .limit = 3 }, BENCH_MET },
		{ { .value = 2.999, .direction = BENCH_AT_LEAST, .limit = 3 }, BENCH_MISSED },
		{ { .value = 3, .direction = BENCH_AT_MOST, .limit = 3 }, BENCH_MET },
		{ { .value = 3.001, .direction = BENCH_AT_MOST, .limit = 3 }, BENCH_MISSED },
		{ { .value = 0, .direction = BENCH_AT_MOST, .limit = 0 }, BENCH_MET },
		/* of the ratio, where there is a peer */
		{ { .value = 90, .peer = "p", .peer_value = 100, .direction = BENCH_AT_LEAST, .limit = 0.95 },
		  BENCH_MISSED },
		{ { .value = 96, .peer = "p", .peer_value = 100, .direction = BENCH_AT_LEAST, .limit = 0.95 },
		  BENCH_MET },
		{ { .value = 50, .peer = "p", .peer_value = 99, .ratio = 2, .direction = BENCH_AT_LEAST, .limit = 1.8 },
		  BENCH_MET },
		/* of the value all the same */
		{ { .value = 7.1, .peer = "p", .peer_value = 20, .of_value = true, .direction = BENCH_AT_MOST,
		    .limit = 7 }, BENCH_MISSED },
		/* nothing measured is nothing met */
		{ { .value = 0, .peer = "p", .peer_value = 0, .direction = BENCH_AT_MOST, .limit = 1 }, BENCH_MISSED },
		{ { .value = NAN, .direction = BENCH_AT_LEAST, .limit = 0 }, BENCH_MISSED },
	};
	size_t i, right = 0, nr = sizeof(rows) / sizeof(rows[0]);

	for (i = 0; i < nr; i++) {
		if (row_verdict(&rows[i].row) == rows[i].verdict)
			right++;
		else
			ktap_note("row %zu is judged %d", i, row_verdict(&rows[i].row));
	}
	ktap_result(right == nr, "a target is met exactly where the figure says so");
}

/* The table as text. */
static char *table(const struct bench_out *out, bool limits, int *status)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	*status = result_table(out, f, limits);
	fclose(f);
	return text;
}

static void fill(struct bench_out *out)
{
	result_begin(out, "one", "somewhere");
	bench_row(out, &(struct bench_row){ .value = 1234.5, .unit = "MB/s", .peer = "bare", .peer_value = 1000,
					    .direction = BENCH_AT_LEAST, .limit = 0.95 }, "case %d", 1);
	bench_row(out, &(struct bench_row){ .value = 12, .unit = "count", .direction = BENCH_AT_MOST, .limit = 10 },
		  "case \"two\"");
	bench_note(out, "a note, %s", "with words");
	result_begin(out, "two", NULL);
	bench_row(out, &(struct bench_row){ .value = 5, .unit = "%", .peer = "other", .peer_value = NAN,
					    .direction = BENCH_AT_MOST, .limit = 7, .of_value = true }, "waste");
}

static void test_documents(void)
{
	struct bench_out out = { 0 }, back = { 0 };
	char *first, *second;
	int status;
	FILE *f;

	fill(&out);
	first = table(&out, true, &status);
	ktap_result(status && strstr(first, "\n2 targets met, 1 missed\n"),
		    "the last line counts targets, a miss is a failure");
	f = fopen(scratch("a.json"), "w");
	if (f) {
		result_write(&out, f);
		fclose(f);
	}
	ktap_result(!result_read(&back, scratch("a.json")), "what is written can be read");
	second = table(&back, true, &status);
	ktap_result(!strcmp(first, second), "rows come back as they were");
	free(second);
	ktap_result(!result_read(&back, scratch("a.json")), "documents add up");
	second = table(&back, true, &status);
	ktap_result(strstr(second, "\n4 targets met, 2 missed\n") != NULL, "so do targets");
	free(second);
	free(first);
	put("b.json", "{ \"benchmarks\": [ { \"name\": \"x\", \"error\": 5 }, 7, { \"rows\": 3, \"notes\": [1] } ] }");
	result_free(&back);
	ktap_result(!result_read(&back, scratch("b.json")), "a document with other things in it does no harm");
	first = table(&back, true, &status);
	ktap_result(status && strstr(first, "FAILED") && strstr(first, "\n0 targets met, 0 missed\n"),
		    "a benchmark that failed is a failure without any target");
	free(first);
	put("c.json", "{ \"benchmarks\": [");
	ktap_result(result_read(&back, scratch("c.json")) == -EINVAL && result_read(&back, scratch("none")) == -ENOENT,
		    "half a document is refused");
	result_free(&back);
	result_free(&out);
}

static double nth(void *ctx)
{
	double *n = ctx;

	return (*n)++;
}

static double fails(void *ctx)
{
	return -ENXIO;
}

static void test_measures(void)
{
	double v[] = { 9, 1, 8, 2, 7, 3, 6, 4, 5, 10 }, a = 0, b = 100;
	struct bench_arm arms[] = { { .run = nth, .ctx = &a }, { .run = nth, .ctx = &b } };

	ktap_result(bench_median(v, 10) == 5 && bench_percentile(v, 10, 90) == 9 &&
		    bench_percentile(v, 10, 99.9) == 10 && bench_percentile(v, 10, 0) == 1 &&
		    isnan(bench_percentile(v, 0, 50)), "percentiles are values that were seen");
	ktap_result(!bench_in_turn(arms, 2, 5) && a == 6 && arms[0].min == 1 && arms[0].median == 3 &&
		    arms[1].median == 103, "the first round does not count");
	arms[1].run = fails;
	ktap_result(bench_in_turn(arms, 2, 5) == -ENXIO, "an arm that fails is a failure");
}

int main(void)
{
	ktap_begin(12);
	test_verdicts();
	test_documents();
	test_measures();
	return ktap_end();
}
