// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Programs close descriptors that they do not know: all of them, as daemons do when they start. Without its descriptor
 * the region could neither be grown nor shrunk, and another file would get its number. So ours stay open.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "run.h"

static bool is_ours(int fd)
{
	return fd >= 0 && (fd == run_fd || fd == run_report_fd) && !run_inside();
}

RUN_EXPORT int close(int fd)
{
	return is_ours(fd) ? 0 : real_close(fd);
}

static int close_some(unsigned int first, unsigned int last, int flags)
{
	return first <= last ? (int)syscall(SYS_close_range, first, last, flags) : 0;
}

RUN_EXPORT int close_range(unsigned int first, unsigned int last, int flags)
{
	unsigned int low = (unsigned int)run_fd, high = (unsigned int)run_report_fd, swap;

	if (run_fd < 0 || run_report_fd < 0) {
		low = (unsigned int)(run_fd < 0 ? run_report_fd : run_fd);
		high = low;
	}
	if (low > high) {
		swap = low;
		low = high;
		high = swap;
	}
	/* none of ours has the number ~0: that is a whole range */
	if (low == ~0U || high < first || low > last || flags & CLOSE_RANGE_CLOEXEC || first > last)
		return (int)syscall(SYS_close_range, first, last, flags);
	if (low >= first && low <= last) {
		if (low && close_some(first, low - 1, flags))
			return -1;
		first = low + 1;
	}
	if (high >= first && high <= last) {
		if (close_some(first, high - 1, flags))
			return -1;
		first = high + 1;
	}
	return close_some(first, last, flags);
}

RUN_EXPORT void closefrom(int first)
{
	close_range(first < 0 ? 0 : (unsigned int)first, ~0U, 0);
}

RUN_EXPORT int dup2(int from, int to)
{
	if (is_ours(to)) {
		errno = EBUSY;
		return -1;
	}
	return (int)syscall(SYS_dup2, from, to);
}

RUN_EXPORT int dup3(int from, int to, int flags)
{
	if (is_ours(to)) {
		errno = EBUSY;
		return -1;
	}
	return (int)syscall(SYS_dup3, from, to, flags);
}

void low_descriptors_take(struct low_descriptors *low)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), fd;

	memset(low, 0, sizeof(*low));
	for (fd = null; fd >= 0 && fd < RUN_FD_MIN; fd = fcntl(null, F_DUPFD_CLOEXEC, 0))
		low->taken[fd] = true;
	if (fd >= 0)
		real_close(fd);
	else
		/* there are no such numbers here: ours will be small */
		low_descriptors_give(low);
}

void low_descriptors_give(const struct low_descriptors *low)
{
	int fd;

	for (fd = 0; fd < RUN_FD_MIN; fd++)
		if (low->taken[fd])
			real_close(fd);
}
