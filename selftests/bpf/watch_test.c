/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Watched flows, at both hooks, with a list that denies everything else. */
#include <sched.h>

#include "selftests/bpf/lists_rig.h"

#define ROOM 8

static struct packet packet;
static char dir[] = "/tmp/xcap-watch.XXXXXX";

/* A BPF file system of our own, which ends with us. */
static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount("bpf", dir, "bpf", 0, NULL), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	umount(dir);
	rmdir(dir);
	return 0;
}

static void forget_pins(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/watch", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/watching", dir);
	unlink(path);
}

/* Words, separated by single spaces. */
static void parse(struct xcap_watch_key *ret, const char *flow)
{
	char copy[128], error[EXPLAIN_LEN], *rest = copy;
	const char *words[8];
	size_t count = 0;

	snprintf(copy, sizeof(copy), "%s", flow);
	while (count < ARRAY_SIZE(words) && (words[count] = strsep(&rest, " ")))
		count++;
	if (watch_parse(ret, words, count, error))
		fail_msg("%s: %s", flow, error);
}

static void add(struct watch *watch, const char *flow, uint64_t expires_ns)
{
	struct xcap_watch_key key;

	parse(&key, flow);
	assert_int_equal(watch_add(watch, &key, expires_ns), 0);
}

static void deny_all(struct rig *rig, const struct watch *watch)
{
	struct prefixes prefixes = {};
	char error[EXPLAIN_LEN];

	assert_int_equal(prefixes_add(&prefixes, XCAP_DENY, "0.0.0.0/0", error), 0);
	assert_int_equal(prefixes_add(&prefixes, XCAP_DENY, "::/0", error), 0);
	assert_int_equal(prefixes_finish(&prefixes, error), 0);
	rig_load(rig, &prefixes, watch);
	prefixes_release(&prefixes);
}

static void ipv4(uint8_t protocol, unsigned int fragment)
{
	packet_ethernet(&packet);
	packet_ipv4(&packet, protocol, 0, fragment);
	packet.bytes[18] = 0x12; /* id */
	packet.bytes[19] = 0x34;
}
static void udp(void)
{
	ipv4(PACKET_UDP, 0);
	packet_udp(&packet, 5060, 5062);
}
static void udp_back(void)
{
	ipv4(PACKET_UDP, 0);
	packet.bytes[29] = 2;
	packet.bytes[33] = 1;
	packet_udp(&packet, 5062, 5060);
}
static void udp_ports_turned(void)
{
	ipv4(PACKET_UDP, 0);
	packet_udp(&packet, 5062, 5060);
}
static void tcp(void)
{
	ipv4(PACKET_TCP, 0);
	packet_tcp(&packet, 5060, 5062, 0);
}
static void udp_tagged(void)
{
	packet_ethernet(&packet);
	packet_tag(&packet, 0x8100, 7);
	packet_ipv4(&packet, PACKET_UDP, 0, 0);
	packet_udp(&packet, 5060, 5062);
}
static void udp_other_port(void)
{
	ipv4(PACKET_UDP, 0);
	packet_udp(&packet, 5060, 5063);
}
static void udp_without_ports(void)
{
	ipv4(PACKET_UDP, 0);
}
static void icmp(void)
{
	ipv4(1, 0);
	packet_fill(&packet, 60);
}
static void udp6(void)
{
	packet_ethernet(&packet);
	packet_ipv6(&packet, PACKET_UDP);
	packet_udp(&packet, 5060, 5062);
}
static void udp6_back_with_options(void)
{
	packet_ethernet(&packet);
	packet_ipv6(&packet, PACKET_DESTINATION);
	packet.bytes[37] = 2;
	packet.bytes[53] = 1;
	packet_extension(&packet, PACKET_DESTINATION, PACKET_UDP, 1);
	packet_udp(&packet, 5062, 5060);
}

