/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an instance has pinned in its folder, looked at and removed by the folder alone: no daemon
 * and no memory of one is needed. No state, any thread.
 */
#pragma once

#include <limits.h>
#include <linux/types.h>
#include <stdbool.h>

#include "bpf/xcap_abi.h"
#include "common/util.h"

#define INSTANCE_LINKS 2 /* mirror: ingress and egress; tap: XDP */

/* Names of the pins of a mode's links; NULL: no more. */
const char *instance_link_name(enum xcap_mode mode, unsigned int link);
unsigned int instance_link_count(enum xcap_mode mode);

/* Descriptor of a pinned map or link; -ENOENT. */
int instance_open_pin(const char *dir, const char *name) must_check;
int instance_pin(int fd, const char *dir, const char *name) must_check;
/* The info of an interface's folder; false: there is none, or of another version. */
bool instance_read_info(const char *dir, struct xcap_info *ret);
/* All links of the interface live and its device exists. */
bool instance_is_attached(const char *dir, const struct xcap_info *info);
/* The same, and they are pinned here. */
bool instance_is_whole(const char *dir, const struct xcap_info *info);
/* Sum over the CPUs of a map of struct xcap_count, into so many entries. */
int instance_read_count_map(int fd, struct xcap_count *counts, __u32 entries) must_check;
/* The same of a map xcap_count, into XCAP_COUNTER_COUNT entries. */
int instance_read_counts(int count_fd, struct xcap_count *counts) must_check;

/* What was lost since the info was written, which is all if a driver began again at 0. */
struct xcap_nic instance_nic_since(const struct xcap_info *info, const struct xcap_nic *now);

/* Calls work (may be NULL) for the folder of each interface; how many there are. */
unsigned int instance_for_each_interface(const char *dir,
					 void (*work)(const char *dir, void *context),
					 void *context);
/* Detach, restore what was changed, unpin. */
void instance_remove_interface(const char *dir);
void instance_remove(const char *dir);
