// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A KV pool of its own in kvoff, as vLLM and SGLang manage theirs: blocks of a fixed number of tokens, a block table a
 * request, prefixes found by hash and shared, the least recently used block given away when none is free.
 *
 * One process schedules, others do the work, each for its device. The memory is a framed region: each worker registers
 * its windows with the device once, at start, and kvoff moves blocks between the frames in them. So a block's name is
 * a handle, and a worker asks where its bytes are each time it uses them (libkvoff_acquire_addr()), until it says that
 * it is done (libkvoff_release()).
 *
 * What makes placement good is what the scheduler says, and it knows long before anybody reads: prefetch when a request
 * is queued, touch when it runs, a hint when nobody will be back soon.
 *
 * Here the model is a few lines that know what each block should hold, and the device is a buffer. Build and run:
 *	cc -o pool pool.c $(pkg-config --cflags --libs libkvoff) && LIBKVOFF_FALLBACK=1 ./pool
 * usage: pool [REQUESTS]
 */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <libkvoff.h>

#define KV_BYTES    (64UL << 10) /* keys and values of 16 tokens, all layers, one device's share */
#define NR_BLOCKS   256
#define NR_WORKERS  2
#define NR_SESSIONS 16
#define NR_RUNNING  4  /* requests that have blocks, queued or running */
#define MAX_BLOCKS  32 /* of a request; NR_RUNNING of them fit in the pool */
#define SYSTEM	    6  /* blocks of the system prompt, which all sessions share */
#define PATIENCE_NS 20000000 /* that a request waits for its prefix; late is slow, not wrong */
#define CHUNK	    (4UL << 20) /* registered at a time */

