// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading CSV. The first line names the columns; what does not fit is refused with its place.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/simulate/csv.h"

#define COLUMNS_MAX	256
/* Tokens of a block, where the file does not say how many there are. */
#define BLOCK_TOKENS	512

static const char *const column_keys[CSV_NR] = { "time", "block", "request", "input", "output" };

struct reader {
	const char *path;
	const struct sim_csv *csv;
	size_t line;
	char *err;
	size_t len;
	int column[CSV_NR];
	int nr_columns;
	char *field[COLUMNS_MAX];
	struct trace *trace;
	size_t room_requests, room_ids, skip, limit, nr;
	char *request;		/* the request column's text of the line above */
};

__attribute__((format(printf, 2, 3))) static int bad(struct reader *r, const char *fmt, ...)
{
	char what[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(r->err, r->len, "%s:%zu: %s", r->path, r->line, what);
	return -EINVAL;
}

int sim_csv_parse(struct sim_csv *csv, const char *text, char *err, size_t len)
{
	*csv = (struct sim_csv) { .ms = 1 };
	while (*text) {
		size_t n = strcspn(text, ","), key = strcspn(text, "=");
		const char *value = text + key + 1;
		size_t size = key < n ? n - key - 1 : 0;
		int c;

		for (c = 0; c < CSV_NR; c++)
			if (strlen(column_keys[c]) == key && !strncmp(text, column_keys[c], key))
				break;
		if (c < CSV_NR && size && size < sizeof(csv->name[c]) && !csv->name[c][0]) {
			memcpy(csv->name[c], value, size);
		} else if (key == 4 && !strncmp(text, "unit", 4) && size == 1 && *value == 's') {
			csv->ms = 1000;
		} else if (key == 4 && !strncmp(text, "unit", 4) && size == 2 && !strncmp(value, "ms", 2)) {
			csv->ms = 1;
		} else if (key == 4 && !strncmp(text, "unit", 4) && size == 2 && !strncmp(value, "us", 2)) {
			csv->ms = 0.001;
		} else {
			snprintf(err, len,
				 "\"%.*s\": expected time=, block=, request=, input= or output= and a column's name, "
				 "each once, or unit= and one of s, ms, us", (int)n, text);
			return -EINVAL;
		}
		text += n + (text[n] == ',');
	}
	if (csv->name[CSV_TIME][0] && csv->name[CSV_BLOCK][0])
		return 0;
	snprintf(err, len, "expected time=NAME and block=NAME at least");
	return -EINVAL;
}

/* Cut a line into r->field, in place. Returns how many fields, or -EINVAL. */
static int cut(struct reader *r, char *at)
{
	int nr = 0;

	for (;;) {
		char *out = at;

		if (nr == COLUMNS_MAX)
			return bad(r, "more than %d columns", COLUMNS_MAX);
		r->field[nr++] = out;
		if (*at == '"') {
			for (at++; *at && !(*at == '"' && at[1] != '"'); *out++ = *at++)
				at += *at == '"';
			if (!*at)
				return bad(r, "the quotation mark of field %d is not closed on its line", nr);
			at++;
		} else {
			while (*at && *at != ',')
				*out++ = *at++;
		}
		if (*at && *at != ',')
			return bad(r, "'%c' after the quoted field %d, expected ','", *at, nr);
		if (!*at) {
			*out = 0;
			return nr;
		}
		at++;
		*out = 0;
	}
}

static int head(struct reader *r, char *line)
{
	int nr = cut(r, line);

	if (nr < 0)
		return nr;
	r->nr_columns = nr;
	for (int c = 0; c < CSV_NR; c++) {
		r->column[c] = -1;
		for (int i = 0; r->csv->name[c][0] && i < nr; i++)
			if (!strcmp(r->field[i], r->csv->name[c]))
				r->column[c] = i;
		if (r->csv->name[c][0] && r->column[c] < 0)
			return bad(r, "the first line names no column \"%s\" (for %s), expected one of that name",
				   r->csv->name[c], column_keys[c]);
	}
	return 0;
}

static int number(struct reader *r, int c, double max, double *v)
{
	const char *text = r->field[r->column[c]];
	char *end;

	*v = strtod(text, &end);
	if (end != text && !*end && *v >= 0 && *v <= max)
		return 0;
	return bad(r, "\"%.60s\" in column \"%s\", expected a number from 0 to %.0f", text, r->csv->name[c], max);
}

/* Whole numbers stand for themselves, other texts for their hash. */
static uint64_t block_id(const char *text)
{
	uint64_t h = 0xcbf29ce484222325ull, v;
	char *end;

	v = strtoull(text, &end, 10);
	if (*text >= '0' && *text <= '9' && !*end && strlen(text) < 19)
		return v;
	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3ull;
	return h | 1ull << 63;
}

static int grow(void *array, size_t size, size_t nr, size_t *room)
{
	size_t want = *room ? *room * 2 : 1024;
	void *bigger;

	if (nr < *room)
		return 0;
	bigger = reallocarray(*(void **)array, want, size);
	if (!bigger)
		return -ENOMEM;
	*(void **)array = bigger;
	*room = want;
	return 0;
}

/* Returns 1 when the last request that was asked for is complete. */
static int row(struct reader *r, char *line)
{
	double time, input = 0, output = 0;
	struct trace *t = r->trace;
	struct trace_request *q;
	const char *name = NULL;
	int err, nr = cut(r, line);
	uint64_t ms;

	if (nr < 0)
		return nr;
	if (nr != r->nr_columns)
		return bad(r, "%d fields, expected %d as in the first line", nr, r->nr_columns);
	err = number(r, CSV_TIME, 1e18, &time);
	if (!err && r->column[CSV_INPUT] >= 0)
		err = number(r, CSV_INPUT, UINT32_MAX, &input);
	if (!err && r->column[CSV_OUTPUT] >= 0)
		err = number(r, CSV_OUTPUT, UINT32_MAX, &output);
	if (err)
		return err;
	if (!*r->field[r->column[CSV_BLOCK]])
		return bad(r, "column \"%s\" is empty, expected a block's name", r->csv->name[CSV_BLOCK]);
	ms = (uint64_t)(time * r->csv->ms);
	if (t->nr_requests && ms < t->requests[t->nr_requests - 1].timestamp_ms)
		return bad(r, "\"%s\" is before the line above, expected in order of time", r->csv->name[CSV_TIME]);
	if (r->column[CSV_REQUEST] >= 0)
		name = r->field[r->column[CSV_REQUEST]];
	if (!name || !r->request || strcmp(name, r->request)) {
		free(r->request);
		r->request = name ? strdup(name) : NULL;
		if (name && !r->request)
			return -ENOMEM;
		r->nr++;
		if (r->limit && r->nr > r->skip + r->limit)
			return 1;
		if (r->nr > r->skip) {
			if (grow(&t->requests, sizeof(*t->requests), t->nr_requests, &r->room_requests))
				return -ENOMEM;
			t->requests[t->nr_requests++] = (struct trace_request) {
				.timestamp_ms = ms, .input_length = (uint32_t)input, .output_length = (uint32_t)output,
				.first_id = t->nr_ids,
			};
		}
	}
	if (r->nr <= r->skip)
		return 0;
	if (grow(&t->ids, sizeof(*t->ids), t->nr_ids, &r->room_ids))
		return -ENOMEM;
	t->ids[t->nr_ids++] = block_id(r->field[r->column[CSV_BLOCK]]);
	q = &t->requests[t->nr_requests - 1];
	if (++q->nr_ids > TRACE_IDS_MAX)
		return bad(r, "more than %u blocks in one request", TRACE_IDS_MAX);
	if (r->column[CSV_INPUT] < 0)
		q->input_length = q->nr_ids * BLOCK_TOKENS;
	return 0;
}

static int load(struct reader *r, FILE *f)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	int err = 0;

	while (!err && (n = getline(&line, &room, f)) >= 0) {
		r->line++;
		if (strlen(line) != (size_t)n)
			err = bad(r, "a zero byte: this is no text");
		while (!err && n && (line[n - 1] == '\n' || line[n - 1] == '\r'))
			line[--n] = 0;
		if (!err)
			err = r->line == 1 ? head(r, line) : row(r, line);
	}
	if (!err && ferror(f))
		err = -EIO;
	free(line);
	if (err >= 0 && !r->trace->nr_requests)
		err = bad(r, "no request, expected a line of column names and one line a block");
	return err < 0 ? err : 0;
}

int sim_csv_load(struct trace *t, const char *path, const struct sim_csv *csv, size_t skip, size_t limit, char *err,
		 size_t len)
{
	struct reader r = {
		.path = path, .csv = csv, .err = err, .len = len, .trace = t, .skip = skip, .limit = limit,
	};
	FILE *f = strcmp(path, "-") ? fopen(path, "re") : stdin;
	int ret;

	memset(t, 0, sizeof(*t));
	*err = 0;
	if (!f) {
		ret = -errno;
		snprintf(err, len, "%s: cannot be opened: %s", path, strerror(-ret));
		return ret;
	}
	ret = load(&r, f);
	if (ret && !*err)
		snprintf(err, len, "%s:%zu: cannot be read: %s", path, r.line, strerror(-ret));
	if (f != stdin)
		fclose(f);
	free(r.request);
	if (ret)
		trace_free(t);
	return ret;
}
