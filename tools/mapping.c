// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Where processes have regions mapped. A mapping has the inode of the descriptor that it was made with, and a copy of
 * that descriptor tells its region.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/ctl.h"
#include "tools/mapping.h"
#include "tools/sysfs.h"

#define REGION_FILE	"anon_inode:[kvoff-region]"

/**
 * struct search - for a mapping of a process
 * @pid:	the process
 * @file:	of pidfd_open()
 * @inode:	of the mapping in question
 * @region:	out: whose it is
 */
struct search {
	int pid;
	int file;
	uint64_t inode;
	uint32_t region;
};

/* Is this descriptor of the process the one? 1 if it is, -errno if it cannot be seen, else 0. */
static int look_at(const char *name, void *arg)
{
	struct kvoff_region_info info = { .size = sizeof(info) };
	char path[PATH_MAX], target[sizeof(REGION_FILE)];
	struct search *s = arg;
	ssize_t length;
	struct stat st;
	int fd, ret = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd/%s", s->pid, name);
	length = readlink(path, target, sizeof(target));
	if (length != sizeof(target) - 1 || memcmp(target, REGION_FILE, length) || stat(path, &st) ||
	    st.st_ino != s->inode)
		return 0;
	fd = (int)syscall(SYS_pidfd_getfd, s->file, atoi(name), 0);
	if (fd < 0)
		/* closed meanwhile */
		return errno == EBADF ? 0 : -errno;
	if (!ioctl(fd, KVOFF_REGION_INFO, &info)) {
		s->region = info.id;
		ret = 1;
	}
	close(fd);
	return ret;
}

/* The region behind a mapping of the process: 1 and @region, 0 if its descriptor is closed, or -errno. */
static int find_region(int pid, uint64_t inode, uint32_t *region)
{
	struct search s = { .pid = pid, .inode = inode };
	char path[64];
	int ret;

	s.file = (int)syscall(SYS_pidfd_open, pid, 0);
	if (s.file < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	ret = sys_each(path, look_at, &s);
	close(s.file);
	*region = s.region;
	return ret;
}

/* Read on to the next mapping of a region; false after the last. */
static bool next_mapping(FILE *maps, struct mapping *m, uint64_t *inode)
{
	char line[PATH_MAX + 128];

	while (fgets(line, sizeof(line), maps))
		if (strstr(line, " " REGION_FILE "\n") &&
		    sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %*s %" SCNu64, &m->start, &m->end, &m->offset,
			   inode) == 4)
			return true;
	return false;
}

static FILE *open_maps(int pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	return fopen(path, "re");
}

static int complain_process(int pid, int err)
{
	if (err == ENOENT || err == ESRCH)
		complain("process %d: there is none of this number", pid);
	else if (err == EACCES || err == EPERM)
		complain("process %d: its memory cannot be looked at: that takes CAP_SYS_PTRACE (sudo kvoffctl ...)",
			 pid);
	else
		complain("process %d: its memory cannot be looked at: %s", pid, strerror(err));
	return EXIT_FAILED;
}

int mapping_at(int pid, uint64_t address, struct mapping *out)
{
	FILE *maps = open_maps(pid);
	bool found = false;
	uint64_t inode;
	int ret;

	if (!maps)
		return complain_process(pid, errno);
	while (!found && next_mapping(maps, out, &inode))
		found = address >= out->start && address < out->end;
	ret = ferror(maps) ? errno : 0;
	fclose(maps);
	if (ret)
		return complain_process(pid, ret);
	if (!found) {
		complain("process %d: %#" PRIx64 " is no memory of kvoff's (kvoffctl regions lists who has some)", pid,
			 address);
		return EXIT_FAILED;
	}
	ret = find_region(pid, inode, &out->region);
	if (ret < 0)
		return complain_process(pid, -ret);
	if (!ret) {
		complain("process %d: it has closed the descriptor that %#" PRIx64 " was mapped with: give the region and the block",
			 pid, address);
		return EXIT_FAILED;
	}
	return 0;
}

uint64_t mapping_address(int pid, uint32_t region, uint64_t offset)
{
	uint64_t address = 0, inode;
	struct mapping m;
	FILE *maps;

	maps = pid > 0 ? open_maps(pid) : NULL;
	if (!maps)
		return 0;
	while (!address && next_mapping(maps, &m, &inode))
		if (offset >= m.offset && offset - m.offset < m.end - m.start &&
		    find_region(pid, inode, &m.region) == 1 && m.region == region)
			address = m.start + (offset - m.offset);
	fclose(maps);
	return address;
}
