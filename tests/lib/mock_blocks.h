/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two files of the mock have of each other. */
#ifndef TESTS_LIB_MOCK_BLOCKS_H
#define TESTS_LIB_MOCK_BLOCKS_H

#include "mock.h"

void mock_lock(bool yes);
void mock_make_window(unsigned int tier);

/* With the lock held. */
int mock_blocks_call(enum mock_call call, void *arg, uint64_t nr_blocks);
void mock_empty(uint64_t block);
void mock_drop_units(uint64_t first, uint64_t nr);

#endif
