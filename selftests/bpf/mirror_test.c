/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mirror programs, run by the kernel on single packets, and what comes out of the ring read by
 * the agent's source. A test run takes frames of 14 to 3712 bytes.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/types.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/source.h"
#include "bpf/instance.h"
#include "bpf/mirror.skel.h"
#include "bpf/xcap_abi.h"
#include "selftests/bpf/packet.h"
#include "selftests/bpf/pushtag.skel.h"
#include "selftests/unit/check.h"

#define TCX_NEXT (-1)
#define FRAME_MAX 3712
#define RING_BYTES (512 * KIB)

struct mirror {
	struct xcap_mirror *skel;
	int ring_fd;
	struct source *source;
};

static const struct xcap_config defaults = {
	.ifindex = 7,
	.snaplen = XCAP_SNAPLEN_MAX,
	.directions = XCAP_IN | XCAP_OUT,
	.ring_bytes = RING_BYTES,
};

static struct packet packet;

static void mirror_load(struct mirror *mirror, const struct xcap_config *config)
{
	LIBBPF_OPTS(bpf_map_create_opts, ring, .map_flags = BPF_F_NUMA_NODE);

	mirror->skel = xcap_mirror__open();
	assert_non_null(mirror->skel);
	mirror->skel->rodata->xcap_config = *config;
	assert_int_equal(xcap_mirror__load(mirror->skel), 0);
	mirror->ring_fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ring", 0, 0, RING_BYTES, &ring);
	assert_true(mirror->ring_fd >= 0);
	for (__u32 cpu = 0; cpu < (__u32)libbpf_num_possible_cpus(); cpu++)
		assert_int_equal(bpf_map_update_elem(bpf_map__fd(mirror->skel->maps.xcap_rings),
						     &cpu, &mirror->ring_fd, BPF_ANY),
				 0);
	assert_int_equal(source_ring_create(&mirror->source, mirror->ring_fd, 0), 0);
}

static void mirror_unload(struct mirror *mirror)
{
	mirror->source->ops->destroy(mirror->source);
	close(mirror->ring_fd);
	xcap_mirror__destroy(mirror->skel);
}

static void be_self(const struct mirror *mirror, const char *const *addresses, size_t count,
		    uint16_t port)
{
	struct xcap_self self = { .abi_version = XCAP_ABI_VERSION, .count = (__u32)count };
	__u32 key = 0;

	for (size_t i = 0; i < count; i++) {
		self.list[i].port = htons(port);
		if (inet_pton(AF_INET6, addresses[i], self.list[i].address) != 1)
			fail_msg("%s is no address", addresses[i]);
	}
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(mirror->skel->maps.xcap_self), &key, &self,
					     BPF_ANY),
			 0);
}

static void run_with(const struct bpf_program *program, struct __sk_buff *context)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet.bytes,
		    .data_size_in = (__u32)packet.len, .ctx_in = context,
		    .ctx_size_in = context ? sizeof(*context) : 0);
	int err = bpf_prog_test_run_opts(bpf_program__fd(program), &options);

	CHECK_EQ(err, 0);
	CHECK_EQ((int)options.retval, TCX_NEXT);
}

static void run_in(const struct mirror *mirror)
{
	run_with(mirror->skel->progs.xcap_ingress, NULL);
}

static void counts(const struct mirror *mirror, struct xcap_count *ret)
{
	assert_int_equal(instance_read_counts(bpf_map__fd(mirror->skel->maps.xcap_count), ret), 0);
}

/* The one counter besides "seen" that moved by a frame. */
static int fate(const struct xcap_count *before, const struct xcap_count *after)
{
	int found = -1, moved = 0;

	for (int i = XCAP_SEEN + 1; i < XCAP_COUNTER_COUNT; i++) {
		if (after[i].frames == before[i].frames)
			continue;
		found = i;
		moved++;
	}
	CHECK_EQ(after[XCAP_SEEN].frames - before[XCAP_SEEN].frames, 1);
	CHECK_EQ(moved, 1);
	if (moved == 1) {
		CHECK_EQ(after[found].frames - before[found].frames, 1);
		CHECK_EQ(after[found].bytes - before[found].bytes,
			 after[XCAP_SEEN].bytes - before[XCAP_SEEN].bytes);
		CHECK_EQ(after[found].wire_packets - before[found].wire_packets,
			 after[XCAP_SEEN].wire_packets - before[XCAP_SEEN].wire_packets);
	}
	return found;
}

