/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Filters translated and run by the kernel within our programs, against libpcap's own machine: real
 * expressions and random programs, on random packets. XCAP_FILTER_PROGRAMS says how many programs.
 */
#include "bpf/filter.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdlib.h>

#include "bpf/instance.h"
#include "bpf/mirror.skel.h"
#include "bpf/splice.h"
#include "bpf/tap.skel.h"
#include "bpf/xcap_abi.h"
#include "common/pcapng.h"
#include "selftests/bpf/packet.h"
#include "selftests/unit/check.h"

#define PACKETS 24
#define INSNS_MAX 30

static unsigned int seed;
static uint64_t comparisons, matches;

static unsigned int pick(unsigned int count)
{
	return (unsigned int)rand_r(&seed) % count;
}

static const struct {
	const char *name; /* the expression */
} expressions[] = {
	{ "" },
	{ "ip" },
	{ "ip6" },
	{ "arp or tcp port 80" },
	{ "tcp port 443 and host 10.0.0.2" },
	{ "udp or tcp[tcpflags] & tcp-syn != 0" },
	{ "host 10.0.0.1 or host fd00::1 or net 192.168.0.0/16" },
	{ "greater 100" },
	{ "less 60 or ip[2:2] > 200" },
	{ "vlan and ip" },
	{ "vlan 7 and vlan 8 and udp" },
	{ "llc or pppoes" },
	{ "ip[ip[0] & 15] = 1" },
	{ "ether[100000:4] = 1 or udp" },
	{ "len / (ip[8] - 64) = 0" },
	{ "portrange 1-1023 and not broadcast" },
	{ "(ip and ip[6:2] & 0x1fff = 0) or icmp6" },
};

/* One of few bytes, so that tests for them succeed now and then. */
static void random_packet(struct packet *packet)
{
	static const uint8_t bytes[] = { 0, 1, 2, 4, 6, 8, 17, 0x45, 0x60, 0x81, 0x86, 0xdd, 0xff };

	packet_ethernet(packet);
	switch (pick(4)) {
	case 0:
		packet_ipv4(packet, pick(2) ? PACKET_TCP : PACKET_UDP, 4 * pick(3), 0);
		break;
	case 1:
		packet_ipv6(packet, pick(2) ? PACKET_TCP : PACKET_UDP);
		break;
	case 2:
		packet_tag(packet, 0x8100, 7 + pick(2));
		packet_ipv4(packet, PACKET_UDP, 0, pick(2));
		break;
	}
	packet_put16(packet, pick(2) ? 443 : 80);
	packet_put16(packet, pick(1024));
	for (size_t len = MAX(packet->len + pick(150), 14u); packet->len < len;)
		packet->bytes[packet->len++] = bytes[pick(sizeof(bytes))];
}

static uint32_t random_k(void)
{
	switch (pick(6)) {
	case 0:
		return pick(4);
	case 1:
		return 0xffffffffu - pick(3);
	case 2:
		return 1u << pick(32);
	default:
		return pick(80);
	}
}

