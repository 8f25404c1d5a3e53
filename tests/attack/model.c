// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What every page may hold, and what is said when it holds something else.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attack.h"

struct world *world;

static _Thread_local sigjmp_buf fault_back;
static _Thread_local volatile sig_atomic_t fault_armed;

void model_init(void)
{
	unsigned int i, k;

	world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (world == MAP_FAILED) {
		perror("shared memory");
		exit(1);
	}
	for (i = 0; i < SLOTS; i++)
		for (k = 0; k < PROCS_MAX; k++)
			world->slots[i].fds[k] = -1;
}

uint64_t rnd(struct self *me)
{
	uint64_t z = me->rnd += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

void note(struct self *me, const char *what, int64_t a, int64_t b, int64_t c, int64_t ret)
{
	struct process *p = &world->processes[me->nr];
	uint32_t i = atomic_fetch_add(&p->logged, 1);

	p->log[i % LOG_LEN] = (struct entry){ .op = p->op, .what = what, .a = a, .b = b, .c = c, .ret = ret };
}

static void say_history(uint32_t nr)
{
	struct process *p = &world->processes[nr];
	uint32_t end = p->logged, i = end > LOG_LEN ? end - LOG_LEN : 0;

	for (; i < end; i++) {
		struct entry *e = &p->log[i % LOG_LEN];

		printf("#   process %u op %lu: %s %ld %ld %ld = %ld\n", nr, e->op, e->what, e->a, e->b, e->c, e->ret);
	}
}

void wrong(struct self *me, const char *fmt, ...)
{
	struct process *p = &world->processes[me->nr];
	bool others = false;
	va_list ap;
	uint32_t i;

	/* the first to find something speaks; what follows from it is of no interest */
	if (!atomic_compare_exchange_strong(&world->failed, &others, true))
		_exit(1);
	printf("# WRONG: seed %lu process %u op %lu (%s): ", world->seed, me->nr, p->op, p->name ?: "");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n# the last operations:\n");
	say_history(me->nr);
	for (i = 0; i < world->procs; i++)
		if (i != me->nr)
			say_history(i);
	fflush(stdout);
	_exit(1);
}

void expect_list(struct self *me, const char *what, int64_t ret, const int *allowed)
{
	if (ret >= 0)
		return;
	for (; *allowed; allowed++)
		if (ret == *allowed)
			return;
	wrong(me, "%s: found error %ld (%s), which is not among those allowed", what, ret, strerror(-ret));
}

void nap_or_die(void)
{
	if (atomic_load(&world->failed))
		_exit(1);
	usleep(500);
}

void lock(_Atomic uint32_t *word, const struct self *me)
{
	uint32_t none = 0;

	while (!atomic_compare_exchange_strong(word, &none, me->nr + 1)) {
		none = 0;
		nap_or_die();
	}
}

void unlock(_Atomic uint32_t *word)
{
	atomic_store(word, 0);
}

bool meet(void)
{
	uint32_t round = atomic_load(&world->round);

	if (atomic_fetch_add(&world->arrived, 1) + 1 == world->procs) {
		atomic_store(&world->arrived, 0);
		atomic_fetch_add(&world->round, 1);
		return !atomic_load(&world->failed);
	}
	while (atomic_load(&world->round) == round)
		nap_or_die();
	return !atomic_load(&world->failed);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	static const char text[] = "# a fault where none was expected\n";

	if (fault_armed) {
		fault_armed = 0;
		siglongjmp(fault_back, sig);
	}
	if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
		_exit(1);
	signal(sig, SIG_DFL);
}

void catch_faults(void)
{
	/* not blocked while it runs: leaving it by a jump then needs no system call */
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER };

	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int copy_words(volatile uint64_t *to, const volatile uint64_t *from, size_t words)
{
	int sig = sigsetjmp(fault_back, 0);
	size_t i;

	if (sig) {
		atomic_fetch_add(&world->faults, 1);
		return sig;
	}
	fault_armed = 1;
	atomic_signal_fence(memory_order_seq_cst);
	for (i = 0; i < words; i++)
		to[i] = from[i];
	atomic_signal_fence(memory_order_seq_cst);
	fault_armed = 0;
	return 0;
}

/*
 * A word of a store: a mark, slot, generation, page, index in the page, life. Any word found tells where it
 * belongs.
 */
#define WORD_MARK	5ULL

static uint64_t word_of(int slot, uint32_t gen, uint64_t page, size_t i, uint32_t life)
{
	return WORD_MARK << 61 | (uint64_t)slot << 57 | (uint64_t)(gen & 0xff) << 49 | page << 33 | (uint64_t)i << 24 |
	       (life & 0xffffff);
}

void fill_page(uint64_t *to, int slot, uint32_t gen, uint64_t page, uint32_t life)
{
	size_t i;

	for (i = 0; i < WORDS; i++)
		to[i] = word_of(slot, gen, page, i, life);
}

static bool word_right(uint64_t v, int slot, uint32_t gen, uint64_t page, size_t i, uint32_t lo, uint32_t hi)
{
	uint32_t life = v & 0xffffff;

	if (!v)
		return atomic_load(&world->slots[slot].lives[page].zero) >= lo;
	return life >= lo && life <= hi && v == word_of(slot, gen, page, i, life);
}

uint32_t page_lo(int slot, uint64_t page)
{
	return atomic_load(&world->slots[slot].lives[page].lo);
}

void check_words(struct self *me, const char *how, int slot, uint32_t gen, uint64_t page, const uint64_t *words,
		 size_t nr, size_t first, uint32_t lo)
{
	struct slot *s = &world->slots[slot];
	uint32_t hi = atomic_load(&s->lives[page].hi);
	size_t i;

	for (i = 0; i < nr; i++)
		if (!word_right(words[i], slot, gen, page, first + i, lo, hi))
			break;
	if (i == nr)
		return;
	/* a region of the past, seen through what still holds it: its lives are not known any more, its pages are */
	if (atomic_load(&s->gen) != gen) {
		for (i = 0; i < nr; i++)
			if (words[i] && words[i] >> 24 != word_of(slot, gen, page, first + i, 0) >> 24)
				break;
		if (i == nr)
			return;
	}
	wrong(me,
	      "%s: region %u (slot %d, block size %u), page %lu, offset %lu: expected lives %u to %u of generation %u, "
	      "zero %u, found %016lx (mark %lu, slot %lu, generation %lu, page %lu, word %lu, life %lu)",
	      how, s->id, slot, s->bs, page, (first + i) * sizeof(uint64_t), lo, hi, gen & 0xff,
	      atomic_load(&s->lives[page].zero), words[i], words[i] >> 61,
	      words[i] >> 57 & 15, words[i] >> 49 & 255, words[i] >> 33 & 0xffff, words[i] >> 24 & 511,
	      words[i] & 0xffffff);
}

void check_bus(struct self *me, const char *how, int slot, uint32_t gen, uint64_t page)
{
	struct slot *s = &world->slots[slot];

	if (atomic_load(&s->full) && atomic_load(&s->gen) == gen)
		wrong(me, "%s: region %u, page %lu: a use of committed memory failed", how, s->id, page);
}

void check_page(struct self *me, const char *how, int slot, uint32_t gen, uint64_t page, const void *at)
{
	uint32_t lo = page_lo(slot, page);
	uint64_t words[WORDS];
	int sig = copy_words(words, at, WORDS);

	atomic_fetch_add(&world->loads, 1);
	if (sig == SIGBUS)
		check_bus(me, how, slot, gen, page);
	else if (sig)
		wrong(me, "%s: region slot %d, page %lu at %p: signal %d", how, slot, page, at, sig);
	else
		check_words(me, how, slot, gen, page, words, WORDS, 0, lo);
}

bool page_take(struct self *me, int slot, uint64_t page)
{
	uint32_t none = 0;

	return atomic_compare_exchange_strong(&world->slots[slot].lives[page].owner, &none, me->nr + 1);
}

void page_release(int slot, uint64_t page)
{
	atomic_store(&world->slots[slot].lives[page].owner, 0);
}

uint32_t page_begin_store(int slot, uint64_t page)
{
	return atomic_fetch_add(&world->slots[slot].lives[page].hi, 1) + 1;
}

void page_begin_zero(int slot, uint64_t page)
{
	struct life *l = &world->slots[slot].lives[page];

	/* in this order: whoever sees the new life must know that it is zero */
	atomic_store(&l->zero, atomic_load(&l->hi) + 1);
	atomic_fetch_add(&l->hi, 1);
}

void page_done(int slot, uint64_t page)
{
	struct life *l = &world->slots[slot].lives[page];

	atomic_store(&l->lo, atomic_load(&l->hi));
}
