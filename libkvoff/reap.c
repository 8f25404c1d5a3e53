// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Prefetches that somebody waits for. The kernel counts moves in an eventfd and changes the state array before it
 * counts; so whoever empties the eventfd first and looks at the array then misses nothing: what comes after the look
 * is counted after it.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "blocks.h"

#define NS_PER_S UINT64_C(1000000000)

/**
 * struct lkv_wait - a prefetch
 * @next:	in the order of the calls
 * @cookie, @deadline: the caller's
 * @n:		how many blocks
 * @there:	how many of the first were seen where they should be, or have nothing to wait for
 * @index:	the blocks, as they were given
 */
struct lkv_wait {
	struct lkv_wait *next;
	uint64_t cookie;
	uint64_t deadline;
	size_t n;
	size_t there;
	uint64_t index[];
};

void lkv_reap_init(struct libkvoff *kv)
{
	struct lkv_reap *reap = &kv->reap;

	pthread_mutex_init(&reap->lock, NULL);
	reap->last = &reap->first;
	reap->epoll_fd = reap->event_fd = reap->timer_fd = -1;
}

void lkv_reap_destroy(struct libkvoff *kv)
{
	struct lkv_reap *reap = &kv->reap;
	struct lkv_wait *wait, *next;

	for (wait = reap->first; wait; wait = next) {
		next = wait->next;
		free(wait);
	}
	if (reap->epoll_fd >= 0) {
		close(reap->epoll_fd);
		close(reap->timer_fd);
		close(reap->event_fd);
	}
	pthread_mutex_destroy(&reap->lock);
}

static void make_readable(int event_fd)
{
	uint64_t one = 1;

	/* it fails only where the count is at its end, and the descriptor readable */
	if (event_fd >= 0 && write(event_fd, &one, sizeof(one)) < 0)
		return;
}

void lkv_reap_wake(struct libkvoff *kv)
{
	/* what was said before must be seen by whoever is woken up, and by one who is about to wait */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&kv->reap.nr, __ATOMIC_RELAXED))
		make_readable(__atomic_load_n(&kv->reap.event_fd, __ATOMIC_ACQUIRE));
}

/* ------------------------------------------------------------------ what has become of a prefetch */

static bool is_fast(const struct libkvoff *kv, const struct lkv_blocks *blocks, size_t i)
{
	uint64_t location = lkv_location(kv, lkv_block(blocks, i));

	return location & KVOFF_STATE_PRESENT && lkv_blocks_current(kv, blocks, i, location) &&
	       kv->reap.fast_tiers >> (KVOFF_LOC_TIER(location) & 31) & 1;
}

static bool waits(const struct libkvoff *kv, const struct lkv_blocks *blocks, size_t i)
{
	uint64_t block = lkv_block(blocks, i), location = lkv_location(kv, block);

	return location & KVOFF_STATE_PRESENT && !(location & KVOFF_STATE_POISONED) &&
	       lkv_blocks_current(kv, blocks, i, location) &&
	       __atomic_load_n(&kv->hint[block].bits, __ATOMIC_RELAXED) & KVOFF_HINT_PREFETCH;
}

static struct lkv_blocks blocks_of(const struct libkvoff *kv, const struct lkv_wait *wait)
{
	return (struct lkv_blocks){
		.index = wait->index, .mask = kv->framed ? LKV_HANDLE_INDEX : UINT64_MAX, .n = wait->n
	};
}

/* With the lock held. Goes on with the first block that was not there the last time. */
static bool is_done(const struct libkvoff *kv, struct lkv_wait *wait)
{
	struct lkv_blocks blocks = blocks_of(kv, wait);

	while (wait->there < wait->n && (is_fast(kv, &blocks, wait->there) || !waits(kv, &blocks, wait->there)))
		wait->there++;
	return wait->there == wait->n;
}

