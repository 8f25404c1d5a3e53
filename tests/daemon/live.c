// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvoffd at work, against the module: it starts, moves what is hot, dies, comes back, and takes no byte with it.
 * Runs in the emulated machine; kvoffd is looked for beside this program.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kvoff.h"

#define BLOCK		(64u << 10)
#define NR_BLOCKS	512u
#define NR_HOT		64u
#define FAST_MIB	16u
#define FAR_MIB		64u
#define FEW_FILES	32u
#define CONF		"/tmp/kvoffd-live.conf"
#define STATUS		"/tmp/kvoffd-live.json"
#define OTHER_STATUS	"/tmp/kvoffd-live-other.json"
#define LOG		"/tmp/kvoffd-live.log"
#define SOCKET		"/tmp/kvoffd-live.sock"

static char kvoffd[PATH_MAX];
static int number, failed, far_node = -1, notify_fd = -1, region_fd = -1;
static unsigned int interval_ms = 50;
static const char *status_file = STATUS, *far_use = "yes";
static uint8_t *data;
static struct kvoff_state *state;
static struct kvoff_hint *hint;

static void check(bool ok, const char *name)
{
	failed |= !ok;
	printf("%sok %d %s\n", ok ? "" : "not ", ++number, name);
	fflush(stdout);
}

static void note_file(const char *path)
{
	char line[1024];
	FILE *f = fopen(path, "r");

	while (f && fgets(line, sizeof(line), f))
		printf("# %s", line);
	if (f)
		fclose(f);
}

static void nap(unsigned int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l };

	nanosleep(&ts, NULL);
}

static bool file_has(const char *path, const char *text)
{
	static char all[1 << 18];
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(all, 1, sizeof(all) - 1, f) : 0;

	all[n] = 0;
	if (f)
		fclose(f);
	return strstr(all, text) != NULL;
}

static uint64_t sysfs(const char *format, ...)
{
	char path[PATH_MAX];
	unsigned long long n = UINT64_MAX;
	va_list args;
	FILE *f;

	va_start(args, format);
	vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	f = fopen(path, "r");
	if (f && fscanf(f, "%llu", &n) != 1)
		n = UINT64_MAX;
	if (f)
		fclose(f);
	return n;
}

static void write_conf(const char *extra)
{
	FILE *f = fopen(CONF, "w");

	if (!f) {
		perror(CONF);
		exit(1);
	}
	fprintf(f,
		"[daemon]\ninterval_ms = %u\nstatus_file = %s\nlog_level = debug\n%s\n"
		"[discover]\ntiers = no\n[policy]\nresidence_ms = 200\n"
		"[tier near]\nnode = 0\ncapacity = %uM\n[tier far]\nuse = %s\nnode = %d\ncapacity = %uM\n[links]\nbudget = 0\n",
		interval_ms, status_file, extra, FAST_MIB, far_use, far_node, FAR_MIB);
	fclose(f);
}

static pid_t spawn(void)
{
	pid_t pid = fork();
	struct rlimit limit;
	int fd;

	if (pid)
		return pid;
	setenv("NOTIFY_SOCKET", SOCKET, 1);
	/* not enough for the regions of test_many_regions() */
	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_max > FEW_FILES) {
		limit.rlim_cur = FEW_FILES;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	fd = open(LOG, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	dup2(fd, 1);
	dup2(fd, 2);
	execl(kvoffd, "kvoffd", "--config", CONF, NULL);
	_exit(127);
}

/* Start it and wait until it says READY=1. */
static pid_t start(void)
{
	char text[512];
	pid_t pid;

	while (recv(notify_fd, text, sizeof(text), MSG_DONTWAIT) > 0)
		;
	pid = spawn();
	for (unsigned int i = 0; i < 600; i++) {
		ssize_t n = recv(notify_fd, text, sizeof(text) - 1, MSG_DONTWAIT);

		text[n > 0 ? n : 0] = 0;
		if (strstr(text, "READY=1"))
			return pid;
		if (waitpid(pid, NULL, WNOHANG) == pid)
			break;
		nap(100);
	}
	note_file(LOG);
	return -1;
}

static unsigned long long clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (unsigned long long)ts.tv_sec * 1000000 + (unsigned long long)ts.tv_nsec / 1000;
}

/* Send SIGHUP, and wait for the answer as systemd does: one from before the signal is none. */
static bool reload(pid_t pid)
{
	unsigned long long sent, answer = 0;
	char text[512], *at;

	while (recv(notify_fd, text, sizeof(text), MSG_DONTWAIT) > 0)
		;
	sent = clock_us();
	kill(pid, SIGHUP);
	for (unsigned int i = 0; i < 300; i++) {
		ssize_t n = recv(notify_fd, text, sizeof(text) - 1, MSG_DONTWAIT);

		text[n > 0 ? n : 0] = 0;
		at = strstr(text, "MONOTONIC_USEC=");
		if (at && strstr(text, "RELOADING=1"))
			answer = strtoull(at + strlen("MONOTONIC_USEC="), NULL, 10);
		if (strstr(text, "READY=1"))
			return answer >= sent;
		if (n <= 0)
			nap(10);
	}
	return false;
}

