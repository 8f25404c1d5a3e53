// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * From the configuration to the rules that decide() goes by.
 */
#include <math.h>

#include "rules.h"

/* How long a burst of new blocks is remembered, ms. */
#define BURST_MS	20000.0

/* Fewer than this, of what is left of a burst, are none. */
#define BIRTHS_NONE	0.5

static uint32_t intervals_ahead(const struct conf *conf, uint64_t interval_ms)
{
	return (uint32_t)((conf->births_ahead_ms + interval_ms - 1) / interval_ms);
}

void rules_of(const struct conf *conf, uint64_t interval_ms, struct decide_rules *rules)
{
	*rules = (struct decide_rules) {
		.policy = (enum decide_policy)conf->policy,
		.free_low = (uint32_t)conf->free_low.value,
		.free_high = (uint32_t)conf->free_high.value,
		.births_ahead = intervals_ahead(conf, interval_ms),
		.margin = (uint32_t)(log2(conf->margin) * HEAT_KEY_OCTAVE),
		.residence = (uint32_t)(conf->residence_ms * HEAT_SEC / 1000),
		.prefetch = (uint32_t)(conf->prefetch_ms * HEAT_SEC / 1000),
		.prefetch_share = (uint32_t)(conf->prefetch_share.value / 100),
	};
}

int rules_class_steps(const struct conf *conf, uint32_t tenant_class)
{
	int steps = (int)(log2(conf->class_weight) * HEAT_KEY_OCTAVE);

	return tenant_class == KVOFF_CLASS_LATENCY ? steps : tenant_class == KVOFF_CLASS_BATCH ? -steps : 0;
}

uint32_t rules_round(uint64_t round_ms, uint64_t interval_ms)
{
	/* samples may come a bit late, and are seen at the next tick */
	return round_ms ? (uint32_t)((round_ms + round_ms / 4 + interval_ms) * HEAT_SEC / 1000) : 0;
}

void rules_init(struct decide_rules *rules)
{
	struct conf conf;

	conf_init(&conf);
	rules_of(&conf, conf.interval_ms, rules);
}

uint64_t births_expect(struct births *births, const struct conf *conf, uint64_t interval_ms, uint64_t seen)
{
	uint32_t intervals = intervals_ahead(conf, interval_ms);

	if (!intervals)
		return 0;
	births->recent = births->recent * exp(-(double)interval_ms / (double)conf->births_ahead_ms) + (double)seen;
	births->burst *= exp(-(double)interval_ms / BURST_MS);
	if (births->burst < births->recent)
		births->burst = births->recent;
	return births->burst < BIRTHS_NONE ? 0 : (uint64_t)ceil(births->burst / intervals);
}
