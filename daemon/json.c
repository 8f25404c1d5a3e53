// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Writing JSON.
 */
#include <inttypes.h>

#include "json.h"

static void quote(FILE *out, const char *s)
{
	fputc('"', out);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			fprintf(out, "\\%c", *s);
		else if ((unsigned char)*s < ' ' || (unsigned char)*s > '~')
			fprintf(out, "\\u%04x", (unsigned char)*s);
		else
			fputc(*s, out);
	}
	fputc('"', out);
}

static void begin(struct json *j, const char *name)
{
	if (j->more)
		fputc(',', j->out);
	if (j->depth)
		fprintf(j->out, "\n%*s", (int)j->depth * 2, "");
	j->more = true;
	if (name) {
		quote(j->out, name);
		fputs(": ", j->out);
	}
}

void json_open(struct json *j, const char *name, char bracket)
{
	begin(j, name);
	fputc(bracket, j->out);
	j->depth++;
	j->more = false;
}

void json_close(struct json *j, char bracket)
{
	j->depth--;
	if (j->more)
		fprintf(j->out, "\n%*s", (int)j->depth * 2, "");
	fputc(bracket, j->out);
	j->more = true;
	if (!j->depth)
		fputc('\n', j->out);
}

void json_text(struct json *j, const char *name, const char *value)
{
	begin(j, name);
	quote(j->out, value);
}

void json_number(struct json *j, const char *name, uint64_t value)
{
	begin(j, name);
	fprintf(j->out, "%" PRIu64, value);
}

void json_signed(struct json *j, const char *name, int64_t value)
{
	begin(j, name);
	fprintf(j->out, "%" PRId64, value);
}
