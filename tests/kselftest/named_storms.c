// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Named regions opened, left, expired and removed by many at once: nobody finds a region half ended, nothing sealed is
 * lost, nothing unsealed is lost while somebody is attached, and in the end all is given back.
 */
#include <kselftest_harness.h>

#include <pthread.h>

#include "named.h"

#define PROCESSES	5
#define OWN		4

FIXTURE(named_storms)
{
	struct rig rig;
};

FIXTURE_SETUP(named_storms)
{
	ASSERT_EQ(0, rig_up(&self->rig, BS, 64 * BS));
}

FIXTURE_TEARDOWN(named_storms)
{
	const char *wrong;

	named_remove_all(self->rig.control);
	wrong = rig_down(&self->rig);
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

static unsigned int next_random(unsigned int *seed)
{
	*seed = *seed * 1103515245U + 12345U;
	return *seed >> 16;
}

/* What the unit of @block holds, by its tag. */
static void tag_of(char *tag, size_t size, uint32_t id, uint64_t block, unsigned int salt)
{
	snprintf(tag, size, "%u %lu %u", id, (unsigned long)block, salt);
}

/**
 * struct client - one process of a storm
 * @first:	its own blocks begin here: nobody else seals or discards them
 * @id:		the region it had last
 * @tags:	what it sealed in that region, empty if nothing
 */
struct client {
	int tenant;
	uint64_t first;
	unsigned int seed;
	uint32_t id;
	char tags[OWN][KVOFF_TAG_LEN];
};

/* Everything sealed is there and right, everything else of this client's is zero. */
static int look(struct client *c, const struct region *r)
{
	struct kvoff_unit list[NR];
	int n, i, own = 0, want = 0;
	uint64_t k;

	if (r->id != c->id)
		memset(c->tags, 0, sizeof(c->tags));
	c->id = r->id;
	n = units(r->fd, c->first, list, NR);
	if (n < 0)
		return 10;
	for (i = 0; i < n && list[i].first < c->first + OWN; i++, own++) {
		uint32_t id;
		unsigned int salt;
		unsigned long block;

		k = list[i].first - c->first;
		if (memcmp(list[i].tag, c->tags[k], KVOFF_TAG_LEN) ||
		    sscanf((char *)list[i].tag, "%u %lu %u", &id, &block, &salt) != 3 || id != r->id ||
		    block != list[i].first)
			return 11;
		if (count_wrong(block_at(r, block), BS, salt))
			return 12;
	}
	for (k = 0; k < OWN; k++)
		want += c->tags[k][0] != 0;
	return own == want ? 0 : 13;
}

/* Attached: seal or discard something, and see that it is there still. */
static int work(struct client *c, const struct region *r)
{
	uint64_t k = next_random(&c->seed) % OWN, block = c->first + k;
	unsigned int salt = next_random(&c->seed);
	int ret;

	if (c->tags[k][0]) {
		memset(c->tags[k], 0, KVOFF_TAG_LEN);
		return region_discard(r, block, 1, NULL) || region_uncommit(r, BS) ? 20 : 0;
	}
	ret = region_commit(r, BS, NULL);
	if (ret)
		return 21;
	if (count_nonzero(block_at(r, block), BS))
		return 22;
	fill(block_at(r, block), BS, salt);
	if (next_random(&c->seed) % 2)
		nap();
	/* unsealed as it is, it stays while this process is attached */
	if (count_wrong(block_at(r, block), BS, salt))
		return 23;
	if (next_random(&c->seed) % 3 == 0)
		return region_discard(r, block, 1, NULL) || region_uncommit(r, BS) ? 24 : 0;
	tag_of(c->tags[k], KVOFF_TAG_LEN, r->id, block, salt);
	do
		ret = seal(r->fd, block, 1, c->tags[k], NULL);
	while (ret == -EBUSY);
	return ret ? 25 : 0;
}

/* @forever: nobody removes the region, and it does not expire: then it is always there. */
static int client_main(struct client *c, unsigned int rounds, uint32_t ttl_s, bool forever)
{
	unsigned int n;

	for (n = 0; n < rounds; n++) {
		struct region r;
		int ret = named_map(named_open(c->tenant, "storm", KVOFF_UID_SELF, O_RDWR), &r);

		if (ret == -ENOENT && !forever) {
			ret = named_map(named_create(c->tenant, "storm", 0, ttl_s), &r);
			/* another was faster */
			if (ret == -EEXIST)
				continue;
		}
		if (ret)
			return 1;
		ret = look(c, &r) ?: work(c, &r);
		if (ret)
			return ret;
		region_close(&r);
		if (ttl_s && next_random(&c->seed) % 8 == 0)
			usleep(1100000);
	}
	return 0;
}

static int storm(int tenant, unsigned int rounds, uint32_t ttl_s, bool forever, pid_t *pids)
{
	int i;

	for (i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			struct client c = { .tenant = tenant, .first = i * OWN, .seed = i + 1 };

			_exit(client_main(&c, rounds, ttl_s, forever));
		}
		if (pids[i] < 0)
			return -errno;
	}
	return 0;
}

