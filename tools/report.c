// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What kvoff-replay says at the end.
 */
#include <string.h>

#include "tools/json.h"
#include "tools/replay.h"
#include "tools/size.h"

/* The counters of the module that say what became of moves, with what they mean. */
static const struct {
	const char *name, *meaning;
} refusals[] = {
	{ "move_busy", "pinned by something in the kernel" },
	{ "move_acquired", "held by a client" },
	{ "move_written", "written to during the copy" },
	{ "move_cancelled", "command cancelled" },
	{ "move_no_frame", "no free frame in the target" },
	{ "move_over_quota", "tenant's quota in the target used up" },
	{ "move_draining", "target is being drained" },
	{ "move_poisoned", "source could not be read" },
	{ "move_invalid", "empty or gone by then" },
};
#define NR_REFUSALS	(sizeof(refusals) / sizeof(refusals[0]))

static uint64_t grown(const struct replay_results *r, const char *counter)
{
	return counters_get(&r->after, counter) - counters_get(&r->before, counter);
}

static const char *place_name(const struct tiers *tiers, unsigned int place, char buf[16])
{
	unsigned int i;

	for (i = 0; i < tiers->nr; i++)
		if (tiers->tier[i].id == place)
			return tiers->tier[i].name;
	if (place == PLACE_NONE)
		return "none";
	snprintf(buf, 16, "tier%u", place);
	return buf;
}

/* Places to be shown: every tier, in order of rank, and what else was read from. Returns how many. */
static unsigned int places(const struct tiers *tiers, const struct replay_results *r, unsigned int place[NR_PLACES])
{
	unsigned int i, j, n = 0;

	for (i = 0; i < tiers->nr; i++)
		place[n++] = tiers->tier[i].id;
	for (i = 0; i < NR_PLACES; i++) {
		for (j = 0; j < n && place[j] != i; j++)
			;
		if (j == n && r->reread_bytes[i])
			place[n++] = i;
	}
	return n;
}

static uint64_t all_reread(const struct replay_results *r)
{
	uint64_t all = 0;
	unsigned int i;

	for (i = 0; i < NR_PLACES; i++)
		all += r->reread_bytes[i];
	return all;
}

static double share(uint64_t part, uint64_t all)
{
	return all ? (double)part / all : 0;
}

void report_people(FILE *f, const struct replay_options *o, const struct tiers *tiers, const struct wait_model *m,
		   const struct replay_results *r)
{
	struct wait_summary w = wait_summarize(r->waits, r->nr_waits);
	unsigned int place[NR_PLACES], n = places(tiers, r, place), i;
	uint64_t all = all_reread(r), refused = 0;
	char buf[16];

	fprintf(f, "%-22s%llu requests, %llu references to %llu blocks of %s, %.1f s\n", "replayed",
		(unsigned long long)r->requests, (unsigned long long)r->references, (unsigned long long)r->blocks,
		size_exact(o->block_bytes).s, r->seconds);
	if (o->speed)
		fprintf(f, "%-22sat %g times the trace's speed, %g s of the trace in the queue, at most %.1f s late\n", "", o->speed,
			o->lead, r->late_s);
	fprintf(f, "%-22s%llu", "re-reads", (unsigned long long)r->rereads);
	for (i = 0; i < n; i++)
		fprintf(f, "%s %.1f %% %s", i ? "," : ":", 100 * share(r->reread_bytes[place[i]], all),
			place_name(tiers, place[i], buf));
	fputc('\n', f);
	if (r->evicted)
		fprintf(f, "%-22s%llu blocks, for the index's bound of %llu\n", "evicted",
			(unsigned long long)r->evicted, (unsigned long long)o->index_blocks);
	if (r->rewritten)
		fprintf(f, "%-22s%llu blocks after they were read\n", "rewritten", (unsigned long long)r->rewritten);
	fprintf(f, "%-22s%s, %s of it read again before it was demoted or freed\n", "promoted",
		size_format(r->moved.promoted).s, size_format(r->moved.promoted_read).s);
	fprintf(f, "%-22s%s\n", "demoted", size_format(r->moved.demoted).s);
	if (r->fallback) {
		fprintf(f, "%-22splain memory (LIBKVOFF_FALLBACK): there are no tiers and nothing moves\n", "");
	} else {
		fprintf(f, "%-22s%llu (all regions), %s\n", "moves by the module",
			(unsigned long long)grown(r, "moves"), size_format(grown(r, "moved_bytes")).s);
		for (i = 0; i < NR_REFUSALS; i++) {
			uint64_t v = grown(r, refusals[i].name);

			refused += v;
			if (v)
				fprintf(f, "%-22s%llu %s (%s)\n", "moves refused", (unsigned long long)v,
					refusals[i].meaning, refusals[i].name);
		}
		if (!refused)
			fprintf(f, "%-22s0\n", "moves refused");
	}
	fprintf(f, "%-22sp50 %.1f us, p99 %.1f us, mean %.1f us, of the %zu requests that reuse something\n",
		"modelled wait", w.p50, w.p99, w.mean, r->nr_waits);
	fprintf(f, "%-22smodel, not measured: latency + bytes / bandwidth, the slowest tier counts;", "");
	for (i = 0; i < n; i++)
		fprintf(f, " %s %.0f ns %.1f GB/s%s", place_name(tiers, place[i], buf), m->latency_ns[place[i]],
			m->bandwidth_mbps[place[i]] / 1e3, i + 1 < n ? "," : ";");
	fprintf(f, " %s a block\n", size_format(o->block_bytes * m->scale).s);
	fprintf(f, "%-22s%s written, %s read and checked\n", "bytes", size_format(r->written).s,
		size_format(r->verified).s);
	if (r->alloc_failures)
		fprintf(f, "%-22s%llu allocations failed, %llu references to those blocks not served\n", "NO MEMORY",
			(unsigned long long)r->alloc_failures, (unsigned long long)r->lost);
	fprintf(f, "%-22s%llu\n", r->wrong_bytes ? "WRONG BYTES" : "wrong bytes", (unsigned long long)r->wrong_bytes);
	if (r->wrong_bytes)
		fprintf(f, "%-22sfirst in block %llu (write %u) at offset %zu: expected 0x%02x, found 0x%02x\n", "",
			(unsigned long long)r->wrong.block, r->wrong.write, r->wrong.offset, r->wrong.expected,
			r->wrong.found);
}

