/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Filters without a kernel: each opcode and each border, what is refused, and random programs, on
 * packets of which any part is linear. The judge is libpcap's bpf_filter().
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/types.h>
#include <stdlib.h>

#include "bpf/filter.h"
#include "selftests/filter_machine.h"
#include "selftests/filter_random.h"
#include "selftests/unit/check.h"

#define ETHERNET 1
#define RAW 101

static char error[FILTER_ERROR_LEN];

struct way {
	uint32_t start;
	const uint8_t *tag; /* NULL: none beside it */
	uint32_t linear_len;
};

static uint32_t run(const struct filter_program *program, enum filter_hook hook,
		    const uint8_t *bytes, uint32_t len, const struct way *way)
{
	struct machine machine = { .hook = hook,
				   .packet = bytes,
				   .len = len,
				   .linear_len = MIN(way->linear_len, len),
				   .frame = { .start = way->start,
					      .len = len - way->start + (way->tag ? 4 : 0),
					      .has_tag = !!way->tag } };
	struct filter_code code;
	uint32_t result;

	assert_int_equal(filter_translate(&code, program, hook, error), 0);
	if (way->tag)
		memcpy(machine.frame.tag, way->tag, 4);
	result = machine_run(&machine, &code);
	if (machine.fault) {
		print_error("%s\n", machine.fault);
		check_failures++;
	}
	filter_code_release(&code);
	return result;
}

/* On both hooks. */
static void compare(const struct filter_program *program, const uint8_t *bytes, uint32_t len,
		    const struct way *way)
{
	static uint8_t frame[RANDOM_LEN_MAX + 4];
	uint32_t frame_len = random_in_band(frame, bytes, len, way->start, way->tag);
	uint32_t expected = filter_verdict(program, frame, frame_len, frame_len);

	CHECK_EQ(run(program, FILTER_TCX, bytes, len, way), expected);
	CHECK_EQ(run(program, FILTER_XDP, bytes, len, way), expected);
}

static uint32_t value_of(const struct filter_insn *insns, size_t count)
{
	static const uint8_t bytes[64] = {
		0x45, 1, 2, 3, [12] = 8, 0, 0xff, 0xfe, [60] = 9, 8, 7, 6
	};
	const struct way way = { .linear_len = sizeof(bytes) };
	struct filter_program *program;
	uint32_t value;

	assert_int_equal(filter_from_classic(&program, insns, count, error), 0);
	value = run(program, FILTER_TCX, bytes, sizeof(bytes), &way);
	compare(program, bytes, sizeof(bytes), &way);
	filter_destroy(program);
	return value;
}

#define A_IS(value)                           \
	{                                     \
		BPF_LD | BPF_IMM, 0, 0, value \
	}
#define X_IS(value)                            \
	{                                      \
		BPF_LDX | BPF_IMM, 0, 0, value \
	}
#define RETURN_A                         \
	{                                \
		BPF_RET | BPF_A, 0, 0, 0 \
	}
#define BINARY(operation, a, x)                                                        \
	{                                                                              \
		A_IS(a), X_IS(x), { BPF_ALU | (operation) | BPF_X, 0, 0, 0 }, RETURN_A \
	}
#define CONSTANT(operation, a, k)                                             \
	{                                                                     \
		A_IS(a), { BPF_ALU | (operation) | BPF_K, 0, 0, k }, RETURN_A \
	}

