/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory of this machine, node by node: what it is, how to get there, and what that costs.
 */
#ifndef KVOFFD_NODE_H
#define KVOFFD_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "kvoff.h"

#define NODE_MAX	64
#define NODE_PATH_LEN	512

enum node_kind {
	NODE_CPU,	/* has processors: the fast tier */
	NODE_HBM,	/* no processors, and more bandwidth than any node with processors */
	NODE_CXL,	/* behind a CXL region */
	NODE_MEMORY,	/* some other memory without processors */
};

/* Where a cost comes from, best first. */
enum node_source {
	NODE_CONFIG,	/* the administrator said so */
	NODE_REGION,	/* the CXL region's access coordinates */
	NODE_HMAT,	/* the node's (firmware table) */
	NODE_PROBE,	/* measured */
	NODE_LINK,	/* width and speed of the device's PCIe link */
	NODE_MODEL,	/* a base, 150 ns a switch */
};

/**
 * struct node - one NUMA node that could be a tier, or a CXL region whose memory is not online
 * @node:	its number, -1 if the memory has no node (yet)
 * @kind:	what it is
 * @name:	what its tier is called by default: fast0, hbm0, cxl0, mem0 ...
 * @online:	bytes online
 * @kernel:	of these, bytes in zones that the kernel can use for itself; the rest is movable only
 * @free:	free bytes of @kernel, above the zones' high marks
 * @latency_ns:	load latency from the nearest processor
 * @latency_source: where that comes from
 * @bandwidth_mbps: read bandwidth, 10^6 bytes a second
 * @bandwidth_source: where that comes from
 * @switches:	CXL switches on the way
 * @ways:	devices that the region interleaves over, 0 if it is no CXL
 * @regions:	names of the CXL regions, separated by ","
 * @memdevs:	of the memory devices
 * @daxdevs:	of the DAX devices
 * @path:	from the root down, each port with the downstream port that leads on; of the first device:
 *		"ACPI0017:00 > pci0000:34 [0000:34:00.0] > 0000:35:00.0 [0000:36:00.0] > mem1 (0000:37:00.0)"
 */
struct node {
	int node;
	enum node_kind kind;
	char name[KVOFF_NAME_LEN];
	uint64_t online;
	uint64_t kernel;
	uint64_t free;
	uint32_t latency_ns;
	enum node_source latency_source;
	uint32_t bandwidth_mbps;
	enum node_source bandwidth_source;
	unsigned int switches;
	unsigned int ways;
	char regions[128];
	char memdevs[128];
	char daxdevs[128];
	char path[NODE_PATH_LEN];
};

/**
 * struct nodes - all that was found, fastest first
 * @nr:		how many
 * @node:	they
 */
struct nodes {
	size_t nr;
	struct node node[NODE_MAX];
};

/**
 * nodes_discover - look at the machine
 * @nodes:	out
 * @probe:	measure what nobody tells (touches 64 MiB on each such node, takes about half a second)
 *
 * Returns 0 or a negative errno. A source that is missing (no CXL, no HMAT) is no error.
 */
int nodes_discover(struct nodes *nodes, bool probe);

/** nodes_cxl - add what libcxl and libdaxctl know (discover_cxl.c) */
void nodes_cxl(struct nodes *nodes);

/** node_cost - give a node its latency and bandwidth (cost.c) */
void node_cost(struct node *node, bool probe);

/** node_add - the entry for a node number, new if there is none; NULL if there is no room */
struct node *node_add(struct nodes *nodes, int number);

/**
 * node_zones - what a node's zones hold
 * @zoneinfo:	text in the format of /proc/zoneinfo
 * @node:	@node->node says which; @kernel, @online and @free are set
 */
void node_zones(FILE *zoneinfo, struct node *node);

/** node_probe - measure (probe.c); 0 or a negative errno, then nothing is changed */
int node_probe(int number, uint32_t *latency_ns, uint32_t *bandwidth_mbps);

/** node_add_name - append to a list separated by "," unless it is in there */
void node_add_name(char *list, size_t len, const char *name);

const char *node_kind_name(enum node_kind kind);
const char *node_source_name(enum node_source source);

/** nodes_print - for people, or as JSON (discover_print.c) */
void nodes_print(const struct nodes *nodes, FILE *out, bool json);

#endif /* KVOFFD_NODE_H */
