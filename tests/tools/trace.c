// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A malformed trace is refused with the place and what was expected; a good one is read as it is.
 */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "tests/tools/ktap.h"
#include "tools/trace.h"

#define GOOD	"{\"timestamp\": 5, \"input_length\": 6, \"output_length\": 7, \"hash_ids\": [1, 2]}"
#define HEAD	"{\"timestamp\": 5, \"input_length\": 6, \"output_length\": 7, \"hash_ids\": "

static const struct {
	const char *name, *text, *expected;
} bad[] = {
	{ "empty file", "", ":1: no request left after leaving out 0, expected at least one" },
	{ "empty line", GOOD "\n\n", ":2: the line ends at column 1, expected '{'" },
	{ "not an object", "[1]\n", ":1: '[' at column 1, expected '{'" },
	{ "text", GOOD "\nhello\n", ":2: 'h' at column 1, expected '{'" },
	{ "cut off", "{\"timestamp\": 5, \"inp\n", "expected one of the keys" },
	{ "cut off in the list", HEAD "[1, 2", "the line ends at column" },
	{ "unknown key", "{\"time\": 5}\n", "expected one of the keys" },
	{ "key twice", "{\"timestamp\": 5, \"timestamp\": 5}\n", "\"timestamp\" twice in one request" },
	{ "key missing", "{\"timestamp\": 5, \"hash_ids\": [1]}\n", "\"input_length\" is missing" },
	{ "no list", HEAD "1}\n", "expected '[', a list of block numbers" },
	{ "empty list", HEAD "[]}\n", "expected a whole number of 0 or more" },
	{ "comma at the end", HEAD "[1,]}\n", "expected a whole number of 0 or more" },
	{ "negative", HEAD "[-1]}\n", "'-' at column 70, expected a whole number" },
	{ "fraction", HEAD "[1.5]}\n", "expected a whole number" },
	{ "exponent", HEAD "[1e5]}\n", "expected a whole number" },
	{ "leading zero", HEAD "[01]}\n", "expected a number without leading zeros" },
	{ "string for a number", HEAD "[\"1\"]}\n", "'\"' at column 70" },
	{ "id out of range", HEAD "[9223372036854775808]}\n", "is above 9223372036854775807" },
	{ "far out of range", HEAD "[99999999999999999999999999]}\n", "is above 9223372036854775807" },
	{ "length out of range", "{\"input_length\": 4294967296}\n", "is above 4294967295" },
	{ "something behind", GOOD " x\n", "'x' at column 77, expected the end of the line" },
	{ "two on a line", GOOD GOOD "\n", "expected the end of the line" },
	{ "carriage return", GOOD "\r\n", "byte 0x0d at column 76" },
	{ "binary", "{\"timestamp\": \x01}\n", "byte 0x01 at column 15" },
	{ "time goes back",
	  "{\"timestamp\": 9, \"input_length\": 6, \"output_length\": 7, \"hash_ids\": [1]}\n" GOOD "\n",
	  ":2: \"timestamp\" 5 is before that of the request above (9)" },
};
#define NR_BAD	(sizeof(bad) / sizeof(bad[0]))

static int load(struct trace *t, const char *text, size_t skip, size_t limit, char *err, size_t len)
{
	put("t.jsonl", text);
	return trace_load(t, scratch("t.jsonl"), skip, limit, err, len);
}

static void test_bad(void)
{
	char err[512];
	struct trace t;
	size_t i;
	int ret;

	for (i = 0; i < NR_BAD; i++) {
		ret = load(&t, bad[i].text, 0, 0, err, sizeof(err));
		if (ret >= 0 || !strstr(err, bad[i].expected) || !strstr(err, "t.jsonl:"))
			ktap_note("returned %d, said: %s", ret, err);
		ktap_result(ret < 0 && strstr(err, bad[i].expected) && strstr(err, "t.jsonl:"), "refused: %s",
			    bad[i].name);
		if (!ret)
			trace_free(&t);
	}
}

static void test_zero_byte(void)
{
	char err[512];
	struct trace t;
	FILE *f = fopen(scratch("zero.jsonl"), "w");
	int ret;

	fwrite(GOOD "\0\n", 1, sizeof(GOOD) + 1, f);
	fclose(f);
	ret = trace_load(&t, scratch("zero.jsonl"), 0, 0, err, sizeof(err));
	ktap_result(ret < 0 && strstr(err, "byte 0x00"), "refused: a zero byte");
}

static void test_long(void)
{
	size_t n = TRACE_LINE_MAX + 10, i, at;
	char *text = malloc(n + 1), err[512];
	struct trace t;
	bool ok;

	memset(text, ' ', n);
	text[n] = 0;
	ok = load(&t, text, 0, 0, err, sizeof(err)) < 0 && strstr(err, "the line is longer than");
	ktap_result(ok, "refused: a line without end");

	at = sprintf(text, "%s[0", HEAD);
	for (i = 0; i < TRACE_IDS_MAX; i++)
		at += sprintf(text + at, ",1");
	strcpy(text + at, "]}\n");
	ok = load(&t, text, 0, 0, err, sizeof(err)) < 0 && strstr(err, "more than 262144 hash_ids");
	ktap_result(ok, "refused: more blocks than a request may have");
	free(text);
}

static void test_good(void)
{
	char err[512];
	struct trace t;
	int ret;

	ret = load(
		&t,
		GOOD
		"\n"
		"{\"hash_ids\":[9223372036854775807,0],\"output_length\":4294967295,\"input_length\":0,\"timestamp\":5}\n"
		"\t{ \"timestamp\" : 8 , \"input_length\" : 1 , \"output_length\" : 2 , \"hash_ids\" : [ 3 ] } ",
		0, 0, err, sizeof(err));
	ktap_result(!ret && t.nr_requests == 3 && t.nr_ids == 5 && t.requests[1].nr_ids == 2 &&
		    t.ids[t.requests[1].first_id] == INT64_MAX && t.requests[1].output_length == UINT32_MAX &&
		    t.requests[2].timestamp_ms == 8 && t.ids[t.requests[2].first_id] == 3,
		    "read: keys in any order, spaces, no newline at the end");
	trace_free(&t);

	ret = load(&t, GOOD "\n" GOOD "\n" GOOD "\nnot read\n", 1, 2, err, sizeof(err));
	ktap_result(!ret && t.nr_requests == 2 && t.nr_ids == 4, "read: only the part asked for");
	trace_free(&t);

	ret = load(&t, "nonsense\n" GOOD "\n", 1, 0, err, sizeof(err));
	ktap_result(ret < 0 && strstr(err, ":1: "), "refused: nonsense in the part left out");

	ret = trace_load(&t, scratch("nowhere"), 0, 0, err, sizeof(err));
	ktap_result(ret < 0 && strstr(err, "cannot be opened"), "refused: no such file");
}

int main(void)
{
	ktap_begin(NR_BAD + 7);
	test_bad();
	test_zero_byte();
	test_long();
	test_good();
	return ktap_end();
}
