// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Making the kernel's tiers those that should be.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "attr.h"
#include "log.h"
#include "tier.h"

#define TIERS	TIER_SYSFS "/tiers"

/* Longer rounds of samples count as this one, a day. */
#define ROUND_MAX_MS	(24u * 3600 * 1000)

unsigned int tiers_read(struct tiers *tiers)
{
	struct tier old[KVOFF_MAX_TIERS];
	DIR *dir = opendir(TIERS);
	struct dirent *entry;

	memcpy(old, tiers->tier, sizeof(old));
	tiers->nr = 0;
	for (unsigned int t = 0; t < KVOFF_MAX_TIERS; t++)
		tiers->tier[t].present = false;
	while (dir && (entry = readdir(dir))) {
		uint64_t id, node, rank, capacity, latency = 0, bandwidth = 0;
		const char *name = entry->d_name;
		char state[16] = "";
		struct tier *tier;

		if (!conf_name_ok(name) || attr_number(&id, TIERS "/%s/id", name) || id >= KVOFF_MAX_TIERS)
			continue;
		/* a tier that goes away under our eyes is not there */
		if (attr_number(&node, TIERS "/%s/node", name) || attr_number(&rank, TIERS "/%s/rank", name) ||
		    attr_number(&capacity, TIERS "/%s/capacity_bytes", name))
			continue;
		attr_number(&latency, TIERS "/%s/latency_ns", name);
		attr_number(&bandwidth, TIERS "/%s/bandwidth_mbps", name);
		attr_text(state, sizeof(state), TIERS "/%s/state", name);
		tier = &tiers->tier[id];
		if (strcmp(old[id].name, name) || old[id].node != (int)node) {
			memset(tier, 0, sizeof(*tier));
			tier->kind = NODE_MEMORY;
			tier->latency_source = tier->bandwidth_source = NODE_CONFIG;
		}
		tier->present = true;
		strcpy(tier->name, name);
		tier->node = (int)node;
		tier->rank = (uint32_t)rank;
		tier->capacity = capacity;
		tier->draining = !strcmp(state, "draining") || !strcmp(state, "drained");
		tier->latency_ns = (uint32_t)latency;
		tier->bandwidth_mbps = (uint32_t)bandwidth;
		tiers->nr++;
	}
	if (dir)
		closedir(dir);
	return tiers->nr;
}

/* What came, went or changed since @before; true if links are not what they were. */
static bool compare(const struct tiers *tiers, const struct tiers *before)
{
	bool changed = false;

	for (unsigned int t = 0; t < KVOFF_MAX_TIERS; t++) {
		const struct tier *tier = &tiers->tier[t], *old = &before->tier[t];
		bool same = tier->present && old->present && !strcmp(tier->name, old->name) && tier->node == old->node;

		if (old->present && !same)
			log_info("tier was removed", "tier=%s", old->name);
		if (tier->present && !same)
			log_info("tier was added by somebody else", "tier=%s id=%u node=%d rank=%u capacity=%lluM", tier->name,
				 t, tier->node, tier->rank, (unsigned long long)tier->capacity >> 20);
		if (tier->present && tier->draining != (same && old->draining))
			log_info(tier->draining ? "tier is being drained: no block goes there" : "tier's drain has ended",
				 "tier=%s", tier->name);
		changed |= tier->present && (!same || tier->bandwidth_mbps != old->bandwidth_mbps);
	}
	return changed;
}

void tiers_room(struct tiers *tiers, unsigned int sizes)
{
	for (unsigned int t = 0; t < KVOFF_MAX_TIERS; t++) {
		struct tier *tier = &tiers->tier[t];

		for (unsigned int c = 0; tier->present && c < KVOFF_NR_BLOCK_SIZES; c++) {
			struct tier_pool *pool = &tier->pools[c];
			unsigned int kib = (KVOFF_BLOCK_SIZE_MIN >> 10) << c;

			if (!(sizes & (1u << c)))
				continue;
			attr_number(&pool->filled, TIERS "/%s/pools/%ukB/filled_bytes", tier->name, kib);
			attr_number(&pool->free, TIERS "/%s/pools/%ukB/free_bytes", tier->name, kib);
		}
	}
}