/**
 * struct shaker - moves whatever region there is, and removes it now and then
 * @remove:	every so many rounds, 0 for never
 */
struct shaker {
	struct rig *rig;
	unsigned int remove;
	atomic_bool stop;
	int odd;
};

static void *shaker_main(void *arg)
{
	struct kvoff_move_result results[PROCESSES * OWN];
	struct kvoff_move_desc descs[PROCESSES * OWN];
	struct shaker *s = arg;
	unsigned int n, i;
	uint32_t ids[8];

	for (n = 1; !atomic_load(&s->stop); n++) {
		int nr = region_ids(s->rig->control, ids, 8), ret;

		if (nr <= 0) {
			usleep(1000);
			continue;
		}
		for (i = 0; i < PROCESSES * OWN; i++)
			descs[i] = (struct kvoff_move_desc){
				.region = ids[n % nr], .block = i, .to = n % 2 ? s->rig->near : s->rig->far,
			};
		move_batch(s->rig->control, descs, PROCESSES * OWN, results, NULL);
		if (s->remove && n % s->remove == 0) {
			ret = named_remove(s->rig->control, ids[n % nr], NULL);
			/* gone, or without its name, since the list was made */
			s->odd += ret && ret != -ENOENT && ret != -EINVAL;
		}
	}
	return NULL;
}

static void weather(struct __test_metadata *_metadata, struct rig *rig, unsigned int rounds, uint32_t ttl_s,
		    unsigned int remove)
{
	struct shaker s = { .rig = rig, .remove = remove };
	bool forever = !ttl_s && !remove;
	pid_t pids[PROCESSES];
	pthread_t shaker;
	int i;

	if (forever)
		close(named_create(rig->tenant, "storm", 0, 0));
	ASSERT_EQ(0, storm(rig->tenant, rounds, ttl_s, forever, pids));
	ASSERT_EQ(0, pthread_create(&shaker, NULL, shaker_main, &s));
	for (i = 0; i < PROCESSES; i++)
		EXPECT_EQ(0, exit_status(pids[i]));
	atomic_store(&s.stop, true);
	pthread_join(shaker, NULL);
	EXPECT_EQ(0, s.odd);
}

/* The last one out and the next one in: a region that does not end is found each time. */
TEST_F(named_storms, close_and_open)
{
	weather(_metadata, &self->rig, 150, 0, 0);
}

TEST_F(named_storms, removal)
{
	weather(_metadata, &self->rig, 150, 0, 7);
}

TEST_F(named_storms, expiry)
{
	weather(_metadata, &self->rig, 25, 1, 0);
}

/* Killed at any moment, the clients leave what they sealed, and nothing else. */
TEST_F(named_storms, kills)
{
	struct shaker s = { .rig = &self->rig };
	struct kvoff_unit list[NR];
	pid_t pids[PROCESSES];
	struct region r;
	pthread_t shaker;
	int round, i, n;

	ASSERT_EQ(0, pthread_create(&shaker, NULL, shaker_main, &s));
	for (round = 0; round < 8; round++) {
		close(named_create(self->rig.tenant, "storm", 0, 0));
		ASSERT_EQ(0, storm(self->rig.tenant, 1000000, 0, true, pids));
		usleep(50000 + round * 20000);
		for (i = 0; i < PROCESSES; i++)
			kill(pids[i], SIGKILL);
		for (i = 0; i < PROCESSES; i++)
			EXPECT_EQ(256 + SIGKILL, exit_status(pids[i]));
		ASSERT_EQ(0, named_map(named_open(self->rig.tenant, "storm", KVOFF_UID_SELF, O_RDWR), &r));
		n = units(r.fd, 0, list, NR);
		EXPECT_LE(0, n);
		for (i = 0; i < n; i++) {
			unsigned int id, salt;
			unsigned long block;

			ASSERT_EQ(3, sscanf((char *)list[i].tag, "%u %lu %u", &id, &block, &salt));
			EXPECT_EQ(r.id, id);
			EXPECT_EQ(list[i].first, block);
			EXPECT_EQ(0, count_wrong(block_at(&r, block), BS, salt));
		}
		/* one may have died between its seal and the unit */
		EXPECT_LE(n * BS, sysfs_u64("regions/%u/sealed_bytes", r.id));
		EXPECT_EQ(0, named_remove(self->rig.control, r.id, NULL));
		region_close(&r);
		EXPECT_TRUE(wait_for_sum("used_bytes", 0));
		/* the shaker may be at it still */
		EXPECT_TRUE(comes_true(sysfs_u64("default/committed_bytes") == 0));
	}
	atomic_store(&s.stop, true);
	pthread_join(shaker, NULL);
}

TEST_HARNESS_MAIN
