/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dataplane and its sources without an agent around them: attaches, writes what comes as a
 * PCAP file with nanoseconds, and prints one line per packet and the counters in the end. Its
 * passes go by a clock, as a lane's do.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/types.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/source.h"
#include "bpf/dataplane.h"
#include "common/log.h"

#define SOURCES_MAX 64
#define INTERFACES_MAX 8
#define PASS_WAIT_US 250

static volatile sig_atomic_t stopping;

struct probe {
	struct dataplane_config dataplane_config;
	struct dataplane_interface_config interface_config;
	const char *names[INTERFACES_MAX];
	unsigned int name_count;
	const char *out_path, *self;
	uint64_t count_max, skip;
	uint64_t clock_ahead_ns; /* the card's clock, of CLOCK_MONOTONIC */
	unsigned int frame_count, stall_ms;
	bool keep, verbose, remove, drain_only, leaves_native;

	struct dataplane *dataplane;
	struct dataplane_interface *interfaces[INTERFACES_MAX];
	struct source *sources[SOURCES_MAX];
	unsigned int source_count;
	FILE *out;
	uint64_t packets, wire_packets, bytes, passes;
};

static void stop(int number)
{
	(void)number;
	stopping = 1;
}

static int fail(int err, const char *what)
{
	fprintf(stderr, "dataplane_probe: %s (%d)\n", what, err);
	return err;
}

static void write_header(struct probe *probe)
{
	const uint32_t header[] = {
		0xa1b23c4d, 2 | 4 << 16,      0,
		0,	    XCAP_SNAPLEN_MAX, dataplane_link_type(probe->interfaces[0])
	};

	fwrite(header, sizeof(header), 1, probe->out);
}

static void write_packet(struct probe *probe, const struct source_packet *packet)
{
	const uint32_t header[] = { (uint32_t)(packet->time_ns / NS_PER_SEC),
				    (uint32_t)(packet->time_ns % NS_PER_SEC), packet->captured_len,
				    packet->original_len };

	fwrite(header, sizeof(header), 1, probe->out);
	fwrite(packet->data, packet->captured_len, 1, probe->out);
}

static void take(struct probe *probe, const struct source_packet *packet)
{
	static const char *const directions[] = { "?", "in", "out" };

	probe->packets++;
	probe->wire_packets += packet->wire_packets;
	probe->bytes += packet->captured_len;
	if (probe->out)
		write_packet(probe, packet);
	if (probe->verbose)
		printf("%s %u captured %u original %u wire %u queue %d\n",
		       directions[packet->direction], packet->interface, packet->captured_len,
		       packet->original_len, packet->wire_packets,
		       packet->has_queue ? packet->queue : -1);
}

static struct source *earliest(struct probe *probe, struct source_packet *ret)
{
	struct source *best = NULL;
	struct source_packet packet;

	for (unsigned int i = 0; i < probe->source_count; i++) {
		struct source *source = probe->sources[i];

		if (source->ops->peek(source, &packet) &&
		    (!best || packet.time_ns < ret->time_ns)) {
			*ret = packet;
			best = source;
		}
	}
	return best;
}

static unsigned int pass(struct probe *probe)
{
	struct source_packet packet;
	struct source *source;
	unsigned int count = 0;

	while (count < 8192 && (source = earliest(probe, &packet))) {
		take(probe, &packet);
		source->ops->take(source);
		count++;
		if (probe->count_max && probe->packets == probe->count_max) {
			stopping = 1;
			break;
		}
	}
	for (unsigned int i = 0; i < probe->source_count; i++)
		probe->sources[i]->ops->give_back(probe->sources[i]);
	probe->passes++;
	return count;
}

static void wait_for_packets(const struct probe *probe, bool found)
{
	struct pollfd fds[SOURCES_MAX];

	if (found) {
		usleep(PASS_WAIT_US);
		return;
	}
	for (unsigned int i = 0; i < probe->source_count; i++)
		fds[i] = (struct pollfd){ .fd = probe->sources[i]->poll_fd, .events = POLLIN };
	(void)poll(fds, probe->source_count, 1000);
}

static void run(struct probe *probe)
{
	while (!stopping) {
		bool found = pass(probe) > 0;

		if (probe->out)
			fflush(probe->out);
		if (probe->verbose)
			fflush(stdout);
		if (probe->drain_only && !found)
			return;
		if (!stopping)
			wait_for_packets(probe, found);
	}
}

static int add_queues(struct probe *probe, struct dataplane_interface *interface)
{
	char error[DATAPLANE_ERROR_LEN];
	int err;

	for (unsigned int queue = 0; queue < dataplane_queue_count(interface); queue++) {
		const struct source_xsk_config config = {
			.ifname = dataplane_interface_name(interface),
			.ifindex = dataplane_interface_index(interface),
			.queue = queue,
			.xsk_map_fd = dataplane_xsk_map_fd(interface),
			.memory_bytes = probe->frame_count * 2 * KIB, /* chunks of 2 KiB */
			.generic = dataplane_is_generic(interface),
			.handed = dataplane_queue_handed(interface, queue),
		};
		struct source *source;

		if (probe->source_count == SOURCES_MAX)
			return fail(-ENOSPC, "too many queues");
		err = source_xsk_create(&probe->sources[probe->source_count], &config, error);
		if (err)
			return fail(err, error);
		source = probe->sources[probe->source_count++];
		source->ops->seek(source, probe->skip);
	}
	err = dataplane_enable(interface, error);
	if (!err && probe->leaves_native)
		err = dataplane_leave_native(interface, NULL, error);
	return err ? fail(err, error) : 0;
}

