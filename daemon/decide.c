// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Choosing what moves. For each block size on its own (frames of different sizes cannot stand in for each other):
 *
 *	count	a histogram of keys for each level, of blocks that may go up and of blocks that may go down; from the
 *		census where there is one
 *	plan	from the top of one and the bottom of the other: how many go each way, and so the key from which on
 *	pick	every block on the right side of its level's key, while room, links and the list last
 */
#include <stdlib.h>
#include <string.h>

#include "decide.h"
#include "walk.h"

#define NO_KEY		HEAT_KEYS	/* a key that no block reaches */

/**
 * struct decide_level - the plan for one level
 * @room:	frames that moves may take
 * @out:	link budget for blocks going down from here, in blocks
 * @in:		link budget for blocks coming up to here, in blocks
 * @up_key:	blocks of lower levels with this key or a larger one come up to here ...
 * @up_ties:	... of those with just this key only so many
 * @nr_up:	how many come up
 * @down_key:	blocks with a smaller key go one level down, and
 * @down_ties:	of those with just this key so many
 * @nr_down:	how many go down
 * @short_of:	of @nr_down, how many because there is too little room
 * @rise:	blocks that may go up from here, by key
 * @sink:	blocks that may go down from here, by key
 */
struct decide_level {
	uint64_t room;
	uint64_t out;
	uint64_t in;
	unsigned int up_key;
	uint64_t up_ties;
	uint64_t nr_up;
	unsigned int down_key;
	uint64_t down_ties;
	uint64_t nr_down;
	uint64_t short_of;
	uint64_t rise[HEAT_KEYS];
	uint64_t sink[HEAT_KEYS];
};

struct decide_work {
	unsigned int nr_levels;
	uint8_t level_of[KVOFF_MAX_TIERS];
	uint64_t room[KVOFF_MAX_TIERS];
	uint64_t link[KVOFF_MAX_TIERS][KVOFF_MAX_TIERS];
	uint64_t hist[HEAT_KEYS];
	struct decide_level levels[KVOFF_MAX_TIERS];
};

struct decide_work *decide_work_new(void)
{
	return calloc(1, sizeof(struct decide_work));
}

void decide_work_free(struct decide_work *work)
{
	free(work);
}

const char *decide_policy_name(enum decide_policy policy)
{
	return policy == DECIDE_LRU ? "lru" : policy == DECIDE_STATIC ? "static" : "heat";
}

unsigned int decide_levels(const struct decide_tier *tiers, uint8_t *level)
{
	unsigned int nr = 0;

	memset(level, KVOFF_TIER_NONE, KVOFF_MAX_TIERS);
	for (;;) {
		uint64_t lowest = UINT64_MAX;

		for (unsigned int t = 0; t < KVOFF_MAX_TIERS; t++)
			if (tiers[t].present && level[t] == KVOFF_TIER_NONE && tiers[t].rank < lowest)
				lowest = tiers[t].rank;
		if (lowest == UINT64_MAX)
			return nr;
		for (unsigned int t = 0; t < KVOFF_MAX_TIERS; t++)
			if (tiers[t].present && tiers[t].rank == lowest)
				level[t] = (uint8_t)nr;
		nr++;
	}
}

/* May this block move at all now? */
static bool movable(const struct decide_input *in, const struct heat *h)
{
	if ((h->flags & (HEAT_PRESENT | HEAT_IN_FLIGHT)) != HEAT_PRESENT)
		return false;
	if (h->tier >= KVOFF_MAX_TIERS || !in->tiers[h->tier].present)
		return false;
	if (h->refused && (int32_t)(in->now - h->retry) < 0)
		return false;
	return in->now - h->placed >= in->rules.residence;
}

/* Going up is for blocks that were used where they lie, or will be: the others cost a copy for nothing. */
static bool rises(bool fresh, unsigned int key)
{
	return key == HEAT_KEY_PREFETCH || (fresh && key != HEAT_KEY_COLD);
}

