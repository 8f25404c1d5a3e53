/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libkvoff: memory for KV caches whose blocks move between fast memory and CXL under pointers that never change.
 *
 * Functions returning int give 0 (or a count) on success and a negative errno on failure; functions returning
 * pointers give NULL and set errno. libkvoff_strerror() says in words what went wrong in the last failed call of this
 * thread, and what to do. All functions may be called from any thread at once, except that libkvoff_close() must be
 * the last call on a region. Nothing here aborts, prints, or installs signal handlers.
 */
#ifndef LIBKVOFF_H
#define LIBKVOFF_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** struct libkvoff - a region this process is attached to; opaque */
struct libkvoff;

/**
 * struct libkvoff_options - how to open a region; begin with LIBKVOFF_OPTIONS_INIT and change what you need
 * @size:	sizeof(struct libkvoff_options); fields beyond it count as zero
 * @flags:	LIBKVOFF_OPEN_*
 * @tenant:	NULL for "default": the device node below /dev/kvoff
 * @label:	a name for people, NULL for the program's
 * @block_size:	bytes, a power of two from 64 KiB to 2 MiB; 0 for 2 MiB, or, where @unit_size is given, the largest
 *		block size not above it (64 KiB at least)
 * @length:	bytes of address space; 0 for 1 TiB, in a framed region for as many blocks as the windows have frames.
 *		Costs nothing until used. Rounded up to whole blocks
 * @unit_size:	bytes the server thinks in (one KV block of all layers, say); 0 if it has no such thing
 * @commit_step: bytes by which the library commits and uncommits; 0 for 64 MiB or 1/16 of @length, whichever is less.
 *		Rounded up to whole blocks
 * @name:	makes a region that outlives its processes, to be found by libkvoff_open_named(); NULL for none
 * @mode:	with @name: who else may open it, permission bits of 0666 as of a file; 0 for 0600
 * @ttl_s:	with @name: seconds that it waits, attached to by nobody, until it ends; 0 for ever
 * @fast_bytes:	LIBKVOFF_OPEN_FRAMED: bytes of the windows in the fastest tiers together, rounded up to whole blocks
 * @far_bytes:	LIBKVOFF_OPEN_FRAMED: bytes of the windows in all other tiers together, likewise; one of the two is
 *		needed. Each is spread over its tiers in proportion to what they have available. A block moves into a
 *		window only where a frame is free: leave some more frames than there will be blocks
 */
struct libkvoff_options {
	size_t size;
	unsigned int flags;
	const char *tenant;
	const char *label;
	size_t block_size;
	uint64_t length;
	uint64_t unit_size;
	uint64_t commit_step;
	const char *name;
	unsigned int mode;
	unsigned int ttl_s;
	uint64_t fast_bytes;
	uint64_t far_bytes;
};
#define LIBKVOFF_OPTIONS_INIT	{ .size = sizeof(struct libkvoff_options) }

/* libkvoff_open(), libkvoff_attach(): the descriptor is kept over execve() */
#define LIBKVOFF_OPEN_INHERIT	(1U << 0)
/* libkvoff_attach(): map the data read-only; nothing can be allocated, touched or acquired through it */
#define LIBKVOFF_OPEN_RDONLY	(1U << 1)
/* libkvoff_open(): a framed region: blocks by handle, in windows whose pages never change and can be registered for
 * life */
#define LIBKVOFF_OPEN_FRAMED	(1U << 2)

/**
 * libkvoff_open - make a region and attach to it
 * @kv:		out: the region
 * @opts:	options, NULL for the defaults
 *
 * Takes as long for 1 TiB as for 64 MiB: nothing is committed until it is allocated.
 * With LIBKVOFF_FALLBACK=1 in the environment and no module, the region is plain memory: everything works and
 * nothing moves (libkvoff_stats() says so).
 * A framed region takes its windows here: they are memory at once, and zero.
 * Errors: -ENODEV, the module is not loaded; -EACCES, no permission on the tenant's node; -ENOENT, no such tenant;
 * -EINVAL, an option out of range; -ENOMEM, -EMFILE. With @name: -EEXIST, this user has such a region here (see
 * libkvoff_open_named()); -ENOTSUP with the fallback. Framed: -ENOMEM, the tiers have not so much; -EDQUOT, the
 * tenant's quota. -EOPNOTSUPP, the module is of a version that knows no names or frames.
 */
