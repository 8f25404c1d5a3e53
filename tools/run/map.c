// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * mmap() and what works on its result. Served is a private anonymous mapping that is large, readable and writable, at
 * whatever address; what the kernel would do with a private mapping in the region's addresses is done here instead.
 */
#include <errno.h>
#include <linux/mman.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <libkvoff.h>

#include "run.h"

#define CALLER __builtin_return_address(0)

/* A thread's stack is no place for a signal handler to find its memory moving; huge pages were asked for by name. */
#define NOT_SERVED (MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_GROWSDOWN | MAP_STACK | MAP_HUGETLB | MAP_NORESERVE | \
		    MAP_32BIT | MAP_LOCKED)

static size_t pages_up(size_t n)
{
	return (n + RUN_PAGE - 1) & ~(RUN_PAGE - 1);
}

/* These are the region's addresses as this process has it, and not what a parent left. */
static bool ours(const void *p)
{
	return !run_inside() && run_in_range(p) && __atomic_load_n(&run_state, __ATOMIC_ACQUIRE) == RUN_OPEN;
}

/* The part of a range that is in the region. */
static size_t within(const char *start, size_t len)
{
	size_t most = run_range.length - (size_t)(start - run_range.base);

	return len < most ? len : most;
}

static void *map(void *addr, size_t len, int prot, int flags, int fd, off_t offset, const void *caller)
{
	void *p = NULL;

	if (len >= RUN_MIN_SIZE_MIN && (flags & MAP_TYPE) == MAP_PRIVATE && flags & MAP_ANONYMOUS &&
	    !(flags & NOT_SERVED) && prot == (PROT_READ | PROT_WRITE))
		p = region_get(pages_up(len), RUN_PAGE, true, true, caller);
	if (p)
		return p;
	if (flags & MAP_FIXED && ours(addr)) {
		run_lock();
		p = real_mmap(addr, len, prot, flags, fd, offset);
		if (p != MAP_FAILED)
			region_unmap(addr, within(addr, pages_up(len)), true);
		run_unlock();
		return p;
	}
	return real_mmap(addr, len, prot, flags, fd, offset);
}

RUN_EXPORT void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	return map(addr, len, prot, flags, fd, offset, CALLER);
}

RUN_EXPORT void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	return map(addr, len, prot, flags, fd, offset, CALLER);
}

RUN_EXPORT int munmap(void *addr, size_t len)
{
	size_t in;

	if (!ours(addr))
		return real_munmap(addr, len);
	if (!len || (uintptr_t)addr % RUN_PAGE) {
		errno = EINVAL;
		return -1;
	}
	len = pages_up(len);
	in = within(addr, len);
	run_lock();
	region_unmap(addr, in, false);
	run_unlock();
	return in < len ? real_munmap((char *)addr + in, len - in) : 0;
}

RUN_EXPORT int mprotect(void *addr, size_t len, int prot)
{
	int ret;

	if (!ours(addr))
		return real_mprotect(addr, len, prot);
	run_lock();
	ret = real_mprotect(addr, len, prot);
	if (!ret)
		region_set_protected(addr, len);
	run_unlock();
	return ret;
}

/* With the lock held. 0, or an errno. */
static int advise(char *addr, size_t len, int advice)
{
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
		region_zero(addr, len);
		return 0;
	case MADV_COLD:
	case MADV_PAGEOUT:
		return -libkvoff_hint_ptr(run_kv, addr, len, LIBKVOFF_HINT_COLD);
	case MADV_WILLNEED:
		return -libkvoff_prefetch_ptr(run_kv, addr, len);
	/* they are about pages, and these are blocks */
	case MADV_FREE:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_COLLAPSE:
	case MADV_MERGEABLE:
	case MADV_UNMERGEABLE:
	case MADV_DONTFORK:
	case MADV_DOFORK:
		return 0;
	/* as for any private mapping */
	case MADV_REMOVE:
		return EINVAL;
	default:
		return real_madvise(addr, len, advice) ? errno : 0;
	}
}

RUN_EXPORT int madvise(void *addr, size_t len, int advice)
{
	int ret;

	if (!ours(addr))
		return real_madvise(addr, len, advice);
	len = pages_up(len);
	if ((uintptr_t)addr % RUN_PAGE) {
		errno = EINVAL;
		return -1;
	}
	if (!len)
		return 0;
	run_lock();
	ret = region_has(addr, len) ? advise(addr, len, advice) : ENOMEM;
	run_unlock();
	if (!ret)
		return 0;
	errno = ret;
	return -1;
}

RUN_EXPORT int posix_madvise(void *addr, size_t len, int advice)
{
	int err = errno, ret = 0;

	/* POSIX's DONTNEED keeps the bytes */
	if (advice != POSIX_MADV_DONTNEED && madvise(addr, len, advice))
		ret = errno;
	errno = err;
	return ret;
}

/* Elsewhere, with the old bytes; the old mapping goes. */
static void *move(char *old, size_t old_len, size_t new_len, void *to, const void *caller)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | (to ? MAP_FIXED : 0);
	void *p = map(to, new_len, PROT_READ | PROT_WRITE, flags, -1, 0, caller);

	if (p == MAP_FAILED)
		return p;
	memcpy(p, old, old_len < new_len ? old_len : new_len);
	munmap(old, old_len);
	return p;
}

RUN_EXPORT void *mremap(void *old, size_t old_len, size_t new_len, int flags, ...)
{
	void *to = NULL;
	bool there;
	va_list ap;

	if (flags & MREMAP_FIXED) {
		va_start(ap, flags);
		to = va_arg(ap, void *);
		va_end(ap);
	}
	if (!ours(old))
		return real_mremap(old, old_len, new_len, flags, to);
	if ((uintptr_t)old % RUN_PAGE || (uintptr_t)to % RUN_PAGE || !old_len || !new_len ||
	    flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED) || (flags & MREMAP_FIXED && !(flags & MREMAP_MAYMOVE))) {
		errno = EINVAL;
		return MAP_FAILED;
	}
	old_len = pages_up(old_len);
	new_len = pages_up(new_len);
	run_lock();
	there = region_has(old, old_len);
	run_unlock();
	if (!there) {
		errno = EFAULT;
		return MAP_FAILED;
	}
	if (to && (char *)to < (char *)old + old_len && (char *)old < (char *)to + new_len) {
		errno = EINVAL;
		return MAP_FAILED;
	}
	if (flags & MREMAP_FIXED)
		return move(old, old_len, new_len, to, CALLER);
	if (new_len <= old_len) {
		if (new_len < old_len)
			munmap((char *)old + new_len, old_len - new_len);
		return old;
	}
	if (!(flags & MREMAP_MAYMOVE)) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return move(old, old_len, new_len, NULL, CALLER);
}
