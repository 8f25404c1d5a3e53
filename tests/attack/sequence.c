// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * attack-sequence: random operations from several processes at once against one module. Every load, every error and,
 * whenever all have paused, every account is checked against a model.
 *
 *	attack-sequence [--seed N] [--ops N] [--procs P] [--every N]
 *
 * What operation N of process P is depends on the seed, N and P alone; on which of its mappings it falls depends on
 * what came before.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"

/* An operation that takes longer than this hangs. */
#define HANG_MS		120000
#define MOST_PROCS	(PROCS_MAX / 2U)

static const struct op *all[OPS_MAX];
static unsigned int nr_all, weights;
/* Operations between two pauses. */
static uint64_t every = 400;
/* Tenths of the whole that have been told of; short runs need no telling. */
static uint64_t told;
#define LONG_RUN	100000

static void collect(const struct op *ops)
{
	for (; ops->name; ops++) {
		if (nr_all == OPS_MAX) {
			fprintf(stderr, "attack-sequence: more than OPS_MAX kinds of operations\n");
			exit(2);
		}
		all[nr_all++] = ops;
		weights += ops->weight;
	}
}

static void one(struct self *me)
{
	uint64_t begun = now_ms();
	unsigned int at, i = 0;

	for (at = below(me, weights); at >= all[i]->weight; i++)
		at -= all[i]->weight;
	atomic_store(&world->processes[me->nr].name, all[i]->name);
	all[i]->run(me);
	atomic_fetch_add(&world->done[i], 1);
	atomic_fetch_add(&world->spent_ms[i], now_ms() - begun);
}

static uint64_t sum_of_regions(const char *figure, unsigned int *nr)
{
	DIR *dir = opendir("/sys/class/kvoff/regions");
	struct dirent *e;
	uint64_t sum = 0;

	*nr = 0;
	while (dir && (e = readdir(dir))) {
		uint64_t value;

		if (e->d_name[0] < '0' || e->d_name[0] > '9')
			continue;
		value = sysfs_u64("regions/%s/%s", e->d_name, figure);
		if (value == UINT64_MAX)
			continue;
		sum += value;
		++*nr;
	}
	closedir(dir);
	return sum;
}

/* All others wait: now every figure is exact. */
static void check_accounts(struct self *me)
{
	uint64_t committed = 0, found, used, frames;
	unsigned int i, live = 0, nr;

	for (i = 0; i < SLOTS; i++) {
		struct slot *s = &world->slots[i];
		uint64_t one_found;

		if (s->state != SLOT_LIVE)
			continue;
		live++;
		committed += s->committed;
		one_found = sysfs_u64("regions/%u/committed_bytes", s->id);
		if (one_found != s->committed)
			wrong(me, "region %u: expected %lu committed bytes, found %lu", s->id, s->committed, one_found);
		if (sysfs_u64("regions/%u/used_bytes", s->id) > one_found)
			wrong(me, "region %u: more used than committed", s->id);
	}
	/* the last of a region goes when the last file is really closed: io_uring and exits may hold it for a moment */
	comes_true((found = sum_of_regions("committed_bytes", &nr), used = sum_of_regions("used_bytes", &nr),
		    frames = tiers_sum("used_bytes"), found == committed && nr == live && used == frames));
	note(me, "accounts", committed, used, frames, nr);
	if (found != committed || nr != live)
		wrong(me, "expected %u regions with %lu committed bytes, found %u with %lu", live, committed, nr,
		      found);
	if (used != frames)
		wrong(me, "regions use %lu bytes, tiers count %lu", used, frames);
	if (tiers_sum("orphan_bytes") && !wait_for_sum("orphan_bytes", 0))
		wrong(me, "%lu bytes of orphans though nothing is pinned", tiers_sum("orphan_bytes"));
	if (stat_now("commit_broken"))
		wrong(me, "a commit was broken");
}

/* The administrator's changes of the last round must not cripple all further ones. */
static void settle_back(struct self *me)
{
	uint32_t bs;
	char path[64];
	int i;

	sysfs_write("tuning/sample_interval_ms", "20");
	sysfs_write("tuning/sample_percent", "20");
	sysfs_write("tuning/reserve_percent", "2");
	sysfs_write("tuning/twins", "1");
	for (i = 0; i < 2; i++) {
		const char *tier = i ? "cxl0" : "dram";

		snprintf(path, sizeof(path), "tiers/%s/capacity_bytes", tier);
		sysfs_write(path, "134217728");
		for (bs = KVOFF_BLOCK_SIZE_MIN; bs <= KVOFF_BLOCK_SIZE_MAX; bs *= 2)
			pool_set(me->rig, tier, bs, 0, 0);
	}
}

