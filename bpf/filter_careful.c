/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loads of the careful copy, see filter_translate.c: of whatever packet, a tag beside it or not. */
#include <linux/filter.h>

#include "bpf/filter_translation.h"

/*
 * A load that fails does not end the careful copy: without branches there is less for the verifier
 * to follow. What is computed from then on does not count, for every return asks. reg: not 0 if it
 * has failed.
 */
static void note_failure(struct translation *t, uint8_t reg, uint8_t spare)
{
	emit(&t->out, EMIT_LOAD(BPF_DW, spare, FP, FAILED));
	emit(&t->out, EMIT_OP(BPF_OR, spare, reg));
	emit(&t->out, EMIT_STORE(BPF_DW, FP, FAILED, spare));
}

/* reg < 0 */
static void note_negative(struct translation *t, uint8_t reg, uint8_t spare)
{
	emit(&t->out, EMIT_OPK(BPF_RSH, reg, 63));
	note_failure(t, reg, spare);
}

/* size bytes at the context's offset R2, to the stack; R0 is not 0 if the packet ends before. */
static void call_helper(struct translation *t, int to, unsigned int size)
{
	emit(&t->out, EMIT_LOAD(BPF_DW, R1, FP, CONTEXT));
	emit(&t->out, EMIT_MOV(R3, FP));
	emit(&t->out, EMIT_OPK(BPF_ADD, R3, to));
	emit(&t->out, EMIT_SET(R4, (int32_t)size));
	emit(&t->out, EMIT_CALL(t->is_xdp ? BPF_FUNC_xdp_load_bytes : BPF_FUNC_skb_load_bytes));
}

/* The load at R2; X and, if it does not go there, A are kept. */
static void careful_read(struct translation *t, uint8_t to, unsigned int size)
{
	if (to != A)
		emit(&t->out, EMIT_STORE(BPF_DW, FP, SAVED, A));
	call_helper(t, LOADED, size);
	note_failure(t, A, R1);
	emit(&t->out, EMIT_LOAD(width(size), to, FP, LOADED));
	swap_bytes(t, to, size);
	if (to != A)
		emit(&t->out, EMIT_LOAD(BPF_DW, A, FP, SAVED));
}

/* Byte by byte, the first at from + off: words on the stack must be aligned. */
static void read_window(struct translation *t, uint8_t to, uint8_t from, int off, unsigned int size)
{
	emit(&t->out, EMIT_LOAD(BPF_B, R1, from, off));
	for (unsigned int i = 1; i < size; i++) {
		emit(&t->out, EMIT_OPK32(BPF_LSH, R1, 8));
		emit(&t->out, EMIT_LOAD(BPF_B, R2, from, off + (int)i));
		emit(&t->out, EMIT_OP32(BPF_OR, R1, R2));
	}
	emit(&t->out, EMIT_MOV32(to, R1));
}

void careful_absolute(struct translation *t, uint32_t at, uint8_t to, unsigned int size)
{
	const struct filter_op *op = &t->ops[at];
	uint32_t end = op->k + size;
	bool straddles = op->k < TAG_END && end > TAG_AT;

	if (op->k > OFFSET_MAX) {
		emit_jump(&t->out, EMIT_GOTO, part_fails(t, at));
		return;
	}
	if (straddles) {
		emit(&t->out, EMIT_LOAD(BPF_DW, R2, FP, TAG_LEN));
		emit_jump(&t->out, EMIT_IFK(BPF_JEQ, R2, 0), label(PLAIN, at));
		emit(&t->out, EMIT_LOAD(BPF_DW, R2, FP, FRAME_END));
		emit(&t->out, EMIT_OPK(BPF_SUB, R2, (int32_t)end));
		note_negative(t, R2, R1);
		read_window(t, to, FP, WINDOW + (int)op->k - WINDOW_AT, size);
		emit_jump(&t->out, EMIT_GOTO, label(DONE, at));
		emit_label(&t->out, label(PLAIN, at));
	}
	if (op->k < TAG_END)
		emit(&t->out, EMIT_LOAD(BPF_W, R2, FRAME, offsetof(struct xcap_frame, start)));
	else
		emit(&t->out, EMIT_LOAD(BPF_DW, R2, FP, SHIFTED));
	if (op->k)
		emit(&t->out, EMIT_OPK(BPF_ADD, R2, (int32_t)op->k));
	careful_read(t, to, size);
	emit_label(&t->out, label(DONE, at));
}

