// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Single steps by the processor's trap flag: no tracer, whose system calls would count, is needed.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "tools/bench/step.h"

#ifdef __x86_64__

static struct step_count counted;

static void look(const uint8_t *at)
{
	uint8_t op;

	counted.all++;
	/* prefixes in any order; the last of them is REX */
	for (; (*at & 0xf0) == 0x40 || *at == 0x66 || *at == 0xf2 || *at == 0xf3 || *at == 0xf0; at++) {
		if (*at == 0xf0) {
			counted.locked++;
			return;
		}
	}
	op = *at;
	if ((op == 0x86 || op == 0x87) && at[1] < 0xc0)
		counted.locked++;
	else if (op == 0x0f && at[1] == 0xae && at[2] == 0xf0)
		counted.locked++;
	else if (op == 0x0f && at[1] == 0x05)
		counted.syscalls++;
}

/* The instruction that comes next. */
static void on_trap(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;

	look((const uint8_t *)uc->uc_mcontext.gregs[REG_RIP]);
}

static __attribute__((noinline)) void run(void (*fn)(void *ctx), void *ctx)
{
	__asm__ volatile("subq $128, %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\taddq $128, %%rsp"
			 ::: "memory", "cc");
	fn(ctx);
	__asm__ volatile("subq $128, %%rsp\n\tpushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq\n\taddq $128, %%rsp"
			 ::: "memory", "cc");
}

static void nothing(void *ctx)
{
	__asm__ volatile("" ::: "memory");
}

int step_through(void (*fn)(void *ctx), void *ctx, struct step_count *count)
{
	struct sigaction sa = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO }, old;
	struct step_count empty;

	if (sigaction(SIGTRAP, &sa, &old))
		return -errno;
	memset(&counted, 0, sizeof(counted));
	run(nothing, NULL);
	empty = counted;
	memset(&counted, 0, sizeof(counted));
	run(fn, ctx);
	*count = counted;
	count->all -= empty.all;
	sigaction(SIGTRAP, &old, NULL);
	return 0;
}

#else

int step_through(void (*fn)(void *ctx), void *ctx, struct step_count *count)
{
	return -EOPNOTSUPP;
}

#endif
