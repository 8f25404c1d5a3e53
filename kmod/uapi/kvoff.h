/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * kvoff: keep the blocks of an LLM inference server's KV cache in tiers of memory and move them while
 * their names stay the same.
 *
 * Devices
 *	/dev/kvoff/<tenant>	clients: create regions (KVOFF_REGION_CREATE), find named ones (KVOFF_REGION_OPEN)
 *	/dev/kvoff/control	CAP_SYS_ADMIN: tiers, tenants, the list of regions, the policy lease, moves
 *
 * How every ioctl works
 *	Its argument is a structure whose first __u32 is the structure's size as the caller knows it. A caller
 *	built against an older header passes a smaller size: the rest counts as zero. A caller built against a
 *	newer one passes a larger size: what this kernel does not know must be zero, or the call fails with
 *	E2BIG. A call's number stays when its structure grows. Fields named "reserved" and unknown flag bits must
 *	be zero, or the call fails with EINVAL. Structures hold fixed-width types only; addresses travel as
 *	__aligned_u64.
 *
 * Errors that every call shares
 *	ENOTTY		no such call on this kind of descriptor
 *	EINVAL		size below the structure's first version, a reserved field or unknown flag set, a value out of
 *			its documented range
 *	E2BIG		size beyond a page, or trailing bytes that this kernel does not know are not zero
 *	EFAULT		an address cannot be read or written
 *	EACCES		the descriptor is read-only and the call changes something
 *	ENOMEM		no kernel memory for the call's own bookkeeping
 *	EINTR		a fatal signal came while the call waited
 * Each call's comment lists what it adds.
 */
#ifndef _UAPI_KVOFF_H
#define _UAPI_KVOFF_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Version of this interface, in the module's /sys/class/kvoff/control/abi_version. Grows with each addition. */
#define KVOFF_ABI_VERSION	3

/* Block sizes: a power of two in this range, fixed for each region. */
#define KVOFF_BLOCK_SIZE_MIN	(64U << 10)
#define KVOFF_BLOCK_SIZE_MAX	(2U << 20)
#define KVOFF_NR_BLOCK_SIZES	6

/* At most this many tiers; tier numbers are 0 to KVOFF_MAX_TIERS - 1. */
#define KVOFF_MAX_TIERS		16
#define KVOFF_TIER_NONE		0xff

/* Bytes of a name, the terminating zero included. Letters, digits, '-', '_' and '.', not starting with '.'. */
#define KVOFF_NAME_LEN		32

/* A region's largest size: 64 TiB. */
#define KVOFF_REGION_SIZE_MAX	(1ULL << 46)

#define KVOFF_IOC_TYPE		'K'

/* ------------------------------------------------------------------------------------------------
 * Shared arrays: one entry a block, mapped from a region descriptor at these file offsets. The data itself
 * is mapped at offset 0. Nobody makes a system call to use them; pages that were never used cost nothing.
 */
#define KVOFF_OFF_DATA		0ULL
#define KVOFF_OFF_STATE		(1ULL << 48)	/* struct kvoff_state[], read-only, written by the kernel */
#define KVOFF_OFF_HINT		(2ULL << 48)	/* struct kvoff_hint[], shared by all who are attached */
#define KVOFF_OFF_REFS		(3ULL << 48)	/* __u32[], this attachment's own; gone with its descriptor */

/* A framed region has no data at KVOFF_OFF_DATA, but a window for each tier, with the region's frames there. */
#define KVOFF_OFF_WINDOW(tier)	((4ULL + (tier)) << 48)

/**
 * struct kvoff_state - where a block is; written by the kernel only
 * @location:	tier, flags, generation and frame in one word, so that a reader sees them together:
 *		bits 0-7 KVOFF_STATE_*, 8-15 tier, 16-31 generation, 32-63 frame index (framed regions: the block's
 *		bytes are at KVOFF_OFF_WINDOW(tier) + frame index * block size). The generation counts the frames that
 *		the block has had; in framed regions, how often it was given to a user and taken back
 * @samples:	how often the block was unmapped to see whether it is in use; wraps
 * @refaults:	how often a block so unmapped was used again; wraps. @samples minus @refaults grows by one for
 *		each sample nobody came back to
 * @reason:	what brought the block to its tier: the policy's own code of its last move (struct
 *		kvoff_move_desc::reason), or KVOFF_REASON_*. It goes with the block's frame: a block that is first
 *		used after it was discarded or freed begins with KVOFF_REASON_NONE
 * @reserved:	zero
 */
struct kvoff_state {
	__aligned_u64 location;
	__u16 samples;
	__u16 refaults;
	__u16 reason;
	__u16 reserved;
};

/* Reasons that are no policy's, which keeps clear of them. */
#define KVOFF_REASON_NONE	0	/* it was first used there, or nobody said why it moved */
#define KVOFF_REASON_DRAIN	0xfffe	/* the tier that it was in was to be emptied: kvoffctl's moves */
#define KVOFF_REASON_RESCUE	0xffff	/* the memory that it was in is bad: the module's own */

#define KVOFF_STATE_PRESENT	(1U << 0)	/* the block has a frame */
#define KVOFF_STATE_MOVING	(1U << 1)	/* its location is being changed now: see KVOFF_OFF_REFS' rule below */
#define KVOFF_STATE_COPYING	(1U << 2)	/* a copy to another tier is under way; for information */
#define KVOFF_STATE_SEALED	(1U << 3)	/* its bytes do not change until it is discarded or freed */
#define KVOFF_STATE_POISONED	(1U << 4)	/* its bytes are lost to a memory error: discard or free it */
/* bits 5-7 are for later */