static bool take(const struct mirror *mirror, struct source_packet *ret)
{
	if (!mirror->source->ops->peek(mirror->source, ret))
		return false;
	mirror->source->ops->take(mirror->source);
	return true;
}

static void every_length_is_copied(void **state)
{
	struct mirror mirror;
	struct source_packet taken;

	(void)state;
	mirror_load(&mirror, &defaults);
	for (size_t len = 14; len <= FRAME_MAX; len++) {
		uint64_t before = mirror.source->ops->position(mirror.source), used;

		packet_ethernet(&packet);
		packet_put16(&packet, 0x88b5);
		packet_fill(&packet, len);
		run_in(&mirror);
		CHECK(take(&mirror, &taken));
		CHECK_EQ(taken.captured_len, len);
		CHECK_EQ(taken.original_len, len);
		CHECK(!memcmp(taken.data, packet.bytes, len));
		/* What a record takes: its header, the frame, and at most a step of its class. */
		used = mirror.source->ops->position(mirror.source) - before;
		CHECK(used >= 40 + len && used <= 48 + len + (len <= 2048 ? 64 : 256));
		mirror.source->ops->give_back(mirror.source);
		if (check_failures > 10)
			break;
	}
	CHECK(!take(&mirror, &taken));
	mirror_unload(&mirror);
}

static void snaplen_cuts_the_record_only(void **state)
{
	static const struct {
		const char *name;
		uint32_t snaplen;
		size_t len, captured;
	} cases[] = {
		{ "one byte", 1, 60, 1 },
		{ "less than the addresses", 5, 60, 5 },
		{ "exactly", 60, 60, 60 },
		{ "one more", 61, 60, 60 },
		{ "one less", 59, 60, 59 },
		{ "headers of a large frame", 96, 3000, 96 },
		{ "the largest", XCAP_SNAPLEN_MAX, FRAME_MAX, FRAME_MAX },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct xcap_config config = defaults;
		struct source_packet taken = {};
		struct mirror mirror;

		config.snaplen = c->snaplen;
		mirror_load(&mirror, &config);
		packet_ethernet(&packet);
		packet_put16(&packet, 0x88b5);
		packet_fill(&packet, c->len);
		run_in(&mirror);
		CHECK(take(&mirror, &taken));
		CHECK_EQ(taken.captured_len, c->captured);
		CHECK_EQ(taken.original_len, c->len);
		CHECK(!memcmp(taken.data, packet.bytes, c->captured));
		mirror_unload(&mirror);
	}
}

static void records_tell_time_direction_and_interface(void **state)
{
	struct mirror mirror;
	struct source_packet taken;
	uint64_t begin;

	(void)state;
	mirror_load(&mirror, &defaults);
	packet_ethernet(&packet);
	packet_ipv4(&packet, PACKET_UDP, 0, 0);
	packet_fill(&packet, 60);
	for (int out = 0; out < 2; out++) {
		begin = clock_ns(CLOCK_MONOTONIC);
		run_with(out ? mirror.skel->progs.xcap_egress : mirror.skel->progs.xcap_ingress,
			 NULL);
		CHECK(take(&mirror, &taken));
		CHECK(taken.time_ns >= begin && taken.time_ns <= clock_ns(CLOCK_MONOTONIC));
		CHECK_EQ(taken.direction, out ? XCAP_OUT : XCAP_IN);
		CHECK_EQ(taken.interface, 7);
		CHECK_EQ(taken.wire_packets, 1);
		CHECK(!taken.has_queue);
	}
	mirror_unload(&mirror);
}

static void the_other_direction_is_counted_only(void **state)
{
	struct xcap_count before[XCAP_COUNTER_COUNT], after[XCAP_COUNTER_COUNT];
	struct xcap_config config = defaults;
	struct mirror mirror;

	(void)state;
	config.directions = XCAP_OUT;
	mirror_load(&mirror, &config);
	packet_ethernet(&packet);
	packet_fill(&packet, 60);
	counts(&mirror, before);
	run_in(&mirror);
	counts(&mirror, after);
	CHECK_EQ(fate(before, after), XCAP_OTHER_DIRECTION);
	run_with(mirror.skel->progs.xcap_egress, NULL);
	counts(&mirror, before);
	CHECK_EQ(fate(after, before), XCAP_HANDED);
	mirror_unload(&mirror);
}

