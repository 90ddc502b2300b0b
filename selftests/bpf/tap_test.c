/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tap program, run by the kernel on single frames of up to several pages. A socket is in the
 * map but bound to nothing: a test run ends with the verdict.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/types.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/instance.h"
#include "bpf/tap.skel.h"
#include "bpf/xcap_abi.h"
#include "selftests/bpf/packet.h"
#include "selftests/unit/check.h"

enum { DROP = 1, PASS = 2, REDIRECT = 4 };

static const struct xcap_config defaults = {
	.snaplen = XCAP_SNAPLEN_MAX,
	.directions = XCAP_IN,
	.pass_no_socket = 1,
};

static struct packet packet;

struct result {
	__u32 verdict;
	struct xcap_meta meta;
	const uint8_t *data;
	size_t len;
	uint8_t out[sizeof(struct xcap_meta) + PACKET_MAX];
};

static struct xcap_tap *tap_load(const struct xcap_config *config)
{
	struct xcap_tap *skel = xcap_tap__open();

	assert_non_null(skel);
	bpf_program__set_autoload(skel->progs.xcap_tap_tag, false);
	skel->rodata->xcap_config = *config;
	assert_int_equal(xcap_tap__load(skel), 0);
	return skel;
}

static int add_socket(const struct xcap_tap *skel, __u32 queue)
{
	int fd = socket(AF_XDP, SOCK_RAW, 0);

	assert_true(fd >= 0);
	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(skel->maps.xcap_xsks), &queue, &fd, BPF_ANY), 0);
	return fd;
}

static void run(const struct xcap_tap *skel, struct result *ret)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet.bytes,
		    .data_size_in = (__u32)packet.len, .data_out = ret->out,
		    .data_size_out = sizeof(ret->out));

	CHECK_EQ(bpf_prog_test_run_opts(bpf_program__fd(skel->progs.xcap_tap), &options), 0);
	ret->verdict = options.retval;
	ret->len = options.data_size_out;
	ret->data = ret->out;
	if (ret->len == packet.len + sizeof(ret->meta)) {
		memcpy(&ret->meta, ret->out, sizeof(ret->meta));
		ret->data += sizeof(ret->meta);
		ret->len -= sizeof(ret->meta);
	}
}

static uint64_t frames(const struct xcap_tap *skel, enum xcap_counter counter)
{
	struct xcap_count counts[XCAP_COUNTER_COUNT];

	assert_int_equal(instance_read_counts(bpf_map__fd(skel->maps.xcap_count), counts), 0);
	return counts[counter].frames;
}

static uint64_t handed_to(const struct xcap_tap *skel, __u32 queue)
{
	uint64_t values[XCAP_CPUS_MAX] = {}, sum = 0;

	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(skel->maps.xcap_handed), &queue, values),
			 0);
	for (int i = 0; i < libbpf_num_possible_cpus(); i++)
		sum += values[i];
	return sum;
}

static void frames_are_redirected_with_their_lengths(void **state)
{
	static const struct {
		const char *name;
		uint32_t snaplen;
		size_t len, captured;
	} cases[] = {
		{ "the shortest", XCAP_SNAPLEN_MAX, 14, 14 },
		{ "60 bytes", XCAP_SNAPLEN_MAX, 60, 60 },
		{ "an MTU", XCAP_SNAPLEN_MAX, 1514, 1514 },
		{ "in several pages", XCAP_SNAPLEN_MAX, 9014, 9014 },
		{ "large", XCAP_SNAPLEN_MAX, 60000, 60000 },
		{ "cut", 96, 1514, 96 },
		{ "cut in several pages", 5000, 9014, 5000 },
		{ "exactly", 60, 60, 60 },
	};
	static struct result result;

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct xcap_config config = defaults;
		struct xcap_tap *skel;
		uint64_t begin;
		int fd;

		config.snaplen = c->snaplen;
		skel = tap_load(&config);
		fd = add_socket(skel, 0);
		packet_ethernet(&packet);
		packet_put16(&packet, 0x88b5);
		packet_fill(&packet, c->len);
		begin = clock_ns(CLOCK_MONOTONIC);
		run(skel, &result);
		CHECK_EQ(result.verdict, REDIRECT);
		CHECK_EQ(result.len, c->len);
		CHECK(!memcmp(result.data, packet.bytes, c->len));
		CHECK_EQ(result.meta.original_len, c->len);
		CHECK_EQ(result.meta.captured_len, c->captured);
		CHECK(result.meta.time_ns >= begin &&
		      result.meta.time_ns <= clock_ns(CLOCK_MONOTONIC));
		CHECK_EQ(frames(skel, XCAP_SEEN), 1);
		CHECK_EQ(frames(skel, XCAP_HANDED), 1);
		CHECK_EQ(handed_to(skel, 0), 1);
		close(fd);
		xcap_tap__destroy(skel);
	}
}

