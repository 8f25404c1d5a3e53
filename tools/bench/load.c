// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the kernel's own observers cost: the same reads with them and without.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/bench/bench.h"
#include "tools/bench/load.h"
#include "tools/bench/memory.h"

#define PAGE	4096UL

#define NUMA	"/sys/kernel/debug/sched/numa_balancing/"
#define NUMA_ON	"/proc/sys/kernel/numa_balancing"
#define DAMON	"/sys/kernel/mm/damon/admin/kdamonds/"
#define CONTEXT	DAMON "0/contexts/0/"

uint64_t load_run(const struct load *load)
{
	uint64_t begin = bench_ns(), i;
	size_t at;

	for (i = 0; i < load->sweeps; i++)
		for (at = 0; at < load->bytes; at += load->step)
			(void)*((const volatile uint8_t *)load->p + at);
	return bench_ns() - begin;
}

void load_calibrate(struct load *load, uint64_t ns)
{
	uint64_t took;

	load->sweeps = 4;
	load_run(load);
	/* what reading the clock takes must not count */
	while ((took = load_run(load)) < ns / 16)
		load->sweeps *= 4;
	load->sweeps = ns * load->sweeps / (took ?: 1) + 1;
}

/* ---- NUMA balancing ---- */

static const struct knob {
	const char *path;
	unsigned int value;
} numa_knobs[] = {
	{ NUMA "scan_delay_ms", 1 },
	{ NUMA "scan_size_mb", 64 },
	{ NUMA "scan_period_min_ms", 20 },
	{ NUMA "scan_period_max_ms", 20 },
};
#define NR_KNOBS	(sizeof(numa_knobs) / sizeof(numa_knobs[0]))

/* What the kernel leaves alone is local memory of a process with one thread. */
static void *other_thread(void *arg)
{
	char c;

	return read(*(int *)arg, &c, 1) < 0 ? arg : NULL;
}

static uint64_t numa_count(const char *key)
{
	return file_key("/proc/vmstat", key, 0);
}

static int numa_measure(struct load *load, size_t bs, uint64_t ns, struct look *look)
{
	uint64_t without, with, updates, faults;
	int ret;

	load_calibrate(load, ns);
	without = load_run(load);
	updates = numa_count("numa_pte_updates");
	faults = numa_count("numa_hint_faults");
	ret = file_write(NUMA_ON, "1");
	if (ret)
		return ret;
	with = load_run(load);
	ret = file_write(NUMA_ON, "0");
	look->looks = (double)(numa_count("numa_pte_updates") - updates) / (bs / PAGE);
	look->faults = (numa_count("numa_hint_faults") - faults) / look->looks;
	look->ns = ((double)with - (double)without) / look->looks;
	if (!ret && look->looks < 1)
		ret = -ENODATA;
	return ret;
}

static int numa_process(enum memory_kind kind, struct load load, size_t bs, uint64_t ns, struct look *look)
{
	void *p = memory_map(kind, load.bytes, bs);
	int ret, pipes[2];
	pthread_t t;

	if (!p)
		return -errno;
	touch_write(p, load.bytes);
	load.p = p;
	ret = pipe(pipes) ? -errno : -pthread_create(&t, NULL, other_thread, &pipes[0]);
	if (!ret) {
		ret = numa_measure(&load, bs, ns, look);
		close(pipes[1]);
		pthread_join(t, NULL);
	}
	memory_unmap(kind, p, load.bytes);
	return ret;
}

/* A process learns how often to be scanned when it begins. */
static int numa_fork(enum memory_kind kind, const struct load *load, size_t bs, uint64_t ns, struct look *look)
{
	int ret, pipes[2];
	pid_t pid;

	if (pipe(pipes))
		return -errno;
	pid = fork();
	if (!pid) {
		ret = numa_process(kind, *load, bs, ns, look);
		if (!ret && write(pipes[1], look, sizeof(*look)) != sizeof(*look))
			ret = -EIO;
		_exit(-ret);
	}
	ret = pid < 0 ? -errno : 0;
	close(pipes[1]);
	if (!ret && read(pipes[0], look, sizeof(*look)) != sizeof(*look))
		ret = -EIO;
	close(pipes[0]);
	if (pid > 0) {
		int status;

		waitpid(pid, &status, 0);
		if (ret && WIFEXITED(status) && WEXITSTATUS(status))
			ret = -WEXITSTATUS(status);
	}
	return ret;
}

