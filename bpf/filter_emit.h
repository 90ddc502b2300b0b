/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * eBPF instructions one after the other, with jumps to labels. A jump that is too far for the 16
 * bits that it has is made longer at the end. Running out of memory sticks (failed).
 */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>

#include "common/util.h"

struct emit_jump {
	uint32_t at, label;
};

struct emitter {
	struct bpf_insn *insns;
	size_t count, capacity;
	struct emit_jump *jumps;
	size_t jump_count, jump_capacity;
	uint32_t *labels; /* where they are */
	size_t label_count;
	bool failed;
};

int emit_begin(struct emitter *emitter, size_t label_count) must_check;
void emit_release(struct emitter *emitter);
void emit(struct emitter *emitter, struct bpf_insn insn);
void emit_label(struct emitter *emitter, uint32_t label);
/* insn.off is filled in. */
void emit_jump(struct emitter *emitter, struct bpf_insn insn, uint32_t label);
/* The instructions, which the caller frees. -ENOMEM. */
int emit_end(struct emitter *emitter, struct bpf_insn **insns, size_t *count) must_check;
/* The opposite of a comparison's opcode; 0: there is none (JSET). */
uint8_t emit_inverse(uint8_t code);

#define EMIT(c, d, s, o, i) \
	((struct bpf_insn){ \
		.code = (c), .dst_reg = (d), .src_reg = (s), .off = (int16_t)(o), .imm = (i) })
#define EMIT_MOV(d, s) EMIT(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define EMIT_MOV32(d, s) EMIT(BPF_ALU | BPF_MOV | BPF_X, d, s, 0, 0)
#define EMIT_SET(d, i) EMIT(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define EMIT_SET32(d, i) EMIT(BPF_ALU | BPF_MOV | BPF_K, d, 0, 0, i)
#define EMIT_OP(op, d, s) EMIT(BPF_ALU64 | (op) | BPF_X, d, s, 0, 0)
#define EMIT_OPK(op, d, i) EMIT(BPF_ALU64 | (op) | BPF_K, d, 0, 0, i)
#define EMIT_OP32(op, d, s) EMIT(BPF_ALU | (op) | BPF_X, d, s, 0, 0)
#define EMIT_OPK32(op, d, i) EMIT(BPF_ALU | (op) | BPF_K, d, 0, 0, i)
#define EMIT_LOAD(size, d, s, o) EMIT(BPF_LDX | (size) | BPF_MEM, d, s, o, 0)
#define EMIT_STORE(size, d, o, s) EMIT(BPF_STX | (size) | BPF_MEM, d, s, o, 0)
#define EMIT_STOREK(size, d, o, i) EMIT(BPF_ST | (size) | BPF_MEM, d, 0, o, i)
#define EMIT_IF(op, d, s) EMIT(BPF_JMP | (op) | BPF_X, d, s, 0, 0)
#define EMIT_IFK(op, d, i) EMIT(BPF_JMP | (op) | BPF_K, d, 0, 0, i)
#define EMIT_GOTO EMIT(BPF_JMP | BPF_JA, 0, 0, 0, 0)
#define EMIT_CALL(f) EMIT(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define EMIT_EXIT EMIT(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define EMIT_BIG_ENDIAN(d, bits) EMIT(BPF_ALU | BPF_END | BPF_TO_BE, d, 0, 0, bits)
