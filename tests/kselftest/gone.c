// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Promise 6: when a client dies, what it alone held is given back at once, but for frames that the kernel still has
 * pinned: those are counted, charged to the tier until the pin goes, and never used again before.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "pin.h"
#include "rig.h"

#define BS	(64 * KIB)
#define NR	40
#define ROUNDS	12

FIXTURE(gone)
{
	struct rig rig;
};

FIXTURE_SETUP(gone)
{
	ASSERT_EQ(0, rig_up(&self->rig, BS, 64 * BS));
}

FIXTURE_TEARDOWN(gone)
{
	const char *wrong = rig_down(&self->rig);

	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

/**
 * struct client - a process with a region of its own
 * @told:	what it tells of itself
 * @pipe_fds:	where it may put pages
 */
struct client {
	pid_t pid;
	int pipe_fds[2];
	struct told {
		uint32_t id;
		uintptr_t data;
		bool ready;
	} *told;
};

/* Fills its blocks, puts one page into the pipe if asked to, then writes on and on. Ends by SIGKILL only. */
static void client_main(struct client *c, struct rig *rig, bool splice)
{
	struct iovec iov = { .iov_len = PAGE };
	struct region r;
	uint64_t n;

	close(rig->control);
	if (region_create(rig, &r, BS, NR) || region_commit(&r, NR * BS, NULL))
		_exit(1);
	fill(r.data, NR * BS, 9);
	iov.iov_base = block_at(&r, 3) + PAGE;
	if (splice && vmsplice(c->pipe_fds[1], &iov, 1, 0) != PAGE)
		_exit(1);
	c->told->id = r.id;
	c->told->data = (uintptr_t)r.data;
	__atomic_store_n(&c->told->ready, true, __ATOMIC_SEQ_CST);
	for (n = 0;; n++) {
		volatile uint64_t *p = (uint64_t *)block_at(&r, n % NR);

		if (n % NR != 3)
			p[100] = n;
	}
}

static int client_start(struct client *c, struct rig *rig, bool splice)
{
	c->told = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (c->told == MAP_FAILED || pipe(c->pipe_fds))
		return -errno;
	c->pid = fork();
	if (c->pid < 0)
		return -errno;
	if (!c->pid)
		client_main(c, rig, splice);
	close(c->pipe_fds[1]);
	if (!comes_true(__atomic_load_n(&c->told->ready, __ATOMIC_SEQ_CST) || waitpid(c->pid, NULL, WNOHANG)) ||
	    !__atomic_load_n(&c->told->ready, __ATOMIC_SEQ_CST))
		return -ECHILD;
	return 0;
}

static int client_kill(struct client *c)
{
	int status = 0;

	kill(c->pid, SIGKILL);
	waitpid(c->pid, &status, 0);
	return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

static void client_end(struct client *c)
{
	close(c->pipe_fds[0]);
	munmap(c->told, PAGE);
}

static bool is_listed(const struct rig *rig, uint32_t id)
{
	struct kvoff_ctl_regions arg = { .size = sizeof(arg) };
	uint32_t ids[64], i;

	arg.nr = ARRAY_SIZE(ids);
	arg.ids = (uintptr_t)ids;
	if (ioctl(rig->control, KVOFF_CTL_REGIONS, &arg))
		return true;
	for (i = 0; i < arg.nr; i++)
		if (ids[i] == id)
			return true;
	return false;
}

static int view_open(const struct rig *rig, uint32_t id)
{
	struct kvoff_ctl_region_view arg = { .size = sizeof(arg), .id = id, .fd_flags = O_CLOEXEC };
	int fd = ioctl(rig->control, KVOFF_CTL_REGION_VIEW, &arg);

	return fd < 0 ? -errno : fd;
}

static short events(int fd, short want, int ms)
{
	struct pollfd p = { .fd = fd, .events = want };

	return poll(&p, 1, ms) < 0 ? 0 : p.revents;
}

/**
 * struct chase - moves of a client's blocks that go on whatever becomes of it
 * @moved:	blocks moved
 * @odd:	results that nothing of this can explain
 */
struct chase {
	struct rig *rig;
	uint32_t id;
	atomic_bool stop;
	atomic_ulong moved;
	uint64_t odd;
};

static void *chase_main(void *arg)
{
	struct kvoff_move_result results[NR];
	struct kvoff_move_desc descs[NR];
	struct chase *chase = arg;
	uint64_t n, i;

	for (n = 0; !atomic_load(&chase->stop); n++) {
		for (i = 0; i < NR; i++)
			descs[i] = (struct kvoff_move_desc){
				.region = chase->id, .block = i, .to = n % 2 ? chase->rig->near : chase->rig->far,
				.flags = n % 3 ? 0 : KVOFF_MOVE_STOP,
			};
		chase->odd += move_batch(chase->rig->control, descs, NR, results, NULL) != 0;
		for (i = 0; i < NR; i++) {
			if (!results[i].error)
				atomic_fetch_add(&chase->moved, 1);
			else
				/* gone, or found by a mover just when its frame had been taken back */
				chase->odd += results[i].error != -ECANCELED && results[i].error != -EBUSY &&
					      results[i].error != -ENOENT && results[i].error != -ENODATA;
		}
	}
	return NULL;
}

TEST_F(gone, killed_while_moving)
{
	uint64_t before = tiers_sum("used_bytes");
	struct kvoff_region_info info;
	int round, view;
	pthread_t t;

	for (round = 0; round < ROUNDS; round++) {
		struct chase chase = { .rig = &self->rig };
		const struct kvoff_state *state;
		struct client c;

		ASSERT_EQ(0, client_start(&c, &self->rig, false));
		EXPECT_TRUE(is_listed(&self->rig, c.told->id));
		EXPECT_EQ(before + NR * BS, tiers_sum("used_bytes"));
		view = view_open(&self->rig, c.told->id);
		ASSERT_LE(0, view);
		state = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, view, KVOFF_OFF_STATE);
		ASSERT_NE(MAP_FAILED, (void *)state);
		EXPECT_EQ(0, events(view, POLLIN, 0));
		ASSERT_EQ(0, region_info(view, &info));
		EXPECT_EQ(c.pid, info.pid);
		EXPECT_EQ(NR * BS, info.used);

		chase.id = c.told->id;
		ASSERT_EQ(0, pthread_create(&t, NULL, chase_main, &chase));
		EXPECT_TRUE(comes_true(atomic_load(&chase.moved) >= 10 + 17U * round));
		EXPECT_EQ(SIGKILL, client_kill(&c));
		/* a mover may hold one block for the rest of its copy: not longer */
		EXPECT_TRUE(wait_for_sum("used_bytes", before));
		EXPECT_EQ(POLLHUP, events(view, POLLIN, PATIENCE_MS));
		EXPECT_FALSE(is_listed(&self->rig, c.told->id));
		EXPECT_EQ(-ENODEV, region_info(view, &info));
		EXPECT_EQ(-ENOENT, view_open(&self->rig, c.told->id));
		atomic_store(&chase.stop, true);
		pthread_join(t, NULL);
		EXPECT_EQ(0, chase.odd);
		/* the view's arrays stand still and can be read */
		EXPECT_EQ(KVOFF_TIER_NONE, KVOFF_LOC_TIER(state[0].location));
		EXPECT_EQ(0, KVOFF_LOC_FLAGS(state[NR - 1].location));
		munmap((void *)state, PAGE);
		close(view);
		client_end(&c);
		if (_metadata->exit_code)
			break;
	}
	/* its commits are gone with it: all but the reserves can be had */
	EXPECT_NE(NULL, rig_region(&self->rig, BS, 2 * 60));
}

/* A page in a pipe outlives its region. Until it is read nobody gets its frame. */
TEST_F(gone, page_in_a_pipe)
{
	uint64_t orphaned = stat_now("orphaned"), page[WORDS];
	uint8_t *image = malloc(NR * BS);
	struct client c;
	struct region *r;

	ASSERT_NE(NULL, image);
	ASSERT_EQ(0, client_start(&c, &self->rig, true));
	EXPECT_EQ(0, tiers_sum("orphan_bytes"));
	EXPECT_EQ(SIGKILL, client_kill(&c));
	EXPECT_TRUE(wait_for_sum("used_bytes", 0));
	EXPECT_TRUE(wait_for_sum("orphan_bytes", BS));
	EXPECT_EQ(orphaned + 1, stat_now("orphaned"));
	EXPECT_EQ(-EBUSY, tier_remove(self->rig.control, "dram"));

	/* somebody else gets everything there is, and writes all over it */
	r = rig_region(&self->rig, BS, 2 * 60);
	ASSERT_NE(NULL, r);
	EXPECT_EQ(0, count_nonzero(r->data, r->nr * BS));
	fill(r->data, r->nr * BS, 1);

	ASSERT_EQ(PAGE, read(c.pipe_fds[0], page, PAGE));
	fill(image, NR * BS, 9);
	EXPECT_EQ(0, memcmp(page, image + 3 * BS + PAGE, PAGE));
	free(image);
	EXPECT_TRUE(wait_for_sum("orphan_bytes", 0));
	EXPECT_EQ(0, count_wrong(r->data, r->nr * BS, 1));
	client_end(&c);
}

/*
 * A write that is on its way into memory that its owner has given up ends there, and not in what became of its
 * frame.
 */
TEST_F(gone, write_pin)
{
	struct region *r = rig_region(&self->rig, BS, NR);
	struct pin pin;

	ASSERT_NE(NULL, r);
	fill(r->data, NR * BS, 9);
	ASSERT_EQ(0, pin_take(&pin, 0, (uint64_t *)block_at(r, 5), PIN_WRITE));
	region_close(r);
	EXPECT_EQ(0, tiers_sum("used_bytes"));
	EXPECT_EQ(BS, tiers_sum("orphan_bytes"));
	r = rig_region(&self->rig, BS, 2 * 60);
	ASSERT_NE(NULL, r);
	fill(r->data, r->nr * BS, 1);
	EXPECT_EQ(0, pin_finish(&pin, 0xdeadULL));
	EXPECT_EQ(0, count_wrong(r->data, r->nr * BS, 1));
	EXPECT_TRUE(wait_for_sum("orphan_bytes", 0));
	region_close(r);
	/* the frame is back, and clean for its next owner */
	r = rig_region(&self->rig, BS, 2 * 60);
	ASSERT_NE(NULL, r);
	EXPECT_EQ(0, count_nonzero(r->data, r->nr * BS));
}

/* Who writes to a dying client's memory by process_vm_writev() keeps all of it, but only until that write is done. */
TEST_F(gone, killed_while_written_to)
{
	struct client c;
	struct pin pin;

	ASSERT_EQ(0, client_start(&c, &self->rig, false));
	ASSERT_EQ(0, pin_take(&pin, c.pid, (uint64_t *)(c.told->data + 5 * BS), PIN_WRITE));
	EXPECT_EQ(SIGKILL, client_kill(&c));
	EXPECT_EQ(0, pin_finish(&pin, 0xdeadULL));
	EXPECT_TRUE(wait_for_sum("used_bytes", 0));
	EXPECT_TRUE(wait_for_sum("orphan_bytes", 0));
	EXPECT_FALSE(is_listed(&self->rig, c.told->id));
	client_end(&c);
}

/* The memory lives until the last of descriptors and mappings, of all attachments. */
TEST_F(gone, last_one_out)
{
	struct region *a = rig_region(&self->rig, BS, 4), b;
	uint8_t *data;

	ASSERT_NE(NULL, a);
	ASSERT_EQ(0, region_attach(a, &b, O_RDONLY));
	fill(a->data, 4 * BS, 1);
	data = mmap(NULL, 4 * BS, PROT_READ, MAP_SHARED, b.fd, 0);
	ASSERT_NE(MAP_FAILED, (void *)data);
	region_close(a);
	EXPECT_EQ(4 * BS, tiers_sum("used_bytes"));
	region_close(&b);
	EXPECT_EQ(4 * BS, tiers_sum("used_bytes"));
	EXPECT_EQ(0, count_wrong(data, 4 * BS, 1));
	munmap(data, 4 * BS);
	EXPECT_EQ(0, tiers_sum("used_bytes"));
}

/* poll() on the control descriptor tells of regions that came or went since the list was last read from its start. */
TEST_F(gone, control_is_told)
{
	struct client c;

	is_listed(&self->rig, 0);
	EXPECT_EQ(0, events(self->rig.control, POLLIN, 0));
	ASSERT_EQ(0, client_start(&c, &self->rig, false));
	EXPECT_EQ(POLLIN, events(self->rig.control, POLLIN, PATIENCE_MS));
	EXPECT_TRUE(is_listed(&self->rig, c.told->id));
	EXPECT_EQ(0, events(self->rig.control, POLLIN, 0));
	EXPECT_EQ(SIGKILL, client_kill(&c));
	EXPECT_EQ(POLLIN, events(self->rig.control, POLLIN, PATIENCE_MS));
	EXPECT_FALSE(is_listed(&self->rig, c.told->id));
	EXPECT_EQ(0, events(self->rig.control, POLLIN, 0));
	client_end(&c);
}

TEST_HARNESS_MAIN
