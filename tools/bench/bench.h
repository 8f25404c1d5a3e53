/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What benchmarks are written with. A benchmark is a function that measures something and its peers in turn, in one
 * run, and gives a row for each comparison. A row that has a limit knows whether it meets it; a limit is a promise of
 * the project, so it is on a ratio or on a count, never on what a machine happens to need for something.
 */
#ifndef KVOFF_BENCH_H
#define KVOFF_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_out;
struct rig;

/**
 * struct bench - a benchmark
 * @name:	one word
 * @what:	one line
 * @guest:	needs the module: `make bench` runs it in the emulated machine that counts instructions, where the
 *		clock's nanoseconds are instructions. Otherwise it runs on the machine itself
 * @vm:		further options of tests/vm/run, NULL for none
 * @run:	0, or -errno, with a note that says what failed
 */
struct bench {
	const char *name;
	const char *what;
	bool guest;
	const char *vm;
	int (*run)(struct bench_out *out);
};

enum bench_direction {
	BENCH_NO_LIMIT,
	BENCH_AT_LEAST,
	BENCH_AT_MOST,
};

/**
 * struct bench_row - one comparison
 * @value:	what kvoff needs, or does
 * @unit:	of both values: "ns", "MB/s" (10^6 bytes), "count", "%", "B", ...
 * @peer:	what it is compared with, NULL if with nothing
 * @peer_value:	the same of the peer, in the same run
 * @ratio:	0: value / peer_value; give it where it is something else, say how many times faster
 * @direction:	of @limit
 * @limit:	of the ratio where there is a peer, else of the value
 * @of_value:	the limit is the value's although there is a peer
 */
struct bench_row {
	double value;
	const char *unit;
	const char *peer;
	double peer_value;
	double ratio;
	enum bench_direction direction;
	double limit;
	bool of_value;
};

/* Add a row. The text says the case, such as "2 MiB x 32, 9 processes, DRAM to CXL". */
void bench_row(struct bench_out *out, const struct bench_row *row, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Add a line that is shown below the rows: what a reader of the figures must know, or what failed. */
void bench_note(struct bench_out *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* As little as shows that the benchmark works is wanted: the figures mean nothing and limits are not looked at. */
bool bench_quick(void);

/* ---- rig.c ---- */

/* rig_down(); what is wrong then is a note. @ret, or where that is 0, -EIO if anything is. */
int bench_rig_down(struct bench_out *out, struct rig *rig, int ret);

/* ---- measure.c ---- */

uint64_t bench_ns(void);
/* The values are sorted on return. @p from 0 to 100, the nearest rank; NaN without values. */
double bench_percentile(double *values, size_t nr, double p);
double bench_median(double *values, size_t nr);

/**
 * struct bench_arm - one of several things that are measured in turn
 * @run:	does it once and returns what it took, or whatever else is to be compared; negative: -errno, or an error
 * @ctx:	for @run
 * @median:	out: of all rounds
 * @min:	out: of all rounds
 */
struct bench_arm {
	double (*run)(void *ctx);
	void *ctx;
	double median;
	double min;
};

/*
 * Measure each arm @rounds times, one after the other in each round, so that what changes meanwhile changes for all.
 * A first round, in which everything is still cold, comes on top and does not count; with @rounds 0 it is all there
 * is. 0, or what an arm has failed with.
 */
int bench_in_turn(struct bench_arm *arms, size_t nr, unsigned int rounds);

#endif /* KVOFF_BENCH_H */
