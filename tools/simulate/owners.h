/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many sessions, as far as the server knows, will still need a block.
 */
#ifndef KVOFF_SIMULATE_OWNERS_H
#define KVOFF_SIMULATE_OWNERS_H

#include "tools/simulate/load.h"

/** sim_owners_begin - a request's session uses its blocks; @owners has one number a block */
static inline void sim_owners_begin(uint32_t *owners, const struct sim_load *load, const struct sim_request *r)
{
	for (uint32_t i = r->known; i < r->nr; i++)
		owners[load->refs.block[r->first + i]]++;
}

/** sim_owners_end - the session has announced its end: is @i-th block of its last request needed by no other? */
static inline bool sim_owners_end(uint32_t *owners, const struct sim_load *load, const struct sim_request *r,
				  uint32_t i)
{
	uint32_t *n = &owners[load->refs.block[r->first + i]];

	*n -= *n != 0;
	return !*n;
}

#endif
