/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What became of the packets of one interface, in numbers; sans I/O. Numbers are read in an order
 * in which nothing is counted at a later hop and not yet at an earlier one: what the lanes took,
 * then what the programs handed over.
 */
#pragma once

#include "agent/interface_table.h"
#include "bpf/dataplane.h"
#include "common/util.h"

/* Why packets of an interface are lost before they are in a frame. */
enum interface_drop {
	INTERFACE_DROP_NIC, /* before the hook: not among what was seen */
	INTERFACE_DROP_RING_FULL,
	INTERFACE_DROP_TOO_LONG,
	INTERFACE_DROP_NO_MEMORY,
	INTERFACE_DROP_NO_SOCKET,
	/* Redirected into AF_XDP, in the order of enum interface_lost. */
	INTERFACE_DROP_LOST,
	INTERFACE_DROP_COUNT = INTERFACE_DROP_LOST + INTERFACE_LOST_COUNT
};

/* As last read; final after the detach. */
struct interface_reading {
	uint64_t taken, lost[INTERFACE_LOST_COUNT]; /* read before the counts */
	struct xcap_count counts[XCAP_COUNTER_COUNT];
	struct xcap_nic nic; /* since the capture began */
};

/*
 * In frames, up to the lanes:
 *   arrived = dropped[nic] + seen
 *   seen = self + other_direction + filtered + sampled_out + dropped[all others] + delivered +
 *          pending
 */
struct interface_account {
	uint64_t arrived, seen, self, other_direction, filtered, sampled_out;
	uint64_t dropped[INTERFACE_DROP_COUNT];
	uint64_t delivered; /* taken by the lanes */
	uint64_t pending;   /* handed over and not yet taken */
};

const char *interface_drop_name(enum interface_drop drop);
const char *interface_drop_advice(enum interface_drop drop);
void interface_account_make(struct interface_account *ret, const struct interface_reading *reading);
/* The account as an Interface Statistics Block has it. */
struct pcapng_statistics interface_account_statistics(const struct interface_account *account,
						      uint64_t started_ns, uint64_t now_ns);
/* Of os_dropped what the programs counted. */
uint64_t interface_account_kernel_dropped(const struct interface_account *account);

/* A number of losses that somebody is to be told of. */
struct loss_alert {
	uint64_t told, seen;
	uint64_t risen_ns; /* CLOCK_MONOTONIC; 0: never */
	uint64_t quiet_until_ns;
};
/* Between two lines about the same; so long a rise shows in the status. */
#define LOSS_ALERT_NS (60 * NS_PER_SEC)

/* By how much a number has risen since a line said so, if another may; else 0. */
uint64_t loss_alert_rise(struct loss_alert *alert, uint64_t total, uint64_t now_ns);
/* A line if there is to be one. where: whose losses. */
void loss_alert_warn(struct loss_alert *alert, uint64_t total, uint64_t now_ns, const char *where,
		     const char *reason, const char *advice);