#define KVOFF_LOC_FLAGS(loc)	((__u32)((loc) & 0xff))
#define KVOFF_LOC_TIER(loc)	((__u32)(((loc) >> 8) & 0xff))
#define KVOFF_LOC_GEN(loc)	((__u32)(((loc) >> 16) & 0xffff))
#define KVOFF_LOC_FRAME(loc)	((__u32)((loc) >> 32))

/**
 * struct kvoff_hint - what clients say of a block; read by the policy, trusted by nobody
 * @touches:	add one for each use (relaxed atomic); wraps
 * @bits:	KVOFF_HINT_*, set and cleared with atomic or/and
 */
struct kvoff_hint {
	__u32 touches;
	__u32 bits;
};

#define KVOFF_HINT_PREFETCH	(1U << 0)	/* needed soon: cleared by the client, or by its next touch */
#define KVOFF_HINT_COLD		(1U << 1)	/* the bytes matter, just not soon */
#define KVOFF_HINT_SHARED	(1U << 2)	/* a prefix that many requests share */
#define KVOFF_HINT_DONE		(1U << 3)	/* the session that used it has ended */

/*
 * References ("acquire"): a client that needs a block to stay where it is
 *	1. adds one to its own refs[block],
 *	2. orders (a sequentially consistent fence),
 *	3. reads state[block].location: if MOVING is clear, the block stays until the reference goes;
 *	   if it is set, the client takes its reference back, calls KVOFF_REGION_SETTLE (or looks again), and
 *	   starts over. MOVING is set for the short flip only, not for the copy before it (for both where a
 *	   block is moved with KVOFF_MOVE_STOP).
 * The kernel sets MOVING, orders, and then reads refs[block] of every attachment: one of the two always sees
 * the other. Releasing is a decrement. The arrays can harm nobody but the client that writes nonsense there.
 *
 * In a framed region a reference is also what makes a frame's address worth anything: between 3 and the release the
 * block's bytes are in the frame that the location names, and writes to it are the block's. Without one, the frame
 * may be another block's at any time. An unsealed block is MOVING for the length of the copy there.
 */

/* ------------------------------------------------------------------------------------------------
 * On /dev/kvoff/<tenant>
 */

/**
 * struct kvoff_region_create - make a region and attach to it (KVOFF_REGION_CREATE)
 * @size:	sizeof(struct kvoff_region_create)
 * @flags:	KVOFF_REGION_*; 0 for the mapped kind
 * @block_size:	bytes, a power of two from KVOFF_BLOCK_SIZE_MIN to KVOFF_BLOCK_SIZE_MAX
 * @fd_flags:	O_CLOEXEC or 0
 * @length:	bytes of address space the region spans, a multiple of @block_size, up to KVOFF_REGION_SIZE_MAX;
 *		costs nothing until used
 * @unit_size:	bytes the server thinks in, for the policy; 0 if it has no such thing; at most @length
 * @label:	a name for people (kvoffctl regions), zero-terminated, may be empty
 * @id:		out: the region's number; comes again after 2^31 regions at the earliest
 * @reserved:	zero
 * @name:	with KVOFF_REGION_NAMED, by which KVOFF_REGION_OPEN finds it; else zero (since version 3, as
 *		what follows)
 * @mode:	with KVOFF_REGION_NAMED, who else may open it: permission bits of 0666, as of a file of the creator's
 *		effective user and group; 0 for 0600
 * @ttl_s:	with KVOFF_REGION_NAMED, how many seconds it waits, attached to by nobody, until it ends; 0 for ever
 *
 * Returns a descriptor: the first attachment. The region lives until the last attachment's descriptor and
 * mapping are gone. What it commits is charged to the tenant of this node for life, whoever attaches to it.
 *
 * A named region stays when its last attachment goes: sealed blocks keep their bytes, all others lose them, what is
 * committed and not in use any more is given back, and the region waits for KVOFF_REGION_OPEN, for @ttl_s seconds, or
 * for KVOFF_CTL_REGION_REMOVE. While it waits the module cannot be unloaded. Names belong to the tenant, to the IPC
 * namespace and to the effective user that made the region: others may use the same. (Before Linux 7.0 an IPC namespace
 * may get the number of one that is gone, and then that one's names, for the same user with the same tenant.)
 * Errors: EMFILE, ENFILE; EEXIST, this user has a region of this name here; EUSERS, the tenant has KVOFF_NAMED_MAX
 * named regions.
 */
struct kvoff_region_create {
	__u32 size;
	__u32 flags;
	__u32 block_size;
	__u32 fd_flags;
	__aligned_u64 length;
	__aligned_u64 unit_size;
	char label[KVOFF_NAME_LEN];
	__u32 id;
	__u32 reserved;
	char name[KVOFF_NAME_LEN];
	__u32 mode;
	__u32 ttl_s;
};
/* The size of the structure's first version. */
#define KVOFF_REGION_CREATE_MIN	72
#define KVOFF_REGION_CREATE	_IOC(_IOC_READ | _IOC_WRITE, KVOFF_IOC_TYPE, 0x01, KVOFF_REGION_CREATE_MIN)

/*
 * Windows whose pages never change and can be registered with a device for life; blocks by index, whose bytes move
 * between frames of the windows. @length is then how many blocks there can be, in bytes.
 */
#define KVOFF_REGION_FRAMED	(1U << 0)
/* The region has a name and outlives its processes. */
#define KVOFF_REGION_NAMED	(1U << 1)
/* So many named regions a tenant, at most. */
#define KVOFF_NAMED_MAX		1024

