// SPDX-License-Identifier: GPL-2.0-or-later
/* Completions of prefetches: none lost, none twice, and a descriptor that is readable when there are any. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "region.h"

#define BLOCK (64 * KIB)
#define NR    32

static struct libkvoff *fresh(void)
{
	struct libkvoff *kv;
	uint64_t i;

	mock_reset(100);
	kv = open_region(BLOCK, NR * BLOCK, BLOCK);
	CHECK(libkvoff_alloc(kv, NR * BLOCK));
	for (i = 0; i < NR; i++) {
		mock_fault(i);
		mock.state[i].location |= 1 << 8;
	}
	return kv;
}

static bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

static uint64_t in_ms(int64_t ms)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)((int64_t)now.tv_sec * 1000000000 + now.tv_nsec + ms * 1000000);
}

static void completes(void)
{
	struct libkvoff_completion out[4];
	struct libkvoff *kv = fresh();
	int fd = libkvoff_eventfd(kv);

	CHECK(fd >= 0 && libkvoff_eventfd(kv) == fd && mock.calls[MOCK_EVENTFD] == 1 && !readable(fd, 0));
	CHECK(libkvoff_prefetch_until(kv, (uint64_t[]){ 1, 2, 3 }, 3, 0, 111) == 0 &&
	      mock.hint[2].bits == KVOFF_HINT_PREFETCH);
	CHECK(!readable(fd, 0) && libkvoff_reap(kv, out, 4) == 0);
	CHECK(mock_move(1, 0) == 0 && readable(fd, 0) && libkvoff_reap(kv, out, 4) == 0 && !readable(fd, 0));
	CHECK(mock_move(2, 0) == 0 && mock_move(3, 0) == 0 && mock_move(1, 1) == 0);
	CHECK(readable(fd, 0) && libkvoff_reap(kv, out, 4) == 1 && !readable(fd, 0));
	/* one was there and has left again */
	CHECK(out[0].cookie == 111 && out[0].n == 3 && out[0].n_fast == 2 && !out[0].late);
	CHECK(libkvoff_reap(kv, out, 4) == 0);
	/* there already */
	CHECK(libkvoff_prefetch_until(kv, (uint64_t[]){ 2 }, 1, 0, 222) == 0 && readable(fd, 0));
	CHECK(libkvoff_reap(kv, out, 4) == 1 && out[0].cookie == 222 && out[0].n_fast == 1 && !readable(fd, 0));
	CHECK(libkvoff_prefetch_until(kv, NULL, 0, 0, 333) == 0 && readable(fd, 0) && libkvoff_reap(kv, out, 4) == 1);
	/* nothing to wait for: touched, discarded, poisoned */
	CHECK(libkvoff_prefetch_until(kv, (uint64_t[]){ 5 }, 1, 0, 5) == 0 &&
	      libkvoff_touch(kv, (uint64_t[]){ 5 }, 1) == 0);
	CHECK(readable(fd, 0) && libkvoff_reap(kv, out, 4) == 1 && out[0].cookie == 5 && !out[0].n_fast &&
	      !out[0].late);
	CHECK(libkvoff_prefetch_until(kv, (uint64_t[]){ 6 }, 1, 0, 6) == 0 &&
	      libkvoff_discard(kv, (uint64_t[]){ 6 }, 1) == 0);
	CHECK(readable(fd, 0) && libkvoff_reap(kv, out, 4) == 1 && out[0].cookie == 6);
	mock.state[7].location |= KVOFF_STATE_POISONED;
	CHECK(libkvoff_prefetch_until(kv, (uint64_t[]){ 7 }, 1, 0, 7) == 0 && readable(fd, 0) &&
	      libkvoff_reap(kv, out, 4) == 1);
	/* a touch that nobody waits for makes no call */
	CHECK(libkvoff_prefetch(kv, (uint64_t[]){ 8 }, 1) == 0 && libkvoff_touch(kv, (uint64_t[]){ 8 }, 1) == 0);
	CHECK(!readable(fd, 0));
	libkvoff_close(kv);
}

static void little_room(void)
{
	struct libkvoff_completion out[4];
	struct libkvoff *kv = fresh();
	int fd = libkvoff_eventfd(kv);
	uint64_t i;

	for (i = 0; i < 5; i++)
		CHECK(libkvoff_prefetch_until(kv, &i, 1, 0, i) == 0);
	for (i = 0; i < 4; i++)
		CHECK(mock_move(i, 0) == 0);
	CHECK(libkvoff_reap(kv, out, 0) == 0 && libkvoff_reap(kv, NULL, 1) == -EINVAL && readable(fd, 0));
	for (i = 0; i < 4; i++)
		CHECK(readable(fd, 0) && libkvoff_reap(kv, out, 1) == 1 && out[0].cookie == i);
	/* the fifth is not there: no more than one wake for nothing */
	CHECK(libkvoff_reap(kv, out, 1) == 0 && !readable(fd, 0));
	CHECK(mock_move(4, 0) == 0 && readable(fd, 0) && libkvoff_reap(kv, out, 4) == 1 && out[0].cookie == 4);
	CHECK(libkvoff_prefetch_until(kv, &i, 1, 0, 9) == 0);
	libkvoff_close(kv);
}

