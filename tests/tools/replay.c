// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvoff-replay on plain memory: it counts right, finds one wrong bit, and tells bad input from bad memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tools/ktap.h"
#include "tools/json_read.h"

#define REQUEST(t, ids)	"{\"timestamp\": " #t ", \"input_length\": 1, \"output_length\": 1, \"hash_ids\": [" ids "]}\n"

/* 4 requests, 11 references, 6 different blocks, so 5 re-reads; each request but the first re-reads */
static const char small[] = REQUEST(0, "0, 1, 2") REQUEST(10, "0, 1, 3") REQUEST(20, "0, 4") REQUEST(30, "0, 1, 5");

static struct json_value *report;

/* One run with a report; $T is the trace. */
static void replay(const char *options)
{
	char text[16384];
	size_t n;
	FILE *f;

	json_free(report);
	report = NULL;
	drop("r.json");
	run("LIBKVOFF_FALLBACK=1 $BIN/kvoff-replay --json %s %s %s", scratch("r.json"), options, scratch("t.jsonl"));
	f = fopen(scratch("r.json"), "r");
	if (!f)
		return;
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	report = json_parse(text, n);
}

static bool is(const char *key, double expected)
{
	double v = json_member_number(report, key, -1);

	if (v == expected)
		return true;
	ktap_note("%s is %g, expected %g; status %d: %.300s", key, v, expected, run_status, run_output);
	return false;
}

static void test_counts(void)
{
	const struct json_value *tier, *wait;

	put("t.jsonl", small);
	replay("");
	ktap_result(!run_status && is("requests", 4) && is("references", 11) && is("blocks", 6) && is("rereads", 5) &&
			    is("reread_bytes", 5 * 65536) && is("fast_share", 1) && is("wrong_bytes", 0) &&
			    is("written_bytes", 6 * 65536) && is("verified_bytes", 11 * 65536),
		    "counts requests, blocks and re-reads");

	tier = json_member(report, "tiers");
	ktap_result(tier && tier->child && json_member_number(tier->child, "share", 0) == 1 && !tier->child->next,
		    "all re-reads are served by the one tier there is");

	/* 100 ns + 65536 bytes or twice as much at 80 GB/s */
	wait = json_member(report, "modelled_wait");
	ktap_result(json_member_number(wait, "requests", 0) == 3 &&
		    json_member_number(wait, "p50_us", 0) > 1.737 && json_member_number(wait, "p50_us", 0) < 1.739,
		    "models the wait of requests that re-read");

	replay("--model memory=1000,1000 --model-block-bytes 128K");
	wait = json_member(report, "modelled_wait");
	ktap_result(json_member_number(wait, "p50_us", 0) > 263.1 && json_member_number(wait, "p50_us", 0) < 263.2,
		    "models it with the parameters given");

	replay("--skip 1 --requests 2");
	ktap_result(!run_status && is("requests", 2) && is("blocks", 4) && is("rereads", 1),
		    "plays the part asked for");

	/* two tiers, and all of it is in them */
	replay("--anonymous --rewrite 50");
	tier = json_member(report, "tiers");
	ktap_result(!run_status && is("rereads", 5) && is("wrong_bytes", 0) && tier && tier->child && tier->child->next &&
		    !tier->child->next->next && json_member_number(tier->child, "share", 0) +
		    json_member_number(tier->child->next, "share", 0) == 1, "plays it on anonymous memory");

	replay("--block-bytes 192K");
	ktap_result(!run_status && is("reread_bytes", 5 * 3 * 65536), "plays blocks that are no power of two");
}

static void test_bound(void)
{
	static const char *const slower[] = {
		"--index-blocks 2 --speed 1", "--index-blocks 2 --speed 0.2", "--index-blocks 2 --speed 0.04",
	};
	bool right = false;
	int i;

	/* far enough apart that each request is over when the next one comes, at last: what is in use is not evicted */
	put("t.jsonl", REQUEST(0, "0") REQUEST(200, "1") REQUEST(400, "2") REQUEST(600, "1") REQUEST(800, "0"));
	for (i = 0; !right && i < 3; i++) {
		replay(slower[i]);
		/* 0 was evicted for 2, then 2 for 0; 1 stayed */
		right = !run_status && is("rereads", 1) && is("evicted", 2) && is("blocks", 3) &&
			is("verified_bytes", 5 * 65536);
	}
	ktap_result(right, "evicts the least recently used, checked before it goes");
}

static void test_wrong(void)
{
	const struct json_value *first;

	put("t.jsonl", small);
	replay("--corrupt-one");
	first = json_member(report, "first_wrong");
	ktap_result(run_status == 1, "one wrong bit: exit status 1");
	ktap_result(json_member_number(report, "wrong_bytes", 0) > 0 && json_member_number(first, "block", -1) == 0 &&
			    json_member_number(first, "offset", -1) == 32768 + 5 &&
			    json_member_number(first, "write", -1) == 1 &&
			    ((int)json_member_number(first, "expected", 0) ^
			     (int)json_member_number(first, "found", 0)) == 0x10,
		    "one wrong bit: says where it is, what it should be and what it is");
	ktap_result(output_has("WRONG BYTES") && output_has("first in block 0 (write 1) at offset 32773"),
		    "one wrong bit: says so to people");

	/* never re-read: found by the check at the end */
	put("t.jsonl", REQUEST(0, "7"));
	replay("--corrupt-one");
	ktap_result(run_status == 1 && is("wrong_bytes", 1) && is("rereads", 0),
		    "a wrong bit in a block that is never re-read");
}

