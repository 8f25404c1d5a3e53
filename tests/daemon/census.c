// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A census against looking at every block: whatever happens to the blocks, the counts are what is there, and decide()
 * decides the same with it as without.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/decide.h"
#include "daemon/rules.h"
#include "tap.h"

#define NR	3000
#define MAX	512

static struct census census;
static struct heat_rates rates;
static struct heat_keys keys;
static struct decide_input in;
static struct decide_region region;
static struct decide_move moves[MAX], again[MAX];
static struct decide_work *work;
static uint64_t seed;

static unsigned int draw(unsigned int n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned int)(seed >> 33) % n;
}

static void setup(uint32_t unit, uint32_t now)
{
	census_free(&census);
	census = (struct census) { .unit = unit };
	memset(&rates, 0, sizeof(rates));
	memset(&in, 0, sizeof(in));
	rules_init(&in.rules);
	in.regions = &region;
	in.nr_regions = 1;
	for (unsigned int t = 0; t < 4; t++) {
		in.tiers[t] = (struct decide_tier) { .present = true, .rank = t / 2, .bandwidth_mbps = 1000 + t };
		in.tiers[t].pools[0].blocks = NR;
	}
	in.tiers[3].rank = 2;
	if (census_resize(&census, NR / 2))
		abort();
	heat_rank(&rates, &keys);
	in.now = now;
	census_advance(&census, &rates, now, 0);
}

/* Something happens to a block, as the shared arrays, the kernel and the daemon itself let it happen. */
static void happen(void)
{
	uint64_t block = draw((unsigned int)census.nr);
	struct heat *h = &census.heat[block];
	struct heat_look look = { 0 };

	if (!draw(3)) {
		census_loosen(&census, block);
		if (draw(4)) {
			h->flags |= HEAT_IN_FLIGHT;
			return;
		}
		h->flags &= (uint8_t)~HEAT_IN_FLIGHT;
		h->refused = (uint8_t)draw(3);
		h->retry = in.now + draw(500);
		if (draw(2)) {
			h->tier = (uint8_t)draw(4);
			h->placed = in.now;
			h->flags &= (uint8_t)~HEAT_FRESH;
		}
		return;
	}
	if (draw(20)) {
		look.flags = HEAT_PRESENT;
		look.tier = (uint8_t)((h->flags & HEAT_PRESENT) && draw(3) ? h->tier : draw(4));
		look.used = draw(2);
		if (!draw(4))
			look.flags |= (uint8_t)(draw(16) << 1);
	}
	census_see(&census, block, &rates, &look);
}

static void decide_input(void)
{
	for (unsigned int t = 0; t < 4; t++)
		in.tiers[t].pools[0].room = draw(t ? 400 : 60);
	for (unsigned int a = 0; a < 4; a++)
		for (unsigned int b = 0; b < 4; b++)
			in.link_bytes[a][b] = (uint64_t)draw(100) << 20;
	region = (struct decide_region) {
		.id = 1, .unit = census.unit, .nr = census.nr, .heat = census.heat, .keys = &keys, .census = &census,
	};
}

static bool same_decisions(size_t *total)
{
	size_t nr = decide(work, &in, moves, MAX), other;

	region.census = NULL;
	other = decide(work, &in, again, MAX);
	*total += nr;
	if (nr != other)
		printf("# %zu moves with a census, %zu without\n", nr, other);
	return nr == other && !memcmp(moves, again, nr * sizeof(*moves));
}

/* Are exactly those counted that should be, where they should be? */
static bool counts_right(void)
{
	static uint32_t rows[CENSUS_ROWS][HEAT_CELLS], ages[HEAT_COUNTS][HEAT_CELLS];
	bool right = true;

	memset(rows, 0, sizeof(rows));
	memset(ages, 0, sizeof(ages));
	for (uint64_t u = 0; u < census_units(&census); u++) {
		uint64_t first = u * census.unit, end = first + census.unit < census.nr ? first + census.unit : census.nr;
		const struct heat *lead = &census.heat[first + (census.lead ? census.lead[u] : 0)];
		bool out = census.out[u / 64] >> u % 64 & 1;

		for (uint64_t b = first; b < end; b++) {
			const struct heat *h = &census.heat[b];

			if (!(h->flags & HEAT_PRESENT))
				continue;
			ages[heat_count_class(h->uses)][heat_cell(census.now, h->used)]++;
			if (!out)
				rows[census_row_index(h->tier, h->flags & HEAT_FRESH, heat_class(lead))]
				    [heat_cell(census.now, lead->used)]++;
		}
	}
	right &= !memcmp(ages, census.ages, sizeof(ages));
	for (unsigned int i = 0; i < CENSUS_ROWS; i++) {
		const struct census_row *row = census.row_of[i] ? census.rows[census.row_of[i] - 1] : NULL;
		uint64_t sum = 0;

		for (unsigned int cell = 0; cell < HEAT_CELLS; cell++) {
			right &= rows[i][cell] == (row ? row->cell[cell] : 0);
			sum += rows[i][cell];
		}
		right &= sum == (row ? row->nr : 0);
	}
	return right;
}

