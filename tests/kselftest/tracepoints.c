// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The module's trace events tell of faults and moves, with the right numbers in them.
 */
#include <kselftest_harness.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "rig.h"

#define BS	(64 * KIB)
#define TRACING	"/sys/kernel/tracing"
/* of our own, so that nobody else's tracing is disturbed */
#define OURS	TRACING "/instances/kvoff-kselftest"

FIXTURE(tracepoints)
{
	struct rig rig;
	struct region *r;
};

static int put(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

FIXTURE_SETUP(tracepoints)
{
	if (access(TRACING "/events", F_OK))
		SKIP(return, "this kernel has no tracefs");
	ASSERT_TRUE(!mkdir(OURS, 0700) || errno == EEXIST);
	ASSERT_EQ(0, rig_up(&self->rig, BS, 32 * BS));
	self->r = rig_region(&self->rig, BS, 4);
	ASSERT_NE(NULL, self->r);
}

FIXTURE_TEARDOWN(tracepoints)
{
	const char *wrong = rig_down(&self->rig);

	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
	put(OURS "/events/kvoff/enable", "0");
	rmdir(OURS);
}

/* How many lines of the trace hold this event with these fields. */
static unsigned int count_events(const char *event, const char *fields)
{
	FILE *f = fopen(OURS "/trace", "r");
	char line[512], want[256];
	unsigned int n = 0;

	if (!f)
		return 0;
	snprintf(want, sizeof(want), " %s: %s", event, fields);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (strstr(line, want))
			n++;
	}
	fclose(f);
	return n;
}

TEST_F(tracepoints, faults)
{
	char fields[128];

	self->r->data[0] = 0;
	ASSERT_EQ(0, put(OURS "/events/kvoff/kvoff_fault/enable", "1"));
	self->r->data[2 * BS] = 1;
	snprintf(fields, sizeof(fields), "region=%u block=2 tier=%u write=1 first=1", self->r->id, self->rig.near);
	EXPECT_EQ(1, count_events("kvoff_fault", fields));
	ASSERT_EQ(0, move_one(&self->rig, self->r, 2, self->rig.far, 0));
	(void)*(volatile uint8_t *)block_at(self->r, 2);
	snprintf(fields, sizeof(fields), "region=%u block=2 tier=%u write=0 first=0", self->r->id, self->rig.far);
	EXPECT_EQ(1, count_events("kvoff_fault", fields));
	/* not what came before, not what nobody asked for */
	snprintf(fields, sizeof(fields), "region=%u block=0 ", self->r->id);
	EXPECT_EQ(0, count_events("kvoff_fault", fields));
	EXPECT_EQ(0, count_events("kvoff_move_start", ""));
}

TEST_F(tracepoints, moves)
{
	struct kvoff_move_desc desc = { .to = self->rig.far, .block = 1, .reason = 77 };
	struct kvoff_move_result result;
	char fields[128];

	fill(self->r->data, 4 * BS, 1);
	ASSERT_EQ(0, put(OURS "/events/kvoff/kvoff_move_start/enable", "1"));
	ASSERT_EQ(0, put(OURS "/events/kvoff/kvoff_move_end/enable", "1"));
	desc.region = self->r->id;
	ASSERT_EQ(0, move_batch(self->rig.control, &desc, 1, &result, NULL));
	ASSERT_EQ(0, result.error);
	snprintf(fields, sizeof(fields), "region=%u block=1 from=%u to=%u reason=77", self->r->id, self->rig.near,
		 self->rig.far);
	EXPECT_EQ(1, count_events("kvoff_move_start", fields));
	snprintf(fields, sizeof(fields), "region=%u block=1 from=%u to=%u reason=77 error=0",
		 self->r->id, self->rig.near, self->rig.far);
	EXPECT_EQ(1, count_events("kvoff_move_end", fields));

	/* a refusal ends with its error */
	__atomic_add_fetch(&self->r->refs[3], 1, __ATOMIC_SEQ_CST);
	ASSERT_EQ(-EAGAIN, move_one(&self->rig, self->r, 3, self->rig.far, 0));
	__atomic_sub_fetch(&self->r->refs[3], 1, __ATOMIC_SEQ_CST);
	snprintf(fields, sizeof(fields), "region=%u block=3 from=%u to=%u reason=0 error=%d",
		 self->r->id, self->rig.near, self->rig.far, -EAGAIN);
	EXPECT_EQ(1, count_events("kvoff_move_end", fields));
	EXPECT_EQ(2, count_events("kvoff_move_start", ""));
	EXPECT_EQ(2, count_events("kvoff_move_end", ""));
}

TEST_HARNESS_MAIN
