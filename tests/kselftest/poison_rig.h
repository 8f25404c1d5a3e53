/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making memory go bad, and seeing what became of it. Functions that return int give 0 or -errno unless they say
 * otherwise.
 */
#ifndef POISON_RIG_H
#define POISON_RIG_H

#include "rig.h"

/* Bits of /proc/kpageflags */
#define KPF_BUDDY	10
#define KPF_HWPOISON	19

#ifndef MADV_HWPOISON
#define MADV_HWPOISON	100
#endif

/* Copies from bad pages fail, as they do where there is hardware that knows of bad pages. */
int copies_fail(bool fail);
/* The page frame number behind an address that is mapped now, 0 if there is none. */
uint64_t pfn_of(const void *at);
uint64_t block_pfn(const struct region *r, uint64_t block);
/* Has a page this bit in /proc/kpageflags? */
bool page_has(uint64_t pfn, unsigned int bit);
/* KVOFF_CTL_POISON; @frames may be NULL. */
int tell(const struct rig *rig, uint64_t addr, uint64_t length, uint32_t *frames);
/* memory_failure() for one page. */
int hit(uint64_t pfn);

uint32_t flags_of(const struct region *r, uint64_t block);
/* A region with fill()ed blocks, each with its number as salt. */
struct region *filled(struct rig *rig, uint32_t bs, uint64_t nr);
/* Words that are not what filled() put there, in all blocks but one. */
uint64_t wrong_but(const struct region *r, uint64_t but);

/* Use every frame that can be had: does any of @nr pages from @pfn on come back? */
bool comes_back(struct rig *rig, uint32_t bs, uint64_t pfn, uint64_t nr);

/* Every frame of a tier is in one place. A zeroed one may be on its way. */
bool adds_up(const char *tier, uint32_t bs);
bool wait_poisoned(const char *tier, uint64_t bytes);

/* 0, or the si_code of the SIGBUS that a load from, or a store to, this address ends with. */
int touch_code(volatile uint8_t *at, bool store);
/* What write(2) makes of it: 0 or an errno. */
int write_errno(const void *at);

#endif /* POISON_RIG_H */
