/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/filter_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/filter_set.h"
#include "common/log.h"

struct compiled {
	struct compiled *next;
	struct filter_program *program;
	uint16_t link_type;
	char expression[];
};

struct filter_cache {
	struct compiled *first;
};

struct filter_cache *filter_cache_create(void)
{
	return calloc(1, sizeof(struct filter_cache));
}

static void drop(struct compiled **at)
{
	struct compiled *compiled = *at;

	*at = compiled->next;
	filter_destroy(compiled->program);
	free(compiled);
}

void filter_cache_destroy(struct filter_cache *cache)
{
	if (!cache)
		return;
	while (cache->first)
		drop(&cache->first);
	free(cache);
}

int filter_cache_compile(struct filter_program **ret, struct filter_cache *cache,
			 const char *expression, uint16_t link_type, char error[FILTER_ERROR_LEN])
{
	size_t size = strlen(expression) + 1;
	struct compiled *compiled;
	int err;

	for (compiled = cache->first; compiled; compiled = compiled->next) {
		if (compiled->link_type == link_type && !strcmp(compiled->expression, expression)) {
			*ret = compiled->program;
			return 0;
		}
	}
	compiled = calloc(1, sizeof(*compiled) + size);
	if (!compiled)
		return explain(error, -ENOMEM, "cannot keep the filter");
	err = filter_compile(&compiled->program, expression, link_type, error);
	if (err) {
		free(compiled);
		return err;
	}
	log_debug("compiled for link type %u: %.200s", link_type, expression);
	memcpy(compiled->expression, expression, size);
	compiled->link_type = link_type;
	compiled->next = cache->first;
	cache->first = compiled;
	*ret = compiled->program;
	return 0;
}

static bool is_of(const char *expression, const struct filter_set *set)
{
	for (unsigned int i = 0; i < set->count; i++) {
		if (!strcmp(set->rules[i].expression, expression))
			return true;
	}
	return false;
}

void filter_cache_keep(struct filter_cache *cache, const struct filter_set *set)
{
	for (struct compiled **at = &cache->first; *at;) {
		if (is_of((*at)->expression, set))
			at = &(*at)->next;
		else
			drop(at);
	}
}

unsigned int filter_cache_count(const struct filter_cache *cache)
{
	unsigned int count = 0;

	for (const struct compiled *at = cache->first; at; at = at->next)
		count++;
	return count;
}