static const uint16_t codes[] = {
	BPF_LD | BPF_W | BPF_ABS,
	BPF_LD | BPF_H | BPF_ABS,
	BPF_LD | BPF_B | BPF_ABS,
	BPF_LD | BPF_B | BPF_ABS,
	BPF_LD | BPF_W | BPF_IND,
	BPF_LD | BPF_H | BPF_IND,
	BPF_LD | BPF_B | BPF_IND,
	BPF_LD | BPF_W | BPF_LEN,
	BPF_LD | BPF_IMM,
	BPF_LD | BPF_MEM,
	BPF_LDX | BPF_IMM,
	BPF_LDX | BPF_MEM,
	BPF_LDX | BPF_W | BPF_LEN,
	BPF_LDX | BPF_B | BPF_MSH,
	BPF_ST,
	BPF_STX,
	BPF_ALU | BPF_ADD | BPF_K,
	BPF_ALU | BPF_ADD | BPF_X,
	BPF_ALU | BPF_SUB | BPF_K,
	BPF_ALU | BPF_SUB | BPF_X,
	BPF_ALU | BPF_MUL | BPF_K,
	BPF_ALU | BPF_MUL | BPF_X,
	BPF_ALU | BPF_DIV | BPF_K,
	BPF_ALU | BPF_DIV | BPF_X,
	BPF_ALU | BPF_MOD | BPF_X,
	BPF_ALU | BPF_AND | BPF_K,
	BPF_ALU | BPF_OR | BPF_X,
	BPF_ALU | BPF_XOR | BPF_X,
	BPF_ALU | BPF_LSH | BPF_K,
	BPF_ALU | BPF_RSH | BPF_X,
	BPF_ALU | BPF_LSH | BPF_X,
	BPF_ALU | BPF_NEG,
	BPF_MISC | 0x00,
	BPF_MISC | 0x80,
	BPF_JMP | BPF_JA,
	BPF_JMP | BPF_JEQ | BPF_K,
	BPF_JMP | BPF_JEQ | BPF_X,
	BPF_JMP | BPF_JGT | BPF_K,
	BPF_JMP | BPF_JGT | BPF_X,
	BPF_JMP | BPF_JGE | BPF_K,
	BPF_JMP | BPF_JSET | BPF_K,
	BPF_JMP | BPF_JSET | BPF_X,
	BPF_RET | BPF_K,
	BPF_RET | 0x10,
};

/* Valid: jumps lead on, memory is written before it is read, the last one returns. */
static size_t random_program(struct filter_insn *out)
{
	size_t count = 0, length = 6 + pick(INSNS_MAX - 8);

	out[count++] = (struct filter_insn){ .code = BPF_ST, .k = 0 };
	out[count++] = (struct filter_insn){ .code = BPF_STX, .k = 1 };
	while (count < length) {
		struct filter_insn insn = { .code = codes[pick(ARRAY_SIZE(codes))] };
		unsigned int left = (unsigned int)(length - count);
		uint8_t class = BPF_CLASS(insn.code);

		insn.k = random_k();
		if (class == BPF_ST || class == BPF_STX ||
		    ((class == BPF_LD || class == BPF_LDX) && BPF_MODE(insn.code) == BPF_MEM))
			insn.k = pick(2);
		if (insn.code == (BPF_ALU | BPF_DIV | BPF_K) && !insn.k)
			insn.k = 1;
		if (class == BPF_ALU && BPF_OP(insn.code) == BPF_LSH)
			insn.k %= 32;
		if (class == BPF_JMP) {
			insn.jt = (uint8_t)pick(left);
			insn.jf = (uint8_t)pick(left);
			insn.k = BPF_OP(insn.code) == BPF_JA ? pick(left) : insn.k;
		}
		/* Not so often that little is run. */
		if (class == BPF_RET && pick(4))
			continue;
		out[count++] = insn;
	}
	out[count++] = (struct filter_insn){ .code = BPF_RET | 0x10 };
	return count;
}

static uint64_t filtered(const struct bpf_map *map)
{
	struct xcap_count counts[XCAP_COUNTER_COUNT];

	assert_int_equal(instance_read_counts(bpf_map__fd(map), counts), 0);
	return counts[XCAP_FILTERED].frames;
}

/* What the kernel says of the packets, each by whether it is counted as filtered. */
static void compare_on(int program_fd, const struct bpf_map *map,
		       const struct filter_program *program, const char *name)
{
	static struct packet packet;
	uint64_t before;
	bool expected;

	for (unsigned int i = 0; i < PACKETS; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet.bytes);

		random_packet(&packet);
		options.data_size_in = (__u32)packet.len;
		expected = filter_matches(program, packet.bytes, (uint32_t)packet.len,
					  (uint32_t)packet.len);
		before = filtered(map);
		assert_int_equal(bpf_prog_test_run_opts(program_fd, &options), 0);
		if ((filtered(map) == before) != expected)
			fail_msg("%s: packet %u: %s", name, i, expected ? "left out" : "kept");
		comparisons++;
		matches += expected;
	}
}

