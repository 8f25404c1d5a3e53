// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Operations that make processes: children that inherit descriptors (and after MADV_DOFORK perhaps mappings), look
 * and go; and children that are killed in the middle of something.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

static pid_t kid_start(struct self *me)
{
	pid_t pid = fork();

	if (pid < 0)
		wrong(me, "fork: %s", strerror(errno));
	return pid;
}

static void kid_wait(struct self *me, pid_t pid, bool killed)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			wrong(me, "waitpid: %s", strerror(errno));
	note(me, "child ended", pid, killed, 0, status);
	if (!(WIFEXITED(status) && !WEXITSTATUS(status)) &&
	    !(killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
		wrong(me, "a child ended with status %x", status);
}

/* Let it run for a while, then kill it, at whatever stage it is. */
static void kid_kill(struct self *me, pid_t pid)
{
	usleep(below(me, 1U << below(me, 15)));
	kill(pid, SIGKILL);
	kid_wait(me, pid, true);
}

void kids_wait(struct self *me)
{
	unsigned int i;

	for (i = 0; i < KIDS; i++) {
		if (me->kids[i])
			kid_wait(me, me->kids[i], false);
		me->kids[i] = 0;
	}
}

/* Any process that has a descriptor can map the region and finds what everybody finds. */
static void kid_looks(struct self *me)
{
	struct hold *h = pick_hold(me, false);
	uint64_t pages, i, page;
	uint8_t *at;

	if (!h)
		return;
	pages = kind_pages(DATA, &world->slots[h->slot]);
	at = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, h->fd, KVOFF_OFF_DATA);
	/* while it was being started the slot may have got another region, of another size */
	if (at == MAP_FAILED)
		return;
	for (i = 0; i < 6; i++) {
		page = below(me, pages);
		if (atomic_load(&world->slots[h->slot].gen) == h->gen)
			check_page(me, "load by a child", h->slot, h->gen, page, at + page * PAGE);
	}
}

static void kid_moves(struct self *me, unsigned int times)
{
	struct kvoff_move_result results[8];
	struct kvoff_move_desc descs[8];

	while (times--) {
		random_descs(me, descs, 8);
		if (move_batch(me->rig->control, descs, 8, results, NULL))
			_exit(1);
	}
}

/* What MADV_DOFORK made a child inherit shows the same bytes; a mapping that is not inherited faults. */
static void kid_looks_at_inherited(struct self *me)
{
	struct map *m = pick_map(me, DATA, PROT_READ);
	uint64_t words[WORDS], k;
	uint32_t lo;

	if (!m)
		return;
	k = below(me, m->pages);
	lo = page_lo(m->slot, m->first + k);
	if (!copy_words(words, (uint64_t *)(m->at + k * PAGE), WORDS))
		check_words(me, "load by a child through what it inherited", m->slot, m->gen, m->first + k, words,
			    WORDS, 0,
			    lo);
}

static void op_fork(struct self *me)
{
	unsigned int i = below(me, KIDS), what = below(me, 5);
	pid_t pid;

	if (me->kids[i]) {
		kid_wait(me, me->kids[i], false);
		me->kids[i] = 0;
		return;
	}
	pid = kid_start(me);
	if (pid) {
		note(me, "fork", what, 0, 0, pid);
		me->kids[i] = pid;
		return;
	}
	switch (what) {
	case 0:
		break;
	case 1:
		kid_looks(me);
		break;
	case 2:
		kid_moves(me, 3);
		break;
	case 3:
		kid_looks_at_inherited(me);
		break;
	case 4:
		for (i = 0; i < HOLDS; i++)
			if (me->holds[i].fd >= 0)
				close(me->holds[i].fd);
		break;
	}
	_exit(0);
}

static void op_kill_mover(struct self *me)
{
	pid_t pid = kid_start(me);

	if (!pid) {
		kid_moves(me, 100000);
		_exit(0);
	}
	kid_kill(me, pid);
}

