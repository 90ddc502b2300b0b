/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interfaces taken up, given up and renamed. */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "agent/interfaces_internal.h"
#include "common/log.h"

struct agent_interface *interfaces_find(struct interfaces *interfaces, unsigned int ifindex)
{
	for (unsigned int i = 0; i < interfaces->count; i++) {
		if (interfaces->list[i].ifindex == ifindex)
			return &interfaces->list[i];
	}
	return NULL;
}

/* The word that asks for a device; a plain one may be an alternative name. */
static int word_for(const struct interfaces *interfaces, const struct netdev *device)
{
	int word = selection_find(&interfaces->words, device->name);

	for (size_t i = 0; i < interfaces->words.count && word < 0; i++) {
		if (interfaces->missing[i] &&
		    interfaces_kind(interfaces, (int)i) == SELECTION_NAME &&
		    if_nametoindex(interfaces->words.items[i]) == device->ifindex)
			word = (int)i;
	}
	return word;
}

int interfaces_describe(const struct interfaces *interfaces,
			const struct agent_interface *interface, uint16_t link_type)
{
	struct pcapng_interface description = {
		.link_type = link_type,
		.snaplen = (uint32_t)interfaces->config.options->snaplen,
		.tsresol = 9,
	};

	snprintf(description.name, sizeof(description.name), "%s", interface->name);
	snprintf(description.description, sizeof(description.description), "time stamps: %s",
		 interface->is_live ? "kernel" : timestamps_name(interface->timestamps));
	memcpy(description.os, interfaces->os, sizeof(description.os));
	return interface_table_put(interfaces->config.table, interface->ifindex, &description);
}

void interfaces_follow_clock(const struct interfaces *interfaces, struct agent_interface *interface)
{
	uint16_t link_type = dataplane_link_type(interface->attached);

	if (timestamps_follow(interface->timestamps, interface->attached))
		(void)!interfaces_describe(interfaces, interface, link_type);
}

static int choose_timestamps(struct interfaces *interfaces, const struct netdev *device,
			     struct timestamps **ret, char *error)
{
	const struct agent_options *options = interfaces->config.options;
	const struct timestamps_config config = {
		.asked = agent_options_timestamps(options),
		.device = device,
		.is_tap = interfaces_is_tap(interfaces),
		.is_generic = options->xdp_mode == AGENT_XDP_GENERIC,
	};
	int err = timestamps_create(ret, &config, error);

	if (!err && timestamps_asks_card(*ret))
		atomic_store(interfaces->config.stamp_age_ns, XCAP_STAMP_AGE_NS);
	return err;
}

/* With the kernel's time stamps, where the card's cannot be switched on and need not be. */
static int attach_as_can_be(const struct interfaces *interfaces, struct agent_interface *interface,
			    const struct netdev *device, struct dataplane_interface_config *config,
			    char *error)
{
	struct dataplane *dataplane = interfaces->config.dataplane;
	int err = dataplane_attach(&interface->attached, dataplane, config, error);

	if (err != -EDOM)
		return err;
	err = timestamps_give_up(interface->timestamps, error, error);
	if (!err)
		err = interfaces_describe(interfaces, interface,
					  (uint16_t)netdev_link_type(device));
	if (err)
		return err;
	config->stamps = false;
	return dataplane_attach(&interface->attached, dataplane, config, error);
}

struct account_place {
	struct interface_table *table;
	unsigned int ifindex;
};

static void set_account(void *context, uint32_t counts_id)
{
	const struct account_place *place = context;

	interface_table_set_account(place->table, place->ifindex, counts_id);
}

