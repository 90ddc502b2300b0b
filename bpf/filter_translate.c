/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Classic BPF to eBPF, in two copies of the same filter. The direct one reads the linear part of a
 * packet without a tag beside it; a load beyond what was found to be there goes on, at the same
 * place, in the careful one, which reads by the kernel's helper and puts the tag into its place.
 * There is no way back, so that whatever is checked once on a way of the direct copy stays checked,
 * and the verifier does not have to look at each load in two states.
 */
#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>

#include "bpf/filter_translation.h"

/*
 * Go on in the careful copy if `if R2 > END`. Which of both ways the verifier follows first
 * matters, see PENDING_MAX.
 */
static void unless_there(struct translation *t, uint32_t at)
{
	if (!is_deep(t, at)) {
		emit_jump(&t->out, EMIT_IF(BPF_JGT, R2, END), label(CAREFUL, at));
		return;
	}
	emit_jump(&t->out, EMIT_IF(BPF_JLE, R2, END), label(THERE, at));
	emit_jump(&t->out, EMIT_GOTO, label(CAREFUL, at));
	emit_label(&t->out, label(THERE, at));
}

static void direct_absolute(struct translation *t, uint32_t at, uint8_t to, unsigned int size)
{
	const struct filter_op *op = &t->ops[at];
	uint32_t end = op->k + size;

	if (op->k > DIRECT_MAX) {
		emit_jump(&t->out, EMIT_GOTO, label(CAREFUL, at));
		return;
	}
	if (t->checked[at] < end) {
		if (t->checked[at])
			end = MAX(end, t->reach[at]);
		emit(&t->out, EMIT_MOV(R2, BASE));
		emit(&t->out, EMIT_OPK(BPF_ADD, R2, (int32_t)end));
		unless_there(t, at);
	}
	emit(&t->out, EMIT_LOAD(width(size), to, BASE, op->k));
	swap_bytes(t, to, size);
}

/* Behind a header: the common case of a port. */
static void direct_at_x(struct translation *t, uint32_t at, unsigned int size)
{
	uint32_t k = t->ops[at].k;

	if (t->checked_at_x[at] < k + size) {
		emit(&t->out, EMIT_MOV(R2, AT_X));
		emit(&t->out, EMIT_OPK(BPF_ADD, R2, (int32_t)(k + size)));
		unless_there(t, at);
	}
	emit(&t->out, EMIT_LOAD(width(size), A, AT_X, k));
	swap_bytes(t, A, size);
}

static void direct_indirect(struct translation *t, uint32_t at, unsigned int size)
{
	const struct filter_op *op = &t->ops[at];

	if (op->k > OFFSET_MAX) {
		emit_jump(&t->out, EMIT_GOTO, part_fails(t, at));
		return;
	}
	if (is_at_x(op)) {
		direct_at_x(t, at, size);
		return;
	}
	emit(&t->out, EMIT_MOV32(R1, X));
	if (op->k)
		emit(&t->out, EMIT_OPK(BPF_ADD, R1, (int32_t)op->k));
	if (is_deep(t, at)) {
		emit_jump(&t->out, EMIT_IFK(BPF_JLE, R1, DIRECT_MAX), label(NEAR, at));
		emit_jump(&t->out, EMIT_GOTO, label(CAREFUL, at));
		emit_label(&t->out, label(NEAR, at));
	} else {
		emit_jump(&t->out, EMIT_IFK(BPF_JGT, R1, DIRECT_MAX), label(CAREFUL, at));
	}
	emit(&t->out, EMIT_OP(BPF_ADD, R1, BASE));
	emit(&t->out, EMIT_MOV(R2, R1));
	emit(&t->out, EMIT_OPK(BPF_ADD, R2, (int32_t)size));
	unless_there(t, at);
	emit(&t->out, EMIT_LOAD(width(size), A, R1, 0));
	swap_bytes(t, A, size);
}

static void load_absolute(struct translation *t, uint32_t at, uint8_t to, unsigned int size)
{
	if (t->careful)
		careful_absolute(t, at, to, size);
	else
		direct_absolute(t, at, to, size);
}

static int scratch(uint32_t word)
{
	return SCRATCH + 4 * (int)word;
}

/* BPF_LD and BPF_LDX but what reads the frame. */
static void load_value(struct translation *t, const struct filter_op *op)
{
	uint8_t to = BPF_CLASS(op->code) == BPF_LD ? A : X;

	switch (BPF_MODE(op->code)) {
	case BPF_IMM:
		emit(&t->out, EMIT_SET32(to, (int32_t)op->k));
		break;
	case BPF_MEM:
		emit(&t->out, EMIT_LOAD(BPF_W, to, FP, scratch(op->k)));
		break;
	case BPF_LEN:
		emit(&t->out, EMIT_LOAD(BPF_W, to, FRAME, offsetof(struct xcap_frame, len)));
		break;
	}
}

