/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices that come, change and go, as rtnetlink tells it. */
#include <errno.h>
#include <linux/if_link.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/netdev.h"
#include "bpf/netlink.h"

/* Thousands of messages: containers start by the hundred. */
#define RECEIVE_BYTES (4 * MIB)

int netdev_monitor(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), err;
	int bytes = RECEIVE_BYTES;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	if (bind(fd, (void *)&address, sizeof(address)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static bool read_change(const struct nlmsghdr *message, struct netdev_change *ret)
{
	const struct ifinfomsg *info = NLMSG_DATA(message);

	if (netdev_parse_link(&ret->device, message))
		return false;
	/* A bridge tells of its ports in messages of the same type. */
	if (info->ifi_family != AF_UNSPEC)
		return false;
	ret->kind = message->nlmsg_type == RTM_NEWLINK ? NETDEV_PRESENT : NETDEV_GONE;
	ret->netnsid_there = -1;
	ret->ifindex_there = 0;
	if (ret->kind == NETDEV_PRESENT)
		return true;
	NETLINK_FOR_EACH(attribute, message, sizeof(*info))
	{
		switch (netlink_type(attribute)) {
		case IFLA_NEW_NETNSID:
			ret->kind = NETDEV_MOVED;
			ret->netnsid_there = (int)netlink_uint(attribute);
			break;
		case IFLA_NEW_IFINDEX:
			ret->ifindex_there = (unsigned int)netlink_uint(attribute);
			break;
		}
	}
	return true;
}

void netdev_read_changes(const void *data, size_t len,
			 void (*on_change)(const struct netdev_change *change, void *context),
			 void *context)
{
	const struct nlmsghdr *message = data;
	struct netdev_change change;

	for (; NLMSG_OK(message, len); message = NLMSG_NEXT(message, len)) {
		if (read_change(message, &change))
			on_change(&change, context);
	}
}
