/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interfaces that are captured by libpcap (--mode pcap without -r, and where BPF is not allowed):
 * their sources, filters and counters; in place of what dataplane.h does for the other modes.
 * Belongs to the control thread; the sources go to the lanes.
 */
#pragma once

#include "agent/options.h"
#include "agent/source.h"
#include "bpf/dataplane.h"
#include "bpf/filter_set.h"
#include "common/addr.h"

struct live;
struct live_interface;

#define LIVE_SOURCES 2 /* of an interface: in and out */

struct live_config {
	const struct agent_options *options;
	const struct addr_list *servers; /* aggregators: our own upload goes there */
};

/* On failure it has been logged; the result is the exit code. */
int live_create(struct live **ret, const struct live_config *config) must_check;
void live_destroy(struct live *live);
/* What takes BPF programs is refused: -EDOM. */
int live_check_filters(const struct filter_set *filters, char error[FILTER_ERROR_LEN]) must_check;

struct live_device {
	const char *name;
	uint32_t id; /* ifindex, or one of ours where libpcap knows the device and the kernel not */
	bool is_device; /* of the network */
	bool is_loopback, is_promiscuous;
	unsigned int share; /* of so many the buffers are to be */
};

/* error: DATAPLANE_ERROR_LEN bytes. -ENODEV: there is no such device. */
int live_attach(struct live_interface **ret, const struct live *live,
		const struct live_device *device, const struct filter_set *filters,
		char *error) must_check;
/* What a lane is to have, once; NULL behind the last. They are valid until live_close(). */
struct source *live_source(const struct live_interface *interface, unsigned int at);
uint16_t live_link_type(const struct live_interface *interface);
bool live_is_alive(const struct live_interface *interface);
void live_rename(struct live_interface *interface, const char *name);
void live_counts(const struct live_interface *interface,
		 struct xcap_count counts[XCAP_COUNTER_COUNT]);
/* Now and then. */
void live_refresh(struct live_interface *interface);

/* As dataplane_prepare_filters() and dataplane_apply_filters(), dataplane_matched(). */
int live_prepare_filters(struct live_interface *interface, const struct filter_set *filters,
			 char *error) must_check;
int live_apply_filters(struct live_interface *interface, char *error) must_check;
void live_matched(const struct live_interface *interface,
		  struct xcap_count counts[XCAP_FILTERS_MAX]);

/* No more packets come. The sources may be gone. */
void live_shut(struct live_interface *interface);
/* Its sources are the lanes' alone from here on; they count until they are gone. */
void live_close(struct live_interface *interface);
void live_interface_destroy(struct live_interface *interface);
/* With its sources: no lane has them. */
void live_discard(struct live_interface *interface);
