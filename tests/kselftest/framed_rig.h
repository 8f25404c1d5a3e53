/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Framed regions on the rig's two tiers. Functions that return int give 0 or -errno unless they say otherwise.
 */
#ifndef FRAMED_RIG_H
#define FRAMED_RIG_H

#include "rig.h"

enum { NEAR, FAR, NR_WINDOWS };

/**
 * struct framed - an attachment of a framed region
 * @r:		without data
 * @tier:	the number of each window's tier
 * @frames:	how many frames of each window are mapped
 * @window:	where
 */
struct framed {
	struct region r;
	uint32_t tier[NR_WINDOWS];
	uint64_t frames[NR_WINDOWS];
	uint8_t *window[NR_WINDOWS];
};

/* A region of @nr blocks with windows of @near and @far frames. */
int framed_create(struct rig *rig, struct framed *f, uint32_t bs, uint64_t nr, uint64_t near, uint64_t far);
/* Without windows or mappings; the descriptor or -errno. */
int framed_fd(struct rig *rig, uint32_t bs, uint64_t nr);
/* A further attachment with mappings of its own. @flags: O_RDWR or O_RDONLY (windows and state only, for reading). */
int framed_attach(const struct framed *from, struct framed *f, uint32_t flags);
void framed_close(struct framed *f);

/* @out may be NULL. */
int window_grow(int fd, uint32_t tier, uint64_t bytes, struct kvoff_region_window *out);
/* One block. */
int block_alloc(int fd, uint64_t block);
int block_free(int fd, uint64_t block);
/* Blocks first to first + nr - 1, at most KVOFF_BLOCKS_MAX; @done may be NULL. */
int blocks_alloc(int fd, uint64_t first, uint32_t nr, uint32_t *done);
int blocks_free(int fd, uint64_t first, uint32_t nr, uint32_t *done);
int region_seal(int fd, uint64_t first, uint64_t nr, uint64_t *sealed);
int region_eventfd(int fd, int eventfd);

/* The bytes that a location names, in this attachment's mapping. */
uint8_t *frame_of(const struct framed *f, uint64_t location);

/* Count in, and wait until the block stands still; its location. */
uint64_t acquire(const struct framed *f, uint64_t block);
void release(const struct framed *f, uint64_t block);

#endif /* FRAMED_RIG_H */
