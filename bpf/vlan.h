/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps VLAN tags in the frame for XDP, which does not see what a NIC has put beside it: VLAN
 * offload is switched off, and on again in the end. A veth gets its tags from the other end, where
 * the offload of sending counts, in whatever namespace that is.
 */
#pragma once

#include <linux/types.h>

#include "bpf/netdev.h"
#include "bpf/xcap_abi.h"

/*
 * *switched_off gains enum xcap_offload bits of what was on; on failure nothing has changed.
 * error: EXPLAIN_LEN bytes.
 */
int vlan_offload_off(const struct netdev *device, uint32_t *switched_off, char *error) must_check;
/* Those bits of the device of this index, in the namespace with this inode, on again. */
void vlan_offload_restore(unsigned int ifindex, uint64_t netns, uint32_t switched_off);