static void load(struct translation *t, uint32_t at)
{
	const struct filter_op *op = &t->ops[at];
	unsigned int size = filter_load_size(op->code);

	if (filter_is_absolute(op->code)) {
		load_absolute(t, at, A, size);
	} else if (filter_is_indirect(op->code)) {
		if (t->careful)
			careful_indirect(t, at, size);
		else
			direct_indirect(t, at, size);
	} else if (filter_is_header_length(op->code)) {
		load_absolute(t, at, X, 1);
		emit(&t->out, EMIT_OPK32(BPF_AND, X, 0xf));
		emit(&t->out, EMIT_OPK32(BPF_LSH, X, 2));
		if (!t->careful && t->loads_at_x) {
			emit(&t->out, EMIT_MOV32(AT_X, X));
			emit(&t->out, EMIT_OP(BPF_ADD, AT_X, BASE));
		}
	} else {
		load_value(t, op);
	}
}

/*
 * Nothing is left of A after a shift by X >= 32, but bpf_filter() leaves one by a constant to the
 * processor, which takes it modulo 32 (x86-64, arm64).
 */
static void shift(struct translation *t, const struct filter_op *op)
{
	if (BPF_SRC(op->code) == BPF_K) {
		emit(&t->out, EMIT_OPK32(BPF_OP(op->code), A, (int32_t)(op->k & 31)));
		return;
	}
	/* Without a branch: times (X < 32). */
	emit(&t->out, EMIT_MOV32(R1, X));
	emit(&t->out, EMIT_OPK(BPF_SUB, R1, 32));
	emit(&t->out, EMIT_OPK(BPF_RSH, R1, 63));
	emit(&t->out, EMIT_OP32(BPF_OP(op->code), A, X));
	emit(&t->out, EMIT_OP32(BPF_MUL, A, R1));
}

static void compute(struct translation *t, uint32_t at)
{
	const struct filter_op *op = &t->ops[at];

	switch (BPF_OP(op->code)) {
	case BPF_LSH:
	case BPF_RSH:
		shift(t, op);
		return;
	case BPF_NEG:
		emit(&t->out, EMIT(BPF_ALU | BPF_NEG, A, 0, 0, 0));
		return;
	case BPF_DIV:
	case BPF_MOD:
		if (BPF_SRC(op->code) == BPF_X)
			emit_jump(&t->out, EMIT(BPF_JMP32 | BPF_JEQ | BPF_K, X, 0, 0, 0),
				  part_fails(t, at));
		break;
	}
	if (BPF_SRC(op->code) == BPF_X)
		emit(&t->out, EMIT_OP32(BPF_OP(op->code), A, X));
	else
		emit(&t->out, EMIT_OPK32(BPF_OP(op->code), A, (int32_t)op->k));
}

static uint32_t next_reachable(const struct translation *t, uint32_t at)
{
	do {
		at++;
	} while (at < t->count && !t->ops[at].reachable);
	return at;
}

static void go_on(struct translation *t, uint32_t at)
{
	if (t->ops[at].next != next_reachable(t, at))
		emit_jump(&t->out, EMIT_GOTO, label_of(t, t->ops[at].next));
}

static void branch(struct translation *t, uint32_t at)
{
	const struct filter_op *op = &t->ops[at];
	uint32_t taken = op->next, not_taken = op->other, next = next_reachable(t, at);
	struct bpf_insn insn = EMIT(BPF_JMP32 | BPF_OP(op->code) | BPF_SRC(op->code), A,
				    BPF_SRC(op->code) == BPF_X ? R1 : 0, 0, (int32_t)op->k);
	uint8_t inverse = emit_inverse(insn.code);
	bool turn = is_deep(t, at) ? taken > not_taken : taken == next;

	/*
	 * A copy: before Linux 6.8 the verifier follows ways that a constant A never goes, and has
	 * an X there whose least is above its most, which is then good for nothing.
	 */
	if (BPF_SRC(op->code) == BPF_X) {
		emit(&t->out, EMIT_MOV32(R1, X));
		insn.imm = 0;
	}
	if (turn && inverse) {
		insn.code = inverse;
		taken = op->other;
		not_taken = op->next;
	}
	emit_jump(&t->out, insn, label_of(t, taken));
	if (not_taken != next)
		emit_jump(&t->out, EMIT_GOTO, label_of(t, not_taken));
}

