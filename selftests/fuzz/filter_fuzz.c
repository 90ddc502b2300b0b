/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes as a packet and a program of classic BPF: what is accepted is translated, does nothing that
 * it must not, and gives what bpf_filter() gives. Bytes: flags (1 XDP, 2 a tag beside), start,
 * length of the packet, so much of it is linear, the packet, instructions of 8 bytes.
 */
#include <assert.h>
#include <linux/filter.h>
#include <linux/types.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/filter.h"
#include "selftests/filter_machine.h"
#include "selftests/filter_random.h"
#include "selftests/fuzz/fuzz.h"

#define HEADER_LEN 4
#define INSNS_MAX 2000
#define SCRATCH_WORDS 16

static void compare(const struct filter_program *program, const uint8_t *data, uint32_t len)
{
	static const uint8_t tag[4] = { 0x81, 0, 1, 2 };
	static uint8_t frame[256 + 4];
	const uint8_t *packet = data + HEADER_LEN;
	bool has_tag = data[0] & 2;
	struct machine machine = { .hook = data[0] & 1 ? FILTER_XDP : FILTER_TCX,
				   .packet = packet,
				   .len = len,
				   .linear_len = MIN(data[3], len),
				   .frame = { .start = MIN(data[1], len - 12),
					      .has_tag = has_tag,
					      .tag = { 0x81, 0, 1, 2 } } };
	uint32_t frame_len =
		random_in_band(frame, packet, len, machine.frame.start, has_tag ? tag : NULL);
	char error[FILTER_ERROR_LEN];
	struct filter_code code;
	uint32_t result;

	machine.frame.len = frame_len;
	if (filter_translate(&code, program, machine.hook, error))
		abort();
	result = machine_run(&machine, &code);
	assert(!machine.fault);
	assert(result == filter_verdict(program, frame, frame_len, frame_len));
	filter_code_release(&code);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct filter_insn insns[SCRATCH_WORDS + INSNS_MAX];
	struct filter_program *program;
	char error[FILTER_ERROR_LEN];
	size_t packet_len, count;

	if (len < HEADER_LEN)
		return 0;
	packet_len = MAX(data[2], 14);
	if (len < HEADER_LEN + packet_len)
		return 0;
	count = MIN((len - HEADER_LEN - packet_len) / sizeof(*insns), INSNS_MAX);
	/* bpf_filter() leaves M[] as it finds it. */
	for (uint32_t word = 0; word < SCRATCH_WORDS; word++)
		insns[word] = (struct filter_insn){ .code = BPF_ST, .k = word };
	memcpy(insns + SCRATCH_WORDS, data + HEADER_LEN + packet_len, count * sizeof(*insns));
	if (filter_from_classic(&program, insns, SCRATCH_WORDS + count, error))
		return 0;
	compare(program, data, (uint32_t)packet_len);
	filter_destroy(program);
	return 0;
}