static uint64_t read_sample_round(void)
{
	uint64_t interval_ms = 0, percent = 100, round;

	attr_number(&interval_ms, TIER_SYSFS "/tuning/sample_interval_ms");
	attr_number(&percent, TIER_SYSFS "/tuning/sample_percent");
	round = percent ? interval_ms * 100 / percent : 0;
	return round < ROUND_MAX_MS ? round : ROUND_MAX_MS;
}

bool tiers_refresh(struct tiers *tiers, unsigned int sizes)
{
	struct tiers before = *tiers;

	tiers_read(tiers);
	attr_number(&tiers->reserve_percent, TIER_SYSFS "/tuning/reserve_percent");
	tiers->sample_round_ms = read_sample_round();
	for (unsigned int t = 0; t < KVOFF_MAX_TIERS; t++) {
		struct tier *tier = &tiers->tier[t];

		if (!tier->present)
			continue;
		attr_number(&tier->used, TIERS "/%s/used_bytes", tier->name);
		attr_number(&tier->free, TIERS "/%s/free_bytes", tier->name);
		attr_number(&tier->poisoned, TIERS "/%s/poisoned_bytes", tier->name);
		for (unsigned int c = 0; c < KVOFF_NR_BLOCK_SIZES; c++) {
			struct tier_pool *pool = &tier->pools[c];
			unsigned int kib = (KVOFF_BLOCK_SIZE_MIN >> 10) << c;

			if (!(sizes & (1u << c)))
				continue;
			attr_number(&pool->used, TIERS "/%s/pools/%ukB/used_bytes", tier->name, kib);
		}
	}
	tiers_room(tiers, sizes);
	return compare(tiers, &before);
}

static const char *add_hint(int err)
{
	switch (err) {
	case EEXIST:
		return "another tier has this name or node: choose another [tier NAME], or remove it with kvoffctl";
	case ENXIO:
		return "the node does not exist or has no memory online: daxctl online-memory --no-movable, then "
		       "reload";
	case EOPNOTSUPP:
		return "the node's memory is movable, which cannot back a tier: daxctl offline-memory DAXDEV, then "
		       "daxctl online-memory --no-movable DAXDEV (or reconfigure-device -m system-ram --no-movable), "
		       "then reload";
	case ENOSPC:
		return "the node's kernel-zone memory is smaller than the capacity: lower capacity in [tier NAME]";
	case EUSERS:
		return "the kernel has as many tiers as it can: remove one with kvoffctl";
	case EPERM:
	case EACCES:
		return "tiers need CAP_SYS_ADMIN";
	case EINVAL:
		return "the capacity must be a multiple of 2 MiB above 0; or the module is older than this daemon";
	default:
		return "see dmesg";
	}
}

static void complain(const struct tier_want *want, const char *what, uint64_t capacity, int err)
{
	log_error(what, "tier=%s node=%d capacity=%lluM node_kernel=%lluM node_free=%lluM error=\"%s\" hint=\"%s\"",
		  want->name, want->node.node, (unsigned long long)capacity >> 20,
		  (unsigned long long)want->node.kernel >> 20, (unsigned long long)want->node.free >> 20, strerror(err),
		  add_hint(err));
}

static int add(int control, const struct tier_want *want)
{
	struct kvoff_ctl_tier arg = { .size = sizeof(arg), .node = want->node.node, .rank = want->rank };

	strcpy(arg.name, want->name);
	arg.capacity = tier_capacity(&want->capacity, &want->node);
	arg.latency_ns = want->node.latency_ns;
	arg.bandwidth_mbps = want->node.bandwidth_mbps;
	if (want->node.online && !want->node.kernel) {
		complain(want, "tier cannot be set up: its node has movable memory only", arg.capacity, EOPNOTSUPP);
		return -EOPNOTSUPP;
	}
	/* the kernel would say no more than that it is no valid capacity */
	if (!arg.capacity) {
		complain(want, "tier cannot be set up: its share of the node's free memory is less than 2 MiB", 0,
			 ENOSPC);
		return -ENOSPC;
	}
	if (ioctl(control, KVOFF_CTL_TIER_ADD, &arg)) {
		int err = errno;

		complain(want, "tier cannot be set up", arg.capacity, err);
		return -err;
	}
	log_info("tier added", "tier=%s id=%u node=%d rank=%u capacity=%lluM latency_ns=%u "
		 "latency_source=%s bandwidth_mbps=%u bandwidth_source=%s",
		 want->name, arg.id, want->node.node, want->rank, (unsigned long long)arg.capacity >> 20,
		 want->node.latency_ns, node_source_name(want->node.latency_source), want->node.bandwidth_mbps,
		 node_source_name(want->node.bandwidth_source));
	return 0;
}