/**
 * struct kvoff_region_open - attach to a named region (KVOFF_REGION_OPEN)
 * @size:	sizeof(struct kvoff_region_open)
 * @flags:	zero
 * @fd_flags:	O_CLOEXEC or 0, and O_RDONLY or O_RDWR
 * @uid:	whose it is, in the caller's user namespace; KVOFF_UID_SELF for the caller's effective user
 * @name:	its name
 * @id:		out: the region's number
 * @reserved:	zero
 *
 * Finds regions of this tenant, made in the caller's IPC namespace. Returns a descriptor. One for reading can be had
 * through a node that is open for reading only. What was uncommitted when nobody was attached is to be committed again.
 * Errors: ENOENT, there is none; EACCES, its mode does not allow it; EMFILE, ENFILE, EUSERS.
 */
struct kvoff_region_open {
	__u32 size;
	__u32 flags;
	__u32 fd_flags;
	__u32 uid;
	char name[KVOFF_NAME_LEN];
	__u32 id;
	__u32 reserved;
};
#define KVOFF_REGION_OPEN	_IOWR(KVOFF_IOC_TYPE, 0x02, struct kvoff_region_open)
#define KVOFF_UID_SELF		0xffffffffU

/* ------------------------------------------------------------------------------------------------
 * On a region descriptor
 */

/**
 * struct kvoff_region_attach - attach once more (KVOFF_REGION_ATTACH)
 * @size:	sizeof(struct kvoff_region_attach)
 * @flags:	zero
 * @fd_flags:	O_CLOEXEC or 0, and O_RDONLY or O_RDWR
 * @reserved:	zero
 *
 * Called on any descriptor of the region (one that was passed over a socket, say); returns a new descriptor
 * with a reference array of its own. From a read-only descriptor only O_RDONLY can be had.
 * Errors: EMFILE, ENFILE, EACCES; EUSERS, 4096 attachments.
 */
struct kvoff_region_attach {
	__u32 size;
	__u32 flags;
	__u32 fd_flags;
	__u32 reserved;
};
#define KVOFF_REGION_ATTACH	_IOWR(KVOFF_IOC_TYPE, 0x10, struct kvoff_region_attach)

/**
 * struct kvoff_region_info - what the region is and holds (KVOFF_REGION_INFO)
 * @size:	sizeof(struct kvoff_region_info)
 * @flags:	out: KVOFF_REGION_*
 * @id:		out: the region's number
 * @block_size:	out: bytes
 * @length:	out: bytes of address space
 * @unit_size:	out: bytes, 0 if none was given
 * @committed:	out: bytes committed
 * @used:	out: bytes in frames
 * @nr_attached: out: attachments
 * @pid:	out: the creator's process number in the caller's namespace, 0 if not visible there; of a named region,
 *		of who opened it last when nobody was attached
 * @high:	out: one more than the highest block index that ever had a frame
 * @uid:	out: the creator's user number in the caller's user namespace; of a named region, the effective user's
 * @reserved:	out: zero
 * @label:	out: the name for people
 * @tier_used:	out: bytes in frames of each tier
 * @tenant:	out: whose quota it uses (since version 2, as what follows)
 * @tenant_quota: out: bytes that all of the tenant's regions may commit together, 0 for no limit
 * @tenant_committed: out: bytes that they have committed
 * @tenant_class: out: enum kvoff_class
 * @mode:	out: of a named region (since version 3, as what follows)
 * @name:	out: the name of a named region
 * @ttl_s:	out: seconds that a named region waits when nobody is attached, 0 for ever
 * @fast_tiers:	out: bit N: tier N is one of the fastest
 * @sealed:	out: bytes of sealed blocks
 * @poisoned:	out: bytes of poisoned blocks
 * @window:	out: bytes of a framed region's window in each tier
 *
 * Works on a view (KVOFF_CTL_REGION_VIEW) too, with ENODEV once the region is gone.
 */
struct kvoff_region_info {
	__u32 size;
	__u32 flags;
	__u32 id;
	__u32 block_size;
	__aligned_u64 length;
	__aligned_u64 unit_size;
	__aligned_u64 committed;
	__aligned_u64 used;
	__u32 nr_attached;
	__s32 pid;
	__aligned_u64 high;
	__u32 uid;
	__u32 reserved;
	char label[KVOFF_NAME_LEN];
	__aligned_u64 tier_used[KVOFF_MAX_TIERS];
	char tenant[KVOFF_NAME_LEN];
	__aligned_u64 tenant_quota;
	__aligned_u64 tenant_committed;
	__u32 tenant_class;
	__u32 mode;
	char name[KVOFF_NAME_LEN];
	__u32 ttl_s;
	__u32 fast_tiers;
	__aligned_u64 sealed;
	__aligned_u64 poisoned;
	__aligned_u64 window[KVOFF_MAX_TIERS];
};
/* The size of the structure's first version. */
#define KVOFF_REGION_INFO_MIN	232
#define KVOFF_REGION_INFO	_IOC(_IOC_READ | _IOC_WRITE, KVOFF_IOC_TYPE, 0x11, KVOFF_REGION_INFO_MIN)

/* What a tenant's requests are: a word to the policy. */
enum kvoff_class {
	KVOFF_CLASS_NORMAL,
	KVOFF_CLASS_LATENCY,	/* somebody waits for each of them */
	KVOFF_CLASS_BATCH,	/* only how many are done in the end counts */
};

