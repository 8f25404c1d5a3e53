# SPDX-License-Identifier: GPL-2.0-or-later
#
# The module that benchmarks compare with: build/kmod/<kernel>/bench/kvoff_peer.ko.
PEER_SRC	:= $(wildcard tests/bench/kmod/*.[ch]) tests/bench/kmod/Kbuild

build/kmod/%/bench/kvoff_peer.ko: $(PEER_SRC)
	@mkdir -p $(@D)
	@cp -p $(PEER_SRC) $(@D)/
	$(MAKE) -C /lib/modules/$*/build M=$(abspath $(@D)) $(KBUILD_FLAGS) modules
	@touch $@

.PHONY: bench-kmod
bench-kmod: $(foreach k,$(KERNELS),$(if $(wildcard /lib/modules/$(k)/build),build/kmod/$(k)/bench/kvoff_peer.ko))

progs			+= test-bench
tests-native		+= test-bench
test-bench-src		:= tests/bench/results.c tests/tools/ktap.c tools/json.c tools/json_read.c \
			   $(addprefix tools/bench/,result.c table.c measure.c)
test-bench-ldlibs	:= -lm
