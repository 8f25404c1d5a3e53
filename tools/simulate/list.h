/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lists of blocks, each block in at most one list of a set: neighbours by block number, so that nothing is allocated.
 */
#ifndef KVOFF_SIMULATE_LIST_H
#define KVOFF_SIMULATE_LIST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define LIST_END	UINT32_MAX

/** struct links - neighbours of each block in its list */
struct links {
	uint32_t *next;
	uint32_t *prev;
};

/** struct list - blocks from @head, where they come in, to @tail */
struct list {
	uint32_t head;
	uint32_t tail;
	uint32_t nr;
};

#define LIST_INIT	((struct list) { .head = LIST_END, .tail = LIST_END })

static inline bool links_init(struct links *links, uint32_t nr_blocks)
{
	links->next = malloc(((size_t)nr_blocks + 1) * sizeof(uint32_t));
	links->prev = malloc(((size_t)nr_blocks + 1) * sizeof(uint32_t));
	return links->next && links->prev;
}

static inline void links_free(struct links *links)
{
	free(links->next);
	free(links->prev);
}

static inline void list_push(struct list *list, struct links *links, uint32_t block)
{
	links->next[block] = list->head;
	links->prev[block] = LIST_END;
	if (list->head != LIST_END)
		links->prev[list->head] = block;
	else
		list->tail = block;
	list->head = block;
	list->nr++;
}

static inline void list_remove(struct list *list, struct links *links, uint32_t block)
{
	uint32_t next = links->next[block], prev = links->prev[block];

	if (prev != LIST_END)
		links->next[prev] = next;
	else
		list->head = next;
	if (next != LIST_END)
		links->prev[next] = prev;
	else
		list->tail = prev;
	list->nr--;
}

/* Takes the block at the tail, which there must be. */
static inline uint32_t list_pop(struct list *list, struct links *links)
{
	uint32_t block = list->tail;

	list_remove(list, links, block);
	return block;
}

#endif
