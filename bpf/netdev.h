/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts about network devices and routes, asked of the kernel by netlink. Any thread; no state. */
#pragma once

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "bpf/xcap_abi.h"
#include "common/util.h"

struct nlmsghdr;

struct netdev {
	unsigned int ifindex;
	char name[16];
	char kind[16]; /* "veth", "bridge", ...; "" for hardware */
	uint16_t arp_type;
	unsigned int flags;	/* IFF_* */
	unsigned int operstate; /* IF_OPER_* */
	unsigned int mtu;
	uint8_t address[8]; /* MAC */
	unsigned int address_len;
	unsigned int rx_queues;
	unsigned int peer; /* veth: ifindex of the other end, 0 if unknown */
	int peer_netnsid;  /* namespace of the other end; -1: ours */
};

/* What the driver can do for XDP; all false on a kernel that does not tell (before 6.3, 6.8). */
struct netdev_xdp {
	bool known;
	bool native; /* XDP_PASS and XDP_REDIRECT in the driver */
	bool zero_copy, multi_buffer;
	/* What a program may ask for: the tag beside the frame, the network card's time. */
	bool vlan_tag, stamp;
};

/* From a message of rtnetlink; -EBADMSG: of another kind, or cut. */
int netdev_parse_link(struct netdev *ret, const struct nlmsghdr *message) must_check;
/* -ENODEV: there is none of this index. */
int netdev_query(struct netdev *ret, unsigned int ifindex) must_check;
/* Its driver, as ethtool tells it; "" if it does not. */
void netdev_driver(char ret[32], const struct netdev *device);
/*
 * Its time stamps, as ethtool tells them: kinds are SOF_TIMESTAMPING_* bits, filters have a bit for
 * each HWTSTAMP_FILTER_*, phc is N of /dev/ptpN or -1.
 */
int netdev_stamps(const struct netdev *device, uint32_t *kinds, uint32_t *filters,
		  int *phc) must_check;
/* Mbit/s; 0: unknown. */
uint32_t netdev_speed(const struct netdev *device);

struct netdev_address {
	unsigned int ifindex;
	int family;	   /* AF_INET, AF_INET6 */
	uint8_t bytes[16]; /* network byte order */
	unsigned int prefix_len;
};

/* Every address of the namespace; a negative errno of on_address ends it. */
int netdev_for_each_address(int (*on_address)(const struct netdev_address *address, void *context),
			    void *context) must_check;
/* Every device of the namespace, by its index; a negative errno of on_device ends it. */
int netdev_for_each(int (*on_device)(const struct netdev *device, void *context),
		    void *context) must_check;
/* What it lost since it was made. -ENODEV. */
int netdev_query_nic(struct xcap_nic *ret, unsigned int ifindex) must_check;
/* The same out of the kernel's answer (RTM_NEWSTATS), for tests; context: struct xcap_nic. */
int netdev_take_nic(const struct nlmsghdr *message, void *context);
void netdev_query_xdp(struct netdev_xdp *ret, unsigned int ifindex);
/* What became of a device. */
enum netdev_change_kind {
	NETDEV_PRESENT, /* it has come, or something about it changed */
	NETDEV_GONE,	/* it was removed */
	NETDEV_MOVED,	/* to another namespace */
};

struct netdev_change {
	enum netdev_change_kind kind;
	struct netdev device;
	int netnsid_there;	    /* as our namespace knows that one; -1: unknown */
	unsigned int ifindex_there; /* 0: unknown */
};

/* A socket that gets a message whenever a device of the namespace comes, changes or goes. When it
 * overflows (-ENOBUFS), some are lost: netdev_for_each() tells what there is. */
int netdev_monitor(void) must_check;
/* What such messages tell, as they were received. */
void netdev_read_changes(const void *data, size_t len,
			 void (*on_change)(const struct netdev_change *change, void *context),
			 void *context);
/*
 * Interfaces with a default route of the main table, IPv4 before IPv6, the preferred one first:
 * how many were put into list.
 */
size_t netdev_default_routes(unsigned int *list, size_t max);
/* The device is promiscuous while the descriptor returned is open; a negative errno. */
int netdev_promiscuous(unsigned int ifindex) must_check;
/* pcapng link type of what a tcx program sees, or -EAFNOSUPPORT. */
int netdev_link_type(const struct netdev *device) must_check;