static void tagged_tcp(unsigned int tags, unsigned int port)
{
	packet_ethernet(&packet);
	for (unsigned int i = 0; i < tags; i++)
		packet_tag(&packet, i ? 0x8100 : 0x88a8, i + 1);
	packet_ipv4(&packet, PACKET_TCP, 0, 0);
	packet_tcp(&packet, 40000, port, 0);
}

static void ipv4_tcp(size_t options_len, unsigned int fragment, unsigned int source,
		     unsigned int destination)
{
	packet_ethernet(&packet);
	packet_ipv4(&packet, PACKET_TCP, options_len, fragment);
	packet_tcp(&packet, source, destination, 0);
}

static void to_self(void)
{
	ipv4_tcp(0, 0, 40000, 9227);
}
static void to_self_with_options(void)
{
	ipv4_tcp(40, 0, 40000, 9227);
}
static void to_self_first_fragment(void)
{
	ipv4_tcp(0, 0x2000, 40000, 9227);
}
static void other_port(void)
{
	ipv4_tcp(0, 0, 40000, 9228);
}
static void port_on_the_wrong_end(void)
{
	ipv4_tcp(0, 0, 9227, 40000);
}
static void later_fragment(void)
{
	ipv4_tcp(0, 0x0001, 40000, 9227);
}
static void udp_to_self(void)
{
	packet_ethernet(&packet);
	packet_ipv4(&packet, PACKET_UDP, 0, 0);
	packet_udp(&packet, 40000, 9227);
}
static void one_tag(void)
{
	tagged_tcp(1, 9227);
}
static void four_tags(void)
{
	tagged_tcp(4, 9227);
}
static void five_tags(void)
{
	tagged_tcp(5, 9227);
}
static void ipv6_from_self(void)
{
	packet_ethernet(&packet);
	packet_ipv6(&packet, PACKET_TCP);
	packet_tcp(&packet, 9227, 40000, 0);
}
static void ipv6_with_extensions(void)
{
	packet_ethernet(&packet);
	packet_ipv6(&packet, PACKET_HOP_BY_HOP);
	packet_extension(&packet, PACKET_HOP_BY_HOP, PACKET_DESTINATION, 0);
	packet_extension(&packet, PACKET_DESTINATION, PACKET_AH, 3);
	packet_extension(&packet, PACKET_AH, PACKET_FRAGMENT, 4);
	packet_fragment(&packet, PACKET_TCP, 0);
	packet_tcp(&packet, 9227, 40000, 0);
}
static void ipv6_later_fragment(void)
{
	packet_ethernet(&packet);
	packet_ipv6(&packet, PACKET_FRAGMENT);
	packet_fragment(&packet, PACKET_TCP, 100);
	packet_tcp(&packet, 9227, 40000, 0);
}
static void ipv6_extensions_without_end(void)
{
	packet_ethernet(&packet);
	packet_ipv6(&packet, PACKET_DESTINATION);
	for (int i = 0; i < 64; i++)
		packet_extension(&packet, PACKET_DESTINATION, PACKET_DESTINATION, 0);
}
static void cut_in_the_ports(void)
{
	to_self();
	packet.len = 14 + 20 + 3;
}
static void not_ip(void)
{
	packet_ethernet(&packet);
	packet_put16(&packet, 0x0806);
	packet_fill(&packet, 42);
}

