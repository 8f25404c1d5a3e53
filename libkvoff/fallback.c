// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A region without the module: a file in memory (memfd), so that other processes can attach to it as they do to a
 * real one. It holds a head, the data (of a framed region: one window, in which block and frame have the same number)
 * and the two shared arrays; references are each process's own, as nobody
 * looks at them. Nothing moves, no commit is refused, and a block counts as being in tier 0 from the first allocation
 * on it until the library gives its memory back.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "region.h"

#define FALLBACK_MAGIC UINT64_C(0x6b766f6666303031)
#define OFF_DATA       LKV_BASE_ALIGN
#define FALLBACK_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

/**
 * struct lkv_fallback_head - the first page of the file
 * @magic:	FALLBACK_MAGIC
 * @length, @unit_size, @block_size, @pid, @label: as in struct kvoff_region_info; constant
 * @window:	bytes of a framed region's window, 0 in a mapped one; constant
 * @nr_attached: attachments; a process that dies without libkvoff_close() stays counted
 * @committed:	bytes
 * @used:	bytes in blocks whose state says that they have memory
 */
struct lkv_fallback_head {
	uint64_t magic;
	uint64_t length;
	uint64_t unit_size;
	uint32_t block_size;
	int32_t pid;
	char label[KVOFF_NAME_LEN];
	uint64_t window;
	uint32_t nr_attached;
	uint64_t committed;
	uint64_t used;
};

static uint64_t state_offset(const struct libkvoff *kv)
{
	return OFF_DATA + (((kv->framed ? kv->window[0].bytes : kv->length) + 4095) & ~UINT64_C(4095));
}

static uint64_t hint_offset(const struct libkvoff *kv)
{
	return state_offset(kv) + lkv_array_bytes(kv->nr_blocks, sizeof(*kv->state));
}

static uint64_t file_size(const struct libkvoff *kv)
{
	return hint_offset(kv) + lkv_array_bytes(kv->nr_blocks, sizeof(*kv->hint));
}

static int fallback_commit(struct libkvoff *kv, uint64_t bytes, uint64_t *available)
{
	*available = 0;
	__atomic_fetch_add(&kv->shared->committed, bytes, __ATOMIC_RELAXED);
	return 0;
}

static int fallback_uncommit(struct libkvoff *kv, uint64_t bytes)
{
	__atomic_fetch_sub(&kv->shared->committed, bytes, __ATOMIC_RELAXED);
	return 0;
}

static int fallback_discard(struct libkvoff *kv, uint64_t first, uint64_t nr)
{
	struct kvoff_state *state = (struct kvoff_state *)kv->state;
	off_t start = (off_t)(OFF_DATA + (first << kv->block_shift));
	uint64_t i;
	int ret;

	for (i = first; i < first + nr; i++)
		if (state[i].location & KVOFF_STATE_SEALED)
			__atomic_fetch_and(&state[i].location, ~(__u64)KVOFF_STATE_SEALED, __ATOMIC_RELEASE);
	do {
		ret = fallocate(kv->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start,
				(off_t)(nr << kv->block_shift));
	} while (ret && errno == EINTR);
	return ret ? -errno : 0;
}

static int fallback_settle(struct libkvoff *kv, uint64_t block)
{
	return 0;
}

static int fallback_info(struct libkvoff *kv, struct kvoff_region_info *info)
{
	const struct lkv_fallback_head *head = kv->shared;

	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->block_size = head->block_size;
	info->length = head->length;
	info->unit_size = head->unit_size;
	info->committed = __atomic_load_n(&head->committed, __ATOMIC_RELAXED);
	info->used = __atomic_load_n(&head->used, __ATOMIC_RELAXED);
	info->tier_used[0] = info->used;
	info->flags = head->window ? KVOFF_REGION_FRAMED : 0;
	info->window[0] = head->window;
	info->fast_tiers = 1;
	info->nr_attached = __atomic_load_n(&head->nr_attached, __ATOMIC_RELAXED);
	info->pid = head->pid;
	info->high = kv->nr_blocks;
	memcpy(info->label, head->label, sizeof(info->label));
	return 0;
}

/* Called by the allocator only, with its lock held: nobody else writes the array. */
static void fallback_present(struct libkvoff *kv, uint64_t first, uint64_t nr, bool yes)
{
	struct kvoff_state *state = (struct kvoff_state *)kv->state;
	uint64_t i, changed = 0;

	for (i = first; i < first + nr; i++) {
		uint64_t old = state[i].location;
		uint64_t generation = (KVOFF_LOC_GEN(old) + 1) & 0xffff;

		if (!!(old & KVOFF_STATE_PRESENT) == yes)
			continue;
		__atomic_store_n(&state[i].location, generation << 16 | (yes ? KVOFF_STATE_PRESENT : 0),
				 __ATOMIC_RELEASE);
		changed++;
	}
	changed <<= kv->block_shift;
	__atomic_fetch_add(&kv->shared->used, yes ? changed : -changed, __ATOMIC_RELAXED);
}

