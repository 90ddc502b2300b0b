/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/netdev.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/compat.h"
#include "bpf/netlink.h"
#include "common/pcapng.h"

static void copy_text(char *to, size_t size, const struct nlattr *attribute)
{
	size_t len = MIN(netlink_len(attribute), size - 1);

	memcpy(to, netlink_data(attribute), len);
	to[len] = '\0';
}

int netdev_parse_link(struct netdev *device, const struct nlmsghdr *message)
{
	const struct ifinfomsg *info = NLMSG_DATA(message);
	const struct nlattr *kind;

	if ((message->nlmsg_type != RTM_NEWLINK && message->nlmsg_type != RTM_DELLINK) ||
	    message->nlmsg_len < NLMSG_LENGTH(sizeof(*info)))
		return -EBADMSG;
	*device = (struct netdev){
		.ifindex = (unsigned int)info->ifi_index,
		.arp_type = info->ifi_type,
		.flags = info->ifi_flags,
		.peer_netnsid = -1,
		.rx_queues = 1,
	};
	NETLINK_FOR_EACH(attribute, message, sizeof(*info))
	{
		switch (netlink_type(attribute)) {
		case IFLA_IFNAME:
			copy_text(device->name, sizeof(device->name), attribute);
			break;
		case IFLA_OPERSTATE:
			if (netlink_len(attribute))
				device->operstate = *(const uint8_t *)netlink_data(attribute);
			break;
		case IFLA_MTU:
			device->mtu = (unsigned int)netlink_uint(attribute);
			break;
		case IFLA_ADDRESS:
			device->address_len =
				(unsigned int)MIN(netlink_len(attribute), sizeof(device->address));
			memcpy(device->address, netlink_data(attribute), device->address_len);
			break;
		case IFLA_LINK:
			device->peer = (unsigned int)netlink_uint(attribute);
			break;
		case IFLA_LINK_NETNSID:
			device->peer_netnsid = (int)netlink_uint(attribute);
			break;
		case IFLA_NUM_RX_QUEUES:
			device->rx_queues = (unsigned int)netlink_uint(attribute);
			break;
		case IFLA_LINKINFO:
			kind = netlink_nested(attribute, IFLA_INFO_KIND);
			if (kind)
				copy_text(device->kind, sizeof(device->kind), kind);
			break;
		}
	}
	return 0;
}

static int take_link(const struct nlmsghdr *message, void *context)
{
	return netdev_parse_link(context, message);
}

/* RX queues in use; what netlink tells is how many could be. */
static void query_channels(struct netdev *device)
{
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };
	struct ifreq request = { .ifr_data = (void *)&channels };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	memcpy(request.ifr_name, device->name, sizeof(request.ifr_name));
	if (ioctl(fd, SIOCETHTOOL, &request) == 0 &&
	    channels.rx_count + channels.combined_count > 0)
		device->rx_queues = channels.rx_count + channels.combined_count;
	close(fd);
}

int netdev_query(struct netdev *ret, unsigned int ifindex)
{
	struct netlink_request request;
	struct netdev device = {};
	struct ifinfomsg *info;
	int err;

	info = netlink_begin(&request, RTM_GETLINK, 0, sizeof(*info));
	info->ifi_index = (int)ifindex;
	err = netlink_ask(NETLINK_ROUTE, &request, take_link, &device);
	if (err)
		return err;
	if (device.ifindex != ifindex)
		return -ENODEV;
	query_channels(&device);
	*ret = device;
	return 0;
}

struct device_walk {
	int (*on_device)(const struct netdev *device, void *context);
	void *context;
};

static int take_device(const struct nlmsghdr *message, void *context)
{
	const struct device_walk *walk = context;
	struct netdev device;
	int err = netdev_parse_link(&device, message);

	return err ? err : walk->on_device(&device, walk->context);
}

