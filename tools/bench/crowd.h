/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Further processes that have the same memory mapped and read it when told to.
 */
#ifndef KVOFF_BENCH_CROWD_H
#define KVOFF_BENCH_CROWD_H

#include <stdint.h>
#include <sys/types.h>

#define CROWD_MAX	16

/**
 * struct crowd - processes
 * @nr:		how many
 * @pid:	of each
 * @tell:	write a byte and each reads all of the memory, one page after the other
 * @told:	each answers with a byte
 */
struct crowd {
	unsigned int nr;
	pid_t pid[CROWD_MAX];
	int tell[CROWD_MAX];
	int told[CROWD_MAX];
};

/*
 * @nr processes with @bytes at @data: what they inherit, or, with @fd, a mapping of their own of the beginning of a
 * region's data. 0 or -errno.
 */
int crowd_up(struct crowd *c, unsigned int nr, int fd, const uint8_t *data, uint64_t bytes);
/* All of them, and this process, read the first @bytes; 0 or -errno. */
int crowd_read(struct crowd *c, const uint8_t *data, uint64_t bytes);
void crowd_down(struct crowd *c);

#endif /* KVOFF_BENCH_CROWD_H */
