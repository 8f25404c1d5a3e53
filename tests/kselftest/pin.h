/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pin on one page that lasts as long as the test wants: process_vm_writev() and process_vm_readv() pin the far
 * side's page and then copy; the near side lies in a page that userfaultfd withholds until pin_finish().
 */
#ifndef PIN_H
#define PIN_H

#include <stdint.h>
#include <sys/types.h>

enum pin_kind { PIN_READ, PIN_WRITE };

/**
 * struct pin - one word of a block, pinned
 * @kind:	PIN_WRITE: pin_finish()'s value is written through the pin
 * @pid:	whose address @at is
 * @got:	PIN_READ: what was read through it, after pin_finish()
 */
struct pin {
	volatile uint64_t *at;
	pid_t pid;
	enum pin_kind kind;
	uint64_t got;
	uint8_t *near;
	int uffd;
	unsigned long thread;
	long copied;
};

/* Returns when the page is pinned: 0 or -errno. @pid 0: one's own page. */
int pin_take(struct pin *pin, pid_t pid, volatile uint64_t *at, enum pin_kind kind);
/* Lets the copy happen and the pin go. */
int pin_finish(struct pin *pin, uint64_t value);

#endif /* PIN_H */
