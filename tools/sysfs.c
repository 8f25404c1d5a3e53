// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading small files of /sys and /proc.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/sysfs.h"

/* secure_getenv(): a set-user-ID wrapper must not be told about another machine. */
static struct sys_path vpath(const char *fmt, va_list ap)
{
	const char *root = secure_getenv("KVOFF_SYSROOT");
	struct sys_path p;
	int n, m;

	n = snprintf(p.s, sizeof(p.s), "%s", root ? root : "");
	if (n < 0 || n >= (int)sizeof(p.s))
		n = 0;
	m = vsnprintf(p.s + n, sizeof(p.s) - n, fmt, ap);
	/* a path that does not fit names nothing */
	if (m < 0 || m >= (int)sizeof(p.s) - n)
		p.s[0] = 0;
	return p;
}

struct sys_path sys_path(const char *fmt, ...)
{
	struct sys_path p;
	va_list ap;

	va_start(ap, fmt);
	p = vpath(fmt, ap);
	va_end(ap);
	return p;
}

static int read_path(char *buf, size_t len, const char *path)
{
	size_t n = 0;
	ssize_t got;
	int fd, ret = 0;

	buf[0] = 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	while (n < len - 1) {
		got = read(fd, buf + n, len - 1 - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			ret = -errno;
		if (got <= 0)
			break;
		n += got;
	}
	close(fd);
	buf[n] = 0;
	if (n && buf[n - 1] == '\n')
		buf[n - 1] = 0;
	return ret;
}

int sys_read(char *buf, size_t len, const char *fmt, ...)
{
	struct sys_path p;
	va_list ap;

	va_start(ap, fmt);
	p = vpath(fmt, ap);
	va_end(ap);
	return read_path(buf, len, p.s);
}

int sys_read_u64(uint64_t *out, const char *fmt, ...)
{
	unsigned long long v;
	struct sys_path p;
	char buf[64], *end;
	va_list ap;
	int ret;

	va_start(ap, fmt);
	p = vpath(fmt, ap);
	va_end(ap);
	*out = 0;
	ret = read_path(buf, sizeof(buf), p.s);
	if (ret)
		return ret;
	errno = 0;
	v = strtoull(buf, &end, strncmp(buf, "0x", 2) ? 10 : 16);
	if (errno || end == buf || *buf == '-' || *end)
		return -EINVAL;
	*out = v;
	return 0;
}

bool sys_exists(const char *fmt, ...)
{
	struct sys_path p;
	va_list ap;

	va_start(ap, fmt);
	p = vpath(fmt, ap);
	va_end(ap);
	return !access(p.s, F_OK);
}

bool sys_real(char out[SYS_PATH_MAX], const char *fmt, ...)
{
	char *real, buf[PATH_MAX];
	struct sys_path p;
	va_list ap;

	va_start(ap, fmt);
	p = vpath(fmt, ap);
	va_end(ap);
	real = realpath(p.s, buf);
	if (!real || strlen(real) >= SYS_PATH_MAX)
		return false;
	strcpy(out, real);
	return true;
}

int sys_each(const char *dir, int (*fn)(const char *name, void *arg), void *arg)
{
	struct sys_path p = sys_path("%s", dir);
	struct dirent **list;
	int n, i, ret = 0;

	n = scandir(p.s, &list, NULL, versionsort);
	if (n < 0)
		return -errno;
	for (i = 0; i < n; i++) {
		if (!ret && list[i]->d_name[0] != '.')
			ret = fn(list[i]->d_name, arg);
		free(list[i]);
	}
	free(list);
	return ret;
}

int sys_node_memory(int node, struct node_memory *out)
{
	unsigned long long kb;
	char buf[4096], *field;
	int ret;

	memset(out, 0, sizeof(*out));
	ret = sys_read(buf, sizeof(buf), "/sys/devices/system/node/node%d/meminfo", node);
	if (ret)
		return ret;
	field = strstr(buf, "MemTotal:");
	if (!field || sscanf(field, "MemTotal: %llu kB", &kb) != 1)
		return -EINVAL;
	out->total = kb << 10;
	field = strstr(buf, "MemFree:");
	if (!field || sscanf(field, "MemFree: %llu kB", &kb) != 1)
		return -EINVAL;
	out->free = kb << 10;
	return 0;
}