/**
 * struct kvoff_region_commit - change how much may be used (KVOFF_REGION_COMMIT, KVOFF_REGION_UNCOMMIT)
 * @size:	sizeof(struct kvoff_region_commit)
 * @flags:	zero
 * @bytes:	how much more, or less; a multiple of the block size
 * @committed:	out: the region's committed bytes after the call
 * @available:	out: bytes that could still be committed at this block size, the lesser of what the tiers have and
 *		what the tenant's quota leaves, a snapshot; set on ENOMEM and EDQUOT too
 *
 * A commit is a promise, not memory: committed bytes can be used at any place in the region, and using them never
 * fails for want of memory. Pools that are still being filled are waited for.
 * Errors: EOPNOTSUPP, a framed region (its windows are what it commits).
 * Errors of COMMIT: ENOMEM, the tiers have not so much (@available says how much), or more than @length would be
 * committed; EDQUOT, all regions of the tenant would have more committed than its quota.
 * Errors of UNCOMMIT: EBUSY, less would remain than is in use (free it first with KVOFF_REGION_DISCARD).
 */
struct kvoff_region_commit {
	__u32 size;
	__u32 flags;
	__aligned_u64 bytes;
	__aligned_u64 committed;
	__aligned_u64 available;
};
#define KVOFF_REGION_COMMIT	_IOWR(KVOFF_IOC_TYPE, 0x12, struct kvoff_region_commit)
#define KVOFF_REGION_UNCOMMIT	_IOWR(KVOFF_IOC_TYPE, 0x13, struct kvoff_region_commit)

/**
 * struct kvoff_region_discard - the bytes are dead (KVOFF_REGION_DISCARD)
 * @size:	sizeof(struct kvoff_region_discard)
 * @flags:	zero
 * @first:	first block
 * @nr:		number of blocks, at least 1
 * @freed:	out: frames given back; blocks that something has pinned keep their frame, zeroed
 *
 * The range stays committed and reads as zero. Seals and poison of its blocks are gone, and so is every unit
 * (KVOFF_REGION_SEAL) that a discarded block belongs to; the unit's other blocks stay sealed. Blocks of a framed
 * region keep their frames, zeroed, and none counts as freed.
 * Errors: ERANGE, the range reaches outside the region. Of framed regions, where the blocks before the one in question
 * are discarded then: EBUSY, a client holds a reference to a block; ENOSPC, a block is poisoned, or its frame is bad,
 * and no window has a free frame for it: it is poisoned still, until a frame is free or the block itself is freed.
 */
struct kvoff_region_discard {
	__u32 size;
	__u32 flags;
	__aligned_u64 first;
	__aligned_u64 nr;
	__aligned_u64 freed;
};
#define KVOFF_REGION_DISCARD	_IOWR(KVOFF_IOC_TYPE, 0x14, struct kvoff_region_discard)

/**
 * struct kvoff_region_settle - wait until a block's flip is over (KVOFF_REGION_SETTLE)
 * @size:	sizeof(struct kvoff_region_settle)
 * @flags:	zero
 * @block:	block index
 *
 * For a client that saw MOVING. Returns when the flip that was under way has ended.
 * Errors: ERANGE.
 */
struct kvoff_region_settle {
	__u32 size;
	__u32 flags;
	__aligned_u64 block;
};
#define KVOFF_REGION_SETTLE	_IOWR(KVOFF_IOC_TYPE, 0x15, struct kvoff_region_settle)

/* Bytes of a tag. */
#define KVOFF_TAG_LEN		64

/**
 * struct kvoff_region_seal - these blocks are complete and do not change any more (KVOFF_REGION_SEAL)
 * @size:	sizeof(struct kvoff_region_seal)
 * @flags:	KVOFF_SEAL_TAG: note the range as a unit with @tag, to be found by KVOFF_REGION_UNITS
 * @first:	first block
 * @nr:		number of blocks, at least 1
 * @sealed:	out: how many of the range's first blocks are sealed now; set when the call fails too
 * @tag:	with KVOFF_SEAL_TAG, the client's own bytes; else zero
 *
 * Until it is discarded or freed, a sealed block of a mapped region cannot be written: a store gets SIGBUS, a system
 * call EFAULT. In a framed region the seal is the client's word. Sealing what is sealed does nothing.
 * Errors: ERANGE; ENODATA, a block is empty; EBUSY, something in the kernel has a block pinned and may be writing to
 * it (mapped regions); EIO, a block is poisoned; EEXIST, a block of the range belongs to a unit already
 * (KVOFF_SEAL_TAG; nothing was done).
 */
struct kvoff_region_seal {
	__u32 size;
	__u32 flags;
	__aligned_u64 first;
	__aligned_u64 nr;
	__aligned_u64 sealed;
	__u8 tag[KVOFF_TAG_LEN];
};
#define KVOFF_REGION_SEAL	_IOWR(KVOFF_IOC_TYPE, 0x16, struct kvoff_region_seal)
#define KVOFF_SEAL_TAG		(1U << 0)

/**
 * struct kvoff_unit - a unit that was sealed with a tag
 * @first:	first block
 * @nr:		number of blocks
 * @tag:	what was given
 */
struct kvoff_unit {
	__aligned_u64 first;
	__aligned_u64 nr;
	__u8 tag[KVOFF_TAG_LEN];
};

/**
 * struct kvoff_region_units - list the units (KVOFF_REGION_UNITS)
 * @size:	sizeof(struct kvoff_region_units)
 * @flags:	zero
 * @nr:		in: room for so many, 1 to 1024; out: how many were written
 * @reserved:	zero
 * @from:	list units that begin at this block or above it, in ascending order
 * @units:	address of struct kvoff_unit[@nr]
 *
 * Works on a read-only descriptor too.
 */
