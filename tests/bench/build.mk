# SPDX-License-Identifier: GPL-2.0-or-later
.PHONY: bench-kmod
bench-kmod:

progs			+= test-bench
tests-native		+= test-bench
test-bench-src		:= tests/bench/results.c tests/tools/ktap.c tools/json.c tools/json_read.c \
			   $(addprefix tools/bench/,result.c table.c measure.c)
test-bench-ldlibs	:= -lm
