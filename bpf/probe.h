/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether this process may load the programs that capture, asked before anything is made. */
#pragma once

#include "bpf/explain.h"
#include "common/util.h"

/* -EPERM, or -ENOSYS where the kernel has no BPF; error says what keeps it from that. */
int probe_programs(char error[EXPLAIN_LEN]) must_check;
