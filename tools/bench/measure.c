// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Time, and what many values come to.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "tools/bench/bench.h"

uint64_t bench_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static int by_size(const void *pa, const void *pb)
{
	const double a = *(const double *)pa, b = *(const double *)pb;

	return a < b ? -1 : a > b;
}

double bench_percentile(double *values, size_t nr, double p)
{
	size_t rank;

	if (!nr)
		return NAN;
	qsort(values, nr, sizeof(*values), by_size);
	rank = ceil(p / 100 * nr);
	if (rank < 1)
		rank = 1;
	if (rank > nr)
		rank = nr;
	return values[rank - 1];
}

double bench_median(double *values, size_t nr)
{
	return bench_percentile(values, nr, 50);
}

int bench_in_turn(struct bench_arm *arms, size_t nr, unsigned int rounds)
{
	unsigned int round, warm = rounds ? 1 : 0, all = rounds ? rounds : 1;
	double *values = calloc(nr * all, sizeof(*values));
	size_t i;

	if (!values)
		return -ENOMEM;
	for (round = 0; round < all + warm; round++) {
		for (i = 0; i < nr; i++) {
			double value = arms[i].run(arms[i].ctx);

			if (value < 0) {
				free(values);
				return value > -1 ? -EIO : (int)value;
			}
			if (round >= warm)
				values[i * all + round - warm] = value;
		}
	}
	for (i = 0; i < nr; i++) {
		arms[i].median = bench_median(values + i * all, all);
		arms[i].min = values[i * all];
	}
	free(values);
	return 0;
}
