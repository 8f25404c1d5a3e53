// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a node costs: latency and bandwidth from the best source there is.
 */
#include <stdio.h>
#include <string.h>

#include "attr.h"
#include "node.h"

/*
 * The model, when nobody tells anything: DRAM beside the processor answers within 80 to 140 ns, a directly attached CXL
 * device within 140 to 410 ns, a switch adds 100 to 200 ns. Eight DDR5 channels read more than 100 GB/s; a Gen5 x8 link
 * carries about 30.
 */
#define MODEL_CPU_NS		110
#define MODEL_CXL_NS		250
#define MODEL_MEMORY_NS		200
#define MODEL_SWITCH_NS		150
#define MODEL_CPU_MBPS		100000
#define MODEL_FAR_MBPS		30000

/* Share of a PCIe link's bits that are payload: 68-byte flits of 64 bytes, and protocol. */
#define LINK_PAYLOAD		0.9

#define NODES	"/sys/devices/system/node"
#define CXL	"/sys/bus/cxl/devices"

static void take(uint32_t *value, enum node_source *source, uint64_t found, enum node_source from)
{
	if (found && found <= UINT32_MAX && *source > from) {
		*value = (uint32_t)found;
		*source = from;
	}
}

/* The slowest region behind the node counts, should there be several. */
static void from_region(struct node *node)
{
	uint64_t latency = 0, bandwidth = 0, value;
	char names[sizeof(node->regions)], *save = NULL;

	strcpy(names, node->regions);
	for (char *name = strtok_r(names, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		if (!attr_number(&value, CXL "/%s/access0/read_latency", name) && value > latency)
			latency = value;
		if (!attr_number(&value, CXL "/%s/access0/read_bandwidth", name) && (!bandwidth || value < bandwidth))
			bandwidth = value;
	}
	take(&node->latency_ns, &node->latency_source, latency, NODE_REGION);
	take(&node->bandwidth_mbps, &node->bandwidth_source, bandwidth, NODE_REGION);
}

static void from_hmat(struct node *node)
{
	uint64_t value;

	if (node->node < 0)
		return;
	if (!attr_number(&value, NODES "/node%d/access0/initiators/read_latency", node->node))
		take(&node->latency_ns, &node->latency_source, value, NODE_HMAT);
	if (!attr_number(&value, NODES "/node%d/access0/initiators/read_bandwidth", node->node))
		take(&node->bandwidth_mbps, &node->bandwidth_source, value, NODE_HMAT);
}

static void from_probe(struct node *node)
{
	uint32_t latency, bandwidth;

	if (node->node < 0 || !node->online)
		return;
	if (node->latency_source <= NODE_PROBE && node->bandwidth_source <= NODE_PROBE)
		return;
	if (node_probe(node->node, &latency, &bandwidth))
		return;
	take(&node->latency_ns, &node->latency_source, latency, NODE_PROBE);
	take(&node->bandwidth_mbps, &node->bandwidth_source, bandwidth, NODE_PROBE);
}

/* The devices' links together; CXL runs at 8 GT/s at least, less is an emulation that does not mean it. */
static void from_link(struct node *node)
{
	char names[sizeof(node->memdevs)], speed[64], *save = NULL;
	double sum = 0;

	strcpy(names, node->memdevs);
	for (char *name = strtok_r(names, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		uint64_t width;
		double gts;

		if (attr_text(speed, sizeof(speed), CXL "/%s/../current_link_speed", name) < 0 ||
		    attr_number(&width, CXL "/%s/../current_link_width", name) ||
		    sscanf(speed, "%lf GT/s", &gts) != 1 || gts < 8)
			return;
		sum += gts * (double)width / 8 * 1000 * LINK_PAYLOAD;
	}
	take(&node->bandwidth_mbps, &node->bandwidth_source, (uint64_t)sum, NODE_LINK);
}

static void from_model(struct node *node)
{
	bool cpu = node->kind == NODE_CPU;
	uint32_t base = cpu ? MODEL_CPU_NS : node->kind == NODE_CXL ? MODEL_CXL_NS : MODEL_MEMORY_NS;

	if (!node->latency_ns)
		node->latency_ns = base + node->switches * MODEL_SWITCH_NS;
	if (!node->bandwidth_mbps)
		node->bandwidth_mbps = cpu ? MODEL_CPU_MBPS : MODEL_FAR_MBPS * (node->ways > 1 ? node->ways : 1);
}

void node_cost(struct node *node, bool probe)
{
	node->latency_ns = node->bandwidth_mbps = 0;
	node->latency_source = node->bandwidth_source = NODE_MODEL;
	from_region(node);
	from_hmat(node);
	if (probe)
		from_probe(node);
	from_link(node);
	from_model(node);
}