static void compare(const struct filter_program *program, const char *name)
{
	struct xcap_mirror *mirror = xcap_mirror__open();
	struct xcap_tap *tap = xcap_tap__open();
	struct filter_code code = {};
	char error[FILTER_ERROR_LEN] = "";

	assert_non_null(mirror);
	assert_non_null(tap);
	if (filter_translate(program, FILTER_TCX, &code, error))
		fail_msg("%s: %s", name, error);
	mirror->rodata->xcap_config.has_filter = true;
	bpf_program__set_autoload(mirror->progs.xcap_egress, false);
	if (splice_load(mirror->obj, code.insns, code.count))
		fail_msg("%s: the verifier refuses it (tcx)", name);
	compare_on(bpf_program__fd(mirror->progs.xcap_ingress), mirror->maps.xcap_count, program,
		   name);
	filter_code_release(&code);

	if (filter_translate(program, FILTER_XDP, &code, error))
		fail_msg("%s: %s", name, error);
	tap->rodata->xcap_config.has_filter = true;
	bpf_program__set_autoload(tap->progs.xcap_tap_tag, false);
	if (splice_load(tap->obj, code.insns, code.count))
		fail_msg("%s: the verifier refuses it (XDP)", name);
	compare_on(bpf_program__fd(tap->progs.xcap_tap), tap->maps.xcap_count, program, name);
	filter_code_release(&code);
	xcap_mirror__destroy(mirror);
	xcap_tap__destroy(tap);
}

static void expressions_against_libpcap(void **state)
{
	(void)state;
	FOR_EACH_CASE (c, expressions) {
		struct filter_program *program = NULL;
		char error[FILTER_ERROR_LEN];

		if (filter_compile(&program, c->name, LINKTYPE_ETHERNET, error))
			fail_msg("%s: %s", c->name, error);
		compare(program, c->name);
		filter_destroy(program);
	}
}

static void random_programs_against_libpcap(void **state)
{
	unsigned int programs = (unsigned int)atoi(getenv("XCAP_FILTER_PROGRAMS") ?: "60");
	struct filter_insn insns[INSNS_MAX];
	char name[32];

	(void)state;
	for (unsigned int i = 1; i <= programs; i++) {
		struct filter_program *program = NULL;
		size_t count;

		seed = i;
		count = random_program(insns);
		snprintf(name, sizeof(name), "seed %u", i);
		assert_int_equal(filter_from_insns(&program, insns, count, LINKTYPE_ETHERNET), 0);
		compare(program, name);
		filter_destroy(program);
	}
	printf("# %" PRIu64 " comparisons, %" PRIu64 " matches\n", comparisons, matches);
	CHECK(matches > comparisons / 20 && matches < comparisons - comparisons / 20);
}

/* A byte that is 2 against 1, 2 and 3, jumping on yes and on no: a bit of M[0] for each. */
static void compare_jump(uint8_t jump)
{
	struct filter_insn insns[40] = { { .code = BPF_LD | BPF_IMM }, { .code = BPF_ST } };
	struct filter_program *program = NULL;
	uint32_t expected = 0;
	size_t count = 2;

	for (unsigned int i = 0; i < 6; i++) {
		uint8_t on_no = i % 2 ? 3 : 0;
		uint32_t k = 1 + i / 2;
		bool yes = jump == BPF_JEQ   ? k == 2
			   : jump == BPF_JGT ? k < 2
			   : jump == BPF_JGE ? k <= 2
					     : (k & 2) != 0;

		expected |= yes == (on_no != 0) ? 1u << i : 0;
		insns[count++] = (struct filter_insn){ .code = BPF_LD | BPF_B | BPF_ABS };
		insns[count++] = (struct filter_insn){
			.code = BPF_JMP | jump, .jt = 3 - on_no, .jf = on_no, .k = k
		};
		insns[count++] = (struct filter_insn){ .code = BPF_LD | BPF_MEM };
		insns[count++] = (struct filter_insn){ .code = BPF_ALU | BPF_OR, .k = 1u << i };
		insns[count++] = (struct filter_insn){ .code = BPF_ST };
	}
	insns[count++] = (struct filter_insn){ .code = BPF_LD | BPF_MEM };
	insns[count++] = (struct filter_insn){ .code = BPF_JMP | BPF_JEQ, .jf = 1, .k = expected };
	insns[count++] = (struct filter_insn){ .code = BPF_RET, .k = 1 };
	insns[count++] = (struct filter_insn){ .code = BPF_RET };
	assert_int_equal(filter_from_insns(&program, insns, count, LINKTYPE_ETHERNET), 0);
	matches = 0;
	compare(program, "jumps");
	CHECK_EQ(matches, 2 * PACKETS);
	filter_destroy(program);
}