/* A share was a share of what was free when the tier was made: only an absolute capacity changes an adopted tier. */
static void adjust(int control, const struct tier_want *want, const struct tier *tier)
{
	struct kvoff_ctl_tier arg = { .size = sizeof(arg) };

	strcpy(arg.name, tier->name);
	arg.rank = want->rank;
	arg.capacity = want->capacity.percent ? tier->capacity : tier_capacity(&want->capacity, &want->node);
	arg.latency_ns = want->node.latency_ns;
	arg.bandwidth_mbps = want->node.bandwidth_mbps;
	if (arg.rank != tier->rank)
		arg.flags |= KVOFF_TIER_RANK;
	if (arg.latency_ns != tier->latency_ns || arg.bandwidth_mbps != tier->bandwidth_mbps)
		arg.flags |= KVOFF_TIER_COST;
	if (arg.flags && ioctl(control, KVOFF_CTL_TIER_SET, &arg))
		complain(want, "tier's rank or cost cannot be changed", tier->capacity, errno);
	if (arg.capacity == tier->capacity)
		return;
	if (tier->draining) {
		log_info("tier is being drained: its capacity stays as it is until the drain ends and kvoffd is reloaded",
			 "tier=%s capacity=%lluM wanted=%lluM", tier->name, (unsigned long long)tier->capacity >> 20,
			 (unsigned long long)arg.capacity >> 20);
		return;
	}
	arg.flags = KVOFF_TIER_CAPACITY;
	if (!ioctl(control, KVOFF_CTL_TIER_SET, &arg))
		log_info("tier's capacity changed", "tier=%s from=%lluM to=%lluM", tier->name,
			 (unsigned long long)tier->capacity >> 20, (unsigned long long)arg.capacity >> 20);
	else if (errno == EBUSY)
		log_error("tier's capacity cannot go below what is committed or in use: free memory first, then reload",
			  "tier=%s capacity=%lluM wanted=%lluM", tier->name, (unsigned long long)tier->capacity >> 20,
			  (unsigned long long)arg.capacity >> 20);
	else
		complain(want, "tier's capacity cannot be changed", arg.capacity, errno);
}

static void prefill(int control, const struct tier_want *want, const char *name)
{
	for (unsigned int c = 0; want->conf && c < KVOFF_NR_BLOCK_SIZES; c++) {
		struct kvoff_ctl_pool arg = { .size = sizeof(arg), .block_size = KVOFF_BLOCK_SIZE_MIN << c };
		uint64_t now = 0;

		arg.bytes = want->conf->prefill[c];
		if (!arg.bytes)
			continue;
		/* commits may have raised it since: a prefill is a floor */
		if (!attr_number(&now, TIERS "/%s/pools/%ukB/bytes", name, arg.block_size >> 10) && now >= arg.bytes)
			continue;
		strcpy(arg.tier, name);
		if (ioctl(control, KVOFF_CTL_POOL_SET, &arg))
			log_error(
				"pool cannot be filled in advance: all prefills together must fit the tier's capacity",
				"tier=%s block_size=%uK bytes=%lluM error=\"%s\"", name, arg.block_size >> 10,
				(unsigned long long)arg.bytes >> 20, strerror(errno));
	}
}