static void each_opcode_computes_what_it_says(void **state)
{
	static const struct {
		const char *name;
		struct filter_insn insns[8];
		uint32_t value;
	} cases[] = {
		{ "add", BINARY(BPF_ADD, 0xffffffff, 2), 1 },
		{ "add constant", CONSTANT(BPF_ADD, 3, 0xfffffffe), 1 },
		{ "sub", BINARY(BPF_SUB, 1, 2), 0xffffffff },
		{ "sub constant", CONSTANT(BPF_SUB, 1, 0xffffffff), 2 },
		{ "mul", BINARY(BPF_MUL, 0x10001, 0x10000), 0x10000 },
		{ "mul constant", CONSTANT(BPF_MUL, 3, 5), 15 },
		{ "div is unsigned", BINARY(BPF_DIV, 0xfffffffe, 2), 0x7fffffff },
		{ "div by 0", BINARY(BPF_DIV, 7, 0), 0 },
		{ "div constant", CONSTANT(BPF_DIV, 0xfffffffe, 0x80000000), 1 },
		{ "mod", BINARY(BPF_MOD, 0xffffffff, 16), 15 },
		{ "mod by 0", BINARY(BPF_MOD, 7, 0), 0 },
		{ "mod constant", CONSTANT(BPF_MOD, 0xffffffff, 0xfffffff0), 15 },
		{ "or", BINARY(BPF_OR, 0x10, 0x01), 0x11 },
		{ "or constant", CONSTANT(BPF_OR, 0x10, 0x80000001), 0x80000011 },
		{ "and", BINARY(BPF_AND, 0xff, 0x81), 0x81 },
		{ "and constant", CONSTANT(BPF_AND, 0xffffffff, 0x80000000), 0x80000000 },
		{ "xor", BINARY(BPF_XOR, 0xff, 0x0f), 0xf0 },
		{ "xor constant", CONSTANT(BPF_XOR, 0xff, 0xffffffff), 0xffffff00 },
		{ "lsh", BINARY(BPF_LSH, 3, 31), 0x80000000 },
		{ "lsh by 32", BINARY(BPF_LSH, 3, 32), 0 },
		{ "lsh by 2^32 - 1", BINARY(BPF_LSH, 3, 0xffffffff), 0 },
		{ "lsh constant", CONSTANT(BPF_LSH, 3, 4), 0x30 },
		{ "rsh", BINARY(BPF_RSH, 0x80000000, 31), 1 },
		{ "rsh by 32", BINARY(BPF_RSH, 0x80000000, 32), 0 },
		{ "rsh by 33", BINARY(BPF_RSH, 0x80000000, 33), 0 },
		{ "rsh constant", CONSTANT(BPF_RSH, 0x80, 4), 8 },
		{ "neg", { A_IS(1), { BPF_ALU | BPF_NEG, 0, 0, 0 }, RETURN_A }, 0xffffffff },
		{ "tax, txa",
		  { A_IS(5),
		    { BPF_MISC | BPF_TAX, 0, 0, 0 },
		    A_IS(6),
		    { BPF_MISC | BPF_TXA, 0, 0, 0 },
		    RETURN_A },
		  5 },
		{ "length", { { BPF_LD | BPF_LEN, 0, 0, 0 }, RETURN_A }, 64 },
		{ "length in X",
		  { { BPF_LDX | BPF_LEN, 0, 0, 0 }, { BPF_MISC | BPF_TXA, 0, 0, 0 }, RETURN_A },
		  64 },
		{ "M[]",
		  { A_IS(7),
		    { BPF_ST, 0, 0, 15 },
		    A_IS(8),
		    { BPF_LDX | BPF_MEM, 0, 0, 15 },
		    { BPF_STX, 0, 0, 0 },
		    { BPF_LD | BPF_MEM, 0, 0, 0 },
		    RETURN_A },
		  7 },
		{ "word", { { BPF_LD | BPF_W | BPF_ABS, 0, 0, 12 }, RETURN_A }, 0x0800fffe },
		{ "half", { { BPF_LD | BPF_H | BPF_ABS, 0, 0, 14 }, RETURN_A }, 0xfffe },
		{ "byte", { { BPF_LD | BPF_B | BPF_ABS, 0, 0, 15 }, RETURN_A }, 0xfe },
		{ "indirect",
		  { X_IS(10), { BPF_LD | BPF_H | BPF_IND, 0, 0, 4 }, RETURN_A },
		  0xfffe },
		{ "indirect beyond 2^32",
		  { X_IS(0xfffffff0), { BPF_LD | BPF_H | BPF_IND, 0, 0, 0x20 }, RETURN_A },
		  0 },
		{ "header length",
		  { A_IS(3),
		    { BPF_LDX | BPF_MSH | BPF_B, 0, 0, 0 },
		    { BPF_ALU | BPF_ADD | BPF_X, 0, 0, 0 },
		    RETURN_A },
		  23 },
		{ "at a header",
		  { { BPF_LDX | BPF_MSH | BPF_B, 0, 0, 0 },
		    { BPF_LD | BPF_W | BPF_IND, 0, 0, 40 },
		    RETURN_A },
		  0x09080706 },
		{ "the last word",
		  { { BPF_LD | BPF_W | BPF_ABS, 0, 0, 60 }, RETURN_A },
		  0x09080706 },
		{ "a byte too far", { { BPF_LD | BPF_W | BPF_ABS, 0, 0, 61 }, RETURN_A }, 0 },
		{ "far too far", { { BPF_LD | BPF_B | BPF_ABS, 0, 0, 0xfffffff0 }, RETURN_A }, 0 },
		{ "jumps over", { A_IS(7), { BPF_JMP | BPF_JA, 0, 0, 1 }, A_IS(8), RETURN_A }, 7 },
		{ "greater is unsigned",
		  { A_IS(0x80000000),
		    { BPF_JMP | BPF_JGT | BPF_K, 0, 1, 0x7fffffff },
		    { BPF_RET, 0, 0, 1 },
		    { BPF_RET, 0, 0, 2 } },
		  1 },
		{ "bits of X",
		  { A_IS(6),
		    X_IS(9),
		    { BPF_JMP | BPF_JSET | BPF_X, 0, 1, 0 },
		    { BPF_RET, 0, 0, 1 },
		    { BPF_RET, 0, 0, 2 } },
		  2 },
		{ "both ways the same",
		  { A_IS(6), { BPF_JMP | BPF_JEQ | BPF_K, 1, 1, 6 }, A_IS(9), RETURN_A },
		  6 },
		{ "what nothing leads to",
		  { { BPF_RET, 0, 0, 3 }, { BPF_LD | BPF_W | BPF_ABS, 0, 0, 50000 }, RETURN_A },
		  3 },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		size_t count = ARRAY_SIZE(c->insns);

		while (BPF_CLASS(c->insns[count - 1].code) != BPF_RET)
			count--;
		CHECK_EQ(value_of(c->insns, count), c->value);
	}
}