static void own_upload_is_left_out(void **state)
{
	static const char *const addresses[] = { "2001:db8::9", "::ffff:10.0.0.2", "fd00::1" };
	static const struct {
		const char *name;
		void (*build)(void);
		int fate;
	} cases[] = {
		{ "to the aggregator", to_self, XCAP_SELF },
		{ "with IP options", to_self_with_options, XCAP_SELF },
		{ "first fragment", to_self_first_fragment, XCAP_SELF },
		{ "another port", other_port, XCAP_HANDED },
		{ "its port on our side", port_on_the_wrong_end, XCAP_HANDED },
		{ "later fragment: no ports", later_fragment, XCAP_HANDED },
		{ "UDP", udp_to_self, XCAP_HANDED },
		{ "one tag", one_tag, XCAP_SELF },
		{ "four tags", four_tags, XCAP_SELF },
		{ "five tags are not looked through", five_tags, XCAP_HANDED },
		{ "IPv6, from the aggregator", ipv6_from_self, XCAP_SELF },
		{ "IPv6 with four extension headers", ipv6_with_extensions, XCAP_SELF },
		{ "IPv6, later fragment", ipv6_later_fragment, XCAP_HANDED },
		{ "IPv6, extensions without end", ipv6_extensions_without_end, XCAP_HANDED },
		{ "cut in the ports", cut_in_the_ports, XCAP_HANDED },
		{ "not IP", not_ip, XCAP_HANDED },
	};
	struct xcap_count before[XCAP_COUNTER_COUNT], after[XCAP_COUNTER_COUNT];
	struct mirror mirror;

	(void)state;
	mirror_load(&mirror, &defaults);
	be_self(&mirror, addresses, ARRAY_SIZE(addresses), 9227);
	FOR_EACH_CASE (c, cases) {
		struct source_packet taken;

		c->build();
		counts(&mirror, before);
		run_in(&mirror);
		counts(&mirror, after);
		CHECK_EQ(fate(before, after), c->fate);
		CHECK_EQ(take(&mirror, &taken), c->fate == XCAP_HANDED);
		mirror.source->ops->give_back(mirror.source);
	}
	be_self(&mirror, addresses, 0, 9227);
	to_self();
	counts(&mirror, before);
	run_in(&mirror);
	counts(&mirror, after);
	CHECK_EQ(fate(before, after), XCAP_HANDED);
	mirror_unload(&mirror);
}

static void the_last_of_many_endpoints_is_found(void **state)
{
	const char *addresses[XCAP_SELF_MAX];
	struct xcap_count before[XCAP_COUNTER_COUNT], after[XCAP_COUNTER_COUNT];
	struct mirror mirror;

	(void)state;
	mirror_load(&mirror, &defaults);
	for (int i = 0; i < XCAP_SELF_MAX; i++)
		addresses[i] = i < XCAP_SELF_MAX - 1 ? "2001:db8::1" : "::ffff:10.0.0.2";
	be_self(&mirror, addresses, ARRAY_SIZE(addresses), 9227);
	to_self();
	counts(&mirror, before);
	run_in(&mirror);
	counts(&mirror, after);
	CHECK_EQ(fate(before, after), XCAP_SELF);
	mirror_unload(&mirror);
}

static void super_packet(unsigned int kind)
{
	packet_ethernet(&packet);
	if (kind & 1)
		packet_ipv6(&packet, kind & 2 ? PACKET_UDP : PACKET_TCP);
	else
		packet_ipv4(&packet, kind & 2 ? PACKET_UDP : PACKET_TCP, 0, 0);
	if (kind & 2)
		packet_udp(&packet, 1, 2);
	else
		packet_tcp(&packet, 1, 2, 12);
}

static void segments_count_as_on_the_wire(void **state)
{
	static const struct {
		const char *name;
		unsigned int kind; /* 1: IPv6, 2: UDP */
		uint32_t segments, size;
		uint32_t wire_packets, headers;
	} cases[] = {
		{ "no super-packet", 0, 0, 0, 1, 0 },
		{ "TCP/IPv4", 0, 3, 1000, 3, 14 + 20 + 32 },
		{ "TCP/IPv6", 1, 3, 1000, 3, 14 + 40 + 32 },
		{ "UDP/IPv4", 2, 3, 1000, 3, 14 + 20 + 8 },
		{ "UDP/IPv6", 3, 3, 1000, 3, 14 + 40 + 8 },
		{ "one segment", 0, 1, 3000, 1, 14 + 20 + 32 },
		{ "not counted yet", 0, 0, 1000, 3, 14 + 20 + 32 },
	};
	struct xcap_count before[XCAP_COUNTER_COUNT], after[XCAP_COUNTER_COUNT];
	struct mirror mirror;

	(void)state;
	mirror_load(&mirror, &defaults);
	FOR_EACH_CASE (c, cases) {
		struct __sk_buff context = { .gso_segs = c->segments, .gso_size = c->size };
		struct source_packet taken = {};

		super_packet(c->kind);
		packet_fill(&packet, packet.len + 2500);
		counts(&mirror, before);
		run_with(mirror.skel->progs.xcap_egress, &context);
		counts(&mirror, after);
		CHECK_EQ(fate(before, after), XCAP_HANDED);
		CHECK_EQ(after[XCAP_HANDED].wire_packets - before[XCAP_HANDED].wire_packets,
			 c->wire_packets);
		CHECK_EQ(after[XCAP_HANDED].bytes - before[XCAP_HANDED].bytes,
			 packet.len + (c->wire_packets - 1) * c->headers);
		CHECK(take(&mirror, &taken));
		CHECK_EQ(taken.wire_packets, c->wire_packets);
		CHECK_EQ(taken.original_len, packet.len);
		mirror.source->ops->give_back(mirror.source);
	}
	mirror_unload(&mirror);
}

