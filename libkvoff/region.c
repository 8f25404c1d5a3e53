// SPDX-License-Identifier: LGPL-2.1-or-later
/* Opening, attaching, closing; where things are. Only address space is set up here, so that its size costs no time. */
#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "frames.h"
#include "heap.h"
#include "region.h"

_Static_assert(sizeof(void *) == 8, "a region's addresses need 64 bits");

#define DEFAULT_LENGTH	    (UINT64_C(1) << 40)
#define DEFAULT_COMMIT_STEP (UINT64_C(64) << 20)

void *lkv_pages(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

bool lkv_fallback_wanted(void)
{
	const char *value = secure_getenv("LIBKVOFF_FALLBACK");

	return value && !strcmp(value, "1");
}

void lkv_set_size(struct libkvoff *kv, uint32_t id, const char *label, uint32_t block_size, uint64_t length)
{
	kv->block_shift = (unsigned int)__builtin_ctz(block_size);
	kv->length = length;
	kv->nr_blocks = length >> kv->block_shift;
	snprintf(kv->name, sizeof(kv->name), "region %u (%.*s)", id, KVOFF_NAME_LEN, label);
}

void *lkv_map_data(struct libkvoff *kv, uint64_t offset, uint64_t bytes)
{
	int prot = kv->rdonly ? PROT_READ : PROT_READ | PROT_WRITE;
	size_t room = bytes + LKV_BASE_ALIGN;
	char size[LKV_SIZE_LEN];
	char *hole, *base;
	int err;

	/* take more address space than needed, map into its aligned part, give the rest back */
	hole = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (hole == MAP_FAILED) {
		lkv_fail(errno, "kvoff: %s: no %s of address space (%m): ask for a smaller length, or raise ulimit -v",
			 kv->name, lkv_size(size, bytes));
		return NULL;
	}
	base = (char *)(((uintptr_t)hole + LKV_BASE_ALIGN - 1) & ~((uintptr_t)LKV_BASE_ALIGN - 1));
	if (mmap(base, bytes, prot, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, kv->fd, (off_t)offset) == MAP_FAILED) {
		err = errno;
		munmap(hole, room);
		lkv_fail(err, "kvoff: %s: mapping its %s failed: %s", kv->name, lkv_size(size, bytes),
			 strerrordesc_np(err));
		return NULL;
	}
	if (base > hole)
		munmap(hole, (size_t)(base - hole));
	munmap(base + bytes, (size_t)(hole + room - (base + bytes)));
	return base;
}

void *lkv_map_array(struct libkvoff *kv, const char *what, uint64_t bytes, int prot, uint64_t offset)
{
	void *p = mmap(NULL, bytes, prot, MAP_SHARED | MAP_NORESERVE, kv->fd, (off_t)offset);
	char size[LKV_SIZE_LEN];

	if (p != MAP_FAILED)
		return p;
	lkv_fail(errno, "kvoff: %s: mapping the %s array (%s) failed: %m", kv->name, what, lkv_size(size, bytes));
	return NULL;
}

/* The rule for names in kvoff.h. */
static bool name_ok(const char *name)
{
	size_t i;

	for (i = 0; name[i]; i++)
		if (i + 1 >= KVOFF_NAME_LEN || (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i])))
			return false;
	return name[0] != '.';
}

/* Copies what the caller's version of the structure has; the rest is zero. */
static int copy_options(struct libkvoff_options *to, const struct libkvoff_options *from)
{
	const unsigned char *bytes = (const unsigned char *)from;
	size_t i;

	memset(to, 0, sizeof(*to));
	if (!from)
		return 0;
	if (from->size < offsetof(struct libkvoff_options, tenant))
		return lkv_fail(EINVAL,
				"kvoff: options: size is %zu, less than any version of struct libkvoff_options: begin "
				"with LIBKVOFF_OPTIONS_INIT",
				from->size);
	for (i = sizeof(*to); i < from->size; i++)
		if (bytes[i])
			return lkv_fail(E2BIG,
					"kvoff: options: byte %zu is set and this library (version %s) knows only %zu "
					"bytes: the program wants a newer libkvoff",
					i, KVOFF_VERSION, sizeof(*to));
	memcpy(to, from, from->size < sizeof(*to) ? from->size : sizeof(*to));
	return 0;
}