static void deadlines(void)
{
	struct libkvoff_completion out[4];
	struct libkvoff *kv = fresh();
	int fd;

	/* begun before there is a descriptor */
	CHECK(libkvoff_prefetch_until(kv, (uint64_t[]){ 1, 2 }, 2, in_ms(50), 1) == 0);
	CHECK(libkvoff_prefetch_until(kv, (uint64_t[]){ 3 }, 1, in_ms(600000), 2) == 0);
	CHECK(libkvoff_prefetch_until(kv, (uint64_t[]){ 4 }, 1, 0, 3) == 0);
	CHECK(mock_move(2, 0) == 0);
	fd = libkvoff_eventfd(kv);
	CHECK(readable(fd, 0));
	if (libkvoff_reap(kv, out, 4) == 0)
		CHECK(readable(fd, 60000) && libkvoff_reap(kv, out, 4) == 1);
	CHECK(out[0].cookie == 1 && out[0].n == 2 && out[0].n_fast == 1 && out[0].late == 1 && !readable(fd, 0));
	/* an earlier one comes later; one that has passed */
	CHECK(libkvoff_prefetch_until(kv, (uint64_t[]){ 5 }, 1, in_ms(20), 4) == 0);
	CHECK(readable(fd, 60000) && libkvoff_reap(kv, out, 4) == 1 && out[0].cookie == 4 && out[0].late);
	CHECK(libkvoff_prefetch_until(kv, (uint64_t[]){ 5 }, 1, 1, 5) == 0);
	CHECK(readable(fd, 60000) && libkvoff_reap(kv, out, 4) == 1 && out[0].cookie == 5 && out[0].late &&
	      !readable(fd, 0));
	libkvoff_close(kv);
}

static void refused(void)
{
	struct libkvoff_options ro = { .size = sizeof(ro), .flags = LIBKVOFF_OPEN_RDONLY };
	struct libkvoff *kv = fresh(), *two;
	uint64_t i = 1;

	mock.fast_tiers = 0;
	CHECK(libkvoff_prefetch_until(kv, &i, 1, 0, 1) == -EOPNOTSUPP && says("version") && !mock.hint[1].bits);
	mock.fail[MOCK_EVENTFD] = ENOTTY;
	mock.fail_nr[MOCK_EVENTFD] = 1;
	CHECK(libkvoff_eventfd(kv) == -EOPNOTSUPP && says("version"));
	CHECK(libkvoff_eventfd(kv) >= 0);
	i = NR;
	CHECK(libkvoff_prefetch_until(kv, &i, 1, 0, 1) == -ERANGE);
	CHECK(libkvoff_prefetch_until(kv, NULL, 1, 0, 1) == -EINVAL);
	CHECK(libkvoff_attach(&two, libkvoff_fd(kv), &ro) == 0);
	i = 0;
	CHECK(libkvoff_prefetch_until(two, &i, 1, 0, 1) == -EACCES && libkvoff_eventfd(two) == -EACCES);
	libkvoff_close(two);
	libkvoff_close(kv);
}

#define EACH 3000
static struct libkvoff *shared;
static unsigned int told, stop;
static unsigned char seen[2][EACH];

static void *ask(void *arg)
{
	uint64_t me = (uintptr_t)arg, i, block;

	for (i = 0; i < EACH; i++) {
		block = (me * 7 + i * 5) % NR;
		CHECK(libkvoff_prefetch_until(shared, (uint64_t[]){ block, (block + 1) % NR }, 2, 0,
					      me << 32 | i) == 0);
		if (i % 3 == 0)
			CHECK(libkvoff_touch(shared, &block, 1) == 0);
	}
	return NULL;
}

static void *move(void *arg)
{
	uint64_t n;

	for (n = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); n++)
		mock_move(n % NR, n / NR % 2 ? 0 : 1);
	/* at last all are there */
	for (n = 0; n < NR; n++)
		mock_move(n, 0);
	return NULL;
}

/* Sleeps until the descriptor wakes it: a lost wake is a test that ends with its patience. */
static void *reap(void *arg)
{
	struct libkvoff_completion out[3];
	int fd = libkvoff_eventfd(shared), n, i;

	while (__atomic_load_n(&told, __ATOMIC_SEQ_CST) < 2 * EACH) {
		if (!readable(fd, 1000) && !__atomic_load_n(&stop, __ATOMIC_SEQ_CST))
			continue;
		n = libkvoff_reap(shared, out, 3);
		for (i = 0; i < n; i++) {
			CHECK(!__atomic_fetch_add(&seen[out[i].cookie >> 32][out[i].cookie & 0xffffffff], 1,
						  __ATOMIC_SEQ_CST));
			CHECK(!out[i].late && out[i].n == 2);
			__atomic_add_fetch(&told, 1, __ATOMIC_SEQ_CST);
		}
	}
	return NULL;
}

static void races(void)
{
	struct libkvoff_completion out[4];
	pthread_t thread[5];
	int fd, i, n;

	shared = fresh();
	mock.mover = true;
	fd = libkvoff_eventfd(shared);
	pthread_create(&thread[0], NULL, ask, (void *)0);
	pthread_create(&thread[1], NULL, ask, (void *)1);
	pthread_create(&thread[2], NULL, move, NULL);
	pthread_create(&thread[3], NULL, reap, NULL);
	pthread_create(&thread[4], NULL, reap, NULL);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	pthread_join(thread[2], NULL);
	/* everything is in the fast tier now, so everything must be told */
	for (i = 0; i < 600 && __atomic_load_n(&told, __ATOMIC_SEQ_CST) < 2 * EACH; i++)
		usleep(100000);
	CHECK(told == 2 * EACH);
	__atomic_store_n(&told, 2 * EACH, __ATOMIC_SEQ_CST);
	pthread_join(thread[3], NULL);
	pthread_join(thread[4], NULL);
	while ((n = libkvoff_reap(shared, out, 4)) > 0)
		;
	CHECK(!readable(fd, 0));
	libkvoff_close(shared);
}

static const struct ktap_test tests[] = {
	{ "complete when there, or when there is nothing to wait for", completes },
	{ "more done than there is room for", little_room },
	{ "deadlines", deadlines },
	{ "refused", refused },
	{ "asked, moved, touched and reaped at once", races },
};
KTAP_MAIN(tests)
