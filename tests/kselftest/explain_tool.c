// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvoffctl explain: it tells where a block is and what brought it there, finds it by address, and says what is wrong
 * with what it cannot find.
 */
#include <kselftest_harness.h>

#include <sys/mman.h>

#include "framed_rig.h"
#include "tool.h"

#define BS	(64 * KIB)
#define NR	8

FIXTURE(explain_tool)
{
	struct rig rig;
	struct region *r;
	struct tool tool;
};

FIXTURE_SETUP(explain_tool)
{
	ASSERT_EQ(0, rig_up(&self->rig, BS, 64 * BS));
	if (tool_find(&self->tool))
		SKIP(return, "there is no kvoffctl beside this program");
	self->r = rig_region(&self->rig, BS, NR);
	ASSERT_NE(NULL, self->r);
	fill(self->r->data, 4 * BS, 1);
}

FIXTURE_TEARDOWN(explain_tool)
{
	const char *wrong = rig_down(&self->rig);

	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

#define SAYS(text, exit_code, ...) do {								\
		char arguments[256];								\
												\
		snprintf(arguments, sizeof(arguments), "explain " __VA_ARGS__);			\
		TOOL_SAYS(&self->tool, text, arguments, exit_code);				\
	} while (0)

static int move_for(const struct rig *rig, const struct region *r, uint64_t block, uint32_t to, uint16_t reason)
{
	struct kvoff_move_desc desc = { .region = r->id, .block = block, .to = to, .reason = reason };
	struct kvoff_move_result result;

	return move_batch(rig->control, &desc, 1, &result, NULL) ?: result.error;
}

TEST_F(explain_tool, each_reason)
{
	static const struct {
		uint16_t code;
		const char *text;
	} reasons[] = {
		{ 1, "promote_hot: it came up because it was used" },
		{ 2, "promote_prefetch: it came up because its client" },
		{ 3, "demote_room: it came down because a faster tier was short of room" },
		{ 4, "demote_swap: it came down to make way" },
		{ 5, "demote_hint: it came down because its client called it cold" },
		{ 0x777, "other: moved by something that is not this kvoffd, for a reason of its own (1911)" },
		{ KVOFF_REASON_DRAIN, "drain: it was moved out of a tier that was to be emptied" },
		{ KVOFF_REASON_RESCUE, "rescue: the module brought it here" },
	};
	struct region *r = self->r;
	unsigned int i;

	SAYS("none: it has never moved", 0, "%u 0", r->id);
	EXPECT_NE(NULL, strstr(self->tool.out, "tier    dram, rank ")) TH_LOG("%s", self->tool.out);
	for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		uint32_t to = i % 2 ? self->rig.near : self->rig.far;

		ASSERT_EQ(0, move_for(&self->rig, r, 0, to, reasons[i].code));
		SAYS(reasons[i].text, 0, "%u 0", r->id);
		EXPECT_NE(NULL, strstr(self->tool.out, i % 2 ? "tier    dram," : "tier    cxl0,")) TH_LOG("%s", self->tool.out);
		/* this program has the lease, and is no kvoffd */
		EXPECT_EQ(reasons[i].code <= 5, !!strstr(self->tool.out, "(if kvoffd moved it")) TH_LOG("%s", self->tool.out);
		EXPECT_NE(NULL, strstr(self->tool.out, "which is not kvoffd")) TH_LOG("%s", self->tool.out);
	}
	/* the next one there is another */
	ASSERT_EQ(0, region_discard(r, 0, 1, NULL));
	SAYS("none: it is empty", 0, "%u 0", r->id);
	fill(r->data, BS, 1);
	SAYS("none: it has not moved since it was first used here", 0, "%u 0", r->id);
}

TEST_F(explain_tool, by_address)
{
	uint8_t *array = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, self->r->fd, KVOFF_OFF_STATE);
	struct region *r = self->r, *other = rig_region(&self->rig, BS, NR);
	char block[64], range[128];

	ASSERT_NE(NULL, other);
	ASSERT_NE(MAP_FAILED, (void *)array);
	snprintf(block, sizeof(block), "region %u (", r->id);
	SAYS(block, 0, "--pid %d %p", getpid(), block_at(r, 3) + 5);
	EXPECT_NE(NULL, strstr(self->tool.out, "block 3 of 64K")) TH_LOG("%s", self->tool.out);
	snprintf(range, sizeof(range), "%p-%p in process %d", block_at(r, 3), block_at(r, 4), getpid());
	EXPECT_NE(NULL, strstr(self->tool.out, range)) TH_LOG("%s", self->tool.out);
	SAYS("block 3 of 64K", 0, "%u %p", r->id, block_at(r, 3));
	SAYS(range, 0, "%u 3", r->id);
	/* empty, and still somewhere */
	SAYS("it gets memory when it is first used", 0, "--pid %d %p", getpid(), block_at(r, NR - 1));
	SAYS("is in region ", 1, "%u %p", other->id, block_at(r, 3));
	SAYS("is in the shared arrays of region", 1, "--pid %d %p", getpid(), array);
	SAYS("is no memory of kvoff's", 1, "--pid %d %p", getpid(), self);
	SAYS("there is none of this number", 1, "--pid 2147483647 0x1000");
	munmap(array, PAGE);
}

