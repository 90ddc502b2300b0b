/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/policies.h"

static bool does_something(const struct xcap_policy *policy)
{
	return policy->keep != XCAP_KEEP_ALL || policy->sample > 1 || policy->sample_flow > 1;
}

void policies_make(struct policies *ret, const struct xcap_policy *usual,
		   const struct filter_set *filters)
{
	struct policies policies = { .list[0] = *usual, .differ = does_something(usual) };

	if (filters && filters->count)
		policies = (struct policies){};
	for (unsigned int i = 0; filters && i < filters->count; i++) {
		const struct filter_rule *rule = &filters->rules[i];
		struct xcap_policy *policy = &policies.list[rule->slot];

		*policy = rule->policy;
		policy->sample = policy->sample ?: usual->sample;
		policy->sample_flow = policy->sample_flow ?: usual->sample_flow;
		policies.ranks[rule->slot] = (uint8_t)i;
		policies.differ |= does_something(policy);
	}
	*ret = policies;
}
