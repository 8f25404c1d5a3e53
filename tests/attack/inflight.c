// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Commands whose structures, descriptors and submission entries change while the kernel reads them, and submitters
 * that are killed on the way.
 */
#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parsers.h"

static atomic_bool stop;
static struct io_uring ring;

static void *scribbler(void *arg)
{
	uint8_t *sqes = (uint8_t *)ring.sq.sqes;
	struct kvoff_ctl_move *cmd = (struct kvoff_ctl_move *)arena;
	uint64_t own = 0x1234;

	while (!atomic_load(&stop)) {
		own = own * 6364136223846793005ULL + 1442695040888963407ULL;
		switch (own >> 60) {
		case 0:
			cmd->nr = own >> 40 & 1023;
			break;
		case 1:
			cmd->size = own >> 50 & 63;
			break;
		case 2:
			cmd->flags = own >> 50 & 1;
			break;
		case 3:
			cmd->descs ^= 1ULL << (own >> 40 & 63);
			break;
		case 4:
		case 5:
			/*
			 * of the command area and the command's number only: what else io_uring can do is not ours to
			 * try
			 */
			sqes[(own >> 33) % 2 ? 48 + (own >> 40) % 16 : 8 + (own >> 40) % 4] = own >> 48;
			break;
		case 6:
			set_move(cmd);
			break;
		default:
			((uint8_t *)descs())[(own >> 33) % (NR * sizeof(struct kvoff_move_desc))] = own >> 48;
		}
	}
	return NULL;
}

static bool move_error_documented(int64_t ret)
{
	return ret >= 0 || ret == -EINVAL || ret == -E2BIG || ret == -EFAULT || ret == -ENOTTY || ret == -ECANCELED ||
	       ret == -EOPNOTSUPP;
}

