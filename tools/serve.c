// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Serving requests. One thread queues them in the order of the trace: it looks blocks up, pins them, evicts, and
 * prefetches what a request will re-read. Workers serve them: read and check what is there, make what is not.
 *
 * A request can re-read what one queued before it has yet to make. It waits; as requests are taken in order and wait
 * only for earlier ones, that ends.
 *
 * Locks: the queue lock covers the queue, the results and changes of an entry's state that somebody waits for. A
 * block's content lock (one of a few, by id) is held while its bytes are read or written; nothing is taken under it
 * but the placement's own.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/content.h"
#include "tools/index.h"
#include "tools/replay.h"

#define CONTENT_LOCKS	64

struct job {
	struct job *next;
	size_t request;
	double due;				/* seconds since the beginning: not to be served before */
	unsigned int nr;
	struct reference {
		struct entry *entry;
		bool hit;
	} ref[];
};

struct server {
	const struct replay_options *o;
	const struct trace *trace;
	struct libkvoff *kv;
	struct placement *place;
	const struct wait_model *model;
	struct index index;
	pthread_mutex_t lock;
	pthread_cond_t changed;			/* anything under @lock */
	struct job *head, **tail;
	unsigned int queued;
	bool closed;				/* nothing more will be queued */
	struct replay_results *r;
	pthread_rwlock_t content[CONTENT_LOCKS];
	struct timespec begun;
	bool corrupt;
};

static volatile sig_atomic_t stopping;

void serve_stop(void)
{
	stopping = 1;
}

static double seconds_since(const struct timespec *begun)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - begun->tv_sec + (now.tv_nsec - begun->tv_nsec) / 1e9;
}

static void sleep_until(const struct server *s, double due)
{
	struct timespec t;
	double ahead;

	while (!stopping && (ahead = due - seconds_since(&s->begun)) > 0) {
		/* a signal wakes one thread only, and perhaps just before it sleeps */
		if (ahead > 0.1)
			ahead = 0.1;
		t.tv_sec = ahead;
		t.tv_nsec = (ahead - t.tv_sec) * 1e9;
		nanosleep(&t, NULL);
	}
}

static pthread_rwlock_t *content_lock(struct server *s, const struct entry *e)
{
	return &s->content[e->id % CONTENT_LOCKS];
}

