// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "framed_rig.h"

static int call(int fd, unsigned long cmd, void *arg)
{
	int ret = ioctl(fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

static void *map(int fd, uint64_t bytes, int prot, uint64_t off)
{
	void *p = mmap(NULL, bytes, prot, MAP_SHARED, fd, off);

	return p == MAP_FAILED ? NULL : p;
}

static int framed_map(struct framed *f, bool writable)
{
	int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ, i;
	struct region *r = &f->r;
	bool ok;

	r->state = map(r->fd, r->nr * sizeof(*r->state), PROT_READ, KVOFF_OFF_STATE);
	ok = r->state;
	if (writable) {
		r->hint = map(r->fd, r->nr * sizeof(*r->hint), prot, KVOFF_OFF_HINT);
		r->refs = map(r->fd, r->nr * sizeof(*r->refs), prot, KVOFF_OFF_REFS);
		ok = ok && r->hint && r->refs;
	}
	for (i = 0; i < NR_WINDOWS; i++) {
		if (!f->frames[i])
			continue;
		f->window[i] = map(r->fd, f->frames[i] * r->bs, prot, KVOFF_OFF_WINDOW(f->tier[i]));
		ok = ok && f->window[i];
	}
	if (ok)
		return 0;
	framed_close(f);
	return -EIO;
}

int framed_fd(struct rig *rig, uint32_t bs, uint64_t nr)
{
	struct kvoff_region_create arg = {
		.size = sizeof(arg), .flags = KVOFF_REGION_FRAMED, .block_size = bs, .fd_flags = O_CLOEXEC,
		.length = nr * bs, .label = "framed",
	};

	return call(rig->tenant, KVOFF_REGION_CREATE, &arg);
}

int framed_create(struct rig *rig, struct framed *f, uint32_t bs, uint64_t nr, uint64_t near, uint64_t far)
{
	struct kvoff_region_info info;
	int ret, i;

	*f = (struct framed){ .tier = { rig->near, rig->far }, .frames = { near, far } };
	f->r = (struct region){ .fd = framed_fd(rig, bs, nr), .bs = bs, .nr = nr };
	if (f->r.fd < 0)
		return f->r.fd;
	ret = region_info(f->r.fd, &info);
	f->r.id = info.id;
	for (i = 0; i < NR_WINDOWS && !ret; i++)
		if (f->frames[i])
			ret = window_grow(f->r.fd, f->tier[i], f->frames[i] * bs, NULL);
	if (ret) {
		framed_close(f);
		return ret;
	}
	return framed_map(f, true);
}

int framed_attach(const struct framed *from, struct framed *f, uint32_t flags)
{
	struct kvoff_region_attach arg = { .size = sizeof(arg), .fd_flags = flags | O_CLOEXEC };

	*f = (struct framed){
		.r = { .id = from->r.id, .bs = from->r.bs, .nr = from->r.nr },
		.tier = { from->tier[NEAR], from->tier[FAR] }, .frames = { from->frames[NEAR], from->frames[FAR] },
	};
	f->r.fd = call(from->r.fd, KVOFF_REGION_ATTACH, &arg);
	if (f->r.fd < 0)
		return f->r.fd;
	return framed_map(f, (flags & O_ACCMODE) == O_RDWR);
}

void framed_close(struct framed *f)
{
	int i;

	for (i = 0; i < NR_WINDOWS; i++) {
		if (f->window[i])
			munmap(f->window[i], f->frames[i] * f->r.bs);
		f->window[i] = NULL;
	}
	region_close(&f->r);
}

int window_grow(int fd, uint32_t tier, uint64_t bytes, struct kvoff_region_window *out)
{
	struct kvoff_region_window arg = { .size = sizeof(arg), .tier = tier, .bytes = bytes };
	int ret = call(fd, KVOFF_REGION_WINDOW, &arg);

	if (out)
		*out = arg;
	return ret;
}

static int blocks_call(int fd, unsigned long cmd, uint64_t first, uint32_t nr, uint32_t *done)
{
	uint64_t blocks[KVOFF_BLOCKS_MAX];
	struct kvoff_region_blocks arg = { .size = sizeof(arg), .nr = nr, .blocks = (uintptr_t)blocks };
	uint32_t i;
	int ret;

	for (i = 0; i < nr; i++)
		blocks[i] = first + i;
	ret = call(fd, cmd, &arg);
	if (done)
		*done = arg.done;
	return ret;
}

int blocks_alloc(int fd, uint64_t first, uint32_t nr, uint32_t *done)
{
	return blocks_call(fd, KVOFF_REGION_BLOCK_ALLOC, first, nr, done);
}

int blocks_free(int fd, uint64_t first, uint32_t nr, uint32_t *done)
{
	return blocks_call(fd, KVOFF_REGION_BLOCK_FREE, first, nr, done);
}

int block_alloc(int fd, uint64_t block)
{
	return blocks_alloc(fd, block, 1, NULL);
}

int block_free(int fd, uint64_t block)
{
	return blocks_free(fd, block, 1, NULL);
}

int region_seal(int fd, uint64_t first, uint64_t nr, uint64_t *sealed)
{
	struct kvoff_region_seal arg = { .size = sizeof(arg), .first = first, .nr = nr };
	int ret = call(fd, KVOFF_REGION_SEAL, &arg);

	if (sealed)
		*sealed = arg.sealed;
	return ret;
}

int region_eventfd(int fd, int eventfd)
{
	struct kvoff_region_eventfd arg = { .size = sizeof(arg), .fd = eventfd };

	return call(fd, KVOFF_REGION_EVENTFD, &arg);
}

uint8_t *frame_of(const struct framed *f, uint64_t location)
{
	int i = KVOFF_LOC_TIER(location) == f->tier[NEAR] ? NEAR : FAR;

	return f->window[i] + (uint64_t)KVOFF_LOC_FRAME(location) * f->r.bs;
}

uint64_t acquire(const struct framed *f, uint64_t block)
{
	struct kvoff_region_settle arg = { .size = sizeof(arg), .block = block };
	uint64_t loc;

	for (;;) {
		__atomic_add_fetch(&f->r.refs[block], 1, __ATOMIC_SEQ_CST);
		loc = location(&f->r, block);
		if (!(KVOFF_LOC_FLAGS(loc) & KVOFF_STATE_MOVING))
			return loc;
		release(f, block);
		ioctl(f->r.fd, KVOFF_REGION_SETTLE, &arg);
	}
}

void release(const struct framed *f, uint64_t block)
{
	__atomic_sub_fetch(&f->r.refs[block], 1, __ATOMIC_SEQ_CST);
}
