// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Is there CXL memory, made into a region, online, and in zones that can back a tier?
 *
 * All from sysfs, so that the doctor needs no library and can be tested on a folder. How the devices hang together:
 *
 *	/sys/bus/cxl/devices/root0/decoder0.K		a window of the host; target_list: numbers of host bridges
 *	                     root0/dportX		the host bridge X
 *	                     root0/portP/...endpointE	a device below; portP/uport: its host bridge, endpointE/uport:
 * memN endpointE/decoderE.K/region	which region uses the device
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/doctor.h"
#include "tools/size.h"
#include "tools/sysfs.h"

#define CXL		"/sys/bus/cxl/devices"
#define PCI		"/sys/bus/pci/devices"
#define DAX		"/sys/bus/dax/devices"
#define NODE		"/sys/devices/system/node"
/* PCI class: memory controller, CXL, with the CXL memory device interface */
#define CLASS_CXL_MEM	0x050210

static bool numbered(const char *name, const char *prefix)
{
	size_t n = strlen(prefix);

	return !strncmp(name, prefix, n) && name[n] && strspn(name + n, "0123456789.") == strlen(name + n);
}

struct mem_walk {
	const char *mem;
	char endpoint[32];		/* of this device */
	bool used;			/* a region has it */
	char endpoint_path[SYS_PATH_MAX];
	char bridge[SYS_PATH_MAX];	/* path of its host bridge */
	char root[SYS_PATH_MAX];	/* path of its root */
	char decoder[32];		/* a root decoder that leads to it */
	bool single;			/* and to nothing else */
};

static int find_endpoint(const char *name, void *arg)
{
	struct mem_walk *w = arg;
	char real[SYS_PATH_MAX];
	const char *last;

	if (!numbered(name, "endpoint") || !sys_real(real, CXL "/%s/uport", name))
		return 0;
	last = strrchr(real, '/');
	if (!last || strcmp(last + 1, w->mem) || !sys_real(w->endpoint_path, CXL "/%s", name))
		return 0;
	snprintf(w->endpoint, sizeof(w->endpoint), "%s", name + strlen("endpoint"));
	return 1;
}

static int find_user(const char *name, void *arg)
{
	struct mem_walk *w = arg;
	size_t n = strlen(w->endpoint);
	char region[64];

	/* decoderE.K belongs to endpointE */
	if (!numbered(name, "decoder") || strncmp(name + 7, w->endpoint, n) || name[7 + n] != '.')
		return 0;
	if (!sys_read(region, sizeof(region), CXL "/%s/region", name) && *region)
		w->used = true;
	return w->used;
}

/* The numbers in target_list are those of the root's dports. */
static int find_root_decoder(const char *name, void *arg)
{
	char list[256], real[SYS_PATH_MAX], *number, *rest;
	struct mem_walk *w = arg;
	uint64_t ram;
	bool single;

	if (!numbered(name, "decoder0") || sys_read(list, sizeof(list), CXL "/%s/target_list", name))
		return 0;
	if (!sys_read_u64(&ram, CXL "/%s/cap_ram", name) && !ram)
		return 0;
	single = !strchr(list, ',');
	for (number = strtok_r(list, ",", &rest); number; number = strtok_r(NULL, ",", &rest)) {
		if (!sys_real(real, CXL "/root0/dport%s", number) || strcmp(real, w->bridge))
			continue;
		/* interleaved windows want several devices: take one only if there is no other */
		if (!*w->decoder || (single && !w->single)) {
			snprintf(w->decoder, sizeof(w->decoder), "%s", name);
			w->single = single;
		}
	}
	return 0;
}

static void find_bridge(struct mem_walk *w)
{
	char *root = strstr(w->endpoint_path, "/root0/"), *end;
	char path[SYS_PATH_MAX];

	if (!root)
		return;
	end = strchr(root + strlen("/root0/"), '/');
	if (!end)
		return;
	snprintf(path, sizeof(path), "%.*s", (int)(end - root - strlen("/root0/")), root + strlen("/root0/"));
	sys_real(w->bridge, CXL "/%s/uport", path);
}

static int look_at_mem(const char *name, void *arg)
{
	struct mem_walk w = { .mem = name };
	struct doctor *d = arg;
	uint64_t bytes;

	if (!numbered(name, "mem") || sys_read_u64(&bytes, CXL "/%s/ram/size", name) || !bytes)
		return 0;
	if (sys_each(CXL, find_endpoint, &w) != 1) {
		mend(found(d, "cxl-port-missing", SEVERITY_WARNING,
			   "CXL device %s (%s) has no endpoint: the drivers of its ports are not there, or its link is down",
			   name, size_format(bytes).s),
		     "modprobe -a cxl_acpi cxl_port cxl_mem");
		return 0;
	}
	sys_each(CXL, find_user, &w);
	if (w.used)
		return 0;
	find_bridge(&w);
	if (*w.bridge)
		sys_each(CXL, find_root_decoder, &w);
	if (*w.decoder)
		mend(found(d, "cxl-no-region", SEVERITY_WARNING,
			   "CXL device %s (%s) is in no region: its memory is not usable", name, size_format(bytes).s),
		     "cxl create-region -t ram -d %s -m %s", w.decoder, name);
	else
		mend(found(d, "cxl-no-window", SEVERITY_WARNING,
			   "CXL device %s (%s) is in no region, and the firmware gave no window that leads to it", name,
			   size_format(bytes).s), "cxl list -m %s -D -d root", name);
	return 0;
}

static int count_pci(const char *name, void *arg)
{
	uint64_t class;

	if (!sys_read_u64(&class, PCI "/%s/class", name) && class == CLASS_CXL_MEM)
		++*(unsigned int *)arg;
	return 0;
}

