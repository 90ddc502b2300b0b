/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Part of the dataplane: puts a filter's code into our BPF programs as they are loaded, in place of
 * the body of a function. So filtering costs a call within one program: no tail call, no state
 * that travels by a map. For the control thread only, as everything that loads.
 */
#pragma once

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "common/util.h"

/* Before the first object is opened. May be called again. */
int splice_init(void) must_check;
/* The body of a function that is not static: int (context, const struct xcap_frame *). */
struct splice_code {
	const char *function;
	const struct bpf_insn *insns; /* NULL: the body it has */
	size_t count;
};

/* bpf_object__load() with these bodies. -ENOENT: a program has no such function. */
int splice_load(struct bpf_object *object, const struct splice_code *list, size_t count) must_check;
