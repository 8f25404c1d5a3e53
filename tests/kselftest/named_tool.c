// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvoffctl regions: it tells of regions that wait for nobody yet, and removes the one that is meant, or none.
 */
#include <kselftest_harness.h>

#include "named.h"
#include "tool.h"

FIXTURE(named_tool)
{
	struct rig rig;
	struct tool tool;
};

FIXTURE_SETUP(named_tool)
{
	ASSERT_EQ(0, rig_up(&self->rig, BS, 64 * BS));
	if (tool_find(&self->tool))
		SKIP(return, "there is no kvoffctl beside this program");
}

FIXTURE_TEARDOWN(named_tool)
{
	const char *wrong;

	named_remove_all(self->rig.control);
	wrong = rig_down(&self->rig);
	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

#define SAYS(text, arguments, exit_code)	TOOL_SAYS(&self->tool, text, arguments, exit_code)

TEST_F(named_tool, lists_and_removes)
{
	struct region r, plain;
	char arguments[64];
	uint32_t ids[4], id;

	ASSERT_EQ(0, region_create(&self->rig, &plain, BS, 4));
	ASSERT_EQ(0, named_map(named_create(self->rig.tenant, "cache", 0640, 3600), &r));
	SAYS(" cache ", "regions", 0);
	EXPECT_EQ(NULL, strstr(self->tool.out, "nobody attached"));
	/* it goes on for those who are there */
	SAYS("1 attachment is still there", "regions rm cache", 0);
	SAYS("no region is called 'cache'", "regions rm cache", 1);
	id = r.id;
	EXPECT_FALSE(has_ended(id));
	region_close(&r);
	EXPECT_TRUE(has_ended(id));

	ASSERT_EQ(0, named_map(named_create(self->rig.tenant, "cache", 0640, 3600), &r));
	id = r.id;
	region_close(&r);
	SAYS("nobody attached, ends in ", "regions", 0);
	SAYS("\"name\": \"cache\"", "regions --json", 0);
	EXPECT_NE(NULL, strstr(self->tool.out, "\"mode\": \"0640\"")) TH_LOG("%s", self->tool.out);
	/* another user's of the same name: a number is needed */
	EXPECT_EQ(0, in_child(setuid(1000) ?: named_create(self->rig.tenant, "cache", 0, 0) < 0));
	SAYS("more than one region is called 'cache'", "regions rm cache", 1);
	EXPECT_EQ(3, region_ids(self->rig.control, ids, 4));
	snprintf(arguments, sizeof(arguments), "regions rm %u", id);
	SAYS("has ended", arguments, 0);
	SAYS("there is none of this number", arguments, 1);
	SAYS("has ended", "regions rm cache", 0);
	snprintf(arguments, sizeof(arguments), "regions rm %u", plain.id);
	SAYS("it has no name", arguments, 1);
	SAYS("expected the number or the name", "regions rm", 2);
	SAYS("expected the number or the name", "regions rm a b", 2);
	SAYS("expected rm, or nothing", "regions remove cache", 2);
	EXPECT_EQ(1, region_ids(self->rig.control, ids, 4));
	region_close(&plain);
}

TEST_HARNESS_MAIN
