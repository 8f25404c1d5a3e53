/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz targets: functions that libFuzzer can call as they are, and that driver.c calls where there is no libFuzzer. A target
 * aborts when the code under test breaks a promise; memory errors are the sanitizers' to find.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What mutation begins with, and words worth inserting; each list ends with NULL. */
extern const char * const fuzz_seeds[];
extern const char * const fuzz_words[];

#define must(condition) do {									\
	if (!(condition)) {									\
		fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);		\
		abort();									\
	}											\
} while (0)

#endif /* FUZZ_H */
