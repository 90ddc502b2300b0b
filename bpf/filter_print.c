/* SPDX-License-Identifier: GPL-2.0-or-later */
/* eBPF as text, what filter_translate() makes of it. */
#include <linux/bpf.h>

#include "bpf/filter.h"

static const char *operator_of(uint8_t code)
{
	static const char *const operators[] = { "+=",	"-=",  "*=", "/=", "|=", "&=",	"<<=",
						 ">>=", "neg", "%=", "^=", "=",	 "s>>=" };

	return BPF_OP(code) >> 4 < (int)ARRAY_SIZE(operators) ? operators[BPF_OP(code) >> 4] : "?";
}

static const char *comparison_of(uint8_t code)
{
	static const char *const comparisons[] = { "",	  "==", ">", ">=", "&",	 "!=", "s>",
						   "s>=", "",	"",  "<",  "<=", "s<", "s<=" };

	return BPF_OP(code) >> 4 < (int)ARRAY_SIZE(comparisons) ? comparisons[BPF_OP(code) >> 4]
								: "?";
}

static const char *size_of(uint8_t code)
{
	static const char *const sizes[] = { "u32", "u16", "u8", "u64" };

	return sizes[BPF_SIZE(code) >> 3];
}

/* w: the lower 32 bits of a register, r: all of it. */
static void print_alu(const struct bpf_insn *insn, char width, struct buf *out)
{
	if (BPF_OP(insn->code) == BPF_END)
		buf_printf(out, "r%u = be%d r%u", insn->dst_reg, insn->imm, insn->dst_reg);
	else if (BPF_OP(insn->code) == BPF_NEG)
		buf_printf(out, "%c%u = -%c%u", width, insn->dst_reg, width, insn->dst_reg);
	else if (BPF_SRC(insn->code) == BPF_X)
		buf_printf(out, "%c%u %s %c%u", width, insn->dst_reg, operator_of(insn->code),
			   width, insn->src_reg);
	else
		buf_printf(out, "%c%u %s %d", width, insn->dst_reg, operator_of(insn->code),
			   insn->imm);
}

static void print_jump(const struct bpf_insn *insn, size_t at, char width, struct buf *out)
{
	long target = (long)at + 1 + insn->off;

	if (insn->code == (BPF_JMP | BPF_EXIT)) {
		buf_printf(out, "exit");
	} else if (insn->code == (BPF_JMP | BPF_CALL)) {
		buf_printf(out, "call %s",
			   insn->imm == BPF_FUNC_skb_load_bytes	    ? "skb_load_bytes"
			   : insn->imm == BPF_FUNC_xdp_load_bytes   ? "xdp_load_bytes"
			   : insn->imm == BPF_FUNC_xdp_get_buff_len ? "xdp_get_buff_len"
								    : "?");
	} else if (insn->code == (BPF_JMP32 | BPF_JA)) {
		buf_printf(out, "goto %ld", (long)at + 1 + insn->imm);
	} else if (insn->code == (BPF_JMP | BPF_JA)) {
		buf_printf(out, "goto %ld", target);
	} else if (BPF_SRC(insn->code) == BPF_X) {
		buf_printf(out, "if %c%u %s %c%u goto %ld", width, insn->dst_reg,
			   comparison_of(insn->code), width, insn->src_reg, target);
	} else {
		buf_printf(out, "if %c%u %s 0x%x goto %ld", width, insn->dst_reg,
			   comparison_of(insn->code), (uint32_t)insn->imm, target);
	}
}

static void print_insn(const struct bpf_insn *insn, size_t at, struct buf *out)
{
	switch (BPF_CLASS(insn->code)) {
	case BPF_LDX:
		buf_printf(out, "r%u = *(%s *)(r%u %+d)", insn->dst_reg, size_of(insn->code),
			   insn->src_reg, insn->off);
		break;
	case BPF_STX:
		buf_printf(out, "*(%s *)(r%u %+d) = r%u", size_of(insn->code), insn->dst_reg,
			   insn->off, insn->src_reg);
		break;
	case BPF_ST:
		buf_printf(out, "*(%s *)(r%u %+d) = %d", size_of(insn->code), insn->dst_reg,
			   insn->off, insn->imm);
		break;
	case BPF_ALU:
		print_alu(insn, 'w', out);
		break;
	case BPF_ALU64:
		print_alu(insn, 'r', out);
		break;
	case BPF_JMP:
		print_jump(insn, at, 'r', out);
		break;
	case BPF_JMP32:
		print_jump(insn, at, 'w', out);
		break;
	}
}

void filter_print_code(const struct filter_code *code, struct buf *out)
{
	for (size_t i = 0; i < code->count; i++) {
		buf_printf(out, "(%03zu) ", i);
		print_insn(&code->insns[i], i, out);
		buf_printf(out, "\n");
	}
}