static int attach(struct interfaces *interfaces, const struct netdev *device, int word, char *error)
{
	static const unsigned int directions[] = {
		[AGENT_IN] = XCAP_IN,
		[AGENT_OUT] = XCAP_OUT,
		[AGENT_INOUT] = XCAP_IN | XCAP_OUT,
	};
	const struct agent_options *options = interfaces->config.options;
	struct agent_interface *interface = &interfaces->list[interfaces->count];
	struct dataplane_interface_config config = {
		.name = device->name,
		.ifindex = device->ifindex,
		.mode = interfaces_is_tap(interfaces) ? XCAP_TAP : XCAP_MIRROR,
		.snaplen = (uint32_t)options->snaplen,
		.directions = directions[options->direction],
		.filters = interfaces->config.filters,
		.decap = options->decap,
		.may_differ = interfaces_kind(interfaces, word) != SELECTION_NAME,
		.usual = { .sample = (uint32_t)options->sample,
			   .sample_flow = (uint32_t)options->sample_flow },
		.force = options->force,
		.generic = options->xdp_mode == AGENT_XDP_GENERIC,
		.stamps = timestamps_asks_card(interface->timestamps),
		.stamps_as_they_are = !interfaces_is_tap(interfaces) &&
				      agent_options_timestamps(options) == AGENT_TIMESTAMPS_AUTO,
		.tc = (enum dataplane_tc)options->tc_mode,
		/* All of them at once would be no small change to a host: as tcpdump's any. */
		.promiscuous = !options->no_promiscuous &&
			       interfaces_kind(interfaces, word) != SELECTION_ANY,
	};
	struct account_place place = { interfaces->config.table, device->ifindex };
	int err;

	config.counts_ready = set_account;
	config.context = &place;
	err = attach_as_can_be(interfaces, interface, device, &config, error);
	if (err)
		return err;
	interface->is_generic = dataplane_is_generic(interface->attached);
	interface->started_ns = dataplane_started_ns(interface->attached);
	interfaces_follow_clock(interfaces, interface);
	interface->is_clsact = dataplane_is_clsact(interface->attached);
	return 0;
}

/* tap: into lanes that run. Its sockets come first, so that no packet finds none. */
static int tap(struct interfaces *interfaces, struct agent_interface *interface, char *error)
{
	const struct interfaces_sockets *sockets = &interfaces->config.sockets;
	int err;

	err = sockets->open(sockets->context, interface, error);
	if (err) {
		dataplane_detach(interface->attached, NULL);
		return err;
	}
	err = dataplane_enable(interface->attached, error);
	if (err) {
		dataplane_detach(interface->attached, NULL);
		sockets->close(sockets->context, interface->ifindex);
		return err;
	}
	interface->is_generic = dataplane_is_generic(interface->attached);
	return 0;
}

/* They have sockets, each of one interface. */
static bool has_running_lanes(const struct interfaces *interfaces)
{
	return (interfaces_is_tap(interfaces) || interfaces_is_live(interfaces)) &&
	       !interfaces->starting;
}

static bool are_sockets_closing(const struct interfaces *interfaces, unsigned int ifindex)
{
	const struct interfaces_sockets *sockets = &interfaces->config.sockets;

	return interfaces_live_is_leaving(interfaces, ifindex) ||
	       (has_running_lanes(interfaces) && sockets->are_closing(sockets->context, ifindex));
}

static int add_live(struct interfaces *interfaces, struct agent_interface *interface,
		    const struct netdev *device, bool *is_listed, char *error)
{
	const struct interfaces_sockets *sockets = &interfaces->config.sockets;
	int err = interfaces_live_attach(interfaces, interface, device, error);

	*is_listed = err != -ENODEV && err != -EBUSY && err != -ENOSPC;
	if (err || !has_running_lanes(interfaces))
		return err;
	err = sockets->open(sockets->context, interface, error);
	if (err) {
		/* Some lane may have had one of its sources. */
		live_close(interface->live);
		interfaces_live_leave(interfaces, interface);
		interface->live = NULL;
	}
	return err == -ENOSPC ? -EMFILE : err;
}

/* An interface of the list: it is taken up by the programs. */
static int add_attached(struct interfaces *interfaces, struct agent_interface *interface,
			const struct netdev *device, bool *is_listed, char *error)
{
	int link_type = netdev_link_type(device);
	int err = choose_timestamps(interfaces, device, &interface->timestamps, error);

	if (!err && link_type >= 0) {
		err = interfaces_describe(interfaces, interface, (uint16_t)link_type);
		if (err) {
			timestamps_destroy(interface->timestamps);
			return err;
		}
	}
	/* Described first, as its packets come at once. */
	if (!err)
		err = attach(interfaces, device, interface->word, error);
	if (!err && has_running_lanes(interfaces))
		err = tap(interfaces, interface, error);
	if (err) {
		interface->attached = NULL;
		timestamps_destroy(interface->timestamps);
		interface->timestamps = NULL;
		interface_table_retire(interfaces->config.table, device->ifindex,
				       clock_ns(CLOCK_MONOTONIC));
	}
	*is_listed = err != -ENODEV;
	/* Somebody else's may never end. */
	return err == -EBUSY ? -EADDRINUSE : err;
}

