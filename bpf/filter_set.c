/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/filter_set.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_name(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				  "-_.");

	return len && !name[len] && len <= FILTER_NAME_MAX;
}

void filter_set_release(struct filter_set *set)
{
	for (unsigned int i = 0; i < set->count; i++)
		free(set->rules[i].expression);
	*set = (struct filter_set){};
}

int filter_set_copy(struct filter_set *ret, const struct filter_set *set)
{
	struct filter_set copy = { .generation = set->generation, .cache = set->cache };

	for (; copy.count < set->count; copy.count++) {
		struct filter_rule *rule = &copy.rules[copy.count];

		*rule = set->rules[copy.count];
		rule->expression = strdup(rule->expression);
		if (!rule->expression) {
			filter_set_release(&copy);
			return -ENOMEM;
		}
	}
	*ret = copy;
	return 0;
}

static int find(const struct filter_set *set, const char *name)
{
	for (unsigned int i = 0; i < set->count; i++) {
		if (!strcmp(set->rules[i].name, name))
			return (int)i;
	}
	return -1;
}

static unsigned int free_slot(const struct filter_set *set)
{
	uint64_t used = 0;

	_Static_assert(XCAP_FILTERS_MAX <= 64, "a bit for each");
	for (unsigned int i = 0; i < set->count; i++)
		used |= 1ull << set->rules[i].slot;
	return (unsigned int)__builtin_ctzll(~used);
}

static void take_out(struct filter_set *set, unsigned int at)
{
	set->count--;
	memmove(&set->rules[at], &set->rules[at + 1], (set->count - at) * sizeof(set->rules[0]));
}

/* Behind all that are asked before it. */
static void put_in(struct filter_set *set, const struct filter_rule *rule)
{
	unsigned int at = 0;

	while (at < set->count && set->rules[at].priority >= rule->priority)
		at++;
	memmove(&set->rules[at + 1], &set->rules[at], (set->count - at) * sizeof(set->rules[0]));
	set->rules[at] = *rule;
	set->count++;
}

int filter_set_put(struct filter_set *set, const struct filter_rule *rule,
		   char error[FILTER_ERROR_LEN])
{
	struct filter_rule put = *rule;
	int at = find(set, rule->name);

	if (!is_name(rule->name))
		return explain_only(error, -EINVAL,
				    "'%.80s' is no name of a filter: letters, digits, '-', '_' and "
				    "'.', at most %d",
				    rule->name, FILTER_NAME_MAX);
	if (at < 0 && set->count == XCAP_FILTERS_MAX)
		return explain_only(error, -ENOSPC,
				    "no room for the filter %s: there are %d, the most (delete "
				    "one, or join two by `or`)",
				    rule->name, XCAP_FILTERS_MAX);
	put.expression = strdup(rule->expression);
	if (!put.expression)
		return explain(error, -ENOMEM, "cannot keep the filter");
	put.slot = at < 0 ? free_slot(set) : set->rules[at].slot;
	if (at >= 0 && set->rules[at].priority == put.priority) {
		free(set->rules[at].expression);
		set->rules[at] = put;
		return 0;
	}
	if (at >= 0) {
		free(set->rules[at].expression);
		take_out(set, (unsigned int)at);
	}
	put_in(set, &put);
	return 0;
}

int filter_set_delete(struct filter_set *set, const char *name)
{
	int at = find(set, name);

	if (at < 0)
		return -ENOENT;
	free(set->rules[at].expression);
	take_out(set, (unsigned int)at);
	return 0;
}

const struct filter_rule *filter_set_find(const struct filter_set *set, const char *name)
{
	int at = find(set, name);

	return at < 0 ? NULL : &set->rules[at];
}

static bool is_plain(const struct filter_set *set)
{
	return set->count == 1 && !strcmp(set->rules[0].name, FILTER_NAME_DEFAULT);
}

static int compile(struct filter_program **ret, const struct filter_set *set,
		   struct filter_cache *cache, uint16_t link_type, char *error)
{
	struct filter_program *programs[XCAP_FILTERS_MAX];
	uint32_t verdicts[XCAP_FILTERS_MAX];
	char why[FILTER_ERROR_LEN];
	int err = 0;

	for (unsigned int i = 0; i < set->count && !err; i++) {
		const struct filter_rule *rule = &set->rules[i];

		verdicts[i] = rule->slot + 1;
		err = filter_cache_compile(&programs[i], cache, rule->expression, link_type, why);
		if (err)
			err = is_plain(set)
				      ? explain_only(error, err, "%s", why)
				      : explain_only(error, err, "filter %s: %s", rule->name, why);
	}
	return err ?: filter_join(ret, programs, verdicts, set->count, error);
}

int filter_set_compile(struct filter_program **ret, const struct filter_set *set,
		       uint16_t link_type, char error[FILTER_ERROR_LEN])
{
	struct filter_cache *own = NULL;
	int err;

	if (!set->count) {
		*ret = NULL;
		return 0;
	}
	if (!set->cache) {
		own = filter_cache_create();
		if (!own)
			return explain(error, -ENOMEM, "cannot compile the filters");
	}
	err = compile(ret, set, own ?: set->cache, link_type, error);
	filter_cache_destroy(own);
	return err;
}

int filter_set_check(const struct filter_set *set, unsigned int rule, uint16_t link_type,
		     bool for_kernel, char error[FILTER_ERROR_LEN])
{
	const char *expression = set->rules[rule].expression;
	struct filter_program *program = NULL;
	int err = set->cache
			  ? filter_cache_compile(&program, set->cache, expression, link_type, error)
			  : filter_compile(&program, expression, link_type, error);

	if (!err && for_kernel)
		err = filter_check_program(program, error);
	if (!set->cache)
		filter_destroy(program);
	return err;
}

void filter_set_describe(const struct filter_set *set, char *ret, size_t size)
{
	size_t len = 0;

	if (is_plain(set)) {
		snprintf(ret, size, "%s", set->rules[0].expression);
		return;
	}
	if (size)
		ret[0] = '\0';
	for (unsigned int i = 0; i < set->count && len < size; i++)
		len += (size_t)snprintf(ret + len, size - len, "%s%s: %s", i ? "; " : "",
					set->rules[i].name, set->rules[i].expression);
}
