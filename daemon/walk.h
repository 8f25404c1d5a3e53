/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Seeing a region unit by unit: all of it, or with a census only those units that are not in its counts, and those that
 * may lie in windows. Part of decide().
 */
#ifndef KVOFFD_WALK_H
#define KVOFFD_WALK_H

#include "decide.h"

/* So many words of 64 units are searched for those to see before one is seen. */
#define WALK_WORDS	CENSUS_WORDS

/**
 * struct walk - where it stands
 * @in:		decide()'s
 * @region:	what is seen
 * @windows:	which units of the counts are seen too, NULL for none; may be narrowed on the way
 * @units:	how many the region has
 * @word:	the 64 of them that are seen now, or next
 * @searched:	it and its neighbours were searched
 * @bits:	those to see of it and of its neighbours
 * @first:	the unit seen now: its first block,
 * @end:	the one after its last, and
 * @key:	the key of the hottest
 * @claims:	blocks for which prefetch hints are still believed
 */
struct walk {
	const struct decide_input *in;
	const struct decide_region *region;
	const struct census_windows *windows;
	uint64_t units;
	uint64_t word;
	bool searched;
	uint64_t bits[WALK_WORDS];
	uint64_t first;
	uint64_t end;
	uint64_t claims;
	unsigned int key;
};

/** walk_begin - before the first unit */
void walk_begin(struct walk *w, const struct decide_input *in, const struct decide_region *region, uint64_t claims,
		const struct census_windows *windows);

/** walk_next - go on to the next unit; false: there is none */
bool walk_next(struct walk *w);

#endif /* KVOFFD_WALK_H */