int interfaces_add(struct interfaces *interfaces, const struct netdev *device, int word,
		   char *error)
{
	struct agent_interface *interface = &interfaces->list[interfaces->count];
	bool is_listed = false;
	int err;

	if (interfaces->count == INTERFACE_TABLE_MAX)
		return -ENOSPC;
	/* Their queues cannot be bound to twice. */
	if (are_sockets_closing(interfaces, device->ifindex))
		return -EBUSY;
	*interface = (struct agent_interface){
		.mode = interfaces_is_tap(interfaces) ? XCAP_TAP : XCAP_MIRROR,
		.ifindex = device->ifindex,
		.word = word,
		.was_seen = true,
		.is_live = interfaces_is_live(interfaces),
	};
	memcpy(interface->name, device->name, sizeof(interface->name));
	err = interfaces_is_live(interfaces)
		      ? add_live(interfaces, interface, device, &is_listed, error)
		      : add_attached(interfaces, interface, device, &is_listed, error);
	interfaces->count += is_listed;
	return err;
}

void interfaces_log_capturing(const struct agent_interface *interface)
{
	const char *stamps, *why;

	if (interface->is_live) {
		log_info("capturing on %s (pcap: by libpcap, its traffic goes on untouched)",
			 interface->name);
		return;
	}
	stamps = timestamps_name(interface->timestamps);
	why = timestamps_why(interface->timestamps);
	if (interface->mode == XCAP_MIRROR)
		log_info("capturing on %s (mirror%s: its traffic goes on untouched; time stamps: "
			 "%s%s%s)",
			 interface->name, interface->is_clsact ? " by clsact" : "", stamps,
			 *why ? ", " : "", why);
	else
		log_info("capturing on %s (tap: its packets are taken from the host, %s XDP; time "
			 "stamps: %s%s%s)",
			 interface->name, interface->is_generic ? "generic" : "native", stamps,
			 *why ? ", " : "", why);
}

void interfaces_begin_turn(struct interfaces *interfaces)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	interfaces->turn_ends_ns = now + (interfaces->starting ? START_TURN_NS : TURN_NS);
	/* Lanes are made for the sockets of all that is there. */
	if (interfaces->starting && interfaces_is_tap(interfaces))
		interfaces->turn_ends_ns = UINT64_MAX;
}

static void take_up(struct interfaces *interfaces, const struct netdev *device, int word)
{
	char error[DATAPLANE_ERROR_LEN];
	int err;

	if (clock_ns(CLOCK_MONOTONIC) >= interfaces->turn_ends_ns) {
		interfaces->is_postponed = true;
		loop_timer_start(interfaces->config.loop, &interfaces->turn, 0);
		return;
	}
	err = interfaces_add(interfaces, device, word, error);
	switch (-err) {
	case 0:
		interfaces->missing[word] = false;
		interfaces->is_full = false;
		if (!interfaces_is_tap(interfaces) || !interfaces->starting)
			interfaces_log_capturing(&interfaces->list[interfaces->count - 1]);
		break;
	case ENODEV:
		break;
	case EBUSY:
		interfaces->look_again = true;
		break;
	case ENOSPC:
		if (!interfaces->is_full)
			log_warning(0, "%s and more are left out: %d interfaces are the most",
				    device->name, INTERFACE_TABLE_MAX);
		interfaces->is_full = true;
		/* Of those gone some are still described. */
		interfaces->look_again = interfaces->count < INTERFACE_TABLE_MAX;
		break;
	default:
		log_warning(0, "%s: left out", error);
	}
}

void interfaces_note_missing(struct interfaces *interfaces, int word)
{
	const char *text = interfaces->words.items[word];

	for (unsigned int i = 0; i < interfaces->count; i++) {
		if (interfaces->list[i].word == word)
			return;
	}
	if (interfaces->missing[word])
		return;
	interfaces->missing[word] = true;
	if (interfaces_kind(interfaces, word) == SELECTION_NAME)
		log_info("waiting for %s to come back", text);
	else
		log_info("there is no interface that is meant by %s: waiting for one", text);
}

