/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pcap-filter(7) expressions as eBPF. libpcap compiles an expression to its own machine code
 * (cBPF), which is translated here into the body of xcap_filter() (bpf/filter.bpf.h). The verdict
 * is that of `tcpdump -r` on the whole frame: tags in band, whatever snaplen cuts off later; what
 * reads beyond the frame's end does not match. Sans-I/O, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/util.h"

#define FILTER_ERROR_LEN 512

enum filter_hook { FILTER_TCX, FILTER_XDP };

struct filter_program; /* cBPF */
struct bpf_insn;       /* the kernel's; libpcap has one of the same name, for cBPF */

struct filter_code {
	struct bpf_insn *insns; /* owned */
	size_t count;		/* 0: no filter */
};

/*
 * link_type: a pcapng LinkType. -EINVAL: libpcap refuses the expression, error has its words;
 * -ENOMEM.
 */
int filter_compile(struct filter_program **ret, const char *expression, uint16_t link_type,
		   char error[FILTER_ERROR_LEN]) must_check;
void filter_destroy(struct filter_program *program);
/* An instruction of cBPF, as libpcap's struct bpf_insn. */
struct filter_insn {
	uint16_t code;
	uint8_t jt, jf;
	uint32_t k;
};
/* The same from cBPF that is at hand; copied. */
int filter_from_insns(struct filter_program **ret, const struct filter_insn *insns, size_t count,
		      uint16_t link_type) must_check;
/*
 * -EOPNOTSUPP: an instruction that no filter has, or a jump back; error says which. -E2BIG: more
 * than the verifier follows. -ENOMEM.
 */
int filter_translate(const struct filter_program *program, enum filter_hook hook,
		     struct filter_code *ret, char error[FILTER_ERROR_LEN]) must_check;
void filter_code_release(struct filter_code *code);
/* What libpcap's own machine says of captured_len bytes of a frame of original_len. */
bool filter_matches(const struct filter_program *program, const uint8_t *frame,
		    uint32_t captured_len, uint32_t original_len);
const struct filter_insn *filter_insns(const struct filter_program *program, size_t *count);
