// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/bench/bench.h"
#include "tools/bench/peer.h"

#define HUGE_PAGE	(2UL << 20)
/* Beyond this no processor's cache holds source and target. */
#define BARE_BYTES	(64UL << 20)

double bare_copy(int from, int to, uint32_t bs, uint32_t nr, unsigned int routine)
{
	struct kvoff_peer_copy arg = {
		.from = from, .to = to, .block_size = bs, .nr = nr, .routine = routine,
		.frames = nr < BARE_BYTES / bs ? nr : BARE_BYTES / bs,
	};
	int fd = open("/dev/kvoff_peer", O_RDWR | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = ioctl(fd, KVOFF_PEER_COPY, &arg) ? -errno : 0;
	close(fd);
	return ret ?: (double)arg.ns;
}

/* Bytes of huge pages in the mapping that begins at @at. */
static uint64_t huge_bytes(const void *at)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long begin, end, kib;
	bool inside = false;
	char line[256];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
			inside = begin <= (uintptr_t)at && end > (uintptr_t)at;
		else if (inside && sscanf(line, "AnonHugePages: %lu kB", &kib) == 1)
			break;
	}
	if (!inside || feof(f))
		kib = 0;
	fclose(f);
	return kib << 10;
}

/* An array of its own pages: what moves must not move where the list of moves is. */
static void *array(uint64_t nr, size_t size)
{
	void *p = mmap(NULL, nr * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int pages_up(struct pages *p, uint64_t bytes, bool huge, int node)
{
	unsigned long mask = 1UL << node;
	uint8_t *all;
	uint64_t i;

	*p = (struct pages){ .bytes = bytes, .step = huge ? HUGE_PAGE : 4096 };
	p->nr = bytes / p->step;
	p->at = array(p->nr, sizeof(*p->at));
	p->to = array(p->nr, sizeof(*p->to));
	p->status = array(p->nr, sizeof(*p->status));
	all = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!p->at || !p->to || !p->status || all == MAP_FAILED)
		return -ENOMEM;
	p->data = (uint8_t *)(((uintptr_t)all + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
	/* what is not ours is not to be moved, nor to be taken for huge pages of ours */
	if (p->data > all)
		munmap(all, p->data - all);
	munmap(p->data + bytes, all + HUGE_PAGE - p->data);
	if (madvise(p->data, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		return -ENOTSUP;
	if (syscall(SYS_mbind, p->data, bytes, MPOL_BIND, &mask, 8 * sizeof(mask), 0))
		return -errno;
	for (i = 0; i < bytes; i += sizeof(uint64_t))
		*(uint64_t *)(p->data + i) = i + 1;
	if (syscall(SYS_mbind, p->data, bytes, MPOL_DEFAULT, NULL, 0, 0))
		return -errno;
	for (i = 0; i < p->nr; i++)
		p->at[i] = p->data + i * p->step;
	return huge && huge_bytes(p->data) != bytes ? -ENOTSUP : 0;
}

void pages_down(struct pages *p)
{
	if (p->data)
		munmap(p->data, p->bytes);
	if (p->at)
		munmap(p->at, p->nr * sizeof(*p->at));
	if (p->to)
		munmap(p->to, p->nr * sizeof(*p->to));
	if (p->status)
		munmap(p->status, p->nr * sizeof(*p->status));
	*p = (struct pages){ 0 };
}

double pages_move(struct pages *p, uint64_t first, uint64_t nr, int node)
{
	uint64_t begin, ns, i;
	long ret;

	for (i = first; i < first + nr; i++)
		p->to[i] = node;
	begin = bench_ns();
	ret = syscall(SYS_move_pages, 0, nr, p->at + first, p->to + first, p->status + first, MPOL_MF_MOVE_ALL);
	ns = bench_ns() - begin;
	if (ret)
		return ret < 0 ? -errno : -EBUSY;
	for (i = first; i < first + nr; i++)
		if (p->status[i] != node)
			return p->status[i] < 0 ? p->status[i] : -EBUSY;
	return ns;
}
