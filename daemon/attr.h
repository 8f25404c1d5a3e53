/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Attributes of sysfs and procfs: files of one short value.
 */
#ifndef KVOFFD_ATTR_H
#define KVOFFD_ATTR_H

#include <stddef.h>
#include <stdint.h>

/**
 * attr_text - read a value as text, without its newline
 * @value:	out: the text, "" on an error
 * @len:	room in @value
 * @path:	a printf() format of the path
 *
 * Returns its length or a negative errno.
 */
int attr_text(char *value, size_t len, const char *path, ...) __attribute__((format(printf, 3, 4)));

/** attr_number - read a decimal number; @value stays as it is on an error. Returns 0 or a negative errno */
int attr_number(uint64_t *value, const char *path, ...) __attribute__((format(printf, 2, 3)));

#endif /* KVOFFD_ATTR_H */
