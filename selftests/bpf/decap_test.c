/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Filters that also see what tunnels carry, at both hooks. */
#include "selftests/bpf/hooks.h"
#include "selftests/bpf/tunnels.h"

static struct packet packet;

static void tcp_to(unsigned int port)
{
	packet_tcp(&packet, 40000, port, 0);
	packet_fill(&packet, packet.len + 10);
}

static void plain(void)
{
	packet_ipv4(&packet, PACKET_TCP, 0, 0);
	tcp_to(80);
}
static void vxlan(void)
{
	packet_udp_tunnel(&packet, 4789, 0x0800, 0, 8);
	packet_inner_ethernet(&packet);
	packet_ipv4(&packet, PACKET_TCP, 0, 0);
	tcp_to(80);
}
static void vxlan_behind_tags(void)
{
	packet_tag(&packet, 0x88a8, 1);
	packet_tag(&packet, 0x8100, 2);
	packet_udp_tunnel(&packet, 8472, 0x0800, 0, 8);
	packet_inner_ethernet(&packet);
	packet_ipv6(&packet, PACKET_TCP);
	tcp_to(80);
}
static void vxlan_at_another_port(void)
{
	packet_udp_tunnel(&packet, 4790, 0x0800, 0, 8);
	packet_inner_ethernet(&packet);
	packet_ipv4(&packet, PACKET_TCP, 0, 0);
	tcp_to(80);
}
static void geneve_with_options(void)
{
	packet_udp_tunnel(&packet, 6081, 0x3f00, 0x6558, 8 + 63 * 4);
	packet_inner_ethernet(&packet);
	packet_ipv4(&packet, PACKET_TCP, 0, 0);
	tcp_to(80);
}
static void geneve_of_ipv6(void)
{
	packet_udp_tunnel(&packet, 6081, 0x0000, 0x86dd, 8);
	packet_inner_ip(&packet, 6, PACKET_TCP);
	tcp_to(80);
}
static void geneve_of_another_version(void)
{
	packet_udp_tunnel(&packet, 6081, 0x4000, 0x0800, 8);
	packet_inner_ip(&packet, 4, PACKET_TCP);
	tcp_to(80);
}
static void gre(void)
{
	packet_ipv6(&packet, 47);
	packet_gre(&packet, 0x3000, 0x0800);
	packet_inner_ip(&packet, 4, PACKET_TCP);
	tcp_to(80);
}
static void gre_of_ethernet(void)
{
	packet_ipv4(&packet, 47, 40, 0);
	packet_gre(&packet, 0x8000, 0x6558);
	packet_inner_ethernet(&packet);
	packet_ipv4(&packet, PACKET_TCP, 0, 0);
	tcp_to(80);
}
static void gre_of_pptp(void)
{
	packet_ipv4(&packet, 47, 0, 0);
	packet_gre(&packet, 0x2001, 0x0800);
	packet_inner_ip(&packet, 4, PACKET_TCP);
	tcp_to(80);
}
static void gre_with_routing(void)
{
	packet_ipv4(&packet, 47, 0, 0);
	packet_gre(&packet, 0x4000, 0x0800);
	packet_inner_ip(&packet, 4, PACKET_TCP);
	tcp_to(80);
}
static void ip_in_ip(void)
{
	packet_ipv4(&packet, 4, 0, 0);
	packet_inner_ip(&packet, 4, PACKET_TCP);
	tcp_to(80);
}
static void ipv6_in_ipv4(void)
{
	packet_ipv4(&packet, 41, 0, 0);
	packet_inner_ip(&packet, 6, PACKET_TCP);
	tcp_to(80);
}
static void later_fragment_of_a_tunnel(void)
{
	packet_ipv4(&packet, 4, 0, 100);
	packet_inner_ip(&packet, 4, PACKET_TCP);
	tcp_to(80);
}
static void three_tunnels(void)
{
	packet_ipv4(&packet, 4, 0, 0);
	packet_inner_ip(&packet, 4, 47);
	packet_gre(&packet, 0, 0x6558);
	packet_inner_ethernet(&packet);
	packet_ipv4(&packet, 4, 0, 0);
	packet_inner_ip(&packet, 4, PACKET_TCP);
	tcp_to(80);
}
static void four_tunnels(void)
{
	packet_ipv4(&packet, 4, 0, 0);
	for (int i = 0; i < 3; i++)
		packet_inner_ip(&packet, 4, 4);
	packet_inner_ip(&packet, 4, PACKET_TCP);
	tcp_to(80);
}
static void another_port_inside(void)
{
	packet_ipv4(&packet, 4, 0, 0);
	packet_inner_ip(&packet, 4, PACKET_TCP);
	tcp_to(81);
}
static void cut_off_inside(void)
{
	ip_in_ip();
	packet.len -= 28;
}
static void nothing_inside(void)
{
	packet_udp_tunnel(&packet, 4789, 0x0800, 0, 8);
}

static const struct {
	const char *name;
	void (*build)(void);
	bool without, with;
} cases[] = {
	{ "no tunnel", plain, true, true },
	{ "VXLAN", vxlan, false, true },
	{ "VXLAN at 8472 behind tags, IPv6", vxlan_behind_tags, false, true },
	{ "VXLAN at another port", vxlan_at_another_port, false, false },
	{ "GENEVE with all options", geneve_with_options, false, true },
	{ "GENEVE of IPv6", geneve_of_ipv6, false, true },
	{ "GENEVE of another version", geneve_of_another_version, false, false },
	{ "GRE of IPv4", gre, false, true },
	{ "GRE of Ethernet behind IP options", gre_of_ethernet, false, true },
	{ "GRE of PPTP", gre_of_pptp, false, false },
	{ "GRE with routing", gre_with_routing, false, false },
	{ "IP in IP", ip_in_ip, false, true },
	{ "6in4", ipv6_in_ipv4, false, true },
	{ "a later fragment", later_fragment_of_a_tunnel, false, false },
	{ "three tunnels", three_tunnels, false, true },
	{ "four tunnels", four_tunnels, false, false },
	{ "another port", another_port_inside, false, false },
	{ "cut off", cut_off_inside, false, false },
	{ "nothing", nothing_inside, false, false },
};