static void test_many(void)
{
	static char text[1 << 20];
	size_t at = 0;
	int i, k;

	/* prefixes shared by requests that run at the same time, rewritten while others read them */
	for (i = 0; i < 300; i++) {
		at += sprintf(text + at,
			      "{\"timestamp\": %d, \"input_length\": 1, \"output_length\": 1, \"hash_ids\": [0", i * 3);
		for (k = 1; k < 8; k++)
			at += sprintf(text + at, ", %d", k < 6 ? i % 5 * 8 + k : 1000 + i * 8 + k);
		at += sprintf(text + at, "]}\n");
	}
	put("t.jsonl", text);
	replay("--threads 8 --queue 32 --rewrite 30 --acquire --index-blocks 100");
	ktap_result(!run_status && is("requests", 300) && is("references", 2400) && is("wrong_bytes", 0) &&
		    json_member_number(report, "rewritten", 0) > 100, "many threads, rewriting and a small index");
	replay("--threads 4 --queue 2 --speed 2 --samples /dev/null --sample-ms 5");
	ktap_result(!run_status && json_member_number(report, "seconds", 0) >= 0.44, "keeps to the trace's clock");
	replay("--threads 4 --queue 1000 --speed 2 --lead 0.6");
	ktap_result(!run_status && json_member_number(report, "seconds", 0) >= 0.74, "lets requests wait in the queue");
}

static void test_signal(void)
{
	put("t.jsonl", REQUEST(0, "1") REQUEST(10, "2") REQUEST(60000, "3"));
	json_free(report);
	report = NULL;
	run("LIBKVOFF_FALLBACK=1 timeout --preserve-status -k 60 8 "
	    "$BIN/kvoff-replay --speed 1 --lead 40 --threads 2 --json - %s", scratch("t.jsonl"));
	report = json_parse(run_output, strlen(run_output));
	ktap_result(!run_status && is("requests", 2) && json_member_number(report, "seconds", 99) < 38,
		    "ends soon after SIGTERM, with a report, although requests wait in the queue");
}

static void test_output(void)
{
	put("t.jsonl", small);
	run("LIBKVOFF_FALLBACK=1 $BIN/kvoff-replay --samples %s --sample-ms 1 %s && head -n 1 %s", scratch("s.csv"),
	    scratch("t.jsonl"), scratch("s.csv"));
	ktap_result(!run_status && output_has("t,memory,promoted,demoted,memory_reread") &&
			    output_has("model, not measured"),
		    "writes a time series, labels the model as a model");
	run("LIBKVOFF_FALLBACK=1 $BIN/kvoff-replay --json - %s", scratch("t.jsonl"));
	json_free(report);
	report = json_parse(run_output, strlen(run_output));
	ktap_result(report && is("requests", 4), "--json - prints nothing but the JSON");
}

static void test_bad_input(void)
{
	static const char *const bad[] = {
		"--block-bytes 32K t",
		"--block-bytes 100001 t",
		"--block-bytes 2G t",
		"--requests 0 t",
		"--requests -1 t",
		"--requests x t",
		"--speed -1 t",
		"--speed nan t",
		"--lead 1 t",
		"--threads 0 t",
		"--rewrite 101 t",
		"--model memory t",
		"--model memory=1,0 t",
		"--no-such-option t",
		"",
		"t t",
	};
	size_t i, n = sizeof(bad) / sizeof(bad[0]), right = 0;

	for (i = 0; i < n; i++) {
		run("cd %s && LIBKVOFF_FALLBACK=1 $BIN/kvoff-replay %s", scratch("."), bad[i]);
		if (run_status == 2 && *run_output)
			right++;
		else
			ktap_note("'%s': status %d, %s", bad[i], run_status, run_output);
	}
	ktap_result(right == n, "bad options: a message and exit status 2");

	put("t.jsonl", REQUEST(0, "1") "{\"timestamp\": 1}\n");
	replay("");
	ktap_result(run_status == 2 && output_has("t.jsonl:2: ") && output_has("expected in every request"),
		    "a malformed trace: place, reason, exit status 2");
	put("t.jsonl", small);
	replay("--model nosuch=1,1");
	ktap_result(run_status == 2 && output_has("there is no such tier"),
		    "a model of a tier that is not there: exit status 2");
	replay("--samples /nonexistent/file");
	ktap_result(run_status == 2 && output_has("cannot be written"), "a file that cannot be written: exit status 2");
}

static void test_no_module(void)
{
	put("t.jsonl", small);
	run("env -u LIBKVOFF_FALLBACK $BIN/kvoff-replay --tenant no-such-tenant %s", scratch("t.jsonl"));
	ktap_result(run_status == 1 && output_has("kvoff: "), "without the module: a message and exit status 1");
}

int main(void)
{
	ktap_begin(23);
	test_counts();
	test_bound();
	test_wrong();
	test_many();
	test_signal();
	test_output();
	test_bad_input();
	test_no_module();
	json_free(report);
	return ktap_end();
}
