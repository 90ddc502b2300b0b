/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "bpf/filter.h"

struct filter_program {
	uint16_t link_type;
	size_t count;
	struct filter_insn insns[];
};
