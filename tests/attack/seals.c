// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Operations on blocks that are sealed: in the regions that all know, and in a named one that outlives its descriptors.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attack.h"

/* No store gets into a sealed block, whichever way it is mapped. */
static void store_to_sealed(struct self *me, const struct hold *h, uint64_t first, uint64_t nr)
{
	uint64_t per = world->slots[h->slot].bs / PAGE, from = first * per, to = (first + nr) * per, word = 0, k;
	unsigned int i;
	int sig;

	for (i = 0; i < MAPS; i++) {
		struct map *m = &me->maps[i];

		if (!m->at || m->kind != DATA || m->slot != h->slot || m->gen != h->gen ||
		    m->prot != (PROT_READ | PROT_WRITE) || m->first >= to || m->first + m->pages <= from)
			continue;
		k = m->first > from ? m->first : from;
		k += below(me, (to < m->first + m->pages ? to : m->first + m->pages) - k);
		sig = copy_words((uint64_t *)(m->at + (k - m->first) * PAGE), &word, 1);
		if (sig != SIGBUS)
			wrong(me, "a store to a sealed block, slot %d page %lu: signal %d", h->slot, k, sig);
		check_page(me, "load from a sealed block", h->slot, h->gen, k, m->at + (k - m->first) * PAGE);
	}
}

static void move_sealed(struct self *me, const struct slot *s, uint64_t block)
{
	struct kvoff_move_desc desc = {
		.region = s->id, .block = block, .to = atomic_load(&world->tier_ids[below(me, 2)]), .flags = below(me, 2),
	};
	struct kvoff_move_result result;
	int ret = move_batch(me->rig->control, &desc, 1, &result, NULL);

	note(me, "move of sealed", s->id, block, desc.to, ret ?: result.error);
	/* no write can have come between: but our own commands' ends interrupt us */
	if (ret || (result.error == -ECANCELED && result.from != KVOFF_TIER_NONE))
		wrong(me, "move of a sealed block: %d, %d", ret, result.error);
}

static void check_unit(struct self *me, int fd, const struct kvoff_region_seal *seal)
{
	struct kvoff_unit unit = { 0 };
	struct kvoff_region_units arg = {
		.size = sizeof(arg), .nr = 1, .from = seal->first, .units = (uintptr_t)&unit,
	};
	int ret = call(fd, KVOFF_REGION_UNITS, &arg);

	if (ret || arg.nr != 1 || unit.first != seal->first || unit.nr != seal->nr ||
	    memcmp(unit.tag, seal->tag, sizeof(unit.tag)))
		wrong(me, "unit at block %llu: error %d, %u units, blocks %llu + %llu", seal->first, ret, arg.nr,
		      unit.first, unit.nr);
}

/* What is sealed is ours while it is, and is discarded in the end. */
static void op_seal(struct self *me)
{
	struct hold *h = pick_hold(me, true);
	struct kvoff_region_seal arg = { .size = sizeof(arg) };
	uint64_t nr, taken = 0, i;
	struct slot *s;
	int ret;

	if (!h)
		return;
	s = &world->slots[h->slot];
	arg.first = below(me, s->nr);
	nr = 1 + below(me, s->nr - arg.first < 4 ? s->nr - arg.first : 4);
	while (taken < nr && block_take(me, h->slot, arg.first + taken))
		taken++;
	if (!taken)
		return;
	arg.nr = taken;
	if (chance(me, 50)) {
		arg.flags = KVOFF_SEAL_TAG;
		for (i = 0; i < sizeof(arg.tag); i++)
			arg.tag[i] = rnd(me);
	}
	atomic_fetch_add(&s->seals_active, 1);
	atomic_fetch_add(&s->seals_events, 1);
	ret = call(h->fd, KVOFF_REGION_SEAL, &arg);
	note(me, "seal", s->id, arg.first, arg.nr, ret);
	expect(me, "seal", ret, -ENODATA, -EBUSY);
	if (arg.sealed > arg.nr || (!ret && arg.sealed != arg.nr))
		wrong(me, "seal of %llu blocks: %d, %llu sealed", arg.nr, ret, arg.sealed);
	if (arg.sealed) {
		store_to_sealed(me, h, arg.first, arg.sealed);
		for (i = below(me, 3); i; i--)
			move_sealed(me, s, arg.first + below(me, arg.sealed));
		store_to_sealed(me, h, arg.first, arg.sealed);
	}
	if (!ret && arg.flags)
		check_unit(me, h->fd, &arg);
	blocks_discard(me, h, arg.first, taken);
	while (taken)
		block_release(h->slot, arg.first + --taken);
	atomic_fetch_sub(&s->seals_active, 1);
	atomic_fetch_add(&s->seals_events, 1);
}

/* ---- a region with a name ---- */

#define NAMED_BLOCKS	3

static uint64_t named_word(const struct self *me, uint32_t id, uint64_t block)
{
	return (uint64_t)id << 32 | me->nr << 8 | block | 1ULL << 63;
}

