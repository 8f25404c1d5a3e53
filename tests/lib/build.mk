# SPDX-License-Identifier: GPL-2.0-or-later

# The module is played by mock.c, at these calls of the library.
lib-mock-src		:= tests/lib/mock.c tests/lib/mock_blocks.c
lib-mock		:= -Wl,--wrap=open,--wrap=access,--wrap=ioctl,--wrap=mmap,--wrap=close

lib-heap-src		:= tests/lib/heap.c $(lib-mock-src)
lib-heap-kvoff		:= y
lib-heap-ldlibs		:= $(lib-mock)

lib-commit-src		:= tests/lib/commit.c $(lib-mock-src)
lib-commit-kvoff	:= y
lib-commit-ldlibs	:= $(lib-mock)

lib-calls-src		:= tests/lib/calls.c $(lib-mock-src)
lib-calls-kvoff		:= y
lib-calls-ldlibs	:= $(lib-mock)

lib-refs-src		:= tests/lib/refs.c $(lib-mock-src)
lib-refs-kvoff		:= y
lib-refs-ldlibs		:= $(lib-mock)

lib-framed-src		:= tests/lib/framed.c $(lib-mock-src)
lib-framed-kvoff	:= y
lib-framed-ldlibs	:= $(lib-mock)

lib-reap-src		:= tests/lib/reap.c $(lib-mock-src)
lib-reap-kvoff		:= y
lib-reap-ldlibs	:= $(lib-mock)

lib-named-src		:= tests/lib/named.c $(lib-mock-src)
lib-named-kvoff		:= y
lib-named-ldlibs	:= $(lib-mock)

lib-fallback-src	:= tests/lib/fallback.c
lib-fallback-kvoff	:= y

# against the module, in the emulated machine
lib-live-src		:= tests/lib/live.c $(addprefix tests/kselftest/,rig.c bytes.c)
lib-live-kvoff		:= y
progs			+= lib-live
tests-guest		+= lib-live

lib-tests		:= lib-heap lib-commit lib-calls lib-refs lib-framed lib-reap lib-named lib-fallback
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