static void give_back(struct translation *t, uint32_t at)
{
	const struct filter_op *op = &t->ops[at];

	if (t->careful && (op->code == (BPF_RET | BPF_A) || op->k)) {
		emit(&t->out, EMIT_LOAD(BPF_DW, R1, FP, FAILED));
		emit_jump(&t->out, EMIT_IFK(BPF_JNE, R1, 0), part_fails(t, at));
	}
	if (op->code == (BPF_RET | BPF_K))
		emit(&t->out, EMIT_SET32(A, (int32_t)op->k));
	emit(&t->out, EMIT_EXIT);
}

static void clear_registers(struct translation *t)
{
	emit(&t->out, EMIT_SET32(A, 0));
	emit(&t->out, EMIT_SET32(X, 0));
}

static void clear_scratch(struct translation *t)
{
	for (uint32_t word = 0; word < FILTER_SCRATCH; word++) {
		if (t->uninitialised & 1u << word)
			emit(&t->out, EMIT_STOREK(BPF_W, FP, scratch(word), 0));
	}
}

static void begin_part(struct translation *t)
{
	clear_scratch(t);
	if (t->careful)
		emit(&t->out, EMIT_STOREK(BPF_DW, FP, FAILED, 0));
	clear_registers(t);
}

static void translate_op(struct translation *t, uint32_t at)
{
	const struct filter_op *op = &t->ops[at];

	emit_label(&t->out, label_of(t, at));
	switch (BPF_CLASS(op->code)) {
	case BPF_LD:
	case BPF_LDX:
		load(t, at);
		break;
	case BPF_ST:
	case BPF_STX:
		emit(&t->out,
		     EMIT_STORE(BPF_W, FP, scratch(op->k), BPF_CLASS(op->code) == BPF_ST ? A : X));
		break;
	case BPF_ALU:
		compute(t, at);
		break;
	case BPF_MISC:
		if (op->code == FILTER_NEXT)
			begin_part(t);
		else if (op->code == (BPF_MISC | BPF_TAX))
			emit(&t->out, EMIT_MOV32(X, A));
		else
			emit(&t->out, EMIT_MOV32(A, X));
		break;
	case BPF_RET:
		give_back(t, at);
		return;
	case BPF_JMP:
		if (filter_is_branch(op->code)) {
			branch(t, at);
			return;
		}
		break;
	}
	go_on(t, at);
}

static void begin(struct translation *t)
{
	size_t data = t->is_xdp ? offsetof(struct xdp_md, data) : offsetof(struct __sk_buff, data);
	size_t end = t->is_xdp ? offsetof(struct xdp_md, data_end)
			       : offsetof(struct __sk_buff, data_end);

	emit(&t->out, EMIT_MOV(FRAME, R2));
	emit(&t->out, EMIT_STORE(BPF_DW, FP, CONTEXT, R1));
	emit(&t->out, EMIT_LOAD(BPF_W, BASE, R1, data));
	emit(&t->out, EMIT_LOAD(BPF_W, END, R1, end));
	emit(&t->out, EMIT_LOAD(BPF_W, R3, FRAME, offsetof(struct xcap_frame, start)));
	emit_jump(&t->out, EMIT_IFK(BPF_JGT, R3, XCAP_FRAME_START_MAX), no_match(t));
	emit(&t->out, EMIT_OP(BPF_ADD, BASE, R3));
	clear_scratch(t);
	emit(&t->out, EMIT_STOREK(BPF_DW, FP, FAILED, 0));
	if (t->straddles) {
		emit(&t->out, EMIT_STOREK(BPF_DW, FP, WINDOW, 0));
		emit(&t->out, EMIT_STOREK(BPF_DW, FP, WINDOW + 8, 0));
		emit(&t->out, EMIT_STOREK(BPF_DW, FP, FRAME_END, 0));
	}
	emit(&t->out, EMIT_LOAD(BPF_W, R1, FRAME, offsetof(struct xcap_frame, has_tag)));
	emit_jump(&t->out, EMIT_IFK(BPF_JNE, R1, 0), label(CAREFUL, t->count));
	emit(&t->out, EMIT_STORE(BPF_DW, FP, SHIFTED, R3));
	emit(&t->out, EMIT_STOREK(BPF_DW, FP, TAG_LEN, 0));
	emit(&t->out, EMIT_STOREK(BPF_DW, FP, NO_TAG, OFF_PLACE));
	clear_registers(t);
}

/* What has a tag beside it is filtered by the careful copy from the start. */
static void begin_tagged(struct translation *t)
{
	emit_label(&t->out, label(CAREFUL, t->count));
	emit(&t->out, EMIT_OPK(BPF_SUB, R3, TAG_LEN_BYTES));
	emit(&t->out, EMIT_STORE(BPF_DW, FP, SHIFTED, R3));
	emit(&t->out, EMIT_STOREK(BPF_DW, FP, TAG_LEN, TAG_LEN_BYTES));
	emit(&t->out, EMIT_STOREK(BPF_DW, FP, NO_TAG, 0));
	if (t->straddles)
		careful_fill_window(t);
	emit_label(&t->out, tag_ready(t));
	clear_registers(t);
}

