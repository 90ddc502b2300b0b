/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An interface of a capture that is read: what it is called here, and which of its packets are
 * wanted. Part of the source that reads (source_pcap.c).
 */
#pragma once

#include "bpf/filter.h"
#include "common/pcapng.h"
#include "common/util.h"

#define RECORDED_ERROR_LEN 512

struct recorded {
	struct pcapng_interface description;
	struct filter_program *filter;	     /* NULL: no packet came yet, or all are wanted */
	struct pcapng_statistics statistics; /* the last that came */
	bool has_statistics;		     /* ... not given yet */
};

/* Borrowed. */
struct recorded_config {
	const char *path;	/* of the file; "-": standard input */
	const char *label;	/* NULL: the name in the file, else the file's own */
	const char *expression; /* pcap-filter(7); NULL: all packets */
};

/* id: of the interface in the file, from 0. */
void recorded_init(struct recorded *recorded, const struct pcapng_interface *interface, uint32_t id,
		   const struct recorded_config *config);
void recorded_release(struct recorded *recorded);
/* As `tcpdump -r` judges the packet: 1, 0; or a negative errno, and error: the interface's link
 * type has no such filter. */
int recorded_matches(struct recorded *recorded, const struct recorded_config *config,
		     const struct pcapng_packet *packet, char error[RECORDED_ERROR_LEN]) must_check;
