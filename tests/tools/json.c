// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the printer prints the reader reads; what is not JSON, or too much of it, the reader refuses. And sizes.
 */
#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "tests/tools/ktap.h"
#include "tools/json.h"
#include "tools/json_read.h"
#include "tools/size.h"

static const char *const bad[] = {
	"",	 " ",	  "{",	       "}",    "[",	"[1",	   "[1,]",	"{\"a\"}",     "{\"a\":}", "{\"a\":1,}",
	"{a:1}", "{1:1}", "01",	       "1.",   ".5",	"1e",	   "+1",	"-",	       "0x10",	   "inf",
	"nan",	 "tru",	  "nul",       "'a'",  "\"a",	"\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"a\nb\"", "1 2",
	"[1] x", "[1}",	  "{\"a\":1]", "\"\\", "\"\\u",
};
#define NR_BAD	(sizeof(bad) / sizeof(bad[0]))

static void test_bad(void)
{
	char *deep = malloc(100001);
	struct json_value *v;
	size_t i, right = 0;

	for (i = 0; i < NR_BAD; i++) {
		v = json_parse(bad[i], strlen(bad[i]));
		if (!v)
			right++;
		else
			ktap_note("taken: %s", bad[i]);
		json_free(v);
	}
	ktap_result(right == NR_BAD, "what is not JSON is refused");

	memset(deep, '[', 100000);
	ktap_result(!json_parse(deep, 100000), "too deep is refused");
	for (i = 0; i < 50000; i++)
		memcpy(deep + 2 * i, i ? ",1" : "[1", 2);
	deep[99999] = ']';
	ktap_result(!json_parse(deep, 100000), "too many values are refused");
	ktap_result(!json_parse("1\0 ", 3), "a zero byte is refused");
	free(deep);
}

static void test_round_trip(void)
{
	static const char odd[] = "a\"b\\c\n\x01\x7f\xc3\xa4";
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	struct json j = { .out = f };
	struct json_value *v;
	const struct json_value *m;

	json_object(&j, NULL);
	json_string(&j, "odd", odd);
	json_string(&j, "broken", "x\xff\xc3(\xed\xa0\x80y");
	json_u64(&j, "u64", 18446744073709551615ULL);
	json_i64(&j, "i64", -5);
	json_double(&j, "half", 0.5);
	json_double(&j, "nan", strtod("nan", NULL));
	json_bool(&j, "yes", true);
	json_null(&j, "nothing");
	json_array(&j, "empty");
	json_end(&j);
	json_array(&j, "list");
	json_u64(&j, NULL, 1);
	json_object(&j, NULL);
	json_end(&j);
	json_end(&j);
	json_end(&j);
	fclose(f);
	v = json_parse(text, len);
	ktap_result(v, "what is printed can be read");
	ktap_result(!strcmp(json_member_string(v, "odd", ""), odd), "strings come back as they were");
	ktap_result(strchr(json_member_string(v, "broken", ""), 'y') && !strchr(text, '\xff'),
		    "broken UTF-8 is not passed on");
	m = json_member(v, "list");
	ktap_result(json_member_number(v, "half", 0) == 0.5 && json_member_number(v, "i64", 0) == -5 &&
		    json_member(v, "nan")->type == JSON_NULL && json_member(v, "yes")->number == 1 &&
		    m && m->child->number == 1 && m->child->next->type == JSON_OBJECT && !m->child->next->next,
		    "values come back as they were");
	json_free(v);
	free(text);
}

/* A number beyond a double's range is no number, and what it leaves in errno is not what is said. */
static void test_numbers(void)
{
	static const char *const large[] = { "1e999", "-1e999", "[1e-999, 1e999]", "[1e-999" };
	struct json_value *v;
	size_t i, right = 0;

	for (i = 0; i < 4; i++) {
		v = json_parse(large[i], strlen(large[i]));
		right += !v && errno == EINVAL;
		json_free(v);
	}
	v = json_parse("1e-999", 6);
	ktap_result(right == 4 && v && v->number == 0, "numbers too large are refused as malformed");
	json_free(v);
}

static void test_sizes(void)
{
	static const struct {
		const char *text;
		int ret;
		uint64_t bytes;
	} sizes[] = {
		{ "0", 0, 0 },
		{ "65536", 0, 65536 },
		{ "64K", 0, 65536 },
		{ "64k", 0, 65536 },
		{ "64KiB", 0, 65536 },
		{ "64KB", 0, 65536 },
		{ "1.5G", 0, 3ULL << 29 },
		{ "2T", 0, 2ULL << 40 },
		{ "12B", 0, 12 },
		{ "", -1, 0 },
		{ "K", -1, 0 },
		{ "-1", -1, 0 },
		{ " 1", -1, 0 },
		{ "1 K", -1, 0 },
		{ "1Q", -1, 0 },
		{ "0x10", -1, 0 },
		{ "1e5", -1, 0 },
		{ "inf", -1, 0 },
		{ "1iB", -1, 0 },
		{ "1.2.3", -1, 0 },
		{ "99999999E", -1, 0 },
	};
	size_t i, n = sizeof(sizes) / sizeof(sizes[0]), right = 0;
	uint64_t v;
	int ret;

	for (i = 0; i < n; i++) {
		v = 0;
		ret = size_parse(sizes[i].text, &v);
		if ((ret < 0) == (sizes[i].ret < 0) && (ret || v == sizes[i].bytes))
			right++;
		else
			ktap_note("'%s': %d, %llu", sizes[i].text, ret, (unsigned long long)v);
	}
	ktap_result(right == n, "sizes are read as people write them, and nothing else is");
	ktap_result(!strcmp(size_format(0).s, "0") && !strcmp(size_format(1023).s, "1.0K") &&
		    !strcmp(size_format(65536).s, "64K") && !strcmp(size_format(3ULL << 29).s, "1.5G") &&
		    !strcmp(size_format(UINT64_MAX).s, "16E"), "sizes are short for people");
	ktap_result(!strcmp(size_exact(3ULL << 29).s, "1536M") && !strcmp(size_exact(65537).s, "65537") &&
		    !strcmp(size_exact(0).s, "0"), "sizes in commands lose nothing");
}

int main(void)
{
	ktap_begin(12);
	test_bad();
	test_numbers();
	test_round_trip();
	test_sizes();
	return ktap_end();
}
