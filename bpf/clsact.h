/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The programs as filters of a device's clsact qdisc, for kernels without tcx (before 6.6). Other
 * than links, filters have no owner and no pin: one is ours if its program uses our map of
 * counters, so that nothing but that pin has to outlive a daemon. Each filter is in front of all
 * others, where there is room. No state, any thread.
 */
#pragma once

#include <linux/types.h>
#include <stdbool.h>

#include "bpf/xcap_abi.h"
#include "common/util.h"

struct clsact_place {
	bool made_qdisc; /* now, or by another instance of ours that is still there */
	bool is_behind;	 /* a filter of somebody else's that ends the chain hides packets from us */
};

/*
 * dir: of the interface's pins; info tells the device. Makes the qdisc if there is none. -EINVAL
 * also where an ingress qdisc, which has no egress, is in its place.
 */
int clsact_attach(struct clsact_place *ret, const char *dir, const struct xcap_info *info,
		  bool egress, int program_fd) must_check;
/* Another program in the place of ours, with no packet between them. -ENOENT: there is none. */
int clsact_replace(const char *dir, const struct xcap_info *info, bool egress,
		   int program_fd) must_check;
/* Descriptor of our program there. -ENOENT. */
int clsact_open_program(const char *dir, const struct xcap_info *info, bool egress) must_check;
/* Both filters are there, in whatever namespace. */
bool clsact_is_attached(const char *dir, const struct xcap_info *info);
/* Removes what is ours; and the qdisc, if we made it (XCAP_INFO_QDISC) and nothing is left in it.
 */
void clsact_detach(const char *dir, const struct xcap_info *info);
