// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Emptying a tier, and what goes on meanwhile.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "drains.h"

static int call(int control, const char *tier, uint32_t flags, uint64_t keep, uint64_t *used)
{
	struct kvoff_ctl_tier_drain arg = { .size = sizeof(arg), .flags = flags, .keep = keep };
	int ret;

	snprintf(arg.name, sizeof(arg.name), "%s", tier);
	ret = ioctl(control, KVOFF_CTL_TIER_DRAIN, &arg) < 0 ? -errno : 0;
	if (!ret && used)
		*used = arg.used;
	return ret;
}

int drain(int control, const char *tier, uint64_t keep, uint64_t *used)
{
	return call(control, tier, 0, keep, used);
}

int undrain(int control, const char *tier)
{
	return call(control, tier, KVOFF_DRAIN_STOP, 0, NULL);
}

/* One round; how many were still there when it began. */
static uint64_t round_of_moves(int control, struct region *r, uint32_t from, uint32_t to, int round)
{
	struct kvoff_move_result results[KVOFF_MOVE_MAX];
	struct kvoff_move_desc descs[KVOFF_MOVE_MAX];
	uint64_t b, there = 0;
	uint32_t nr = 0;

	for (b = 0; b < r->nr; b++) {
		uint64_t loc = location(r, b);

		if (!(KVOFF_LOC_FLAGS(loc) & KVOFF_STATE_PRESENT) || KVOFF_LOC_TIER(loc) != from)
			continue;
		there++;
		descs[nr++] = (struct kvoff_move_desc){
			.region = r->id, .to = to, .block = b, .flags = round > 2 ? KVOFF_MOVE_STOP : 0,
		};
		/* a block that others have moved meanwhile takes its batch with it: small ones */
		if (nr == 8) {
			move_batch(control, descs, nr, results, NULL);
			nr = 0;
		}
	}
	if (nr)
		move_batch(control, descs, nr, results, NULL);
	return there;
}

bool empty_tier_tries(int control, struct region **r, int nr, uint32_t from, uint32_t to, int tries)
{
	int round, i;

	for (round = 0; round <= tries; round++) {
		uint64_t there = 0;

		for (i = 0; i < nr; i++)
			there += round_of_moves(control, r[i], from, to, round);
		if (!there)
			return true;
	}
	return false;
}

bool empty_tier(int control, struct region **r, int nr, uint32_t from, uint32_t to)
{
	return comes_true(empty_tier_tries(control, r, nr, from, to, 4));
}

static bool state_is(const char *tier, const char *state)
{
	char path[128], text[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/sys/class/kvoff/tiers/%s/state", tier);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (fscanf(f, "%31s", text) != 1)
		text[0] = 0;
	fclose(f);
	return !strcmp(text, state);
}

bool state_becomes(const char *tier, const char *state)
{
	return comes_true(state_is(tier, state));
}

bool figure_becomes(const char *path, uint64_t value)
{
	return comes_true(sysfs_u64("%s", path) == value);
}

static uint64_t pools(const char *tier, const char *figure)
{
	uint64_t sum = 0;
	int kib;

	for (kib = 64; kib <= 2048; kib *= 2)
		sum += sysfs_u64("tiers/%s/pools/%dkB/%s", tier, kib, figure);
	return sum;
}

uint64_t pool_bytes(const char *tier)
{
	return pools(tier, "bytes");
}

bool filled_at_most(const char *tier, uint64_t bytes)
{
	return comes_true(pools(tier, "filled_bytes") <= bytes);
}

uint64_t touch_all(const struct region *r, uint64_t nr)
{
	uint64_t b, wrong = 0;

	for (b = 0; b < nr; b++) {
		volatile uint64_t *at = (uint64_t *)block_at(r, b);

		wrong += *at != 0;
		*at = b + 1;
	}
	return wrong;
}

static void *use(void *p)
{
	struct user *u = p;

	while (!atomic_load(&u->stop)) {
		uint64_t b;

		for (b = 0; b < u->r->nr; b++) {
			u->wrong += count_wrong(block_at(u->r, b), u->r->bs, u->salt + b);
			if (b % 2)
				fill(block_at(u->r, b), u->r->bs, u->salt + b);
		}
		nap();
	}
	return NULL;
}

int user_start(struct user *u, const struct region *r, uint64_t salt)
{
	memset(u, 0, sizeof(*u));
	u->r = r;
	u->salt = salt;
	return -pthread_create(&u->thread, NULL, use, u);
}

uint64_t user_stop(struct user *u)
{
	atomic_store(&u->stop, true);
	pthread_join(u->thread, NULL);
	return u->wrong;
}

static void *come_and_go(void *p)
{
	struct churn *c = p;
	uint64_t n = 0;

	while (!atomic_load(&c->stop)) {
		uint32_t bs = n++ % 2 ? 64 * KIB : 256 * KIB;
		uint64_t nr = 8 + n % 24, wrong = 0;
		struct region r;

		if (region_create(c->rig, &r, bs, nr))
			continue;
		if (!region_commit(&r, nr * bs, NULL)) {
			wrong = touch_all(&r, nr);
			atomic_fetch_add(&c->touched, nr);
			region_discard(&r, 0, nr / 2, NULL);
			wrong += touch_all(&r, nr / 2);
		}
		atomic_fetch_add(&c->wrong, wrong);
		region_close(&r);
	}
	return NULL;
}

static void *move_about(void *p)
{
	struct churn *c = p;
	uint32_t to = 0;

	while (!atomic_load(&c->stop)) {
		uint64_t b;

		for (b = 0; b < c->r->nr; b++)
			if (!move_one(c->rig, c->r, b, to++ % 2 ? c->rig->near : c->rig->far, 0))
				atomic_fetch_add(&c->moved, 1);
		nap();
	}
	return NULL;
}

int churn_start(struct churn *c, struct rig *rig, const struct region *r)
{
	int ret;

	memset(c, 0, sizeof(*c));
	c->rig = rig;
	c->r = r;
	ret = pthread_create(&c->threads[0], NULL, come_and_go, c);
	ret = ret ?: pthread_create(&c->threads[1], NULL, come_and_go, c);
	return -(ret ?: pthread_create(&c->threads[2], NULL, move_about, c));
}

uint64_t churn_stop(struct churn *c)
{
	unsigned int i;

	atomic_store(&c->stop, true);
	for (i = 0; i < 3; i++)
		pthread_join(c->threads[i], NULL);
	return atomic_load(&c->wrong);
}
