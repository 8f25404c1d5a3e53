/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Traces as CSV: one line a block that is used, the columns named on the command line.
 */
#ifndef KVOFF_SIMULATE_CSV_H
#define KVOFF_SIMULATE_CSV_H

#include "tools/trace.h"

enum { CSV_TIME, CSV_BLOCK, CSV_REQUEST, CSV_INPUT, CSV_OUTPUT, CSV_NR };

/**
 * struct sim_csv - which columns
 * @name:	the column's name in the first line of the file; empty: not there
 * @ms:		milliseconds of the time column's unit
 */
struct sim_csv {
	char name[CSV_NR][64];
	double ms;
};

/**
 * sim_csv_parse - "time=NAME,block=NAME[,request=NAME][,input=NAME][,output=NAME][,unit=s|ms|us]"
 * @err:	out: what would be right
 *
 * Returns 0 or -EINVAL.
 */
int sim_csv_parse(struct sim_csv *csv, const char *text, char *err, size_t len);

/**
 * sim_csv_load - read such a trace
 *
 * Neighbouring lines with the same text in the request column are one request. Without that column each line is one.
 * A block's name may be any text; fields may be quoted. As trace_load() otherwise.
 */
int sim_csv_load(struct trace *t, const char *path, const struct sim_csv *csv, size_t skip, size_t limit, char *err,
		 size_t len);

#endif