static void a_tag_beside_the_frame_goes_back(void **state)
{
	static const struct {
		const char *name;
		uint32_t snaplen, protocol, control;
		unsigned int inner_tags;
		size_t len;
	} cases[] = {
		{ "802.1Q with priority", XCAP_SNAPLEN_MAX, 0x8100, 0x6064, 0, 60 },
		{ "802.1ad before 802.1Q", XCAP_SNAPLEN_MAX, 0x88a8, 0x0005, 1, 64 },
		{ "the largest", XCAP_SNAPLEN_MAX, 0x8100, 0x0001, 0, FRAME_MAX },
		{ "cut in the addresses", 7, 0x8100, 0x0064, 0, 60 },
		{ "cut before the tag", 12, 0x8100, 0x0064, 0, 60 },
		{ "cut in the tag", 14, 0x8100, 0x0064, 0, 60 },
		{ "cut behind the tag", 16, 0x8100, 0x0064, 0, 60 },
		{ "cut in the type", 17, 0x8100, 0x0064, 0, 60 },
		{ "cut at a class", 64, 0x8100, 0x0064, 0, 60 },
		{ "cut by the tag's length", 60, 0x8100, 0x0064, 0, 60 },
	};
	static struct packet expected;
	struct xcap_pushtag *push;

	(void)state;
	push = xcap_pushtag__open_and_load();
	assert_non_null(push);
	FOR_EACH_CASE (c, cases) {
		struct xcap_count before[XCAP_COUNTER_COUNT], after[XCAP_COUNTER_COUNT];
		struct __sk_buff context = { .mark = c->protocol << 16 | c->control };
		struct xcap_config config = defaults;
		struct source_packet taken = {};
		struct mirror mirror;
		__u32 key = 0, program;

		config.snaplen = c->snaplen;
		mirror_load(&mirror, &config);
		program = (__u32)bpf_program__fd(mirror.skel->progs.xcap_ingress);
		assert_int_equal(bpf_map_update_elem(bpf_map__fd(push->maps.push_next), &key,
						     &program, BPF_ANY),
				 0);
		packet_ethernet(&packet);
		packet_ethernet(&expected);
		packet_tag(&expected, c->protocol, c->control);
		if (c->inner_tags) {
			packet_tag(&packet, 0x8100, 9);
			packet_tag(&expected, 0x8100, 9);
		}
		packet_put16(&packet, 0x88b5);
		packet_put16(&expected, 0x88b5);
		packet_fill(&packet, c->len);
		memcpy(expected.bytes + expected.len, packet.bytes + (expected.len - 4),
		       c->len - (expected.len - 4));
		expected.len = c->len + 4;
		counts(&mirror, before);
		run_with(push->progs.push_tag, &context);
		counts(&mirror, after);
		CHECK_EQ(fate(before, after), XCAP_HANDED);
		CHECK_EQ(after[XCAP_HANDED].bytes - before[XCAP_HANDED].bytes, c->len + 4);
		CHECK(take(&mirror, &taken));
		CHECK_EQ(taken.original_len, c->len + 4);
		CHECK_EQ(taken.captured_len, MIN(c->len + 4, c->snaplen));
		CHECK(!memcmp(taken.data, expected.bytes, taken.captured_len));
		mirror_unload(&mirror);
	}
	xcap_pushtag__destroy(push);
}

