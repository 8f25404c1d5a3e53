/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Native tests of the tools: KTAP output, a scratch folder that goes away, programs run and their output kept.
 */
#ifndef KVOFF_TESTS_TOOLS_KTAP_H
#define KVOFF_TESTS_TOOLS_KTAP_H

#include <stdbool.h>
#include <stddef.h>

#define OUTPUT_MAX	(256U << 10)

/* Begin: says how many tests there will be, makes the scratch folder. */
void ktap_begin(int tests);
/* One test's result and its name; diagnostics come before it. */
void ktap_result(bool ok, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ktap_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* End: removes the scratch folder; returns the exit status. */
int ktap_end(void);

/* Path of something in the scratch folder; four results are valid at a time. */
const char *scratch(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Write a file, and the folders above it, below the scratch folder. */
void put(const char *path, const char *text);
/* The same for a symbolic link, with @target as it is. */
void put_link(const char *path, const char *target);
/* Remove a file or a folder with all in it, below the scratch folder. */
void drop(const char *path);

/* Exit status of the last run(), -1 if it was killed, and what it printed (standard output and error). */
extern int run_status;
extern char run_output[OUTPUT_MAX];
/* Run a shell command; "%s" style arguments are not quoted. $BIN is the folder of the programs. */
void run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The last output has this text in it; a note says so if not. */
bool output_has(const char *text);

#endif
