// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The keys of the configuration file: where each belongs, what it may be, and its default.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define MIB		(1ull << 20)

enum key_type {
	KEY_BOOL,	/* bool: yes or no */
	KEY_UINT,	/* uint64_t from min to max */
	KEY_INT,	/* int64_t from min to max */
	KEY_RATIO,	/* double from min to max */
	KEY_PERCENT,	/* struct conf_amount, a share from min to max hundredths of a percent */
	KEY_AMOUNT,	/* struct conf_amount, bytes or a share of at most 100 % */
	KEY_SPEED,	/* struct conf_amount, MB/s or a share of at most 100 % */
	KEY_CHOICE,	/* uint64_t, the index in names */
	KEY_PATH,	/* char[CONF_PATH_LEN], absolute, or empty */
	KEY_PREFILL,	/* uint64_t[KVOFF_NR_BLOCK_SIZES], "SIZE:BYTES ..." */
};

struct key {
	enum conf_section section;
	const char *name;
	enum key_type type;
	size_t offset;
	uint64_t min;
	uint64_t max;
	const char *names;	/* KEY_CHOICE: separated by ", " */
	const char *value;	/* default; a tier's are set where its section begins */
};

#define CONF(f)	offsetof(struct conf, f)
#define TIER(f)	offsetof(struct conf_tier, f)

static const struct key keys[] = {
	{ CONF_DAEMON, "interval_ms", KEY_UINT, CONF(interval_ms), 10, 60000, NULL, "100" },
	{ CONF_DAEMON, "cpu_percent", KEY_UINT, CONF(cpu_percent), 1, 100, NULL, "10" },
	{ CONF_DAEMON, "io_uring", KEY_BOOL, CONF(io_uring), 0, 0, NULL, "yes" },
	{ CONF_DAEMON, "memory_errors", KEY_BOOL, CONF(memory_errors), 0, 0, NULL, "yes" },
	{ CONF_DAEMON, "poison_scan_s", KEY_UINT, CONF(poison_scan_s), 0, 604800, NULL, "3600" },
	{ CONF_DAEMON, "log_level", KEY_CHOICE, CONF(log_level), 0, 0, "error, warn, info, debug", "info" },
	{ CONF_DAEMON, "status_file", KEY_PATH, CONF(status_file), 0, 0, NULL, "/run/kvoff/kvoffd.json" },
	{ CONF_POLICY, "name", KEY_CHOICE, CONF(policy), 0, 0, "heat, lru, static", "heat" },
	{ CONF_POLICY, "free_low", KEY_PERCENT, CONF(free_low), 0, 2500, NULL, "1%" },
	{ CONF_POLICY, "free_high", KEY_PERCENT, CONF(free_high), 0, 2500, NULL, "1.1%" },
	{ CONF_POLICY, "births_ahead_ms", KEY_UINT, CONF(births_ahead_ms), 0, 60000, NULL, "0" },
	{ CONF_POLICY, "margin", KEY_RATIO, CONF(margin), 1, 1000, NULL, "1.2" },
	{ CONF_POLICY, "class_weight", KEY_RATIO, CONF(class_weight), 1, 1000, NULL, "4" },
	{ CONF_POLICY, "residence_ms", KEY_UINT, CONF(residence_ms), 0, 3600000, NULL, "2000" },
	{ CONF_POLICY, "prefetch_ms", KEY_UINT, CONF(prefetch_ms), 0, 3600000, NULL, "30000" },
	{ CONF_POLICY, "prefetch_share", KEY_PERCENT, CONF(prefetch_share), 0, 10000, NULL, "25%" },
	{ CONF_POLICY, "half_life_s", KEY_UINT, CONF(half_life_s), 60, 604800, NULL, "3600" },
	{ CONF_POLICY, "max_moves", KEY_UINT, CONF(max_moves), 1, 65536, NULL, "4096" },
	{ CONF_DISCOVER, "tiers", KEY_BOOL, CONF(discover), 0, 0, NULL, "yes" },
	{ CONF_DISCOVER, "probe", KEY_BOOL, CONF(probe), 0, 0, NULL, "no" },
	{ CONF_DISCOVER, "fast_capacity", KEY_AMOUNT, CONF(fast_capacity), 0, 0, NULL, "25%" },
	{ CONF_DISCOVER, "cxl_capacity", KEY_AMOUNT, CONF(cxl_capacity), 0, 0, NULL, "90%" },
	{ CONF_LINKS, "budget", KEY_SPEED, CONF(budget), 0, UINT32_MAX, NULL, "25%" },
	{ CONF_TIER, "use", KEY_BOOL, TIER(use), 0, 0, NULL, NULL },
	{ CONF_TIER, "node", KEY_INT, TIER(node), 0, 1023, NULL, NULL },
	{ CONF_TIER, "rank", KEY_INT, TIER(rank), 0, 255, NULL, NULL },
	{ CONF_TIER, "capacity", KEY_AMOUNT, TIER(capacity), 0, 0, NULL, NULL },
	{ CONF_TIER, "latency_ns", KEY_UINT, TIER(latency_ns), 1, 1000000000, NULL, NULL },
	{ CONF_TIER, "bandwidth_mbps", KEY_UINT, TIER(bandwidth_mbps), 1, UINT32_MAX, NULL, NULL },
	{ CONF_TIER, "prefill", KEY_PREFILL, TIER(prefill), 0, 0, NULL, NULL },
};

