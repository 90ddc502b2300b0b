/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Leveled lines on stderr, one event a line:
 *   time=2026-01-02T03:04:05.678Z level=error msg="cannot open spool /x: No space left on device"
 * With JOURNAL_STREAM set (systemd) a line begins with <3> to <7> instead of the time. Any thread.
 *
 * A message is lower case, "cannot VERB OBJECT", names the object, has no trailing period. err is
 * 0 or a negative errno, whose text is appended; it is returned, so that a leaf can
 * `return log_error(err, "cannot open %s", path)`.
 */
#pragma once

#include <stdbool.h>

#include "common/util.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Before the first thread starts. */
void log_init(enum log_level level);
void log_set_level(enum log_level level);
/* "error", "warning", "info" or "debug"; -EINVAL for any other. */
int log_level_parse(enum log_level *ret, const char *text);

int log_line(enum log_level level, int err, const char *format, ...) printf_like(3, 4);

#define log_error(err, ...) log_line(LOG_LEVEL_ERROR, err, __VA_ARGS__)
#define log_warning(err, ...) log_line(LOG_LEVEL_WARNING, err, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, 0, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, 0, __VA_ARGS__)