static int check_label(struct lkv_create *create, const char *label)
{
	size_t i;

	if (label) {
		if (!name_ok(label))
			return lkv_fail(EINVAL,
					"kvoff: options: label \"%.40s\" is not a name of up to %d letters, digits, "
					"'-', '_' and '.' that does not start with '.'",
					label, KVOFF_NAME_LEN - 1);
		strcpy(create->label, label);
		return 0;
	}
	snprintf(create->label, sizeof(create->label), "%s", program_invocation_short_name);
	for (i = 0; create->label[i]; i++)
		if (!isalnum((unsigned char)create->label[i]) && (i == 0 || !strchr("-_.", create->label[i])))
			create->label[i] = '-';
	return 0;
}

static int check_windows(struct lkv_create *create, const struct libkvoff_options *o, size_t block)
{
	create->framed = o->flags & LIBKVOFF_OPEN_FRAMED;
	if (!create->framed) {
		if (o->fast_bytes || o->far_bytes)
			return lkv_fail(EINVAL, "kvoff: options: fast_bytes and far_bytes are for "
					"LIBKVOFF_OPEN_FRAMED");
		return 0;
	}
	if (!o->fast_bytes && !o->far_bytes)
		return lkv_fail(EINVAL, "kvoff: options: a framed region has windows of a fixed size: set "
				"fast_bytes, far_bytes or "
				"both");
	if (o->fast_bytes > KVOFF_REGION_SIZE_MAX || o->far_bytes > KVOFF_REGION_SIZE_MAX)
		return lkv_fail(EINVAL, "kvoff: options: fast_bytes %" PRIu64 " or far_bytes %" PRIu64 " is more "
				"than 64 TiB, a "
				"region's largest",
				o->fast_bytes, o->far_bytes);
	create->fast_bytes = (o->fast_bytes + block - 1) & ~((uint64_t)block - 1);
	create->far_bytes = (o->far_bytes + block - 1) & ~((uint64_t)block - 1);
	return 0;
}

static int check_sizes(struct lkv_create *create, const struct libkvoff_options *o)
{
	uint64_t length = o->length ? o->length : DEFAULT_LENGTH;
	size_t block = o->block_size;
	int ret;
	char size[LKV_SIZE_LEN];

	if (!block) {
		block = KVOFF_BLOCK_SIZE_MAX;
		while (o->unit_size && block > o->unit_size && block > KVOFF_BLOCK_SIZE_MIN)
			block >>= 1;
	}
	if (block & (block - 1) || block < KVOFF_BLOCK_SIZE_MIN || block > KVOFF_BLOCK_SIZE_MAX)
		return lkv_fail(EINVAL,
				"kvoff: options: block_size %zu is not a power of two from 65536 (64 KiB) to 2097152 "
				"(2 MiB); 0 lets the library choose",
				o->block_size);
	ret = check_windows(create, o, block);
	if (ret)
		return ret;
	if (create->framed && !o->length)
		length = create->fast_bytes + create->far_bytes;
	if (length > KVOFF_REGION_SIZE_MAX)
		return lkv_fail(EINVAL, "kvoff: options: length %" PRIu64 " is more than 64 TiB, a region's largest",
				length);
	length = (length + block - 1) & ~((uint64_t)block - 1);
	if (o->unit_size > length)
		return lkv_fail(EINVAL,
				"kvoff: options: unit_size %" PRIu64
				" is more than the region's length (%s): make the region longer",
				o->unit_size, lkv_size(size, length));
	create->block_size = (uint32_t)block;
	create->length = length;
	create->unit_size = o->unit_size;
	return 0;
}

static int check_tenant(const struct libkvoff_options *o, const char **tenant)
{
	*tenant = o->tenant ? o->tenant : "default";
	if (!*tenant[0] || !name_ok(*tenant) || !strcmp(*tenant, "control"))
		return lkv_fail(EINVAL,
				"kvoff: options: tenant \"%.40s\" cannot be one: up to %d letters, digits, '-', '_' "
				"and "
				"'.', not starting with '.', and not \"control\"",
				*tenant, KVOFF_NAME_LEN - 1);
	return 0;
}

