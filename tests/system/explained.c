// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A client of blocks of 64 KiB: fills memory, says so, and uses the addresses that it reads from its input, the last
 * one over and over, until its input ends.
 *
 * usage: kvoff-explained MEGABYTES
 */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libkvoff.h>

#define BLOCK	(64UL << 10)
#define PAUSE_MS	20

int main(int argc, char **argv)
{
	struct libkvoff_options opts = { .size = sizeof(opts), .label = "explained", .block_size = BLOCK };
	struct pollfd input = { .fd = 0, .events = POLLIN };
	volatile char *used = NULL;
	struct libkvoff *kv;
	size_t bytes;
	char line[64];
	char *memory;
	int ret;

	if (argc != 2)
		errx(2, "usage: kvoff-explained MEGABYTES");
	bytes = strtoul(argv[1], NULL, 10) << 20;
	ret = libkvoff_open(&kv, &opts);
	if (ret)
		errx(1, "%s", libkvoff_strerror(ret));
	memory = libkvoff_alloc(kv, bytes);
	if (!memory)
		errx(1, "%s", libkvoff_strerror(-errno));
	memset(memory, 1, bytes);
	printf("%p %p\n", (void *)memory, (void *)(memory + bytes - 1));
	fflush(stdout);
	/* a line at a time: what is read ahead would not be polled for */
	setvbuf(stdin, NULL, _IONBF, 0);
	for (;;) {
		if (poll(&input, 1, PAUSE_MS) > 0) {
			if (!fgets(line, sizeof(line), stdin))
				break;
			used = (char *)strtoul(line, NULL, 0);
			if ((char *)used < memory || (char *)used >= memory + bytes)
				errx(1, "%s is not ours", line);
		}
		if (used) {
			libkvoff_touch_ptr(kv, (const char *)used, 1);
			(void)*used;
		}
	}
	libkvoff_free(kv, memory);
	libkvoff_close(kv);
	return 0;
}
