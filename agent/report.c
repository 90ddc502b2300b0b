/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"

static uint64_t get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Every packet older than this was taken by the lanes, CLOCK_MONOTONIC. */
static uint64_t taken_ns(const struct agent *agent)
{
	uint64_t taken = agent->lane_count ? UINT64_MAX : 0;

	for (unsigned int i = 0; i < agent->lane_count; i++)
		taken = MIN(taken, get(&lane_stats(agent->lanes[i])->taken_ns));
	return taken;
}

void agent_refresh_counts(struct agent *agent)
{
	if (agent->interfaces)
		interfaces_refresh(agent->interfaces, taken_ns(agent));
}

static void add_counts(struct agent_account *sum, const struct xcap_count *counts)
{
	sum->seen += counts[XCAP_SEEN].frames;
	sum->self += counts[XCAP_SELF].frames;
	sum->other_direction += counts[XCAP_OTHER_DIRECTION].frames;
	sum->filtered += counts[XCAP_FILTERED].frames;
	sum->ring_full += counts[XCAP_RING_FULL].frames;
	sum->too_long += counts[XCAP_TOO_LONG].frames;
	sum->no_memory += counts[XCAP_NO_MEMORY].frames;
	sum->no_socket += counts[XCAP_NO_SOCKET].frames;
}

void agent_account(const struct agent *agent, struct agent_account *ret)
{
	const struct agent_interface *list = NULL;
	struct agent_account sum = {};
	unsigned int count = 0;
	uint64_t lost = 0;

	if (agent->interfaces) {
		list = interfaces_list(agent->interfaces, &count);
		add_counts(&sum, interfaces_gone_counts(agent->interfaces));
	}
	for (unsigned int i = 0; i < count; i++) {
		if (list[i].attached)
			add_counts(&sum, list[i].counts);
	}
	for (unsigned int i = 0; i < agent->lane_count; i++) {
		const struct lane_stats *lane = lane_stats(agent->lanes[i]);

		sum.received += get(&lane->packets);
		sum.bytes += get(&lane->bytes);
		sum.pending += get(&lane->journal_packets) + get(&lane->open_packets);
		sum.pending_ring_bytes += get(&lane->pending_bytes);
		sum.fill_ring_empty += get(&lane->fill_ring_empty);
		sum.rx_dropped += get(&lane->rx_dropped);
		sum.rx_ring_full += get(&lane->rx_ring_full);
		sum.redirected_lost += get(&lane->lost_redirected);
		for (int r = 0; r < LOSS_REASON_COUNT; r++) {
			sum.lost[r] += get(&lane->lost_packets[r]);
			lost += get(&lane->lost_packets[r]);
		}
	}
	if (agent->options->read)
		sum.seen = sum.received;
	sum.delivered = sum.received - MIN(sum.received, lost + sum.pending);
	*ret = sum;
}

/* Why packets are lost before they are in a frame; the journal's reasons come after these. */
static const struct drop_row {
	const char *name;
	size_t offset;
} drop_rows[] = {
	{ "ring_full", offsetof(struct agent_account, ring_full) },
	{ "too_long", offsetof(struct agent_account, too_long) },
	{ "no_memory", offsetof(struct agent_account, no_memory) },
	{ "no_socket", offsetof(struct agent_account, no_socket) },
	{ "fill_ring_empty", offsetof(struct agent_account, fill_ring_empty) },
	{ "rx_dropped", offsetof(struct agent_account, rx_dropped) },
	{ "rx_ring_full", offsetof(struct agent_account, rx_ring_full) },
	{ "redirected_not_received", offsetof(struct agent_account, redirected_lost) },
};

static uint64_t drop_value(const struct agent_account *account, const struct drop_row *row)
{
	return *(const uint64_t *)((const char *)account + row->offset);
}

uint64_t agent_account_dropped(const struct agent_account *account)
{
	uint64_t dropped = 0;

	for (size_t i = 0; i < ARRAY_SIZE(drop_rows); i++)
		dropped += drop_value(account, &drop_rows[i]);
	for (int r = 0; r < LOSS_REASON_COUNT; r++)
		dropped += account->lost[r];
	return dropped;
}

static const char *const uplink_names[] = {
	[UPLINK_DOWN] = "down",
	[UPLINK_CONNECTING] = "connecting",
	[UPLINK_HANDSHAKE] = "handshake",
	[UPLINK_OPENING] = "opening",
	[UPLINK_UP] = "up",
};

