/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_RUN_MEMORY_H
#define TESTS_RUN_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#define MIB	((size_t)1 << 20)

/* @p is memory of kvoff's, or of what plays it. */
bool is_served(const void *p);
bool all_are(const void *p, size_t len, unsigned char c);

/* process.c */
void threads(void);
void signals(void);
void children_that_execute(void);
void children_that_go_on(void);

#endif
