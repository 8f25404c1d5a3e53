// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * From the configuration to the rules that decide() goes by.
 */
#include <math.h>

#include "rules.h"

void rules_of(const struct conf *conf, uint64_t interval_ms, struct decide_rules *rules)
{
	*rules = (struct decide_rules) {
		.policy = (enum decide_policy)conf->policy,
		.free_low = (uint32_t)conf->free_low.value,
		.free_high = (uint32_t)conf->free_high.value,
		.births_ahead = (uint32_t)((conf->births_ahead_ms + interval_ms - 1) / interval_ms),
		.margin = (uint32_t)(log2(conf->margin) * HEAT_KEY_OCTAVE),
		.residence = (uint32_t)(conf->residence_ms * HEAT_SEC / 1000),
		.prefetch = (uint32_t)(conf->prefetch_ms * HEAT_SEC / 1000),
		.prefetch_share = (uint32_t)(conf->prefetch_share.value / 100),
	};
}