static void unsound_programs_are_refused(void **state)
{
	static const struct {
		const char *name;
		struct filter_insn insns[3];
		size_t count;
		int err;
		const char *words;
	} cases[] = {
		{ "empty", {}, 0, -EINVAL, "does not end in a return" },
		{ "without a return", { A_IS(1) }, 1, -EINVAL, "does not end in a return" },
		{ "opcode", { { 0xff, 0, 0, 0 }, RETURN_A }, 2, -EINVAL, "unknown opcode 0xff" },
		{ "wide opcode",
		  { { 0x100, 0, 0, 0 }, RETURN_A },
		  2,
		  -EINVAL,
		  "unknown opcode 0x100" },
		{ "X returned",
		  { { BPF_RET | BPF_X, 0, 0, 0 } },
		  1,
		  -EINVAL,
		  "unknown opcode 0xe" },
		{ "M[16]", { { BPF_ST, 0, 0, 16 }, RETURN_A }, 2, -EINVAL, "M[16]" },
		{ "division by 0", CONSTANT(BPF_DIV, 1, 0), 3, -EINVAL, "divides by zero" },
		{ "a jump out of it",
		  { { BPF_JMP | BPF_JEQ, 1, 0, 0 }, RETURN_A },
		  2,
		  -EINVAL,
		  "instruction 0 jumps out" },
		{ "a long jump out",
		  { { BPF_JMP, 0, 0, 0x7fffffff }, RETURN_A },
		  2,
		  -EINVAL,
		  "instruction 0 jumps out" },
		{ "a loop",
		  { A_IS(1), { BPF_JMP, 0, 0, 0xfffffffe }, RETURN_A },
		  3,
		  -ENOTSUP,
		  "the filter loops" },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct filter_program *program;

		CHECK_EQ(filter_from_classic(&program, c->insns, c->count, error), c->err);
		CHECK(strstr(error, c->words));
	}
}

static void expressions_are_libpcaps(void **state)
{
	static const struct {
		const char *name, *words;
		uint16_t link_type;
	} cases[] = {
		{ "tcp port 443 and host 10.1.2.3", NULL, ETHERNET },
		{ "", NULL, ETHERNET },
		{ "ip broadcast", NULL, ETHERNET },
		{ "tcp port 443", NULL, RAW },
		{ "radio[0] = 0 or wlan type mgt", NULL, 127 },
		{ "no such filter", "syntax error", ETHERNET },
		{ "inbound", "not supported on Ethernet when reading savefiles", ETHERNET },
		{ "ip proto 300 and tcp", "rejects all packets", ETHERNET },
		{ "ether host 1:2:3:4:5:6", "ethernet addresses supported only on ethernet", RAW },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct filter_program *program = NULL;
		int err = filter_compile(&program, c->name, c->link_type, error);

		CHECK_EQ(err, c->words ? -EINVAL : 0);
		if (c->words && err && !strstr(error, c->words)) {
			CHECK_STR(error, c->words);
		}
		filter_destroy(program);
	}
}