static void watched_flows_pass_what_denies_them(void **state)
{
	static const struct {
		const char *name, *flow;
		void (*build)(void);
		bool passes;
	} cases[] = {
		{ "as written", "udp 10.0.0.1 5060 10.0.0.2 5062", udp, true },
		{ "the other way", "udp 10.0.0.1 5060 10.0.0.2 5062", udp_back, true },
		{ "written the other way", "udp 10.0.0.2 5062 10.0.0.1 5060", udp, true },
		{ "ports turned", "udp 10.0.0.1 5060 10.0.0.2 5062", udp_ports_turned, false },
		{ "another port", "udp 10.0.0.1 5060 10.0.0.2 5062", udp_other_port, false },
		{ "another address", "udp 10.0.0.1 5060 10.0.0.3 5062", udp, false },
		{ "another protocol", "udp 10.0.0.1 5060 10.0.0.2 5062", tcp, false },
		{ "tcp", "tcp 10.0.0.1 5060 10.0.0.2 5062", tcp, true },
		{ "by number", "17 10.0.0.1 5060 10.0.0.2 5062", udp, true },
		{ "behind a tag", "udp 10.0.0.1 5060 10.0.0.2 5062", udp_tagged, true },
		{ "cut before its ports", "udp 10.0.0.1 0 10.0.0.2 0", udp_without_ports, false },
		{ "without ports", "icmp 10.0.0.2 10.0.0.1", icmp, true },
		{ "icmp of others", "icmp 10.0.0.2 10.0.0.3", icmp, false },
		{ "IPv6", "udp fd00::1 5060 fd00::2 5062", udp6, true },
		{ "IPv6 back, with options", "udp fd00::1 5060 fd00::2 5062",
		  udp6_back_with_options, true },
		{ "IPv6 of others", "udp fd00::1 5060 fd00::3 5062", udp6, false },
	};
	struct xcap_watch_key key;
	struct watch *watch;
	struct rig rig;

	(void)state;
	assert_int_equal(watch_open(&watch, dir, ROOM), 0);
	deny_all(&rig, watch);
	FOR_EACH_CASE (c, cases) {
		c->build();
		for (unsigned int hook = 0; hook < RIG_HOOKS; hook++)
			CHECK(!rig_run(&rig, hook, &packet));
		add(watch, c->flow, WATCH_FOREVER);
		for (unsigned int hook = 0; hook < RIG_HOOKS; hook++)
			CHECK_EQ(rig_run(&rig, hook, &packet), c->passes);
		parse(&key, c->flow);
		CHECK_EQ(watch_delete(watch, &key), 0);
		CHECK_EQ(watch_delete(watch, &key), -ENOENT);
	}
	rig_unload(&rig);
	watch_close(watch);
	forget_pins();
}

static struct xcap_watch counters(const struct watch *watch)
{
	struct xcap_watch value = {};
	struct watch_entry *list;
	size_t count;

	assert_int_equal(watch_list(&list, &count, watch), 0);
	if (count)
		value = list[0].value;
	free(list);
	return value;
}

static void entries_count_and_end(void **state)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	struct watch *watch;
	struct rig rig;

	(void)state;
	assert_int_equal(watch_open(&watch, dir, ROOM), 0);
	deny_all(&rig, watch);
	add(watch, "udp 10.0.0.1 5060 10.0.0.2 5062", now_ns + 3600 * NS_PER_SEC);
	udp();
	packet_fill(&packet, 100);
	CHECK(rig_run(&rig, RIG_MIRROR, &packet));
	udp_back();
	packet_fill(&packet, 60);
	CHECK(rig_run(&rig, RIG_TAP, &packet));
	CHECK_EQ(counters(watch).packets, 2);
	CHECK_EQ(counters(watch).bytes, 160);
	/* Given another end it goes on counting. */
	add(watch, "udp 10.0.0.2 5062 10.0.0.1 5060", now_ns + 7200 * NS_PER_SEC);
	CHECK_EQ(watch_count(watch), 1);
	CHECK_EQ(counters(watch).packets, 2);
	/* Over: still there, and not looked at. */
	add(watch, "udp 10.0.0.1 5060 10.0.0.2 5062", now_ns);
	for (unsigned int hook = 0; hook < RIG_HOOKS; hook++)
		CHECK(!rig_run(&rig, hook, &packet));
	CHECK_EQ(watch_count(watch), 1);
	CHECK_EQ(watch_expire(watch), 0);
	CHECK_EQ(watch_count(watch), 0);
	rig_unload(&rig);
	watch_close(watch);
	forget_pins();
}

static void room_is_bounded_and_what_is_over_makes_some(void **state)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	struct xcap_watch_key key;
	struct watch *watch;
	char flow[64];

	(void)state;
	assert_int_equal(watch_open(&watch, dir, ROOM), 0);
	CHECK_EQ(watch_entries_max(watch), ROOM);
	for (unsigned int i = 0; i < ROOM; i++) {
		snprintf(flow, sizeof(flow), "udp 10.0.0.1 %u 10.0.0.2 5060", i);
		add(watch, flow, i == 3 ? now_ns : WATCH_FOREVER);
	}
	add(watch, "udp 10.0.0.1 100 10.0.0.2 5060", WATCH_FOREVER);
	parse(&key, "udp 10.0.0.1 101 10.0.0.2 5060");
	CHECK_EQ(watch_add(watch, &key, WATCH_FOREVER), -ENOSPC);
	CHECK_EQ(watch_count(watch), ROOM);
	watch_close(watch);
	forget_pins();
}