static uint32_t some_time(void)
{
	/* mostly ticks; sometimes a pause, up to days */
	return draw(50) ? draw(30) : draw(3) ? draw(100000) : 1u << draw(26);
}

static void test_same(uint32_t unit, uint32_t begin, bool long_times, const char *name)
{
	size_t total = 0;
	bool same = true, right = true;

	seed = unit * 1000 + begin;
	setup(unit, begin);
	for (unsigned int step = 0; step < 600 && same && right; step++) {
		uint32_t passed = long_times ? some_time() : draw(40);

		if (step == 100 && census_resize(&census, NR))
			abort();
		in.now += passed;
		census_advance(&census, &rates, in.now, passed);
		for (unsigned int i = draw(step < 50 ? 2000 : 200); i; i--)
			happen();
		heat_age(&rates, in.now, 10000);
		if (!draw(10))
			heat_rank(&rates, &keys);
		/* of a unit, the hottest block as of its last change is what counts: make that now */
		for (uint64_t b = 0; unit > 1 && b < census.nr; b += unit)
			census_loosen(&census, b);
		census_settle(&census, &keys, in.rules.residence, in.rules.prefetch);
		right = counts_right();
		decide_input();
		same = same_decisions(&total);
	}
	printf("# %s: %zu moves\n", name, total);
	check(right, "the counts are what is there");
	check(same && total > 5000, "the decisions are the same with them as without");
}

/* Exposure that the census adds for all blocks at once is what each of them has spent idle. */
static void test_exposure(void)
{
	static struct heat_rates each;
	static struct heat one[NR];
	double worst = 0;

	seed = 5;
	setup(1, 1000);
	memset(&each, 0, sizeof(each));
	memset(one, 0, sizeof(one));
	for (unsigned int step = 0; step < 300; step++) {
		uint32_t passed = 1 + draw(20);

		in.now += passed;
		census_advance(&census, &rates, in.now, passed);
		for (uint64_t b = 0; b < census.nr; b++) {
			struct heat_look look = { .flags = HEAT_PRESENT, .used = !draw(100) };

			if (look.used || !step)
				census_see(&census, b, &rates, &look);
			heat_see(&one[b], &each, &look, in.now, passed);
		}
	}
	for (unsigned int c = 0; c < HEAT_COUNTS; c++) {
		for (unsigned int b = 0; b < HEAT_BINS; b++) {
			double diff = each.exposure[c][b] - rates.exposure[c][b];

			worst = diff > worst ? diff : -diff > worst ? -diff : worst;
			worst += each.uses[c][b] != rates.uses[c][b];
		}
	}
	check(worst < 1e-3, "what is learned from the counts is what each block would have told");
}

/* Neither a year without a change nor the wrap of the clock makes a block look new. */
static void test_years(void)
{
	struct heat_look look = { .flags = HEAT_PRESENT };
	bool old = true;

	setup(1, UINT32_MAX - 100);
	for (uint64_t b = 0; b < census.nr; b++)
		census_see(&census, b, &rates, &look);
	for (unsigned int month = 0; month < 60; month++) {
		uint32_t passed = 30u * 86400u * HEAT_SEC;

		in.now += passed;
		census_advance(&census, &rates, in.now, passed);
		census_settle(&census, &keys, 0, 0);
		for (uint64_t b = 0; b < census.nr; b++)
			old &= in.now - census.heat[b].used >= 1u << 27 && in.now - census.heat[b].used <= 1u << 31;
	}
	check(old && counts_right(), "and a block idle for years stays old");
}

int main(void)
{
	work = decide_work_new();
	tap_plan(8 + 2);
	test_same(1, 100000, false, "single blocks");
	test_same(1, UINT32_MAX - 2000, true, "the clock wraps, and stands still for days");
	test_same(3, 5000, false, "units of three");
	test_same(100, 5000, true, "units that are longer than a word");
	test_exposure();
	test_years();
	decide_work_free(work);
	census_free(&census);
	return tap_end();
}