struct kvoff_region_units {
	__u32 size;
	__u32 flags;
	__u32 nr;
	__u32 reserved;
	__aligned_u64 from;
	__aligned_u64 units;
};
#define KVOFF_REGION_UNITS	_IOWR(KVOFF_IOC_TYPE, 0x17, struct kvoff_region_units)

/**
 * struct kvoff_region_window - a framed region's frames in a tier (KVOFF_REGION_WINDOW)
 * @size:	sizeof(struct kvoff_region_window)
 * @flags:	zero
 * @tier:	tier number
 * @reserved:	zero
 * @bytes:	in: by how much the window shall grow, a multiple of the block size, 0 to ask only; out: its size
 * @free:	out: bytes of its frames that hold no block
 * @available:	out: by how much it could still grow, a snapshot; set when the call fails too
 *
 * The frames are the region's from then on, zeroed, and at the same place of the window until the region ends. They are
 * charged as a commit is, and the tier's quota holds for all of them. Moves need a free frame in the window that they
 * go to. A window can be mapped before it has grown, up to KVOFF_REGION_SIZE_MAX bytes of it: a use of what is not
 * there yet gets SIGBUS, a system call EFAULT. To ask, a read-only descriptor will do.
 * Errors: EOPNOTSUPP, a mapped region; ENOENT, no such tier; ENOMEM, the tier has not so much; EDQUOT, the tenant's
 * quota, or its quota in this tier; ESHUTDOWN, the tier is being drained.
 */
struct kvoff_region_window {
	__u32 size;
	__u32 flags;
	__u32 tier;
	__u32 reserved;
	__aligned_u64 bytes;
	__aligned_u64 free;
	__aligned_u64 available;
};
#define KVOFF_REGION_WINDOW	_IOWR(KVOFF_IOC_TYPE, 0x18, struct kvoff_region_window)

/**
 * struct kvoff_region_blocks - give frames to blocks of a framed region, or take them back (KVOFF_REGION_BLOCK_ALLOC,
 *				KVOFF_REGION_BLOCK_FREE)
 * @size:	sizeof(struct kvoff_region_blocks)
 * @flags:	zero
 * @nr:		how many, 1 to KVOFF_BLOCKS_MAX
 * @done:	out: how many of the first were dealt with; set when the call fails too
 * @blocks:	address of __u64[@nr], block indices in any order
 *
 * ALLOC takes frames of the fastest window that has one above its reserve (tuning/reserve_percent), then whatever is
 * free. What the frame holds is undefined, but never another region's bytes. The block's place and generation are in
 * the state array.
 * Errors: EOPNOTSUPP, a mapped region; ERANGE. Errors of ALLOC: EEXIST, the block has a frame; ENOSPC, no window has a
 * free frame. Errors of FREE: ENODATA, the block has no frame; EBUSY, a client holds a reference to it.
 */
struct kvoff_region_blocks {
	__u32 size;
	__u32 flags;
	__u32 nr;
	__u32 done;
	__aligned_u64 blocks;
};
#define KVOFF_REGION_BLOCK_ALLOC	_IOWR(KVOFF_IOC_TYPE, 0x19, struct kvoff_region_blocks)
#define KVOFF_REGION_BLOCK_FREE		_IOWR(KVOFF_IOC_TYPE, 0x1a, struct kvoff_region_blocks)
#define KVOFF_BLOCKS_MAX		4096

/**
 * struct kvoff_region_eventfd - be told that blocks have moved (KVOFF_REGION_EVENTFD)
 * @size:	sizeof(struct kvoff_region_eventfd)
 * @flags:	zero
 * @fd:		an eventfd; -1 for no more
 * @reserved:	zero
 *
 * One is added to it after each block of the region that has moved to another tier. One for each attachment; it
 * replaces the one before. What it means for the client's prefetches is for the client to see in the state array.
 * Errors: EBADF, EINVAL (no eventfd).
 */
struct kvoff_region_eventfd {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 reserved;
};
#define KVOFF_REGION_EVENTFD	_IOWR(KVOFF_IOC_TYPE, 0x1b, struct kvoff_region_eventfd)

/* ------------------------------------------------------------------------------------------------
 * On /dev/kvoff/control
 */

/**
 * struct kvoff_ctl_lease - become the policy daemon (KVOFF_CTL_LEASE)
 * @size:	sizeof(struct kvoff_ctl_lease)
 * @flags:	KVOFF_LEASE_DROP to give it back; else zero
 *
 * The lease is this descriptor's until it is dropped or closed. Only its holder may move blocks.
 * Errors: EBUSY, another process has it (its number is in /sys/class/kvoff/control/policy_pid).
 */
struct kvoff_ctl_lease {
	__u32 size;
	__u32 flags;
};
#define KVOFF_CTL_LEASE		_IOWR(KVOFF_IOC_TYPE, 0x40, struct kvoff_ctl_lease)
#define KVOFF_LEASE_DROP	(1U << 0)

