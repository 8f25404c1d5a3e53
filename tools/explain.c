// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvoffctl explain: why a block is where it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/explain.h"
#include "tools/json.h"
#include "tools/mapping.h"
#include "tools/size.h"

#define LOOKS	100

/**
 * struct question - what is asked
 * @pid:	whose addresses are meant, 0 for the region's own process
 * @address:	of a byte in the block, 0 if blocks were named by number
 * @first:	else the first block
 * @last:	and the last
 */
struct question {
	int pid;
	uint64_t address;
	uint64_t first;
	uint64_t last;
};

/**
 * struct view - a region's shared arrays
 * @fd:		of KVOFF_CTL_REGION_VIEW
 * @nr:		entries
 * @state:	where each block is
 * @hint:	what clients say of it
 */
struct view {
	int fd;
	uint64_t nr;
	const struct kvoff_state *state;
	const struct kvoff_hint *hint;
};

static void printable(char *s)
{
	for (; *s; s++)
		if (*s < ' ' || *s > '~')
			*s = '?';
}

static const void *map_array(const struct view *v, uint64_t entry, uint64_t offset)
{
	void *p = mmap(NULL, v->nr * entry, PROT_READ, MAP_SHARED, v->fd, (off_t)offset);

	return p == MAP_FAILED ? NULL : p;
}

static void view_close(struct view *v)
{
	if (v->state)
		munmap((void *)v->state, v->nr * sizeof(*v->state));
	if (v->hint)
		munmap((void *)v->hint, v->nr * sizeof(*v->hint));
	if (v->fd >= 0)
		close(v->fd);
}

static int view_open(struct view *v, uint32_t id, struct kvoff_region_info *info)
{
	struct kvoff_ctl_region_view arg = { .size = sizeof(arg), .id = id, .fd_flags = O_CLOEXEC };
	int ctl = control_open(), err;

	*v = (struct view){ .fd = -1 };
	if (ctl < 0)
		return EXIT_FAILED;
	*info = (struct kvoff_region_info){ .size = sizeof(*info) };
	v->fd = ioctl(ctl, KVOFF_CTL_REGION_VIEW, &arg);
	err = v->fd < 0 || ioctl(v->fd, KVOFF_REGION_INFO, info) < 0 ? errno : 0;
	close(ctl);
	if (!err && info->block_size) {
		v->nr = info->length / info->block_size;
		v->state = map_array(v, sizeof(*v->state), KVOFF_OFF_STATE);
		v->hint = v->state ? map_array(v, sizeof(*v->hint), KVOFF_OFF_HINT) : NULL;
		err = v->hint ? 0 : errno;
	}
	if (!err) {
		info->label[KVOFF_NAME_LEN - 1] = info->name[KVOFF_NAME_LEN - 1] = info->tenant[KVOFF_NAME_LEN - 1] = 0;
		printable(info->label);
		return 0;
	}
	if (err == ENOENT || err == ENODEV)
		complain("region %u: there is none of this number (kvoffctl regions lists them)", id);
	else
		complain("region %u: it cannot be looked at: %s", id, strerror(err));
	view_close(v);
	return EXIT_FAILED;
}

/* A move changes the location last: what was read between two equal ones belongs together. */
static struct seen look(const struct view *v, uint64_t block)
{
	const struct kvoff_state *state = &v->state[block];
	struct seen s = { .block = block };
	unsigned int i;

	for (i = 0; i < LOOKS; i++) {
		s.location = __atomic_load_n(&state->location, __ATOMIC_ACQUIRE);
		s.reason = __atomic_load_n(&state->reason, __ATOMIC_ACQUIRE);
		s.samples = __atomic_load_n(&state->samples, __ATOMIC_ACQUIRE);
		s.refaults = __atomic_load_n(&state->refaults, __ATOMIC_ACQUIRE);
		if (s.location == __atomic_load_n(&state->location, __ATOMIC_RELAXED))
			break;
	}
	s.touches = __atomic_load_n(&v->hint[block].touches, __ATOMIC_RELAXED);
	s.hints = __atomic_load_n(&v->hint[block].bits, __ATOMIC_RELAXED);
	return s;
}

