/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What went wrong, in words, for the thread that asked. */
#ifndef LKV_ERROR_H
#define LKV_ERROR_H

#include <stdint.h>

#define LKV_SIZE_LEN 24

/* Keeps the message for libkvoff_strerror(), sets errno to @err and returns -@err. */
int lkv_fail(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "2 MiB", "1.5 GiB" or "100 B"; returns @buf. */
const char *lkv_size(char buf[LKV_SIZE_LEN], uint64_t bytes);

#endif
