// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ktap.h"
#include "mock.h"

struct mock mock;

/* One file of memory for each of the offsets that kvoff.h names. */
enum { DATA, STATE, HINT, REFS, NR_FILES };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int files[NR_FILES] = { -1, -1, -1, -1 };
static size_t bytes[NR_FILES];
static void *maps[NR_FILES];
static int region_fd[4];
static bool region_rdonly[4];
static int nr_fds;
static uint64_t nr_blocks;

int __real_open(const char *path, int flags, ...);
int __real_access(const char *path, int mode);
int __real_ioctl(int fd, unsigned long request, ...);
void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
int __wrap_open(const char *path, int flags, ...);
int __wrap_access(const char *path, int mode);
int __wrap_ioctl(int fd, unsigned long request, ...);
void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);

void mock_reset(uint64_t limit)
{
	int i;

	for (i = 0; i < NR_FILES; i++) {
		if (maps[i])
			munmap(maps[i], bytes[i]);
		if (files[i] >= 0)
			close(files[i]);
		maps[i] = NULL;
		files[i] = -1;
	}
	free(mock.pinned);
	nr_fds = 0;
	nr_blocks = 0;
	memset(&mock, 0, sizeof(mock));
	mock.limit = limit;
	mock.have_dir = true;
}

unsigned int mock_all_calls(void)
{
	unsigned int i, sum = 0;

	for (i = 0; i < MOCK_CALLS; i++)
		sum += mock.calls[i];
	return sum;
}

void mock_fault(uint64_t block)
{
	pthread_mutex_lock(&lock);
	if (!(mock.state[block].location & KVOFF_STATE_PRESENT)) {
		__atomic_fetch_or(&mock.state[block].location, KVOFF_STATE_PRESENT, __ATOMIC_RELEASE);
		mock.used++;
		CHECK(mock.used <= mock.committed);
	}
	pthread_mutex_unlock(&lock);
}

int __wrap_open(const char *path, int flags, ...)
{
	if (strncmp(path, "/dev/kvoff/", 11))
		return __real_open(path, flags);
	snprintf(mock.node, sizeof(mock.node), "%s", path);
	CHECK((flags & O_ACCMODE) == O_RDWR);
	CHECK(flags & O_CLOEXEC);
	if (mock.open_error) {
		errno = mock.open_error;
		return -1;
	}
	return __real_open("/dev/null", O_RDWR | O_CLOEXEC);
}

int __wrap_access(const char *path, int mode)
{
	if (strcmp(path, "/dev/kvoff"))
		return __real_access(path, mode);
	errno = ENOENT;
	return mock.have_dir ? 0 : -1;
}

static int new_fd(bool rdonly, __u32 fd_flags)
{
	int fd = __real_open("/dev/null", O_RDWR | (int)(fd_flags & O_CLOEXEC));

	CHECK(nr_fds < 4);
	region_fd[nr_fds] = fd;
	region_rdonly[nr_fds++] = rdonly;
	return fd;
}

static int create(struct kvoff_region_create *c)
{
	int i;

	mock.create = *c;
	CHECK(c->size == sizeof(*c));
	CHECK(!c->flags && !c->reserved && !(c->fd_flags & ~O_CLOEXEC));
	CHECK(c->block_size >= KVOFF_BLOCK_SIZE_MIN && c->block_size <= KVOFF_BLOCK_SIZE_MAX);
	CHECK(!(c->block_size & (c->block_size - 1)));
	CHECK(c->length && c->length <= KVOFF_REGION_SIZE_MAX && !(c->length % c->block_size));
	CHECK(c->unit_size <= c->length);
	CHECK(memchr(c->label, 0, sizeof(c->label)));
	nr_blocks = c->length / c->block_size;
	bytes[DATA] = c->length;
	bytes[STATE] = nr_blocks * sizeof(struct kvoff_state);
	bytes[HINT] = nr_blocks * sizeof(struct kvoff_hint);
	bytes[REFS] = nr_blocks * sizeof(__u32);
	for (i = 0; i < NR_FILES; i++) {
		bytes[i] = (bytes[i] + 4095) & ~(size_t)4095;
		files[i] = memfd_create("mock", MFD_CLOEXEC);
		CHECK(!ftruncate(files[i], (off_t)bytes[i]));
		maps[i] = __real_mmap(NULL, bytes[i], PROT_READ | PROT_WRITE, MAP_SHARED, files[i], 0);
		CHECK(maps[i] != MAP_FAILED);
	}
	mock.data = maps[DATA];
	mock.state = maps[STATE];
	mock.hint = maps[HINT];
	mock.refs = maps[REFS];
	mock.pinned = calloc(nr_blocks, 1);
	c->id = 7;
	return new_fd(false, c->fd_flags);
}

static int attach(int fd, struct kvoff_region_attach *a)
{
	bool rdonly = false;
	int i;

	mock.attach = *a;
	CHECK(a->size == sizeof(*a));
	CHECK(!a->flags && !a->reserved);
	for (i = 0; i < nr_fds; i++)
		if (region_fd[i] == fd)
			rdonly = region_rdonly[i];
	if (rdonly && (a->fd_flags & O_ACCMODE) != O_RDONLY)
		return -EACCES;
	return new_fd((a->fd_flags & O_ACCMODE) == O_RDONLY, a->fd_flags);
}

