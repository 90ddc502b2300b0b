/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/list_interfaces.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/exit_code.h"
#include "bpf/netdev.h"
#include "common/log.h"
#include "common/pcapng.h"

#define ADDRESS_LEN (INET6_ADDRSTRLEN + 4)

static json_t *text_or_null(const char *text)
{
	return *text ? json_string(text) : json_null();
}

/* As in RFC 2863 and `ip link`. */
static const char *state_name(unsigned int operstate)
{
	static const char *const names[] = { "unknown", "not present", "down", "lower layer down",
					     "testing", "dormant",     "up" };

	return operstate < ARRAY_SIZE(names) ? names[operstate] : "unknown";
}

static json_t *xdp_json(const struct netdev *device)
{
	struct netdev_xdp xdp;

	netdev_query_xdp(&xdp, device->ifindex);
	if (!xdp.known)
		return json_null();
	return json_pack("{s:b,s:b,s:b,s:b}", "native", xdp.native, "zero_copy", xdp.zero_copy,
			 "multi_buffer", xdp.multi_buffer, "vlan_tag", xdp.vlan_tag);
}

static json_t *mac_json(const struct netdev *device)
{
	char text[3 * sizeof(device->address)] = "";

	for (unsigned int i = 0; i < device->address_len; i++)
		snprintf(text + (i ? 3 * i - 1 : 0), 4, i ? ":%02x" : "%02x", device->address[i]);
	return text_or_null(text);
}

static json_t *link_type_json(const struct netdev *device)
{
	int link_type = netdev_link_type(device);

	return link_type < 0			? json_null()
	       : link_type == LINKTYPE_ETHERNET ? json_string("ethernet")
						: json_string("raw");
}

struct list {
	json_t *interfaces;
	unsigned int preferred; /* ifindex; 0: there is none */
};

/* What is null is not known, or there is none. */
static int add_device(const struct netdev *found, void *context)
{
	const struct list *list = context;
	struct netdev queried;
	/* It knows how many queues are in use; one that is gone meanwhile is as it was. */
	const struct netdev *device = netdev_query(&queried, found->ifindex) ? found : &queried;
	uint32_t speed = netdev_speed(device);
	char driver[32];
	json_t *json;

	netdev_driver(driver, device);
	json = json_pack(
		"{s:i,s:s,s:b,s:b,s:b,s:b,s:s,s:o,s:o,s:o,s:o,s:i,s:i,s:o,s:[],s:o}", "index",
		(int)device->ifindex, "name", device->name, "default",
		device->ifindex == list->preferred, "up", !!(device->flags & IFF_UP), "running",
		!!(device->flags & IFF_RUNNING), "loopback", !!(device->flags & IFF_LOOPBACK),
		"state", state_name(device->operstate), "link_type", link_type_json(device), "kind",
		text_or_null(device->kind), "driver", text_or_null(driver), "mac", mac_json(device),
		"mtu", (int)device->mtu, "rx_queues", (int)device->rx_queues, "speed_mbps",
		speed ? json_integer(speed) : json_null(), "addresses", "xdp", xdp_json(device));
	return json && !json_array_append_new(list->interfaces, json) ? 0 : -ENOMEM;
}

static int add_address(const struct netdev_address *address, void *context)
{
	const struct list *list = context;
	char host[INET6_ADDRSTRLEN], text[ADDRESS_LEN];
	json_t *interface;
	size_t i;

	if (!inet_ntop(address->family, address->bytes, host, sizeof(host)))
		return 0;
	snprintf(text, sizeof(text), "%s/%u", host, address->prefix_len);
	json_array_foreach(list->interfaces, i, interface)
	{
		if (json_integer_value(json_object_get(interface, "index")) == address->ifindex)
			json_array_append_new(json_object_get(interface, "addresses"),
					      json_string(text));
	}
	return 0;
}

static bool is_true(const json_t *interface, const char *key)
{
	return json_is_true(json_object_get(interface, key));
}

static const char *text_of(const json_t *interface, const char *key)
{
	const char *text = json_string_value(json_object_get(interface, key));

	return text ? text : "unknown";
}

static void print_xdp(const json_t *xdp)
{
	if (json_is_null(xdp))
		printf(", XDP unknown");
	else if (!is_true(xdp, "native"))
		printf(", XDP generic");
	else
		printf(", XDP native%s%s", is_true(xdp, "zero_copy") ? " zero-copy" : "",
		       is_true(xdp, "multi_buffer") ? " multi-buffer" : "");
}

/* Begins as tcpdump -D does. */
static void print_interface(const json_t *interface)
{
	const json_t *speed = json_object_get(interface, "speed_mbps"), *address;
	const char *separator = ", ";
	size_t i;

	printf("%" JSON_INTEGER_FORMAT ".%s [%s%s%s%s] ",
	       json_integer_value(json_object_get(interface, "index")), text_of(interface, "name"),
	       is_true(interface, "up") ? "Up" : "Down",
	       is_true(interface, "running") ? ", Running" : "",
	       is_true(interface, "loopback") ? ", Loopback" : "",
	       is_true(interface, "default") ? ", Default" : "");
	if (json_is_null(speed))
		printf("speed unknown");
	else
		printf("%" JSON_INTEGER_FORMAT " Mb/s", json_integer_value(speed));
	printf(", driver %s", text_of(interface, "driver"));
	print_xdp(json_object_get(interface, "xdp"));
	if (json_is_null(json_object_get(interface, "link_type")))
		printf(", cannot be captured on");
	json_array_foreach(json_object_get(interface, "addresses"), i, address)
	{
		printf("%s%s", separator, json_string_value(address));
		separator = " ";
	}
	putchar('\n');
}

static int print_list(const struct list *list, bool as_json)
{
	const json_t *interface;
	json_t *root;
	size_t i;
	int err;

	if (!as_json) {
		json_array_foreach(list->interfaces, i, interface) print_interface(interface);
		return fflush(stdout) ? -errno : 0;
	}
	root = json_pack("{s:O}", "interfaces", list->interfaces);
	err = root ? json_dumpf(root, stdout, JSON_INDENT(2)) : -1;
	json_decref(root);
	putchar('\n');
	return err ? -EIO : fflush(stdout) ? -errno : 0;
}

int list_interfaces(bool as_json)
{
	struct list list = { .interfaces = json_array() };
	int err = -ENOMEM;

	if (!netdev_default_routes(&list.preferred, 1))
		list.preferred = 0;
	if (list.interfaces)
		err = netdev_for_each(add_device, &list);
	if (!err)
		err = netdev_for_each_address(add_address, &list);
	if (!err)
		err = print_list(&list, as_json);
	json_decref(list.interfaces);
	return exit_code(err ? log_error(err, "cannot list the interfaces") : 0);
}
