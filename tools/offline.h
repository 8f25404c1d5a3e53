/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taking a node's memory away from the kernel, block by block.
 */
#ifndef KVOFF_TOOLS_OFFLINE_H
#define KVOFF_TOOLS_OFFLINE_H

#define OFFLINE_NAMES_MAX	16

/**
 * struct offline - what became of a node's memory blocks
 * @blocks:	how many it has
 * @gone:	how many of them are offline
 * @held:	names of the first of those that are not, each with its zone: "memory33 (Normal)"
 * @nr_held:	how many of these
 * @error:	errno of the last refusal, 0 if there was none
 */
struct offline {
	unsigned int blocks;
	unsigned int gone;
	char held[OFFLINE_NAMES_MAX][48];
	unsigned int nr_held;
	int error;
};

/* Offline all memory blocks of @node that go. Returns 0 when all are offline, 1 when some are not, or -errno. */
int offline_node(int node, struct offline *out);

#endif