/* R2 is an offset in the frame, which may be anywhere in front of, in and behind the tag. */
static void around_the_tag(struct translation *t, uint32_t at, unsigned int size)
{
	int first = TAG_AT - (int)size + 1; /* that touches it */

	emit(&t->out, EMIT_LOAD(BPF_DW, R1, FP, NO_TAG));
	emit(&t->out, EMIT_OP(BPF_ADD, R1, R2));
	emit(&t->out, EMIT_OPK(BPF_SUB, R1, first));
	emit_jump(&t->out, EMIT_IFK(BPF_JGT, R1, TAG_END - 1 - first), label(PLAIN, at));
	emit(&t->out, EMIT_MOV(R2, R1));
	emit(&t->out, EMIT_OPK(BPF_ADD, R2, first + (int)size));
	emit(&t->out, EMIT_LOAD(BPF_DW, R3, FP, FRAME_END));
	emit(&t->out, EMIT_OP(BPF_SUB, R3, R2));
	note_negative(t, R3, R2);
	emit(&t->out, EMIT_MOV(R3, FP));
	emit(&t->out, EMIT_OP(BPF_ADD, R3, R1));
	read_window(t, A, R3, WINDOW + first - WINDOW_AT, size);
	emit_jump(&t->out, EMIT_GOTO, label(DONE, at));
	emit_label(&t->out, label(PLAIN, at));
	/* SHIFTED takes the tag off again: not in front of it. R1 = R2 < TAG_END ? TAG_LEN : 0 */
	emit(&t->out, EMIT_MOV(R1, R2));
	emit(&t->out, EMIT_OPK(BPF_SUB, R1, TAG_END));
	emit(&t->out, EMIT_OPK(BPF_RSH, R1, 63));
	emit(&t->out, EMIT_LOAD(BPF_DW, R3, FP, TAG_LEN));
	emit(&t->out, EMIT_OP(BPF_MUL, R1, R3));
	emit(&t->out, EMIT_OP(BPF_ADD, R2, R1));
}

void careful_indirect(struct translation *t, uint32_t at, unsigned int size)
{
	const struct filter_op *op = &t->ops[at];

	if (op->k > OFFSET_MAX) {
		emit_jump(&t->out, EMIT_GOTO, part_fails(t, at));
		return;
	}
	emit(&t->out, EMIT_MOV32(R2, X));
	if (op->k)
		emit(&t->out, EMIT_OPK(BPF_ADD, R2, (int32_t)op->k));
	/* The helper takes 32 bits. */
	emit(&t->out, EMIT_SET(R1, OFFSET_MAX));
	emit(&t->out, EMIT_OP(BPF_SUB, R1, R2));
	note_negative(t, R1, R3);
	if (op->k < TAG_END)
		around_the_tag(t, at, size);
	emit(&t->out, EMIT_LOAD(BPF_DW, R3, FP, SHIFTED));
	emit(&t->out, EMIT_OP(BPF_ADD, R2, R3));
	careful_read(t, A, size);
	emit_label(&t->out, label(DONE, at));
}

/* The length that the packet's bytes and the tag make. */
static void find_frame_end(struct translation *t)
{
	if (t->is_xdp) {
		emit(&t->out, EMIT_LOAD(BPF_DW, R1, FP, CONTEXT));
		emit(&t->out, EMIT_CALL(BPF_FUNC_xdp_get_buff_len));
	} else {
		emit(&t->out, EMIT_LOAD(BPF_DW, R1, FP, CONTEXT));
		emit(&t->out, EMIT_LOAD(BPF_W, A, R1, offsetof(struct __sk_buff, len)));
	}
	emit(&t->out, EMIT_LOAD(BPF_DW, R3, FP, SHIFTED));
	emit(&t->out, EMIT_OP(BPF_SUB, A, R3));
	emit(&t->out, EMIT_STORE(BPF_DW, FP, FRAME_END, A));
}

/* The window: four bytes in front of the tag, the tag, and four behind it. */
void careful_fill_window(struct translation *t)
{
	find_frame_end(t);
	emit(&t->out, EMIT_LOAD(BPF_W, R1, FRAME, offsetof(struct xcap_frame, tag)));
	emit(&t->out, EMIT_STORE(BPF_W, FP, WINDOW + TAG_AT - WINDOW_AT, R1));
	emit(&t->out, EMIT_MOV(R2, BASE));
	emit(&t->out, EMIT_OPK(BPF_ADD, R2, TAG_AT + LOAD_MAX));
	emit_jump(&t->out, EMIT_IF(BPF_JGT, R2, END), tag_slowly(t));
	emit(&t->out, EMIT_LOAD(BPF_W, R1, BASE, WINDOW_AT));
	emit(&t->out, EMIT_STORE(BPF_W, FP, WINDOW, R1));
	emit(&t->out, EMIT_LOAD(BPF_W, R1, BASE, TAG_AT));
	emit(&t->out, EMIT_STORE(BPF_W, FP, WINDOW + TAG_END - WINDOW_AT, R1));
}

/* The same of a packet that is short, or not linear. */
void careful_fill_window_slowly(struct translation *t)
{
	emit_label(&t->out, tag_slowly(t));
	emit(&t->out, EMIT_LOAD(BPF_W, R2, FRAME, offsetof(struct xcap_frame, start)));
	emit(&t->out, EMIT_OPK(BPF_ADD, R2, WINDOW_AT));
	call_helper(t, WINDOW, TAG_AT - WINDOW_AT);
	emit_jump(&t->out, EMIT_IFK(BPF_JNE, A, 0), no_match(t));
	for (unsigned int size = LOAD_MAX; size; size--) {
		emit(&t->out, EMIT_LOAD(BPF_W, R2, FRAME, offsetof(struct xcap_frame, start)));
		emit(&t->out, EMIT_OPK(BPF_ADD, R2, TAG_AT));
		call_helper(t, WINDOW + TAG_END - WINDOW_AT, size);
		emit_jump(&t->out, EMIT_IFK(BPF_JEQ, A, 0), tag_ready(t));
	}
	emit_jump(&t->out, EMIT_GOTO, tag_ready(t));
}
