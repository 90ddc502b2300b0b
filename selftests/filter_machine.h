/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs what filter_translate() makes, without a kernel: the eBPF that it uses and the helpers that
 * it calls. Every access is checked, as is every register that is read; a packet may have any
 * linear part, and what a call destroys is destroyed. Tests and fuzzer compare with bpf_filter().
 */
#pragma once

#include <endian.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/filter.h"
#include "bpf/xcap_abi.h"

#define MACHINE_STACK 512

struct machine {
	enum filter_hook hook;
	const uint8_t *packet; /* the context's data, all of it */
	uint32_t len, linear_len;
	struct xcap_frame frame;
	/* The rest is its own. */
	uint8_t *linear; /* a copy, so that a sanitizer sees where it ends */
	uint8_t stack[MACHINE_STACK];
	uint8_t context[256]; /* only its address matters */
	uint64_t regs[11];
	uint16_t unknown;  /* registers that may not be read */
	const char *fault; /* NULL: none */
};

static inline bool machine_is_in(uint64_t at, uint64_t size, const void *from, uint64_t len)
{
	uint64_t begin = (uint64_t)(uintptr_t)from;

	return at >= begin && at - begin <= len && size <= len - (at - begin);
}

static inline uint64_t machine_read(struct machine *m, int reg)
{
	if (m->unknown & 1u << reg)
		m->fault = "a register is read that holds nothing";
	return m->regs[reg];
}

static inline void machine_write(struct machine *m, int reg, uint64_t value)
{
	m->unknown &= (uint16_t) ~(1u << reg);
	m->regs[reg] = value;
}

static inline uint64_t machine_context(struct machine *m, uint64_t offset, uint64_t size)
{
	bool is_tcx = m->hook == FILTER_TCX;
	uint64_t data = (uint64_t)(uintptr_t)m->linear;

	if (size != 4)
		m->fault = "the context is read by another size";
	if (is_tcx && offset == offsetof(struct __sk_buff, len))
		return m->len;
	if (offset == (is_tcx ? offsetof(struct __sk_buff, data) : offsetof(struct xdp_md, data)))
		return data;
	if (offset ==
	    (is_tcx ? offsetof(struct __sk_buff, data_end) : offsetof(struct xdp_md, data_end)))
		return data + m->linear_len;
	m->fault = "another member of the context is read";
	return 0;
}

static inline void machine_load(struct machine *m, const struct bpf_insn *insn)
{
	static const uint8_t sizes[] = { 4, 2, 1, 8 };
	uint64_t size = sizes[BPF_SIZE(insn->code) >> 3];
	uint64_t at = machine_read(m, insn->src_reg) + (uint64_t)insn->off, value = 0;

	if (machine_is_in(at, size, m->context, sizeof(m->context))) {
		value = machine_context(m, at - (uint64_t)(uintptr_t)m->context, size);
	} else if (machine_is_in(at, size, m->linear, m->linear_len) ||
		   machine_is_in(at, size, &m->frame, sizeof(m->frame)) ||
		   (machine_is_in(at, size, m->stack, sizeof(m->stack)) && at % size == 0)) {
		memcpy(&value, (void *)(uintptr_t)at, size);
	} else {
		m->fault = "a load from nowhere";
	}
	machine_write(m, insn->dst_reg, value);
}

static inline void machine_store(struct machine *m, const struct bpf_insn *insn)
{
	static const uint8_t sizes[] = { 4, 2, 1, 8 };
	uint64_t size = sizes[BPF_SIZE(insn->code) >> 3];
	uint64_t at = machine_read(m, insn->dst_reg) + (uint64_t)insn->off;
	uint64_t value = BPF_CLASS(insn->code) == BPF_ST ? (uint64_t)(int64_t)insn->imm
							 : machine_read(m, insn->src_reg);

	if (machine_is_in(at, size, m->stack, sizeof(m->stack)) && at % size == 0)
		memcpy((void *)(uintptr_t)at, &value, size);
	else
		m->fault = "a store to nowhere";
}

static inline void machine_alu(struct machine *m, const struct bpf_insn *insn)
{
	bool is_wide = BPF_CLASS(insn->code) == BPF_ALU64;
	uint64_t b = BPF_SRC(insn->code) == BPF_X && BPF_OP(insn->code) != BPF_END
			     ? machine_read(m, insn->src_reg)
			     : (uint64_t)(int64_t)insn->imm;
	uint64_t a = BPF_OP(insn->code) == BPF_MOV ? 0 : machine_read(m, insn->dst_reg);
	unsigned int bits = is_wide ? 63 : 31;

	if (!is_wide) {
		a = (uint32_t)a;
		b = (uint32_t)b;
	}
	switch (BPF_OP(insn->code)) {
	case BPF_ADD:
		a += b;
		break;
	case BPF_SUB:
		a -= b;
		break;
	case BPF_MUL:
		a *= b;
		break;
	case BPF_DIV:
		a = b ? a / b : 0;
		break;
	case BPF_MOD:
		a = b ? a % b : a;
		break;
	case BPF_OR:
		a |= b;
		break;
	case BPF_AND:
		a &= b;
		break;
	case BPF_XOR:
		a ^= b;
		break;
	case BPF_LSH:
		a <<= b & bits;
		break;
	case BPF_RSH:
		a >>= b & bits;
		break;
	case BPF_ARSH:
		a = (uint64_t)((int64_t)a >> (b & bits));
		if (!is_wide)
			m->fault = "an instruction that is not expected";
		break;
	case BPF_NEG:
		a = -a;
		break;
	case BPF_MOV:
		a = b;
		break;
	case BPF_END:
		a = insn->imm == 16 ? htobe16((uint16_t)a) : htobe32((uint32_t)a);
		break;
	default:
		m->fault = "an instruction that is not expected";
	}
	machine_write(m, insn->dst_reg, is_wide ? a : (uint32_t)a);
}