TEST_F(explain_tool, what_is_known_of_its_use)
{
	struct region *r = self->r;

	r->hint[2].touches = 7;
	r->hint[2].bits = KVOFF_HINT_COLD | KVOFF_HINT_SHARED;
	SAYS("touched 7 times", 0, "%u 2", r->id);
	EXPECT_NE(NULL, strstr(self->tool.out, "hints   cold,shared")) TH_LOG("%s", self->tool.out);
	SAYS("\"touches\": 7", 0, "%u 2 --json", r->id);
	EXPECT_NE(NULL, strstr(self->tool.out, "\"reason\": \"none\"")) TH_LOG("%s", self->tool.out);
	ASSERT_EQ(0, move_for(&self->rig, r, 1, self->rig.far, 3));
	SAYS("demote_room ", 0, "%u 0-7", r->id);
	EXPECT_NE(NULL, strstr(self->tool.out, "cold,shared")) TH_LOG("%s", self->tool.out);
	EXPECT_NE(NULL, strstr(self->tool.out, "4 of these blocks are empty")) TH_LOG("%s", self->tool.out);
	SAYS("\"block\": 7", 0, "--json %u 0-7", r->id);
	/* nobody has written here, and no array has a page for it */
	SAYS("\"present\": false", 0, "--json %u 7", r->id);
}

TEST_F(explain_tool, framed)
{
	struct framed f;

	ASSERT_EQ(0, framed_create(&self->rig, &f, BS, NR, 4, 4));
	ASSERT_EQ(0, blocks_alloc(f.r.fd, 2, 3, NULL));
	ASSERT_EQ(0, move_for(&self->rig, &f.r, 3, self->rig.far, 4));
	ASSERT_EQ(0, region_seal(f.r.fd, 3, 1, NULL));
	SAYS("block 3 of 64K", 0, "--pid %d %p", getpid(), frame_of(&f, location(&f.r, 3)) + BS - 1);
	EXPECT_NE(NULL, strstr(self->tool.out, "demote_swap: ")) TH_LOG("%s", self->tool.out);
	EXPECT_NE(NULL, strstr(self->tool.out, "sealed: ")) TH_LOG("%s", self->tool.out);
	EXPECT_EQ(NULL, strstr(self->tool.out, "sampled")) TH_LOG("%s", self->tool.out);
	SAYS("it gets memory when it is allocated", 0, "%u 0", f.r.id);
	ASSERT_EQ(0, blocks_free(f.r.fd, 2, 1, NULL));
	SAYS("in a frame that holds no block", 1, "--pid %d %p", getpid(), f.window[NEAR] + 3 * BS);
	framed_close(&f);
}

TEST_F(explain_tool, wrong_questions)
{
	unsigned int id = self->r->id;

	SAYS("there is no block 8: it has 8", 1, "%u 8", id);
	SAYS("there is no block 8: it has 8", 1, "%u 7-8", id);
	SAYS("there is none of this number", 1, "%u 0", id + 1000);
	SAYS("no region is called 'nobody'", 1, "nobody 0");
	SAYS("no region has so large a number", 2, "99999999999 0");
	SAYS("expected a block's number", 2, "%u 3-1", id);
	SAYS("expected a block's number", 2, "%u 3-", id);
	SAYS("expected a block's number", 2, "%u x", id);
	SAYS("expected an address", 2, "%u 0x", id);
	SAYS("expected an address", 2, "--pid 1 0x12g");
	SAYS("of which region", 2, "0");
	SAYS("of which region", 2, "0x1000");
	SAYS("of which region", 2, "--pid 1 0");
	SAYS("expected a process's number", 2, "--pid init 0x1000");
	SAYS("expected a region and a block", 2, " ");
	SAYS("expected a region and a block", 2, "%u 0 1", id);
}

TEST_HARNESS_MAIN
