// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Operations in which the kernel reads or writes blocks, and pins them for it: direct I/O, pipes, other processes'
 * memory calls, registered buffers.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "attack.h"
#include "tests/kselftest/pin.h"

/* Pages in a row. */
#define RUN	4
/* Each process has its own part of the disk. */
#define DISK_PART	(4 * MIB)

/* A run of pages of a mapping; how many. */
static unsigned int random_run(struct self *me, const struct map *m, uint64_t *first)
{
	uint64_t nr = 1 + below(me, RUN);

	*first = below(me, m->pages);
	return nr < m->pages - *first ? nr : m->pages - *first;
}

/*
 * Begin a life of each page that nobody else writes, from the first on; what they shall hold is in
 * the bounce buffer.
 */
static unsigned int run_begin(struct self *me, const struct map *m, uint64_t first, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		uint64_t page = m->first + first + i;

		if (!page_take(me, m->slot, page))
			break;
		fill_page((uint64_t *)(me->bounce + i * PAGE), m->slot, m->gen, page,
			  page_begin_store(m->slot, page));
	}
	return i;
}

static void run_end(const struct map *m, uint64_t first, unsigned int nr, bool done)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		uint64_t page = m->first + first + i;

		if (done)
			page_done(m->slot, page);
		page_release(m->slot, page);
	}
}

static uint64_t disk_at(struct self *me)
{
	return me->nr * DISK_PART + below(me, DISK_PART / PAGE - RUN) * PAGE;
}

static void op_disk_to_block(struct self *me)
{
	struct map *m = pick_map(me, DATA, PROT_READ | PROT_WRITE);
	uint64_t first, off = disk_at(me);
	unsigned int nr;
	ssize_t got;

	if (!m || me->disk < 0)
		return;
	nr = random_run(me, m, &first);
	nr = run_begin(me, m, first, nr);
	if (!nr)
		return;
	if (pwrite(me->disk, me->bounce, nr * PAGE, off) != (ssize_t)(nr * PAGE))
		wrong(me, "write to the disk: %s", strerror(errno));
	got = pread(me->disk, m->at + first * PAGE, nr * PAGE, off);
	if (got < 0)
		got = -errno;
	note(me, "disk to block", m->slot, m->first + first, nr, got);
	expect(me, "direct read into a block", got, -EFAULT);
	if (got < (ssize_t)(nr * PAGE))
		check_bus(me, "direct read", m->slot, m->gen, m->first + first);
	run_end(m, first, nr, got == (ssize_t)(nr * PAGE));
}

static void op_block_to_disk(struct self *me)
{
	struct map *m = pick_map(me, DATA, PROT_READ);
	uint64_t first, off = disk_at(me);
	unsigned int nr, i;
	uint32_t lo[RUN];
	ssize_t got;

	if (!m || me->disk < 0)
		return;
	nr = random_run(me, m, &first);
	for (i = 0; i < nr; i++)
		lo[i] = page_lo(m->slot, m->first + first + i);
	got = pwrite(me->disk, m->at + first * PAGE, nr * PAGE, off);
	if (got < 0)
		got = -errno;
	note(me, "block to disk", m->slot, m->first + first, nr, got);
	expect(me, "direct write from a block", got, -EFAULT);
	if (got < (ssize_t)(nr * PAGE))
		check_bus(me, "direct write", m->slot, m->gen, m->first + first);
	if (got <= 0)
		return;
	if (pread(me->disk, me->bounce, got, off) != got)
		wrong(me, "read from the disk: %s", strerror(errno));
	for (i = 0; i < got / PAGE; i++)
		check_words(me, "direct write", m->slot, m->gen, m->first + first + i,
			    (uint64_t *)(me->bounce + i * PAGE), WORDS, 0, lo[i]);
}

static void op_vm_write(struct self *me)
{
	struct map *m = pick_map(me, DATA, PROT_READ | PROT_WRITE);
	struct iovec near = { .iov_base = me->bounce }, far;
	unsigned int nr;
	uint64_t first;
	ssize_t got;

	if (!m)
		return;
	nr = random_run(me, m, &first);
	nr = run_begin(me, m, first, nr);
	if (!nr)
		return;
	near.iov_len = nr * PAGE;
	far = (struct iovec){ .iov_base = m->at + first * PAGE, .iov_len = nr * PAGE };
	got = process_vm_writev(getpid(), &near, 1, &far, 1, 0);
	if (got < 0)
		got = -errno;
	note(me, "vm write", m->slot, m->first + first, nr, got);
	expect(me, "process_vm_writev", got, -EFAULT);
	if (got < (ssize_t)(nr * PAGE))
		check_bus(me, "process_vm_writev", m->slot, m->gen, m->first + first);
	run_end(m, first, nr, got == (ssize_t)(nr * PAGE));
}

