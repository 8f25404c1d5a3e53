// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What share of re-reads each policy serves from the fast tier on a recorded trace (Mooncake's conversation trace: a
 * JSON object a line, with "timestamp" in ms and "hash_ids", the blocks a request reads or makes).
 *
 * test-daemon-trace [-v] [TRACE]; -v for more sizes of the fast tier. KTAP, skipped when there is no trace. Time goes
 * in the steps of the trace (3 s); what a step decides is done at its end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/decide.h"
#include "daemon/rules.h"

#define STEP_MS		3000u
#define MAX_MOVES	4096u
#define DEFAULT_TRACE	"tests/data/conversation_trace.jsonl"

/**
 * struct trace - references in order
 * @time_ms:	when
 * @block:	which
 */
struct trace {
	uint32_t *time_ms;
	uint32_t *block;
	size_t nr;
	size_t nr_blocks;
};

/**
 * struct result - what one run gave
 * @rereads:	references to blocks seen before
 * @fast:	of these, served by the fast tier
 * @moves:	blocks moved
 */
struct result {
	size_t rereads;
	size_t fast;
	size_t moves;
};

static void *must(void *p)
{
	if (!p) {
		fprintf(stderr, "test-daemon-trace: out of memory\n");
		exit(1);
	}
	return p;
}

static bool trace_read(struct trace *t, const char *path)
{
	FILE *f = fopen(path, "r");
	size_t room = 0, line_size = 0;
	char *line = NULL;

	if (!f)
		return false;
	*t = (struct trace) { 0 };
	while (getline(&line, &line_size, f) > 0) {
		char *at = strstr(line, "\"timestamp\":"), *ids = strstr(line, "\"hash_ids\": [");
		uint32_t time_ms;

		if (!at || !ids)
			continue;
		time_ms = (uint32_t)strtoul(at + 12, NULL, 10);
		ids += 13;
		while (*ids && *ids != ']') {
			if (t->nr == room) {
				room = room ? room * 2 : 1 << 16;
				t->time_ms = must(realloc(t->time_ms, room * sizeof(*t->time_ms)));
				t->block = must(realloc(t->block, room * sizeof(*t->block)));
			}
			t->time_ms[t->nr] = time_ms;
			t->block[t->nr] = (uint32_t)strtoul(ids, &ids, 10);
			if (t->block[t->nr] >= t->nr_blocks)
				t->nr_blocks = t->block[t->nr] + 1;
			t->nr++;
			while (*ids == ',' || *ids == ' ')
				ids++;
		}
	}
	free(line);
	fclose(f);
	return t->nr != 0;
}

/* Two tiers; the slow one holds everything, the fast one @percent of all blocks. */
static struct result run(const struct trace *t, enum decide_policy policy, double percent)
{
	size_t capacity = (size_t)((double)t->nr_blocks * percent / 100);
	struct heat *heat = must(calloc(t->nr_blocks, sizeof(*heat)));
	struct heat_look *look = must(calloc(t->nr_blocks, sizeof(*look)));
	struct heat_rates *rates = must(calloc(1, sizeof(*rates)));
	struct heat_keys *keys = must(calloc(1, sizeof(*keys)));
	struct decide_input *in = must(calloc(1, sizeof(*in)));
	struct decide_move *moves = must(calloc(MAX_MOVES, sizeof(*moves)));
	struct decide_work *work = must(decide_work_new());
	struct decide_region region = { .unit = 1, .nr = t->nr_blocks, .heat = heat, .keys = keys };
	struct result result = { 0 };
	size_t used = 0, born = 0, high = 0;
	double births = 0;

	rules_init(&in->rules);
	in->rules.policy = policy;
	/* the steps are thirty times those of the daemon: room for what comes in one */
	in->rules.births_ahead = 1;
	in->rules.free_low = 200;
	in->rules.free_high = 300;
	in->regions = &region;
	in->nr_regions = 1;
	in->tiers[0] = (struct decide_tier) { .present = true, .rank = 0, .bandwidth_mbps = 100000 };
	in->tiers[1] = (struct decide_tier) { .present = true, .rank = 1, .bandwidth_mbps = 30000 };
	in->tiers[0].pools[0] = (struct decide_pool) { .blocks = capacity };
	in->tiers[1].pools[0] = (struct decide_pool) { .blocks = t->nr_blocks, .room = t->nr_blocks };
	in->link_bytes[0][1] = in->link_bytes[1][0] = 1ull << 40;

