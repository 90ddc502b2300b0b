/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the programs are told of what becomes of matching packets, and which filter comes first. */
#pragma once

#include "bpf/filter_set.h"
#include "bpf/xcap_abi.h"

/* By slot of the filter; without filters the first is that of every packet. */
struct policies {
	struct xcap_policy list[XCAP_FILTERS_MAX];
	uint8_t ranks[XCAP_FILTERS_MAX];
	bool differ; /* a packet may be cut or left out */
};

/* usual: what filters sample that do not say it themselves, and everything without filters. A
 * filter that says 1 samples nothing. */
void policies_make(struct policies *ret, const struct xcap_policy *usual,
		   const struct filter_set *filters);
