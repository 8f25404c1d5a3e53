// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Promises 2, 6, 7, 8 and 10 in bad weather: while kvoffd moves blocks and a trace is replayed, clients and kvoffd are
 * killed, clients scribble over their hints and references, the admin resizes and tries to remove tiers, and somebody
 * tries to unload the module all the time. kvoffd and kvoff-replay are looked for beside this program.
 *
 * KVOFF_SEED in the environment gives another storm.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "rig.h"

#define BS		(64 * KIB)
#define CLIENTS		4
#define BLOCKS		24UL
#define ROUNDS		10
#define KILLS		3
#define TRACE		"tests/data/conversation_trace.jsonl"
#define CONF		"/tmp/kvoffd-storms.conf"
#define KVOFFD_LOG	"/tmp/kvoffd-storms.log"
#define REPLAY_LOG	"/tmp/replay-storms.log"

static char here[PATH_MAX];
static uint64_t state;

static uint64_t rnd(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static void say_file(const char *path)
{
	char line[512];
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof(line), f))
		printf("# %s", line);
	if (f)
		fclose(f);
}

/* ---- the clients ---- */

static volatile sig_atomic_t stopped;

static void on_term(int sig)
{
	stopped = 1;
}

/*
 * A region of its own: what it holds is known to this process alone. Between the looks its arrays are filled with
 * nonsense, references too, so that the mover finds blocks held and let go at any moment. 0: all bytes were right.
 */
static int client(unsigned int nr)
{
	struct rig rig = { .tenant = open("/dev/kvoff/default", O_RDWR | O_CLOEXEC) };
	uint64_t life[BLOCKS] = { 0 }, b, i, own = nr * 77777 + 1;
	struct region r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGTERM, on_term);
	/* tiers that are just being made have nothing to give yet */
	if (rig.tenant < 0 || region_create(&rig, &r, BS, BLOCKS) || region_commit(&r, BLOCKS * BS, NULL))
		return 10;
	for (b = 0; b < BLOCKS; b++)
		fill(block_at(&r, b), BS, nr * 1000000 + b);
	while (!stopped) {
		own = own * 6364136223846793005ULL + 1442695040888963407ULL;
		b = (own >> 33) % BLOCKS;
		if (count_wrong(block_at(&r, b), BS, nr * 1000000 + life[b] * BLOCKS + b))
			return 1;
		if (own >> 62 == 0) {
			life[b]++;
			fill(block_at(&r, b), BS, nr * 1000000 + life[b] * BLOCKS + b);
		}
		for (i = 0; i < 8; i++) {
			own = own * 6364136223846793005ULL + 1442695040888963407ULL;
			((uint64_t *)r.hint)[(own >> 33) % BLOCKS] = own;
			r.refs[(own >> 43) % BLOCKS] = own >> 63 ? own >> 20 : 0;
		}
	}
	for (b = 0; b < BLOCKS; b++)
		if (count_wrong(block_at(&r, b), BS, nr * 1000000 + life[b] * BLOCKS + b))
			return 1;
	return 0;
}

static pid_t client_start(unsigned int nr)
{
	pid_t pid = fork();

	if (!pid)
		_exit(client(nr));
	return pid;
}

static int wait_status(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR)
			return -1;
	return status;
}

/* ---- kvoffd and the replay ---- */

static pid_t run(const char *log, const char * const *args)
{
	pid_t pid = fork();
	char path[PATH_MAX + 32];
	int fd;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(fd, 1);
	dup2(fd, 2);
	snprintf(path, sizeof(path), "%s/%s", here, args[0]);
	execv(path, (char **)args);
	_exit(127);
}

/* Started as often as it takes: what the last one held may be let go a moment after its death. */
static pid_t kvoffd_start(void)
{
	static const char * const args[] = { "kvoffd", "--config", CONF, NULL };
	unsigned int tries;

	for (tries = 0; tries < 100; tries++) {
		pid_t pid = run(KVOFFD_LOG, args);
		bool ended = false;

		if (!comes_true((ended = waitpid(pid, NULL, WNOHANG) == pid) ||
				(sysfs_u64("control/policy_pid") == (uint64_t)pid &&
				 sysfs_u64("tiers/storm1/capacity_bytes") != UINT64_MAX)))
			break;
		if (!ended)
			return pid;
		nap();
	}
	return -1;
}

/* ---- the admin ---- */

static _Atomic bool calm;
static _Atomic unsigned int unloads, unloaded, removals, removed, resizes;

/* A module that is in use stays; who is impatient gets EWOULDBLOCK. */
static void *unloader(void *arg)
{
	while (!calm) {
		unloads++;
		if (!syscall(SYS_delete_module, "kvoff", O_NONBLOCK) || errno != EWOULDBLOCK)
			unloaded++;
		usleep(2000);
	}
	return NULL;
}

static void resize(int control)
{
	static const char * const files[] = {
		"tiers/storm0/capacity_bytes", "tiers/storm1/capacity_bytes", "tiers/storm1/pools/64kB/bytes",
		"tiers/storm1/pools/2048kB/bytes", "tiers/storm0/pools/512kB/bytes", "tuning/reserve_percent",
	};
	unsigned int which = rnd() % ARRAY_SIZE(files);
	char value[32];

	/* never below what the clients and the replay may commit together: whether they can is not what is tested */
	snprintf(value, sizeof(value), "%lu", which == 0 ? (16 + 2 * (rnd() % 8)) * MIB :
		 which == 1 ? (352 + 2 * (rnd() % 24)) * MIB : which == 5 ? rnd() % 5 : 2 * MIB * (rnd() % 4));
	sysfs_write(files[which], value);
	resizes++;
	removals++;
	/* promised to this test at all times, and in use by the replay for as long as that lasts */
	if (!tier_remove(control, "storm1"))
		removed++;
}