static void what_finds_no_room_is_counted(void **state)
{
	struct xcap_count sum[XCAP_COUNTER_COUNT];
	struct xcap_config config = defaults;
	struct source_packet taken;
	struct mirror mirror;
	uint64_t received = 0;
	__u32 cpus = (__u32)libbpf_num_possible_cpus();

	(void)state;
	config.ring_bytes = 2048;
	mirror_load(&mirror, &config);
	packet_ethernet(&packet);
	packet_fill(&packet, 1000);
	for (int i = 0; i < 1000; i++)
		run_in(&mirror);
	packet_fill(&packet, 3000);
	for (int i = 0; i < 10; i++)
		run_in(&mirror);
	while (take(&mirror, &taken)) {
		CHECK_EQ(taken.captured_len, 1000);
		received++;
	}
	counts(&mirror, sum);
	CHECK_EQ(sum[XCAP_SEEN].frames, 1010);
	CHECK_EQ(sum[XCAP_HANDED].frames, received);
	CHECK(received > RING_BYTES / 1200 && received < RING_BYTES / 1000);
	CHECK_EQ(sum[XCAP_RING_FULL].frames, 1000 - received);
	/* The programs were told that the ring is smaller than such a record. */
	CHECK_EQ(sum[XCAP_TOO_LONG].frames, 10);
	/* Room again. */
	mirror.source->ops->give_back(mirror.source);
	packet_ethernet(&packet);
	packet_fill(&packet, 1000);
	run_in(&mirror);
	CHECK(take(&mirror, &taken));
	for (__u32 cpu = 0; cpu < cpus; cpu++)
		(void)bpf_map_delete_elem(bpf_map__fd(mirror.skel->maps.xcap_rings), &cpu);
	run_in(&mirror);
	counts(&mirror, sum);
	CHECK_EQ(sum[XCAP_NO_MEMORY].frames, 1);
	mirror_unload(&mirror);
}

/* What becomes of a packet of this length, and how large its record is, with header, to the byte.
 */
static enum xcap_counter fate_of(size_t len, uint32_t ring_bytes, uint64_t *record_bytes)
{
	struct xcap_count before[XCAP_COUNTER_COUNT], after[XCAP_COUNTER_COUNT];
	struct xcap_config config = defaults;
	struct source_packet taken;
	struct mirror mirror;

	config.ring_bytes = ring_bytes;
	mirror_load(&mirror, &config);
	packet_ethernet(&packet);
	packet_fill(&packet, len);
	counts(&mirror, before);
	run_in(&mirror);
	counts(&mirror, after);
	(void)!take(&mirror, &taken);
	/* The kernel rounds up to 8, and puts 8 in front. */
	*record_bytes = mirror.source->ops->position(mirror.source) - 8 - 4;
	mirror_unload(&mirror);
	return fate(before, after);
}

static void what_is_too_long_goes_by_the_record(void **state)
{
	static const struct {
		const char *name;
		size_t len;
	} cases[] = {
		{ "the smallest", 60 },	      { "a class's last", 1024 },
		{ "a class's first", 1025 },  { "the last small step", 2048 },
		{ "the first octave", 2049 }, { "the largest", FRAME_MAX },
	};
	uint64_t bytes, ignored;

	(void)state;
	FOR_EACH_CASE (c, cases) {
		CHECK_EQ(fate_of(c->len, RING_BYTES, &bytes), XCAP_HANDED);
		CHECK_EQ(fate_of(c->len, (uint32_t)bytes, &ignored), XCAP_TOO_LONG);
		CHECK_EQ(fate_of(c->len, (uint32_t)bytes + 1, &ignored), XCAP_HANDED);
	}
}

static void the_ring_wraps_without_a_seam(void **state)
{
	struct source_packet taken;
	struct mirror mirror;
	size_t len = 14;

	(void)state;
	mirror_load(&mirror, &defaults);
	for (int i = 0; i < 3000; i++, len = 14 + (len + 611) % (FRAME_MAX - 14)) {
		packet_ethernet(&packet);
		packet_fill(&packet, len);
		run_in(&mirror);
		CHECK(take(&mirror, &taken));
		CHECK_EQ(taken.captured_len, len);
		CHECK(!memcmp(taken.data, packet.bytes, len));
		if (i % 7 == 0)
			mirror.source->ops->give_back(mirror.source);
		if (check_failures)
			break;
	}
	CHECK(mirror.source->ops->position(mirror.source) > 2 * RING_BYTES);
	mirror_unload(&mirror);
}

