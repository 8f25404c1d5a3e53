/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading small JSON documents that somebody else wrote: bounded in size, depth and number of values.
 */
#ifndef KVOFF_TOOLS_JSON_READ_H
#define KVOFF_TOOLS_JSON_READ_H

#include <stddef.h>
#include <stdint.h>

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/**
 * struct json_value - a value; the tree is one allocation, freed through its root
 * @type:	what it is
 * @key:	its name in an object, else NULL
 * @string:	JSON_STRING: the text
 * @number:	JSON_NUMBER: the value; JSON_BOOL: 0 or 1
 * @child:	first of an array's or object's elements
 * @next:	next element of the same array or object
 */
struct json_value {
	enum json_type type;
	const char *key;
	const char *string;
	double number;
	struct json_value *child;
	struct json_value *next;
};

/* Parse one document of @len bytes. Returns NULL and sets errno (EINVAL malformed, E2BIG too large, ENOMEM). */
struct json_value *json_parse(const char *text, size_t len);
void json_free(struct json_value *root);

/* A member of an object; NULL if @v is NULL, no object, or has none of this name. */
const struct json_value *json_member(const struct json_value *v, const char *key);

/* A member's text or number, or the default. */
const char *json_member_string(const struct json_value *v, const char *key, const char *otherwise);
double json_member_number(const struct json_value *v, const char *key, double otherwise);

#endif