static int check_name(const struct libkvoff_options *o)
{
	if (o->name && (!o->name[0] || !name_ok(o->name)))
		return lkv_fail(EINVAL,
				"kvoff: options: name \"%.40s\" is not one of up to %d letters, digits, '-', '_' and "
				"'.' "
				"that does not start with '.'",
				o->name, KVOFF_NAME_LEN - 1);
	if (!o->name && (o->mode || o->ttl_s))
		return lkv_fail(EINVAL, "kvoff: options: mode and ttl_s are for a region with a name: set name too");
	if (o->mode & ~0666U)
		return lkv_fail(EINVAL, "kvoff: options: mode %#o has bits beside 0666: a region cannot be "
				"executed", o->mode);
	return 0;
}

static int check_create(struct lkv_create *create, const struct libkvoff_options *o)
{
	int ret;

	if (o->flags & ~(LIBKVOFF_OPEN_INHERIT | LIBKVOFF_OPEN_FRAMED))
		return lkv_fail(EINVAL, "kvoff: options: flags %#x for libkvoff_open(), which knows "
				"LIBKVOFF_OPEN_INHERIT and "
				"LIBKVOFF_OPEN_FRAMED only", o->flags);
	create->cloexec = o->flags & LIBKVOFF_OPEN_INHERIT ? 0 : O_CLOEXEC;
	ret = check_tenant(o, &create->tenant);
	if (!ret)
		ret = check_name(o);
	if (!ret)
		ret = check_label(create, o->label);
	if (!ret)
		ret = check_sizes(create, o);
	if (!ret && o->name) {
		strcpy(create->name, o->name);
		create->mode = o->mode;
		create->ttl_s = o->ttl_s;
	}
	return ret;
}

static void set_commit_step(struct libkvoff *kv, uint64_t step)
{
	uint64_t block = UINT64_C(1) << kv->block_shift;

	if (!step)
		step = kv->length / 16 < DEFAULT_COMMIT_STEP ? kv->length / 16 : DEFAULT_COMMIT_STEP;
	if (step > kv->length)
		step = kv->length;
	step = (step + block - 1) & ~(block - 1);
	kv->commit_step = step ? step : block;
}

static struct libkvoff *new_region(void)
{
	struct libkvoff *kv = lkv_pages(sizeof(*kv));

	if (!kv) {
		lkv_fail(ENOMEM, "kvoff: no memory for a region's bookkeeping");
		return NULL;
	}
	kv->fd = -1;
	kv->pid = getpid();
	lkv_reap_init(kv);
	return kv;
}

/* How opening ends: hand the region out, or take it apart again. */
static int open_end(struct libkvoff **out, struct libkvoff *kv, int ret)
{
	if (ret)
		libkvoff_close(kv);
	else
		*out = kv;
	return ret;
}

int libkvoff_open(struct libkvoff **out, const struct libkvoff_options *opts)
{
	struct lkv_create create = { 0 };
	struct libkvoff_options o;
	struct libkvoff *kv;
	int ret;

	if (!out)
		return lkv_fail(EINVAL, "kvoff: libkvoff_open(): no place for the region (NULL)");
	*out = NULL;
	ret = copy_options(&o, opts);
	if (!ret)
		ret = check_create(&create, &o);
	if (ret)
		return ret;
	kv = new_region();
	if (!kv)
		return -ENOMEM;
	ret = lkv_device_create(kv, &create);
	if (ret == -ENODEV && lkv_fallback_wanted())
		ret = lkv_fallback_create(kv, &create);
	if (!ret) {
		set_commit_step(kv, o.commit_step);
		ret = kv->framed ? lkv_frames_create(kv) : lkv_heap_create(kv);
	}
	return open_end(out, kv, ret);
}

