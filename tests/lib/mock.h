/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The module as libkvoff sees it: open(), access(), ioctl() and mmap() of the library end here (-Wl,--wrap). It checks
 * every argument against kvoff.h, and keeps the promises of commit and discard, so that a library that breaks its part
 * of them is found out. One region at a time.
 */
#ifndef TESTS_LIB_MOCK_H
#define TESTS_LIB_MOCK_H

#define MOCK_UNITS_MAX 600
#define MOCK_WINDOW_MAX 64

#include <stdbool.h>
#include <stdint.h>

#include "kvoff.h"
#include "libkvoff.h"

/* Which call; what mock.calls counts and mock.fail is about. */
enum mock_call {
	MOCK_CREATE,
	MOCK_ATTACH,
	MOCK_INFO,
	MOCK_COMMIT,
	MOCK_UNCOMMIT,
	MOCK_DISCARD,
	MOCK_SETTLE,
	MOCK_OPEN,
	MOCK_SEAL,
	MOCK_UNITS,
	MOCK_WINDOW,
	MOCK_ALLOC,
	MOCK_FREE,
	MOCK_EVENTFD,
	MOCK_CALLS,
};

/**
 * struct mock - the module's side
 * @open_error:	errno of opening the node, 0 to let it be opened
 * @have_dir:	/dev/kvoff exists
 * @limit:	blocks that the tiers have
 * @quota:	a commit beyond @limit fails with EDQUOT, not ENOMEM
 * @tenant:	whose quota it is; empty as a module of the first version leaves it
 * @fail:	errno for the next @fail_nr[call] calls of a kind
 * @calls:	how often each was called
 * @commits:	blocks asked for by the last COMMIT calls, the latest first
 * @discards:	the last ranges discarded, the latest first
 * @create, @attach: the last argument
 * @committed, @used: of the region, in blocks
 * @pinned:	blocks whose frame discard cannot take, one byte each
 * @flips:	SETTLE calls that leave a block MOVING
 * @mover:	a thread plays the mover: SETTLE changes nothing, and other threads may hold references
 * @fast_tiers:	bit N: tier N is one of the fastest; tier 0 is
 * @room:	blocks that each tier still has for windows
 * @window:	blocks of each tier's window, whose bytes are at @frames; @owner says which block has a frame, UINT64_MAX
 *		for none
 * @unit, @nr_units: units, in ascending order
 * @event_fd:	told of moves; -1 for none
 * @seals:	the last ranges sealed, the latest first
 * @open:	the last argument
 * @waits:	a named region that nobody is attached to
 * @state, @hint, @refs, @data: the region's arrays and bytes, writable
 */
struct mock {
	int open_error;
	bool have_dir;
	uint64_t limit;
	bool quota;
	char tenant[KVOFF_NAME_LEN];
	int fail[MOCK_CALLS];
	int fail_nr[MOCK_CALLS];
	unsigned int calls[MOCK_CALLS];
	uint64_t commits[8];
	struct {
		uint64_t first;
		uint64_t nr;
	} discards[8];
	char node[128];
	uint32_t fast_tiers;
	uint64_t room[KVOFF_MAX_TIERS];
	uint64_t window[KVOFF_MAX_TIERS];
	uint64_t owner[KVOFF_MAX_TIERS][MOCK_WINDOW_MAX];
	char *frames[KVOFF_MAX_TIERS];
	struct kvoff_unit unit[MOCK_UNITS_MAX];
	unsigned int nr_units;
	int event_fd;
	struct {
		uint64_t first;
		uint64_t nr;
	} seals[4];
	struct kvoff_region_open open;
	bool waits;
	struct kvoff_region_create create;
	struct kvoff_region_attach attach;
	uint64_t committed;
	uint64_t used;
	unsigned char *pinned;
	int flips;
	bool mover;
	struct kvoff_state *state;
	struct kvoff_hint *hint;
	uint32_t *refs;
	char *data;
};

extern struct mock mock;

/* A fresh module with tiers of @limit blocks; forgets the region before. */
void mock_reset(uint64_t limit);

/* A page fault on a block: checks that the commit covers it. */
void mock_fault(uint64_t block);

/*
 * Moves a block as the kernel does, telling the eventfd: 0, -EAGAIN (acquired), -ENODATA, or -ENOSPC. Of a mapped
 * region only the location changes.
 */
int mock_move(uint64_t block, unsigned int tier);

/* All calls so far. */
unsigned int mock_all_calls(void);

#endif
