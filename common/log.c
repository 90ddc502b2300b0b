/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum log_level threshold = LOG_LEVEL_INFO;
static bool to_journald;

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

/* syslog(3) priorities, which journald reads from "<N>" at the start of a line. */
static const char level_priority[] = {
	[LOG_LEVEL_ERROR] = '3',
	[LOG_LEVEL_WARNING] = '4',
	[LOG_LEVEL_INFO] = '6',
	[LOG_LEVEL_DEBUG] = '7',
};

void log_init(enum log_level level)
{
	threshold = level;
	to_journald = getenv("JOURNAL_STREAM") != NULL;
}

void log_set_level(enum log_level level)
{
	__atomic_store_n(&threshold, level, __ATOMIC_RELAXED);
}

int log_level_parse(enum log_level *ret, const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* What peers and files say ends up in messages: keep it on one line and printable. */
static void escape(char *out, size_t size, const char *in)
{
	size_t n = 0;

	for (; *in && n + 5 < size; in++) {
		unsigned char c = (unsigned char)*in;

		if (c == '"' || c == '\\') {
			out[n++] = '\\';
			out[n++] = (char)c;
		} else if (c < 0x20 || c == 0x7f) {
			n += (size_t)snprintf(out + n, size - n, "\\x%02x", c);
		} else {
			out[n++] = (char)c;
		}
	}
	out[n] = '\0';
}

int log_line(enum log_level level, int err, const char *format, ...)
{
	char message[1024], quoted[2048], line[2304], reason[128] = "";
	struct timespec now;
	struct tm tm;
	va_list args;
	int n;

	if (level > __atomic_load_n(&threshold, __ATOMIC_RELAXED))
		return err;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	escape(quoted, sizeof(quoted), message);
	if (err < 0)
		snprintf(reason, sizeof(reason), ": %s", strerrordesc_np(-err) ?: "unknown error");
	if (to_journald) {
		n = snprintf(line, sizeof(line), "<%c>level=%s msg=\"%s%s\"\n",
			     level_priority[level], level_names[level], quoted, reason);
	} else {
		clock_gettime(CLOCK_REALTIME, &now);
		gmtime_r(&now.tv_sec, &tm);
		n = snprintf(line, sizeof(line),
			     "time=%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ level=%s msg=\"%s%s\"\n",
			     tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
			     tm.tm_sec, now.tv_nsec / 1000000, level_names[level], quoted, reason);
	}
	if (n > 0 && write(STDERR_FILENO, line, MIN((size_t)n, sizeof(line) - 1)) < 0)
		return err;
	return err;
}