int netdev_for_each(int (*on_device)(const struct netdev *device, void *context), void *context)
{
	struct device_walk walk = { .on_device = on_device, .context = context };
	struct netlink_request request;

	(void)netlink_begin(&request, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg));
	return netlink_ask(NETLINK_ROUTE, &request, take_device, &walk);
}

int netdev_take_nic(const struct nlmsghdr *message, void *context)
{
	struct rtnl_link_stats64 stats = {};
	struct xcap_nic *nic = context;

	if (message->nlmsg_type != RTM_NEWSTATS)
		return -EBADMSG;
	NETLINK_FOR_EACH(attribute, message, sizeof(struct if_stats_msg))
	{
		if (netlink_type(attribute) != IFLA_STATS_LINK_64)
			continue;
		/* Kernels append to it. */
		memcpy(&stats, netlink_data(attribute), MIN(netlink_len(attribute), sizeof(stats)));
		nic->missed = stats.rx_missed_errors;
		nic->fifo = stats.rx_fifo_errors;
		nic->rx_dropped = stats.rx_dropped;
		return 0;
	}
	return -EBADMSG;
}

int netdev_query_nic(struct xcap_nic *ret, unsigned int ifindex)
{
	struct netlink_request request;
	struct if_stats_msg *ask;

	ask = netlink_begin(&request, RTM_GETSTATS, 0, sizeof(*ask));
	ask->ifindex = ifindex;
	ask->filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64);
	return netlink_ask(NETLINK_ROUTE, &request, netdev_take_nic, ret);
}

static int take_family(const struct nlmsghdr *message, void *context)
{
	uint16_t *family = context;

	NETLINK_FOR_EACH(attribute, message, GENL_HDRLEN)
	{
		if (netlink_type(attribute) == CTRL_ATTR_FAMILY_ID && netlink_len(attribute) >= 2)
			memcpy(family, netlink_data(attribute), sizeof(*family));
	}
	return 0;
}

static int take_xdp(const struct nlmsghdr *message, void *context)
{
	const uint64_t native = COMPAT_NETDEV_XDP_ACT_BASIC | COMPAT_NETDEV_XDP_ACT_REDIRECT;
	struct netdev_xdp *xdp = context;

	NETLINK_FOR_EACH(attribute, message, GENL_HDRLEN)
	{
		if (netlink_type(attribute) == COMPAT_NETDEV_A_DEV_XDP_FEATURES) {
			xdp->known = true;
			xdp->native = (netlink_uint(attribute) & native) == native;
			xdp->zero_copy =
				netlink_uint(attribute) & COMPAT_NETDEV_XDP_ACT_XSK_ZEROCOPY;
			xdp->multi_buffer = netlink_uint(attribute) & COMPAT_NETDEV_XDP_ACT_RX_SG;
		} else if (netlink_type(attribute) ==
			   COMPAT_NETDEV_A_DEV_XDP_RX_METADATA_FEATURES) {
			xdp->vlan_tag =
				netlink_uint(attribute) & COMPAT_NETDEV_XDP_RX_METADATA_VLAN_TAG;
			xdp->stamp =
				netlink_uint(attribute) & COMPAT_NETDEV_XDP_RX_METADATA_TIMESTAMP;
		}
	}
	return 0;
}

void netdev_query_xdp(struct netdev_xdp *ret, unsigned int ifindex)
{
	struct netlink_request request;
	struct genlmsghdr *header;
	uint16_t family = 0;
	uint32_t index = ifindex;

	*ret = (struct netdev_xdp){};
	header = netlink_begin(&request, GENL_ID_CTRL, 0, sizeof(*header));
	*header = (struct genlmsghdr){ .cmd = CTRL_CMD_GETFAMILY, .version = 1 };
	netlink_put(&request, CTRL_ATTR_FAMILY_NAME, "netdev", sizeof("netdev"));
	if (netlink_ask(NETLINK_GENERIC, &request, take_family, &family) || !family)
		return;
	header = netlink_begin(&request, family, 0, sizeof(*header));
	*header = (struct genlmsghdr){ .cmd = COMPAT_NETDEV_CMD_DEV_GET, .version = 1 };
	netlink_put(&request, COMPAT_NETDEV_A_DEV_IFINDEX, &index, sizeof(index));
	if (netlink_ask(NETLINK_GENERIC, &request, take_xdp, ret))
		*ret = (struct netdev_xdp){};
}

