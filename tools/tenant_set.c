// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvoffctl tenants, tenant: who may use how much, and saying in figures why not.
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/ctl.h"
#include "tools/json.h"
#include "tools/size.h"
#include "tools/sysfs.h"
#include "tools/tenants.h"

enum { OPT_OWNER = 1, OPT_GROUP, OPT_MODE, OPT_CLASS, OPT_QUOTA, OPT_TIER };

static const struct option tenant_options[] = {
	{ "owner", required_argument, NULL, OPT_OWNER },
	{ "group", required_argument, NULL, OPT_GROUP },
	{ "mode", required_argument, NULL, OPT_MODE },
	{ "class", required_argument, NULL, OPT_CLASS },
	{ "quota", required_argument, NULL, OPT_QUOTA },
	{ "tier", required_argument, NULL, OPT_TIER },
	{ NULL, 0, NULL, 0 },
};

static const char *const classes[] = {
	[KVOFF_CLASS_NORMAL] = "normal",
	[KVOFF_CLASS_LATENCY] = "latency",
	[KVOFF_CLASS_BATCH] = "batch",
};

/* ---- looking ---- */

static void tenant_json(struct json *j, const struct tenant *t, const struct tiers *tiers)
{
	unsigned int i;

	json_object(j, NULL);
	json_string(j, "name", t->name);
	json_string(j, "class", t->class);
	json_u64(j, "quota_bytes", t->quota);
	json_u64(j, "committed_bytes", t->committed);
	json_u64(j, "used_bytes", t->used);
	json_array(j, "tiers");
	for (i = 0; i < tiers->nr; i++) {
		json_object(j, NULL);
		json_string(j, "name", tiers->tier[i].name);
		json_u64(j, "quota_bytes", t->tier_quota[i]);
		json_u64(j, "used_bytes", t->tier_used[i]);
		json_end(j);
	}
	json_end(j);
	json_end(j);
}

static const char *limit(uint64_t quota, struct size_text *text)
{
	*text = size_format(quota);
	return quota ? text->s : "-";
}

static void tenants_people(const struct tenant *t, unsigned int nr, const struct tiers *tiers)
{
	struct size_text text;
	char use[64];
	unsigned int i, k;

	if (!nr) {
		puts("no tenants (kvoffctl tenant add makes one)");
		return;
	}
	printf("%-16s %-8s %8s %9s %8s", "TENANT", "CLASS", "QUOTA", "COMMITTED", "USED");
	for (k = 0; k < tiers->nr; k++)
		printf("  %14s", tiers->tier[k].name);
	putchar('\n');
	for (i = 0; i < nr; i++, t++) {
		printf("%-16s %-8s %8s %9s %8s", t->name, t->class, limit(t->quota, &text),
		       size_format(t->committed).s, size_format(t->used).s);
		for (k = 0; k < tiers->nr; k++) {
			/* used, of how much */
			snprintf(use, sizeof(use), "%s/%s", size_format(t->tier_used[k]).s,
				 limit(t->tier_quota[k], &text));
			printf("  %14s", use);
		}
		putchar('\n');
	}
}

int cmd_tenants(int argc, char **argv, bool json)
{
	struct json j = { .out = stdout };
	struct tenant *t;
	struct tiers tiers;
	unsigned int nr, i;
	int ret;

	if (argc != 1)
		return usage_error("tenants takes no arguments");
	tiers_read(&tiers);
	ret = tenants_read(&t, &nr, &tiers);
	if (ret) {
		if (ret == -ENOENT)
			complain("the module is not loaded (modprobe kvoff; kvoffctl doctor says more)");
		else if (ret == -EACCES)
			complain("the tenants' quotas are for root alone to see (sudo kvoffctl ...)");
		else
			complain("the tenants cannot be listed: %s", strerror(-ret));
		return EXIT_FAILED;
	}
	if (json) {
		json_object(&j, NULL);
		json_array(&j, "tenants");
		for (i = 0; i < nr; i++)
			tenant_json(&j, &t[i], &tiers);
		json_end(&j);
		json_end(&j);
	} else {
		tenants_people(t, nr, &tiers);
	}
	free(t);
	return 0;
}

/* ---- the command line: each returns 0 or an exit status ---- */

static int parse_owner(const char *value, __u32 *uid)
{
	const struct passwd *user = getpwnam(value);
	uint64_t v;

	if (user)
		v = user->pw_uid;
	else if (number_parse(value, UINT32_MAX - 1, &v))
		return usage_error("--owner %s: expected a user's name or number", value);
	*uid = v;
	return 0;
}

