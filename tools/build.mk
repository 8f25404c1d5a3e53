# SPDX-License-Identifier: GPL-2.0-or-later

progs += $(if $(wildcard libkvoff/build.mk),kvoff-replay)
kvoff-replay-src := $(addprefix tools/,replay.c serve.c report.c index.c placement.c content.c wait.c trace.c tiers.c \
	sysfs.c json.c size.c)
kvoff-replay-kvoff := y
kvoff-replay-ldlibs := -lm
