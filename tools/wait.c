// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The model of the wait for a prefix.
 */
#include <stdlib.h>
#include <string.h>

#include "tools/wait.h"

#define DRAM_LATENCY_NS		100
#define DRAM_BANDWIDTH_MBPS	80000
#define CXL_LATENCY_NS		250
#define CXL_BANDWIDTH_MBPS	30000

void wait_model_init(struct wait_model *m, const struct tiers *tiers)
{
	unsigned int i;

	m->scale = 1;
	for (i = 0; i < NR_PLACES; i++) {
		m->latency_ns[i] = DRAM_LATENCY_NS;
		m->bandwidth_mbps[i] = DRAM_BANDWIDTH_MBPS;
	}
	for (i = 0; i < tiers->nr; i++) {
		const struct tier *t = &tiers->tier[i];

		if (t->rank != tiers->tier[0].rank) {
			m->latency_ns[t->id] = CXL_LATENCY_NS;
			m->bandwidth_mbps[t->id] = CXL_BANDWIDTH_MBPS;
		}
		if (t->latency_ns)
			m->latency_ns[t->id] = t->latency_ns;
		if (t->bandwidth_mbps)
			m->bandwidth_mbps[t->id] = t->bandwidth_mbps;
	}
}

double wait_us(const struct wait_model *m, const uint64_t bytes[NR_PLACES])
{
	double us = 0;
	unsigned int i;

	for (i = 0; i < NR_PLACES; i++) {
		double t;

		if (!bytes[i])
			continue;
		t = m->latency_ns[i] / 1e3 + bytes[i] * m->scale / m->bandwidth_mbps[i];
		if (t > us)
			us = t;
	}
	return us;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

struct wait_summary wait_summarize(double *waits, size_t n)
{
	struct wait_summary s = {0};
	size_t i;

	if (!n)
		return s;
	qsort(waits, n, sizeof(*waits), ascending);
	for (i = 0; i < n; i++)
		s.mean += waits[i] / n;
	s.p50 = waits[(n - 1) / 2];
	s.p99 = waits[(n - 1) * 99 / 100];
	return s;
}
