/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is kept of a frame, and which frames and flows are sampled: mirror and tap, run by the
 * kernel. XCAP_DATA: where the captures are (../shared/data).
 */
#include "selftests/bpf/hooks.h"
#include "selftests/bpf/tunnels.h"

#include <stdlib.h>

static struct packet packet;

static void vlans_and_tcp(void)
{
	packet_tag(&packet, 0x88a8, 5);
	packet_tag(&packet, 0x8100, 6);
	packet_ipv4(&packet, PACKET_TCP, 8, 0);
	packet_tcp(&packet, 1, 2, 12);
}
static void udp(void)
{
	packet_ipv4(&packet, PACKET_UDP, 0, 0);
	packet_udp(&packet, 1, 2);
}
static void ipv6_with_extensions(void)
{
	packet_ipv6(&packet, PACKET_HOP_BY_HOP);
	packet_extension(&packet, PACKET_HOP_BY_HOP, PACKET_DESTINATION, 0);
	packet_extension(&packet, PACKET_DESTINATION, PACKET_AH, 3);
	packet_extension(&packet, PACKET_AH, PACKET_FRAGMENT, 4);
	packet_fragment(&packet, PACKET_TCP, 0);
	packet_tcp(&packet, 1, 2, 20);
}
static void icmp(void)
{
	packet_ipv4(&packet, 1, 0, 0);
	packet.len += 8;
}
static void icmpv6(void)
{
	packet_ipv6(&packet, PACKET_ICMPV6);
	packet.len += 8;
}
static void sctp(void)
{
	packet_ipv4(&packet, 132, 0, 0);
	packet.len += 12;
}
static void dccp(void)
{
	packet_ipv4(&packet, 33, 0, 0);
	packet.bytes[packet.len + 4] = 4 << 4;
	packet.len += 16;
}
static void arp(void)
{
	packet_put16(&packet, 0x0806);
	packet.len += 28;
}
static void unknown_type(void)
{
	packet_put16(&packet, 0x88b5);
}
static void unknown_protocol(void)
{
	packet_ipv4(&packet, 250, 0, 0);
}
static void later_fragment(void)
{
	packet_ipv4(&packet, PACKET_TCP, 0, 100);
}
static void tcp_without_sense(void)
{
	packet_ipv4(&packet, PACKET_TCP, 0, 0);
	packet.len += 20;
}
static void gre_ip(void)
{
	packet_ipv4(&packet, 47, 0, 0);
	packet_gre(&packet, 0, 0x0800);
	packet_inner_ip(&packet, 4, PACKET_UDP);
	packet_udp(&packet, 1, 2);
}
static void gre_with_all_and_ethernet(void)
{
	packet_ipv6(&packet, 47);
	packet_gre(&packet, 0xb000, 0x6558);
	packet_inner_ethernet(&packet);
	packet_tag(&packet, 0x8100, 9);
	packet_ipv4(&packet, PACKET_TCP, 0, 0);
	packet_tcp(&packet, 1, 2, 4);
}
static void gre_of_something(void)
{
	packet_ipv4(&packet, 47, 0, 0);
	packet_gre(&packet, 0x2000, 0x1234);
}
static void gre_with_arp_in_ethernet(void)
{
	packet_ipv4(&packet, 47, 0, 0);
	packet_gre(&packet, 0, 0x6558);
	packet_inner_ethernet(&packet);
	packet_put16(&packet, 0x0806);
	packet.len += 28;
}
static void vxlan(void)
{
	packet_udp_tunnel(&packet, 4789, 0x0800, 0, 8);
	packet_inner_ethernet(&packet);
	packet_ipv6(&packet, PACKET_TCP);
	packet_tcp(&packet, 1, 2, 0);
}
static void vxlan_without_vni(void)
{
	packet_ipv4(&packet, PACKET_UDP, 8, 0);
	packet_udp(&packet, 50000, 4789); /* the payload's first byte is 0x32 */
}
static void vxlan_of_linux(void)
{
	packet_udp_tunnel(&packet, 8472, 0x0800, 0, 8);
	packet_inner_ethernet(&packet);
	packet_ipv4(&packet, PACKET_UDP, 0, 0);
	packet_udp(&packet, 1, 2);
}
static void geneve(void)
{
	packet_udp_tunnel(&packet, 6081, 0x0300, 0x6558, 8 + 12);
	packet_inner_ethernet(&packet);
	packet_ipv4(&packet, PACKET_UDP, 0, 0);
	packet_udp(&packet, 1, 2);
}
static void geneve_of_ip(void)
{
	packet_udp_tunnel(&packet, 6081, 0, 0x86dd, 8);
	packet_inner_ip(&packet, 6, PACKET_UDP);
	packet_udp(&packet, 1, 2);
}
static void ip_in_ip(void)
{
	packet_ipv4(&packet, 4, 0, 0);
	packet_inner_ip(&packet, 4, PACKET_TCP);
	packet_tcp(&packet, 1, 2, 0);
}
static void ipv6_in_ipv4_in_ipv6(void)
{
	packet_ipv6(&packet, 4);
	packet_inner_ip(&packet, 4, 41);
	packet_inner_ip(&packet, 6, PACKET_UDP);
	packet_udp(&packet, 1, 2);
}
static void five_layers(void)
{
	packet_ipv4(&packet, 4, 0, 0);
	for (int i = 0; i < 3; i++)
		packet_inner_ip(&packet, 4, 4);
}