static void check(int ret, const char *what)
{
	if (ret < 0)
		errx(1, "%s: %s", what, libkvoff_strerror(ret));
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/* ---- what goes from the scheduler to a worker, and comes back with @status */

struct job {
	uint32_t request;
	int32_t status;	     /* 0, or a negative error number */
	uint32_t nr, nr_hit; /* blocks of the request; how many of the first hold what they should */
	uint64_t handle[MAX_BLOCKS];
	uint64_t hash[MAX_BLOCKS];
};

/* ---- a worker */

/* What the device may read and write: cudaHostRegister(), ibv_reg_mr() and the like go here. */
static struct libkvoff_window *registered;
static int nr_registered;

static void register_windows(struct libkvoff *kv)
{
	nr_registered = libkvoff_windows(kv, CHUNK, NULL, 0);
	check(nr_registered, "windows");
	registered = calloc((size_t)nr_registered, sizeof(*registered));
	if (!registered)
		err(1, "windows");
	check(libkvoff_windows(kv, CHUNK, registered, (size_t)nr_registered), "windows");
}

static bool is_registered(const char *addr)
{
	for (int i = 0; i < nr_registered; i++) {
		const char *start = registered[i].addr;

		if (addr >= start && addr + KV_BYTES <= start + registered[i].len)
			return true;
	}
	return false;
}

/* Copies to the device and back would be asynchronous: the blocks are released when the last one has ended. */
static int run_on_device(const struct job *job, void *const *addr)
{
	static uint64_t device[KV_BYTES / sizeof(uint64_t)];

	for (uint32_t i = 0; i < job->nr; i++) {
		if (!is_registered(addr[i]))
			return -EFAULT;
		if (i < job->nr_hit)
			memcpy(device, addr[i], KV_BYTES);
		for (size_t word = 0; word < KV_BYTES / sizeof(uint64_t); word++) {
			if (i < job->nr_hit && device[word] != mix(job->hash[i] + word))
				return -EBADMSG;
			device[word] = mix(job->hash[i] + word);
		}
		if (i >= job->nr_hit)
			memcpy(addr[i], device, KV_BYTES);
	}
	return 0;
}

static void work(int region_fd, int scheduler)
{
	void *addr[MAX_BLOCKS];
	struct libkvoff *kv;
	struct job job;

	/* regions are not inherited by fork; the descriptor is, and it can also be sent over a socket */
	check(libkvoff_attach(&kv, region_fd, NULL), "attach");
	register_windows(kv);
	while (recv(scheduler, &job, sizeof(job), 0) == sizeof(job)) {
		job.status = libkvoff_acquire_addr(kv, job.handle, job.nr, addr);
		if (!job.status) {
			job.status = run_on_device(&job, addr);
			check(libkvoff_release(kv, job.handle, job.nr), "release");
		} else if (job.status != -EIO) {
			check(job.status, "acquire");
		}
		if (send(scheduler, &job, sizeof(job), MSG_NOSIGNAL) < 0)
			break;
	}
	libkvoff_close(kv);
}

/* ---- the scheduler's pool */

struct block {
	uint64_t handle;
	uint64_t hash;	/* of all tokens up to its end; 0 where it holds nothing that can be found */
	unsigned int users; /* requests that have it */
	TAILQ_ENTRY(block) unused;
	LIST_ENTRY(block) chain;
};

static struct libkvoff *kv;
static struct block pool[NR_BLOCKS];
static TAILQ_HEAD(queue, block) unused = TAILQ_HEAD_INITIALIZER(unused); /* the least recently used first */
static LIST_HEAD(chain, block) cached[NR_BLOCKS];

static struct block *find(uint64_t hash)
{
	struct block *b;

	LIST_FOREACH(b, &cached[hash % NR_BLOCKS], chain)
		if (b->hash == hash)
			return b;
	return NULL;
}

static void forget(struct block *b)
{
	if (b->hash)
		LIST_REMOVE(b, chain);
	b->hash = 0;
}

static void take(struct block *b)
{
	if (!b->users++)
		TAILQ_REMOVE(&unused, b, unused);
}

static void give(struct block *b)
{
	if (--b->users)
		return;
	/* one that nobody can find is the first to be used again */
	if (b->hash)
		TAILQ_INSERT_TAIL(&unused, b, unused);
	else
		TAILQ_INSERT_HEAD(&unused, b, unused);
}

static void make_pool(void)
{
	/* all blocks fit into the far windows, so that a block that should go there finds a frame */
	struct libkvoff_options opts = { .size = sizeof(opts), .flags = LIBKVOFF_OPEN_FRAMED, .label = "pool",
					 .block_size = KV_BYTES, .unit_size = KV_BYTES,
					 .fast_bytes = NR_BLOCKS / 4 * KV_BYTES, .far_bytes = NR_BLOCKS * KV_BYTES };
	uint64_t handle[NR_BLOCKS];

	check(libkvoff_open(&kv, &opts), "open");
	check(libkvoff_block_alloc(kv, handle, NR_BLOCKS), "block_alloc");
	for (int i = 0; i < NR_BLOCKS; i++) {
		pool[i].handle = handle[i];
		TAILQ_INSERT_TAIL(&unused, &pool[i], unused);
	}
}

/* ---- requests */

struct session {
	uint64_t seed;
	uint32_t nr; /* blocks of the conversation so far */
};

struct request {
	bool busy; /* it has blocks */
	struct session *session;
	struct block *block[MAX_BLOCKS]; /* its block table */
	struct job job;
};

static struct session session[NR_SESSIONS];
static struct request request[NR_RUNNING];
static int worker[NR_WORKERS];
static int event_fd;
static unsigned long draws, nr_reused, nr_fast, nr_prefetched, nr_late, nr_done;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The request runs: from here on its blocks are in use. */
static void start(struct request *r)
{
	int to = worker[(size_t)(r - request) % NR_WORKERS];

	check(libkvoff_touch(kv, r->job.handle, r->job.nr), "touch");
	if (send(to, &r->job, sizeof(r->job), MSG_NOSIGNAL) < 0)
		err(1, "a worker is gone");
}

/* The request is queued: its prefix is looked up, and what is found is wanted soon. */
static void queue(struct request *r, struct session *s)
{
	struct job *job = &r->job;
	uint64_t hash = 1;
	int ret;

	*r = (struct request){ .busy = true, .session = s };
	job->request = (uint32_t)(r - request);
	job->nr = s->nr;
	for (uint32_t i = 0; i < job->nr; i++) {
		hash = job->hash[i] = mix(hash + (i < SYSTEM ? 0 : s->seed)) | 1;
		r->block[i] = job->nr_hit == i ? find(hash) : NULL;
		if (r->block[i])
			take(r->block[i]);
		job->nr_hit += r->block[i] != NULL;
	}
	/* only now the others, or they could take what was just found */
	for (uint32_t i = 0; i < job->nr; i++) {
		if (i >= job->nr_hit) {
			r->block[i] = TAILQ_FIRST(&unused);
			take(r->block[i]);
			forget(r->block[i]);
		}
		job->handle[i] = r->block[i]->handle;
	}
	nr_reused += job->nr_hit;
	if (!job->nr_hit) {
		start(r);
		return;
	}
	ret = libkvoff_prefetch_until(kv, job->handle, job->nr_hit, now_ns() + PATIENCE_NS, job->request);
	/* plain memory: nothing moves there, and nothing is worth waiting for */
	if (ret == -ENOTSUP)
		start(r);
	else
		check(ret, "prefetch_until");
}

static void prefetched(void)
{
	struct libkvoff_completion done[NR_RUNNING];
	int n = libkvoff_reap(kv, done, NR_RUNNING);

	check(n, "reap");
	for (int i = 0; i < n; i++) {
		nr_late += done[i].late;
		nr_prefetched++;
		nr_fast += done[i].n_fast;
		start(&request[done[i].cookie]);
	}
}

/* Bytes were lost to a memory error: what was computed once can be computed again. */
static void drop_poisoned(struct request *r)
{
	struct libkvoff_block where[MAX_BLOCKS];
	int ret;

	/* it fails, as a block is poisoned, and says which */
	libkvoff_query(kv, r->job.handle, r->job.nr, where);
	for (uint32_t i = 0; i < r->job.nr; i++) {
		if (!(where[i].flags & LIBKVOFF_BLOCK_POISONED))
			continue;
		forget(r->block[i]);
		ret = libkvoff_discard(kv, &r->block[i]->handle, 1);
		/* a worker still has it: whoever is given the block next comes here again */
		if (ret != -EBUSY)
			check(ret, "discard");
	}
}

static void finish(const struct job *job)
{
	struct request *r = &request[job->request];
	struct session *s = r->session;
	bool ended = s->nr + 3 > MAX_BLOCKS;

	if (job->status == -EIO)
		drop_poisoned(r);
	else if (job->status)
		errx(1, "request %u: %s", job->request, strerror(-job->status));
	for (uint32_t i = job->nr; i-- > 0;) {
		struct block *b = r->block[i];

		/* another request may have computed the same meanwhile: then that one stays */
		if (!job->status && !b->hash && !find(job->hash[i])) {
			b->hash = job->hash[i];
			LIST_INSERT_HEAD(&cached[b->hash % NR_BLOCKS], b, chain);
		}
		give(b);
	}
	/* who talks to it pauses now, or has gone */
	if (job->nr > SYSTEM)
		check(libkvoff_hint(kv, job->handle + SYSTEM, job->nr - SYSTEM,
				    ended ? LIBKVOFF_HINT_DONE : LIBKVOFF_HINT_COLD), "hint");
	check(libkvoff_hint(kv, job->handle, SYSTEM, LIBKVOFF_HINT_SHARED), "hint");
	r->busy = false;
	if (job->status)
		return;
	nr_done++;
	if (ended)
		*s = (struct session){ .seed = mix(s->seed + 1), .nr = SYSTEM + 1 };
	else
		s->nr += 1 + s->seed % 3;
}

static bool is_busy(const struct session *s)
{
	for (int i = 0; i < NR_RUNNING; i++)
		if (request[i].busy && request[i].session == s)
			return true;
	return false;
}

static void begin_requests(void)
{
	for (int i = 0; i < NR_RUNNING; i++) {
		struct session *s;

		if (request[i].busy)
			continue;
		do
			s = &session[mix(draws++) % NR_SESSIONS];
		while (is_busy(s));
		queue(&request[i], s);
	}
}

static void start_workers(pid_t *pid)
{
	int pair[2];

	for (int i = 0; i < NR_WORKERS; i++) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
			err(1, "socketpair");
		pid[i] = fork();
		if (pid[i] < 0)
			err(1, "fork");
		if (!pid[i]) {
			/* a worker ends when the scheduler's end of its socket is closed: it must hold none itself */
			for (int j = 0; j < i; j++)
				close(worker[j]);
			close(pair[0]);
			work(libkvoff_fd(kv), pair[1]);
			exit(0);
		}
		close(pair[1]);
		worker[i] = pair[0];
	}
}

