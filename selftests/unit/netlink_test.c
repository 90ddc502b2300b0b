/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Netlink messages taken apart, and questions to the kernel that need no privilege. */
#include "bpf/netlink.h"

#include <errno.h>
#include <net/if.h>

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
		TEST(cut_messages_end_early),
		TEST(nested_attributes_are_found),
		TEST(the_kernel_answers_about_loopback),
		TEST(link_types_follow_the_device),
		TEST(rings_are_as_large_as_asked_for_and_take_any_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
