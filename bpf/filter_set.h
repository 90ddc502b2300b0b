/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The filters of an instance: named, each with an expression and what becomes of the packets that
 * match it. A packet that none of them matches is not captured; of several that match, the one of
 * the highest priority says what is kept of it, and counts it. Values; any thread.
 */
#pragma once

#include <linux/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "bpf/filter_cache.h"
#include "bpf/xcap_abi.h"

#define FILTER_NAME_MAX 63 /* bytes */
#define FILTER_NAME_DEFAULT "default"

struct filter_rule {
	char name[FILTER_NAME_MAX + 1]; /* letters, digits, '-', '_', '.' */
	char *expression;		/* owned */
	int priority;			/* higher ones are asked first; of equals the older */
	struct xcap_policy policy;
	unsigned int slot; /* 0 .. XCAP_FILTERS_MAX - 1: of its counters, as long as it exists */
};

/* No rules: everything is captured. In the order in which they are asked. */
struct filter_set {
	struct filter_rule rules[XCAP_FILTERS_MAX];
	unsigned int count;
	uint32_t generation;	    /* counts the changes, from 1 on */
	struct filter_cache *cache; /* borrowed; NULL: nothing compiled is kept */
};

void filter_set_release(struct filter_set *set);
int filter_set_copy(struct filter_set *ret, const struct filter_set *set) must_check;
/*
 * Adds a rule, or replaces the one of that name, which keeps its counters. -EINVAL: the name;
 * -ENOSPC: there are XCAP_FILTERS_MAX; -ENOMEM. error says so. The expression is not looked at.
 */
int filter_set_put(struct filter_set *set, const struct filter_rule *rule,
		   char error[FILTER_ERROR_LEN]) must_check;
/* -ENOENT */
int filter_set_delete(struct filter_set *set, const char *name) must_check;
const struct filter_rule *filter_set_find(const struct filter_set *set, const char *name);

/*
 * One program of them all: its verdict is the slot of the first that matches plus one, 0: none.
 * NULL with success: there are no rules. Errors as filter_compile(); error begins with the name.
 */
int filter_set_compile(struct filter_program **ret, const struct filter_set *set,
		       uint16_t link_type, char error[FILTER_ERROR_LEN]) must_check;

/* Whether libpcap takes the expression of a rule for a link type, errors as filter_compile(); and
 * for_kernel whether it can be translated. */
int filter_set_check(const struct filter_set *set, unsigned int rule, uint16_t link_type,
		     bool for_kernel, char error[FILTER_ERROR_LEN]) must_check;

/* "name: expression" of each, for if_filter; of a single one called default only the expression. */
void filter_set_describe(const struct filter_set *set, char *ret, size_t size);
