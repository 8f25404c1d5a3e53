/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The random-sequence attack: several processes do random things to a handful of regions at once, and each knows
 * at any time what every page may hold. What they know is in memory outside kvoff that all of them share.
 */
#ifndef ATTACK_H
#define ATTACK_H

#include <liburing.h>
#include <setjmp.h>
#include <stdatomic.h>

#include "tests/kselftest/rig.h"

#define SLOTS		6
#define SLOT_BYTES	(16 * MIB)
#define SLOT_PAGES	(SLOT_BYTES / PAGE)
#define SLOT_BLOCKS	(SLOT_BYTES / KVOFF_BLOCK_SIZE_MIN)
#define PROCS_MAX	16
#define LOG_LEN		24
#define OPS_MAX		96
#define NO_PAGE		UINT64_MAX

/**
 * struct life - what a page may hold
 * @lo:		the oldest life that may still be seen
 * @hi:		the newest that was begun
 * @zero:	the newest that is zero; the others are stores
 * @owner:	who may begin a life: process number + 1
 *
 * A word is right if it belongs to any life from @lo, looked at before the load, to @hi, looked at after it.
 */
struct life {
	_Atomic uint32_t lo;
	_Atomic uint32_t hi;
	_Atomic uint32_t zero;
	_Atomic uint32_t owner;
};

enum slot_state { SLOT_FREE, SLOT_LIVE };

/**
 * struct slot - a region that all processes know
 * @lock:	process number + 1; held while a process comes, goes or passes its descriptor on
 * @gen:	which region of those that the slot has had; changes before @lives is reset
 * @full:	all of it is committed for life: no use of it may fail
 * @users:	processes that have a descriptor or a mapping
 * @committed:	bytes, exact when nobody is at work
 * @refs_active: references that may be held
 * @refs_events: how often that changed
 * @seals_active: operations that may have sealed blocks
 * @seals_events: how often that changed
 * @discards:	begun and ended, by block
 * @fds:	each process' descriptor for others to take, -1 if it has none
 */
struct slot {
	_Atomic uint32_t lock;
	_Atomic uint32_t state;
	_Atomic uint32_t gen;
	uint32_t id;
	uint32_t bs;
	uint64_t nr;
	_Atomic bool full;
	uint32_t users;
	_Atomic uint64_t committed;
	_Atomic int refs_active;
	_Atomic uint32_t refs_events;
	_Atomic int seals_active;
	_Atomic uint32_t seals_events;
	_Atomic uint32_t discards[SLOT_BLOCKS];
	_Atomic int fds[PROCS_MAX];
	struct life lives[SLOT_PAGES];
};

/* One line of a process' history. */
struct entry {
	uint64_t op;
	const char *what;
	int64_t a, b, c;
	int64_t ret;
};

struct process {
	_Atomic uint64_t op;
	_Atomic uint64_t begun_ms;
	_Atomic(const char *) name;
	pid_t pid;
	_Atomic uint32_t logged;
	struct entry log[LOG_LEN];
};

struct world {
	_Atomic bool failed;
	uint64_t seed;
	uint64_t ops;
	uint32_t procs;
	_Atomic uint32_t arrived;
	_Atomic uint32_t round;
	_Atomic uint32_t tiers_lock;
	_Atomic int tier_ids[2];
	_Atomic uint64_t done[OPS_MAX];
	_Atomic uint64_t spent_ms[OPS_MAX];
	_Atomic uint64_t loads, stores, moves, moved, faults;
	struct process processes[PROCS_MAX];
	struct slot slots[SLOTS];
};

enum kind { DATA, STATE, HINT, REFS };

/* A descriptor of an attachment. */
struct hold {
	int fd;
	int slot;
	uint32_t gen;
	bool writable;
};

/**
 * struct map - a part of a region's file, mapped
 * @first:	its first page, counted from the beginning of the data or of the array
 * @writable:	its descriptor is
 */
struct map {
	uint8_t *at;
	uint64_t pages;
	uint64_t first;
	enum kind kind;
	int slot;
	uint32_t gen;
	int prot;
	bool writable;
};

/* A reference taken by the documented protocol. */
struct ref {
	int slot;
	uint32_t gen;
	uint64_t block;
	_Atomic uint32_t *count;
	const struct kvoff_state *state;
	void *refs_page;
	void *state_page;
	uint64_t location;
	uint32_t discards;
};

#define HOLDS	12
#define MAPS	40
#define REFS_MAX 4
#define BATCHES	6
#define BATCH	24
#define KIDS	3
#define SPLICES	8

struct batch {
	bool busy;
	bool cancelled;
	struct kvoff_ctl_move arg;
	uint32_t nr;
	struct kvoff_move_desc descs[BATCH];
	struct kvoff_move_result results[BATCH];
};

/* Pages that lie in the pipe, oldest first. */
struct spliced {
	int slot;
	uint32_t gen;
	uint64_t page;
	uint32_t lo;
};

