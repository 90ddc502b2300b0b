/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON for people: an object is a section of aligned lines, an array of objects a table, with the
 * members of nested objects as columns NAME.MEMBER. A table wider than the terminal lies on its
 * side. No state.
 */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "common/util.h"

/* 0 or -ENOMEM. width: columns of the terminal. */
int json_text_print(FILE *out, const json_t *json, size_t width) must_check;