static void named_fill(struct self *me, int fd, uint32_t id, uint32_t bs)
{
	struct kvoff_region_seal seal = { .size = sizeof(seal), .first = 0, .nr = 1, .flags = KVOFF_SEAL_TAG };
	struct kvoff_move_desc desc = { .region = id, .to = atomic_load(&world->tier_ids[below(me, 2)]) };
	struct kvoff_move_result result;
	uint64_t b, word;
	uint8_t *data;
	int ret;

	data = mmap(NULL, NAMED_BLOCKS * bs, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED)
		wrong(me, "mmap of a named region: %s", strerror(errno));
	for (b = 0; b < NAMED_BLOCKS; b++) {
		word = named_word(me, id, b);
		if (copy_words((uint64_t *)(data + b * bs), &word, 1))
			wrong(me, "a store to a named region's committed block failed");
	}
	munmap(data, NAMED_BLOCKS * bs);
	/* somebody may look at a page for a moment; a seal that was refused is as good a case */
	ret = call(fd, KVOFF_REGION_SEAL, &seal);
	expect(me, "seal in a named region", ret, -EBUSY);
	if (ret)
		call(fd, KVOFF_REGION_DISCARD, &(struct kvoff_region_discard){
			.size = sizeof(struct kvoff_region_discard), .nr = 1 });
	move_batch(me->rig->control, &desc, 1, &result, NULL);
}

/* Sealed blocks are as they were, and nothing else is. */
static void named_check(struct self *me, int fd, uint32_t id, uint32_t bs)
{
	struct kvoff_region_info info;
	uint64_t b, word;
	uint8_t *data;
	int sig;

	if (region_info(fd, &info) || info.id != id)
		wrong(me, "named region %u: opened, it is %u", id, info.id);
	data = mmap(NULL, NAMED_BLOCKS * bs, PROT_READ, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED)
		wrong(me, "mmap of a named region: %s", strerror(errno));
	for (b = 0; b < NAMED_BLOCKS; b++) {
		sig = copy_words(&word, (uint64_t *)(data + b * bs), 1);
		if (!b && info.sealed ? sig || word != named_word(me, id, b) : !sig && word)
			wrong(me, "named region %u block %lu: signal %d, found %lx, sealed %llu", id, b, sig, word,
			      info.sealed);
	}
	munmap(data, NAMED_BLOCKS * bs);
}

static void op_named(struct self *me)
{
	struct kvoff_region_create arg = {
		.size = sizeof(arg), .flags = KVOFF_REGION_NAMED, .fd_flags = O_CLOEXEC, .label = "named",
		.block_size = KVOFF_BLOCK_SIZE_MIN << below(me, 3),
	};
	struct kvoff_region_open open_arg = {
		.size = sizeof(open_arg), .uid = KVOFF_UID_SELF,
		.fd_flags = O_CLOEXEC | (below(me, 2) ? O_RDWR : O_RDONLY),
	};
	struct kvoff_ctl_region_remove end = { .size = sizeof(end) };
	struct kvoff_region_commit commit = { .size = sizeof(commit) };
	int fd, ret;

	arg.length = NAMED_BLOCKS * (uint64_t)arg.block_size;
	commit.bytes = arg.length;
	snprintf(arg.name, sizeof(arg.name), "attack-%u", me->nr);
	memcpy(open_arg.name, arg.name, sizeof(arg.name));
	fd = call(me->rig->tenant, KVOFF_REGION_CREATE, &arg);
	if (fd < 0)
		wrong(me, "create of a named region: %d", fd);
	if (call(me->rig->tenant, KVOFF_REGION_CREATE, &arg) != -EEXIST)
		wrong(me, "a second region of one name");
	ret = call(fd, KVOFF_REGION_COMMIT, &commit);
	expect(me, "commit", ret, -ENOMEM);
	if (!ret)
		named_fill(me, fd, arg.id, arg.block_size);
	close(fd);
	fd = call(me->rig->tenant, KVOFF_REGION_OPEN, &open_arg);
	note(me, "named", arg.id, arg.block_size, ret, fd);
	if (fd < 0)
		wrong(me, "a named region is gone: %d", fd);
	if (!ret)
		named_check(me, fd, arg.id, arg.block_size);
	end.id = arg.id;
	/* before or after the last descriptor */
	if (chance(me, 50)) {
		close(fd);
		fd = -1;
	}
	ret = call(me->rig->control, KVOFF_CTL_REGION_REMOVE, &end);
	if (ret)
		wrong(me, "removal of a named region: %d", ret);
	if (fd >= 0)
		close(fd);
	if (call(me->rig->tenant, KVOFF_REGION_OPEN, &open_arg) != -ENOENT)
		wrong(me, "a removed region could be opened");
}

const struct op seal_ops[] = {
	{ "seal", 30, op_seal },
	{ "named", 10, op_named },
	{ NULL, 0, NULL }
};
