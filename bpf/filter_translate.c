/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cBPF to eBPF. The program is written twice. The first copy is for packets that have no tag beside
 * them and so many linear bytes that all loads near the start may read in place, which is checked
 * once for all of them. The second reads by xcap_load(). Both keep A in R7, X in R8; the first has
 * the frame's first byte in R9.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/filter_internal.h"
#include "bpf/splice.h"
#include "bpf/xcap_abi.h"

#define LINKTYPE_RAW_IP 101
/* Loads that end behind this do not make packets take the second copy: they call. */
#define IN_PLACE_MAX 64
#define START_MAX 256	/* of a header in front that is on no wire */
#define INDEX_MAX 4096	/* X of a load in place */
#define MEMORY_WORDS 16 /* M[] */
#define STEPS_MAX 24	/* eBPF instructions of one cBPF instruction */
#define PROLOGUE_MAX 64
#define NEAR 32000 /* a jump's offset has 16 bits */
/*
 * The verifier keeps 8,192 branches that it has not followed yet. Linux 6.18 follows AND and OR two
 * ways where a value is 0 or -1, and does not survive if that is one more (a NULL pointer in
 * maybe_fork_scalars). So whatever may be a branch counts, as if all were on one way.
 */
#define BRANCHES_MAX 8000

/* cBPF, as far as it differs from eBPF: linux/bpf_common.h has the rest. */
enum { CBPF_RET_A = 0x10, CBPF_TAX = 0x00 };

/* Places on the stack, from R10. */
enum {
	AT_FRAME = -8,
	AT_DATA_END = -16,
	AT_MEMORY = -16 - 4 * MEMORY_WORDS,
};

enum { R0, R1, R2, R3, R4, R5, CONTEXT, A, X, DATA, FP };

struct translation {
	const struct filter_program *program;
	enum filter_hook hook;
	bool *reached; /* by number of cBPF instruction */
	size_t *at;    /* where each of them begins in this copy */
	bool *is_far;  /* its jumps need 32 bits; grows until it is stable */
	struct bpf_insn *out;
	size_t count, room;
	uint32_t in_place; /* bytes that the first copy may read without a look */
	uint32_t memory_used;
	size_t branches;      /* of one copy */
	bool copies_in_place; /* the first copy is being written */
	bool grew;
	char *error;
};

static void put(struct translation *t, uint8_t code, uint8_t dst, uint8_t src, int16_t off,
		int32_t imm)
{
	t->out[t->count++] = (struct bpf_insn){
		.code = code, .dst_reg = dst & 15, .src_reg = src & 15, .off = off, .imm = imm
	};
}

static void put_move(struct translation *t, uint8_t dst, uint8_t src)
{
	put(t, BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0);
}

static void put_move32(struct translation *t, uint8_t dst, uint8_t src)
{
	put(t, BPF_ALU | BPF_MOV | BPF_X, dst, src, 0, 0);
}

static void put_set32(struct translation *t, uint8_t dst, uint32_t value)
{
	put(t, BPF_ALU | BPF_MOV | BPF_K, dst, 0, 0, (int32_t)value);
}

static void put_alu32(struct translation *t, uint8_t op, uint8_t dst, uint32_t value)
{
	put(t, BPF_ALU | op | BPF_K, dst, 0, 0, (int32_t)value);
}

