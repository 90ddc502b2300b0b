/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the machine is made of, as sysfs and procfs tell it: which CPU takes the interrupts of an
 * interface's queue, which NUMA node it is at. Control thread.
 *
 * root stands in front of /sys and /proc: "" but in tests. ifindex guards against the sysfs of
 * another network namespace, where an interface of the same name is another one.
 */
#pragma once

#include "common/util.h"

#define MACHINE_CPUS_MAX 1024 /* as many as a cpu_set_t has */

/*
 * A list as the kernel writes them, "0,4-7", in the order given; spaces at its end are skipped.
 * The number of CPUs (or nodes) put into ret, at most MACHINE_CPUS_MAX; -EINVAL.
 */
int machine_cpu_list(unsigned int ret[MACHINE_CPUS_MAX], const char *text) must_check;
/* The one CPU that takes the queue's interrupts; -1 if that is not known, or not one. */
int machine_queue_cpu(const char *root, const char *ifname, unsigned int ifindex,
		      unsigned int queue);
/* -1: not known, or the machine has only one. */
int machine_numa_node(const char *root, const char *ifname, unsigned int ifindex);
/*
 * What this thread makes the kernel allocate from now on comes from that node where it has room;
 * -1: from anywhere again.
 */
void machine_prefer_node(int node);
