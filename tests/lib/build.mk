# SPDX-License-Identifier: GPL-2.0-or-later

# The module is played by mock.c, at these calls of the library.
lib-mock		:= -Wl,--wrap=open,--wrap=access,--wrap=ioctl,--wrap=mmap

lib-heap-src		:= tests/lib/heap.c tests/lib/mock.c
lib-heap-kvoff		:= y
lib-heap-ldlibs		:= $(lib-mock)

lib-commit-src		:= tests/lib/commit.c tests/lib/mock.c
lib-commit-kvoff	:= y
lib-commit-ldlibs	:= $(lib-mock)

lib-calls-src		:= tests/lib/calls.c tests/lib/mock.c
lib-calls-kvoff		:= y
lib-calls-ldlibs	:= $(lib-mock)

lib-fallback-src	:= tests/lib/fallback.c
lib-fallback-kvoff	:= y

lib-tests		:= lib-heap lib-commit lib-calls lib-fallback
progs			+= $(lib-tests)
tests-native		+= $(lib-tests)

# check-lib: the library's own tests; check-asan: the same, built with sanitizers in a place of their own
.PHONY: check-lib check-asan
check-lib: $(addprefix $(B)/bin/,$(lib-tests) kvoff-example) $(B)/lib/libkvoff.so
	set -e; for t in $(lib-tests); do $(B)/bin/$$t; done
	LIBKVOFF_FALLBACK=1 $(B)/bin/kvoff-example
	tests/lib/man-pages $(B)/lib/libkvoff.so
check-asan:
	$(MAKE) B=$(B)/asan CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer" \
		LDFLAGS="-fsanitize=address,undefined" check-lib
