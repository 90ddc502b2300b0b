/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xcapd -d: the filter as libpcap compiles it, on standard output, as `tcpdump -d` prints it. */
#pragma once

#include "agent/options.h"
#include "common/util.h"

/* For the interface that is asked for, or for Ethernet. The exit code; a failure has been logged.
 */
int dump_filter(const struct agent_options *options) must_check;
