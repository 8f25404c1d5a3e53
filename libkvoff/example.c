// SPDX-License-Identifier: LGPL-2.1-or-later
/* Keeps KV blocks in kvoff. LIBKVOFF_FALLBACK=1 in the environment runs it without the module. */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <libkvoff.h>

#define KV_BYTES  (1152UL << 10) /* keys and values of 16 tokens in all layers */
#define NR_BLOCKS 64

static void check(int ret)
{
	if (ret < 0)
		errx(1, "%s", libkvoff_strerror(ret));
}

int main(void)
{
	struct libkvoff_options opts = { .size = sizeof(opts), .label = "example", .unit_size = KV_BYTES };
	struct libkvoff_block where;
	struct libkvoff *kv;
	char *kv_block[NR_BLOCKS];

	check(libkvoff_open(&kv, &opts));
	for (int i = 0; i < NR_BLOCKS; i++) {
		kv_block[i] = libkvoff_alloc(kv, KV_BYTES);
		check(kv_block[i] ? 0 : -errno);
		memset(kv_block[i], i, KV_BYTES);
		check(libkvoff_touch_ptr(kv, kv_block[i], KV_BYTES));
	}
	check(libkvoff_query_ptr(kv, kv_block[7], &where));
	check(libkvoff_acquire_ptr(kv, kv_block[7], KV_BYTES)); /* from here it stays where it is, */
	printf("KV block 7 is in tier %d and holds %d\n", where.tier, kv_block[7][KV_BYTES - 1]);
	check(libkvoff_release_ptr(kv, kv_block[7], KV_BYTES)); /* from here it may move again */
	for (int i = 0; i < NR_BLOCKS; i++)
		check(libkvoff_free(kv, kv_block[i]));
	libkvoff_close(kv);
}
