/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/live.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/exit_code.h"
#include "agent/live_filters.h"
#include "bpf/explain.h"
#include "common/log.h"

/* Of the kernel's buffers: all together, and of each source. */
#define BUFFERS_BYTES (64 * MIB)
#define BUFFER_BYTES_MIN (2 * MIB)
#define BUFFER_BYTES_MAX (16 * MIB)
#define OWN_LEN 4096

struct live {
	struct live_config config;
	char own[OWN_LEN];
};

struct live_interface {
	const struct live *live;
	struct live_device device;
	char name[16];
	uint16_t link_type;
	struct source *sources[LIVE_SOURCES]; /* NULL: not captured, or closed */
	int fds[LIVE_SOURCES];		      /* their sockets', ours; -1: there is none */
	struct live_numbers numbers[LIVE_SOURCES];
	/* A change of filters. */
	struct live_filters *next[LIVE_SOURCES];
	char slots[XCAP_FILTERS_MAX][FILTER_NAME_MAX + 1],
		next_slots[XCAP_FILTERS_MAX][FILTER_NAME_MAX + 1];
	struct xcap_count before[XCAP_FILTERS_MAX]; /* matched by what had the slot earlier */
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

/* What the programs do and libpcap cannot. */
static int check_abilities(const struct agent_options *options)
{
	switch (agent_options_timestamps(options)) {
	case AGENT_TIMESTAMPS_NIC:
	case AGENT_TIMESTAMPS_PTP:
		return log_error(0, "time stamps of network cards take BPF programs, not --mode "
				    "pcap"),
		       -EDOM;
	case AGENT_TIMESTAMPS_AUTO:
	case AGENT_TIMESTAMPS_KERNEL:
		break;
	}
	if (options->allow.count || options->deny.count || options->decap ||
	    options->sample_flow > 1)
		return log_error(0, "--allow, --deny, --decap and --sample-flow take BPF "
				    "programs, not --mode pcap"),
		       -EDOM;
	return 0;
}

int live_check_filters(const struct filter_set *filters, char error[FILTER_ERROR_LEN])
{
	for (unsigned int i = 0; i < filters->count; i++) {
		const struct xcap_policy *policy = &filters->rules[i].policy;

		if (policy->keep == XCAP_KEEP_HEADERS || policy->sample_flow > 1)
			return explain_only(error, -EDOM,
					    "filter %s: keep=headers and sample-flow take BPF "
					    "programs, not --mode pcap",
					    filters->rules[i].name);
	}
	return 0;
}

int live_create(struct live **ret, const struct live_config *config)
{
	struct live *live = calloc(1, sizeof(*live));
	int err;

	if (!live)
		return exit_code(log_error(-ENOMEM, "cannot start"));
	live->config = *config;
	err = name_own(live) ? log_error(-ENOSPC, "too many aggregators") : 0;
	if (!err)
		err = check_abilities(config->options);
	if (err) {
		live_destroy(live);
		return exit_code(err);
	}
	*ret = live;
	return 0;
}

void live_destroy(struct live *live)
{
	free(live);
}

/* Loopback: what leaves there arrives there, once is enough. */
static bool wants(const struct live_interface *interface, bool out)
{
	const struct live_device *device = &interface->device;

	switch ((enum agent_direction)interface->live->config.options->direction) {
	case AGENT_IN:
		return !out;
	case AGENT_OUT:
		return out && !device->is_loopback && device->is_device;
	case AGENT_INOUT:
		return !out || (!device->is_loopback && device->is_device);
	}
	return false;
}

static uint64_t buffer_bytes(const struct live_interface *interface)
{
	uint64_t asked = interface->live->config.options->buffer_bytes;
	uint64_t each =
		(asked ? asked : BUFFERS_BYTES) / (LIVE_SOURCES * MAX(interface->device.share, 1u));

	return asked ? MAX(each, 64 * KIB) : MIN(MAX(each, BUFFER_BYTES_MIN), BUFFER_BYTES_MAX);
}

static struct source_live_config config_of(struct live_interface *interface, unsigned int out,
					   const struct filter_set *filters)
{
	const struct agent_options *options = interface->live->config.options;
	const char *own = interface->live->own;

	return (struct source_live_config){
		.ifname = interface->name,
		.interface = interface->device.id,
		.direction = !interface->device.is_device ? PCAPNG_DIR_UNKNOWN
			     : out			  ? PCAPNG_DIR_OUT
							  : PCAPNG_DIR_IN,
		.snaplen = (uint32_t)options->snaplen,
		.buffer_bytes = buffer_bytes(interface),
		.promiscuous = interface->device.is_promiscuous,
		.sample = (uint32_t)options->sample,
		.filters = filters,
		.own = *own ? own : NULL,
		.numbers = &interface->numbers[out],
	};
}

static void name_slots(char slots[XCAP_FILTERS_MAX][FILTER_NAME_MAX + 1],
		       const struct filter_set *filters)
{
	memset(slots, 0, XCAP_FILTERS_MAX * sizeof(slots[0]));
	for (unsigned int i = 0; i < filters->count; i++)
		memcpy(slots[filters->rules[i].slot], filters->rules[i].name, sizeof(slots[0]));
}

static int open_sources(struct live_interface *interface, const struct filter_set *filters,
			char *error)
{
	struct source_live_config config;
	int err = 0;

	for (unsigned int out = 0; out < LIVE_SOURCES && !err; out++) {
		if (!wants(interface, out))
			continue;
		config = config_of(interface, out, filters);
		err = source_live_create(&interface->sources[out], &config, error);
		if (err)
			break;
		interface->link_type = source_live_link_type(interface->sources[out]);
		if (interface->device.is_device)
			interface->fds[out] =
				fcntl(interface->sources[out]->poll_fd, F_DUPFD_CLOEXEC, 0);
	}
	return err;
}

int live_attach(struct live_interface **ret, const struct live *live,
		const struct live_device *device, const struct filter_set *filters, char *error)
{
	struct live_interface *interface = calloc(1, sizeof(*interface));
	int err;

	if (!interface)
		return explain(error, -ENOMEM, "cannot capture on %s", device->name);
	interface->live = live;
	for (unsigned int i = 0; i < LIVE_SOURCES; i++)
		interface->fds[i] = -1;
	interface->device = *device;
	live_rename(interface, device->name);
	name_slots(interface->slots, filters);
	err = open_sources(interface, filters, error);
	if (!err) {
		*ret = interface;
		return 0;
	}
	live_discard(interface);
	return err;
}

struct source *live_source(const struct live_interface *interface, unsigned int at)
{
	for (unsigned int i = 0; i < LIVE_SOURCES; i++) {
		if (interface->sources[i] && !at--)
			return interface->sources[i];
	}
	return NULL;
}

uint16_t live_link_type(const struct live_interface *interface)
{
	return interface->link_type;
}

bool live_is_alive(const struct live_interface *interface)
{
	for (unsigned int i = 0; i < LIVE_SOURCES; i++) {
		if (atomic_load(&interface->numbers[i].is_gone))
			return false;
	}
	return true;
}

void live_rename(struct live_interface *interface, const char *name)
{
	snprintf(interface->name, sizeof(interface->name), "%s", name);
	interface->device.name = interface->name;
}

static uint64_t get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

void live_counts(const struct live_interface *interface,
		 struct xcap_count counts[XCAP_COUNTER_COUNT])
{
	memset(counts, 0, XCAP_COUNTER_COUNT * sizeof(*counts));
	for (unsigned int i = 0; i < LIVE_SOURCES; i++) {
		const struct live_numbers *numbers = &interface->numbers[i];
		const uint64_t self = get(&numbers->self), filtered = get(&numbers->filtered);
		const uint64_t dropped = get(&numbers->dropped), taken = get(&numbers->taken);
		const uint64_t sampled_out = get(&numbers->sampled_out);

		counts[XCAP_SELF].frames += self;
		counts[XCAP_FILTERED].frames += filtered;
		counts[XCAP_SAMPLED_OUT].frames += sampled_out;
		counts[XCAP_RING_FULL].frames += dropped;
		counts[XCAP_HANDED].frames += taken;
		counts[XCAP_HANDED].bytes += get(&numbers->bytes);
		counts[XCAP_SEEN].frames += self + filtered + sampled_out + dropped + taken;
	}
	for (unsigned int i = 0; i < XCAP_COUNTER_COUNT; i++)
		counts[i].wire_packets = counts[i].frames;
}

void live_refresh(struct live_interface *interface)
{
	for (unsigned int i = 0; i < LIVE_SOURCES; i++) {
		if (interface->sources[i])
			source_live_refresh(interface->sources[i]);
	}
}

static void forget_next(struct live_interface *interface)
{
	for (unsigned int i = 0; i < LIVE_SOURCES; i++) {
		live_filters_destroy(interface->next[i]);
		interface->next[i] = NULL;
	}
}

int live_prepare_filters(struct live_interface *interface, const struct filter_set *filters,
			 char *error)
{
	struct source_live_config config;
	int err = 0;

	forget_next(interface);
	for (unsigned int i = 0; i < LIVE_SOURCES && !err; i++) {
		if (!interface->sources[i])
			continue;
		config = config_of(interface, i, filters);
		err = source_live_prepare(&interface->next[i], interface->sources[i], &config,
					  error);
	}
	if (err)
		forget_next(interface);
	else
		name_slots(interface->next_slots, filters);
	return err;
}

static struct xcap_count matched_of(const struct live_interface *interface, unsigned int slot)
{
	struct xcap_count count = {};

