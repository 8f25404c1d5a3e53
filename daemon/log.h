/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Structured log lines (logfmt) on stderr: level=info msg="tier ready" tier=cxl0 node=1. Under systemd each line begins
 * with its priority, so that the journal knows it.
 */
#ifndef KVOFFD_LOG_H
#define KVOFFD_LOG_H

#include <stdarg.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/** log_set_level - lines above this level are not written */
void log_set_level(enum log_level level);

/**
 * log_line - write one line
 * @level:	how important
 * @msg:	what happened, for people; quoted as needed
 * @fields:	a printf() format that gives "key=value ..."; NULL for none. Values with blanks are quoted by the caller
 */
void log_line(enum log_level level, const char *msg, const char *fields, ...) __attribute__((format(printf, 3, 4)));

#define log_error(msg, ...)	log_line(LOG_LEVEL_ERROR, msg, __VA_ARGS__)
#define log_warn(msg, ...)	log_line(LOG_LEVEL_WARN, msg, __VA_ARGS__)
#define log_info(msg, ...)	log_line(LOG_LEVEL_INFO, msg, __VA_ARGS__)
#define log_debug(msg, ...)	log_line(LOG_LEVEL_DEBUG, msg, __VA_ARGS__)

#endif /* KVOFFD_LOG_H */
