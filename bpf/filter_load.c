/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/filter_load.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/filter_emit.h"
#include "bpf/xcap_abi.h"

#define LOG_LEN 65536
#define LOG_STATISTICS 4	 /* BPF_LOG_STATS: and errors, but not each instruction */
#define FRAGMENTS_FLAG (1u << 5) /* BPF_F_XDP_HAS_FRAGS */

enum { R0, R1, R2, R3, R6 = 6, R7 = 7, FP = 10 };
enum { AT_TAG, AT_END, LABELS };

#define FRAME(member) (-(int)sizeof(struct xcap_frame) + (int)offsetof(struct xcap_frame, member))

/* len of the context's frame into R0; R6 is the context. */
static void emit_len(struct emitter *out, enum filter_hook hook)
{
	if (hook == FILTER_TCX) {
		emit(out, EMIT_LOAD(BPF_W, R0, R6, offsetof(struct __sk_buff, len)));
		return;
	}
	emit(out, EMIT_MOV(R1, R6));
	emit(out, EMIT_CALL(BPF_FUNC_xdp_get_buff_len));
}

static void emit_beside(struct emitter *out, int map_fd)
{
	emit(out, EMIT(BPF_LD | BPF_DW | BPF_IMM, R7, BPF_PSEUDO_MAP_VALUE, 0, map_fd));
	emit(out, EMIT(0, 0, 0, 0, 0));
	emit(out, EMIT_LOAD(BPF_W, R1, R7, offsetof(struct filter_beside, start)));
	emit(out, EMIT_STORE(BPF_W, FP, FRAME(start), R1));
	emit(out, EMIT_OP(BPF_SUB, R0, R1));
	emit(out, EMIT_LOAD(BPF_W, R1, R7, offsetof(struct filter_beside, has_tag)));
	emit(out, EMIT_STORE(BPF_W, FP, FRAME(has_tag), R1));
	emit(out, EMIT_OPK(BPF_LSH, R1, 2));
	emit(out, EMIT_OP(BPF_ADD, R0, R1));
	emit(out, EMIT_LOAD(BPF_W, R1, R7, offsetof(struct filter_beside, cut)));
	emit(out, EMIT_OP(BPF_ADD, R0, R1));
	emit(out, EMIT_LOAD(BPF_W, R1, R7, offsetof(struct filter_beside, tag)));
	emit(out, EMIT_STORE(BPF_W, FP, FRAME(tag), R1));
}

static void emit_own_tag(struct emitter *out, enum filter_hook hook)
{
	emit(out, EMIT_STOREK(BPF_W, FP, FRAME(start), 0));
	emit(out, EMIT_STOREK(BPF_W, FP, FRAME(tag), 0));
	emit(out, EMIT_STOREK(BPF_W, FP, FRAME(has_tag), 0));
	if (hook == FILTER_XDP)
		return;
	emit(out, EMIT_LOAD(BPF_W, R1, R6, offsetof(struct __sk_buff, vlan_present)));
	emit_jump(out, EMIT_IFK(BPF_JEQ, R1, 0), AT_TAG);
	emit(out, EMIT_STOREK(BPF_W, FP, FRAME(has_tag), 1));
	emit(out, EMIT_OPK(BPF_ADD, R0, 4));
	emit(out, EMIT_LOAD(BPF_W, R1, R6, offsetof(struct __sk_buff, vlan_proto)));
	emit(out, EMIT_STORE(BPF_H, FP, FRAME(tag), R1));
	emit(out, EMIT_LOAD(BPF_W, R1, R6, offsetof(struct __sk_buff, vlan_tci)));
	emit(out, EMIT_BIG_ENDIAN(R1, 16));
	emit(out, EMIT_STORE(BPF_H, FP, FRAME(tag) + 2, R1));
	emit_label(out, AT_TAG);
}

/* The function that stands behind so many instructions more. */
static void emit_call(struct emitter *out, int distance)
{
	emit(out, EMIT(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, distance));
}

