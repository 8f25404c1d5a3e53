// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvoffd --discover: what was found, for people and for programs.
 */
#include "node.h"
#include "tools/json.h"

static const char *problem(const struct node *node)
{
	if (node->node < 0)
		return "its memory is not online: cxl enable-region, then daxctl reconfigure-device -m system-ram "
		       "--no-movable";
	if (!node->online)
		return "it has no memory online: daxctl online-memory --no-movable";
	if (!node->kernel)
		return "all its memory is movable and cannot back a tier: daxctl offline-memory, then daxctl "
		       "online-memory --no-movable";
	return NULL;
}

static void print_json(const struct nodes *nodes, FILE *out)
{
	struct json j = { .out = out };

	json_object(&j, NULL);
	json_array(&j, "nodes");
	for (size_t i = 0; i < nodes->nr; i++) {
		const struct node *n = &nodes->node[i];

		json_object(&j, NULL);
		json_string(&j, "tier", n->name);
		json_i64(&j, "node", n->node);
		json_string(&j, "kind", node_kind_name(n->kind));
		json_u64(&j, "online_bytes", n->online);
		json_u64(&j, "kernel_bytes", n->kernel);
		json_u64(&j, "free_bytes", n->free);
		json_u64(&j, "latency_ns", n->latency_ns);
		json_string(&j, "latency_source", node_source_name(n->latency_source));
		json_u64(&j, "bandwidth_mbps", n->bandwidth_mbps);
		json_string(&j, "bandwidth_source", node_source_name(n->bandwidth_source));
		if (n->kind == NODE_CXL) {
			json_string(&j, "regions", n->regions);
			json_string(&j, "memdevs", n->memdevs);
			json_string(&j, "daxdevs", n->daxdevs);
			json_u64(&j, "ways", n->ways);
			json_u64(&j, "switches", n->switches);
			json_string(&j, "path", n->path);
		}
		if (problem(n))
			json_string(&j, "problem", problem(n));
		json_end(&j);
	}
	json_end(&j);
	json_end(&j);
}

void nodes_print(const struct nodes *nodes, FILE *out, bool json)
{
	if (json) {
		print_json(nodes, out);
		return;
	}
	for (size_t i = 0; i < nodes->nr; i++) {
		const struct node *n = &nodes->node[i];
		char number[16];

		snprintf(number, sizeof(number), n->node < 0 ? "none" : "%d", n->node);
		fprintf(out,
			"%s: node %s, %s, %llu MiB for the kernel of %llu MiB online (%llu MiB free), %u ns (%s), %u "
			"MB/s (%s)\n",
			n->name, number, node_kind_name(n->kind), (unsigned long long)n->kernel >> 20,
			(unsigned long long)n->online >> 20, (unsigned long long)n->free >> 20, n->latency_ns,
			node_source_name(n->latency_source), n->bandwidth_mbps, node_source_name(n->bandwidth_source));
		if (n->kind == NODE_CXL)
			fprintf(out, "    %s on %s as %s, %u switch%s: %s\n", n->regions, n->memdevs,
				n->daxdevs[0] ? n->daxdevs : "no DAX device", n->switches, n->switches == 1 ? "" : "es",
				n->path);
		if (problem(n))
			fprintf(out, "    %s\n", problem(n));
	}
}