static const struct {
	const char *name;
	void (*build)(void);
} headers[] = {
	{ "stacked VLANs, IP options, TCP options", vlans_and_tcp },
	{ "UDP", udp },
	{ "IPv6 with extension headers", ipv6_with_extensions },
	{ "ICMP", icmp },
	{ "ICMPv6", icmpv6 },
	{ "SCTP", sctp },
	{ "DCCP", dccp },
	{ "ARP", arp },
	{ "an unknown type", unknown_type },
	{ "an unknown protocol", unknown_protocol },
	{ "a later fragment", later_fragment },
	{ "TCP that tells no length", tcp_without_sense },
	{ "GRE, IP", gre_ip },
	{ "GRE over IPv6 with checksum, key and number, Ethernet, VLAN",
	  gre_with_all_and_ethernet },
	{ "GRE of something", gre_of_something },
	{ "GRE, Ethernet, ARP", gre_with_arp_in_ethernet },
	{ "VXLAN", vxlan },
	{ "VXLAN without VNI", vxlan_without_vni },
	{ "VXLAN at 8472", vxlan_of_linux },
	{ "GENEVE with options", geneve },
	{ "GENEVE, IP", geneve_of_ip },
	{ "IP in IP", ip_in_ip },
	{ "6in4 in 4in6", ipv6_in_ipv4_in_ipv6 },
	{ "the fifth layer is payload", five_layers },
};

static void check_kept(struct hooks *hooks, size_t expected)
{
	struct outcome mirror = hooks_run_mirror(hooks, packet.bytes, packet.len);
	struct outcome tap = hooks_run_tap(hooks, packet.bytes, packet.len);

	CHECK_EQ(mirror.fate, XCAP_HANDED);
	CHECK_EQ(mirror.captured_len, MIN(expected, packet.len));
	CHECK_EQ(mirror.original_len, packet.len);
	CHECK_EQ(tap.fate, XCAP_HANDED);
	CHECK_EQ(tap.captured_len, MIN(expected, packet.len));
	CHECK_EQ(tap.original_len, packet.len);
}

/* Each packet has its headers, and 100 bytes of payload. */
static void headers_and_some_bytes_are_kept(void **state)
{
	static const uint32_t more[] = { 0, 1, 16, 99, 100, 101, 5000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
		struct hooks_setup setup = { .config.has_policy = true };
		struct hooks hooks;

		setup.policies[0] = (struct xcap_policy){ XCAP_KEEP_HEADERS, more[i], 0, 0 };
		hooks_load(&hooks, &setup);
		FOR_EACH_CASE (c, headers) {
			size_t expected;

			packet_ethernet(&packet);
			c->build();
			expected = packet.len + more[i];
			packet_fill(&packet, packet.len + 100);
			check_kept(&hooks, expected);
		}
		hooks_unload(&hooks);
	}
}

/* Wherever a frame ends, what is captured is within it and there is something of it. */
static void a_frame_that_ends_in_its_headers_is_kept_as_far_as_it_goes(void **state)
{
	struct hooks_setup setup = { .config.has_policy = true };
	struct hooks hooks;

	(void)state;
	setup.policies[0].keep = XCAP_KEEP_HEADERS;
	hooks_load(&hooks, &setup);
	FOR_EACH_CASE (c, headers) {
		size_t whole;

		packet_ethernet(&packet);
		c->build();
		whole = packet.len;
		for (size_t len = 14; len < whole; len++) {
			struct outcome mirror = hooks_run_mirror(&hooks, packet.bytes, len);
			struct outcome tap = hooks_run_tap(&hooks, packet.bytes, len);

			CHECK_EQ(tap.fate, XCAP_HANDED);
			CHECK(tap.captured_len >= 14 && tap.captured_len <= len);
			if (mirror.fate < 0)
				continue; /* the test run itself refuses IP that is cut off */
			CHECK_EQ(mirror.fate, XCAP_HANDED);
			CHECK_EQ(mirror.captured_len, tap.captured_len);
		}
	}
	hooks_unload(&hooks);
}