static int parse_group(const char *value, __u32 *gid)
{
	const struct group *group = getgrnam(value);
	uint64_t v;

	if (group)
		v = group->gr_gid;
	else if (number_parse(value, UINT32_MAX - 1, &v))
		return usage_error("--group %s: expected a group's name or number", value);
	*gid = v;
	return 0;
}

static int parse_mode(const char *value, __u32 *mode)
{
	size_t len = strlen(value);

	if (!len || len > 4 || value[strspn(value, "01234567")] || strtoul(value, NULL, 8) & ~0666UL ||
	    !strtoul(value, NULL, 8))
		return usage_error("--mode %s: expected an octal mode of r and w, such as 0660", value);
	*mode = strtoul(value, NULL, 8);
	return 0;
}

static int parse_class(const char *value, __u32 *class)
{
	unsigned int i;

	for (i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		if (!strcmp(classes[i], value)) {
			*class = i;
			return 0;
		}
	}
	return usage_error("--class %s: expected latency, normal or batch", value);
}

static int parse_quota(const char *option, const char *value, __u64 *out)
{
	uint64_t v;

	if (!strcmp(value, "none"))
		v = 0;
	else if (size_parse(value, &v))
		return usage_error("--%s %s: expected a size, or none for no limit", option, value);
	*out = v;
	return 0;
}

/* TIER=SIZE. The tier's number is looked up now: the tiers are the machine's, so this is no question of usage. */
static int parse_tier(const char *value, const struct tiers *tiers, struct kvoff_ctl_tenant *t)
{
	const char *equals = strchr(value, '=');
	char name[KVOFF_NAME_LEN];
	const struct tier *tier;
	__u64 quota = 0;
	int ret;

	if (!equals || equals == value || equals - value >= KVOFF_NAME_LEN)
		return usage_error("--tier %s: expected TIER=SIZE", value);
	ret = parse_quota("tier", equals + 1, &quota);
	if (ret)
		return ret;
	snprintf(name, sizeof(name), "%.*s", (int)(equals - value), value);
	tier = tiers_find(tiers, name);
	if (!tier) {
		complain("tier %s: there is no such tier (kvoffctl tiers lists them)", name);
		return EXIT_FAILED;
	}
	t->tiers |= 1U << tier->id;
	t->tier_quota[tier->id] = quota;
	return 0;
}

static int parse_tenant(int argc, char **argv, struct kvoff_ctl_tenant *t)
{
	struct tiers tiers;
	int opt, ret = 0;

	tiers_read(&tiers);
	optind = 1;
	while (!ret && (opt = getopt_long(argc, argv, "", tenant_options, NULL)) != -1) {
		switch (opt) {
		case OPT_OWNER:
			ret = parse_owner(optarg, &t->uid);
			t->flags |= KVOFF_TENANT_UID;
			break;
		case OPT_GROUP:
			ret = parse_group(optarg, &t->gid);
			t->flags |= KVOFF_TENANT_GID;
			break;
		case OPT_MODE:
			ret = parse_mode(optarg, &t->mode);
			t->flags |= KVOFF_TENANT_MODE;
			break;
		case OPT_CLASS:
			ret = parse_class(optarg, &t->class);
			t->flags |= KVOFF_TENANT_CLASS;
			break;
		case OPT_QUOTA:
			ret = parse_quota("quota", optarg, &t->quota);
			t->flags |= KVOFF_TENANT_QUOTA;
			break;
		case OPT_TIER:
			ret = parse_tier(optarg, &tiers, t);
			break;
		default:
			ret = EXIT_USAGE;
		}
	}
	if (ret)
		return ret;
	if (optind != argc - 1)
		return usage_error("tenant: expected one tenant name");
	if (strlen(argv[optind]) >= KVOFF_NAME_LEN || !*argv[optind])
		return usage_error("tenant %s: a name has 1 to %d characters", argv[optind], KVOFF_NAME_LEN - 1);
	strcpy(t->name, argv[optind]);
	return 0;
}

/* ---- doing it ---- */

static void complain_unknown(const char *name)
{
	complain("tenant %s: there is no such tenant (kvoffctl tenants lists them)", name);
}

static void complain_busy(const char *name)
{
	struct kvoff_region_info *r;
	unsigned int nr, i, own = 0;
	uint64_t committed = 0;
	int pid = 0;

	if (regions_read(&r, &nr))
		return;
	for (i = 0; i < nr; i++) {
		if (strcmp(r[i].tenant, name))
			continue;
		own++;
		committed += r[i].committed;
		pid = r[i].pid;
	}
	free(r);
	if (own)
		complain("tenant %s: cannot go: it has %u region%s with %s committed, one of them process %d's (kvoffctl regions lists them)",
			 name, own, own == 1 ? "" : "s", size_format(committed).s, pid);
	else
		complain("tenant %s: cannot go: a process has /dev/kvoff/%s open (fuser /dev/kvoff/%s tells which)", name,
			 name, name);
}