static int count_mem(const char *name, void *arg)
{
	*(unsigned int *)arg += numbered(name, "mem");
	return 0;
}

/**
 * struct blocks - the memory blocks of a node
 * @offline:	how many are offline
 * @movable:	how many are online in ZONE_MOVABLE
 * @kernel:	how many are online in other zones
 */
struct blocks {
	int node;
	unsigned int offline, movable, kernel;
};

static int count_block(const char *name, void *arg)
{
	struct blocks *b = arg;
	char state[32], zones[64];

	if (!numbered(name, "memory") || sys_read(state, sizeof(state), NODE "/node%d/%s/state", b->node, name))
		return 0;
	if (strcmp(state, "online"))
		b->offline++;
	else if (!sys_read(zones, sizeof(zones), NODE "/node%d/%s/valid_zones", b->node, name) &&
		 !strncmp(zones, "Movable", 7))
		b->movable++;
	else
		b->kernel++;
	return 0;
}

static struct blocks blocks_of(int node)
{
	struct blocks b = { .node = node };
	char dir[64];

	snprintf(dir, sizeof(dir), NODE "/node%d", node);
	sys_each(dir, count_block, &b);
	return b;
}

static bool has_tier(const struct doctor *d, int node)
{
	unsigned int i;

	for (i = 0; i < d->tiers.nr; i++)
		if (d->tiers.tier[i].node == node)
			return true;
	return false;
}

static void look_at_node(struct doctor *d, const char *dax, int node)
{
	struct blocks b = blocks_of(node);
	struct node_memory m;
	struct finding *f;

	if (b.offline && !b.movable && !b.kernel) {
		mend(found(d, "memory-offline", SEVERITY_ERROR, "node %d: all memory of %s is offline (%u blocks)",
			   node, dax, b.offline),
		     "daxctl online-memory --no-movable %s", dax);
		return;
	}
	if (b.offline)
		mend(found(d, "memory-offline", SEVERITY_WARNING, "node %d: %u of %u memory blocks of %s are offline",
			   node, b.offline, b.offline + b.movable + b.kernel, dax),
		     "daxctl online-memory --no-movable %s", dax);
	/* one movable block among others keeps the way open to take the node away: no finding */
	if (b.movable > b.kernel) {
		f = found(d, "memory-movable", b.kernel ? SEVERITY_WARNING : SEVERITY_ERROR,
			  "node %d: %u of %u memory blocks of %s are online as movable, which cannot back a tier", node,
			  b.movable, b.movable + b.kernel, dax);
		mend(f, "daxctl offline-memory %s && daxctl online-memory --no-movable %s", dax, dax);
		return;
	}
	if (d->loaded && b.kernel && !has_tier(d, node) && !sys_node_memory(node, &m)) {
		/* a little is left to the kernel, which puts some of its own things on every node */
		uint64_t room = m.free / 100 * 95 >> 21 << 21;

		mend(found(d, "node-without-tier", SEVERITY_WARNING,
			   "node %d (%s, %s free) is online but no tier uses it", node, dax, size_format(m.free).s),
		     "kvoffctl tier add cxl%d --node %d --rank 1 --capacity %s", node, node, size_exact(room).s);
	}
}

static int look_at_dax(const char *name, void *arg)
{
	char driver[SYS_PATH_MAX], node[32];
	struct doctor *d = arg;
	const char *last;
	uint64_t bytes;

	if (!numbered(name, "dax") || sys_read(node, sizeof(node), DAX "/%s/target_node", name))
		return 0;
	if (!sys_read_u64(&bytes, DAX "/%s/size", name) && !bytes)
		return 0;
	last = sys_real(driver, DAX "/%s/driver", name) ? strrchr(driver, '/') : NULL;
	if (!last)
		mend(found(d, "dax-no-driver", SEVERITY_WARNING, "%s has no driver: its memory is not online", name),
		     "modprobe kmem && daxctl reconfigure-device --mode=system-ram --no-movable %s", name);
	else if (strcmp(last + 1, "kmem"))
		mend(found(d, "dax-not-memory", SEVERITY_WARNING,
			   "%s is a device (driver %s), not memory: no tier can use it so", name, last + 1),
		     "daxctl reconfigure-device --mode=system-ram --no-movable %s", name);
	else if (atoi(node) >= 0)
		look_at_node(d, name, atoi(node));
	return 0;
}

static int look_at_region(const char *name, void *arg)
{
	struct doctor *d = arg;
	uint64_t commit;

	if (numbered(name, "region") && !sys_read_u64(&commit, CXL "/%s/commit", name) && !commit)
		mend(found(d, "cxl-region-disabled", SEVERITY_WARNING, "CXL region %s exists but is not enabled", name),
		     "cxl enable-region %s", name);
	return 0;
}

void doctor_cxl(struct doctor *d)
{
	unsigned int pci = 0, mem = 0;

	sys_each(PCI, count_pci, &pci);
	sys_each(CXL, count_mem, &mem);
	if (pci > mem)
		mend(found(d, "cxl-driver-missing", SEVERITY_WARNING,
			   "%u CXL memory device%s on the PCI bus, but %u known to the CXL drivers", pci,
			   pci == 1 ? "" : "s", mem),
		     "modprobe -a cxl_acpi cxl_pci cxl_mem cxl_port");
	else if (!mem && d->tiers.nr < 2)
		found(d, "cxl-absent", SEVERITY_NOTE,
		      "this machine has no CXL memory device; any NUMA node can be a tier");
	sys_each(CXL, look_at_mem, d);
	sys_each(CXL, look_at_region, d);
	sys_each(DAX, look_at_dax, d);
}