int libkvoff_open(struct libkvoff **kv, const struct libkvoff_options *opts);

/**
 * libkvoff_attach - attach to a region that another process opened
 * @kv:		out: the region
 * @fd:		its libkvoff_fd() as it came from the other process (over a socket, by inheritance, by
 *		/proc/PID/fd); stays the caller's
 * @opts:	only @flags and @commit_step are used; NULL for the defaults
 *
 * The addresses differ from process to process; offsets (libkvoff_offset()) and indices are the same in all. Memory
 * is allocated by one process, by convention the one that opened the region: the allocator's book is not shared,
 * libkvoff_alloc() on an attached region fails with EPERM. So it is with the blocks of a framed region, whose handles
 * are the same in all processes.
 * Errors: -EBADF, -ENOTTY (not a region), -EACCES (more asked than the descriptor allows), -EUSERS (4096
 * attachments), -EINVAL, -ENOMEM, -EMFILE.
 */
int libkvoff_attach(struct libkvoff **kv, int fd, const struct libkvoff_options *opts);

#define LIBKVOFF_UID_SELF	((uid_t)-1)

/**
 * libkvoff_open_named - attach to a named region that is there
 * @kv:		out: the region
 * @uid:	whose it is; LIBKVOFF_UID_SELF for this process's effective user
 * @opts:	@name is needed; @flags (INHERIT, RDONLY), @tenant and @commit_step are used
 *
 * For a server that comes back: what it had sealed is where it was. In a mapped region each unit (libkvoff_units()) is
 * a live allocation that libkvoff_free() takes, and so is each sealed block that belongs to no unit, by itself. In a
 * framed region the handles of sealed blocks are what they were. All else is gone.
 *
 * Only one process may allocate, as with libkvoff_attach(): the one that opens the region, not read-only, while nobody
 * else is attached. In all others libkvoff_alloc() and libkvoff_block_alloc() fail with EPERM, and where two open it at
 * the same moment, perhaps in both.
 * Errors: -ENOENT, there is no such region (any more); -EACCES, its mode or the node's does not allow it; -EINVAL, no
 * @name; -ENOTSUP with the fallback; -EOPNOTSUPP, the module is of a version that knows no names; and those of
 * libkvoff_attach().
 */
int libkvoff_open_named(struct libkvoff **kv, uid_t uid, const struct libkvoff_options *opts);

/**
 * libkvoff_close - detach; the region and all memory in it are gone when the last one has detached
 * @kv:	the region, NULL does nothing
 */
void libkvoff_close(struct libkvoff *kv);

/** libkvoff_fd - the region's descriptor, to be passed to another process; stays the library's */
int libkvoff_fd(const struct libkvoff *kv);

/** libkvoff_base - where the region's first byte is mapped in this process; NULL for a framed region */
void *libkvoff_base(const struct libkvoff *kv);

/** libkvoff_block_size - bytes of a block */
size_t libkvoff_block_size(const struct libkvoff *kv);

/** libkvoff_offset - byte offset of @ptr in the region, or UINT64_MAX if it is not in it */
uint64_t libkvoff_offset(const struct libkvoff *kv, const void *ptr);

/** libkvoff_index - index of the block that holds @ptr, or UINT64_MAX if it is not in the region */
uint64_t libkvoff_index(const struct libkvoff *kv, const void *ptr);