static void submit_for_ever(struct self *me)
{
	struct kvoff_move_result results[2][BATCH];
	struct kvoff_move_desc descs[2][BATCH];
	struct io_uring ring;
	unsigned int i = 0;

	if (io_uring_queue_init(8, &ring, 0))
		_exit(0);
	for (;;) {
		struct kvoff_ctl_move arg = {
			.size = sizeof(arg), .nr = BATCH, .descs = (uintptr_t)descs[i % 2],
			.results = (uintptr_t)results[i % 2],
		};
		struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
		uint64_t addr = (uintptr_t)&arg;
		struct io_uring_cqe *cqe;

		random_descs(me, descs[i % 2], BATCH);
		if (!sqe)
			_exit(0);
		*sqe = (struct io_uring_sqe){ 0 };
		sqe->opcode = IORING_OP_URING_CMD;
		sqe->fd = me->rig->control;
		sqe->cmd_op = KVOFF_CTL_MOVE;
		memcpy(sqe->cmd, &addr, sizeof(addr));
		io_uring_submit(&ring);
		if (i++ && !io_uring_wait_cqe(&ring, &cqe))
			io_uring_cqe_seen(&ring, cqe);
	}
}

static void op_kill_submitter(struct self *me)
{
	pid_t pid = kid_start(me);

	if (!pid)
		submit_for_ever(me);
	kid_kill(me, pid);
}

/* The pages are ours while the child stores to them: where it was stopped both the old and the new bytes are right. */
static void op_kill_writer(struct self *me)
{
	struct map *m = pick_map(me, DATA, PROT_READ | PROT_WRITE);
	struct hold *h = m ? hold_of(me, m->slot, true) : NULL;
	uint64_t words[WORDS], page, k;
	uint32_t life;
	pid_t pid;

	if (!h || h->gen != m->gen)
		return;
	k = below(me, m->pages);
	page = m->first + k;
	if (!page_take(me, m->slot, page))
		return;
	life = page_begin_store(m->slot, page);
	fill_page(words, m->slot, m->gen, page, life);
	pid = kid_start(me);
	if (!pid) {
		uint64_t *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, h->fd, page * PAGE);

		while (at != MAP_FAILED && !copy_words(at, words, WORDS))
			madvise(at, PAGE, MADV_DONTNEED);
		_exit(0);
	}
	kid_kill(me, pid);
	note(me, "killed writer", m->slot, page, life, 0);
	page_release(m->slot, page);
}

static void op_kill_direct(struct self *me)
{
	struct map *m = pick_map(me, DATA, PROT_READ);
	struct hold *h = m ? hold_of(me, m->slot, false) : NULL;
	pid_t pid;

	if (!h || me->disk < 0)
		return;
	pid = kid_start(me);
	if (!pid) {
		uint64_t pages = kind_pages(DATA, &world->slots[h->slot]);
		uint8_t *at = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, h->fd, KVOFF_OFF_DATA);

		/* beyond what the processes use for themselves */
		while (at != MAP_FAILED &&
		       pwrite(me->disk, at + below(me, pages) * PAGE, PAGE, PROCS_MAX / 2 * 4 * MIB + 16 * MIB) > 0)
			;
		_exit(0);
	}
	kid_kill(me, pid);
}

/* A region of its own, and references in ours: both end with it. */
static void op_kill_owner(struct self *me)
{
	struct hold *h = pick_hold(me, true);
	struct slot *s;
	pid_t pid;

	if (!h)
		return;
	s = &world->slots[h->slot];
	atomic_fetch_add(&s->refs_active, 1);
	atomic_fetch_add(&s->refs_events, 1);
	pid = kid_start(me);
	if (!pid) {
		struct region own, more = { .fd = h->fd, .id = s->id, .bs = s->bs, .nr = s->nr };
		uint64_t word = 1, i;

		if (region_attach(&more, &more, O_RDWR))
			_exit(0);
		for (i = 0; i < more.nr; i++)
			more.refs[i] = 1;
		while (!region_create(me->rig, &own, KVOFF_BLOCK_SIZE_MIN, 8)) {
			if (!region_commit(&own, 8 * KVOFF_BLOCK_SIZE_MIN, NULL))
				for (i = 0; i < 8; i++)
					copy_words((uint64_t *)(own.data + i * own.bs), &word, 1);
			if (chance(me, 70))
				region_close(&own);
		}
		_exit(0);
	}
	kid_kill(me, pid);
	atomic_fetch_sub(&s->refs_active, 1);
	atomic_fetch_add(&s->refs_events, 1);
}

const struct op process_ops[] = {
	{ "fork", 10, op_fork },
	{ "kill-mover", 4, op_kill_mover },
	{ "kill-submitter", 4, op_kill_submitter },
	{ "kill-writer", 5, op_kill_writer },
	{ "kill-direct", 3, op_kill_direct },
	{ "kill-owner", 3, op_kill_owner },
	{ NULL, 0, NULL }
};