static void put_return(struct translation *t, uint32_t value)
{
	put_set32(t, R0, value);
	put(t, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* Jumps over the next `steps` instructions. */
static void put_skip(struct translation *t, uint8_t code, uint8_t dst, uint8_t src, int32_t imm,
		     int16_t steps)
{
	put(t, code, dst, src, steps, imm);
}

static int refuse(struct translation *t, size_t i)
{
	snprintf(t->error, FILTER_ERROR_LEN,
		 "instruction %zu of the filter (code 0x%x) cannot be run in the kernel", i,
		 t->program->insns[i].code);
	return -EOPNOTSUPP;
}

static unsigned int load_len(uint16_t code)
{
	switch (BPF_SIZE(code)) {
	case BPF_W:
		return 4;
	case BPF_H:
		return 2;
	case BPF_B:
		return 1;
	}
	return 0;
}

static bool loads_packet(uint16_t code)
{
	return (BPF_CLASS(code) == BPF_LD &&
		(BPF_MODE(code) == BPF_ABS || BPF_MODE(code) == BPF_IND)) ||
	       (BPF_CLASS(code) == BPF_LDX && BPF_MODE(code) == BPF_MSH);
}

/* dst = len bytes of the frame at R3, or no match. */
static void put_call(struct translation *t, uint8_t dst, unsigned int len)
{
	put_move(t, R1, CONTEXT);
	put(t, BPF_LDX | BPF_MEM | BPF_DW, R2, FP, AT_FRAME, 0);
	put_set32(t, R4, len);
	put(t, BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, SPLICE_LOAD);
	put_move(t, R1, R0);
	put(t, BPF_ALU64 | BPF_RSH | BPF_K, R1, 0, 0, 32);
	put_skip(t, BPF_JMP | BPF_JEQ | BPF_K, R1, 0, 0, 2);
	put_return(t, 0);
	put_move32(t, dst, R0);
}

/* From where a register points to, in host order. */
static void put_read(struct translation *t, uint8_t dst, uint8_t from, uint32_t offset,
		     uint16_t code)
{
	put(t, (uint8_t)(BPF_LDX | BPF_MEM | BPF_SIZE(code)), dst, from, (int16_t)offset, 0);
	if (load_len(code) > 1)
		put(t, BPF_ALU | BPF_END | BPF_TO_BE, dst, 0, 0, (int32_t)(8 * load_len(code)));
}

static bool is_in_place(const struct translation *t, uint32_t offset, unsigned int len)
{
	return t->copies_in_place && offset <= IN_PLACE_MAX && offset + len <= t->in_place;
}

static void put_absolute(struct translation *t, uint8_t dst, const struct filter_insn *insn)
{
	unsigned int len = load_len(insn->code);

	if (is_in_place(t, insn->k, len)) {
		put_read(t, dst, DATA, insn->k, insn->code);
		return;
	}
	put_set32(t, R3, insn->k);
	put_call(t, dst, len);
}

/* A = what is at X + k. */
static void put_indirect(struct translation *t, const struct filter_insn *insn)
{
	unsigned int len = load_len(insn->code);
	size_t skip_index, skip_end, done;
	bool tries = t->copies_in_place && insn->k <= INDEX_MAX;

	if (tries) {
		put_move32(t, R1, X);
		skip_index = t->count;
		put_skip(t, BPF_JMP | BPF_JGT | BPF_K, R1, 0, INDEX_MAX, 0);
		put(t, BPF_ALU64 | BPF_ADD | BPF_X, R1, DATA, 0, 0);
		put_move(t, R2, R1);
		put(t, BPF_ALU64 | BPF_ADD | BPF_K, R2, 0, 0, (int32_t)(insn->k + len));
		put(t, BPF_LDX | BPF_MEM | BPF_DW, R3, FP, AT_DATA_END, 0);
		skip_end = t->count;
		put_skip(t, BPF_JMP | BPF_JGT | BPF_X, R2, R3, 0, 0);
		put_read(t, A, R1, insn->k, insn->code);
		done = t->count;
		put_skip(t, BPF_JMP | BPF_JA, 0, 0, 0, 0);
		t->out[skip_index].off = (int16_t)(t->count - skip_index - 1);
		t->out[skip_end].off = (int16_t)(t->count - skip_end - 1);
	}
	/* In 64 bits: X + k must not come round to the start. */
	put_move32(t, R3, X);
	put_set32(t, R1, insn->k);
	put(t, BPF_ALU64 | BPF_ADD | BPF_X, R3, R1, 0, 0);
	put_move(t, R1, R3);
	put(t, BPF_ALU64 | BPF_RSH | BPF_K, R1, 0, 0, 32);
	put_skip(t, BPF_JMP | BPF_JEQ | BPF_K, R1, 0, 0, 2);
	put_return(t, 0);
	put_call(t, A, len);
	if (tries)
		t->out[done].off = (int16_t)(t->count - done - 1);
}

static void put_frame_len(struct translation *t, uint8_t dst)
{
	put(t, BPF_LDX | BPF_MEM | BPF_DW, R1, FP, AT_FRAME, 0);
	put(t, BPF_LDX | BPF_MEM | BPF_W, dst, R1, offsetof(struct xcap_frame, len), 0);
}

static int put_load(struct translation *t, size_t i)
{
	const struct filter_insn *insn = &t->program->insns[i];
	bool is_x = BPF_CLASS(insn->code) == BPF_LDX;
	uint8_t dst = is_x ? X : A;

	if (loads_packet(insn->code) && !load_len(insn->code))
		return refuse(t, i);
	switch (BPF_MODE(insn->code)) {
	case BPF_IMM:
		put_set32(t, dst, insn->k);
		return 0;
	case BPF_LEN:
		put_frame_len(t, dst);
		return 0;
	case BPF_MEM:
		if (insn->k >= MEMORY_WORDS)
			return refuse(t, i);
		put(t, BPF_LDX | BPF_MEM | BPF_W, dst, FP, (int16_t)(AT_MEMORY + 4 * (int)insn->k),
		    0);
		return 0;
	case BPF_ABS:
		if (is_x)
			return refuse(t, i);
		put_absolute(t, A, insn);
		return 0;
	case BPF_IND:
		if (is_x)
			return refuse(t, i);
		put_indirect(t, insn);
		return 0;
	case BPF_MSH:
		if (!is_x || BPF_SIZE(insn->code) != BPF_B)
			return refuse(t, i);
		put_absolute(t, X, insn);
		put_alu32(t, BPF_AND, X, 0xf);
		put_alu32(t, BPF_LSH, X, 2);
		return 0;
	}
	return refuse(t, i);
}

/* Division by zero does not match; a shift of 32 bits or more leaves nothing. */
static int put_arithmetic(struct translation *t, size_t i)
{
	const struct filter_insn *insn = &t->program->insns[i];
	uint8_t op = BPF_OP(insn->code), from = BPF_SRC(insn->code);
	bool divides = op == BPF_DIV || op == BPF_MOD, shifts = op == BPF_LSH || op == BPF_RSH;

	if (op > BPF_XOR)
		return refuse(t, i);
	if (op == BPF_NEG) {
		put(t, BPF_ALU | BPF_NEG, A, 0, 0, 0);
	} else if (from == BPF_K) {
		if (divides && !insn->k)
			put_return(t, 0);
		else if (shifts && insn->k >= 32)
			put_set32(t, A, 0);
		else
			put_alu32(t, op, A, insn->k);
	} else {
		if (divides) {
			put_skip(t, BPF_JMP32 | BPF_JNE | BPF_K, X, 0, 0, 2);
			put_return(t, 0);
		}
		if (shifts) {
			put_skip(t, BPF_JMP32 | BPF_JLT | BPF_K, X, 0, 32, 2);
			put_set32(t, A, 0);
			put_skip(t, BPF_JMP | BPF_JA, 0, 0, 0, 1);
		}
		put(t, BPF_ALU | op | BPF_X, A, X, 0, 0);
	}
	return 0;
}

/* To the cBPF instruction `target`; its place is that of the round before, until all are stable. */
static void put_goto(struct translation *t, size_t i, size_t target)
{
	size_t next = i;
	ptrdiff_t distance = (ptrdiff_t)t->at[target] - (ptrdiff_t)t->count - 1;

	while (++next < target && !t->reached[next])
		;
	if (next == target)
		return;
	if (distance > NEAR && !t->is_far[i])
		t->is_far[i] = t->grew = true;
	if (t->is_far[i])
		put(t, BPF_JMP32 | BPF_JA, 0, 0, 0, (int32_t)distance);
	else
		put(t, BPF_JMP | BPF_JA, 0, 0, (int16_t)distance, 0);
}

static uint8_t inverse(uint8_t op)
{
	switch (op) {
	case BPF_JEQ:
		return BPF_JNE;
	case BPF_JGT:
		return BPF_JLE;
	case BPF_JGE:
		return BPF_JLT;
	}
	return 0;
}

static int put_branch(struct translation *t, size_t i)
{
	const struct filter_insn *insn = &t->program->insns[i];
	uint8_t op = BPF_OP(insn->code), from = BPF_SRC(insn->code), code;
	uint8_t other = from == BPF_X ? X : 0;
	int32_t value = from == BPF_X ? 0 : (int32_t)insn->k;
	size_t yes = i + 1 + insn->jt, no = i + 1 + insn->jf;
	ptrdiff_t distance;

	if (op == BPF_JA) {
		put_goto(t, i, i + 1 + insn->k);
		return 0;
	}
	if (op != BPF_JEQ && op != BPF_JGT && op != BPF_JGE && op != BPF_JSET)
		return refuse(t, i);
	if (yes == no) {
		put_goto(t, i, yes);
		return 0;
	}
	if (insn->jt == 0 && inverse(op)) {
		op = inverse(op);
		no = yes;
		yes = i + 1 + insn->jf;
	}
	code = BPF_JMP32 | op | from;
	distance = (ptrdiff_t)t->at[yes] - (ptrdiff_t)t->count - 1;
	if (distance > NEAR && !t->is_far[i])
		t->is_far[i] = t->grew = true;
	if (t->is_far[i]) {
		put_skip(t, code, A, other, value, 1);
		put_skip(t, BPF_JMP | BPF_JA, 0, 0, 0, 1);
		put(t, BPF_JMP32 | BPF_JA, 0, 0, 0,
		    (int32_t)((ptrdiff_t)t->at[yes] - (ptrdiff_t)t->count - 1));
	} else {
		put_skip(t, code, A, other, value, (int16_t)distance);
	}
	put_goto(t, i, no);
	return 0;
}

static int put_insn(struct translation *t, size_t i)
{
	const struct filter_insn *insn = &t->program->insns[i];

	switch (BPF_CLASS(insn->code)) {
	case BPF_LD:
	case BPF_LDX:
		return put_load(t, i);
	case BPF_ST:
	case BPF_STX:
		if (insn->k >= MEMORY_WORDS)
			return refuse(t, i);
		put(t, BPF_STX | BPF_MEM | BPF_W, FP, BPF_CLASS(insn->code) == BPF_ST ? A : X,
		    (int16_t)(AT_MEMORY + 4 * (int)insn->k), 0);
		return 0;
	case BPF_ALU:
		return put_arithmetic(t, i);
	case BPF_JMP:
		return put_branch(t, i);
	case BPF_RET:
		if ((insn->code & 0x18) == CBPF_RET_A)
			put_move32(t, R0, A);
		else
			put_set32(t, R0, insn->k);
		put(t, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
		return 0;
	case BPF_MISC:
		if ((insn->code & 0xf8) == CBPF_TAX)
			put_move32(t, X, A);
		else
			put_move32(t, A, X);
		return 0;
	}
	return refuse(t, i);
}

/* Once; t->at of the round before is good if nothing grew. */
static int put_copy(struct translation *t)
{
	for (size_t i = 0; i < t->program->count; i++) {
		int err;

		if (t->at[i] != t->count)
			t->grew = true;
		t->at[i] = t->count;
		err = t->reached[i] ? put_insn(t, i) : 0;
		if (err)
			return err;
	}
	return 0;
}

static int put_stable_copy(struct translation *t)
{
	size_t begin = t->count;
	int err = 0;

	memset(t->is_far, 0, t->program->count * sizeof(*t->is_far));
	memset(t->at, 0, t->program->count * sizeof(*t->at));
	do {
		t->count = begin;
		t->grew = false;
		err = put_copy(t);
	} while (!err && t->grew);
	return err;
}

/* Ends with a jump to the second copy, in its place from the start: the second last instruction. */
static size_t put_prologue(struct translation *t)
{
	static const struct {
		int16_t data, data_end;
	} contexts[] = {
		[FILTER_TCX] = { offsetof(struct __sk_buff, data),
				 offsetof(struct __sk_buff, data_end) },
		[FILTER_XDP] = { offsetof(struct xdp_md, data), offsetof(struct xdp_md, data_end) },
	};
	bool starts_later = t->program->link_type == LINKTYPE_RAW_IP;

	/* That is never so, but the verifier wants it asked; and it wants xcap_load() to be called.
	 */
	put_skip(t, BPF_JMP | BPF_JNE | BPF_K, R2, 0, 0, 5);
	put_set32(t, R3, 0);
	put_set32(t, R4, 0);
	put(t, BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, SPLICE_LOAD);
	put_return(t, 0);
	put_move(t, CONTEXT, R1);
	put(t, BPF_STX | BPF_MEM | BPF_DW, FP, R2, AT_FRAME, 0);
	put_set32(t, A, 0);
	put_set32(t, X, 0);
	for (uint32_t word = 0; word < MEMORY_WORDS; word++)
		if (t->memory_used & 1u << word)
			put(t, BPF_ST | BPF_MEM | BPF_W, FP, 0,
			    (int16_t)(AT_MEMORY + 4 * (int)word), 0);
	put(t, BPF_LDX | BPF_MEM | BPF_W, DATA, CONTEXT, contexts[t->hook].data, 0);
	put(t, BPF_LDX | BPF_MEM | BPF_W, R3, CONTEXT, contexts[t->hook].data_end, 0);
	put(t, BPF_STX | BPF_MEM | BPF_DW, FP, R3, AT_DATA_END, 0);
	put(t, BPF_LDX | BPF_MEM | BPF_W, R1, R2, offsetof(struct xcap_frame, has_tag), 0);
	put_skip(t, BPF_JMP | BPF_JNE | BPF_K, R1, 0, 0, starts_later ? 6 : 3);
	if (starts_later) {
		put(t, BPF_LDX | BPF_MEM | BPF_W, R1, R2, offsetof(struct xcap_frame, start), 0);
		put_skip(t, BPF_JMP | BPF_JGT | BPF_K, R1, 0, START_MAX, 4);
		put(t, BPF_ALU64 | BPF_ADD | BPF_X, DATA, R1, 0, 0);
	}
	put_move(t, R1, DATA);
	put(t, BPF_ALU64 | BPF_ADD | BPF_K, R1, 0, 0, (int32_t)t->in_place);
	put_skip(t, BPF_JMP | BPF_JLE | BPF_X, R1, R3, 0, 1);
	put(t, BPF_JMP32 | BPF_JA, 0, 0, 0, 0);
	return t->count - 1;
}

/* In the copy that has more of them. */
static unsigned int branches_of(const struct filter_insn *insn)
{
	uint8_t op = BPF_OP(insn->code);

	if (loads_packet(insn->code))
		return BPF_MODE(insn->code) == BPF_IND ? 4 : 2;
	if (BPF_CLASS(insn->code) == BPF_JMP)
		return op != BPF_JA;
	return BPF_CLASS(insn->code) == BPF_ALU &&
	       (op == BPF_AND || op == BPF_OR || BPF_SRC(insn->code) == BPF_X);
}

/* Everything that can be run, and what it needs. A jump leads on, and not beyond the end. */
static int look_over(struct translation *t)
{
	const struct filter_program *program = t->program;
	size_t last = program->count - 1;

	t->reached[0] = true;
	for (size_t i = 0; i < program->count; i++) {
		const struct filter_insn *insn = &program->insns[i];
		uint64_t yes, no;

		if (!t->reached[i])
			continue;
		yes = no = i + 1;
		t->branches += branches_of(insn);
		if (loads_packet(insn->code) && BPF_MODE(insn->code) != BPF_IND &&
		    insn->k <= IN_PLACE_MAX && insn->k + load_len(insn->code) <= IN_PLACE_MAX)
			t->in_place = MAX(t->in_place, insn->k + load_len(insn->code));
		if (BPF_CLASS(insn->code) == BPF_LD || BPF_CLASS(insn->code) == BPF_LDX)
			t->memory_used |= BPF_MODE(insn->code) == BPF_MEM && insn->k < MEMORY_WORDS
						  ? 1u << insn->k
						  : 0;
		if (BPF_CLASS(insn->code) == BPF_RET)
			continue;
		/* Nothing follows what always divides by zero. */
		if (BPF_CLASS(insn->code) == BPF_ALU && BPF_SRC(insn->code) == BPF_K && !insn->k &&
		    (BPF_OP(insn->code) == BPF_DIV || BPF_OP(insn->code) == BPF_MOD))
			continue;
		if (BPF_CLASS(insn->code) == BPF_JMP) {
			yes += BPF_OP(insn->code) == BPF_JA ? insn->k : insn->jt;
			no += BPF_OP(insn->code) == BPF_JA ? insn->k : insn->jf;
		}
		if (yes > last || no > last) {
			snprintf(t->error, FILTER_ERROR_LEN,
				 "instruction %zu of the filter jumps back, or beyond its end%s", i,
				 yes > UINT32_MAX - last ? " (ip6 protochain cannot be run in "
							   "the kernel)"
							 : "");
			return -EOPNOTSUPP;
		}
		t->reached[yes] = t->reached[no] = true;
	}
	if (t->branches <= BRANCHES_MAX)
		return 0;
	snprintf(t->error, FILTER_ERROR_LEN,
		 "the filter is too long for the kernel: %zu branches, %d are allowed (networks "
		 "instead of hosts make it shorter)",
		 t->branches, BRANCHES_MAX);
	return -E2BIG;
}

static int translate(struct translation *t)
{
	size_t to_second;
	int err;

	err = look_over(t);
	if (err)
		return err;
	to_second = put_prologue(t);
	t->copies_in_place = true;
	err = put_stable_copy(t);
	if (err)
		return err;
	t->out[to_second].imm = (int32_t)(t->count - to_second - 1);
	t->copies_in_place = false;
	return put_stable_copy(t);
}

int filter_translate(const struct filter_program *program, enum filter_hook hook,
		     struct filter_code *ret, char error[FILTER_ERROR_LEN])
{
	size_t count = program->count;
	struct translation t = {
		.program = program,
		.hook = hook,
		.reached = calloc(count + 1, sizeof(*t.reached)),
		.is_far = calloc(count + 1, sizeof(*t.is_far)),
		.at = calloc(count + 1, sizeof(*t.at)),
		.out = calloc(PROLOGUE_MAX + 2 * STEPS_MAX * count, sizeof(*t.out)),
		.error = error,
	};
	int err = -ENOMEM;

	if (!count) {
		snprintf(error, FILTER_ERROR_LEN, "an empty program");
		err = -EINVAL;
	} else if (t.reached && t.is_far && t.at && t.out) {
		err = translate(&t);
	} else {
		snprintf(error, FILTER_ERROR_LEN, "out of memory");
	}
	if (err)
		free(t.out);
	else
		*ret = (struct filter_code){ .insns = t.out, .count = t.count };
	free(t.reached);
	free(t.is_far);
	free(t.at);
	return err;
}

void filter_code_release(struct filter_code *code)
{
	free(code->insns);
	*code = (struct filter_code){};
}
