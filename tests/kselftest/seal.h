/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sealing, units, and stores that may be refused.
 */
#ifndef SEAL_H
#define SEAL_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "rig.h"

/* 0 or -errno. @tag: NULL to note no unit. @sealed: how many are sealed, may be NULL. */
static inline int seal(int fd, uint64_t first, uint64_t nr, const char *tag, uint64_t *sealed)
{
	struct kvoff_region_seal arg = { .size = sizeof(arg), .first = first, .nr = nr, .sealed = 1000000 };
	int ret;

	if (tag) {
		arg.flags = KVOFF_SEAL_TAG;
		snprintf((char *)arg.tag, sizeof(arg.tag), "%s", tag);
	}
	ret = ioctl(fd, KVOFF_REGION_SEAL, &arg) ? -errno : 0;
	if (sealed)
		*sealed = arg.sealed;
	return ret;
}

/* How many units were listed, or -errno. */
static inline int units(int fd, uint64_t from, struct kvoff_unit *list, uint32_t nr)
{
	struct kvoff_region_units arg = { .size = sizeof(arg), .nr = nr, .from = from, .units = (uintptr_t)list };

	return ioctl(fd, KVOFF_REGION_UNITS, &arg) ? -errno : (int)arg.nr;
}

static inline bool is_sealed(const struct region *r, uint64_t block)
{
	return KVOFF_LOC_FLAGS(location(r, block)) & KVOFF_STATE_SEALED;
}

/* Where a thread goes on after a SIGBUS; meant for it alone. */
static __thread sigjmp_buf bus_env;
static __thread void *bus_addr;

static void bus_handler(int sig, siginfo_t *info, void *context)
{
	bus_addr = info->si_addr;
	siglongjmp(bus_env, 1);
}

static inline int bus_catch(void)
{
	struct sigaction sa = { .sa_sigaction = bus_handler, .sa_flags = SA_SIGINFO };

	return sigaction(SIGBUS, &sa, NULL);
}

/* Did the store get SIGBUS, for this address? bus_catch() comes first. */
static inline bool store_gets_bus(volatile uint8_t *at)
{
	bus_addr = NULL;
	if (sigsetjmp(bus_env, 1))
		return bus_addr == (void *)at;
	*at = (uint8_t)~*at;
	return false;
}

#endif /* SEAL_H */
