# SPDX-License-Identifier: GPL-2.0-or-later

# The module is played by mock.c, at these calls of the library.
lib-mock	:= -Wl,--wrap=open,--wrap=access,--wrap=ioctl,--wrap=mmap

lib-heap-src	:= tests/lib/heap.c tests/lib/mock.c
lib-heap-kvoff	:= y
lib-heap-ldlibs	:= $(lib-mock)

lib-calls-src	:= tests/lib/calls.c tests/lib/mock.c
lib-calls-kvoff	:= y
lib-calls-ldlibs := $(lib-mock)

lib-tests	:= lib-heap lib-calls
progs		+= $(lib-tests)
tests-native	+= $(lib-tests)
