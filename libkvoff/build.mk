# SPDX-License-Identifier: GPL-2.0-or-later

libkvoff-src	:= $(addprefix libkvoff/,acquire.c adopt.c bitmap.c blocks.c commit.c device.c error.c fallback.c \
		   frames.c heap.c reap.c region.c seal.c space.c stats.c window.c)
libkvoff-objs	:= $(patsubst %.c,$(B)/obj/%.o,$(libkvoff-src))
# what programs are linked with; changes when a program built with the old one could not run with the new one
libkvoff-soname	:= libkvoff.so.0
libkvoff-so	:= $(B)/lib/libkvoff.so.$(VERSION)

extra-all	+= $(B)/lib/libkvoff.a $(B)/lib/libkvoff.so

$(libkvoff-objs): EXTRA_CFLAGS += -fPIC

$(B)/lib/libkvoff.a: $(libkvoff-objs) | $(B)/lib
	@rm -f $@
	$(AR) rcs $@ $^

$(libkvoff-so): $(libkvoff-objs) libkvoff/libkvoff.map | $(B)/lib
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -pthread -Wl,-soname,$(libkvoff-soname) \
		-Wl,--version-script=libkvoff/libkvoff.map -Wl,-z,defs -o $@ $(libkvoff-objs)

$(B)/lib/libkvoff.so: $(libkvoff-so)
	ln -sf $(notdir $<) $(B)/lib/$(libkvoff-soname)
	ln -sf $(libkvoff-soname) $@

progs			+= kvoff-example
kvoff-example-src	:= libkvoff/example.c
kvoff-example-kvoff	:= y

# programs to copy from
progs			+= kvoff-example-pool kvoff-example-mapped
kvoff-example-pool-src	:= libkvoff/examples/pool.c
kvoff-example-pool-kvoff := y
kvoff-example-mapped-src := libkvoff/examples/mapped.c
kvoff-example-mapped-kvoff := y

# where Python looks below PREFIX: a directory of its own list if one is there; nowhere, if there is no Python
PYTHONDIR		?= $(shell python3 -c 'import site; prefix = "$(PREFIX)/lib"; \
				print(*([d for d in site.getsitepackages() if d.startswith(prefix + "/python")] or \
				[prefix + "/python3/dist-packages"])[:1])' 2>/dev/null)
kvoff-examples		:= libkvoff/example.c libkvoff/examples/pool.c libkvoff/examples/mapped.c libkvoff/python/example.py

.PHONY: install-libkvoff
install-libkvoff: $(B)/lib/libkvoff.a $(B)/lib/libkvoff.so
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(PREFIX)/include
	install -d $(DESTDIR)$(PREFIX)/share/man/man3 $(DESTDIR)$(PREFIX)/share/man/man7
	install -m 644 $(B)/lib/libkvoff.a $(DESTDIR)$(LIBDIR)
	install -m 755 $(libkvoff-so) $(DESTDIR)$(LIBDIR)
	ln -sf $(notdir $(libkvoff-so)) $(DESTDIR)$(LIBDIR)/$(libkvoff-soname)
	ln -sf $(libkvoff-soname) $(DESTDIR)$(LIBDIR)/libkvoff.so
	install -m 644 libkvoff/libkvoff.h $(DESTDIR)$(PREFIX)/include
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@VERSION@|$(VERSION)|' \
		libkvoff/libkvoff.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/libkvoff.pc
	install -m 644 libkvoff/man/*.3 $(DESTDIR)$(PREFIX)/share/man/man3
	install -m 644 libkvoff/man/*.7 $(DESTDIR)$(PREFIX)/share/man/man7
	install -d $(DESTDIR)$(PREFIX)/share/doc/libkvoff/examples
	install -m 644 $(kvoff-examples) $(DESTDIR)$(PREFIX)/share/doc/libkvoff/examples
	$(if $(PYTHONDIR),install -d $(DESTDIR)$(PYTHONDIR)/kvoff && \
		install -m 644 libkvoff/python/kvoff/*.py libkvoff/python/kvoff/py.typed $(DESTDIR)$(PYTHONDIR)/kvoff, \
		@echo "no python3: its module is not installed (PYTHONDIR=, or pip install libkvoff/python)")