/**
 * struct kvoff_ctl_tier - describe a tier (KVOFF_CTL_TIER_ADD, KVOFF_CTL_TIER_SET, KVOFF_CTL_TIER_REMOVE)
 * @size:	sizeof(struct kvoff_ctl_tier)
 * @flags:	KVOFF_TIER_*: for SET, which of @rank, @capacity, @latency_ns and @bandwidth_mbps to change
 * @name:	the tier's name; for SET and REMOVE it says which tier
 * @node:	NUMA node (ADD)
 * @rank:	0 is the fastest; first touch goes to the lowest rank that has room
 * @capacity:	bytes the tier may take from the node, a multiple of 2 MiB
 * @latency_ns:	idle load latency from the nearest CPU, for information; 0 if unknown
 * @bandwidth_mbps: read bandwidth, 10^6 bytes a second, for information; 0 if unknown
 * @id:		out (ADD): the tier's number
 * @reserved:	zero
 *
 * Capacity is given to block sizes by KVOFF_CTL_POOL_SET; what is left over goes to the sizes that commits and moves
 * ask for, as they ask.
 * Errors of ADD: EEXIST, a tier has this name, or this node; ENXIO, no such node, or it has no memory online;
 * EOPNOTSUPP, the node has memory in ZONE_MOVABLE only, which cannot back a tier (online it as kernel memory);
 * ENOSPC, the node's kernel-zone memory is smaller than @capacity; EUSERS, KVOFF_MAX_TIERS tiers exist.
 * A capacity below what the pools were given takes idle frames from them, whatever their size.
 * Errors of SET: ENOENT; EBUSY, more than @capacity is in use or promised; ENOSPC.
 * Errors of REMOVE: ENOENT; EBUSY, frames are in use or committed memory depends on it.
 */
struct kvoff_ctl_tier {
	__u32 size;
	__u32 flags;
	char name[KVOFF_NAME_LEN];
	__s32 node;
	__u32 rank;
	__aligned_u64 capacity;
	__u32 latency_ns;
	__u32 bandwidth_mbps;
	__u32 id;
	__u32 reserved;
};
#define KVOFF_CTL_TIER_ADD	_IOWR(KVOFF_IOC_TYPE, 0x41, struct kvoff_ctl_tier)
#define KVOFF_CTL_TIER_SET	_IOWR(KVOFF_IOC_TYPE, 0x42, struct kvoff_ctl_tier)
#define KVOFF_CTL_TIER_REMOVE	_IOWR(KVOFF_IOC_TYPE, 0x43, struct kvoff_ctl_tier)

#define KVOFF_TIER_RANK		(1U << 0)
#define KVOFF_TIER_CAPACITY	(1U << 1)
#define KVOFF_TIER_COST		(1U << 2)	/* @latency_ns and @bandwidth_mbps */

/**
 * struct kvoff_ctl_tier_drain - let a tier hold less (KVOFF_CTL_TIER_DRAIN)
 * @size:	sizeof(struct kvoff_ctl_tier_drain)
 * @flags:	KVOFF_DRAIN_STOP: end it, the tier is used as before; else zero
 * @name:	the tier's name
 * @keep:	bytes of frames that may stay in use, 0 to empty the tier
 * @used:	out: bytes of frames in use, pinned ones without a block included
 *
 * From this call on the tier answers for @keep bytes of commits only. While more is in use, no block comes to the tier
 * by first touch or move, and blocks may be moved out of it without the lease; what is free above @keep goes back to
 * the node. Who moves them, and whereto, is not the kernel's business: kvoffctl tier drain does it. A drain stays until
 * it is stopped, or the tier is removed; the same call with another @keep changes it. Within @keep the tier is used as
 * before, but each block size has a part of it that does not change, and first touches that find no frame elsewhere
 * may take theirs while more than @keep is in use.
 *
 * Pools of other tiers may have to grow first, and the call waits for that. Stopped, the tier's pools fill again in the
 * background, as far as its capacity goes by then.
 * Errors: ENOENT; EBUSY, what is committed does not fit into the other tiers and @keep; EINTR; EINVAL, @keep is
 * 2^64 - 1, or not zero with KVOFF_DRAIN_STOP.
 */
struct kvoff_ctl_tier_drain {
	__u32 size;
	__u32 flags;
	char name[KVOFF_NAME_LEN];
	__aligned_u64 keep;
	__aligned_u64 used;
};
#define KVOFF_CTL_TIER_DRAIN	_IOWR(KVOFF_IOC_TYPE, 0x4c, struct kvoff_ctl_tier_drain)
#define KVOFF_DRAIN_STOP	(1U << 0)

/**
 * struct kvoff_ctl_poison - a device says that memory of its is bad (KVOFF_CTL_POISON)
 * @size:	sizeof(struct kvoff_ctl_poison)
 * @flags:	zero
 * @addr:	physical address
 * @length:	bytes, at least 1
 * @frames:	out: frames of kvoff's that the range touches
 * @reserved:	zero
 *
 * Frames that hold no block are never used again. A block whose twin is good is repaired at once, by a flip. Another
 * block is copied away, which a machine check cannot harm; if that fails, or finds no room, the block is poisoned:
 * loads get SIGBUS, its state says so, and discard frees it. The bad frames are counted (poisoned_bytes of the tier)
 * and stay out of use, also after the module is gone.
 * Errors: ERANGE, no memory is there.
 */
struct kvoff_ctl_poison {
	__u32 size;
	__u32 flags;
	__aligned_u64 addr;
	__aligned_u64 length;
	__u32 frames;
	__u32 reserved;
};
#define KVOFF_CTL_POISON	_IOWR(KVOFF_IOC_TYPE, 0x4d, struct kvoff_ctl_poison)