static uint64_t claims_of(const struct decide_work *work, const struct decide_input *in, uint32_t size_class)
{
	uint64_t blocks = 0;

	for (unsigned int t = 0; t < KVOFF_MAX_TIERS; t++)
		if (work->level_of[t] == 0)
			blocks += in->tiers[t].pools[size_class].blocks;
	return blocks * in->rules.prefetch_share / 100;
}

static void count_census(struct decide_work *work, const struct decide_region *region)
{
	const struct census *census = region->census;
	uint8_t step[HEAT_CELLS];

	census_steps(census, step);
	for (unsigned int r = 0; r < census->nr_rows; r++) {
		const struct census_row *row = census->rows[r];
		struct decide_level *level;

		if (!row->nr || work->level_of[row->tier] == KVOFF_TIER_NONE)
			continue;
		level = &work->levels[work->level_of[row->tier]];
		for (unsigned int cell = 0; cell < HEAT_CELLS; cell++) {
			unsigned int key;

			if (!row->cell[cell])
				continue;
			key = heat_class_key(region->keys, row->class, step[cell]);
			level->sink[key] += row->cell[cell];
			if (rises(row->fresh, key))
				level->rise[key] += row->cell[cell];
		}
	}
}

static void count(struct decide_work *work, const struct decide_input *in, uint32_t size_class)
{
	uint64_t claims = claims_of(work, in, size_class);

	for (unsigned int l = 0; l < work->nr_levels; l++) {
		memset(work->levels[l].rise, 0, sizeof(work->levels[l].rise));
		memset(work->levels[l].sink, 0, sizeof(work->levels[l].sink));
	}
	for (size_t i = 0; i < in->nr_regions; i++) {
		struct walk w;

		if (in->regions[i].size_class != size_class)
			continue;
		if (in->regions[i].census)
			count_census(work, &in->regions[i]);
		walk_begin(&w, in, &in->regions[i], claims, NULL);
		while (walk_next(&w)) {
			for (uint64_t b = w.first; b < w.end; b++) {
				const struct heat *h = &w.region->heat[b];
				struct decide_level *level;

				if (!movable(in, h))
					continue;
				level = &work->levels[work->level_of[h->tier]];
				level->sink[w.key]++;
				if (rises(h->flags & HEAT_FRESH, w.key))
					level->rise[w.key]++;
			}
		}
	}
}

