/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Expressions that are compiled: each once for a link type, however many interfaces and sets of
 * filters it is asked on. Belongs to one thread.
 */
#pragma once

#include "bpf/filter.h"

struct filter_cache;
struct filter_set;

/* NULL without memory. */
struct filter_cache *filter_cache_create(void);
void filter_cache_destroy(struct filter_cache *cache);
/* As filter_compile(), but *ret is the cache's. */
int filter_cache_compile(struct filter_program **ret, struct filter_cache *cache,
			 const char *expression, uint16_t link_type,
			 char error[FILTER_ERROR_LEN]) must_check;
/* Forgets what is none of the set's. */
void filter_cache_keep(struct filter_cache *cache, const struct filter_set *set);
unsigned int filter_cache_count(const struct filter_cache *cache);
