/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Netlink messages taken apart, and questions to the kernel that need no privilege. */
#include "bpf/netlink.h"

#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/instance.h"
#include "bpf/netdev.h"
#include "bpf/netns.h"
#include "bpf/rings.h"
#include "selftests/unit/check.h"

static void attributes_come_back_as_they_were_put(void **state)
{
	const uint32_t narrow = 0x01020304;
	const uint64_t wide = 0x0102030405060708ull;
	struct netlink_request request;
	unsigned int seen = 0;

	(void)state;
	(void)netlink_begin(&request, 1, 0, 4);
	netlink_put(&request, 7, &narrow, sizeof(narrow));
	netlink_put(&request, 8, "name", sizeof("name"));
	netlink_put(&request, 9, &wide, sizeof(wide));
	NETLINK_FOR_EACH(attribute, &request.header, 4)
	{
		seen++;
		switch (netlink_type(attribute)) {
		case 7:
			CHECK_EQ(netlink_uint(attribute), narrow);
			break;
		case 8:
			CHECK_STR(netlink_data(attribute), "name");
			CHECK_EQ(netlink_uint(attribute), *(const uint32_t *)"name");
			break;
		case 9:
			CHECK_EQ(netlink_uint(attribute), wide);
			break;
		default:
			CHECK(false);
		}
	}
	CHECK_EQ(seen, 3);
}

/* Kernels append to the statistics, and older ones have less of them. */
static void losses_of_a_nic(void **state)
{
	struct rtnl_link_stats64 stats = {
		.rx_missed_errors = 7, .rx_fifo_errors = 11, .rx_dropped = 13, .rx_errors = 17
	};
	struct {
		struct rtnl_link_stats64 stats;
		uint64_t later;
	} longer = { .later = UINT64_MAX };
	struct netlink_request request;
	struct xcap_nic nic = {};

	(void)state;
	(void)netlink_begin(&request, RTM_NEWSTATS, 0, sizeof(struct if_stats_msg));
	CHECK_EQ(netdev_take_nic(&request.header, &nic), -EBADMSG);
	longer.stats = stats;
	netlink_put(&request, IFLA_STATS_LINK_64, &longer, sizeof(longer));
	CHECK_EQ(netdev_take_nic(&request.header, &nic), 0);
	CHECK_EQ(nic.missed, 7);
	CHECK_EQ(nic.fifo, 11);
	CHECK_EQ(nic.rx_dropped, 13);
	(void)netlink_begin(&request, RTM_NEWSTATS, 0, sizeof(struct if_stats_msg));
	netlink_put(&request, IFLA_STATS_LINK_64, &stats,
		    offsetof(struct rtnl_link_stats64, rx_fifo_errors));
	CHECK_EQ(netdev_take_nic(&request.header, &nic), 0);
	CHECK_EQ(nic.fifo, 0);
	request.header.nlmsg_type = RTM_NEWLINK;
	CHECK_EQ(netdev_take_nic(&request.header, &nic), -EBADMSG);
	CHECK_EQ(netdev_query_nic(&nic, 1), 0);
	CHECK_EQ(netdev_query_nic(&nic, 1000000), -ENODEV);
}

static void counted_from_the_start_of_the_capture(void **state)
{
	const struct xcap_info info = { .nic = { .missed = 5, .fifo = 100, .rx_dropped = 1 } };
	const struct xcap_nic now = { .missed = 7, .fifo = 3, .rx_dropped = 1 };
	struct xcap_nic since = instance_nic_since(&info, &now);

	(void)state;
	CHECK_EQ(since.missed, 2);
	CHECK_EQ(since.fifo, 3); /* the driver began again */
	CHECK_EQ(since.rx_dropped, 0);
}

static void cut_messages_end_early(void **state)
{
	const uint32_t value = 1;
	struct netlink_request request;
	unsigned int seen;

	(void)state;
	(void)netlink_begin(&request, 1, 0, 4);
	netlink_put(&request, 7, &value, sizeof(value));
	netlink_put(&request, 8, &value, sizeof(value));
	for (uint32_t len = 0; len <= 36; len++) {
		request.header.nlmsg_len = len;
		seen = 0;
		NETLINK_FOR_EACH(attribute, &request.header, 4)
		seen++;
		CHECK_EQ(seen, len < 28 ? 0 : len < 36 ? 1 : 2);
	}
	/* An attribute that claims to be shorter than its header, and one that is too long. */
	request.header.nlmsg_len = 36;
	((struct nlattr *)(request.bytes + 20))->nla_len = 3;
	CHECK(!netlink_first(&request.header, 4));
	((struct nlattr *)(request.bytes + 20))->nla_len = 17;
	CHECK(!netlink_first(&request.header, 4));
}

static void nested_attributes_are_found(void **state)
{
	struct netlink_request inner, outer;
	const struct nlattr *attribute;

	(void)state;
	(void)netlink_begin(&inner, 1, 0, 0);
	netlink_put(&inner, 1, "veth", sizeof("veth"));
	netlink_put(&inner, 2, "data", sizeof("data"));
	(void)netlink_begin(&outer, 1, 0, 0);
	netlink_put(&outer, 18, inner.bytes + NLMSG_HDRLEN, inner.header.nlmsg_len - NLMSG_HDRLEN);
	attribute = netlink_nested(netlink_first(&outer.header, 0), 2);
	assert_non_null(attribute);
	CHECK_STR(netlink_data(attribute), "data");
	CHECK(!netlink_nested(netlink_first(&outer.header, 0), 3));
}

