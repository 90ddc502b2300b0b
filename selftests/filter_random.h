/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random programs of classic BPF that are valid, and packets and tags to run them on. What libpcap
 * makes never does most of this. Same seed, same programs.
 */
#pragma once

#include <linux/filter.h>
#include <stdint.h>
#include <string.h>

#include "bpf/filter.h"
#include "common/util.h"

#define RANDOM_INSNS_MAX 96
#define RANDOM_LEN_MAX 3000

struct random {
	uint64_t state;
};

static inline uint32_t random_next(struct random *random)
{
	random->state = random->state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(random->state >> 33);
}

/* 0 .. limit - 1 */
static inline uint32_t random_below(struct random *random, uint32_t limit)
{
	return random_next(random) % limit;
}

/* Offsets where it matters: around the tag, in and behind headers, beyond what there can be. */
static inline uint32_t random_offset(struct random *random)
{
	static const uint32_t far[] = {
		31999,	    32000,	32001,	    65535,	0x7ffefffc,
		0x7fff0000, 0x7fffffff, 0x80000000, 0xfffff034, 0xffffffff
	};

	switch (random_below(random, 16)) {
	case 0:
		return far[random_below(random, ARRAY_SIZE(far))];
	case 1:
		return random_below(random, 2 * RANDOM_LEN_MAX);
	case 2:
	case 3:
	case 4:
		return random_below(random, 100);
	}
	return random_below(random, 24);
}

static inline uint32_t random_value(struct random *random)
{
	static const uint32_t odd[] = { 31,	    32,		33,	    64,		0x7fffffff,
					0x80000000, 0xffffffff, 0xfffffffe, 0x81000000, 0 };

	switch (random_below(random, 6)) {
	case 0:
		return odd[random_below(random, ARRAY_SIZE(odd))];
	case 1:
		return random_next(random) << 1 ^ random_next(random);
	case 2:
		return random_below(random, 65536);
	}
	return random_below(random, 8);
}

/* left: instructions behind this one. */
static inline struct filter_insn random_insn(struct random *random, uint32_t left, bool scratch)
{
	static const uint16_t sizes[] = { BPF_W, BPF_H, BPF_B };
	static const uint16_t operations[] = { BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR,
					       BPF_AND, BPF_LSH, BPF_RSH, BPF_MOD, BPF_XOR };
	static const uint16_t tests[] = { BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET };
	struct filter_insn insn = {};
	uint16_t operand = random_below(random, 2) ? BPF_X : BPF_K;

	switch (random_below(random, scratch ? 14 : 12)) {
	case 0:
	case 1:
	case 2:
		insn.code = BPF_LD | BPF_ABS | sizes[random_below(random, 3)];
		insn.k = random_offset(random);
		break;
	case 3:
	case 4:
		insn.code = BPF_LD | BPF_IND | sizes[random_below(random, 3)];
		insn.k = random_offset(random);
		break;
	case 5:
		insn.code = BPF_LDX | BPF_MSH | BPF_B;
		insn.k = random_offset(random);
		break;
	case 6:
		insn.code = random_below(random, 2) ? BPF_LD : BPF_LDX;
		if (random_below(random, 3)) {
			insn.code |= BPF_IMM;
			insn.k = random_value(random);
		} else {
			insn.code |= BPF_LEN;
		}
		break;
	case 7:
		insn.code = BPF_MISC | (random_below(random, 2) ? BPF_TAX : BPF_TXA);
		break;
	case 8:
	case 9:
		insn.code = BPF_ALU | operations[random_below(random, 10)] | operand;
		insn.k = random_value(random);
		if (!insn.k && (BPF_OP(insn.code) == BPF_DIV || BPF_OP(insn.code) == BPF_MOD))
			insn.k = 7;
		if (!random_below(random, 12))
			insn = (struct filter_insn){ .code = BPF_ALU | BPF_NEG };
		break;
	case 10:
	case 11:
		insn.code = BPF_JMP | tests[random_below(random, 4)] | operand;
		insn.k = random_value(random);
		insn.jt = (uint8_t)random_below(random, MIN(left, 12));
		insn.jf = (uint8_t)random_below(random, MIN(left, 12));
		if (!random_below(random, 12))
			insn = (struct filter_insn){ .code = BPF_JMP | BPF_JA,
						     .k = random_below(random, MIN(left, 6)) };
		break;
	case 12:
		insn.code = random_below(random, 2) ? BPF_ST : BPF_STX;
		insn.k = random_below(random, 16);
		break;
	case 13:
		insn.code = (random_below(random, 2) ? BPF_LD : BPF_LDX) | BPF_MEM;
		insn.k = random_below(random, 16);
		break;
	}
	return insn;
}

/* Room for RANDOM_INSNS_MAX; how many there are. M[] is written first: bpf_filter() does not. */
static inline size_t random_program(struct random *random, struct filter_insn *insns)
{
	uint32_t count = 1 + random_below(random, RANDOM_INSNS_MAX - 20), at = 0;
	bool scratch = random_below(random, 3) == 0;

	if (scratch) {
		for (uint32_t word = 0; word < 16; word++)
			insns[at++] = (struct filter_insn){ .code = BPF_ST, .k = word };
		count += at;
	}
	while (at + 1 < count) {
		insns[at] = random_insn(random, count - 1 - at, scratch);
		if (!random_below(random, 24))
			insns[at] = (struct filter_insn){
				.code = BPF_RET | (random_below(random, 2) ? BPF_A : BPF_K),
				.k = random_value(random)
			};
		at++;
	}
	insns[at++] =
		(struct filter_insn){ .code = BPF_RET | (random_below(random, 2) ? BPF_A : BPF_K),
				      .k = 1 + random_below(random, 65535) };
	return at;
}

/* Bytes that make tests true now and then; a test run of tc takes no short IP packets. */
static inline uint32_t random_packet(struct random *random, uint8_t *bytes)
{
	uint32_t len = 14 + (random_below(random, 8) ? random_below(random, 80)
						     : random_below(random, RANDOM_LEN_MAX - 14));

	for (uint32_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(random_below(random, 3) ? random_below(random, 8)
							     : random_next(random));
	if (len < 54 &&
	    ((bytes[12] == 8 && bytes[13] == 0) || (bytes[12] == 0x86 && bytes[13] == 0xdd)))
		bytes[12] = 9;
	return len;
}

/* The frame as a capture has it: from start on, the tag in its place. Its length. */
static inline uint32_t random_in_band(uint8_t *frame, const uint8_t *bytes, uint32_t len,
				      uint32_t start, const uint8_t *tag)
{
	bytes += start;
	len -= start;
	if (!tag) {
		memcpy(frame, bytes, len);
		return len;
	}
	memcpy(frame, bytes, 12);
	memcpy(frame + 12, tag, 4);
	memcpy(frame + 16, bytes + 12, len - 12);
	return len + 4;
}
