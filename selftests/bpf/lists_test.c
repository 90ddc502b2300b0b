/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists of addresses in the kernel, at both hooks: what they let through is what a search through
 * the list, prefix by prefix, says. */
#include "selftests/bpf/lists_rig.h"

#define LISTS 12
#define PACKETS 400

static struct packet packet;

static uint64_t random_number(void)
{
	static uint64_t state = 88172645463325252ull;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void random_address(uint64_t ret[2], bool is_ipv4)
{
	/* Few networks, so that prefixes are in each other. */
	ret[0] = is_ipv4 ? 0 : 0x20010db800000000ull | (random_number() & 0x3000300030003ull);
	ret[1] = is_ipv4 ? 0xffff0a000000ull | (random_number() & 0x030f0fff)
			 : random_number() & 0xc00000000000000full;
}

static void add_text(struct prefixes *prefixes, enum xcap_verdict verdict, const char *word)
{
	char error[EXPLAIN_LEN];

	if (prefixes_add(prefixes, verdict, word, error))
		fail_msg("%s", error);
}

/* A prefix met twice is of the same list. */
static void add_random(struct prefixes *prefixes, bool allows)
{
	bool is_ipv4 = random_number() % 2;
	unsigned int full = is_ipv4 ? 32 : 128,
		     length = (unsigned int)(random_number() % (full + 1));
	char text[INET6_ADDRSTRLEN], word[INET6_ADDRSTRLEN + 8];
	uint64_t address[2], bytes[2];
	unsigned int bits;

	if (random_number() % 3 == 0)
		length = full - (unsigned int)(random_number() % 9);
	random_address(address, is_ipv4);
	bits = length + (is_ipv4 ? 96 : 0);
	address[0] &= bits >= 64 ? ~0ull : bits ? ~0ull << (64 - bits) : 0;
	address[1] &= bits <= 64 ? 0 : ~0ull << (128 - bits);
	bytes[0] = htobe64(address[0]);
	bytes[1] = htobe64(address[1]);
	inet_ntop(is_ipv4 ? AF_INET : AF_INET6, (uint8_t *)bytes + (is_ipv4 ? 12 : 0), text,
		  sizeof(text));
	snprintf(word, sizeof(word), "%s/%u", text, length);
	allows = allows && __builtin_parityll(address[0] ^ address[1] ^ length);
	add_text(prefixes, allows ? XCAP_ALLOW : XCAP_DENY, word);
}

static void random_list(struct prefixes *ret, unsigned int count, bool allows)
{
	char error[EXPLAIN_LEN];

	for (unsigned int i = 0; i < count; i++)
		add_random(ret, allows);
	assert_int_equal(prefixes_finish(ret, error), 0);
}

static bool expected(const struct prefixes *prefixes, const uint64_t source[2],
		     const uint64_t destination[2])
{
	enum xcap_verdict of_source = prefixes_lookup(prefixes, source);
	enum xcap_verdict of_destination = prefixes_lookup(prefixes, destination);
	struct xcap_list_counts counts;

	prefixes_count(prefixes, &counts);
	if (of_source == XCAP_DENY || of_destination == XCAP_DENY)
		return false;
	return !(counts.allow_ipv4 + counts.allow_ipv6) || of_source == XCAP_ALLOW ||
	       of_destination == XCAP_ALLOW;
}

static void the_longest_prefix_decides(void **state)
{
	unsigned int passed = 0;

	(void)state;
	for (unsigned int list = 0; list < LISTS; list++) {
		struct prefixes prefixes = {};
		struct rig rig;

		random_list(&prefixes, 1 + list * list * 3, list % 2);
		rig_load(&rig, &prefixes, NULL);
		for (unsigned int i = 0; i < PACKETS && check_failures < 10; i++) {
			uint64_t source[2], destination[2];
			bool is_ipv4 = i % 2, expect;

			random_address(source, is_ipv4);
			random_address(destination, is_ipv4);
			rig_udp(&packet, source, destination, is_ipv4);
			expect = expected(&prefixes, source, destination);
			passed += expect;
			for (unsigned int hook = 0; hook < RIG_HOOKS; hook++)
				CHECK_EQ(rig_run(&rig, hook, &packet), expect);
		}
		rig_unload(&rig);
		prefixes_release(&prefixes);
	}
	/* Neither all nor none, or it tells nothing. */
	CHECK(passed > LISTS * PACKETS / 10 && passed < LISTS * PACKETS * 9 / 10);
}

/* By the mask each of them is in one of so many networks. */
static void near_address(uint64_t ret[2], const uint64_t spread[2])
{
	ret[0] = 0x2001000000000000ull | (random_number() & spread[0]);
	ret[1] = random_number() & spread[1];
}

static void add_near(struct prefixes *prefixes, const uint64_t spread[2])
{
	static const unsigned int lengths[] = { 32, 40, 48, 48, 56, 64, 64, 100, 128, 128 };
	unsigned int length = lengths[random_number() % ARRAY_SIZE(lengths)];
	char text[INET6_ADDRSTRLEN], word[INET6_ADDRSTRLEN + 8];
	uint64_t address[2];

	near_address(address, spread);
	address[0] &= length >= 64 ? ~0ull : ~0ull << (64 - length);
	address[1] &= length <= 64 ? 0 : ~0ull << (128 - length);
	for (int i = 0; i < 2; i++)
		address[i] = htobe64(address[i]);
	inet_ntop(AF_INET6, address, text, sizeof(text));
	snprintf(word, sizeof(word), "%s/%u", text, length);
	add_text(prefixes, __builtin_parityll(address[0] ^ address[1]) ? XCAP_ALLOW : XCAP_DENY,
		 word);
}

static void many_prefixes_are_found(void **state)
{
	static const struct {
		const char *name;
		uint64_t spread[2];
	} cases[] = {
		{ "many networks", { 0x00007fff00030003, 0x8000000000000001 } },
		{ "hosts of one network", { 0, 0x7fff8000001 } },
		{ "subnets of one network", { 0x00000000ffff0001, 3 } },
		{ "few subnets, each with many", { 0x0000000300030003, 0x1ff } },
	};
	char error[EXPLAIN_LEN];

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct prefixes prefixes = {};
		unsigned int passed = 0;
		struct rig rig;

		for (unsigned int i = 0; i < 20000; i++)
			add_near(&prefixes, c->spread);
		assert_int_equal(prefixes_finish(&prefixes, error), 0);
		rig_load(&rig, &prefixes, NULL);
		for (unsigned int i = 0; i < PACKETS * 4 && check_failures < 10; i++) {
			const struct prefix *listed =
				&prefixes.list[random_number() % prefixes.count];
			uint64_t source[2], destination[2];
			bool expect;

			near_address(source, c->spread);
			near_address(destination, c->spread);
			if (i % 4)
				memcpy(source, listed->address, sizeof(source));
			if (i % 4 > 1)
				memcpy(destination, listed->address, sizeof(source));
			rig_udp(&packet, source, destination, false);
			expect = expected(&prefixes, source, destination);
			passed += expect;
			for (unsigned int hook = 0; hook < RIG_HOOKS; hook++)
				CHECK_EQ(rig_run(&rig, hook, &packet), expect);
		}
		CHECK(passed > PACKETS / 4 && passed < PACKETS * 15 / 4);
		rig_unload(&rig);
		prefixes_release(&prefixes);
	}
}

