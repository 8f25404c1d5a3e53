// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Watching where blocks are. A move between two looks at a block is seen as one move; a block that left and came
 * back between two looks is not seen at all, so the figures are lower bounds that get exact with shorter intervals.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/pages.h"
#include "tools/placement.h"

#define SCAN_STEP	1024
#define VISIT_STEP	64

/* What a block is between looks. */
#define WATCH_LIVE	(1U << 0)	/* holds something */
#define WATCH_PROMOTED	(1U << 1)	/* was promoted and not read since */

struct watched_block {
	uint8_t place;
	uint8_t flags;
};

/**
 * struct watcher - the thread that looks
 * @stop:	under @lock; @wake says it changed
 * @begun:	CLOCK_MONOTONIC, the zero of the samples' time
 */
struct watcher {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop;
	unsigned int interval_ms;
	struct timespec begun;
	const struct tiers *tiers;
	FILE *samples;
};

int placement_init(struct placement *p, struct libkvoff *kv, const void *pages, const struct tiers *tiers)
{
	unsigned int i;

	memset(p, 0, sizeof(*p));
	p->kv = kv;
	p->pages = pages;
	p->block_size = pages ? PAGES_SIZE : libkvoff_block_size(kv);
	for (i = 0; i < NR_PLACES; i++)
		p->rank[i] = i == PLACE_NONE ? ~0U : i;
	for (i = 0; i < tiers->nr; i++)
		p->rank[tiers->tier[i].id] = tiers->tier[i].rank;
	p->fastest = tiers->nr ? tiers->tier[0].id : 0;
	return -pthread_mutex_init(&p->lock, NULL);
}

void placement_destroy(struct placement *p)
{
	pthread_mutex_destroy(&p->lock);
	free(p->block);
}

static uint8_t place_of(int tier)
{
	return tier >= 0 && tier < KVOFF_MAX_TIERS ? tier : PLACE_NONE;
}

/* Where up to VISIT_STEP neighbours are. */
static void where(struct placement *p, uint64_t first, size_t nr, int *tier)
{
	struct libkvoff_block b[VISIT_STEP];
	uint64_t index[VISIT_STEP];
	size_t i;

	for (i = 0; i < nr; i++) {
		index[i] = first + i;
		tier[i] = -1;
	}
	if (p->pages)
		pages_query(p->pages, first, nr, tier);
	else if (!libkvoff_query(p->kv, index, nr, b))
		for (i = 0; i < nr; i++)
			tier[i] = b[i].tier;
}

/* Under the lock. */
static void look(struct placement *p, struct watched_block *w, int tier)
{
	uint8_t now = place_of(tier);

	if (now == w->place)
		return;
	if (now != PLACE_NONE && w->place != PLACE_NONE) {
		if (p->rank[now] < p->rank[w->place]) {
			p->moved.promoted += p->block_size;
			w->flags |= WATCH_PROMOTED;
		} else if (p->rank[now] > p->rank[w->place]) {
			p->moved.demoted += p->block_size;
			w->flags &= ~WATCH_PROMOTED;
		}
	}
	w->place = now;
}

enum visit { VISIT_BEGIN, VISIT_END, VISIT_READ };

static int visit(struct placement *p, enum visit what, const void *ptr, size_t len, uint64_t bytes[NR_PLACES])
{
	uint64_t offset = libkvoff_offset(p->kv, ptr);
	uint64_t first = offset / p->block_size, last = (offset + len - 1) / p->block_size, i;
	int tier[VISIT_STEP];

	pthread_mutex_lock(&p->lock);
	if (last >= p->nr) {
		uint64_t nr = last + 1 > 2 * p->nr ? last + 1 : 2 * p->nr;
		struct watched_block *bigger = reallocarray(p->block, nr, sizeof(*bigger));

		if (!bigger) {
			pthread_mutex_unlock(&p->lock);
			return -ENOMEM;
		}
		memset(bigger + p->nr, 0, (nr - p->nr) * sizeof(*bigger));
		p->block = bigger;
		p->nr = nr;
	}
	for (i = first; i <= last; i++) {
		struct watched_block *w = &p->block[i];
		unsigned int n = (i - first) % VISIT_STEP;
		uint64_t from = i == first ? offset % p->block_size : 0;
		uint64_t to = i == last ? (offset + len - 1) % p->block_size + 1 : p->block_size;

		if (!n)
			where(p, i, last - i + 1 < VISIT_STEP ? last - i + 1 : VISIT_STEP, tier);
		switch (what) {
		case VISIT_BEGIN:
			w->place = place_of(tier[n]);
			w->flags = WATCH_LIVE;
			break;
		case VISIT_END:
			look(p, w, tier[n]);
			w->flags = 0;
			break;
		case VISIT_READ:
			look(p, w, tier[n]);
			bytes[w->place] += to - from;
			p->read[w->place] += to - from;
			if (w->flags & WATCH_PROMOTED) {
				p->moved.promoted_read += p->block_size;
				w->flags &= ~WATCH_PROMOTED;
			}
			break;
		}
	}
	pthread_mutex_unlock(&p->lock);
	return 0;
}

