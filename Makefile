# SPDX-License-Identifier: GPL-2.0-or-later
#
# kvoff: `make demo` and `make check` do everything on a bare machine; `make help` lists the rest.
#
# Programs go to $(B)/bin, libraries to $(B)/lib. B is build/ for this machine and build/trixie/ inside the Debian 13
# root that tests/vm/prepare makes. A folder's build.mk names what it builds:
#
#	progs += NAME			a program: NAME-src its sources, NAME-pkg its pkg-config packages (the program is
#					skipped with a message where one is missing), NAME-ldlibs, NAME-cflags
#	tests-native += NAME		a program (also in progs) that `make check` runs on the machine itself (KTAP or exit status)
#	tests-guest += NAME		a program (also in progs) that `make check` runs in the emulated machine
#
# A program whose sources need libkvoff says NAME-kvoff := y and is linked with the static library.

B		?= build
CC		?= cc
PREFIX		?= /usr/local
DESTDIR		?=
SYSCONFDIR	?= /etc
LIBDIR		?= $(PREFIX)/lib
VERSION		:= 0.1.0

CFLAGS		?= -O2 -g
WARN		:= -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wno-unused-parameter
KVOFF_CFLAGS	:= -std=gnu11 -D_GNU_SOURCE -DKVOFF_VERSION='"$(VERSION)"' $(WARN) -fvisibility=hidden -I. -Ikmod/uapi -Ilibkvoff
PKG_CONFIG	?= pkg-config

progs		:=
tests-native	:=
tests-guest	:=
tests-native-extra :=

.DEFAULT_GOAL	:= all
-include $(sort $(wildcard */build.mk tools/*/build.mk tests/*/build.mk))

# have-pkg PROG: its packages are all there
have-pkg	= $(if $($(1)-pkg),$(shell $(PKG_CONFIG) --exists $($(1)-pkg) 2>/dev/null && echo y),y)
built		:= $(foreach p,$(progs),$(if $(call have-pkg,$(p)),$(p)))
skipped		:= $(filter-out $(built),$(progs))

objs		= $(patsubst %.c,$(B)/obj/%.o,$(1))

define prog-rule
$(B)/bin/$(1): $(call objs,$($(1)-src)) $(if $($(1)-kvoff),$(B)/lib/libkvoff.a) | $(B)/bin
	$$(CC) $$(CFLAGS) $$(LDFLAGS) -pthread -o $$@ $$(filter %.o %.a,$$^) $$($(1)-ldlibs) $(if $($(1)-pkg),$$(shell $$(PKG_CONFIG) --libs $($(1)-pkg)))
$(call objs,$($(1)-src)): EXTRA_CFLAGS += $($(1)-cflags) $(if $($(1)-pkg),$(shell $(PKG_CONFIG) --cflags $($(1)-pkg) 2>/dev/null))
endef
$(foreach p,$(built),$(eval $(call prog-rule,$(p))))

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(KVOFF_CFLAGS) $(EXTRA_CFLAGS) -pthread -MMD -MP -c -o $@ $<
$(B)/bin $(B)/lib:
	@mkdir -p $@

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)

skip-note	= not built here for want of libraries: $(skipped). make vm-build builds them in the Debian 13 root

.PHONY: all progs demo demo-llama bench bench-placement check check-debug check-mutants vm vm-build install install-kmod clean help list-tests-native list-tests-guest placement
all: progs kmod
	$(if $(skipped),@echo "$(skip-note)")
	$(if $(wildcard /lib/modules/$(firstword $(KERNELS))/build),,@echo "no headers for kernel $(KERNELS): no module built")
progs: $(addprefix $(B)/bin/,$(built)) $(extra-all)

# What the two commands need is set up by them.
demo:
	tests/demo/demo
demo-llama:
	tests/llama/demo $(addprefix -k ,$(KERNEL))
# make bench BENCH=moves KERNEL=newest runs one benchmark, on the newest kernel
bench:
	tests/bench/run $(addprefix -k ,$(KERNEL)) $(BENCH)
