// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the books cost, in bytes: module, shared arrays, daemon and library together, for each block in use and for
 * address space that is not. What a client causes in the kernel is charged to its memory cgroup, to the byte; frames
 * are entered by a kernel thread, in a slab cache; the daemon's own memory is in its smaps. Page tables are shown
 * apart: any mapped memory has them. So is the kernel's page array, which is there with kvoff and without.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libkvoff.h"
#include "tests/kselftest/rig.h"
#include "tools/bench/bench.h"
#include "tools/bench/memory.h"

#define BS	(64 * KIB)
#define TIB	(1024 * 1024 * MIB)
#define CGROUP	"/sys/fs/cgroup/kvoff-bench"
#define CONF	"/tmp/kvoff-bench.conf"

/**
 * struct books - bytes of metadata
 * @slab:	the client's, in slab caches
 * @pages:	the client's, in pages of the kernel
 * @tables:	the client's page tables
 * @frames:	of all frames
 * @daemon:	the daemon's own memory
 */
struct books {
	double slab;
	double pages;
	double tables;
	double frames;
	double daemon;
};

static double slab_bytes(const char *cache)
{
	unsigned long active, all, size;
	char line[256], name[64];
	double bytes = 0;
	FILE *f = fopen("/proc/slabinfo", "re");

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %lu %lu %lu", name, &active, &all, &size) == 4 && !strcmp(name, cache))
			bytes = (double)active * size;
	fclose(f);
	return bytes;
}

static void take_stock(struct books *b, pid_t daemon)
{
	const char *stat = CGROUP "/memory.stat";
	double kernel = file_key(stat, "kernel", 0);
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", daemon);
	*b = (struct books){
		.slab = file_key(stat, "slab", 0),
		.tables = file_key(stat, "pagetables", 0),
		.frames = slab_bytes("radix_tree_node"),
		.daemon = 1024.0 * file_key(path, "Anonymous", 0),
	};
	/* what is in no other column: the arrays' pages, and records where they did not fit a slab */
	b->pages = kernel - b->slab - b->tables - file_key(stat, "kernel_stack", 0) - file_key(stat, "percpu", 0);
}

/* The kernel's page array, as a share of memory; where the kernel does not count it, 64 bytes a page. */
static double page_array(void)
{
	double present = 0, array = file_key("/proc/vmstat", "nr_memmap_pages", 0) +
				    file_key("/proc/vmstat", "nr_memmap_boot_pages", 0);
	unsigned long pages;
	char line[256];
	FILE *f = fopen("/proc/zoneinfo", "re");

	if (!f)
		return 64 / 4096.0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " present %lu", &pages) == 1)
			present += pages;
	fclose(f);
	return array && present ? array / present : 64 / 4096.0;
}

static int cgroup_enter(void)
{
	int ret = file_write("/sys/fs/cgroup/cgroup.subtree_control", "+memory");

	if (!ret && mkdir(CGROUP, 0755) && errno != EEXIST)
		ret = -errno;
	return ret ?: file_write(CGROUP "/cgroup.procs", "0");
}

static void cgroup_leave(void)
{
	file_write("/sys/fs/cgroup/cgroup.procs", "0");
	rmdir(CGROUP);
}

static void daemon_stop(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	unlink(CONF);
}

/* The one beside this program, with tiers of so many bytes. */
static pid_t daemon_start(uint64_t bytes)
{
	char path[256];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
	uint64_t end = now_ms() + PATIENCE_MS;
	pid_t pid;
	FILE *f;

	if (len < 0)
		return -errno;
	path[len] = '\0';
	strcpy(strrchr(path, '/') + 1, "kvoffd");
	f = fopen(CONF, "we");
	if (!f)
		return -errno;
	fprintf(f, "[discover]\nfast_capacity = %luM\ncxl_capacity = 64M\nprobe = no\n[policy]\nname = static\n",
		bytes / MIB);
	fclose(f);
	pid = fork();
	if (!pid) {
		int fd = open("/tmp/kvoff-bench-kvoffd.log", O_WRONLY | O_CREAT | O_TRUNC, 0644);

		dup2(fd, 1);
		dup2(fd, 2);
		execl(path, path, "--config", CONF, NULL);
		_exit(127);
	}
	while (pid > 0 && now_ms() < end) {
		if (sysfs_u64("control/policy_pid") == (uint64_t)pid && tiers_sum("capacity_bytes") >= bytes)
			return pid;
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return -ECHILD;
		nap();
	}
	if (pid < 0)
		return -errno;
	daemon_stop(pid);
	return -ETIME;
}

/* Ticks pass until the daemon has seen what there is, and its memory does not grow any more. */
static void daemon_looks(pid_t pid)
{
	double before, after = -1;
	struct books b;
	int i;

	do {
		before = after;
		for (i = 0; i < 15; i++)
			usleep(200000);
		take_stock(&b, pid);
		after = b.daemon;
	} while (before != after);
}

