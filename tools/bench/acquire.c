// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Acquire and release of a batch, beside the atomic operations that it cannot do without and beside a system call.
 * Where the clock counts instructions, an atomic operation is as dear as any other, so what may be measured there is
 * counts; time has its limit on the machine itself, where the same code works on plain memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libkvoff.h"
#include "tests/kselftest/rig.h"
#include "tools/bench/bench.h"
#include "tools/bench/step.h"

#define BS	(64 * KIB)
#define NR	512
/* Block uses a round. */
#define USES	(1 << 16)

struct acquire {
	struct libkvoff *kv;
	uint64_t index[NR];
	uint32_t refs[NR];
	size_t n;
	size_t times;
	int error;
};

static void once(void *ctx)
{
	struct acquire *a = ctx;
	int ret = libkvoff_acquire(a->kv, a->index, a->n) ?: libkvoff_release(a->kv, a->index, a->n);

	if (ret)
		a->error = ret;
}

static double acquire_arm(void *ctx)
{
	struct acquire *a = ctx;
	uint64_t begin = bench_ns();
	size_t i;

	for (i = 0; i < a->times; i++)
		once(a);
	return a->error ?: (double)(bench_ns() - begin) / (a->times * a->n);
}

/* Two atomic operations a block: one of them up, one of them down. */
static double atomic_arm(void *ctx)
{
	struct acquire *a = ctx;
	uint64_t begin = bench_ns();
	size_t i, k;

	for (i = 0; i < a->times; i++) {
		for (k = 0; k < a->n; k++)
			__atomic_fetch_add(&a->refs[k], 1, __ATOMIC_SEQ_CST);
		for (k = 0; k < a->n; k++)
			__atomic_fetch_sub(&a->refs[k], 1, __ATOMIC_SEQ_CST);
	}
	return (double)(bench_ns() - begin) / (a->times * a->n);
}

static double syscall_arm(void *ctx)
{
	const struct acquire *a = ctx;
	size_t i, times = a->times < 4096 ? a->times : 4096;
	uint64_t begin = bench_ns();

	for (i = 0; i < times; i++)
		syscall(SYS_getppid);
	return (double)(bench_ns() - begin) / times;
}

static int counts(struct bench_out *out, struct acquire *a)
{
	struct step_count count;
	int ret = step_through(once, a, &count);

	if (ret == -EOPNOTSUPP) {
		bench_note(out, "nothing counted: not on this kind of processor");
		return 0;
	}
	if (ret || a->error)
		return ret ?: a->error;
	bench_row(out, &(struct bench_row){ .value = (double)count.locked / a->n, .unit = "count",
					    .direction = BENCH_AT_MOST, .limit = 4 },
		  "%zu blocks, atomic operations and fences a block, counted", a->n);
	bench_row(out, &(struct bench_row){ .value = (double)count.all / a->n, .unit = "count" },
		  "%zu blocks, instructions a block, counted", a->n);
	bench_row(out, &(struct bench_row){ .value = count.syscalls, .unit = "count", .direction = BENCH_AT_MOST,
					    .limit = 0 },
		  "%zu blocks, system calls, counted", a->n);
	return 0;
}

static int batches(struct bench_out *out, struct acquire *a, bool limits)
{
	static const size_t sizes[] = { 1, 32, 512 };
	size_t i;
	int ret;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct bench_arm arms[] = {
			{ .run = acquire_arm, .ctx = a },
			{ .run = atomic_arm, .ctx = a },
			{ .run = syscall_arm, .ctx = a },
		};

		a->n = sizes[i];
		a->times = (bench_quick() ? USES / 64 : USES) / a->n + 1;
		ret = bench_in_turn(arms, 3, bench_quick() ? 1 : limits ? 25 : 3) ?: counts(out, a);
		if (ret)
			return ret;
		bench_row(out, &(struct bench_row){ .value = arms[0].min, .unit = "ns", .peer = "4 atomic operations",
						    .peer_value = 2 * arms[1].min,
						    .direction = limits ? BENCH_AT_MOST : BENCH_NO_LIMIT, .limit = 1 },
			  "%zu blocks, acquire and release, a block", a->n);
		bench_row(out, &(struct bench_row){ .value = arms[0].min * a->n, .unit = "ns", .peer = "a system call",
						    .peer_value = arms[2].min },
			  "%zu blocks, acquire and release, the batch", a->n);
	}
	return 0;
}

static int with_region(struct bench_out *out, bool limits)
{
	struct libkvoff_options opts = LIBKVOFF_OPTIONS_INIT;
	struct acquire *a = calloc(1, sizeof(*a));
	size_t i;
	char *p;
	int ret;

	if (!a)
		return -ENOMEM;
	opts.block_size = BS;
	opts.length = NR * BS;
	opts.commit_step = NR * BS;
	ret = libkvoff_open(&a->kv, &opts);
	if (ret) {
		bench_note(out, "%s", libkvoff_strerror(ret));
		goto out_free;
	}
	p = libkvoff_alloc(a->kv, NR * BS);
	if (!p) {
		ret = -errno;
		bench_note(out, "%s", libkvoff_strerror(ret));
		goto out_close;
	}
	for (i = 0; i < NR; i++) {
		a->index[i] = i;
		p[i * BS] = 1;
	}
	ret = batches(out, a, limits);
	if (ret)
		bench_note(out, "%s", libkvoff_strerror(ret));
out_close:
	libkvoff_close(a->kv);
out_free:
	free(a);
	return ret;
}

static int run(struct bench_out *out)
{
	struct rig rig;
	int ret = rig_up_sized(&rig, BS, 0, (NR + 64) * BS, 2 * MIB) ?: with_region(out, false);

	return bench_rig_down(out, &rig, ret);
}

static int run_host(struct bench_out *out)
{
	int ret;

	setenv("LIBKVOFF_FALLBACK", "1", 1);
	ret = with_region(out, true);
	unsetenv("LIBKVOFF_FALLBACK");
	return ret;
}

const struct bench bench_acquire = {
	.name = "acquire", .what = "acquire and release of blocks, counted", .guest = true, .run = run,
};

const struct bench bench_acquire_time = {
	.name = "acquire_time", .what = "acquire and release of blocks, the same code on plain memory, timed",
	.run = run_host,
};
