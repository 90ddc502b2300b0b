/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Classic BPF: which instructions there are, and which programs are sound. */
#include <errno.h>
#include <linux/filter.h>

#include "bpf/filter_internal.h"

bool filter_is_absolute(uint16_t code)
{
	return code == (BPF_LD | BPF_W | BPF_ABS) || code == (BPF_LD | BPF_H | BPF_ABS) ||
	       code == (BPF_LD | BPF_B | BPF_ABS);
}

bool filter_is_indirect(uint16_t code)
{
	return code == (BPF_LD | BPF_W | BPF_IND) || code == (BPF_LD | BPF_H | BPF_IND) ||
	       code == (BPF_LD | BPF_B | BPF_IND);
}

bool filter_is_header_length(uint16_t code)
{
	return code == (BPF_LDX | BPF_B | BPF_MSH);
}

bool filter_is_branch(uint16_t code)
{
	return BPF_CLASS(code) == BPF_JMP && code != FILTER_NOP;
}

bool filter_is_return(uint16_t code)
{
	return BPF_CLASS(code) == BPF_RET;
}

static bool is_known(uint16_t code)
{
	switch (code) {
	case BPF_LD | BPF_W | BPF_ABS:
	case BPF_LD | BPF_H | BPF_ABS:
	case BPF_LD | BPF_B | BPF_ABS:
	case BPF_LD | BPF_W | BPF_IND:
	case BPF_LD | BPF_H | BPF_IND:
	case BPF_LD | BPF_B | BPF_IND:
	case BPF_LD | BPF_W | BPF_LEN:
	case BPF_LD | BPF_IMM:
	case BPF_LD | BPF_MEM:
	case BPF_LDX | BPF_W | BPF_LEN:
	case BPF_LDX | BPF_B | BPF_MSH:
	case BPF_LDX | BPF_IMM:
	case BPF_LDX | BPF_MEM:
	case BPF_ST:
	case BPF_STX:
	case BPF_ALU | BPF_NEG:
	case BPF_MISC | BPF_TAX:
	case BPF_MISC | BPF_TXA:
	case BPF_RET | BPF_K:
	case BPF_RET | BPF_A:
	case BPF_JMP | BPF_JA:
		return true;
	}
	if (BPF_CLASS(code) == BPF_ALU)
		return !(code & ~0xff) && BPF_OP(code) <= BPF_XOR && BPF_OP(code) != BPF_NEG;
	if (BPF_CLASS(code) == BPF_JMP)
		return !(code & ~0xff) && BPF_OP(code) <= BPF_JSET && BPF_OP(code) != BPF_JA;
	return false;
}

static bool uses_scratch(uint16_t code)
{
	return code == BPF_ST || code == BPF_STX || code == (BPF_LD | BPF_MEM) ||
	       code == (BPF_LDX | BPF_MEM);
}

static bool divides_by_zero(const struct filter_insn *insn)
{
	return !insn->k && (insn->code == (BPF_ALU | BPF_DIV | BPF_K) ||
			    insn->code == (BPF_ALU | BPF_MOD | BPF_K));
}

static int check_jump(const struct filter_insn *insn, size_t left, size_t at, char *error)
{
	bool outside;

	if (insn->code == (BPF_JMP | BPF_JA)) {
		if ((int32_t)insn->k < 0)
			return explain_only(
				error, -ENOTSUP,
				"the filter loops (instruction %zu jumps back), which the kernel "
				"does not run: write it without protochain",
				at);
		outside = insn->k >= left;
	} else {
		outside = insn->jt >= left || insn->jf >= left;
	}
	if (outside)
		return explain_only(error, -EINVAL,
				    "no valid filter: instruction %zu jumps out of it", at);
	return 0;
}

int filter_check(const struct filter_insn *insns, size_t count, char *error)
{
	int err;

	if (!count || !filter_is_return(insns[count - 1].code))
		return explain_only(error, -EINVAL, "no valid filter: it does not end in a return");
	for (size_t i = 0; i < count; i++) {
		const struct filter_insn *insn = &insns[i];

		if (!is_known(insn->code))
			return explain_only(
				error, -EINVAL,
				"no valid filter: instruction %zu has the unknown opcode 0x%x", i,
				insn->code);
		if (uses_scratch(insn->code) && insn->k >= FILTER_SCRATCH)
			return explain_only(
				error, -EINVAL,
				"no valid filter: instruction %zu uses M[%u] of %d words", i,
				insn->k, FILTER_SCRATCH);
		if (divides_by_zero(insn))
			return explain_only(error, -EINVAL,
					    "no valid filter: instruction %zu divides by zero", i);
		if (BPF_CLASS(insn->code) == BPF_JMP) {
			err = check_jump(insn, count - 1 - i, i, error);
			if (err)
				return err;
		}
	}
	return 0;
}
