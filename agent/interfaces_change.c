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

static int describe(const struct interfaces *interfaces, unsigned int ifindex, const char *name,
		    uint16_t link_type)
{
	struct pcapng_interface description = {
		.link_type = link_type,
		.snaplen = (uint32_t)interfaces->config.options->snaplen,
		.tsresol = 9,
	};

	snprintf(description.name, sizeof(description.name), "%s", name);
	memcpy(description.os, interfaces->os, sizeof(description.os));
	return interface_table_put(interfaces->config.table, ifindex, &description);
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
		.force = options->force,
		.generic = options->xdp_mode == AGENT_XDP_GENERIC,
		/* All of them at once would be no small change to a host: as tcpdump's any. */
		.promiscuous = !options->no_promiscuous &&
			       interfaces_kind(interfaces, word) != SELECTION_ANY,
	};
	struct account_place place = { interfaces->config.table, device->ifindex };
	int err;

	config.counts_ready = set_account;
	config.context = &place;
	err = dataplane_attach(&interface->attached, interfaces->config.dataplane, &config, error);
	if (err)
		return err;
	interface->is_generic = dataplane_is_generic(interface->attached);
	interface->started_ns = dataplane_started_ns(interface->attached);
	return 0;
}

int interfaces_add(struct interfaces *interfaces, const struct netdev *device, int word,
		   char *error)
{
	struct agent_interface *interface = &interfaces->list[interfaces->count];
	int err = interfaces->count < INTERFACE_TABLE_MAX ? 0 : -ENOSPC, link_type;

	if (err)
		return err;
	*interface = (struct agent_interface){
		.mode = interfaces_is_tap(interfaces) ? XCAP_TAP : XCAP_MIRROR,
		.ifindex = device->ifindex,
		.word = word,
		.was_seen = true,
	};
	memcpy(interface->name, device->name, sizeof(interface->name));
	link_type = netdev_link_type(device);
	if (link_type >= 0)
		err = describe(interfaces, device->ifindex, device->name, (uint16_t)link_type);
	if (err)
		return err;
	/* Described first, as its packets come at once. */
	err = attach(interfaces, device, word, error);
	if (err) {
		interface->attached = NULL;
		interface_table_retire(interfaces->config.table, device->ifindex,
				       clock_ns(CLOCK_MONOTONIC));
	}
	if (err != -ENODEV)
		interfaces->count++;
	return err;
}

void interfaces_log_capturing(const struct agent_interface *interface)
{
	if (interface->mode == XCAP_MIRROR)
		log_info("capturing on %s (mirror: its traffic goes on untouched)",
			 interface->name);
	else
		log_info("capturing on %s (tap: its packets are taken from the host, %s XDP)",
			 interface->name, interface->is_generic ? "generic" : "native");
}

/* Its sockets would have to come into lanes that run. */
static void leave_out_of_tap(struct interfaces *interfaces, const struct netdev *device, int word)
{
	struct agent_interface *interface = &interfaces->list[interfaces->count];

	if (interfaces->count == INTERFACE_TABLE_MAX)
		return;
	*interface = (struct agent_interface){
		.mode = XCAP_TAP, .ifindex = device->ifindex, .word = word, .was_seen = true
	};
	memcpy(interface->name, device->name, sizeof(interface->name));
	interfaces->count++;
	log_warning(0,
		    "%s has come and is left out: in tap mode interfaces are taken up at the start "
		    "only (restart xcapd for it)",
		    device->name);
}

static void take_up(struct interfaces *interfaces, const struct netdev *device, int word)
{
	char error[DATAPLANE_ERROR_LEN];
	int err;

	if (interfaces_is_tap(interfaces) && !interfaces->starting) {
		leave_out_of_tap(interfaces, device, word);
		return;
	}
	err = interfaces_add(interfaces, device, word, error);
	switch (-err) {
	case 0:
		interfaces->missing[word] = false;
		interfaces->is_full = false;
		if (!interfaces_is_tap(interfaces))
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
	size_t after = (size_t)(&interfaces->list[interfaces->count] - given) - 1;

	memmove(given, given + 1, after * sizeof(*given));
	interfaces->count--;
	if (interface.attached) {
		interfaces_finish(interfaces, &interface);
		interface_table_retire(interfaces->config.table, interface.ifindex,
				       clock_ns(CLOCK_MONOTONIC));
		interfaces_read_gone(interfaces);
		log_line(was_named ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, 0,
			 "%s %s: capturing on it has ended after %llu packets", interface.name, why,
			 (unsigned long long)interface.reading.counts[XCAP_SEEN].frames);
	}
	interfaces_note_missing(interfaces, interface.word);
	interfaces->look_again |= interfaces->is_full;
}

static void rename_interface(struct interfaces *interfaces, struct agent_interface *interface,
			     const struct netdev *device)
{
	int word = selection_find(&interfaces->words, device->name), link_type;
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
	if (interface->attached) {
		log_info("%s is called %s now", interface->name, device->name);
		dataplane_rename(interface->attached, device->name);
		link_type = dataplane_link_type(interface->attached);
		(void)!describe(interfaces, device->ifindex, device->name, (uint16_t)link_type);
	}
	memcpy(interface->name, device->name, sizeof(interface->name));
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
	if (word >= 0)
		take_up(interfaces, device, word);
}

static int look_at(const struct netdev *device, void *context)
{
	interfaces_present(context, device);
	return 0;
}

int interfaces_look_around(struct interfaces *interfaces)
{
	int err;

	interfaces->look_again = false;
	for (unsigned int i = 0; i < interfaces->count; i++)
		interfaces->list[i].was_seen = false;
	err = netdev_for_each(look_at, interfaces);
	if (err) {
		interfaces->look_again = true;
		return err;
	}
	for (unsigned int i = interfaces->count; i-- > 0;) {
		struct agent_interface *interface = &interfaces->list[i];

		if (!interface->was_seen) {
			interfaces_give_up(interfaces, interface, "is gone");
		} else if (interface->attached && !interfaces->starting &&
			   !dataplane_is_attached(interface->attached)) {
			/* Another has its number. */
			interfaces_give_up(interfaces, interface, "was replaced");
			interfaces->look_again = true;
		}
	}
	return 0;
}
