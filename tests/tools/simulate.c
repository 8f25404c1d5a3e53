// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvoff-replay --simulate: each policy does what it should on a trace small enough to be done by hand, and misses as
 * often as libCacheSim's on a real one; the model's times are what its rules give; bad input is refused; the same seed
 * gives the same results.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tools/ktap.h"
#include "tools/json_read.h"

#define REAL_TRACE	"tests/data/conversation_trace.jsonl"
#define REQUEST(t, in, out, ids) \
	"{\"timestamp\": " #t ", \"input_length\": " #in ", \"output_length\": " #out ", \"hash_ids\": [" ids "]}\n"
#define ONE(t, id)	REQUEST(t, 1, 1, #id)

static struct json_value *report;

/* One run on t.jsonl, with its report. */
static void simulate(const char *options, const char *trace)
{
	static char text[1 << 20];
	size_t n;
	FILE *f;

	json_free(report);
	report = NULL;
	drop("r.json");
	run("$BIN/kvoff-replay --simulate --json %s %s %s", scratch("r.json"), options, trace);
	f = fopen(scratch("r.json"), "r");
	if (!f)
		return;
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	report = json_parse(text, n);
}

/* A row of "hit_share" or "results": of this policy and size, and consumer if there is one. */
static const struct json_value *row(const char *array, const char *policy, double fast, const char *consumer)
{
	const struct json_value *rows = json_member(report, array), *r;

	for (r = rows ? rows->child : NULL; r; r = r->next)
		if (!strcmp(json_member_string(r, "policy", ""), policy) &&
		    json_member_number(r, "fast_percent", -1) == fast &&
		    (!consumer || !strcmp(json_member_string(r, "consumer", ""), consumer)))
			return r;
	ktap_note("no row %s %s %g; status %d: %.300s", array, policy, fast, run_status, run_output);
	return NULL;
}

static bool is(const struct json_value *r, const char *key, double expected)
{
	double v = json_member_number(r, key, -12345);

	if (fabs(v - expected) <= 1e-6 * fabs(expected) + 1e-9)
		return true;
	ktap_note("%s is %.9g, expected %.9g; status %d: %.300s", key, v, expected, run_status, run_output);
	return false;
}

/* 4 blocks, 3 re-reads; two blocks fit in the fast tier */
static const char by_hand[] = ONE(0, 0) ONE(1, 1) ONE(2, 0) ONE(3, 2) ONE(4, 1) ONE(5, 3) ONE(6, 0);

static const struct {
	const char *policy;
	double fast, promoted, demoted;
} hand[] = {
	/* 0 and 1 stay */
	{ "first-touch", 3, 0, 0 },
	/* 0 is found; 2 sends 1 away, 1 0, 3 2, 0 1 */
	{ "lru", 1, 2, 4 },
	/* 0 has two uses and stays; 1, 2 and 1 again go */
	{ "lfu", 2, 1, 3 },
	/* 2 sends 1 to the ghosts of those used once, which moves the border, so that 1 sends 0 away, 3 1, and 0 2 */
	{ "arc", 1, 2, 4 },
	/* the small queue has no room: 0 and 1 begin in the main one; 0 passes for its use, 1 goes; then 2 and 1 */
	{ "s3-fifo", 2, 1, 3 },
	/* nothing is used more often than 0 */
	{ "tinylfu", 2, 1, 3 },
	/* 2 and 3 do not enter */
	{ "belady", 3, 0, 0 },
};
#define NR_HAND	(sizeof(hand) / sizeof(hand[0]))

static void test_by_hand(void)
{
	put("t.jsonl", by_hand);
	simulate("--hit-share-only --fast 50", scratch("t.jsonl"));
	for (size_t i = 0; i < NR_HAND; i++) {
		const struct json_value *r = row("hit_share", hand[i].policy, 50, NULL);

		ktap_result(is(r, "rereads", 3) && is(r, "rereads_fast", hand[i].fast) &&
				    is(r, "promoted_blocks", hand[i].promoted) &&
				    is(r, "demoted_blocks", hand[i].demoted),
			    "by hand: %s", hand[i].policy);
	}
}

/* Misses of libCacheSim 0.3.5 (LRU, LFU, ARC, S3FIFO with its defaults, all objects of size 1) on the real trace. */
static const struct {
	double percent;
	unsigned int lru, lfu, arc, s3fifo;
} library[] = {
	{ 1, 273420, 271711, 269874, 269024 }, { 2, 265797, 264483, 262437, 257801 },
	{ 5, 232118, 251898, 227881, 235000 }, { 10, 208177, 232293, 206494, 223647 },
	{ 20, 189097, 199985, 196163, 211733 }, { 33, 184937, 186235, 186066, 201831 },
};
#define NR_LIBRARY	(sizeof(library) / sizeof(library[0]))
#define REFERENCES	288500

