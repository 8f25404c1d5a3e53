/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Named regions: making, finding, removing them, and processes that die.
 */
#ifndef NAMED_H
#define NAMED_H

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "seal.h"

#define BS	(64 * KIB)
#define NR	24

/* A descriptor, or -errno. */
static inline int named_create(int tenant, const char *name, uint32_t mode, uint32_t ttl_s)
{
	struct kvoff_region_create arg = {
		.size = sizeof(arg), .flags = KVOFF_REGION_NAMED, .block_size = BS, .fd_flags = O_CLOEXEC,
		.length = NR * BS, .mode = mode, .ttl_s = ttl_s,
	};
	int fd;

	memcpy(arg.name, name, strnlen(name, sizeof(arg.name)));
	fd = ioctl(tenant, KVOFF_REGION_CREATE, &arg);
	return fd < 0 ? -errno : fd;
}

/* A descriptor, or -errno. */
static inline int named_open(int tenant, const char *name, uint32_t uid, uint32_t flags)
{
	struct kvoff_region_open arg = { .size = sizeof(arg), .fd_flags = flags | O_CLOEXEC, .uid = uid };
	int fd;

	memcpy(arg.name, name, strnlen(name, sizeof(arg.name)));
	fd = ioctl(tenant, KVOFF_REGION_OPEN, &arg);
	return fd < 0 ? -errno : fd;
}

/* Maps what such a descriptor is for, and closes it, also where there is none. 0 or -errno. */
static inline int named_map(int fd, struct region *r)
{
	struct region from = { .fd = fd, .bs = BS, .nr = NR };
	struct kvoff_region_info info;
	int ret;

	r->fd = -1;
	if (fd < 0)
		return fd;
	ret = region_info(fd, &info);
	from.id = info.id;
	ret = ret ?: region_attach(&from, r, O_RDWR);
	close(fd);
	return ret;
}

static inline int named_remove(int control, uint32_t id, uint32_t *nr_attached)
{
	struct kvoff_ctl_region_remove arg = { .size = sizeof(arg), .id = id };

	if (ioctl(control, KVOFF_CTL_REGION_REMOVE, &arg))
		return -errno;
	if (nr_attached)
		*nr_attached = arg.nr_attached;
	return 0;
}

/* How many regions there are; their numbers, up to @nr. */
static inline int region_ids(int control, uint32_t *ids, uint32_t nr)
{
	struct kvoff_ctl_regions arg = { .size = sizeof(arg), .nr = nr, .ids = (uintptr_t)ids };

	return ioctl(control, KVOFF_CTL_REGIONS, &arg) ? -errno : (int)arg.nr;
}

/* Whatever has a name loses it; what nobody is attached to ends. */
static inline void named_remove_all(int control)
{
	static uint32_t ids[1024];
	int i, n = region_ids(control, ids, 1024);

	for (i = 0; i < n; i++)
		named_remove(control, ids[i], NULL);
}

static inline bool wait_until(bool (*is_so)(uint32_t id), uint32_t id)
{
	return comes_true(is_so(id));
}

static inline bool rests(uint32_t id)
{
	return sysfs_u64("regions/%u/attached", id) == 0;
}

static inline bool has_ended(uint32_t id)
{
	return sysfs_u64("regions/%u/attached", id) == UINT64_MAX;
}

static inline int exit_status(pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

/* The exit status of @run in a process of its own; errno for results that are negative. */
#define in_child(run) ({						\
	pid_t child_ = fork();						\
	int ret_;							\
									\
	if (!child_) {							\
		ret_ = (run);						\
		_exit(ret_ < 0 ? -ret_ : 0);				\
	}								\
	exit_status(child_);						\
})

#endif /* NAMED_H */
