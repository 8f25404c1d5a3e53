// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Measuring a node: dependent loads for latency, one reader for bandwidth. Bounded in memory and time, and good for an
 * order of tiers, not for a data sheet: one thread does not fill a link.
 */
#include <errno.h>
#include <numa.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "node.h"

#define PROBE_BYTES	(64u << 20)	/* beyond the caches of most processors */
#define PROBE_LINE	64u
#define PROBE_NS	200000000ull	/* for each of the two */
#define PROBE_CHUNK	4096u		/* loads between looks at the clock */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* One cycle through all lines in an order that no prefetcher guesses (Sattolo's shuffle, a fixed generator). */
static void link_lines(char *mem, size_t lines)
{
	uint64_t seed = 0x9e3779b97f4a7c15u;
	uint32_t *order = malloc(lines * sizeof(*order));

	if (!order)
		return;
	for (size_t i = 0; i < lines; i++)
		order[i] = (uint32_t)i;
	for (size_t i = lines - 1; i; i--) {
		uint32_t swap = order[i];
		size_t k;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		k = (seed >> 33) % i;
		order[i] = order[k];
		order[k] = swap;
	}
	for (size_t i = 0; i < lines; i++)
		*(char **)(mem + (size_t)order[i] * PROBE_LINE) = mem + (size_t)order[(i + 1) % lines] * PROBE_LINE;
	free(order);
}

static uint32_t chase(char *mem)
{
	uint64_t begin = now_ns(), end, loads = 0;
	char *volatile sink;
	char *at = mem;

	do {
		for (unsigned int i = 0; i < PROBE_CHUNK; i++)
			at = *(char **)at;
		loads += PROBE_CHUNK;
		end = now_ns();
	} while (end - begin < PROBE_NS);
	sink = at;
	(void)sink;
	return (uint32_t)((end - begin) / loads);
}

static uint32_t stream(const char *mem, size_t bytes)
{
	uint64_t begin = now_ns(), end, read = 0;
	volatile uint64_t sink;

	do {
		const uint64_t *at = (const uint64_t *)mem, *stop = (const uint64_t *)(mem + bytes);
		uint64_t a = 0, b = 0, c = 0, d = 0;

		for (; at < stop; at += 8) {
			a += at[0] ^ at[4];
			b += at[1] ^ at[5];
			c += at[2] ^ at[6];
			d += at[3] ^ at[7];
		}
		sink = a + b + c + d;
		read += bytes;
		end = now_ns();
	} while (end - begin < PROBE_NS);
	(void)sink;
	return (uint32_t)(read * 1000 / (end - begin));
}

int node_probe(int number, uint32_t *latency_ns, uint32_t *bandwidth_mbps)
{
	long long free_bytes = 0;
	cpu_set_t before;
	char *mem;

	/* a node that is nearly full, with a tier say, is not pushed over the edge for a figure: the kernel would kill us */
	if (numa_node_size64(number, &free_bytes) < 0 || free_bytes < 4ll * PROBE_BYTES)
		return -ENOMEM;
	if (sched_getaffinity(0, sizeof(before), &before))
		return -errno;
	numa_set_strict(1);
	mem = numa_alloc_onnode(PROBE_BYTES, number);
	if (!mem)
		return -ENOMEM;
	/* not to be moved between processors while measuring */
	numa_run_on_node(numa_node_of_cpu(sched_getcpu()));
	memset(mem, 1, PROBE_BYTES);
	*bandwidth_mbps = stream(mem, PROBE_BYTES);
	link_lines(mem, PROBE_BYTES / PROBE_LINE);
	*latency_ns = chase(mem);
	numa_free(mem, PROBE_BYTES);
	sched_setaffinity(0, sizeof(before), &before);
	return 0;
}
