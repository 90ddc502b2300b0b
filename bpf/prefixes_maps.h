/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lists of addresses in the kernel. The maps belong to the programs that were loaded over them, of
 * all interfaces: another list is other maps, and in force for a program from its load on.
 */
#pragma once

#include "bpf/prefixes.h"

struct bpf_object;

/* Descriptors of maps, -1: not needed. */
struct prefixes_maps {
	struct xcap_lists config;
	int ipv4_fd, table_fd, hints_fd;
};

#define PREFIXES_MAPS_NONE                                    \
	{                                                     \
		.ipv4_fd = -1, .table_fd = -1, .hints_fd = -1 \
	}

int prefixes_maps_create(struct prefixes_maps *ret, const struct prefixes *prefixes) must_check;
void prefixes_maps_release(struct prefixes_maps *maps);
/* Before the load of the programs, whose rodata is given config. */
int prefixes_maps_use(const struct prefixes_maps *maps, const struct bpf_object *object) must_check;
