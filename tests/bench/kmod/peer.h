/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What kvoff_peer.ko can be asked: how long the kernel takes for nothing but the bytes. It is for benchmarks, on
 * machines that are there for them.
 */
#ifndef KVOFF_PEER_H
#define KVOFF_PEER_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* The routines: byte by byte where the processor says that this is fast, and safe against bad memory, as migration and
 * kvoff copy; as the kernel copies pages otherwise; past the caches.
 */
#define KVOFF_PEER_MC		0
#define KVOFF_PEER_PLAIN	1
#define KVOFF_PEER_FLUSHCACHE	2

/**
 * struct kvoff_peer_copy - copy blocks from one node to another
 * @from:	node
 * @to:		node
 * @block_size:	bytes, a power of two, at most 2 MiB
 * @frames:	how many blocks there are on each node, 1 to 1024
 * @nr:		how many times a block is copied, one frame after the other
 * @routine:	KVOFF_PEER_MC, ...
 * @ns:		out: for all @nr
 */
struct kvoff_peer_copy {
	__u32 from;
	__u32 to;
	__u32 block_size;
	__u32 frames;
	__u32 nr;
	__u32 routine;
	__aligned_u64 ns;
};

#define KVOFF_PEER_COPY		_IOWR('k', 0xf0, struct kvoff_peer_copy)

#endif /* KVOFF_PEER_H */
