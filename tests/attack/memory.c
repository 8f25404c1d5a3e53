// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Operations on mappings: loads, stores, and everything that a process may do to its own address space.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "attack.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL	102
#define MADV_GUARD_REMOVE	103
#endif

/* A random page of a mapping of data: its address; which page of the region in *@page. */
static uint8_t *random_page(struct self *me, const struct map *m, uint64_t *page)
{
	uint64_t k = below(me, m->pages);

	*page = m->first + k;
	return m->at + k * PAGE;
}

static void op_load(struct self *me)
{
	struct map *m = pick_map(me, DATA, PROT_READ);
	unsigned int i, nr = 1 + below(me, 8);
	uint64_t page;

	for (i = 0; m && i < nr; i++) {
		uint8_t *at = random_page(me, m, &page);

		check_page(me, "load", m->slot, m->gen, page, at);
	}
}

static void store_page(struct self *me, struct map *m, bool part)
{
	uint64_t words[WORDS], page;
	volatile uint64_t *at = (volatile uint64_t *)random_page(me, m, &page);
	size_t first = 0, nr = WORDS;
	uint32_t life;
	int sig;

	if (!page_take(me, m->slot, page))
		return;
	if (part) {
		first = below(me, WORDS);
		nr = 1 + below(me, WORDS - first);
	}
	life = page_begin_store(m->slot, page);
	fill_page(words, m->slot, m->gen, page, life);
	sig = copy_words(at + first, words + first, nr);
	note(me, "store", m->slot, page, life, -sig);
	atomic_fetch_add(&world->stores, 1);
	if (sig == SIGBUS)
		check_bus(me, "store", m->slot, m->gen, page);
	else if (sig)
		wrong(me, "store: slot %d page %lu at %p: signal %d", m->slot, page, at, sig);
	/* after a part of a page both the old bytes and the new ones are right */
	if (!sig && !part)
		page_done(m->slot, page);
	page_release(m->slot, page);
}

static void op_store(struct self *me)
{
	struct map *m = pick_map(me, DATA, PROT_READ | PROT_WRITE);
	unsigned int i, nr = 1 + below(me, 8);

	for (i = 0; m && i < nr; i++)
		store_page(me, m, chance(me, 10));
}

/* Where stores or loads are not allowed, SIGSEGV and nothing else. */
static void op_forbidden(struct self *me)
{
	struct map *m = &me->maps[below(me, MAPS)];
	uint64_t word = 0;
	int sig;

	if (!m->at || m->prot & PROT_WRITE)
		return;
	sig = copy_words((uint64_t *)(m->at + below(me, m->pages) * PAGE), &word, 1);
	if (sig != SIGSEGV)
		wrong(me, "a store where only %d is allowed: signal %d", m->prot, sig);
	if (m->prot & PROT_READ)
		return;
	sig = copy_words(&word, (uint64_t *)(m->at + below(me, m->pages) * PAGE), 1);
	if (sig != SIGSEGV)
		wrong(me, "a load where nothing is allowed: signal %d", sig);
}

static void op_mmap(struct self *me)
{
	struct hold *h = pick_hold(me, false);
	enum kind kind = chance(me, 60) ? DATA : below(me, 4);
	int prot = below(me, 4);
	uint64_t pages, first;

	if (!h || !free_map(me))
		return;
	if (kind == STATE || !h->writable)
		prot &= PROT_READ;
	if (kind == REFS && !h->writable)
		kind = STATE;
	pages = kind_pages(kind, &world->slots[h->slot]);
	first = below(me, pages);
	map_new(me, h, kind, first, 1 + below(me, pages - first), prot);
}

