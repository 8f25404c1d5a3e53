/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a piece of code does on any processor: run it one instruction at a time, and count.
 */
#ifndef KVOFF_BENCH_STEP_H
#define KVOFF_BENCH_STEP_H

#include <stdint.h>

/**
 * struct step_count - instructions in user space, by kind
 * @all:	every one; a repeated one counts once a round
 * @locked:	those that lock a line or order memory: with a lock prefix, xchg with memory, mfence
 * @syscalls:	system calls
 */
struct step_count {
	uint64_t all;
	uint64_t locked;
	uint64_t syscalls;
};

/*
 * Run @fn and count what it executes. What the counting itself adds is not in it. 0, or -EOPNOTSUPP where the
 * processor's kind is not known. Not for several threads at once.
 */
int step_through(void (*fn)(void *ctx), void *ctx, struct step_count *count);

#endif /* KVOFF_BENCH_STEP_H */
