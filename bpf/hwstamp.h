/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Time stamps that a network card gives to what it receives: can it, switch them on, and back. */
#pragma once

#include <linux/types.h>
#include <stdbool.h>

#include "bpf/netdev.h"

struct hwstamp {
	bool some; /* to some packets, such as those of PTP */
	bool all;  /* to whatever arrives */
	int phc;   /* its clock is /dev/ptpN; -1: it has none */
};

void hwstamp_query(struct hwstamp *ret, const struct netdev *device);
/*
 * To whatever arrives from here on. *before: what it was, as in xcap_info.stamps_off; untouched if
 * that was on. -EOPNOTSUPP; -EAGAIN: it is off, and may_switch is false.
 */
int hwstamp_on(unsigned int ifindex, bool may_switch, uint32_t *before) must_check;
/* Back to what it was, of the device of this index in the namespace with this inode. */
void hwstamp_restore(unsigned int ifindex, uint64_t netns, uint32_t before);
