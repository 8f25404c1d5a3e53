// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The book: which addresses of the region the program has, one piece for each allocation until munmap() takes a part of
 * it. A sorted array, as there are few: nothing small is in here. No malloc(): it is below that.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "run.h"

#define FIRST_PIECES 1024
#define SLAB_EXTENTS 1024

struct piece *book;
size_t book_nr;
static size_t book_room;
static struct extent *unused;

static void *pages(size_t bytes)
{
	void *p = real_mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int book_reserve(void)
{
	size_t room = book_room ? book_room * 2 : FIRST_PIECES;
	void *p;

	if (book_nr < book_room)
		return 0;
	if (book)
		p = real_mremap(book, book_room * sizeof(*book), room * sizeof(*book), MREMAP_MAYMOVE, NULL);
	else
		p = pages(room * sizeof(*book));
	if (!p || p == MAP_FAILED)
		return -ENOMEM;
	book = p;
	book_room = room;
	return 0;
}

static struct extent *new_extent(void)
{
	struct extent *extent = unused;
	size_t i;

	if (!extent) {
		extent = pages(SLAB_EXTENTS * sizeof(*extent));
		if (!extent)
			return NULL;
		for (i = 1; i < SLAB_EXTENTS; i++) {
			extent[i].next = unused;
			unused = &extent[i];
		}
	} else {
		unused = extent->next;
	}
	memset(extent, 0, sizeof(*extent));
	return extent;
}

size_t book_find(const char *p)
{
	size_t low = 0, high = book_nr, middle;

	while (low < high) {
		middle = (low + high) / 2;
		if (book[middle].start + book[middle].len > p)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void insert(size_t i, const struct piece *piece)
{
	memmove(book + i + 1, book + i, (book_nr - i) * sizeof(*book));
	book[i] = *piece;
	book_nr++;
}

static void drop(size_t i)
{
	book_nr--;
	memmove(book + i, book + i + 1, (book_nr - i) * sizeof(*book));
}

struct extent *book_add(char *start, size_t len, size_t room, bool mapped)
{
	struct piece piece = { .start = start, .len = len };

	if (book_reserve())
		return NULL;
	piece.of = new_extent();
	if (!piece.of)
		return NULL;
	piece.of->start = start;
	piece.of->room = room;
	piece.of->live = len;
	piece.of->mapped = mapped;
	insert(book_find(start), &piece);
	return piece.of;
}

void book_cut(size_t i, char *start, size_t len)
{
	struct piece whole = book[i], above = whole;
	size_t before = (size_t)(start - whole.start), after = whole.len - before - len;

	whole.of->live -= len;
	above.start = start + len;
	above.len = after;
	if (before && after) {
		book[i].len = before;
		insert(i + 1, &above);
	} else if (before) {
		book[i].len = before;
	} else if (after) {
		book[i] = above;
	} else {
		drop(i);
	}
}

void book_drop_extent(struct extent *extent)
{
	extent->next = unused;
	unused = extent;
}