static void without_a_socket_it_passes_or_is_dropped(void **state)
{
	static const struct {
		const char *name;
		bool pass, other_queue;
		uint32_t verdict;
	} cases[] = {
		{ "passes", true, false, PASS },
		{ "is dropped", false, false, DROP },
		{ "a socket on another queue does not help", true, true, PASS },
	};
	static struct result result;

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct xcap_config config = defaults;
		struct xcap_tap *skel;
		int fd = -1;

		config.pass_no_socket = c->pass;
		skel = tap_load(&config);
		if (c->other_queue)
			fd = add_socket(skel, 1);
		packet_ethernet(&packet);
		packet_fill(&packet, 60);
		run(skel, &result);
		CHECK_EQ(result.verdict, c->verdict);
		CHECK_EQ(result.len, 60);
		CHECK_EQ(frames(skel, XCAP_SEEN), 1);
		CHECK_EQ(frames(skel, XCAP_NO_SOCKET), 1);
		CHECK_EQ(frames(skel, XCAP_HANDED), 0);
		CHECK_EQ(handed_to(skel, 0), 0);
		if (fd >= 0)
			close(fd);
		xcap_tap__destroy(skel);
	}
}

static void a_socket_that_dies_leaves_the_map(void **state)
{
	static struct result result;
	struct xcap_tap *skel = tap_load(&defaults);
	int fd = add_socket(skel, 0);

	(void)state;
	packet_ethernet(&packet);
	packet_fill(&packet, 60);
	run(skel, &result);
	CHECK_EQ(result.verdict, REDIRECT);
	close(fd);
	/* The kernel lets go of it a moment later. */
	for (int i = 0; i < 1000 && result.verdict != PASS; i++) {
		usleep(1000);
		run(skel, &result);
	}
	CHECK_EQ(result.verdict, PASS);
	CHECK_EQ(frames(skel, XCAP_NO_SOCKET), 1);
	CHECK_EQ(frames(skel, XCAP_SEEN), frames(skel, XCAP_HANDED) + 1);
	xcap_tap__destroy(skel);
}

static void directions_without_in_pass(void **state)
{
	static struct result result;
	struct xcap_config config = defaults;
	struct xcap_tap *skel;
	int fd;

	(void)state;
	config.directions = XCAP_OUT;
	skel = tap_load(&config);
	fd = add_socket(skel, 0);
	packet_ethernet(&packet);
	packet_fill(&packet, 60);
	run(skel, &result);
	CHECK_EQ(result.verdict, PASS);
	CHECK_EQ(frames(skel, XCAP_OTHER_DIRECTION), 1);
	close(fd);
	xcap_tap__destroy(skel);
}

/* kind: 0 to the aggregator, 1 another port, 2 UDP; large: the headers lie in the first page. */
static void build(int kind, unsigned int tags, bool large)
{
	packet_ethernet(&packet);
	for (unsigned int i = 0; i < tags; i++)
		packet_tag(&packet, 0x8100, i + 1);
	packet_ipv4(&packet, kind == 2 ? PACKET_UDP : PACKET_TCP, 0, 0);
	if (kind == 2)
		packet_udp(&packet, 40000, 9227);
	else
		packet_tcp(&packet, 40000, kind ? 9228 : 9227, 0);
	packet_fill(&packet, large ? 9014 : 60);
}

