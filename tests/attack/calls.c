// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Operations on descriptors of regions: the documented calls, and those that a descriptor does not have.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attack.h"
#include "tests/kselftest/pin.h"

static void op_create(struct self *me)
{
	int slot = below(me, SLOTS);

	if (world->slots[slot].state == SLOT_FREE)
		slot_create(me, slot);
	else
		slot_join(me, slot);
}

static void op_leave(struct self *me)
{
	struct hold *h = pick_hold(me, false);

	if (!h)
		return;
	note(me, "leave", h->slot, 0, 0, 0);
	slot_leave(me, h->slot);
}

static void op_attach(struct self *me)
{
	struct kvoff_region_attach arg = { .size = sizeof(arg), .fd_flags = O_CLOEXEC };
	struct hold *h = pick_hold(me, false), *to = free_hold(me);
	bool writable = chance(me, 50);
	int fd;

	if (!h || !to)
		return;
	arg.fd_flags |= writable ? O_RDWR : O_RDONLY;
	fd = call(h->fd, KVOFF_REGION_ATTACH, &arg);
	note(me, "attach", h->slot, writable, h->writable, fd);
	if (writable && !h->writable) {
		if (fd != -EACCES)
			wrong(me, "attach for writing through a read-only descriptor: %d", fd);
		return;
	}
	if (fd < 0)
		wrong(me, "attach: %d", fd);
	*to = (struct hold){ .fd = fd, .slot = h->slot, .gen = h->gen, .writable = writable };
}

static void op_dup(struct self *me)
{
	struct hold *h = pick_hold(me, false), *to = free_hold(me);
	int fd;

	if (!h || !to)
		return;
	fd = dup(h->fd);
	note(me, "dup", h->slot, h->fd, 0, fd);
	if (fd < 0)
		wrong(me, "dup: %s", strerror(errno));
	*to = *h;
	to->fd = fd;
}

/* The descriptor goes, mappings made through it stay. */
static void op_close(struct self *me)
{
	struct hold *h = pick_hold(me, false);

	if (!h)
		return;
	note(me, "close", h->slot, h->fd, 0, 0);
	hold_drop(me, h);
}

static void op_commit(struct self *me)
{
	struct kvoff_region_commit arg = { .size = sizeof(arg) };
	struct hold *h = pick_hold(me, false);
	struct slot *s;
	int ret;

	if (!h)
		return;
	s = &world->slots[h->slot];
	arg.bytes = (chance(me, 70) ? 1 + below(me, 4) : below(me, 2 * s->nr + 1)) * s->bs;
	if (chance(me, 5))
		arg.bytes += 1 + below(me, s->bs - 1);
	if (chance(me, 3))
		arg.bytes = rnd(me) & ~(uint64_t)(s->bs - 1);
	arg.flags = chance(me, 2);
	ret = call(h->fd, KVOFF_REGION_COMMIT, &arg);
	note(me, "commit", s->id, arg.bytes, arg.available, ret);
	if (!h->writable) {
		expect(me, "commit, read-only", ret ?: -1000, -EACCES);
	} else if (arg.flags || !arg.bytes || arg.bytes % s->bs) {
		expect(me, "commit, wrong", ret ?: -1000, -EINVAL);
	} else {
		expect(me, "commit", ret, -ENOMEM);
		if (!ret && atomic_load(&s->full))
			wrong(me, "commit: more than the length of region %u went through", s->id);
		if (!ret)
			atomic_fetch_add(&s->committed, arg.bytes);
		if (arg.committed > s->nr * s->bs || arg.committed % s->bs || arg.available % s->bs)
			wrong(me, "commit: %llu of %lu committed, %llu available", arg.committed, s->nr * s->bs,
			      arg.available);
	}
}

