// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The regions that a process uses, its descriptors of them and what it has mapped; coming and going.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attack.h"

int call(int fd, unsigned long cmd, void *arg)
{
	int ret = ioctl(fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

struct hold *free_hold(struct self *me)
{
	unsigned int i;

	for (i = 0; i < HOLDS; i++)
		if (me->holds[i].fd < 0)
			return &me->holds[i];
	return NULL;
}

struct hold *pick_hold(struct self *me, bool writable)
{
	unsigned int i, from = below(me, HOLDS);

	for (i = 0; i < HOLDS; i++) {
		struct hold *h = &me->holds[(from + i) % HOLDS];

		if (h->fd >= 0 && (!writable || h->writable))
			return h;
	}
	return NULL;
}

struct hold *hold_of(struct self *me, int slot, bool writable)
{
	unsigned int i;

	for (i = 0; i < HOLDS; i++)
		if (me->holds[i].fd >= 0 && me->holds[i].slot == slot && (!writable || me->holds[i].writable))
			return &me->holds[i];
	return NULL;
}

struct map *free_map(struct self *me)
{
	unsigned int i;

	for (i = 0; i < MAPS; i++)
		if (!me->maps[i].at)
			return &me->maps[i];
	return NULL;
}

struct map *pick_map(struct self *me, enum kind kind, int prot)
{
	unsigned int i, from = below(me, MAPS);

	for (i = 0; i < MAPS; i++) {
		struct map *m = &me->maps[(from + i) % MAPS];

		if (m->at && m->kind == kind && (m->prot & prot) == prot)
			return m;
	}
	return NULL;
}

uint64_t kind_offset(enum kind kind)
{
	static const uint64_t offsets[] = { KVOFF_OFF_DATA, KVOFF_OFF_STATE, KVOFF_OFF_HINT, KVOFF_OFF_REFS };

	return offsets[kind];
}

uint64_t kind_pages(enum kind kind, const struct slot *s)
{
	const uint64_t bytes[] = {
		s->nr * s->bs, s->nr * sizeof(struct kvoff_state), s->nr * sizeof(struct kvoff_hint),
		s->nr * sizeof(uint32_t),
	};

	return (bytes[kind] + PAGE - 1) / PAGE;
}

struct map *map_new(struct self *me, const struct hold *h, enum kind kind, uint64_t first, uint64_t pages, int prot)
{
	struct map *m = free_map(me);
	void *at;

	if (!m)
		return NULL;
	at = mmap(NULL, pages * PAGE, prot, MAP_SHARED, h->fd, kind_offset(kind) + first * PAGE);
	note(me, "mmap", kind, first, pages, at == MAP_FAILED ? -errno : h->slot);
	if (at == MAP_FAILED)
		wrong(me, "mmap of kind %d, pages %lu + %lu: %s", kind, first, pages, strerror(errno));
	*m = (struct map){
		.at = at, .pages = pages, .first = first, .kind = kind, .slot = h->slot, .gen = h->gen, .prot = prot,
		.writable = h->writable,
	};
	return m;
}

struct map *map_cut(struct self *me, struct map *m, uint64_t first, uint64_t pages)
{
	struct map *tail = NULL, *head = NULL;

	if (first + pages < m->pages) {
		tail = free_map(me);
		if (!tail)
			return NULL;
		*tail = *m;
		tail->at += (first + pages) * PAGE;
		tail->first += first + pages;
		tail->pages -= first + pages;
		m->pages = first + pages;
	}
	if (first) {
		head = free_map(me);
		if (!head)
			return NULL;
		*head = *m;
		head->pages = first;
		m->at += first * PAGE;
		m->first += first;
		m->pages -= first;
	}
	return m;
}

bool slot_mine(const struct self *me, int slot, uint32_t gen)
{
	unsigned int i;

	for (i = 0; i < HOLDS; i++)
		if (me->holds[i].fd >= 0 && me->holds[i].slot == slot && me->holds[i].gen == gen)
			return true;
	for (i = 0; i < MAPS; i++)
		if (me->maps[i].at && me->maps[i].slot == slot && me->maps[i].gen == gen)
			return true;
	for (i = 0; i < REFS_MAX; i++)
		if (me->refs[i].count && me->refs[i].slot == slot && me->refs[i].gen == gen)
			return true;
	return false;
}

/* Let others take our descriptor, if we have a writable one. Called with the slot locked. */
void slot_publish(struct self *me, int slot)
{
	struct hold *h = hold_of(me, slot, true);

	atomic_store(&world->slots[slot].fds[me->nr], h ? h->fd : -1);
}

/* Something of the slot was dropped: was it the last? Called with the slot locked. */
static void slot_dropped(struct self *me, int slot, uint32_t gen)
{
	struct slot *s = &world->slots[slot];

	slot_publish(me, slot);
	if (slot_mine(me, slot, gen))
		return;
	note(me, "left", slot, s->id, s->users, 0);
	if (!--s->users) {
		atomic_store(&s->committed, 0);
		atomic_store(&s->full, false);
		atomic_store(&s->state, SLOT_FREE);
	}
}

void map_drop(struct self *me, struct map *m)
{
	struct map old = *m;

	lock(&world->slots[old.slot].lock, me);
	m->at = NULL;
	if (munmap(old.at, old.pages * PAGE))
		wrong(me, "munmap: %s", strerror(errno));
	slot_dropped(me, old.slot, old.gen);
	unlock(&world->slots[old.slot].lock);
}

void hold_drop(struct self *me, struct hold *h)
{
	struct hold old = *h;

	lock(&world->slots[old.slot].lock, me);
	h->fd = -1;
	slot_publish(me, old.slot);
	if (close(old.fd))
		wrong(me, "close: %s", strerror(errno));
	slot_dropped(me, old.slot, old.gen);
	unlock(&world->slots[old.slot].lock);
}

static bool slot_enter(struct self *me, int slot, int fd)
{
	struct slot *s = &world->slots[slot];
	struct hold *h = free_hold(me);

	*h = (struct hold){ .fd = fd, .slot = slot, .gen = atomic_load(&s->gen), .writable = true };
	slot_publish(me, slot);
	s->users++;
	return true;
}

static void slot_map(struct self *me, int slot)
{
	struct slot *s = &world->slots[slot];
	struct hold *h = hold_of(me, slot, true);

	map_new(me, h, DATA, 0, kind_pages(DATA, s), PROT_READ | PROT_WRITE);
	map_new(me, h, STATE, 0, kind_pages(STATE, s), PROT_READ);
	map_new(me, h, HINT, 0, kind_pages(HINT, s), PROT_READ | PROT_WRITE);
	map_new(me, h, REFS, 0, kind_pages(REFS, s), PROT_READ | PROT_WRITE);
}

/* A descriptor of another process', passed on, and an attachment of our own through it. */
static int attach_through(struct self *me, const struct slot *s, uint32_t i)
{
	struct kvoff_region_attach arg = { .size = sizeof(arg), .fd_flags = O_RDWR | O_CLOEXEC };
	struct kvoff_region_info info;
	int pidfd, fd = -1, ret;

	pidfd = syscall(SYS_pidfd_open, world->processes[i].pid, 0);
	if (pidfd >= 0)
		fd = syscall(SYS_pidfd_getfd, pidfd, atomic_load(&s->fds[i]), 0);
	close(pidfd);
	if (fd < 0)
		wrong(me, "pidfd_getfd of process %u: %s", i, strerror(errno));
	ret = region_info(fd, &info);
	if (ret || info.id != s->id)
		wrong(me, "process %u's descriptor of region %u: error %d, region %u", i, s->id, ret, info.id);
	ret = call(fd, KVOFF_REGION_ATTACH, &arg);
	close(fd);
	if (ret < 0)
		wrong(me, "attach to region %u: error %d", s->id, ret);
	return ret;
}

bool slot_join(struct self *me, int slot)
{
	struct slot *s = &world->slots[slot];
	bool joined = false;
	uint32_t i;

	if (!free_hold(me))
		return false;
	lock(&s->lock, me);
	for (i = 0; i < world->procs && !joined && s->state == SLOT_LIVE && !slot_mine(me, slot, s->gen); i++)
		if (i != me->nr && s->fds[i] >= 0)
			joined = slot_enter(me, slot, attach_through(me, s, i));
	unlock(&s->lock);
	note(me, "join", slot, s->id, 0, joined);
	if (joined)
		slot_map(me, slot);
	return joined;
}

static void slot_commit(struct self *me, struct slot *s, int fd)
{
	bool full = chance(me, 60);
	uint64_t blocks = full ? s->nr : below(me, s->nr + 1);
	struct kvoff_region_commit arg = { .size = sizeof(arg), .bytes = blocks * s->bs };
	int ret;

	if (!blocks)
		return;
	ret = call(fd, KVOFF_REGION_COMMIT, &arg);
	note(me, "commit", s->id, blocks, arg.available, ret);
	expect(me, "commit", ret, -ENOMEM);
	if (ret)
		return;
	if (arg.committed != arg.bytes)
		wrong(me, "commit: expected %lu committed, found %llu", blocks * s->bs, arg.committed);
	atomic_store(&s->committed, arg.bytes);
	atomic_store(&s->full, full);
}

bool slot_create(struct self *me, int slot)
{
	struct slot *s = &world->slots[slot];
	unsigned int shift = below(me, 10), i;
	uint32_t bs = KVOFF_BLOCK_SIZE_MIN << (shift < KVOFF_NR_BLOCK_SIZES ? shift : 0);
	struct kvoff_region_create arg = {
		.size = sizeof(arg), .block_size = bs, .fd_flags = chance(me, 50) ? O_CLOEXEC : 0, .label = "attack",
	};
	uint64_t nr = 1 + below(me, SLOT_BYTES / bs);
	int fd;

	if (!free_hold(me))
		return false;
	lock(&s->lock, me);
	if (s->state != SLOT_FREE) {
		unlock(&s->lock);
		return false;
	}
	arg.length = nr * bs;
	arg.unit_size = below(me, arg.length + 1);
	fd = call(me->rig->tenant, KVOFF_REGION_CREATE, &arg);
	note(me, "create", slot, bs, nr, fd);
	if (fd < 0)
		wrong(me, "create: error %d", fd);
	atomic_fetch_add(&s->gen, 1);
	s->id = arg.id;
	s->bs = bs;
	s->nr = nr;
	s->users = 0;
	/* one life, and it is zero */
	for (i = 0; i < SLOT_PAGES; i++)
		s->lives[i] = (struct life){ .lo = 1, .hi = 1, .zero = 1 };
	slot_commit(me, s, fd);
	slot_enter(me, slot, fd);
	atomic_store(&s->state, SLOT_LIVE);
	unlock(&s->lock);
	slot_map(me, slot);
	return true;
}

void slot_leave(struct self *me, int slot)
{
	unsigned int i;

	for (i = 0; i < REFS_MAX; i++)
		if (me->refs[i].count && me->refs[i].slot == slot)
			ref_drop(me, &me->refs[i]);
	for (i = 0; i < HOLDS; i++)
		if (me->holds[i].fd >= 0 && me->holds[i].slot == slot)
			hold_drop(me, &me->holds[i]);
	for (i = 0; i < MAPS; i++)
		if (me->maps[i].at && me->maps[i].slot == slot)
			map_drop(me, &me->maps[i]);
}

/*
 * Take a reference and keep it for some operations, with mappings of its own. From then on the block stays, unless
 * somebody discards it.
 */
void ref_take(struct self *me)
{
	struct hold *h = pick_hold(me, true);
	struct ref *r = me->refs;
	const struct slot *s;
	void *refs, *state;
	uint64_t block;
	unsigned int i;

	while (r < me->refs + REFS_MAX && r->count)
		r++;
	if (!h || r == me->refs + REFS_MAX)
		return;
	s = &world->slots[h->slot];
	block = below(me, s->nr);
	refs = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, h->fd,
		    KVOFF_OFF_REFS + block * sizeof(uint32_t) / PAGE * PAGE);
	state = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, h->fd,
		     KVOFF_OFF_STATE + block * sizeof(struct kvoff_state) / PAGE * PAGE);
	if (refs == MAP_FAILED || state == MAP_FAILED)
		wrong(me, "mmap of a page of refs and state: %s", strerror(errno));
	*r = (struct ref){
		.slot = h->slot, .gen = h->gen, .block = block, .refs_page = refs, .state_page = state,
		.count = (_Atomic uint32_t *)refs + block % (PAGE / sizeof(uint32_t)),
		.state = (const struct kvoff_state *)state + block % (PAGE / sizeof(struct kvoff_state)),
	};
	atomic_fetch_add(&world->slots[r->slot].refs_active, 1);
	atomic_fetch_add(&world->slots[r->slot].refs_events, 1);
	for (i = 0; ; i++) {
		struct kvoff_region_settle arg = { .size = sizeof(arg), .block = block };
		int ret;

		r->discards = atomic_load(&s->discards[block]);
		atomic_fetch_add(r->count, 1);
		atomic_thread_fence(memory_order_seq_cst);
		r->location = __atomic_load_n(&r->state->location, __ATOMIC_SEQ_CST);
		if (!(KVOFF_LOC_FLAGS(r->location) & KVOFF_STATE_MOVING))
			break;
		atomic_fetch_sub(r->count, 1);
		ret = call(h->fd, KVOFF_REGION_SETTLE, &arg);
		if (ret)
			wrong(me, "settle: error %d", ret);
		if (i > 100000)
			wrong(me, "acquire: block %lu of region %u is moving for ever", block, s->id);
	}
	note(me, "acquire", s->id, block, r->location, 0);
}

void ref_drop(struct self *me, struct ref *r)
{
	struct slot *s = &world->slots[r->slot];
	uint64_t now = __atomic_load_n(&r->state->location, __ATOMIC_SEQ_CST);
	struct ref old = *r;

	/* generation, tier and presence; a mover may announce itself and step back */
	if (KVOFF_LOC_FLAGS(old.location) & KVOFF_STATE_PRESENT && s->discards[old.block] == old.discards &&
	    !(old.discards & 1) &&
	    (now >> 8 != old.location >> 8 || !(KVOFF_LOC_FLAGS(now) & KVOFF_STATE_PRESENT)))
		wrong(me, "acquire: region %u block %lu: expected location %lx, found %lx", s->id, old.block,
		      old.location, now);
	atomic_fetch_sub(old.count, 1);
	note(me, "release", s->id, old.block, now, 0);
	atomic_fetch_sub(&s->refs_active, 1);
	atomic_fetch_add(&s->refs_events, 1);
	lock(&s->lock, me);
	r->count = NULL;
	munmap(old.refs_page, PAGE);
	munmap(old.state_page, PAGE);
	slot_dropped(me, old.slot, old.gen);
	unlock(&s->lock);
}