static void show(struct bench_out *out, const struct books *before, const struct books *after, double nr)
{
	double slab = (after->slab - before->slab) / nr, pages = (after->pages - before->pages) / nr;
	double frames = (after->frames - before->frames) / nr, daemon = (after->daemon - before->daemon) / nr;
	double all = slab + pages + frames + daemon;
	double array = page_array();
	const struct { const char *what; double bytes; } rows[] = {
		{ "block records", slab }, { "shared arrays, one process", pages }, { "frames", frames },
		{ "the daemon", daemon }, { "page tables, not in the sum", (after->tables - before->tables) / nr },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		bench_row(out, &(struct bench_row){ .value = rows[i].bytes, .unit = "B" },
			  "64 KiB blocks, bytes a block: %s", rows[i].what);
	bench_row(out, &(struct bench_row){ .value = all / BS * 100, .unit = "%", .peer = "the page array",
					    .peer_value = array * 100, .of_value = true,
					    .direction = BENCH_AT_MOST, .limit = 0.15 },
		  "64 KiB blocks, module, arrays and daemon, of the memory in use");
	bench_row(out, &(struct bench_row){ .value = all / BS * 1024, .unit = "MiB/GiB" },
		  "64 KiB blocks, the same, for a GiB");
	bench_row(out, &(struct bench_row){ .value = all / BS * TIB / MIB, .unit = "MiB", .peer = "the page array",
					    .peer_value = array * TIB / MIB },
		  "64 KiB blocks, the same, for a TiB of tier memory");
}

static int region_books(struct bench_out *out, struct rig *rig, pid_t daemon, uint64_t nr)
{
	struct books none, empty, full;
	struct region r;
	uint64_t b;
	int ret;

	take_stock(&none, daemon);
	ret = region_create(rig, &r, BS, TIB / BS);
	if (ret)
		return ret;
	daemon_looks(daemon);
	take_stock(&empty, daemon);
	bench_row(out, &(struct bench_row){ .value = empty.slab + empty.pages + empty.daemon - none.slab - none.pages -
					    none.daemon, .unit = "B", .direction = BENCH_AT_MOST, .limit = MIB },
		  "a region of 1 TiB, never touched");
	ret = region_commit(&r, nr * BS, NULL);
	for (b = 0; b < nr && !ret; b++) {
		block_at(&r, b)[0] = 1;
		r.hint[b].touches++;
		r.refs[b] = 1;
	}
	if (!ret) {
		daemon_looks(daemon);
		take_stock(&full, daemon);
		show(out, &empty, &full, nr);
	}
	region_close(&r);
	return ret;
}

/* The allocator's, with everything allocated block by block. */
static int library_books(struct bench_out *out, uint64_t nr)
{
	struct libkvoff_options opts = LIBKVOFF_OPTIONS_INIT;
	double before, after;
	struct libkvoff *kv;
	uint64_t b;
	int ret;

	opts.block_size = BS;
	opts.commit_step = BS * nr / 4;
	ret = libkvoff_open(&kv, &opts);
	if (ret)
		return ret;
	before = 1024.0 * file_key("/proc/self/smaps_rollup", "Anonymous", 0);
	for (b = 0; b < nr && !ret; b++)
		ret = libkvoff_alloc(kv, BS) ? 0 : -errno;
	after = 1024.0 * file_key("/proc/self/smaps_rollup", "Anonymous", 0);
	libkvoff_close(kv);
	if (!ret)
		bench_row(out, &(struct bench_row){ .value = (after - before) / nr, .unit = "B" },
			  "64 KiB blocks, bytes an allocation: the library");
	return ret;
}

static void tiers_remove(int control)
{
	DIR *d = opendir("/sys/class/kvoff/tiers");
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			tier_remove(control, e->d_name);
	if (d)
		closedir(d);
}

static int run(struct bench_out *out)
{
	uint64_t nr = bench_quick() ? 1024 : 8192;
	struct rig rig = { .control = -1, .tenant = -1 };
	pid_t daemon = daemon_start((nr + nr / 8) * BS);
	int ret;

	if (daemon < 0) {
		bench_note(out, "kvoffd did not start: %s", strerror(-daemon));
		return daemon;
	}
	rig.tenant = open("/dev/kvoff/default", O_RDWR | O_CLOEXEC);
	rig.control = open("/dev/kvoff/control", O_RDWR | O_CLOEXEC);
	ret = rig.tenant < 0 || rig.control < 0 ? -errno : cgroup_enter();
	if (!ret)
		ret = region_books(out, &rig, daemon, nr) ?: library_books(out, nr);
	cgroup_leave();
	daemon_stop(daemon);
	if (!wait_for_sum("used_bytes", 0))
		bench_note(out, "afterwards: frames are still in use");
	tiers_remove(rig.control);
	close(rig.tenant);
	close(rig.control);
	return ret;
}

const struct bench bench_metadata = {
	.name = "metadata", .what = "bytes of books for each block", .guest = true, .run = run,
};