/* Good for the few seconds of a test. */
static int set_clock(const struct probe *probe, struct dataplane_interface *interface)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	const struct xcap_line line = {
		.nic_ns = now + probe->clock_ahead_ns,
		.host_ns = now,
		.until_ns = now + XCAP_LINE_NS,
	};
	int err = dataplane_set_clock(interface, &line);

	return err ? fail(err, "cannot set the clock") : 0;
}

static int attach(struct probe *probe)
{
	char error[DATAPLANE_ERROR_LEN];
	int err;

	for (unsigned int i = 0; i < probe->name_count; i++) {
		struct dataplane_interface_config config = probe->interface_config;

		config.name = probe->names[i];
		config.ifindex = if_nametoindex(config.name);
		err = dataplane_attach(&probe->interfaces[i], probe->dataplane, &config, error);
		if (err)
			return fail(err, error);
		if (config.stamps && set_clock(probe, probe->interfaces[i]))
			return -EINVAL;
		if (config.mode == XCAP_TAP) {
			err = add_queues(probe, probe->interfaces[i]);
			if (err)
				return err;
		}
	}
	dataplane_prune(probe->dataplane);
	return 0;
}

static int add_self(struct probe *probe)
{
	uint8_t mapped[16] = { [10] = 0xff, [11] = 0xff };
	char text[64];
	char *colon;

	snprintf(text, sizeof(text), "%s", probe->self);
	colon = strrchr(text, ':');
	if (!colon)
		return fail(-EINVAL, "--self ADDRESS:PORT");
	*colon = '\0';
	if (inet_pton(AF_INET, text, mapped + 12) != 1 && inet_pton(AF_INET6, text, mapped) != 1)
		return fail(-EINVAL, "--self ADDRESS:PORT");
	return dataplane_self_add(probe->dataplane, mapped, (uint16_t)atoi(colon + 1));
}

static int start(struct probe *probe)
{
	char error[DATAPLANE_ERROR_LEN];
	int err;

	probe->dataplane_config.want_rings = probe->interface_config.mode == XCAP_MIRROR;
	err = dataplane_open(&probe->dataplane, &probe->dataplane_config, error);
	if (err)
		return fail(err, error);
	if (probe->self && add_self(probe))
		return -EINVAL;
	for (unsigned int i = 0; i < dataplane_ring_count(probe->dataplane); i++) {
		err = source_ring_create(&probe->sources[i], dataplane_ring_fd(probe->dataplane, i),
					 i);
		if (err)
			return fail(err, "cannot read a ring");
		probe->source_count++;
	}
	err = attach(probe);
	if (err)
		return err;
	if (probe->out_path) {
		probe->out = strcmp(probe->out_path, "-") ? fopen(probe->out_path, "w") : stdout;
		if (!probe->out)
			return fail(-errno, "cannot write the file");
		write_header(probe);
		fflush(probe->out);
	}
	fprintf(stderr, "ready%s%s\n", dataplane_adopted(probe->dataplane) ? " adopted" : "",
		dataplane_is_generic(probe->interfaces[0]) ? " generic" : "");
	return 0;
}

static void print_sources(const struct probe *probe)
{
	struct source_stats stats;

	for (unsigned int i = 0; i < probe->source_count; i++) {
		struct source *source = probe->sources[i];

		source->ops->stats(source, &stats);
		fprintf(stderr,
			"source %s received %llu position %llu fill_ring_empty %llu rx_ring_full "
			"%llu rx_dropped %llu rx_invalid %llu lost_redirected %llu pending %llu\n",
			source->ops->name, (unsigned long long)stats.received,
			(unsigned long long)source->ops->position(source),
			(unsigned long long)stats.fill_ring_empty,
			(unsigned long long)stats.rx_ring_full,
			(unsigned long long)stats.rx_dropped, (unsigned long long)stats.rx_invalid,
			(unsigned long long)stats.lost_redirected,
			(unsigned long long)stats.pending_bytes);
	}
}

static void finish(struct probe *probe)
{
	struct xcap_count counts[XCAP_COUNTER_COUNT] = {};

	for (unsigned int i = 0; i < probe->name_count && probe->interfaces[i]; i++) {
		const char *name = probe->names[i];

		if (probe->keep)
			(void)!dataplane_counts(probe->interfaces[i], counts);
		else
			dataplane_detach(probe->interfaces[i], counts);
		while (pass(probe))
			;
		for (unsigned int c = 0; c < XCAP_COUNTER_COUNT; c++)
			fprintf(stderr, "%s %s %llu %llu %llu\n", name, xcap_counter_name(c),
				(unsigned long long)counts[c].frames,
				(unsigned long long)counts[c].wire_packets,
				(unsigned long long)counts[c].bytes);
	}
	print_sources(probe);
	fprintf(stderr, "packets %llu %llu %llu passes %llu\n", (unsigned long long)probe->packets,
		(unsigned long long)probe->wire_packets, (unsigned long long)probe->bytes,
		(unsigned long long)probe->passes);
	for (unsigned int i = 0; i < probe->source_count; i++)
		probe->sources[i]->ops->destroy(probe->sources[i]);
	dataplane_close(probe->dataplane);
	if (probe->out)
		fclose(probe->out);
}

