/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lists of addresses that the options name. Control thread. */
#pragma once

#include "agent/options.h"
#include "bpf/prefixes.h"

/* *ret is the caller's to release. Errors of prefixes_load(). */
int lists_load(struct prefixes *ret, const struct agent_options *options,
	       char error[EXPLAIN_LEN]) must_check;