/* What must be refused. */
static void op_mmap_wrong(struct self *me)
{
	struct hold *h = pick_hold(me, false);
	enum kind kind = below(me, 4);
	int prot = PROT_READ, flags = MAP_SHARED;
	uint64_t pages, first = 0, length;
	void *at;

	if (!h)
		return;
	pages = length = kind_pages(kind, &world->slots[h->slot]);
	switch (below(me, 6)) {
	case 0:
		length += 1 + below(me, 100);
		break;
	case 1:
		first = pages + below(me, 1000);
		break;
	case 2:
		flags = MAP_PRIVATE;
		break;
	case 3:
		prot |= PROT_EXEC;
		break;
	case 4:
		if (h->writable)
			kind = STATE;
		prot |= PROT_WRITE;
		break;
	case 5:
		first = (1ULL << 51) - below(me, 2) * (1ULL << 50) - 1 - below(me, 100);
		break;
	}
	at = mmap(NULL, length * PAGE, prot, flags, h->fd, kind_offset(kind) + first * PAGE);
	note(me, "mmap wrong", kind, first, length, at == MAP_FAILED ? -errno : 0);
	if (at != MAP_FAILED)
		wrong(me, "mmap of kind %d, pages %lu + %lu of %lu, prot %d, flags %x, went through", kind, first,
		      length, pages, prot, flags);
	expect(me, "mmap", -errno, -EINVAL, -EACCES, -EPERM, -EOVERFLOW, -ENODEV, -ENOMEM);
}

/* A random part of a random mapping as an entry of its own. */
static struct map *random_part(struct self *me)
{
	struct map *m = &me->maps[below(me, MAPS)];
	uint64_t first, pages;

	if (!m->at)
		return NULL;
	if (chance(me, 50))
		return m;
	first = below(me, m->pages);
	pages = 1 + below(me, m->pages - first);
	return map_cut(me, m, first, pages);
}

static void op_munmap(struct self *me)
{
	struct map *m = random_part(me);

	if (!m)
		return;
	note(me, "munmap", m->slot, m->first, m->pages, 0);
	map_drop(me, m);
}

static void op_mprotect(struct self *me)
{
	struct map *m = random_part(me);
	int prot = chance(me, 60) ? PROT_READ | PROT_WRITE : below(me, 8), ret;
	bool allowed;

	if (!m)
		return;
	allowed = !(prot & PROT_EXEC) && (!(prot & PROT_WRITE) || (m->writable && m->kind != STATE));
	ret = mprotect(m->at, m->pages * PAGE, prot) ? -errno : 0;
	note(me, "mprotect", m->slot, m->first, prot, ret);
	if (ret != (allowed ? 0 : -EACCES))
		wrong(me, "mprotect %d of kind %d: found %d", prot, m->kind, ret);
	if (!ret)
		m->prot = prot;
}

static void op_mremap(struct self *me)
{
	struct map *m = random_part(me);
	size_t length;
	void *at, *to;

	if (!m)
		return;
	length = m->pages * PAGE;
	switch (below(me, 3)) {
	case 0:
		/* growing, and doubling by an old length of zero, must not work */
		at = mremap(m->at, chance(me, 50) ? length : 0, length + PAGE, MREMAP_MAYMOVE);
		note(me, "mremap up", m->slot, m->first, m->pages, at == MAP_FAILED ? -errno : 0);
		if (at != MAP_FAILED)
			wrong(me, "mremap made a mapping grow");
		expect(me, "mremap", -errno, -EFAULT, -EINVAL, -ENOMEM);
		return;
	case 1:
		to = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (to == MAP_FAILED)
			return;
		at = mremap(m->at, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, to);
		note(me, "mremap", m->slot, m->first, m->pages, at == MAP_FAILED ? -errno : 0);
		if (at == MAP_FAILED)
			wrong(me, "mremap to another place: %s", strerror(errno));
		m->at = at;
		return;
	case 2:
		if (m->pages == 1)
			return;
		at = mremap(m->at, length, length - PAGE, 0);
		note(me, "mremap down", m->slot, m->first, m->pages, at == MAP_FAILED ? -errno : 0);
		if (at == MAP_FAILED)
			wrong(me, "mremap to a smaller size: %s", strerror(errno));
		m->pages--;
	}
}