static void op_uncommit(struct self *me)
{
	struct kvoff_region_commit arg = { .size = sizeof(arg) };
	struct hold *h = pick_hold(me, true);
	struct slot *s;
	bool too_much;
	int ret;

	if (!h)
		return;
	s = &world->slots[h->slot];
	too_much = atomic_load(&s->full) || chance(me, 10);
	arg.bytes = (too_much ? s->nr + 1 + below(me, 9) : 1 + below(me, 4)) * s->bs;
	ret = call(h->fd, KVOFF_REGION_UNCOMMIT, &arg);
	note(me, "uncommit", s->id, arg.bytes, arg.committed, ret);
	expect(me, "uncommit", ret, -EBUSY);
	if (!ret && too_much)
		wrong(me, "uncommit of more than the length of region %u went through", s->id);
	if (!ret)
		atomic_fetch_sub(&s->committed, arg.bytes);
}

bool block_take(struct self *me, int slot, uint64_t block)
{
	uint64_t per = world->slots[slot].bs / PAGE, k;

	for (k = 0; k < per; k++) {
		if (page_take(me, slot, block * per + k))
			continue;
		while (k--)
			page_release(slot, block * per + k);
		return false;
	}
	return true;
}

void blocks_discard(struct self *me, const struct hold *h, uint64_t first, uint64_t nr)
{
	struct kvoff_region_discard arg = { .size = sizeof(arg), .first = first, .nr = nr };
	struct slot *s = &world->slots[h->slot];
	uint64_t block, k, per = s->bs / PAGE;
	int ret;

	for (block = first; block < first + nr; block++) {
		atomic_fetch_add(&s->discards[block], 1);
		for (k = 0; k < per; k++)
			page_begin_zero(h->slot, block * per + k);
	}
	ret = call(h->fd, KVOFF_REGION_DISCARD, &arg);
	note(me, "discard", s->id, first, nr, ret);
	if (ret || arg.freed > nr)
		wrong(me, "discard: %d, %llu of %lu frames", ret, arg.freed, nr);
	for (block = first; block < first + nr; block++) {
		atomic_fetch_add(&s->discards[block], 1);
		for (k = 0; k < per; k++)
			page_done(h->slot, block * per + k);
	}
}

void block_release(int slot, uint64_t block)
{
	uint64_t per = world->slots[slot].bs / PAGE, k;

	for (k = 0; k < per; k++)
		page_release(slot, block * per + k);
}

static void op_discard(struct self *me)
{
	struct hold *h = pick_hold(me, true);
	uint64_t first, nr, taken = 0;
	struct slot *s;

	if (!h)
		return;
	s = &world->slots[h->slot];
	first = below(me, s->nr);
	nr = 1 + below(me, s->nr - first < 16 ? s->nr - first : 16);
	while (taken < nr && block_take(me, h->slot, first + taken))
		taken++;
	if (taken)
		blocks_discard(me, h, first, taken);
	while (taken)
		block_release(h->slot, first + --taken);
}

/*
 * A pinned block keeps its frame when it is discarded, zeroed. What it has left behind in another tier is not zero,
 * and must not come back.
 */
static void op_discard_pinned(struct self *me)
{
	struct map *m = pick_map(me, DATA, PROT_READ | PROT_WRITE);
	struct hold *h = m ? hold_of(me, m->slot, true) : NULL;
	uint64_t k, page, block;
	struct pin pin;
	struct slot *s;
	int ret, i;

	if (!h || h->gen != m->gen || !atomic_load(&world->slots[m->slot].full))
		return;
	s = &world->slots[m->slot];
	k = below(me, m->pages);
	page = m->first + k;
	block = page * PAGE / s->bs;
	if (!block_take(me, m->slot, block))
		return;
	for (i = 0; i < 3; i++) {
		struct kvoff_move_desc desc = {
			.region = s->id, .block = block, .to = atomic_load(&world->tier_ids[i % 2]), .flags = i == 0,
		};
		struct kvoff_move_result result;

		/* before the last move, which may go where the block was before */
		if (i == 2) {
			ret = pin_take(&pin, 0, (volatile uint64_t *)(m->at + k * PAGE), PIN_READ);
			if (ret)
				wrong(me, "pin of slot %d page %lu: %d", m->slot, page, ret);
			blocks_discard(me, h, block, 1);
			ret = pin_finish(&pin, 0);
			if (ret || pin.got)
				wrong(me, "a pinned page after its discard: error %d, word %lx", ret, pin.got);
		}
		ret = move_batch(me->rig->control, &desc, 1, &result, NULL);
		note(me, "move of pinned", s->id, block, desc.to, ret ?: result.error);
		if (ret)
			wrong(me, "move: %d", ret);
	}
	check_page(me, "load after a discard", m->slot, m->gen, page, m->at + k * PAGE);
	block_release(m->slot, block);
}