static void a_number_of_bytes_is_kept(void **state)
{
	static const struct {
		const char *name;
		uint32_t snaplen, keep, bytes;
		size_t expected;
	} cases[] = {
		{ "all", XCAP_SNAPLEN_MAX, XCAP_KEEP_ALL, 5, 142 },
		{ "of the frame", XCAP_SNAPLEN_MAX, XCAP_KEEP_BYTES, 60, 60 },
		{ "more than there are", XCAP_SNAPLEN_MAX, XCAP_KEEP_BYTES, 143, 142 },
		{ "one", XCAP_SNAPLEN_MAX, XCAP_KEEP_BYTES, 1, 1 },
		{ "none: records are never empty", XCAP_SNAPLEN_MAX, XCAP_KEEP_BYTES, 0, 1 },
		{ "no more than snaplen", 50, XCAP_KEEP_BYTES, 60, 50 },
		{ "headers, no more than snaplen", 50, XCAP_KEEP_HEADERS, 60, 50 },
		{ "all, of a snaplen", 50, XCAP_KEEP_ALL, 0, 50 },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct hooks_setup setup = { .config = { .snaplen = c->snaplen,
							 .has_policy = true } };
		struct hooks hooks;

		setup.policies[0] = (struct xcap_policy){ c->keep, c->bytes, 0, 0 };
		hooks_load(&hooks, &setup);
		packet_ethernet(&packet);
		udp();
		packet_fill(&packet, packet.len + 100);
		check_kept(&hooks, c->expected);
		hooks_unload(&hooks);
	}
}

/* The frame begins with IP; tap has no such interface. */
static void frames_without_ethernet_are_cut_as_well(void **state)
{
	struct hooks_setup setup = { .config = { .is_raw = true, .has_policy = true } };
	struct hooks hooks;
	struct outcome outcome;

	(void)state;
	setup.policies[0] = (struct xcap_policy){ XCAP_KEEP_HEADERS, 7, 0, 0 };
	hooks_load(&hooks, &setup);
	packet.len = 0;
	packet_ipv6(&packet, 4);
	packet_inner_ip(&packet, 4, PACKET_TCP);
	packet_tcp(&packet, 1, 2, 0);
	packet_fill(&packet, packet.len + 100);
	outcome = hooks_run_tap(&hooks, packet.bytes, packet.len);
	CHECK_EQ(outcome.fate, XCAP_HANDED);
	CHECK_EQ(outcome.captured_len, 40 + 20 + 20 + 7);
	hooks_unload(&hooks);
}

static void each_filter_has_its_policy_and_counter(void **state)
{
	struct hooks_setup setup = {
		.config.has_policy = true,
		.expressions = { "udp port 53", "udp", "tcp" },
		.policies = { { XCAP_KEEP_BYTES, 60, 0, 0 }, { XCAP_KEEP_HEADERS, 2, 0, 0 } },
	};
	static const struct {
		const char *name;
		unsigned int port; /* of UDP; 0: TCP; 1: neither */
		int slot;
		size_t kept;
	} cases[] = {
		{ "the first", 53, 0, 60 },
		{ "the second", 54, 1, 44 },
		{ "the third, without a policy", 0, 2, 154 },
		{ "none", 1, -1, 0 },
	};
	struct hooks hooks;

	(void)state;
	hooks_load(&hooks, &setup);
	FOR_EACH_CASE (c, cases) {
		uint64_t mirror_before[3], tap_before[3];
		struct outcome mirror, tap;

		packet_ethernet(&packet);
		packet_ipv4(&packet, c->port == 1 ? 132 : c->port ? PACKET_UDP : PACKET_TCP, 0, 0);
		if (c->port)
			packet_udp(&packet, 1, c->port);
		else
			packet_tcp(&packet, 1, 2, 0);
		packet_fill(&packet, packet.len + 100);
		for (__u32 slot = 0; slot < 3; slot++) {
			mirror_before[slot] = hooks_matched(hooks.mirror->maps.xcap_matched, slot);
			tap_before[slot] = hooks_matched(hooks.tap->maps.xcap_matched, slot);
		}
		mirror = hooks_run_mirror(&hooks, packet.bytes, packet.len);
		tap = hooks_run_tap(&hooks, packet.bytes, packet.len);
		CHECK_EQ(mirror.fate, c->slot < 0 ? XCAP_FILTERED : XCAP_HANDED);
		CHECK_EQ(tap.fate, c->slot < 0 ? XCAP_FILTERED : XCAP_HANDED);
		CHECK_EQ(mirror.captured_len, c->kept);
		CHECK_EQ(tap.captured_len, c->kept);
		for (__u32 slot = 0; slot < 3; slot++) {
			CHECK_EQ(hooks_matched(hooks.mirror->maps.xcap_matched, slot) -
					 mirror_before[slot],
				 (int)slot == c->slot);
			CHECK_EQ(hooks_matched(hooks.tap->maps.xcap_matched, slot) -
					 tap_before[slot],
				 (int)slot == c->slot);
		}
	}
	hooks_unload(&hooks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(headers_and_some_bytes_are_kept),
		TEST(a_frame_that_ends_in_its_headers_is_kept_as_far_as_it_goes),
		TEST(a_number_of_bytes_is_kept),
		TEST(frames_without_ethernet_are_cut_as_well),
		TEST(each_filter_has_its_policy_and_counter),
	};

	if (geteuid()) {
		print_message("BPF programs can only be run by root\n");
		return 77;
	}
	if (splice_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
