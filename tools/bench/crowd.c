// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvoff.h"
#include "tools/bench/crowd.h"
#include "tools/bench/memory.h"

static __attribute__((noreturn)) void member(int tell, int told, int fd, const uint8_t *data, uint64_t bytes)
{
	uint64_t part;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (fd >= 0)
		data = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, KVOFF_OFF_DATA);
	if (data == MAP_FAILED)
		_exit(1);
	while (read(tell, &part, sizeof(part)) == sizeof(part)) {
		touch_read(data, part < bytes ? part : bytes);
		if (write(told, "", 1) != 1)
			break;
	}
	_exit(0);
}

int crowd_up(struct crowd *c, unsigned int nr, int fd, const uint8_t *data, uint64_t bytes)
{
	*c = (struct crowd){ 0 };
	while (c->nr < nr) {
		unsigned int i = c->nr;
		int tell[2], told[2];

		if (pipe(tell))
			return -errno;
		if (pipe(told))
			return -errno;
		c->pid[i] = fork();
		if (c->pid[i] < 0)
			return -errno;
		if (!c->pid[i]) {
			/* the other members' ends would keep them from seeing the end */
			while (i--)
				close(c->tell[i]);
			close(tell[1]);
			member(tell[0], told[1], fd, data, bytes);
		}
		close(tell[0]);
		close(told[1]);
		c->tell[i] = tell[1];
		c->told[i] = told[0];
		c->nr++;
	}
	return 0;
}

int crowd_read(struct crowd *c, const uint8_t *data, uint64_t bytes)
{
	unsigned int i;
	char done;

	touch_read(data, bytes);
	for (i = 0; i < c->nr; i++)
		if (write(c->tell[i], &bytes, sizeof(bytes)) != sizeof(bytes))
			return -EPIPE;
	for (i = 0; i < c->nr; i++)
		if (read(c->told[i], &done, 1) != 1)
			return -EPIPE;
	return 0;
}

void crowd_down(struct crowd *c)
{
	unsigned int i;

	for (i = 0; i < c->nr; i++) {
		close(c->tell[i]);
		close(c->told[i]);
	}
	for (i = 0; i < c->nr; i++)
		waitpid(c->pid[i], NULL, 0);
	*c = (struct crowd){ 0 };
}