	for (size_t at = 0, step = 0; at < t->nr; step++) {
		uint32_t now = (uint32_t)(step + 1) * STEP_MS / 1000 * HEAT_SEC;
		size_t nr, born_before = born;

		for (; at < t->nr && t->time_ms[at] < (step + 1) * STEP_MS; at++) {
			struct heat_look *l = &look[t->block[at]];

			if (!l->flags) {
				bool fast = used < capacity;

				*l = (struct heat_look) { .tier = !fast, .flags = HEAT_PRESENT };
				used += fast;
				born++;
				if (t->block[at] >= high)
					high = t->block[at] + 1;
				continue;
			}
			l->used = true;
			result.rereads++;
			result.fast += l->tier == 0;
		}
		if (policy == DECIDE_STATIC)
			continue;
		for (size_t b = 0; b < high; b++) {
			heat_see(&heat[b], rates, &look[b], now, STEP_MS * HEAT_SEC / 1000);
			look[b].used = false;
		}
		heat_age(rates, now, 3600 * HEAT_SEC);
		if (policy == DECIDE_LRU)
			heat_rank_lru(keys);
		else
			heat_rank(rates, keys);

		births = births * 0.9 + 0.1 * (double)(born - born_before);
		region.nr = high;
		in->now = now;
		in->tiers[0].pools[0].room = capacity - used;
		in->tiers[0].pools[0].births = (uint64_t)births;
		nr = decide(work, in, moves, MAX_MOVES);
		for (size_t i = 0; i < nr; i++) {
			struct heat *h = &heat[moves[i].block];

			look[moves[i].block].tier = moves[i].to;
			h->tier = moves[i].to;
			h->placed = now;
			h->flags &= (uint8_t)~HEAT_FRESH;
			used += moves[i].to == 0 ? 1 : (size_t)-1;
		}
		result.moves += nr;
	}
	free(heat);
	free(look);
	free(rates);
	free(keys);
	free(in);
	free(moves);
	decide_work_free(work);
	return result;
}

int main(int argc, char **argv)
{
	static const double percents[] = { 1, 5, 10, 20 };
	bool verbose = argc > 1 && !strcmp(argv[1], "-v");
	const char *path = argc > 1 + verbose ? argv[1 + verbose] : getenv("KVOFF_TRACE");
	double at_10[DECIDE_NR_POLICIES] = { 0 };
	struct trace t;
	int failed = 0;

	if (!path)
		path = DEFAULT_TRACE;
	printf("TAP version 13\n");
	if (!trace_read(&t, path)) {
		printf("1..0 # SKIP no trace at %s\n", path);
		return 4;
	}
	printf("1..3\n");
	for (size_t p = 0; p < sizeof(percents) / sizeof(percents[0]); p++) {
		if (!verbose && percents[p] != 10)
			continue;
		for (int policy = 0; policy < DECIDE_NR_POLICIES; policy++) {
			clock_t begin = clock();
			struct result r = run(&t, policy, percents[p]);
			double share = (double)r.fast / (double)r.rereads;

			printf("# %-6s fast tier %2.0f %%: %.3f of %zu re-reads, %zu moves, %.1f s\n",
			       decide_policy_name(policy), percents[p], share, r.rereads, r.moves,
			       (double)(clock() - begin) / CLOCKS_PER_SEC);
			if (percents[p] == 10)
				at_10[policy] = share;
		}
	}
	free(t.time_ms);
	free(t.block);

#define check(nr, ok, name)                                                                                            \
	do {                                                                                                           \
		bool ok_ = (ok);                                                                                       \
		failed |= !ok_;                                                                                        \
		printf("%sok %d %s\n", ok_ ? "" : "not ", nr, name);                                                   \
	} while (0)
	check(1, at_10[DECIDE_STATIC] > 0.27 && at_10[DECIDE_STATIC] < 0.33,
	      "the simulation agrees with first touch's known .296");
	check(2, at_10[DECIDE_LRU] >= 0.70, "lru serves .70 of the re-reads from a fast tier of 10 %");
	check(3, at_10[DECIDE_HEAT] >= 0.72 && at_10[DECIDE_HEAT] >= at_10[DECIDE_LRU] - 0.005,
	      "heat serves .72, and no less than lru");
	return failed;
}
