/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the attacks on single structures and those on commands in flight have in common: a region of known bytes, and
 * an arena for buffers.
 */
#ifndef PARSERS_H
#define PARSERS_H

#include "tests/kselftest/rig.h"

#define BS		(64 * KIB)
#define NR		32

extern struct rig rig;
extern struct region *region;
extern uint8_t *arena;

uint64_t rnd(void);
struct kvoff_move_desc *descs(void);
struct kvoff_move_result *results(void);
/* Moves of all blocks, each to either tier; and the command for them. */
void set_descs(void);
void set_move(struct kvoff_ctl_move *cmd);
/* Words of the region that are not what they were. */
uint64_t wrong_bytes(void);

/* ---- inflight.c ---- each goes on for so long, and says how much was wrong */
unsigned int changing_hands(unsigned int seconds);
unsigned int killed_submitters(unsigned int seconds);
unsigned int coming_and_going(unsigned int seconds);

#endif /* PARSERS_H */
