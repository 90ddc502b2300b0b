/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sampling: how many packets and flows are in, and what belongs together. At both hooks. */
#include "selftests/bpf/hooks.h"

#define RUNS 20000
#define FLOWS 4000

static struct packet packet;

/* Within five times the standard deviation. */
static void check_share(uint64_t in, uint64_t of, uint32_t one_of)
{
	double expected = (double)of / one_of, apart = (double)in - expected;

	CHECK(apart * apart <= 25 * expected * (1 - 1.0 / one_of));
}

static uint64_t frames(const struct bpf_map *map, enum xcap_counter counter)
{
	struct xcap_count counts[XCAP_COUNTER_COUNT];

	assert_int_equal(instance_read_counts(bpf_map__fd(map), counts), 0);
	return counts[counter].frames;
}

static void run_many(const struct bpf_program *program, const struct bpf_map *map, uint32_t one_of)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet.bytes,
		    .data_size_in = (__u32)packet.len, .repeat = RUNS);

	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(program), &options), 0);
	CHECK_EQ(frames(map, XCAP_SEEN), RUNS);
	check_share(RUNS - frames(map, XCAP_SAMPLED_OUT), RUNS, one_of);
}

static void one_packet_of_so_many_is_in(void **state)
{
	static const struct {
		const char *name;
		uint32_t sample, one_of;
	} cases[] = {
		{ "0: each", 0, 1 },   { "1: each", 1, 1 },	    { "half", 2, 2 },
		{ "1 of 10", 10, 10 }, { "1 of 1000", 1000, 1000 },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct hooks_setup setup = { .config.has_policy = true };
		struct hooks hooks;

		setup.policies[0].sample = c->sample;
		hooks_load(&hooks, &setup);
		packet_ethernet(&packet);
		packet_ipv4(&packet, PACKET_UDP, 0, 0);
		packet_udp(&packet, 1, 2);
		run_many(hooks.mirror->progs.xcap_ingress, hooks.mirror->maps.xcap_count,
			 c->one_of);
		run_many(hooks.tap->progs.xcap_tap, hooks.tap->maps.xcap_count, c->one_of);
		hooks_unload(&hooks);
	}
}

/* 0: sampled out, 1: in; of mirror and tap the same. */
static int is_in(struct hooks *hooks)
{
	struct outcome mirror = hooks_run_mirror(hooks, packet.bytes, packet.len);
	struct outcome tap = hooks_run_tap(hooks, packet.bytes, packet.len);

	CHECK(tap.fate == XCAP_HANDED || tap.fate == XCAP_SAMPLED_OUT);
	CHECK_EQ(mirror.fate, tap.fate);
	return tap.fate == XCAP_HANDED;
}

/* Addresses end in .1 and .2; back: the other direction of the flow with these ports. */
static void build(int version, uint8_t protocol, unsigned int port, bool back, unsigned int tags)
{
	size_t addresses;

	packet_ethernet(&packet);
	for (unsigned int i = 0; i < tags; i++)
		packet_tag(&packet, 0x8100, i);
	if (version == 4)
		packet_ipv4(&packet, protocol, 0, 0);
	else
		packet_ipv6(&packet, protocol);
	if (back) {
		addresses = packet.len - (version == 4 ? 8 : 32);
		packet.bytes[addresses + (version == 4 ? 3 : 15)] = 2;
		packet.bytes[packet.len - 1] = 1;
	}
	if (protocol == PACKET_TCP)
		packet_tcp(&packet, back ? 443 : port, back ? port : 443, 0);
	else
		packet_udp(&packet, back ? 443 : port, back ? port : 443);
	packet_fill(&packet, packet.len + port % 50);
}

static void a_flow_is_in_or_out_as_a_whole(void **state)
{
	static const struct {
		const char *name;
		int version;
		uint8_t protocol;
	} cases[] = {
		{ "TCP/IPv4", 4, PACKET_TCP },
		{ "UDP/IPv4", 4, PACKET_UDP },
		{ "TCP/IPv6", 6, PACKET_TCP },
		{ "UDP/IPv6", 6, PACKET_UDP },
	};
	struct hooks_setup setup = { .config.has_policy = true, .policies = { { 0, 0, 0, 8 } } };
	struct hooks hooks;

	(void)state;
	hooks_load(&hooks, &setup);
	FOR_EACH_CASE (c, cases) {
		unsigned int in = 0;

		for (unsigned int port = 1; port <= FLOWS && check_failures < 10; port++) {
			int there;

			build(c->version, c->protocol, port, false, 0);
			there = is_in(&hooks);
			in += (unsigned int)there;
			build(c->version, c->protocol, port, true, 0);
			CHECK_EQ(is_in(&hooks), there);
			if (port % 16)
				continue;
			build(c->version, c->protocol, port, true, 2);
			CHECK_EQ(is_in(&hooks), there);
		}
		check_share(in, FLOWS, 8);
	}
	hooks_unload(&hooks);
}

/* Hosts of different versions must agree: these flows, and no others. */
static void which_flows_never_changes(void **state)
{
	struct hooks_setup setup = { .config.has_policy = true, .policies = { { 0, 0, 0, 4 } } };
	struct hooks hooks;
	uint64_t in = 0;

	(void)state;
	hooks_load(&hooks, &setup);
	for (unsigned int port = 0; port < 64; port++) {
		build(4, PACKET_TCP, port, false, 0);
		in |= (uint64_t)is_in(&hooks) << port;
	}
	CHECK_EQ(in, 0x6c024809130d0a43);
	hooks_unload(&hooks);
}

