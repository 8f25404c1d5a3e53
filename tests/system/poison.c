// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A client whose memory goes bad: fills memory, prints the physical address of a page of it that lies in the range it
 * is given, and reads until that page is somewhere else. Exits with 0 if no byte was ever wrong.
 *
 * usage: kvoff-poisoned BEGIN END SECONDS	(the range, and how long to wait at most)
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libkvoff.h>

#define PAGE	4096UL
#define BYTES	(16UL << 20)
#define WORDS	(BYTES / sizeof(uint64_t))

static uint64_t address_of(int pagemap, const void *at)
{
	uint64_t entry;

	if (pread(pagemap, &entry, sizeof(entry), (off_t)((uintptr_t)at / PAGE * sizeof(entry))) != sizeof(entry))
		err(1, "/proc/self/pagemap");
	return entry >> 63 ? (entry & ((1ULL << 55) - 1)) * PAGE : 0;
}

static uint64_t wrong_words(const volatile uint64_t *words)
{
	uint64_t wrong = 0;

	for (size_t i = 0; i < WORDS; i++)
		wrong += words[i] != i * 0x9e3779b97f4a7c15;
	return wrong;
}

int main(int argc, char **argv)
{
	struct libkvoff_options opts = { .size = sizeof(opts), .label = "poisoned" };
	uint64_t begin, end, bad = 0, now, wrong = 0, *words;
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), ret;
	struct libkvoff *kv;
	const char *page = NULL;
	time_t until;

	if (argc != 4)
		errx(2, "usage: kvoff-poisoned BEGIN END SECONDS");
	begin = strtoull(argv[1], NULL, 0);
	end = strtoull(argv[2], NULL, 0);
	until = time(NULL) + atoi(argv[3]);
	ret = libkvoff_open(&kv, &opts);
	if (ret)
		errx(1, "%s", libkvoff_strerror(ret));
	words = libkvoff_alloc(kv, BYTES);
	if (!words)
		errx(1, "%s", libkvoff_strerror(-errno));
	for (size_t i = 0; i < WORDS; i++)
		words[i] = i * 0x9e3779b97f4a7c15;
	for (size_t at = 0; at < BYTES && !page; at += PAGE) {
		bad = address_of(pagemap, (char *)words + at);
		if (bad >= begin && bad < end)
			page = (char *)words + at;
	}
	if (!page)
		errx(1, "no page of ours is there");
	printf("%#" PRIx64 "\n", bad);
	fflush(stdout);
	do {
		wrong += wrong_words(words);
		now = address_of(pagemap, page);
	} while ((now == bad || !now) && time(NULL) < until);
	wrong += wrong_words(words);
	if (wrong || now == bad || !now)
		errx(1, "%" PRIu64 " words wrong, page at %#" PRIx64, wrong, now);
	libkvoff_free(kv, words);
	libkvoff_close(kv);
	return 0;
}