int look_numa(enum memory_kind kind, const struct load *load, size_t bs, uint64_t ns, struct look *look)
{
	char before[NR_KNOBS][32], on[32];
	size_t i;
	int ret;

	ret = file_choice(NUMA_ON, on, sizeof(on));
	for (i = 0; i < NR_KNOBS && !ret; i++)
		ret = file_choice(numa_knobs[i].path, before[i], sizeof(before[i]));
	if (ret)
		return ret;
	ret = file_write(NUMA_ON, "0");
	for (i = 0; i < NR_KNOBS && !ret; i++)
		ret = file_write(numa_knobs[i].path, "%u", numa_knobs[i].value);
	if (!ret)
		ret = numa_fork(kind, load, bs, ns, look);
	for (i = NR_KNOBS; i-- > 0;)
		file_write(numa_knobs[i].path, "%s", before[i]);
	file_write(NUMA_ON, "%s", on);
	return ret;
}

/* ---- DAMON ---- */

static int damon_region(size_t i, uintptr_t start, uintptr_t end)
{
	char path[160];
	int ret;

	snprintf(path, sizeof(path), CONTEXT "targets/0/regions/%zu/start", i);
	ret = file_write(path, "%lu", start);
	snprintf(path, sizeof(path), CONTEXT "targets/0/regions/%zu/end", i);
	return ret ?: file_write(path, "%lu", end);
}

static int damon_set(const struct load *load, size_t bs, unsigned int interval_us)
{
	size_t i, nr = load->bytes / bs;
	int ret;

	ret = file_write(DAMON "nr_kdamonds", "1") ?:
	      file_write(DAMON "0/contexts/nr_contexts", "1") ?:
	      file_write(CONTEXT "operations", "fvaddr") ?:
	      file_write(CONTEXT "monitoring_attrs/intervals/sample_us", "%u", interval_us) ?:
	      file_write(CONTEXT "monitoring_attrs/intervals/aggr_us", "%u", interval_us) ?:
	      file_write(CONTEXT "monitoring_attrs/intervals/update_us", "%u", 1000 * interval_us) ?:
	      file_write(CONTEXT "monitoring_attrs/nr_regions/max", "%zu", nr < 3 ? 3 : nr) ?:
	      file_write(CONTEXT "monitoring_attrs/nr_regions/min", "%zu", nr < 3 ? 3 : nr) ?:
	      file_write(CONTEXT "targets/nr_targets", "1") ?:
	      file_write(CONTEXT "targets/0/pid_target", "%d", getpid()) ?:
	      file_write(CONTEXT "targets/0/regions/nr_regions", "%zu", nr);
	for (i = 0; i < nr && !ret; i++)
		ret = damon_region(i, (uintptr_t)load->p + i * bs, (uintptr_t)load->p + (i + 1) * bs);
	return ret;
}

int look_damon(struct load *load, size_t bs, uint64_t ns, unsigned int interval_us, struct look *look)
{
	uint64_t without, with;
	int ret;

	load_calibrate(load, ns);
	without = load_run(load);
	ret = damon_set(load, bs, interval_us) ?: file_write(DAMON "0/state", "on");
	if (!ret) {
		with = load_run(load);
		ret = file_write(DAMON "0/state", "off");
		look->looks = (double)with / (1000.0 * interval_us) * (load->bytes / bs);
		look->ns = ((double)with - (double)without) / look->looks;
		look->faults = 0;
	}
	file_write(DAMON "nr_kdamonds", "0");
	return ret;
}
