/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What became of all packets, summed up over interfaces and lanes. */
#include <string.h>

#include "agent/agent.h"

static uint64_t get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static const char *const loss_advice[LOSS_REASON_COUNT] = {
	[LOSS_JOURNAL_FULL] = ("what takes them (the aggregator, the link to it, the file) is too "
			       "slow: see its log, or use a larger --journal-size"),
	[LOSS_REJECTED] = "the aggregator refused them: see its log",
	[LOSS_SHUTDOWN] = "the aggregator did not acknowledge them in time",
	[LOSS_DAMAGED] = "the journal in the run directory is damaged",
};

/* Every packet older than this was taken by the lanes, CLOCK_MONOTONIC. */
static uint64_t taken_ns(const struct agent *agent)
{
	uint64_t taken = agent->lane_count ? UINT64_MAX : 0, one;

	for (unsigned int i = 0; i < agent->lane_count; i++) {
		one = atomic_load_explicit(&lane_stats(agent->lanes[i])->taken_ns,
					   memory_order_acquire);
		taken = MIN(taken, one);
	}
	return taken;
}

static void look_for_losses(struct agent *agent)
{
	uint64_t lost, now = clock_ns(CLOCK_MONOTONIC);

	for (unsigned int r = 0; r < LOSS_REASON_COUNT; r++) {
		lost = 0;
		for (unsigned int i = 0; i < agent->lane_count; i++)
			lost += get(&lane_stats(agent->lanes[i])->lost_packets[r]);
		loss_alert_warn(&agent->alerts[r], lost, now, "the journal", loss_reason_name(r),
				loss_advice[r]);
	}
}

void agent_refresh_counts(struct agent *agent)
{
	if (agent->interfaces)
		interfaces_refresh(agent->interfaces, taken_ns(agent));
	look_for_losses(agent);
}

static void add_lanes(const struct agent *agent, struct agent_account *sum)
{
	uint64_t *lost = &sum->dropped[INTERFACE_DROP_LOST];

	for (unsigned int i = 0; i < agent->lane_count; i++) {
		const struct lane_stats *lane = lane_stats(agent->lanes[i]);

		sum->received += get(&lane->packets);
		sum->filtered += get(&lane->filtered); /* recorded ones */
		sum->bytes += get(&lane->bytes);
		sum->pending += get(&lane->journal_packets) + get(&lane->open_packets);
		sum->pending_ring_bytes += get(&lane->pending_bytes);
		lost[INTERFACE_FILL_RING_EMPTY] += get(&lane->fill_ring_empty);
		lost[INTERFACE_RX_DROPPED] += get(&lane->rx_dropped);
		lost[INTERFACE_RX_RING_FULL] += get(&lane->rx_ring_full);
		lost[INTERFACE_REDIRECTED_LOST] += get(&lane->lost_redirected);
		for (int r = 0; r < LOSS_REASON_COUNT; r++)
			sum->lost[r] += get(&lane->lost_packets[r]);
	}
}

/* But for what was lost on the way to the lanes: they have counted it. */
static void add_reading(struct agent_account *sum, const struct interface_reading *reading)
{
	struct interface_account account;

	interface_account_make(&account, reading);
	sum->seen += account.seen;
	sum->self += account.self;
	sum->other_direction += account.other_direction;
	sum->filtered += account.filtered;
	sum->sampled_out += account.sampled_out;
	for (unsigned int d = 0; d < INTERFACE_DROP_LOST; d++)
		sum->dropped[d] += account.dropped[d];
}

/* Returns how many packets were taken that none of them, nor of those gone, has counted. */
static uint64_t add_interfaces(struct agent *agent, struct agent_account *sum)
{
	struct interface_reading gone = {};
	const struct agent_interface *list;
	uint64_t taken = 0, gone_taken;
	unsigned int count;

	if (!agent->interfaces)
		return sum->received + sum->filtered;
	interfaces_read(agent->interfaces, true);
	list = interfaces_list(agent->interfaces, &count);
	for (unsigned int i = 0; i < count; i++) {
		if (!agent_interface_is_captured(&list[i]))
			continue;
		add_reading(sum, &list[i].reading);
		taken += list[i].reading.taken;
	}
	memcpy(gone.counts, interfaces_gone_counts(agent->interfaces), sizeof(gone.counts));
	gone.nic.missed = interfaces_gone_nic(agent->interfaces);
	add_reading(sum, &gone);
	gone_taken = sum->received - MIN(sum->received, taken);
	return gone_taken - MIN(gone_taken, gone.counts[XCAP_HANDED].frames);
}

void agent_account(struct agent *agent, struct agent_account *ret)
{
	struct agent_account sum = {};
	uint64_t lost = 0, unaccounted;

	add_lanes(agent, &sum);
	/* Recorded, or left in a journal by a daemon whose counters are gone: they were seen. */
	unaccounted = add_interfaces(agent, &sum);
	sum.seen += unaccounted;
	sum.arrived = sum.seen + sum.dropped[INTERFACE_DROP_NIC];
	for (int r = 0; r < LOSS_REASON_COUNT; r++)
		lost += sum.lost[r];
	sum.delivered = sum.received - MIN(sum.received, lost + sum.pending);
	*ret = sum;
}

uint64_t agent_account_dropped(const struct agent_account *account)
{
	uint64_t dropped = 0;

	for (unsigned int d = 0; d < INTERFACE_DROP_COUNT; d++)
		dropped += account->dropped[d];
	for (int r = 0; r < LOSS_REASON_COUNT; r++)
		dropped += account->lost[r];
	return dropped;
}
