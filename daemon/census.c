// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Counting blocks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "census.h"

/* All units are looked at once in so many hundredths of a second, whether they change or not. */
#define SWEEP		(1u << 13)

/* Differences of times may not come near to the wrap. */
#define IDLE_MAX	(1u << 30)

/* A unit that waits for an event and not for a time. */
#define NEVER		(1u << 29)

static int grow(struct census_array *array, size_t bytes)
{
	void *map;

	if (bytes <= array->bytes)
		return 0;
	if (array->map)
		map = mremap(array->map, array->bytes, bytes, MREMAP_MAYMOVE);
	else
		map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return -ENOMEM;
	array->map = map;
	array->bytes = bytes;
	return 0;
}

int census_resize(struct census *c, uint64_t nr)
{
	/* whole words of the bit maps, for all that is indexed by unit */
	uint64_t units = (nr + c->unit - 1) / c->unit, words = (units + 63) / 64;
	const size_t bytes[] = {
		nr * sizeof(*c->heat),
		words * 64 * sizeof(*c->mark),
		words * 64 * sizeof(*c->when),
		words * sizeof(*c->out),
		words * sizeof(*c->walk),
		words * sizeof(*c->due),
		c->unit > 1 ? words * 64 * sizeof(*c->lead) : 0,
	};
	int err = 0;

	for (unsigned int i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
		err = err ? err : grow(&c->arrays[i], bytes[i]);
	c->heat = c->arrays[0].map;
	c->mark = c->arrays[1].map;
	c->when = c->arrays[2].map;
	c->out = c->arrays[3].map;
	c->walk = c->arrays[4].map;
	c->due = c->arrays[5].map;
	c->lead = c->arrays[6].map;
	if (!err)
		c->nr = nr;
	return err;
}

void census_free(struct census *c)
{
	for (unsigned int i = 0; i < sizeof(c->arrays) / sizeof(c->arrays[0]); i++)
		if (c->arrays[i].map)
			munmap(c->arrays[i].map, c->arrays[i].bytes);
	for (unsigned int i = 0; i < c->nr_rows; i++)
		free(c->rows[i]);
	*c = (struct census) { .unit = c->unit };
}

/* What moves where when time passes, the same for every row: a cell's content to a coarser cell. */
struct shift {
	unsigned int nr;
	uint16_t from[HEAT_LEVELS * HEAT_RING];
	uint16_t to[HEAT_LEVELS * HEAT_RING];
};

/* Coarse levels first: what comes to a level must not be taken for what was there. */
static void plan_shift(struct shift *shift, uint32_t from, uint32_t to)
{
	shift->nr = 0;
	for (unsigned int level = HEAT_LEVELS; level--;) {
		uint32_t first = from >> level, passed = ((to >> level) - first) & (UINT32_MAX >> level);

		if (passed > HEAT_RING)
			passed = HEAT_RING;
		for (uint32_t i = 1; i <= passed; i++) {
			/* the position that is needed anew held what is a whole ring behind it */
			uint32_t was = (first + i - HEAT_RING) << level;

			shift->from[shift->nr] = (uint16_t)(level * HEAT_RING + (first + i) % HEAT_RING);
			shift->to[shift->nr++] = (uint16_t)heat_cell(to, was);
		}
	}
}

static void do_shift(const struct shift *shift, uint32_t *cell)
{
	for (unsigned int i = 0; i < shift->nr; i++) {
		uint32_t nr = cell[shift->from[i]];

		cell[shift->from[i]] = 0;
		cell[shift->to[i]] += nr;
	}
}

void census_steps(const struct census *c, uint8_t step[HEAT_CELLS])
{
	for (unsigned int cell = 0; cell < HEAT_CELLS; cell++) {
		unsigned int level = cell / HEAT_RING;

		step[cell] = (uint8_t)heat_step_of(level, ((c->now >> level) - cell) % HEAT_RING);
	}
	step[HEAT_CELLS - 1] = HEAT_IDLE_STEPS - 1;
}

static unsigned int class_of(const struct census *c, uint64_t unit, uint32_t *used)
{
	const struct heat *lead = &c->heat[unit * c->unit + (c->lead ? c->lead[unit] : 0)];

	*used = lead->used;
	return heat_class(lead);
}

static uint64_t unit_end(const struct census *c, uint64_t unit)
{
	uint64_t end = (unit + 1) * c->unit;

	return end < c->nr ? end : c->nr;
}

/* Take a unit out of the counts; it is tried again at once. */
static void loosen(struct census *c, uint64_t unit)
{
	uint64_t bit = 1ull << unit % 64;

	c->due[unit / 64] = c->now;
	if (!(c->out[unit / 64] & bit) && c->mark[unit] != CENSUS_NONE) {
		uint32_t used;
		unsigned int class = class_of(c, unit, &used), cell = heat_cell(c->now, used);

		for (uint64_t b = unit * c->unit; b < unit_end(c, unit); b++) {
			const struct heat *h = &c->heat[b];
			struct census_row *row;

			if (!(h->flags & HEAT_PRESENT))
				continue;
			row = c->rows[c->row_of[census_row_index(h->tier, h->flags & HEAT_FRESH, class)] - 1];
			row->nr--;
			row->cell[cell]--;
		}
		c->mark[unit] = CENSUS_NONE;
	}
	c->out[unit / 64] |= bit;
	c->walk[unit / 64] &= ~bit;
}

void census_loosen(struct census *c, uint64_t block)
{
	loosen(c, c->unit == 1 ? block : block / c->unit);
}

/* A block that nobody looks at for a year is idle for very long, not for a time after the wrap. */
static void sweep(struct census *c, uint32_t since)
{
	uint64_t units = census_units(c), nr = units * since / SWEEP + 1;

	for (nr = nr < units ? nr : units; nr; nr--) {
		if (c->swept >= units)
			c->swept = 0;
		if (c->mark[c->swept] != CENSUS_NONE) {
			loosen(c, c->swept);
			for (uint64_t b = c->swept * c->unit; b < unit_end(c, c->swept); b++) {
				struct heat *h = &c->heat[b];
				uint32_t oldest = c->now - IDLE_MAX;

				if (!(h->flags & HEAT_PRESENT))
					continue;
				/* both times are in the cell for what is older: @ages stay right */
				h->used = (int32_t)(h->used - oldest) < 0 ? oldest : h->used;
				h->placed = (int32_t)(h->placed - oldest) < 0 ? oldest : h->placed;
				h->hinted = (int32_t)(h->hinted - oldest) < 0 ? oldest : h->hinted;
				h->retry = (int32_t)(h->retry - oldest) < 0 ? oldest : h->retry;
			}
		}
		c->swept++;
	}
}

void census_advance(struct census *c, struct heat_rates *rates, uint32_t now, uint32_t since)
{
	uint8_t step[HEAT_CELLS];
	struct shift shift;

	plan_shift(&shift, c->now, now);
	for (unsigned int r = 0; r < c->nr_rows; r++)
		if (c->rows[r]->nr)
			do_shift(&shift, c->rows[r]->cell);
	for (unsigned int i = 0; i < HEAT_COUNTS; i++)
		do_shift(&shift, c->ages[i]);
	c->now = now;
	census_steps(c, step);
	for (unsigned int i = 0; i < HEAT_COUNTS; i++)
		for (unsigned int cell = 0; cell < HEAT_CELLS; cell++)
			if (c->ages[i][cell])
				rates->exposure[i][step[cell] / HEAT_STEPS] +=
					(double)c->ages[i][cell] * since / HEAT_SEC;
	if (c->nr)
		sweep(c, since);
}

unsigned int census_see(struct census *c, uint64_t block, struct heat_rates *rates, const struct heat_look *look)
{
	struct heat *h = &c->heat[block];
	unsigned int saw;

	/* most of a sparse region is neither there nor was it */
	if (!(look->flags & HEAT_PRESENT) && !(h->flags & HEAT_PRESENT))
		return 0;
	census_loosen(c, block);
	if (h->flags & HEAT_PRESENT)
		c->ages[heat_count_class(h->uses)][heat_cell(c->now, h->used)]--;
	saw = heat_see(h, rates, look, c->now, 0);
	if (h->flags & HEAT_PRESENT)
		c->ages[heat_count_class(h->uses)][heat_cell(c->now, h->used)]++;
	return saw;
}

/* How long this block is still held out of the counts; 0: not any more. */
static uint32_t held(const struct heat *h, uint32_t now, uint32_t residence, uint32_t prefetch)
{
	uint32_t placed = now - h->placed, hinted = now - h->hinted, left = 0;

	if (!(h->flags & HEAT_PRESENT))
		return 0;
	if (h->flags & HEAT_IN_FLIGHT)
		left = NEVER;
	else if (h->refused && (int32_t)(now - h->retry) < 0)
		left = h->retry - now;
	if (placed < residence && residence - placed > left)
		left = residence - placed;
	/* the hint's end changes the unit's key, whatever else holds the block */
	if ((h->flags & HEAT_PREFETCH) && hinted < prefetch && (!left || prefetch - hinted < left))
		left = prefetch - hinted;
	return left;
}

/* The row for a kind of block, made if there is none. NULL: no memory. */
static struct census_row *row_of(struct census *c, const struct heat *h, unsigned int class)
{
	bool fresh = h->flags & HEAT_FRESH;
	uint16_t *index = &c->row_of[census_row_index(h->tier, fresh, class)];
	struct census_row *row;

	if (*index)
		return c->rows[*index - 1];
	row = calloc(1, sizeof(*row));
	if (!row)
		return NULL;
	row->tier = h->tier;
	row->fresh = fresh;
	row->class = (uint16_t)class;
	c->rows[c->nr_rows++] = row;
	*index = c->nr_rows;
	return row;
}

static void choose_lead(struct census *c, uint64_t unit, const struct heat_keys *keys)
{
	uint64_t first = unit * c->unit, end = unit_end(c, unit), lead = first;
	unsigned int hottest = 0;

	for (uint64_t b = first; b < end; b++) {
		unsigned int key;

		if (!(c->heat[b].flags & HEAT_PRESENT))
			continue;
		key = heat_key(&c->heat[b], keys, c->now, 0) + 1;
		lead = key > hottest ? b : lead;
		hottest = key > hottest ? key : hottest;
	}
	c->lead[unit] = (uint16_t)(lead - first);
}

static bool count_unit(struct census *c, uint64_t unit, const struct heat_keys *keys)
{
	unsigned int class, cell, mark = CENSUS_NONE;
	uint64_t first = unit * c->unit, end = unit_end(c, unit);
	uint32_t used;

	if (c->lead)
		choose_lead(c, unit, keys);
	class = class_of(c, unit, &used);
	for (uint64_t b = first; b < end; b++)
		if ((c->heat[b].flags & HEAT_PRESENT) && !row_of(c, &c->heat[b], class))
			return false;
	cell = heat_cell(c->now, used);
	for (uint64_t b = first; b < end; b++) {
		const struct heat *h = &c->heat[b];
		struct census_row *row;
		unsigned int index;

		if (!(h->flags & HEAT_PRESENT))
			continue;
		index = c->row_of[census_row_index(h->tier, h->flags & HEAT_FRESH, class)];
		row = c->rows[index - 1];
		row->nr++;
		row->cell[cell]++;
		index = index < CENSUS_MIXED ? index : CENSUS_MIXED;
		mark = mark == CENSUS_NONE || mark == index ? index : CENSUS_MIXED;
	}
	if (c->now - used > CENSUS_OLD)
		used = c->now - CENSUS_OLD;
	c->mark[unit] = (uint8_t)mark;
	c->when[unit] = (uint16_t)(used >> CENSUS_WHEN_SHIFT);
	return true;
}

/* Count a unit, or say for how long it cannot be, and whether it must be looked at all the same. */
static uint32_t settle(struct census *c, uint64_t unit, const struct heat_keys *keys, uint32_t residence,
		       uint32_t prefetch, bool *walk)
{
	uint32_t left = 0;

	*walk = false;
	for (uint64_t b = unit * c->unit; b < unit_end(c, unit); b++) {
		const struct heat *h = &c->heat[b];
		uint32_t hold = held(h, c->now, residence, prefetch);

		left = !left || (hold && hold < left) ? hold : left;
		*walk |= (h->flags & HEAT_PRESENT) && (!hold || heat_prefetch(h, c->now, prefetch));
	}
	if (left)
		return left;
	*walk = !count_unit(c, unit, keys);
	return *walk;
}

void census_settle(struct census *c, const struct heat_keys *keys, uint32_t residence, uint32_t prefetch)
{
	uint64_t units = census_units(c);

	for (uint64_t word = 0; word * 64 < units; word++) {
		uint64_t bits = c->out[word];
		uint32_t next = NEVER;

		if (!bits || (int32_t)(c->due[word] - c->now) > 0)
			continue;
		for (; bits; bits &= bits - 1) {
			uint64_t bit = bits & -bits, unit = word * 64 + (unsigned int)__builtin_ctzll(bits);
			bool walk;
			uint32_t left = settle(c, unit, keys, residence, prefetch, &walk);

			c->walk[word] = walk ? c->walk[word] | bit : c->walk[word] & ~bit;
			if (!left)
				c->out[word] &= ~bit;
			else if (left < next)
				next = left;
		}
		c->due[word] = c->now + next;
	}
}

void census_window_add(const struct census *c, struct census_window *w, unsigned int cell)
{
	unsigned int level = cell / HEAT_RING;
	uint32_t behind = ((c->now >> level) - cell) % HEAT_RING;
	uint32_t first = ((c->now >> level) - behind) << level, last = first + (1u << level) - 1, end;

	/* what is older than @when can tell may have any time from there back */
	if (cell == HEAT_CELLS - 1 || c->now - first >= CENSUS_OLD)
		first = c->now - 2 * CENSUS_OLD + (2u << CENSUS_WHEN_SHIFT);
	if (cell == HEAT_CELLS - 1 || c->now - last >= CENSUS_OLD)
		last = c->now - CENSUS_OLD;
	first = (first >> CENSUS_WHEN_SHIFT) & 0xffff;
	last = (last >> CENSUS_WHEN_SHIFT) & 0xffff;
	if (!w->len) {
		w->first = (uint16_t)first;
		w->len = ((last - first) & 0xffff) + 1;
		return;
	}
	/* both ends are no further back than the ring is long: compare by how far */
	end = w->first + w->len - 1;
	{
		uint32_t now = c->now >> CENSUS_WHEN_SHIFT;
		uint32_t oldest = (now - w->first) & 0xffff, newest = (now - end) & 0xffff;

		if (((now - first) & 0xffff) > oldest)
			oldest = (now - first) & 0xffff;
		if (((now - last) & 0xffff) < newest)
			newest = (now - last) & 0xffff;
		w->first = (uint16_t)(now - oldest);
		w->len = oldest - newest + 1;
	}
}

uint64_t census_match(const struct census *c, uint64_t word, const struct census_window *windows)
{
	const uint8_t *mark = c->mark + word * 64;
	const uint16_t *when = c->when + word * 64;
	uint64_t bits = 0;

	for (unsigned int i = 0; i < 64; i++) {
		const struct census_window *w = &windows[mark[i]];

		bits |= (uint64_t)((uint16_t)(when[i] - w->first) < w->len) << i;
	}
	return bits;
}
