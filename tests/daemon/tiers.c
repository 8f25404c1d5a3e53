// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which tiers there should be, given what was found and what was asked for.
 */
#include <string.h>

#include "daemon/tier.h"
#include "tap.h"

static struct nodes nodes;
static struct conf conf;
static struct tier_want want[KVOFF_MAX_TIERS];

static void add(int number, enum node_kind kind, const char *name, uint32_t latency)
{
	struct node *node = &nodes.node[nodes.nr++];

	*node = (struct node) {
		.node = number, .kind = kind, .latency_ns = latency, .bandwidth_mbps = 30000, .free = 1ull << 30};
	strcpy(node->name, name);
}

static void setup(const char *text)
{
	struct conf_report report = { 0 };
	FILE *f = fmemopen((void *)text, strlen(text), "r");

	memset(&nodes, 0, sizeof(nodes));
	conf_read(&conf, f, "x", &report);
	fclose(f);
	if (report.nr)
		printf("# %s", report.text);
	add(0, NODE_CPU, "fast0", 100);
	add(2, NODE_CXL, "cxl0", 272);
	add(3, NODE_CXL, "cxl1", 424);
	add(-1, NODE_CXL, "cxl2", 500);
}

static const char zoneinfo[] =
	"Node 0, zone      DMA\n  pages free     100\n        high     50\n        managed  3840\n"
	"Node 0, zone    DMA32\n  per-node stats\n  pages free     1000\n        high     200\n        managed  2000\n"
	"Node 1, zone   Normal\n  pages free     5000\n        high     1000\n        managed  8000\n"
	"Node 1, zone  Movable\n  pages free     7000\n        high     1000\n        managed  9000\n";

static void test_zones(void)
{
	FILE *f = fmemopen((void *)zoneinfo, sizeof(zoneinfo) - 1, "r");
	struct node node = { .node = 1 };

	node_zones(f, &node);
	check(node.online == 17000 * 4096 && node.kernel == 8000 * 4096 && node.free == 4000 * 4096,
	      "movable memory is no memory for a tier");
	rewind(f);
	node.node = 0;
	node_zones(f, &node);
	check(node.kernel == 2000 * 4096 && node.free == 800 * 4096, "nor is the DMA zone");
	fclose(f);
}

int main(void)
{
	unsigned int nr;
	struct node node = { .free = 1000ull << 20 };

	tap_plan(12);
	setup("");
	nr = tier_plan(want, &conf, &nodes);
	check(nr == 3 && !strcmp(want[0].name, "fast0") && !strcmp(want[2].name, "cxl1"),
	      "a tier for each node that has memory");
	check(want[0].rank == 0 && want[1].rank == 1 && want[2].rank == 2,
	      "devices that differ in latency have ranks of their own");
	check(want[0].capacity.value == 2500 && want[1].capacity.value == 9000, "with the default shares");
	nodes.node[2].latency_ns = 300;
	nr = tier_plan(want, &conf, &nodes);
	check(nr == 3 && want[1].rank == 1 && want[2].rank == 1, "similar ones share a rank");
	nodes.node[0].latency_ns = 272;
	nr = tier_plan(want, &conf, &nodes);
	check(want[0].rank == 0 && want[1].rank == 1, "but never with the processors' own memory");
	setup("[tier cxl1]\nuse = no\n[tier big]\nnode = 2\ncapacity = 512M\nlatency_ns = 300\nrank = 5\n");
	nr = tier_plan(want, &conf, &nodes);
	check(nr == 2 && !strcmp(want[1].name, "big") && want[1].node.latency_source == NODE_CONFIG &&
		      want[1].node.latency_ns == 300 && want[1].rank == 5 && want[1].capacity.value == 512ull << 20,
	      "a section names, sizes and ranks a node");
	setup("[discover]\ntiers = no\n[tier cxl1]\n");
	nr = tier_plan(want, &conf, &nodes);
	check(nr == 1 && want[0].node.node == 3, "without discovery only sections make tiers");
	setup("[tier nowhere]\nnode = 9\n");
	check(tier_plan(want, &conf, &nodes) == 3, "a section without a node makes none, and the others go on");
	check(tier_capacity(&(struct conf_amount) { true, 2500 }, &node) == 250ull << 20, "a share is of what is free");
	check(tier_capacity(&(struct conf_amount) {false, (3ull << 20) + 1}, &node) == 2ull << 20,
	      "capacities are multiples of 2 MiB");
	test_zones();
	return tap_end();
}