/* Where the region has the block's first byte mapped, if it is mapped there. */
static uint64_t offset_of(const struct seen *s, const struct kvoff_region_info *r)
{
	if (r->flags & KVOFF_REGION_FRAMED)
		return KVOFF_OFF_WINDOW(KVOFF_LOC_TIER(s->location)) +
		       (uint64_t)KVOFF_LOC_FRAME(s->location) * r->block_size;
	return KVOFF_OFF_DATA + s->block * r->block_size;
}

/* The block that has this offset of the region. Returns 0 or the exit status (complained about). */
static int block_at(const struct view *v, const struct kvoff_region_info *r, uint64_t offset, struct question *q)
{
	bool framed = r->flags & KVOFF_REGION_FRAMED;
	uint64_t block, high = r->high < v->nr ? r->high : v->nr;

	if (!framed && offset < KVOFF_OFF_STATE) {
		q->first = q->last = offset / r->block_size;
		return 0;
	}
	if (offset < KVOFF_OFF_WINDOW(0)) {
		complain("process %d: %#" PRIx64 " is in the shared arrays of region %u, not in a block", q->pid,
			 q->address, r->id);
		return EXIT_FAILED;
	}
	for (block = 0; block < high; block++) {
		struct seen s = look(v, block);

		if (KVOFF_LOC_FLAGS(s.location) & KVOFF_STATE_PRESENT && offset - offset_of(&s, r) < r->block_size) {
			q->first = q->last = block;
			return 0;
		}
	}
	complain("process %d: %#" PRIx64 " is in a window of region %u, in a frame that holds no block", q->pid,
		 q->address, r->id);
	return EXIT_FAILED;
}

static void set_json(struct json *j, const char *key, const char *const *names, unsigned int nr, uint32_t bits)
{
	unsigned int i;

	json_array(j, key);
	for (i = 0; i < nr; i++)
		if (bits & 1u << i && names[i])
			json_string(j, NULL, names[i]);
	json_end(j);
}

/* The names of the bits that are set, or @none. */
static void set_people(const char *const *names, unsigned int nr, uint32_t bits, const char *none)
{
	const char *sep = "";
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (!(bits & 1u << i) || !names[i])
			continue;
		printf("%s%s", sep, names[i]);
		sep = ",";
	}
	fputs(*sep ? "" : none, stdout);
}

#define HINTS	explain_hints, sizeof(explain_hints) / sizeof(explain_hints[0])
#define FLAGS	explain_flags, sizeof(explain_flags) / sizeof(explain_flags[0])

static bool is_present(const struct seen *s)
{
	return KVOFF_LOC_FLAGS(s->location) & KVOFF_STATE_PRESENT;
}

static void block_json(struct json *j, const struct seen *s, const struct around *a, uint64_t address)
{
	const struct tier *t = explain_tier(s, &a->tiers);

	json_object(j, NULL);
	json_u64(j, "block", s->block);
	json_u64(j, "first_byte", s->block * a->region.block_size);
	if (address)
		json_u64(j, "address", address);
	json_bool(j, "present", is_present(s));
	if (t) {
		json_string(j, "tier", t->name);
		json_u64(j, "rank", t->rank);
	}
	if (is_present(s)) {
		json_string(j, "reason", explain_reason(s->reason));
		json_u64(j, "reason_code", s->reason);
	}
	json_u64(j, "touches", s->touches);
	json_u64(j, "samples", s->samples);
	json_u64(j, "refaults", s->refaults);
	set_json(j, "hints", HINTS, s->hints);
	set_json(j, "flags", FLAGS, KVOFF_LOC_FLAGS(s->location));
	json_end(j);
}

static void print_place(const struct seen *s, const struct around *a)
{
	const struct tier *t = explain_tier(s, &a->tiers);

	if (KVOFF_LOC_FLAGS(s->location) & KVOFF_STATE_POISONED)
		puts("  tier    none: its bytes are lost to a memory error");
	else if (!is_present(s))
		puts("  tier    none: it is empty");
	else if (!t)
		printf("  tier    number %u, which is gone\n", KVOFF_LOC_TIER(s->location));
	else
		printf("  tier    %s, rank %u of node %d%s\n", t->name, t->rank, t->node,
		       strcmp(t->state, "draining") ? "" : ", being drained");
}

