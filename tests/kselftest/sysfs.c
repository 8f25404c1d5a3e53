// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What kmod/sysfs-class-kvoff documents is what there is: each attribute exists, has the stated mode and a sane
 * value, and none exists that is not documented. The text itself is the list.
 */
#include <kselftest_harness.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include "rig.h"

#define ABI	"kmod/sysfs-class-kvoff"
#define CLASS	"/sys/class/kvoff"
#define BS	(64 * KIB)
#define MAX	128

/**
 * struct attr - what is documented
 * @pattern:	path below CLASS, '*' for a name in brackets
 * @mode:	0444, 0644 or 0400
 */
struct attr {
	char pattern[128];
	mode_t mode;
};

FIXTURE(sysfs)
{
	struct rig rig;
	struct attr attrs[MAX];
	unsigned int nr;
};

/* "<size>kB" becomes "*kB". */
static void set_pattern(struct attr *a, const char *path)
{
	size_t n = 0;

	for (; *path && n < sizeof(a->pattern) - 1; path++) {
		if (*path == '<') {
			a->pattern[n++] = '*';
			path += strcspn(path, ">");
		} else {
			a->pattern[n++] = *path;
		}
	}
	a->pattern[n] = 0;
}

/*
 * Words of a line that name attributes: "moves, moved_bytes               blocks and bytes moved". Stops at the
 * first that does not.
 */
static void add_names(struct attr *attrs, unsigned int *nr, const char *dir, mode_t mode, const char *line)
{
	for (;;) {
		size_t len = strspn(line, "abcdefghijklmnopqrstuvwxyz_0123456789");

		if (!len || *nr == MAX)
			return;
		snprintf(attrs[*nr].pattern, sizeof(attrs[*nr].pattern), "%s%.*s", dir, (int)len, line);
		attrs[(*nr)++].mode = mode;
		line += len;
		if (*line != ',')
			return;
		line += strspn(line, ", \n\t");
	}
}

/*
 * Blocks of "What:" lines and a description that begins with "(RO, 0444)". Two of them list names in the
 * description: stats/<counter>, a line of names each, and regions/<id>/, after a colon.
 */
static unsigned int read_abi(struct attr *attrs)
{
	/* attrs[first] on wait for their description's mode */
	unsigned int nr = 0, first = 0, mode = 0;
	char line[512], list[1024] = "";
	enum { NONE, COUNTERS, LIST } names = NONE;
	FILE *f = fopen(ABI, "r");

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f) && nr < MAX) {
		char *at = strstr(line, CLASS "/");

		if (!strncmp(line, "What:", 5) && at) {
			at[strcspn(at, "\n")] = 0;
			set_pattern(&attrs[nr++], at + strlen(CLASS "/"));
			names = NONE;
		} else if (sscanf(line, "Description: (%*[A-Z], %o)", &mode) == 1) {
			for (; first < nr; first++)
				attrs[first].mode = mode;
			if (!strcmp(attrs[nr - 1].pattern, "stats/*")) {
				names = COUNTERS;
				first = --nr;
			} else if (!strcmp(attrs[nr - 1].pattern, "regions/*/")) {
				names = LIST;
				first = --nr;
				at = strchr(line + 12, ':');
				snprintf(list, sizeof(list), "%s", at ? at + 1 : "");
			}
		} else if (names == COUNTERS && line[0] == '\t' && line[1] == '\t') {
			add_names(attrs, &nr, "stats/", mode, line + 2);
			first = nr;
		} else if (names == LIST) {
			strncat(list, line, sizeof(list) - strlen(list) - 1);
		}
	}
	fclose(f);
	add_names(attrs, &nr, "regions/*/", mode, list + strspn(list, " \t\n"));
	return nr;
}

FIXTURE_SETUP(sysfs)
{
	struct region *r;

	if (access(ABI, R_OK))
		SKIP(return, "run this at the top of the source: it reads " ABI);
	ASSERT_EQ(0, rig_up(&self->rig, BS, 32 * BS));
	r = rig_region(&self->rig, BS, 4);
	ASSERT_NE(NULL, r);
	fill(r->data, 2 * BS, 1);
	self->nr = read_abi(self->attrs);
	/* the text has been understood */
	ASSERT_LT(40, self->nr);
	ASSERT_GT(MAX, self->nr);
}

FIXTURE_TEARDOWN(sysfs)
{
	const char *wrong = rig_down(&self->rig);

	EXPECT_EQ(NULL, wrong) TH_LOG("%s", wrong);
}

/**
 * struct walk - a look at every file
 * @test:	to complain to
 * @self:	whose attributes are documented
 * @seen:	files found for each
 */
struct walk {
	struct __test_metadata *test;
	FIXTURE_DATA(sysfs) *self;
	unsigned int seen[MAX];
};

static bool is_sane(const char *name, const char *value)
{
	size_t len = strlen(value);

	/* one value a file, one line */
	if (!len || value[len - 1] != '\n' || strchr(value, '\n') != value + len - 1)
		return false;
	if (!strcmp(name, "label") || !strcmp(name, "name") || !strcmp(name, "tenant") || !strcmp(name, "class"))
		return true;
	if (!strcmp(name, "state"))
		return !strcmp(value, "ready\n") || !strcmp(value, "filling\n") || !strcmp(value, "short\n");
	/* -1: a region that does not end by itself */
	if (!strcmp(name, "ends_in_seconds") && !strcmp(value, "-1\n"))
		return true;
	return strspn(value, "0123456789") == len - 1;
}

