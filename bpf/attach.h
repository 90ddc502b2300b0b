/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BPF links to network devices, and the XDP program that somebody else has there. Any thread. */
#pragma once

#include <stdbool.h>

#include "common/util.h"

/* What a link is. ifindex 0: its device is gone. */
struct attach_link {
	uint32_t id, program_id;
	unsigned int ifindex;
};

struct attach_foreign {
	uint32_t program_id; /* 0: there is none */
	char name[17];
	unsigned int xdp_flags; /* mode it is attached in */
};

/* At the head of the chain: a program before us that ends the chain would hide packets. */
int attach_tcx(int program_fd, unsigned int ifindex, bool egress) must_check;
int attach_xdp(int program_fd, unsigned int ifindex, bool generic) must_check;
int attach_read_link(int link_fd, struct attach_link *ret) must_check;
/* A pinned link: its descriptor, or -ENOENT. */
int attach_open_link(const char *pin) must_check;
/* Detach it from its device, whoever else holds it. */
void attach_detach_link(int link_fd);
/* XDP program of the interface other than that of our own link (0: we have none). */
int attach_find_foreign(struct attach_foreign *ret, unsigned int ifindex,
			uint32_t own_program) must_check;
/*
 * Takes it off. *program_fd (-1 if it was attached by a link, which cannot be restored) is for
 * attach_restore_foreign().
 */
int attach_remove_foreign(const struct attach_foreign *foreign, unsigned int ifindex,
			  int *program_fd) must_check;
void attach_restore_foreign(const struct attach_foreign *foreign, unsigned int ifindex,
			    int program_fd);
