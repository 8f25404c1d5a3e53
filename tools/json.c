// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Printing JSON.
 */
#include <assert.h>
#include <inttypes.h>
#include <math.h>

#include "tools/json.h"

/*
 * Names come from the kernel and from other processes. Bytes above 0x7f are passed on only as well-formed UTF-8: a
 * reader would refuse the whole document for one stray byte.
 */
static unsigned int utf8_length(const unsigned char *s)
{
	unsigned int n = *s < 0xc2 ? 0 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : *s < 0xf5 ? 4 : 0, i;

	for (i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] > 0x9f) || (*s == 0xf0 && s[1] < 0x90) ||
	    (*s == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static void quoted(FILE *out, const char *string)
{
	const unsigned char *s = (const unsigned char *)string;

	putc('"', out);
	while (*s) {
		unsigned int n = *s < 0x80 ? 1 : utf8_length(s);

		if (!n) {
			fputs("\\ufffd", out);
			n = 1;
		} else if (*s == '"' || *s == '\\') {
			fprintf(out, "\\%c", *s);
		} else if (*s < 0x20 || *s == 0x7f) {
			fprintf(out, "\\u%04x", *s);
		} else {
			fwrite(s, 1, n, out);
		}
		s += n;
	}
	putc('"', out);
}

static void next(struct json *j, const char *key)
{
	if (j->more[j->depth])
		putc(',', j->out);
	j->more[j->depth] = true;
	if (j->depth && !j->compact)
		fprintf(j->out, "\n%*s", 2 * j->depth, "");
	if (key) {
		quoted(j->out, key);
		fputs(j->compact ? ":" : ": ", j->out);
	}
}

static void open_level(struct json *j, const char *key, const char *brackets)
{
	next(j, key);
	assert(j->depth < JSON_DEPTH_MAX);
	putc(brackets[0], j->out);
	j->close[j->depth++] = brackets[1];
	j->more[j->depth] = false;
}

void json_object(struct json *j, const char *key)
{
	open_level(j, key, "{}");
}

void json_array(struct json *j, const char *key)
{
	open_level(j, key, "[]");
}

void json_end(struct json *j)
{
	bool some = j->more[j->depth];

	assert(j->depth > 0);
	j->depth--;
	if (some && !j->compact)
		fprintf(j->out, "\n%*s", 2 * j->depth, "");
	putc(j->close[j->depth], j->out);
	if (!j->depth) {
		putc('\n', j->out);
		j->more[0] = false;
	}
}

void json_string(struct json *j, const char *key, const char *value)
{
	next(j, key);
	quoted(j->out, value);
}

void json_u64(struct json *j, const char *key, uint64_t value)
{
	next(j, key);
	fprintf(j->out, "%" PRIu64, value);
}

void json_i64(struct json *j, const char *key, int64_t value)
{
	next(j, key);
	fprintf(j->out, "%" PRId64, value);
}

void json_double(struct json *j, const char *key, double value)
{
	next(j, key);
	if (isfinite(value))
		fprintf(j->out, "%.6g", value);
	else
		fputs("null", j->out);
}

void json_bool(struct json *j, const char *key, bool value)
{
	next(j, key);
	fputs(value ? "true" : "false", j->out);
}

void json_null(struct json *j, const char *key)
{
	next(j, key);
	fputs("null", j->out);
}
