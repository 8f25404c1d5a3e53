// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Is the module there, does it fit, and may we use it?
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tools/doctor.h"
#include "tools/sysfs.h"

#define MODULES		"/lib/modules"

static const char *const places[] = { "updates", "updates/dkms", "extra", "kernel/drivers/misc" };
static const char *const suffixes[] = { "", ".xz", ".zst", ".gz" };
#define NR_PLACES	(sizeof(places) / sizeof(places[0]))
#define NR_SUFFIXES	(sizeof(suffixes) / sizeof(suffixes[0]))

/* The release we run, as a test may tell it. */
static void running(char *release, size_t len)
{
	struct utsname u;

	if (!sys_read(release, len, "/proc/sys/kernel/osrelease") && *release)
		return;
	uname(&u);
	snprintf(release, len, "%s", u.release);
}

/* Where kvoff is for this kernel, below the root in use; false if nowhere. */
static bool module_file(const char *release, char *path, size_t len)
{
	size_t i, k;

	for (i = 0; i < NR_PLACES; i++)
		for (k = 0; k < NR_SUFFIXES; k++) {
			snprintf(path, len, MODULES "/%s/%s/kvoff.ko%s", release, places[i], suffixes[k]);
			if (sys_exists("%s", path))
				return true;
		}
	return false;
}

/* The kernel a module file was built for; false if it does not say so in clear (a compressed one). */
static bool built_for(const char *path, char *release, size_t len)
{
	static const char tag[] = "vermagic=";
	struct sys_path p = sys_path("%s", path);
	int fd = open(p.s, O_RDONLY | O_CLOEXEC);
	const char *map, *at;
	struct stat st;
	size_t n;

	if (fd < 0)
		return false;
	if (fstat(fd, &st) || st.st_size <= 0) {
		close(fd);
		return false;
	}
	map = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return false;
	at = memmem(map, st.st_size, tag, sizeof(tag) - 1);
	if (at) {
		at += sizeof(tag) - 1;
		for (n = 0; at + n < map + st.st_size && at[n] > ' ' && n < len - 1; n++)
			release[n] = at[n];
		release[n] = 0;
	}
	munmap((void *)map, st.st_size);
	return at;
}

struct others {
	const char *release;
	char list[256];
};

static int other_kernel(const char *name, void *arg)
{
	struct others *o = arg;
	size_t used = strlen(o->list);
	char path[SYS_PATH_MAX];

	if (strcmp(name, o->release) && module_file(name, path, sizeof(path)))
		snprintf(o->list + used, sizeof(o->list) - used, "%s%s", used ? ", " : "", name);
	return 0;
}

static void not_loaded(struct doctor *d)
{
	char release[128], path[SYS_PATH_MAX], other[128];
	struct others o = { .release = release };

	running(release, sizeof(release));
	if (!module_file(release, path, sizeof(path))) {
		sys_each(MODULES, other_kernel, &o);
		if (*o.list)
			mend(found(d, "module-other-kernel", SEVERITY_ERROR,
				   "the module is installed for %s, but the kernel that runs is %s", o.list, release),
			     "make install-kmod KERNELS=%s && modprobe kvoff", release);
		else
			mend(found(d, "module-missing", SEVERITY_ERROR, "the module is not installed (no kvoff.ko in "
				   MODULES "/%s)", release),
			     "make install-kmod KERNELS=%s && modprobe kvoff", release);
		return;
	}
	if (built_for(path, other, sizeof(other)) && strcmp(other, release)) {
		mend(found(d, "module-other-kernel", SEVERITY_ERROR,
			   "%s was built for %s, but the kernel that runs is %s", path, other, release),
		     "make install-kmod KERNELS=%s && modprobe kvoff", release);
		return;
	}
	mend(found(d, "module-not-loaded", SEVERITY_ERROR, "the module is installed for this kernel but not loaded"),
	     "modprobe kvoff");
}

struct nodes {
	unsigned int tenants;
	char refused[KVOFF_NAME_LEN];
};

static int look_at_node(const char *name, void *arg)
{
	struct sys_path p = sys_path("/dev/kvoff/%s", name);
	struct nodes *n = arg;

	if (!strcmp(name, "control"))
		return 0;
	n->tenants++;
	if (!*n->refused && access(p.s, R_OK | W_OK) && strlen(name) < sizeof(n->refused))
		strcpy(n->refused, name);
	return 0;
}

void doctor_module(struct doctor *d)
{
	struct nodes n = {0};
	uint64_t abi;

	if (!d->loaded) {
		not_loaded(d);
		return;
	}
	if (!sys_read_u64(&abi, SYS_KVOFF "/control/abi_version") && abi < KVOFF_ABI_VERSION)
		mend(found(d, "module-older", SEVERITY_WARNING,
			   "the module's interface has version %llu, these tools know %d: what is newer will be refused",
			   (unsigned long long)abi, KVOFF_ABI_VERSION),
		     "modprobe -r kvoff && modprobe kvoff");
	sys_each("/dev/kvoff", look_at_node, &n);
	if (!sys_exists("/dev/kvoff/control") || !n.tenants)
		mend(found(d, "device-missing", SEVERITY_ERROR, "the module is loaded but /dev/kvoff/%s is not there",
			   sys_exists("/dev/kvoff/control") ? "default" : "control"),
		     "mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev; udevadm trigger --subsystem-match=kvoff");
	if (*n.refused)
		mend(found(d, "no-permission", SEVERITY_WARNING,
			   "this user may not use tenant %s: no permission on /dev/kvoff/%s", n.refused, n.refused),
		     "setfacl -m u:%u:rw /dev/kvoff/%s", getuid(), n.refused);
}
