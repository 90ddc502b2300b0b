/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why something failed, in words, for a caller that logs it. */
#pragma once

#include "common/util.h"

#define EXPLAIN_LEN 512

/*
 * "what, formatted: text of errno" into error; returns err, a negative errno. explain_only() leaves
 * the errno's text out, where the words say it better.
 */
int explain(char error[EXPLAIN_LEN], int err, const char *format, ...) printf_like(3, 4);
int explain_only(char error[EXPLAIN_LEN], int err, const char *format, ...) printf_like(3, 4);
