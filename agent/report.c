/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"

static uint64_t get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
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
void agent_print_summary(struct agent *agent)
{
	struct agent_account account;

	agent_account(agent, &account);
	fprintf(stderr,
		"%" PRIu64 " packets captured\n%" PRIu64 " packets received by filter\n%" PRIu64
		" packets dropped\n",
		agent->shared.count_max ? MIN(account.received, agent->shared.count_max)
					: account.received,
		account.seen - account.self - account.other_direction - account.filtered -
			account.sampled_out,
		agent_account_dropped(&account));
	for (unsigned int d = 0; d < INTERFACE_DROP_COUNT; d++)
		print_reason(account.dropped[d], interface_drop_name(d));
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

static json_t *drops_json(const uint64_t dropped[INTERFACE_DROP_COUNT])
{
	json_t *json = json_object();

	for (unsigned int d = 0; d < INTERFACE_DROP_COUNT; d++)
		json_object_set_new(json, interface_drop_name(d), count_json(dropped[d]));
	return json;
}

/* arrived = dropped.nic + seen; seen = all that follows it, with the other reasons of dropped. */
static json_t *interface_account_json(const struct interface_reading *reading)
{
	struct interface_account a;

	interface_account_make(&a, reading);
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:i,s:o,s:I,s:I}", "arrived",
			 (json_int_t)a.arrived, "seen", (json_int_t)a.seen, "self",
			 (json_int_t)a.self, "other_direction", (json_int_t)a.other_direction,
			 "filtered", (json_int_t)a.filtered, "sampled_out",
			 (json_int_t)a.sampled_out, "cut", 0, "dropped", drops_json(a.dropped),
			 "delivered", (json_int_t)a.delivered, "pending", (json_int_t)a.pending);
}

static json_t *interface_json(const struct agent_interface *interface)
{
	const struct xcap_nic *nic = &interface->reading.nic;
	const char *hook = interface->is_live		 ? "libpcap"
			   : interface->mode == XCAP_TAP ? "xdp"
			   : interface->is_clsact	 ? "clsact"
							 : "tcx";

	return json_pack("{s:s,s:i,s:s,s:s,s:b,s:b,s:I,s:o,s:{s:I,s:I,s:I},s:o,s:o}", "name",
			 interface->name, "ifindex", (int)interface->ifindex, "mode",
			 interface->is_live	       ? "pcap"
			 : interface->mode == XCAP_TAP ? "tap"
						       : "mirror",
			 "hook", hook, "generic", interface->is_generic, "attached",
			 agent_interface_is_captured(interface), "started_ns",
			 (json_int_t)interface->started_ns, "account",
			 interface_account_json(&interface->reading), "nic", "missed",
			 (json_int_t)nic->missed, "fifo", (json_int_t)nic->fifo, "rx_dropped",
			 (json_int_t)nic->rx_dropped, "counters",
			 counters_json(interface->reading.counts), "time_stamps",
			 interface->timestamps ? timestamps_json(interface->timestamps)
					       : json_null());
}

static void add_alert(json_t *list, const struct loss_alert *alert, const char *interface,
		      const char *reason)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	if (!alert->risen_ns || now >= alert->risen_ns + LOSS_ALERT_NS)
		return;
	json_array_append_new(list,
			      json_pack("{s:s?,s:s,s:I,s:f}", "interface", interface, "reason",
					reason, "packets", (json_int_t)alert->seen, "seconds_ago",
					(double)(now - alert->risen_ns) / NS_PER_SEC));
}

/* Losses that rose of late; those of the journals are of no interface. */
static json_t *alerts_json(const struct agent *agent)
{
	const struct agent_interface *interfaces = NULL;
	json_t *list = json_array();
	unsigned int count = 0;

	if (agent->interfaces)
		interfaces = interfaces_list(agent->interfaces, &count);
	for (unsigned int i = 0; i < count; i++)
		for (unsigned int d = 0; d < INTERFACE_DROP_COUNT; d++)
			add_alert(list, &interfaces[i].alerts[d], interfaces[i].name,
				  interface_drop_name(d));
	for (uint32_t r = 0; r < LOSS_REASON_COUNT; r++)
		add_alert(list, &agent->alerts[r], NULL, loss_reason_name(r));
	return list;
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
 * arrived = self + other_direction + filtered + sampled_out + cut + sum(dropped) + delivered +
 *           pending + in_rings
 * and arrived = dropped.nic + seen. in_rings is what the lanes have not taken; its measure in
 * bytes is beside it.
 */
static json_t *account_json(struct agent *agent)
{
	struct agent_account a;
	json_t *dropped, *json;
	uint64_t known;

	agent_account(agent, &a);
	dropped = drops_json(a.dropped);
	for (uint32_t r = 0; r < LOSS_REASON_COUNT; r++)
		json_object_set_new(dropped, loss_reason_name(r), count_json(a.lost[r]));
	known = a.self + a.other_direction + a.filtered + a.sampled_out +
		agent_account_dropped(&a) + a.delivered + a.pending;
	json = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:i,s:o,s:I,s:I}", "arrived",
			 (json_int_t)a.arrived, "seen", (json_int_t)a.seen, "self",
			 (json_int_t)a.self, "other_direction", (json_int_t)a.other_direction,
			 "filtered", (json_int_t)a.filtered, "sampled_out",
			 (json_int_t)a.sampled_out, "cut", 0, "dropped", dropped, "delivered",
			 (json_int_t)a.delivered, "pending", (json_int_t)a.pending);
	json_object_set_new(json, "in_rings", count_json(a.arrived - known));
	json_object_set_new(json, "in_rings_bytes", count_json(a.pending_ring_bytes));
	return json;
}

json_t *agent_status(struct agent *agent)
{
	json_t *lanes = json_array(), *account, *json;

	account = account_json(agent); /* reads the counters */
	for (unsigned int i = 0; i < agent->lane_count; i++)
		json_array_append_new(lanes, lane_json(agent, i));
	json = json_pack("{s:s,s:s,s:s,s:s,s:f,s:o,s:o,s:o}", "program", "xcapd", "version",
			 XCAP_VERSION, "name", agent->name, "id", agent->id, "uptime_seconds",
			 (double)(clock_ns(CLOCK_MONOTONIC) - agent->started_ns) / NS_PER_SEC,
			 "lanes", lanes, "account", account, "alerts", alerts_json(agent));
	if (json) {
		json_object_set_new(json, "clock", timestamps_clock_json(""));
		add_interfaces(json, agent);
	}
	if (json && agent->filters)
		json_object_set_new(json, "filters",
				    filters_json(agent->filters, agent->interfaces));
	if (json && agent->writer) {
		const struct writer_stats *writer = writer_stats(agent->writer);

		json_object_set_new(json, "writer",
				    json_pack("{s:s,s:I,s:I}", "path", agent->options->write,
					      "packets", (json_int_t)get(&writer->packets), "bytes",
					      (json_int_t)get(&writer->bytes)));
	}
	return json;
}
