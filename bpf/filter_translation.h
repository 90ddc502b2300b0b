/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the translation share: filter_translate.c, _analyze.c and _careful.c. */
#pragma once

#include <linux/bpf.h>

#include "bpf/filter_emit.h"
#include "bpf/filter_internal.h"
#include "bpf/xcap_abi.h"

/* A result is in R0 anyway; the others are left alone by a call. */
enum {
	A = BPF_REG_0,
	AT_X = BPF_REG_5,  /* direct: BASE + X, if X comes from LDX MSH */
	FRAME = BPF_REG_6, /* struct xcap_frame */
	X = BPF_REG_7,
	BASE = BPF_REG_8, /* the frame's first byte */
	END = BPF_REG_9,  /* of the linear part */
	FP = BPF_REG_10,
	R1 = BPF_REG_1,
	R2 = BPF_REG_2,
	R3 = BPF_REG_3,
	R4 = BPF_REG_4,
};

/* On the stack: what the careful copy needs. */
enum {
	LOADED = -8, /* what the helper read */
	SAVED = -16, /* A */
	CONTEXT = -24,
	SHIFTED = -32,	 /* what is to be added to an offset behind the tag's place */
	TAG_LEN = -40,	 /* 4 or 0 */
	NO_TAG = -48,	 /* OFF_PLACE if there is none, else 0 */
	WINDOW = -64,	 /* bytes WINDOW_AT .. of the frame with its tag */
	FRAME_END = -72, /* length of the frame with its tag, as far as the packet has it */
	FAILED = -80,	 /* not 0: a load was out of the frame */
	SCRATCH = FAILED - 4 * FILTER_SCRATCH, /* M[] */
};

#define OFF_PLACE 0x7fff0000 /* more than any place */

#define TAG_AT 12
#define TAG_LEN_BYTES 4
#define TAG_END (TAG_AT + TAG_LEN_BYTES)
#define WINDOW_AT 8
#define LOAD_MAX 4 /* bytes */

/* Loads in place: the verifier knows 64 KiB of a packet, an instruction 32. */
#define DIRECT_MAX 32000
/* Headers up to here are looked for at once: one check more would cost more than it saves. */
#define TOGETHER_MAX 64
/* No frame has so many bytes. */
#define OFFSET_MAX 0x7fff0000

/*
 * The verifier follows a branch not taken to the end and keeps the other for later, 8192 of them at
 * most, the caller's included. Behind PENDING_MAX on one way the branches are turned round: what is
 * followed at once then ends soon. More than PENDING_LIMIT are refused: Linux 6.18 does not survive
 * (NULL pointer) if the one too many comes from an AND or OR, whose two outcomes it also follows.
 */
#define PENDING_MAX 7000
#define PENDING_LIMIT 8000

struct translation {
	const struct filter_op *ops;
	uint32_t count;
	bool careful; /* which copy is being made */
	bool is_xdp;
	uint32_t *reach;	/* direct: the largest end <= TOGETHER_MAX of a load from here on */
	uint32_t *checked;	/* direct: so many bytes are known to be there */
	uint32_t *checked_at_x; /* direct: the same behind AT_X */
	uint32_t *pending;	/* branches on the way that the verifier has kept */
	uint16_t uninitialised; /* words of M[] that may be read before they are written */
	bool loads_at_x;
	bool straddles; /* a load may touch the tag's place */
	struct emitter out;
};

/* Labels: of each instruction in each copy, and of what is around it. */
enum label { AT, CAREFUL, NEAR, THERE, PLAIN, DONE, LABELS };

static inline uint32_t label(enum label kind, uint32_t at)
{
	return at * LABELS + kind;
}

static inline uint32_t label_of(const struct translation *t, uint32_t at)
{
	return label(t->careful ? CAREFUL : AT, at);
}

/* Nothing matches. */
static inline uint32_t no_match(const struct translation *t)
{
	return label(AT, t->count);
}

/* This part does not match. */
static inline uint32_t part_fails(const struct translation *t, uint32_t at)
{
	return t->ops[at].fail < t->count ? label_of(t, t->ops[at].fail) : no_match(t);
}

static inline uint32_t tag_ready(const struct translation *t)
{
	return label(PLAIN, t->count);
}

static inline uint32_t tag_slowly(const struct translation *t)
{
	return label(DONE, t->count);
}

static inline uint8_t width(unsigned int size)
{
	return size == 4 ? BPF_W : size == 2 ? BPF_H : BPF_B;
}

static inline bool is_at_x(const struct filter_op *op)
{
	return filter_is_indirect(op->code) && op->x_is_header && op->k <= DIRECT_MAX;
}

static inline bool is_deep(const struct translation *t, uint32_t at)
{
	return t->pending[at] > PENDING_MAX;
}

static inline void swap_bytes(struct translation *t, uint8_t to, unsigned int size)
{
	if (size > 1)
		emit(&t->out, EMIT_BIG_ENDIAN(to, (int32_t)size * 8));
}

/* What it finds, filter_analysis_release() frees, also after a failure. -E2BIG: PENDING_LIMIT. */
int filter_analyze(struct translation *t) must_check;
void filter_analysis_release(struct translation *t);

/* The careful copy: a load at a constant offset into a register (A, X), or at X + k into A. */
void careful_absolute(struct translation *t, uint32_t at, uint8_t to, unsigned int size);
void careful_indirect(struct translation *t, uint32_t at, unsigned int size);
/* Where loads may touch the tag's place: put what is there on the stack. The second is the part
 * that stands behind everything. */
void careful_fill_window(struct translation *t);
void careful_fill_window_slowly(struct translation *t);
