/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/explain.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int explain(char error[EXPLAIN_LEN], int err, const char *format, ...)
{
	va_list args;
	size_t len;

	va_start(args, format);
	vsnprintf(error, EXPLAIN_LEN, format, args);
	va_end(args);
	len = strlen(error);
	snprintf(error + len, EXPLAIN_LEN - len, ": %s", strerror(-err));
	return err;
}

int explain_only(char error[EXPLAIN_LEN], int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, EXPLAIN_LEN, format, args);
	va_end(args);
	return err;
}
