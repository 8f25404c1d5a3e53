// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading request traces. The parser knows exactly this one format: four keys, in any order, each once, and no
 * others. What it does not know it refuses with the place and what it expected there.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/trace.h"

enum { KEY_TIMESTAMP, KEY_INPUT, KEY_OUTPUT, KEY_IDS, NR_KEYS };

static const char *const key_names[NR_KEYS] = { "timestamp", "input_length", "output_length", "hash_ids" };

struct parser {
	const char *path;
	size_t line;
	const char *start, *pos, *end;		/* the line, where we are in it, one past its last byte */
	char *err;
	size_t errlen;
	struct trace *trace;
	size_t room_requests, room_ids;		/* elements allocated */
};

__attribute__((format(printf, 2, 3))) static int bad(struct parser *p, const char *fmt, ...)
{
	char what[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(p->err, p->errlen, "%s:%zu: %s", p->path, p->line, what);
	return -EINVAL;
}

/* Name the byte we stand on: printable as it is, else as a number. */
static int unexpected(struct parser *p, const char *expected)
{
	size_t column = p->pos - p->start + 1;

	if (p->pos == p->end)
		return bad(p, "the line ends at column %zu, expected %s", column, expected);
	if (*p->pos >= ' ' && *p->pos <= '~')
		return bad(p, "'%c' at column %zu, expected %s", *p->pos, column, expected);
	return bad(p, "byte 0x%02x at column %zu, expected %s", (unsigned char)*p->pos, column, expected);
}

static void skip_space(struct parser *p)
{
	while (p->pos < p->end && (*p->pos == ' ' || *p->pos == '\t'))
		p->pos++;
}

static bool accept(struct parser *p, char c)
{
	skip_space(p);
	if (p->pos == p->end || *p->pos != c)
		return false;
	p->pos++;
	return true;
}

static int number(struct parser *p, const char *key, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;
	const char *first;

	skip_space(p);
	first = p->pos;
	while (p->pos < p->end && *p->pos >= '0' && *p->pos <= '9') {
		unsigned int digit = *p->pos - '0';

		if (v > (max - digit) / 10)
			return bad(p, "a number of \"%s\" at column %zu is above %llu", key, first - p->start + 1,
				   (unsigned long long)max);
		v = v * 10 + digit;
		p->pos++;
	}
	if (p->pos == first)
		return unexpected(p, "a whole number of 0 or more");
	if (*first == '0' && p->pos > first + 1) {
		p->pos = first;
		return unexpected(p, "a number without leading zeros");
	}
	if (p->pos < p->end && (*p->pos == '.' || *p->pos == 'e' || *p->pos == 'E'))
		return unexpected(p, "a whole number");
	*out = v;
	return 0;
}

static int grow(void *array, size_t size, size_t need, size_t *room)
{
	size_t want = *room ? *room : 1024;
	void *bigger;

	while (want < need)
		want *= 2;
	if (want == *room)
		return 0;
	bigger = reallocarray(*(void **)array, want, size);
	if (!bigger)
		return -ENOMEM;
	*(void **)array = bigger;
	*room = want;
	return 0;
}

static int ids(struct parser *p, struct trace_request *r)
{
	struct trace *t = p->trace;
	uint64_t id;
	int ret;

	r->first_id = t->nr_ids;
	r->nr_ids = 0;
	if (!accept(p, '['))
		return unexpected(p, "'[', a list of block numbers");
	do {
		ret = number(p, "hash_ids", INT64_MAX, &id);
		if (ret)
			return ret;
		if (r->nr_ids == TRACE_IDS_MAX)
			return bad(p, "more than %u hash_ids in one request", TRACE_IDS_MAX);
		ret = grow(&t->ids, sizeof(*t->ids), r->first_id + r->nr_ids + 1, &p->room_ids);
		if (ret)
			return ret;
		t->ids[r->first_id + r->nr_ids++] = id;
	} while (accept(p, ','));
	if (!accept(p, ']'))
		return unexpected(p, "',' or ']' in \"hash_ids\"");
	return 0;
}

static int key(struct parser *p)
{
	int i;

	if (!accept(p, '"'))
		return unexpected(p, "a key in quotation marks");
	for (i = 0; i < NR_KEYS; i++) {
		size_t len = strlen(key_names[i]);

		if ((size_t)(p->end - p->pos) > len && !memcmp(p->pos, key_names[i], len) && p->pos[len] == '"') {
			p->pos += len + 1;
			return i;
		}
	}
	return unexpected(p, "one of the keys timestamp, input_length, output_length, hash_ids");
}

static int value(struct parser *p, int k, struct trace_request *r)
{
	uint64_t v;
	int ret;

	if (k == KEY_IDS)
		return ids(p, r);
	ret = number(p, key_names[k], k == KEY_TIMESTAMP ? INT64_MAX : UINT32_MAX, &v);
	if (ret)
		return ret;
	if (k == KEY_TIMESTAMP)
		r->timestamp_ms = v;
	else if (k == KEY_INPUT)
		r->input_length = v;
	else
		r->output_length = v;
	return 0;
}

static int request(struct parser *p, struct trace_request *r)
{
	unsigned int seen = 0;
	int k, ret;

	if (!accept(p, '{'))
		return unexpected(p, "'{', one request a line");
	do {
		skip_space(p);
		k = key(p);
		if (k < 0)
			return k;
		if (seen & 1U << k)
			return bad(p, "\"%s\" twice in one request, expected once", key_names[k]);
		seen |= 1U << k;
		if (!accept(p, ':'))
			return unexpected(p, "':' after a key");
		ret = value(p, k, r);
		if (ret)
			return ret;
	} while (accept(p, ','));
	if (!accept(p, '}'))
		return unexpected(p, "',' or '}'");
	skip_space(p);
	if (p->pos != p->end)
		return unexpected(p, "the end of the line after a request");
	for (k = 0; k < NR_KEYS; k++)
		if (!(seen & 1U << k))
			return bad(p, "\"%s\" is missing, expected in every request", key_names[k]);
	return 0;
}

/* Read one line without its end. Returns 1, 0 at the end of the file, or an error. */
static int read_line(struct parser *p, FILE *f, char **buf, size_t *room)
{
	size_t len = 0;
	int c, ret;

	while ((c = getc_unlocked(f)) != EOF && c != '\n') {
		if (len == TRACE_LINE_MAX)
			return bad(p, "the line is longer than %u bytes", TRACE_LINE_MAX);
		ret = grow(buf, 1, len + 1, room);
		if (ret)
			return ret;
		(*buf)[len++] = c;
	}
	if (c == EOF && ferror(f))
		return errno ? -errno : -EIO;
	if (c == EOF && !len)
		return 0;
	p->start = len ? *buf : "";
	p->pos = p->start;
	p->end = p->start + len;
	return 1;
}

static int load(struct parser *p, FILE *f, size_t skip, size_t limit)
{
	struct trace *t = p->trace;
	struct trace_request r = {0};
	uint64_t last = 0;
	char *buf = NULL;
	size_t room = 0;
	int ret = 0;

	while (!limit || t->nr_requests < limit) {
		p->line++;
		ret = read_line(p, f, &buf, &room);
		if (ret <= 0)
			break;
		ret = request(p, &r);
		if (ret)
			break;
		if (r.timestamp_ms < last) {
			ret = bad(p, "\"timestamp\" %llu is before that of the request above (%llu), expected in order",
				  (unsigned long long)r.timestamp_ms, (unsigned long long)last);
			break;
		}
		last = r.timestamp_ms;
		if (p->line <= skip)
			continue;
		ret = grow(&t->requests, sizeof(*t->requests), t->nr_requests + 1, &p->room_requests);
		if (ret)
			break;
		t->requests[t->nr_requests++] = r;
		t->nr_ids += r.nr_ids;
	}
	free(buf);
	if (ret < 0)
		return ret;
	if (!t->nr_requests)
		return bad(p, "no request left after leaving out %zu, expected at least one", skip);
	return 0;
}

int trace_load(struct trace *t, const char *path, size_t skip, size_t limit, char *err, size_t errlen)
{
	struct parser p = { .path = path, .err = err, .errlen = errlen, .trace = t };
	FILE *f = strcmp(path, "-") ? fopen(path, "re") : stdin;
	int ret;

	memset(t, 0, sizeof(*t));
	*err = 0;
	if (!f) {
		ret = -errno;
		snprintf(err, errlen, "%s: cannot be opened: %s", path, strerror(-ret));
		return ret;
	}
	errno = 0;
	ret = load(&p, f, skip, limit);
	if (ret && !*err)
		snprintf(err, errlen, "%s:%zu: cannot be read: %s", path, p.line, strerror(-ret));
	if (f != stdin)
		fclose(f);
	if (ret)
		trace_free(t);
	return ret;
}

void trace_free(struct trace *t)
{
	free(t->requests);
	free(t->ids);
	memset(t, 0, sizeof(*t));
}
