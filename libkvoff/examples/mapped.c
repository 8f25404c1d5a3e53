// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A KV cache whose pointer never changes, in kvoff: what a server needs that reads its cache with the CPU, as llama.cpp
 * does. It asks for one large piece of memory and cuts it into slots, one a conversation; kvoff moves the blocks below
 * it, and the server says which slots are in use. A second process looks at the same memory, through the same region.
 *
 * Build and run:
 *	cc -o mapped mapped.c $(pkg-config --cflags --libs libkvoff) && LIBKVOFF_FALLBACK=1 ./mapped
 * usage: mapped [TURNS]
 */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <libkvoff.h>

#define NR_SLOTS    8
#define SLOT_BYTES  (4UL << 20)
#define TURN_BYTES  (128UL << 10) /* that a turn adds: its tokens' keys and values, all layers */
#define PATIENCE_MS 50		  /* that a turn waits for its slot */

static void check(int ret, const char *what)
{
	if (ret < 0)
		errx(1, "%s: %s", what, libkvoff_strerror(ret));
}

struct slot {
	uint64_t *kv; /* fixed, wherever the bytes are */
	size_t used;  /* bytes */
};

static struct libkvoff *kv;
static struct slot slot[NR_SLOTS];

static uint64_t word_of(size_t s, size_t word)
{
	return (uint64_t)(s + 1) << 32 | word;
}

/* Somebody is back: their slot is wanted soon. Waiting a little for it is cheaper than reading all of it from CXL. */
static void wake(size_t s)
{
	uint64_t index[SLOT_BYTES / (64UL << 10)], first = libkvoff_index(kv, slot[s].kv);
	size_t n = (slot[s].used + libkvoff_block_size(kv) - 1) / libkvoff_block_size(kv);
	struct pollfd ready = { .events = POLLIN };
	struct libkvoff_completion done;
	struct timespec now;
	uint64_t deadline;
	int ret = 0;

	if (!n)
		return;
	for (size_t i = 0; i < n; i++)
		index[i] = first + i;
	clock_gettime(CLOCK_MONOTONIC, &now);
	deadline = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec + PATIENCE_MS * 1000000UL;
	ready.fd = libkvoff_eventfd(kv);
	/* plain memory (LIBKVOFF_FALLBACK=1) does not move: there is nothing to wait for */
	if (ready.fd == -ENOTSUP)
		return;
	check(ready.fd, "eventfd");
	check(libkvoff_prefetch_until(kv, index, n, deadline, s), "prefetch_until");
	/* the deadline makes the descriptor readable too: no wait is for ever. A server would serve others meanwhile */
	while (!ret) {
		ret = libkvoff_reap(kv, &done, 1);
		check(ret, "reap");
		if (!ret && poll(&ready, 1, 1000) < 0 && errno != EINTR)
			err(1, "poll");
	}
}

/* Attention reads the whole slot with plain loads, and the turn's tokens are added. */
static void turn(size_t s)
{
	size_t word, end = slot[s].used / sizeof(uint64_t);

	check(libkvoff_touch_ptr(kv, slot[s].kv, slot[s].used + TURN_BYTES), "touch");
	for (word = 0; word < end; word++)
		if (slot[s].kv[word] != word_of(s, word))
			errx(1, "slot %zu: wrong at byte %zu", s, word * sizeof(uint64_t));
	for (; word < end + TURN_BYTES / sizeof(uint64_t); word++)
		slot[s].kv[word] = word_of(s, word);
	slot[s].used += TURN_BYTES;
}

/* Another process of the server, with the region at another address: what it is told is an offset. */
static int looks_right(int fd, uint64_t offset, size_t s, size_t used)
{
	struct libkvoff_options opts = { .size = sizeof(opts), .flags = LIBKVOFF_OPEN_RDONLY };
	const uint64_t *there;
	struct libkvoff *mine;
	size_t word;

	check(libkvoff_attach(&mine, fd, &opts), "attach");
	there = (const uint64_t *)((char *)libkvoff_base(mine) + offset);
	for (word = 0; word < used / sizeof(uint64_t); word++)
		if (there[word] != word_of(s, word))
			break;
	libkvoff_close(mine);
	return word == used / sizeof(uint64_t);
}

static void check_from_outside(size_t s)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		err(1, "fork");
	/* a forked child has none of the region's memory, but its descriptor; it must not touch what it had before */
	if (!pid)
		_exit(!looks_right(libkvoff_fd(kv), libkvoff_offset(kv, slot[s].kv), s, slot[s].used));
	if (waitpid(pid, &status, 0) < 0 || status)
		errx(1, "slot %zu: another process sees other bytes", s);
}

int main(int argc, char **argv)
{
	struct libkvoff_options opts = { .size = sizeof(opts), .label = "mapped", .unit_size = TURN_BYTES,
					 .length = 2 * NR_SLOTS * SLOT_BYTES };
	unsigned long turns = argc > 1 ? strtoul(argv[1], NULL, 0) : 200;
	struct libkvoff_stats stats = { .size = sizeof(stats) };
	char *cache;
	size_t s;

	check(libkvoff_open(&kv, &opts), "open");
	/* once, for the whole cache: memory is taken as it is written, not now */
	cache = libkvoff_alloc(kv, NR_SLOTS * SLOT_BYTES);
	check(cache ? 0 : -errno, "alloc");
	for (s = 0; s < NR_SLOTS; s++)
		slot[s].kv = (uint64_t *)(cache + s * SLOT_BYTES);

	for (unsigned long t = 0; t < turns; t++) {
		/* two slots talk for a while, the others pause */
		s = (t / 16 + t % 2) % NR_SLOTS;
		wake(s);
		turn(s);
		/* the older of the two pauses: its bytes matter, just not soon */
		if (t % 16 == 14) {
			check(libkvoff_hint_ptr(kv, slot[s].kv, slot[s].used, LIBKVOFF_HINT_COLD), "hint");
			check_from_outside(s);
		}
		/* a conversation that has ended: the bytes are dead, the slot stays and reads as zero */
		if (slot[s].used + TURN_BYTES > SLOT_BYTES) {
			check(libkvoff_discard_ptr(kv, slot[s].kv, SLOT_BYTES), "discard");
			slot[s].used = 0;
		}
	}

	check(libkvoff_stats(kv, &stats), "stats");
	printf("%lu turns, %lu KiB in use:", turns, stats.used >> 10);
	for (int tier = 0; tier < LIBKVOFF_MAX_TIERS; tier++)
		if (stats.tier_used[tier])
			printf(" %lu KiB in tier %d", stats.tier_used[tier] >> 10, tier);
	printf("\n");
	check(libkvoff_free(kv, cache), "free");
	libkvoff_close(kv);
	return 0;
}