static void test_library(void)
{
	char text[200];
	double lru_s = 0;
	bool ok = true;

	simulate("--hit-share-only --fast 1,2,5,10,20,33 --policy lru,lfu,arc,s3-fifo,first-touch,belady", REAL_TRACE);
	for (size_t i = 0; i < NR_LIBRARY; i++) {
		double at = library[i].percent;

		ok = ok && is(row("hit_share", "lru", at, NULL), "rereads_fast", REFERENCES - library[i].lru) &&
		     is(row("hit_share", "lfu", at, NULL), "rereads_fast", REFERENCES - library[i].lfu) &&
		     is(row("hit_share", "arc", at, NULL), "rereads_fast", REFERENCES - library[i].arc) &&
		     is(row("hit_share", "s3-fifo", at, NULL), "rereads_fast", REFERENCES - library[i].s3fifo);
		lru_s += json_member_number(row("hit_share", "lru", at, NULL), "seconds", 0);
	}
	ktap_note("LRU: %.1f million references a second", NR_LIBRARY * REFERENCES / lru_s / 1e6);
	ktap_result(ok, "lru, lfu, arc and s3-fifo miss as often as libCacheSim's");

	snprintf(text, sizeof(text), "%.3f %.3f %.3f %.3f",
		 json_member_number(row("hit_share", "first-touch", 1, NULL), "share", 0),
		 json_member_number(row("hit_share", "first-touch", 20, NULL), "share", 0),
		 json_member_number(row("hit_share", "belady", 1, NULL), "share", 0),
		 json_member_number(row("hit_share", "belady", 5, NULL), "share", 0));
	ktap_note("first touch at 1 and 20 %%, Belady at 1 and 5 %%: %s", text);
	ktap_result(!strcmp(text, "0.129 0.400 0.672 1.000"),
		    "first touch and Belady's bound are what is known of the trace");
}

static void test_daemon(void)
{
	const struct json_value *low, *high, *own;

	simulate("--hit-share-only --requests 2000 --fast 10 --policy first-touch,kvoffd,belady", REAL_TRACE);
	low = row("hit_share", "first-touch", 10, NULL);
	own = row("hit_share", "kvoffd", 10, NULL);
	high = row("hit_share", "belady", 10, NULL);
	ktap_result(low && own && high &&
			    json_member_number(own, "share", -1) > json_member_number(low, "share", -1) &&
			    json_member_number(own, "share", 2) <= json_member_number(high, "share", -1) &&
			    json_member_number(own, "rereads", -1) == json_member_number(low, "rereads", -2),
		    "kvoffd is better than first touch, and no better than the bound");

	simulate("--hit-share-only --requests 2000 --fast 10 --policy kvoffd,first-touch --daemon name=static",
		 REAL_TRACE);
	own = row("hit_share", "kvoffd", 10, NULL);
	ktap_result(is(own, "promoted_blocks", 0) && is(own, "demoted_blocks", 0) &&
			    is(own, "share",
			       json_member_number(row("hit_share", "first-touch", 10, NULL), "share", -1)),
		    "kvoffd that is told to move nothing is first touch");
}

/* Blocks of 1 MB: DRAM reads one in 1 ms, the second tier in 10 ms; 100 tokens a block, 1 ms a token. */
#define MODEL \
	"--consumer gpu --set sessions_percent=100 --set block_bytes=1000000 --set block_tokens=100 " \
	"--set capacity_percent=100 --set headroom_percent=0 --set reserve_percent=0 --set dram_mbps=1000 " \
	"--set dram_ns=0 --set cxl_ns=0 --set cxl_mbps=100 --set cxl_devices=1 --set pcie_mbps=1000000 " \
	"--set prefill_tps=1000 --set objective_ms=300 --fast 40 "
#define FIRST	REQUEST(0, 400, 1, "0, 1, 2, 3")
#define SECOND(t)	REQUEST(t, 500, 1, "0, 1, 2, 3, 4")

