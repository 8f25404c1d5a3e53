/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of the heap and of its commits have in common. */
#ifndef TESTS_LIB_REGION_H
#define TESTS_LIB_REGION_H

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ktap.h"
#include "mock.h"

#define KIB UINT64_C(1024)
#define MIB (KIB << 10)

static inline struct libkvoff *open_region(uint64_t block, uint64_t length, uint64_t step)
{
	struct libkvoff_options opts = {
		.size = sizeof(opts), .block_size = block, .length = length, .commit_step = step, .label = "test"
	};
	struct libkvoff *kv = NULL;
	int ret = libkvoff_open(&kv, &opts);

	if (!CHECK(!ret)) {
		printf("# %s\n", libkvoff_strerror(ret));
		exit(1);
	}
	return kv;
}

static inline bool says(const char *part)
{
	const char *text = libkvoff_strerror(errno);
	bool found = strstr(text, part);

	if (!found)
		printf("# \"%s\" is not in: %s\n", part, text);
	return found;
}

#endif