static void complain_tenant(const struct kvoff_ctl_tenant *t, unsigned long request, int err)
{
	switch (err) {
	case EPERM:
	case EACCES:
		complain("tenant %s: that takes CAP_SYS_ADMIN (sudo kvoffctl ...)", t->name);
		break;
	case EEXIST:
		if (sys_exists(SYS_KVOFF "/%s/class", t->name))
			complain("tenant %s: exists already (kvoffctl tenant set changes it)", t->name);
		else
			complain("tenant %s: the name is taken by " SYS_KVOFF "/%s, which is no tenant: choose another",
				 t->name, t->name);
		break;
	case ENOENT:
		complain_unknown(t->name);
		break;
	case EBUSY:
		complain_busy(t->name);
		break;
	case ENXIO:
		complain("tenant %s: a tier was removed meanwhile (kvoffctl tiers lists those there are)", t->name);
		break;
	case EUSERS:
		complain("tenant %s: there are as many tenants as there can be", t->name);
		break;
	case ENOTTY:
		complain("tenant %s: the module that is loaded knows no tenants: it is older than this kvoffctl", t->name);
		break;
	case EINVAL:
		complain("tenant %s: refused: a name has letters, digits, '-', '_' and '.', not '.' first", t->name);
		break;
	default:
		complain("tenant %s: cannot be %s: %s", t->name,
			 request == KVOFF_CTL_TENANT_ADD ? "added" :
			 request == KVOFF_CTL_TENANT_SET ? "changed" : "removed", strerror(err));
	}
}

/* The kernel leaves a node that is there to udev, which not every machine has. */
static int change_node(const struct kvoff_ctl_tenant *t)
{
	struct sys_path p = sys_path("/dev/kvoff/%s", t->name);

	if ((t->flags & (KVOFF_TENANT_UID | KVOFF_TENANT_GID) &&
	     chown(p.s, t->flags & KVOFF_TENANT_UID ? t->uid : (uid_t)-1,
		   t->flags & KVOFF_TENANT_GID ? t->gid : (gid_t)-1)) ||
	    (t->flags & KVOFF_TENANT_MODE && chmod(p.s, t->mode))) {
		complain("tenant %s: owner or mode of %s cannot be changed: %s", t->name, p.s, strerror(errno));
		return EXIT_FAILED;
	}
	return 0;
}

static int tenant_ioctl(unsigned long request, struct kvoff_ctl_tenant *t, bool json)
{
	struct json j = { .out = stdout };
	int fd, err;

	fd = control_open();
	if (fd < 0)
		return EXIT_FAILED;
	t->size = sizeof(*t);
	err = ioctl(fd, request, t) < 0 ? errno : 0;
	close(fd);
	if (err) {
		complain_tenant(t, request, err);
		return EXIT_FAILED;
	}
	if (request == KVOFF_CTL_TENANT_SET && change_node(t))
		return EXIT_FAILED;
	if (json) {
		json_object(&j, NULL);
		json_string(&j, "tenant", t->name);
		json_end(&j);
	}
	return 0;
}

int cmd_tenant(int argc, char **argv, bool json)
{
	struct kvoff_ctl_tenant t = { 0 };
	int ret;

	if (argc < 2)
		return usage_error("tenant: expected add, set or remove");
	if (strcmp(argv[1], "add") && strcmp(argv[1], "set") && strcmp(argv[1], "remove"))
		return usage_error("tenant %s: expected add, set or remove", argv[1]);
	ret = parse_tenant(argc - 1, argv + 1, &t);
	if (ret)
		return ret;
	if (!strcmp(argv[1], "add")) {
		/* a group that may not read the node is of no use */
		if (t.flags & KVOFF_TENANT_GID && !(t.flags & KVOFF_TENANT_MODE))
			t.mode = 0660;
		/* flags say what SET changes; ADD takes all fields and no flag */
		t.flags = 0;
		return tenant_ioctl(KVOFF_CTL_TENANT_ADD, &t, json);
	}
	if (!strcmp(argv[1], "set")) {
		if (!t.flags && !t.tiers)
			return usage_error("tenant set %s: nothing to change was given", t.name);
		return tenant_ioctl(KVOFF_CTL_TENANT_SET, &t, json);
	}
	if (t.flags || t.tiers)
		return usage_error("tenant remove %s: takes no options", t.name);
	return tenant_ioctl(KVOFF_CTL_TENANT_REMOVE, &t, json);
}
