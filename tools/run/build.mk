# SPDX-License-Identifier: GPL-2.0-or-later

progs			+= kvoff-run
kvoff-run-src		:= tools/run/kvoff-run.c tools/size.c
kvoff-run-kvoff		:= y
kvoff-run-cflags	:= -DKVOFF_LIBDIR='"$(LIBDIR)"'

# what kvoff-run preloads
run-so			:= $(B)/lib/libkvoff-run.so
run-objs		:= $(patsubst %,$(B)/obj/tools/run/%.o,settings real book region malloc map fork report descriptor)
extra-all		+= $(run-so)

# the compiler knows what malloc() does, and must not think that it is doing it
$(run-objs): EXTRA_CFLAGS += -fPIC -fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free
$(run-so): $(run-objs) $(B)/lib/libkvoff.a tools/run/run.map | $(B)/lib
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -pthread -Wl,-soname,$(notdir $@) -Wl,--version-script=tools/run/run.map \
		-Wl,-z,defs -o $@ $(run-objs) $(B)/lib/libkvoff.a

.PHONY: install-run
install-run: $(B)/bin/kvoff-run $(run-so)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBDIR) $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(B)/bin/kvoff-run $(DESTDIR)$(PREFIX)/bin/
	install -m 755 $(run-so) $(DESTDIR)$(LIBDIR)/
	install -m 644 tools/run/kvoff-run.1 $(DESTDIR)$(PREFIX)/share/man/man1/
