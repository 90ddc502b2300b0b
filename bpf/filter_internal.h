/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What filter.c, filter_optimize.c and filter_translate.c share. */
#pragma once

#include <linux/types.h>

#include "bpf/filter.h"
#include "bpf/xcap_abi.h"

struct pcap;

#define FILTER_SCRATCH 16 /* words of M[] */

/* One filter of several that are asked one after the other. */
struct filter_part {
	uint32_t count;
	uint32_t verdict; /* if it matches; 0: what it returns */
};

struct filter_program {
	size_t count; /* of all parts */
	unsigned int part_count;
	struct filter_part parts[XCAP_FILTERS_MAX];
	struct filter_insn insns[];
};

/*
 * An instruction with its successors as indices: both of a conditional jump, next of any other.
 * All are behind it. There are no unconditional jumps left, but a FILTER_NOP.
 */
struct filter_op {
	uint16_t code;
	bool reachable;
	bool x_is_header; /* X comes from LDX MSH, whichever way led here */
	uint32_t k;
	uint32_t next;	/* also where a jump that is taken goes to */
	uint32_t other; /* where one that is not taken goes to */
	uint32_t fail;	/* where a load beyond the frame's end leads to; the count: no match */
};

#define FILTER_NOP 0x05	   /* JMP | JA */
#define FILTER_NEXT 0xff07 /* the next part begins: A and X are 0, no load has failed */

/* What the instruction reads of the frame. */
static inline unsigned int filter_load_size(uint16_t code)
{
	static const unsigned int sizes[] = { 4, 2, 1, 0 };

	return sizes[code >> 3 & 3];
}

bool filter_is_absolute(uint16_t code);	     /* LD ABS */
bool filter_is_indirect(uint16_t code);	     /* LD IND */
bool filter_is_header_length(uint16_t code); /* LDX MSH */
bool filter_is_branch(uint16_t code);	     /* conditional */
bool filter_is_return(uint16_t code);

/* -EINVAL, -ENOTSUP: see filter_from_classic(). */
int filter_check(const struct filter_insn *insns, size_t count, char *error) must_check;
/* Leaves out what earlier instructions on all ways, or on one, have settled; marks what is
 * reachable. Linear in practice, unlike libpcap's own. */
int filter_optimize(struct filter_op *ops, size_t count) must_check;
/*
 * Of a handle for files: what pcap_compile() makes of it, not optimized, in a time that grows with
 * its length. ret, empty before: struct filter_insn. -EOPNOTSUPP: pcap_compile() it takes, for an
 * answer or for the words that refuse it; -E2BIG; -ENOMEM.
 */
int filter_compile_terms(struct buf *ret, struct pcap *pcap, const char *expression) must_check;
