# SPDX-License-Identifier: GPL-2.0-or-later
#
# kvoff-bench: each benchmark is a file of its own here, named in names.h. What one needs of other folders it adds to
# the sources.
progs		+= kvoff-bench
kvoff-bench-src	:= $(wildcard tools/bench/*.c) tools/json.c tools/json_read.c \
		   $(addprefix tests/kselftest/,rig.c bytes.c framed_rig.c) \
		   $(addprefix daemon/,act.c census.c conf.c conf_key.c decide.c heat.c log.c observe.c region.c rules.c walk.c)
kvoff-bench-kvoff := y
kvoff-bench-ldlibs := -lm

# what "alloc" starts, one for each allocator
progs		+= kvoff-bench-allocator
kvoff-bench-allocator-src := tools/bench/worker/allocator.c tools/bench/syscalls.c
kvoff-bench-allocator-kvoff := y
