/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aggregator/refusal.h"

#include <inttypes.h>

#include "common/log.h"

#define LINES_MAX 30 /* at once, and in a minute of refusals without end */
#define LINE_EVERY_NS (2 * NS_PER_SEC)

static const char *const names[] = {
#define X(id, name) [REFUSAL_##id] = name,
	REFUSALS(X)
#undef X
};

const char *refusal_name(enum refusal reason)
{
	return names[reason];
}

static void refill(struct refusals *refusals, uint64_t now_ns)
{
	uint64_t lines;

	if (!refusals->refilled_ns) {
		refusals->refilled_ns = now_ns;
		refusals->lines = LINES_MAX;
	}
	lines = (now_ns - refusals->refilled_ns) / LINE_EVERY_NS;
	refusals->refilled_ns += lines * LINE_EVERY_NS;
	refusals->lines = MIN(refusals->lines + lines, (uint64_t)LINES_MAX);
}

void refusal_count(struct refusals *refusals, uint64_t now_ns, enum refusal reason,
		   const char *peer, const char *text)
{
	__atomic_store_n(&refusals->counts[reason], refusals->counts[reason] + 1, __ATOMIC_RELAXED);
	refill(refusals, now_ns);
	if (!refusals->lines) {
		refusals->suppressed++;
		return;
	}
	refusals->lines--;
	if (refusals->suppressed)
		log_warning(0, "refused %" PRIu64 " more connections that are not listed",
			    refusals->suppressed);
	refusals->suppressed = 0;
	log_warning(0, "refused %s: %s", peer, text);
}

uint64_t refusals_get(const struct refusals *refusals, enum refusal reason)
{
	return __atomic_load_n(&refusals->counts[reason], __ATOMIC_RELAXED);
}