/* Of datagrams between many hosts; the first fragment has the ports, the others have not. */
static void fragments_of_a_datagram_belong_together(void **state)
{
	static const unsigned int offsets[] = { 0x2000, 0x2000 | 185, 370 };
	struct hooks_setup setup = { .config.has_policy = true, .policies = { { 0, 0, 0, 2 } } };
	struct hooks hooks;
	unsigned int in = 0;

	(void)state;
	hooks_load(&hooks, &setup);
	for (uint8_t host = 0; host < 100; host++) {
		int there = -1;

		for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
			packet_ethernet(&packet);
			packet_ipv4(&packet, PACKET_UDP, 0, offsets[i]);
			packet.bytes[packet.len - 5] = host;
			if (!i)
				packet_udp(&packet, 1000u + host, 53);
			packet_fill(&packet, 100);
			if (there < 0)
				there = is_in(&hooks);
			else
				CHECK_EQ(is_in(&hooks), there);
		}
		packet_ethernet(&packet);
		packet_ipv6(&packet, PACKET_FRAGMENT);
		packet.bytes[packet.len - 17] = host;
		packet_fragment(&packet, PACKET_UDP, 0);
		packet.bytes[packet.len - 5] |= 1;
		packet_udp(&packet, 1000u + host, 53);
		packet_fill(&packet, 100);
		there = is_in(&hooks);
		packet.len = 54;
		packet_fragment(&packet, PACKET_UDP, 100);
		packet_fill(&packet, 100);
		CHECK_EQ(is_in(&hooks), there);
		in += (unsigned int)there;
	}
	check_share(in, 100, 2);
	hooks_unload(&hooks);
}

/* ARP between two hosts, there and back. */
static void what_is_not_ip_goes_by_its_mac_addresses(void **state)
{
	struct hooks_setup setup = { .config.has_policy = true, .policies = { { 0, 0, 0, 2 } } };
	struct hooks hooks;
	unsigned int in = 0;

	(void)state;
	hooks_load(&hooks, &setup);
	for (uint8_t host = 10; host < 110; host++) {
		int there;

		packet_ethernet(&packet);
		packet_put16(&packet, 0x0806);
		packet_fill(&packet, 60);
		packet.bytes[5] = host;
		there = is_in(&hooks);
		in += (unsigned int)there;
		packet.bytes[5] = 2;
		packet.bytes[11] = host;
		CHECK_EQ(is_in(&hooks), there);
	}
	check_share(in, 100, 2);
	hooks_unload(&hooks);
}

/* VXLAN: the outer source port tells inner flows apart, and is another one on the way back. */
static void with_decap_it_is_the_inner_flow(void **state)
{
	struct hooks_setup setup = { .config = { .has_policy = true, .decap = true },
				     .policies = { { 0, 0, 0, 2 } } };
	static struct packet inner;
	unsigned int in = 0;
	struct hooks hooks;

	(void)state;
	hooks_load(&hooks, &setup);
	for (unsigned int port = 1; port <= 100; port++) {
		int there = -1;

		for (int back = 0; back < 2; back++) {
			build(4, PACKET_TCP, port, back, 1);
			inner = packet;
			packet_ethernet(&packet);
			packet_ipv4(&packet, PACKET_UDP, 0, 0);
			packet_udp(&packet, back ? 50000 : 60000, 4789);
			packet_put16(&packet, 0x0800);
			packet.len += 6;
			memcpy(packet.bytes + packet.len, inner.bytes, inner.len);
			packet.len += inner.len;
			if (there < 0)
				there = is_in(&hooks);
			else
				CHECK_EQ(is_in(&hooks), there);
		}
		in += (unsigned int)there;
	}
	check_share(in, 100, 2);
	hooks_unload(&hooks);
}

/* What is sampled out is not filtered, and what is filtered is not sampled. */
static void only_what_matches_is_sampled(void **state)
{
	struct hooks_setup setup = { .config.has_policy = true,
				     .expressions = { "udp", "tcp" },
				     .policies = { { .sample = 1u << 31 } } };
	struct hooks hooks;

	(void)state;
	hooks_load(&hooks, &setup);
	build(4, PACKET_UDP, 1, false, 0);
	CHECK_EQ(hooks_run_mirror(&hooks, packet.bytes, packet.len).fate, XCAP_SAMPLED_OUT);
	CHECK_EQ(hooks_run_tap(&hooks, packet.bytes, packet.len).fate, XCAP_SAMPLED_OUT);
	CHECK_EQ(hooks_matched(hooks.mirror->maps.xcap_matched, 0), 1);
	build(4, PACKET_TCP, 1, false, 0);
	CHECK_EQ(is_in(&hooks), 1);
	build(4, 132, 1, false, 0);
	CHECK_EQ(hooks_run_mirror(&hooks, packet.bytes, packet.len).fate, XCAP_FILTERED);
	CHECK_EQ(hooks_run_tap(&hooks, packet.bytes, packet.len).fate, XCAP_FILTERED);
	hooks_unload(&hooks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_packet_of_so_many_is_in),
		TEST(a_flow_is_in_or_out_as_a_whole),
		TEST(which_flows_never_changes),
		TEST(fragments_of_a_datagram_belong_together),
		TEST(what_is_not_ip_goes_by_its_mac_addresses),
		TEST(with_decap_it_is_the_inner_flow),
		TEST(only_what_matches_is_sampled),
	};

	if (geteuid()) {
		print_message("BPF programs can only be run by root\n");
		return 77;
	}
	if (splice_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
