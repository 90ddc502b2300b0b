/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Constants of the kernel's interfaces that are newer than the headers and the libbpf (1.1) this is
 * built with. Own names: in newer headers some of them are enumerators.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <sys/utsname.h>

static inline bool compat_kernel_at_least(unsigned int major, unsigned int minor)
{
	unsigned int found_major, found_minor;
	struct utsname kernel;

	if (uname(&kernel) || sscanf(kernel.release, "%u.%u", &found_major, &found_minor) != 2)
		return false;
	return found_major > major || (found_major == major && found_minor >= minor);
}

/* Linux 6.6: tcx. */
#define COMPAT_TCX_INGRESS 46
#define COMPAT_TCX_EGRESS 47
#define COMPAT_F_BEFORE (1u << 3)

/* Linux 6.3: programs bound to a device, for its metadata kfuncs. */
#define COMPAT_F_XDP_DEV_BOUND_ONLY (1u << 6)

/* Linux 6.6: frames of several descriptors on AF_XDP, see whole_only too. */
#define COMPAT_XDP_USE_SG (1u << 4)
#define COMPAT_XDP_PKT_CONTD (1u << 0)

/* linux/netdev.h: generic netlink family "netdev". */
#define COMPAT_NETDEV_CMD_DEV_GET 1
#define COMPAT_NETDEV_A_DEV_IFINDEX 1
#define COMPAT_NETDEV_A_DEV_XDP_FEATURES 3
#define COMPAT_NETDEV_A_DEV_XDP_RX_METADATA_FEATURES 5
#define COMPAT_NETDEV_XDP_ACT_BASIC 1
#define COMPAT_NETDEV_XDP_ACT_REDIRECT 2
#define COMPAT_NETDEV_XDP_ACT_XSK_ZEROCOPY 8
#define COMPAT_NETDEV_XDP_ACT_RX_SG 32
#define COMPAT_NETDEV_XDP_RX_METADATA_TIMESTAMP 1
#define COMPAT_NETDEV_XDP_RX_METADATA_VLAN_TAG 4

#define COMPAT_BPF_FS_MAGIC 0xcafe4a11
