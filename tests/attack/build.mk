# SPDX-License-Identifier: GPL-2.0-or-later
#
# Attacks on the module with random sequences and malformed structures, in the emulated machine. Their default is
# a short run; `make soak` is a long one.
attack-rig		:= $(addprefix tests/kselftest/,rig.c bytes.c pin.c)

progs			+= attack-sequence attack-parsers
tests-guest		+= attack-sequence attack-parsers
attack-sequence-src	:= $(addprefix tests/attack/,sequence.c model.c space.c memory.c transfer.c calls.c moves.c \
			   process.c admin.c seals.c frames.c) $(attack-rig)
attack-sequence-pkg	:= liburing
attack-parsers-src	:= tests/attack/parsers.c tests/attack/inflight.c $(attack-rig)
attack-parsers-pkg	:= liburing

# make soak: OPS operations, with SEED, on KERNEL (6.12 or newest), on the module with test hooks if HOOKS=y
OPS			?= 1000000
soak-kernel		= $(or $(KERNEL),6.12)
soak-version		= $(shell tests/vm/run --list-kernels | sed -n 's/^$(soak-kernel) //p')
.PHONY: soak
soak:
	tests/vm/inroot $(MAKE) B=build/trixie KERNELS="$(soak-version)" build/trixie/bin/attack-sequence \
		$(if $(HOOKS),kmod-hooks,kmod)
	tests/vm/run -k $(soak-kernel) -m cxl -t 86400 -l build/kmod/$(soak-version)/$(if $(HOOKS),hooks/)kvoff.ko -- \
		build/trixie/bin/attack-sequence --ops $(OPS) $(addprefix --seed ,$(SEED))