/* Nobody else is at work: a block that has a frame and no reference moves if the other tier has room. */
static void check_moves(struct self *me)
{
	struct hold *h = pick_hold(me, false);
	struct kvoff_move_result results[32];
	struct kvoff_move_desc descs[32];
	unsigned int i, tries, busy;
	struct slot *s;
	int ret;

	if (!h || atomic_load(&world->slots[h->slot].refs_active))
		return;
	s = &world->slots[h->slot];
	for (i = 0; i < 32; i++)
		descs[i] = (struct kvoff_move_desc){
			.region = s->id, .block = below(me, s->nr), .to = atomic_load(&world->tier_ids[below(me, 2)]),
			.flags = below(me, 2),
		};
	/* somebody in the kernel may look at a page for a moment, which may last; and a block may be here twice */
	for (tries = 0; tries < 20000; tries++) {
		ret = move_batch(me->rig->control, descs, 32, results, NULL);
		if (ret)
			wrong(me, "move in a pause: %d", ret);
		for (i = busy = 0; i < 32; i++)
			busy += results[i].error == -EBUSY;
		if (!busy)
			break;
		usleep(1000);
	}
	for (i = 0; i < 32; i++)
		if (results[i].error && results[i].error != -ENODATA && results[i].error != -ENOSPC)
			wrong(me, "region %u block %llu, which nobody uses, does not move to %u: %d", s->id,
			      descs[i].block, descs[i].to, results[i].error);
}

/* Every page that this process has mapped. */
static void check_all_pages(struct self *me)
{
	unsigned int i;
	uint64_t k;

	for (i = 0; i < MAPS; i++) {
		struct map *m = &me->maps[i];

		if (!m->at || m->kind != DATA || !(m->prot & PROT_READ))
			continue;
		for (k = below(me, 16); k < m->pages; k += 1 + below(me, 64))
			check_page(me, "load in a pause", m->slot, m->gen, m->first + k, m->at + k * PAGE);
	}
}

static uint64_t operations(void)
{
	uint64_t ops = 0;
	unsigned int i;

	for (i = 0; i < nr_all; i++)
		ops += world->done[i];
	return ops;
}

static void say_progress(void)
{
	uint64_t ops = operations();

	if (world->ops < LONG_RUN || ops / (world->ops / 10) == told)
		return;
	told = ops / (world->ops / 10);
	printf("# %lu of %lu operations\n", ops, world->ops);
}

static void pause_all(struct self *me)
{
	unsigned int i;

	atomic_store(&world->processes[me->nr].name, "pause");
	links_free(me);
	splice_drain(me);
	batches_drain(me, chance(me, 30));
	kids_wait(me);
	if (!meet())
		_exit(1);
	if (!me->nr) {
		drains_stop(me);
		check_accounts(me);
		for (i = 0; i < 4; i++)
			check_moves(me);
		settle_back(me);
		say_progress();
	}
	if (!meet())
		_exit(1);
	check_all_pages(me);
	/* address spaces in small pieces and regions without a commit see little */
	for (i = 0; i < SLOTS; i++)
		if (chance(me, 40))
			slot_leave(me, i);
}