/* A daemon that comes after another: what was framed is not read again, the rest is. */
static void a_second_reader_goes_on_where_it_is_told(void **state)
{
	struct source *second, *third;
	struct source_packet taken;
	struct mirror mirror;
	uint64_t framed;

	(void)state;
	mirror_load(&mirror, &defaults);
	for (size_t len = 100; len < 110; len++) {
		packet_ethernet(&packet);
		packet_fill(&packet, len);
		run_in(&mirror);
	}
	for (int i = 0; i < 3; i++)
		CHECK(take(&mirror, &taken));
	mirror.source->ops->give_back(mirror.source);
	CHECK(take(&mirror, &taken));
	framed = mirror.source->ops->position(mirror.source);
	CHECK(take(&mirror, &taken));
	/* It dies here: three given back (the last is held), four framed, five taken. */
	assert_int_equal(source_ring_create(&second, mirror.ring_fd, 0), 0);
	CHECK_EQ(second->id, mirror.source->id);
	CHECK(second->ops->peek(second, &taken));
	CHECK_EQ(taken.captured_len, 102);
	second->ops->seek(second, framed);
	CHECK(second->ops->peek(second, &taken));
	CHECK_EQ(taken.captured_len, 104);
	/* Positions that are none: of another ring, inside a record, in the past. */
	second->ops->seek(second, framed + 1000000);
	second->ops->seek(second, framed + 8);
	second->ops->seek(second, 0);
	CHECK(second->ops->peek(second, &taken));
	CHECK_EQ(taken.captured_len, 104);
	/* What seek() skipped is given back. */
	assert_int_equal(source_ring_create(&third, mirror.ring_fd, 0), 0);
	CHECK(third->ops->peek(third, &taken));
	CHECK_EQ(taken.captured_len, 104);
	third->ops->destroy(third);
	second->ops->destroy(second);
	mirror_unload(&mirror);
}

static bool is_readable(const struct mirror *mirror)
{
	struct pollfd poll_fd = { .fd = mirror->source->poll_fd, .events = POLLIN };

	return poll(&poll_fd, 1, 0) == 1;
}

/* Who has caught up gets woken: while packets come one is held back, then none. */
static void one_record_is_held_back_while_packets_come(void **state)
{
	struct source_packet taken;
	struct source *second;
	struct mirror mirror;

	(void)state;
	mirror_load(&mirror, &defaults);
	packet_ethernet(&packet);
	packet_fill(&packet, 100);
	CHECK(!is_readable(&mirror));
	run_in(&mirror);
	run_in(&mirror);
	CHECK(is_readable(&mirror));
	CHECK(take(&mirror, &taken) && take(&mirror, &taken) && !take(&mirror, &taken));
	mirror.source->ops->give_back(mirror.source);
	CHECK(is_readable(&mirror));
	CHECK(!take(&mirror, &taken));
	mirror.source->ops->give_back(mirror.source);
	CHECK(!is_readable(&mirror));
	run_in(&mirror);
	CHECK(is_readable(&mirror));
	/* One that ends in between leaves nothing to be read again. */
	assert_int_equal(source_ring_create(&second, mirror.ring_fd, 0), 0);
	CHECK(second->ops->peek(second, &taken));
	second->ops->take(second);
	second->ops->give_back(second);
	second->ops->destroy(second);
	CHECK(!is_readable(&mirror));
	mirror_unload(&mirror);
}

/* A card's clock that began with 0 a while ago, and how it goes with this host's. */
#define CARD_NS (5000 * NS_PER_SEC)

static void set_clock(const struct mirror *mirror, uint64_t now, int64_t rate, uint64_t until_ns,
		      uint32_t current)
{
	struct xcap_clock clock = { .current = current };
	__u32 key = 0;

	clock.lines[current] = (struct xcap_line){
		.nic_ns = CARD_NS,
		.host_ns = now,
		.rate = rate,
		.until_ns = until_ns,
	};
	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(mirror->skel->maps.xcap_clock), &key, &clock, 0),
		0);
}