static void the_kernel_answers_about_loopback(void **state)
{
	struct netdev device;
	struct netdev_xdp xdp;

	(void)state;
	CHECK_EQ(netdev_query(&device, if_nametoindex("lo")), 0);
	CHECK_STR(device.name, "lo");
	CHECK_STR(device.kind, "");
	CHECK_EQ(device.rx_queues, 1);
	CHECK_EQ(netdev_link_type(&device), 1);
	netdev_query_xdp(&xdp, device.ifindex);
	CHECK(!xdp.native);
	CHECK_EQ(netdev_query(&device, 999999), -ENODEV);
	CHECK(netns_self() != 0);
}

static int find_loopback(const struct netdev *device, void *context)
{
	if (!strcmp(device->name, "lo"))
		*(unsigned int *)context = device->ifindex;
	return 0;
}

static int refuse(const struct netdev *device, void *context)
{
	(void)device;
	(void)context;
	return -ECANCELED;
}

static void all_devices_are_told(void **state)
{
	unsigned int ifindex = 0;
	int fd;

	(void)state;
	CHECK_EQ(netdev_for_each(find_loopback, &ifindex), 0);
	CHECK_EQ(ifindex, if_nametoindex("lo"));
	CHECK_EQ(netdev_for_each(refuse, NULL), -ECANCELED);
	fd = netdev_monitor();
	CHECK(fd >= 0);
	close(fd);
}

struct changes {
	unsigned int count;
	struct netdev_change last;
};

static void take_change(const struct netdev_change *change, void *context)
{
	struct changes *changes = context;

	changes->count++;
	changes->last = *change;
}

static void changes_of_devices_are_told_apart(void **state)
{
	static const struct {
		const char *name;
		uint16_t type;
		uint8_t family;
		int netnsid; /* -1: not told */
		unsigned int count;
		enum netdev_change_kind kind;
	} cases[] = {
		{ "come", RTM_NEWLINK, AF_UNSPEC, -1, 1, NETDEV_PRESENT },
		{ "removed", RTM_DELLINK, AF_UNSPEC, -1, 1, NETDEV_GONE },
		{ "moved", RTM_DELLINK, AF_UNSPEC, 3, 1, NETDEV_MOVED },
		{ "out of a bridge", RTM_DELLINK, AF_BRIDGE, -1, 0, NETDEV_GONE },
		{ "an address", RTM_NEWADDR, AF_UNSPEC, -1, 0, NETDEV_GONE },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct changes changes = {};
		struct netlink_request message;
		struct ifinfomsg *info;
		uint32_t len;

		info = netlink_begin(&message, c->type, 0, sizeof(*info));
		info->ifi_family = c->family;
		info->ifi_index = 7;
		info->ifi_type = 65534;
		info->ifi_flags = IFF_UP;
		netlink_put(&message, IFLA_IFNAME, "tun0", sizeof("tun0"));
		if (c->netnsid >= 0)
			netlink_put(&message, IFLA_NEW_NETNSID, &c->netnsid, sizeof(c->netnsid));
		len = message.header.nlmsg_len;
		netdev_read_changes(&message, len, take_change, &changes);
		CHECK_EQ(changes.count, c->count);
		if (c->count) {
			CHECK_EQ(changes.last.kind, c->kind);
			CHECK_EQ(changes.last.netnsid_there, c->netnsid);
			CHECK_EQ(changes.last.device.ifindex, 7);
			CHECK_EQ(changes.last.device.arp_type, 65534);
			CHECK_EQ(changes.last.device.flags, IFF_UP);
			CHECK_STR(changes.last.device.name, "tun0");
		}
		/* Cut anywhere it is no message, or one with fewer attributes. */
		for (uint32_t cut = 0; cut < len; cut++) {
			netdev_read_changes(&message, cut, take_change, &changes);
			CHECK_EQ(changes.count, c->count);
		}
	}
}

static void link_types_follow_the_device(void **state)
{
	static const struct {
		const char *name;
		uint16_t arp_type;
		int link_type;
	} cases[] = {
		{ "Ethernet", 1, 1 },
		{ "loopback", 772, 1 },
		{ "tun", 65534, 101 },
		{ "PPP", 512, 101 },
		{ "SIT", 776, 101 },
		{ "CAN", 280, -EAFNOSUPPORT },
		{ "Infiniband", 32, -EAFNOSUPPORT },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct netdev device = { .arp_type = c->arp_type };

		CHECK_EQ(netdev_link_type(&device), c->link_type);
	}
}

static void rings_are_as_large_as_asked_for_and_take_any_record(void **state)
{
	static const struct {
		const char *name;
		uint64_t total;
	} cases[] = {
		{ "default", 0 },	  { "one byte", 1 },	    { "1 MiB", MIB },
		{ "odd", 100 * MIB + 1 }, { "very much", 8 * GIB },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		unsigned int count;
		uint64_t size = rings_size(c->total, &count);

		CHECK(count >= 1);
		CHECK(size >= 512 * KIB && (size & (size - 1)) == 0);
		if (c->total >= 512 * KIB) {
			CHECK(size * count <= c->total);
			CHECK(size == GIB || size * count * 2 > c->total / 2);
		}
		if (!c->total)
			CHECK(size * count <= 128 * MIB);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(attributes_come_back_as_they_were_put),
		TEST(losses_of_a_nic),
		TEST(counted_from_the_start_of_the_capture),
		TEST(cut_messages_end_early),
		TEST(nested_attributes_are_found),
		TEST(the_kernel_answers_about_loopback),
		TEST(all_devices_are_told),
		TEST(changes_of_devices_are_told_apart),
		TEST(link_types_follow_the_device),
		TEST(rings_are_as_large_as_asked_for_and_take_any_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
