/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Code in place of xcap_filter(), in the middle of our programs: run by the kernel. */
#include "bpf/splice.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/types.h>
#include <stddef.h>
#include <unistd.h>

#include "bpf/filter.h"
#include "bpf/instance.h"
#include "bpf/mirror.skel.h"
#include "bpf/tap.skel.h"
#include "bpf/xcap_abi.h"
#include "common/pcapng.h"
#include "selftests/bpf/packet.h"
#include "selftests/filter_random.h"
#include "selftests/unit/check.h"

#define INSN(c, dst, src, offset, value)      \
	((struct bpf_insn){ .code = (c),      \
			    .dst_reg = (dst), \
			    .src_reg = (src), \
			    .off = (offset),  \
			    .imm = (value) })
#define CODE_MAX 40000
#define PACKETS 100

/* One line each, so that a test can be long or short. */
static struct bpf_insn code[CODE_MAX];
static size_t count;

static void put(struct bpf_insn insn)
{
	assert_true(count < CODE_MAX);
	code[count++] = insn;
}

/* Frames of more than len bytes, decided after so many steps that lead nowhere. */
static void longer_than(__s32 len, size_t steps)
{
	count = 0;
	put(INSN(BPF_LDX | BPF_MEM | BPF_W, 3, 2, offsetof(struct xcap_frame, len), 0));
	put(INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1));
	for (size_t i = 0; i < steps; i++)
		put(INSN(BPF_ALU64 | BPF_MOV | BPF_K, 4, 0, 0, (__s32)i));
	put(INSN(BPF_JMP | BPF_JGT | BPF_K, 3, 0, 1, len));
	put(INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0));
	put(INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

static int load(struct bpf_object *object, const struct bpf_insn *insns, size_t insn_count)
{
	const struct splice_code filter = { "xcap_filter", insns, insn_count };

	return splice_load(object, &filter, 1, NULL);
}

static void run(int program_fd, size_t len)
{
	static struct packet packet;
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet.bytes);

	packet_ethernet(&packet);
	packet_ipv4(&packet, PACKET_UDP, 0, 0);
	packet_fill(&packet, len);
	options.data_size_in = (__u32)packet.len;
	CHECK_EQ(bpf_prog_test_run_opts(program_fd, &options), 0);
}

static uint64_t frames(const struct bpf_map *map, enum xcap_counter counter)
{
	struct xcap_count counts[XCAP_COUNTER_COUNT];

	assert_int_equal(instance_read_counts(bpf_map__fd(map), counts), 0);
	return counts[counter].frames;
}

static const struct {
	const char *name;
	size_t steps;
} lengths[] = {
	{ "short", 0 },
	{ "of many instructions", 3000 },
	{ "longer than a jump reaches", 35000 },
};

static void in_mirror(void **state)
{
	(void)state;
	FOR_EACH_CASE (c, lengths) {
		struct xcap_mirror *skel = xcap_mirror__open();

		assert_non_null(skel);
		skel->rodata->xcap_config.has_filter = true;
		longer_than(100, c->steps);
		CHECK_EQ(load(skel->obj, code, count), 0);
		run(bpf_program__fd(skel->progs.xcap_ingress), 100);
		run(bpf_program__fd(skel->progs.xcap_egress), 60);
		CHECK_EQ(frames(skel->maps.xcap_count, XCAP_FILTERED), 2);
		run(bpf_program__fd(skel->progs.xcap_ingress), 101);
		run(bpf_program__fd(skel->progs.xcap_egress), 1000);
		CHECK_EQ(frames(skel->maps.xcap_count, XCAP_FILTERED), 2);
		CHECK_EQ(frames(skel->maps.xcap_count, XCAP_SEEN), 4);
		xcap_mirror__destroy(skel);
	}
}

static void in_tap(void **state)
{
	(void)state;
	FOR_EACH_CASE (c, lengths) {
		struct xcap_tap *skel = xcap_tap__open();

		assert_non_null(skel);
		bpf_program__set_autoload(skel->progs.xcap_tap_tag, false);
		skel->rodata->xcap_config.has_filter = true;
		longer_than(100, c->steps);
		CHECK_EQ(load(skel->obj, code, count), 0);
		run(bpf_program__fd(skel->progs.xcap_tap), 100);
		CHECK_EQ(frames(skel->maps.xcap_count, XCAP_FILTERED), 1);
		run(bpf_program__fd(skel->progs.xcap_tap), 101);
		CHECK_EQ(frames(skel->maps.xcap_count, XCAP_FILTERED), 1);
		CHECK_EQ(frames(skel->maps.xcap_count, XCAP_NO_SOCKET), 1);
		xcap_tap__destroy(skel);
	}
}

