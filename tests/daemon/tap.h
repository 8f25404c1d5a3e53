/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KTAP for the daemon's tests: tap_plan(n), check(condition, name) n times, return tap_end().
 */
#ifndef TESTS_DAEMON_TAP_H
#define TESTS_DAEMON_TAP_H

#include <stdbool.h>
#include <stdio.h>

static int tap_planned, tap_done, tap_failed;

static inline void tap_plan(int n)
{
	tap_planned = n;
	printf("TAP version 13\n1..%d\n", n);
}

static inline void check(bool ok, const char *name)
{
	tap_failed += !ok;
	printf("%sok %d %s\n", ok ? "" : "not ", ++tap_done, name);
}

/* A test that ends early has failed, too. */
static inline int tap_end(void)
{
	if (tap_done != tap_planned)
		printf("# %d tests planned, %d done\n", tap_planned, tap_done);
	return tap_failed || tap_done != tap_planned;
}

#endif