/**
 * libkvoff_alloc - memory with a stable address
 * @kv:		the region
 * @size:	bytes
 *
 * At least 64-byte aligned; to 4 KiB, if @size is a multiple of that or 64 KiB and more. Where that leaves no more than
 * 1/16 unused, sizes of a block and more start on a block, and smaller ones do not straddle one unless they must. All
 * others are packed, and what is left unused goes to requests that fit there. Contents are undefined (zero where the
 * memory was never used). Recycled memory costs no system call.
 * Errors: ENOMEM, the tiers or the region are full; EDQUOT, the tenant's quota; EPERM, an attached region; EINVAL,
 * @size is 0; EOPNOTSUPP, a framed region (libkvoff_block_alloc()).
 */
void *libkvoff_alloc(struct libkvoff *kv, size_t size);

/** libkvoff_aligned_alloc - the same, aligned to @alignment: a power of two up to 1 GiB (EINVAL) */
void *libkvoff_aligned_alloc(struct libkvoff *kv, size_t alignment, size_t size);

/**
 * libkvoff_free - give it back
 * @kv:		the region
 * @ptr:	from libkvoff_alloc() or _aligned_alloc(); NULL does nothing
 *
 * Whole blocks that became free are given back to the tiers in large steps; sealed and poisoned ones at once.
 * Errors: -EINVAL, not the start of a live allocation (nothing is changed); -EOPNOTSUPP, a framed region.
 */
int libkvoff_free(struct libkvoff *kv, void *ptr);

/** libkvoff_usable_size - bytes usable at @ptr (a live allocation), 0 if it is none */
size_t libkvoff_usable_size(struct libkvoff *kv, const void *ptr);

/*
 * All of the following take block indices, @n of them, in any order, repetitions allowed. Errors: -ERANGE, an index
 * outside the region (nothing was done); -EACCES on a read-only attachment. The _ptr forms name all blocks that the
 * range touches; -ERANGE where it is not in the region, -EINVAL for a length of 0.
 *
 * In a framed region @index holds handles of libkvoff_block_alloc(). Errors, further: -ESTALE, the block of a handle
 * was freed (nothing was done). There the _ptr forms fail with -EOPNOTSUPP.
 */

/**
 * libkvoff_acquire - these blocks stay where they are until libkvoff_release()
 *
 * All or none. References nest: a block moves again when each acquire was matched by a release, or the process
 * has died. Does not wait for copies, and makes no system call unless a block is being flipped at this moment.
 * Errors: -EOVERFLOW, 2^31 - 1 references of this process to a block; -EIO, a block is poisoned: its bytes are lost to
 * a memory error, and libkvoff_discard() or freeing it makes it usable again.
 */
int libkvoff_acquire(struct libkvoff *kv, const uint64_t *index, size_t n);
int libkvoff_acquire_ptr(struct libkvoff *kv, const void *ptr, size_t len);

/**
 * libkvoff_acquire_addr - the same, and where each block's bytes are
 * @addr:	out: @n addresses, valid until libkvoff_release(); may be NULL
 *
 * The only way to a block's bytes in a framed region. In a mapped one the addresses are what they always are.
 * Errors, further: -ENXIO, a block is in a part of a window that was added after this process attached.
 */
int libkvoff_acquire_addr(struct libkvoff *kv, const uint64_t *index, size_t n, void **addr);

/** libkvoff_release - end what libkvoff_acquire() began; -EINVAL where a block is not acquired (nothing was done) */
int libkvoff_release(struct libkvoff *kv, const uint64_t *index, size_t n);
int libkvoff_release_ptr(struct libkvoff *kv, const void *ptr, size_t len);

/** libkvoff_touch - these blocks are being used; ends their prefetch, cold and done hints. A few nanoseconds a
 * block */
int libkvoff_touch(struct libkvoff *kv, const uint64_t *index, size_t n);
int libkvoff_touch_ptr(struct libkvoff *kv, const void *ptr, size_t len);

/** libkvoff_prefetch - these blocks will be used soon, in this order; a wish, no error if it is not met */
int libkvoff_prefetch(struct libkvoff *kv, const uint64_t *index, size_t n);
int libkvoff_prefetch_ptr(struct libkvoff *kv, const void *ptr, size_t len);

