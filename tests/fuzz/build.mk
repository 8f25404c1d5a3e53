# SPDX-License-Identifier: GPL-2.0-or-later
#
# Fuzz targets for what reads other people's bytes in user space, with the address and undefined-behaviour sanitizers. `make
# check` gives each a fixed number of inputs; `make fuzz` goes on for FUZZ_SECONDS each, with clang's libFuzzer where it is
# installed. Their objects are their own: the sanitizers are in nothing else.
fuzz-targets		:= conf csv trace json observe
fuzz-conf-src		:= daemon/conf.c daemon/conf_key.c
fuzz-csv-src		:= tools/simulate/csv.c tools/trace.c
fuzz-trace-src		:= tools/trace.c
fuzz-json-src		:= tools/json_read.c
fuzz-observe-src	:= daemon/observe.c daemon/census.c daemon/heat.c

# the compiler prints a path if it has the library, else the bare name
fuzz-can		:= $(filter-out libasan.so,$(shell $(CC) -print-file-name=libasan.so 2>/dev/null))
fuzz-cflags		:= -g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined

ifneq ($(fuzz-can),)
extra-all		+= $(addprefix $(B)/bin/fuzz-,$(fuzz-targets))
tests-native-extra	+= $(addprefix fuzz-,$(fuzz-targets))
endif

define fuzz-rule
$(B)/bin/fuzz-$(1): tests/fuzz/$(1).c $(fuzz-$(1)-src) $(B)/obj/tests/fuzz/driver.o $(wildcard daemon/*.h tools/*.h tests/fuzz/*.h) | $(B)/bin
	$$(CC) $(KVOFF_CFLAGS) $(fuzz-cflags) -fsanitize-coverage=trace-pc -no-pie -o $$@ $$(filter %.c %.o,$$^) -lm
$(B)/bin/libfuzzer-$(1): tests/fuzz/$(1).c $(fuzz-$(1)-src) $(wildcard daemon/*.h tools/*.h tests/fuzz/*.h) | $(B)/bin
	clang $(KVOFF_CFLAGS) $(fuzz-cflags) -fsanitize=fuzzer -o $$@ $$(filter %.c,$$^) -lm
endef
$(foreach t,$(fuzz-targets),$(eval $(call fuzz-rule,$(t))))
# linked without moving, see driver.c
$(B)/obj/tests/fuzz/driver.o: EXTRA_CFLAGS += -fno-pie

FUZZ_SECONDS		?= 60
.PHONY: fuzz
ifneq ($(shell command -v clang),)
fuzz: $(addprefix $(B)/bin/libfuzzer-,$(fuzz-targets))
	for t in $(fuzz-targets); do mkdir -p $(B)/fuzz/$$t && \
		$(B)/bin/libfuzzer-$$t -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=$(B)/fuzz/ $(B)/fuzz/$$t || exit 1; done
else
fuzz: $(addprefix $(B)/bin/fuzz-,$(fuzz-targets))
	for t in $(fuzz-targets); do end=$$(($$(date +%s) + $(FUZZ_SECONDS))); seed=$$(date +%s); \
		while [ $$(date +%s) -lt $$end ]; do \
			$(B)/bin/fuzz-$$t --seed $$seed || exit 1; seed=$$((seed + 1)); done; done
endif
