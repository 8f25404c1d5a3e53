// SPDX-License-Identifier: GPL-2.0-or-later
/* The module's part in framed regions, seals, units and eventfds. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ktap.h"
#include "mock_blocks.h"

static uint64_t gen_of(uint64_t block)
{
	return KVOFF_LOC_GEN(mock.state[block].location);
}

static bool is_framed(void)
{
	return mock.create.flags & KVOFF_REGION_FRAMED;
}

/* The block has no memory any more. */
void mock_empty(uint64_t block)
{
	uint64_t old = mock.state[block].location;

	if (!(old & KVOFF_STATE_PRESENT))
		return;
	if (is_framed()) {
		mock.owner[KVOFF_LOC_TIER(old)][KVOFF_LOC_FRAME(old)] = UINT64_MAX;
		__atomic_store_n(&mock.state[block].location, ((gen_of(block) + 1) & 0xffff) << 16, __ATOMIC_SEQ_CST);
	} else {
		__atomic_fetch_and(&mock.state[block].location, ~(__u64)(KVOFF_STATE_PRESENT), __ATOMIC_RELEASE);
	}
	mock.used--;
}

void mock_drop_units(uint64_t first, uint64_t nr)
{
	unsigned int i;

	for (i = 0; i < mock.nr_units;) {
		if (mock.unit[i].first < first + nr && first < mock.unit[i].first + mock.unit[i].nr)
			memmove(&mock.unit[i], &mock.unit[i + 1], (--mock.nr_units - i) * sizeof(mock.unit[0]));
		else
			i++;
	}
}

static int add_unit(const struct kvoff_region_seal *s)
{
	unsigned int i;

	for (i = 0; i < mock.nr_units && mock.unit[i].first < s->first; i++)
		;
	CHECK(mock.nr_units < MOCK_UNITS_MAX);
	memmove(&mock.unit[i + 1], &mock.unit[i], (mock.nr_units++ - i) * sizeof(mock.unit[0]));
	mock.unit[i] = (struct kvoff_unit){ .first = s->first, .nr = s->nr };
	memcpy(mock.unit[i].tag, s->tag, sizeof(s->tag));
	return 0;
}

static int seal(struct kvoff_region_seal *s, uint64_t nr_blocks)
{
	unsigned int i;
	uint64_t location;

	CHECK(s->size == sizeof(*s) && !(s->flags & ~KVOFF_SEAL_TAG) && s->nr && !s->sealed);
	CHECK(s->first < nr_blocks && s->nr <= nr_blocks - s->first);
	for (i = 0; i < KVOFF_TAG_LEN; i++)
		CHECK(s->flags & KVOFF_SEAL_TAG || !s->tag[i]);
	memmove(mock.seals + 1, mock.seals, sizeof(mock.seals) - sizeof(mock.seals[0]));
	mock.seals[0].first = s->first;
	mock.seals[0].nr = s->nr;
	for (i = 0; s->flags & KVOFF_SEAL_TAG && i < mock.nr_units; i++)
		if (mock.unit[i].first < s->first + s->nr && s->first < mock.unit[i].first + mock.unit[i].nr)
			return -EEXIST;
	for (; s->sealed < s->nr; s->sealed++) {
		location = mock.state[s->first + s->sealed].location;
		if (!(location & KVOFF_STATE_PRESENT))
			return -ENODATA;
		if (location & KVOFF_STATE_POISONED)
			return -EIO;
		if (mock.pinned[s->first + s->sealed])
			return -EBUSY;
		__atomic_fetch_or(&mock.state[s->first + s->sealed].location, KVOFF_STATE_SEALED, __ATOMIC_SEQ_CST);
	}
	return s->flags & KVOFF_SEAL_TAG ? add_unit(s) : 0;
}

static int units(struct kvoff_region_units *u)
{
	struct kvoff_unit *out = (struct kvoff_unit *)(uintptr_t)u->units;
	unsigned int i, nr = 0;

	CHECK(u->size == sizeof(*u) && !u->flags && !u->reserved && u->nr >= 1 && u->nr <= 1024);
	for (i = 0; i < mock.nr_units && nr < u->nr; i++)
		if (mock.unit[i].first >= u->from)
			out[nr++] = mock.unit[i];
	u->nr = nr;
	return 0;
}

static int window(struct kvoff_region_window *w)
{
	uint64_t bs = mock.create.block_size, i, grow = w->bytes / bs;

	CHECK(w->size == sizeof(*w) && !w->flags && !w->reserved && w->tier < KVOFF_MAX_TIERS && !(w->bytes % bs));
	if (!is_framed())
		return -EOPNOTSUPP;
	if (!mock.room[w->tier] && !mock.window[w->tier])
		return -ENOENT;
	w->available = mock.room[w->tier] * bs;
	if (grow > mock.room[w->tier])
		return mock.quota ? -EDQUOT : -ENOMEM;
	CHECK(mock.window[w->tier] + grow <= MOCK_WINDOW_MAX);
	if (grow)
		mock_make_window(w->tier);
	for (i = mock.window[w->tier]; i < mock.window[w->tier] + grow; i++)
		mock.owner[w->tier][i] = UINT64_MAX;
	mock.window[w->tier] += grow;
	mock.room[w->tier] -= grow;
	mock.committed += grow;
	w->bytes = mock.window[w->tier] * bs;
	return 0;
}

