/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prefixes as the tables that bpf/prefixes.bpf.h looks into. Sans-I/O; any thread. */
#pragma once

#include "bpf/prefixes.h"

#define PREFIXES_IPV4_LEN (1u << 19) /* elements of xcap_ipv4 */

struct prefixes_tables {
	struct xcap_lists config;
	uint64_t *ipv4;		     /* PREFIXES_IPV4_LEN; NULL: no IPv4 */
	struct xcap_prefixes *table; /* NULL: nothing that needs it */
	size_t table_len;
	uint64_t *hints; /* with the table */
	size_t hints_len;
};

/* What becomes an element of the table. */
struct prefixes_node {
	uint64_t high, low; /* of the address; IPv4: the upper half of high */
	uint8_t length;	    /* IPv4: plus XCAP_PREFIX_IPV4 */
	uint8_t state;	    /* enum xcap_verdict, plus 1 */
};

/* Table and hints; nodes: each once. -ENOMEM; -EAGAIN: they are made to share all hashes. */
int prefixes_place(struct prefixes_tables *tables, const struct prefixes_node *nodes,
		   size_t count) must_check;

/* prefixes: finished. Errors as above. */
int prefixes_tables_build(struct prefixes_tables *ret, const struct prefixes *prefixes) must_check;
void prefixes_tables_release(struct prefixes_tables *tables);
