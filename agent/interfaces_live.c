/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interfaces that libpcap captures on. */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/interfaces_internal.h"
#include "common/log.h"

/* Ids of what is no device of the network, by the word of -i. */
#define ID_OF_NO_DEVICE 0x80000000u
/* Within so much the kernel shows what it has of an interface that is shut. */
#define SHUT_NS (100 * NS_PER_MS)

struct netdev interfaces_live_device(const char *name, int word)
{
	struct netdev device = { .ifindex = ID_OF_NO_DEVICE + (unsigned int)word };

	snprintf(device.name, sizeof(device.name), "%s", name);
	return device;
}

bool interfaces_live_is_device(unsigned int ifindex)
{
	return ifindex < ID_OF_NO_DEVICE;
}

static int count_asked(const struct netdev *device, void *context)
{
	struct interfaces *interfaces = context;

	interfaces->share += selection_find(&interfaces->words, device->name) >= 0;
	return 0;
}

static unsigned int share_of(struct interfaces *interfaces)
{
	if (!interfaces->share && netdev_for_each(count_asked, interfaces))
		log_debug("cannot count the interfaces");
	return MAX(interfaces->share, interfaces->count + 1);
}

int interfaces_live_attach(struct interfaces *interfaces, struct agent_interface *interface,
			   const struct netdev *device, char *error)
{
	const struct live_device config = {
		.name = device->name,
		.id = device->ifindex,
		.is_device = interfaces_live_is_device(device->ifindex),
		.is_loopback = device->flags & IFF_LOOPBACK,
		/* All of them at once would be no small change to a host. */
		.is_promiscuous = !interfaces->config.options->no_promiscuous &&
				  interfaces_kind(interfaces, interface->word) != SELECTION_ANY,
		.share = share_of(interfaces),
	};
	int err = live_attach(&interface->live, interfaces->config.live, &config,
			      interfaces->config.filters, error);

	if (err)
		return err;
	interface->started_ns = clock_ns(CLOCK_REALTIME);
	err = interfaces_describe(interfaces, interface, live_link_type(interface->live));
	if (err) {
		live_discard(interface->live);
		interface->live = NULL;
		return err;
	}
	/* Of this daemon alone: its counters begin at 0. */
	interface_table_set_account(interfaces->config.table, interface->ifindex,
				    (uint32_t)(interface->started_ns >> 20) | 1);
	return 0;
}

void interfaces_live_leave(struct interfaces *interfaces, const struct agent_interface *interface)
{
	struct interfaces_leaving *leaving;

	if (interfaces->starting) {
		/* No lane has its sources. */
		live_discard(interface->live);
		interface_table_retire(interfaces->config.table, interface->ifindex,
				       clock_ns(CLOCK_MONOTONIC));
		return;
	}
	leaving = calloc(1, sizeof(*leaving));
	live_shut(interface->live);
	if (!leaving) {
		/* Its sources count on: it is never freed. */
		interfaces->config.sockets.close(interfaces->config.sockets.context,
						 interface->ifindex);
		return;
	}
	leaving->interface = *interface;
	leaving->shut_ns = clock_ns(CLOCK_MONOTONIC);
	leaving->next = interfaces->leaving;
	interfaces->leaving = leaving;
}

bool interfaces_live_is_leaving(const struct interfaces *interfaces, unsigned int ifindex)
{
	for (const struct interfaces_leaving *at = interfaces->leaving; at; at = at->next) {
		if (at->interface.ifindex == ifindex)
			return true;
	}
	return false;
}

static void take_out(struct interfaces *interfaces, struct interfaces_leaving **at)
{
	struct interfaces_leaving *leaving = *at;
	struct agent_interface *interface = &leaving->interface;

	interfaces_finish(interfaces, interface);
	for (unsigned int i = 0; i < XCAP_COUNTER_COUNT; i++) {
		interfaces->gone_live[i].frames += interface->reading.counts[i].frames;
		interfaces->gone_live[i].wire_packets += interface->reading.counts[i].wire_packets;
		interfaces->gone_live[i].bytes += interface->reading.counts[i].bytes;
	}
	interface_table_retire(interfaces->config.table, interface->ifindex,
			       clock_ns(CLOCK_MONOTONIC));
	live_interface_destroy(interface->live);
	*at = leaving->next;
	free(leaving);
	interfaces->look_again = true;
}

void interfaces_live_refresh(struct interfaces *interfaces)
{
	const struct interfaces_sockets *sockets = &interfaces->config.sockets;
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	for (unsigned int i = 0; i < interfaces->count; i++) {
		struct agent_interface *interface = &interfaces->list[i];

		if (!interface->live)
			continue;
		live_refresh(interface->live);
		interfaces->look_again |= !live_is_alive(interface->live);
	}
	for (struct interfaces_leaving **at = &interfaces->leaving; *at;) {
		unsigned int ifindex = (*at)->interface.ifindex;

		if (!(*at)->is_closed && now >= (*at)->shut_ns + SHUT_NS) {
			live_close((*at)->interface.live);
			sockets->close(sockets->context, ifindex);
			(*at)->is_closed = true;
		}
		if ((*at)->is_closed && !sockets->are_closing(sockets->context, ifindex))
			take_out(interfaces, at);
		else
			at = &(*at)->next;
	}
}

void interfaces_live_read_gone(struct interfaces *interfaces)
{
	struct xcap_count counts[XCAP_COUNTER_COUNT];

	memcpy(interfaces->gone, interfaces->gone_live, sizeof(interfaces->gone));
	for (struct interfaces_leaving *at = interfaces->leaving; at; at = at->next) {
		live_counts(at->interface.live, counts);
		for (unsigned int i = 0; i < XCAP_COUNTER_COUNT; i++) {
			interfaces->gone[i].frames += counts[i].frames;
			interfaces->gone[i].wire_packets += counts[i].wire_packets;
			interfaces->gone[i].bytes += counts[i].bytes;
		}
	}
}

void interfaces_live_release(struct interfaces *interfaces)
{
	while (interfaces->leaving) {
		struct interfaces_leaving *leaving = interfaces->leaving;

		interfaces->leaving = leaving->next;
		live_interface_destroy(leaving->interface.live);
		free(leaving);
	}
	for (unsigned int i = 0; i < interfaces->count; i++)
		live_interface_destroy(interfaces->list[i].live);
}
