// SPDX-License-Identifier: LGPL-2.1-or-later
/* Each thread keeps the message of its last failed call; nothing is ever printed. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "libkvoff.h"

static __thread int last_err;
static __thread char last_text[512];
static __thread char general_text[128];

int lkv_fail(int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(last_text, sizeof(last_text), fmt, args);
	va_end(args);
	last_err = err;
	errno = err;
	return -err;
}

const char *lkv_size(char buf[LKV_SIZE_LEN], uint64_t bytes)
{
	static const char *const name[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	unsigned int unit = 0;
	uint64_t scale = 1;

	while (unit < 4 && bytes >= scale << 10) {
		scale <<= 10;
		unit++;
	}
	if (bytes % scale == 0)
		snprintf(buf, LKV_SIZE_LEN, "%" PRIu64 " %s", bytes / scale, name[unit]);
	else
		snprintf(buf, LKV_SIZE_LEN, "%.2f %s", (double)bytes / (double)scale, name[unit]);
	return buf;
}

const char *libkvoff_strerror(int err)
{
	/* INT_MIN has no opposite */
	if (err < 0 && err >= -4095)
		err = -err;
	if (err && err == last_err)
		return last_text;
	/* the GNU form, which may return a constant instead of filling the buffer */
	return strerror_r(err, general_text, sizeof(general_text));
}
