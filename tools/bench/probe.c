// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/bench/probe.h"

#define TRACING	"/sys/kernel/tracing/"
#define GROUP	"kvoffbench"

static int kprobe_write(const char *fmt, const char *name)
{
	int fd = open(TRACING "kprobe_events", O_WRONLY | O_APPEND | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (dprintf(fd, fmt, name, name) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

static int event_id(const char *event)
{
	char path[160];
	int id = -1;
	FILE *f;

	snprintf(path, sizeof(path), TRACING "events/%s%s/id", strchr(event, '/') ? "" : GROUP "/", event);
	f = fopen(path, "re");
	if (!f)
		return -1;
	if (fscanf(f, "%d", &id) != 1)
		id = -1;
	fclose(f);
	return id;
}

int probe_up(struct probe *p)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int i;
	long cpu;

	p->nr = 0;
	for (i = 0; i < PROBE_EVENTS && p->events[i]; i++) {
		struct perf_event_attr attr = {
			.type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr), .disabled = 1, .sample_period = 0,
		};
		int id;

		if (!strchr(p->events[i], '/'))
			kprobe_write("p:" GROUP "/%s %s\n", p->events[i]);
		id = event_id(p->events[i]);
		if (id < 0)
			continue;
		attr.config = id;
		for (cpu = 0; cpu < cpus && cpu < PROBE_CPUS; cpu++) {
			int fd = syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

			if (fd >= 0)
				p->fd[p->nr++] = fd;
		}
	}
	return p->nr ? 0 : -ENOTSUP;
}

void probe_down(struct probe *p)
{
	unsigned int i;

	while (p->nr)
		close(p->fd[--p->nr]);
	for (i = 0; i < PROBE_EVENTS && p->events[i]; i++)
		if (!strchr(p->events[i], '/'))
			kprobe_write("-:" GROUP "/%s\n", p->events[i]);
}

void probe_start(struct probe *p)
{
	unsigned int i;

	for (i = 0; i < p->nr; i++)
		ioctl(p->fd[i], PERF_EVENT_IOC_RESET, 0);
	for (i = 0; i < p->nr; i++)
		ioctl(p->fd[i], PERF_EVENT_IOC_ENABLE, 0);
}

uint64_t probe_stop(struct probe *p)
{
	uint64_t sum = 0, one;
	unsigned int i;

	for (i = 0; i < p->nr; i++)
		ioctl(p->fd[i], PERF_EVENT_IOC_DISABLE, 0);
	for (i = 0; i < p->nr; i++)
		if (read(p->fd[i], &one, sizeof(one)) == sizeof(one))
			sum += one;
	return sum;
}