static void op_madvise(struct self *me)
{
	static const int advices[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_DONTNEED, MADV_DONTNEED,
		MADV_FREE, MADV_REMOVE, MADV_DONTFORK, MADV_DOFORK, MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_HUGEPAGE,
		MADV_NOHUGEPAGE, MADV_DONTDUMP, MADV_DODUMP, MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_COLD, MADV_PAGEOUT,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_DONTNEED_LOCKED, MADV_COLLAPSE, MADV_GUARD_INSTALL,
	};
	struct map *m = random_part(me);
	int advice = advices[below(me, sizeof(advices) / sizeof(*advices))], ret;
	uint32_t seals;
	bool sealed;

	if (!m)
		return;
	seals = atomic_load(&world->slots[m->slot].seals_events);
	sealed = atomic_load(&world->slots[m->slot].seals_active);
	/* children do not know what they have inherited: they only look */
	ret = madvise(m->at, m->pages * PAGE, advice) ? -errno : 0;
	note(me, "madvise", m->slot, advice, m->pages, ret);
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_COLD:
	case MADV_NORMAL:
		if (ret)
			wrong(me, "madvise %d: found %d", advice, ret);
		break;
	case MADV_FREE:
	case MADV_REMOVE:
	case MADV_WIPEONFORK:
		if (!ret)
			wrong(me, "madvise %d went through", advice);
		break;
	case MADV_POPULATE_WRITE:
	case MADV_POPULATE_READ:
		/* what is sealed is not to be populated for writing */
		sealed |= atomic_load(&world->slots[m->slot].seals_events) != seals;
		if (ret == -EFAULT && m->kind == DATA && !(sealed && advice == MADV_POPULATE_WRITE))
			check_bus(me, "madvise", m->slot, m->gen, m->first);
		expect(me, "madvise populate", ret, -EFAULT, -EINVAL, -EACCES, -ENOMEM);
		break;
	case MADV_GUARD_INSTALL:
		expect(me, "madvise guard", ret, -EINVAL);
		if (!ret && madvise(m->at, m->pages * PAGE, MADV_GUARD_REMOVE))
			wrong(me, "madvise MADV_GUARD_REMOVE: %s", strerror(errno));
		break;
	default:
		expect(me, "madvise", ret, -EINVAL, -EACCES, -EPERM, -ENOMEM, -EBADF, -EAGAIN, -EBUSY);
	}
}

/* Calls that look at mappings, or would like to move or lock what they map. */
static void op_look(struct self *me)
{
	struct map *m = random_part(me);
	unsigned long node = 1UL << (me->rig->far_node + 1) | 1;
	unsigned char *seen;
	void *pages[4];
	int status[4], nodes[4], i;
	long ret;

	if (!m)
		return;
	switch (below(me, 7)) {
	case 0:
		seen = me->bounce;
		ret = mincore(m->at, m->pages * PAGE, seen) ? -errno : 0;
		expect(me, "mincore", ret, -ENOMEM);
		break;
	case 1:
		ret = msync(m->at, m->pages * PAGE, MS_SYNC) ? -errno : 0;
		expect(me, "msync", ret, -EINVAL);
		break;
	case 2:
		ret = mlock(m->at, m->pages * PAGE) ? -errno : 0;
		expect(me, "mlock", ret, -ENOMEM, -EAGAIN);
		munlock(m->at, m->pages * PAGE);
		break;
	case 3:
		ret = syscall(SYS_mbind, m->at, m->pages * PAGE, MPOL_BIND, &node, 8 * sizeof(node), MPOL_MF_MOVE_ALL) ?
			-errno : 0;
		expect(me, "mbind", ret, -EINVAL, -EIO, -EFAULT, -EPERM, -ENOMEM);
		break;
	case 4:
		for (i = 0; i < 4; i++) {
			pages[i] = m->at + below(me, m->pages) * PAGE;
			nodes[i] = below(me, 2) ? me->rig->far_node : 0;
		}
		ret = syscall(SYS_move_pages, 0, 4UL, pages, nodes, status, 4) ? -errno : 0;
		expect(me, "move_pages", ret, -EINVAL, -EACCES, -EPERM, -ENOENT, -ENODEV, -ENOMEM);
		break;
	case 5:
		ret = syscall(SYS_migrate_pages, 0, 8 * sizeof(node), &node, &node) < 0 ? -errno : 0;
		expect(me, "migrate_pages", ret, -EINVAL, -EPERM, -ENOMEM);
		break;
	case 6:
		ret = syscall(SYS_process_madvise, -1, NULL, 0UL, MADV_COLD, 0) < 0 ? -errno : 0;
		if (ret != -EBADF)
			wrong(me, "process_madvise of nothing: found %ld", ret);
		break;
	}
	note(me, "look", m->slot, m->kind, m->first, ret);
}