static void without_a_filter(void **state)
{
	struct xcap_mirror *skel = xcap_mirror__open();

	(void)state;
	assert_non_null(skel);
	CHECK_EQ(load(skel->obj, NULL, 0), 0);
	run(bpf_program__fd(skel->progs.xcap_ingress), 60);
	CHECK_EQ(frames(skel->maps.xcap_count, XCAP_FILTERED), 0);
	xcap_mirror__destroy(skel);
}

static void what_the_verifier_refuses(void **state)
{
	struct xcap_mirror *skel = xcap_mirror__open();

	(void)state;
	assert_non_null(skel);
	skel->rodata->xcap_config.has_filter = true;
	count = 0;
	put(INSN(BPF_LDX | BPF_MEM | BPF_W, 0, 2, 4096, 0));
	put(INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
	CHECK(load(skel->obj, code, count) < 0);
	xcap_mirror__destroy(skel);
}

static const struct {
	const char *name; /* the expression */
} expressions[] = {
	{ "" },
	{ "ip" },
	{ "arp or tcp port 80" },
	{ "tcp port 443 and host 10.0.0.2" },
	{ "greater 100" },
	{ "less 60 or ip[2:2] > 200" },
	{ "vlan and ip" },
	{ "llc or pppoes" },
	{ "ip[ip[0] & 15] = 1" },
	{ "len / (ip[8] - 64) = 0" },
	{ "(ip and ip[6:2] & 0x1fff = 0) or icmp6" },
};

static void compare(int program_fd, const struct bpf_map *map, const struct filter_program *filter)
{
	static uint8_t packet[RANDOM_LEN_MAX];
	struct random random = { .state = 7 };
	uint64_t expected = 0, matched;

	for (unsigned int i = 0; i < PACKETS; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet);
		uint32_t len = random_packet(&random, packet);

		options.data_size_in = len;
		if (bpf_prog_test_run_opts(program_fd, &options))
			continue; /* a frame that the kernel does not make an skb of */
		expected += !filter_verdict(filter, packet, len, len);
		CHECK_EQ(frames(map, XCAP_FILTERED), expected);
	}
	matched = frames(map, XCAP_SEEN) - expected;
	CHECK(matched + expected > PACKETS / 2);
}

static void expressions_in_our_programs(void **state)
{
	(void)state;
	FOR_EACH_CASE (c, expressions) {
		struct xcap_mirror *mirror = xcap_mirror__open();
		struct xcap_tap *tap = xcap_tap__open();
		struct filter_program *filter = NULL;
		struct filter_code made = {};
		char error[FILTER_ERROR_LEN] = "";

		assert_int_equal(filter_compile(&filter, c->name, LINKTYPE_ETHERNET, error), 0);
		assert_non_null(mirror);
		mirror->rodata->xcap_config.has_filter = true;
		assert_int_equal(filter_translate(&made, filter, FILTER_TCX, error), 0);
		assert_int_equal(load(mirror->obj, made.insns, made.count), 0);
		compare(bpf_program__fd(mirror->progs.xcap_ingress), mirror->maps.xcap_count,
			filter);
		filter_code_release(&made);

		assert_non_null(tap);
		tap->rodata->xcap_config.has_filter = true;
		bpf_program__set_autoload(tap->progs.xcap_tap_tag, false);
		assert_int_equal(filter_translate(&made, filter, FILTER_XDP, error), 0);
		assert_int_equal(load(tap->obj, made.insns, made.count), 0);
		compare(bpf_program__fd(tap->progs.xcap_tap), tap->maps.xcap_count, filter);
		filter_code_release(&made);
		filter_destroy(filter);
		xcap_mirror__destroy(mirror);
		xcap_tap__destroy(tap);
	}
}

/* All maps but that of read-only data. */
static void reuse_maps(const struct bpf_object *object, const struct bpf_object *from)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object)
	{
		if (!bpf_map__is_internal(map))
			assert_int_equal(
				bpf_map__reuse_fd(map, bpf_map__fd(bpf_object__find_map_by_name(
							       from, bpf_map__name(map)))),
				0);
	}
}

