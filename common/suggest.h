/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "Did you mean": the name nearest to one that is not known. No state. */
#pragma once

#include "common/util.h"

/* '-' and '_' are the same. NULL: nothing comes near. */
const char *suggest(const char *typed, const char *const *names, size_t count);
