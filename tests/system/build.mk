# SPDX-License-Identifier: GPL-2.0-or-later
# What the scripts here run beside the daemon and the tools.

progs			+= kvoff-poisoned kvoff-explained
kvoff-poisoned-src	:= tests/system/poison.c
kvoff-poisoned-kvoff	:= y
kvoff-explained-src	:= tests/system/explained.c
kvoff-explained-kvoff	:= y
