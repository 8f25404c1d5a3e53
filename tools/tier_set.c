// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvoffctl tier, pool: setting up tiers, and saying in figures why not.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/ctl.h"
#include "tools/drain.h"
#include "tools/json.h"
#include "tools/size.h"
#include "tools/sysfs.h"

#define CAPACITY_STEP	(2U << 20)
/* How long blocks are moved away for a smaller capacity, unless --timeout says otherwise. */
#define SHRINK_SECONDS	60

enum { OPT_NODE = 1, OPT_CAPACITY, OPT_TIMEOUT, OPT_RANK, OPT_LATENCY, OPT_BANDWIDTH, OPT_BLOCK, OPT_BYTES, OPT_WAIT };

static const struct option tier_options[] = {
	{ "node", required_argument, NULL, OPT_NODE },
	{ "capacity", required_argument, NULL, OPT_CAPACITY },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "rank", required_argument, NULL, OPT_RANK },
	{ "latency", required_argument, NULL, OPT_LATENCY },
	{ "bandwidth", required_argument, NULL, OPT_BANDWIDTH },
	{ NULL, 0, NULL, 0 },
};

static const struct option pool_options[] = {
	{ "block", required_argument, NULL, OPT_BLOCK },
	{ "bytes", required_argument, NULL, OPT_BYTES },
	{ "wait", no_argument, NULL, OPT_WAIT },
	{ NULL, 0, NULL, 0 },
};

static int number(const char *option, const char *value, uint64_t max, uint32_t *out)
{
	uint64_t v;

	if (number_parse(value, max, &v))
		return usage_error("--%s %s: expected a number from 0 to %llu", option, value, (unsigned long long)max);
	*out = v;
	return 0;
}

static int size(const char *option, const char *value, uint64_t step, __u64 *out)
{
	uint64_t v;

	if (size_parse(value, &v) || v % step)
		return usage_error("--%s %s: expected a size, a multiple of %s", option, value, size_exact(step).s);
	*out = v;
	return 0;
}

/* The name comes before or after the options. Returns 0 or an exit status. */
static int name_argument(int argc, char **argv, const char *what, char name[KVOFF_NAME_LEN])
{
	if (optind != argc - 1)
		return usage_error("%s: expected one tier name", what);
	if (strlen(argv[optind]) >= KVOFF_NAME_LEN || !*argv[optind])
		return usage_error("tier %s: a name has 1 to %d characters", argv[optind], KVOFF_NAME_LEN - 1);
	strcpy(name, argv[optind]);
	return 0;
}

static int parse_tier(int argc, char **argv, struct kvoff_ctl_tier *t, bool *has_node, uint32_t *timeout)
{
	bool latency = false, bandwidth = false;
	uint32_t node = 0;
	int opt, ret = 0;

	*has_node = false;
	optind = 1;
	while (!ret && (opt = getopt_long(argc, argv, "", tier_options, NULL)) != -1) {
		switch (opt) {
		case OPT_NODE:
			ret = number("node", optarg, INT32_MAX, &node);
			t->node = node;
			*has_node = true;
			break;
		case OPT_CAPACITY:
			ret = size("capacity", optarg, CAPACITY_STEP, &t->capacity);
			t->flags |= KVOFF_TIER_CAPACITY;
			break;
		case OPT_TIMEOUT:
			ret = number("timeout", optarg, UINT32_MAX, timeout);
			break;
		case OPT_RANK:
			ret = number("rank", optarg, UINT32_MAX, &t->rank);
			t->flags |= KVOFF_TIER_RANK;
			break;
		case OPT_LATENCY:
			ret = number("latency", optarg, UINT32_MAX, &t->latency_ns);
			latency = true;
			break;
		case OPT_BANDWIDTH:
			ret = number("bandwidth", optarg, UINT32_MAX, &t->bandwidth_mbps);
			bandwidth = true;
			break;
		default:
			ret = EXIT_USAGE;
		}
	}
	if (ret)
		return ret;
	if (latency != bandwidth)
		return usage_error("tier: --latency and --bandwidth come together");
	if (latency)
		t->flags |= KVOFF_TIER_COST;
	return name_argument(argc, argv, "tier", t->name);
}

static const struct tier *on_node(const struct tiers *tiers, int node)
{
	unsigned int i;

	for (i = 0; i < tiers->nr; i++)
		if (tiers->tier[i].node == node)
			return &tiers->tier[i];
	return NULL;
}

static void complain_space(const char *name, uint64_t capacity, int node)
{
	struct node_memory m;

	if (sys_node_memory(node, &m))
		complain("tier %s: capacity %s is more than node %d has", name, size_format(capacity).s, node);
	else if (capacity > m.free)
		complain("tier %s: capacity %s is more than node %d has free (%s of %s)", name, size_format(capacity).s,
			 node, size_format(m.free).s, size_format(m.total).s);
	else
		complain(
			"tier %s: capacity %s is more than node %d has in kernel zones; kvoffctl doctor tells whether some of its memory is online as movable",
			name, size_format(capacity).s, node);
}

