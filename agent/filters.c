/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/filters.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/interfaces.h"
#include "bpf/filter_rule.h"
#include "common/log.h"

struct filters {
	struct filter_set set;
	char error[FILTER_ERROR_LEN];
};

static int set_from_options(struct filter_set *ret, const struct agent_options *options,
			    char error[FILTER_ERROR_LEN])
{
	struct filter_rule rule = { .name = FILTER_NAME_DEFAULT };
	struct filter_set set = { .cache = options->compiled };
	int err = 0;

	if (options->filter) {
		rule.expression = (char *)(uintptr_t)options->filter;
		err = filter_set_put(&set, &rule, error);
	}
	for (size_t i = 0; i < options->named_filters.count && !err; i++) {
		err = filter_rule_parse(&rule, options->named_filters.items[i], error);
		if (!err && filter_set_find(&set, rule.name))
			err = explain_only(error, -EDOM,
					   "two filters are called %s: the second would replace "
					   "the first, give it another name",
					   rule.name);
		if (!err)
			err = filter_set_put(&set, &rule, error);
	}
	if (err)
		filter_set_release(&set);
	else
		*ret = set;
	return err;
}

int filters_create(struct filters **ret, const struct agent_options *options, uint32_t generation)
{
	struct filters *filters = calloc(1, sizeof(*filters));
	int err;

	if (!filters)
		return log_error(-ENOMEM, "cannot start");
	err = set_from_options(&filters->set, options, filters->error);
	if (err) {
		log_error(0, "%s", filters->error);
		free(filters);
		return err;
	}
	filters->set.generation = generation + 1;
	*ret = filters;
	return 0;
}

void filters_destroy(struct filters *filters)
{
	if (!filters)
		return;
	filter_set_release(&filters->set);
	free(filters);
}

const struct filter_set *filters_in_force(const struct filters *filters)
{
	return &filters->set;
}

void filters_tidy(const struct filters *filters)
{
	if (filters->set.cache)
		filter_cache_keep(filters->set.cache, &filters->set);
}

/* set comes into force, or is released. */
static int replace(struct filters *filters, struct interfaces *interfaces, struct filter_set *set,
		   char error[FILTER_ERROR_LEN])
{
	char text[200];
	int err;

	set->generation = filters->set.generation + 1;
	err = interfaces ? interfaces_set_filters(interfaces, set, error) : 0;
	if (err) {
		filter_set_release(set);
		filters_tidy(filters);
		return err;
	}
	filter_set_release(&filters->set);
	filters->set = *set;
	filters_tidy(filters);
	filter_set_describe(set, text, sizeof(text));
	log_info("filters, generation %u: %s", set->generation,
		 set->count ? text : "none, everything is captured");
	return 0;
}

int filters_reload(struct filters *filters, struct interfaces *interfaces,
		   const struct agent_options *options, char error[FILTER_ERROR_LEN])
{
	struct filter_set set;
	int err = set_from_options(&set, options, error);

	return err ?: replace(filters, interfaces, &set, error);
}

static json_t *rule_json(const struct filter_rule *rule, const struct xcap_count *matched)
{
	struct filter_rule plain = *rule;
	char words[160];

	plain.priority = 0;
	filter_rule_print_words(&plain, words, sizeof(words));
	return json_pack("{s:s, s:i, s:s, s:I, s:I, s:s}", "name", rule->name, "priority",
			 rule->priority, "policy", words + (*words == ' '), "matched",
			 (json_int_t)matched->wire_packets, "matched_bytes",
			 (json_int_t)matched->bytes, "expression", rule->expression);
}

json_t *filters_json(const struct filters *filters, const struct interfaces *interfaces)
{
	struct xcap_count matched[XCAP_FILTERS_MAX] = {};
	json_t *list = json_array();

	if (interfaces)
		interfaces_matched(interfaces, matched);
	for (unsigned int i = 0; list && i < filters->set.count; i++) {
		const struct filter_rule *rule = &filters->set.rules[i];

		if (json_array_append_new(list, rule_json(rule, &matched[rule->slot]))) {
			json_decref(list);
			return NULL;
		}
	}
	return json_pack("{s:I, s:o}", "generation", (json_int_t)filters->set.generation, "filters",
			 list);
}

static int read_words(struct filter_rule *rule, const json_t *words, char error[FILTER_ERROR_LEN])
{
	const json_t *word;
	size_t i;
	int err = 0;

	json_array_foreach((json_t *)(uintptr_t)words, i, word)
	{
		if (!err)
			err = filter_rule_parse_word(rule, json_string_value(word) ?: "", error);
	}
	return err;
}

static int read_rule(struct filter_rule *ret, const json_t *request, const char *fallback,
		     char error[FILTER_ERROR_LEN])
{
	const char *name = json_string_value(json_object_get(request, "name")) ?: fallback;
	const char *expression = json_string_value(json_object_get(request, "expression"));
	struct filter_rule rule = {};

	if (!name)
		return explain_only(error, -EINVAL, "a name is missing");
	if (!expression)
		return explain_only(error, -EINVAL, "an expression is missing");
	if (strlen(name) > FILTER_NAME_MAX)
		return explain_only(error, -EINVAL, "the name of a filter has at most %d bytes",
				    FILTER_NAME_MAX);
	strcpy(rule.name, name);
	rule.expression = (char *)(uintptr_t)expression;
	*ret = rule;
	return read_words(ret, json_object_get(request, "words"), error);
}

static int delete_rule(struct filter_set *set, const json_t *request, char error[FILTER_ERROR_LEN])
{
	const char *name = json_string_value(json_object_get(request, "name"));

	if (!name)
		return explain_only(error, -EINVAL, "a name is missing");
	if (filter_set_delete(set, name))
		return explain_only(error, -ENOENT,
				    "there is no filter called %.80s (xcapctl filter list)", name);
	return 0;
}

static int change(struct filters *filters, struct interfaces *interfaces, const json_t *request,
		  const char *action)
{
	struct filter_set set = { .cache = filters->set.cache };
	struct filter_rule rule;
	int err = 0;

	if (strcmp(action, "set") != 0)
		err = filter_set_copy(&set, &filters->set);
	if (err)
		return explain(filters->error, err, "cannot change the filters");
	if (!strcmp(action, "delete")) {
		err = delete_rule(&set, request, filters->error);
	} else {
		err = read_rule(&rule, request, !strcmp(action, "set") ? FILTER_NAME_DEFAULT : NULL,
				filters->error);
		if (!err)
			err = filter_set_put(&set, &rule, filters->error);
	}
	if (err) {
		filter_set_release(&set);
		return err;
	}
	return replace(filters, interfaces, &set, filters->error);
}

int filters_command(struct filters *filters, struct interfaces *interfaces, const json_t *request,
		    json_t **result, const char **error)
{
	const char *action = json_string_value(json_object_get(request, "action")) ?: "";
	int err = 0;

	*error = filters->error;
	if (!strcmp(action, "set") || !strcmp(action, "add") || !strcmp(action, "delete"))
		err = change(filters, interfaces, request, action);
	else if (strcmp(action, "list") != 0)
		err = explain_only(filters->error, -EINVAL,
				   "action is one of set, add, delete and list");
	if (err)
		return err;
	*result = filters_json(filters, interfaces);
	if (*result)
		return 0;
	*error = NULL;
	return -ENOMEM;
}
