/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making each allocation of a call fail in turn, by the kernel's fault injection.
 */
#ifndef NTH_H
#define NTH_H

#include "rig.h"

/**
 * struct bed - where calls fail
 * @rig:	tiers and descriptors
 * @r:		a region in them
 * @nth:	this thread's /proc/thread-self/fail-nth
 */
struct bed {
	struct rig rig;
	struct region *r;
	int nth;
};

/**
 * struct nth_call - a call to fail
 * @name:	for people
 * @prepare:	makes what @run needs, 0 or -errno; may be NULL
 * @run:	one system call or one access; nothing else may allocate. A result that is not negative, or -errno
 * @after:	after @run, without injection: the call's real result, given what @run said; may be NULL
 * @undo:	after a call that succeeded, 0 if all is well; may be NULL
 * @cleanup:	after every call; may be NULL
 */
struct nth_call {
	const char *name;
	int (*prepare)(struct bed *bed);
	int (*run)(struct bed *bed);
	int (*after)(struct bed *bed, int ret);
	int (*undo)(struct bed *bed);
	void (*cleanup)(struct bed *bed);
};

/*
 * Two tiers with @frames frames of @bs bytes each, and a region of @nr blocks, eight of them committed. 0, -ENOENT if
 * this kernel cannot make allocations fail, or what went wrong.
 */
int nth_up(struct bed *bed, uint32_t bs, uint64_t frames, uint64_t nr);
/* The end of all that: NULL, or what is wrong. */
const char *nth_down(struct bed *bed);
/*
 * The call with its first allocation failing, with its second, until there is none left to fail. NULL, or what is
 * wrong: an error other than ENOMEM, something left behind, or a call that does not succeed when it is repeated.
 * @refused: how often it failed; may be NULL.
 */
const char *nth_walk(struct bed *bed, const struct nth_call *call, unsigned int *refused);
/* Folders and links in one of sysfs: regions, tiers, tenants. */
unsigned int nth_entries(const char *path);

#endif /* NTH_H */
