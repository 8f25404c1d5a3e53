/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration as decide() takes it. Pure; the trace simulator uses it too.
 */
#ifndef KVOFFD_RULES_H
#define KVOFFD_RULES_H

#include "conf.h"
#include "decide.h"

/** rules_of - what the configuration says about deciding, with ticks @interval_ms apart */
void rules_of(const struct conf *conf, uint64_t interval_ms, struct decide_rules *rules);

/** rules_init - the same of a configuration that says nothing */
void rules_init(struct decide_rules *rules);

/** rules_class_steps - by how many steps keys of a tenant of this class (enum kvoff_class) are larger than of a normal one */
int rules_class_steps(const struct conf *conf, uint32_t tenant_class);

/**
 * rules_round - until a block in use has been seen so by samples that come to every block in @round_ms, with ticks
 * @interval_ms apart, in heat.h's units; 0: there are no samples
 */
uint32_t rules_round(uint64_t round_ms, uint64_t interval_ms);

/**
 * struct births - new blocks of one size in one tier; all zero before any was seen
 * @recent:	how many came lately: in births_ahead_ms, those further back count less and less
 * @burst:	the most that this was; forgotten slowly, for bursts come in groups
 */
struct births {
	double recent;
	double burst;
};

/**
 * births_expect - how many new blocks an interval may bring, where the last one brought @seen
 * @births:	what is known of earlier ones
 * @conf:	for births_ahead_ms
 * @interval_ms: how long an interval is, not 0
 * @seen:	new blocks
 *
 * A burst at one moment is not taken for the births of every interval: it is spread over births_ahead_ms, however many
 * intervals these are. Returns blocks an interval, rounded up.
 */
uint64_t births_expect(struct births *births, const struct conf *conf, uint64_t interval_ms, uint64_t seen);

#endif /* KVOFFD_RULES_H */