static void op_discard_wrong(struct self *me)
{
	struct kvoff_region_discard arg = { .size = sizeof(arg), .nr = 1 };
	struct hold *h = pick_hold(me, false);
	int ret, right = -ERANGE;
	struct slot *s;

	if (!h)
		return;
	s = &world->slots[h->slot];
	switch (below(me, 4)) {
	case 0:
		arg.first = s->nr + below(me, 3);
		break;
	case 1:
		arg.nr = s->nr + 1;
		break;
	case 2:
		arg.first = below(me, s->nr);
		arg.nr = UINT64_MAX - below(me, 3);
		break;
	case 3:
		arg.nr = 0;
		right = -EINVAL;
		break;
	}
	ret = call(h->fd, KVOFF_REGION_DISCARD, &arg);
	if (ret != (h->writable ? right : -EACCES))
		wrong(me, "discard of %llu + %llu of %lu: %d", arg.first, arg.nr, s->nr, ret);
}

static void op_settle(struct self *me)
{
	struct kvoff_region_settle arg = { .size = sizeof(arg) };
	struct hold *h = pick_hold(me, false);
	struct slot *s;
	int ret;

	if (!h)
		return;
	s = &world->slots[h->slot];
	arg.block = below(me, s->nr + 2);
	ret = call(h->fd, KVOFF_REGION_SETTLE, &arg);
	note(me, "settle", s->id, arg.block, 0, ret);
	if (ret != (arg.block < s->nr ? 0 : -ERANGE))
		wrong(me, "settle of block %llu of %lu: %d", arg.block, s->nr, ret);
}

static void op_info(struct self *me)
{
	struct hold *h = pick_hold(me, false);
	struct kvoff_region_info info;
	struct slot *s;
	int ret;

	if (!h)
		return;
	s = &world->slots[h->slot];
	ret = region_info(h->fd, &info);
	note(me, "info", h->slot, info.committed, info.used, ret);
	if (ret || info.id != s->id || info.block_size != s->bs || info.length != s->nr * s->bs || info.high > s->nr ||
	    info.used > info.committed || info.committed > info.length || !info.nr_attached || info.flags ||
	    strcmp(info.label, "attack"))
		wrong(me, "info of region %u: %d, id %u, block size %u, length %llu, committed %llu, used %llu",
		      s->id, ret,
		      info.id, info.block_size, info.length, info.committed, info.used);
}

/* What files can do and regions cannot. */
static void op_not_a_file(struct self *me)
{
	struct hold *h = pick_hold(me, false);
	struct pollfd p = { .events = POLLIN };
	struct stat st;
	int ret = 0;

	if (!h)
		return;
	p.fd = h->fd;
	switch (below(me, 10)) {
	case 0:
		ret = ftruncate(h->fd, below(me, 2) ? 0 : (off_t)below(me, 1ULL << 50));
		break;
	case 1:
		ret = read(h->fd, me->bounce, PAGE);
		break;
	case 2:
		ret = write(h->fd, me->bounce, PAGE);
		break;
	case 3:
		ret = fallocate(h->fd, below(me, 4), 0, MIB);
		break;
	case 4:
		ret = fsync(h->fd);
		break;
	case 5:
		ret = ioctl(h->fd, rnd(me) & 0xffffffff, me->bounce);
		break;
	case 6:
		ret = ioctl(h->fd, KVOFF_CTL_MOVE, me->bounce);
		break;
	case 7:
		ret = copy_file_range(h->fd, NULL, h->fd, NULL, PAGE, 0);
		break;
	case 8:
		ret = splice(h->fd, NULL, me->pipe[1], NULL, PAGE, SPLICE_F_NONBLOCK);
		break;
	case 9:
		poll(&p, 1, 0);
		posix_fadvise(h->fd, 0, 0, POSIX_FADV_DONTNEED);
		fstat(h->fd, &st);
		fcntl(h->fd, F_SETFL, (int)below(me, 2) ? O_NONBLOCK : O_APPEND);
		lseek(h->fd, MIB, SEEK_SET);
		return;
	}
	note(me, "not a file", h->slot, 0, 0, ret < 0 ? -errno : ret);
	if (ret >= 0)
		wrong(me, "a call that a region does not have went through");
	expect(me, "a call that a region does not have", -errno, -EINVAL, -EBADF, -ENOTTY, -EOPNOTSUPP, -ENODEV, -EPERM,
	       -EACCES, -ESPIPE, -EXDEV, -EISDIR, -ENOSYS);
}