struct route_search {
	struct {
		unsigned int ifindex;
		uint32_t metric;
	} found[16];
	size_t count;
};

static void add_route(struct route_search *search, unsigned int ifindex, uint32_t metric)
{
	size_t at = search->count;

	if (!ifindex || at == ARRAY_SIZE(search->found))
		return;
	for (; at > 0 && search->found[at - 1].metric > metric; at--)
		search->found[at] = search->found[at - 1];
	search->found[at].ifindex = ifindex;
	search->found[at].metric = metric;
	search->count++;
}

static int take_route(const struct nlmsghdr *message, void *context)
{
	const struct rtmsg *route = NLMSG_DATA(message);
	const struct nlattr *multipath = NULL;
	uint32_t table, metric = 0;
	unsigned int ifindex = 0;
	const struct rtnexthop *hop;

	if (message->nlmsg_type != RTM_NEWROUTE ||
	    message->nlmsg_len < NLMSG_LENGTH(sizeof(*route)))
		return -EBADMSG;
	table = route->rtm_table;
	NETLINK_FOR_EACH(attribute, message, sizeof(*route))
	{
		switch (netlink_type(attribute)) {
		case RTA_TABLE:
			table = (uint32_t)netlink_uint(attribute);
			break;
		case RTA_OIF:
			ifindex = (unsigned int)netlink_uint(attribute);
			break;
		case RTA_PRIORITY:
			metric = (uint32_t)netlink_uint(attribute);
			break;
		case RTA_MULTIPATH:
			multipath = attribute;
			break;
		}
	}
	if (route->rtm_dst_len || route->rtm_type != RTN_UNICAST || table != RT_TABLE_MAIN)
		return 0;
	add_route(context, ifindex, metric);
	if (!multipath)
		return 0;
	for (size_t at = 0; at + sizeof(*hop) <= netlink_len(multipath);
	     at += MAX(sizeof(*hop), (size_t)RTNH_ALIGN(hop->rtnh_len))) {
		hop = (const void *)((const uint8_t *)netlink_data(multipath) + at);
		add_route(context, (unsigned int)hop->rtnh_ifindex, metric);
	}
	return 0;
}

size_t netdev_default_routes(unsigned int *list, size_t max)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct netlink_request request;
	struct rtmsg *route;
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		struct route_search search = {};

		route = netlink_begin(&request, RTM_GETROUTE, NLM_F_DUMP, sizeof(*route));
		route->rtm_family = families[i];
		if (netlink_ask(NETLINK_ROUTE, &request, take_route, &search))
			continue;
		for (size_t j = 0; j < search.count && count < max; j++)
			list[count++] = search.found[j].ifindex;
	}
	return count;
}

int netdev_promiscuous(unsigned int ifindex)
{
	struct packet_mreq membership = {
		.mr_ifindex = (int)ifindex,
		.mr_type = PACKET_MR_PROMISC,
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof(membership)) <
	    0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int netdev_link_type(const struct netdev *device)
{
	switch (device->arp_type) {
	case ARPHRD_ETHER:
	case ARPHRD_LOOPBACK:
		return LINKTYPE_ETHERNET;
	case ARPHRD_NONE:
	case ARPHRD_PPP:
	case ARPHRD_RAWIP:
	case ARPHRD_TUNNEL:
	case ARPHRD_TUNNEL6:
	case ARPHRD_SIT:
	case ARPHRD_IPGRE:
	case ARPHRD_IP6GRE:
		return LINKTYPE_RAW;
	}
	return -EAFNOSUPPORT;
}
