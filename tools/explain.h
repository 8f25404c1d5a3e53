/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvoffctl explain: what is known of a block, and the words for it.
 */
#ifndef KVOFF_TOOLS_EXPLAIN_H
#define KVOFF_TOOLS_EXPLAIN_H

#include <stdint.h>
#include <stdio.h>

#include "tools/ctl.h"
#include "tools/tiers.h"

/**
 * struct seen - what the shared arrays say of a block
 * @block:	its index
 * @location:	as struct kvoff_state has it, and the following three
 * @samples:	"
 * @refaults:	"
 * @reason:	"
 * @touches:	as struct kvoff_hint has it
 * @hints:	KVOFF_HINT_*
 */
struct seen {
	uint64_t block;
	uint64_t location;
	uint16_t samples;
	uint16_t refaults;
	uint16_t reason;
	uint32_t touches;
	uint32_t hints;
};

/**
 * struct around - what else matters
 * @region:	the block's region
 * @tiers:	all tiers
 * @daemon:	who decides
 */
struct around {
	struct kvoff_region_info region;
	struct tiers tiers;
	struct daemon daemon;
};

/* One for each bit of a set, the lowest first; NULL where there is no name. */
extern const char *const explain_hints[4];
extern const char *const explain_flags[5];

/* The tier that a block is in, NULL if it is in none, or in one that is gone. */
const struct tier *explain_tier(const struct seen *s, const struct tiers *tiers);

/* The reason in a word: as kvoffd counts it, or none, drain, rescue, other. */
const char *explain_reason(uint16_t reason);

/* What brought the block to where it is. */
void explain_why(FILE *out, const struct seen *s, const struct around *a);
/* What would bring it elsewhere. */
void explain_next(FILE *out, const struct seen *s, const struct around *a);

#endif