/*
 * Write-protection by userfaultfd in its asynchronous mode, the only one that is not refused for files such as these:
 * its marks lie in the same page tables as our write tracking.
 */
static void op_userfault(struct self *me)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED };
	struct map *m = pick_map(me, DATA, PROT_READ);
	struct uffdio_writeprotect protect = { .mode = UFFDIO_WRITEPROTECT_MODE_WP };
	struct uffdio_register reg = { 0 };
	uint64_t modes[] = { UFFDIO_REGISTER_MODE_MISSING, UFFDIO_REGISTER_MODE_MINOR };
	int ret = 0;

	if (me->userfault >= 0) {
		if (chance(me, 40)) {
			close(me->userfault);
			me->userfault = -1;
		}
	} else {
		me->userfault = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
		if (me->userfault < 0 || ioctl(me->userfault, UFFDIO_API, &api))
			wrong(me, "userfaultfd: %s", strerror(errno));
	}
	if (me->userfault < 0 || !m)
		return;
	reg.range.start = (uintptr_t)m->at;
	reg.range.len = m->pages * PAGE;
	reg.mode = modes[below(me, 2)];
	if (!ioctl(me->userfault, UFFDIO_REGISTER, &reg))
		wrong(me, "userfaultfd could be registered for missing pages of a region");
	reg.mode = UFFDIO_REGISTER_MODE_WP;
	if (ioctl(me->userfault, UFFDIO_REGISTER, &reg))
		ret = -errno;
	expect(me, "registration of write-protection", ret, -EINVAL, -EPERM, -EBUSY);
	protect.range = reg.range;
	if (!ret && ioctl(me->userfault, UFFDIO_WRITEPROTECT, &protect))
		ret = -errno;
	note(me, "userfault", m->slot, m->first, m->pages, ret);
	expect(me, "write-protection", ret, -EINVAL, -EPERM, -EBUSY, -ENOENT, -EAGAIN);
	if (!ret && chance(me, 30))
		ioctl(me->userfault, UFFDIO_UNREGISTER, &reg.range);
}

/* A mapping that shows another part of its file from now on. */
static void op_remap_file(struct self *me)
{
	struct map *m = random_part(me);
	uint64_t pages, first;
	int ret;

	if (!m)
		return;
	pages = kind_pages(m->kind, &world->slots[m->slot]);
	first = below(me, pages + 4);
	ret = remap_file_pages(m->at, m->pages * PAGE, 0, kind_offset(m->kind) / PAGE + first, 0) ? -errno : 0;
	note(me, "remap_file_pages", m->slot, m->first, first, ret);
	expect(me, "remap_file_pages", ret, -EINVAL, -EACCES);
	if (!ret && first + m->pages > pages)
		wrong(me, "remap_file_pages: kind %d pages %lu + %lu of %lu went through", m->kind, first, m->pages,
		      pages);
	/* it is an mmap() over the old mapping, which is gone even if that fails */
	if (ret)
		map_drop(me, m);
	else
		m->first = first;
}