/**
 * struct kvoff_ctl_pool - set a pool's size (KVOFF_CTL_POOL_SET)
 * @size:	sizeof(struct kvoff_ctl_pool)
 * @flags:	KVOFF_POOL_WAIT: return when the pool has reached its size or can grow no further
 * @tier:	the tier's name
 * @block_size:	which pool
 * @reserved:	zero
 * @bytes:	its target size, a multiple of @block_size
 * @filled:	out: bytes it has now
 *
 * The same as writing /sys/class/kvoff/tiers/<tier>/pools/<size>/bytes. A kernel thread fills it.
 * Errors: ENOENT; ENOSPC, all pools together would exceed the tier's capacity; EBUSY, commits depend on the
 * difference; ESHUTDOWN, the tier is being drained; with KVOFF_POOL_WAIT also ENOMEM, the node has no more.
 */
struct kvoff_ctl_pool {
	__u32 size;
	__u32 flags;
	char tier[KVOFF_NAME_LEN];
	__u32 block_size;
	__u32 reserved;
	__aligned_u64 bytes;
	__aligned_u64 filled;
};
#define KVOFF_CTL_POOL_SET	_IOWR(KVOFF_IOC_TYPE, 0x44, struct kvoff_ctl_pool)
#define KVOFF_POOL_WAIT		(1U << 0)

/**
 * struct kvoff_ctl_link - set the budget for copies from one tier to another (KVOFF_CTL_LINK_SET)
 * @size:	sizeof(struct kvoff_ctl_link)
 * @flags:	zero
 * @from:	tier number
 * @to:		tier number, not @from
 * @budget_mbps: copies are held below this many 10^6 bytes a second; 0 for no limit (the default)
 * @reserved:	zero
 *
 * Errors: ENOENT, no such tier.
 */
struct kvoff_ctl_link {
	__u32 size;
	__u32 flags;
	__u32 from;
	__u32 to;
	__u32 budget_mbps;
	__u32 reserved;
};
#define KVOFF_CTL_LINK_SET	_IOWR(KVOFF_IOC_TYPE, 0x45, struct kvoff_ctl_link)

/**
 * struct kvoff_ctl_tenant - who may use how much (KVOFF_CTL_TENANT_ADD, KVOFF_CTL_TENANT_SET, KVOFF_CTL_TENANT_REMOVE)
 * @size:	sizeof(struct kvoff_ctl_tenant)
 * @flags:	KVOFF_TENANT_*: for SET, which of the fields from @class to @quota to change; zero for ADD, which
 *		takes all
 * @name:	the tenant's name, and its node's: /dev/kvoff/<name>; for SET and REMOVE it says which tenant
 * @class:	enum kvoff_class
 * @uid:	the node's owner
 * @gid:	the node's group
 * @mode:	the node's mode, bits of 0666; 0 for 0600
 * @quota:	bytes that all of its regions may have committed together, 0 for no limit
 * @tiers:	bit N: @tier_quota[N] is given (ADD) or to be changed (SET)
 * @reserved:	zero
 * @tier_quota:	bytes of its blocks in each tier, 0 for no limit; less than a block for none. Gone with the tier
 *
 * The tenant "default" is there from the beginning, without limits. For SET, the owner and mode of a node that is
 * there are changed by udev, or by chown and chmod: the kernel only tells udev.
 *
 * A quota below what is in use takes nothing away: it refuses new commits, and new blocks in the tier. At its quota
 * in a tier, a tenant's first touches go to the next tier, and moves into the tier are refused; only where no other
 * tier has a frame do first touches go over it, for what was committed can be used.
 *
 * Errors of ADD: EEXIST, a tenant or something else in /sys/class/kvoff has this name; EUSERS, a million tenants.
 * Errors of ADD and SET: ENXIO, no such tier. Errors of SET: ENOENT, no such tenant.
 * Errors of REMOVE: ENOENT; EBUSY, the tenant has regions, or its node is open.
 */
struct kvoff_ctl_tenant {
	__u32 size;
	__u32 flags;
	char name[KVOFF_NAME_LEN];
	__u32 class;
	__u32 uid;
	__u32 gid;
	__u32 mode;
	__aligned_u64 quota;
	__u32 tiers;
	__u32 reserved;
	__aligned_u64 tier_quota[KVOFF_MAX_TIERS];
};
#define KVOFF_CTL_TENANT_ADD	_IOWR(KVOFF_IOC_TYPE, 0x49, struct kvoff_ctl_tenant)
#define KVOFF_CTL_TENANT_SET	_IOWR(KVOFF_IOC_TYPE, 0x4a, struct kvoff_ctl_tenant)
#define KVOFF_CTL_TENANT_REMOVE	_IOWR(KVOFF_IOC_TYPE, 0x4b, struct kvoff_ctl_tenant)

#define KVOFF_TENANT_CLASS	(1U << 0)
#define KVOFF_TENANT_UID	(1U << 1)
#define KVOFF_TENANT_GID	(1U << 2)
#define KVOFF_TENANT_MODE	(1U << 3)
#define KVOFF_TENANT_QUOTA	(1U << 4)

/**
 * struct kvoff_ctl_regions - list the regions (KVOFF_CTL_REGIONS)
 * @size:	sizeof(struct kvoff_ctl_regions)
 * @flags:	zero
 * @after:	list regions numbered above this one; start with 0
 * @nr:		in: room for so many numbers, at most 1024; out: how many were written
 * @ids:	address of __u32[@nr]
 *
 * poll() on the control descriptor says POLLIN when a region came or went since this descriptor's last
 * call with @after 0.
 */
struct kvoff_ctl_regions {
	__u32 size;
	__u32 flags;
	__u32 after;
	__u32 nr;
	__aligned_u64 ids;
};
#define KVOFF_CTL_REGIONS	_IOWR(KVOFF_IOC_TYPE, 0x46, struct kvoff_ctl_regions)

