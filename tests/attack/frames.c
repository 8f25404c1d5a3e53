// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Operations on framed regions, each of which is one process' own: windows that grow, blocks that move between their
 * frames, references without which no address is worth anything.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attack.h"

#define FRAMED_BLOCKS	8

/**
 * struct framed - a framed region for one operation
 * @windows:	mapped, NULL where there is none
 * @frames:	how many frames each has
 * @word:	what each block begins with, 0 if it was never written
 */
struct framed {
	int fd;
	uint32_t id;
	uint32_t bs;
	uint32_t tiers[2];
	uint8_t *windows[2];
	uint64_t frames[2];
	_Atomic uint32_t *refs;
	const struct kvoff_state *state;
	uint64_t word[FRAMED_BLOCKS];
};

static void window_grow(struct self *me, struct framed *f, unsigned int i)
{
	struct kvoff_region_window arg = { .size = sizeof(arg), .tier = f->tiers[i] };
	int ret;

	arg.bytes = (1 + below(me, 4)) * (uint64_t)f->bs;
	f->frames[i] = arg.bytes / f->bs;
	ret = call(f->fd, KVOFF_REGION_WINDOW, &arg);
	note(me, "window", f->id, f->tiers[i], f->frames[i], ret);
	expect(me, "window", ret, -ENOMEM, -EDQUOT, -ENOENT, -ESHUTDOWN);
	if (ret)
		return;
	if (arg.bytes != f->frames[i] * f->bs)
		wrong(me, "window of %lu frames: %llu bytes", f->frames[i], arg.bytes);
	f->windows[i] = mmap(NULL, arg.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, KVOFF_OFF_WINDOW(f->tiers[i]));
	if (f->windows[i] == MAP_FAILED)
		wrong(me, "mmap of a window: %s", strerror(errno));
}

/* Where the block is, held; NULL if it has no frame. */
static uint64_t *frame_acquire(struct self *me, struct framed *f, uint64_t block)
{
	struct kvoff_region_settle settle = { .size = sizeof(settle), .block = block };
	uint64_t location;
	unsigned int i, tries = 0;

	for (;;) {
		atomic_fetch_add(&f->refs[block], 1);
		atomic_thread_fence(memory_order_seq_cst);
		location = __atomic_load_n(&f->state[block].location, __ATOMIC_SEQ_CST);
		if (!(KVOFF_LOC_FLAGS(location) & KVOFF_STATE_MOVING))
			break;
		atomic_fetch_sub(&f->refs[block], 1);
		if (call(f->fd, KVOFF_REGION_SETTLE, &settle) || tries++ > 100000)
			wrong(me, "framed region %u block %lu is moving for ever", f->id, block);
	}
	if (KVOFF_LOC_FLAGS(location) & KVOFF_STATE_PRESENT)
		for (i = 0; i < 2; i++)
			if (f->windows[i] && KVOFF_LOC_TIER(location) == f->tiers[i] &&
			    KVOFF_LOC_FRAME(location) < f->frames[i])
				return (uint64_t *)(f->windows[i] + KVOFF_LOC_FRAME(location) * (uint64_t)f->bs);
	if (KVOFF_LOC_FLAGS(location) & KVOFF_STATE_PRESENT)
		wrong(me, "framed region %u block %lu is in no window: location %lx", f->id, block, location);
	return NULL;
}

/* First and last word of the block are what was put there; then others are. */
static void frame_use(struct self *me, struct framed *f, uint64_t block)
{
	uint64_t *at = frame_acquire(me, f, block), words[2];
	size_t last = f->bs / sizeof(uint64_t) - 1;

	if (at) {
		if (copy_words(&words[0], at, 1) || copy_words(&words[1], at + last, 1))
			wrong(me, "a window cannot be read");
		/* a frame's bytes are undefined at first, but nobody else's: all of ours begin with our region's number */
		if (f->word[block] ? words[0] != f->word[block] || words[1] != f->word[block] :
		    (words[0] && words[0] >> 32 != f->id) || (words[1] && words[1] >> 32 != f->id))
			wrong(me, "framed region %u block %lu: expected %lx, found %lx and %lx", f->id, block,
			      f->word[block], words[0], words[1]);
		f->word[block] = (uint64_t)f->id << 32 | (rnd(me) & 0xfffffff0) | block;
		if (copy_words(at, &f->word[block], 1) || copy_words(at + last, &f->word[block], 1))
			wrong(me, "a window cannot be written");
	}
	atomic_fetch_sub(&f->refs[block], 1);
}

