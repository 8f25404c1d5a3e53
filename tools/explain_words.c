// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The words for where a block is and why: of what is known, no more.
 */
#include <string.h>

#include "daemon/decide.h"
#include "tools/explain.h"

const char *const explain_hints[4] = { "prefetch", "cold", "shared", "done" };
const char *const explain_flags[5] = { NULL, "moving", "copying", "sealed", "poisoned" };

static const char *const whys[] = {
	[DECIDE_PROMOTE_HOT] = "it came up because it was used where it was, and there was room here or a colder block made way",
	[DECIDE_PROMOTE_PREFETCH] = "it came up because its client said that it would need it soon",
	[DECIDE_DEMOTE_ROOM] = "it came down because a faster tier was short of room for new blocks",
	[DECIDE_DEMOTE_SWAP] = "it came down to make way for hotter blocks",
	[DECIDE_DEMOTE_HINT] = "it came down because its client called it cold",
};
_Static_assert(sizeof(whys) / sizeof(whys[0]) == DECIDE_NR_REASONS, "every reason of kvoffd's has its words");

const struct tier *explain_tier(const struct seen *s, const struct tiers *tiers)
{
	unsigned int i;

	for (i = 0; i < tiers->nr; i++)
		if (KVOFF_LOC_FLAGS(s->location) & KVOFF_STATE_PRESENT &&
		    tiers->tier[i].id == KVOFF_LOC_TIER(s->location))
			return &tiers->tier[i];
	return NULL;
}

const char *explain_reason(uint16_t reason)
{
	if (reason == KVOFF_REASON_DRAIN)
		return "drain";
	if (reason == KVOFF_REASON_RESCUE)
		return "rescue";
	return reason < DECIDE_NR_REASONS ? decide_reason_name(reason) : "other";
}

static bool is_kvoffd(const struct daemon *d)
{
	return !strcmp(d->comm, "kvoffd");
}

void explain_why(FILE *out, const struct seen *s, const struct around *a)
{
	bool mapped = !(a->region.flags & KVOFF_REGION_FRAMED);

	if (s->reason == KVOFF_REASON_DRAIN) {
		fputs("it was moved out of a tier that was to be emptied (kvoffctl tier drain, or tier set)", out);
	} else if (s->reason == KVOFF_REASON_RESCUE) {
		fputs("the module brought it here, for the memory that it was in is bad", out);
	} else if (s->reason == KVOFF_REASON_NONE) {
		/* the first frame that there ever was */
		if (mapped && KVOFF_LOC_GEN(s->location) == 1)
			fputs("it has never moved: it was first used here", out);
		else
			fputs("it has not moved since it was first used here, or by something that gave no reason", out);
	} else if (s->reason >= DECIDE_NR_REASONS) {
		fprintf(out, "moved by something that is not this kvoffd, for a reason of its own (%u)", s->reason);
	} else {
		fputs(whys[s->reason], out);
		if (a->daemon.pid && !is_kvoffd(&a->daemon))
			fprintf(out, " (if kvoffd moved it: the policy is process %d, %s, now)", a->daemon.pid,
				*a->daemon.comm ? a->daemon.comm : "?");
	}
}

/* What kvoffd's rules make of it. */
static void by_the_rules(FILE *out, const struct seen *s, const struct tier *t, const struct tiers *tiers)
{
	bool cold = s->hints & KVOFF_HINT_COLD, prefetch = s->hints & KVOFF_HINT_PREFETCH;
	bool faster = false, slower = false;
	unsigned int i;

	for (i = 0; i < tiers->nr; i++) {
		faster |= tiers->tier[i].rank < t->rank;
		slower |= tiers->tier[i].rank > t->rank;
	}
	if (faster && prefetch)
		fputs("it comes up for its prefetch hint, while kvoffd believes that (prefetch_ms)", out);
	else if (faster && cold)
		fputs("it does not come up while its client calls it cold", out);
	else if (faster)
		fputs("it comes up when it is used here, if a faster tier has room or a block there is colder by kvoffd's margin",
		      out);
	if (faster && slower)
		fputs("; ", out);
	if (slower && cold && !prefetch)
		fputs("it goes down before others when its tier is short of room or a hotter block is to have its place, for its client calls it cold",
		      out);
	else if (slower)
		fputs("it goes down when its tier is short of room or a hotter block is to have its place, and others here are not colder",
		      out);
	if (!faster && !slower)
		fputs("nothing: no tier is faster or slower", out);
}

void explain_next(FILE *out, const struct seen *s, const struct around *a)
{
	const struct tier *t = explain_tier(s, &a->tiers);
	const char *policy = json_member_string(a->daemon.report, "policy", "");

	if (KVOFF_LOC_FLAGS(s->location) & KVOFF_STATE_POISONED)
		fputs("it can be used again when its client has discarded or freed it", out);
	else if (!(KVOFF_LOC_FLAGS(s->location) & KVOFF_STATE_PRESENT))
		fprintf(out, "it gets memory when it is %s",
			a->region.flags & KVOFF_REGION_FRAMED ? "allocated" : "first used");
	else if (!t)
		fputs("not known: its tier is gone", out);
	else if (!strcmp(t->state, "draining"))
		fputs("its tier is being drained: kvoffctl tier drain moves it away", out);
	else if (!a->daemon.pid)
		fputs("nothing: kvoffd does not run", out);
	else if (!is_kvoffd(&a->daemon))
		fprintf(out, "what process %d (%s) decides, which is not kvoffd", a->daemon.pid,
			*a->daemon.comm ? a->daemon.comm : "?");
	else if (!strcmp(policy, "static"))
		fputs("nothing: kvoffd's policy is static", out);
	else
		by_the_rules(out, s, t, &a->tiers);
}
