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
#define NODE_LEN   (sizeof(DEVICE_DIR) + 1 + KVOFF_NAME_LEN)

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

static int device_seal(struct libkvoff *kv, uint64_t first, uint64_t nr, const void *tag, uint64_t *sealed)
{
	struct kvoff_region_seal s = { .size = sizeof(s), .first = first, .nr = nr };
	int ret;

	if (tag) {
		s.flags = KVOFF_SEAL_TAG;
		memcpy(s.tag, tag, sizeof(s.tag));
	}
	ret = call(kv->fd, KVOFF_REGION_SEAL, &s);
	*sealed = s.sealed;
	return ret;
}

static int device_units(struct libkvoff *kv, uint64_t from, struct kvoff_unit *out, uint32_t n)
{
	struct kvoff_region_units u = { .size = sizeof(u), .nr = n, .from = from, .units = (uintptr_t)out };
	int ret = call(kv->fd, KVOFF_REGION_UNITS, &u);

	return ret ? ret : (int)u.nr;
}

static int device_window(struct libkvoff *kv, struct kvoff_region_window *arg)
{
	arg->size = sizeof(*arg);
	return call(kv->fd, KVOFF_REGION_WINDOW, arg);
}

static int blocks_call(struct libkvoff *kv, unsigned long request, const uint64_t *index, uint32_t n, uint32_t *done)
{
	struct kvoff_region_blocks b = { .size = sizeof(b), .nr = n, .blocks = (uintptr_t)index };
	int ret = call(kv->fd, request, &b);

	*done = b.done;
	return ret;
}

static int device_block_alloc(struct libkvoff *kv, const uint64_t *index, uint32_t n, uint32_t *done)
{
	return blocks_call(kv, KVOFF_REGION_BLOCK_ALLOC, index, n, done);
}

static int device_block_free(struct libkvoff *kv, const uint64_t *index, uint32_t n, uint32_t *done)
{
	return blocks_call(kv, KVOFF_REGION_BLOCK_FREE, index, n, done);
}

static int device_eventfd(struct libkvoff *kv, int fd)
{
	struct kvoff_region_eventfd e = { .size = sizeof(e), .fd = fd };

	return call(kv->fd, KVOFF_REGION_EVENTFD, &e);
}

const struct lkv_backend lkv_device = {
	.commit = device_commit,
	.uncommit = device_uncommit,
	.discard = device_discard,
	.settle = device_settle,
	.info = device_info,
	.seal = device_seal,
	.units = device_units,
	.window = device_window,
	.block_alloc = device_block_alloc,
	.block_free = device_block_free,
	.eventfd = device_eventfd,
};

