/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a lane tells of itself. */
#include "agent/lane_internal.h"

void lane_publish_totals(struct lane *lane)
{
	uint64_t packets, wire_packets, bytes;

	frame_builder_totals(lane->builder, &packets, &wire_packets, &bytes);
	lane_put(&lane->stats.packets, packets);
	lane_put(&lane->stats.wire_packets, wire_packets);
	lane_put(&lane->stats.bytes, bytes);
	lane_put(&lane->stats.open_packets, frame_builder_open_packets(lane->builder));
}

void lane_publish_stats(struct lane *lane)
{
	struct lane_stats *stats = &lane->stats;
	struct memory_journal_stats journal;
	struct source_stats source, sum = lane->sources.gone;

	memory_journal_stats(lane->config.journal, &journal);
	lane_publish_totals(lane);
	lane_put(&stats->journal_frames, journal.frames);
	lane_put(&stats->journal_packets, journal.packets);
	lane_put(&stats->journal_wire_packets, journal.wire_packets);
	lane_put(&stats->journal_bytes, journal.bytes);
	for (int i = 0; i < LOSS_REASON_COUNT; i++) {
		lane_put(&stats->lost_packets[i], journal.lost_packets[i]);
		lane_put(&stats->lost_wire_packets[i], journal.lost_wire_packets[i]);
	}
	lane_put(&stats->wakeups, lane->ticks + lane->sources.wakeups);
	for (unsigned int i = 0; i < lane->sources.slot_count; i++) {
		struct lane_slot *slot = &lane->sources.slots[i];

		if (!slot->source || slot->is_out)
			continue;
		slot->source->ops->stats(slot->source, &source);
		lane_interfaces_add_lost(lane, slot, &source);
		source_stats_add(&sum, &source);
	}
	lane_put(&stats->filtered, sum.filtered);
	lane_put(&stats->fill_ring_empty, sum.fill_ring_empty);
	lane_put(&stats->rx_ring_full, sum.rx_ring_full);
	lane_put(&stats->rx_dropped, sum.rx_dropped);
	lane_put(&stats->lost_redirected, sum.lost_redirected);
	lane_put(&stats->pending_bytes, sum.pending_bytes);
	if (lane->uplink) {
		const struct uplink_stats *up = uplink_stats(lane->uplink);

		lane_put(&stats->frames_acked, up->frames_acked);
		lane_put(&stats->frames_sent, up->frames_sent);
		lane_put(&stats->connects, up->connects);
		lane_put(&stats->uplink_state, up->state);
		lane_put(&stats->rtt_ns, up->rtt_ns);
		lane_put(&stats->send_calls, up->send_calls);
	}
}
