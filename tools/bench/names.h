/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All benchmarks, in the order in which they are run and shown: BENCH(name) is struct bench bench_name of the file
 * name.c. Included several times, with what BENCH() shall mean.
 */
BENCH(smoke)
BENCH(alloc)
BENCH(alloc_guest)
BENCH(acquire)
BENCH(acquire_time)
BENCH(fault)
BENCH(sample)
BENCH(moves)
BENCH(region)
BENCH(pool)
BENCH(metadata)
BENCH(tick)
BENCH(pages)
BENCH(pages_unzeroed)
BENCH(flips)
BENCH(counts)
BENCH(reader)
BENCH(scale)
