// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The same as daxctl offline-memory does, but for each block on its own: what one of them holds does not keep the
 * others, and is named.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/offline.h"
#include "tools/sysfs.h"

/* The kernel gives up at once on a page that is on its way: rounds over all blocks before we do. */
#define ROUNDS		5
#define ROUND_PAUSE_US	200000

struct walk {
	const char *dir;
	struct offline *out;
};

static bool is_offline(const struct walk *w, const char *name)
{
	char state[32];

	return !sys_read(state, sizeof(state), "%s/%s/state", w->dir, name) && !strcmp(state, "offline");
}

static int try_block(const char *name, void *arg)
{
	struct walk *w = arg;
	struct sys_path p;
	int fd, err = 0;

	if (strncmp(name, "memory", 6) || name[6] < '0' || name[6] > '9' || is_offline(w, name))
		return 0;
	p = sys_path("%s/%s/state", w->dir, name);
	fd = open(p.s, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "offline", 7) < 0)
		err = errno;
	if (fd >= 0)
		close(fd);
	if (err)
		w->out->error = err;
	return 0;
}

static int look_at_block(const char *name, void *arg)
{
	struct walk *w = arg;
	char zones[32] = "";

	if (strncmp(name, "memory", 6) || name[6] < '0' || name[6] > '9')
		return 0;
	w->out->blocks++;
	if (is_offline(w, name)) {
		w->out->gone++;
		return 0;
	}
	sys_read(zones, sizeof(zones), "%s/%s/valid_zones", w->dir, name);
	if (w->out->nr_held < OFFLINE_NAMES_MAX)
		snprintf(w->out->held[w->out->nr_held++], sizeof(w->out->held[0]), "%.20s (%.20s)", name,
			 *zones ? zones : "?");
	return 0;
}

int offline_node(int node, struct offline *out)
{
	char dir[64];
	struct walk w = { .dir = dir, .out = out };
	int round, ret = 0;

	snprintf(dir, sizeof(dir), "/sys/devices/system/node/node%d", node);
	for (round = 0; round < ROUNDS; round++) {
		memset(out, 0, sizeof(*out));
		ret = sys_each(dir, try_block, &w);
		/* the kernel takes the folder away with the last block of a node that has nothing else */
		if (ret == -ENOENT && round)
			ret = 0;
		if (ret)
			return ret;
		ret = sys_each(dir, look_at_block, &w);
		if (ret && ret != -ENOENT)
			return ret;
		if (out->gone == out->blocks)
			break;
		usleep(ROUND_PAUSE_US);
	}
	return out->gone == out->blocks ? 0 : 1;
}
