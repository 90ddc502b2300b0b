/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pcap-filter(7) expressions as eBPF: libpcap makes classic BPF of them, and this the body of
 *
 *	int xcap_filter(void *context, const struct xcap_frame *frame)
 *
 * for the kernel. A frame matches exactly if `tcpdump -r FILE EXPRESSION` would show it with all
 * its bytes and its VLAN tags in band. Sans-I/O, but that libpcap looks up the names of hosts that
 * an expression contains. Any thread. How it works: Documentation/filters.md.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bpf/explain.h"
#include "common/buf.h"

#define FILTER_ERROR_LEN EXPLAIN_LEN
#define FILTER_EXPRESSION_MAX (128 * 1024) /* bytes */
#define FILTER_CLASSIC_MAX 200000	   /* instructions of classic BPF */
#define FILTER_CODE_MAX 1000000		   /* instructions of eBPF: what the kernel takes */

/* An instruction of classic BPF, as in struct bpf_insn of libpcap and struct sock_filter. */
struct filter_insn {
	uint16_t code;
	uint8_t jt, jf;
	uint32_t k;
};

/* What the code runs on: enough of both is the context's type, and the helper that reads it. */
enum filter_hook { FILTER_TCX, FILTER_XDP }; /* struct __sk_buff, struct xdp_md */

struct filter_program;
struct bpf_insn;

struct filter_code {
	struct bpf_insn *insns;
	size_t count;
};

/*
 * link_type: pcapng's LinkType (1: Ethernet, 101: raw IP). An empty expression matches everything.
 * -EINVAL: error is libpcap's message; -E2BIG; -ENOMEM.
 */
int filter_compile(struct filter_program **ret, const char *expression, uint16_t link_type,
		   char error[FILTER_ERROR_LEN]) must_check;
/* Of foreign instructions, which are copied. -EINVAL: an opcode, a jump or a division that is
 * none; -ENOTSUP: a loop; -E2BIG; -ENOMEM. */
int filter_from_classic(struct filter_program **ret, const struct filter_insn *insns, size_t count,
			char error[FILTER_ERROR_LEN]) must_check;
/*
 * Of 1 .. XCAP_FILTERS_MAX programs of filter_compile(), asked one after the other: the verdict is
 * that (not 0) of the first which matches. -E2BIG; -ENOMEM.
 */
int filter_join(struct filter_program **ret, struct filter_program *const *programs,
		const uint32_t *verdicts, unsigned int count,
		char error[FILTER_ERROR_LEN]) must_check;
void filter_destroy(struct filter_program *program);
/* libpcap's own verdict, in userspace, 0: no match; captured_len bytes of a frame of len. */
uint32_t filter_verdict(const struct filter_program *program, const uint8_t *frame,
			uint32_t captured_len, uint32_t len);
size_t filter_classic_count(const struct filter_program *program);
/* Of the programs that are asked in turn the one of this number, from 0; NULL: there are no more.
 */
const struct filter_insn *filter_classic(const struct filter_program *program, unsigned int number,
					 size_t *count);

/* Can it be translated? -ENOTSUP: it loops (protochain). */
int filter_check_program(const struct filter_program *program,
			 char error[FILTER_ERROR_LEN]) must_check;
/* The body of xcap_filter(). -ENOTSUP: a loop (protochain); -E2BIG; -ENOMEM. */
int filter_translate(struct filter_code *ret, const struct filter_program *program,
		     enum filter_hook hook, char error[FILTER_ERROR_LEN]) must_check;
void filter_code_release(struct filter_code *code);

/* A line for each instruction: classic as `tcpdump -d` prints it. Not for two threads at once. */
void filter_print_classic(const struct filter_program *program, struct buf *out);
void filter_print_code(const struct filter_code *code, struct buf *out);
