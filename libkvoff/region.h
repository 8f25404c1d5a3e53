/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A region as this process sees it, and the two things that can be behind it: the module, or plain memory. */
#ifndef LKV_REGION_H
#define LKV_REGION_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"
#include "kvoff.h"
#include "libkvoff.h"

struct lkv_frames;
struct lkv_heap;
struct lkv_wait;
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
 * @seal:	blocks @first to @first + @nr - 1 do not change any more, and are a unit unless @tag is NULL; on failure
 *		@sealed says how many of them are sealed; -errno, without a message
 * @units:	list up to @n units; how many, or -errno, without a message
 * @window:	grow or look at the window in @arg->tier; NULL where there is no need; -errno, without a message
 * @block_alloc, @block_free: of a framed region; @index has at most KVOFF_BLOCKS_MAX entries, and on failure @done says
 *		how many of them were dealt with; -errno, without a message
 * @eventfd:	add one to this eventfd for each block that has moved; -errno, without a message
 * @present:	these blocks now have memory, or have none any more; NULL where the kernel keeps the state array
 * @detach:	tell the others that we are gone; NULL where the kernel sees it
 */
struct lkv_backend {
	int (*commit)(struct libkvoff *kv, uint64_t bytes, uint64_t *available);
	int (*uncommit)(struct libkvoff *kv, uint64_t bytes);
	int (*discard)(struct libkvoff *kv, uint64_t first, uint64_t nr);
	int (*settle)(struct libkvoff *kv, uint64_t block);
	int (*info)(struct libkvoff *kv, struct kvoff_region_info *info);
	int (*seal)(struct libkvoff *kv, uint64_t first, uint64_t nr, const void *tag, uint64_t *sealed);
	int (*units)(struct libkvoff *kv, uint64_t from, struct kvoff_unit *out, uint32_t n);
	int (*window)(struct libkvoff *kv, struct kvoff_region_window *arg);
	int (*block_alloc)(struct libkvoff *kv, const uint64_t *index, uint32_t n, uint32_t *done);
	int (*block_free)(struct libkvoff *kv, const uint64_t *index, uint32_t n, uint32_t *done);
	int (*eventfd)(struct libkvoff *kv, int fd);
	void (*present)(struct libkvoff *kv, uint64_t first, uint64_t nr, bool yes);
	void (*detach)(struct libkvoff *kv);
};

extern const struct lkv_backend lkv_device;
extern const struct lkv_backend lkv_fallback;

/**
 * struct lkv_window - a framed region's frames in a tier
 * @base:	where they are mapped, NULL if there are none
 * @bytes:	how much of it
 */
struct lkv_window {
	char *base;
	uint64_t bytes;
};

/**
 * struct lkv_reap - prefetches that somebody waits for
 * @lock:	everything here
 * @first:	the list, in the order of their calls; @last is its end
 * @nr:		how many; read without the lock by those who may have to wake somebody up
 * @epoll_fd:	what libkvoff_eventfd() returns, -1 before; readable when one of the other two is
 * @event_fd:	counts moves (by the kernel), and what else may have ended a prefetch; read without the lock, once it is
 *		there it stays
 * @timer_fd:	for the earliest deadline
 * @armed:	when @timer_fd will be readable, or is since; CLOCK_MONOTONIC in ns, 0 for never
 * @fast_tiers:	bit N: tier N is one of the fastest, as far as we know
 */
struct lkv_reap {
	pthread_mutex_t lock;
	struct lkv_wait *first;
	struct lkv_wait **last;
	size_t nr;
	int epoll_fd;
	int event_fd;
	int timer_fd;
	uint64_t armed;
	uint32_t fast_tiers;
};

/**
 * struct libkvoff - a region this process is attached to; constant after it was opened, but for what @heap, @frames and
 *		     @reap lock
 * @backend:	the module, or plain memory
 * @heap:	the allocator's book, NULL on an attached region and a framed one
 * @frames:	the book of a framed region's blocks, NULL on an attached region and a mapped one
 * @reap:	prefetches under way
 * @fd:		the attachment
 * @pid:	who mapped it: the mappings are not in a forked child
 * @rdonly:	@hint and @refs are not mapped
 * @framed:	there is no @base, but a @window for each tier
 * @block_shift: log2 of the block size
 * @length:	bytes of address space
 * @nr_blocks:	@length in blocks
 * @commit_step: in bytes, whole blocks
 * @base:	the data
 * @window:	of a framed region
 * @state:	the kernel's array, one entry a block
 * @hint:	the shared array of what clients say
 * @refs:	this attachment's references, see blocks.c
 * @shared:	fallback only: the file's head
 * @name:	for messages: "region 3 (label)"
 */
