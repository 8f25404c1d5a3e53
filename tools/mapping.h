/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where processes have regions mapped: /proc/PID/maps, and their descriptors, which say whose memory a mapping is.
 */
#ifndef KVOFF_TOOLS_MAPPING_H
#define KVOFF_TOOLS_MAPPING_H

#include <stdint.h>

/**
 * struct mapping - one mapping of a region in a process
 * @region:	the region's number
 * @start:	its first address
 * @end:	the one after its last
 * @offset:	what is at @start: KVOFF_OFF_*
 */
struct mapping {
	uint32_t region;
	uint64_t start;
	uint64_t end;
	uint64_t offset;
};

/* The mapping that has this address. Returns 0 or the exit status (complained about). */
int mapping_at(int pid, uint64_t address, struct mapping *out);

/* An address where the process has this offset of the region mapped, 0 if there is none or it cannot be seen. */
uint64_t mapping_address(int pid, uint32_t region, uint64_t offset);

#endif
