/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocks that are moved from the near tier to the far one and back. Before each way all processes that have them mapped
 * read them, so that there is something to unmap.
 */
#ifndef KVOFF_BENCH_TRIP_H
#define KVOFF_BENCH_TRIP_H

#include "tests/kselftest/framed_rig.h"
#include "tools/bench/crowd.h"

#define GIB	(1024 * MIB)

/**
 * struct trip - blocks on their way
 * @rig:	where
 * @r:		the region
 * @framed:	of a framed region
 * @crowd:	further processes
 * @nr:		blocks
 * @batch:	blocks a command
 * @write:	write to each block first, so that it has no twin
 */
struct trip {
	struct rig *rig;
	struct region *r;
	struct framed framed;
	struct crowd crowd;
	uint32_t nr;
	uint32_t batch;
	bool write;
};

/* A mapped region, with known bytes; 0 or -errno, and in both cases trip_down() is to be called. */
int trip_up(struct trip *t, struct rig *rig, uint32_t bs, uint32_t nr, unsigned int processes);
int trip_up_framed(struct trip *t, struct rig *rig, uint32_t bs, uint32_t nr);
/* -EILSEQ if the bytes of a mapped region, which nobody has written to, are not what they were. */
int trip_down(struct trip *t);

/* For struct bench_arm, with the trip as context: nanoseconds a block, or -errno. */
double trip_there(void *ctx);
double trip_back(void *ctx);
/* There and back, the mean of both. */
double trip_both(void *ctx);

/* "64 KiB"; valid until the next call. */
const char *size_name(uint32_t bytes);

#endif /* KVOFF_BENCH_TRIP_H */
