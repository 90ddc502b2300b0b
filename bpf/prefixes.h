/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lists of addresses and prefixes, IPv4 and IPv6, that are allowed or denied: of an address the
 * longest prefix says which. Values; any thread. All but prefixes_load() is sans-I/O.
 */
#pragma once

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "bpf/explain.h"
#include "bpf/xcap_abi.h"

#define PREFIXES_MAX 1000000
#define PREFIXES_FILE_MAX (64 * MIB)

struct prefix {
	uint64_t address[2]; /* host byte order, IPv4 mapped into IPv6 */
	uint8_t length;	     /* IPv4: plus 96 */
	bool is_ipv4;
	enum xcap_verdict verdict; /* ALLOW or DENY */
	const char *file;	   /* where it stood; NULL: among the options */
	unsigned int line;
};

/* All zero is empty. */
struct prefixes {
	struct prefix *list;
	size_t count, room;
	char **files; /* names that the prefixes point to */
	size_t file_count;
};

struct prefixes_words {
	const char *const *items;
	size_t count;
};

void prefixes_release(struct prefixes *prefixes);

/* "192.0.2.1", "192.0.2.0/24", "2001:db8::/32". -EINVAL; -E2BIG: PREFIXES_MAX; -ENOMEM. */
int prefixes_add(struct prefixes *prefixes, enum xcap_verdict verdict, const char *word,
		 char error[EXPLAIN_LEN]) must_check;
/*
 * The contents of a file: a prefix a line, # begins a comment. -EBADMSG: error tells file, line
 * and what to do; -ENOMEM.
 */
int prefixes_add_text(struct prefixes *prefixes, enum xcap_verdict verdict, const char *text,
		      size_t len, const char *file, char error[EXPLAIN_LEN]) must_check;
/*
 * After the last: in order, each once. -EINVAL, or -EBADMSG if a file is involved: one is allowed
 * and denied.
 */
int prefixes_finish(struct prefixes *prefixes, char error[EXPLAIN_LEN]) must_check;

/*
 * Everything from the words of --allow and --deny: prefixes, or files as @FILE, or as a path that
 * begins with / or a dot. Errors as above; *ret is released by the caller, if it succeeds.
 */
int prefixes_load(struct prefixes *ret, const struct prefixes_words *allow,
		  const struct prefixes_words *deny, char error[EXPLAIN_LEN]) must_check;

void prefixes_count(const struct prefixes *prefixes, struct xcap_list_counts *ret);
/* What prefixes say of an address, the slow way: for tests. Finished ones. */
enum xcap_verdict prefixes_lookup(const struct prefixes *prefixes, const uint64_t address[2]);