static void complain_unknown(const char *name, const struct tiers *tiers)
{
	unsigned int i;
	char list[KVOFF_MAX_TIERS * (KVOFF_NAME_LEN + 2) + 1] = "";

	for (i = 0; i < tiers->nr; i++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i ? ", " : "", tiers->tier[i].name);
	complain("tier %s: there is no such tier%s%s", name, *list ? ", there are " : "; there is none at all", list);
}

static void complain_add(const struct kvoff_ctl_tier *t, const struct tiers *tiers, int err)
{
	const struct tier *other = on_node(tiers, t->node);

	switch (err) {
	case EEXIST:
		if (tiers_find(tiers, t->name) || !other)
			complain("tier %s: exists already (kvoffctl tier set changes it)", t->name);
		else
			complain("tier %s: node %d belongs to tier %s already", t->name, t->node, other->name);
		break;
	case ENXIO:
		complain("tier %s: node %d %s (kvoffctl doctor tells how to bring CXL memory online)", t->name, t->node,
			 sys_exists("/sys/devices/system/node/node%d", t->node) ? "has no memory online"
										: "does not exist");
		break;
	case EOPNOTSUPP:
		complain(
			"tier %s: node %d has movable memory only, which cannot back a tier: bring it online as kernel memory (kvoffctl doctor tells how)",
			t->name, t->node);
		break;
	case ENOSPC:
		complain_space(t->name, t->capacity, t->node);
		break;
	case EUSERS:
		complain("tier %s: there are %d tiers already, more cannot be", t->name, KVOFF_MAX_TIERS);
		break;
	case EINVAL:
		complain(
			"tier %s: refused: a name has letters, digits, '-', '_' and '.', not '.' first; the capacity is a multiple of 2M and not 0",
			t->name);
		break;
	default:
		complain("tier %s: cannot be added: %s", t->name, strerror(err));
	}
}

static void complain_change(const struct kvoff_ctl_tier *t, const struct tiers *tiers, int err, bool remove)
{
	const struct tier *now = tiers_find(tiers, t->name);

	switch (err) {
	case ENOENT:
		complain_unknown(t->name, tiers);
		break;
	case EBUSY:
		if (remove)
			complain(
				"tier %s: cannot go: %s of it is in use and %s pinned, or committed memory depends on it (kvoffctl regions tells whose)",
				t->name, size_format(now ? now->used : 0).s, size_format(now ? now->orphan : 0).s);
		else
			complain(
				"tier %s: capacity %s is below what is in use (%s) or committed (kvoffctl regions tells by whom)",
				t->name, size_format(t->capacity).s, size_format(now ? now->used : 0).s);
		break;
	case ENOSPC:
		complain_space(t->name, t->capacity, now ? now->node : -1);
		break;
	case EINVAL:
		complain("tier %s: refused: a value is out of its range (the capacity is a multiple of 2M and not 0)",
			 t->name);
		break;
	default:
		complain("tier %s: cannot be %s: %s", t->name, remove ? "removed" : "changed", strerror(err));
	}
}

static int tier_ioctl(unsigned long request, struct kvoff_ctl_tier *t, uint32_t timeout, bool json)
{
	struct json j = { .out = stdout };
	struct tiers tiers;
	int fd, err;

	fd = control_open();
	if (fd < 0)
		return EXIT_FAILED;
	t->size = sizeof(*t);
	err = ioctl(fd, request, t) < 0 ? errno : 0;
	if (err == EBUSY && request == KVOFF_CTL_TIER_SET && t->flags & KVOFF_TIER_CAPACITY) {
		/* more is in use, or promised, than the tier shall have: the others may take it */
		if (shrink_below_use(fd, t->name, t->capacity, timeout, json)) {
			close(fd);
			return EXIT_FAILED;
		}
		err = ioctl(fd, request, t) < 0 ? errno : 0;
	}
	close(fd);
	if (err) {
		tiers_read(&tiers);
		if (err == EPERM || err == EACCES)
			complain("tier %s: that takes CAP_SYS_ADMIN (sudo kvoffctl ...)", t->name);
		else if (request == KVOFF_CTL_TIER_ADD)
			complain_add(t, &tiers, err);
		else
			complain_change(t, &tiers, err, request == KVOFF_CTL_TIER_REMOVE);
		return EXIT_FAILED;
	}
	if (json) {
		json_object(&j, NULL);
		json_string(&j, "tier", t->name);
		if (request == KVOFF_CTL_TIER_ADD)
			json_u64(&j, "id", t->id);
		json_end(&j);
	}
	return 0;
}