/**
 * struct self - one process
 * @nr:		its number
 * @rnd:	this operation's random numbers: a function of seed, process and operation, of nothing else
 */
struct self {
	uint32_t nr;
	uint64_t rnd;
	struct rig *rig;
	struct hold holds[HOLDS];
	struct map maps[MAPS];
	struct ref refs[REFS_MAX];
	struct batch batches[BATCHES];
	struct io_uring ring;
	pid_t kids[KIDS];
	int pipe[2];
	struct spliced spliced[SPLICES];
	unsigned int nr_spliced;
	int disk;
	int userfault;
	uint8_t *bounce;
};

extern struct world *world;

/* ---- model.c ---- */
void model_init(void);
uint64_t rnd(struct self *me);
static inline uint64_t below(struct self *me, uint64_t n)
{
	return rnd(me) % n;
}

static inline bool chance(struct self *me, unsigned int percent)
{
	return below(me, 100) < percent;
}

void note(struct self *me, const char *what, int64_t a, int64_t b, int64_t c, int64_t ret);
/* Ends the process: what was found is not what is allowed. */
void wrong(struct self *me, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));
/* @ret is not negative, or in @allowed, which ends with 0. */
void expect_list(struct self *me, const char *what, int64_t ret, const int *allowed);
#define expect(me, what, ret, ...)	expect_list(me, what, ret, (const int[]){ __VA_ARGS__, 0 })

void lock(_Atomic uint32_t *word, const struct self *me);
void unlock(_Atomic uint32_t *word);
/* Wait for all processes; false when it is all over. */
bool meet(void);
void nap_or_die(void);

/* 0 or the signal. */
int copy_words(volatile uint64_t *to, const volatile uint64_t *from, size_t words);
void catch_faults(void);
void fill_page(uint64_t *to, int slot, uint32_t gen, uint64_t page, uint32_t life);
/* Pages: are these words what the page may hold? */
void check_words(struct self *me, const char *how, int slot, uint32_t gen, uint64_t page, const uint64_t *words,
		 size_t nr, size_t first, uint32_t lo);
uint32_t page_lo(int slot, uint64_t page);
/* Load a page through a mapping and check it. */
void check_page(struct self *me, const char *how, int slot, uint32_t gen, uint64_t page, const void *at);
bool page_take(struct self *me, int slot, uint64_t page);
void page_release(int slot, uint64_t page);
uint32_t page_begin_store(int slot, uint64_t page);
void page_begin_zero(int slot, uint64_t page);
void page_done(int slot, uint64_t page);
/* A use failed for want of committed memory: may it? */
void check_bus(struct self *me, const char *how, int slot, uint32_t gen, uint64_t page);

/* ---- space.c ---- */
int call(int fd, unsigned long cmd, void *arg);
struct hold *pick_hold(struct self *me, bool writable);
struct hold *hold_of(struct self *me, int slot, bool writable);
struct map *pick_map(struct self *me, enum kind kind, int prot);
struct map *map_new(struct self *me, const struct hold *h, enum kind kind, uint64_t first, uint64_t pages, int prot);
uint64_t kind_offset(enum kind kind);
uint64_t kind_pages(enum kind kind, const struct slot *s);
struct map *free_map(struct self *me);
struct hold *free_hold(struct self *me);
/* Make [first, first + pages) of a mapping an entry of its own. NULL: no room in the table. */
struct map *map_cut(struct self *me, struct map *m, uint64_t first, uint64_t pages);
void map_drop(struct self *me, struct map *m);
void hold_drop(struct self *me, struct hold *h);
bool slot_mine(const struct self *me, int slot, uint32_t gen);
bool slot_join(struct self *me, int slot);
bool slot_create(struct self *me, int slot);
void slot_leave(struct self *me, int slot);
void slot_publish(struct self *me, int slot);
void ref_take(struct self *me);
void ref_drop(struct self *me, struct ref *r);

/* ---- the operations ---- */
struct op {
	const char *name;
	unsigned int weight;
	void (*run)(struct self *me);
};

extern const struct op memory_ops[], transfer_ops[], call_ops[], move_ops[], process_ops[], admin_ops[],
	seal_ops[], frame_ops[];
void drains_stop(struct self *me);
/* The pages of a block, all ours; or none of them. */
bool block_take(struct self *me, int slot, uint64_t block);
void block_release(int slot, uint64_t block);
/* Discard blocks whose pages are all ours. */
void blocks_discard(struct self *me, const struct hold *h, uint64_t first, uint64_t nr);
void splice_drain(struct self *me);
void batches_drain(struct self *me, bool cancel);
void batches_reap(struct self *me);
void kids_wait(struct self *me);
void random_descs(struct self *me, struct kvoff_move_desc *descs, uint32_t nr);
void links_free(struct self *me);

#endif /* ATTACK_H */
