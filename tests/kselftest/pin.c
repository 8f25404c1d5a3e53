// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "pin.h"
#include "rig.h"

static void *pin_main(void *arg)
{
	struct pin *pin = arg;
	struct iovec near = { .iov_base = pin->near, .iov_len = sizeof(uint64_t) };
	struct iovec far = { .iov_base = (void *)pin->at, .iov_len = sizeof(uint64_t) };

	if (pin->kind == PIN_WRITE)
		pin->copied = process_vm_writev(pin->pid, &near, 1, &far, 1, 0);
	else
		pin->copied = process_vm_readv(pin->pid, &near, 1, &far, 1, 0);
	if (pin->copied < 0)
		pin->copied = -errno;
	return NULL;
}

int pin_take(struct pin *pin, pid_t pid, volatile uint64_t *at, enum pin_kind kind)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct pollfd ready = { .events = POLLIN };
	struct uffd_msg msg;
	int ret;

	*pin = (struct pin){ .at = at, .pid = pid ?: getpid(), .kind = kind, .uffd = -1 };
	pin->near = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pin->near == MAP_FAILED)
		return -errno;
	pin->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (pin->uffd < 0) {
		ret = -errno;
		goto err_near;
	}
	reg.range.start = (uintptr_t)pin->near;
	reg.range.len = PAGE;
	if (ioctl(pin->uffd, UFFDIO_API, &api) || ioctl(pin->uffd, UFFDIO_REGISTER, &reg)) {
		ret = -errno;
		goto err_uffd;
	}
	ret = -pthread_create(&pin->thread, NULL, pin_main, pin);
	if (ret)
		goto err_uffd;
	/* the near side is wanted: the far side is pinned by now */
	ready.fd = pin->uffd;
	if (poll(&ready, 1, PATIENCE_MS) == 1 && read(pin->uffd, &msg, sizeof(msg)) == sizeof(msg) &&
	    msg.event == UFFD_EVENT_PAGEFAULT)
		return 0;
	ret = -ETIMEDOUT;
	close(pin->uffd);
	pthread_join(pin->thread, NULL);
	munmap(pin->near, PAGE);
	return ret;

err_uffd:
	close(pin->uffd);
err_near:
	munmap(pin->near, PAGE);
	return ret;
}

int pin_finish(struct pin *pin, uint64_t value)
{
	static _Thread_local uint64_t page[WORDS] __attribute__((aligned(4096)));
	struct uffdio_copy copy = { .dst = (uintptr_t)pin->near, .src = (uintptr_t)page, .len = PAGE };
	int ret = 0;

	memset(page, 0, sizeof(page));
	page[0] = value;
	if (ioctl(pin->uffd, UFFDIO_COPY, &copy))
		ret = -errno;
	close(pin->uffd);
	pthread_join(pin->thread, NULL);
	pin->got = *(volatile uint64_t *)pin->near;
	munmap(pin->near, PAGE);
	if (!ret && pin->copied != sizeof(uint64_t))
		ret = pin->copied < 0 ? pin->copied : -EIO;
	return ret;
}
