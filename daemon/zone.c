// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How much of a node's memory the kernel can use for itself, and how much of that is free.
 */
#include <string.h>
#include <unistd.h>

#include "node.h"

void node_zones(FILE *zoneinfo, struct node *node)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	unsigned long long n, free_pages = 0, high = 0;
	bool ours = false, kernel = false;
	char line[256], zone[32];
	int number;

	node->online = node->kernel = node->free = 0;
	while (fgets(line, sizeof(line), zoneinfo)) {
		if (sscanf(line, "Node %d, zone %31s", &number, zone) == 2) {
			ours = number == node->node;
			/* ZONE_DMA is for devices that can do no better; the movable and device zones back no tier */
			kernel = !strcmp(zone, "Normal") || !strcmp(zone, "DMA32");
			free_pages = 0;
			high = 0;
		} else if (!ours) {
			continue;
		} else if (sscanf(line, " pages free %llu", &n) == 1) {
			free_pages = n;
		} else if (sscanf(line, " high %llu", &n) == 1) {
			high = n;
		} else if (sscanf(line, " managed %llu", &n) == 1) {
			node->online += n * page;
			if (kernel) {
				node->kernel += n * page;
				node->free += free_pages > high ? (free_pages - high) * page : 0;
			}
		}
	}
}
