// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <sys/mman.h>

#include "region.h"
#include "space.h"

#define SLAB_BYTES	 (64U << 10)
#define PAGE		 UINT64_C(4096)

/* So many spans that may or may not fit are looked at, before one that is sure to fit is cut. */
#define LOOK		 32

/* Up to this part of a request is given for starting it on a block, or for not straddling one. */
#define ALIGN_WASTE	 16

/* ------------------------------------------------------------------ descriptors */

static int reserve_descriptors(struct lkv_space *space, size_t nr)
{
	struct lkv_span *span;
	size_t i, room;
	void **slab;

	if (space->nr_unused >= nr)
		return 0;
	slab = lkv_pages(SLAB_BYTES);
	if (!slab)
		return -ENOMEM;
	*slab = space->slabs;
	space->slabs = slab;
	/* the first descriptor's room holds the link */
	span = (struct lkv_span *)slab + 1;
	room = SLAB_BYTES / sizeof(*span) - 1;
	for (i = 0; i < room; i++) {
		span[i].next = space->unused;
		space->unused = &span[i];
	}
	space->nr_unused += room;
	return 0;
}

static struct lkv_span *new_span(struct lkv_space *space, uint64_t start, uint64_t size)
{
	struct lkv_span *span = space->unused;

	space->unused = span->next;
	space->nr_unused--;
	*span = (struct lkv_span){ .start = start, .size = size };
	return span;
}

static void drop_span(struct lkv_space *space, struct lkv_span *span)
{
	span->next = space->unused;
	space->unused = span;
	space->nr_unused++;
}

/* ------------------------------------------------------------------ free spans, by size */

/* The class that holds spans of @size: all of a class's spans are at least as large as its smallest. */
static unsigned int class_of(uint64_t size)
{
	uint64_t grains = size >> LKV_GRAIN_SHIFT;
	unsigned int top;

	if (grains < LKV_SUB)
		return (unsigned int)grains;
	top = 63 - (unsigned int)__builtin_clzll(grains);
	return (top - LKV_SUB_SHIFT + 1) * LKV_SUB + ((unsigned int)(grains >> (top - LKV_SUB_SHIFT)) & (LKV_SUB - 1));
}

/* The first class of which every span has @size. */
static unsigned int sure_class(uint64_t size)
{
	uint64_t grains = (size + LKV_GRAIN - 1) >> LKV_GRAIN_SHIFT;
	unsigned int top;

	if (grains >= LKV_SUB) {
		top = 63 - (unsigned int)__builtin_clzll(grains);
		grains += (UINT64_C(1) << (top - LKV_SUB_SHIFT)) - 1;
	}
	return class_of(grains << LKV_GRAIN_SHIFT);
}

/* The first class from @class on that has a span, LKV_CLASSES if none has. */
static unsigned int next_class(const struct lkv_space *space, unsigned int class)
{
	unsigned int group = class / LKV_SUB;
	uint64_t groups;
	uint32_t subs;

	if (class >= LKV_CLASSES)
		return LKV_CLASSES;
	subs = space->subs[group] & (~0U << (class % LKV_SUB));
	if (!subs) {
		groups = space->groups & (~UINT64_C(1) << group);
		if (!groups)
			return LKV_CLASSES;
		group = (unsigned int)__builtin_ctzll(groups);
		subs = space->subs[group];
	}
	return group * LKV_SUB + (unsigned int)__builtin_ctz(subs);
}

static void add_free(struct lkv_space *space, struct lkv_span *span)
{
	unsigned int class = class_of(span->size);

	span->asked = 0;
	span->prev = NULL;
	span->next = space->class[class];
	if (span->next)
		span->next->prev = span;
	space->class[class] = span;
	space->subs[class / LKV_SUB] |= 1U << (class % LKV_SUB);
	space->groups |= UINT64_C(1) << (class / LKV_SUB);
}

static void remove_free(struct lkv_space *space, struct lkv_span *span)
{
	unsigned int class = class_of(span->size);

	if (span->next)
		span->next->prev = span->prev;
	if (span->prev)
		span->prev->next = span->next;
	else
		space->class[class] = span->next;
	if (space->class[class])
		return;
	space->subs[class / LKV_SUB] &= ~(1U << (class % LKV_SUB));
	if (!space->subs[class / LKV_SUB])
		space->groups &= ~(UINT64_C(1) << (class / LKV_SUB));
}

/* ------------------------------------------------------------------ taken spans, by address */

/*
 * Linear hashing: the table grows by one bucket, split off another one, so that no allocation pays for
 * rehashing millions.
 */
static struct lkv_span **bucket_at(struct lkv_space *space, uint64_t nr)
{
	unsigned int segment;

