/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libbpf lets a section's handler change a program just before it is loaded: maps, CO-RE and calls
 * are resolved by then, and the functions follow each other in one piece. Offsets that cross the
 * function that grows or shrinks are put right: those of calls, of func_info and of line_info.
 */
#include "bpf/splice.h"

#include <bpf/bpf.h>
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

/* What splice_load() is loading; lists that libbpf borrows until the program is loaded. */
static struct {
	const struct bpf_object *object;
	const struct splice_code *list;
	size_t count;
	struct bpf_func_info *functions;
	struct bpf_line_info *lines;
} current;

/* Where the function was, and what is there now. In instructions. */
struct gap {
	size_t start, end, count;
};

static size_t moved(const struct gap *gap, size_t at)
{
	return at < gap->end ? at : at - (gap->end - gap->start) + gap->count;
}

static int find_gap(struct gap *ret, const char *function, const struct bpf_prog_load_opts *opts,
		    size_t insn_count)
{
	const struct bpf_func_info *list = opts->func_info;
	const struct btf *btf = bpf_object__btf(current.object);
	const struct btf_type *type;
	const char *name;

	if (!btf || !list || opts->func_info_rec_size != sizeof(*list))
		return -EOPNOTSUPP;
	for (__u32 i = 0; i < opts->func_info_cnt; i++) {
		type = btf__type_by_id(btf, list[i].type_id);
		name = type ? btf__name_by_offset(btf, type->name_off) : "";
		if (strcmp(name, function) != 0)
			continue;
		ret->start = list[i].insn_off;
		ret->end = i + 1 < opts->func_info_cnt ? list[i + 1].insn_off : insn_count;
	}
	return ret->end ? 0 : -ENOENT;
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

static int move_functions(struct bpf_prog_load_opts *opts, const struct gap *gap)
{
	size_t size = opts->func_info_cnt * sizeof(*current.functions);
	struct bpf_func_info *functions = malloc(size);

	if (!functions)
		return -ENOMEM;
	memcpy(functions, opts->func_info, size);
	for (__u32 i = 0; i < opts->func_info_cnt; i++)
		functions[i].insn_off = (__u32)moved(gap, functions[i].insn_off);
	free(current.functions);
	opts->func_info = current.functions = functions;
	return 0;
}

/* The code has no lines of its own but the one that each function must begin with. */
static int move_lines(struct bpf_prog_load_opts *opts, const struct gap *gap)
{
	const struct bpf_line_info *list = opts->line_info;
	struct bpf_line_info *lines;
	__u32 count = 0;

	if (!opts->line_info_cnt)
		return 0;
	if (opts->line_info_rec_size != sizeof(*list))
		return -EOPNOTSUPP;
	lines = malloc(opts->line_info_cnt * sizeof(*list));
	if (!lines)
		return -ENOMEM;
	for (__u32 i = 0; i < opts->line_info_cnt; i++) {
		if (list[i].insn_off > gap->start && list[i].insn_off < gap->end)
			continue;
		lines[count] = list[i];
		lines[count++].insn_off = (__u32)moved(gap, list[i].insn_off);
	}
	free(current.lines);
	opts->line_info = current.lines = lines;
	opts->line_info_cnt = count;
	return 0;
}

static int put_code(struct bpf_program *program, struct bpf_prog_load_opts *opts,
		    const struct splice_code *code)
{
	size_t before = bpf_program__insn_cnt(program), after;
	struct gap gap = { .count = ARRAY_SIZE(prologue) + code->count };
	struct bpf_insn *insns;
	int err;

	err = find_gap(&gap, code->function, opts, before);
	if (err)
		return err;
	after = moved(&gap, before);
	insns = calloc(after, sizeof(*insns));
	if (!insns)
		return -ENOMEM;
	copy_insns(insns, bpf_program__insns(program), before, &gap);
	memcpy(insns + gap.start, prologue, sizeof(prologue));
	memcpy(insns + gap.start + ARRAY_SIZE(prologue), code->insns, code->count * sizeof(*insns));
	err = move_functions(opts, &gap);
	if (!err)
		err = move_lines(opts, &gap);
	if (!err)
		err = bpf_program__set_insns(program, insns, after);
	free(insns);
	return err;
}

static void forget_lists(void)
{
	free(current.functions);
	free(current.lines);
	current.functions = NULL;
	current.lines = NULL;
}

/* flags: what libbpf's own handler of the section would add. */
static int prepare(struct bpf_program *program, struct bpf_prog_load_opts *opts, long flags)
{
	int err = 0;

	opts->prog_flags |= (__u32)flags;
	forget_lists();
	for (size_t i = 0; i < current.count && !err; i++) {
		if (current.list[i].insns)
			err = put_code(program, opts, &current.list[i]);
	}
	return err;
}

int splice_init(void)
{
	LIBBPF_OPTS(libbpf_prog_handler_opts, tc, .prog_prepare_load_fn = prepare);
	LIBBPF_OPTS(libbpf_prog_handler_opts, xdp, .prog_prepare_load_fn = prepare,
		    .cookie = BPF_F_XDP_HAS_FRAGS);
	static bool done;
	int id;

	if (done)
		return 0;
	id = libbpf_register_prog_handler("tc", BPF_PROG_TYPE_SCHED_CLS, 0, &tc);
	if (id >= 0)
		id = libbpf_register_prog_handler("xdp.frags", BPF_PROG_TYPE_XDP, BPF_XDP, &xdp);
	done = id >= 0;
	return done ? 0 : id;
}

int splice_load(struct bpf_object *object, const struct splice_code *list, size_t count)
{
	int err;

	current.object = object;
	current.list = list;
	current.count = count;
	err = bpf_object__load(object);
	forget_lists();
	current.object = NULL;
	current.list = NULL;
	current.count = 0;
	return err;
}
