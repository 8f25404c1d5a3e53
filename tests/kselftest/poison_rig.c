// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Making memory go bad, and seeing what became of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "poison_rig.h"

static int put(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, value, strlen(value)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/* Copies from bad pages fail, as they do where there is hardware that knows of bad pages. */
int copies_fail(bool fail)
{
	return put("/sys/module/kvoff/parameters/hook_copy_bad", fail ? "1" : "0");
}

static uint64_t entry_at(const char *path, uint64_t index)
{
	uint64_t entry = UINT64_MAX;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return entry;
	if (pread(fd, &entry, sizeof(entry), index * sizeof(entry)) != sizeof(entry))
		entry = UINT64_MAX;
	close(fd);
	return entry;
}

/* The page frame number behind an address that is mapped now, 0 if there is none. */
uint64_t pfn_of(const void *at)
{
	uint64_t entry = entry_at("/proc/self/pagemap", (uintptr_t)at / PAGE);

	return entry != UINT64_MAX && entry >> 63 ? entry & ((1ULL << 55) - 1) : 0;
}

uint64_t block_pfn(const struct region *r, uint64_t block)
{
	*(volatile uint8_t *)block_at(r, block);
	return pfn_of(block_at(r, block));
}

bool page_has(uint64_t pfn, unsigned int bit)
{
	return entry_at("/proc/kpageflags", pfn) >> bit & 1;
}

int tell(const struct rig *rig, uint64_t addr, uint64_t length, uint32_t *frames)
{
	struct kvoff_ctl_poison arg = { .size = sizeof(arg), .addr = addr, .length = length };
	int ret = ioctl(rig->control, KVOFF_CTL_POISON, &arg) ? -errno : 0;

	if (frames)
		*frames = arg.frames;
	return ret;
}

/* memory_failure() for one page. It says that it does not handle the page, which is right: we do. */
int hit(uint64_t pfn)
{
	char value[32];
	int ret;

	if (access("/sys/kernel/debug/hwpoison/corrupt-pfn", W_OK) && system("modprobe hwpoison-inject"))
		return -ENOENT;
	snprintf(value, sizeof(value), "%#llx", (unsigned long long)pfn);
	ret = put("/sys/kernel/debug/hwpoison/corrupt-pfn", value);
	return ret == -EBUSY || ret == -EIO ? 0 : ret;
}

uint32_t flags_of(const struct region *r, uint64_t block)
{
	return KVOFF_LOC_FLAGS(location(r, block));
}

struct region *filled(struct rig *rig, uint32_t bs, uint64_t nr)
{
	struct region *r = rig_region(rig, bs, nr);
	uint64_t b;

	for (b = 0; r && b < nr; b++)
		fill(block_at(r, b), bs, b);
	return r;
}

/* Words that are not what filled() put there, in all blocks but one. */
uint64_t wrong_but(const struct region *r, uint64_t but)
{
	uint64_t b, wrong = 0;

	for (b = 0; b < r->nr; b++)
		if (b != but)
			wrong += count_wrong(block_at(r, b), r->bs, b);
	return wrong;
}

/* Use every frame that can be had: does any of @nr pages from @pfn on come back? */
bool comes_back(struct rig *rig, uint32_t bs, uint64_t pfn, uint64_t nr)
{
	uint64_t blocks = sysfs_u64("tiers/dram/pools/%lukB/filled_bytes", bs / KIB) / bs +
			  sysfs_u64("tiers/cxl0/pools/%lukB/filled_bytes", bs / KIB) / bs;
	struct kvoff_region_commit commit;
	struct region all;
	bool back = false;
	uint64_t b, p;

	if (region_create(rig, &all, bs, blocks) || !region_commit(&all, blocks * bs, &commit))
		return true;
	blocks = commit.available / bs;
	if (!blocks || region_commit(&all, blocks * bs, NULL))
		return true;
	for (b = 0; b < blocks; b++) {
		*(volatile uint8_t *)block_at(&all, b) = 1;
		p = pfn_of(block_at(&all, b));
		/* a frame begins at its block's first page */
		back |= !p || (p < pfn + nr && p + bs / PAGE > pfn);
	}
	/* and as the targets of moves, which take what first touch leaves in reserve */
	for (b = 0; b < blocks; b++) {
		move_one(rig, &all, b, tier_of(&all, b) == rig->near ? rig->far : rig->near, 0);
		p = block_pfn(&all, b);
		back |= !p || (p < pfn + nr && p + bs / PAGE > pfn);
	}
	region_close(&all);
	return back;
}

/* Every frame of a tier is in one place. A zeroed one may be on its way. */
bool adds_up(const char *tier, uint32_t bs)
{
	return comes_true(sysfs_u64("tiers/%s/pools/%lukB/filled_bytes", tier, bs / KIB) ==
			  sysfs_u64("tiers/%s/free_bytes", tier) + sysfs_u64("tiers/%s/used_bytes", tier) +
			  sysfs_u64("tiers/%s/orphan_bytes", tier) + sysfs_u64("tiers/%s/poisoned_bytes", tier));
}

bool wait_poisoned(const char *tier, uint64_t bytes)
{
	return comes_true(sysfs_u64("tiers/%s/poisoned_bytes", tier) == bytes);
}

/* ---- loads that may fail ---- */

static sigjmp_buf fault_env;
static volatile sig_atomic_t fault_code;

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	fault_code = info->si_code;
	siglongjmp(fault_env, 1);
}

/* 0, or the si_code of the SIGBUS that a load from, or a store to, this address ends with. */
int touch_code(volatile uint8_t *at, bool store)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO }, old;

	sigaction(SIGBUS, &sa, &old);
	fault_code = 0;
	if (!sigsetjmp(fault_env, 1)) {
		if (store)
			*at = 1;
		else
			(void)*at;
	}
	sigaction(SIGBUS, &old, NULL);
	return fault_code;
}

/* What write(2) makes of it. */
int write_errno(const void *at)
{
	int fds[2], ret;

	if (pipe(fds))
		return errno;
	ret = write(fds[1], at, 64) < 0 ? errno : 0;
	close(fds[0]);
	close(fds[1]);
	return ret;
}
