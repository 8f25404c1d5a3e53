/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A region as this process sees it, and the two things that can be behind it: the module, or plain memory. */
#ifndef LKV_REGION_H
#define LKV_REGION_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"
#include "kvoff.h"
#include "libkvoff.h"

struct lkv_heap;
struct libkvoff;

/* The library's address space is aligned so, which makes every block's address a multiple of the block size. */
#define LKV_BASE_ALIGN KVOFF_BLOCK_SIZE_MAX

/**
 * struct lkv_backend - what is behind a region
 * @commit:	promise @bytes more; on failure @available says how many could be had; -errno, without a message
 * @uncommit:	take back the promise of @bytes; -errno, without a message
 * @discard:	blocks @first to @first + @nr - 1 lose their memory; -errno, without a message
 * @settle:	wait until @block is no longer being flipped; -errno, without a message
 * @info:	figures; -errno, without a message
 * @present:	these blocks now have memory, or have none any more; NULL where the kernel keeps the state array
 * @detach:	tell the others that we are gone; NULL where the kernel sees it
 */
struct lkv_backend {
	int (*commit)(struct libkvoff *kv, uint64_t bytes, uint64_t *available);
	int (*uncommit)(struct libkvoff *kv, uint64_t bytes);
	int (*discard)(struct libkvoff *kv, uint64_t first, uint64_t nr);
	int (*settle)(struct libkvoff *kv, uint64_t block);
	int (*info)(struct libkvoff *kv, struct kvoff_region_info *info);
	void (*present)(struct libkvoff *kv, uint64_t first, uint64_t nr, bool yes);
	void (*detach)(struct libkvoff *kv);
};

extern const struct lkv_backend lkv_device;
extern const struct lkv_backend lkv_fallback;

/**
 * struct libkvoff - a region this process is attached to; constant after it was opened, but for what @heap locks
 * @backend:	the module, or plain memory
 * @heap:	the allocator's book, NULL on an attached region
 * @fd:		the attachment
 * @pid:	who mapped it: the mappings are not in a forked child
 * @rdonly:	@hint and @refs are not mapped
 * @block_shift: log2 of the block size
 * @length:	bytes of address space
 * @nr_blocks:	@length in blocks
 * @commit_step: in bytes, whole blocks
 * @base:	the data
 * @state:	the kernel's array, one entry a block
 * @hint:	the shared array of what clients say
 * @refs:	this attachment's references, see blocks.c
 * @shared:	fallback only: the file's head
 * @name:	for messages: "region 3 (label)"
 */
struct libkvoff {
	const struct lkv_backend *backend;
	struct lkv_heap *heap;
	int fd;
	pid_t pid;
	bool rdonly;
	unsigned int block_shift;
	uint64_t length;
	uint64_t nr_blocks;
	uint64_t commit_step;
	char *base;
	const struct kvoff_state *state;
	struct kvoff_hint *hint;
	uint32_t *refs;
	struct lkv_fallback_head *shared;
	char name[KVOFF_NAME_LEN + 32];
};

/**
 * struct lkv_create - a region to be made, all values checked
 * @tenant:	the device node's name
 * @cloexec:	O_CLOEXEC or 0
 */
struct lkv_create {
	const char *tenant;
	char label[KVOFF_NAME_LEN];
	uint32_t block_size;
	uint64_t length;
	uint64_t unit_size;
	int cloexec;
};

/* Each sets @fd, @backend, sizes and maps of @kv; 0, or -errno with a message; @kv keeps what is to be undone. */
int lkv_device_create(struct libkvoff *kv, const struct lkv_create *create);
int lkv_device_attach(struct libkvoff *kv, int fd, int cloexec);
int lkv_fallback_create(struct libkvoff *kv, const struct lkv_create *create);
int lkv_fallback_attach(struct libkvoff *kv, int fd, int cloexec);

/* LIBKVOFF_FALLBACK=1 is in the environment. */
bool lkv_fallback_wanted(void);

void lkv_set_size(struct libkvoff *kv, uint32_t id, const char *label, uint32_t block_size, uint64_t length);

/* Maps the data of @fd at @offset, aligned; -errno with a message. */
int lkv_map_data(struct libkvoff *kv, uint64_t offset);

/* Maps an array of @bytes; NULL and a message on failure. */
void *lkv_map_array(struct libkvoff *kv, const char *what, uint64_t bytes, int prot, uint64_t offset);

/* Anonymous zero pages, NULL on failure. No malloc() in here: the caller may be somebody's malloc(). */
void *lkv_pages(size_t bytes);

/* Bytes that an array of @nr entries of @entry bytes takes in a mapping. */
static inline uint64_t lkv_array_bytes(uint64_t nr, size_t entry)
{
	return (nr * entry + 4095) & ~UINT64_C(4095);
}

static inline bool lkv_is_present(const struct libkvoff *kv, uint64_t block)
{
	return __atomic_load_n(&kv->state[block].location, __ATOMIC_ACQUIRE) & KVOFF_STATE_PRESENT;
}

#endif