static void frame_moves(struct self *me, struct framed *f)
{
	struct kvoff_move_desc descs[4];
	struct kvoff_move_result results[4];
	unsigned int i;
	int ret;

	for (i = 0; i < 4; i++)
		descs[i] = (struct kvoff_move_desc){
			.region = f->id, .block = below(me, FRAMED_BLOCKS), .to = f->tiers[below(me, 2)],
			.flags = below(me, 2),
		};
	ret = move_batch(me->rig->control, descs, 4, results, NULL);
	if (ret)
		wrong(me, "move in a framed region: %d", ret);
	for (i = 0; i < 4; i++)
		expect(me, "move in a framed region", results[i].error, -ENOENT, -ENODATA, -EBUSY, -EAGAIN, -ECANCELED,
		       -ENOSPC, -EDQUOT, -ESHUTDOWN);
}

static void frame_blocks(struct self *me, struct framed *f, bool alloc)
{
	uint64_t blocks[FRAMED_BLOCKS], i;
	struct kvoff_region_blocks arg = {
		.size = sizeof(arg), .nr = 1 + below(me, FRAMED_BLOCKS), .blocks = (uintptr_t)blocks,
	};
	int ret;

	for (i = 0; i < arg.nr; i++)
		blocks[i] = below(me, FRAMED_BLOCKS + (chance(me, 2) ? 1 : 0));
	ret = call(f->fd, alloc ? KVOFF_REGION_BLOCK_ALLOC : KVOFF_REGION_BLOCK_FREE, &arg);
	note(me, alloc ? "block alloc" : "block free", f->id, arg.nr, arg.done, ret);
	expect(me, "block alloc or free", ret, -ERANGE, alloc ? -EEXIST : -ENODATA, alloc ? -ENOSPC : -EBUSY);
	if (arg.done > arg.nr || (!ret && arg.done != arg.nr))
		wrong(me, "block alloc or free: %d, %u of %u done", ret, arg.done, arg.nr);
	for (i = 0; i < arg.done && blocks[i] < FRAMED_BLOCKS; i++)
		f->word[blocks[i]] = 0;
}

static void op_framed(struct self *me)
{
	struct kvoff_region_create arg = {
		.size = sizeof(arg), .flags = KVOFF_REGION_FRAMED, .fd_flags = O_CLOEXEC, .label = "framed",
		.block_size = KVOFF_BLOCK_SIZE_MIN << below(me, 3),
	};
	struct framed f = { .bs = arg.block_size };
	unsigned int i, rounds = 4 + below(me, 12);
	void *refs, *state;

	arg.length = FRAMED_BLOCKS * (uint64_t)f.bs;
	f.fd = call(me->rig->tenant, KVOFF_REGION_CREATE, &arg);
	if (f.fd < 0)
		wrong(me, "create of a framed region: %d", f.fd);
	f.id = arg.id;
	refs = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, f.fd, KVOFF_OFF_REFS);
	state = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, f.fd, KVOFF_OFF_STATE);
	if (refs == MAP_FAILED || state == MAP_FAILED)
		wrong(me, "mmap of a framed region's arrays: %s", strerror(errno));
	f.refs = refs;
	f.state = state;
	for (i = 0; i < 2; i++) {
		f.tiers[i] = atomic_load(&world->tier_ids[i]);
		window_grow(me, &f, i);
	}
	while (rounds--) {
		switch (below(me, 5)) {
		case 0:
			frame_blocks(me, &f, true);
			break;
		case 1:
			if (chance(me, 30))
				frame_blocks(me, &f, false);
			break;
		case 2:
			frame_moves(me, &f);
			break;
		default:
			frame_use(me, &f, below(me, FRAMED_BLOCKS));
		}
	}
	for (i = 0; i < 2; i++)
		if (f.windows[i])
			munmap(f.windows[i], f.frames[i] * f.bs);
	munmap(refs, PAGE);
	munmap(state, PAGE);
	close(f.fd);
}

const struct op frame_ops[] = {
	{ "framed", 16, op_framed },
	{ NULL, 0, NULL }
};