	if (nr < LKV_FIRST_BUCKETS)
		return &space->segment[0][nr];
	segment = 64 - (unsigned int)__builtin_clzll(nr / LKV_FIRST_BUCKETS);
	return &space->segment[segment][nr - ((uint64_t)LKV_FIRST_BUCKETS << (segment - 1))];
}

static struct lkv_span **bucket_of(struct lkv_space *space, uint64_t start)
{
	uint64_t hash = ((start >> LKV_GRAIN_SHIFT) * UINT64_C(0x9e3779b97f4a7c15)) >> 32;
	unsigned int top = 63 - (unsigned int)__builtin_clzll(space->nr_buckets);
	uint64_t low = (UINT64_C(1) << top) - 1, nr = hash & (low << 1 | 1);

	return bucket_at(space, nr < space->nr_buckets ? nr : nr & low);
}

static void grow_table(struct lkv_space *space)
{
	uint64_t nr = space->nr_buckets, low = UINT64_C(1) << (63 - (unsigned int)__builtin_clzll(nr));
	struct lkv_span *span, *next, **bucket;
	unsigned int segment = 64 - (unsigned int)__builtin_clzll(nr / LKV_FIRST_BUCKETS);

	/* not to be able to grow costs time only */
	if (segment >= LKV_SEGMENTS)
		return;
	if (!space->segment[segment]) {
		space->segment[segment] = lkv_pages(sizeof(*bucket) * LKV_FIRST_BUCKETS << (segment - 1));
		if (!space->segment[segment])
			return;
	}
	bucket = bucket_at(space, nr - low);
	span = *bucket;
	*bucket = NULL;
	*bucket_at(space, nr) = NULL;
	space->nr_buckets++;
	for (; span; span = next) {
		next = span->next;
		bucket = bucket_of(space, span->start);
		span->next = *bucket;
		*bucket = span;
	}
}

static void add_taken(struct lkv_space *space, struct lkv_span *span)
{
	struct lkv_span **bucket;

	if (space->nr_taken >= space->nr_buckets)
		grow_table(space);
	bucket = bucket_of(space, span->start);
	span->next = *bucket;
	*bucket = span;
	space->nr_taken++;
}

static void remove_taken(struct lkv_space *space, struct lkv_span *span)
{
	struct lkv_span **link = bucket_of(space, span->start);

	while (*link != span)
		link = &(*link)->next;
	*link = span->next;
	space->nr_taken--;
}

struct lkv_span *lkv_space_lookup(struct lkv_space *space, uint64_t start)
{
	struct lkv_span *span = *bucket_of(space, start);

	while (span && span->start != start)
		span = span->next;
	return span;
}

/* ------------------------------------------------------------------ placing */

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) & ~(to - 1);
}

/**
 * struct shape - what a request needs beside its size
 * @size:	bytes, in grains
 * @align:	power of two, at least LKV_GRAIN
 * @whole:	it should not straddle a block
 */
struct shape {
	uint64_t size;
	uint64_t align;
	bool whole;
};

/*
 * Starting every large request on a block would waste half of the memory where they are a little more than a block,
 * so they start on one where that leaves little unused, and are packed otherwise.
 */
static struct shape shape_of(const struct lkv_space *space, uint64_t asked, uint64_t align)
{
	struct shape shape = { .size = round_up(asked, LKV_GRAIN), .align = LKV_GRAIN };
	uint64_t size = shape.size, block = space->block, step;

	/* what a size is a multiple of costs nothing; a page costs a large request little */
	while (shape.align < PAGE && !(asked & (shape.align * 2 - 1)))
		shape.align <<= 1;
	if (size >= 16 * PAGE)
		shape.align = PAGE;
	if (size >= block) {
		if (round_up(size, block) - size <= size / ALIGN_WASTE)
			shape.align = block;
	} else {
		step = round_up(size, align > shape.align ? align : shape.align);
		shape.whole = step >= block || block - block / step * size <= block / ALIGN_WASTE;
	}
	if (shape.align < align)
		shape.align = align;
	return shape;
}

/*
 * What is left of the block is no use to another request of this size: it goes with this one. On a list it would be in the
 * class of such requests, or close to it, and in the way of holes that are large enough.
 */
static void take_tail(const struct lkv_space *space, struct lkv_place *place)
{
	uint64_t end = place->start + place->size, tail = round_up(end, space->block) - end;

	if (tail < place->size && tail <= space->block / ALIGN_WASTE &&
	    end + tail <= place->span->start + place->span->size)
		place->size += tail;
}

static bool fits(const struct lkv_space *space, struct lkv_span *span, const struct shape *shape,
		 struct lkv_place *place)
{
	uint64_t start = round_up(space->base + span->start, shape->align) - space->base;

