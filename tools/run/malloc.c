// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The malloc family. What is large goes to the region if it can, all else to the next allocator; what is freed is told
 * apart by its address.
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

/* Alignment of what malloc() returns. */
#define ALIGN 16

#define CALLER __builtin_return_address(0)

RUN_EXPORT void *malloc(size_t size)
{
	void *p = NULL;

	if (size >= RUN_MIN_SIZE_MIN)
		p = region_get(size, ALIGN, false, false, CALLER);
	return p ? p : real_malloc(size);
}

RUN_EXPORT void *calloc(size_t nr, size_t size)
{
	size_t bytes;
	void *p = NULL;

	if (!__builtin_mul_overflow(nr, size, &bytes) && bytes >= RUN_MIN_SIZE_MIN)
		p = region_get(bytes, ALIGN, true, false, CALLER);
	return p ? p : real_calloc(nr, size);
}

RUN_EXPORT void free(void *p)
{
	int err = errno;

	if (!run_in_range(p) || !region_put(p))
		real_free(p);
	errno = err;
}

/* Newer names, which a C library of today need not have yet. */
void free_sized(void *p, size_t size);
void free_aligned_sized(void *p, size_t align, size_t size);

RUN_EXPORT void free_sized(void *p, size_t size)
{
	free(p);
}

RUN_EXPORT void free_aligned_sized(void *p, size_t align, size_t size)
{
	free(p);
}

static void *resize(void *p, size_t size, const void *caller)
{
	size_t old = run_in_range(p) ? region_size(p) : 0;
	void *to = NULL;

	if (!old && (!p || size < RUN_MIN_SIZE_MIN)) {
		if (!p && size >= RUN_MIN_SIZE_MIN)
			to = region_get(size, ALIGN, false, false, caller);
		return to ? to : real_realloc(p, size);
	}
	if (old && !size) {
		free(p);
		return NULL;
	}
	if (old && region_resize(p, size))
		return p;
	if (size >= RUN_MIN_SIZE_MIN)
		to = region_get(size, ALIGN, false, false, caller);
	if (!old) {
		/* it grew large; or the next allocator deals with its own */
		if (!to)
			return real_realloc(p, size);
		old = real_usable_size(p);
	} else if (!to) {
		to = real_malloc(size);
		if (!to)
			return NULL;
	}
	memcpy(to, p, old < size ? old : size);
	free(p);
	return to;
}

RUN_EXPORT void *realloc(void *p, size_t size)
{
	return resize(p, size, CALLER);
}

RUN_EXPORT void *reallocarray(void *p, size_t nr, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(nr, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return resize(p, bytes, CALLER);
}

static bool power_of_two(size_t n)
{
	return n && !(n & (n - 1));
}

static void *aligned(size_t align, size_t size, const void *caller)
{
	void *p = NULL;

	if (size >= RUN_MIN_SIZE_MIN && power_of_two(align))
		p = region_get(size, align, false, false, caller);
	return p ? p : real_memalign(align, size);
}

RUN_EXPORT void *memalign(size_t align, size_t size)
{
	return aligned(align, size, CALLER);
}

RUN_EXPORT void *aligned_alloc(size_t align, size_t size)
{
	if (!power_of_two(align)) {
		errno = EINVAL;
		return NULL;
	}
	return aligned(align, size, CALLER);
}

RUN_EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
	int err = errno, ret = 0;
	void *p;

	if (!power_of_two(align) || align % sizeof(void *))
		return EINVAL;
	p = aligned(align, size, CALLER);
	if (p)
		*out = p;
	else
		ret = ENOMEM;
	errno = err;
	return ret;
}

RUN_EXPORT void *valloc(size_t size)
{
	return aligned(RUN_PAGE, size, CALLER);
}

RUN_EXPORT void *pvalloc(size_t size)
{
	if (size > SIZE_MAX - RUN_PAGE) {
		errno = ENOMEM;
		return NULL;
	}
	return aligned(RUN_PAGE, (size + RUN_PAGE - 1) & ~(RUN_PAGE - 1), CALLER);
}

RUN_EXPORT size_t malloc_usable_size(void *p)
{
	size_t size = run_in_range(p) ? region_size(p) : 0;

	return size ? size : real_usable_size(p);
}
