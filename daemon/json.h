/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing JSON: the caller opens and closes what it opens, commas and quoting are done here.
 */
#ifndef KVOFFD_JSON_H
#define KVOFFD_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/**
 * struct json - a document being written; begin with { .out = file }
 * @out:	where to
 * @depth:	open objects and arrays
 * @more:	something was written at this depth
 */
struct json {
	FILE *out;
	unsigned int depth;
	bool more;
};

/** json_open - begin an object ('{') or array ('['); @name is NULL inside of arrays and at the top */
void json_open(struct json *j, const char *name, char bracket);
/** json_close - end it ('}' or ']') */
void json_close(struct json *j, char bracket);
void json_text(struct json *j, const char *name, const char *value);
void json_number(struct json *j, const char *name, uint64_t value);
void json_signed(struct json *j, const char *name, int64_t value);

#endif /* KVOFFD_JSON_H */
