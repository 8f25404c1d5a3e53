// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The daemon's look at arrays that a client fills as it likes, and whose other half a bug might fill: nothing is believed.
 */
#include <string.h>

#include "daemon/region.h"
#include "fuzz.h"

#define NR	48
#define PRESENT	0x0005

const char * const fuzz_seeds[] = {
	"\x01\x01\x01\x01 a location, samples, and a hint; then it all changes, and it is looked at again and again.....",
	NULL
};

const char * const fuzz_words[] = { "\x01", "\xff\xff\xff\xff", "\x01\x02\x03\x04", "\x80", "\x01\xff\x01", NULL };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kvoff_state *state = calloc(NR, sizeof(*state));
	struct kvoff_hint *hint = calloc(NR, sizeof(*hint));
	uint32_t *said = calloc(NR, sizeof(*said));
	struct region region = {
		.block_size = KVOFF_BLOCK_SIZE_MIN, .limit = NR, .nr = NR, .state = state, .hint = hint, .said = said,
		.census.unit = size ? 1 + data[0] % 5 : 1,
	};
	struct observed observed = { 0 };
	uint32_t now = 1000, i, looks = 0;
	struct heat_keys keys;
	struct heat *heat;
	size_t at = 0;

	if (!state || !hint || !said || census_resize(&region.census, NR))
		abort();
	heat = region.census.heat;
	heat_rank(&region.rates, &keys);
	while (at < size && looks++ < 64) {
		size_t n = size - at < 16 ? size - at : 16;

		/* a few bytes somewhere, then some time */
		for (i = 0; i < NR; i += 1 + data[at] % 7) {
			memcpy((uint8_t *)&state[i] + data[at] % 4, data + at, n < 12 ? n : 12);
			memcpy(&hint[i], data + size - n, n < 8 ? n : 8);
		}
		now += (uint32_t)data[at] << data[at] % 25;
		at += n;
		region_look(&region, PRESENT, now, &observed);
		census_settle(&region.census, &keys, 200, 1000);
		heat_age(&region.rates, now, 1 + data[at - 1] * 100);
		for (i = 0; i < NR; i++)
			must(!(heat[i].flags & HEAT_PRESENT) || 1U << heat[i].tier & PRESENT);
	}
	for (i = 0; i < KVOFF_MAX_TIERS; i++)
		must(!observed.births[i][0] || 1U << i & PRESENT);
	heat_rank(&region.rates, &keys);
	for (i = 0; i < NR; i++)
		must(heat_key(&heat[i], &keys, now, 1000) < HEAT_KEYS);
	for (i = 0; i < HEAT_COUNTS * HEAT_IDLE_STEPS; i++) {
		unsigned int key = keys.key[i / HEAT_IDLE_STEPS][i % HEAT_IDLE_STEPS];

		must(key >= HEAT_KEY_MIN && key <= HEAT_KEY_MAX);
	}
	free(state);
	free(hint);
	free(said);
	census_free(&region.census);
	return 0;
}
