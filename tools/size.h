/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sizes as people write them: 64K, 1.5G, 2MiB.
 */
#ifndef KVOFF_TOOLS_SIZE_H
#define KVOFF_TOOLS_SIZE_H

#include <stdint.h>

/* 64K, 1.5G, 12T, with or without B or iB; powers of 1024. Returns 0, -EINVAL or -ERANGE. */
int size_parse(const char *s, uint64_t *bytes);

/* A whole number from 0 to @max. Returns 0, -EINVAL or -ERANGE. */
int number_parse(const char *s, uint64_t max, uint64_t *out);

/* Room for what size_format() and size_exact() write. */
struct size_text {
	char s[24];
};

/* Three digits at most, for people: 64K, 1.5G. Used as size_format(n).s */
struct size_text size_format(uint64_t bytes);
/* No digit lost, to be typed in again: 1572864K rather than 1.5G */
struct size_text size_exact(uint64_t bytes);

#endif
