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
#include "mock_blocks.h"

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
static int window_files[KVOFF_MAX_TIERS];

int __real_open(const char *path, int flags, ...);
int __real_access(const char *path, int mode);
int __real_ioctl(int fd, unsigned long request, ...);
void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
int __real_close(int fd);
int __wrap_close(int fd);
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
			__real_close(files[i]);
		maps[i] = NULL;
		files[i] = -1;
	}
	for (i = 0; i < KVOFF_MAX_TIERS; i++)
		if (mock.frames[i]) {
			munmap(mock.frames[i], MOCK_WINDOW_MAX * mock.create.block_size);
			__real_close(window_files[i]);
		}
	free(mock.pinned);
	nr_fds = 0;
	nr_blocks = 0;
	memset(&mock, 0, sizeof(mock));
	mock.limit = limit;
	mock.have_dir = true;
	mock.fast_tiers = 1;
	mock.event_fd = -1;
}

unsigned int mock_all_calls(void)
{
	unsigned int i, sum = 0;

	for (i = 0; i < MOCK_CALLS; i++)
		sum += mock.calls[i];
	return sum;
}

void mock_make_window(unsigned int tier)
{
	size_t len = MOCK_WINDOW_MAX * (size_t)mock.create.block_size;

	if (mock.frames[tier])
		return;
	window_files[tier] = memfd_create("window", MFD_CLOEXEC);
	CHECK(!ftruncate(window_files[tier], (off_t)len));
	mock.frames[tier] = __real_mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, window_files[tier], 0);
	CHECK(mock.frames[tier] != MAP_FAILED);
}

void mock_lock(bool yes)
{
	if (yes)
		pthread_mutex_lock(&lock);
	else
		pthread_mutex_unlock(&lock);
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
	CHECK(!(c->flags & ~(KVOFF_REGION_FRAMED | KVOFF_REGION_NAMED)) && !c->reserved && !(c->fd_flags & ~O_CLOEXEC));
	CHECK(!(c->mode & ~0666U) && memchr(c->name, 0, sizeof(c->name)));
	CHECK(c->flags & KVOFF_REGION_NAMED ? c->name[0] : !c->name[0] && !c->mode && !c->ttl_s);
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

static int open_named(struct kvoff_region_open *o)
{
	mock.open = *o;
	CHECK(o->size == sizeof(*o));
	CHECK(!o->flags && !o->reserved && !(o->fd_flags & ~(O_CLOEXEC | O_ACCMODE)));
	CHECK(memchr(o->name, 0, sizeof(o->name)));
	if (!(mock.create.flags & KVOFF_REGION_NAMED) || strcmp(o->name, mock.create.name) || (!nr_fds && !mock.waits))
		return -ENOENT;
	mock.waits = false;
	o->id = 7;
	return new_fd((o->fd_flags & O_ACCMODE) == O_RDONLY, o->fd_flags);
}

/* A named region that nobody is attached to keeps what is sealed, and commits no more than that. */
static void last_gone(void)
{
	uint64_t block;

	mock.event_fd = -1;
	memset(mock.refs, 0, nr_blocks * sizeof(*mock.refs));
	if (!(mock.create.flags & KVOFF_REGION_NAMED))
		return;
	mock.waits = true;
	for (block = 0; block < nr_blocks; block++)
		if (!(mock.state[block].location & KVOFF_STATE_SEALED))
			mock_empty(block);
	if (!(mock.create.flags & KVOFF_REGION_FRAMED))
		mock.committed = mock.used;
}

int __wrap_close(int fd)
{
	int i;

	for (i = 0; i < nr_fds && region_fd[i] != fd; i++)
		;
	if (i < nr_fds) {
		pthread_mutex_lock(&lock);
		nr_fds--;
		memmove(region_fd + i, region_fd + i + 1, (size_t)(nr_fds - i) * sizeof(region_fd[0]));
		memmove(region_rdonly + i, region_rdonly + i + 1, (size_t)(nr_fds - i) * sizeof(region_rdonly[0]));
		if (!nr_fds)
			last_gone();
		pthread_mutex_unlock(&lock);
	}
	return __real_close(fd);
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
	unsigned int tier;

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
	i->flags = mock.create.flags;
	i->fast_tiers = mock.fast_tiers;
	for (tier = 0; tier < KVOFF_MAX_TIERS; tier++)
		i->window[tier] = mock.window[tier] * i->block_size;
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
	mock_drop_units(d->first, d->nr);
	for (block = d->first; block < d->first + d->nr; block++) {
		if (mock.create.flags & KVOFF_REGION_FRAMED && mock.refs[block])
			return -EBUSY;
		__atomic_fetch_and(&mock.state[block].location, ~(__u64)(KVOFF_STATE_SEALED | KVOFF_STATE_POISONED),
				   __ATOMIC_RELEASE);
		if (!(mock.create.flags & KVOFF_REGION_FRAMED) && !mock.pinned[block])
			mock_empty(block);
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
		KVOFF_REGION_UNCOMMIT, KVOFF_REGION_DISCARD, KVOFF_REGION_SETTLE, KVOFF_REGION_OPEN,
		KVOFF_REGION_SEAL,     KVOFF_REGION_UNITS,   KVOFF_REGION_WINDOW, KVOFF_REGION_BLOCK_ALLOC,
		KVOFF_REGION_BLOCK_FREE, KVOFF_REGION_EVENTFD,
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
	case MOCK_OPEN:
		return open_named(arg);
	default:
		return mock_blocks_call(call, arg, nr_blocks);
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
	if (call == MOCK_CALLS || (i == nr_fds && call != MOCK_CREATE && call != MOCK_OPEN))
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
	CHECK(!(mock.create.flags & KVOFF_REGION_FRAMED) || file != DATA);
	if (file >= NR_FILES && CHECK(file - NR_FILES < KVOFF_MAX_TIERS) && CHECK(mock.window[file - NR_FILES])) {
		file -= NR_FILES;
		CHECK(len == mock.window[file] * mock.create.block_size && !((uintptr_t)addr & ((2 << 20) - 1)));
		CHECK(prot == (region_rdonly[i] ? PROT_READ : PROT_READ | PROT_WRITE));
		return __real_mmap(addr, len, prot, flags, window_files[file], 0);
	}
	CHECK(file < NR_FILES && !(offset & ((1LL << 48) - 1)));
	CHECK(len == bytes[file]);
	CHECK(file == STATE || region_rdonly[i] ? prot == PROT_READ : prot == (PROT_READ | PROT_WRITE));
	CHECK(file <= STATE || !region_rdonly[i]);
	return __real_mmap(addr, len, prot, flags, files[file], 0);
}