FIXTURE(storms)
{
	int control;
};

FIXTURE_SETUP(storms)
{
	const char *text = getenv("KVOFF_SEED");
	FILE *f;

	state = text ? strtoull(text, NULL, 0) : 1;
	TH_LOG("seed %lu", state);
	ASSERT_LT(0, readlink("/proc/self/exe", here, sizeof(here) - 1));
	dirname(here);
	f = fopen(CONF, "we");
	ASSERT_NE(NULL, f);
	fprintf(f, "[daemon]\ninterval_ms = 20\n[discover]\ntiers = no\n[policy]\nresidence_ms = 100\n"
		"[tier storm0]\nnode = 0\nrank = 0\ncapacity = 32M\n"
		"[tier storm1]\nnode = %d\nrank = 1\ncapacity = 400M\n[links]\nbudget = 0\n", far_node());
	fclose(f);
	unlink(KVOFFD_LOG);
	unlink(REPLAY_LOG);
	/* of a test that died */
	self->control = open("/dev/kvoff/control", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->control);
	tier_remove(self->control, "dram");
	tier_remove(self->control, "cxl0");
}

FIXTURE_TEARDOWN(storms)
{
	EXPECT_TRUE(wait_for_sum("used_bytes", 0));
	EXPECT_TRUE(wait_for_sum("orphan_bytes", 0));
	EXPECT_EQ(0, stat_now("commit_broken"));
	EXPECT_EQ(0, sysfs_write("tuning/reserve_percent", "2"));
	EXPECT_EQ(0, tier_remove(self->control, "storm0"));
	EXPECT_EQ(0, tier_remove(self->control, "storm1"));
	close(self->control);
	unlink(CONF);
	unlink(KVOFFD_LOG);
	unlink(REPLAY_LOG);
}

TEST_F(storms, all_at_once)
{
	/* goes on until it is told to end */
	static const char * const replay_args[] = {
		"kvoff-replay", "--index-blocks", "3000", "--rewrite", "10", "--speed", "2", TRACE, NULL,
	};
	struct rig rig = { .tenant = open("/dev/kvoff/default", O_RDWR | O_CLOEXEC) };
	uint64_t moves = stat_now("moves"), died = 0;
	struct region held;
	pid_t clients[CLIENTS], kvoffd, replay;
	unsigned int i, round, kill_at, nr = 0;
	pthread_t thread;
	int status;

	kvoffd = kvoffd_start();
	if (kvoffd < 0)
		say_file(KVOFFD_LOG);
	ASSERT_LT(0, kvoffd);
	/* more than the other tier can ever answer for */
	ASSERT_EQ(0, region_create(&rig, &held, BS, 40 * MIB / BS));
	ASSERT_TRUE(comes_true(region_commit(&held, 40 * MIB, NULL) != -ENOMEM));
	replay = run(REPLAY_LOG, replay_args);
	for (i = 0; i < CLIENTS; i++)
		clients[i] = client_start(++nr);
	/* they are there when the first removal is tried */
	EXPECT_TRUE(comes_true(stat_now("moves") > moves));
	ASSERT_EQ(0, pthread_create(&thread, NULL, unloader, NULL));
	EXPECT_TRUE(comes_true(unloads));

	for (round = 0; round < ROUNDS; round++) {
		for (kill_at = 0; kill_at < KILLS; kill_at++) {
			i = rnd() % CLIENTS;
			usleep(rnd() % 100000);
			kill(clients[i], SIGKILL);
			status = wait_status(clients[i]);
			/* it may not have ended by itself before */
			EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) TH_LOG("client: %#x", status);
			died++;
			clients[i] = client_start(++nr);
			resize(self->control);
		}
		if (round % 2) {
			kill(kvoffd, SIGKILL);
			wait_status(kvoffd);
			usleep(rnd() % 50000);
			kvoffd = kvoffd_start();
			ASSERT_LT(0, kvoffd);
		}
	}
	/* without anybody to stop it: what was asked for is done */
	for (i = 0; i < CLIENTS; i++) {
		usleep(20000);
		kill(clients[i], SIGTERM);
		status = wait_status(clients[i]);
		/* one that had no time to begin is killed by the signal */
		EXPECT_TRUE((WIFEXITED(status) && !WEXITSTATUS(status)) ||
			    (WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM)) TH_LOG("client: %#x", status);
	}
	kill(replay, SIGTERM);
	status = wait_status(replay);
	EXPECT_EQ(0, status);
	if (status)
		say_file(REPLAY_LOG);
	calm = true;
	pthread_join(thread, NULL);
	kill(kvoffd, SIGTERM);
	EXPECT_EQ(0, wait_status(kvoffd));
	TH_LOG("%lu clients killed, %lu moves, %u resizes, %u removals and %u unloads tried", died,
	       stat_now("moves") - moves, resizes, removals, unloads);
	EXPECT_EQ(0, unloaded);
	EXPECT_EQ(0, removed);
	region_close(&held);
	close(rig.tenant);
}

TEST_HARNESS_MAIN