/* Send a signal and wait for the end; its wait status, or -1 if it does not end. */
static int finish(pid_t pid, int signal)
{
	int status;

	kill(pid, signal);
	for (unsigned int i = 0; i < 150; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		nap(100);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

static void fill(uint64_t block)
{
	uint64_t *words = (uint64_t *)(data + block * BLOCK);

	for (unsigned int i = 0; i < BLOCK / 8; i++)
		words[i] = block * 1000003 + i;
}

static unsigned int wrong_blocks(void)
{
	unsigned int wrong = 0;

	for (uint64_t b = 0; b < NR_BLOCKS; b++) {
		const uint64_t *words = (const uint64_t *)(data + b * BLOCK);

		for (unsigned int i = 0; i < BLOCK / 8; i++) {
			if (words[i] != b * 1000003 + i) {
				wrong++;
				break;
			}
		}
	}
	return wrong;
}

static unsigned int tier_of(uint64_t block)
{
	return KVOFF_LOC_TIER(__atomic_load_n(&state[block].location, __ATOMIC_ACQUIRE));
}

static unsigned int in_tier(uint64_t first, unsigned int nr, unsigned int tier)
{
	unsigned int n = 0;

	for (uint64_t b = first; b < first + nr; b++)
		n += tier_of(b) == tier;
	return n;
}

/* Use these blocks, as a server would, until all but one in eight are in @tier. */
static bool use_until_in(uint64_t first, unsigned int nr, unsigned int tier, unsigned int seconds)
{
	for (unsigned int i = 0; i < seconds * 2; i++) {
		for (uint64_t b = first; b < first + nr; b++)
			__atomic_fetch_add(&hint[b].touches, 1, __ATOMIC_RELAXED);
		nap(500);
		if (in_tier(first, nr, tier) >= nr - nr / 8)
			return true;
	}
	printf("# %u of %u in tier %u\n", in_tier(first, nr, tier), nr, tier);
	return false;
}

static bool make_region(void)
{
	struct kvoff_region_create create = {
		.size = sizeof(create), .block_size = BLOCK, .length = (uint64_t)BLOCK * NR_BLOCKS};
	struct kvoff_region_commit commit = { .size = sizeof(commit), .bytes = (uint64_t)BLOCK * NR_BLOCKS };
	int tenant = open("/dev/kvoff/default", O_RDWR | O_CLOEXEC);

	strcpy(create.label, "live");
	region_fd = tenant < 0 ? -1 : ioctl(tenant, KVOFF_REGION_CREATE, &create);
	if (region_fd < 0 || ioctl(region_fd, KVOFF_REGION_COMMIT, &commit)) {
		printf("# %s\n", strerror(errno));
		return false;
	}
	close(tenant);
	data = mmap(NULL, create.length, PROT_READ | PROT_WRITE, MAP_SHARED, region_fd, KVOFF_OFF_DATA);
	state = mmap(NULL, NR_BLOCKS * sizeof(*state), PROT_READ, MAP_SHARED, region_fd, KVOFF_OFF_STATE);
	hint = mmap(NULL, NR_BLOCKS * sizeof(*hint), PROT_READ | PROT_WRITE, MAP_SHARED, region_fd, KVOFF_OFF_HINT);
	return data != MAP_FAILED && (void *)state != MAP_FAILED && (void *)hint != MAP_FAILED;
}

static void find_far_node(void)
{
	char text[64] = "", *last;
	FILE *f = fopen("/sys/devices/system/node/has_memory", "r");

	if (!f || !fgets(text, sizeof(text), f))
		return;
	fclose(f);
	text[strcspn(text, "\n")] = 0;
	last = text + strlen(text);
	while (last > text && last[-1] >= '0' && last[-1] <= '9')
		last--;
	far_node = last > text ? atoi(last) : -1;
}

static unsigned int near_tier, far_tier;

static void test_moves(pid_t pid)
{
	unsigned int born_near;

	check(make_region(), "a region can be committed as soon as kvoffd is ready");
	near_tier = (unsigned int)sysfs("/sys/class/kvoff/tiers/near/id");
	far_tier = (unsigned int)sysfs("/sys/class/kvoff/tiers/far/id");
	/* twice what the fast tier holds, slowly enough for room to be made */
	for (uint64_t b = 0; b < NR_BLOCKS; b++) {
		fill(b);
		if (b % 4 == 3)
			nap(100);
	}
	born_near = in_tier(NR_BLOCKS - NR_HOT, NR_HOT, near_tier);
	printf("# %u of the last %u blocks are in the fast tier\n", born_near, NR_HOT);
	check(born_near > NR_HOT * 3 / 4, "new blocks are born in the fast tier although old ones filled it");
	check(in_tier(0, NR_HOT, far_tier) > NR_HOT * 3 / 4, "old blocks made room for them");
	check(use_until_in(0, NR_HOT, near_tier, 30), "blocks that are used in the slow tier come to the fast one");
	check(!wrong_blocks(), "every byte is what it was");
	nap(1500);
	check(file_has(STATUS, "\"policy\": \"heat\"") && file_has(STATUS, "\"moves_by\": \"io_uring\"") &&
		      !file_has(STATUS, "\"promoted_blocks\": 0"),
	      "the status file says what happened");
	use_until_in(0, NR_HOT, near_tier, 1);
	nap(1500);
	check(!file_has(STATUS, "\"promoted_reread_blocks\": 0,"), "uses of promoted blocks are counted");
	check(kill(pid, 0) == 0, "kvoffd is alive");
}

static void test_lease(void)
{
	pid_t second = spawn();
	int status = 0;

	waitpid(second, &status, 0);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 1 && file_has(LOG, "holder_pid=") &&
		      !file_has(LOG, "holder_pid=0"),
	      "a second kvoffd ends and says who has the lease");
}

static unsigned long ticks(void)
{
	unsigned long n = 0;
	char line[256];
	FILE *f = fopen(STATUS, "r");

	while (f && fgets(line, sizeof(line), f) && sscanf(line, " \"count\": %lu", &n) != 1)
		;
	if (f)
		fclose(f);
	return n;
}

static void test_reload(pid_t pid)
{
	unsigned long before;
	FILE *f;

	write_conf("");
	f = fopen(CONF, "a");
	fprintf(f, "[policy]\nnmae = lru\n");
	fclose(f);
	kill(pid, SIGHUP);
	nap(2500);
	check(kill(pid, 0) == 0 && file_has(STATUS, "\"policy\": \"heat\""), "a bad file keeps the old configuration");
	write_conf("[policy]\nname = lru");
	check(reload(pid), "a reload is answered with a time that systemd takes for an answer");
	nap(2500);
	check(file_has(STATUS, "\"policy\": \"lru\""), "a good one is taken");
	interval_ms = 60000;
	status_file = OTHER_STATUS;
	write_conf("");
	reload(pid);
	nap(1500);
	check(access(STATUS, F_OK) && !access(OTHER_STATUS, F_OK), "the status file moves to its new place");
	unlink(OTHER_STATUS);
	nap(2500);
	check(!access(OTHER_STATUS, F_OK), "with a minute between ticks it is written each second all the same");
	interval_ms = 50;
	status_file = STATUS;
	write_conf("");
	reload(pid);
	nap(1500);
	before = ticks();
	nap(2500);
	check(ticks() > before + 3, "a shorter interval begins at once");
}

static void test_restart(pid_t pid)
{
	uint64_t capacity = sysfs("/sys/class/kvoff/tiers/near/capacity_bytes");

	/* in the middle of moves */
	for (uint64_t b = NR_HOT; b < 2 * NR_HOT; b++)
		__atomic_fetch_add(&hint[b].touches, 1, __ATOMIC_RELAXED);
	nap(120);
	check(finish(pid, SIGKILL) != -1 && !wrong_blocks(),
	      "killed in the middle of moves, every byte is what it was");
	check(sysfs("/sys/class/kvoff/tiers/near/capacity_bytes") == capacity, "the tiers outlive it");
	write_conf("io_uring = no");
	pid = start();
	check(pid > 0 && file_has(LOG, "tier adopted") && !file_has(LOG, "tier added"),
	      "started again, it adopts them");
	check(use_until_in(NR_BLOCKS / 2, NR_HOT, near_tier, 30) ||
		      in_tier(NR_BLOCKS / 2, NR_HOT, near_tier) > NR_HOT / 2,
	      "it moves blocks by ioctl where io_uring is not wanted");
	check(file_has(STATUS, "\"moves_by\": \"ioctl\""), "and says so");
	for (uint64_t b = 0; b < NR_BLOCKS; b += 2)
		__atomic_fetch_or(&hint[b].bits, KVOFF_HINT_PREFETCH, __ATOMIC_RELAXED);
	nap(300);
	check(finish(pid, SIGTERM) == 0, "SIGTERM ends it with success while it has work");
	check(access(STATUS, F_OK) && sysfs("/sys/class/kvoff/tiers/far/capacity_bytes") != UINT64_MAX,
	      "tiers stay, the status file goes");
	check(!wrong_blocks() && !sysfs("/sys/class/kvoff/stats/commit_broken"), "every byte is what it was");
}

static void remove_tiers(void)
{
	int control = open("/dev/kvoff/control", O_RDWR | O_CLOEXEC);
	struct kvoff_ctl_tier arg = { .size = sizeof(arg) };
	bool ok = true;

	strcpy(arg.name, "near");
	ok &= !ioctl(control, KVOFF_CTL_TIER_REMOVE, &arg);
	strcpy(arg.name, "far");
	ok &= !ioctl(control, KVOFF_CTL_TIER_REMOVE, &arg);
	close(control);
	check(ok, "nothing of it is left in the tiers");
}

static void test_many_regions(void)
{
	struct kvoff_region_create arg = { .size = sizeof(arg), .block_size = BLOCK, .length = BLOCK };
	int client = open("/dev/kvoff/default", O_RDWR | O_CLOEXEC), fds[2 * FEW_FILES];

	for (unsigned int i = 0; i < 2 * FEW_FILES; i++) {
		fds[i] = ioctl(client, KVOFF_REGION_CREATE, &arg);
		arg.reserved = 0;
		arg.id = 0;
	}
	nap(2500);
	check(fds[2 * FEW_FILES - 1] >= 0 && file_has(STATUS, "\"regions\": 65"),
	      "many regions keep kvoffd from none of them");
	for (unsigned int i = 0; i < 2 * FEW_FILES; i++)
		close(fds[i]);
	close(client);
}

/* An administrator adds a tier while kvoffd runs, and takes it away. */
static void test_tiers(void)
{
	int control = open("/dev/kvoff/control", O_RDWR | O_CLOEXEC);
	struct kvoff_ctl_tier arg = {
		.size = sizeof(arg), .name = "extra", .node = far_node, .rank = 3, .capacity = FAR_MIB << 20 };
	pid_t pid;

	far_use = "no";
	write_conf("");
	pid = start();
	nap(1500);
	check(pid > 0 && !ioctl(control, KVOFF_CTL_TIER_ADD, &arg) && !file_has(STATUS, "extra"),
	      "a tier is added beside a kvoffd that does not know it");
	nap(2500);
	check(file_has(STATUS, "\"name\": \"extra\"") && file_has(STATUS, "\"to\": \"extra\""),
	      "kvoffd finds it, and its links");
	arg.rank = 5;
	arg.flags = KVOFF_TIER_RANK;
	check(!ioctl(control, KVOFF_CTL_TIER_SET, &arg), "its rank is changed");
	nap(2500);
	check(file_has(STATUS, "\"rank\": 5"), "kvoffd sees that");
	arg.flags = 0;
	check(!ioctl(control, KVOFF_CTL_TIER_REMOVE, &arg), "it is removed");
	nap(2500);
	check(!file_has(STATUS, "extra") && finish(pid, SIGTERM) == 0, "kvoffd forgets it");
	strcpy(arg.name, "near");
	ioctl(control, KVOFF_CTL_TIER_REMOVE, &arg);
	close(control);
}

int main(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = SOCKET };
	ssize_t len = readlink("/proc/self/exe", kvoffd, sizeof(kvoffd) - 8);
	pid_t pid;

	printf("TAP version 13\n");
	find_far_node();
	if (len < 0 || far_node < 0 || access("/dev/kvoff/control", F_OK)) {
		printf("1..0 # SKIP needs the kvoff module and a second node with memory\n");
		return 4;
	}
	kvoffd[len] = 0;
	dirname(kvoffd);
	strcat(kvoffd, "/kvoffd");
	unlink(SOCKET);
	notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (bind(notify_fd, (struct sockaddr *)&address, sizeof(address))) {
		perror(SOCKET);
		return 1;
	}
	printf("1..32\n");
	write_conf("");
	pid = start();
	check(pid > 0, "kvoffd makes the tiers and says that it is ready");
	if (pid < 0)
		return 1;
	test_moves(pid);
	test_reload(pid);
	test_many_regions();
	/* its log is that of the second one from here on */
	if (failed)
		note_file(LOG);
	test_lease();
	test_restart(pid);
	if (failed) {
		note_file(LOG);
		note_file("/sys/class/kvoff/stats/moves");
	}
	munmap(data, (uint64_t)BLOCK * NR_BLOCKS);
	munmap(state, NR_BLOCKS * sizeof(*state));
	munmap(hint, NR_BLOCKS * sizeof(*hint));
	close(region_fd);
	nap(1000);
	remove_tiers();
	test_tiers();
	unlink(CONF);
	unlink(LOG);
	unlink(SOCKET);
	return failed;
}