int placement_begin(struct placement *p, const void *ptr, size_t len)
{
	return visit(p, VISIT_BEGIN, ptr, len, NULL);
}

void placement_end(struct placement *p, const void *ptr, size_t len)
{
	visit(p, VISIT_END, ptr, len, NULL);
}

void placement_read(struct placement *p, const void *ptr, size_t len, uint64_t bytes[NR_PLACES])
{
	visit(p, VISIT_READ, ptr, len, bytes);
}

struct moved placement_moved(struct placement *p)
{
	struct moved m;

	pthread_mutex_lock(&p->lock);
	m = p->moved;
	pthread_mutex_unlock(&p->lock);
	return m;
}

/*
 * All blocks, in steps, so that readers do not wait long for the lock. Not all pages: asking for each would cost more
 * than reading it, and the kernel has counters of what it moved.
 */
static void scan(struct placement *p)
{
	struct libkvoff_block b[SCAN_STEP];
	uint64_t index[SCAN_STEP], base, n, i;

	if (p->pages)
		return;
	for (base = 0;; base += SCAN_STEP) {
		pthread_mutex_lock(&p->lock);
		n = base < p->nr ? p->nr - base : 0;
		n = n < SCAN_STEP ? n : SCAN_STEP;
		for (i = 0; i < n; i++)
			index[i] = base + i;
		if (n && !libkvoff_query(p->kv, index, n, b))
			for (i = 0; i < n; i++)
				if (p->block[base + i].flags & WATCH_LIVE)
					look(p, &p->block[base + i], b[i].tier);
		pthread_mutex_unlock(&p->lock);
		if (!n)
			return;
	}
}

static void sample(struct placement *p, const struct watcher *w)
{
	struct libkvoff_stats s = { .size = sizeof(s) };
	uint64_t read[NR_PLACES];
	struct timespec now;
	struct moved m;
	unsigned int i;

	if (libkvoff_stats(p->kv, &s))
		return;
	if (p->pages)
		pages_used(p->pages, s.tier_used);
	pthread_mutex_lock(&p->lock);
	m = p->moved;
	memcpy(read, p->read, sizeof(read));
	pthread_mutex_unlock(&p->lock);
	clock_gettime(CLOCK_MONOTONIC, &now);
	fprintf(w->samples, "%.3f", now.tv_sec - w->begun.tv_sec + (now.tv_nsec - w->begun.tv_nsec) / 1e9);
	for (i = 0; i < w->tiers->nr; i++)
		fprintf(w->samples, ",%llu", (unsigned long long)s.tier_used[w->tiers->tier[i].id]);
	fprintf(w->samples, ",%llu,%llu", (unsigned long long)m.promoted, (unsigned long long)m.demoted);
	for (i = 0; i < w->tiers->nr; i++)
		fprintf(w->samples, ",%llu", (unsigned long long)read[w->tiers->tier[i].id]);
	fputc('\n', w->samples);
}

static void *watch(void *arg)
{
	struct placement *p = arg;
	struct watcher *w = p->watcher;
	struct timespec until;
	bool stop;

	do {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += w->interval_ms / 1000;
		until.tv_nsec += w->interval_ms % 1000 * 1000000L;
		if (until.tv_nsec >= 1000000000L) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000L;
		}
		pthread_mutex_lock(&w->lock);
		while (!w->stop && pthread_cond_timedwait(&w->wake, &w->lock, &until) != ETIMEDOUT)
			;
		stop = w->stop;
		pthread_mutex_unlock(&w->lock);
		scan(p);
		if (w->samples)
			sample(p, w);
	} while (!stop);
	return NULL;
}

int placement_watch(struct placement *p, const struct tiers *tiers, unsigned int interval_ms, FILE *samples)
{
	struct watcher *w = calloc(1, sizeof(*w));
	unsigned int i;
	int ret;

	if (!w)
		return -ENOMEM;
	w->interval_ms = interval_ms;
	w->tiers = tiers;
	w->samples = samples;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	clock_gettime(CLOCK_MONOTONIC, &w->begun);
	if (samples) {
		fputs("t", samples);
		for (i = 0; i < tiers->nr; i++)
			fprintf(samples, ",%s", tiers->tier[i].name);
		fputs(",promoted,demoted", samples);
		for (i = 0; i < tiers->nr; i++)
			fprintf(samples, ",%s_reread", tiers->tier[i].name);
		fputc('\n', samples);
	}
	p->watcher = w;
	ret = pthread_create(&w->thread, NULL, watch, p);
	if (ret) {
		p->watcher = NULL;
		free(w);
	}
	return -ret;
}

void placement_unwatch(struct placement *p)
{
	struct watcher *w = p->watcher;

	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w);
	p->watcher = NULL;
}