static int map_all(struct libkvoff *kv)
{
	uint64_t nr = kv->nr_blocks;
	int ret;

	if (kv->framed) {
		ret = lkv_windows_map(kv);
		if (ret)
			return ret;
	} else {
		kv->base = lkv_map_data(kv, KVOFF_OFF_DATA, kv->length);
		if (!kv->base)
			return -errno;
	}
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

/* -errno with a message. */
static int open_node(char *node, size_t size, const char *tenant)
{
	int fd;

	snprintf(node, size, DEVICE_DIR "/%s", tenant);
	fd = open(node, O_RDWR | O_CLOEXEC);
	return fd < 0 ? open_failed(node, tenant, errno) : fd;
}

static int create_failed(const char *node, const struct lkv_create *create, int err)
{
	const char *hint = err == ENOTTY ? " (the node is not kvoff's, or of an older version)" : "";
	char size[LKV_SIZE_LEN];

	if (err == EEXIST)
		return lkv_fail(err,
				"kvoff: %s: this user has a region of the name \"%s\" already: libkvoff_open_named() "
				"attaches to "
				"it, kvoffctl regions rm ends it",
				node, create->name);
	/* a module that does not know the flags, or the fields at the end */
	if ((err == EINVAL || err == E2BIG || err == EOPNOTSUPP) && (create->framed || create->name[0]))
		return lkv_fail(EOPNOTSUPP,
				"kvoff: %s: a region%s%s was refused (%s): this kernel module is of a version that "
				"does not know "
				"such",
				node, create->framed ? " with LIBKVOFF_OPEN_FRAMED" : "",
				create->name[0] ? " with a name" : "", strerrordesc_np(err));
	return lkv_fail(err, "kvoff: %s: making a region of %s with blocks of %u KiB failed: %s%s", node,
			lkv_size(size, create->length), create->block_size >> 10, strerrordesc_np(err), hint);
}

int lkv_device_create(struct libkvoff *kv, const struct lkv_create *create)
{
	struct kvoff_region_create c = {
		.size = sizeof(c),
		.flags = (create->framed ? KVOFF_REGION_FRAMED : 0) | (create->name[0] ? KVOFF_REGION_NAMED : 0),
		.mode = create->mode,
		.ttl_s = create->ttl_s,
		.block_size = create->block_size,
		.fd_flags = (__u32)create->cloexec,
		.length = create->length,
		.unit_size = create->unit_size,
	};
	char node[NODE_LEN];
	int fd, ret;

	memcpy(c.label, create->label, sizeof(c.label));
	memcpy(c.name, create->name, sizeof(c.name));
	fd = open_node(node, sizeof(node), create->tenant);
	if (fd < 0)
		return fd;
	ret = call(fd, KVOFF_REGION_CREATE, &c);
	close(fd);
	if (ret < 0)
		return create_failed(node, create, -ret);
	kv->fd = ret;
	kv->backend = &lkv_device;
	kv->framed = create->framed;
	lkv_set_size(kv, c.id, c.label, create->block_size, create->length);
	ret = kv->framed ? lkv_windows_take(kv, create) : 0;
	return ret ? ret : map_all(kv);
}

/* What the region is comes from the kernel. */
static int map_attached(struct libkvoff *kv)
{
	struct kvoff_region_info info;
	unsigned int tier;
	int ret;

	kv->backend = &lkv_device;
	ret = device_info(kv, &info);
	if (ret < 0)
		return lkv_fail(-ret, "kvoff: attach: the region does not answer: %s", strerrordesc_np(-ret));
	kv->framed = info.flags & KVOFF_REGION_FRAMED;
	lkv_set_size(kv, info.id, info.label, info.block_size, info.length);
	for (tier = 0; tier < KVOFF_MAX_TIERS; tier++)
		kv->window[tier].bytes = info.window[tier];
	return map_all(kv);
}

int lkv_device_open(struct libkvoff *kv, const char *tenant, uid_t uid, const char *name, int cloexec)
{
	struct kvoff_region_open o = {
		.size = sizeof(o),
		.fd_flags = (__u32)(cloexec | (kv->rdonly ? O_RDONLY : O_RDWR)),
		.uid = uid == LIBKVOFF_UID_SELF ? KVOFF_UID_SELF : uid,
	};
	char node[NODE_LEN];
	int fd, ret;

	snprintf(o.name, sizeof(o.name), "%s", name);
	fd = open_node(node, sizeof(node), tenant);
	if (fd < 0)
		return fd;
	ret = call(fd, KVOFF_REGION_OPEN, &o);
	close(fd);
	switch (ret) {
	case -ENOENT:
		return lkv_fail(ENOENT,
				"kvoff: %s: there is no region of the name \"%s\" of user %u in this IPC namespace: "
				"make it with "
				"libkvoff_open() and a name; kvoffctl regions shows those there are",
				node, name, (unsigned int)(uid == LIBKVOFF_UID_SELF ? geteuid() : uid));
	case -EACCES:
		return lkv_fail(EACCES,
				"kvoff: %s: the mode of region \"%s\" does not let user %u %s: whoever makes it "
				"gives it a mode",
				node, name, (unsigned int)geteuid(), kv->rdonly ? "read it" : "read and write it");
	case -ENOTTY:
		return lkv_fail(EOPNOTSUPP, "kvoff: %s: this kernel module is of a version that knows no named "
				"regions", node);
	}
	if (ret < 0)
		return lkv_fail(-ret, "kvoff: %s: opening region \"%s\": %s", node, name, strerrordesc_np(-ret));
	kv->fd = ret;
	return map_attached(kv);
}

int lkv_device_attach(struct libkvoff *kv, int fd, int cloexec)
{
	struct kvoff_region_attach a = {
		.size = sizeof(a),
		.fd_flags = (__u32)(cloexec | (kv->rdonly ? O_RDONLY : O_RDWR)),
	};
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
	return map_attached(kv);
}
