/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading /sys, /proc, /dev and /run. With KVOFF_SYSROOT in the environment all of them are looked for below that
 * folder: tests describe machines that way.
 */
#ifndef KVOFF_TOOLS_SYSFS_H
#define KVOFF_TOOLS_SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SYS_KVOFF	"/sys/class/kvoff"
#define SYS_PATH_MAX	512

/* A path below the root in use. */
struct sys_path {
	char s[SYS_PATH_MAX];
};
struct sys_path sys_path(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Read a small file into @buf, without its last line end, zero-terminated, cut at @len. Returns 0 or -errno. */
int sys_read(char *buf, size_t len, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Read a number: decimal, or hexadecimal with 0x. Returns 0, -errno, or -EINVAL if there is none. */
int sys_read_u64(uint64_t *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

bool sys_exists(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Where a symbolic link leads in the end, the root in use included; false if nowhere. */
bool sys_real(char out[SYS_PATH_MAX], const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/**
 * sys_each - call @fn for every entry of a folder, in the order of their names (numbers by value)
 * @dir:	the folder
 * @fn:	gets the name; what it returns other than 0 ends the walk
 * @arg:	passed on
 *
 * Returns 0, what @fn returned, or -errno if the folder cannot be read.
 */
int sys_each(const char *dir, int (*fn)(const char *name, void *arg), void *arg);

/**
 * struct node_memory - a NUMA node's memory, bytes
 * @total:	online
 * @free:	of this, free
 */
struct node_memory {
	uint64_t total;
	uint64_t free;
};

/* Returns 0 or -errno (-ENOENT: no such node). */
int sys_node_memory(int node, struct node_memory *out);

#endif