static inline bool machine_is_true(struct machine *m, const struct bpf_insn *insn)
{
	uint64_t a = machine_read(m, insn->dst_reg);
	uint64_t b = BPF_SRC(insn->code) == BPF_X ? machine_read(m, insn->src_reg)
						  : (uint64_t)(int64_t)insn->imm;

	if (BPF_CLASS(insn->code) == BPF_JMP32) {
		a = (uint32_t)a;
		b = (uint32_t)b;
	}
	switch (BPF_OP(insn->code)) {
	case BPF_JEQ:
		return a == b;
	case BPF_JNE:
		return a != b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	case BPF_JLT:
		return a < b;
	case BPF_JLE:
		return a <= b;
	case BPF_JSET:
		return a & b;
	}
	m->fault = "an instruction that is not expected";
	return false;
}

static inline void machine_call(struct machine *m, int function)
{
	uint64_t to = m->regs[3], size = m->regs[4], result = 0;
	uint32_t offset = (uint32_t)m->regs[2];
	bool is_load = function ==
		       (m->hook == FILTER_TCX ? BPF_FUNC_skb_load_bytes : BPF_FUNC_xdp_load_bytes);

	if (machine_read(m, 1) != (uint64_t)(uintptr_t)m->context) {
		m->fault = "a helper is called without the context";
	} else if (is_load && !(m->unknown & 0x1c) && size &&
		   machine_is_in(to, size, m->stack, sizeof(m->stack))) {
		if (offset <= m->len && size <= m->len - offset) {
			memcpy((void *)(uintptr_t)to, m->packet + offset, size);
		} else {
			memset((void *)(uintptr_t)to, 0, size);
			result = (uint64_t)-14; /* -EFAULT */
		}
	} else if (m->hook == FILTER_XDP && function == BPF_FUNC_xdp_get_buff_len) {
		result = m->len;
	} else {
		m->fault = "a helper that is not expected";
	}
	m->unknown |= 0x3e;
	machine_write(m, 0, result);
}

/* The next instruction's index; count: it has returned. */
static inline size_t machine_step(struct machine *m, const struct filter_code *code, size_t at)
{
	const struct bpf_insn *insn = &code->insns[at];

	switch (BPF_CLASS(insn->code)) {
	case BPF_LDX:
		machine_load(m, insn);
		return at + 1;
	case BPF_ST:
	case BPF_STX:
		machine_store(m, insn);
		return at + 1;
	case BPF_ALU:
	case BPF_ALU64:
		machine_alu(m, insn);
		return at + 1;
	case BPF_JMP:
	case BPF_JMP32:
		break;
	default:
		m->fault = "an instruction that is not expected";
		return at + 1;
	}
	if (insn->code == (BPF_JMP | BPF_EXIT))
		return code->count;
	if (insn->code == (BPF_JMP | BPF_CALL)) {
		machine_call(m, insn->imm);
		return at + 1;
	}
	if (insn->code == (BPF_JMP32 | BPF_JA))
		return at + 1 + (size_t)insn->imm;
	if (insn->code == (BPF_JMP | BPF_JA) || machine_is_true(m, insn))
		return at + 1 + (size_t)insn->off;
	return at + 1;
}

/* What the filter returns; fault says what it must not have done. */
static inline uint32_t machine_run(struct machine *m, const struct filter_code *code)
{
	size_t at = 0, steps = 0;

	m->linear = malloc(m->linear_len ? m->linear_len : 1);
	if (!m->linear)
		abort();
	memcpy(m->linear, m->packet, m->linear_len);
	memset(m->stack, 0x5a, sizeof(m->stack));
	m->unknown = 0x3f9; /* but R1, R2 and the stack's end */
	m->fault = NULL;
	m->regs[1] = (uint64_t)(uintptr_t)m->context;
	m->regs[2] = (uint64_t)(uintptr_t)&m->frame;
	m->regs[10] = (uint64_t)(uintptr_t)m->stack + sizeof(m->stack);
	while (!m->fault && at < code->count) {
		at = machine_step(m, code, at);
		if (at > code->count || steps++ > code->count)
			m->fault = "it does not come to an end";
	}
	free(m->linear);
	return (uint32_t)machine_read(m, 0);
}