void interfaces_give_up(struct interfaces *interfaces, struct agent_interface *given,
			const char *why)
{
	struct agent_interface interface = *given;
	bool was_named = interfaces_kind(interfaces, interface.word) == SELECTION_NAME;
	bool was_captured = agent_interface_is_captured(given);
	size_t after = (size_t)(&interfaces->list[interfaces->count] - given) - 1;

	memmove(given, given + 1, after * sizeof(*given));
	interfaces->count--;
	if (interface.live) {
		interfaces_live_leave(interfaces, &interface);
	} else if (interface.attached) {
		interfaces_finish(interfaces, &interface);
		if (has_running_lanes(interfaces))
			interfaces->config.sockets.close(interfaces->config.sockets.context,
							 interface.ifindex);
		interface_table_retire(interfaces->config.table, interface.ifindex,
				       clock_ns(CLOCK_MONOTONIC));
	}
	if (was_captured) {
		interfaces_read_gone(interfaces);
		log_line(was_named ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, 0,
			 "%s %s: capturing on it has ended after %llu packets", interface.name, why,
			 (unsigned long long)interface.reading.counts[XCAP_SEEN].frames);
	}
	timestamps_destroy(interface.timestamps);
	interfaces_note_missing(interfaces, interface.word);
	interfaces->look_again |= interfaces->is_full;
}

static void rename_interface(struct interfaces *interfaces, struct agent_interface *interface,
			     const struct netdev *device)
{
	int word = selection_find(&interfaces->words, device->name);
	bool was_named = interfaces_kind(interfaces, interface->word) == SELECTION_NAME;
	char why[96];

	if (!was_named && word < 0) {
		snprintf(why, sizeof(why), "is called %s now, which is not asked for",
			 device->name);
		interfaces_give_up(interfaces, interface, why);
		return;
	}
	/* What was named goes on, whatever it is called. */
	if (!was_named)
		interface->word = word;
	if (agent_interface_is_captured(interface))
		log_info("%s is called %s now", interface->name, device->name);
	memcpy(interface->name, device->name, sizeof(interface->name));
	if (interface->live) {
		live_rename(interface->live, device->name);
		(void)!interfaces_describe(interfaces, interface, live_link_type(interface->live));
	} else if (interface->attached) {
		dataplane_rename(interface->attached, device->name);
		(void)!interfaces_describe(interfaces, interface,
					   dataplane_link_type(interface->attached));
	}
}

void interfaces_present(struct interfaces *interfaces, const struct netdev *device)
{
	struct agent_interface *interface = interfaces_find(interfaces, device->ifindex);
	int word;

	if (interface) {
		interface->was_seen = true;
		if (strcmp(interface->name, device->name) != 0)
			rename_interface(interfaces, interface, device);
		return;
	}
	word = word_for(interfaces, device);
	/* libpcap opens none that is down: we hear of it once it is up. */
	if (word >= 0 && (!interfaces_is_live(interfaces) || device->flags & IFF_UP))
		take_up(interfaces, device, word);
}

/* Every device was looked at, none postponed: for the first time. */
static void note_all_taken(struct interfaces *interfaces)
{
	interfaces->was_all_taken = true;
	if (!interfaces_is_live(interfaces))
		dataplane_prune(interfaces->config.dataplane);
	interfaces_read_gone(interfaces);
	for (size_t i = 0; i < interfaces->words.count; i++)
		interfaces_note_missing(interfaces, (int)i);
}

static int look_at(const struct netdev *device, void *context)
{
	interfaces_present(context, device);
	return 0;
}

static bool was_replaced(const struct agent_interface *interface)
{
	return (interface->live && !live_is_alive(interface->live)) ||
	       (interface->attached && !dataplane_is_attached(interface->attached));
}

/* But libpcap knows it. */
static bool is_no_device(const struct agent_interface *interface)
{
	return interface->live && !interfaces_live_is_device(interface->ifindex);
}

int interfaces_look_around(struct interfaces *interfaces)
{
	int err;

	interfaces->look_again = false;
	interfaces->is_postponed = false;
	for (unsigned int i = 0; i < interfaces->count; i++)
		interfaces->list[i].was_seen = is_no_device(&interfaces->list[i]);
	err = netdev_for_each(look_at, interfaces);
	if (err) {
		interfaces->look_again = true;
		return err;
	}
	for (unsigned int i = interfaces->count; i-- > 0;) {
		struct agent_interface *interface = &interfaces->list[i];

		if (!interface->was_seen) {
			interfaces_give_up(interfaces, interface, "is gone");
		} else if (!interfaces->starting && was_replaced(interface)) {
			/* Another has its number, or libpcap lost sight of it. */
			interfaces_give_up(interfaces, interface,
					   interface->live ? "was closed" : "was replaced");
			interfaces->look_again = true;
		}
	}
	if (!interfaces->is_postponed && !interfaces->was_all_taken)
		note_all_taken(interfaces);
	return 0;
}