	for (unsigned int i = 0; i < LIVE_SOURCES; i++) {
		count.frames += get(&interface->numbers[i].matched[slot].packets);
		count.bytes += get(&interface->numbers[i].matched[slot].bytes);
	}
	return count;
}

int live_apply_filters(struct live_interface *interface, char *error)
{
	int err = 0;

	for (unsigned int slot = 0; slot < XCAP_FILTERS_MAX; slot++) {
		if (strcmp(interface->slots[slot], interface->next_slots[slot]) != 0)
			interface->before[slot] = matched_of(interface, slot);
	}
	memcpy(interface->slots, interface->next_slots, sizeof(interface->slots));
	for (unsigned int i = 0; i < LIVE_SOURCES && !err; i++) {
		if (!interface->next[i])
			continue;
		err = source_live_apply(interface->sources[i], interface->next[i]);
		if (!err)
			interface->next[i] = NULL;
	}
	forget_next(interface);
	return err ? explain(error, err, "cannot filter on %s", interface->name) : 0;
}

void live_matched(const struct live_interface *interface,
		  struct xcap_count counts[XCAP_FILTERS_MAX])
{
	for (unsigned int slot = 0; slot < XCAP_FILTERS_MAX; slot++) {
		counts[slot] = matched_of(interface, slot);
		counts[slot].frames -= interface->before[slot].frames;
		counts[slot].wire_packets = counts[slot].frames;
		counts[slot].bytes -= interface->before[slot].bytes;
	}
}

void live_shut(struct live_interface *interface)
{
	for (unsigned int i = 0; i < LIVE_SOURCES; i++) {
		if (interface->fds[i] >= 0 && live_filters_shut(interface->fds[i]))
			log_debug("cannot end the flow of packets");
	}
}

void live_close(struct live_interface *interface)
{
	for (unsigned int i = 0; i < LIVE_SOURCES; i++) {
		interface->sources[i] = NULL;
		if (interface->fds[i] >= 0)
			close(interface->fds[i]);
		interface->fds[i] = -1;
	}
}

void live_interface_destroy(struct live_interface *interface)
{
	if (!interface)
		return;
	live_close(interface);
	forget_next(interface);
	free(interface);
}

void live_discard(struct live_interface *interface)
{
	for (unsigned int i = 0; i < LIVE_SOURCES; i++) {
		if (interface->sources[i])
			interface->sources[i]->ops->destroy(interface->sources[i]);
	}
	live_interface_destroy(interface);
}