int main(int argc, char **argv)
{
	unsigned long wanted = argc > 1 ? strtoul(argv[1], NULL, 0) : 200;
	struct pollfd ready[NR_WORKERS + 1];
	int status, failed = 0;
	pid_t pid[NR_WORKERS];
	struct job job;

	make_pool();
	start_workers(pid);
	event_fd = libkvoff_eventfd(kv);
	if (event_fd != -ENOTSUP)
		check(event_fd, "eventfd");
	for (int i = 0; i < NR_SESSIONS; i++)
		session[i] = (struct session){ .seed = mix((uint64_t)i + 1), .nr = SYSTEM + 1 };
	/* poll() passes over a negative descriptor */
	ready[NR_WORKERS] = (struct pollfd){ .fd = event_fd, .events = POLLIN };
	for (int i = 0; i < NR_WORKERS; i++)
		ready[i] = (struct pollfd){ .fd = worker[i], .events = POLLIN };

	while (nr_done < wanted) {
		begin_requests();
		if (poll(ready, NR_WORKERS + 1, 1000) < 0) {
			if (errno != EINTR)
				err(1, "poll");
			continue;
		}
		prefetched();
		for (int i = 0; i < NR_WORKERS; i++) {
			if (!(ready[i].revents & (POLLIN | POLLHUP)))
				continue;
			if (recv(worker[i], &job, sizeof(job), 0) != sizeof(job))
				errx(1, "worker %d is gone", i);
			finish(&job);
		}
	}

	for (int i = 0; i < NR_WORKERS; i++)
		close(worker[i]);
	for (int i = 0; i < NR_WORKERS; i++)
		failed |= waitpid(pid[i], &status, 0) < 0 || status;
	/* the memory is gone with the last attachment: nothing needs to be freed one by one */
	libkvoff_close(kv);
	printf("%lu requests, %lu blocks reused; %lu prefetches, %lu of them late; %lu blocks were in the fastest tier "
	       "then\n", nr_done, nr_reused, nr_prefetched, nr_late, nr_fast);
	return failed;
}