int libkvoff_open_named(struct libkvoff **out, uid_t uid, const struct libkvoff_options *opts)
{
	struct kvoff_region_info info;
	struct libkvoff_options o;
	struct libkvoff *kv;
	const char *tenant;
	int ret;

	if (!out)
		return lkv_fail(EINVAL, "kvoff: libkvoff_open_named(): no place for the region (NULL)");
	*out = NULL;
	ret = copy_options(&o, opts);
	if (!ret)
		ret = check_tenant(&o, &tenant);
	if (!ret)
		ret = check_name(&o);
	if (ret)
		return ret;
	if (!o.name)
		return lkv_fail(EINVAL, "kvoff: libkvoff_open_named(): no name: set it in the options");
	if (o.flags & ~(LIBKVOFF_OPEN_INHERIT | LIBKVOFF_OPEN_RDONLY))
		return lkv_fail(EINVAL, "kvoff: options: unknown flags %#x for libkvoff_open_named()", o.flags);
	kv = new_region();
	if (!kv)
		return -ENOMEM;
	kv->rdonly = o.flags & LIBKVOFF_OPEN_RDONLY;
	ret = lkv_device_open(kv, tenant, uid, o.name, o.flags & LIBKVOFF_OPEN_INHERIT ? 0 : O_CLOEXEC);
	if (ret == -ENODEV && lkv_fallback_wanted())
		ret = lkv_fail(ENOTSUP, "kvoff: region \"%s\": plain memory (LIBKVOFF_FALLBACK=1) does not outlive "
			       "its processes: "
			       "names need the module", o.name);
	if (ret)
		goto out;
	set_commit_step(kv, o.commit_step);
	/* asked for now, that whoever came meanwhile is seen: of two that see nobody else, there must be none */
	ret = kv->backend->info(kv, &info);
	if (ret)
		lkv_fail(-ret, "kvoff: %s: it does not answer: %s", kv->name, strerrordesc_np(-ret));
	else if (!kv->rdonly && info.nr_attached == 1)
		ret = lkv_adopt(kv, &info);
out:
	return open_end(out, kv, ret);
}

int libkvoff_attach(struct libkvoff **out, int fd, const struct libkvoff_options *opts)
{
	struct libkvoff_options o;
	struct libkvoff *kv;
	int ret, cloexec;

	if (!out)
		return lkv_fail(EINVAL, "kvoff: libkvoff_attach(): no place for the region (NULL)");
	*out = NULL;
	ret = copy_options(&o, opts);
	if (ret)
		return ret;
	if (o.flags & ~(LIBKVOFF_OPEN_INHERIT | LIBKVOFF_OPEN_RDONLY))
		return lkv_fail(EINVAL, "kvoff: options: unknown flags %#x for libkvoff_attach()", o.flags);
	kv = new_region();
	if (!kv)
		return -ENOMEM;
	kv->rdonly = o.flags & LIBKVOFF_OPEN_RDONLY;
	cloexec = o.flags & LIBKVOFF_OPEN_INHERIT ? 0 : O_CLOEXEC;
	ret = lkv_device_attach(kv, fd, cloexec);
	if (ret == -ENOTTY)
		ret = lkv_fallback_attach(kv, fd, cloexec);
	if (!ret)
		set_commit_step(kv, o.commit_step);
	return open_end(out, kv, ret);
}

static void unmap(const void *p, uint64_t bytes)
{
	if (p)
		munmap((void *)p, bytes);
}

void libkvoff_close(struct libkvoff *kv)
{
	if (!kv)
		return;
	lkv_reap_destroy(kv);
	lkv_frames_destroy(kv);
	lkv_heap_destroy(kv);
	/* a forked child has none of these mappings, and may have others in their place */
	if (kv->pid == getpid()) {
		if (kv->backend && kv->backend->detach)
			kv->backend->detach(kv);
		unmap(kv->refs, lkv_array_bytes(kv->nr_blocks, sizeof(*kv->refs)));
		unmap(kv->hint, lkv_array_bytes(kv->nr_blocks, sizeof(*kv->hint)));
		unmap(kv->state, lkv_array_bytes(kv->nr_blocks, sizeof(*kv->state)));
		unmap(kv->base, kv->length);
		lkv_windows_unmap(kv);
	}
	if (kv->fd >= 0)
		close(kv->fd);
	munmap(kv, sizeof(*kv));
}

int libkvoff_fd(const struct libkvoff *kv)
{
	return kv->fd;
}

void *libkvoff_base(const struct libkvoff *kv)
{
	return kv->base;
}

size_t libkvoff_block_size(const struct libkvoff *kv)
{
	return (size_t)1 << kv->block_shift;
}

uint64_t libkvoff_offset(const struct libkvoff *kv, const void *ptr)
{
	uint64_t offset = (uintptr_t)ptr - (uintptr_t)kv->base;

	return kv->base && offset < kv->length ? offset : UINT64_MAX;
}

uint64_t libkvoff_index(const struct libkvoff *kv, const void *ptr)
{
	uint64_t offset = libkvoff_offset(kv, ptr);

	return offset == UINT64_MAX ? UINT64_MAX : offset >> kv->block_shift;
}
