/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The filters of a source of libpcap (source_live.c), and their change while it captures. The
 * kernel drops what none of them matches, as far as it can tell; what else there is to say of a
 * packet is said here, by the filters that were in force at its time.
 *
 * Made and installed by the control thread. The source's thread judges, and goes over to the next
 * ones when a packet of their time comes.
 */
#pragma once

#include <stdatomic.h>

#include "bpf/filter_set.h"
#include "bpf/policies.h"
#include "common/pcapng.h"

#define LIVE_WHOLE 262144 /* bytes: of a packet that nobody cuts */

struct sock_filter;

struct live_filters {
	_Atomic(struct live_filters *) next;
	uint64_t since_ns;		  /* UTC: packets from here on are theirs */
	_Atomic uint64_t kernel_ns;	  /* ... are judged by the kernel; UINT64_MAX: not (yet) */
	_Atomic uint64_t kernel_until_ns; /* ... and from here on not surely */
	uint16_t link_type, generation;
	enum pcapng_direction direction;
	struct filter_program *program, *own; /* NULL: there are none */
	struct policies policies;
	bool is_plain;		  /* the kernel's verdict says all */
	int only_slot;		  /* of the one filter; -1: there are none, or several */
	uint64_t random;	  /* the judge's */
	struct sock_filter *code; /* for the kernel; what comes before the filters stands first */
	size_t prefix, count;	  /* count 0: they are too long for it */
};

struct live_filters_config {
	const char *ifname;
	uint16_t link_type;
	enum pcapng_direction direction; /* unknown: the kernel judges nothing */
	uint32_t snaplen, sample;
	const struct filter_set *filters;
	const char *own; /* an expression: our own upload, left out; NULL: there is none */
};

/* error: EXPLAIN_LEN bytes. */
int live_filters_create(struct live_filters **ret, const struct live_filters_config *config,
			char *error) must_check;
void live_filters_destroy(struct live_filters *filters);
/* ... and all that come behind them. */
void live_filters_destroy_all(struct live_filters *filters);

/* From now on whole packets come, in this direction, whatever they are; since_ns is set. */
int live_filters_open(struct live_filters *filters, int fd) must_check;
/* From now on the kernel judges what it can; kernel_ns is set. */
int live_filters_install(struct live_filters *filters, int fd) must_check;

/* From now on nothing comes. */
int live_filters_shut(int fd) must_check;

struct live_packet {
	uint64_t time_ns; /* UTC */
	const uint8_t *data;
	uint32_t captured_len, len;
};

enum live_verdict { LIVE_WANTED, LIVE_SELF, LIVE_FILTERED, LIVE_SAMPLED_OUT };

/*
 * slot: of the filter that matched, -1: there are none; unless it is ours, or filtered. keep: how
 * many bytes at most, if it is wanted.
 */
enum live_verdict live_filters_judge(struct live_filters *filters, const struct live_packet *packet,
				     int *slot, uint32_t *keep);
