/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interfaces that are captured by libpcap (--mode pcap without -r, and where BPF is not allowed):
 * which ones -i asks for, their sources, what they count. They are taken up at the start only.
 * Belongs to the control thread; the sources go to the lanes.
 */
#pragma once

#include "agent/interface_account.h"
#include "agent/interface_table.h"
#include "agent/options.h"
#include "agent/source.h"
#include "bpf/filter_set.h"
#include "common/addr.h"

struct live;

#define LIVE_SOURCES 2 /* of an interface: in and out */

struct live_interface {
	char name[16];
	uint32_t id; /* ifindex, or one of ours where libpcap knows the device and the kernel not */
	struct source *sources[LIVE_SOURCES]; /* NULL: not captured */
	bool is_gone;
	uint64_t started_ns; /* UTC */
	struct interface_reading reading;
	struct loss_alert alerts[INTERFACE_DROP_COUNT];
};

struct live_config {
	const struct agent_options *options;
	const struct filter_set *filters; /* until it returns */
	struct interface_table *table;
	const struct addr_list *servers; /* aggregators: our own upload goes there */
};

/* On failure it has been logged; the result is the exit code. */
int live_create(struct live **ret, const struct live_config *config) must_check;
/* A source each time, NULL behind the last: the caller's from here on. */
struct source *live_hand_over(struct live *live);
/* Counters as they are now. */
void live_read(struct live *live);
/* Now and then: read, told to the lanes for the files, and to people what rises. */
void live_refresh(struct live *live);
/* No more packets come. */
void live_shut(struct live *live);
/* Before the lanes' sources are destroyed. */
void live_destroy(struct live *live);

const struct live_interface *live_list(const struct live *live, unsigned int *count);
