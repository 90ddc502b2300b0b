/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prefixes as the tables that bpf/prefixes.bpf.h looks into. Sans-I/O; any thread. */
#pragma once

#include "bpf/prefixes.h"

#define PREFIXES_IPV4_LEN (1u << 19) /* elements of xcap_ipv4 */

struct prefixes_tables {
	struct xcap_lists config;
	uint64_t *ipv4;		   /* PREFIXES_IPV4_LEN; NULL: no IPv4 */
	struct xcap_prefix *table; /* NULL: nothing that needs it */
	size_t table_len;
	uint64_t *hints; /* with the table */
	size_t hints_len;
};

/* prefixes: finished. -ENOMEM. */
int prefixes_tables_build(struct prefixes_tables *ret, const struct prefixes *prefixes) must_check;
void prefixes_tables_release(struct prefixes_tables *tables);