/**
 * struct kvoff_ctl_region_view - look at a region's shared arrays (KVOFF_CTL_REGION_VIEW)
 * @size:	sizeof(struct kvoff_ctl_region_view)
 * @flags:	zero
 * @id:		the region's number
 * @fd_flags:	O_CLOEXEC or 0
 *
 * Returns a descriptor that answers KVOFF_REGION_INFO and maps the state and hint arrays read-only; never the data.
 * It does not keep the region alive: afterwards the arrays stand still. poll() says POLLHUP then.
 * Errors: ENOENT, EMFILE, ENFILE.
 */
struct kvoff_ctl_region_view {
	__u32 size;
	__u32 flags;
	__u32 id;
	__u32 fd_flags;
};
#define KVOFF_CTL_REGION_VIEW	_IOWR(KVOFF_IOC_TYPE, 0x47, struct kvoff_ctl_region_view)

/**
 * struct kvoff_ctl_region_remove - take a region's name away (KVOFF_CTL_REGION_REMOVE)
 * @size:	sizeof(struct kvoff_ctl_region_remove)
 * @flags:	zero
 * @id:		the region's number
 * @nr_attached: out: attachments that it still has
 *
 * The region ends: at once if nobody is attached, otherwise with its last attachment.
 * Errors: ENOENT; EINVAL, the region has no name (it ends with its processes).
 */
struct kvoff_ctl_region_remove {
	__u32 size;
	__u32 flags;
	__u32 id;
	__u32 nr_attached;
};
#define KVOFF_CTL_REGION_REMOVE	_IOWR(KVOFF_IOC_TYPE, 0x4e, struct kvoff_ctl_region_remove)

/* ------------------------------------------------------------------------------------------------
 * Moves: as an ioctl on the control descriptor, or as IORING_OP_URING_CMD on it with cmd_op = KVOFF_CTL_MOVE and
 * the address of the same structure in the first eight bytes of the command area (the rest zero).
 * The lease is needed, except for batches of blocks that all are in tiers that are being drained when the command is
 * issued; blocks that are empty or gone by then may be among them, but not alone.
 */

/* Blocks in one command, at most. */
#define KVOFF_MOVE_MAX		512

/**
 * struct kvoff_move_desc - one block to move
 * @region:	region number
 * @to:		tier number
 * @flags:	KVOFF_MOVE_*
 * @block:	block index
 * @reason:	why, in the policy's own code; kept in struct kvoff_state::reason when the block moves
 * @reserved:	zero
 */
struct kvoff_move_desc {
	__u32 region;
	__u16 to;
	__u16 flags;
	__aligned_u64 block;
	__u16 reason;
	__u16 reserved[3];
};

/* Copy with the block stopped: for a block that writes have cancelled twice. Readers and writers wait for one copy. */
#define KVOFF_MOVE_STOP		(1U << 0)

/**
 * struct kvoff_move_result - what became of it
 * @error:	0, moved (or was there already: @from equals the target); else negative:
 *		-ENOENT		no such region (any more), or no such tier; of a framed region, no window there
 *		-ERANGE		no such block
 *		-ENODATA	the block is empty
 *		-EBUSY		something in the kernel has pinned it (direct I/O, a registered buffer), or it is being
 *				moved by another command
 *		-EAGAIN		a client holds a reference (acquire)
 *		-ECANCELED	a write came during the copy; or the command was cancelled before this block's turn
 *				(then @from is KVOFF_TIER_NONE)
 *		-ENOSPC		the target has no free frame; where it has capacity that no pool has, the pool
 *				grows, and later moves succeed. In a framed region: its window there has none
 *		-EDQUOT		the tenant's quota in the target tier is used up
 *		-ESHUTDOWN	the target is being drained
 *		-EHWPOISON	the source could not be read: the block is poisoned, unless its twin could take its
 *				place
 *		-EINVAL		@flags or a reserved field
 * @from:	the tier it was in, KVOFF_TIER_NONE if it was not looked at
 * @reserved:	zero
 */
struct kvoff_move_result {
	__s32 error;
	__u16 from;
	__u16 reserved;
};

/**
 * struct kvoff_ctl_move - move blocks (KVOFF_CTL_MOVE)
 * @size:	sizeof(struct kvoff_ctl_move)
 * @flags:	zero
 * @nr:		how many, 1 to KVOFF_MOVE_MAX
 * @moved:	out (ioctl only): how many moved or were there already
 * @descs:	address of struct kvoff_move_desc[@nr], read once, when the command is issued
 * @results:	address of struct kvoff_move_result[@nr], written when the command ends
 *
 * Returns 0 (ioctl) or the number that moved (io_uring's res) whatever became of single blocks. A copy holds no lock
 * that readers or writers need (except with KVOFF_MOVE_STOP). When the ioctl is interrupted, blocks not yet begun are
 * reported as -ECANCELED. The same is done with a command on io_uring when its ring is closed or its submitter dies;
 * IORING_OP_ASYNC_CANCEL does not reach commands of this kind on the kernels that kvoff builds for.
 * Errors: EPERM, this descriptor does not hold the lease, and not all of the blocks are in tiers that are being
 * drained.
 */
struct kvoff_ctl_move {
	__u32 size;
	__u32 flags;
	__u32 nr;
	__u32 moved;
	__aligned_u64 descs;
	__aligned_u64 results;
};
#define KVOFF_CTL_MOVE		_IOWR(KVOFF_IOC_TYPE, 0x48, struct kvoff_ctl_move)

#endif /* _UAPI_KVOFF_H */