static struct tier *find(struct tiers *tiers, const struct tier_want *want)
{
	for (unsigned int t = 0; t < KVOFF_MAX_TIERS; t++)
		if (tiers->tier[t].present && tiers->tier[t].node == want->node.node)
			return &tiers->tier[t];
	return NULL;
}

static uint32_t budget_of(const struct conf *conf, const struct tier *from, const struct tier *to)
{
	const struct conf_amount *budget = &conf->budget;
	uint32_t slower = from->bandwidth_mbps < to->bandwidth_mbps ? from->bandwidth_mbps : to->bandwidth_mbps;
	uint64_t mbps;

	for (size_t i = 0; i < conf->nr_links; i++)
		if (!strcmp(conf->links[i].from, from->name) && !strcmp(conf->links[i].to, to->name))
			budget = &conf->links[i].budget;
	if (!budget->percent)
		return (uint32_t)budget->value;
	mbps = (uint64_t)slower * budget->value / 10000;
	/* a small share of a small number is not "no limit" */
	return mbps || !budget->value || !slower ? (uint32_t)mbps : 1;
}

void tiers_set_links(struct tiers *tiers, int control, const struct conf *conf)
{
	for (unsigned int a = 0; a < KVOFF_MAX_TIERS; a++) {
		for (unsigned int b = 0; b < KVOFF_MAX_TIERS; b++) {
			struct kvoff_ctl_link arg = { .size = sizeof(arg), .from = a, .to = b };

			if (a == b || !tiers->tier[a].present || !tiers->tier[b].present)
				continue;
			arg.budget_mbps = budget_of(conf, &tiers->tier[a], &tiers->tier[b]);
			tiers->budget_mbps[a][b] = arg.budget_mbps;
			if (ioctl(control, KVOFF_CTL_LINK_SET, &arg))
				log_warn("link's budget cannot be set in the kernel: kvoffd keeps it on its own",
					 "from=%s to=%s budget_mbps=%u error=\"%s\"", tiers->tier[a].name,
					 tiers->tier[b].name, arg.budget_mbps, strerror(errno));
		}
	}
	for (size_t i = 0; i < conf->nr_links; i++) {
		bool from = false, to = false;

		for (unsigned int t = 0; t < KVOFF_MAX_TIERS; t++) {
			from |= tiers->tier[t].present && !strcmp(tiers->tier[t].name, conf->links[i].from);
			to |= tiers->tier[t].present && !strcmp(tiers->tier[t].name, conf->links[i].to);
		}
		if (!from || !to)
			log_warn("[links] names a tier that is not there: the line has no effect", "from=%s to=%s",
				 conf->links[i].from, conf->links[i].to);
	}
}

unsigned int tiers_setup(struct tiers *tiers, int control, const struct conf *conf, const struct nodes *nodes)
{
	struct tier_want want[KVOFF_MAX_TIERS];
	unsigned int nr = tier_plan(want, conf, nodes);

	tiers_read(tiers);
	for (unsigned int i = 0; i < nr; i++) {
		struct tier *tier = find(tiers, &want[i]);

		if (tier) {
			if (strcmp(tier->name, want[i].name))
				log_info("tier keeps the name it was made with", "tier=%s configured=%s node=%d",
					 tier->name, want[i].name, tier->node);
			else
				log_info("tier adopted", "tier=%s node=%d capacity=%lluM", tier->name, tier->node,
					 (unsigned long long)tier->capacity >> 20);
			adjust(control, &want[i], tier);
		} else if (add(control, &want[i])) {
			continue;
		}
		if (!tier || !tier->draining)
			prefill(control, &want[i], tier ? tier->name : want[i].name);
	}
	tiers_read(tiers);
	for (unsigned int i = 0; i < nr; i++) {
		struct tier *tier = find(tiers, &want[i]);

		if (!tier)
			continue;
		tier->kind = want[i].node.kind;
		tier->latency_source = want[i].node.latency_source;
		tier->bandwidth_source = want[i].node.bandwidth_source;
		tier->switches = want[i].node.switches;
		strcpy(tier->path, want[i].node.path);
	}
	tiers_set_links(tiers, control, conf);
	return tiers->nr;
}
