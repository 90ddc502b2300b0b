/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which interfaces -i asks for: names, patterns (fnmatch(3)), or any. Sans-I/O. */
#pragma once

#include "common/config.h"

enum selection_kind { SELECTION_NAME, SELECTION_PATTERN, SELECTION_ANY };

enum selection_kind selection_kind(const char *word);
/* The word that asks for an interface of this name: a plain one before a pattern before any; -1. */
int selection_find(const struct config_list *words, const char *name);
