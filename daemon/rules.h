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

#endif /* KVOFFD_RULES_H */
