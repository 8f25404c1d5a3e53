# SPDX-License-Identifier: GPL-2.0-or-later
#
# The module, for each kernel whose headers are at hand: build/kmod/<kernel>/kvoff.ko, and in build/kmod/<kernel>/hooks/ the same
# with the delays that tests use. Built from a copy of the sources, so that several kernels do not step on each other's objects.
KMOD_SRC	:= Kbuild $(wildcard kmod/*.[ch] kmod/uapi/*.h)
KERNELS		?= $(shell uname -r)
KBUILD_FLAGS	?= W=1

build/kmod/%/kvoff.ko: $(KMOD_SRC)
	@mkdir -p $(@D)/kmod/uapi
	@cp -p Kbuild $(@D)/ && cp -p kmod/*.[ch] $(@D)/kmod/ && cp -p kmod/uapi/*.h $(@D)/kmod/uapi/
	$(MAKE) -C /lib/modules/$(firstword $(subst /, ,$*))/build M=$(abspath $(@D)) $(KBUILD_FLAGS) \
		$(if $(findstring /hooks,$*),KVOFF_TEST_HOOKS=y) modules
	@touch $@

.PHONY: kmod kmod-hooks
kmod: $(foreach k,$(KERNELS),$(if $(wildcard /lib/modules/$(k)/build),build/kmod/$(k)/kvoff.ko))
kmod-hooks: $(foreach k,$(KERNELS),build/kmod/$(k)/hooks/kvoff.ko)
