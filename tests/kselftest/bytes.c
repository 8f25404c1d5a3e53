// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Known bytes, and what sysfs says.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "rig.h"

static uint64_t word(uint64_t i, uint64_t salt)
{
	/* odd multipliers: neighbouring words and salts differ in every byte */
	return (i + 1) * 0x9e3779b97f4a7c15ULL ^ (salt + 1) * 0xd6e8feb86659fd93ULL;
}

void fill(uint8_t *at, uint64_t bytes, uint64_t salt)
{
	uint64_t *p = (uint64_t *)at, i;

	for (i = 0; i < bytes / sizeof(*p); i++)
		p[i] = word(i, salt);
}

uint64_t count_wrong(const uint8_t *at, uint64_t bytes, uint64_t salt)
{
	const volatile uint64_t *p = (const uint64_t *)at;
	uint64_t i, wrong = 0;

	for (i = 0; i < bytes / sizeof(*p); i++)
		wrong += p[i] != word(i, salt);
	return wrong;
}

uint64_t count_nonzero(const uint8_t *at, uint64_t bytes)
{
	const volatile uint64_t *p = (const uint64_t *)at;
	uint64_t i, wrong = 0;

	for (i = 0; i < bytes / sizeof(*p); i++)
		wrong += p[i] != 0;
	return wrong;
}

uint64_t sysfs_u64(const char *fmt, ...)
{
	char path[256], text[64] = "";
	uint64_t value;
	va_list ap;
	size_t len;
	char *end;
	FILE *f;

	len = snprintf(path, sizeof(path), "/sys/class/kvoff/");
	va_start(ap, fmt);
	vsnprintf(path + len, sizeof(path) - len, fmt, ap);
	va_end(ap);
	f = fopen(path, "r");
	if (!f)
		return UINT64_MAX;
	if (!fgets(text, sizeof(text), f))
		text[0] = 0;
	fclose(f);
	value = strtoull(text, &end, 10);
	return end == text ? UINT64_MAX : value;
}

static int write_file(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

int sysfs_write(const char *path, const char *value)
{
	char full[256];

	snprintf(full, sizeof(full), "/sys/class/kvoff/%s", path);
	return write_file(full, value);
}

int hook_set(const char *name, unsigned int ms)
{
	char path[256], value[16];

	snprintf(path, sizeof(path), "/sys/module/kvoff/parameters/hook_%s_ms", name);
	snprintf(value, sizeof(value), "%u", ms);
	return write_file(path, value);
}

uint64_t stat_now(const char *counter)
{
	return sysfs_u64("stats/%s", counter);
}

uint64_t tiers_sum(const char *figure)
{
	DIR *dir = opendir("/sys/class/kvoff/tiers");
	struct dirent *e;
	uint64_t sum = 0;

	if (!dir)
		return UINT64_MAX;
	while ((e = readdir(dir))) {
		uint64_t value = e->d_name[0] == '.' ? UINT64_MAX : sysfs_u64("tiers/%s/%s", e->d_name, figure);

		if (value != UINT64_MAX)
			sum += value;
	}
	closedir(dir);
	return sum;
}

bool wait_for_sum(const char *figure, uint64_t value)
{
	return comes_true(tiers_sum(figure) == value);
}

unsigned int rig_slow(void)
{
	const char *value = getenv("KVOFF_SLOW");
	int slow = value ? atoi(value) : 1;

	return slow > 1 ? slow : 1;
}

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

void nap(void)
{
	usleep(1000);
}
