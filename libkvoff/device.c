// SPDX-License-Identifier: LGPL-2.1-or-later
/* A region of the kernel module. The only file that makes its calls. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "region.h"

#define DEVICE_DIR "/dev/kvoff"

/* A signal that does not kill the process must not fail a call that has only been waiting. */
static int call(int fd, unsigned long request, void *arg)
{
	int ret;

	do {
		ret = ioctl(fd, request, arg);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : ret;
}

static int device_commit(struct libkvoff *kv, uint64_t bytes, uint64_t *available)
{
	struct kvoff_region_commit c = { .size = sizeof(c), .bytes = bytes };
	int ret = call(kv->fd, KVOFF_REGION_COMMIT, &c);

	*available = c.available;
	return ret;
}

static int device_uncommit(struct libkvoff *kv, uint64_t bytes)
{
	struct kvoff_region_commit c = { .size = sizeof(c), .bytes = bytes };

	return call(kv->fd, KVOFF_REGION_UNCOMMIT, &c);
}

static int device_discard(struct libkvoff *kv, uint64_t first, uint64_t nr)
{
	struct kvoff_region_discard d = { .size = sizeof(d), .first = first, .nr = nr };

	return call(kv->fd, KVOFF_REGION_DISCARD, &d);
}

static int device_settle(struct libkvoff *kv, uint64_t block)
{
	struct kvoff_region_settle s = { .size = sizeof(s), .block = block };

	return call(kv->fd, KVOFF_REGION_SETTLE, &s);
}

static int device_info(struct libkvoff *kv, struct kvoff_region_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	return call(kv->fd, KVOFF_REGION_INFO, info);
}

const struct lkv_backend lkv_device = {
	.commit = device_commit,
	.uncommit = device_uncommit,
	.discard = device_discard,
	.settle = device_settle,
	.info = device_info,
};

static int map_all(struct libkvoff *kv)
{
	uint64_t nr = kv->nr_blocks;
	int ret;

	ret = lkv_map_data(kv, KVOFF_OFF_DATA);
	if (ret)
		return ret;
	kv->state = lkv_map_array(kv, "state", lkv_array_bytes(nr, sizeof(*kv->state)), PROT_READ, KVOFF_OFF_STATE);
	if (!kv->state)
		return -errno;
	if (kv->rdonly)
		return 0;
	kv->hint = lkv_map_array(kv, "hint", lkv_array_bytes(nr, sizeof(*kv->hint)), PROT_READ | PROT_WRITE,
				 KVOFF_OFF_HINT);
	if (!kv->hint)
		return -errno;
	kv->refs = lkv_map_array(kv, "reference", lkv_array_bytes(nr, sizeof(*kv->refs)), PROT_READ | PROT_WRITE,
				 KVOFF_OFF_REFS);
	return kv->refs ? 0 : -errno;
}

/* Says what is behind the error of open(), which knows only that there is no such node. */
static int open_failed(const char *node, const char *tenant, int err)
{
	switch (err) {
	case ENOENT:
		if (!access(DEVICE_DIR, F_OK))
			return lkv_fail(ENOENT,
					"kvoff: %s: there is no tenant \"%s\" here: ls " DEVICE_DIR " shows those there are; a "
					"container must be handed the node",
					node, tenant);
		/* fall through */
	case ENODEV:
	case ENXIO:
		return lkv_fail(ENODEV,
				"kvoff: %s: the kernel module is not loaded: modprobe kvoff, or set LIBKVOFF_FALLBACK=1 "
				"to run on plain memory, where nothing moves",
				node);
	case EACCES:
	case EPERM:
		return lkv_fail(EACCES,
				"kvoff: %s: no permission to open it for reading and writing, which is what makes this "
				"user (uid %u) tenant \"%s\": ls -l %s shows whose group to join",
				node, (unsigned int)geteuid(), tenant, node);
	default:
		return lkv_fail(err, "kvoff: %s: cannot be opened: %s", node, strerrordesc_np(err));
	}
}

int lkv_device_create(struct libkvoff *kv, const struct lkv_create *create)
{
	struct kvoff_region_create c = {
		.size = sizeof(c),
		.block_size = create->block_size,
		.fd_flags = (__u32)create->cloexec,
		.length = create->length,
		.unit_size = create->unit_size,
	};
	char node[sizeof(DEVICE_DIR) + 1 + KVOFF_NAME_LEN], size[LKV_SIZE_LEN];
	int fd, ret;

	snprintf(node, sizeof(node), DEVICE_DIR "/%s", create->tenant);
	memcpy(c.label, create->label, sizeof(c.label));
	fd = open(node, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return open_failed(node, create->tenant, errno);
	ret = call(fd, KVOFF_REGION_CREATE, &c);
	close(fd);
	if (ret < 0)
		return lkv_fail(-ret, "kvoff: %s: making a region of %s with blocks of %u KiB failed: %s%s", node,
				lkv_size(size, create->length), create->block_size >> 10, strerrordesc_np(-ret),
				ret == -ENOTTY ? " (the node is not kvoff's, or of an older version)" : "");
	kv->fd = ret;
	kv->backend = &lkv_device;
	lkv_set_size(kv, c.id, c.label, create->block_size, create->length);
	return map_all(kv);
}

int lkv_device_attach(struct libkvoff *kv, int fd, int cloexec)
{
	struct kvoff_region_attach a = {
		.size = sizeof(a),
		.fd_flags = (__u32)(cloexec | (kv->rdonly ? O_RDONLY : O_RDWR)),
	};
	struct kvoff_region_info info;
	int ret;

	ret = call(fd, KVOFF_REGION_ATTACH, &a);
	switch (ret) {
	case -EBADF:
		return lkv_fail(EBADF, "kvoff: attach: %d is not an open descriptor", fd);
	case -ENOTTY:
	case -EINVAL:
		return lkv_fail(ENOTTY, "kvoff: attach: descriptor %d is not a region's: pass on what libkvoff_fd() returned",
				fd);
	case -EACCES:
		return lkv_fail(EACCES,
				"kvoff: attach: descriptor %d is read-only: attach with LIBKVOFF_OPEN_RDONLY, or have a "
				"read-write one passed",
				fd);
	}
	if (ret < 0)
		return lkv_fail(-ret, "kvoff: attach: descriptor %d: %s", fd, strerrordesc_np(-ret));
	kv->fd = ret;
	kv->backend = &lkv_device;
	ret = device_info(kv, &info);
	if (ret < 0)
		return lkv_fail(-ret, "kvoff: attach: descriptor %d: the region does not answer: %s", fd,
				strerrordesc_np(-ret));
	lkv_set_size(kv, info.id, info.label, info.block_size, info.length);
	return map_all(kv);
}
