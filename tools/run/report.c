// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What went where: at exit, and on SIGUSR1 if the program has no use for it. No malloc() and no stdio streams here: the
 * one may be what we are called from, and the others closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <libkvoff.h>

#include "run.h"

int run_report_fd = -1;

/* What @run_report_fd is: a program may close it behind our back, and have another file there. */
static struct stat report_was;
static pid_t pid_was;
static volatile bool wanted;

static void write_all(int fd, const char *text, size_t len)
{
	ssize_t n;

	while (len) {
		n = write(fd, text, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

static bool quiet(void)
{
	return run_settings.report && !strcmp(run_settings.report, "none");
}

static int open_report(void)
{
	const char *file = run_settings.report;

	return file && *file ? open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644) : -1;
}

static void put_line(const char *text, size_t len)
{
	struct stat now;
	int fd;

	if (quiet())
		return;
	if (run_report_fd < 0) {
		fd = open_report();
		write_all(fd < 0 ? 2 : fd, text, len);
		if (fd >= 0)
			real_close(fd);
		return;
	}
	if (!fstat(run_report_fd, &now) && now.st_dev == report_was.st_dev && now.st_ino == report_was.st_ino)
		write_all(run_report_fd, text, len);
}

void report_say(const char *fmt, ...)
{
	char text[1024];
	size_t len;
	va_list ap;

	len = (size_t)snprintf(text, sizeof(text), "kvoff-run: %s (%d): ", program_invocation_short_name, getpid());
	va_start(ap, fmt);
	len += (size_t)vsnprintf(text + len, sizeof(text) - len, fmt, ap);
	va_end(ap);
	if (len > sizeof(text) - 2)
		len = sizeof(text) - 2;
	text[len++] = '\n';
	put_line(text, len);
}

/* Bytes as people read them, without floating point. */
static const char *size_text(char buf[24], uint64_t bytes)
{
	static const char units[] = "BKMGT";
	unsigned int u = 0;

	while (bytes >= 10240 && u < sizeof(units) - 2) {
		bytes /= 1024;
		u++;
	}
	snprintf(buf, 24, "%" PRIu64 "%c", bytes, units[u]);
	return buf;
}

/* With the lock held. */
static void report(void)
{
	char live[24], peak[24], all[24], at[24], where[32 * LIBKVOFF_MAX_TIERS] = "";
	struct libkvoff_stats stats = { .size = sizeof(stats) };
	size_t len = 0, tier;

	if (!run_counts.served && !run_counts.plain)
		return;
	if (libkvoff_stats(run_kv, &stats)) {
		report_say("the region does not answer");
		return;
	}
	for (tier = 0; tier < LIBKVOFF_MAX_TIERS; tier++)
		if (stats.tier_used[tier])
			len += (size_t)snprintf(where + len, sizeof(where) - len, "%s %s in tier %zu", len ? "," : "",
						size_text(at, stats.tier_used[tier]), tier);
	report_say("region %u%s: %" PRIu64 " allocations of %s, at most %s at a time; now %" PRIu64 " of %s:%s",
		   stats.region_id, stats.flags & LIBKVOFF_STATS_FALLBACK ? " (plain memory, LIBKVOFF_FALLBACK=1)" : "",
		   run_counts.served, size_text(all, run_counts.served_bytes), size_text(peak, run_counts.peak_bytes),
		   run_counts.live, size_text(live, run_counts.live_bytes), len ? where : " none has memory");
	if (run_counts.plain)
		report_say("for %" PRIu64 " allocations of %s there was no room: they are ordinary memory",
			   run_counts.plain, size_text(all, run_counts.plain_bytes));
}

void report_if_wanted(void)
{
	while (wanted && run_trylock()) {
		if (__atomic_exchange_n(&wanted, false, __ATOMIC_SEQ_CST) && run_state == RUN_OPEN)
			report();
		/* not run_unlock(), which would come back here */
		run_unlock_quietly();
	}
}

static void on_signal(int sig)
{
	int err = errno;

	/* whoever has the lock looks at this when it is done */
	__atomic_store_n(&wanted, true, __ATOMIC_SEQ_CST);
	report_if_wanted();
	errno = err;
}

/* Opened now: at the end a program may have closed standard error, or have locked itself into a sandbox. */
static void keep_report(void)
{
	int file = open_report(), from = file < 0 ? 2 : file;

	run_report_fd = fcntl(from, F_DUPFD_CLOEXEC, RUN_FD_MIN);
	if (run_report_fd < 0)
		run_report_fd = fcntl(from, F_DUPFD_CLOEXEC, 3);
	if (run_report_fd >= 0)
		fstat(run_report_fd, &report_was);
	if (file >= 0)
		real_close(file);
}

void report_init(void)
{
	struct sigaction old, act = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	pid_was = getpid();
	if (!quiet() && run_report_fd < 0)
		keep_report();
	if (!sigaction(SIGUSR1, NULL, &old) && !(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_DFL)
		sigaction(SIGUSR1, &act, NULL);
}

static __attribute__((destructor)) void at_exit(void)
{
	/* a process that shares our memory ends here too, after vfork() */
	if (run_state != RUN_OPEN || pid_was != getpid() || !run_trylock())
		return;
	report();
	run_unlock_quietly();
}
