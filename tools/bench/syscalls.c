// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A seccomp filter asks another thread of this process about each system call of those that are watched; that thread
 * counts, and lets the call go on. Unlike ptrace this needs no second process, and unlike a wrapper it misses nothing:
 * whatever enters the kernel is seen, out of whichever library.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/bench/syscalls.h"

static bool counting;

/**
 * struct watched - one run
 * @fd:		the filter's notifications; -1 not yet, below that -errno of not getting any
 * @body, @arg:	what is run
 */
struct watched {
	int fd;
	void (*body)(void *arg);
	void *arg;
};

static int install(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_yield, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
	};
	struct sock_fprog prog = { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };
	long fd;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno - 1;
	fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
	return fd < 0 ? -errno - 1 : (int)fd;
}

static void *watch(void *arg)
{
	struct watched *w = arg;
	int fd = install();

	/* from here on the thread stops at its next call, until somebody answers */
	__atomic_store_n(&w->fd, fd, __ATOMIC_RELEASE);
	if (fd >= 0)
		w->body(w->arg);
	return NULL;
}

static void answer(int fd, struct bench_syscalls *out)
{
	struct seccomp_notif_resp resp;
	struct seccomp_notif call;

	memset(&call, 0, sizeof(call));
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &call))
		return;
	if (__atomic_load_n(&counting, __ATOMIC_ACQUIRE)) {
		out->all++;
		out->futex += call.data.nr == SYS_futex;
	}
	memset(&resp, 0, sizeof(resp));
	resp.id = call.id;
	resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	/* ENOENT: a signal has taken the caller out of its call */
	ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &resp);
}

int bench_syscalls_run(void (*body)(void *arg), void *arg, struct bench_syscalls *out)
{
	struct watched w = { .fd = -1, .body = body, .arg = arg };
	struct pollfd p = { .events = POLLIN };
	pthread_t thread;
	int ret;

	memset(out, 0, sizeof(*out));
	ret = pthread_create(&thread, NULL, watch, &w);
	if (ret)
		return -ret;
	while ((p.fd = __atomic_load_n(&w.fd, __ATOMIC_ACQUIRE)) == -1)
		usleep(100);
	if (p.fd < 0) {
		pthread_join(thread, NULL);
		return p.fd + 1;
	}
	/* until the last thread under the filter is gone */
	while (poll(&p, 1, -1) >= 0 || errno == EINTR) {
		if (p.revents & POLLIN)
			answer(p.fd, out);
		else if (p.revents & (POLLHUP | POLLERR | POLLNVAL))
			break;
	}
	close(p.fd);
	pthread_join(thread, NULL);
	return 0;
}

void bench_syscalls_count(bool on)
{
	__atomic_store_n(&counting, on, __ATOMIC_SEQ_CST);
}