static void a_loop_is_refused_for_the_kernel(void **state)
{
	struct filter_program *program;
	struct filter_code code;

	(void)state;
	assert_int_equal(filter_compile(&program, "ip6 protochain 6", ETHERNET, error), 0);
	CHECK_EQ(filter_translate(&code, program, FILTER_TCX, error), -ENOTSUP);
	CHECK(strstr(error, "protochain"));
	filter_destroy(program);
}

/* Every load around the place of the tag, with every part of a short packet linear. */
static void a_tag_beside_the_packet_is_in_its_place(void **state)
{
	static const uint16_t sizes[] = { BPF_W, BPF_H, BPF_B };
	static const uint8_t tag[4] = { 0x81, 0x00, 0x2a, 0xbc };
	uint8_t bytes[24];

	(void)state;
	for (uint8_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i + 1);
	for (uint32_t len = 12; len <= sizeof(bytes); len++) {
		for (uint32_t k = 0; k < 30; k++) {
			for (size_t i = 0; i < 2 * ARRAY_SIZE(sizes); i++) {
				struct filter_insn insns[] = { X_IS(k / 2),
							       { BPF_LD | sizes[i / 2] | BPF_ABS, 0,
								 0, k },
							       RETURN_A };
				struct filter_program *program;

				if (i % 2) {
					insns[1].code = BPF_LD | sizes[i / 2] | BPF_IND;
					insns[1].k = k - k / 2;
				}
				assert_int_equal(filter_from_classic(&program, insns, 3, error), 0);
				for (uint32_t linear = 0; linear <= len; linear += 3) {
					struct way way = { 0, tag, linear };

					compare(program, bytes, len, &way);
					way.tag = NULL;
					compare(program, bytes, len, &way);
				}
				filter_destroy(program);
			}
		}
	}
}

static void random_programs_give_what_libpcap_gives(void **state)
{
	static uint8_t bytes[RANDOM_LEN_MAX];
	struct filter_insn insns[RANDOM_INSNS_MAX];
	struct random random = { 5 };

	(void)state;
	for (int i = 0; i < 3000 && check_failures < 10; i++) {
		uint64_t seed = random.state;
		struct filter_program *program;

		assert_int_equal(
			filter_from_classic(&program, insns, random_program(&random, insns), error),
			0);
		for (int j = 0; j < 8; j++) {
			uint32_t len = random_packet(&random, bytes);
			uint8_t tag[4] = { 0x81, 0, 0, (uint8_t)random_below(&random, 256) };
			struct way way = { random_below(&random, 4) ? 0 : random_below(&random, 3),
					   random_below(&random, 2) ? tag : NULL,
					   random_below(&random, 2) ? len
								    : random_below(&random, len) };

			compare(program, bytes, len, &way);
		}
		if (check_failures)
			print_error("seed %llu\n", (unsigned long long)seed);
		filter_destroy(program);
	}
}

/* What jumps farther than 16 bits, and what libpcap's own optimizer would take minutes for. */
static struct filter_program *random_part(struct random *random)
{
	struct filter_insn insns[RANDOM_INSNS_MAX];
	size_t count = random_program(random, insns);
	struct filter_program *program;

	for (size_t i = 0; i < count; i++) {
		if (insns[i].code == (BPF_RET | BPF_A))
			insns[i] = (struct filter_insn){ .code = BPF_RET | BPF_K, .k = i % 2 };
	}
	assert_int_equal(filter_from_classic(&program, insns, count, error), 0);
	return program;
}