static void set_state(struct server *s, struct entry *e, enum entry_state state)
{
	pthread_mutex_lock(&s->lock);
	atomic_store(&e->state, state);
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static void wait_made(struct server *s, struct entry *e)
{
	if (atomic_load(&e->state) != ENTRY_PENDING)
		return;
	pthread_mutex_lock(&s->lock);
	while (atomic_load(&e->state) == ENTRY_PENDING)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

/* Under the content lock. */
static void write_parts(struct server *s, struct entry *e, unsigned int first, unsigned int nr)
{
	size_t len = s->o->block_bytes / ENTRY_PARTS;
	unsigned int i;

	e->writes++;
	for (i = first; i < first + nr; i++) {
		e->seed[i] = e->writes;
		content_fill(e->ptr + i * len, len, e->id, (uint64_t)e->writes << 8 | i);
	}
}

/* Under the content lock. */
static void check(struct server *s, struct entry *e)
{
	size_t len = s->o->block_bytes / ENTRY_PARTS;
	struct replay_results *r = s->r;
	struct content_wrong wrong;
	unsigned int i;

	for (i = 0; i < ENTRY_PARTS; i++) {
		if (content_check(e->ptr + i * len, len, e->id, (uint64_t)e->seed[i] << 8 | i, &wrong))
			continue;
		pthread_mutex_lock(&s->lock);
		if (!r->wrong_bytes)
			r->wrong = (struct replay_wrong){ e->id, e->seed[i], i * len + wrong.offset,
							  wrong.expected, wrong.found };
		r->wrong_bytes += wrong.bytes;
		pthread_mutex_unlock(&s->lock);
	}
}

static void make(struct server *s, struct entry *e, struct replay_results *mine)
{
	size_t len = s->o->block_bytes;
	int err;

	e->ptr = libkvoff_alloc(s->kv, len);
	err = e->ptr ? placement_begin(s->place, e->ptr, len) : -errno;
	if (err) {
		pthread_mutex_lock(&s->lock);
		if (!s->r->alloc_failures++)
			fprintf(stderr, "kvoff-replay: no memory for block %llu: %s\n", (unsigned long long)e->id,
				libkvoff_strerror(err));
		pthread_mutex_unlock(&s->lock);
		libkvoff_free(s->kv, e->ptr);
		e->ptr = NULL;
		set_state(s, e, ENTRY_FAILED);
		return;
	}
	pthread_rwlock_wrlock(content_lock(s, e));
	write_parts(s, e, 0, ENTRY_PARTS);
	/* pages are where first touch has put them; of a region the watcher sees it */
	if (s->place->pages)
		placement_begin(s->place, e->ptr, len);
	pthread_mutex_lock(&s->lock);
	if (s->corrupt) {
		e->ptr[len / 2 + 5] ^= 0x10;
		s->corrupt = false;
	}
	pthread_mutex_unlock(&s->lock);
	pthread_rwlock_unlock(content_lock(s, e));
	libkvoff_touch_ptr(s->kv, e->ptr, len);
	mine->written += len;
	set_state(s, e, ENTRY_READY);
}

/* The finaliser of splitmix64: the same choices in every run, whatever the threads do. */
static uint64_t choice(const struct server *s, size_t request, unsigned int i)
{
	uint64_t x = s->o->seed + ((uint64_t)request << 20) + i;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static void reread(struct server *s, const struct job *j, unsigned int i, struct replay_results *mine)
{
	uint64_t chance = choice(s, j->request, i);
	struct entry *e = j->ref[i].entry;
	size_t len = s->o->block_bytes;
	bool held;

	mine->rereads++;
	wait_made(s, e);
	if (atomic_load(&e->state) == ENTRY_FAILED) {
		mine->lost++;
		return;
	}
	pthread_rwlock_rdlock(content_lock(s, e));
	libkvoff_touch_ptr(s->kv, e->ptr, len);
	held = s->o->acquire && !libkvoff_acquire_ptr(s->kv, e->ptr, len);
	placement_read(s->place, e->ptr, len, mine->reread_bytes);
	check(s, e);
	if (held)
		libkvoff_release_ptr(s->kv, e->ptr, len);
	pthread_rwlock_unlock(content_lock(s, e));
	mine->verified += len;

	if (chance % 100 < s->o->rewrite) {
		pthread_rwlock_wrlock(content_lock(s, e));
		write_parts(s, e, (chance >> 32) % ENTRY_PARTS, 1);
		pthread_rwlock_unlock(content_lock(s, e));
		mine->rewritten++;
		mine->written += len / ENTRY_PARTS;
	}
}

static void serve_job(struct server *s, struct job *j)
{
	struct replay_results mine = {0}, *r = s->r;
	unsigned int i;
	double late;

	sleep_until(s, j->due);
	late = s->o->speed ? seconds_since(&s->begun) - j->due : 0;
	for (i = 0; i < j->nr; i++) {
		if (j->ref[i].hit)
			reread(s, j, i, &mine);
		else
			make(s, j->ref[i].entry, &mine);
	}
	for (i = 0; i < j->nr; i++)
		atomic_fetch_sub(&j->ref[i].entry->pins, 1);

	pthread_mutex_lock(&s->lock);
	if (late > r->late_s && !stopping)
		r->late_s = late;
	r->requests++;
	r->references += j->nr;
	r->rereads += mine.rereads;
	r->lost += mine.lost;
	r->rewritten += mine.rewritten;
	r->written += mine.written;
	r->verified += mine.verified;
	for (i = 0; i < NR_PLACES; i++)
		r->reread_bytes[i] += mine.reread_bytes[i];
	if (mine.rereads)
		r->waits[r->nr_waits++] = wait_us(s->model, mine.reread_bytes);
	pthread_mutex_unlock(&s->lock);
}

static void *worker(void *arg)
{
	struct server *s = arg;
	struct job *j;

	for (;;) {
		pthread_mutex_lock(&s->lock);
		while (!s->head && !s->closed)
			pthread_cond_wait(&s->changed, &s->lock);
		j = s->head;
		if (j) {
			s->head = j->next;
			if (!s->head)
				s->tail = &s->head;
			s->queued--;
			pthread_cond_broadcast(&s->changed);
		}
		pthread_mutex_unlock(&s->lock);
		if (!j)
			return NULL;
		serve_job(s, j);
		free(j);
	}
}

/* What leaves the index was written once and perhaps never read since: check it before it goes. */
static void drop(struct server *s, struct entry *e)
{
	if (!e->ptr)
		return;
	pthread_rwlock_rdlock(content_lock(s, e));
	check(s, e);
	pthread_rwlock_unlock(content_lock(s, e));
	pthread_mutex_lock(&s->lock);
	s->r->verified += s->o->block_bytes;
	pthread_mutex_unlock(&s->lock);
	placement_end(s->place, e->ptr, s->o->block_bytes);
	libkvoff_free(s->kv, e->ptr);
	e->ptr = NULL;
}

static void prefetch(struct server *s, const struct job *j)
{
	size_t step = libkvoff_block_size(s->kv), per = (s->o->block_bytes + step - 1) / step, n = 0, k;
	uint64_t *index = calloc(j->nr * per, sizeof(*index));
	unsigned int i;

	/* a wish: without memory for it, do without */
	if (!index)
		return;
	for (i = 0; i < j->nr; i++) {
		const struct entry *e = j->ref[i].entry;

		if (!j->ref[i].hit || atomic_load(&e->state) != ENTRY_READY)
			continue;
		for (k = 0; k < per; k++)
			index[n++] = libkvoff_index(s->kv, e->ptr) + k;
	}
	if (n)
		libkvoff_prefetch(s->kv, index, n);
	free(index);
}

/* When the request arrives, in seconds since the beginning. */
static double arrival(const struct server *s, size_t number)
{
	const struct trace_request *q = s->trace->requests;

	return s->o->speed ? (q[number].timestamp_ms - q[0].timestamp_ms) / 1e3 / s->o->speed : 0;
}

static int queue_request(struct server *s, size_t number)
{
	const struct trace_request *q = &s->trace->requests[number];
	const uint64_t *ids = s->trace->ids + q->first_id;
	struct entry *e;
	struct job *j;
	unsigned int i;

	j = calloc(1, sizeof(*j) + q->nr_ids * sizeof(j->ref[0]));
	if (!j)
		return -ENOMEM;
	j->request = number;
	j->due = arrival(s, number) + (s->o->speed ? s->o->lead / s->o->speed : 0);
	for (i = 0; i < q->nr_ids; i++) {
		e = index_use(&s->index, ids[i], &j->ref[i].hit);
		if (!e)
			break;
		j->ref[i].entry = e;
		j->nr++;
	}
	prefetch(s, j);
	while ((e = index_evict(&s->index))) {
		drop(s, e);
		s->r->evicted++;
	}

	pthread_mutex_lock(&s->lock);
	while (s->queued >= s->o->queue)
		pthread_cond_wait(&s->changed, &s->lock);
	*s->tail = j;
	s->tail = &j->next;
	s->queued++;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return i < q->nr_ids ? -ENOMEM : 0;
}

static void say_progress(struct server *s, double *next)
{
	double now = seconds_since(&s->begun);
	uint64_t fast, all = 0, rereads;
	unsigned int i;

	if (!s->o->progress || now < *next)
		return;
	*next = now + 5;
	pthread_mutex_lock(&s->lock);
	rereads = s->r->rereads;
	fast = s->r->reread_bytes[s->place->fastest];
	for (i = 0; i < NR_PLACES; i++)
		all += s->r->reread_bytes[i];
	fprintf(stderr, "kvoff-replay: %3.0f s, %llu of %zu requests, %llu re-reads, %.0f %% of them fast\n", now,
		(unsigned long long)s->r->requests, s->trace->nr_requests, (unsigned long long)rereads,
		all ? 100.0 * fast / all : 0);
	pthread_mutex_unlock(&s->lock);
}

static void run(struct server *s, int *err)
{
	pthread_t *thread = calloc(s->o->threads, sizeof(*thread));
	unsigned int started, i;
	double next = 0;
	size_t n;

	if (!thread) {
		*err = -ENOMEM;
		return;
	}
	for (started = 0; started < s->o->threads; started++) {
		*err = -pthread_create(&thread[started], NULL, worker, s);
		if (*err)
			break;
	}
	for (n = 0; !*err && !stopping && n < s->trace->nr_requests; n++) {
		sleep_until(s, arrival(s, n));
		if (stopping)
			break;
		*err = queue_request(s, n);
		say_progress(s, &next);
	}
	pthread_mutex_lock(&s->lock);
	s->closed = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	for (i = 0; i < started; i++)
		pthread_join(thread[i], NULL);
	free(thread);
}

int serve(const struct replay_options *o, const struct trace *t, struct libkvoff *kv, struct placement *p,
	  const struct wait_model *m, struct replay_results *r)
{
	struct server s = { .o = o, .trace = t, .kv = kv, .place = p, .model = m, .r = r, .corrupt = o->corrupt };
	struct entry *e = NULL;
	unsigned int i;
	int err;

	s.tail = &s.head;
	r->waits = calloc(t->nr_requests, sizeof(*r->waits));
	err = r->waits ? index_init(&s.index, t->nr_ids, o->index_blocks ? o->index_blocks : SIZE_MAX) : -ENOMEM;
	if (err)
		return err;
	pthread_mutex_init(&s.lock, NULL);
	pthread_cond_init(&s.changed, NULL);
	for (i = 0; i < CONTENT_LOCKS; i++)
		pthread_rwlock_init(&s.content[i], NULL);
	clock_gettime(CLOCK_MONOTONIC, &s.begun);

	run(&s, &err);
	r->seconds = seconds_since(&s.begun);
	/* the figures are those of the serving: stop counting moves before the last check touches everything */
	placement_unwatch(p);
	r->moved = placement_moved(p);
	counters_read(&r->after);
	while ((e = index_next(&s.index, e)))
		drop(&s, e);
	r->blocks = s.index.distinct;

	for (i = 0; i < CONTENT_LOCKS; i++)
		pthread_rwlock_destroy(&s.content[i]);
	pthread_cond_destroy(&s.changed);
	pthread_mutex_destroy(&s.lock);
	index_destroy(&s.index);
	return err;
}