/* A region of our own, as large as can be, that the others do not know. */
static void op_private(struct self *me)
{
	struct kvoff_region_create arg = {
		.size = sizeof(arg), .block_size = KVOFF_BLOCK_SIZE_MIN << below(me, KVOFF_NR_BLOCK_SIZES),
		.fd_flags = O_CLOEXEC, .length = KVOFF_REGION_SIZE_MAX, .label = "private",
	};
	struct kvoff_region_commit commit = { .size = sizeof(commit), .bytes = 2 * (uint64_t)arg.block_size };
	int fd = call(me->rig->tenant, KVOFF_REGION_CREATE, &arg), ret;
	uint64_t block = below(me, KVOFF_REGION_SIZE_MAX / arg.block_size), word = 1;
	struct kvoff_move_result *results;
	struct kvoff_move_desc *descs;
	uint32_t moved;
	uint8_t *data;

	if (fd < 0)
		wrong(me, "create of a region of 64 TiB: %d", fd);
	data = mmap(NULL, arg.block_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, block * arg.block_size);
	ret = call(fd, KVOFF_REGION_COMMIT, &commit);
	note(me, "private", arg.id, arg.block_size, block, ret);
	expect(me, "commit", ret, -ENOMEM);
	if (data == MAP_FAILED)
		wrong(me, "mmap of block %lu of a large region: %s", block, strerror(errno));
	if (ret) {
		if (copy_words((uint64_t *)data, &word, 1) != SIGBUS)
			wrong(me, "a store without a commit went through");
		goto out;
	}
	if (copy_words(&word, (uint64_t *)data, 1) || word)
		wrong(me, "a block of a new region: expected 0, found %lx", word);
	/* the command's own buffers lie in the block that it moves */
	descs = (struct kvoff_move_desc *)data;
	results = (struct kvoff_move_result *)(data + PAGE);
	descs[0] = (struct kvoff_move_desc){
		.region = arg.id, .block = block, .to = atomic_load(&world->tier_ids[below(me, 2)]),
		.flags = below(me, 2),
	};
	ret = move_batch(me->rig->control, descs, 1, results, &moved);
	if (ret)
		wrong(me, "a move whose buffers lie in kvoff's memory: %d", ret);
	expect(me, "that move's result", results[0].error, -EBUSY, -ECANCELED, -ENOSPC, -ENOENT, -ESHUTDOWN);
	if (descs[0].block != block || moved != !results[0].error)
		wrong(me, "a move whose buffers lie in kvoff's memory: block %llu of %lu, %u moved", descs[0].block,
		      block, moved);
out:
	munmap(data, arg.block_size);
	close(fd);
}

const struct op call_ops[] = {
	{ "create", 30, op_create },
	{ "leave", 9, op_leave },
	{ "attach", 12, op_attach },
	{ "dup", 6, op_dup },
	{ "close", 12, op_close },
	{ "commit", 24, op_commit },
	{ "uncommit", 20, op_uncommit },
	{ "discard", 40, op_discard },
	{ "discard-pinned", 10, op_discard_pinned },
	{ "discard-wrong", 6, op_discard_wrong },
	{ "settle", 12, op_settle },
	{ "info", 14, op_info },
	{ "not-a-file", 12, op_not_a_file },
	{ "private", 12, op_private },
	{ NULL, 0, NULL }
};
