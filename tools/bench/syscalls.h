/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many system calls a piece of a program makes, of all threads that take part in it. */
#ifndef BENCH_SYSCALLS_H
#define BENCH_SYSCALLS_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct bench_syscalls - what was counted
 * @all:	system calls, without sched_yield(2)
 * @futex:	of these, futex(2): waits for locks, and waking those who wait
 */
struct bench_syscalls {
	uint64_t all;
	uint64_t futex;
};

/**
 * bench_syscalls_run - run @body in a thread of its own; each of its system calls, and of the threads that it creates,
 *			is stopped, counted and let go on
 *
 * Counted are those between bench_syscalls_count(true) and bench_syscalls_count(false), which make none themselves.
 * A call takes many times as long as else. 0, or -errno where the kernel has no seccomp notifications.
 */
int bench_syscalls_run(void (*body)(void *arg), void *arg, struct bench_syscalls *out);
void bench_syscalls_count(bool on);

#endif
