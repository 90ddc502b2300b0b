/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A filter alone in the kernel, as a program that is attached to nothing: for tests of single
 * packets. Its result is what the filter returns. Any thread.
 */
#pragma once

#include "bpf/filter.h"

/* Value of the map that may tell what a test run cannot: the frame but its length. */
struct filter_beside {
	uint32_t start;
	uint32_t has_tag;
	uint8_t tag[4];
	uint32_t cut;	  /* bytes that the frame had on the wire but not in the context */
	uint32_t is_live; /* the program is attached: what it returns means nothing to its hook */
	uint32_t result;  /* the filter's last one, written by the program */
};

/* The map's descriptor, all of it 0, or a negative errno. */
int filter_beside_create(void) must_check;
int filter_beside_set(int beside_fd, const struct filter_beside *beside) must_check;

/* What a test run takes: tc frames of 14 bytes (IPv4 34, IPv6 54) to about 3500, XDP from 14. */
enum { FILTER_RUN_MIN = 14, FILTER_RUN_MAX = 65535 };

/*
 * The program's descriptor, or a negative errno and error. beside_fd: of filter_beside_create(), or
 * -1: the tag is that of the context (tc), and there is none (XDP). -E2BIG: one of the verifier's
 * limits, and error says which.
 */
int filter_load(const struct filter_code *code, enum filter_hook hook, int beside_fd,
		char error[FILTER_ERROR_LEN]) must_check;
/*
 * Run it on a frame, repeat times (>= 1). *result is the filter's; *ns_each, which may be NULL, the
 * time of one run. linear: bytes of the frame that are in one piece (XDP, Linux 6.18), 0: as many
 * as possible. -EINVAL: a test run does not take such a frame.
 */
int filter_run(uint32_t *result, int program_fd, enum filter_hook hook, const uint8_t *frame,
	       uint32_t len, uint32_t linear, uint32_t repeat, uint32_t *ns_each) must_check;
