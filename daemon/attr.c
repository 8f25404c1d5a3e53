// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading attributes of sysfs and procfs.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "attr.h"

static int read_text(char *value, size_t len, const char *format, va_list args)
{
	char path[PATH_MAX];
	ssize_t got;
	int fd, err;

	value[0] = 0;
	if (vsnprintf(path, sizeof(path), format, args) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	got = read(fd, value, len - 1);
	err = errno;
	close(fd);
	if (got < 0)
		return -err;
	while (got && isspace((unsigned char)value[got - 1]))
		got--;
	value[got] = 0;
	return (int)got;
}

int attr_text(char *value, size_t len, const char *path, ...)
{
	va_list args;
	int ret;

	va_start(args, path);
	ret = read_text(value, len, path, args);
	va_end(args);
	return ret;
}

int attr_number(uint64_t *value, const char *path, ...)
{
	char text[64], *end;
	unsigned long long n;
	va_list args;
	int ret;

	va_start(args, path);
	ret = read_text(text, sizeof(text), path, args);
	va_end(args);
	if (ret < 0)
		return ret;
	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || *end)
		return -EINVAL;
	*value = n;
	return 0;
}
