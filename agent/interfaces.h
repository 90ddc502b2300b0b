/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which interfaces are captured. It finds those that -i asks for, attaches to them, and while it
 * runs follows what the kernel tells of devices: one that comes and is asked for is taken up, one
 * that is removed, moved to another namespace or renamed out of a pattern is given up, and what it
 * had counted is kept. One that was asked for by its plain name is followed through renames, and
 * waited for once it is gone.
 *
 * Belongs to the control thread.
 */
#pragma once

#include "agent/interface_account.h"
#include "agent/interface_table.h"
#include "agent/live.h"
#include "agent/options.h"
#include "agent/timestamps.h"
#include "bpf/dataplane.h"
#include "common/loop.h"

struct interfaces;

struct agent_interface {
	struct dataplane_interface *attached; /* NULL: left out, or detached at the end; or: */
	struct live_interface *live;	      /* by libpcap; NULL: left out */
	char name[16];
	enum xcap_mode mode;
	unsigned int ifindex;
	int word; /* of -i that asked for it */
	bool is_generic, is_clsact, is_live;
	bool was_seen;		       /* while looking what there is */
	uint64_t started_ns;	       /* UTC */
	struct timestamps *timestamps; /* NULL: it is left out, or by libpcap */
	struct interface_reading reading;
	struct loss_alert alerts[INTERFACE_DROP_COUNT];
};

/* tap and libpcap: who has the sockets once the lanes run. */
struct interfaces_sockets {
	/* What comes in is taken from here on. error: DATAPLANE_ERROR_LEN bytes. */
	int (*open)(void *context, const struct agent_interface *interface, char *error);
	/* Nothing comes any more: they go, once what they hold was taken. */
	void (*close)(void *context, unsigned int ifindex);
	/* They have not all gone yet. */
	bool (*are_closing)(void *context, unsigned int ifindex);
	void *context;
};

static inline bool agent_interface_is_captured(const struct agent_interface *interface)
{
	return interface->attached || interface->live;
}

struct interfaces_config {
	const struct agent_options *options;
	struct loop *loop;
	struct dataplane *dataplane; /* NULL: by libpcap */
	const struct live *live;     /* ... this one; else NULL */
	struct interface_table *table;
	const struct filter_set *filters; /* in force; changed by interfaces_set_filters() only */
	_Atomic uint64_t *stamp_age_ns;	  /* how old a packet's time may be when it comes; grows */
	struct interfaces_sockets sockets;
};

/*
 * What is there and asked for is attached when it returns, but of many only the first: the others
 * while the loop runs. Then what an earlier daemon had attached beyond that is detached. On failure
 * it has been logged; the result is the exit code.
 */
int interfaces_create(struct interfaces **ret, const struct interfaces_config *config) must_check;
/* tap: once there are sockets for what is there. Logged on failure. */
int interfaces_enable(struct interfaces *interfaces) must_check;
/*
 * Other filters, on all interfaces or, on failure, on none. They are config.filters when it
 * returns and stay where that pointed: the caller puts them there.
 */
int interfaces_set_filters(struct interfaces *interfaces, const struct filter_set *filters,
			   char error[FILTER_ERROR_LEN]) must_check;
/* What each filter matched, by its slot, on all interfaces that are there; wire packets. */
void interfaces_matched(const struct interfaces *interfaces,
			struct xcap_count matched[XCAP_FILTERS_MAX]);
/* Reads the counters of all; with_nic: asks the drivers, too. */
void interfaces_read(struct interfaces *interfaces, bool with_nic);
/*
 * Every 100 ms: reads them. Once a second frames are told the numbers, and users what rises. The
 * lanes have taken every packet older than taken_ns, CLOCK_MONOTONIC.
 */
void interfaces_refresh(struct interfaces *interfaces, uint64_t taken_ns);
/* No more packets come. */
void interfaces_detach(struct interfaces *interfaces);
/* Turns the loop until nothing is in flight. */
void interfaces_destroy(struct interfaces *interfaces);

/* In the order in which they came; valid until the loop's next turn. */
const struct agent_interface *interfaces_list(const struct interfaces *interfaces,
					      unsigned int *count);
/* Sums of those that are not attached any more. */
const struct xcap_count *interfaces_gone_counts(const struct interfaces *interfaces);
/* What the NIC lost of them, as far as this daemon saw them go. */
uint64_t interfaces_gone_nic(const struct interfaces *interfaces);
/* What -i asks for and is not there: word number at, from 0; NULL: that is not missing. */
const struct config_list *interfaces_words(const struct interfaces *interfaces);
bool interfaces_is_missing(const struct interfaces *interfaces, unsigned int word);