const char *conf_section_name(enum conf_section section)
{
	static const char *const names[CONF_NR_SECTIONS] = { "daemon", "policy", "discover", "links", "tier" };

	return names[section];
}

bool conf_name_ok(const char *name)
{
	size_t len = strlen(name);

	if (!len || len >= KVOFF_NAME_LEN || name[0] == '.')
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("-_.", *name))
			return false;
	return true;
}

/* A decimal number, and where it ends; no sign, no blanks. */
static int number(const char *value, uint64_t *out, const char **end)
{
	char *stop;

	if (!isdigit((unsigned char)*value))
		return -EINVAL;
	errno = 0;
	*out = strtoull(value, &stop, 10);
	if (errno)
		return -EINVAL;
	*end = stop;
	return 0;
}

static int bytes(const char *value, uint64_t *out, const char **end)
{
	static const char units[] = "KMGT";
	const char *unit;
	unsigned int shift;

	if (number(value, out, end))
		return -EINVAL;
	if (!**end)
		return 0;
	unit = strchr(units, toupper((unsigned char)**end));
	if (!unit)
		return 0;
	shift = 10 * (unsigned int)(unit - units + 1);
	if (*out > UINT64_MAX >> shift)
		return -EINVAL;
	*out <<= shift;
	++*end;
	if ((*end)[0] == 'i' && (*end)[1] == 'B')
		*end += 2;
	return 0;
}

/* A share in hundredths: "2%", "2.5 %". */
static int share(const char *value, uint64_t *out)
{
	const char *end;
	uint64_t part = 0;

	if (number(value, out, &end) || *out > 100)
		return -EINVAL;
	*out *= 100;
	if (*end == '.') {
		const char *digits = ++end;

		if (number(digits, &part, &end) || end - digits > 2)
			return -EINVAL;
		*out += end - digits == 1 ? part * 10 : part;
	}
	end += strspn(end, " \t");
	return *out <= 10000 && !strcmp(end, "%") ? 0 : -EINVAL;
}

int conf_amount_set(struct conf_amount *amount, const char *value, bool bare)
{
	struct conf_amount got = { .percent = strchr(value, '%') != NULL };
	const char *end = value;
	int err;

	err = got.percent ? share(value, &got.value)
	      : bare	  ? number(value, &got.value, &end)
			  : bytes(value, &got.value, &end);
	if (err || (!got.percent && *end))
		return -EINVAL;
	*amount = got;
	return 0;
}

static int choice(const char *value, const char *names, uint64_t *out)
{
	size_t len = strlen(value);

	for (uint64_t i = 0; *names; i++) {
		size_t name_len = strcspn(names, ",");

		if (name_len == len && !memcmp(names, value, len)) {
			*out = i;
			return 0;
		}
		names += name_len;
		names += strspn(names, ", ");
	}
	return -EINVAL;
}

/* "2M:1G 64K:512M" */
static int prefill(const char *value, uint64_t *out)
{
	uint64_t got[KVOFF_NR_BLOCK_SIZES] = { 0 }, size, amount;

	while (*value) {
		unsigned int c = 0;

		if (bytes(value, &size, &value) || *value != ':' || bytes(value + 1, &amount, &value))
			return -EINVAL;
		while (c < KVOFF_NR_BLOCK_SIZES && (uint64_t)KVOFF_BLOCK_SIZE_MIN << c != size)
			c++;
		if (c == KVOFF_NR_BLOCK_SIZES || amount % size || got[c])
			return -EINVAL;
		got[c] = amount;
		if (*value && !isblank((unsigned char)*value))
			return -EINVAL;
		value += strspn(value, " \t");
	}
	memcpy(out, got, sizeof(got));
	return 0;
}

