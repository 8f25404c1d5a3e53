// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Measuring a node must not take its last memory. libnuma is played by this file.
 */
#include <numa.h>

#include "daemon/node.h"
#include "tap.h"

static bool allocated;

long long numa_node_size64(int node, long long *free_bytes)
{
	if (free_bytes)
		*free_bytes = 1 << 20;
	return 64ll << 30;
}

void *numa_alloc_onnode(size_t size, int node)
{
	allocated = true;
	return NULL;
}

int main(void)
{
	uint32_t latency, bandwidth;

	tap_plan(1);
	check(node_probe(0, &latency, &bandwidth) && !allocated, "a large node that a tier has filled is not probed");
	return tap_end();
}
