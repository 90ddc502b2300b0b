/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the pinned maps of instances; no daemon is needed. Any thread. */
#pragma once

#include <linux/types.h>
#include <stdbool.h>

#include "bpf/watch.h"
#include "bpf/xcap_abi.h"
#include "common/util.h"

struct maps_ring {
	unsigned int number;
	uint64_t size_bytes, pending_bytes; /* written, not yet read */
};

struct maps_interface {
	struct xcap_info info;
	struct xcap_count counts[XCAP_COUNTER_COUNT];
	struct xcap_slot slots[XCAP_FILTERS_MAX];
	struct xcap_count matched[XCAP_FILTERS_MAX];
	struct xcap_nic nic; /* lost since the capture began */
	bool has_nic;	     /* it is in our network namespace */
	bool attached;	     /* its links live and their device exists */
};

struct maps_instance {
	char name[256];
	struct xcap_list_counts listed; /* prefixes in force */
	struct watch_entry *watched;	/* flows, in no order */
	size_t watched_count;
	struct maps_interface *interfaces;
	size_t interface_count;
	/* Sums of the interfaces that were detached while the instance goes on. */
	struct xcap_count gone[XCAP_COUNTER_COUNT];
	struct xcap_filters *filters; /* NULL: there are none */
	struct maps_ring *rings;
	size_t ring_count;
};

/*
 * Every instance under bpffs (NULL: wherever dataplane_open() may have put it), or just the one
 * named. The list is the caller's: maps_free(). -ENOTDIR: bpffs is not a bpf file system; -EPERM,
 * -EACCES: not permitted.
 */
int maps_read(struct maps_instance **ret, size_t *count, const char *bpffs, const char *run_dir,
	      const char *instance) must_check;
void maps_free(struct maps_instance *list, size_t count);