static void tell(const struct libkvoff *kv, const struct lkv_wait *wait, bool late, struct libkvoff_completion *out)
{
	struct lkv_blocks blocks = blocks_of(kv, wait);
	size_t i;

	*out = (struct libkvoff_completion){ .cookie = wait->cookie, .n = wait->n, .late = late };
	for (i = 0; i < wait->n; i++)
		out->n_fast += is_fast(kv, &blocks, i);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* With the lock held. @when is in ns, 0 for never. */
static void arm(struct lkv_reap *reap, uint64_t when)
{
	struct itimerspec at = {
		.it_value = { .tv_sec = (time_t)(when / NS_PER_S), .tv_nsec = (long)(when % NS_PER_S) },
	};

	if (reap->timer_fd < 0 || when == reap->armed)
		return;
	if (!timerfd_settime(reap->timer_fd, TFD_TIMER_ABSTIME, &at, NULL))
		reap->armed = when;
}

/* With the lock held: which tiers are fast may have changed. 0 or -errno, without a message. */
static int ask_tiers(struct libkvoff *kv)
{
	struct kvoff_region_info info;
	int ret = kv->backend->info(kv, &info);

	if (!ret)
		kv->reap.fast_tiers = info.fast_tiers;
	return ret;
}

/* ------------------------------------------------------------------ calls */

static int begin(struct libkvoff *kv, const struct lkv_blocks *blocks, struct lkv_wait *wait)
{
	struct lkv_reap *reap = &kv->reap;
	int ret;

	pthread_mutex_lock(&reap->lock);
	ret = ask_tiers(kv);
	if (ret || !reap->fast_tiers) {
		pthread_mutex_unlock(&reap->lock);
		free(wait);
		if (ret)
			return lkv_fail(-ret, "kvoff: %s: prefetch: %s", kv->name, strerrordesc_np(-ret));
		return lkv_fail(EOPNOTSUPP, "kvoff: %s: prefetch: there is no tier, or this kernel module is of a "
				"version that does not "
				"say which are fast: use libkvoff_prefetch()", kv->name);
	}
	lkv_blocks_prefetch(kv, blocks);
	*reap->last = wait;
	reap->last = &wait->next;
	__atomic_store_n(&reap->nr, reap->nr + 1, __ATOMIC_RELAXED);
	/* a touch that does not see @nr yet has taken the hint back before we look */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (is_done(kv, wait))
		make_readable(reap->event_fd);
	else if (wait->deadline && (!reap->armed || wait->deadline < reap->armed))
		arm(reap, wait->deadline);
	pthread_mutex_unlock(&reap->lock);
	return 0;
}

int libkvoff_prefetch_until(struct libkvoff *kv, const uint64_t *index, size_t n, uint64_t deadline_ns, uint64_t cookie)
{
	struct lkv_blocks blocks;
	struct lkv_wait *wait;
	int ret = lkv_blocks_live(kv, "prefetch", index, n, &blocks);

	if (ret)
		return ret;
	if (!kv->backend->eventfd)
		return lkv_fail(ENOTSUP, "kvoff: %s: prefetch: nothing moves in plain memory (LIBKVOFF_FALLBACK=1): "
				"do not wait, or use "
				"libkvoff_prefetch()", kv->name);
	wait = n < SIZE_MAX / 16 ? malloc(sizeof(*wait) + n * sizeof(*index)) : NULL;
	if (!wait)
		return lkv_fail(ENOMEM, "kvoff: %s: prefetch: no memory to remember %zu blocks", kv->name, n);
	*wait = (struct lkv_wait){ .cookie = cookie, .deadline = deadline_ns, .n = n };
	if (n)
		memcpy(wait->index, index, n * sizeof(*index));
	return begin(kv, &blocks, wait);
}

/* With the lock held. */
static int make_descriptor(struct libkvoff *kv)
{
	struct epoll_event in = { .events = EPOLLIN };
	struct lkv_reap *reap = &kv->reap;
	int epoll_fd, event_fd, timer_fd, ret;

	event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (event_fd < 0 || timer_fd < 0 || epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event_fd, &in) ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &in))
		ret = lkv_fail(errno, "kvoff: %s: no descriptor to wait for prefetches with: %m", kv->name);
	else
		ret = kv->backend->eventfd(kv, event_fd);
	if (!ret) {
		reap->epoll_fd = epoll_fd;
		reap->timer_fd = timer_fd;
		__atomic_store_n(&reap->event_fd, event_fd, __ATOMIC_RELEASE);
		return 0;
	}
	if (ret == -ENOTTY)
		ret = lkv_fail(EOPNOTSUPP, "kvoff: %s: this kernel module is of a version that does not tell of "
			       "moves", kv->name);
	else if (event_fd >= 0 && timer_fd >= 0 && epoll_fd >= 0)
		lkv_fail(-ret, "kvoff: %s: the kernel will not tell of moves: %s", kv->name, strerrordesc_np(-ret));
	if (event_fd >= 0)
		close(event_fd);
	if (timer_fd >= 0)
		close(timer_fd);
	if (epoll_fd >= 0)
		close(epoll_fd);
	errno = -ret;
	return ret;
}