static void the_pins_hand_them_on(void **state)
{
	struct watch_entry *list;
	struct watch *watch;
	struct rig rig;
	size_t count;

	(void)state;
	assert_int_equal(watch_open(&watch, dir, ROOM), 0);
	add(watch, "udp 10.0.0.1 5060 10.0.0.2 5062", WATCH_FOREVER);
	watch_close(watch);
	CHECK_EQ(watch_read(&list, &count, dir), 0);
	CHECK_EQ(count, 1);
	free(list);
	assert_int_equal(watch_open(&watch, dir, 2 * ROOM), 0);
	CHECK_EQ(watch_count(watch), 1);
	CHECK_EQ(watch_entries_max(watch), ROOM);
	deny_all(&rig, watch);
	udp();
	CHECK(rig_run(&rig, RIG_MIRROR, &packet));
	rig_unload(&rig);
	watch_close(watch);
	forget_pins();
	CHECK_EQ(watch_read(&list, &count, dir), -ENOENT);
}

static void udp6_fragment(bool is_first, uint8_t id)
{
	packet_ethernet(&packet);
	packet_ipv6(&packet, PACKET_FRAGMENT);
	packet.bytes[packet.len + 7] = id;
	packet_fragment(&packet, PACKET_UDP, is_first ? 0 : 100);
	packet.bytes[packet.len - 5] |= is_first; /* more follow */
	if (is_first)
		packet_udp(&packet, 5060, 5062);
	packet_fill(&packet, 80);
}

static void later_fragments_have_the_ports_of_the_first(void **state)
{
	struct watch *watch;
	struct rig rig;

	(void)state;
	assert_int_equal(watch_open(&watch, dir, ROOM), 0);
	deny_all(&rig, watch);
	add(watch, "udp 10.0.0.1 5060 10.0.0.2 5062", WATCH_FOREVER);
	add(watch, "udp fd00::1 5060 fd00::2 5062", WATCH_FOREVER);
	for (unsigned int hook = 0; hook < RIG_HOOKS; hook++) {
		check_case = hook ? "tap" : "mirror";
		/* Not yet known, as the first has not come; tap comes later. */
		ipv4(PACKET_UDP, 100);
		packet_fill(&packet, 80);
		CHECK_EQ(rig_run(&rig, hook, &packet), hook == RIG_TAP);
		ipv4(PACKET_UDP, 0x2000);
		packet_udp(&packet, 5060, 5062);
		packet_fill(&packet, 80);
		CHECK(rig_run(&rig, hook, &packet));
		for (unsigned int i = 1; i < 4; i++) {
			ipv4(PACKET_UDP, (i < 3 ? 0x2000 : 0) + i * 100);
			packet_fill(&packet, 80);
			CHECK(rig_run(&rig, hook, &packet));
		}
		/* Of another packet. */
		packet.bytes[19] = 0x35;
		CHECK(!rig_run(&rig, hook, &packet));
		/* First of a packet that is not watched. */
		ipv4(PACKET_UDP, 0x2000);
		packet.bytes[19] = 0x36;
		packet_udp(&packet, 5060, 5063);
		CHECK(!rig_run(&rig, hook, &packet));
		ipv4(PACKET_UDP, 100);
		packet.bytes[19] = 0x36;
		packet_fill(&packet, 80);
		CHECK(!rig_run(&rig, hook, &packet));
		udp6_fragment(true, 9);
		CHECK(rig_run(&rig, hook, &packet));
		udp6_fragment(false, 9);
		CHECK(rig_run(&rig, hook, &packet));
		udp6_fragment(false, 10);
		CHECK(!rig_run(&rig, hook, &packet));
	}
	rig_unload(&rig);
	watch_close(watch);
	forget_pins();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(watched_flows_pass_what_denies_them),	   TEST(entries_count_and_end),
		TEST(room_is_bounded_and_what_is_over_makes_some), TEST(the_pins_hand_them_on),
		TEST(later_fragments_have_the_ports_of_the_first),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