static void jumps_at_their_borders(void **state)
{
	(void)state;
	compare_jump(BPF_JEQ);
	compare_jump(BPF_JGT);
	compare_jump(BPF_JGE);
	compare_jump(BPF_JSET);
}

static void what_libpcap_refuses(void **state)
{
	struct filter_program *program = NULL;
	char error[FILTER_ERROR_LEN] = "";

	(void)state;
	CHECK_EQ(filter_compile(&program, "tcp prt 80", LINKTYPE_ETHERNET, error), -EINVAL);
	CHECK(strstr(error, "syntax error") != NULL);
}

static void what_cannot_be_translated(void **state)
{
	static const struct {
		const char *name;
		struct filter_insn insn;
	} cases[] = {
		{ "no such class of load", { .code = BPF_LD | 0xe0 } },
		{ "memory beyond M[15]", { .code = BPF_LD | BPF_MEM, .k = 16 } },
		{ "a store beyond M[15]", { .code = BPF_ST, .k = 16 } },
		{ "a jump beyond the end", { .code = BPF_JMP | BPF_JEQ, .jt = 9 } },
		{ "a jump back", { .code = BPF_JMP | BPF_JA, .k = 0xfffffffe } },
		{ "no such jump", { .code = BPF_JMP | 0x90 } },
		{ "no such arithmetic", { .code = BPF_ALU | 0xc0 } },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		const struct filter_insn insns[] = { c->insn, { .code = BPF_RET | BPF_K } };
		struct filter_program *program = NULL;
		struct filter_code code = {};
		char error[FILTER_ERROR_LEN] = "";

		assert_int_equal(filter_from_insns(&program, insns, 2, LINKTYPE_ETHERNET), 0);
		CHECK_EQ(filter_translate(program, FILTER_TCX, &code, error), -EOPNOTSUPP);
		CHECK(strstr(error, "instruction 0") != NULL);
		filter_destroy(program);
	}
}

static void what_is_too_long(void **state)
{
	static struct filter_insn insns[9001];
	struct filter_program *program = NULL;
	struct filter_code code = {};
	char error[FILTER_ERROR_LEN] = "";

	(void)state;
	for (size_t i = 0; i < 9000; i++)
		insns[i] = (struct filter_insn){ .code = BPF_JMP | BPF_JEQ, .jf = 1 };
	insns[8999].jf = 0;
	insns[9000].code = BPF_RET | BPF_K;
	assert_int_equal(filter_from_insns(&program, insns, 9001, LINKTYPE_ETHERNET), 0);
	CHECK_EQ(filter_translate(program, FILTER_TCX, &code, error), -E2BIG);
	CHECK(strstr(error, "9000 branches") != NULL);
	filter_destroy(program);
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
		TEST(expressions_against_libpcap), TEST(random_programs_against_libpcap),
		TEST(jumps_at_their_borders),	   TEST(what_libpcap_refuses),
		TEST(what_cannot_be_translated),   TEST(what_is_too_long),
	};

	libbpf_set_print(silent);
	if (splice_init())
		return 1;
	return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