/* A file that nobody may write refuses; one that may be written takes its own value. */
static bool writes_right(const char *path, mode_t mode, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return !(mode & 0200);
	n = write(fd, value, strlen(value));
	close(fd);
	return mode & 0200 ? n > 0 : n < 0;
}

static void look_at(struct walk *w, const char *path, const char *name)
{
	struct __test_metadata *_metadata = w->test;
	const struct attr *a = w->self->attrs, *end = a + w->self->nr;
	char value[256] = "";
	struct stat st = { 0 };
	int fd;

	while (a < end && fnmatch(a->pattern, path + strlen(CLASS "/"), FNM_PATHNAME))
		a++;
	EXPECT_NE(end, a) TH_LOG("%s is not documented", path);
	if (a == end)
		return;
	w->seen[a - w->self->attrs]++;
	stat(path, &st);
	EXPECT_EQ(a->mode, st.st_mode & 07777) TH_LOG("%s", path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	EXPECT_LT(0, read(fd, value, sizeof(value) - 1)) TH_LOG("%s", path);
	close(fd);
	EXPECT_TRUE(is_sane(name, value)) TH_LOG("%s holds \"%s\"", path, value);
	EXPECT_TRUE(writes_right(path, a->mode, value)) TH_LOG("%s: writing does not do what its mode says", path);
}

/* Files that the kernel gives to every device. */
static bool is_generic(const char *name)
{
	static const char * const names[] = { "uevent", "dev", "power", "subsystem", "device", "waiting_for_supplier" };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static void walk(struct walk *w, const char *dir, unsigned int depth)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char path[1024];
		struct stat st;

		if (e->d_name[0] == '.' || is_generic(e->d_name))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		/* the class's own entries are links to devices */
		if (depth ? lstat(path, &st) : stat(path, &st))
			continue;
		if (S_ISDIR(st.st_mode))
			walk(w, path, depth + 1);
		else if (S_ISREG(st.st_mode))
			look_at(w, path, e->d_name);
	}
	if (d)
		closedir(d);
}

TEST_F(sysfs, is_as_documented)
{
	struct walk w = { .test = _metadata, .self = self };
	unsigned int i;

	walk(&w, CLASS, 0);
	for (i = 0; i < self->nr; i++)
		EXPECT_LT(0, w.seen[i]) TH_LOG("%s is documented but not there", self->attrs[i].pattern);
}

/* Figures add up while blocks are used, moved and given back. */
TEST_F(sysfs, figures)
{
	struct region *r = &self->rig.regions[0];
	uint64_t moves = stat_now("moves"), bytes = stat_now("moved_bytes"), touches = stat_now("first_touches");
	char id[16];

	snprintf(id, sizeof(id), "%u", r->id);
	EXPECT_EQ(2 * BS, sysfs_u64("tiers/dram/used_bytes"));
	EXPECT_EQ(0, sysfs_u64("tiers/cxl0/used_bytes"));
	EXPECT_EQ(32 * BS, sysfs_u64("tiers/dram/pools/64kB/filled_bytes"));
	/* the tier's thread may have one in its hands, to zero it */
	EXPECT_TRUE(comes_true(sysfs_u64("tiers/dram/free_bytes") == 30 * BS));
	EXPECT_EQ(2 * BS, sysfs_u64("regions/%s/used_bytes", id));
	EXPECT_EQ(4 * BS, sysfs_u64("regions/%s/committed_bytes", id));
	EXPECT_EQ(4 * BS, sysfs_u64("regions/%s/length_bytes", id));
	EXPECT_EQ(BS, sysfs_u64("regions/%s/block_bytes", id));
	EXPECT_EQ(1, sysfs_u64("regions/%s/attached", id));
	EXPECT_EQ(getpid(), sysfs_u64("regions/%s/pid", id));
	EXPECT_EQ(4 * BS, sysfs_u64("default/committed_bytes"));
	EXPECT_EQ(2 * BS, sysfs_u64("default/used_bytes"));
	EXPECT_EQ(KVOFF_ABI_VERSION, sysfs_u64("control/abi_version"));
	r->data[3 * BS] = 1;
	EXPECT_EQ(touches + 1, stat_now("first_touches"));
	ASSERT_EQ(0, move_one(&self->rig, r, 3, self->rig.far, 0));
	EXPECT_EQ(moves + 1, stat_now("moves"));
	EXPECT_EQ(bytes + BS, stat_now("moved_bytes"));
	EXPECT_EQ(2 * BS, sysfs_u64("tiers/dram/used_bytes"));
	EXPECT_EQ(BS, sysfs_u64("tiers/cxl0/used_bytes"));
	EXPECT_EQ(BS, sysfs_u64("tiers/cxl0/pools/64kB/used_bytes"));
	EXPECT_EQ(2 * BS, sysfs_u64("default/tiers/dram/used_bytes"));
	EXPECT_EQ(BS, sysfs_u64("default/tiers/cxl0/used_bytes"));
	region_close(r);
	EXPECT_EQ(UINT64_MAX, sysfs_u64("regions/%s/used_bytes", id));
	EXPECT_EQ(0, tiers_sum("used_bytes"));
	EXPECT_TRUE(wait_for_sum("free_bytes", 64 * BS));
}

TEST_HARNESS_MAIN