static const char *uplink_name(const struct agent *agent, const struct lane_stats *lane)
{
	uint64_t state = get(&lane->uplink_state);

	if (!agent->servers.count)
		return "none";
	return state < ARRAY_SIZE(uplink_names) ? uplink_names[state] : "unknown";
}

void agent_print_stats(struct agent *agent)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	double seconds = (double)(now - agent->last_stats_ns) / NS_PER_SEC;
	struct agent_account account;

	agent_refresh_counts(agent);
	agent_account(agent, &account);
	fprintf(stderr,
		"xcapd %s: %" PRIu64 " packets, %.0f packets/s, %.2f MB/s, %" PRIu64
		" dropped, %" PRIu64 " waiting, uplink %s\n",
		agent->name, account.received,
		(double)(account.received - agent->last_packets) / seconds,
		(double)(account.bytes - agent->last_bytes) / seconds / 1e6,
		agent_account_dropped(&account), account.pending,
		agent->lane_count ? uplink_name(agent, lane_stats(agent->lanes[0])) : "none");
	agent->last_packets = account.received;
	agent->last_bytes = account.bytes;
	agent->last_stats_ns = now;
}

static void print_reason(uint64_t count, const char *reason)
{
	if (count)
		fprintf(stderr, "  %" PRIu64 " %s\n", count, reason);
}

/* As tcpdump ends, with the reasons of a drop beneath it. */
void agent_print_summary(const struct agent *agent)
{
	struct agent_account account;

	agent_account(agent, &account);
	fprintf(stderr,
		"%" PRIu64 " packets captured\n%" PRIu64 " packets received by filter\n%" PRIu64
		" packets dropped\n",
		agent->shared.count_max ? MIN(account.received, agent->shared.count_max)
					: account.received,
		account.seen - account.self - account.other_direction - account.filtered,
		agent_account_dropped(&account));
	for (size_t i = 0; i < ARRAY_SIZE(drop_rows); i++)
		print_reason(drop_value(&account, &drop_rows[i]), drop_rows[i].name);
	for (uint32_t r = 0; r < LOSS_REASON_COUNT; r++)
		print_reason(account.lost[r], loss_reason_name(r));
}

