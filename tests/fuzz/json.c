// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * JSON that somebody else wrote: a tree comes out whose every text ends inside what was read, or nothing.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "tools/json_read.h"

const char * const fuzz_seeds[] = {
	"{\"a\": [1, -2.5e3, true, false, null], \"b\": {\"c\": \"x\\u00e9\\n\"}}",
	"[[[[[[\"\\\\\\\"\\/\\b\\f\\n\\r\\t\\ud83d\\ude00\\u0000\"]]]]]]",
	NULL
};

const char * const fuzz_words[] = {
	"{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "\\u0000", "\\uffff", "\\ud800", "true", "false", "null", "-", ".",
	"e", "E+", "\"a\":", "0x", "[[[[[[[[[[[[[[[[[", "\n", NULL
};

static size_t walk(const struct json_value *v, size_t size, unsigned int depth)
{
	const struct json_value *child;
	size_t nr = 1;

	must(depth <= 32);
	must(v->type == JSON_ARRAY || v->type == JSON_OBJECT || !v->child);
	must(v->type != JSON_STRING || strlen(v->string) < size);
	must(v->type != JSON_BOOL || v->number == 0 || v->number == 1);
	for (child = v->child; child; child = child->next) {
		must(!child->key == (v->type == JSON_ARRAY));
		if (child->key) {
			must(strlen(child->key) < size);
			must(json_member(v, child->key));
			json_member_string(v, child->key, "");
			json_member_number(v, child->key, 0);
		}
		nr += walk(child, size, depth + 1);
	}
	return nr;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_value *root;

	errno = 0;
	root = json_parse((const char *)data, size);
	if (!root) {
		must(errno == EINVAL || errno == E2BIG || errno == ENOMEM);
		return 0;
	}
	/* each value took at least one byte */
	must(walk(root, size, 0) <= size);
	json_free(root);
	return 0;
}