static int fallback_seal(struct libkvoff *kv, uint64_t first, uint64_t nr, const void *tag, uint64_t *sealed)
{
	struct kvoff_state *state = (struct kvoff_state *)kv->state;

	if (tag)
		return -ENOTSUP;
	for (*sealed = 0; *sealed < nr; (*sealed)++) {
		if (!lkv_is_present(kv, first + *sealed))
			return -ENODATA;
		__atomic_fetch_or(&state[first + *sealed].location, KVOFF_STATE_SEALED, __ATOMIC_RELEASE);
	}
	return 0;
}

static int fallback_units(struct libkvoff *kv, uint64_t from, struct kvoff_unit *out, uint32_t n)
{
	return -ENOTSUP;
}

/* Indices are given out and taken back by one process, each by one thread at a time. */
static int fallback_block_alloc(struct libkvoff *kv, const uint64_t *index, uint32_t n, uint32_t *done)
{
	struct kvoff_state *state = (struct kvoff_state *)kv->state;
	uint64_t block, generation;

	for (*done = 0; *done < n; (*done)++) {
		block = index[*done];
		if (block >= kv->window[0].bytes >> kv->block_shift)
			return -ENOSPC;
		generation = (KVOFF_LOC_GEN(state[block].location) + 1) & 0xffff;
		__atomic_store_n(&state[block].location, block << 32 | generation << 16 | KVOFF_STATE_PRESENT,
				 __ATOMIC_RELEASE);
		__atomic_fetch_add(&kv->shared->used, UINT64_C(1) << kv->block_shift, __ATOMIC_RELAXED);
	}
	return 0;
}

static int fallback_block_free(struct libkvoff *kv, const uint64_t *index, uint32_t n, uint32_t *done)
{
	struct kvoff_state *state = (struct kvoff_state *)kv->state;
	uint64_t block, old;

	for (*done = 0; *done < n; (*done)++) {
		block = index[*done];
		/* as the kernel does it: one who acquires it now sees this, or is seen */
		old = __atomic_fetch_or(&state[block].location, KVOFF_STATE_MOVING, __ATOMIC_SEQ_CST);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (__atomic_load_n(&kv->refs[block], __ATOMIC_SEQ_CST)) {
			__atomic_fetch_and(&state[block].location, ~(__u64)KVOFF_STATE_MOVING, __ATOMIC_SEQ_CST);
			return -EBUSY;
		}
		__atomic_store_n(&state[block].location, (uint64_t)((KVOFF_LOC_GEN(old) + 1) & 0xffff) << 16,
				 __ATOMIC_SEQ_CST);
		__atomic_fetch_sub(&kv->shared->used, UINT64_C(1) << kv->block_shift, __ATOMIC_RELAXED);
	}
	return 0;
}

static void fallback_detach(struct libkvoff *kv)
{
	if (!kv->rdonly)
		__atomic_fetch_sub(&kv->shared->nr_attached, 1, __ATOMIC_RELAXED);
	munmap(kv->shared, sizeof(*kv->shared));
}

const struct lkv_backend lkv_fallback = {
	.commit = fallback_commit,
	.uncommit = fallback_uncommit,
	.discard = fallback_discard,
	.settle = fallback_settle,
	.info = fallback_info,
	.seal = fallback_seal,
	.units = fallback_units,
	.block_alloc = fallback_block_alloc,
	.block_free = fallback_block_free,
	.present = fallback_present,
	.detach = fallback_detach,
};

/* Not inherited by fork, as a real region is not: what works here works there. */
static void keep_from_children(struct libkvoff *kv)
{
	uint64_t nr = kv->nr_blocks;

	if (kv->framed)
		madvise(kv->window[0].base, kv->window[0].bytes, MADV_DONTFORK);
	else
		madvise(kv->base, kv->length, MADV_DONTFORK);
	madvise((void *)kv->state, lkv_array_bytes(nr, sizeof(*kv->state)), MADV_DONTFORK);
	if (kv->rdonly)
		return;
	madvise(kv->hint, lkv_array_bytes(nr, sizeof(*kv->hint)), MADV_DONTFORK);
	madvise(kv->refs, lkv_array_bytes(nr, sizeof(*kv->refs)), MADV_DONTFORK);
}

