/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Offsets that cross the function that grows or shrinks are put right: those of calls, of func_info
 * and of line_info.
 */
#include "bpf/splice_image.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A function that is not static may be called with NULL, says the verifier. */
static const struct bpf_insn prologue[] = {
	{ .code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = BPF_REG_2, .off = 2 },
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
	{ .code = BPF_JMP | BPF_EXIT },
};

/* Where the function was, and what is there now. In instructions. */
struct gap {
	size_t start, end, count;
};

static size_t moved(const struct gap *gap, size_t at)
{
	return at < gap->end ? at : at - (gap->end - gap->start) + gap->count;
}

static void *duplicate(const void *list, size_t count, size_t size)
{
	/* Never nothing: that would look as if there were no memory. */
	void *copy = calloc(count + 1, size);

	if (copy && count)
		memcpy(copy, list, count * size);
	return copy;
}

int splice_image_copy(struct splice_image *ret, const struct splice_image *image)
{
	*ret = (struct splice_image){
		.insns = duplicate(image->insns, image->count, sizeof(*image->insns)),
		.count = image->count,
		.functions = duplicate(image->functions, image->function_count,
				       sizeof(*image->functions)),
		.function_count = image->function_count,
		.lines = duplicate(image->lines, image->line_count, sizeof(*image->lines)),
		.line_count = image->line_count,
	};
	if (ret->insns && ret->functions && ret->lines)
		return 0;
	splice_image_release(ret);
	return -ENOMEM;
}

int splice_image_take(struct splice_image *ret, const struct bpf_program *program,
		      const struct bpf_prog_load_opts *options)
{
	const struct splice_image borrowed = {
		.insns = (struct bpf_insn *)bpf_program__insns(program),
		.count = bpf_program__insn_cnt(program),
		.functions = (struct bpf_func_info *)options->func_info,
		.function_count = options->func_info_cnt,
		.lines = (struct bpf_line_info *)options->line_info,
		.line_count = options->line_info_cnt,
	};

	if (options->func_info_rec_size != sizeof(*borrowed.functions) ||
	    (options->line_info_cnt && options->line_info_rec_size != sizeof(*borrowed.lines)))
		return -EOPNOTSUPP;
	return splice_image_copy(ret, &borrowed);
}

static int find_gap(struct gap *ret, const struct splice_image *image, const struct btf *btf,
		    const char *function)
{
	const struct btf_type *type;
	const char *name;

	for (__u32 i = 0; i < image->function_count; i++) {
		type = btf__type_by_id(btf, image->functions[i].type_id);
		name = type ? btf__name_by_offset(btf, type->name_off) : "";
		if (strcmp(name, function) != 0)
			continue;
		ret->start = image->functions[i].insn_off;
		ret->end = i + 1 < image->function_count ? image->functions[i + 1].insn_off
							 : image->count;
		return 0;
	}
	return -ENOENT;
}

static bool refers_to_insn(const struct bpf_insn *insn)
{
	return (insn->code == (BPF_JMP | BPF_CALL) && insn->src_reg == BPF_PSEUDO_CALL) ||
	       (insn->code == (BPF_LD | BPF_IMM | BPF_DW) && insn->src_reg == BPF_PSEUDO_FUNC);
}

/* Calls of functions count from the instruction behind them. */
static void copy_insns(struct bpf_insn *to, const struct bpf_insn *from, size_t count,
		       const struct gap *gap)
{
	for (size_t i = 0; i < count; i++) {
		size_t at = moved(gap, i);

		if (i >= gap->start && i < gap->end)
			continue;
		to[at] = from[i];
		if (refers_to_insn(&from[i]))
			to[at].imm = (__s32)((ssize_t)moved(gap, i + 1 + (size_t)from[i].imm) -
					     (ssize_t)at - 1);
	}
}

/* The code has no lines of its own but the one that each function must begin with. */
static void move_lines(struct splice_image *image, const struct gap *gap)
{
	__u32 count = 0;

	for (__u32 i = 0; i < image->line_count; i++) {
		struct bpf_line_info line = image->lines[i];

		if (line.insn_off > gap->start && line.insn_off < gap->end)
			continue;
		line.insn_off = (__u32)moved(gap, line.insn_off);
		image->lines[count++] = line;
	}
	image->line_count = count;
}

int splice_image_put(struct splice_image *image, const struct btf *btf,
		     const struct splice_code *code)
{
	struct gap gap = { .count = ARRAY_SIZE(prologue) + code->count };
	struct bpf_insn *insns;
	size_t after;
	int err;

	if (!btf)
		return -EOPNOTSUPP;
	err = find_gap(&gap, image, btf, code->function);
	if (err)
		return err;
	after = moved(&gap, image->count);
	insns = calloc(after, sizeof(*insns));
	if (!insns)
		return -ENOMEM;
	copy_insns(insns, image->insns, image->count, &gap);
	memcpy(insns + gap.start, prologue, sizeof(prologue));
	memcpy(insns + gap.start + ARRAY_SIZE(prologue), code->insns, code->count * sizeof(*insns));
	free(image->insns);
	image->insns = insns;
	image->count = after;
	for (__u32 i = 0; i < image->function_count; i++)
		image->functions[i].insn_off = (__u32)moved(&gap, image->functions[i].insn_off);
	move_lines(image, &gap);
	return 0;
}

void splice_image_tell(const struct splice_image *image, struct bpf_prog_load_opts *options)
{
	options->func_info = image->functions;
	options->func_info_cnt = image->function_count;
	options->func_info_rec_size = sizeof(*image->functions);
	options->line_info = image->line_count ? image->lines : NULL;
	options->line_info_cnt = image->line_count;
	options->line_info_rec_size = sizeof(*image->lines);
}

void splice_image_release(struct splice_image *image)
{
	free(image->insns);
	free(image->functions);
	free(image->lines);
	*image = (struct splice_image){};
}
