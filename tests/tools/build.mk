# SPDX-License-Identifier: GPL-2.0-or-later

progs += test-tools-trace test-tools-json test-kvoff-replay test-kvoff-simulate test-kvoffctl
tests-native += test-tools-trace test-tools-json test-kvoff-replay test-kvoff-simulate test-kvoffctl

test-tools-trace-src := tests/tools/trace.c tests/tools/ktap.c tools/trace.c
test-tools-json-src := tests/tools/json.c tests/tools/ktap.c tools/json.c tools/json_read.c tools/size.c
test-tools-json-ldlibs := -lm
# run kvoff-replay and kvoffctl from the folder that they are in themselves
test-kvoff-replay-src := tests/tools/replay.c tests/tools/ktap.c tools/json_read.c
test-kvoff-simulate-src := tests/tools/simulate.c tests/tools/ktap.c tools/json_read.c
test-kvoff-simulate-ldlibs := -lm
test-kvoffctl-src := tests/tools/doctor.c tests/tools/ktap.c tools/json_read.c
