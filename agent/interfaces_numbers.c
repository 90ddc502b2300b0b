/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What interfaces count: read, told, and kept when they go. */
#include <string.h>

#include "agent/interfaces_internal.h"

static uint64_t get(const _Atomic uint64_t *counter)
{
	/* What is read behind it is as late at least. */
	return atomic_load_explicit(counter, memory_order_acquire);
}

/* First: see interface_account.h. */
static struct interface_numbers *read_lanes(const struct interfaces *interfaces,
					    struct agent_interface *interface)
{
	struct interface_numbers *numbers =
		interface_table_numbers(interfaces->config.table, interface->ifindex);

	if (!numbers)
		return NULL;
	interface->reading.taken = get(&numbers->taken);
	for (unsigned int i = 0; i < INTERFACE_LOST_COUNT; i++)
		interface->reading.lost[i] = get(&numbers->lost[i]);
	return numbers;
}

static void read_nic(struct agent_interface *interface)
{
	struct xcap_nic nic;

	if (interface->attached && !dataplane_nic(interface->attached, &nic))
		interface->reading.nic = nic;
}

static void read_one(struct interfaces *interfaces, struct agent_interface *interface,
		     bool with_nic)
{
	struct interface_numbers *numbers = read_lanes(interfaces, interface);
	struct xcap_count counts[XCAP_COUNTER_COUNT];

	if (interface->live)
		live_counts(interface->live, interface->reading.counts);
	else if (!dataplane_counts(interface->attached, counts))
		memcpy(interface->reading.counts, counts, sizeof(counts));
	if (with_nic)
		read_nic(interface);
	if (numbers)
		atomic_store_explicit(&numbers->drops,
				      interface->reading.counts[XCAP_RING_FULL].frames +
					      interface->reading.counts[XCAP_TOO_LONG].frames +
					      interface->reading.counts[XCAP_NO_MEMORY].frames,
				      memory_order_relaxed);
}

void interfaces_read(struct interfaces *interfaces, bool with_nic)
{
	for (unsigned int i = 0; i < interfaces->count; i++) {
		if (agent_interface_is_captured(&interfaces->list[i]))
			read_one(interfaces, &interfaces->list[i], with_nic);
		else if (interfaces->detached)
			(void)read_lanes(interfaces, &interfaces->list[i]);
	}
	if (interfaces_is_live(interfaces))
		interfaces_live_read_gone(interfaces);
}

static void tell_one(struct interfaces *interfaces, struct agent_interface *interface)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	struct pcapng_statistics statistics;
	struct interface_account account;

	interface_account_make(&account, &interface->reading);
	statistics = interface_account_statistics(&account, interface->started_ns,
						  clock_ns(CLOCK_REALTIME));
	interface_table_tell(interfaces->config.table, interface->ifindex, &statistics,
			     interface_account_kernel_dropped(&account));
	for (unsigned int d = 0; d < INTERFACE_DROP_COUNT; d++)
		loss_alert_warn(&interface->alerts[d], account.dropped[d], now, interface->name,
				interface_drop_name(d), interface_drop_advice(d));
}

void interfaces_tell(struct interfaces *interfaces)
{
	for (unsigned int i = 0; i < interfaces->count; i++) {
		if (agent_interface_is_captured(&interfaces->list[i]))
			tell_one(interfaces, &interfaces->list[i]);
	}
}

void interfaces_finish(struct interfaces *interfaces, struct agent_interface *interface)
{
	read_nic(interface);
	(void)read_lanes(interfaces, interface);
	if (interface->live) {
		live_shut(interface->live);
		live_counts(interface->live, interface->reading.counts);
	} else {
		dataplane_detach(interface->attached, interface->reading.counts);
		interface->attached = NULL;
	}
	interfaces->gone_nic += interface->reading.nic.missed + interface->reading.nic.fifo;
	tell_one(interfaces, interface);
}

void interfaces_read_gone(struct interfaces *interfaces)
{
	struct xcap_count counts[XCAP_COUNTER_COUNT];

	if (interfaces_is_live(interfaces))
		interfaces_live_read_gone(interfaces);
	else if (dataplane_gone_counts(interfaces->config.dataplane, counts) == 0)
		memcpy(interfaces->gone, counts, sizeof(counts));
}
