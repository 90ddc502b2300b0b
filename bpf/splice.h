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

/*
 * Programs as libbpf made them. A third of a load is its reading of the kernel's types, for what
 * comes out the same each time: who loads again can do without.
 */
struct splice_kept;

int splice_kept_create(struct splice_kept **ret) must_check;
/* When there are other maps to be had, or not to be had, than before. */
void splice_kept_forget(struct splice_kept *kept);
void splice_kept_destroy(struct splice_kept *kept);

/* bpf_object__load() with these bodies. -ENOENT: a program has no such function. kept: may be NULL,
 * else gets the programs. */
int splice_load(struct bpf_object *object, const struct splice_code *list, size_t count,
		struct splice_kept *kept) must_check;
/*
 * The same for one program of an object that is open, not loaded: with its read-only data as they
 * are, over the maps that it was given (bpf_map__reuse_fd()). ifindex: the device that the program
 * is bound to, or 0. A descriptor. -ENOENT: it was not kept, or needs a map that was not given.
 */
int splice_load_again(const struct splice_kept *kept, const struct bpf_object *object,
		      const struct bpf_program *program, unsigned int ifindex,
		      const struct splice_code *list, size_t count) must_check;