static void stamps_of_the_card_are_told_as_the_hosts(void **state)
{
	const int64_t ms = (int64_t)NS_PER_MS, second = (int64_t)NS_PER_SEC;
	const struct {
		const char *name;
		int64_t read_ns;  /* when the clocks were read, from now */
		int64_t stamp_ns; /* the card's, since then */
		int64_t rate_ppm;
		uint32_t current;
		int64_t time_ns; /* expected, since then; 0: the kernel's */
	} cases[] = {
		{ "now", -second, second, 0, 0, second },
		{ "a little ago", -second, second - ms, 0, 0, second - ms },
		{ "a little ahead, as readings err", -second, second + ms / 2, 0, 0,
		  second + ms / 2 },
		{ "before the clocks were read", -ms, -3 * ms, 0, 0, -3 * ms },
		{ "the other line", -second, second - 7, 0, 1, second - 7 },
		{ "a card that is slow", -second, second - 200000, 200, 0, second - 41 },
		{ "a card that is fast", -second, second + 200000, -200, 0, second - 40 },
		{ "so long ago that it is another's", -second, second - 11 * ms, 0, 0, 0 },
		{ "so far ahead that it is another's", -second, second + 500 * ms, 0, 0, 0 },
		{ "wrapped at 32 bits", -second, second - (1ll << 32), 0, 0, 0 },
		{ "beyond every line", -second, INT64_MAX / 2, 0, 0, 0 },
		{ "a pointer, as some drivers leave", -second, INT64_MIN + 4096, 0, 0, 0 },
		{ "there is none", -second, -(int64_t)CARD_NS, 0, 0, 0 },
		{ "nobody has read the clocks for long", -6 * second, 6 * second, 0, 0, 0 },
	};
	struct xcap_config config = defaults;

	(void)state;
	config.asks = XCAP_ASK_STAMP;
	packet_ethernet(&packet);
	packet_ipv4(&packet, PACKET_UDP, 0, 0);
	packet_fill(&packet, 60);
	FOR_EACH_CASE (c, cases) {
		struct xcap_count after[XCAP_COUNTER_COUNT];
		struct __sk_buff context = {};
		struct source_packet taken;
		struct mirror mirror;
		uint64_t now, read;

		mirror_load(&mirror, &config);
		now = clock_ns(CLOCK_MONOTONIC);
		read = now + (uint64_t)c->read_ns;
		set_clock(&mirror, read, c->rate_ppm * (1ll << XCAP_RATE_SHIFT) / 1000000,
			  read + 5 * NS_PER_SEC, c->current);
		context.hwtstamp = CARD_NS + (uint64_t)c->stamp_ns;
		run_with(mirror.skel->progs.xcap_ingress, &context);
		CHECK(take(&mirror, &taken));
		counts(&mirror, after);
		CHECK_EQ(after[XCAP_NO_STAMP].frames, !c->time_ns);
		CHECK_EQ(after[XCAP_HANDED].frames, 1);
		if (c->time_ns)
			CHECK_EQ((int64_t)(taken.time_ns - read), c->time_ns);
		else
			CHECK(taken.time_ns >= now && taken.time_ns <= clock_ns(CLOCK_MONOTONIC));
		mirror_unload(&mirror);
	}
}

static void stamps_count_only_where_they_are_asked_for(void **state)
{
	static const struct {
		const char *name;
		uint32_t asks;
		bool out, has_clock;
		uint64_t no_stamp;
	} cases[] = {
		{ "not asked for", 0, false, true, 0 },
		{ "leaving: when it is to leave", XCAP_ASK_STAMP, true, true, 0 },
		{ "the clocks were never read", XCAP_ASK_STAMP, false, false, 1 },
	};

	(void)state;
	packet_ethernet(&packet);
	packet_ipv4(&packet, PACKET_UDP, 0, 0);
	packet_fill(&packet, 60);
	FOR_EACH_CASE (c, cases) {
		uint64_t now = clock_ns(CLOCK_MONOTONIC);
		struct xcap_count after[XCAP_COUNTER_COUNT];
		struct xcap_config config = defaults;
		struct __sk_buff context = { .hwtstamp = CARD_NS - NS_PER_MS };
		struct source_packet taken;
		struct mirror mirror;

		config.asks = c->asks;
		mirror_load(&mirror, &config);
		if (c->has_clock)
			set_clock(&mirror, now, 0, now + NS_PER_SEC, 0);
		run_with(c->out ? mirror.skel->progs.xcap_egress : mirror.skel->progs.xcap_ingress,
			 &context);
		CHECK(take(&mirror, &taken));
		CHECK(taken.time_ns >= now);
		counts(&mirror, after);
		CHECK_EQ(after[XCAP_NO_STAMP].frames, c->no_stamp);
		mirror_unload(&mirror);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_length_is_copied),
		TEST(snaplen_cuts_the_record_only),
		TEST(records_tell_time_direction_and_interface),
		TEST(the_other_direction_is_counted_only),
		TEST(own_upload_is_left_out),
		TEST(the_last_of_many_endpoints_is_found),
		TEST(segments_count_as_on_the_wire),
		TEST(a_tag_beside_the_frame_goes_back),
		TEST(what_finds_no_room_is_counted),
		TEST(what_is_too_long_goes_by_the_record),
		TEST(the_ring_wraps_without_a_seam),
		TEST(a_second_reader_goes_on_where_it_is_told),
		TEST(one_record_is_held_back_while_packets_come),
		TEST(stamps_of_the_card_are_told_as_the_hosts),
		TEST(stamps_count_only_where_they_are_asked_for),
	};

	if (geteuid()) {
		print_message("BPF programs can only be run by root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