int cmd_tier(int argc, char **argv, bool json)
{
	struct kvoff_ctl_tier t = {0};
	uint32_t timeout = 0;
	bool has_node;
	int ret;

	if (argc < 2)
		return usage_error("tier: expected add, set, remove, drain or undrain");
	if (!strcmp(argv[1], "drain"))
		return cmd_tier_drain(argc - 1, argv + 1, json);
	if (!strcmp(argv[1], "undrain"))
		return cmd_tier_undrain(argc - 1, argv + 1, json);
	ret = parse_tier(argc - 1, argv + 1, &t, &has_node, &timeout);
	if (ret)
		return ret;
	if (timeout && (strcmp(argv[1], "set") || !(t.flags & KVOFF_TIER_CAPACITY)))
		return usage_error("tier %s %s: --timeout is for tier set with --capacity", argv[1], t.name);
	if (!strcmp(argv[1], "add")) {
		if (!has_node || !(t.flags & KVOFF_TIER_CAPACITY))
			return usage_error("tier add %s: --node and --capacity are needed", t.name);
		/* flags say what SET changes; ADD takes all fields and no flag */
		t.flags = 0;
		return tier_ioctl(KVOFF_CTL_TIER_ADD, &t, 0, json);
	}
	if (!strcmp(argv[1], "set")) {
		if (has_node)
			return usage_error("tier set %s: the node cannot be changed, remove the tier and add it again",
					   t.name);
		if (!t.flags)
			return usage_error("tier set %s: nothing to change was given", t.name);
		return tier_ioctl(KVOFF_CTL_TIER_SET, &t, timeout ? timeout : SHRINK_SECONDS, json);
	}
	if (!strcmp(argv[1], "remove")) {
		if (has_node || t.flags)
			return usage_error("tier remove %s: takes no options", t.name);
		return tier_ioctl(KVOFF_CTL_TIER_REMOVE, &t, 0, json);
	}
	return usage_error("tier %s: expected add, set, remove, drain or undrain", argv[1]);
}

static int pool_failed(const struct kvoff_ctl_pool *p, int err)
{
	const struct tier *t;
	struct tiers tiers;

	tiers_read(&tiers);
	t = tiers_find(&tiers, p->tier);
	switch (err) {
	case ENOENT:
		complain_unknown(p->tier, &tiers);
		break;
	case ENOSPC:
		complain("tier %s: a pool of %s would make all pools together more than its capacity (%s)", p->tier,
			 size_format(p->bytes).s, size_format(t ? t->capacity : 0).s);
		break;
	case EBUSY:
		complain(
			"tier %s: the pool cannot shrink to %s: commits depend on the difference (%s of the tier is in use)",
			p->tier, size_format(p->bytes).s, size_format(t ? t->used : 0).s);
		break;
	case ESHUTDOWN:
		complain("tier %s: it is being drained: kvoffctl tier undrain %s ends that", p->tier, p->tier);
		break;
	case ENOMEM:
		complain("tier %s: the node has no more memory to give: %s of %s filled", p->tier,
			 size_format(p->filled).s, size_format(p->bytes).s);
		break;
	case EPERM:
	case EACCES:
		complain("tier %s: that takes CAP_SYS_ADMIN (sudo kvoffctl ...)", p->tier);
		break;
	default:
		complain("tier %s: the pool cannot be set: %s", p->tier, strerror(err));
	}
	return EXIT_FAILED;
}

int cmd_pool(int argc, char **argv, bool json)
{
	struct kvoff_ctl_pool p = { .size = sizeof(p) };
	bool has_block = false, has_bytes = false;
	struct json j = { .out = stdout };
	__u64 block = 0;
	int opt, fd, err, ret = 0;

	while (!ret && (opt = getopt_long(argc, argv, "", pool_options, NULL)) != -1) {
		switch (opt) {
		case OPT_BLOCK:
			ret = size("block", optarg, KVOFF_BLOCK_SIZE_MIN, &block);
			has_block = true;
			break;
		case OPT_BYTES:
			ret = size("bytes", optarg, KVOFF_BLOCK_SIZE_MIN, &p.bytes);
			has_bytes = true;
			break;
		case OPT_WAIT:
			p.flags |= KVOFF_POOL_WAIT;
			break;
		default:
			ret = EXIT_USAGE;
		}
	}
	if (!ret)
		ret = name_argument(argc, argv, "pool", p.tier);
	if (ret)
		return ret;
	if (!has_block || !has_bytes)
		return usage_error("pool %s: --block and --bytes are needed", p.tier);
	if (block < KVOFF_BLOCK_SIZE_MIN || block > KVOFF_BLOCK_SIZE_MAX || block & (block - 1))
		return usage_error("--block %s: expected 64K, 128K, 256K, 512K, 1M or 2M", size_exact(block).s);
	if (p.bytes % block)
		return usage_error("--bytes %s: expected a multiple of the block size, %s", size_exact(p.bytes).s,
				   size_exact(block).s);
	p.block_size = block;

	fd = control_open();
	if (fd < 0)
		return EXIT_FAILED;
	err = ioctl(fd, KVOFF_CTL_POOL_SET, &p) < 0 ? errno : 0;
	close(fd);
	if (err)
		return pool_failed(&p, err);
	if (json) {
		json_object(&j, NULL);
		json_string(&j, "tier", p.tier);
		json_u64(&j, "block_bytes", p.block_size);
		json_u64(&j, "bytes", p.bytes);
		json_u64(&j, "filled_bytes", p.filled);
		json_end(&j);
	}
	return 0;
}