static int64_t free_frame(unsigned int tier)
{
	uint64_t i;

	for (i = 0; i < mock.window[tier]; i++)
		if (mock.owner[tier][i] == UINT64_MAX)
			return (int64_t)i;
	return -1;
}

static void put(uint64_t block, unsigned int tier, uint64_t frame, uint64_t gen, unsigned int flags)
{
	mock.owner[tier][frame] = block;
	__atomic_store_n(&mock.state[block].location, frame << 32 | (gen & 0xffff) << 16 | tier << 8 | flags,
			 __ATOMIC_SEQ_CST);
}

static int give(uint64_t block)
{
	unsigned int tier;
	int64_t frame;

	if (mock.state[block].location & KVOFF_STATE_PRESENT)
		return -EEXIST;
	for (tier = 0; tier < KVOFF_MAX_TIERS; tier++) {
		frame = free_frame(tier);
		if (frame < 0)
			continue;
		put(block, tier, (uint64_t)frame, gen_of(block) + 1, KVOFF_STATE_PRESENT);
		mock.used++;
		return 0;
	}
	return -ENOSPC;
}

/* Nobody has it, and from here on nobody gets it until MOVING is cleared. */
static bool stop(uint64_t block)
{
	__atomic_fetch_or(&mock.state[block].location, KVOFF_STATE_MOVING, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&mock.refs[block], __ATOMIC_SEQ_CST))
		return true;
	__atomic_fetch_and(&mock.state[block].location, ~(__u64)KVOFF_STATE_MOVING, __ATOMIC_SEQ_CST);
	return false;
}

static int take(uint64_t block)
{
	if (!(mock.state[block].location & KVOFF_STATE_PRESENT))
		return -ENODATA;
	if (!stop(block))
		return -EBUSY;
	mock_drop_units(block, 1);
	mock_empty(block);
	return 0;
}

static int blocks(struct kvoff_region_blocks *b, bool alloc, uint64_t nr_blocks)
{
	const uint64_t *index = (const uint64_t *)(uintptr_t)b->blocks;
	int ret;

	CHECK(b->size == sizeof(*b) && !b->flags && b->nr >= 1 && b->nr <= KVOFF_BLOCKS_MAX && !b->done);
	if (!is_framed())
		return -EOPNOTSUPP;
	for (; b->done < b->nr; b->done++) {
		if (!CHECK(index[b->done] < nr_blocks))
			return -ERANGE;
		ret = alloc ? give(index[b->done]) : take(index[b->done]);
		if (ret)
			return ret;
	}
	return 0;
}

int mock_blocks_call(enum mock_call call, void *arg, uint64_t nr_blocks)
{
	struct kvoff_region_eventfd *e = arg;

	switch (call) {
	case MOCK_SEAL:
		return seal(arg, nr_blocks);
	case MOCK_UNITS:
		return units(arg);
	case MOCK_WINDOW:
		return window(arg);
	case MOCK_ALLOC:
		return blocks(arg, true, nr_blocks);
	case MOCK_FREE:
		return blocks(arg, false, nr_blocks);
	case MOCK_EVENTFD:
		CHECK(e->size == sizeof(*e) && !e->flags && !e->reserved && e->fd >= 0);
		mock.event_fd = e->fd;
		return 0;
	default:
		return -ENOTTY;
	}
}

static int move(uint64_t block, unsigned int tier)
{
	uint64_t old = mock.state[block].location, bs = mock.create.block_size;
	unsigned int from = KVOFF_LOC_TIER(old);
	int64_t frame = 0;

	if (!(old & KVOFF_STATE_PRESENT))
		return -ENODATA;
	if (from == tier)
		return 0;
	if (is_framed()) {
		frame = free_frame(tier);
		if (frame < 0)
			return -ENOSPC;
	}
	if (!stop(block))
		return -EAGAIN;
	if (!is_framed()) {
		__atomic_store_n(&mock.state[block].location, (old & ~(__u64)0xff00) | tier << 8, __ATOMIC_SEQ_CST);
		return 1;
	}
	memcpy(mock.frames[tier] + (uint64_t)frame * bs, mock.frames[from] + KVOFF_LOC_FRAME(old) * bs, bs);
	/* whoever still reads or writes there has no reference */
	memset(mock.frames[from] + KVOFF_LOC_FRAME(old) * bs, 0xee, bs);
	mock.owner[from][KVOFF_LOC_FRAME(old)] = UINT64_MAX;
	put(block, tier, (uint64_t)frame, gen_of(block), old & 0xff & ~KVOFF_STATE_MOVING);
	return 1;
}

int mock_move(uint64_t block, unsigned int tier)
{
	uint64_t one = 1;
	int ret;

	mock_lock(true);
	ret = move(block, tier);
	if (ret > 0 && mock.event_fd >= 0)
		CHECK(write(mock.event_fd, &one, sizeof(one)) == sizeof(one));
	mock_lock(false);
	return ret > 0 ? 0 : ret;
}