static void begin(struct self *me)
{
	unsigned int i;

	for (i = 0; i < HOLDS; i++)
		me->holds[i].fd = -1;
	me->userfault = -1;
	catch_faults();
	me->disk = open("/dev/vda", O_RDWR | O_DIRECT | O_CLOEXEC);
	me->bounce = mmap(NULL, SLOT_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (me->bounce == MAP_FAILED || pipe2(me->pipe, O_CLOEXEC) || io_uring_queue_init(64, &me->ring, 0)) {
		perror("# a process could not begin");
		atomic_store(&world->failed, true);
		_exit(1);
	}
	/* io_uring's registrations and locked pages are not what is tested */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static int run(struct rig *rig, uint32_t nr)
{
	static struct self me;
	struct process *p = &world->processes[nr];
	uint64_t op, ops = world->ops / world->procs;
	int i;

	me.nr = nr;
	me.rig = rig;
	p->pid = getpid();
	begin(&me);
	/* from here on everybody knows everybody's process number */
	if (!meet())
		return 1;
	for (op = 0; op < ops && !atomic_load(&world->failed); op++) {
		me.rnd = (world->seed * PROCS_MAX + nr) * 0x9e3779b97f4a7c15ULL ^ (op + 1) * 0xd6e8feb86659fd93ULL;
		atomic_store(&p->op, op);
		atomic_store(&p->begun_ms, now_ms());
		one(&me);
		if (op % every == every - 1)
			pause_all(&me);
	}
	pause_all(&me);
	for (i = 0; i < SLOTS; i++)
		slot_leave(&me, i);
	io_uring_queue_exit(&me.ring);
	atomic_store(&p->begun_ms, 0);
	return atomic_load(&world->failed);
}

/* Wait for the processes; true if all ended well. */
static bool wait_all(void)
{
	unsigned int left = world->procs, i;
	bool good = true;
	int status;

	while (left) {
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid > 0) {
			left--;
			if (!WIFEXITED(status) || WEXITSTATUS(status)) {
				if (!atomic_exchange(&world->failed, true))
					printf("# process %d ended with status %x\n", pid, status);
				good = false;
			}
			continue;
		}
		for (i = 0; i < world->procs; i++) {
			struct process *p = &world->processes[i];
			uint64_t begun = atomic_load(&p->begun_ms);

			if (begun && now_ms() > begun + HANG_MS && !atomic_exchange(&world->failed, true)) {
				printf("# process %u hangs in op %lu (%s)\n", i, p->op, p->name ?: "");
				good = false;
			}
			if (begun && now_ms() > begun + 2 * HANG_MS)
				kill(p->pid, SIGKILL);
		}
		usleep(2000);
	}
	return good;
}

static void say_numbers(uint64_t ms)
{
	uint64_t ops = operations();
	unsigned int i;

	printf("# %lu operations in %lu.%03lu s, %lu a second\n", ops, ms / 1000, ms % 1000, ops * 1000 / (ms ?: 1));
	printf("# %lu pages loaded, %lu stored, %lu moves asked for, %lu made, %lu faults met\n", world->loads,
	       world->stores, world->moves, world->moved, world->faults);
	printf("# how many of each, and the milliseconds they took:");
	for (i = 0; i < nr_all; i++)
		printf("%s%s %lu (%lu)", i % 6 ? ", " : "\n#   ", all[i]->name, world->done[i], world->spent_ms[i]);
	printf("\n");
	printf("# counters: moves %lu busy %lu acquired %lu written %lu cancelled %lu no_frame %lu orphaned %lu "
	       "refaults %lu flips %lu twins_written %lu twins_room %lu\n",
	       stat_now("moves"), stat_now("move_busy"), stat_now("move_acquired"), stat_now("move_written"),
	       stat_now("move_cancelled"), stat_now("move_no_frame"), stat_now("orphaned"), stat_now("refaults"),
	       stat_now("flips"), stat_now("twins_written"), stat_now("twins_room"));
}

static void options(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "ops", required_argument, NULL, 'o' },
		{ "procs", required_argument, NULL, 'p' },
		{ "every", required_argument, NULL, 'e' },
		{ NULL, 0, NULL, 0 }
	};
	int c;

	world->seed = time(NULL) & 0xffffff;
	world->ops = 20000;
	world->procs = 4;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		uint64_t value = optarg ? strtoull(optarg, NULL, 0) : 0;

		if (c == 's')
			world->seed = value;
		else if (c == 'o')
			world->ops = value;
		else if (c == 'p')
			world->procs = value;
		else if (c == 'e')
			every = value;
		else
			exit(2);
	}
	if (!every || !world->procs || world->procs > MOST_PROCS) {
		fprintf(stderr, "attack-sequence: --procs is 1 to %u, --every at least 1\n", MOST_PROCS);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	unsigned int i, regions;
	const char *left;
	struct rig rig;
	uint64_t begun;
	bool good;
	int ret;

	model_init();
	options(argc, argv);
	collect(memory_ops);
	collect(transfer_ops);
	collect(call_ops);
	collect(move_ops);
	collect(process_ops);
	collect(admin_ops);
	collect(seal_ops);
	collect(frame_ops);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("KTAP version 1\n1..3\n# seed %lu, %lu operations, %u processes\n", world->seed, world->ops,
	       world->procs);
	ret = rig_up_sized(&rig, 64 * KIB, 128 * MIB, 4 * MIB, 4 * MIB);
	if (ret) {
		printf("Bail out! no tiers: %s\n", strerror(-ret));
		return 1;
	}
	world->tier_ids[0] = rig.near;
	world->tier_ids[1] = rig.far;
	sysfs_write("tuning/sample_interval_ms", "20");
	sysfs_write("tuning/twins", "1");
	begun = now_ms();
	fflush(stdout);
	for (i = 0; i < world->procs; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(run(&rig, i));
		if (pid < 0)
			atomic_store(&world->failed, true);
	}
	good = wait_all();
	say_numbers(now_ms() - begun);
	printf("%s 1 - every load, error and account was as the model says (promises 1 to 5, 8)\n", good ? "ok" : "not ok");
	sysfs_write("tuning/sample_interval_ms", "5000");
	sysfs_write("tuning/sample_percent", "10");
	sysfs_write("tuning/reserve_percent", "2");
	hook_set("mkwrite", 0);
	hook_set("copy", 0);
	hook_set("flip", 0);
	left = rig_down(&rig);
	if (left)
		printf("# %s: used %lu, orphans %lu, broken commits %lu\n", left, tiers_sum("used_bytes"),
		       tiers_sum("orphan_bytes"), stat_now("commit_broken"));
	printf("%s 2 - every byte came back, no commit was broken, the tiers could go (promises 6, 8)\n", left ? "not ok" : "ok");
	sum_of_regions("used_bytes", &regions);
	printf("%s 3 - no region is left (promise 6)\n", regions ? "not ok" : "ok");
	/* the first mismatch ends a run */
	printf("# %lu operations, seed %lu, %d mismatches\n", operations(), world->seed, !good || left || regions);
	return !good || left || regions;
}
