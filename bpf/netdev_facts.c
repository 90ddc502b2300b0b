/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a person wants to know of a device: driver, speed, addresses. */
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_addr.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/netdev.h"
#include "bpf/netlink.h"

/* Three bitmaps of at most 127 words follow struct ethtool_link_settings. */
#define LINK_MODE_BYTES_MAX (3 * 127 * sizeof(uint32_t))

static int ask_ethtool(const struct netdev *device, void *command)
{
	struct ifreq request = { .ifr_data = command };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	memcpy(request.ifr_name, device->name, sizeof(request.ifr_name));
	err = ioctl(fd, SIOCETHTOOL, &request) ? -errno : 0;
	close(fd);
	return err;
}

void netdev_driver(char ret[32], const struct netdev *device)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };

	_Static_assert(sizeof(info.driver) == 32, "ethtool_drvinfo");
	ret[0] = '\0';
	if (ask_ethtool(device, &info))
		return;
	memcpy(ret, info.driver, sizeof(info.driver));
	ret[sizeof(info.driver) - 1] = '\0';
}

int netdev_stamps(const struct netdev *device, uint32_t *kinds, uint32_t *filters, int *phc)
{
	struct ethtool_ts_info info = { .cmd = ETHTOOL_GET_TS_INFO };
	int err = ask_ethtool(device, &info);

	if (err)
		return err;
	*kinds = info.so_timestamping;
	*filters = info.rx_filters;
	*phc = info.phc_index;
	return 0;
}

uint32_t netdev_speed(const struct netdev *device)
{
	union {
		struct ethtool_link_settings settings;
		uint8_t bytes[sizeof(struct ethtool_link_settings) + LINK_MODE_BYTES_MAX];
	} link = { .settings = { .cmd = ETHTOOL_GLINKSETTINGS } };
	int8_t words;

	/* The first answer is how many words the kernel has, negated. */
	if (ask_ethtool(device, &link) || link.settings.link_mode_masks_nwords >= 0)
		return 0;
	words = (int8_t)-link.settings.link_mode_masks_nwords;
	link.settings.cmd = ETHTOOL_GLINKSETTINGS;
	link.settings.link_mode_masks_nwords = words;
	if (ask_ethtool(device, &link) || link.settings.speed == (uint32_t)SPEED_UNKNOWN)
		return 0;
	return link.settings.speed;
}

struct address_walk {
	int (*on_address)(const struct netdev_address *address, void *context);
	void *context;
};

static int take_address(const struct nlmsghdr *message, void *context)
{
	const struct ifaddrmsg *info = NLMSG_DATA(message);
	const struct address_walk *walk = context;
	struct netdev_address address = {};
	bool has_local = false;

	if (message->nlmsg_type != RTM_NEWADDR || message->nlmsg_len < NLMSG_LENGTH(sizeof(*info)))
		return -EBADMSG;
	address.ifindex = info->ifa_index;
	address.family = info->ifa_family;
	address.prefix_len = info->ifa_prefixlen;
	NETLINK_FOR_EACH(attribute, message, sizeof(*info))
	{
		/* Of a point-to-point link IFA_ADDRESS is the other end. */
		if (netlink_type(attribute) != IFA_LOCAL &&
		    (netlink_type(attribute) != IFA_ADDRESS || has_local))
			continue;
		has_local = netlink_type(attribute) == IFA_LOCAL;
		memcpy(address.bytes, netlink_data(attribute),
		       MIN(netlink_len(attribute), sizeof(address.bytes)));
	}
	return walk->on_address(&address, walk->context);
}

int netdev_for_each_address(int (*on_address)(const struct netdev_address *address, void *context),
			    void *context)
{
	struct address_walk walk = { .on_address = on_address, .context = context };
	struct netlink_request request;

	(void)netlink_begin(&request, RTM_GETADDR, NLM_F_DUMP, sizeof(struct ifaddrmsg));
	return netlink_ask(NETLINK_ROUTE, &request, take_address, &walk);
}
