// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Listening for memory errors. Devices tell of them as trace events, and of their lists of bad memory likewise, when
 * somebody asks for them.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cxl/libcxl.h>

#include "kvoffd.h"
#include "log.h"
#include "poison.h"

#define INSTANCE	"/sys/kernel/tracing/instances/kvoffd"

/* How often removing it is tried, and at what distance. */
#define CLOSE_TRIES	100
#define CLOSE_MS	20

/* Reads of the pipe in one turn, so that a flood of events does not keep us from the rest. */
#define READS		16

static int put(const char *file, const char *value)
{
	char path[256];
	int fd, err = 0;

	snprintf(path, sizeof(path), INSTANCE "/%s", file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		err = -errno;
	close(fd);
	return err;
}

bool poison_open(struct poison *p, int control)
{
	static const char *const events[] = {
		"events/cxl/cxl_poison/enable", "events/cxl/cxl_general_media/enable", "events/cxl/cxl_dram/enable",
		"events/ras/memory_failure_event/enable",
	};
	unsigned int heard = 0;

	p->pipe = -1;
	p->control = control;
	p->len = 0;
	if (mkdir(INSTANCE, 0700) && errno != EEXIST) {
		log_warn("memory errors are not listened for: no instance of tracefs can be made",
			 "instance=" INSTANCE " error=\"%s\"", strerror(errno));
		return false;
	}
	put("buffer_size_kb", "64");
	/* to be woken by the first event, not when the buffer is half full */
	put("buffer_percent", "0");
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		heard += !put(events[i], "1");
	if (heard)
		p->pipe = open(INSTANCE "/trace_pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (p->pipe >= 0) {
		log_info("listening for memory errors", "events=%u", heard);
		return true;
	}
	log_warn("memory errors are not listened for: this kernel has no events that tell of them",
		 "instance=" INSTANCE " error=\"%s\"", strerror(errno));
	rmdir(INSTANCE);
	return false;
}

void poison_close(struct poison *p)
{
	const struct timespec pause = { .tv_nsec = CLOSE_MS * 1000000L };

	if (p->pipe < 0)
		return;
	close(p->pipe);
	p->pipe = -1;
	/* a ring that has ended may hold the pipe for a moment longer */
	for (unsigned int i = 0; i < CLOSE_TRIES && rmdir(INSTANCE) && errno == EBUSY; i++)
		nanosleep(&pause, NULL);
}

static void tell(struct poison *p, const struct poison_range *range)
{
	struct kvoff_ctl_poison arg = { .size = sizeof(arg), .addr = range->addr, .length = range->length };

	p->records++;
	if (!ioctl(p->control, KVOFF_CTL_POISON, &arg)) {
		p->frames += arg.frames;
		log_debug("memory error", "addr=%#llx length=%llu frames=%u", (unsigned long long)range->addr,
			  (unsigned long long)range->length, arg.frames);
	} else if (errno != ERANGE) {
		/* memory that is not there is none of ours */
		p->failed++;
		log_warn("memory error could not be told to the module", "addr=%#llx length=%llu error=\"%s\"",
			 (unsigned long long)range->addr, (unsigned long long)range->length, strerror(errno));
	}
}

/* Take whole lines out of what was read; what is too long to be a line of ours is dropped. */
static void take_bytes(struct poison *p, const char *bytes, size_t len)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct poison_range range;

	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != '\n') {
			if (p->len < sizeof(p->line) - 1)
				p->line[p->len++] = bytes[i];
			continue;
		}
		p->line[p->len] = 0;
		p->len = 0;
		if (poison_event(p->line, page, &range))
			tell(p, &range);
	}
}

void poison_take(struct poison *p)
{
	char bytes[4096];
	ssize_t n;

	if (p->pipe < 0)
		return;
	for (unsigned int i = 0; i < READS; i++) {
		n = read(p->pipe, bytes, sizeof(bytes));
		if (n <= 0)
			break;
		take_bytes(p, bytes, (size_t)n);
	}
}

void poison_scan(struct poison *p)
{
	struct cxl_memdev *memdev;
	struct cxl_ctx *ctx;

	if (p->pipe < 0 || cxl_new(&ctx))
		return;
	cxl_memdev_foreach(ctx, memdev) {
		int err = cxl_memdev_trigger_poison_list(memdev);

		if (!err)
			p->scans++;
		else
			log_debug("a device does not tell its list of bad memory", "memdev=%s error=\"%s\"",
				  cxl_memdev_get_devname(memdev), strerror(err < 0 ? -err : err));
		/* a long list must not push out what another device has to say */
		poison_take(p);
	}
	cxl_unref(ctx);
}
