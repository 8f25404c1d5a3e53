/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What benchmarks have found, as rows in memory: added by the benchmarks, written as JSON, read back from several
 * documents, shown as one table.
 */
#ifndef KVOFF_BENCH_RESULT_H
#define KVOFF_BENCH_RESULT_H

#include <stdio.h>

#include "tools/bench/bench.h"

enum bench_verdict {
	BENCH_NONE,	/* it has no limit */
	BENCH_MET,
	BENCH_MISSED,
};

/**
 * struct bench_line - a row, or a note, with the text that belongs to it
 * @note:	a note: only @text counts
 * @text:	the case, or the note
 * @row:	its strings are the line's own
 */
struct bench_line {
	bool note;
	char *text;
	struct bench_row row;
};

/**
 * struct bench_result - what one benchmark has found
 * @name:	the benchmark's
 * @where:	what kind of machine: "guest (instructions)", "host", ...
 * @error:	0, or what it has ended with, a positive errno
 * @lines:	in the order in which they came
 * @nr:		number of @lines
 */
struct bench_result {
	char *name;
	char *where;
	int error;
	struct bench_line *lines;
	size_t nr;
};

/**
 * struct bench_out - what several benchmarks have found; begin with {}
 * @results:	the last one is the one that rows are added to
 * @nr:		number of @results
 * @loud:	say each value as it comes: measuring may take minutes
 */
struct bench_out {
	struct bench_result *results;
	size_t nr;
	bool loud;
};

struct bench_result *result_begin(struct bench_out *out, const char *name, const char *where);
void result_free(struct bench_out *out);

double row_ratio(const struct bench_row *row);
enum bench_verdict row_verdict(const struct bench_row *row);

void result_write(const struct bench_out *out, FILE *f);
/* Add what result_write() wrote; 0 or -errno. */
int result_read(struct bench_out *out, const char *path);

/* The table; with @limits also how many targets were met. 0 if nothing was missed and nothing failed. */
int result_table(const struct bench_out *out, FILE *f, bool limits);
/* Columns separated by tabs, for plots: benchmark, case, value, unit, peer, its value, ratio. */
void result_columns(const struct bench_out *out, FILE *f);

#endif /* KVOFF_BENCH_RESULT_H */
