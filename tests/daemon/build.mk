# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of the daemon's parts that need neither the module nor the libraries of the machine it runs on.

progs			+= decide_trace
decide_trace-src	:= tests/daemon/decide_trace.c daemon/decide.c daemon/heat.c
decide_trace-ldlibs	:= -lm
tests-native		+= decide_trace

# against the module, in the emulated machine; starts the kvoffd beside it
progs			+= daemon_live
daemon_live-src		:= tests/daemon/live.c
tests-guest		+= daemon_live
