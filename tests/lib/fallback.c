// SPDX-License-Identifier: GPL-2.0-or-later
/* LIBKVOFF_FALLBACK=1: the whole library on plain memory, in several processes and threads. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "libkvoff.h"

#define BLOCK ((size_t)64 << 10)

static struct libkvoff *fresh(void)
{
	struct libkvoff_options opts = { .size = sizeof(opts), .block_size = BLOCK, .commit_step = 8 * BLOCK,
					 .tenant = "no-such-tenant-on-any-machine" };
	struct libkvoff *kv = NULL;
	int ret;

	ret = libkvoff_open(&kv, &opts);
	if (!CHECK(!ret)) {
		printf("# %s\n", libkvoff_strerror(ret));
		exit(1);
	}
	return kv;
}

static struct libkvoff_stats stats_of(struct libkvoff *kv)
{
	struct libkvoff_stats stats = { .size = sizeof(stats) };

	CHECK(libkvoff_stats(kv, &stats) == 0);
	return stats;
}

static void only_if_asked_for(void)
{
	struct libkvoff *kv;

	setenv("LIBKVOFF_FALLBACK", "0", 1);
	CHECK(libkvoff_open(&kv, NULL) == -ENODEV && !kv);
	unsetenv("LIBKVOFF_FALLBACK");
	CHECK(libkvoff_open(&kv, NULL) == -ENODEV && !kv);
	setenv("LIBKVOFF_FALLBACK", "1", 1);
	CHECK(libkvoff_open(&kv, NULL) == 0);
	CHECK(stats_of(kv).flags == LIBKVOFF_STATS_FALLBACK && stats_of(kv).length == 1ULL << 40);
	libkvoff_close(kv);
}

static void memory(void)
{
	struct libkvoff *kv = fresh();
	struct libkvoff_block out;
	char *p = libkvoff_alloc(kv, 4 * BLOCK);
	uint64_t first = libkvoff_index(kv, p);
	size_t i;

	CHECK(libkvoff_query_ptr(kv, p, &out) == 0 && out.tier == 0);
	CHECK(libkvoff_query_ptr(kv, p + 4 * BLOCK, &out) == 0 && out.tier == -1);
	for (i = 0; i < 4 * BLOCK; i++)
		if (p[i] && !CHECK(!p[i]))
			break;
	memset(p, 1, 4 * BLOCK);
	CHECK(libkvoff_discard_ptr(kv, p + BLOCK, 2 * BLOCK) == 0);
	CHECK(p[BLOCK - 1] == 1 && p[BLOCK] == 0 && p[3 * BLOCK - 1] == 0 && p[3 * BLOCK] == 1);
	CHECK(libkvoff_acquire(kv, &first, 1) == 0 && libkvoff_touch(kv, &first, 1) == 0);
	CHECK(libkvoff_query(kv, &first, 1, &out) == 0 && out.flags == LIBKVOFF_BLOCK_ACQUIRED && out.touches == 1);
	CHECK(libkvoff_release(kv, &first, 1) == 0 && libkvoff_release(kv, &first, 1) == -EINVAL);
	CHECK(stats_of(kv).used == 4 * BLOCK && stats_of(kv).tier_used[0] == 4 * BLOCK);
	CHECK(stats_of(kv).committed == 8 * BLOCK);
	CHECK(libkvoff_free(kv, p) == 0);
	libkvoff_close(kv);
}

/* What was freed beyond two steps goes back to the system. */
static void gives_back(void)
{
	struct libkvoff *kv = fresh();
	struct libkvoff_block out;
	size_t i, len = 100 * BLOCK;
	unsigned char in[16];
	size_t resident = 0;
	char *p = libkvoff_alloc(kv, len);

	memset(p, 7, len);
	CHECK(stats_of(kv).used == len && stats_of(kv).committed == len);
	CHECK(libkvoff_free(kv, p) == 0);
	CHECK(stats_of(kv).committed <= 16 * BLOCK && stats_of(kv).used <= 16 * BLOCK);
	for (i = 0; i < 100; i++) {
		CHECK(!mincore(p + i * BLOCK, BLOCK, in));
		CHECK(libkvoff_query_ptr(kv, p + i * BLOCK, &out) == 0);
		CHECK((out.tier == 0) == (in[0] & 1));
		resident += in[0] & 1;
	}
	CHECK(resident * BLOCK == stats_of(kv).used);
	libkvoff_close(kv);
}