/* Room and link budgets of the levels, in blocks of one size. */
static void measure(struct decide_work *work, const struct decide_input *in, uint32_t size_class)
{
	uint64_t size = (uint64_t)KVOFF_BLOCK_SIZE_MIN << size_class;

	for (unsigned int l = 0; l < work->nr_levels; l++)
		work->levels[l].room = work->levels[l].in = work->levels[l].out = 0;
	for (unsigned int a = 0; a < KVOFF_MAX_TIERS; a++) {
		unsigned int from = work->level_of[a];

		if (from == KVOFF_TIER_NONE)
			continue;
		work->room[a] = in->tiers[a].pools[size_class].room;
		work->levels[from].room += work->room[a];
		for (unsigned int b = 0; b < KVOFF_MAX_TIERS; b++) {
			unsigned int to = work->level_of[b];

			if (to == KVOFF_TIER_NONE)
				continue;
			if (to == from + 1)
				work->levels[from].out += work->link[a][b] / size;
			else if (to < from)
				work->levels[to].in += work->link[a][b] / size;
		}
	}
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The key from which on @nr blocks come up, and how many of those with just that key. */
static void cut_up(struct decide_level *level, const uint64_t *hist, uint64_t nr)
{
	level->nr_up = nr;
	level->up_key = NO_KEY;
	level->up_ties = 0;
	while (nr) {
		level->up_key--;
		level->up_ties = min_u64(nr, hist[level->up_key]);
		nr -= level->up_ties;
	}
}

static void cut_down(struct decide_level *level, uint64_t nr)
{
	unsigned int key = 0;

	level->nr_down = 0;
	level->down_key = 0;
	level->down_ties = 0;
	for (; nr && key < HEAT_KEYS; key++) {
		uint64_t ties = min_u64(nr, level->sink[key]);

		level->down_key = key;
		level->down_ties = ties;
		level->nr_down += ties;
		nr -= ties;
	}
}

/* How many blocks are worth a swap: the hottest below against the coldest here, pair by pair. */
static uint64_t count_swaps(const struct decide_level *level, const uint64_t *hist, uint64_t skip_up,
			    uint64_t skip_down, unsigned int margin)
{
	unsigned int hot = HEAT_KEYS, cold = 0;
	uint64_t hot_left = 0, cold_left = 0, pairs = 0;

	for (;;) {
		uint64_t step;

		while (!hot_left) {
			if (!hot)
				return pairs;
			hot_left = hist[--hot];
			step = min_u64(skip_up, hot_left);
			skip_up -= step;
			hot_left -= step;
		}
		while (!cold_left) {
			if (cold == HEAT_KEYS)
				return pairs;
			cold_left = level->sink[cold++];
			step = min_u64(skip_down, cold_left);
			skip_down -= step;
			cold_left -= step;
		}
		if (hot <= cold - 1 + margin)
			return pairs;
		step = min_u64(hot_left, cold_left);
		pairs += step;
		hot_left -= step;
		cold_left -= step;
	}
}

static void plan_level(struct decide_work *work, const struct decide_input *in, uint32_t size_class, unsigned int l,
		       uint64_t list)
{
	struct decide_level *level = &work->levels[l];
	uint64_t *hist = work->hist;
	uint64_t blocks = 0, births = 0, reserve = 0, candidates = 0, low, high, lack, spare, want, up, ahead,
		 below = 0;
	bool last = l + 1 == work->nr_levels;

	for (unsigned int t = 0; t < KVOFF_MAX_TIERS; t++) {
		if (work->level_of[t] != l)
			continue;
		blocks += in->tiers[t].pools[size_class].blocks;
		births += in->tiers[t].pools[size_class].births;
		reserve += in->tiers[t].pools[size_class].reserve;
	}

	memset(work->hist, 0, sizeof(work->hist));
	/* who might come up, without those that a faster level takes */
	for (unsigned int lower = l + 1; lower < work->nr_levels; lower++) {
		for (unsigned int k = 0; k < HEAT_KEYS; k++)
			hist[k] += work->levels[lower].rise[k];
		below += lower == l + 1 ? work->levels[lower].room : 0;
	}
	for (unsigned int faster = 0; faster < l; faster++) {
		for (unsigned int k = work->levels[faster].up_key; k < HEAT_KEYS; k++)
			hist[k] = 0;
	}
	for (unsigned int k = 0; k < HEAT_KEYS; k++)
		candidates += hist[k];

	low = (blocks * in->rules.free_low + 9999) / 10000;
	high = (blocks * in->rules.free_high + 9999) / 10000;
	ahead = births * in->rules.births_ahead;
	low = reserve + min_u64(low + ahead, blocks / 4);
	high = reserve + min_u64(high + ahead, blocks / 4);
	/* when this level and the next are both full, what is left must serve both directions of a swap */
	low = min_u64(low, (level->room + below) / 2);
	high = min_u64(high, (level->room + below) - (level->room + below) / 4);
	/* were the marks equal, a swap could never begin */
	if (high <= low)
		high = low + 1;

	lack = level->room < low ? high - level->room : 0;
	spare = level->room > high ? level->room - high : 0;
	want = min_u64(spare, candidates);
	want += count_swaps(level, hist, want, lack, in->rules.margin);
	want = min_u64(want, min_u64(level->in, list / 2));
	/* what is free above the low mark can be taken now; demotions of this interval make room for the rest in the next */
	up = min_u64(want, level->room > low ? level->room - low : 0);
	cut_up(level, hist, up);

	level->short_of = lack;
	if (want && !lack && level->room < high + want)
		lack = high + want - level->room;
	if (last)
		lack = 0;
	cut_down(level, min_u64(min_u64(lack, below), min_u64(level->out, list - up)));
}

/* The tier of level @l that is emptiest for its bandwidth and can take a block from @from. */
static unsigned int pick_tier(struct decide_work *work, const struct decide_input *in, uint32_t size_class,
			      unsigned int from, unsigned int l)
{
	uint64_t size = (uint64_t)KVOFF_BLOCK_SIZE_MIN << size_class;
	unsigned int best = KVOFF_TIER_NONE;
	double best_load = 0;

	for (unsigned int t = 0; t < KVOFF_MAX_TIERS; t++) {
		const struct decide_pool *pool = &in->tiers[t].pools[size_class];
		uint32_t bandwidth = in->tiers[t].bandwidth_mbps;
		double load;

		if (work->level_of[t] != l || !work->room[t] || work->link[from][t] < size)
			continue;
		load = (double)(pool->blocks - min_u64(work->room[t], pool->blocks)) / (bandwidth ? bandwidth : 1);
		if (best == KVOFF_TIER_NONE || load < best_load) {
			best = t;
			best_load = load;
		}
	}
	return best;
}

static bool put(struct decide_work *work, const struct decide_input *in, uint32_t size_class, const struct heat *h,
		unsigned int l, struct decide_move *move)
{
	unsigned int to = pick_tier(work, in, size_class, h->tier, l);

	if (to == KVOFF_TIER_NONE)
		return false;
	work->room[to]--;
	work->link[h->tier][to] -= (uint64_t)KVOFF_BLOCK_SIZE_MIN << size_class;
	move->from = h->tier;
	move->to = (uint8_t)to;
	return true;
}

/* Picks still to be made in this direction. */
static bool picks_left(const struct decide_work *work, bool down)
{
	for (unsigned int l = 0; l < work->nr_levels; l++)
		if (down ? work->levels[l].nr_down : work->levels[l].nr_up)
			return true;
	return false;
}

static bool may_go_down(const struct decide_level *level, unsigned int key)
{
	return level->nr_down && (key < level->down_key || (key == level->down_key && level->down_ties));
}

static bool goes_down(struct decide_level *level, unsigned int key)
{
	if (!may_go_down(level, key))
		return false;
	level->down_ties -= key == level->down_key;
	level->nr_down--;
	return true;
}

static bool may_come_up(const struct decide_level *level, unsigned int key)
{
	return level->nr_up && (key > level->up_key || (key == level->up_key && level->up_ties));
}

/* Is this key one that a faster level takes? Such a block does not go down. */
static bool wanted_above(const struct decide_work *work, unsigned int l, unsigned int key)
{
	for (unsigned int to = 0; to < l; to++)
		if (work->levels[to].nr_up && key >= work->levels[to].up_key)
			return true;
	return false;
}

/* The level this block comes up to, or its own. */
static unsigned int comes_up(struct decide_work *work, unsigned int l, unsigned int key)
{
	for (unsigned int to = 0; to < l; to++) {
		struct decide_level *level = &work->levels[to];

		if (!may_come_up(level, key))
			continue;
		level->up_ties -= key == level->up_key;
		level->nr_up--;
		return to;
	}
	return l;
}

/* Can blocks of this row with this key go this way? */
static bool may_go(const struct decide_work *work, const struct census_row *row, unsigned int key, bool down)
{
	unsigned int l = work->level_of[row->tier];

	if (down)
		return may_go_down(&work->levels[l], key);
	for (unsigned int to = 0; to < l && rises(row->fresh, key); to++)
		if (may_come_up(&work->levels[to], key))
			return true;
	return false;
}

/* When blocks that can go this way were used last. */
static void find_windows(const struct decide_work *work, const struct decide_region *region, bool down,
			 struct census_windows *windows)
{
	const struct census *census = region->census;
	uint8_t step[HEAT_CELLS];

	census_windows_init(windows);
	census_steps(census, step);
	for (unsigned int r = 0; r < census->nr_rows; r++) {
		const struct census_row *row = census->rows[r];

		if (!row->nr || work->level_of[row->tier] == KVOFF_TIER_NONE)
			continue;
		for (unsigned int cell = 0; cell < HEAT_CELLS; cell++)
			if (row->cell[cell] &&
			    may_go(work, row, heat_class_key(region->keys, row->class, step[cell]), down))
				census_windows_add(census, windows, row, cell);
	}
}

/* Levels of which as many blocks with just the key at the cut are still to be picked: when one has none, fewer are seen. */
static unsigned int count_ties(const struct decide_work *work, bool down)
{
	unsigned int nr = 0;

	for (unsigned int l = 0; l < work->nr_levels; l++)
		nr += (down ? work->levels[l].down_ties : work->levels[l].up_ties) != 0;
	return nr;
}

/* One pass over the blocks in one direction. Demotions come first, so that the list makes room before it takes it. */
static size_t pick(struct decide_work *work, const struct decide_input *in, uint32_t size_class, bool down,
		   struct decide_move *moves, size_t max)
{
	uint64_t claims = claims_of(work, in, size_class);
	size_t nr = 0;

	for (size_t i = 0; i < in->nr_regions && nr < max && picks_left(work, down); i++) {
		unsigned int ties = count_ties(work, down);
		struct census_windows windows;
		struct walk w;

		if (in->regions[i].size_class != size_class)
			continue;
		if (in->regions[i].census)
			find_windows(work, &in->regions[i], down, &windows);
		walk_begin(&w, in, &in->regions[i], claims, &windows);
		while (nr < max && picks_left(work, down) && walk_next(&w)) {
			if (in->regions[i].census && count_ties(work, down) < ties) {
				ties = count_ties(work, down);
				find_windows(work, &in->regions[i], down, &windows);
			}
			for (uint64_t b = w.first; b < w.end && nr < max; b++) {
				const struct heat *h = &w.region->heat[b];
				struct decide_move *move = &moves[nr];
				unsigned int l, to;
				bool short_of;

				if (!movable(in, h))
					continue;
				l = work->level_of[h->tier];
				short_of = work->levels[l].short_of != 0;
				if (down) {
					if (rises(h->flags & HEAT_FRESH, w.key) && wanted_above(work, l, w.key))
						continue;
					if (!goes_down(&work->levels[l], w.key))
						continue;
					to = l + 1;
					move->reason = w.key == HEAT_KEY_COLD ? DECIDE_DEMOTE_HINT :
						       short_of ? DECIDE_DEMOTE_ROOM : DECIDE_DEMOTE_SWAP;
				} else {
					if (!rises(h->flags & HEAT_FRESH, w.key))
						continue;
					to = comes_up(work, l, w.key);
					if (to == l)
						continue;
					move->reason = w.key == HEAT_KEY_PREFETCH ? DECIDE_PROMOTE_PREFETCH :
						       DECIDE_PROMOTE_HOT;
				}
				if (!put(work, in, size_class, h, to, move))
					continue;
				move->region = (uint32_t)i;
				move->block = b;
				nr++;
			}
		}
	}
	return nr;
}

size_t decide(struct decide_work *work, const struct decide_input *in, struct decide_move *moves, size_t max)
{
	size_t nr = 0;

	if (in->rules.policy == DECIDE_STATIC)
		return 0;
	work->nr_levels = decide_levels(in->tiers, work->level_of);
	if (work->nr_levels < 2)
		return 0;
	memcpy(work->link, in->link_bytes, sizeof(work->link));

	for (uint32_t c = 0; c < KVOFF_NR_BLOCK_SIZES && nr < max; c++) {
		bool any = false;
		size_t left = max - nr;

		for (size_t i = 0; i < in->nr_regions; i++)
			any |= in->regions[i].size_class == c && in->regions[i].nr;
		if (!any)
			continue;
		measure(work, in, c);
		count(work, in, c);
		for (unsigned int l = 0; l < work->nr_levels; l++)
			plan_level(work, in, c, l, left);
		nr += pick(work, in, c, true, moves + nr, max - nr);
		nr += pick(work, in, c, false, moves + nr, max - nr);
	}
	return nr;
}