static void test_model(void)
{
	const struct json_value *r;

	/* two of five blocks fit in DRAM; the second request reads two from each tier, side by side */
	put("t.jsonl", FIRST SECOND(10000));
	simulate(MODEL "--set overlap_percent=0 --policy first-touch,dram-only,striping", scratch("t.jsonl"));
	r = row("results", "first-touch", 40, "gpu");
	ktap_result(is(r, "stall_p50_ms", 0) && is(r, "stall_p99_ms", 20) &&
			    is(r, "excess_p99_ms", 16) && is(r, "ttft_p50_ms", 120) &&
			    is(r, "ttft_p99_ms", 400) && is(r, "read_bytes", 4e6) && is(r, "reread_share_fast", 0.5) &&
			    is(r, "prefilled_tokens", 500) && is(r, "recomputed_tokens", 0) && is(r, "moved_bytes", 0),
		    "the slower tier decides when a prefix is loaded");
	ktap_result(is(r, "kept_share", 0.5) && is(r, "seconds", 10.12) && is(r, "goodput_per_s", 1 / 10.12),
		    "goodput counts what kept the objective");
	/* 2 ms to load two blocks, 200 of 300 tokens for the second time */
	r = row("results", "dram-only", 40, "gpu");
	ktap_result(is(r, "recomputed_tokens", 200) && is(r, "ttft_p50_ms", 302) && is(r, "stall_p99_ms", 2),
		    "what fits nowhere is recomputed");

	simulate(MODEL "--set overlap_percent=100 --policy first-touch", scratch("t.jsonl"));
	r = row("results", "first-touch", 40, "gpu");
	ktap_result(is(r, "stall_p99_ms", 0) && is(r, "ttft_p50_ms", 100),
		    "loading is hidden behind a prefill that is longer");

	simulate(MODEL "--set overlap_percent=10 --set pcie_mbps=100 --policy first-touch", scratch("t.jsonl"));
	r = row("results", "first-touch", 40, "gpu");
	/* 40 ms to load beside 10 ms of prefill, then 90 ms */
	ktap_result(is(r, "stall_p99_ms", 30) && is(r, "ttft_p50_ms", 130), "a GPU's link can be what is slow");

	put("t.jsonl", FIRST SECOND(100));
	simulate(MODEL "--set overlap_percent=0 --policy first-touch", scratch("t.jsonl"));
	ktap_result(is(row("results", "first-touch", 40, "gpu"), "ttft_p99_ms", 420), "requests queue for the GPU");
	simulate(MODEL "--set overlap_percent=0 --set speed=0.01 --policy first-touch", scratch("t.jsonl"));
	ktap_result(is(row("results", "first-touch", 40, "gpu"), "ttft_p50_ms", 120), "time can be stretched");

	put("t.jsonl", FIRST SECOND(10000) SECOND(10000));
	simulate(MODEL "--set overlap_percent=0 --set servers=2 --policy first-touch", scratch("t.jsonl"));
	ktap_result(is(row("results", "first-touch", 40, "gpu"), "stall_p99_ms", 50), "GPUs share the links");

	/* one token every 10 ms, 4 ms of DRAM for four blocks; two of them are in the second tier */
	put("t.jsonl", REQUEST(0, 400, 11, "0, 1, 2, 3"));
	simulate(MODEL "--consumer cpu --set pcie_mbps=0 --set decode_ms=10 --fast 50 --policy first-touch",
		 scratch("t.jsonl"));
	r = row("results", "first-touch", 50, "cpu");
	ktap_result(is(r, "stall_p99_ms", 100) && is(r, "excess_p99_ms", 100) && is(r, "read_bytes", 40e6) &&
			    is(r, "seconds", 0.6),
		    "blocks that are read in place are read for each token");
}

static void test_moves(void)
{
	const struct json_value *r;

	/* one block in DRAM: 0 is born there and makes way for 1, which comes up when it is used again */
	put("t.jsonl", ONE(0, 0) ONE(10000, 1) ONE(20000, 1) ONE(30000, 1) ONE(40000, 2));
	simulate(MODEL "--set budget_percent=1 --policy lru", scratch("t.jsonl"));
	r = row("results", "lru", 40, "gpu");
	/* a block takes a second at 1 % of 100 MB/s */
	ktap_result(is(r, "promoted_bytes", 1e6) && is(r, "demoted_bytes", 1e6) && is(r, "promotion_precision", 1) &&
			    is(r, "reread_share_fast", 0.5),
		    "moves take their time, and a promoted block that is read again counts");

	put("t.jsonl", ONE(0, 0) ONE(10000, 1) ONE(10100, 1) ONE(10900, 1) ONE(40000, 2));
	simulate(MODEL "--set budget_percent=1 --policy lru", scratch("t.jsonl"));
	r = row("results", "lru", 40, "gpu");
	ktap_result(is(r, "reread_share_fast", 0), "a block is where it was until its copy is done");
}