/* By ioctl and by io_uring in turns, while a thread changes all that they point to. */
unsigned int changing_hands(unsigned int seconds)
{
	struct kvoff_ctl_move *cmd = (struct kvoff_ctl_move *)arena;
	uint64_t end = now_ms() + seconds * 1000, addr = (uintptr_t)cmd;
	unsigned int n = 0, wrong = 0;
	pthread_t thread;

	if (io_uring_queue_init(1, &ring, 0))
		return 1;
	pthread_create(&thread, NULL, scribbler, NULL);
	while (now_ms() < end) {
		struct io_uring_cqe *cqe;
		struct io_uring_sqe *sqe;
		int64_t ret;

		/* where results are written stays ours: the kernel may write wherever the caller says */
		cmd->size = sizeof(*cmd);
		cmd->flags = 0;
		cmd->descs = (uintptr_t)descs();
		cmd->results = (uintptr_t)results();
		if (n++ % 16 == 0)
			set_descs();
		if (n % 2) {
			ret = ioctl(rig.control, KVOFF_CTL_MOVE, cmd);
			ret = ret < 0 ? -errno : ret;
		} else {
			sqe = io_uring_get_sqe(&ring);
			*sqe = (struct io_uring_sqe){ .opcode = IORING_OP_URING_CMD, .fd = rig.control };
			sqe->cmd_op = KVOFF_CTL_MOVE;
			memcpy(sqe->cmd, &addr, sizeof(addr));
			io_uring_submit(&ring);
			if (io_uring_wait_cqe(&ring, &cqe))
				continue;
			ret = cqe->res;
			io_uring_cqe_seen(&ring, cqe);
		}
		if (!move_error_documented(ret) && wrong++ < 20)
			printf("# a command that changed on the way: %ld (%s)\n", ret, strerror(-ret));
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	io_uring_queue_exit(&ring);
	printf("# %u commands, moves %lu, refused as malformed %lu\n", n, stat_now("moves"), stat_now("move_invalid"));
	return wrong + !!wrong_bytes();
}

/* Killed at any time between the first submission and the last completion. */
unsigned int killed_submitters(unsigned int seconds)
{
	uint64_t end = now_ms() + seconds * 1000, slowest = 0;
	struct kvoff_ctl_link slow = {
		.size = sizeof(slow), .from = rig.near, .to = rig.far, .budget_mbps = 5,
	};
	unsigned int n = 0, slow_ends = 0;

	while (now_ms() < end || n < 10) {
		uint64_t begun;
		pid_t pid;

		slow.budget_mbps = rnd() % 2 ? 5 : 0;
		ioctl(rig.control, KVOFF_CTL_LINK_SET, &slow);
		pid = fork();
		if (!pid) {
			struct kvoff_ctl_move *cmd = (struct kvoff_ctl_move *)arena;
			uint64_t addr = (uintptr_t)cmd;

			set_descs();
			set_move(cmd);
			if (io_uring_queue_init(8, &ring, 0))
				_exit(1);
			for (;;) {
				struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
				struct io_uring_cqe *cqe;

				if (sqe) {
					*sqe = (struct io_uring_sqe){
						.opcode = IORING_OP_URING_CMD, .fd = rig.control,
					};
					sqe->cmd_op = KVOFF_CTL_MOVE;
					memcpy(sqe->cmd, &addr, sizeof(addr));
					if (n % 3 == 0)
						sqe->flags = IOSQE_ASYNC;
				}
				io_uring_submit(&ring);
				if (n % 2)
					ioctl(rig.control, KVOFF_CTL_MOVE, cmd);
				if (!io_uring_peek_cqe(&ring, &cqe))
					io_uring_cqe_seen(&ring, cqe);
			}
		}
		usleep(rnd() % (1U << rnd() % 17));
		kill(pid, SIGKILL);
		begun = now_ms();
		waitpid(pid, NULL, 0);
		slow_ends += now_ms() - begun > 10000;
		if (now_ms() - begun > slowest)
			slowest = now_ms() - begun;
		n++;
	}
	slow.budget_mbps = 0;
	ioctl(rig.control, KVOFF_CTL_LINK_SET, &slow);
	printf("# %u submitters killed, the slowest was gone after %lu ms\n", n, slowest);
	/* 8 batches of 2 MiB at 5 MB/s would be 3 s each on the link, for half of them; a machine pauses less often */
	return (slow_ends > 2) + !!wrong_bytes();
}

static atomic_ulong there;

/* All blocks to the far tier and back, as long as there is one; and regions that end in the middle of it. */
static void *traveller(void *arg)
{
	struct region *own = arg;
	uint64_t i = 0;

	while (!atomic_load(&stop)) {
		struct region r;

		if (own) {
			/* few at a time: the tier shall often be empty, but for what they have left there */
			uint64_t first = i++ % (NR / 4) * 4;
			int moved = move_blocks(&rig, own, first, 4, rig.far, 0, NULL);

			if (moved > 0)
				atomic_fetch_add(&there, moved);
			move_blocks(&rig, own, first, 4, rig.near, 0, NULL);
			continue;
		}
		if (region_create(&rig, &r, BS, 4))
			continue;
		if (!region_commit(&r, 4 * BS, NULL)) {
			for (i = 0; i < 4; i++)
				*(volatile uint64_t *)block_at(&r, i) = i;
			move_blocks(&rig, &r, 0, 4, rig.far, 0, NULL);
			move_blocks(&rig, &r, 0, 4, rig.near, 0, NULL);
		}
		region_close(&r);
	}
	return NULL;
}

/* The far tier can go whenever all blocks are near. What they have left behind there is nobody's any more. */
unsigned int coming_and_going(unsigned int seconds)
{
	uint64_t end = now_ms() + seconds * 1000;
	unsigned int gone = 0, wrong = 0;
	pthread_t threads[2];
	int ret;

	/* all are near to begin with, and the near tier alone must be able to keep all promises */
	pool_set(&rig, "dram", BS, 2 * NR * BS, KVOFF_POOL_WAIT);
	move_blocks(&rig, region, 0, NR, rig.near, 0, NULL);
	sysfs_write("tuning/twins", "1");
	atomic_store(&stop, false);
	pthread_create(&threads[0], NULL, traveller, region);
	pthread_create(&threads[1], NULL, traveller, NULL);
	while (now_ms() < end) {
		ret = tier_remove(rig.control, "cxl0");
		if (ret == -EBUSY)
			continue;
		gone++;
		if (!ret)
			ret = tier_add(&rig, "cxl0", rig.far_node, 1, 16 * MIB, NULL);
		if (!ret)
			ret = pool_set(&rig, "cxl0", BS, 16 * BS, KVOFF_POOL_WAIT);
		if (ret) {
			printf("# a tier that goes and comes back: %s\n", strerror(-ret));
			wrong++;
			break;
		}
		usleep(rnd() % 4000);
	}
	atomic_store(&stop, true);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	sysfs_write("tuning/twins", "0");
	printf("# gone %u times, %lu moves there, %lu flips\n", gone, atomic_load(&there), stat_now("flips"));
	return wrong + !!wrong_bytes();
}