/**
 * libkvoff_prefetch_until - the same, and be told when they are there
 * @deadline_ns: CLOCK_MONOTONIC, in ns, when it is too late; 0 for never
 * @cookie:	given back by libkvoff_reap()
 *
 * Done when each block has been seen in one of the fastest tiers, or has nothing to wait for any more: its prefetch
 * hint was taken back (by a touch, say), it has no memory, is poisoned, or was freed. All on this attachment of the
 * region; nothing is told to other processes.
 * Errors: -ENOMEM; -ENOTSUP with the fallback; -EOPNOTSUPP, the module is of a version that does not say which tiers
 * are fast. Nothing was done.
 */
int libkvoff_prefetch_until(struct libkvoff *kv, const uint64_t *index, size_t n, uint64_t deadline_ns,
			    uint64_t cookie);

/**
 * struct libkvoff_completion - what became of a prefetch
 * @cookie:	of libkvoff_prefetch_until()
 * @n:		how many blocks it had
 * @n_fast:	how many of them are in one of the fastest tiers now
 * @late:	1 if the deadline has passed and blocks were still to come, else 0
 */
struct libkvoff_completion {
	uint64_t cookie;
	size_t n;
	size_t n_fast;
	int late;
};

/**
 * libkvoff_eventfd - a descriptor that is readable while libkvoff_reap() may have something to say
 *
 * For poll(), select() and epoll; do not read it. Stays the library's; later calls return the same. It becomes readable
 * when a block of the region has moved (so now and then for nothing), at deadlines, and when a call of this process
 * took back a hint or freed a block that somebody waits for; libkvoff_reap() makes it unreadable.
 * What another process takes back is seen by the next libkvoff_reap().
 * Errors: -EMFILE, -ENFILE, -ENOMEM; -EACCES on a read-only attachment; -ENOTSUP with the fallback; -EOPNOTSUPP, the
 * module is of a version that cannot.
 */
int libkvoff_eventfd(struct libkvoff *kv);

/**
 * libkvoff_reap - prefetches that are done or late, each once
 * @out:	room for @n
 *
 * Returns how many, 0 for none yet. Never waits. Several threads may reap; so may one that uses no libkvoff_eventfd().
 * Errors: -EINVAL, @out is NULL.
 */
int libkvoff_reap(struct libkvoff *kv, struct libkvoff_completion *out, size_t n);

/*
 * A unit is complete: it does not change any more until it is discarded or freed. Sealed blocks move without asking
 * who writes, and stay when the processes of a named region go. Whole blocks only: seal no block that part of another
 * allocation is on.
 */

#define LIBKVOFF_TAG_LEN 64

/**
 * libkvoff_seal - these blocks do not change any more
 *
 * Writing to one is a bug: it gets SIGBUS in a mapped region; in a framed one the seal is the caller's word. Sealing
 * what is sealed does nothing. libkvoff_discard() or freeing the memory ends it. The pointer range must be whole blocks
 * (-EINVAL). With the fallback, sealed blocks can be written all the same.
 * Errors: -ENODATA, a block has no memory; -EBUSY, direct I/O or the like has a block pinned; -EIO, poisoned. Then the
 * blocks of lower indices may be sealed.
 */
int libkvoff_seal(struct libkvoff *kv, const uint64_t *index, size_t n);
int libkvoff_seal_ptr(struct libkvoff *kv, void *ptr, size_t len);

/**
 * libkvoff_seal_tagged - seal a run of blocks as one unit, to be found again by its tag
 * @first:	index (framed regions: handle) of the first block
 * @nr:		how many; in a framed region the blocks of the @nr - 1 indices that follow
 * @tag:	LIBKVOFF_TAG_LEN bytes of the caller's own, not necessarily text
 *
 * The tag is gone when one of the blocks is discarded or freed; the others stay sealed.
 * Errors, further: -EEXIST, a block belongs to a unit already; -ENOTSUP with the fallback.
 */
