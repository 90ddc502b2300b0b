/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/live.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "agent/exit_code.h"
#include "agent/selection.h"
#include "bpf/dataplane.h"
#include "bpf/explain.h"
#include "bpf/netdev.h"
#include "common/log.h"

/* Of the kernel's buffers: all together, and of each source. */
#define BUFFERS_BYTES (64 * MIB)
#define BUFFER_BYTES_MIN (2 * MIB)
#define BUFFER_BYTES_MAX (16 * MIB)
#define ID_OF_NO_DEVICE 0x80000000u
#define OWN_LEN 4096

struct candidate {
	char name[16];
	uint32_t id;
	bool is_device; /* of the network; else libpcap may know it */
	bool is_loopback, is_named, is_promiscuous;
};

struct live {
	struct live_config config;
	struct config_list words;
	const char *default_word;
	char default_name[16];
	char os[64];
	char own[OWN_LEN];
	struct candidate *candidates;
	unsigned int candidate_count;
	struct live_interface *list;
	unsigned int count;
	unsigned int handed_over; /* sources */
	bool is_shut;
};

static int name_own(struct live *live)
{
	const struct addr_list *servers = live->config.servers;
	char address[INET6_ADDRSTRLEN];
	uint8_t bytes[16];
	size_t len = 0;

	for (unsigned int i = 0; i < servers->count; i++) {
		static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
		bool is_ipv4;

		addr_mapped(&servers->list[i], bytes);
		is_ipv4 = !memcmp(bytes, mapped, sizeof(mapped));
		inet_ntop(is_ipv4 ? AF_INET : AF_INET6, is_ipv4 ? bytes + 12 : bytes, address,
			  sizeof(address));
		len += (size_t)snprintf(live->own + len, sizeof(live->own) - len,
					"%s(host %s and tcp port %u)", len ? " or " : "", address,
					addr_port(&servers->list[i]));
		if (len >= sizeof(live->own))
			return -ENOSPC;
	}
	return 0;
}

