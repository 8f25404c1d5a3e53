// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is behind a node: CXL regions (libcxl), the DAX devices that give them a node number (libdaxctl), the memory
 * devices, and the ports on the way to them.
 */
#include <stdio.h>
#include <string.h>

#include <cxl/libcxl.h>
#include <daxctl/libdaxctl.h>

#include "log.h"
#include "node.h"

#define MAX_DEPTH	16

/* A port, and which of its downstream ports leads on: "0000:35:00.0 [0000:36:01.0]". */
static size_t add_hop(char *path, size_t room, struct cxl_port *port, struct cxl_memdev *memdev)
{
	struct cxl_dport *dport = cxl_port_get_dport_by_memdev(port, memdev);
	const char *host = cxl_port_get_host(port), *down = NULL;
	int len;

	/* under the root, that is the host bridge, which comes next anyway */
	if (dport && !cxl_port_is_root(port))
		down = cxl_dport_get_devname(dport);
	len = snprintf(path, room, down ? "%s [%s] > " : "%s > ", host ? host : "?", down);
	return (size_t)len < room ? (size_t)len : room - 1;
}

/* The ports from the root down to a memory device. */
static void find_path(struct node *node, struct cxl_memdev *memdev)
{
	struct cxl_endpoint *endpoint = cxl_memdev_get_endpoint(memdev);
	struct cxl_port *ports[MAX_DEPTH];
	unsigned int nr = 0;
	size_t used = 0;

	if (!endpoint || node->path[0])
		return;
	for (struct cxl_port *port = cxl_endpoint_get_parent(endpoint); port && nr < MAX_DEPTH;
	     port = cxl_port_get_parent(port))
		ports[nr++] = port;
	/* the root is one of these, the host bridge another: what is left are switches */
	node->switches = nr > 2 ? nr - 2 : 0;
	while (nr)
		used += add_hop(node->path + used, sizeof(node->path) - used, ports[--nr], memdev);
	snprintf(node->path + used, sizeof(node->path) - used, "%s (%s)", cxl_memdev_get_devname(memdev),
		 cxl_memdev_get_host(memdev));
}

static void add_region(struct nodes *nodes, struct cxl_region *region)
{
	struct daxctl_region *dax = cxl_region_get_daxctl_region(region);
	struct cxl_memdev_mapping *mapping;
	struct daxctl_dev *dev;
	struct node *node;
	int number = -1;

	if (cxl_region_get_mode(region) != CXL_DECODER_MODE_RAM)
		return;
	if (dax) {
		daxctl_dev_foreach(dax, dev)
			if (number < 0)
				number = daxctl_dev_get_target_node(dev);
	}
	node = node_add(nodes, number);
	if (!node) {
		log_warn("more nodes than kvoffd can handle", "region=%s limit=%d", cxl_region_get_devname(region),
			 NODE_MAX);
		return;
	}
	/* a node with processors keeps its kind: firmware may have put the device's memory into it */
	if (node->kind == NODE_MEMORY)
		node->kind = NODE_CXL;
	node_add_name(node->regions, sizeof(node->regions), cxl_region_get_devname(region));
	if (dax) {
		daxctl_dev_foreach(dax, dev)
			node_add_name(node->daxdevs, sizeof(node->daxdevs), daxctl_dev_get_devname(dev));
	}
	cxl_mapping_foreach(region, mapping) {
		struct cxl_decoder *decoder = cxl_mapping_get_decoder(mapping);
		struct cxl_memdev *memdev = decoder ? cxl_decoder_get_memdev(decoder) : NULL;

		if (!memdev)
			continue;
		node->ways++;
		node_add_name(node->memdevs, sizeof(node->memdevs), cxl_memdev_get_devname(memdev));
		find_path(node, memdev);
	}
}

void nodes_cxl(struct nodes *nodes)
{
	struct cxl_ctx *ctx;
	struct cxl_bus *bus;

	if (cxl_new(&ctx))
		return;
	cxl_bus_foreach(ctx, bus) {
		struct cxl_port *root = cxl_bus_get_port(bus);
		struct cxl_decoder *decoder;
		struct cxl_region *region;

		cxl_decoder_foreach(root, decoder)
			cxl_region_foreach(decoder, region)
				add_region(nodes, region);
	}
	cxl_unref(ctx);
}
