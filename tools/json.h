/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one JSON printer, of the tools and of kvoffd. Every function takes the key first, NULL inside an array.
 */
#ifndef KVOFF_TOOLS_JSON_H
#define KVOFF_TOOLS_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define JSON_DEPTH_MAX	16

/**
 * struct json - a document being printed; begin with { .out = FILE }
 * @out:	where it goes
 * @compact:	on one line
 * @depth:	how many objects and arrays are open
 * @close:	what closes each of them
 * @more:	an element was printed at this depth
 */
struct json {
	FILE *out;
	bool compact;
	int depth;
	char close[JSON_DEPTH_MAX];
	bool more[JSON_DEPTH_MAX + 1];
};

void json_object(struct json *j, const char *key);
void json_array(struct json *j, const char *key);
/* Closes the innermost object or array; the outermost ends the line too. */
void json_end(struct json *j);

void json_string(struct json *j, const char *key, const char *value);
void json_u64(struct json *j, const char *key, uint64_t value);
void json_i64(struct json *j, const char *key, int64_t value);
/* What is not a number (0/0, say) is printed as null. */
void json_double(struct json *j, const char *key, double value);
void json_bool(struct json *j, const char *key, bool value);
void json_null(struct json *j, const char *key);

#endif