static void the_first_of_several_that_matches_is_the_verdict(void **state)
{
	static uint8_t bytes[RANDOM_LEN_MAX];
	static const uint32_t verdicts[4] = { 7, 3, 64, 1 };
	unsigned int verdict_seen[65] = {};
	struct random random = { 9 };

	(void)state;
	for (int i = 0; i < 1000 && check_failures < 10; i++) {
		struct filter_program *parts[4], *joined;
		unsigned int count = 1 + random_below(&random, 4);
		uint64_t seed = random.state;

		for (unsigned int j = 0; j < count; j++)
			parts[j] = random_part(&random);
		assert_int_equal(filter_join(&joined, parts, verdicts, count, error), 0);
		for (int j = 0; j < 8; j++) {
			uint32_t len = random_packet(&random, bytes), expected = 0;
			uint8_t tag[4] = { 0x81, 0, 0, (uint8_t)random_below(&random, 256) };
			struct way way = { 0, random_below(&random, 2) ? tag : NULL,
					   random_below(&random, 2) ? len
								    : random_below(&random, len) };

			for (unsigned int k = 0; k < count && !way.tag && !expected; k++)
				expected =
					filter_verdict(parts[k], bytes, len, len) ? verdicts[k] : 0;
			if (!way.tag)
				CHECK_EQ(filter_verdict(joined, bytes, len, len), expected);
			verdict_seen[expected]++;
			compare(joined, bytes, len, &way);
		}
		if (check_failures)
			print_error("seed %llu\n", (unsigned long long)seed);
		for (unsigned int j = 0; j < count; j++)
			filter_destroy(parts[j]);
		filter_destroy(joined);
	}
	for (unsigned int j = 0; j < 4; j++)
		CHECK(verdict_seen[verdicts[j]] > 10);
}

static void long_expressions_are_translated(void **state)
{
	uint8_t bytes[60] = { [12] = 8, 0, 0x45, [23] = 6, [26] = 10, 0, 0, 0, 10, 0, 0, 0 };
	const struct way way = { .linear_len = sizeof(bytes) };
	struct filter_program *program;
	struct buf expression = {};

	(void)state;
	for (int i = 0; i < 700; i++)
		buf_printf(&expression, "%shost 10.1.%d.%d", i ? " or " : "", i / 256, i % 256);
	buf_append(&expression, "", 1);
	assert_int_equal(filter_compile(&program, (char *)expression.data, ETHERNET, error), 0);
	for (int i = 0; i < 1024; i += 31) {
		bytes[31] = 1;
		bytes[32] = (uint8_t)(i / 256);
		bytes[33] = (uint8_t)i;
		CHECK_EQ(!run(program, FILTER_TCX, bytes, sizeof(bytes), &way), i >= 700);
		compare(program, bytes, sizeof(bytes), &way);
	}
	filter_destroy(program);
	buf_release(&expression);
}

static void too_long_an_expression_is_refused(void **state)
{
	char *expression = malloc(FILTER_EXPRESSION_MAX + 2);
	struct filter_program *program;

	(void)state;
	assert_non_null(expression);
	memset(expression, ' ', FILTER_EXPRESSION_MAX + 1);
	expression[FILTER_EXPRESSION_MAX + 1] = 0;
	CHECK_EQ(filter_compile(&program, expression, ETHERNET, error), -E2BIG);
	CHECK(strstr(error, "131073 bytes"));
	free(expression);
}

static void text_has_a_line_for_each_instruction(void **state)
{
	struct filter_program *program;
	struct filter_code code;
	struct buf text = {};
	size_t lines = 0;

	(void)state;
	assert_int_equal(filter_compile(&program, "ip[0] & 15 > 5 and len > 9", ETHERNET, error),
			 0);
	filter_print_classic(program, &text);
	for (size_t i = 0; i < text.len; i++)
		lines += text.data[i] == '\n';
	CHECK_EQ(lines, filter_classic_count(program));
	CHECK(!strncmp((char *)text.data, "(000) ldh      [12]\n", 20));
	buf_clear(&text);
	assert_int_equal(filter_translate(&code, program, FILTER_XDP, error), 0);
	filter_print_code(&code, &text);
	lines = 0;
	for (size_t i = 0; i < text.len; i++)
		lines += text.data[i] == '\n';
	CHECK_EQ(lines, code.count);
	CHECK(!memchr(text.data, '?', text.len));
	buf_release(&text);
	filter_code_release(&code);
	filter_destroy(program);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_opcode_computes_what_it_says),
		TEST(unsound_programs_are_refused),
		TEST(expressions_are_libpcaps),
		TEST(a_loop_is_refused_for_the_kernel),
		TEST(a_tag_beside_the_packet_is_in_its_place),
		TEST(random_programs_give_what_libpcap_gives),
		TEST(the_first_of_several_that_matches_is_the_verdict),
		TEST(long_expressions_are_translated),
		TEST(too_long_an_expression_is_refused),
		TEST(text_has_a_line_for_each_instruction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