static void test_budget(void)
{
	static const char *const policies[] = { "lru", "kvoffd" };

	simulate("--consumer gpus --requests 1500 --fast 20 --policy lru,kvoffd --set budget_percent=1 --tick-ms 500",
		 REAL_TRACE);
	for (size_t i = 0; i < 2; i++) {
		const struct json_value *r = row("results", policies[i], 20, "gpus");
		/* two devices of 30 GB/s, in each direction */
		double most = 0.01 * 2 * 30e9 * json_member_number(r, "seconds", 0);
		double up = json_member_number(r, "promoted_bytes", 1e30);
		double down = json_member_number(r, "demoted_bytes", 1e30);

		ktap_note("%s: %.3g bytes up, %.3g down, %.3g allowed", policies[i], up, down, most);
		ktap_result(down > 0 && up <= most && down <= most,
			    "moves keep within the links' budgets: %s", policies[i]);
	}
}

static void test_report(void)
{
	const struct json_value *model, *load;

	put("t.jsonl", by_hand);
	simulate("--fast 50 --set cxl_ns=333 --set gpus.speed=3 --seed 7 --hints 50 --policy lru,kvoffd "
		 "--set sessions_percent=100",
		 scratch("t.jsonl"));
	model = json_member(json_member(json_member(report, "consumers"), "gpus"), "model");
	ktap_result(is(model, "cxl_ns", 333) && is(model, "speed", 3) && is(model, "servers", 8) &&
			    is(report, "seed", 7) && is(report, "hints_percent", 50),
		    "every number is in the report");
	ktap_result(row("results", "kvoffd", 50, "cpu") && row("results", "kvoffd", 50, "gpu") &&
			    row("results", "lru", 50, "gpus") && output_has("cxl_ns=333") &&
			    output_has("promotion precision"),
		    "a row a consumer and policy, and a table for people");
	load = json_member(json_member(json_member(report, "consumers"), "cpu"), "load");
	ktap_result(is(load, "requests", 7) && is(load, "references", 7) && is(load, "blocks", 4) &&
			    is(load, "sessions", 7),
		    "what was simulated is in the report");

	put("t.jsonl", REQUEST(0, 1, 1, "0, 1, 2") REQUEST(1, 1, 1, "0, 5, 6") REQUEST(2, 1, 1, "0, 1, 3, 4")
			       REQUEST(3, 1, 1, "0, 5, 6, 7"));
	simulate("--hit-share-only --fast 50 --policy lru", scratch("t.jsonl"));
	ktap_result(is(json_member(report, "load"), "sessions", 2),
		    "a request that extends one before continues its session");

	put("t.jsonl", by_hand);
	simulate("--hit-share-only --fast 50 --policy lru --split-at 50", scratch("t.jsonl"));
	ktap_result(is(row("hit_share", "lru", 50, NULL), "rereads", 2), "the first part is played and not reported");
}

static void test_csv(void)
{
	put("t.csv", "id,when,what\n1,0,a\n2,0.001,b\n3,0.002,a\n"
		     "4,0.003,\"c,\"\"d\"\n5,0.004,b\n6,0.005,e\n7,0.006,a\n");
	simulate("--hit-share-only --fast 50 --csv time=when,block=what,unit=s", scratch("t.csv"));
	ktap_result(is(row("hit_share", "lru", 50, NULL), "rereads_fast", 1) &&
			    is(row("hit_share", "lru", 50, NULL), "demoted_blocks", 4),
		    "CSV: the same as JSON lines");
	put("t.csv", "r,t,b,in\nx,0,1,7\nx,0,2,7\ny,5,1,8\n");
	simulate("--hit-share-only --fast 50 --csv request=r,time=t,block=b,input=in", scratch("t.csv"));
	ktap_result(is(json_member(report, "load"), "requests", 2), "CSV: lines of one request belong together");
}

