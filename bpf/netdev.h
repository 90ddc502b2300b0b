/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts about network devices and routes, asked of the kernel by netlink. Any thread; no state. */
#pragma once

#include <stdbool.h>

#include "common/util.h"

struct netdev {
	unsigned int ifindex;
	char name[16];
	char kind[16]; /* "veth", "bridge", ...; "" for hardware */
	uint16_t arp_type;
	unsigned int rx_queues;
	unsigned int peer; /* veth: ifindex of the other end, 0 if unknown */
	int peer_netnsid;  /* namespace of the other end; -1: ours */
};

/* What the driver can do for XDP; all false on a kernel that does not tell (before 6.3, 6.8). */
struct netdev_xdp {
	bool known;
	bool native;   /* XDP_PASS and XDP_REDIRECT in the driver */
	bool vlan_tag; /* a program may ask for the tag beside the frame */
};

/* -ENODEV: there is none of this index. */
int netdev_query(struct netdev *ret, unsigned int ifindex) must_check;
void netdev_query_xdp(struct netdev_xdp *ret, unsigned int ifindex);
/*
 * Interfaces with a default route of the main table, IPv4 before IPv6, the preferred one first:
 * how many were put into list.
 */
size_t netdev_default_routes(unsigned int *list, size_t max);
/* The device is promiscuous while the descriptor returned is open; a negative errno. */
int netdev_promiscuous(unsigned int ifindex) must_check;
/* pcapng link type of what a tcx program sees, or -EAFNOSUPPORT. */
int netdev_link_type(const struct netdev *device) must_check;