static int in_child(struct libkvoff *kv, uint64_t offset)
{
	struct libkvoff_options ro = { .size = sizeof(ro), .flags = LIBKVOFF_OPEN_RDONLY };
	uint64_t index = offset / BLOCK;
	struct libkvoff *mine, *look;
	struct libkvoff_block out;
	int pipes[2];
	char *p;

	ktap_failed = false;
	/* as with the module, the mappings stay behind */
	CHECK(!pipe(pipes) && write(pipes[1], libkvoff_base(kv), 1) < 0 && errno == EFAULT);
	if (!CHECK(libkvoff_attach(&mine, libkvoff_fd(kv), NULL) == 0) ||
	    !CHECK(libkvoff_attach(&look, libkvoff_fd(mine), &ro) == 0))
		return 1;
	/* the parent's mappings are not here, and ours may lie in their place: closing must leave them alone */
	libkvoff_close(kv);
	p = (char *)libkvoff_base(mine) + offset;
	CHECK(!strcmp(p, "from the parent"));
	strcpy(p, "from the child");
	CHECK(!strcmp((char *)libkvoff_base(look) + offset, "from the child"));
	CHECK(libkvoff_touch(mine, &index, 1) == 0 && libkvoff_touch(look, &index, 1) == -EACCES);
	CHECK(libkvoff_query(look, &index, 1, &out) == 0 && out.tier == 0);
	CHECK(!libkvoff_alloc(mine, 64) && errno == EPERM);
	/* its own references */
	CHECK(libkvoff_release(mine, &index, 1) == -EINVAL);
	CHECK(libkvoff_acquire(mine, &index, 1) == 0);
	CHECK(stats_of(mine).nr_attached == 2 && stats_of(mine).committed == 8 * BLOCK);
	libkvoff_close(look);
	libkvoff_close(mine);
	return ktap_failed;
}

static void processes(void)
{
	struct libkvoff *kv = fresh();
	struct libkvoff_block out;
	int status = -1;
	pid_t pid;
	char *p;

	CHECK(libkvoff_alloc(kv, 1000));
	p = libkvoff_alloc(kv, BLOCK);
	strcpy(p, "from the parent");
	CHECK(libkvoff_acquire_ptr(kv, p, 1) == 0);
	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(in_child(kv, libkvoff_offset(kv, p)));
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(!strcmp(p, "from the child"));
	CHECK(libkvoff_query_ptr(kv, p, &out) == 0 && out.touches == 1 && out.flags == LIBKVOFF_BLOCK_ACQUIRED);
	CHECK(stats_of(kv).nr_attached == 1);
	CHECK(libkvoff_release_ptr(kv, p, 1) == 0);
	libkvoff_close(kv);
}