static void again_with_other_code_and_data(void **state)
{
	static const struct {
		const char *name;
		size_t steps;
		uint32_t directions;
		uint64_t filtered, other;
	} cases[] = {
		{ "no filter", 0, XCAP_IN | XCAP_OUT, 0, 0 },
		{ "a filter", 0, XCAP_IN | XCAP_OUT, 1, 0 },
		{ "a long one", 35000, XCAP_IN | XCAP_OUT, 1, 0 },
		{ "the other direction", 0, XCAP_OUT, 0, 2 },
	};
	struct xcap_mirror *first = xcap_mirror__open();
	struct splice_code filter = { "xcap_filter", NULL, 0 };
	struct splice_kept *kept;

	(void)state;
	assert_non_null(first);
	assert_int_equal(splice_kept_create(&kept), 0);
	longer_than(1, 100);
	filter.insns = code;
	filter.count = count;
	first->rodata->xcap_config.has_filter = true;
	assert_int_equal(splice_load(first->obj, &filter, 1, kept), 0);
	FOR_EACH_CASE (c, cases) {
		uint64_t filtered = frames(first->maps.xcap_count, XCAP_FILTERED);
		uint64_t other = frames(first->maps.xcap_count, XCAP_OTHER_DIRECTION);
		struct xcap_mirror *skel = xcap_mirror__open();
		int fd;

		assert_non_null(skel);
		reuse_maps(skel->obj, first->obj);
		skel->rodata->xcap_config.has_filter = c->filtered;
		skel->rodata->xcap_config.directions = c->directions;
		longer_than(100, c->steps);
		filter.count = count;
		fd = splice_load_again(kept, skel->obj, skel->progs.xcap_ingress, 0, &filter, 1);
		assert_true(fd >= 0);
		xcap_mirror__destroy(skel);
		run(fd, 100);
		run(fd, 101);
		CHECK_EQ(frames(first->maps.xcap_count, XCAP_FILTERED) - filtered, c->filtered);
		CHECK_EQ(frames(first->maps.xcap_count, XCAP_OTHER_DIRECTION) - other, c->other);
		close(fd);
	}
	splice_kept_destroy(kept);
	xcap_mirror__destroy(first);
}

static void what_cannot_be_loaded_again(void **state)
{
	struct xcap_mirror *first = xcap_mirror__open(), *skel = xcap_mirror__open();
	const struct splice_code unknown = { "xcap_nothing", code, 2 };
	struct splice_kept *kept;

	(void)state;
	assert_non_null(first);
	assert_non_null(skel);
	assert_int_equal(splice_kept_create(&kept), 0);
	bpf_program__set_autoload(first->progs.xcap_egress, false);
	assert_int_equal(splice_load(first->obj, NULL, 0, kept), 0);
	/* No maps, no such function, a program that was not loaded. */
	CHECK_EQ(splice_load_again(kept, skel->obj, skel->progs.xcap_ingress, 0, NULL, 0), -ENOENT);
	reuse_maps(skel->obj, first->obj);
	CHECK_EQ(splice_load_again(kept, skel->obj, skel->progs.xcap_ingress, 0, &unknown, 1),
		 -ENOENT);
	CHECK_EQ(splice_load_again(kept, skel->obj, skel->progs.xcap_egress, 0, NULL, 0), -ENOENT);
	/* What the verifier refuses. */
	skel->rodata->xcap_config.has_filter = true;
	count = 0;
	put(INSN(BPF_LDX | BPF_MEM | BPF_W, 0, 2, 4096, 0));
	put(INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
	CHECK(splice_load_again(kept, skel->obj, skel->progs.xcap_ingress, 0,
				&(struct splice_code){ "xcap_filter", code, count }, 1) < 0);
	skel->rodata->xcap_config.has_filter = false;
	splice_kept_forget(kept);
	CHECK_EQ(splice_load_again(kept, skel->obj, skel->progs.xcap_ingress, 0, NULL, 0), -ENOENT);
	splice_kept_destroy(kept);
	xcap_mirror__destroy(skel);
	xcap_mirror__destroy(first);
}

static int silent(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(in_mirror),
		TEST(in_tap),
		TEST(without_a_filter),
		TEST(what_the_verifier_refuses),
		TEST(expressions_in_our_programs),
		TEST(again_with_other_code_and_data),
		TEST(what_cannot_be_loaded_again),
	};

	libbpf_set_print(silent);
	if (splice_init())
		return 1;
	return cmocka_run_group_tests_name("splice", tests, NULL, NULL);
}
