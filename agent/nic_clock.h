/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The arithmetic of clocks: a network card's, this host's, UTC and TAI. No I/O; readings are given.
 *
 * Programs turn a card's stamp into CLOCK_MONOTONIC by a line (struct xcap_line), and frames add
 * the host's UTC offset to that. So nic follows the card's clock by comparing it with the host's,
 * whatever time the card shows; and ptp takes the card's time as it is: TAI, or UTC.
 */
#pragma once

#include <linux/types.h>
#include <stdbool.h>
#include <sys/timex.h>

#include "bpf/xcap_abi.h"
#include "common/clocks.h"

#define NIC_CLOCK_WHY_LEN 256

/* How often it is to be read, and how long a line is good without. */
#define NIC_CLOCK_READ_NS NS_PER_SEC
#define NIC_CLOCK_GOOD_NS (4 * NS_PER_SEC)
/* So near a clock counts as the other's. */
#define NIC_CLOCK_AGREE_NS ((int64_t)NS_PER_MS)

/* The host's clock as adjtimex(2) tells of it. */
struct host_clock {
	bool synchronised;
	int64_t offset_ns; /* still to be slewed */
	uint64_t max_error_ns, estimated_error_ns;
	int tai_s; /* TAI - UTC; 0: the kernel was not told */
};

void host_clock_take(struct host_clock *ret, const struct timex *timex, int state);

struct nic_clock {
	struct clocks_reading last; /* error_ns UINT64_MAX: none */
	struct xcap_line line;
	uint64_t steps; /* times that it was set to another time meanwhile */
};

enum nic_clock_scale { NIC_CLOCK_OTHER, NIC_CLOCK_UTC, NIC_CLOCK_TAI };

void nic_clock_init(struct nic_clock *clock);
/* One more reading of it: the line from here on. */
void nic_clock_follow(struct nic_clock *clock, const struct clocks_reading *reading);

/* Card's time minus UTC; utc is a reading of CLOCK_REALTIME. */
int64_t nic_clock_ahead(const struct clocks_reading *reading, const struct clocks_reading *utc);
enum nic_clock_scale nic_clock_scale(int64_t ahead_ns, const struct host_clock *host);
const char *nic_clock_scale_name(enum nic_clock_scale scale);

struct nic_clock_evidence {
	struct clocks_reading nic, utc;
	struct host_clock host;
	bool steered; /* somebody has set the frequency of the card's clock */
};

/*
 * The line of a card whose clock is kept by PTP. -EDOM, and why and what to do: it is not, as far
 * as this host can tell.
 */
int nic_clock_ptp(struct xcap_line *ret, const struct nic_clock_evidence *evidence,
		  char why[NIC_CLOCK_WHY_LEN]) must_check;