/* A file that looks like a region and is none, or is one of another size. */
static void strangers(void)
{
	struct libkvoff *kv = fresh(), *two;
	unsigned char head[4096];
	char path[64];
	int fd;

	CHECK(pread(libkvoff_fd(kv), head, sizeof(head), 0) == sizeof(head));
	fd = memfd_create("stranger", MFD_ALLOW_SEALING);
	CHECK(libkvoff_attach(&two, fd, NULL) == -ENOTTY);
	CHECK(pwrite(fd, head, sizeof(head), 0) == sizeof(head));
	CHECK(libkvoff_attach(&two, fd, NULL) == -ENOTTY);
	CHECK(!fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
	CHECK(libkvoff_attach(&two, fd, NULL) == -ENOTTY && !two);
	close(fd);
	CHECK(libkvoff_attach(&two, fd, NULL) == -EBADF);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", libkvoff_fd(kv));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(libkvoff_attach(&two, fd, NULL) == -EACCES);
	close(fd);
	unsetenv("LIBKVOFF_FALLBACK");
	CHECK(libkvoff_attach(&two, libkvoff_fd(kv), NULL) == -ENOTTY);
	CHECK(strstr(libkvoff_strerror(-ENOTTY), "LIBKVOFF_FALLBACK=1"));
	setenv("LIBKVOFF_FALLBACK", "1", 1);
	CHECK(ftruncate(libkvoff_fd(kv), 0) < 0);
	libkvoff_close(kv);
}

/* One window, and blocks that stay where they are. */
static void framed(void)
{
	struct libkvoff_options opts = { .size = sizeof(opts), .block_size = BLOCK, .flags = LIBKVOFF_OPEN_FRAMED,
					 .fast_bytes = 4 * BLOCK, .far_bytes = 4 * BLOCK,
					 .tenant = "no-such-tenant-on-any-machine" };
	struct libkvoff_window window;
	struct libkvoff *kv, *two;
	struct libkvoff_block out;
	uint64_t h[8], one;
	void *addr, *same;

	if (!CHECK(libkvoff_open(&kv, &opts) == 0))
		return;
	CHECK(libkvoff_windows(kv, 0, &window, 1) == 1 && window.len == 8 * BLOCK &&
	      stats_of(kv).committed == 8 * BLOCK);
	CHECK(libkvoff_block_alloc(kv, h, 8) == 0 && libkvoff_block_alloc(kv, &one, 1) == -ENOSPC);
	CHECK(stats_of(kv).nr_allocated == 8 && stats_of(kv).used == 8 * BLOCK);
	CHECK(libkvoff_acquire_addr(kv, &h[5], 1, &addr) == 0 && (char *)addr >= (char *)window.addr);
	strcpy(addr, "five");
	CHECK(libkvoff_attach(&two, libkvoff_fd(kv), NULL) == 0);
	CHECK(libkvoff_acquire_addr(two, &h[5], 1, &same) == 0 && same != addr && !strcmp(same, "five"));
	libkvoff_close(two);
	CHECK(libkvoff_block_free(kv, &h[5], 1) == -EBUSY && libkvoff_release(kv, &h[5], 1) == 0);
	CHECK(libkvoff_seal(kv, &h[5], 1) == 0 && libkvoff_query(kv, &h[5], 1, &out) == 0);
	CHECK(out.flags == LIBKVOFF_BLOCK_SEALED && out.tier == 0);
	CHECK(libkvoff_discard(kv, &h[5], 1) == 0 && libkvoff_query(kv, &h[5], 1, &out) == 0 && !out.flags &&
	      out.tier == 0);
	CHECK(libkvoff_acquire_addr(kv, &h[5], 1, &addr) == 0 && !*(char *)addr && libkvoff_release(kv, &h[5], 1) == 0);
	CHECK(libkvoff_block_free(kv, &h[5], 1) == 0 && libkvoff_touch(kv, &h[5], 1) == -ESTALE);
	CHECK(libkvoff_block_alloc(kv, &one, 1) == 0 && one != h[5]);
	libkvoff_close(kv);
}

/* What plain memory cannot do is refused, and sealed memory that was freed is as good as new. */
static void limits(void)
{
	struct libkvoff_options opts = { .size = sizeof(opts), .name = "x", .tenant = "no-such-tenant-on-any-machine" };
	struct libkvoff *kv = fresh(), *two;
	struct libkvoff_completion done;
	struct libkvoff_unit unit;
	struct libkvoff_block out;
	char tag[LIBKVOFF_TAG_LEN] = "";
	char *p = libkvoff_alloc(kv, 2 * BLOCK);
	uint64_t first = libkvoff_index(kv, p);

	CHECK(libkvoff_open(&two, &opts) == -ENOTSUP &&
	      libkvoff_open_named(&two, LIBKVOFF_UID_SELF, &opts) == -ENOTSUP);
	CHECK(strstr(libkvoff_strerror(-ENOTSUP), "outlive"));
	CHECK(libkvoff_eventfd(kv) == -ENOTSUP && libkvoff_prefetch_until(kv, &first, 1, 0, 0) == -ENOTSUP);
	CHECK(libkvoff_reap(kv, &done, 1) == 0);
	CHECK(libkvoff_seal_tagged(kv, first, 1, tag) == -ENOTSUP && libkvoff_units(kv, 0, &unit, 1) == -ENOTSUP);
	p[0] = 1;
	CHECK(libkvoff_seal_ptr(kv, p, 2 * BLOCK) == 0 && libkvoff_query_ptr(kv, p, &out) == 0);
	CHECK(out.flags == LIBKVOFF_BLOCK_SEALED);
	CHECK(libkvoff_free(kv, p) == 0 && libkvoff_alloc(kv, 2 * BLOCK) == p);
	CHECK(libkvoff_query_ptr(kv, p, &out) == 0 && !out.flags && out.tier == 0 && !p[0]);
	libkvoff_close(kv);
}

static struct libkvoff *shared;

static void *churn(void *arg)
{
	uint64_t seed = (uintptr_t)arg;
	struct {
		uint32_t *ptr;
		size_t words;
	} slot[16] = { 0 };
	unsigned int i, k, w;

	for (i = 0; i < 3000; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		k = seed >> 60;
		if (slot[k].ptr) {
			for (w = 0; w < slot[k].words; w++)
				if (!CHECK(slot[k].ptr[w] == ((uintptr_t)arg << 16 | k)))
					return NULL;
			CHECK(libkvoff_free(shared, slot[k].ptr) == 0);
			slot[k].ptr = NULL;
			continue;
		}
		slot[k].words = 1 + (seed >> 30) % 5000;
		slot[k].ptr = libkvoff_alloc(shared, slot[k].words * 4);
		if (!CHECK(slot[k].ptr))
			return NULL;
		for (w = 0; w < slot[k].words; w++)
			slot[k].ptr[w] = (uint32_t)((uintptr_t)arg << 16 | k);
		CHECK(libkvoff_touch_ptr(shared, slot[k].ptr, 1) == 0);
	}
	for (k = 0; k < 16; k++)
		CHECK(libkvoff_free(shared, slot[k].ptr) == 0);
	return NULL;
}

static void threads(void)
{
	pthread_t thread[4];
	uintptr_t i;

	shared = fresh();
	for (i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, churn, (void *)(i + 1));
	for (i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	CHECK(!stats_of(shared).allocated && !stats_of(shared).nr_allocated);
	CHECK(stats_of(shared).committed <= 16 * BLOCK && stats_of(shared).used <= stats_of(shared).committed);
	libkvoff_close(shared);
}

static const struct ktap_test tests[] = {
	{ "only if asked for", only_if_asked_for },
	{ "alloc, discard, acquire, query", memory },
	{ "freed memory goes back", gives_back },
	{ "another process attaches", processes },
	{ "descriptors that are not a region's", strangers },
	{ "framed: one window", framed },
	{ "what plain memory cannot", limits },
	{ "threads", threads },
};
KTAP_MAIN(tests)
