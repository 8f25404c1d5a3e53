// SPDX-License-Identifier: GPL-2.0-or-later
/* Threads, signals and children of a program that kvoff-run runs. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/ktap.h"
#include "tests/run/memory.h"

extern char **environ;

#define THREADS	8
#define SLOTS	6
#define ROUNDS	150

static uint64_t rnd(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* First, middle and last byte of each page would do; a few do as well. */
static void mark(char *p, size_t len, char c)
{
	size_t i;

	for (i = 0; i < len; i += 50000)
		p[i] = c;
	p[len - 1] = c;
}

static bool marked(const char *p, size_t len, char c)
{
	size_t i;

	for (i = 0; i < len; i += 50000)
		if (p[i] != c)
			return false;
	return p[len - 1] == c;
}

static void *allocate_and_check(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg * 7919 + 12345;
	struct { char *p; size_t len; bool mapped; } slot[SLOTS] = { 0 };
	char own = (char)(uintptr_t)arg, *p;
	size_t len;
	int i, s;

	for (i = 0; i < ROUNDS; i++) {
		s = (int)(rnd(&seed) % SLOTS);
		len = (size_t)(rnd(&seed) % (2 * MIB) + 4096) & ~(size_t)4095;
		if (!slot[s].p) {
			slot[s].mapped = rnd(&seed) & 1;
			p = slot[s].mapped ? mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
						  -1, 0) : calloc(1, len);
			if (!CHECK(p && p != MAP_FAILED && marked(p, len, 0)))
				break;
		} else {
			CHECK(marked(slot[s].p, slot[s].len, own));
			if (slot[s].mapped) {
				CHECK(!munmap(slot[s].p, slot[s].len));
				slot[s].p = NULL;
				continue;
			}
			if (rnd(&seed) & 1) {
				free(slot[s].p);
				slot[s].p = NULL;
				continue;
			}
			p = realloc(slot[s].p, len);
			if (!CHECK(p && p[0] == own))
				break;
		}
		slot[s].p = p;
		slot[s].len = len;
		mark(p, len, own);
	}
	for (s = 0; s < SLOTS; s++) {
		if (!slot[s].p)
			continue;
		CHECK(marked(slot[s].p, slot[s].len, own));
		if (slot[s].mapped)
			munmap(slot[s].p, slot[s].len);
		else
			free(slot[s].p);
	}
	return NULL;
}

static void start(pthread_t *thread)
{
	uintptr_t i;

	for (i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&thread[i], NULL, allocate_and_check, (void *)(i + 1)));
}

static void join(pthread_t *thread)
{
	int i;

	for (i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
}

void threads(void)
{
	pthread_t thread[THREADS];

	start(thread);
	join(thread);
}

void signals(void)
{
	char *held = malloc(2 * MIB);
	pthread_t thread[THREADS];
	int i;

	start(thread);
	for (i = 0; i < 100; i++) {
		raise(SIGUSR1);
		pthread_kill(thread[i % THREADS], 0);
		usleep(100);
	}
	join(thread);
	free(held);
}

static int status_of(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

void children_that_execute(void)
{
	static char *const args[] = { "sh", "-c", "exit 3", NULL };
	char *p = malloc(4 * MIB), line[16] = "";
	pid_t pid;
	FILE *f;

	memset(p, 1, 4 * MIB);
	CHECK(WEXITSTATUS(system("exit 4")) == 4);
	CHECK(!posix_spawnp(&pid, "sh", NULL, NULL, args, environ));
	CHECK(WEXITSTATUS(status_of(pid)) == 3);
	f = popen("echo yes", "r");
	CHECK(f && fgets(line, sizeof(line), f) && !strcmp(line, "yes\n"));
	if (f)
		pclose(f);
	pid = fork();
	if (!pid) {
		execvp(args[0], args);
		_exit(9);
	}
	CHECK(WEXITSTATUS(status_of(pid)) == 3);
	CHECK(all_are(p, 4 * MIB, 1));
	free(p);
}

/* In the child: what the parent had is here, is its own, and can be given back. */
static bool has_it_all(char *p, char *q, char *m)
{
	char *fresh;

	if (!all_are(p, 3 * MIB + 5, 1) || !all_are(q, MIB, 0) || !all_are(m, 2 * MIB, 3))
		return false;
	memset(p, 9, 3 * MIB + 5);
	memset(m, 9, 2 * MIB);
	fresh = malloc(3 * MIB);
	memset(fresh, 8, 3 * MIB);
	p = realloc(p, 4 * MIB);
	if (!all_are(p, 3 * MIB + 5, 9) || madvise(m, MIB, MADV_DONTNEED) || !all_are(m, MIB, 0) || m[MIB] != 9)
		return false;
	if (munmap(m, 2 * MIB))
		return false;
	free(p);
	free(q);
	if (!all_are(fresh, 3 * MIB, 8))
		return false;
	free(fresh);
	return true;
}

void children_that_go_on(void)
{
	bool copied = !strcmp(getenv("KVOFF_RUN_FORK"), "copy");
	char *p = malloc(3 * MIB + 5), *q = calloc(1, MIB), *m;
	int status, i;
	pid_t pid;

	memset(p, 1, 3 * MIB + 5);
	m = mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(m, 3, 2 * MIB);
	for (i = 0; i < 3; i++) {
		pid = fork();
		if (!pid)
			_exit(has_it_all(p, q, m) ? 5 : 6);
		status = status_of(pid);
		CHECK(copied ? WIFEXITED(status) && WEXITSTATUS(status) == 5 :
			       WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
		/* the parent's are untouched */
		CHECK(all_are(p, 3 * MIB + 5, 1) && all_are(q, MIB, 0) && all_are(m, 2 * MIB, 3));
	}
	/* one that does not look does as it likes, frees what it will, and has large memory of its own */
	pid = fork();
	if (!pid) {
		free(p);
		p = malloc(2 * MIB);
		memset(p, 2, 2 * MIB);
		pid = fork();
		if (!pid)
			_exit(all_are(p, 2 * MIB, 2) ? 7 : 8);
		_exit(WEXITSTATUS(status_of(pid)));
	}
	CHECK(WEXITSTATUS(status_of(pid)) == 7);
	free(p);
	free(q);
	munmap(m, 2 * MIB);
}