static void op_vm_read(struct self *me)
{
	struct map *m = pick_map(me, DATA, PROT_READ);
	struct iovec near = { .iov_base = me->bounce }, far;
	unsigned int nr, i;
	uint32_t lo[RUN];
	uint64_t first;
	ssize_t got;

	if (!m)
		return;
	nr = random_run(me, m, &first);
	for (i = 0; i < nr; i++)
		lo[i] = page_lo(m->slot, m->first + first + i);
	near.iov_len = nr * PAGE;
	far = (struct iovec){ .iov_base = m->at + first * PAGE, .iov_len = nr * PAGE };
	got = process_vm_readv(getpid(), &near, 1, &far, 1, 0);
	if (got < 0)
		got = -errno;
	note(me, "vm read", m->slot, m->first + first, nr, got);
	expect(me, "process_vm_readv", got, -EFAULT);
	if (got < (ssize_t)(nr * PAGE))
		check_bus(me, "process_vm_readv", m->slot, m->gen, m->first + first);
	for (i = 0; got > 0 && i < got / PAGE; i++)
		check_words(me, "process_vm_readv", m->slot, m->gen, m->first + first + i,
			    (uint64_t *)(me->bounce + i * PAGE), WORDS, 0, lo[i]);
}

/* The file of one's own memory: it writes where the mapping allows it, and only there. */
static void op_proc_mem(struct self *me)
{
	struct map *m = pick_map(me, DATA, PROT_READ);
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	uint64_t first;
	ssize_t got;

	if (!m || fd < 0)
		goto out;
	first = below(me, m->pages);
	if (!(m->prot & PROT_WRITE)) {
		got = pwrite(fd, me->bounce, PAGE, (uintptr_t)m->at + first * PAGE);
		if (got >= 0)
			wrong(me, "/proc/self/mem wrote to a read-only mapping");
		goto out;
	}
	if (!run_begin(me, m, first, 1))
		goto out;
	got = pwrite(fd, me->bounce, PAGE, (uintptr_t)m->at + first * PAGE);
	if (got < 0)
		got = -errno;
	note(me, "/proc/self/mem", m->slot, m->first + first, 1, got);
	expect(me, "write to /proc/self/mem", got, -EIO, -EFAULT);
	if (got != (ssize_t)PAGE)
		check_bus(me, "write to /proc/self/mem", m->slot, m->gen, m->first + first);
	run_end(m, first, 1, got == (ssize_t)PAGE);
out:
	close(fd);
}

static void unsplice(struct self *me)
{
	struct spliced *s = &me->spliced[0];

	if (read(me->pipe[0], me->bounce, PAGE) != (ssize_t)PAGE)
		wrong(me, "read from the pipe: %s", strerror(errno));
	check_words(me, "pipe", s->slot, s->gen, s->page, (uint64_t *)me->bounce, WORDS, 0, s->lo);
	note(me, "unsplice", s->slot, s->page, s->lo, 0);
	me->nr_spliced--;
	memmove(s, s + 1, me->nr_spliced * sizeof(*s));
}

/* The pages lie in the pipe for some operations: pinned, so that neither a move nor a discard takes them away. */
static void op_vmsplice(struct self *me)
{
	struct map *m = pick_map(me, DATA, PROT_READ);
	struct spliced *s = &me->spliced[me->nr_spliced];
	struct iovec iov = { .iov_len = PAGE };
	uint64_t k;
	ssize_t got;

	if (!m)
		return;
	if (me->nr_spliced == SPLICES) {
		splice_drain(me);
		return;
	}
	k = below(me, m->pages);
	*s = (struct spliced){ .slot = m->slot, .gen = m->gen, .page = m->first + k };
	s->lo = page_lo(s->slot, s->page);
	iov.iov_base = m->at + k * PAGE;
	got = vmsplice(me->pipe[1], &iov, 1, chance(me, 50) ? SPLICE_F_GIFT : 0);
	if (got < 0)
		got = -errno;
	note(me, "vmsplice", s->slot, s->page, s->lo, got);
	expect(me, "vmsplice", got, -EFAULT);
	if (got < 0)
		check_bus(me, "vmsplice", s->slot, s->gen, s->page);
	if (got == (ssize_t)PAGE)
		me->nr_spliced++;
	else if (got > 0)
		wrong(me, "vmsplice of a page: %zd bytes", got);
}

static void op_unsplice(struct self *me)
{
	if (me->nr_spliced)
		unsplice(me);
}

void splice_drain(struct self *me)
{
	while (me->nr_spliced)
		unsplice(me);
}