static void check_fates(struct hooks *hooks, bool matches)
{
	int expected = matches ? XCAP_HANDED : XCAP_FILTERED;
	struct outcome mirror = hooks_run_mirror(hooks, packet.bytes, packet.len);
	struct outcome tap = hooks_run_tap(hooks, packet.bytes, packet.len);

	CHECK_EQ(mirror.fate, expected);
	CHECK_EQ(tap.fate, expected);
	if (matches) {
		CHECK_EQ(mirror.captured_len, packet.len);
		CHECK_EQ(tap.captured_len, packet.len);
	}
}

static void the_frame_or_what_is_inside_matches(void **state)
{
	(void)state;
	for (int decap = 0; decap < 2; decap++) {
		struct hooks_setup setup = {
			.config.decap = (__u32)decap,
			.expressions = { "tcp port 80" },
		};
		struct hooks hooks;

		hooks_load(&hooks, &setup);
		FOR_EACH_CASE (c, cases) {
			packet_ethernet(&packet);
			c->build();
			check_fates(&hooks, decap ? c->with : c->without);
		}
		hooks_unload(&hooks);
	}
}

/* No filter for raw IP, where there are no tags. */
static void tags_inside_match(void **state)
{
	struct hooks_setup setup = { .config.decap = true,
				     .expressions = { "vlan 3 and tcp port 80" } };
	struct hooks hooks;

	(void)state;
	hooks_load(&hooks, &setup);
	for (unsigned int id = 3; id < 5; id++) {
		packet_ethernet(&packet);
		packet_udp_tunnel(&packet, 4789, 0x0800, 0, 8);
		packet_inner_ethernet(&packet);
		packet_tag(&packet, 0x8100, id);
		packet_ipv4(&packet, PACKET_TCP, 0, 0);
		tcp_to(80);
		check_fates(&hooks, id == 3);
	}
	packet_ethernet(&packet);
	ip_in_ip();
	check_fates(&hooks, false);
	hooks_unload(&hooks);
}

/* Of an interface without Ethernet: the frame is of the other kind, and tunnels have both. */
static void frames_that_begin_with_ip(void **state)
{
	struct hooks_setup setup = { .config = { .is_raw = true, .decap = true },
				     .expressions = { "tcp port 80" } };
	struct hooks hooks;

	(void)state;
	hooks_load(&hooks, &setup);
	packet.len = 0;
	packet_udp_tunnel(&packet, 4789, 0x0800, 0, 8);
	packet_inner_ethernet(&packet);
	packet_ipv4(&packet, PACKET_TCP, 0, 0);
	tcp_to(80);
	CHECK_EQ(hooks_run_tap(&hooks, packet.bytes, packet.len).fate, XCAP_HANDED);
	packet.len = 0;
	packet_ipv4(&packet, 4, 0, 0);
	packet_inner_ip(&packet, 4, PACKET_TCP);
	tcp_to(80);
	CHECK_EQ(hooks_run_tap(&hooks, packet.bytes, packet.len).fate, XCAP_HANDED);
	hooks_unload(&hooks);
}

/* The filter that is asked first is that of the packet, wherever it matches. */
static void the_first_filter_counts(void **state)
{
	struct hooks_setup setup = { .config.decap = true,
				     .expressions = { "tcp port 80", "udp", "tcp port 81" } };
	struct hooks hooks;

	(void)state;
	hooks_load(&hooks, &setup);
	packet_ethernet(&packet);
	vxlan();
	check_fates(&hooks, true);
	packet_ethernet(&packet);
	another_port_inside();
	check_fates(&hooks, true);
	for (__u32 slot = 0; slot < 3; slot++) {
		CHECK_EQ(hooks_matched(hooks.mirror->maps.xcap_matched, slot), slot != 1);
		CHECK_EQ(hooks_matched(hooks.tap->maps.xcap_matched, slot), slot != 1);
	}
	hooks_unload(&hooks);
}

/* A small packet in a frame that was filled up; BIG TCP tells no length. */
static void the_length_inside_is_that_of_ip(void **state)
{
	struct hooks_setup setup = { .config.decap = true,
				     .expressions = { "len = 28 and udp port 53" } };
	struct hooks hooks;

	(void)state;
	hooks_load(&hooks, &setup);
	for (int told = 0; told < 2; told++) {
		packet_ethernet(&packet);
		packet_ipv4(&packet, 4, 0, 0);
		packet.bytes[17] = told ? 48 : 0;
		packet_inner_ip(&packet, 4, PACKET_UDP);
		packet_udp(&packet, 1, 53);
		packet_fill(&packet, 64);
		check_fates(&hooks, told);
	}
	hooks_unload(&hooks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_frame_or_what_is_inside_matches), TEST(tags_inside_match),
		TEST(frames_that_begin_with_ip),	   TEST(the_first_filter_counts),
		TEST(the_length_inside_is_that_of_ip),
	};

	if (geteuid()) {
		print_message("BPF programs can only be run by root\n");
		return 77;
	}
	if (splice_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
