/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Part of the dataplane: a program as libbpf made it, a moment before the kernel gets it. Maps,
 * CO-RE and calls are resolved by then, and the functions follow each other in one piece.
 */
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/splice.h"

struct splice_image {
	struct bpf_insn *insns;
	size_t count;
	struct bpf_func_info *functions;
	struct bpf_line_info *lines;
	__u32 function_count, line_count;
};

/* A copy of what is about to be loaded. -EOPNOTSUPP: libbpf tells of functions in another way. */
int splice_image_take(struct splice_image *ret, const struct bpf_program *program,
		      const struct bpf_prog_load_opts *options) must_check;
int splice_image_copy(struct splice_image *ret, const struct splice_image *image) must_check;
/* Another body for a function. btf: of the object. -ENOENT: there is no such function. */
int splice_image_put(struct splice_image *image, const struct btf *btf,
		     const struct splice_code *code) must_check;
/* What the kernel is told of functions and lines; borrowed. */
void splice_image_tell(const struct splice_image *image, struct bpf_prog_load_opts *options);
void splice_image_release(struct splice_image *image);