int libkvoff_eventfd(struct libkvoff *kv)
{
	struct lkv_reap *reap = &kv->reap;
	int ret = lkv_check_access(kv, "eventfd");

	if (ret)
		return ret;
	if (!kv->backend->eventfd)
		return lkv_fail(ENOTSUP, "kvoff: %s: nothing moves in plain memory (LIBKVOFF_FALLBACK=1), and "
				"nothing is told",
				kv->name);
	pthread_mutex_lock(&reap->lock);
	if (reap->epoll_fd < 0) {
		ret = make_descriptor(kv);
		/* what was begun before may be over, and has no timer */
		if (!ret && reap->first)
			make_readable(reap->event_fd);
	}
	if (!ret)
		ret = reap->epoll_fd;
	pthread_mutex_unlock(&reap->lock);
	return ret;
}

/* With the lock held: nothing that comes from now on is lost. */
static void drain(struct lkv_reap *reap)
{
	uint64_t count;

	if (reap->epoll_fd < 0)
		return;
	if (read(reap->event_fd, &count, sizeof(count)) < 0)
		count = 0;
	/* it has gone off: it must be set again */
	if (read(reap->timer_fd, &count, sizeof(count)) == sizeof(count))
		reap->armed = 0;
}

int libkvoff_reap(struct libkvoff *kv, struct libkvoff_completion *out, size_t n)
{
	struct lkv_reap *reap = &kv->reap;
	struct lkv_wait **link, *wait;
	uint64_t now, earliest = 0;
	size_t nr = 0;
	bool done;

	if (n && !out)
		return lkv_fail(EINVAL, "kvoff: %s: reap: no place for completions (NULL)", kv->name);
	if (!n)
		return 0;
	if (n > INT_MAX)
		n = INT_MAX;
	pthread_mutex_lock(&reap->lock);
	drain(reap);
	/* what is not known to be otherwise stays as it was */
	if (reap->first)
		ask_tiers(kv);
	now = now_ns();
	for (link = &reap->first; nr < n && (wait = *link);) {
		done = is_done(kv, wait);
		if (!done && (!wait->deadline || now < wait->deadline)) {
			if (wait->deadline && (!earliest || wait->deadline < earliest))
				earliest = wait->deadline;
			link = &wait->next;
			continue;
		}
		tell(kv, wait, !done, &out[nr++]);
		*link = wait->next;
		if (reap->last == &wait->next)
			reap->last = link;
		__atomic_store_n(&reap->nr, reap->nr - 1, __ATOMIC_RELAXED);
		free(wait);
	}
	/* no room to look further: somebody must come again */
	if (nr == n && *link)
		make_readable(reap->event_fd);
	else
		arm(reap, earliest);
	pthread_mutex_unlock(&reap->lock);
	return (int)nr;
}