static void print_state(uint32_t flags)
{
	if (flags & KVOFF_STATE_SEALED)
		puts("  state   sealed: its bytes do not change until it is discarded or freed");
	if (flags & KVOFF_STATE_COPYING)
		puts("  state   copying: a copy to another tier is being made");
	if (flags & KVOFF_STATE_MOVING)
		puts("  state   moving: its place is being changed now");
}

static void block_people(const struct seen *s, const struct around *a, int pid, uint64_t address)
{
	const struct kvoff_region_info *r = &a->region;

	printf("region %u (%s%s%s, tenant %s, process %d), block %" PRIu64 " of %s\n", r->id,
	       *r->name ? r->name : r->label, *r->name && *r->label ? ", " : "", *r->name ? r->label : "", r->tenant,
	       r->pid, s->block, size_format(r->block_size).s);
	printf("  bytes   %" PRIu64 " to %" PRIu64 " of the region", s->block * r->block_size,
	       (s->block + 1) * r->block_size - 1);
	if (address)
		printf("; %#" PRIx64 "-%#" PRIx64 " in process %d", address, address + r->block_size, pid);
	putchar('\n');
	print_place(s, a);
	if (is_present(s)) {
		printf("  reason  %s: ", explain_reason(s->reason));
		explain_why(stdout, s, a);
		putchar('\n');
	}
	/* whatever bytes were there: nobody begins to count anew */
	printf("  use     touched %u times", s->touches);
	if (!(r->flags & KVOFF_REGION_FRAMED))
		printf(", sampled %u times and back after %u of them", s->samples, s->refaults);
	puts(", since the region began");
	fputs("  hints   ", stdout);
	set_people(HINTS, s->hints, "none");
	putchar('\n');
	print_state(KVOFF_LOC_FLAGS(s->location));
	fputs("  next    ", stdout);
	explain_next(stdout, s, a);
	putchar('\n');
}

static void row(const struct seen *s, const struct around *a)
{
	const struct tier *t = explain_tier(s, &a->tiers);

	printf("%10" PRIu64 " %-12s %-16s %10u %8u %8u  ", s->block, t ? t->name : is_present(s) ? "?" : "-",
	       is_present(s) ? explain_reason(s->reason) : "-", s->touches, s->samples, s->refaults);
	set_people(HINTS, s->hints, "-");
	putchar(' ');
	set_people(FLAGS, KVOFF_LOC_FLAGS(s->location), "-");
	putchar('\n');
}

static void rows_people(const struct view *v, const struct around *a, const struct question *q)
{
	uint64_t block, empty = 0;

	printf("%10s %-12s %-16s %10s %8s %8s  %s\n", "BLOCK", "TIER", "REASON", "TOUCHES", "SAMPLES", "REFAULTS",
	       "HINTS STATE");
	for (block = q->first; block <= q->last; block++) {
		struct seen s = look(v, block);

		if (KVOFF_LOC_FLAGS(s.location) & (KVOFF_STATE_PRESENT | KVOFF_STATE_POISONED))
			row(&s, a);
		else
			empty++;
	}
	if (empty)
		printf("%" PRIu64 " of these blocks %s empty\n", empty, empty == 1 ? "is" : "are");
}

static void answer(const struct view *v, const struct around *a, const struct question *q, bool json)
{
	int pid = q->pid ? q->pid : a->region.pid;
	struct json j = { .out = stdout };
	struct seen s = look(v, q->first);
	uint64_t address = 0, block;

	if (q->first == q->last && (is_present(&s) || !(a->region.flags & KVOFF_REGION_FRAMED)))
		address = mapping_address(pid, a->region.id, offset_of(&s, &a->region));
	if (!json) {
		if (q->first == q->last)
			block_people(&s, a, pid, address);
		else
			rows_people(v, a, q);
		return;
	}
	json_object(&j, NULL);
	json_u64(&j, "region", a->region.id);
	json_string(&j, "tenant", a->region.tenant);
	json_string(&j, "label", a->region.label);
	json_u64(&j, "block_bytes", a->region.block_size);
	json_array(&j, "blocks");
	for (block = q->first; block <= q->last; block++) {
		s = look(v, block);
		block_json(&j, &s, a, address);
	}
	json_end(&j);
	json_end(&j);
}