/* While a page is pinned its block stays; where somebody discards it meanwhile its frame stays. */
static void op_pin(struct self *me)
{
	struct map *m = pick_map(me, DATA, PROT_READ | PROT_WRITE);
	struct kvoff_move_result result;
	struct kvoff_move_desc desc;
	struct slot *s;
	struct pin pin;
	uint64_t k, page;
	uint32_t lo;
	int ret;

	if (!m || !atomic_load(&world->slots[m->slot].full))
		return;
	s = &world->slots[m->slot];
	k = below(me, m->pages);
	page = m->first + k;
	lo = page_lo(m->slot, page);
	ret = pin_take(&pin, 0, (volatile uint64_t *)(m->at + k * PAGE), PIN_READ);
	if (ret)
		wrong(me, "pin of slot %d page %lu: %d", m->slot, page, ret);
	desc = (struct kvoff_move_desc){
		.region = s->id, .block = page * PAGE / s->bs, .to = atomic_load(&world->tier_ids[below(me, 2)]),
		.flags = below(me, 2),
	};
	ret = move_batch(me->rig->control, &desc, 1, &result, NULL);
	note(me, "pinned move", s->id, desc.block, desc.to, ret ?: result.error);
	if (ret)
		wrong(me, "move of a pinned block: %d", ret);
	if (!result.error && result.from != desc.to)
		wrong(me, "region %u block %llu: moved from %u to %u while it was pinned", s->id, desc.block,
		      result.from, desc.to);
	if (result.error == -ENODATA)
		wrong(me, "region %u block %llu: empty while it was pinned", s->id, desc.block);
	ret = pin_finish(&pin, 0);
	if (ret)
		wrong(me, "read through a pin: %d", ret);
	check_words(me, "pin", m->slot, m->gen, page, &pin.got, 1, 0, lo);
}

/* A write through a pin that was taken before a move began and lets go before it ends must not be lost. */
static void op_pin_write(struct self *me)
{
	struct map *m = pick_map(me, DATA, PROT_READ | PROT_WRITE);
	uint64_t words[WORDS], page, k;
	struct region r = { .fd = -1 };
	volatile uint64_t *at;
	struct mover mover;
	struct pin pin;
	uint32_t life;
	int ret;

	if (!m || !atomic_load(&world->slots[m->slot].full))
		return;
	k = below(me, m->pages);
	page = m->first + k;
	at = (volatile uint64_t *)(m->at + k * PAGE);
	if (!page_take(me, m->slot, page))
		return;
	life = page_begin_store(m->slot, page);
	fill_page(words, m->slot, m->gen, page, life);
	ret = pin_take(&pin, 0, at, PIN_WRITE);
	if (ret)
		wrong(me, "pin for writing of slot %d page %lu: %d", m->slot, page, ret);
	r.id = world->slots[m->slot].id;
	ret = mover_start(&mover, me->rig, &r, page * PAGE / world->slots[m->slot].bs,
			  atomic_load(&world->tier_ids[below(me, 2)]), 0);
	if (ret)
		wrong(me, "a thread could not begin: %d", ret);
	usleep(below(me, 1500));
	ret = pin_finish(&pin, words[0]);
	if (ret)
		wrong(me, "write through a pin: %d", ret);
	mover_join(&mover);
	note(me, "pinned write", r.id, page, life, mover.error);
	expect(me, "move at a pinned write", mover.error, -ENOENT, -EBUSY, -EAGAIN, -ECANCELED, -ENOSPC,
	       -ESHUTDOWN);
	ret = copy_words(words, at, 1);
	if (ret)
		wrong(me, "load after a pinned write: signal %d", ret);
	/* one word of the page is certain, and here only: later both lives are right */
	check_words(me, "write through a pin", m->slot, m->gen, page, words, 1, 0, life);
	page_release(m->slot, page);
}

static void op_register(struct self *me)
{
	struct map *m = pick_map(me, DATA, PROT_READ);
	struct iovec iov;
	uint64_t first;
	int ret;

	if (!m)
		return;
	iov.iov_len = random_run(me, m, &first) * PAGE;
	iov.iov_base = m->at + first * PAGE;
	ret = io_uring_register_buffers(&me->ring, &iov, 1);
	note(me, "register", m->slot, m->first + first, iov.iov_len, ret);
	expect(me, "registration of a buffer", ret, -EFAULT, -EOPNOTSUPP, -ENOMEM);
	/* a long-term pin for writing would not see the write tracking */
	if (!ret)
		wrong(me, "io_uring could register a buffer in mapped blocks");
}

const struct op transfer_ops[] = {
	{ "disk-to-block", 24, op_disk_to_block },
	{ "block-to-disk", 24, op_block_to_disk },
	{ "vm-write", 20, op_vm_write },
	{ "vm-read", 20, op_vm_read },
	{ "proc-mem", 10, op_proc_mem },
	{ "vmsplice", 20, op_vmsplice },
	{ "unsplice", 18, op_unsplice },
	{ "pin", 10, op_pin },
	{ "pin-write", 12, op_pin_write },
	{ "register", 5, op_register },
	{ NULL, 0, NULL }
};
