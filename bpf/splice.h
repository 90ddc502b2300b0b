/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Part of the dataplane: puts a filter's code into our BPF programs as they are loaded, in place of
 * the body of xcap_filter(). So filtering costs a call within one program: no tail call, no state
 * that travels by a map. For the control thread only, as everything that loads.
 */
#pragma once

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "common/util.h"

/* Before the first object is opened. May be called again. */
int splice_init(void) must_check;
/*
 * bpf_object__load() with this code as the body of xcap_filter(): int (context, const struct
 * xcap_frame *), 0 for no match. code NULL: with the body it has.
 */
int splice_load(struct bpf_object *object, const struct bpf_insn *code, size_t count) must_check;
