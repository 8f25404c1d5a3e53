// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A forked child has no region: its memory is not inherited. Most children go on to execute something and never miss
 * it. One that goes on itself gets the bytes at the same addresses, in private memory (KVOFF_RUN_FORK=copy), or is
 * stopped, with a message, where it first touches them. Either way it keeps nothing of the parent's alive.
 *
 * The copy is made by the child, which attaches to the region through the descriptor that it did inherit; the thread
 * of the parent that forked waits. Other threads of the parent go on meanwhile.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <libkvoff.h>

#include "run.h"

#define BATCH 64

static int done_pipe[2] = { -1, -1 };

static void before(void)
{
	run_lock();
	done_pipe[0] = -1;
	if (run_state == RUN_OPEN && run_settings.fork_copy && book_nr && pipe(done_pipe))
		report_say("no pipe for a fork: %s", strerrorname_np(errno));
}

static void after_in_parent(void)
{
	char c;

	if (done_pipe[0] >= 0) {
		real_close(done_pipe[1]);
		/* the end of it, too, says that the child needs us no more */
		while (read(done_pipe[0], &c, 1) < 0 && errno == EINTR)
			;
		real_close(done_pipe[0]);
	}
	run_unlock();
}

static void stop(const char *why)
{
	char text[256];
	int len;

	len = snprintf(text, sizeof(text), "kvoff-run: %s (%d): %s\n", program_invocation_short_name, getpid(), why);

	if (write(2, text, (size_t)len) < 0)
		len = 0;
}

static void touched(int sig, siginfo_t *info, void *context)
{
	if (run_in_range(info->si_addr))
		stop("a forked child has touched memory of its parent's kvoff region, which it does not have: "
		     "start the program with kvoff-run --fork=copy");
	/* and then as if nobody had handled it */
	signal(sig, SIG_DFL);
}

/* Where pointers of the parent lead to there is their memory, or, until it is freed, nothing. */
static bool take(const struct piece *piece, int prot)
{
	return real_mmap(piece->start, (piece->len + RUN_PAGE - 1) & ~(RUN_PAGE - 1), prot,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) == piece->start;
}

static bool take_all(int prot)
{
	size_t i;

	for (i = 0; i < book_nr; i++)
		if (!take(&book[i], prot))
			return false;
	return true;
}

/* Blocks of the piece that have memory. */
static bool copy_piece(struct libkvoff *from, const struct piece *piece)
{
	size_t block = libkvoff_block_size(from), start = (size_t)(piece->start - run_range.base);
	size_t end = start + piece->len, at = start, len, i, n;
	struct libkvoff_block where[BATCH];
	uint64_t index[BATCH];
	bool poisoned = false;

	while (at < end) {
		for (n = 0; n < BATCH && at / block + n <= (end - 1) / block; n++)
			index[n] = at / block + n;
		libkvoff_query(from, index, n, where);
		for (i = 0; i < n; i++, at += len) {
			len = block - at % block < end - at ? block - at % block : end - at;
			if (where[i].flags & LIBKVOFF_BLOCK_POISONED)
				poisoned = true;
			else if (where[i].tier >= 0)
				memcpy(run_range.base + at, (char *)libkvoff_base(from) + at, len);
		}
	}
	return !poisoned;
}

static bool copy(void)
{
	struct libkvoff_options opts = LIBKVOFF_OPTIONS_INIT;
	struct libkvoff *from;
	bool ok = true;
	size_t i;
	int ret;

	opts.flags = LIBKVOFF_OPEN_RDONLY;
	ret = libkvoff_attach(&from, run_fd, &opts);
	if (ret) {
		stop(libkvoff_strerror(ret));
		return false;
	}
	for (i = 0; i < book_nr && ok; i++)
		ok = copy_piece(from, &book[i]);
	libkvoff_close(from);
	return ok;
}

static void after_in_child(void)
{
	struct sigaction old, act = { .sa_sigaction = touched, .sa_flags = SA_SIGINFO };
	bool ok = true, missing;

	if (run_state == RUN_OPEN) {
		missing = book_nr && !run_settings.fork_copy;
		ok = take_all(run_settings.fork_copy ? PROT_READ | PROT_WRITE : PROT_NONE);
		if (ok && run_settings.fork_copy && book_nr)
			ok = done_pipe[0] >= 0 && copy();
		if (missing && !sigaction(SIGSEGV, NULL, &old) && !(old.sa_flags & SA_SIGINFO) &&
		    old.sa_handler == SIG_DFL)
			sigaction(SIGSEGV, &act, NULL);
		run_fd = -1;
		libkvoff_close(run_kv);
		run_kv = NULL;
		/* one that has missed nothing yet has a region of its own when it needs one, as a daemon may */
		run_state = book_nr ? RUN_CHILD : RUN_NEW;
		if (!book_nr)
			__atomic_store_n(&run_range.base, NULL, __ATOMIC_RELEASE);
		memset(&run_counts, 0, sizeof(run_counts));
	}
	if (done_pipe[0] >= 0) {
		real_close(done_pipe[0]);
		real_close(done_pipe[1]);
	}
	if (!ok) {
		stop("the memory of the parent's kvoff region could not be copied for a forked child, which ends");
		_exit(125);
	}
	run_unlock();
}

void fork_release(char *p, size_t len)
{
	real_munmap(p, (len + RUN_PAGE - 1) & ~(RUN_PAGE - 1));
}

static __attribute__((constructor)) void init(void)
{
	pthread_atfork(before, after_in_parent, after_in_child);
}