static void own_upload_passes_on(void **state)
{
	static const struct {
		const char *name;
		int kind;
		unsigned int tags;
		bool large, is_self;
	} cases[] = {
		{ "to the aggregator", 0, 0, false, true },
		{ "with two tags", 0, 2, false, true },
		{ "in several pages", 0, 0, true, true },
		{ "to another port", 1, 0, false, false },
		{ "UDP", 2, 0, false, false },
	};
	struct xcap_self self = { .abi_version = XCAP_ABI_VERSION, .count = 1 };
	static struct result result;
	__u32 key = 0;

	(void)state;
	self.list[0].port = htons(9227);
	assert_int_equal(inet_pton(AF_INET6, "::ffff:10.0.0.2", self.list[0].address), 1);
	FOR_EACH_CASE (c, cases) {
		struct xcap_tap *skel = tap_load(&defaults);
		int fd = add_socket(skel, 0);

		assert_int_equal(bpf_map_update_elem(bpf_map__fd(skel->maps.xcap_self), &key, &self,
						     BPF_ANY),
				 0);
		build(c->kind, c->tags, c->large);
		run(skel, &result);
		CHECK_EQ(result.verdict, c->is_self ? PASS : REDIRECT);
		CHECK_EQ(frames(skel, XCAP_SELF), c->is_self);
		CHECK_EQ(frames(skel, XCAP_HANDED), !c->is_self);
		close(fd);
		xcap_tap__destroy(skel);
	}
}

/* In generic mode, and in a test run, there is no driver to ask. */
static void without_a_driver_the_kernels_time_is_taken(void **state)
{
	uint64_t begin = clock_ns(CLOCK_MONOTONIC);
	static struct result result;
	struct xcap_config config = defaults;
	struct xcap_tap *skel;
	int fd;

	(void)state;
	config.asks = XCAP_ASK_STAMP | XCAP_ASK_TAG;
	skel = tap_load(&config);
	fd = add_socket(skel, 0);
	packet_ethernet(&packet);
	packet_fill(&packet, 60);
	run(skel, &result);
	CHECK_EQ(result.verdict, REDIRECT);
	CHECK(result.meta.time_ns >= begin);
	CHECK_EQ(frames(skel, XCAP_NO_STAMP), 1);
	CHECK_EQ(frames(skel, XCAP_HANDED), 1);
	close(fd);
	xcap_tap__destroy(skel);
}

/* What the kernel redirects in pieces reaches no socket before Linux 6.6. */
static void frames_in_pieces_pass_where_no_socket_takes_them(void **state)
{
	static const struct {
		const char *name;
		size_t len;
		bool is_taken;
	} cases[] = {
		{ "in one piece", 1514, true },
		{ "in several", 9014, false },
	};
	static struct result result;
	struct xcap_config config = defaults;

	(void)state;
	config.whole_only = 1;
	FOR_EACH_CASE (c, cases) {
		struct xcap_tap *skel = tap_load(&config);
		int fd = add_socket(skel, 0);

		packet_ethernet(&packet);
		packet_fill(&packet, c->len);
		run(skel, &result);
		CHECK_EQ(result.verdict, c->is_taken ? REDIRECT : PASS);
		CHECK_EQ(frames(skel, XCAP_HANDED), c->is_taken);
		CHECK_EQ(frames(skel, XCAP_TOO_LONG), !c->is_taken);
		CHECK_EQ(handed_to(skel, 0), c->is_taken);
		close(fd);
		xcap_tap__destroy(skel);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(frames_are_redirected_with_their_lengths),
		TEST(without_a_socket_it_passes_or_is_dropped),
		TEST(a_socket_that_dies_leaves_the_map),
		TEST(directions_without_in_pass),
		TEST(own_upload_passes_on),
		TEST(without_a_driver_the_kernels_time_is_taken),
		TEST(frames_in_pieces_pass_where_no_socket_takes_them),
	};

	if (geteuid()) {
		print_message("BPF programs can only be run by root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