static void translate_all(struct translation *t)
{
	begin(t);
	for (uint32_t at = 0; at < t->count; at++) {
		if (t->ops[at].reachable)
			translate_op(t, at);
	}
	emit_label(&t->out, no_match(t));
	emit(&t->out, EMIT_SET32(A, 0));
	emit(&t->out, EMIT_EXIT);
	t->careful = true;
	begin_tagged(t);
	for (uint32_t at = 0; at < t->count; at++) {
		if (t->ops[at].reachable)
			translate_op(t, at);
	}
	if (t->straddles)
		careful_fill_window_slowly(t);
}

/* What is no match in the last part leads on in the others. */
static void read_return(struct filter_op *op, const struct filter_part *part, bool is_last)
{
	if (!part->verdict)
		return;
	if (op->k) {
		op->k = part->verdict;
	} else if (!is_last) {
		op->code = FILTER_NOP;
		op->next = op->fail;
	}
}

static void read_part(struct filter_op *ops, uint32_t first, const struct filter_insn *insns,
		      const struct filter_part *part, bool is_last)
{
	uint32_t fail = first + part->count;

	for (uint32_t i = 0; i < part->count; i++) {
		const struct filter_insn *insn = &insns[i];
		struct filter_op *op = &ops[first + i];

		*op = (struct filter_op){ .code = insn->code,
					  .k = insn->k,
					  .next = first + MIN(i + 1, part->count - 1),
					  .fail = fail };
		if (insn->code == FILTER_NOP) {
			op->next = first + i + 1 + insn->k;
		} else if (filter_is_branch(insn->code)) {
			op->next = first + i + 1 + insn->jt;
			op->other = first + i + 1 + insn->jf;
			if (insn->jt == insn->jf)
				op->code = FILTER_NOP;
		} else if (filter_is_return(insn->code)) {
			read_return(op, part, is_last);
		}
	}
}

/* Between two parts stands a FILTER_NEXT. */
static void read_ops(const struct filter_program *program, struct filter_op *ops, uint32_t count)
{
	const struct filter_insn *insns = program->insns;
	uint32_t first = 0, next;

	for (unsigned int i = 0; i < program->part_count; i++) {
		const struct filter_part *part = &program->parts[i];

		next = first + part->count;
		read_part(ops, first, insns, part, next == count);
		if (next < count)
			ops[next] = (struct filter_op){ .code = FILTER_NEXT,
							.next = next + 1,
							.fail = count };
		first = next + 1;
		insns += part->count;
	}
}

int filter_check_program(const struct filter_program *program, char error[FILTER_ERROR_LEN])
{
	const struct filter_insn *insns = program->insns;
	int err = 0;

	for (unsigned int i = 0; i < program->part_count && !err; i++) {
		err = filter_check(insns, program->parts[i].count, error);
		insns += program->parts[i].count;
	}
	return err;
}

int filter_translate(struct filter_code *ret, const struct filter_program *program,
		     enum filter_hook hook, char error[FILTER_ERROR_LEN])
{
	struct translation t = { .count = (uint32_t)program->count + program->part_count - 1,
				 .is_xdp = hook == FILTER_XDP };
	struct filter_code code = {};
	struct filter_op *ops;
	int err;

	err = filter_check_program(program, error);
	if (err)
		return err;
	ops = calloc(t.count, sizeof(*ops));
	if (!ops)
		return explain(error, -ENOMEM, "cannot translate the filter");
	read_ops(program, ops, t.count);
	t.ops = ops;
	err = filter_optimize(ops, t.count) ?:
	      filter_analyze(&t) ?: emit_begin(&t.out, (t.count + 1) * LABELS);
	if (!err) {
		translate_all(&t);
		err = emit_end(&t.out, &code.insns, &code.count);
	}
	if (err == -E2BIG)
		(void)explain_only(error, err,
				   "the filter is too long for the kernel: more than %d branches, "
				   "one behind the other (use net instead of many host)",
				   PENDING_LIMIT);
	else if (err)
		(void)explain(error, err, "cannot translate the filter");
	else if (code.count > FILTER_CODE_MAX)
		err = explain_only(error, -E2BIG,
				   "the filter is too long for the kernel: %zu instructions, at "
				   "most %d (use net instead of many host)",
				   code.count, FILTER_CODE_MAX);
	if (err)
		free(code.insns);
	else
		*ret = code;
	emit_release(&t.out);
	filter_analysis_release(&t);
	free(ops);
	return err;
}

void filter_code_release(struct filter_code *code)
{
	free(code->insns);
	*code = (struct filter_code){};
}
