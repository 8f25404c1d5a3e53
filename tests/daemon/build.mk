# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of the daemon's parts that need neither the module nor the libraries of the machine it runs on.

progs			+= decide_trace
decide_trace-src	:= tests/daemon/decide_trace.c daemon/decide.c daemon/heat.c
decide_trace-ldlibs	:= -lm
tests-native		+= decide_trace
