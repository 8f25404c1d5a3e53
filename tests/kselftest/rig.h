/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every suite stands on: two tiers, "dram" on node 0 and "cxl0" on the far node, regions in them, and the
 * policy's lease. Functions that return int give 0 or -errno unless they say otherwise, and never end the test by
 * themselves.
 */
#ifndef RIG_H
#define RIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "kvoff.h"

#define KIB		1024UL
#define MIB		(1024UL * KIB)
#define PAGE		4096UL
#define WORDS		(PAGE / sizeof(uint64_t))

/*
 * How many times slower than a stock kernel this one is, by what the environment says (KVOFF_SLOW, 1 where it says
 * nothing). Tests are so much more patient, and repeat things so much less often.
 */
unsigned int rig_slow(void);

/*
 * Waits poll; this only ends a wait for something that will never come. There are machines that stand still for tens of
 * seconds.
 */
#define PATIENCE_MS	(120000 * rig_slow())

/* Whether @cond comes true. What is counted is how often it was looked at: no pause of the machine is too long. */
#define comes_true(cond) ({								\
	unsigned int looks_ = PATIENCE_MS;						\
											\
	while (!(cond) && --looks_)							\
		nap();									\
	looks_ != 0;									\
})

#define RIG_REGIONS	8

/* The harness ends a test after 30 s unless it says otherwise; an emulated machine on a busy host is slower than that. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	600
#undef TEST_F
#define TEST_F(fixture, test)	TEST_F_TIMEOUT(fixture, test, TEST_TIMEOUT_DEFAULT)
#undef TEST_F_TIMEOUT
#define TEST_F_TIMEOUT(fixture, test, seconds) \
	__TEST_F_IMPL(fixture, test, -1, (seconds) * rig_slow())

/**
 * struct region - an attachment and what it has mapped
 * @fd:		the region descriptor, -1 if there is none
 * @id:		the region's number
 * @bs:		block size
 * @nr:		number of blocks
 * @data:	the bytes, mapped for reading and writing
 * @state:	where each block is
 * @hint:	what clients say
 * @refs:	this attachment's references
 */
struct region {
	int fd;
	uint32_t id;
	uint32_t bs;
	uint64_t nr;
	uint8_t *data;
	const struct kvoff_state *state;
	struct kvoff_hint *hint;
	uint32_t *refs;
};

/**
 * struct rig - tiers, and the descriptors that rule them
 * @control:	holds the lease
 * @tenant:	makes regions
 * @far_node:	NUMA node of "cxl0"
 * @near:	number of the tier "dram"
 * @far:	number of the tier "cxl0"
 * @regions:	what rig_region() has made
 */
struct rig {
	int control;
	int tenant;
	int far_node;
	uint32_t near;
	uint32_t far;
	struct region regions[RIG_REGIONS];
};

/*
 * No sampling, no twins, and tiers of @capacity bytes each (0: what the pools need), with pools of @near_bytes and
 * @far_bytes in blocks of @bs.
 */
int rig_up_sized(struct rig *rig, uint32_t bs, uint64_t capacity, uint64_t near_bytes, uint64_t far_bytes);
int rig_up(struct rig *rig, uint32_t bs, uint64_t bytes);
/* Ends what is left of the regions, looks for leaks, removes the tiers. NULL, or what is wrong. */
const char *rig_down(struct rig *rig);

int tier_add(struct rig *rig, const char *name, int node, uint32_t rank, uint64_t capacity, uint32_t *id);
int tier_remove(int control, const char *name);
int pool_set(struct rig *rig, const char *tier, uint32_t bs, uint64_t bytes, uint32_t flags);
/* The last node with memory other than node 0, -1 if there is none. */
int far_node(void);

/* A region of @nr blocks, all committed; NULL with errno set. */
struct region *rig_region(struct rig *rig, uint32_t bs, uint64_t nr);
/* The same without a commit, into a structure of the caller's, which ends it. */
int region_create(struct rig *rig, struct region *r, uint32_t bs, uint64_t nr);
/* A further attachment with mappings of its own. @flags: O_RDWR or O_RDONLY (data and state only, for reading). */
int region_attach(const struct region *from, struct region *r, uint32_t flags);
void region_close(struct region *r);
int region_commit(const struct region *r, uint64_t bytes, struct kvoff_region_commit *out);
int region_uncommit(const struct region *r, uint64_t bytes);
int region_discard(const struct region *r, uint64_t first, uint64_t nr, uint64_t *freed);
int region_info(int fd, struct kvoff_region_info *info);

static inline uint64_t location(const struct region *r, uint64_t block)
{
	return __atomic_load_n(&r->state[block].location, __ATOMIC_SEQ_CST);
}

static inline uint32_t tier_of(const struct region *r, uint64_t block)
{
	return KVOFF_LOC_TIER(location(r, block));
}

static inline uint8_t *block_at(const struct region *r, uint64_t block)
{
	return r->data + block * r->bs;
}

/*
 * Move blocks first to first + nr - 1 by ioctl; how many moved or were there already, or -errno. @results may be
 * NULL.
 */
int move_blocks(const struct rig *rig, const struct region *r, uint64_t first, uint32_t nr, uint32_t to, uint16_t flags,
		struct kvoff_move_result *results);
/* Move one block; its result's error. */
int move_one(const struct rig *rig, const struct region *r, uint64_t block, uint32_t to, uint16_t flags);
/* Any descriptors; 0 or -errno. */
int move_batch(int control, const struct kvoff_move_desc *descs, uint32_t nr, struct kvoff_move_result *results,
	       uint32_t *moved);

/**
 * struct mover - a move in a thread of its own
 * @error:	the block's result, valid after mover_join()
 * @done:	it has ended
 * @hook:	the test hook that holds it up, NULL for none
 */
struct mover {
	const struct rig *rig;
	const struct region *r;
	uint64_t block;
	uint32_t to;
	uint16_t flags;
	int error;
	atomic_bool done;
	const char *hook;
	unsigned long thread;
};

int mover_start(struct mover *m, const struct rig *rig, const struct region *r, uint64_t block, uint32_t to,
		uint16_t flags);
int mover_join(struct mover *m);
/*
 * Start a move of block 0 from @rig->near to @rig->far and return while it has @flag set, which it keeps, held up by
 * test hook @hook, until mover_join() lets it go. 0 or -errno.
 */
int mover_catch(struct mover *m, const struct rig *rig, const struct region *r, const char *hook, uint32_t flag);
/* Let it go in a moment: for a caller who is about to wait for what it does. */
void mover_let(struct mover *m);

/* Bytes that tell which word of which region they are, and in which of its lives (@salt). */
void fill(uint8_t *at, uint64_t bytes, uint64_t salt);
/* How many words are not what fill() put there; 0 is right. */
uint64_t count_wrong(const uint8_t *at, uint64_t bytes, uint64_t salt);
uint64_t count_nonzero(const uint8_t *at, uint64_t bytes);

/* Everything below /sys/class/kvoff/. Reading what is not there gives UINT64_MAX. */
uint64_t sysfs_u64(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int sysfs_write(const char *path, const char *value);
uint64_t stat_now(const char *counter);
/* A tier's figure, in all tiers together. */
uint64_t tiers_sum(const char *figure);
bool wait_for_sum(const char *figure, uint64_t value);
/* A test hook of the module: delay in milliseconds. -ENOENT if this module has none. */
int hook_set(const char *name, unsigned int ms);

uint64_t now_ms(void);
void nap(void);

#endif /* RIG_H */
