// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading lines of trace_pipe: which memory does an event call bad?
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "poison.h"

/* A media event tells one address: what the device keeps poison by. */
#define MEDIA_BYTES	64

/* What stands after " NAME", up to the next blank; NULL if there is no such name. */
static const char *value_of(const char *text, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = strstr(text, name); at; at = strstr(at + 1, name))
		if (at > text && isspace((unsigned char)at[-1]))
			return at + len;
	return NULL;
}

/* A hexadecimal number, with or without 0x, that is all ones where the kernel does not know. */
static bool number(const char *value, uint64_t *out)
{
	char *end;

	if (!value || !isxdigit((unsigned char)*value))
		return false;
	*out = strtoull(value, &end, 16);
	return (!*end || isspace((unsigned char)*end) || *end == ':') && *out != UINT64_MAX;
}

static bool is(const char *value, const char *word)
{
	size_t len = strlen(word);

	return value && !strncmp(value, word, len) && (!value[len] || isspace((unsigned char)value[len]));
}

/* "... hpa=0x490000040 dpa=0x40 dpa_length=0x40 ...", of a list, or as poison is injected or cleared */
static bool device_poison(const char *text, struct poison_range *range)
{
	if (is(value_of(text, "trace_type="), "Clear"))
		return false;
	return number(value_of(text, "hpa="), &range->addr) && number(value_of(text, "dpa_length="), &range->length) &&
	       range->length;
}

/* "... descriptor='UNCORRECTABLE_EVENT|...' ... hpa=490000040 ..."; what could be corrected is not bad */
static bool media_event(const char *text, struct poison_range *range)
{
	const char *descriptor = value_of(text, "descriptor='"), *end = descriptor ? strchr(descriptor, '\'') : NULL;
	const char *word = descriptor ? strstr(descriptor, "UNCORRECTABLE") : NULL;

	range->length = MEDIA_BYTES;
	return end && word && word < end && number(value_of(text, "hpa="), &range->addr) && range->addr;
}

/* "pfn 0x490040: recovery action for ...": the kernel's own memory_failure() */
static bool kernel_failure(const char *text, uint64_t page, struct poison_range *range)
{
	uint64_t pfn;

	if (!number(value_of(text, "pfn "), &pfn) || pfn > UINT64_MAX / page)
		return false;
	range->addr = pfn * page;
	range->length = page;
	return true;
}

bool poison_event(const char *line, uint64_t page, struct poison_range *range)
{
	static const char *const media[] = { ": cxl_general_media:", ": cxl_dram:" };
	const char *at;

	/* a process may be called whatever it likes, but not with what follows the time stamp */
	for (size_t i = 0; i < sizeof(media) / sizeof(media[0]); i++) {
		at = strstr(line, media[i]);
		if (at)
			return media_event(at, range);
	}
	at = strstr(line, ": cxl_poison:");
	if (at)
		return device_poison(at, range);
	at = strstr(line, ": memory_failure_event:");
	return at && kernel_failure(at, page, range);
}
