/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aggregator/aggregator.h"

static json_t *integer(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *seconds(uint64_t ns)
{
	return json_real((double)ns / (double)NS_PER_SEC);
}

struct number {
	const char *name;
	uint64_t value;
};

static void set_numbers(json_t *object, const struct number *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		json_object_set_new(object, list[i].name, integer(list[i].value));
}

static json_t *journal_json(struct aggregator *aggregator, uint32_t number)
{
	json_t *json = json_object(), *recovery = json_object();
	struct store_journal state;

	store_get_journal(aggregator->store, number, &state);
	set_numbers(json,
		    (struct number[]){
			    { "id", number },
			    { "appended", state.stats.appended },
			    { "durable", state.stats.durable },
			    { "frames", state.stats.frames },
			    { "bytes", state.stats.bytes },
			    { "writes", state.stats.writes },
			    { "syncs", state.stats.syncs },
			    { "failures", state.stats.failures },
			    { "duplicates", state.stats.duplicates },
		    },
		    9);
	json_object_set_new(json, "sync_seconds", seconds(state.stats.sync_ns));
	json_object_set_new(json, "failing", json_boolean(state.failing));
	set_numbers(recovery,
		    (struct number[]){
			    { "segments", state.recovery.segments },
			    { "frames", state.recovery.frames },
			    { "damaged_bytes", state.recovery.damaged_bytes },
			    { "damaged_regions", state.recovery.damaged_regions },
			    { "torn_bytes", state.recovery.torn_bytes },
		    },
		    5);
	json_object_set_new(json, "recovery", recovery);
	return json;
}

static json_t *store_json(struct aggregator *aggregator)
{
	json_t *journals = json_array();

	for (uint32_t i = 0; i < store_journal_count(aggregator->store); i++)
		json_array_append_new(journals, journal_json(aggregator, i));
	return json_pack("{s:s,s:o}", "path", store_dir(aggregator->store), "journals", journals);
}

static json_t *lost_json(const uint64_t *lost)
{
	json_t *json = json_object();

	for (uint32_t i = 0; i <= LOSS_REASON_COUNT; i++)
		json_object_set_new(json, loss_reason_name(i), integer(lost[i]));
	return json;
}

static json_t *stream_json(const struct store_stream *stream, uint32_t journal)
{
	uint64_t now = clock_ns(CLOCK_REALTIME), mark = stream->latest_watermark_ns;
	char instance[2 * INSTANCE_LEN + 1];
	json_t *json;

	for (size_t i = 0; i < INSTANCE_LEN; i++)
		snprintf(instance + 2 * i, 3, "%02x", stream->id.instance[i]);
	json = json_pack("{s:s,s:s,s:b,s:b,s:b,s:s}", "agent", stream->id.agent, "instance",
			 instance, "replay", stream->id.replay, "connected", stream->connected,
			 "ended", stream->ended, "address", stream->address);
	set_numbers(json,
		    (struct number[]){
			    { "lane", stream->id.lane },
			    { "journal", journal },
			    { "durable_sequence", stream->durable_sequence },
			    { "frames", stream->frames },
			    { "packets", stream->packets },
			    { "wire_packets", stream->wire_packets },
			    { "bytes", stream->bytes },
			    { "duplicates", stream->duplicates },
			    { "nacks", stream->nacks },
		    },
		    9);
	json_object_set_new(json, "watermark_seconds_ago",
			    mark ? json_real(((double)now - (double)mark) / (double)NS_PER_SEC)
				 : json_null());
	json_object_set_new(json, "lost", lost_json(stream->lost));
	return json;
}

static json_t *streams_json(struct aggregator *aggregator)
{
	struct store_stream_list list = {};
	json_t *json = json_array();
	uint64_t version;

	for (uint32_t i = 0; i < store_journal_count(aggregator->store); i++) {
		version = 0;
		if (store_changed_streams(aggregator->store, i, &version, &list))
			break;
		for (uint32_t j = 0; j < list.count; j++)
			json_array_append_new(json, stream_json(&list.list[j], i));
	}
	free(list.list);
	return json;
}

static json_t *latency_json(struct aggregator *aggregator)
{
	struct latency *sum = calloc(1, sizeof(*sum));
	json_t *json;

	if (!sum)
		return json_null();
	for (uint32_t i = 0; i < aggregator->worker_count; i++)
		ingest_add_latency(aggregator->workers[i], sum);
	json = json_pack("{s:o,s:o,s:o,s:o}", "p50_seconds",
			 seconds(latency_percentile_ns(sum, 0.5)), "p95_seconds",
			 seconds(latency_percentile_ns(sum, 0.95)), "p99_seconds",
			 seconds(latency_percentile_ns(sum, 0.99)), "packets", integer(sum->total));
	free(sum);
	return json;
}

static json_t *reader_json(struct aggregator *aggregator)
{
	struct reader_pcapng_status status;
	json_t *json;

	if (!aggregator->reader)
		return json_null();
	reader_pcapng_get_status(aggregator->reader, &status);
	json = json_pack("{s:s,s:b,s:b}", "output", aggregator->options->write, "replay",
			 aggregator->options->replay, "blocked", status.blocked);
	set_numbers(json,
		    (struct number[]){
			    { "packets", status.packets },
			    { "late_packets", status.late_packets },
			    { "dropped_packets", status.dropped_packets },
			    { "waiting_packets", status.waiting_packets },
			    { "offset", status.offset },
			    { "behind_bytes", status.behind_bytes },
			    { "missed_bytes", status.missed_bytes },
			    { "damaged_frames", status.damaged_frames },
			    { "streams", status.streams },
			    { "streams_left_out", status.streams_left_out },
			    { "checkpoints", status.checkpoints },
		    },
		    11);
	return json;
}

static json_t *refused_json(struct aggregator *aggregator)
{
	json_t *json = json_object();
	uint64_t count;

	for (int r = 0; r < REFUSAL_COUNT; r++) {
		count = aggregator->listener
				? refusals_get(listener_refusals(aggregator->listener), r)
				: 0;
		for (uint32_t i = 0; i < aggregator->worker_count; i++)
			count += refusals_get(ingest_refusals(aggregator->workers[i]), r);
		json_object_set_new(json, refusal_name(r), integer(count));
	}
	return json;
}

json_t *aggregator_status(struct aggregator *aggregator)
{
	uint64_t uptime = clock_ns(CLOCK_MONOTONIC) - aggregator->started_ns;
	uint32_t connections = __atomic_load_n(&aggregator->connections, __ATOMIC_RELAXED);

	return json_pack("{s:s,s:s,s:s,s:s,s:o,s:s,s:i,s:o,s:o,s:o,s:o,s:o}", "name",
			 aggregator->options->name, "program", "xcap-aggregator", "version",
			 XCAP_VERSION, "id", tls_context_id(aggregator->tls), "uptime_seconds",
			 seconds(uptime), "listen",
			 aggregator->listener ? listener_text(aggregator->listener) : "",
			 "connections", (int)connections, "store", store_json(aggregator),
			 "streams", streams_json(aggregator), "latency", latency_json(aggregator),
			 "reader", reader_json(aggregator), "refused", refused_json(aggregator));
}

static void add_up(struct aggregator *aggregator, struct aggregator_sums *sums)
{
	struct store_stream_list list = {};
	struct reader_pcapng_status status;
	struct store_journal state;
	uint64_t version;

	for (uint32_t i = 0; i < store_journal_count(aggregator->store); i++) {
		version = 0;
		store_get_journal(aggregator->store, i, &state);
		sums->stored_bytes += state.stats.bytes;
		if (store_changed_streams(aggregator->store, i, &version, &list))
			break;
		for (uint32_t j = 0; j < list.count; j++) {
			sums->packets += list.list[j].packets;
			sums->streams += list.list[j].connected;
			for (int r = 0; r <= LOSS_REASON_COUNT; r++)
				sums->lost += list.list[j].lost[r];
		}
	}
	free(list.list);
	if (aggregator->reader) {
		reader_pcapng_get_status(aggregator->reader, &status);
		sums->late = status.late_packets;
	}
}

void aggregator_print_stats(struct aggregator *aggregator)
{
	struct aggregator_sums sums = { .when_ns = clock_ns(CLOCK_MONOTONIC) };
	double passed = (double)(sums.when_ns - aggregator->last.when_ns) / (double)NS_PER_SEC;

	add_up(aggregator, &sums);
	fprintf(stderr,
		"xcap-aggregator %s: %" PRIu64 " packets, %.0f packets/s, %" PRIu64
		" streams, store %.2f MB/s, %" PRIu64 " late, %" PRIu64 " lost\n",
		aggregator->options->name, sums.packets,
		(double)(sums.packets - aggregator->last.packets) / passed, sums.streams,
		(double)(sums.stored_bytes - aggregator->last.stored_bytes) / passed / 1e6,
		sums.late, sums.lost);
	aggregator->last = sums;
}

static int run_status(void *context, const json_t *request, json_t **result, const char **error)
{
	struct aggregator *aggregator = context;

	(void)request;
	if (!aggregator->worker_count) {
		*error = "the aggregator is starting or ending";
		return -EAGAIN;
	}
	*result = aggregator_status(aggregator);
	return *result ? 0 : -ENOMEM;
}

const struct control_command aggregator_commands[] = {
	{ .name = "status", .run = run_status },
};
const size_t aggregator_command_count = ARRAY_SIZE(aggregator_commands);
