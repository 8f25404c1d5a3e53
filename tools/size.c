// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sizes as people write them.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tools/size.h"

static const char suffixes[] = "KMGTPE";

int size_parse(const char *s, uint64_t *bytes)
{
	const char *suffix;
	long double v;
	char *end;
	int shift = 0;

	/* strtold() would take signs, spaces, hexadecimal and "inf" too */
	if (!isdigit((unsigned char)*s) || s[strspn(s, "0123456789.")] == 'x')
		return -EINVAL;
	v = strtold(s, &end);
	if (end != s + strspn(s, "0123456789."))
		return -EINVAL;
	suffix = *end ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
	if (suffix) {
		shift = 10 * (suffix - suffixes + 1);
		end++;
	}
	if (*end && strcasecmp(end, "B") && (!shift || strcasecmp(end, "iB")))
		return -EINVAL;
	v = ldexpl(v, shift);
	if (v >= 0x1p63L)
		return -ERANGE;
	*bytes = v;
	return 0;
}

int number_parse(const char *s, uint64_t max, uint64_t *out)
{
	unsigned long long v;
	char *end;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (*end)
		return -EINVAL;
	if (errno || v > max)
		return -ERANGE;
	*out = v;
	return 0;
}

struct size_text size_format(uint64_t bytes)
{
	struct size_text t;
	double v = bytes;
	int i = -1;

	while (v >= 999.5 && i < 5) {
		v /= 1024;
		i++;
	}
	if (i < 0)
		snprintf(t.s, sizeof(t.s), "%u", (unsigned int)bytes);
	else if (v < 9.95 && v != (int)v)
		snprintf(t.s, sizeof(t.s), "%.1f%c", v, suffixes[i]);
	else
		snprintf(t.s, sizeof(t.s), "%.0f%c", v, suffixes[i]);
	return t;
}

struct size_text size_exact(uint64_t bytes)
{
	struct size_text t;
	int i = -1;

	while (bytes && !(bytes & 1023) && i < 5) {
		bytes >>= 10;
		i++;
	}
	snprintf(t.s, sizeof(t.s), "%llu%.1s", (unsigned long long)bytes, i < 0 ? "" : suffixes + i);
	return t;
}