static int map_all(struct libkvoff *kv)
{
	int prot = kv->rdonly ? PROT_READ : PROT_READ | PROT_WRITE;
	uint64_t nr = kv->nr_blocks;
	void *head, *data;

	head = mmap(NULL, sizeof(*kv->shared), prot, MAP_SHARED, kv->fd, 0);
	if (head == MAP_FAILED)
		return lkv_fail(errno, "kvoff: %s: mapping plain memory (LIBKVOFF_FALLBACK=1) failed: %m", kv->name);
	kv->shared = head;
	kv->backend = &lkv_fallback;
	if (!kv->rdonly)
		__atomic_fetch_add(&kv->shared->nr_attached, 1, __ATOMIC_RELAXED);
	data = lkv_map_data(kv, OFF_DATA, kv->framed ? kv->window[0].bytes : kv->length);
	if (!data)
		return -errno;
	if (kv->framed)
		kv->window[0].base = data;
	else
		kv->base = data;
	kv->state = lkv_map_array(kv, "state", lkv_array_bytes(nr, sizeof(*kv->state)), prot, state_offset(kv));
	if (!kv->state)
		return -errno;
	if (!kv->rdonly) {
		kv->hint = lkv_map_array(kv, "hint", lkv_array_bytes(nr, sizeof(*kv->hint)), prot, hint_offset(kv));
		if (!kv->hint)
			return -errno;
		kv->refs = lkv_pages(lkv_array_bytes(nr, sizeof(*kv->refs)));
		if (!kv->refs)
			return lkv_fail(ENOMEM, "kvoff: %s: no memory for the reference array", kv->name);
	}
	keep_from_children(kv);
	return 0;
}

int lkv_fallback_create(struct libkvoff *kv, const struct lkv_create *create)
{
	struct lkv_fallback_head head = {
		.magic = FALLBACK_MAGIC,
		.length = create->length,
		.unit_size = create->unit_size,
		.block_size = create->block_size,
		.pid = getpid(),
		.window = create->framed ? create->fast_bytes + create->far_bytes : 0,
		.committed = create->framed ? create->fast_bytes + create->far_bytes : 0,
	};
	char file[KVOFF_NAME_LEN + 16], size[LKV_SIZE_LEN];

	if (create->name[0])
		return lkv_fail(ENOTSUP,
				"kvoff: region \"%s\": plain memory (LIBKVOFF_FALLBACK=1) does not outlive its "
				"processes: a name needs "
				"the module", create->name);
	kv->framed = create->framed;
	kv->window[0].bytes = head.window;
	memcpy(head.label, create->label, sizeof(head.label));
	snprintf(file, sizeof(file), "kvoff-%s", create->label);
	lkv_set_size(kv, 0, create->label, create->block_size, create->length);
	kv->fd = memfd_create(file, (create->cloexec ? MFD_CLOEXEC : 0) | MFD_ALLOW_SEALING);
	if (kv->fd < 0)
		return lkv_fail(errno, "kvoff: %s: memfd_create for plain memory (LIBKVOFF_FALLBACK=1) failed: %m", kv->name);
	if (ftruncate(kv->fd, (off_t)file_size(kv)) || pwrite(kv->fd, &head, sizeof(head), 0) != sizeof(head) ||
	    fcntl(kv->fd, F_ADD_SEALS, FALLBACK_SEALS))
		return lkv_fail(errno, "kvoff: %s: no plain memory of %s (LIBKVOFF_FALLBACK=1): %m", kv->name,
				lkv_size(size, kv->length));
	return map_all(kv);
}

/* The file comes from another process: believe nothing that could lead outside it. */
static bool head_ok(int fd, const struct lkv_fallback_head *head, struct libkvoff *kv)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & FALLBACK_SEALS) != FALLBACK_SEALS || fstat(fd, &st) || head->magic != FALLBACK_MAGIC)
		return false;
	if (head->block_size < KVOFF_BLOCK_SIZE_MIN || head->block_size > KVOFF_BLOCK_SIZE_MAX ||
	    head->block_size & (head->block_size - 1) || !head->length || head->length > KVOFF_REGION_SIZE_MAX ||
	    head->length & (head->block_size - 1) || head->window > 2 * KVOFF_REGION_SIZE_MAX ||
	    head->window & (head->block_size - 1))
		return false;
	kv->framed = head->window;
	kv->window[0].bytes = head->window;
	lkv_set_size(kv, 0, head->label, head->block_size, head->length);
	return (uint64_t)st.st_size == file_size(kv);
}

int lkv_fallback_attach(struct libkvoff *kv, int fd, int cloexec)
{
	int mode = fcntl(fd, F_GETFL) & O_ACCMODE;
	struct lkv_fallback_head head;

	if (pread(fd, &head, sizeof(head), 0) != sizeof(head) || !head_ok(fd, &head, kv))
		return lkv_fail(ENOTTY, "kvoff: attach: descriptor %d is not a region's: pass on what libkvoff_fd() returned",
				fd);
	if (!lkv_fallback_wanted())
		return lkv_fail(ENOTTY,
				"kvoff: attach: descriptor %d is a region of plain memory (its process runs with "
				"LIBKVOFF_FALLBACK=1): set LIBKVOFF_FALLBACK=1 here too",
				fd);
	if (mode == O_RDONLY && !kv->rdonly)
		return lkv_fail(EACCES,
				"kvoff: attach: descriptor %d is read-only: attach with LIBKVOFF_OPEN_RDONLY, or have a "
				"read-write one passed",
				fd);
	kv->fd = fcntl(fd, cloexec ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
	if (kv->fd < 0)
		return lkv_fail(errno, "kvoff: attach: descriptor %d cannot be duplicated: %m", fd);
	return map_all(kv);
}
