// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One round: find the regions that have blocks in the tier, find the blocks in their state arrays, move them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/ctl.h"
#include "tools/evict.h"

/* A batch is so many bytes at the most: a signal ends it after a block, but progress is shown between batches. */
#define BATCH_BYTES	(8ull << 20)
/* A pool that had no frame grows when it can: so many tries before blocks go to a tier further away. */
#define FULL_TRIES	4
/* Writes have come in between so often: the next copy is made with the block stopped. */
#define CANCELS_MAX	2

/**
 * struct walk - one region in one round
 * @r:		what is known of it
 * @state:	its state array
 * @descs:	the blocks being tried
 * @left:	bytes that may still be moved in this round
 * @moved:	blocks moved
 */
struct walk {
	struct evict *e;
	struct evict_region *r;
	const struct kvoff_state *state;
	struct kvoff_move_desc descs[KVOFF_MOVE_MAX];
	struct kvoff_move_result results[KVOFF_MOVE_MAX];
	uint32_t nr;
	uint64_t left;
	uint64_t moved;
};

static unsigned int size_class(uint64_t block_size)
{
	unsigned int c = 0;

	while (c < KVOFF_NR_BLOCK_SIZES - 1 && (uint64_t)KVOFF_BLOCK_SIZE_MIN << c < block_size)
		c++;
	return c;
}

static bool is_there(const struct walk *w, uint64_t block)
{
	uint64_t location = __atomic_load_n(&w->state[block].location, __ATOMIC_RELAXED);

	return KVOFF_LOC_FLAGS(location) & KVOFF_STATE_PRESENT && KVOFF_LOC_TIER(location) == w->e->from;
}

/* What became of the batch: blocks that may have better luck in another tier stay in it. */
static void sort_out(struct walk *w, unsigned int to)
{
	unsigned int c = size_class(w->r->block_size);
	uint32_t i, keep = 0, moved = 0;
	bool full = false;

	for (i = 0; i < w->nr; i++) {
		const struct kvoff_move_desc *desc = &w->descs[i];

		switch (w->results[i].error) {
		case 0:
			moved += w->results[i].from == w->e->from;
			break;
		case -EBUSY:
			w->r->pinned++;
			break;
		case -EAGAIN:
			w->r->acquired++;
			break;
		case -ECANCELED:
			if (w->results[i].from == KVOFF_TIER_NONE)
				break;
			w->r->written++;
			w->r->cancels[desc->block] += w->r->cancels[desc->block] < CANCELS_MAX;
			break;
		case -ENOSPC:
		case -ESHUTDOWN:
		case -ENOENT:
			full = true;
			w->results[keep] = w->results[i];
			w->descs[keep++] = *desc;
			break;
		case -EDQUOT:
			w->results[keep] = w->results[i];
			w->descs[keep++] = *desc;
			break;
		case -ENODATA:
		case -ERANGE:
			/* discarded meanwhile */
			break;
		default:
			w->r->failed++;
		}
	}
	w->nr = keep;
	w->moved += moved;
	w->left -= moved * w->r->block_size < w->left ? moved * w->r->block_size : w->left;
	w->e->moved += moved;
	w->e->moved_bytes += moved * w->r->block_size;
	if (moved)
		w->e->full[to][c] = 0;
	else if (full && w->e->full[to][c] < FULL_TRIES)
		w->e->full[to][c]++;
}

/* Somebody else moves blocks too: those that have left the tier meanwhile would take the whole batch with them. */
static int send_batch(struct walk *w, unsigned int to)
{
	struct kvoff_ctl_move arg = { .size = sizeof(arg) };
	unsigned int tries;

	for (tries = 0; tries < 8 && !*w->e->stop; tries++) {
		uint32_t i, nr = 0;

		for (i = 0; i < w->nr; i++)
			if (is_there(w, w->descs[i].block))
				w->descs[nr++] = w->descs[i];
		w->nr = nr;
		if (!nr)
			return 0;
		for (i = 0; i < nr; i++) {
			w->descs[i].to = to;
			w->results[i] = (struct kvoff_move_result){ .error = -ECANCELED, .from = KVOFF_TIER_NONE };
		}
		arg.nr = nr;
		arg.descs = (uintptr_t)w->descs;
		arg.results = (uintptr_t)w->results;
		if (!ioctl(w->e->control, KVOFF_CTL_MOVE, &arg)) {
			sort_out(w, to);
			w->e->tell(w->e->arg);
			return 0;
		}
		if (errno != EPERM)
			return errno == EINTR ? 0 : -errno;
	}
	/* at the next round, or the drain was ended: the caller looks */
	w->nr = 0;
	return 0;
}

/* @order: tiers to go to, nearest first. */
static int send_away(struct walk *w, const unsigned int *order, unsigned int nr_order)
{
	unsigned int i, c = size_class(w->r->block_size);
	uint32_t k;

	for (i = 0; i < nr_order && w->nr && !*w->e->stop; i++) {
		uint32_t before = w->nr;
		int ret;

		if (w->e->full[order[i]][c] == FULL_TRIES)
			continue;
		ret = send_batch(w, order[i]);
		if (ret)
			return ret;
		/* its pool may be growing for us: it is asked again before the next tier is */
		if (w->nr == before && w->e->full[order[i]][c] && w->e->full[order[i]][c] < FULL_TRIES)
			break;
	}
	for (k = 0; k < w->nr; k++)
		*(w->results[k].error == -EDQUOT ? &w->r->quota : &w->r->no_room) += 1;
	w->nr = 0;
	return 0;
}