static void arp(void)
{
	packet_ethernet(&packet);
	packet_put16(&packet, 0x0806);
	packet_fill(&packet, 60);
}
static void udp(void)
{
	packet_ethernet(&packet);
	packet_ipv4(&packet, PACKET_UDP, 0, 0);
	packet_udp(&packet, 1, 2);
}
static void udp6(void)
{
	packet_ethernet(&packet);
	packet_ipv6(&packet, PACKET_UDP);
	packet_udp(&packet, 1, 2);
}
static void tagged_udp(void)
{
	packet_ethernet(&packet);
	packet_tag(&packet, 0x88a8, 1);
	packet_tag(&packet, 0x8100, 2);
	packet_ipv4(&packet, PACKET_UDP, 0, 0);
	packet_udp(&packet, 1, 2);
}
static void fragment(void)
{
	packet_ethernet(&packet);
	packet_ipv4(&packet, PACKET_UDP, 0, 100);
	packet_fill(&packet, 60);
}
static void cut_header(void)
{
	packet_ethernet(&packet);
	packet_put16(&packet, 0x0800);
	packet_fill(&packet, 34);
	packet.bytes[14] = 0x41; /* a header of 4 bytes */
}

static void lists_let_through(void **state)
{
	/* Packets are from 10.0.0.1 to 10.0.0.2, fd00::1 to fd00::2. */
	static const struct {
		const char *name;
		const char *allow, *deny;
		void (*build)(void);
		bool passes;
	} cases[] = {
		{ "no IP, something denied", NULL, "10.0.0.1", arp, true },
		{ "no IP, something allowed", "10.0.0.1", NULL, arp, false },
		{ "no sound IP, something allowed", "10.0.0.1", NULL, cut_header, false },
		{ "source denied", NULL, "10.0.0.1", udp, false },
		{ "destination denied", NULL, "10.0.0.2", udp, false },
		{ "neighbour denied", NULL, "10.0.0.3", udp, true },
		{ "source allowed", "10.0.0.1", NULL, udp, true },
		{ "destination allowed", "10.0.0.2", NULL, udp, true },
		{ "neither allowed", "10.0.0.3", NULL, udp, false },
		{ "allowed to denied", "10.0.0.1", "10.0.0.2", udp, false },
		{ "denied to allowed", "10.0.0.2", "10.0.0.1", udp, false },
		{ "an exception to what is denied", "10.0.0.0/30", "10.0.0.0/8", udp, true },
		{ "an exception to what is allowed", "10.0.0.0/8", "10.0.0.1", udp, false },
		{ "everything denied", NULL, "0.0.0.0/0", udp, false },
		{ "all of IPv6 denied", NULL, "::/0", udp, true },
		{ "all of IPv4 denied", NULL, "0.0.0.0/0", udp6, true },
		{ "all of IPv6 allowed", "::/0", NULL, udp6, true },
		{ "IPv6 where IPv4 is allowed", "10.0.0.0/8", NULL, udp6, false },
		{ "IPv6 source denied", NULL, "fd00::1", udp6, false },
		{ "IPv6 prefix denied", NULL, "fd00::/8", udp6, false },
		{ "IPv6 half of an address", NULL, "fd00::/64", udp6, false },
		{ "IPv6 one bit more", NULL, "fd00:0:0:0:8000::/65", udp6, true },
		{ "mapped prefix is IPv4", NULL, "::ffff:10.0.0.0/126", udp, false },
		{ "behind two tags", NULL, "10.0.0.0/24", tagged_udp, false },
		{ "a later fragment", NULL, "10.0.0.0/24", fragment, false },
	};
	char error[EXPLAIN_LEN];

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct prefixes prefixes = {};
		struct rig rig;

		if (c->allow)
			add_text(&prefixes, XCAP_ALLOW, c->allow);
		if (c->deny)
			add_text(&prefixes, XCAP_DENY, c->deny);
		assert_int_equal(prefixes_finish(&prefixes, error), 0);
		rig_load(&rig, &prefixes, NULL);
		c->build();
		for (unsigned int hook = 0; hook < RIG_HOOKS; hook++)
			CHECK_EQ(rig_run(&rig, hook, &packet), c->passes);
		rig_unload(&rig);
		prefixes_release(&prefixes);
	}
}

