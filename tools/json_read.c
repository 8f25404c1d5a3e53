// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A strict, bounded JSON parser. Strings are unescaped in place in a copy of the text.
 */
#include <errno.h>
#include <float.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tools/json_read.h"

#define TEXT_MAX	(1U << 20)
#define VALUES_MAX	8192
#define DEPTH_MAX	32

struct document {
	struct json_value value[VALUES_MAX];	/* first: its address is the root's */
	unsigned int nr;
	char *pos;
	char text[];
};

static void skip_space(struct document *d)
{
	d->pos += strspn(d->pos, " \t\r\n");
}

static bool accept(struct document *d, char c)
{
	skip_space(d);
	if (*d->pos != c)
		return false;
	d->pos++;
	return true;
}

static char *utf8(char *to, unsigned int c)
{
	if (c < 0x80) {
		*to++ = c;
	} else if (c < 0x800) {
		*to++ = 0xc0 | c >> 6;
		*to++ = 0x80 | (c & 0x3f);
	} else {
		*to++ = 0xe0 | c >> 12;
		*to++ = 0x80 | (c >> 6 & 0x3f);
		*to++ = 0x80 | (c & 0x3f);
	}
	return to;
}

/* The opening quotation mark is behind us. What comes out is never longer than what went in. */
static const char *string(struct document *d)
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
	char *start = d->pos, *to = start, hex[5] = "";
	const char *escape;
	unsigned int c;

	while (*d->pos != '"') {
		if ((unsigned char)*d->pos < 0x20)
			return NULL;
		if (*d->pos != '\\') {
			*to++ = *d->pos++;
			continue;
		}
		d->pos++;
		if (*d->pos == 'u') {
			if (strspn(d->pos + 1, "0123456789abcdefABCDEF") < 4)
				return NULL;
			memcpy(hex, d->pos + 1, 4);
			c = strtoul(hex, NULL, 16);
			/* zero would end the string early; halves of surrogate pairs are nobody's letters here */
			to = utf8(to, !c || (c >= 0xd800 && c < 0xe000) ? 0xfffd : c);
			d->pos += 5;
			continue;
		}
		escape = *d->pos ? strchr(from, *d->pos) : NULL;
		if (!escape)
			return NULL;
		*to++ = into[escape - from];
		d->pos++;
	}
	d->pos++;
	*to = 0;
	return start;
}

/* strtod() alone would take more than JSON does: hexadecimal, "inf", leading zeros. */
static bool number(struct document *d, struct json_value *v)
{
	char *s = d->pos;

	if (*s == '-')
		s++;
	if (*s == '0')
		s++;
	else if (*s >= '1' && *s <= '9')
		s += strspn(s, "0123456789");
	else
		return false;
	if (*s == '.') {
		if (!strspn(s + 1, "0123456789"))
			return false;
		s += 1 + strspn(s + 1, "0123456789");
	}
	if (*s == 'e' || *s == 'E') {
		s++;
		if (*s == '+' || *s == '-')
			s++;
		if (!strspn(s, "0123456789"))
			return false;
		s += strspn(s, "0123456789");
	}
	v->type = JSON_NUMBER;
	v->number = strtod(d->pos, NULL);
	d->pos = s;
	/* what is too large would be infinite: no reader expects that */
	return v->number >= -DBL_MAX && v->number <= DBL_MAX;
}

static struct json_value *value(struct document *d, int depth);

static bool elements(struct document *d, struct json_value *v, char close, int depth)
{
	struct json_value **tail = &v->child;
	const char *key = NULL;

	if (accept(d, close))
		return true;
	do {
		if (close == '}') {
			if (!accept(d, '"'))
				return false;
			key = string(d);
			if (!key || !accept(d, ':'))
				return false;
		}
		*tail = value(d, depth + 1);
		if (!*tail)
			return false;
		(*tail)->key = key;
		tail = &(*tail)->next;
	} while (accept(d, ','));
	return accept(d, close);
}

static bool literal(struct document *d, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(d->pos, word, len))
		return false;
	d->pos += len;
	return true;
}

static struct json_value *value(struct document *d, int depth)
{
	struct json_value *v = &d->value[d->nr];
	bool ok;

	if (d->nr == VALUES_MAX || depth > DEPTH_MAX) {
		errno = E2BIG;
		return NULL;
	}
	d->nr++;
	skip_space(d);
	if (accept(d, '{')) {
		v->type = JSON_OBJECT;
		ok = elements(d, v, '}', depth);
	} else if (accept(d, '[')) {
		v->type = JSON_ARRAY;
		ok = elements(d, v, ']', depth);
	} else if (accept(d, '"')) {
		v->type = JSON_STRING;
		v->string = string(d);
		ok = v->string;
	} else if (literal(d, "true") || literal(d, "false")) {
		v->type = JSON_BOOL;
		v->number = !memcmp(d->pos - 4, "true", 4);
		ok = true;
	} else if (literal(d, "null")) {
		ok = true;
	} else {
		ok = number(d, v);
	}
	return ok ? v : NULL;
}

struct json_value *json_parse(const char *text, size_t len)
{
	struct document *d;

	if (len > TEXT_MAX) {
		errno = E2BIG;
		return NULL;
	}
	d = calloc(1, sizeof(*d) + len + 1);
	if (!d)
		return NULL;
	memcpy(d->text, text, len);
	d->pos = d->text;
	errno = 0;
	if (value(d, 0)) {
		skip_space(d);
		/* a zero byte ends the text for us, and is none of JSON's */
		if (d->pos == d->text + len)
			return d->value;
	}
	/* numbers leave their own behind */
	if (errno != E2BIG)
		errno = EINVAL;
	free(d);
	return NULL;
}

void json_free(struct json_value *root)
{
	free(root);
}

const struct json_value *json_member(const struct json_value *v, const char *key)
{
	if (!v || v->type != JSON_OBJECT)
		return NULL;
	for (v = v->child; v; v = v->next)
		if (!strcmp(v->key, key))
			return v;
	return NULL;
}

const char *json_member_string(const struct json_value *v, const char *key, const char *otherwise)
{
	v = json_member(v, key);
	return v && v->type == JSON_STRING ? v->string : otherwise;
}

double json_member_number(const struct json_value *v, const char *key, double otherwise)
{
	v = json_member(v, key);
	return v && v->type == JSON_NUMBER ? v->number : otherwise;
}
