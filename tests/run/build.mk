# SPDX-License-Identifier: GPL-2.0-or-later
# Run by tests/run/programs, under kvoff-run.

progs			+= run-memory
run-memory-src		:= tests/run/memory.c tests/run/process.c
# it asks for memory to see where it comes from
run-memory-cflags	:= -fno-builtin
