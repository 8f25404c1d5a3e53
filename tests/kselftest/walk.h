/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walking through a call's allocations in a test of the harness, with a fixture whose member "bed" is a struct bed.
 */
#ifndef WALK_H
#define WALK_H

#include <errno.h>
#include <sys/ioctl.h>

#include "nth.h"

static inline int call(int fd, unsigned long cmd, void *arg)
{
	int ret = ioctl(fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

/*
 * A fixture with a bed of @frames frames a tier and a region of @nr blocks, for tests that need nothing else, or make it
 * themselves.
 */
#define WALK_FIXTURE(fixture, bs, frames, nr)						\
FIXTURE(fixture)									\
{											\
	struct bed bed;									\
};											\
											\
FIXTURE_SETUP(fixture)									\
{											\
	int ret = nth_up(&self->bed, bs, frames, nr);					\
											\
	if (ret == -ENOENT)								\
		SKIP(return, "this kernel has no /proc/thread-self/fail-nth");		\
	ASSERT_EQ(0, ret);								\
}											\
											\
FIXTURE_TEARDOWN(fixture)								\
{											\
	const char *wrong = self->bed.nth < 0 ? NULL : nth_down(&self->bed);		\
											\
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);					\
}

static inline void walk(struct __test_metadata *_metadata, struct bed *bed, bool must_fail, const struct nth_call *call)
{
	unsigned int refused;
	const char *wrong = nth_walk(bed, call, &refused);

	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
	EXPECT_TRUE(refused || !must_fail) TH_LOG("%s never failed", call->name);
}

/* When the call fails, then as it should; WALK_REFUSED(): and does so at least once. */
#define WALK_AS(call)		walk(_metadata, &self->bed, false, &(call))
#define WALK_REFUSED_AS(call)	walk(_metadata, &self->bed, true, &(call))
#define WALK(...)		WALK_AS(((const struct nth_call){ __VA_ARGS__ }))
#define WALK_REFUSED(...)	WALK_REFUSED_AS(((const struct nth_call){ __VA_ARGS__ }))

#endif /* WALK_H */