static json_t *count_json(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *counters_json(const struct xcap_count *counts)
{
	json_t *counters = json_object();

	for (unsigned int c = 0; c < XCAP_COUNTER_COUNT; c++)
		json_object_set_new(counters, xcap_counter_name(c),
				    json_pack("{s:I,s:I,s:I}", "frames",
					      (json_int_t)counts[c].frames, "wire_packets",
					      (json_int_t)counts[c].wire_packets, "bytes",
					      (json_int_t)counts[c].bytes));
	return counters;
}

static json_t *interface_json(const struct agent_interface *interface)
{
	return json_pack("{s:s,s:i,s:s,s:b,s:b,s:o}", "name", interface->name, "ifindex",
			 (int)interface->ifindex, "mode",
			 interface->mode == XCAP_TAP ? "tap" : "mirror", "generic",
			 interface->is_generic, "attached", interface->attached != NULL, "counters",
			 counters_json(interface->counts));
}

/* What is captured, what -i asks for and is not there, and what is gone had counted. */
static void add_interfaces(json_t *json, const struct agent *agent)
{
	json_t *interfaces = json_array(), *missing = json_array();
	const struct agent_interface *list;
	const struct config_list *words;
	unsigned int count;

	json_object_set_new(json, "interfaces", interfaces);
	json_object_set_new(json, "missing_interfaces", missing);
	if (!agent->interfaces)
		return;
	list = interfaces_list(agent->interfaces, &count);
	for (unsigned int i = 0; i < count; i++)
		json_array_append_new(interfaces, interface_json(&list[i]));
	words = interfaces_words(agent->interfaces);
	for (unsigned int i = 0; i < words->count; i++) {
		if (interfaces_is_missing(agent->interfaces, i))
			json_array_append_new(missing, json_string(words->items[i]));
	}
	json_object_set_new(json, "gone_interfaces",
			    json_pack("{s:o}", "counters",
				      counters_json(interfaces_gone_counts(agent->interfaces))));
}

static json_t *lane_json(const struct agent *agent, unsigned int number)
{
	const struct lane_stats *lane = lane_stats(agent->lanes[number]);
	json_t *json = json_object(), *lost = json_object();
	const struct {
		const char *name;
		const _Atomic uint64_t *value;
	} rows[] = {
		{ "packets", &lane->packets },
		{ "wire_packets", &lane->wire_packets },
		{ "bytes", &lane->bytes },
		{ "frames", &lane->frames },
		{ "late_packets", &lane->late_packets },
		{ "passes", &lane->passes },
		{ "wakeups", &lane->wakeups },
		{ "journal_frames", &lane->journal_frames },
		{ "journal_packets", &lane->journal_packets },
		{ "journal_bytes", &lane->journal_bytes },
		{ "frames_sent", &lane->frames_sent },
		{ "frames_acked", &lane->frames_acked },
		{ "connects", &lane->connects },
		{ "send_calls", &lane->send_calls },
		{ "fill_ring_empty", &lane->fill_ring_empty },
		{ "rx_ring_full", &lane->rx_ring_full },
		{ "rx_dropped", &lane->rx_dropped },
		{ "redirected_not_received", &lane->lost_redirected },
		{ "pending_ring_bytes", &lane->pending_bytes },
	};

	json_object_set_new(json, "lane", json_integer((json_int_t)number));
	json_object_set_new(json, "uplink", json_string(uplink_name(agent, lane)));
	json_object_set_new(json, "rtt_seconds",
			    json_real((double)get(&lane->rtt_ns) / (double)NS_PER_SEC));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		json_object_set_new(json, rows[i].name, count_json(get(rows[i].value)));
	for (uint32_t r = 0; r < LOSS_REASON_COUNT; r++)
		json_object_set_new(lost, loss_reason_name(r),
				    count_json(get(&lane->lost_packets[r])));
	json_object_set_new(json, "lost", lost);
	return json;
}

/*
 * The equation of the agent's hops, in frames:
 * seen = self + other_direction + filtered + sampled_out + cut + sum(dropped) + delivered +
 *        pending + in_rings
 * in_rings is what the lanes have not taken; its measure in bytes is beside it.
 */
static json_t *account_json(const struct agent *agent)
{
	struct agent_account a;
	json_t *dropped, *json;
	uint64_t known;

	agent_account(agent, &a);
	dropped = json_object();
	for (size_t i = 0; i < ARRAY_SIZE(drop_rows); i++)
		json_object_set_new(dropped, drop_rows[i].name,
				    count_json(drop_value(&a, &drop_rows[i])));
	known = a.self + a.other_direction + a.filtered + agent_account_dropped(&a) + a.delivered +
		a.pending;
	for (uint32_t r = 0; r < LOSS_REASON_COUNT; r++)
		json_object_set_new(dropped, loss_reason_name(r), count_json(a.lost[r]));
	json = json_pack("{s:I,s:I,s:I,s:I,s:i,s:i,s:o,s:I,s:I}", "seen", (json_int_t)a.seen,
			 "self", (json_int_t)a.self, "other_direction",
			 (json_int_t)a.other_direction, "filtered", (json_int_t)a.filtered,
			 "sampled_out", 0, "cut", 0, "dropped", dropped, "delivered",
			 (json_int_t)a.delivered, "pending", (json_int_t)a.pending);
	json_object_set_new(json, "in_rings", json_integer((json_int_t)(a.seen - known)));
	json_object_set_new(json, "in_rings_bytes", count_json(a.pending_ring_bytes));
	return json;
}

json_t *agent_status(struct agent *agent)
{
	json_t *lanes = json_array(), *json;

	for (unsigned int i = 0; i < agent->lane_count; i++)
		json_array_append_new(lanes, lane_json(agent, i));
	json = json_pack("{s:s,s:s,s:s,s:s,s:f,s:o,s:o}", "program", "xcapd", "version",
			 XCAP_VERSION, "name", agent->name, "id", agent->id, "uptime_seconds",
			 (double)(clock_ns(CLOCK_MONOTONIC) - agent->started_ns) / NS_PER_SEC,
			 "lanes", lanes, "account", account_json(agent));
	if (json)
		add_interfaces(json, agent);
	if (json && agent->writer) {
		const struct writer_stats *writer = writer_stats(agent->writer);

		json_object_set_new(json, "writer",
				    json_pack("{s:s,s:I,s:I}", "path", agent->options->write,
					      "packets", (json_int_t)get(&writer->packets), "bytes",
					      (json_int_t)get(&writer->bytes)));
	}
	return json;
}