struct libkvoff {
	const struct lkv_backend *backend;
	struct lkv_heap *heap;
	struct lkv_frames *frames;
	struct lkv_reap reap;
	int fd;
	pid_t pid;
	bool rdonly;
	bool framed;
	unsigned int block_shift;
	uint64_t length;
	uint64_t nr_blocks;
	uint64_t commit_step;
	char *base;
	struct lkv_window window[KVOFF_MAX_TIERS];
	const struct kvoff_state *state;
	struct kvoff_hint *hint;
	uint32_t *refs;
	struct lkv_fallback_head *shared;
	char name[KVOFF_NAME_LEN + 32];
};

/**
 * struct lkv_create - a region to be made, all values checked
 * @tenant:	the device node's name
 * @name:	by which it is found again, empty for none; @mode and @ttl_s belong to it
 * @fast_bytes, @far_bytes: of a framed region's windows, whole blocks
 * @cloexec:	O_CLOEXEC or 0
 */
struct lkv_create {
	const char *tenant;
	char label[KVOFF_NAME_LEN];
	char name[KVOFF_NAME_LEN];
	uint32_t mode;
	uint32_t ttl_s;
	bool framed;
	uint64_t fast_bytes;
	uint64_t far_bytes;
	uint32_t block_size;
	uint64_t length;
	uint64_t unit_size;
	int cloexec;
};

/* Each sets @fd, @backend, sizes and maps of @kv; 0, or -errno with a message; @kv keeps what is to be undone. */
int lkv_device_create(struct libkvoff *kv, const struct lkv_create *create);
int lkv_device_attach(struct libkvoff *kv, int fd, int cloexec);
int lkv_device_open(struct libkvoff *kv, const char *tenant, uid_t uid, const char *name, int cloexec);
int lkv_fallback_create(struct libkvoff *kv, const struct lkv_create *create);
int lkv_fallback_attach(struct libkvoff *kv, int fd, int cloexec);

/* LIBKVOFF_FALLBACK=1 is in the environment. */
bool lkv_fallback_wanted(void);

void lkv_set_size(struct libkvoff *kv, uint32_t id, const char *label, uint32_t block_size, uint64_t length);

/* Maps @bytes of the data of @fd at @offset, aligned; NULL and a message on failure. */
void *lkv_map_data(struct libkvoff *kv, uint64_t offset, uint64_t bytes);

/* Maps an array of @bytes; NULL and a message on failure. */
void *lkv_map_array(struct libkvoff *kv, const char *what, uint64_t bytes, int prot, uint64_t offset);

/* Anonymous zero pages, NULL on failure. No malloc() in here: the caller may be somebody's malloc(). */
void *lkv_pages(size_t bytes);

/* Bytes that an array of @nr entries of @entry bytes takes in a mapping. */
static inline uint64_t lkv_array_bytes(uint64_t nr, size_t entry)
{
	return (nr * entry + 4095) & ~UINT64_C(4095);
}

/* Takes windows of the module for @create, which is framed; sets @kv->window[].bytes. 0, or -errno with a message. */
int lkv_windows_take(struct libkvoff *kv, const struct lkv_create *create);
/* Maps a framed region's windows, of which the bytes are set. 0, or -errno with a message. */
int lkv_windows_map(struct libkvoff *kv);
void lkv_windows_unmap(struct libkvoff *kv);

/* A process that opened a named region alone takes over what is in it. 0, or -errno with a message. */
int lkv_adopt(struct libkvoff *kv, const struct kvoff_region_info *info);

/* Something that a prefetch may have waited for has happened by a call of this process. */
void lkv_reap_wake(struct libkvoff *kv);
void lkv_reap_init(struct libkvoff *kv);
void lkv_reap_destroy(struct libkvoff *kv);

/* What a block's bytes are lost to, or must not be written before: both end with a discard. */
#define LKV_SPENT (KVOFF_STATE_SEALED | KVOFF_STATE_POISONED)

/* A handle of a framed region: index, and in the upper 16 bits the generation. */
#define LKV_HANDLE_SHIFT 48
#define LKV_HANDLE_INDEX ((UINT64_C(1) << LKV_HANDLE_SHIFT) - 1)

static inline uint64_t lkv_handle(uint64_t index, uint64_t location)
{
	return index | (uint64_t)KVOFF_LOC_GEN(location) << LKV_HANDLE_SHIFT;
}

/* What the upper bits of a handle say of the block is still so. */
static inline bool lkv_is_current(uint64_t handle, uint64_t location)
{
	return location & KVOFF_STATE_PRESENT && KVOFF_LOC_GEN(location) == handle >> LKV_HANDLE_SHIFT;
}

static inline uint64_t lkv_location(const struct libkvoff *kv, uint64_t block)
{
	return __atomic_load_n(&kv->state[block].location, __ATOMIC_ACQUIRE);
}

static inline bool lkv_is_present(const struct libkvoff *kv, uint64_t block)
{
	return lkv_location(kv, block) & KVOFF_STATE_PRESENT;
}

#endif
