/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aggregator/refusal.h"

#include <inttypes.h>

#include "common/log.h"

static const char *const names[] = {
#define X(id, name) [REFUSAL_##id] = name,
	REFUSALS(X)
#undef X
};

const char *refusal_name(enum refusal reason)
{
	return names[reason];
}

void refusal_count(struct refusals *refusals, uint64_t now_ns, enum refusal reason,
		   const char *peer, const char *text)
{
	uint64_t suppressed;

	__atomic_store_n(&refusals->counts[reason], refusals->counts[reason] + 1, __ATOMIC_RELAXED);
	if (!log_budget_take(&refusals->budget, now_ns, &suppressed))
		return;
	if (suppressed)
		log_warning(0, "refused %" PRIu64 " more connections that are not listed",
			    suppressed);
	log_warning(0, "refused %s: %s", peer, text);
}

uint64_t refusals_get(const struct refusals *refusals, enum refusal reason)
{
	return __atomic_load_n(&refusals->counts[reason], __ATOMIC_RELAXED);
}