/* Nonsense in the arrays that are the client's. */
static void op_scribble(struct self *me)
{
	struct map *m = pick_map(me, chance(me, 50) ? HINT : REFS, PROT_READ | PROT_WRITE);
	uint64_t value[8], zero[8] = { 0 }, at;
	unsigned int i;
	struct slot *s;

	if (!m)
		return;
	s = &world->slots[m->slot];
	at = below(me, m->pages * PAGE / sizeof(value)) * sizeof(value);
	for (i = 0; i < 8; i++)
		value[i] = rnd(me);
	if (m->kind == HINT) {
		if (copy_words((uint64_t *)(m->at + at), value, 8))
			wrong(me, "a store to the hints failed");
		return;
	}
	/* our own references must not be lost by it */
	for (i = 0; i < REFS_MAX; i++)
		if (me->refs[i].count && me->refs[i].slot == m->slot)
			return;
	atomic_fetch_add(&s->refs_active, 1);
	atomic_fetch_add(&s->refs_events, 1);
	if (copy_words((uint64_t *)(m->at + at), value, 8))
		wrong(me, "a store to the references failed");
	if (chance(me, 50))
		usleep(below(me, 2000));
	if (copy_words((uint64_t *)(m->at + at), zero, 8))
		wrong(me, "a store to the references failed");
	atomic_fetch_sub(&s->refs_active, 1);
	atomic_fetch_add(&s->refs_events, 1);
}

static bool tier_known(uint32_t tier)
{
	return tier < KVOFF_MAX_TIERS;
}

static void op_read_state(struct self *me)
{
	struct map *m = pick_map(me, STATE, PROT_READ);
	uint64_t page, words[WORDS];
	struct slot *s;
	size_t i;

	if (!m)
		return;
	s = &world->slots[m->slot];
	page = below(me, m->pages);
	if (copy_words(words, (uint64_t *)(m->at + page * PAGE), WORDS))
		wrong(me, "a load from the state array failed");
	for (i = 0; i < WORDS; i += 2) {
		uint64_t block = (m->first + page) * WORDS / 2 + i / 2, loc = words[i];
		uint32_t tier = KVOFF_LOC_TIER(loc), flags = KVOFF_LOC_FLAGS(loc);
		bool present = flags & KVOFF_STATE_PRESENT;

		/* an array nobody has used is zero */
		if (!loc && !words[i + 1])
			continue;
		if ((present && (!tier_known(tier) || block >= s->nr)) || (!present && tier != KVOFF_TIER_NONE) ||
		    flags & ~(KVOFF_STATE_PRESENT | KVOFF_STATE_MOVING | KVOFF_STATE_COPYING | KVOFF_STATE_SEALED) || words[i + 1] >> 48 ||
		    loc >> 32)
			wrong(me, "state of block %lu of region %u is nonsense: %lx %lx", block, s->id, loc,
			      words[i + 1]);
	}
}

static void op_acquire(struct self *me)
{
	ref_take(me);
}

static void op_release(struct self *me)
{
	struct ref *r = &me->refs[below(me, REFS_MAX)];

	if (r->count)
		ref_drop(me, r);
}

const struct op memory_ops[] = {
	{ "load", 200, op_load },
	{ "store", 160, op_store },
	{ "forbidden", 6, op_forbidden },
	{ "mmap", 30, op_mmap },
	{ "mmap-wrong", 12, op_mmap_wrong },
	{ "munmap", 26, op_munmap },
	{ "mprotect", 14, op_mprotect },
	{ "mremap", 16, op_mremap },
	{ "madvise", 40, op_madvise },
	{ "look", 14, op_look },
	{ "userfault", 10, op_userfault },
	{ "remap-file", 6, op_remap_file },
	{ "scribble", 16, op_scribble },
	{ "read-state", 16, op_read_state },
	{ "acquire", 20, op_acquire },
	{ "release", 24, op_release },
	{ NULL, 0, NULL }
};
