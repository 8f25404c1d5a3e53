// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which tiers there should be: the nodes that were found, as far as the configuration does not say otherwise.
 */
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "tier.h"

#define TIER_STEP	(2ull << 20)

static const struct conf_tier *find_section(const struct conf *conf, const struct node *node)
{
	for (size_t i = 0; i < conf->nr_tiers; i++) {
		const struct conf_tier *section = &conf->tiers[i];

		if (section->node >= 0 ? section->node == node->node : !strcmp(section->name, node->name))
			return section;
	}
	return NULL;
}

static bool fast(const struct node *node)
{
	return node->kind == NODE_CPU || node->kind == NODE_HBM;
}

/*
 * Nodes come fastest kind first. One rank holds nodes of one kind whose latencies are within a quarter of the fastest:
 * they are used together. Far memory never shares a rank with the processors' own.
 */
static void give_ranks(struct tier_want *want, unsigned int nr)
{
	uint32_t rank = 0, fastest = 0;

	for (unsigned int i = 0; i < nr; i++) {
		const struct node *node = &want[i].node;
		bool same = i && fast(node) == fast(&want[i - 1].node) &&
			    (node->kind == NODE_HBM) == (want[i - 1].node.kind == NODE_HBM) &&
			    node->latency_ns <= fastest + fastest / 4;

		if (!same) {
			rank += i ? 1 : 0;
			fastest = node->latency_ns;
		}
		want[i].rank = want[i].conf && want[i].conf->rank >= 0 ? (uint32_t)want[i].conf->rank : rank;
	}
}

static int by_speed(const void *a, const void *b)
{
	const struct tier_want *x = a, *y = b;
	int order_x = x->node.kind == NODE_HBM ? 0 : x->node.kind == NODE_CPU ? 1 : 2;
	int order_y = y->node.kind == NODE_HBM ? 0 : y->node.kind == NODE_CPU ? 1 : 2;

	if (order_x != order_y)
		return order_x - order_y;
	if (x->node.latency_ns != y->node.latency_ns)
		return x->node.latency_ns < y->node.latency_ns ? -1 : 1;
	return x->node.node - y->node.node;
}

unsigned int tier_plan(struct tier_want *want, const struct conf *conf, const struct nodes *nodes)
{
	bool found[KVOFF_MAX_TIERS] = { false };
	unsigned int nr = 0;

	for (size_t i = 0; i < nodes->nr; i++) {
		const struct node *node = &nodes->node[i];
		const struct conf_tier *section = find_section(conf, node);
		struct tier_want *w = &want[nr];

		if (section)
			found[section - conf->tiers] = true;
		if (section ? !section->use : !conf->discover)
			continue;
		if (node->node < 0) {
			log_warn("CXL memory is not online and cannot be a tier: make it system memory with "
				 "daxctl reconfigure-device -m system-ram --no-movable DAXDEV",
				 "region=%s daxdev=%s memdev=%s", node->regions, node->daxdevs, node->memdevs);
			continue;
		}
		if (nr == KVOFF_MAX_TIERS) {
			log_warn("more nodes than there can be tiers: this one is left out, choose with [tier NAME] "
				 "use = no",
				 "node=%d limit=%d", node->node, KVOFF_MAX_TIERS);
			continue;
		}
		*w = (struct tier_want) { .node = *node, .conf = section };
		strcpy(w->name, section ? section->name : node->name);
		w->capacity = fast(node) ? conf->fast_capacity : conf->cxl_capacity;
		if (section && section->set_capacity)
			w->capacity = section->capacity;
		if (section && section->latency_ns) {
			w->node.latency_ns = (uint32_t)section->latency_ns;
			w->node.latency_source = NODE_CONFIG;
		}
		if (section && section->bandwidth_mbps) {
			w->node.bandwidth_mbps = (uint32_t)section->bandwidth_mbps;
			w->node.bandwidth_source = NODE_CONFIG;
		}
		nr++;
	}
	for (size_t i = 0; i < conf->nr_tiers; i++)
		if (!found[i] && conf->tiers[i].use)
			log_error("no node for this tier was found: kvoffd --discover lists nodes and their names",
				  "tier=%s node=%lld", conf->tiers[i].name, (long long)conf->tiers[i].node);
	qsort(want, nr, sizeof(*want), by_speed);
	give_ranks(want, nr);
	return nr;
}

uint64_t tier_capacity(const struct conf_amount *capacity, const struct node *node)
{
	uint64_t bytes = capacity->value;

	if (capacity->percent)
		bytes = node->free * capacity->value / 10000;
	return bytes - bytes % TIER_STEP;
}