/* The frame from the context, then the filter behind it. */
static int make_prologue(struct bpf_insn **ret, size_t *count, enum filter_hook hook, int beside_fd)
{
	struct emitter out;
	int err = emit_begin(&out, LABELS);

	if (err)
		return err;
	emit(&out, EMIT_MOV(R6, R1));
	emit_len(&out, hook);
	if (beside_fd >= 0)
		emit_beside(&out, beside_fd);
	else
		emit_own_tag(&out, hook);
	emit(&out, EMIT_STORE(BPF_W, FP, FRAME(len), R0));
	emit(&out, EMIT_MOV(R1, R6));
	emit(&out, EMIT_MOV(R2, FP));
	emit(&out, EMIT_OPK(BPF_ADD, R2, -(int)sizeof(struct xcap_frame)));
	if (beside_fd >= 0) {
		emit_call(&out, 5);
		emit(&out, EMIT_STORE(BPF_W, R7, offsetof(struct filter_beside, result), R0));
		emit(&out, EMIT_LOAD(BPF_W, R1, R7, offsetof(struct filter_beside, is_live)));
		emit_jump(&out, EMIT_IFK(BPF_JEQ, R1, 0), AT_END);
		/* XDP: away with it; tcx: nothing. */
		emit(&out, EMIT_SET(R0, 1));
		emit_label(&out, AT_END);
	} else {
		emit_call(&out, 1);
	}
	emit(&out, EMIT_EXIT);
	err = emit_end(&out, ret, count);
	emit_release(&out);
	return err;
}

static bool is_statistics(const char *line)
{
	static const char *const words[] = { "processed ", "verification time ", "stack depth " };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strncmp(line, words[i], strlen(words[i])) == 0)
			return true;
	}
	return false;
}

/* The verifier's limits, each with its own words. */
static int explain_refusal(char *error, int err, const char *log, size_t count)
{
	static const struct {
		const char *words, *what;
	} limits[] = {
		{ "BPF program is too large", "the verifier gave up after 1,000,000 instructions" },
		{ "jumps is too complex", "the verifier gave up after 8,192 branches on one way" },
		{ "too many states", "the verifier ran out of states" },
	};
	const char *last = log;

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		if (strstr(log, limits[i].words))
			return explain_only(error, -E2BIG,
					    "the filter is too long for the kernel: of its %zu "
					    "instructions %s (use net instead of many host)",
					    count, limits[i].what);
	}
	if (err == -E2BIG)
		return explain_only(error, err,
				    "the filter is too long for the kernel: %zu instructions (use "
				    "net instead of many host)",
				    count);
	/* What is wrong stands in the last line before those of the statistics. */
	for (const char *at = log; *at; at++) {
		if (*at == '\n' && at[1] && !is_statistics(at + 1))
			last = at + 1;
	}
	return explain(error, err, "the kernel refuses the filter (%.*s)", (int)strcspn(last, "\n"),
		       last);
}

int filter_beside_create(void)
{
	return bpf_map_create(BPF_MAP_TYPE_ARRAY, "xcap_beside", sizeof(__u32),
			      sizeof(struct filter_beside), 1, NULL);
}

int filter_beside_set(int beside_fd, const struct filter_beside *beside)
{
	__u32 key = 0;

	return bpf_map_update_elem(beside_fd, &key, beside, BPF_ANY);
}

int filter_load(const struct filter_code *code, enum filter_hook hook, int beside_fd,
		char error[FILTER_ERROR_LEN])
{
	LIBBPF_OPTS(bpf_prog_load_opts, options);
	enum bpf_prog_type type = BPF_PROG_TYPE_SCHED_CLS;
	struct bpf_insn *prologue, *insns = NULL;
	char *log = NULL;
	size_t count;
	int err, fd;

	err = make_prologue(&prologue, &count, hook, beside_fd);
	if (err)
		return explain(error, err, "cannot load the filter");
	insns = realloc(prologue, (count + code->count) * sizeof(*insns));
	log = calloc(1, LOG_LEN);
	if (!insns || !log) {
		free(insns ?: prologue);
		free(log);
		return explain(error, -ENOMEM, "cannot load the filter");
	}
	memcpy(insns + count, code->insns, code->count * sizeof(*insns));
	if (hook == FILTER_XDP) {
		type = BPF_PROG_TYPE_XDP;
		options.prog_flags = FRAGMENTS_FLAG;
	}
	options.log_buf = log;
	options.log_size = LOG_LEN;
	options.log_level = LOG_STATISTICS;
	fd = bpf_prog_load(type, "xcap_filter", "Dual BSD/GPL", insns, count + code->count,
			   &options);
	if (fd < 0)
		fd = explain_refusal(error, fd, log, count + code->count);
	free(insns);
	free(log);
	return fd;
}

int filter_run(uint32_t *result, int program_fd, enum filter_hook hook, const uint8_t *frame,
	       uint32_t len, uint32_t linear, uint32_t repeat, uint32_t *ns_each)
{
	struct xdp_md context = { .data_end = linear };
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = len,
		    .repeat = (int)repeat);
	int err;

	if (hook == FILTER_XDP && linear && linear < len) {
		options.ctx_in = &context;
		options.ctx_size_in = sizeof(context);
	}
	err = bpf_prog_test_run_opts(program_fd, &options);
	if (err)
		return err;
	*result = options.retval;
	if (ns_each)
		*ns_each = options.duration;
	return 0;
}