static int add_candidate(struct live *live, const char *name, int word)
{
	unsigned int ifindex = if_nametoindex(name), n = live->candidate_count;
	enum selection_kind kind = selection_kind(live->words.items[word]);
	struct candidate *grown;
	struct netdev device;

	if (n == INTERFACE_TABLE_MAX)
		return -ENOSPC;
	grown = realloc(live->candidates, (n + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	live->candidates = grown;
	grown[n] = (struct candidate){
		.id = ifindex ? ifindex : ID_OF_NO_DEVICE + n,
		.is_device = ifindex,
		.is_named = kind == SELECTION_NAME,
		/* All of them at once would be no small change to a host. */
		.is_promiscuous = !live->config.options->no_promiscuous && kind != SELECTION_ANY,
	};
	snprintf(grown[n].name, sizeof(grown[n].name), "%s", name);
	if (ifindex && !netdev_query(&device, ifindex))
		grown[n].is_loopback = device.flags & IFF_LOOPBACK;
	live->candidate_count++;
	return 0;
}

static int look_at(const struct netdev *device, void *context)
{
	struct live *live = context;
	int word = selection_find(&live->words, device->name);

	if (word < 0 || selection_kind(live->words.items[word]) == SELECTION_NAME)
		return 0;
	return add_candidate(live, device->name, word);
}

static int choose(struct live *live)
{
	int err = 0;

	live->words = live->config.options->interfaces;
	if (!live->words.count) {
		if (dataplane_default_interface(live->default_name)) {
			log_error(0, "there is no default route to take the interface of: name one "
				     "by -i (xcapd -D lists them)");
			return EXIT_FAILURE;
		}
		live->default_word = live->default_name;
		live->words = (struct config_list){ .items = &live->default_word, .count = 1 };
	}
	for (size_t i = 0; i < live->words.count && !err; i++) {
		if (selection_kind(live->words.items[i]) == SELECTION_NAME)
			err = add_candidate(live, live->words.items[i], (int)i);
	}
	if (!err)
		err = netdev_for_each(look_at, live);
	return exit_code(err ? log_error(err, "cannot find the interfaces") : 0);
}

/* Loopback: what leaves there arrives there, once is enough. */
static bool wants(const struct live *live, const struct candidate *candidate, bool out)
{
	switch ((enum agent_direction)live->config.options->direction) {
	case AGENT_IN:
		return !out;
	case AGENT_OUT:
		return out && !candidate->is_loopback && candidate->is_device;
	case AGENT_INOUT:
		return !out || (!candidate->is_loopback && candidate->is_device);
	}
	return false;
}

static uint64_t buffer_bytes(const struct live *live)
{
	uint64_t asked = live->config.options->buffer_bytes;
	uint64_t each = (asked ? asked : BUFFERS_BYTES) / (LIVE_SOURCES * live->candidate_count);

	return asked ? MAX(each, 64 * KIB) : MIN(MAX(each, BUFFER_BYTES_MIN), BUFFER_BYTES_MAX);
}

static void destroy_sources(struct live_interface *interface)
{
	for (unsigned int i = 0; i < LIVE_SOURCES; i++) {
		if (interface->sources[i])
			interface->sources[i]->ops->destroy(interface->sources[i]);
		interface->sources[i] = NULL;
	}
}

static int describe(const struct live *live, const struct live_interface *interface)
{
	const struct agent_options *options = live->config.options;
	struct pcapng_interface description = {
		.snaplen = (uint32_t)options->snaplen,
		.tsresol = 9,
	};
	int err;

	for (unsigned int i = 0; i < LIVE_SOURCES; i++) {
		if (interface->sources[i])
			description.link_type = source_live_link_type(interface->sources[i]);
	}
	snprintf(description.name, sizeof(description.name), "%s", interface->name);
	memcpy(description.os, live->os, sizeof(description.os));
	err = interface_table_put(live->config.table, interface->id, &description);
	/* Of this daemon alone: its counters begin at 0. */
	if (!err)
		interface_table_set_account(live->config.table, interface->id,
					    (uint32_t)(interface->started_ns >> 20) | 1);
	return err;
}

static int open_one(struct live *live, const struct candidate *candidate, char *error)
{
	const struct agent_options *options = live->config.options;
	struct live_interface *interface = &live->list[live->count];
	struct source_live_config config = {
		.ifname = candidate->name,
		.interface = candidate->id,
		.snaplen = (uint32_t)options->snaplen,
		.buffer_bytes = buffer_bytes(live),
		.promiscuous = candidate->is_promiscuous,
		.filters = live->config.filters,
		.own = live->own[0] ? live->own : NULL,
	};
	int err = 0;

	*interface = (struct live_interface){
		.id = candidate->id,
		.started_ns = clock_ns(CLOCK_REALTIME),
	};
	memcpy(interface->name, candidate->name, sizeof(interface->name));
	for (int out = 0; out < LIVE_SOURCES && !err; out++) {
		config.direction = !candidate->is_device ? PCAPNG_DIR_UNKNOWN
				   : out		 ? PCAPNG_DIR_OUT
							 : PCAPNG_DIR_IN;
		if (wants(live, candidate, out))
			err = source_live_create(&interface->sources[out], &config, error);
	}
	if (!err) {
		err = describe(live, interface);
		if (err)
			explain(error, err, "cannot capture on %s", candidate->name);
	}
	if (err)
		destroy_sources(interface);
	else
		live->count++;
	return err;
}

/* What the programs do and libpcap cannot. */
static int check_abilities(const struct agent_options *options, const struct filter_set *filters)
{
	static const struct xcap_policy plain;

	switch (agent_options_timestamps(options)) {
	case AGENT_TIMESTAMPS_NIC:
	case AGENT_TIMESTAMPS_PTP:
		log_error(0, "time stamps of network cards take BPF programs, not --mode pcap");
		return -EINVAL;
	case AGENT_TIMESTAMPS_AUTO:
	case AGENT_TIMESTAMPS_KERNEL:
		break;
	}
	if (options->allow.count || options->deny.count || options->decap || options->sample > 1 ||
	    options->sample_flow > 1) {
		log_error(0, "--allow, --deny, --decap, --sample and --sample-flow take BPF "
			     "programs, not --mode pcap");
		return -EINVAL;
	}
	for (unsigned int i = 0; i < filters->count; i++) {
		if (memcmp(&filters->rules[i].policy, &plain, sizeof(plain)) != 0) {
			log_error(0,
				  "filter %s: what is kept of a packet, and samples, take BPF "
				  "programs, not --mode pcap",
				  filters->rules[i].name);
			return -EINVAL;
		}
	}
	return 0;
}

static void describe_filters(struct live *live)
{
	char text[sizeof(((struct pcapng_interface *)0)->filter)];

	filter_set_describe(live->config.filters, text, sizeof(text));
	interface_table_set_filter(live->config.table, live->config.filters->generation, text);
}

static int open_all(struct live *live)
{
	char error[EXPLAIN_LEN];
	int err;

	live->list = calloc(live->candidate_count + 1, sizeof(*live->list));
	if (!live->list)
		return exit_code(log_error(-ENOMEM, "cannot start"));
	describe_filters(live);
	for (unsigned int i = 0; i < live->candidate_count; i++) {
		const struct candidate *candidate = &live->candidates[i];

		err = open_one(live, candidate, error);
		if (err == -ENODEV && candidate->is_named)
			log_error(0, "there is no interface %s (xcapd -D lists them): %s",
				  candidate->name, error);
		else if (err && candidate->is_named)
			log_error(0, "%s", error);
		else if (err)
			log_warning(0, "%s: left out", error);
		else
			log_info("capturing on %s (pcap: by libpcap, its traffic goes on "
				 "untouched)",
				 candidate->name);
		if (err && candidate->is_named)
			return exit_code(err);
	}
	if (live->count)
		return 0;
	log_error(0, "there is no interface to capture on: in pcap mode they are taken up at the "
		     "start only (xcapd -D lists them)");
	return EXIT_FAILURE;
}

int live_create(struct live **ret, const struct live_config *config)
{
	struct live *live = calloc(1, sizeof(*live));
	struct utsname host;
	int code;

	if (!live)
		return exit_code(log_error(-ENOMEM, "cannot start"));
	live->config = *config;
	if (!uname(&host))
		snprintf(live->os, sizeof(live->os), "%.20s %.40s", host.sysname, host.release);
	code = exit_code(name_own(live) ? log_error(-ENOSPC, "too many aggregators") : 0);
	if (!code && check_abilities(config->options, config->filters))
		code = EXIT_CONFIG;
	if (!code)
		code = choose(live);
	if (!code)
		code = open_all(live);
	if (code) {
		live_destroy(live);
		return code;
	}
	*ret = live;
	return 0;
}

struct source *live_hand_over(struct live *live)
{
	while (live->handed_over < LIVE_SOURCES * live->count) {
		unsigned int i = live->handed_over++;
		struct source *source = live->list[i / LIVE_SOURCES].sources[i % LIVE_SOURCES];

		if (source)
			return source;
	}
	return NULL;
}

static void read_one(struct live_interface *interface, const struct interface_numbers *numbers)
{
	struct xcap_count *counts = interface->reading.counts;
	uint64_t seen = 0, taken = 0, bytes = 0;
	struct source_live_counts now;

	counts[XCAP_SELF].frames = counts[XCAP_FILTERED].frames = 0;
	counts[XCAP_RING_FULL].frames = 0;
	if (numbers)
		interface->reading.taken =
			atomic_load_explicit(&numbers->taken, memory_order_acquire);
	for (unsigned int i = 0; i < LIVE_SOURCES; i++) {
		if (!interface->sources[i])
			continue;
		source_live_counts(interface->sources[i], &now);
		counts[XCAP_SELF].frames += now.self;
		counts[XCAP_FILTERED].frames += now.filtered;
		counts[XCAP_RING_FULL].frames += now.dropped;
		taken += now.taken;
		bytes += now.bytes;
		seen += now.taken + now.filtered + now.self + now.dropped;
		if (now.is_gone && !interface->is_gone) {
			interface->is_gone = true;
			log_warning(0, "%s is gone: capturing on it has ended", interface->name);
		}
	}
	counts[XCAP_SEEN].frames = seen;
	counts[XCAP_HANDED].frames = taken;
	for (unsigned int i = 0; i < XCAP_COUNTER_COUNT; i++)
		counts[i].wire_packets = counts[i].frames;
	counts[XCAP_HANDED].bytes = bytes;
}

void live_read(struct live *live)
{
	for (unsigned int i = 0; i < live->count; i++) {
		struct live_interface *interface = &live->list[i];
		struct interface_numbers *numbers =
			interface_table_numbers(live->config.table, interface->id);

		read_one(interface, numbers);
		if (numbers)
			atomic_store_explicit(&numbers->drops,
					      interface->reading.counts[XCAP_RING_FULL].frames,
					      memory_order_relaxed);
	}
}

static void tell_one(struct live *live, struct live_interface *interface)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	struct pcapng_statistics statistics;
	struct interface_account account;

	interface_account_make(&account, &interface->reading);
	statistics = interface_account_statistics(&account, interface->started_ns,
						  clock_ns(CLOCK_REALTIME));
	interface_table_tell(live->config.table, interface->id, &statistics,
			     interface_account_kernel_dropped(&account));
	for (unsigned int d = 0; d < INTERFACE_DROP_COUNT; d++)
		loss_alert_warn(&interface->alerts[d], account.dropped[d], now, interface->name,
				interface_drop_name(d), interface_drop_advice(d));
}

void live_refresh(struct live *live)
{
	live_read(live);
	for (unsigned int i = 0; i < live->count; i++)
		tell_one(live, &live->list[i]);
}

/* Past libpcap, which belongs to the lane's thread: its socket takes nothing more. */
static void shut(const struct source *source)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = { .len = 1, .filter = &none };

	if (setsockopt(source->poll_fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)))
		log_debug("cannot end the flow of packets");
}

void live_shut(struct live *live)
{
	for (unsigned int i = 0; i < LIVE_SOURCES * live->count && !live->is_shut; i++) {
		if (live->list[i / LIVE_SOURCES].sources[i % LIVE_SOURCES])
			shut(live->list[i / LIVE_SOURCES].sources[i % LIVE_SOURCES]);
	}
	live->is_shut = true;
}

void live_destroy(struct live *live)
{
	struct source *source;

	if (!live)
		return;
	while ((source = live_hand_over(live)))
		source->ops->destroy(source);
	free(live->candidates);
	free(live->list);
	free(live);
}

const struct live_interface *live_list(const struct live *live, unsigned int *count)
{
	*count = live->count;
	return live->list;
}
