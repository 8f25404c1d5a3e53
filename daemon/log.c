// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Log lines.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

static enum log_level limit = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
	limit = level;
}

/* Quotes, backslashes and control characters would end the value early: names come from clients. */
static size_t quote(char *out, size_t room, const char *s)
{
	size_t n = 0;

	out[n++] = '"';
	for (; *s && n + 3 < room; s++) {
		if (*s == '"' || *s == '\\')
			out[n++] = '\\';
		out[n++] = (unsigned char)*s < ' ' ? ' ' : *s;
	}
	out[n++] = '"';
	return n;
}

void log_line(enum log_level level, const char *msg, const char *fields, ...)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };
	static const char priorities[] = "3467";
	char line[2048];
	size_t n = 0;
	va_list args;
	ssize_t ignored;

	if (level > limit)
		return;
	if (getenv("JOURNAL_STREAM"))
		n += (size_t)snprintf(line, sizeof(line), "<%c>", priorities[level]);
	n += (size_t)snprintf(line + n, sizeof(line) - n, "level=%s msg=", names[level]);
	n += quote(line + n, sizeof(line) / 2, msg);
	if (fields) {
		int len;

		line[n++] = ' ';
		va_start(args, fields);
		len = vsnprintf(line + n, sizeof(line) - n - 1, fields, args);
		va_end(args);
		if (len > 0)
			n += (size_t)len < sizeof(line) - n - 1 ? (size_t)len : sizeof(line) - n - 2;
		for (size_t i = 0; i < n; i++)
			if ((unsigned char)line[i] < ' ')
				line[i] = ' ';
	}
	line[n++] = '\n';
	/* one write a line, so that lines of several processes do not mix; nothing can be done if it fails */
	ignored = write(STDERR_FILENO, line, n);
	(void)ignored;
}