static int walk_blocks(struct walk *w, const unsigned int *order, unsigned int nr_order)
{
	uint64_t block, most = BATCH_BYTES / w->r->block_size;
	int ret = 0;

	if (most > KVOFF_MOVE_MAX)
		most = KVOFF_MOVE_MAX;
	for (block = 0; block < w->r->nr_blocks && !ret && w->left && !*w->e->stop; block++) {
		if (!is_there(w, block))
			continue;
		w->descs[w->nr++] = (struct kvoff_move_desc){
			.region = w->r->id, .block = block, .reason = KVOFF_REASON_DRAIN,
			.flags = w->r->cancels[block] >= CANCELS_MAX ? KVOFF_MOVE_STOP : 0,
		};
		if (w->nr >= most || w->nr * w->r->block_size >= w->left)
			ret = send_away(w, order, nr_order);
	}
	if (!ret && w->nr)
		ret = send_away(w, order, nr_order);
	return ret;
}

static int walk_region(struct evict *e, struct evict_region *r, uint64_t *left, const unsigned int *order,
		       unsigned int nr_order)
{
	struct kvoff_ctl_region_view view = { .size = sizeof(view), .id = r->id, .fd_flags = O_CLOEXEC };
	size_t length = r->nr_blocks * sizeof(struct kvoff_state);
	struct walk *w = calloc(1, sizeof(*w));
	int fd, ret = 0;
	void *state;

	r->pinned = r->acquired = r->written = r->no_room = r->quota = r->failed = 0;
	if (!w)
		return -ENOMEM;
	fd = ioctl(e->control, KVOFF_CTL_REGION_VIEW, &view);
	if (fd < 0) {
		ret = errno == ENOENT ? 0 : -errno;
		goto out_free;
	}
	state = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, KVOFF_OFF_STATE);
	if (state == MAP_FAILED) {
		ret = -errno;
		goto out_close;
	}
	w->e = e;
	w->r = r;
	w->state = state;
	w->left = *left;
	ret = walk_blocks(w, order, nr_order);
	*left = w->left;
	munmap(state, length);
out_close:
	close(fd);
out_free:
	free(w);
	return ret;
}

static struct evict_region *known(struct evict *e, uint32_t id)
{
	unsigned int i;

	for (i = 0; i < e->nr; i++)
		if (e->regions[i].id == id)
			return &e->regions[i];
	return NULL;
}

/* The regions that have blocks there now; what was learned of those that had some before is kept. */
static int find_regions(struct evict *e)
{
	struct kvoff_region_info *info;
	struct evict_region *regions;
	unsigned int nr, i, n = 0;
	int ret = regions_read(&info, &nr);

	if (ret)
		return ret;
	regions = calloc(nr + 1, sizeof(*regions));
	for (i = 0; regions && i < nr; i++) {
		struct evict_region *r = &regions[n], *old = known(e, info[i].id);

		if (!info[i].tier_used[e->from] || !info[i].block_size)
			continue;
		r->id = info[i].id;
		r->pid = info[i].pid;
		r->block_size = info[i].block_size;
		r->nr_blocks = info[i].length / info[i].block_size;
		memcpy(r->label, info[i].label, sizeof(r->label));
		if (old && old->nr_blocks == r->nr_blocks) {
			r->cancels = old->cancels;
			old->cancels = NULL;
		} else {
			r->cancels = calloc(r->nr_blocks, 1);
		}
		if (!r->cancels)
			continue;
		n++;
	}
	free(info);
	if (!regions)
		return -ENOMEM;
	evict_free(e);
	e->regions = regions;
	e->nr = n;
	return 0;
}

/* Slower tiers, the nearest first, then faster ones, the nearest first. @tiers are in order of rank. */
static unsigned int order_of(const struct tiers *tiers, unsigned int from, unsigned int *order)
{
	unsigned int at = 0, i, nr = 0;

	while (at < tiers->nr && tiers->tier[at].id != from)
		at++;
	for (i = at + 1; i < tiers->nr; i++)
		order[nr++] = tiers->tier[i].id;
	for (i = at; i-- > 0;)
		order[nr++] = tiers->tier[i].id;
	return nr;
}

/* Every tier was found full: things may have changed by the next round. */
static void forget_full(struct evict *e, const unsigned int *order, unsigned int nr_order)
{
	unsigned int c, i;

	for (c = 0; c < KVOFF_NR_BLOCK_SIZES; c++) {
		for (i = 0; i < nr_order && e->full[order[i]][c] == FULL_TRIES; i++)
			;
		for (i = i == nr_order ? nr_order : 0; i-- > 0;)
			e->full[order[i]][c] = 0;
	}
}

int64_t evict_round(struct evict *e, const struct tiers *tiers, uint64_t bytes)
{
	unsigned int order[KVOFF_MAX_TIERS], nr_order = order_of(tiers, e->from, order), i;
	uint64_t before = e->moved;
	int ret = find_regions(e);

	if (ret)
		return ret;
	for (i = 0; i < e->nr && bytes && !*e->stop; i++) {
		ret = walk_region(e, &e->regions[i], &bytes, order, nr_order);
		if (ret) {
			complain("region %u: its blocks cannot be moved: %s", e->regions[i].id, strerror(-ret));
			return ret;
		}
	}
	forget_full(e, order, nr_order);
	return (int64_t)(e->moved - before);
}

void evict_free(struct evict *e)
{
	unsigned int i;

	for (i = 0; i < e->nr; i++)
		free(e->regions[i].cancels);
	free(e->regions);
	e->regions = NULL;
	e->nr = 0;
}
