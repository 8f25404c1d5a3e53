# SPDX-License-Identifier: GPL-2.0-or-later
#
# Suites that run against the module in the emulated machine, with the kernel's own test harness. They are built in
# the Debian 13 root only, which has the harness and liburing; elsewhere they are skipped.
kst-harness	:= $(wildcard /usr/include/kselftest/kselftest_harness.h)
kst-suites	:= name-stays no-torn-bytes write-races refused-moves twins seal named named-storms named-tool \
		   explain-tool framed framed-moves windows acquire commit gone bad-input bad-mappings sharing bad-tiers \
		   tenants tenant-quota spies nobody storms batches sampling sysfs tracepoints drain poison \
		   poison-free poison-framed movable twin-cost
# these make allocations fail, by nth.c
kst-nth		:= fail-nth fail-nth-framed fail-nth-named fail-nth-admin
kst-suites	+= $(kst-nth)

# what only some of them need
drain-more	:= drains.c
explain-tool-more := tool.c
named-tool-more	:= tool.c
poison-more	:= poison_rig.c
poison-free-more := poison_rig.c
poison-framed-more := poison_rig.c
$(foreach s,$(kst-nth),$(eval $(s)-more := nth.c))

define kst-suite
kst-$(1)-src	:= tests/kselftest/$(subst -,_,$(1)).c \
		   $(addprefix tests/kselftest/,rig.c bytes.c pin.c framed_rig.c $($(1)-more))
kst-$(1)-pkg	:= liburing $(if $(kst-harness),,kselftest)
endef
$(foreach s,$(kst-suites),$(eval $(call kst-suite,$(s))))

$(B)/obj/tests/kselftest/%.o: KVOFF_CFLAGS += -isystem /usr/include/kselftest -Wno-missing-prototypes

progs		+= $(addprefix kst-,$(kst-suites))
tests-guest	+= $(addprefix kst-,$(kst-suites))
