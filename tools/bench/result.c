// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Rows in memory, and as JSON. Running out of memory ends the program: what has been measured so far is worth nothing
 * without the rest.
 */
#include <errno.h>
#include <err.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/result.h"
#include "tools/json.h"
#include "tools/json_read.h"

/* A document is a few rows a benchmark. */
#define DOCUMENT_MAX	(4U << 20)

static void *grown(void *p, size_t nr, size_t size)
{
	p = reallocarray(p, nr, size);
	if (!p)
		err(1, "kvoff-bench: results");
	return p;
}

static char *copy(const char *s)
{
	char *p = s ? strdup(s) : NULL;

	if (s && !p)
		err(1, "kvoff-bench: results");
	return p;
}

struct bench_result *result_begin(struct bench_out *out, const char *name, const char *where)
{
	struct bench_result *r;

	out->results = grown(out->results, out->nr + 1, sizeof(*out->results));
	r = &out->results[out->nr++];
	*r = (struct bench_result){ .name = copy(name), .where = copy(where) };
	return r;
}

static struct bench_line *line_add(struct bench_out *out, const char *fmt, va_list ap)
{
	struct bench_result *r = &out->results[out->nr - 1];
	struct bench_line *line;

	r->lines = grown(r->lines, r->nr + 1, sizeof(*r->lines));
	line = &r->lines[r->nr++];
	*line = (struct bench_line){};
	if (vasprintf(&line->text, fmt, ap) < 0)
		err(1, "kvoff-bench: results");
	return line;
}

void bench_row(struct bench_out *out, const struct bench_row *row, const char *fmt, ...)
{
	struct bench_line *line;
	va_list ap;

	va_start(ap, fmt);
	line = line_add(out, fmt, ap);
	va_end(ap);
	line->row = *row;
	line->row.unit = copy(row->unit);
	line->row.peer = copy(row->peer);
	if (out->loud)
		fprintf(stderr, "  %s: %.6g %s\n", line->text, row->value, row->unit ?: "");
}

void bench_note(struct bench_out *out, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line_add(out, fmt, ap)->note = true;
	va_end(ap);
}

void result_free(struct bench_out *out)
{
	size_t i, k;

	for (i = 0; i < out->nr; i++) {
		struct bench_result *r = &out->results[i];

		for (k = 0; k < r->nr; k++) {
			free(r->lines[k].text);
			free((char *)r->lines[k].row.unit);
			free((char *)r->lines[k].row.peer);
		}
		free(r->lines);
		free(r->name);
		free(r->where);
	}
	free(out->results);
	*out = (struct bench_out){ .loud = out->loud };
}

double row_ratio(const struct bench_row *row)
{
	if (!row->peer)
		return NAN;
	return row->ratio ?: row->value / row->peer_value;
}

enum bench_verdict row_verdict(const struct bench_row *row)
{
	double v = row->peer && !row->of_value ? row_ratio(row) : row->value;

	if (row->direction == BENCH_NO_LIMIT)
		return BENCH_NONE;
	/* what is not a number meets nothing */
	if (row->direction == BENCH_AT_LEAST)
		return v >= row->limit ? BENCH_MET : BENCH_MISSED;
	return v <= row->limit ? BENCH_MET : BENCH_MISSED;
}

static void row_write(struct json *j, const struct bench_line *line)
{
	const struct bench_row *row = &line->row;

	json_object(j, NULL);
	json_string(j, "case", line->text);
	json_double(j, "value", row->value);
	json_string(j, "unit", row->unit ?: "");
	if (row->peer) {
		json_string(j, "peer", row->peer);
		json_double(j, "peer_value", row->peer_value);
		json_double(j, "ratio", row_ratio(row));
	}
	if (row->direction) {
		json_string(j, "direction", row->direction == BENCH_AT_LEAST ? "at least" : "at most");
		json_double(j, "limit", row->limit);
		json_string(j, "limit_of", row->peer && !row->of_value ? "ratio" : "value");
		json_bool(j, "met", row_verdict(row) == BENCH_MET);
	}
	json_end(j);
}

void result_write(const struct bench_out *out, FILE *f)
{
	struct json j = { .out = f };
	size_t i, k;

	json_object(&j, NULL);
	json_array(&j, "benchmarks");
	for (i = 0; i < out->nr; i++) {
		const struct bench_result *r = &out->results[i];

		json_object(&j, NULL);
		json_string(&j, "name", r->name);
		json_string(&j, "where", r->where ?: "");
		json_i64(&j, "error", r->error);
		json_array(&j, "rows");
		for (k = 0; k < r->nr; k++)
			if (!r->lines[k].note)
				row_write(&j, &r->lines[k]);
		json_end(&j);
		json_array(&j, "notes");
		for (k = 0; k < r->nr; k++)
			if (r->lines[k].note)
				json_string(&j, NULL, r->lines[k].text);
		json_end(&j);
		json_end(&j);
	}
	json_end(&j);
	json_end(&j);
}

static void row_read(struct bench_out *out, const struct json_value *v)
{
	const char *peer = json_member_string(v, "peer", NULL);
	const char *direction = json_member_string(v, "direction", "");
	struct bench_row row = {
		.value		= json_member_number(v, "value", NAN),
		.unit		= json_member_string(v, "unit", ""),
		.peer		= peer,
		.peer_value	= json_member_number(v, "peer_value", NAN),
		.ratio		= json_member_number(v, "ratio", NAN),
		.limit		= json_member_number(v, "limit", NAN),
		.of_value	= peer && !strcmp(json_member_string(v, "limit_of", ""), "value"),
	};

	if (!strcmp(direction, "at least"))
		row.direction = BENCH_AT_LEAST;
	else if (!strcmp(direction, "at most"))
		row.direction = BENCH_AT_MOST;
	bench_row(out, &row, "%s", json_member_string(v, "case", ""));
}

static const struct json_value *first(const struct json_value *v, const char *key)
{
	const struct json_value *list = json_member(v, key);

	return list && list->type == JSON_ARRAY ? list->child : NULL;
}

int result_read(struct bench_out *out, const char *path)
{
	FILE *f = fopen(path, "re");
	struct json_value *root;
	const struct json_value *v, *e;
	char *text;
	size_t len;

	if (!f)
		return -errno;
	text = grown(NULL, 1, DOCUMENT_MAX);
	len = fread(text, 1, DOCUMENT_MAX, f);
	fclose(f);
	root = json_parse(text, len);
	free(text);
	if (!root)
		return -errno;
	for (v = first(root, "benchmarks"); v; v = v->next) {
		struct bench_result *r = result_begin(out, json_member_string(v, "name", "?"),
						      json_member_string(v, "where", ""));

		r->error = json_member_number(v, "error", EIO);
		for (e = first(v, "rows"); e; e = e->next)
			row_read(out, e);
		for (e = first(v, "notes"); e; e = e->next)
			if (e->type == JSON_STRING)
				bench_note(out, "%s", e->string);
	}
	json_free(root);
	return 0;
}