# make check KERNEL=6.12 SUITE=name-stays runs one kernel and suite; SEED= is the random attacks'
check:
	tests/check $(addprefix -k ,$(KERNEL)) $(addprefix -s ,$(SUITE)) $(addprefix -S ,$(SEED))

# the module's tests on a kernel that looks for bugs (tests/debug)
check-debug:
	tests/check -s debug
# the tests themselves: they must fail when the module is broken. MUTANT="NAME..." runs single ones (tests/mutants)
check-mutants:
	tests/mutants/run $(addprefix -k ,$(KERNEL)) $(addprefix -j ,$(JOBS)) $(MUTANT)

# the same trace on kvoff and on what the kernel has, in the emulated machine; TRY="NAME..." (tests/placement-guest)
bench-placement:
	tests/placement-guest/run $(addprefix -k ,$(KERNEL)) $(TRY)

# placement policies, simulated on this machine (tests/placement)
placement: $(B)/bin/kvoff-replay
	tests/placement/simulate $(B)

# A shell in the emulated machine, with the module loaded and the programs in the path.
vm: vm-build
	tests/shell $(addprefix -k ,$(KERNEL)) $(addprefix -m ,$(MACHINE))
vm-build:
	tests/vm/inroot $(MAKE) B=build/trixie KERNELS="$$(tests/vm/run --list-kernels | cut -d' ' -f2 | uniq | xargs)" progs kmod

install: install-libkvoff $(if $(filter kvoffd,$(built)),install-daemon) install-tools install-run install-kmod
	$(if $(DESTDIR),,-ldconfig)
install-kmod: kmod
	$(if $(wildcard build/kmod/$(firstword $(KERNELS))/kvoff.ko),install -D -m 644 build/kmod/$(firstword $(KERNELS))/kvoff.ko \
		$(DESTDIR)/lib/modules/$(firstword $(KERNELS))/updates/kvoff.ko)
	install -D -m 644 kmod/uapi/kvoff.h $(DESTDIR)$(PREFIX)/include/kvoff.h
	install -D -m 644 kmod/60-kvoff.rules $(DESTDIR)$(PREFIX)/lib/udev/rules.d/60-kvoff.rules
	$(if $(DESTDIR),,-depmod $(firstword $(KERNELS)))

list-tests-native:
	@echo $(filter $(tests-native),$(built)) $(tests-native-extra)
list-tests-guest:
	@echo $(filter $(tests-guest),$(built))

clean:
	rm -rf $(B)

help:
	@echo "make demo      boot an emulated CXL machine and replay a trace of an inference service in it"
	@echo "make demo-llama  llama.cpp's server in that machine, its idle sessions in CXL memory; KERNEL=6.12|newest"
	@echo "make bench     what everything costs, beside what people would use instead; BENCH=NAME, KERNEL=6.12|newest"
	@echo "make check     all tests; KERNEL=6.12|newest and SUITE=NAME select, SEED=N is for the random ones"
	@echo "make soak      a million random operations (about an hour); OPS=, SEED=, KERNEL=, HOOKS=y"
	@echo "make check-debug    the module's tests on a kernel with checkers, which is built once (20 to 60 minutes)"
	@echo "make check-mutants  whether the tests see faults: the module is broken on purpose; MUTANT=NAME, JOBS=guests"
	@echo "make placement what placement policies would be worth, simulated: tables, build/placement/simulate.json, plots"
	@echo "make bench-placement  kvoff beside NUMA balancing, DAMON, interleaving and first touch (half an hour); TRY=NAME"
	@echo "make tools     kvoff-replay and kvoffctl alone, into build/bin"
	@echo "make check-torch    the Python module with torch, which is fetched once (900 MB)"
	@echo "make           what this machine can build; make install installs it (PREFIX, DESTDIR)"
	@echo "make fuzz      parsers against inputs of chance; FUZZ_SECONDS= each"
	@echo "make vm        a shell in the emulated machine; KERNEL=, MACHINE=cxl|cxl-switch|numa"
	@echo "make vm-build  everything, inside the Debian 13 root"
	@echo "make clean     removes build/; the root stays in the cache (tests/vm/README.md)"
