// SPDX-License-Identifier: GPL-2.0-or-later
/* Counting blocks. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "census.h"

/* All units are looked at once in so many hundredths of a second, whether they change or not. */
#define SWEEP		(1u << 15)

/* Differences of times may not come near to the wrap. */
#define IDLE_MAX	(1u << 30)

/* A unit that waits for an event and not for a time. */
#define NEVER		(1u << 29)

/* Longer arrays may have huge pages: those of regions of some hundred thousand blocks. */
#define HUGE		(2u << 20)

void census_huge(void *map, size_t bytes)
{
	/* blocks are visited here and there, and the processor's table of pages is small; it is advice only */
	if (bytes >= HUGE)
		madvise(map, bytes, MADV_HUGEPAGE);
}

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
	census_huge(map, bytes);
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
		words * 64 * sizeof(*c->tag),
		words * sizeof(*c->out),
		words * sizeof(*c->loose),
		words * sizeof(*c->walk),
		words * 4 * sizeof(*c->due),
		c->unit > 1 ? words * 64 * sizeof(*c->lead) : 0,
	};
	int err = 0;

	for (unsigned int i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
		err = err ? err : grow(&c->arrays[i], bytes[i]);
	c->heat = c->arrays[0].map;
	c->tag = c->arrays[1].map;
	c->out = c->arrays[2].map;
	c->loose = c->arrays[3].map;
	c->walk = c->arrays[4].map;
	c->due = c->arrays[5].map;
	c->lead = c->arrays[6].map;
	c->nr = err ? c->nr : nr;
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

/* Take a unit out of the counts, if it is there: only then has it a tag. */
static void uncount(struct census *c, uint64_t unit)
{
	unsigned int class, cell;
	uint32_t used;

	if (c->tag[unit] == CENSUS_NONE)
		return;
	class = class_of(c, unit, &used);
	cell = heat_cell(c->now, used);
	for (uint64_t b = unit * c->unit; b < unit_end(c, unit); b++) {
		const struct heat *h = &c->heat[b];
		struct census_row *row;

		if (!(h->flags & HEAT_PRESENT))
			continue;
		row = c->rows[c->row_of[census_row_index(h->tier, h->flags & HEAT_FRESH, class)] - 1];
		row->nr--;
		row->cell[cell]--;
	}
	c->tag[unit] = CENSUS_NONE;
}

/* Let a unit that is not counted be tried the next time. */
static void let_loose(struct census *c, uint64_t unit)
{
	uint64_t bit = 1ull << unit % 64;

	c->out[unit / 64] |= bit;
	c->loose[unit / 64] |= bit;
	c->walk[unit / 64] &= ~bit;
}

static void loosen(struct census *c, uint64_t unit)
{
	uncount(c, unit);
	let_loose(c, unit);
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
		if (c->tag[c->swept] != CENSUS_NONE) {
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
				rates->exposure[i][step[cell] / HEAT_BIN_STEPS] +=
					(double)c->ages[i][cell] * since / HEAT_SEC;
	if (c->nr)
		sweep(c, since);
}

/* How long this block is still held out of the counts; 0: not any more. */
static inline uint32_t held(const struct heat *h, uint32_t now, uint32_t residence, uint32_t prefetch)
{
	uint32_t placed = now - h->placed, hinted = now - h->hinted, left = placed < residence ? residence - placed : 0;

	if (!(h->flags & HEAT_PRESENT))
		return 0;
	if (h->refused && (int32_t)(now - h->retry) < 0 && h->retry - now > left)
		left = h->retry - now;
	if (h->flags & HEAT_IN_FLIGHT)
		left = NEVER;
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

static void count_tag(struct census *c, uint64_t unit, unsigned int mark, uint32_t used)
{
	if (c->now - used > CENSUS_OLD)
		used = c->now - CENSUS_OLD;
	c->tag[unit] = mark == CENSUS_NONE ? mark : used >> CENSUS_TAG_SHIFT << 8 | mark;
}

static bool count_unit(struct census *c, uint64_t unit, const struct heat_keys *keys)
{
	unsigned int class, cell, mark = CENSUS_NONE;
	uint64_t first = unit * c->unit, end = unit_end(c, unit);
	uint32_t used;

	choose_lead(c, unit, keys);
	class = class_of(c, unit, &used);
	for (uint64_t b = first; b < end; b++)
		if ((c->heat[b].flags & HEAT_PRESENT) && !row_of(c, &c->heat[b], class))
			return false;
	cell = heat_cell(c->now, used);
	for (uint64_t b = first; b < end; b++) {
		const struct heat *h = &c->heat[b];
		unsigned int kind = census_mark(h->tier, h->flags & HEAT_FRESH, class);
		struct census_row *row;

		if (!(h->flags & HEAT_PRESENT))
			continue;
		row = row_of(c, h, class);
		row->nr++;
		row->cell[cell]++;
		mark = mark == CENSUS_NONE || mark == kind ? kind : CENSUS_MIXED;
	}
	count_tag(c, unit, mark, used);
	return true;
}

static bool count_block(struct census *c, uint64_t block)
{
	const struct heat *h = &c->heat[block];
	unsigned int class = heat_class(h);
	struct census_row *row;

	if (!(h->flags & HEAT_PRESENT))
		return true;
	row = row_of(c, h, class);
	if (!row)
		return false;
	row->nr++;
	row->cell[heat_cell(c->now, h->used)]++;
	count_tag(c, block, census_mark(h->tier, h->flags & HEAT_FRESH, class), h->used);
	return true;
}

/* Count a unit, or say for how long it cannot be, and whether it must be looked at all the same. */
static uint32_t settle(struct census *c, uint64_t unit, const struct heat_keys *keys, bool *walk)
{
	uint32_t left = 0, residence = c->residence, prefetch = c->prefetch;

	if (c->unit == 1) {
		left = held(&c->heat[unit], c->now, residence, prefetch);
		*walk = left ? heat_prefetch(&c->heat[unit], c->now, prefetch) : !count_block(c, unit);
		return left + (!left && *walk);
	}
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

/* Whether a unit that was out of the counts stays there: for so long, 0 for no longer. */
static void hold(struct census *c, uint64_t unit, uint32_t left, bool walk)
{
	uint64_t word = unit / 64, bit = 1ull << unit % 64;
	uint32_t *due = &c->due[unit / 16];

	if (!left) {
		c->out[word] &= ~bit;
	} else {
		if (!(c->out[word] >> unit % 64 / 16 * 16 & 0xffff) || (int32_t)(c->now + left - *due) < 0)
			*due = c->now + left;
		c->out[word] |= bit;
	}
	c->loose[word] &= ~bit;
	c->walk[word] = walk ? c->walk[word] | bit : c->walk[word] & ~bit;
}

unsigned int census_see(struct census *c, uint64_t block, struct heat_rates *rates, const struct heat_look *look)
{
	struct heat *h = &c->heat[block];
	unsigned int saw;

	/* most of a sparse region is neither there nor was it */
	if (!(look->flags & HEAT_PRESENT) && !(h->flags & HEAT_PRESENT))
		return 0;
	uncount(c, c->unit == 1 ? block : block / c->unit);
	if (h->flags & HEAT_PRESENT)
		c->ages[heat_count_class(h->uses)][heat_cell(c->now, h->used)]--;
	saw = heat_see(h, rates, look, c->now, 0);
	if (h->flags & HEAT_PRESENT)
		c->ages[heat_count_class(h->uses)][heat_cell(c->now, h->used)]++;
	/* a unit is counted when all that changes in it has changed; a block at once, while it is at hand */
	if (c->unit == 1 && c->settled) {
		bool walk;
		uint32_t left = settle(c, block, NULL, &walk);

		hold(c, block, left, walk);
	} else {
		let_loose(c, c->unit == 1 ? block : block / c->unit);
	}
	return saw;
}

/* Which of 64 units are to be counted now if they can be. */
static uint64_t to_settle(const struct census *c, uint64_t word)
{
	uint64_t out = c->out[word], bits = c->loose[word];

	if (!out)
		return 0;
	for (unsigned int part = 0; part < 4; part++)
		if ((int32_t)(c->due[word * 4 + part] - c->now) <= 0)
			bits |= out & 0xffffull << part * 16;
	return bits;
}

void census_expect(const struct census *c, uint64_t word, const uint64_t bits[CENSUS_WORDS])
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < CENSUS_WORDS; i++)
		for (uint64_t left = bits[i]; left; left &= left - 1) {
			uint64_t unit = (word + i) * 64 + (unsigned int)__builtin_ctzll(left);

			sum += c->heat[unit * c->unit].used + c->tag[unit];
		}
	/* the compiler must not leave out the reads for want of a use */
	__asm__ volatile("" : : "r"(sum));
}

/* The same for 16 units of a word. */
static void settle_part(struct census *c, uint64_t part, uint64_t bits, const struct heat_keys *keys)
{
	uint64_t word = part / 4;
	uint32_t next = c->due[part] - c->now;

	/* when it was due, all that is out is tried */
	if ((int32_t)next <= 0)
		next = NEVER;
	for (; bits; bits &= bits - 1) {
		uint64_t bit = bits & -bits, unit = word * 64 + (unsigned int)__builtin_ctzll(bits);
		bool walk;
		uint32_t left = settle(c, unit, keys, &walk);

		c->walk[word] = walk ? c->walk[word] | bit : c->walk[word] & ~bit;
		if (!left)
			c->out[word] &= ~bit;
		else if (left < next)
			next = left;
	}
	c->due[part] = c->now + next;
}

static void settle_word(struct census *c, uint64_t word, uint64_t bits, const struct heat_keys *keys)
{
	c->loose[word] = 0;
	for (unsigned int part = 0; part < 4; part++)
		if (bits & 0xffffull << part * 16)
			settle_part(c, word * 4 + part, bits & 0xffffull << part * 16, keys);
}

void census_settle(struct census *c, const struct heat_keys *keys, uint32_t residence, uint32_t prefetch)
{
	uint64_t words = (census_units(c) + 63) / 64, bits[CENSUS_WORDS];

	c->settled = true;
	c->residence = residence;
	c->prefetch = prefetch;
	for (uint64_t word = 0; word < words; word += CENSUS_WORDS) {
		for (unsigned int i = 0; i < CENSUS_WORDS; i++)
			bits[i] = word + i < words ? to_settle(c, word + i) : 0;
		census_expect(c, word, bits);
		for (unsigned int i = 0; i < CENSUS_WORDS; i++)
			if (bits[i])
				settle_word(c, word + i, bits[i], keys);
	}
}

/* The class of an age in units of tags, below CENSUS_AGES. */
static inline unsigned int age_class(uint32_t age)
{
	unsigned int octave;

	if (age < 8)
		return age;
	octave = 31 - (unsigned int)__builtin_clz(age);
	return (octave - 2) * 8 + ((age >> (octave - 3)) & 7);
}

void census_windows_init(struct census_windows *w)
{
	memset(w, 0, sizeof(*w));
	w->youngest = CENSUS_TAG_TIME;
}

void census_windows_add(const struct census *c, struct census_windows *w, const struct census_row *row,
			unsigned int cell)
{
	unsigned int level = cell / HEAT_RING, mark = census_mark(row->tier, row->fresh, row->class);
	uint32_t behind = ((c->now >> level) - cell) % HEAT_RING;
	uint32_t first = ((c->now >> level) - behind) << level, last = first + (1u << level) - 1;
	uint32_t oldest, youngest;

	/* what is older than tags can tell may have any time from there back */
	if (cell == HEAT_CELLS - 1 || c->now - first >= CENSUS_OLD)
		first = c->now - 2 * CENSUS_OLD + (2u << CENSUS_TAG_SHIFT);
	if (cell == HEAT_CELLS - 1)
		last = c->now - (HEAT_RING / 2 << HEAT_LEVELS) + (1u << HEAT_LEVELS);
	if (c->now - last >= CENSUS_OLD)
		last = c->now - CENSUS_OLD;
	oldest = ((c->now >> CENSUS_TAG_SHIFT) - (first >> CENSUS_TAG_SHIFT)) & CENSUS_TAG_TIME;
	youngest = ((c->now >> CENSUS_TAG_SHIFT) - (last >> CENSUS_TAG_SHIFT)) & CENSUS_TAG_TIME;
	for (unsigned int age = age_class(youngest); age <= age_class(oldest); age++) {
		w->ages[mark][age / 64] |= 1ull << age % 64;
		/* units in several rows are counted in them by the same time */
		w->ages[CENSUS_MIXED][age / 64] |= 1ull << age % 64;
	}
	w->tiers |= 1u << row->tier;
	w->oldest = oldest > w->oldest ? oldest : w->oldest;
	w->youngest = youngest < w->youngest ? youngest : w->youngest;
}

#ifdef __SSE2__
/*
 * Those of 64 units whose tier and time of last use are between the windows' ends: most are not. Times stand above the
 * marks, so both are subtracted at once; comparisons are of signed numbers.
 */
static inline uint64_t match_ends(const uint32_t *tag, uint32_t now, const struct census_windows *w, bool several,
				  bool mixed)
{
	const __m128i flip = _mm_set1_epi32(INT32_MIN), high = _mm_set1_epi32(0xf0), all = _mm_set1_epi32(CENSUS_MIXED);
	const __m128i youngest = _mm_set1_epi32((int)((((now - w->youngest) << 8) | 0xff) ^ 0x80000000u));
	const __m128i span = _mm_xor_si128(flip, _mm_set1_epi32((int)((w->oldest - w->youngest) << 8 | 0xff)));
	const __m128i tier = _mm_set1_epi32(__builtin_ctz(w->tiers) * 16), zero = _mm_setzero_si128();
	uint64_t bits = 0;

	for (unsigned int i = 0; i < 64; i += 4) {
		__m128i tags = _mm_loadu_si128((const __m128i *)(tag + i)), tiers = _mm_and_si128(tags, high);
		__m128i in = _mm_cmpeq_epi32(tiers, tier);

		for (uint32_t more = several ? w->tiers & (w->tiers - 1) : 0; more; more &= more - 1)
			in = _mm_or_si128(in, _mm_cmpeq_epi32(tiers, _mm_set1_epi32(__builtin_ctz(more) * 16)));
		if (mixed)
			in = _mm_or_si128(in, _mm_cmpeq_epi32(_mm_and_si128(tags, all), all));
		/* to flip the sign bit before or after the subtraction is the same */
		in = _mm_andnot_si128(_mm_cmpgt_epi32(_mm_sub_epi32(youngest, tags), span), in);
		in = _mm_andnot_si128(_mm_cmpeq_epi32(tags, zero), in);
		bits |= (uint64_t)(unsigned int)_mm_movemask_ps(_mm_castsi128_ps(in)) << i;
	}
	return bits;
}
#else
static inline uint64_t match_ends(const uint32_t *tag, uint32_t now, const struct census_windows *w, bool several,
				  bool mixed)
{
	uint64_t bits = 0;

	for (unsigned int i = 0; i < 64; i++) {
		uint32_t age = (now - (tag[i] >> 8)) & CENSUS_TAG_TIME, mark = tag[i] & 0xff;
		bool tier = tag[i] && (w->tiers >> mark / 16 & 1 || (mixed && mark == CENSUS_MIXED));

		bits |= (uint64_t)(tier && age - w->youngest <= w->oldest - w->youngest) << i;
	}
	return bits;
}
#endif

uint64_t census_match(const struct census *c, uint64_t word, const struct census_windows *w)
{
	const uint32_t *tag = c->tag + word * 64;
	uint32_t now = c->now >> CENSUS_TAG_SHIFT;
	uint64_t bits, found = 0;

	if (!w->tiers)
		return 0;
	if (c->unit > 1)
		bits = match_ends(tag, now, w, true, true);
	else if (w->tiers & (w->tiers - 1))
		bits = match_ends(tag, now, w, true, false);
	else
		bits = match_ends(tag, now, w, false, false);
	for (; bits; bits &= bits - 1) {
		unsigned int i = (unsigned int)__builtin_ctzll(bits);
		unsigned int age = age_class((now - (tag[i] >> 8)) & CENSUS_TAG_TIME);

		found |= (w->ages[tag[i] & 0xff][age / 64] >> age % 64 & 1) << i;
	}
	return found;
}
