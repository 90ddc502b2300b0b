/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Filters in the kernel, both hooks, against libpcap's bpf_filter() on the same frame: random
 * programs on random packets, with and without a tag beside them, in one piece (tc, XDP) and in
 * several (XDP). XCAP_FILTER_COMPARISONS: how many, by default 6000.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/types.h>
#include <stdlib.h>
#include <unistd.h>

#include "bpf/filter.h"
#include "bpf/filter_load.h"
#include "selftests/filter_random.h"
#include "selftests/unit/check.h"

#define PACKETS 24 /* for each program */
#define SEED 20240611

struct comparison {
	struct random random;
	int beside_fd;
	unsigned long done, matched, refused, tagged, split, tc;
};

static void set_beside(const struct comparison *comparison, const struct filter_beside *beside)
{
	__u32 key = 0;

	assert_int_equal(bpf_map_update_elem(comparison->beside_fd, &key, beside, BPF_ANY), 0);
}

static void compare_packet(struct comparison *comparison, const struct filter_program *program,
			   const int *program_fds, uint64_t seed)
{
	static uint8_t bytes[RANDOM_LEN_MAX], frame[RANDOM_LEN_MAX + 4];
	struct random *random = &comparison->random;
	struct filter_beside beside = { .has_tag = random_below(random, 2) };
	uint32_t len = random_packet(random, bytes), frame_len, expected, result, linear = 0;
	enum filter_hook hook = random_below(random, 2) ? FILTER_XDP : FILTER_TCX;
	int err;

	if (!random_below(random, 4))
		beside.start = random_below(random, MIN(len - 12, 20));
	for (size_t i = 0; i < sizeof(beside.tag); i++)
		beside.tag[i] = (uint8_t)random_below(random, 4);
	if (hook == FILTER_XDP && len > 14 && random_below(random, 2))
		linear = 14 + random_below(random, len - 14);
	frame_len =
		random_in_band(frame, bytes, len, beside.start, beside.has_tag ? beside.tag : NULL);
	beside.cut = random_below(random, 3) ? 0 : random_below(random, 100);
	set_beside(comparison, &beside);
	expected = filter_verdict(program, frame, frame_len, frame_len + beside.cut);
	err = filter_run(&result, program_fds[hook], hook, bytes, len, linear, 1, NULL);
	if (err) {
		comparison->refused++;
		CHECK_EQ(err, 0);
		return;
	}
	if (result != expected) {
		CHECK_EQ(result, expected);
		print_error("program of seed %llu, %s, length %u, start %u, tag %u, linear %u\n",
			    (unsigned long long)seed, hook == FILTER_XDP ? "XDP" : "tc", len,
			    beside.start, beside.has_tag, linear);
	}
	comparison->done++;
	comparison->matched += expected != 0;
	comparison->tagged += beside.has_tag;
	comparison->split += linear != 0;
	comparison->tc += hook == FILTER_TCX;
}

static void load(int *program_fds, const struct filter_program *program, int beside_fd)
{
	char error[FILTER_ERROR_LEN] = "";

	for (int hook = FILTER_TCX; hook <= FILTER_XDP; hook++) {
		struct filter_code code;

		assert_int_equal(filter_translate(&code, program, (enum filter_hook)hook, error),
				 0);
		program_fds[hook] = filter_load(&code, (enum filter_hook)hook, beside_fd, error);
		if (program_fds[hook] < 0) {
			struct buf text = {};

			filter_print_classic(program, &text);
			filter_print_code(&code, &text);
			fail_msg("%s\n%.*s", error, (int)text.len, (char *)text.data);
		}
		filter_code_release(&code);
	}
}

static void random_programs_give_what_libpcap_gives(void **state)
{
	const char *wanted = getenv("XCAP_FILTER_COMPARISONS");
	unsigned long comparisons = wanted ? strtoul(wanted, NULL, 10) : 6000;
	struct comparison comparison = { .random = { SEED } };
	struct filter_insn insns[RANDOM_INSNS_MAX];
	char error[FILTER_ERROR_LEN];

	(void)state;
	comparison.beside_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "beside", sizeof(__u32),
					      sizeof(struct filter_beside), 1, NULL);
	assert_true(comparison.beside_fd >= 0);
	while (comparison.done < comparisons && check_failures < 10) {
		uint64_t seed = comparison.random.state;
		struct filter_program *program;
		int program_fds[2];

		assert_int_equal(filter_from_classic(&program, insns,
						     random_program(&comparison.random, insns),
						     error),
				 0);
		load(program_fds, program, comparison.beside_fd);
		for (int i = 0; i < PACKETS; i++)
			compare_packet(&comparison, program, program_fds, seed);
		close(program_fds[0]);
		close(program_fds[1]);
		filter_destroy(program);
	}
	close(comparison.beside_fd);
	print_message(
		"# %lu comparisons: %lu matched; %lu tc, %lu XDP; %lu tagged, %lu in pieces\n",
		comparison.done, comparison.matched, comparison.tc, comparison.done - comparison.tc,
		comparison.tagged, comparison.split);
	CHECK(comparison.matched > comparison.done / 20);
	CHECK(comparison.tagged > comparison.done / 4);
	CHECK(comparison.split > comparison.done / 8);
}

