# SPDX-License-Identifier: GPL-2.0-or-later

progs += kvoff-replay kvoffctl
# kvoff-replay --simulate: the policies and the model, and what it shares with kvoffd
simulate-src := $(addprefix tools/simulate/,answer.c arc.c belady.c command.c csv.c daemon.c full.c generate.c keep.c lfu.c \
	load.c lru.c machine.c model.c plain.c policies.c report.c s3fifo.c tinylfu.c) \
	$(addprefix daemon/,act.c census.c conf.c conf_key.c decide.c heat.c log.c observe.c region.c rules.c walk.c)
kvoff-replay-src := $(addprefix tools/,replay.c serve.c report.c index.c placement.c pages.c content.c wait.c trace.c tiers.c \
	sysfs.c json.c size.c) $(simulate-src)
kvoff-replay-kvoff := y
kvoff-replay-ldlibs := -lm

kvoffctl-src := $(addprefix tools/,ctl.c control.c daemon_report.c show.c watch.c tier_set.c drain.c drain_command.c \
	evict.c offline.c tenant_set.c tenants.c doctor.c doctor_module.c region_remove.c \
	region_named.c explain.c explain_words.c mapping.c \
	doctor_cxl.c doctor_tiers.c doctor_daemon.c tiers.c sysfs.c json.c json_read.c size.c)
kvoffctl-ldlibs := -lm

.PHONY: tools install-tools
# what is for people, on any machine: needs a compiler only
tools: $(B)/bin/kvoffctl $(B)/bin/kvoff-replay
install-tools: $(B)/bin/kvoffctl $(B)/bin/kvoff-replay
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 \
		$(DESTDIR)$(PREFIX)/share/man/man8
	install -m 755 $(B)/bin/kvoffctl $(DESTDIR)$(PREFIX)/sbin/
	install -m 755 $(B)/bin/kvoff-replay $(DESTDIR)$(PREFIX)/bin/
	install -m 644 tools/kvoff-replay.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 tools/kvoffctl.8 $(DESTDIR)$(PREFIX)/share/man/man8/
