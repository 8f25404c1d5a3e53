# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of the daemon's parts that need neither the module nor the libraries of the machine it runs on.

daemon-tests		:= test-daemon-census test-daemon-conf test-daemon-decide test-daemon-in-use test-daemon-observe test-daemon-poison test-daemon-probe test-daemon-rules test-daemon-tiers test-daemon-trace
progs			+= $(daemon-tests)
tests-native		+= $(daemon-tests)

decide-src		:= $(addprefix daemon/,decide.c walk.c census.c heat.c rules.c conf.c conf_key.c)
test-daemon-census-src	:= tests/daemon/census.c $(decide-src)
test-daemon-census-ldlibs := -lm
test-daemon-conf-src	:= tests/daemon/conf.c daemon/conf.c daemon/conf_key.c
test-daemon-conf-ldlibs	:= -lm
test-daemon-decide-src	:= tests/daemon/decide.c $(decide-src)
test-daemon-decide-ldlibs := -lm
test-daemon-in-use-src	:= tests/daemon/in_use.c $(decide-src)
test-daemon-in-use-ldlibs := -lm
test-daemon-rules-src	:= tests/daemon/rules.c daemon/rules.c daemon/conf.c daemon/conf_key.c
test-daemon-rules-ldlibs := -lm
test-daemon-observe-src	:= tests/daemon/observe.c $(addprefix daemon/,observe.c heat.c census.c act.c log.c region.c)
test-daemon-observe-ldlibs := -lm
test-daemon-poison-src	:= tests/daemon/poison.c daemon/poison_event.c
test-daemon-probe-src	:= tests/daemon/probe.c daemon/probe.c
test-daemon-probe-pkg	:= numa
test-daemon-tiers-src	:= tests/daemon/tiers.c $(addprefix daemon/,tier_plan.c zone.c conf.c conf_key.c log.c)
test-daemon-tiers-ldlibs := -lm
test-daemon-trace-src	:= tests/daemon/trace.c $(decide-src)
test-daemon-trace-ldlibs := -lm

# against the module, in the emulated machine; starts the kvoffd beside it
progs			+= test-daemon-live
test-daemon-live-src	:= tests/daemon/live.c
tests-guest		+= test-daemon-live
