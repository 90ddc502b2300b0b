/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/filter_emit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FAR_BRANCH 3		       /* instructions: see write_far() */
#define GOTO_LONG (BPF_JMP32 | BPF_JA) /* Linux 6.6: with 32 bits */

int emit_begin(struct emitter *emitter, size_t label_count)
{
	*emitter = (struct emitter){ .label_count = label_count };
	emitter->labels = calloc(label_count, sizeof(*emitter->labels));
	return emitter->labels ? 0 : -ENOMEM;
}

void emit_release(struct emitter *emitter)
{
	free(emitter->insns);
	free(emitter->jumps);
	free(emitter->labels);
	*emitter = (struct emitter){};
}

static bool grow(struct emitter *emitter, void **array, size_t count, size_t *capacity, size_t size)
{
	size_t wanted = *capacity ? 2 * *capacity : 256;
	void *more;

	if (emitter->failed)
		return false;
	if (count < *capacity)
		return true;
	more = realloc(*array, wanted * size);
	if (!more) {
		emitter->failed = true;
		return false;
	}
	*array = more;
	*capacity = wanted;
	return true;
}

void emit(struct emitter *emitter, struct bpf_insn insn)
{
	if (grow(emitter, (void **)&emitter->insns, emitter->count, &emitter->capacity,
		 sizeof(insn)))
		emitter->insns[emitter->count++] = insn;
}

void emit_label(struct emitter *emitter, uint32_t label)
{
	emitter->labels[label] = (uint32_t)emitter->count;
}

void emit_jump(struct emitter *emitter, struct bpf_insn insn, uint32_t label)
{
	if (grow(emitter, (void **)&emitter->jumps, emitter->jump_count, &emitter->jump_capacity,
		 sizeof(*emitter->jumps)))
		emitter->jumps[emitter->jump_count++] =
			(struct emit_jump){ .at = (uint32_t)emitter->count, .label = label };
	emit(emitter, insn);
}

uint8_t emit_inverse(uint8_t code)
{
	static const uint8_t pairs[][2] = { { BPF_JEQ, BPF_JNE },
					    { BPF_JGT, BPF_JLE },
					    { BPF_JGE, BPF_JLT } };

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		for (size_t j = 0; j < 2; j++) {
			if (BPF_OP(code) == pairs[i][j])
				return (uint8_t)((code & ~0xf0) | pairs[i][1 - j]);
		}
	}
	return 0;
}

/* What an instruction of index i may be followed by. jump: its own, or NULL. */
static void mark_next(const struct emitter *emitter, bool *is_kept, size_t i,
		      const struct emit_jump *jump)
{
	const struct bpf_insn *insn = &emitter->insns[i];
	bool is_jump = BPF_CLASS(insn->code) == BPF_JMP || BPF_CLASS(insn->code) == BPF_JMP32;

	if (insn->code == (BPF_JMP | BPF_EXIT))
		return;
	if (jump)
		is_kept[emitter->labels[jump->label]] = true;
	else if (is_jump && BPF_OP(insn->code) != BPF_CALL)
		is_kept[i + 1 + (size_t)insn->off] = true;
	if (insn->code != (BPF_JMP | BPF_JA))
		is_kept[i + 1] = true;
}

/*
 * The kernel refuses code that nothing leads to. Few jumps go back, all of them to what a jump
 * forward leads to as well: one pass finds everything.
 */
static void find_kept(const struct emitter *emitter, bool *is_kept)
{
	size_t next = 0;

	is_kept[0] = true;
	for (size_t i = 0; i < emitter->count; i++) {
		const struct emit_jump *jump = NULL;

		if (next < emitter->jump_count && emitter->jumps[next].at == i)
			jump = &emitter->jumps[next++];
		if (is_kept[i])
			mark_next(emitter, is_kept, i, jump);
	}
}

/* Where each instruction will be, those that are far being longer. */
static void place(const struct emitter *emitter, const bool *is_kept, const bool *is_far,
		  uint32_t *places)
{
	uint32_t at = 0;
	size_t jump = 0;

	for (size_t i = 0; i <= emitter->count; i++) {
		bool far = false;

		if (jump < emitter->jump_count && emitter->jumps[jump].at == i)
			far = is_far[jump++] && emitter->insns[i].code != (BPF_JMP | BPF_JA);
		places[i] = at;
		if (is_kept[i])
			at += far ? FAR_BRANCH : 1;
	}
}

static bool find_far(const struct emitter *emitter, bool *is_far, const uint32_t *places)
{
	bool found = false;

	for (size_t i = 0; i < emitter->jump_count; i++) {
		const struct emit_jump *jump = &emitter->jumps[i];
		int64_t distance =
			(int64_t)places[emitter->labels[jump->label]] - places[jump->at] - 1;

		if (!is_far[i] && (distance > INT16_MAX || distance < INT16_MIN)) {
			is_far[i] = true;
			found = true;
		}
	}
	return found;
}

/* The jumps too long for 16 bits become: branch over the next; go over the next; go far. */
static void write_far(struct bpf_insn *to, const struct bpf_insn *jump, int32_t distance)
{
	if (jump->code == (BPF_JMP | BPF_JA)) {
		*to = EMIT(GOTO_LONG, 0, 0, 0, distance);
		return;
	}
	to[0] = *jump;
	to[0].off = 1;
	to[1] = EMIT_GOTO;
	to[1].off = 1;
	to[2] = EMIT(GOTO_LONG, 0, 0, 0, distance - (FAR_BRANCH - 1));
}

static void write_all(const struct emitter *emitter, const bool *is_kept, const bool *is_far,
		      const uint32_t *places, struct bpf_insn *to)
{
	size_t next = 0;

	for (size_t i = 0; i < emitter->count; i++) {
		struct bpf_insn *insn = &to[places[i]];
		size_t jump = next;
		int32_t distance;
		bool jumps = next < emitter->jump_count && emitter->jumps[next].at == i;

		next += jumps;
		if (!is_kept[i])
			continue;
		*insn = emitter->insns[i];
		if (!jumps)
			continue;
		distance =
			(int32_t)(places[emitter->labels[emitter->jumps[jump].label]] - places[i]) -
			1;
		if (is_far[jump])
			write_far(insn, &emitter->insns[i], distance);
		else
			insn->off = (int16_t)distance;
	}
}

int emit_end(struct emitter *emitter, struct bpf_insn **insns, size_t *count)
{
	uint32_t *places = calloc(emitter->count + 1, sizeof(*places));
	bool *is_far = calloc(emitter->jump_count + 1, sizeof(*is_far));
	bool *is_kept = calloc(emitter->count + 1, sizeof(*is_kept));
	struct bpf_insn *code = NULL;
	int err = -ENOMEM;

	if (emitter->failed || !places || !is_far || !is_kept)
		goto out;
	find_kept(emitter, is_kept);
	do {
		place(emitter, is_kept, is_far, places);
	} while (find_far(emitter, is_far, places));
	code = calloc(places[emitter->count], sizeof(*code));
	if (!code)
		goto out;
	write_all(emitter, is_kept, is_far, places, code);
	*insns = code;
	*count = places[emitter->count];
	err = 0;
out:
	free(places);
	free(is_far);
	free(is_kept);
	return err;
}
