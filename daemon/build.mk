# SPDX-License-Identifier: GPL-2.0-or-later
# kvoffd: the policy daemon. heat, census, decide and conf need no library but libm: tests and simulators use them by name.

progs		+= kvoffd
kvoffd-src	:= $(addprefix daemon/,act.c attr.c census.c conf.c conf_key.c cost.c decide.c discover_cxl.c discover_print.c \
	heat.c log.c loop.c main.c node.c notify.c observe.c poison.c poison_event.c probe.c region.c report.c rules.c tick.c \
	tier.c tier_plan.c walk.c zone.c) tools/json.c
kvoffd-pkg	:= libcxl libdaxctl liburing numa
kvoffd-ldlibs	:= -lm

.PHONY: install-daemon
install-daemon: $(B)/bin/kvoffd
	install -D -m 755 $< $(DESTDIR)$(PREFIX)/sbin/kvoffd
	[ -e $(DESTDIR)$(SYSCONFDIR)/kvoff/kvoffd.conf ] || \
		install -D -m 644 daemon/kvoffd.conf $(DESTDIR)$(SYSCONFDIR)/kvoff/kvoffd.conf
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(PREFIX)/share/man/man5
	sed 's|@sbindir@|$(PREFIX)/sbin|' daemon/kvoffd.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/kvoffd.service
	install -m 644 daemon/kvoffd.8 $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 daemon/kvoffd.conf.5 $(DESTDIR)$(PREFIX)/share/man/man5
