/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/lists.h"

int lists_load(struct prefixes *ret, const struct agent_options *options, char error[EXPLAIN_LEN])
{
	struct prefixes_words allow = { options->allow.items, options->allow.count };
	struct prefixes_words deny = { options->deny.items, options->deny.count };

	return prefixes_load(ret, &allow, &deny, error);
}