	if (shape->whole && (start & (space->block - 1)) + shape->size > space->block)
		start = round_up(space->base + start, shape->align > space->block ? shape->align : space->block) -
			space->base;
	if (start + shape->size > span->start + span->size)
		return false;
	*place = (struct lkv_place){ .span = span, .start = start, .size = shape->size };
	if (shape->whole)
		take_tail(space, place);
	return true;
}

/*
 * Spans of the request's own class come first although they may be a little too small: holes that requests of one
 * size left are all there, and are to be used again before any new memory.
 */
static bool find_shape(struct lkv_space *space, const struct shape *shape, struct lkv_place *place)
{
	uint64_t most = shape->size + shape->align - LKV_GRAIN;
	struct lkv_span *span;
	unsigned int class, look = LOOK;

	for (class = next_class(space, class_of(shape->size)); class < LKV_CLASSES; class = next_class(space, class + 1))
		for (span = space->class[class]; span; span = span->next) {
			if (fits(space, span, shape, place))
				return true;
			if (!--look)
				goto sure;
		}
	return false;
sure:
	if (shape->whole)
		most += shape->size;
	class = next_class(space, sure_class(most));
	return class < LKV_CLASSES && fits(space, space->class[class], shape, place);
}

/* Looks at every span that may fit: for a request that would fail otherwise. */
static bool find_any(struct lkv_space *space, const struct shape *shape, struct lkv_place *place)
{
	struct lkv_span *span;
	unsigned int class;

	for (class = next_class(space, class_of(shape->size)); class < LKV_CLASSES; class = next_class(space, class + 1))
		for (span = space->class[class]; span; span = span->next)
			if (fits(space, span, shape, place))
				return true;
	return false;
}

bool lkv_space_find(struct lkv_space *space, uint64_t asked, uint64_t align, struct lkv_place *place)
{
	struct shape shape = shape_of(space, asked, align);

	if (find_shape(space, &shape, place))
		return true;
	/* they must: what is only better than not is given up, then what is only faster */
	shape.whole = false;
	if (shape.align == space->block && align < space->block)
		shape.align = align > PAGE ? align : PAGE;
	return find_shape(space, &shape, place) || find_any(space, &shape, place);
}

/* ------------------------------------------------------------------ taking and giving */

/* Cuts @size bytes off the low end of @span; returns them as a span of their own, in no list. */
static struct lkv_span *cut_low(struct lkv_space *space, struct lkv_span *span, uint64_t size)
{
	struct lkv_span *low = new_span(space, span->start, size);

	low->below = span->below;
	low->above = span;
	if (low->below)
		low->below->above = low;
	span->below = low;
	span->start += size;
	span->size -= size;
	return low;
}

int lkv_space_take(struct lkv_space *space, const struct lkv_place *place, uint64_t asked)
{
	struct lkv_span *span = place->span;

	if (reserve_descriptors(space, 2))
		return -ENOMEM;
	remove_free(space, span);
	if (place->start > span->start)
		add_free(space, cut_low(space, span, place->start - span->start));
	if (place->size < span->size) {
		struct lkv_span *rest = span;

		span = cut_low(space, rest, place->size);
		add_free(space, rest);
	}
	span->asked = asked;
	add_taken(space, span);
	return 0;
}

/* Makes @low and @high, which touch, one. */
static struct lkv_span *join(struct lkv_space *space, struct lkv_span *low, struct lkv_span *high)
{
	low->size += high->size;
	low->above = high->above;
	if (low->above)
		low->above->below = low;
	drop_span(space, high);
	return low;
}

struct lkv_span *lkv_space_give(struct lkv_space *space, struct lkv_span *span)
{
	struct lkv_span *below = span->below, *above = span->above;

	remove_taken(space, span);
	if (above && !above->asked) {
		remove_free(space, above);
		join(space, span, above);
	}
	if (below && !below->asked) {
		remove_free(space, below);
		span = join(space, below, span);
	}
	add_free(space, span);
	return span;
}

int lkv_space_init(struct lkv_space *space, uintptr_t base, uint64_t length, uint64_t block)
{
	space->base = base;
	space->block = block;
	space->segment[0] = lkv_pages(sizeof(struct lkv_span *) * LKV_FIRST_BUCKETS);
	if (!space->segment[0] || reserve_descriptors(space, 1))
		return -ENOMEM;
	space->nr_buckets = LKV_FIRST_BUCKETS;
	add_free(space, new_span(space, 0, length));
	return 0;
}

void lkv_space_destroy(struct lkv_space *space)
{
	unsigned int segment;
	void *slab = space->slabs, *next;

	for (; slab; slab = next) {
		next = *(void **)slab;
		munmap(slab, SLAB_BYTES);
	}
	for (segment = 0; segment < LKV_SEGMENTS; segment++)
		if (space->segment[segment])
			munmap(space->segment[segment], sizeof(struct lkv_span *) * LKV_FIRST_BUCKETS
								<< (segment ? segment - 1 : 0));
}