static int info(struct kvoff_region_info *i)
{
	CHECK(i->size == sizeof(*i));
	i->id = 7;
	i->block_size = mock.create.block_size;
	i->length = mock.create.length;
	i->unit_size = mock.create.unit_size;
	i->committed = mock.committed * i->block_size;
	i->used = mock.used * i->block_size;
	i->tier_used[0] = i->used;
	i->nr_attached = (__u32)nr_fds;
	i->high = nr_blocks;
	memcpy(i->label, mock.create.label, sizeof(i->label));
	memcpy(i->tenant, mock.tenant, sizeof(i->tenant));
	i->tenant_quota = mock.quota ? mock.limit * i->block_size : 0;
	i->tenant_committed = i->committed;
	return 0;
}

static int commit(struct kvoff_region_commit *c)
{
	uint64_t nr = c->bytes / mock.create.block_size;

	CHECK(c->size == sizeof(*c));
	CHECK(!c->flags && nr && !(c->bytes % mock.create.block_size));
	memmove(mock.commits + 1, mock.commits, sizeof(mock.commits) - sizeof(mock.commits[0]));
	mock.commits[0] = nr;
	c->available = (mock.limit - mock.committed) * mock.create.block_size;
	c->committed = mock.committed * mock.create.block_size;
	if (mock.committed + nr > nr_blocks)
		return -ENOMEM;
	if (mock.committed + nr > mock.limit)
		return mock.quota ? -EDQUOT : -ENOMEM;
	mock.committed += nr;
	return 0;
}

static int uncommit(struct kvoff_region_commit *c)
{
	uint64_t nr = c->bytes / mock.create.block_size;

	CHECK(c->size == sizeof(*c));
	CHECK(!c->flags && nr && !(c->bytes % mock.create.block_size));
	CHECK(nr <= mock.committed);
	if (mock.committed - nr < mock.used)
		return -EBUSY;
	mock.committed -= nr;
	return 0;
}

static int discard(struct kvoff_region_discard *d)
{
	uint64_t block;

	CHECK(d->size == sizeof(*d));
	CHECK(!d->flags && d->nr);
	memmove(mock.discards + 1, mock.discards, sizeof(mock.discards) - sizeof(mock.discards[0]));
	mock.discards[0].first = d->first;
	mock.discards[0].nr = d->nr;
	if (d->first >= nr_blocks || d->nr > nr_blocks - d->first)
		return -ERANGE;
	for (block = d->first; block < d->first + d->nr; block++) {
		if (!(mock.state[block].location & KVOFF_STATE_PRESENT) || mock.pinned[block])
			continue;
		__atomic_fetch_and(&mock.state[block].location, ~(__u64)KVOFF_STATE_PRESENT, __ATOMIC_RELEASE);
		mock.used--;
	}
	return 0;
}

static int settle(struct kvoff_region_settle *s)
{
	CHECK(s->size == sizeof(*s));
	CHECK(!s->flags && s->block < nr_blocks);
	if (mock.mover)
		return 0;
	/* one who waits with a reference would wait for itself */
	CHECK(!mock.refs[s->block]);
	if (mock.flips-- <= 0)
		__atomic_fetch_and(&mock.state[s->block].location, ~(__u64)KVOFF_STATE_MOVING, __ATOMIC_SEQ_CST);
	return 0;
}

static enum mock_call call_of(unsigned long request)
{
	static const unsigned long requests[] = {
		KVOFF_REGION_CREATE,   KVOFF_REGION_ATTACH,  KVOFF_REGION_INFO,	  KVOFF_REGION_COMMIT,
		KVOFF_REGION_UNCOMMIT, KVOFF_REGION_DISCARD, KVOFF_REGION_SETTLE,
	};
	unsigned int i;

	for (i = 0; i < MOCK_CALLS && requests[i] != request; i++)
		;
	return i;
}

static int answer(int fd, enum mock_call call, void *arg)
{
	switch (call) {
	case MOCK_CREATE:
		return create(arg);
	case MOCK_ATTACH:
		return attach(fd, arg);
	case MOCK_INFO:
		return info(arg);
	case MOCK_COMMIT:
		return commit(arg);
	case MOCK_UNCOMMIT:
		return uncommit(arg);
	case MOCK_DISCARD:
		return discard(arg);
	case MOCK_SETTLE:
		return settle(arg);
	default:
		return -ENOTTY;
	}
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	enum mock_call call = call_of(request);
	va_list args;
	void *arg;
	int ret, i;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	for (i = 0; i < nr_fds && region_fd[i] != fd; i++)
		;
	if (call == MOCK_CALLS || (i == nr_fds && call != MOCK_CREATE))
		return __real_ioctl(fd, request, arg);
	pthread_mutex_lock(&lock);
	mock.calls[call]++;
	if (mock.fail_nr[call] > 0) {
		mock.fail_nr[call]--;
		ret = -mock.fail[call];
	} else {
		ret = answer(fd, call, arg);
	}
	pthread_mutex_unlock(&lock);
	if (ret >= 0)
		return ret;
	errno = -ret;
	return -1;
}

void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	int i, file = (int)(offset >> 48);

	for (i = 0; i < nr_fds && region_fd[i] != fd; i++)
		;
	if (fd < 0 || i == nr_fds)
		return __real_mmap(addr, len, prot, flags, fd, offset);
	CHECK(flags & MAP_SHARED);
	CHECK(file < NR_FILES && !(offset & ((1LL << 48) - 1)));
	CHECK(len == bytes[file]);
	CHECK(file == STATE || region_rdonly[i] ? prot == PROT_READ : prot == (PROT_READ | PROT_WRITE));
	CHECK(file <= STATE || !region_rdonly[i]);
	return __real_mmap(addr, len, prot, flags, files[file], 0);
}