/* As long as anybody may want it: 2,000 terms, within what the verifier and its stack of branches
 * allow. */
static void two_thousand_hosts_are_loaded(void **state)
{
	uint8_t bytes[60] = { [12] = 8, 0, 0x45, [23] = 6, [26] = 192, 0, 2, 1, 10, 7, 0, 0 };
	struct filter_program *program;
	char error[FILTER_ERROR_LEN];
	struct buf expression = {};
	int program_fds[2];
	uint32_t result;

	(void)state;
	for (int i = 0; i < 2000; i++)
		buf_printf(&expression, "%shost 10.7.%d.%d", i ? " or " : "", i / 256, i % 256);
	buf_append(&expression, "", 1);
	assert_int_equal(filter_compile(&program, (char *)expression.data, 1, error), 0);
	load(program_fds, program, -1);
	for (int i = 0; i < 2048; i += 89) {
		bytes[32] = (uint8_t)(i / 256);
		bytes[33] = (uint8_t)i;
		for (int hook = FILTER_TCX; hook <= FILTER_XDP; hook++) {
			CHECK_EQ(filter_run(&result, program_fds[hook], (enum filter_hook)hook,
					    bytes, sizeof(bytes), 0, 1, NULL),
				 0);
			CHECK_EQ(!result, i >= 2000);
		}
	}
	close(program_fds[0]);
	close(program_fds[1]);
	filter_destroy(program);
	buf_release(&expression);
}

/* Each term of an X of its own: more branches than the verifier keeps. */
static void too_many_branches_are_refused_before_they_are_loaded(void **state)
{
	static struct filter_insn insns[FILTER_CLASSIC_MAX];
	struct filter_program *program;
	struct filter_code code;
	char error[FILTER_ERROR_LEN];
	uint32_t count = 0;

	(void)state;
	insns[count++] = (struct filter_insn){ .code = BPF_LD | BPF_W | BPF_ABS };
	for (uint32_t i = 0; i < 10000; i++) {
		insns[count++] = (struct filter_insn){ .code = BPF_MISC | BPF_TAX };
		insns[count++] = (struct filter_insn){ .code = BPF_LD | BPF_B | BPF_IND, .k = 1 };
		insns[count++] = (struct filter_insn){ .code = BPF_JMP | BPF_JEQ, .jf = 1, .k = i };
		insns[count++] = (struct filter_insn){ .code = BPF_RET, .k = 1 };
	}
	insns[count++] = (struct filter_insn){ .code = BPF_RET };
	assert_int_equal(filter_from_classic(&program, insns, count, error), 0);
	CHECK_EQ(filter_translate(&code, program, FILTER_TCX, error), -E2BIG);
	CHECK(strstr(error, "more than 8000 branches, one behind the other"));
	filter_destroy(program);
}

/* An X that is known, and another one on each of 2^20 ways. */
static void what_the_verifier_gives_up_on_is_refused_with_the_limit(void **state)
{
	struct filter_insn insns[200];
	struct filter_program *program;
	struct filter_code code;
	char error[FILTER_ERROR_LEN];
	uint32_t count = 0;

	(void)state;
	for (uint32_t i = 0; i < 20; i++) {
		insns[count++] = (struct filter_insn){ .code = BPF_LD | BPF_B | BPF_ABS, .k = i };
		insns[count++] = (struct filter_insn){ .code = BPF_JMP | BPF_JEQ, .jf = 3, .k = 7 };
		insns[count++] = (struct filter_insn){ .code = BPF_MISC | BPF_TXA };
		insns[count++] = (struct filter_insn){ .code = BPF_ALU | BPF_ADD, .k = 1u << i };
		insns[count++] = (struct filter_insn){ .code = BPF_MISC | BPF_TAX };
	}
	insns[count++] = (struct filter_insn){ .code = BPF_LD | BPF_B | BPF_IND, .k = 1 };
	insns[count++] = (struct filter_insn){ .code = BPF_RET | BPF_A };
	assert_int_equal(filter_from_classic(&program, insns, count, error), 0);
	assert_int_equal(filter_translate(&code, program, FILTER_TCX, error), 0);
	CHECK_EQ(filter_load(&code, FILTER_TCX, -1, error), -E2BIG);
	CHECK(strstr(error, "the filter is too long for the kernel: of its"));
	CHECK(strstr(error, "the verifier gave up after 1,000,000 instructions"));
	filter_code_release(&code);
	filter_destroy(program);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(random_programs_give_what_libpcap_gives),
		TEST(two_thousand_hosts_are_loaded),
		TEST(too_many_branches_are_refused_before_they_are_loaded),
		TEST(what_the_verifier_gives_up_on_is_refused_with_the_limit),
	};

	if (geteuid()) {
		print_message("BPF programs can only be run by root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
