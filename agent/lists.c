/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/lists.h"

#include <errno.h>

/* As no list it would let everything through: not what an emptied file is meant to do. */
static bool allows_nobody(const struct prefixes *lists, const struct agent_options *options)
{
	struct xcap_list_counts counts;

	prefixes_count(lists, &counts);
	return options->allow.count && !counts.allow_ipv4 && !counts.allow_ipv6;
}

int lists_load(struct prefixes *ret, const struct agent_options *options, char error[EXPLAIN_LEN])
{
	struct prefixes_words allow = { options->allow.items, options->allow.count };
	struct prefixes_words deny = { options->deny.items, options->deny.count };
	int err = prefixes_load(ret, &allow, &deny, error);

	if (err || !allows_nobody(ret, options))
		return err;
	prefixes_release(ret);
	return explain_only(error, -EBADMSG,
			    "--allow: there is no address in %.200s: everything would be captured "
			    "(leave out --allow if it should)",
			    options->allow.items[0]);
}
