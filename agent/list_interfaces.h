/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xcapd -D: the interfaces of this network namespace, on standard output. */
#pragma once

#include <stdbool.h>

#include "common/util.h"

/* The exit code; a failure has been logged. */
int list_interfaces(bool as_json) must_check;
