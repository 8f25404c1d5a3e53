// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Rows for people, and for plots.
 */
#include <math.h>
#include <string.h>

#include "tools/bench/result.h"

#define COLUMNS	7

/* Three or four digits that count; whole numbers as they are. */
static void number(char *buf, size_t len, double v)
{
	double a = fabs(v);

	if (isnan(v))
		snprintf(buf, len, "-");
	else if (v == floor(v) && a < 1e15)
		snprintf(buf, len, "%.0f", v);
	else if (a >= 100)
		snprintf(buf, len, "%.0f", v);
	else if (a >= 10)
		snprintf(buf, len, "%.1f", v);
	else if (a >= 1)
		snprintf(buf, len, "%.2f", v);
	else
		snprintf(buf, len, "%.3g", v);
}

/* A ratio close to a limit must not look as if it met it. */
static void ratio(char *buf, size_t len, double v)
{
	if (isnan(v))
		*buf = 0;
	else
		snprintf(buf, len, v >= 100 ? "%.0f" : v >= 0.1 ? "%.3f" : "%.3g", v);
}

struct cells {
	char text[COLUMNS][160];
};

static void cells_fill(struct cells *c, const struct bench_line *line)
{
	const struct bench_row *row = &line->row;

	memset(c, 0, sizeof(*c));
	snprintf(c->text[0], sizeof(c->text[0]), "%s", line->text);
	number(c->text[1], sizeof(c->text[1]), row->value);
	snprintf(c->text[2], sizeof(c->text[2]), "%s", row->unit ?: "");
	if (row->peer) {
		snprintf(c->text[3], sizeof(c->text[3]), "%s", row->peer);
		number(c->text[4], sizeof(c->text[4]), row->peer_value);
		ratio(c->text[5], sizeof(c->text[5]), row_ratio(row));
	}
	if (row->direction) {
		char limit[32];

		number(limit, sizeof(limit), row->limit);
		snprintf(c->text[6], sizeof(c->text[6]), "%s %s%s%s %s", row->direction == BENCH_AT_LEAST ? ">=" : "<=",
			 limit, row->peer && row->of_value ? " " : "", row->peer && row->of_value ? row->unit : "",
			 row_verdict(row) == BENCH_MET ? "met" : "MISSED");
	}
}

static const struct cells head = {
	{ "case", "value", "", "compared with", "its value", "ratio", "target" },
};

/* Of the characters, not of the bytes. */
static int width_of(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

static void cells_print(const struct cells *c, const int *width, FILE *f)
{
	static const bool right[COLUMNS] = { [1] = true, [4] = true, [5] = true };
	int i, pad;

	for (i = 0; i < COLUMNS; i++) {
		pad = width[i] - width_of(c->text[i]);
		if (right[i])
			fprintf(f, "%*s%s", pad, "", c->text[i]);
		else if (i < COLUMNS - 1)
			fprintf(f, "%s%*s", c->text[i], pad, "");
		else
			fputs(c->text[i], f);
		fputs(i < COLUMNS - 1 ? "  " : "\n", f);
	}
}

static void result_rows(const struct bench_result *r, FILE *f)
{
	int width[COLUMNS] = { 0 };
	struct cells c;
	bool any = false;
	size_t k;
	int i;

	for (i = 0; i < COLUMNS; i++)
		width[i] = width_of(head.text[i]);
	for (k = 0; k < r->nr; k++) {
		if (r->lines[k].note)
			continue;
		any = true;
		cells_fill(&c, &r->lines[k]);
		for (i = 0; i < COLUMNS; i++)
			if (width_of(c.text[i]) > width[i])
				width[i] = width_of(c.text[i]);
	}
	if (any)
		cells_print(&head, width, f);
	for (k = 0; k < r->nr; k++) {
		if (r->lines[k].note)
			continue;
		cells_fill(&c, &r->lines[k]);
		cells_print(&c, width, f);
	}
	for (k = 0; k < r->nr; k++)
		if (r->lines[k].note)
			fprintf(f, "  %s\n", r->lines[k].text);
}

int result_table(const struct bench_out *out, FILE *f, bool limits)
{
	size_t i, k, met = 0, missed = 0, failed = 0;

	for (i = 0; i < out->nr; i++) {
		const struct bench_result *r = &out->results[i];

		fprintf(f, "%s%s", i ? "\n" : "", r->name);
		if (r->where && *r->where)
			fprintf(f, " [%s]", r->where);
		fputc('\n', f);
		result_rows(r, f);
		if (r->error) {
			fprintf(f, "  FAILED: %s\n", strerror(r->error));
			failed++;
		}
		for (k = 0; k < r->nr; k++) {
			enum bench_verdict v = r->lines[k].note ? BENCH_NONE : row_verdict(&r->lines[k].row);

			met += v == BENCH_MET;
			missed += v == BENCH_MISSED;
		}
	}
	if (!limits)
		return failed ? -1 : 0;
	fputc('\n', f);
	if (failed)
		fprintf(f, "%zu benchmarks failed\n", failed);
	fprintf(f, "%zu targets met, %zu missed\n", met, missed);
	return missed || failed ? -1 : 0;
}

void result_columns(const struct bench_out *out, FILE *f)
{
	size_t i, k;

	for (i = 0; i < out->nr; i++) {
		const struct bench_result *r = &out->results[i];

		for (k = 0; k < r->nr; k++) {
			const struct bench_row *row = &r->lines[k].row;

			if (!r->lines[k].note)
				fprintf(f, "%s\t%s\t%.9g\t%s\t%s\t%.9g\t%.9g\n", r->name, r->lines[k].text, row->value,
					row->unit ?: "", row->peer ?: "", row->peer ? row->peer_value : NAN,
					row_ratio(row));
		}
	}
}
