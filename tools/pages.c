// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/pages.h"

#define QUERY_MAX	64

void pages_tiers(struct tiers *tiers)
{
	memset(tiers, 0, sizeof(*tiers));
	tiers->nr = 2;
	strcpy(tiers->tier[PAGES_DRAM].name, "dram");
	strcpy(tiers->tier[PAGES_FAR].name, "far");
	tiers->tier[PAGES_FAR].id = PAGES_FAR;
	tiers->tier[PAGES_FAR].rank = 1;
}

int pages_replace(struct libkvoff *kv, void **base)
{
	struct libkvoff_stats s = { .size = sizeof(s) };
	int ret = libkvoff_stats(kv, &s);

	if (ret)
		return ret;
	if (!(s.flags & LIBKVOFF_STATS_FALLBACK))
		return -EINVAL;
	*base = libkvoff_base(kv);
	return mmap(*base, s.length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
		    -1, 0) == MAP_FAILED ? -errno : 0;
}

int pages_query(const void *base, uint64_t first, size_t nr, int *out)
{
	const char *at[QUERY_MAX];
	size_t i;

	if (nr > QUERY_MAX)
		return -EINVAL;
	for (i = 0; i < nr; i++)
		at[i] = (const char *)base + (first + i) * PAGES_SIZE;
	/* without nodes it only tells */
	if (syscall(SYS_move_pages, 0, nr, at, NULL, out, 0))
		return -errno;
	for (i = 0; i < nr; i++)
		out[i] = out[i] < 0 ? -1 : out[i] ? PAGES_FAR : PAGES_DRAM;
	return 0;
}

void pages_used(const void *base, uint64_t used[2])
{
	FILE *f = fopen("/proc/self/numa_maps", "re");
	char line[512], found[512] = "", *word, *rest;
	unsigned long begin, pages, kib;
	unsigned int node;

	used[PAGES_DRAM] = used[PAGES_FAR] = 0;
	if (!f)
		return;
	/* ascending; the kernel may have made one mapping of this and of what is right before it */
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx", &begin) == 1 && begin <= (uintptr_t)base)
			strcpy(found, line);
	fclose(f);
	word = strstr(found, "kernelpagesize_kB=");
	kib = word ? strtoul(word + strlen("kernelpagesize_kB="), NULL, 10) : 4;
	for (word = strtok_r(found, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest))
		if (sscanf(word, "N%u=%lu", &node, &pages) == 2)
			used[node ? PAGES_FAR : PAGES_DRAM] += (uint64_t)pages * kib << 10;
}