int libkvoff_seal_tagged(struct libkvoff *kv, uint64_t first, uint64_t nr, const void *tag);

/**
 * struct libkvoff_unit - a unit sealed with a tag
 * @first:	index (framed regions: handle) of its first block
 * @nr:		how many blocks
 * @tag:	its tag
 */
struct libkvoff_unit {
	uint64_t first;
	uint64_t nr;
	unsigned char tag[LIBKVOFF_TAG_LEN];
};

/**
 * libkvoff_units - list the units in ascending order
 * @from:	those that begin at this block index (or this handle's) or above
 * @out:	room for @n
 *
 * Returns how many were written; go on with the last one's @first plus 1. Works on a read-only attachment too.
 * Errors: -EINVAL, @out is NULL; -ENOTSUP with the fallback.
 */
int libkvoff_units(struct libkvoff *kv, uint64_t from, struct libkvoff_unit *out, size_t n);

/*
 * Framed regions (LIBKVOFF_OPEN_FRAMED): what a device has registered for life cannot move, so here the windows stand
 * still and the blocks move between their frames. A block's name is a handle: index, and in its upper 16 bits a
 * generation that tells a block from one that had its index before. All calls above take handles there. A block's bytes
 * may be read and written between libkvoff_acquire_addr() and libkvoff_release() only: at other times its frame may be
 * another block's.
 */

/**
 * struct libkvoff_window - a piece of a window, to be registered
 * @addr:	its first byte in this process
 * @len:	bytes
 * @tier:	tier number
 */
struct libkvoff_window {
	void *addr;
	size_t len;
	int tier;
};

/**
 * libkvoff_windows - the windows, in pieces
 * @chunk:	bytes of a piece, a multiple of the block size; 0 for a whole window each
 * @out:	room for @n; may be NULL where @n is 0
 *
 * Returns how many pieces there are, whether they fitted or not; the last piece of a window may be shorter than @chunk.
 * Each begins at a multiple of 2 MiB or of the block size. The pages stay what they are until libkvoff_close().
 * Errors: -EOPNOTSUPP, a mapped region; -EINVAL.
 */
int libkvoff_windows(struct libkvoff *kv, size_t chunk, struct libkvoff_window *out, size_t n);

/**
 * libkvoff_block_alloc - get blocks
 * @handle:	out: @n handles
 *
 * All or none. Contents are undefined, but never another region's. Indices follow each other where they can.
 * Errors: -ENOSPC, the windows are full; -EOPNOTSUPP, a mapped region; -EPERM, an attached region; -EINVAL, @handle is
 * NULL.
 */
int libkvoff_block_alloc(struct libkvoff *kv, uint64_t *handle, size_t n);

/**
 * libkvoff_block_free - give them back
 *
 * Errors: -ESTALE, freed already, or named twice; -EBUSY, somebody has acquired one. Then those before it are freed,
 * and it and those after it are not. -ERANGE, nothing was done; -EOPNOTSUPP, -EPERM as above.
 */
int libkvoff_block_free(struct libkvoff *kv, const uint64_t *handle, size_t n);

/* What libkvoff_hint() can say; NORMAL takes all back */
enum libkvoff_hint {
	LIBKVOFF_HINT_NORMAL = 0,
	LIBKVOFF_HINT_COLD,		/* the bytes matter, just not soon */
	LIBKVOFF_HINT_SHARED,		/* a prefix that many requests share */
	LIBKVOFF_HINT_DONE,		/* the session that used it has ended */
};

/** libkvoff_hint - say something about these blocks; -EINVAL for an unknown hint */
int libkvoff_hint(struct libkvoff *kv, const uint64_t *index, size_t n, enum libkvoff_hint hint);
int libkvoff_hint_ptr(struct libkvoff *kv, const void *ptr, size_t len, enum libkvoff_hint hint);

