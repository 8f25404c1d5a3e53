// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Finding the memory of this machine: nodes with and without processors (libnuma), what is behind them
 * (discover_cxl.c), what it costs (cost.c).
 */
#include <errno.h>
#include <numa.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node.h"

const char *node_kind_name(enum node_kind kind)
{
	static const char *const names[] = { "cpu", "hbm", "cxl", "memory" };

	return names[kind];
}

const char *node_source_name(enum node_source source)
{
	static const char *const names[] = { "config", "region", "hmat", "probe", "link", "model" };

	return names[source];
}

struct node *node_add(struct nodes *nodes, int number)
{
	struct node *node;

	for (size_t i = 0; number >= 0 && i < nodes->nr; i++)
		if (nodes->node[i].node == number)
			return &nodes->node[i];
	if (nodes->nr == NODE_MAX)
		return NULL;
	node = &nodes->node[nodes->nr++];
	memset(node, 0, sizeof(*node));
	node->node = number;
	node->kind = NODE_MEMORY;
	return node;
}

void node_add_name(char *list, size_t len, const char *name)
{
	size_t used = strlen(list), name_len = strlen(name);

	for (const char *at = list; (at = strstr(at, name)); at += name_len)
		if ((at == list || at[-1] == ',') && (!at[name_len] || at[name_len] == ','))
			return;
	snprintf(list + used, len - used, "%s%s", used ? "," : "", name);
}

static void find_numa(struct nodes *nodes)
{
	struct bitmask *cpus = numa_allocate_cpumask();

	for (int n = 0; n <= numa_max_node(); n++) {
		struct node *node;

		if (!numa_bitmask_isbitset(numa_nodes_ptr, (unsigned int)n))
			continue;
		if (numa_node_size64(n, NULL) <= 0)
			continue;
		node = node_add(nodes, n);
		if (node && !numa_node_to_cpus(n, cpus) && numa_bitmask_weight(cpus))
			node->kind = NODE_CPU;
	}
	numa_free_cpumask(cpus);
}

static void find_zones(struct nodes *nodes)
{
	FILE *f = fopen("/proc/zoneinfo", "re");

	if (!f)
		return;
	for (size_t i = 0; i < nodes->nr; i++) {
		rewind(f);
		node_zones(f, &nodes->node[i]);
	}
	fclose(f);
}

/* Memory without processors that firmware says moves clearly more bytes than any with: on-package memory. */
static void find_hbm(struct nodes *nodes)
{
	uint32_t dram = 0;

	for (size_t i = 0; i < nodes->nr; i++)
		if (nodes->node[i].kind == NODE_CPU && nodes->node[i].bandwidth_source == NODE_HMAT &&
		    nodes->node[i].bandwidth_mbps > dram)
			dram = nodes->node[i].bandwidth_mbps;
	for (size_t i = 0; i < nodes->nr; i++)
		if (nodes->node[i].kind == NODE_MEMORY && nodes->node[i].bandwidth_source == NODE_HMAT && dram &&
		    nodes->node[i].bandwidth_mbps > dram + dram / 2)
			nodes->node[i].kind = NODE_HBM;
}

static int by_speed(const void *a, const void *b)
{
	static const int order[] = { [NODE_HBM] = 0, [NODE_CPU] = 1, [NODE_CXL] = 2, [NODE_MEMORY] = 2 };
	const struct node *x = a, *y = b;

	if (order[x->kind] != order[y->kind])
		return order[x->kind] - order[y->kind];
	if (x->latency_ns != y->latency_ns)
		return x->latency_ns < y->latency_ns ? -1 : 1;
	return x->node - y->node;
}

static void name_them(struct nodes *nodes)
{
	static const char *const prefix[] = {
		[NODE_CPU] = "fast", [NODE_HBM] = "hbm", [NODE_CXL] = "cxl", [NODE_MEMORY] = "mem",
	};
	unsigned int next[4] = { 0 };

	for (size_t i = 0; i < nodes->nr; i++) {
		struct node *node = &nodes->node[i];

		snprintf(node->name, sizeof(node->name), "%s%u", prefix[node->kind], next[node->kind]++);
	}
}

int nodes_discover(struct nodes *nodes, bool probe)
{
	memset(nodes, 0, sizeof(*nodes));
	if (numa_available() < 0)
		return -ENOSYS;
	find_numa(nodes);
	nodes_cxl(nodes);
	find_zones(nodes);
	for (size_t i = 0; i < nodes->nr; i++)
		node_cost(&nodes->node[i], probe);
	find_hbm(nodes);
	qsort(nodes->node, nodes->nr, sizeof(nodes->node[0]), by_speed);
	name_them(nodes);
	return 0;
}