static const struct {
	const char *options, *file, *text, *expected;
} bad[] = {
	{ "--policy mru", "t.jsonl", ONE(0, 1), "--policy mru: expected names" },
	{ "--policy lru,", "t.jsonl", "x", ":1: 'x' at column 1, expected '{'" },
	{ "--fast 0", "t.jsonl", ONE(0, 1), "--fast 0: expected" },
	{ "--fast 10,101", "t.jsonl", ONE(0, 1), "--fast 10,101: expected" },
	{ "--fast ten", "t.jsonl", ONE(0, 1), "--fast ten: expected" },
	{ "--consumer tpu", "t.jsonl", ONE(0, 1), "expected cpu, gpu or gpus" },
	{ "--set cxl_ns", "t.jsonl", ONE(0, 1), "expected KEY=VALUE" },
	{ "--set cxl=3", "t.jsonl", ONE(0, 1), "there is no such number" },
	{ "--set cxl_ns=-1", "t.jsonl", ONE(0, 1), "expected a number from 0 to 1e+06: its latency" },
	{ "--set gpu.speed=0", "t.jsonl", ONE(0, 1), "expected a number from 0.001" },
	{ "--daemon colour=red", "t.jsonl", ONE(0, 1), "has no such key" },
	{ "--daemon margin=0", "t.jsonl", ONE(0, 1), "--daemon margin=0: expected" },
	{ "--split-at 100", "t.jsonl", ONE(0, 1), "expected a number from 0 to 99" },
	{ "--hints 101", "t.jsonl", ONE(0, 1), "expected a number from 0 to 100" },
	{ "--frob", "t.jsonl", ONE(0, 1), "--help tells the options" },
	{ "--hit-share-only --fast 1", "t.jsonl", ONE(0, 1), "the fast tier has no room for one block" },
	{ "--consumer gpu --set sessions_percent=0.01", "t.jsonl", ONE(0, 1), "no session was drawn" },
	{ "", "t.parquet", "PAR1", "'P' at column 1, expected '{'" },
	{ "--csv time=t", "t.csv", "t,b\n0,1\n", "expected time=NAME and block=NAME" },
	{ "--csv time=t,blocks=b", "t.csv", "t,b\n0,1\n", "\"blocks=b\": expected" },
	{ "--csv time=t,block=x", "t.csv", "t,b\n0,1\n", ":1: the first line names no column \"x\"" },
	{ "--csv time=t,block=b", "t.csv", "t,b\nnow,1\n", ":2: \"now\" in column \"t\", expected a number" },
	{ "--csv time=t,block=b", "t.csv", "t,b\n0,1,2\n", ":2: 3 fields, expected 2" },
	{ "--csv time=t,block=b", "t.csv", "t,b\n0,\n", ":2: column \"b\" is empty" },
	{ "--csv time=t,block=b", "t.csv", "t,b\n1,1\n0,1\n", ":3: \"t\" is before the line above" },
	{ "--csv time=t,block=b", "t.csv", "t,b\n0,\"1\n", ":2: the quotation mark of field 2 is not closed" },
	{ "--csv time=t,block=b", "t.csv", "t,b\n0,\"1\"x\n", ":2: 'x' after the quoted field 2" },
	{ "--csv time=t,block=b", "t.csv", "t,b\n", "no request, expected" },
	{ "--csv time=t,block=b", "t.csv", "", "no request, expected" },
};
#define NR_BAD	(sizeof(bad) / sizeof(bad[0]))

static void test_bad(void)
{
	for (size_t i = 0; i < NR_BAD; i++) {
		put(bad[i].file, bad[i].text);
		simulate(bad[i].options, scratch("%s", bad[i].file));
		ktap_result(run_status == 2 && output_has(bad[i].expected),
			    "refused: %s %s", bad[i].options, bad[i].file);
	}
	run("$BIN/kvoff-replay --simulate /nowhere/t.jsonl");
	ktap_result(run_status == 2 && output_has("/nowhere/t.jsonl: cannot be opened"), "refused: no such trace");
	run("$BIN/kvoff-replay --generate cats");
	ktap_result(run_status == 2 && output_has("--generate cats: expected \"agents\""),
		    "refused: nothing it can generate");
}

static void test_seeds(void)
{
	run("$BIN/kvoff-replay --generate agents --seconds 600 --seed 3 >%s", scratch("a.jsonl"));
	run("$BIN/kvoff-replay --generate agents --seconds 600 --seed 3 | cmp - %s", scratch("a.jsonl"));
	ktap_result(!run_status, "the same seed generates the same trace");
	run("$BIN/kvoff-replay --generate agents --seconds 600 --seed 4 | cmp - %s", scratch("a.jsonl"));
	ktap_result(run_status, "another seed another one");
	run("S='--simulate --fast 10 --hints 50 --set sessions_percent=50 --tick-ms 500'; "
	    "$BIN/kvoff-replay $S --json %s %s >/dev/null && $BIN/kvoff-replay $S --json - %s | cmp - %s",
	    scratch("1.json"), scratch("a.jsonl"), scratch("a.jsonl"), scratch("1.json"));
	ktap_result(!run_status, "two runs with the same seed agree in everything");
}

int main(void)
{
	ktap_begin(NR_HAND + NR_BAD + 2 + 2 + 9 + 2 + 2 + 5 + 2 + 2 + 3);
	test_by_hand();
	test_library();
	test_daemon();
	test_model();
	test_moves();
	test_budget();
	test_report();
	test_csv();
	test_bad();
	test_seeds();
	json_free(report);
	return ktap_end();
}