static void json_places(struct json *j, const struct tiers *tiers, const struct wait_model *m,
			const struct replay_results *r)
{
	unsigned int place[NR_PLACES], n = places(tiers, r, place), i;
	uint64_t all = all_reread(r);
	char buf[16];

	json_array(j, "tiers");
	for (i = 0; i < n; i++) {
		json_object(j, NULL);
		json_string(j, "name", place_name(tiers, place[i], buf));
		json_i64(j, "id", place[i] == PLACE_NONE ? -1 : (int)place[i]);
		json_u64(j, "reread_bytes", r->reread_bytes[place[i]]);
		json_double(j, "share", share(r->reread_bytes[place[i]], all));
		json_double(j, "model_latency_ns", m->latency_ns[place[i]]);
		json_double(j, "model_bandwidth_mbps", m->bandwidth_mbps[place[i]]);
		json_end(j);
	}
	json_end(j);
	json_double(j, "fast_share", n ? share(r->reread_bytes[place[0]], all) : 0);
}

static void json_module(struct json *j, const struct replay_results *r)
{
	unsigned int i;

	if (r->fallback) {
		json_null(j, "module");
		return;
	}
	json_object(j, "module");
	json_u64(j, "moves", grown(r, "moves"));
	json_u64(j, "moved_bytes", grown(r, "moved_bytes"));
	for (i = 0; i < NR_REFUSALS; i++)
		json_u64(j, refusals[i].name, grown(r, refusals[i].name));
	json_end(j);
}

void report_json(FILE *f, const struct replay_options *o, const struct tiers *tiers, const struct wait_model *m,
		 const struct replay_results *r)
{
	struct wait_summary w = wait_summarize(r->waits, r->nr_waits);
	struct json j = { .out = f };

	json_object(&j, NULL);
	json_string(&j, "trace", o->trace);
	json_u64(&j, "skipped", o->skip);
	json_u64(&j, "requests", r->requests);
	json_u64(&j, "references", r->references);
	json_u64(&j, "blocks", r->blocks);
	json_u64(&j, "block_bytes", o->block_bytes);
	json_u64(&j, "index_blocks", o->index_blocks);
	json_double(&j, "speed", o->speed);
	json_double(&j, "lead_seconds", o->lead);
	json_u64(&j, "threads", o->threads);
	json_double(&j, "seconds", r->seconds);
	json_double(&j, "late_seconds", r->late_s);
	json_bool(&j, "fallback", r->fallback);
	json_u64(&j, "rereads", r->rereads);
	json_u64(&j, "reread_bytes", all_reread(r));
	json_places(&j, tiers, m, r);
	json_u64(&j, "evicted", r->evicted);
	json_u64(&j, "rewritten", r->rewritten);
	json_u64(&j, "promoted_bytes", r->moved.promoted);
	json_u64(&j, "promoted_read_bytes", r->moved.promoted_read);
	json_u64(&j, "demoted_bytes", r->moved.demoted);
	json_module(&j, r);
	json_object(&j, "modelled_wait");
	json_double(&j, "p50_us", w.p50);
	json_double(&j, "p99_us", w.p99);
	json_double(&j, "mean_us", w.mean);
	json_u64(&j, "requests", r->nr_waits);
	json_u64(&j, "block_bytes", o->block_bytes * m->scale);
	json_end(&j);
	json_u64(&j, "written_bytes", r->written);
	json_u64(&j, "verified_bytes", r->verified);
	json_u64(&j, "alloc_failures", r->alloc_failures);
	json_u64(&j, "lost_references", r->lost);
	json_u64(&j, "wrong_bytes", r->wrong_bytes);
	if (r->wrong_bytes) {
		json_object(&j, "first_wrong");
		json_u64(&j, "block", r->wrong.block);
		json_u64(&j, "write", r->wrong.write);
		json_u64(&j, "offset", r->wrong.offset);
		json_u64(&j, "expected", r->wrong.expected);
		json_u64(&j, "found", r->wrong.found);
		json_end(&j);
	} else {
		json_null(&j, "first_wrong");
	}
	json_end(&j);
}