/* Whatever is not used is not in the program: no more instructions than without. */
static void nothing_is_left_of_what_is_not_used(void **state)
{
	struct prefixes prefixes = {};
	struct bpf_prog_info with = {}, without = {};
	__u32 len = sizeof(with);
	char error[EXPLAIN_LEN];
	struct rig rig;

	(void)state;
	rig_load(&rig, &prefixes, NULL);
	assert_int_equal(bpf_obj_get_info_by_fd(rig.program_fds[RIG_MIRROR], &without, &len), 0);
	for (unsigned int i = 0; i < RIG_HOOKS; i++) {
		packet_ethernet(&packet);
		packet_fill(&packet, 60);
		CHECK(rig_run(&rig, i, &packet));
	}
	rig_unload(&rig);
	add_text(&prefixes, XCAP_DENY, "10.0.0.0/25");
	assert_int_equal(prefixes_finish(&prefixes, error), 0);
	rig_load(&rig, &prefixes, NULL);
	len = sizeof(with);
	assert_int_equal(bpf_obj_get_info_by_fd(rig.program_fds[RIG_MIRROR], &with, &len), 0);
	CHECK(without.nr_map_ids + 3 == with.nr_map_ids);
	CHECK(without.xlated_prog_len < with.xlated_prog_len);
	rig_unload(&rig);
	prefixes_release(&prefixes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_longest_prefix_decides),
		TEST(many_prefixes_are_found),
		TEST(lists_let_through),
		TEST(nothing_is_left_of_what_is_not_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
