// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Births to expect: the room they lead to must not depend on how often the daemon looks.
 */
#include <string.h>

#include "daemon/rules.h"
#include "tap.h"

static struct conf conf;

/* The room that decide() would keep free after @blocks were born at once and @ms have passed, with ticks @interval_ms apart. */
static uint64_t room_after(uint64_t blocks, uint64_t ms, uint64_t interval_ms)
{
	struct births births = { 0 };
	struct decide_rules rules;
	uint64_t expected = births_expect(&births, &conf, interval_ms, blocks);

	for (uint64_t at = interval_ms; at <= ms; at += interval_ms)
		expected = births_expect(&births, &conf, interval_ms, 0);
	rules_of(&conf, interval_ms, &rules);
	return expected * rules.births_ahead;
}

/* The same while @a_second blocks are born in each second. */
static uint64_t room_while(uint64_t a_second, uint64_t interval_ms)
{
	struct births births = { 0 };
	struct decide_rules rules;
	uint64_t expected = 0;

	for (uint64_t at = 0; at < 30000; at += interval_ms)
		expected = births_expect(&births, &conf, interval_ms, a_second * interval_ms / 1000);
	rules_of(&conf, interval_ms, &rules);
	return expected * rules.births_ahead;
}

static bool near(uint64_t value, uint64_t expected)
{
	/* rounded up to whole blocks an interval, and a window whose end is blurred */
	bool ok = value * 10 >= expected * 9 && value <= expected * 17 / 10;

	if (!ok)
		printf("# %llu, expected about %llu\n", (unsigned long long)value, (unsigned long long)expected);
	return ok;
}

int main(void)
{
	tap_plan(7);
	conf_init(&conf);
	check(room_after(1000, 0, 100) == 0, "by default there is no room beyond free_low and free_high");
	conf.births_ahead_ms = 1000;
	check(near(room_after(1000, 0, 100), 1000), "a burst is expected once with ten ticks in the time ahead");
	check(near(room_after(1000, 0, 1000), 1000), "and with one");
	check(near(room_after(1000, 10000, 100), 607) && near(room_after(1000, 10000, 1000), 607),
	      "after 10 s it is forgotten in part, alike");
	check(room_after(1000, 400000, 100) == 0, "and in the end it is forgotten");
	check(near(room_while(500, 100), 500), "steady births are expected as they come with ten ticks a second");
	check(near(room_while(500, 1000), 500), "and with one");
	return tap_end();
}