/**
 * libkvoff_discard - the bytes are dead: the range stays allocated and reads as zero
 *
 * A pointer range must be whole blocks (-EINVAL). Errors in framed regions, further: -EBUSY, a block is acquired;
 * -ENOSPC, a block is lost to a memory error and no window has a free frame for it. Then blocks may be discarded that
 * have lower indices.
 */
int libkvoff_discard(struct libkvoff *kv, const uint64_t *index, size_t n);
int libkvoff_discard_ptr(struct libkvoff *kv, void *ptr, size_t len);

/**
 * struct libkvoff_block - what libkvoff_query() tells of a block
 * @tier:	tier number, -1 while the block has no memory
 * @flags:	LIBKVOFF_BLOCK_*
 * @generation:	changes whenever the block's frame changes; in a framed region when it is given out and taken back.
 *		Wraps at 2^16
 * @touches:	libkvoff_touch() calls by all who are attached; wraps at 2^32; 0 on a read-only attachment
 */
struct libkvoff_block {
	int tier;
	unsigned int flags;
	unsigned int generation;
	unsigned int touches;
};
#define LIBKVOFF_BLOCK_MOVING	(1U << 0)	/* a move is under way */
#define LIBKVOFF_BLOCK_ACQUIRED	(1U << 1)	/* this process holds a reference */
#define LIBKVOFF_BLOCK_SEALED	(1U << 2)	/* it does not change any more */
#define LIBKVOFF_BLOCK_POISONED	(1U << 3)	/* its bytes are lost to a memory error: discard or free it */

/**
 * libkvoff_query - where blocks are; @out has room for @n. No system call
 *
 * Errors, after which @out is filled all the same: -EIO, a block is poisoned (LIBKVOFF_BLOCK_POISONED says which);
 * -ESTALE, the block of a handle was freed (its tier is -1). Read-only attachments may ask.
 */
int libkvoff_query(struct libkvoff *kv, const uint64_t *index, size_t n, struct libkvoff_block *out);
/** libkvoff_query_ptr - the same of the one block that holds @ptr */
int libkvoff_query_ptr(struct libkvoff *kv, const void *ptr, struct libkvoff_block *out);

#define LIBKVOFF_MAX_TIERS	16

/**
 * struct libkvoff_stats - a region in figures
 * @size:	in: sizeof(struct libkvoff_stats)
 * @flags:	LIBKVOFF_STATS_*
 * @length:	bytes of address space
 * @committed:	bytes committed
 * @used:	bytes that have memory
 * @allocated:	bytes handed out by libkvoff_alloc() and not yet freed, as asked for (0 on an attached region); in a
 *		framed region those of the blocks that are not free
 * @nr_allocated: how many live allocations, or blocks
 * @nr_attached: attachments of all processes
 * @region_id:	the kernel's number for the region
 * @tier_used:	bytes in each tier
 */
struct libkvoff_stats {
	size_t size;
	unsigned int flags;
	unsigned int region_id;
	uint64_t length;
	uint64_t committed;
	uint64_t used;
	uint64_t allocated;
	uint64_t nr_allocated;
	unsigned int nr_attached;
	unsigned int reserved;
	uint64_t tier_used[LIBKVOFF_MAX_TIERS];
};
#define LIBKVOFF_STATS_FALLBACK	(1U << 0)	/* plain memory: there is no module and LIBKVOFF_FALLBACK=1 is set */

/** libkvoff_stats - fill @out; -ENODEV if the region is gone, -EINVAL for a bad @size */
int libkvoff_stats(struct libkvoff *kv, struct libkvoff_stats *out);

/**
 * libkvoff_strerror - what went wrong, for people
 * @err:	a negative errno that a function of this library returned, or errno after NULL
 *
 * Returns the message of the last failed call of this thread if it failed with @err, else a general text for @err.
 * Valid until the thread's next call into the library.
 */
const char *libkvoff_strerror(int err);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif /* LIBKVOFF_H */
