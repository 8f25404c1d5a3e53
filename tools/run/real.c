// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is below us. The allocator is the next one in the search order, which need not be the C library's. It is found
 * with dlsym(), which may allocate itself: that, and what is allocated before, comes out of a small array and stays.
 */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "run.h"

#define EARLY_BYTES 65536
#define EARLY_ALIGN 16

static char early[EARLY_BYTES] __attribute__((aligned(4096)));
static size_t early_used;

static struct {
	void *(*malloc)(size_t size);
	void *(*calloc)(size_t nr, size_t size);
	void *(*realloc)(void *p, size_t size);
	void *(*memalign)(size_t align, size_t size);
	void (*free)(void *p);
	size_t (*usable_size)(void *p);
} next;

static bool found;
static __thread bool finding __attribute__((tls_model("initial-exec")));

static bool find(void)
{
	if (__atomic_load_n(&found, __ATOMIC_ACQUIRE))
		return true;
	if (finding)
		return false;
	/* two threads may do this at once, and find the same */
	finding = true;
	*(void **)&next.malloc = dlsym(RTLD_NEXT, "malloc");
	*(void **)&next.calloc = dlsym(RTLD_NEXT, "calloc");
	*(void **)&next.realloc = dlsym(RTLD_NEXT, "realloc");
	*(void **)&next.memalign = dlsym(RTLD_NEXT, "memalign");
	*(void **)&next.free = dlsym(RTLD_NEXT, "free");
	*(void **)&next.usable_size = dlsym(RTLD_NEXT, "malloc_usable_size");
	__atomic_store_n(&found, true, __ATOMIC_RELEASE);
	finding = false;
	return true;
}

static bool is_early(const void *p)
{
	return (size_t)((const char *)p - early) < sizeof(early);
}

/* The size lies in front, for realloc(). Zero: nothing of it is ever used twice. */
static void *early_get(size_t align, size_t size)
{
	size_t start, end, old = __atomic_load_n(&early_used, __ATOMIC_RELAXED);

	if (align < EARLY_ALIGN)
		align = EARLY_ALIGN;
	do {
		start = (old + sizeof(size_t) + align - 1) & ~(align - 1);
		end = start + size;
		if (end < start || end > sizeof(early)) {
			errno = ENOMEM;
			return NULL;
		}
	} while (!__atomic_compare_exchange_n(&early_used, &old, end, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	memcpy(early + start - sizeof(size), &size, sizeof(size));
	return early + start;
}

static size_t early_size(const void *p)
{
	size_t size;

	memcpy(&size, (const char *)p - sizeof(size), sizeof(size));
	return size;
}

void *real_malloc(size_t size)
{
	return find() ? next.malloc(size) : early_get(1, size);
}

void *real_calloc(size_t nr, size_t size)
{
	size_t bytes;

	if (find())
		return next.calloc(nr, size);
	if (__builtin_mul_overflow(nr, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return early_get(1, bytes);
}

void *real_realloc(void *p, size_t size)
{
	size_t old;
	void *to;

	if (!is_early(p))
		return find() ? next.realloc(p, size) : p ? NULL : early_get(1, size);
	to = real_malloc(size);
	if (to) {
		old = early_size(p);
		memcpy(to, p, old < size ? old : size);
	}
	return to;
}

void *real_memalign(size_t align, size_t size)
{
	return find() ? next.memalign(align, size) : early_get(align, size);
}

void real_free(void *p)
{
	if (p && !is_early(p) && find())
		next.free(p);
}

size_t real_usable_size(void *p)
{
	if (is_early(p))
		return early_size(p);
	return find() ? next.usable_size(p) : 0;
}

void *real_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
}

int real_munmap(void *addr, size_t len)
{
	return (int)syscall(SYS_munmap, addr, len);
}

int real_mprotect(void *addr, size_t len, int prot)
{
	return (int)syscall(SYS_mprotect, addr, len, prot);
}

void *real_mremap(void *addr, size_t old_len, size_t new_len, int flags, void *new_addr)
{
	return (void *)syscall(SYS_mremap, addr, old_len, new_len, flags, new_addr);
}

int real_madvise(void *addr, size_t len, int advice)
{
	return (int)syscall(SYS_madvise, addr, len, advice);
}

int real_close(int fd)
{
	return (int)syscall(SYS_close, fd);
}