static void say_allowed(const struct key *key, char *allowed, size_t len)
{
	unsigned long long min = key->min, max = key->max;

	switch (key->type) {
	case KEY_BOOL:
		snprintf(allowed, len, "yes or no");
		break;
	case KEY_UINT:
	case KEY_INT:
		snprintf(allowed, len, "a whole number from %llu to %llu", min, max);
		break;
	case KEY_RATIO:
		snprintf(allowed, len, "a number from %llu to %llu, like 1.2", min, max);
		break;
	case KEY_PERCENT:
		snprintf(allowed, len, "a share from %llu%% to %llu%%, like 2.5%%", min / 100, max / 100);
		break;
	case KEY_AMOUNT:
		snprintf(allowed, len,
			 "bytes (2 MiB or more), like 64M or 4G, or a share of the node's free memory, like 25%%");
		break;
	case KEY_SPEED:
		snprintf(allowed, len,
			 "10^6 bytes a second, like 2000, a share of the slower tier's bandwidth, like 25%%, or 0 for "
			 "no limit");
		break;
	case KEY_CHOICE:
		snprintf(allowed, len, "one of %s", key->names);
		break;
	case KEY_PATH:
		snprintf(allowed, len, "an absolute path of at most %d bytes, or nothing", CONF_PATH_LEN - 1);
		break;
	case KEY_PREFILL:
		snprintf(allowed, len,
			 "BLOCKSIZE:BYTES pairs, each block size (64K, 128K, 256K, 512K, 1M, 2M) once, bytes a "
			 "multiple of it, like 2M:1G 64K:512M");
		break;
	}
}

static int set(const struct key *key, void *base, const char *value)
{
	void *at = (char *)base + key->offset;
	struct conf_amount *amount = at;
	const char *end = "";
	uint64_t n = 0;
	char *stop;
	double d;

	switch (key->type) {
	case KEY_BOOL:
		if (choice(value, "no, yes", &n))
			return -EINVAL;
		*(bool *)at = n;
		return 0;
	case KEY_UINT:
	case KEY_INT:
		if (number(value, &n, &end) || *end || n < key->min || n > key->max)
			return -EINVAL;
		*(uint64_t *)at = n;
		return 0;
	case KEY_RATIO:
		if (!isdigit((unsigned char)*value))
			return -EINVAL;
		d = strtod(value, &stop);
		if (*stop || !isfinite(d) || d < (double)key->min || d > (double)key->max)
			return -EINVAL;
		*(double *)at = d;
		return 0;
	case KEY_PERCENT:
		if (share(value, &n) || n < key->min || n > key->max)
			return -EINVAL;
		*amount = (struct conf_amount) { .percent = true, .value = n };
		return 0;
	case KEY_AMOUNT: {
		struct conf_amount got;

		if (conf_amount_set(&got, value, false) || !got.value || (!got.percent && got.value < 2 * MIB))
			return -EINVAL;
		*amount = got;
		return 0;
	}
	case KEY_SPEED: {
		struct conf_amount got;

		if (conf_amount_set(&got, value, true) || (!got.percent && got.value > key->max))
			return -EINVAL;
		*amount = got;
		return 0;
	}
	case KEY_CHOICE:
		return choice(value, key->names, at);
	case KEY_PATH:
		if (strlen(value) >= CONF_PATH_LEN || (*value && *value != '/'))
			return -EINVAL;
		strcpy(at, value);
		return 0;
	case KEY_PREFILL:
		return prefill(value, at);
	}
	return -EINVAL;
}

int conf_key_set(enum conf_section section, void *base, const char *key, const char *value, char *allowed, size_t len)
{
	size_t at = 0;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (keys[i].section != section || strcmp(keys[i].name, key))
			continue;
		if (!set(&keys[i], base, value)) {
			if (section == CONF_TIER && keys[i].type == KEY_AMOUNT)
				((struct conf_tier *)base)->set_capacity = true;
			return 0;
		}
		say_allowed(&keys[i], allowed, len);
		return -EINVAL;
	}
	allowed[0] = 0;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i].section == section && at < len)
			at += (size_t)snprintf(allowed + at, len - at, "%s%s", at ? ", " : "", keys[i].name);
	return -ENOENT;
}

void conf_init(struct conf *conf)
{
	memset(conf, 0, sizeof(*conf));
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i].value)
			set(&keys[i], conf, keys[i].value);
}
