/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints KTAP: a table of tests, each of which fails by a CHECK() and goes on. */
#ifndef TESTS_LIB_KTAP_H
#define TESTS_LIB_KTAP_H

#include <stdbool.h>
#include <stdio.h>

struct ktap_test {
	const char *name;
	void (*run)(void);
};

extern bool ktap_failed;

/* True if it holds; else says where, and the test has failed. From any thread. */
#define CHECK(cond)                                                                                                    \
	({                                                                                                             \
		bool ktap_holds = (cond);                                                                              \
		if (!ktap_holds) {                                                                                     \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond);                                            \
			__atomic_store_n(&ktap_failed, true, __ATOMIC_RELAXED);                                        \
		}                                                                                                      \
		ktap_holds;                                                                                            \
	})

/* Defined once, by the file with main(). */
#define KTAP_MAIN(tests)                                                                                               \
	bool ktap_failed;                                                                                              \
	int main(void)                                                                                                 \
	{                                                                                                              \
		size_t nr = sizeof(tests) / sizeof((tests)[0]), i;                                                     \
		int bad = 0;                                                                                           \
		setvbuf(stdout, NULL, _IOLBF, 0);                                                                      \
		printf("KTAP version 1\n1..%zu\n", nr);                                                                \
		for (i = 0; i < nr; i++) {                                                                             \
			ktap_failed = false;                                                                           \
			(tests)[i].run();                                                                              \
			printf("%s %zu %s\n", ktap_failed ? "not ok" : "ok", i + 1, (tests)[i].name);                  \
			bad |= ktap_failed;                                                                            \
		}                                                                                                      \
		return bad;                                                                                            \
	}

#endif