static int explain(uint32_t id, struct question *q, const struct mapping *m, bool json)
{
	struct around a;
	struct view v;
	int ret;

	ret = view_open(&v, id, &a.region);
	if (ret)
		return ret;
	if (m)
		ret = block_at(&v, &a.region, q->address - m->start + m->offset, q);
	if (!ret && q->last >= v.nr) {
		complain("region %u: there is no block %" PRIu64 ": it has %" PRIu64 ", from 0 on", id,
			 q->first < v.nr ? q->last : q->first, v.nr);
		ret = EXIT_FAILED;
	}
	if (!ret) {
		tiers_read(&a.tiers);
		daemon_read(&a.daemon);
		answer(&v, &a, q, json);
		daemon_free(&a.daemon);
	}
	view_close(&v);
	return ret;
}

/* BLOCK, BLOCK-LAST or 0xADDRESS */
static int parse_which(const char *which, struct question *q)
{
	char first[32], *end;
	const char *dash = strchr(which, '-');

	if (!strncasecmp(which, "0x", 2)) {
		errno = 0;
		q->address = strtoull(which, &end, 16);
		if (errno || *end || !which[2] || !q->address)
			return usage_error("%s: expected an address, 0x and hexadecimal digits", which);
		return 0;
	}
	snprintf(first, sizeof(first), "%.*s", dash ? (int)(dash - which) : (int)strlen(which), which);
	if (number_parse(first, UINT64_MAX, &q->first) || number_parse(dash ? dash + 1 : first, UINT64_MAX, &q->last) ||
	    q->last < q->first)
		return usage_error("%s: expected a block's number, a range FIRST-LAST, or an address 0x...", which);
	return 0;
}

/* Whose addresses are meant where only the region is known: its own process's. */
static int region_process(uint32_t id, int *pid)
{
	struct kvoff_region_info info;
	struct view v;
	int ret = view_open(&v, id, &info);

	if (ret)
		return ret;
	view_close(&v);
	*pid = info.pid;
	if (*pid > 0)
		return 0;
	complain("region %u: its process cannot be seen: say which one's address it is with --pid", id);
	return EXIT_FAILED;
}

int cmd_explain(int argc, char **argv, bool json)
{
	static const struct option options[] = { { "pid", required_argument, NULL, 'p' }, { 0 } };
	struct question q = { 0 };
	struct mapping m;
	unsigned int id = 0;
	uint64_t pid = 0;
	bool named;
	int opt, ret;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt != 'p')
			return EXIT_USAGE;
		if (number_parse(optarg, INT_MAX, &pid) || !pid)
			return usage_error("--pid %s: expected a process's number", optarg);
	}
	named = argc - optind == 2;
	if (!named && argc - optind != 1)
		return usage_error("explain: expected a region and a block, or --pid and an address");
	ret = parse_which(argv[argc - 1], &q);
	if (!ret && !named && (!q.address || !pid))
		ret = usage_error("explain %s: of which region, or, with an address, of which --pid?", argv[argc - 1]);
	if (!ret && named)
		ret = region_named(argv[optind], &id);
	q.pid = (int)pid;
	if (!ret && q.address && !q.pid)
		ret = region_process(id, &q.pid);
	if (!ret && q.address)
		ret = mapping_at(q.pid, q.address, &m);
	if (ret)
		return ret;
	if (q.address && named && m.region != id) {
		complain("process %d: %#" PRIx64 " is in region %u, not in region %u", q.pid, q.address, m.region, id);
		return EXIT_FAILED;
	}
	return explain(q.address ? m.region : id, &q, q.address ? &m : NULL, json);
}