static int parse(struct probe *probe, int argc, char **argv)
{
	static const struct option options[] = {
		{ "mode", required_argument, NULL, 'm' },
		{ "name", required_argument, NULL, 'n' },
		{ "bpffs", required_argument, NULL, 'F' },
		{ "run-dir", required_argument, NULL, 'R' },
		{ "self", required_argument, NULL, 'S' },
		{ "chunks", required_argument, NULL, 'C' },
		{ "received", required_argument, NULL, 'N' },
		{ "stall-ms", required_argument, NULL, 'L' },
		{ "clock-ahead", required_argument, NULL, 'A' },
		{ "generic", no_argument, NULL, 'g' },
		{ "force", no_argument, NULL, 'f' },
		{ "promiscuous", no_argument, NULL, 'P' },
		{ "keep", no_argument, NULL, 'k' },
		{ "detach", no_argument, NULL, 'd' },
		{ "drain", no_argument, NULL, 'D' },
		{ "leave-native", no_argument, NULL, 'l' },
		{},
	};
	int option;

	while ((option = getopt_long(argc, argv, "i:s:Q:B:c:w:v", options, NULL)) != -1) {
		switch (option) {
		case 'i':
			if (probe->name_count < INTERFACES_MAX)
				probe->names[probe->name_count++] = optarg;
			break;
		case 's':
			probe->interface_config.snaplen = (uint32_t)atoi(optarg);
			break;
		case 'Q':
			probe->interface_config.directions = !strcmp(optarg, "in") ? XCAP_IN
							     : !strcmp(optarg, "out")
								     ? XCAP_OUT
								     : XCAP_IN | XCAP_OUT;
			break;
		case 'B':
			probe->dataplane_config.ring_bytes = strtoull(optarg, NULL, 0) * MIB;
			break;
		case 'c':
			probe->count_max = strtoull(optarg, NULL, 0);
			break;
		case 'w':
			probe->out_path = optarg;
			break;
		case 'v':
			probe->verbose = true;
			break;
		case 'm':
			if (!strcmp(optarg, "tap"))
				probe->interface_config.mode = XCAP_TAP;
			break;
		case 'n':
			probe->dataplane_config.instance = optarg;
			break;
		case 'F':
			probe->dataplane_config.bpffs = optarg;
			break;
		case 'R':
			probe->dataplane_config.run_dir = optarg;
			break;
		case 'S':
			probe->self = optarg;
			break;
		case 'C':
			probe->frame_count = (unsigned int)atoi(optarg);
			break;
		case 'N':
			probe->skip = strtoull(optarg, NULL, 0);
			break;
		case 'L':
			probe->stall_ms = (unsigned int)atoi(optarg);
			break;
		case 'A':
			probe->interface_config.stamps = true;
			probe->clock_ahead_ns = strtoull(optarg, NULL, 0) * NS_PER_SEC;
			break;
		case 'g':
			probe->interface_config.generic = true;
			break;
		case 'f':
			probe->interface_config.force = true;
			break;
		case 'P':
			probe->interface_config.promiscuous = true;
			break;
		case 'k':
			probe->keep = true;
			break;
		case 'l':
			probe->leaves_native = true;
			break;
		case 'd':
			probe->remove = true;
			break;
		case 'D':
			probe->drain_only = true;
			break;
		default:
			return -EINVAL;
		}
	}
	return probe->remove || probe->name_count ? 0 : -EINVAL;
}

int main(int argc, char **argv)
{
	static struct probe probe = {
		.dataplane_config = { .instance = "probe" },
		.interface_config = { .mode = XCAP_MIRROR,
				      .snaplen = XCAP_SNAPLEN_MAX,
				      .directions = XCAP_IN | XCAP_OUT },
	};
	struct sigaction action = { .sa_handler = stop };
	char error[DATAPLANE_ERROR_LEN];
	bool removed;
	int err;

	if (parse(&probe, argc, argv))
		return 2;
	log_init(getenv("PROBE_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (probe.remove) {
		err = dataplane_remove(probe.dataplane_config.bpffs, probe.dataplane_config.run_dir,
				       probe.dataplane_config.instance, &removed, error);
		if (err)
			return fail(err, error), 1;
		puts(removed ? "removed" : "nothing there");
		return 0;
	}
	err = start(&probe);
	if (!err && probe.stall_ms)
		usleep(probe.stall_ms * 1000);
	if (!err)
		run(&probe);
	finish(&probe);
	return err ? 1 : 0;
}
