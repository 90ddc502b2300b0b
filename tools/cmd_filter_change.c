/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xcapctl filter set, add, delete, list: the filters that a running xcapd has in force. */
#include "tools/cmd_filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A filter of thousands of terms takes libpcap a while. */
#define TIMEOUT_NS (60 * NS_PER_SEC)

static const struct change {
	const char *action;
	bool has_name, has_expression;
	const char *missing;
} changes[] = {
	{ "set", false, true, "set needs an EXPRESSION, in quotes" },
	{ "add", true, true, "add needs a NAME and an EXPRESSION, in quotes" },
	{ "delete", true, false, "delete needs the NAME of one filter" },
	{ "list", false, false, "list takes no arguments" },
};

static const struct change *find(const char *action)
{
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		if (!strcmp(changes[i].action, action))
			return &changes[i];
	}
	return NULL;
}

bool cmd_filter_is_change(const char *action)
{
	return find(action);
}

/* NAME, words such as keep=96, EXPRESSION. */
static json_t *make_request(const struct change *change, const struct config_list *words)
{
	json_t *request = json_pack("{s:s, s:s, s:[]}", "command", "filter", "action",
				    change->action, "words");
	size_t at = 1, last = words->count - 1;

	if (change->has_name)
		json_object_set_new(request, "name", json_string(words->items[at++]));
	for (; change->has_expression && at < last; at++)
		json_array_append_new(json_object_get(request, "words"),
				      json_string(words->items[at]));
	if (change->has_expression)
		json_object_set_new(request, "expression", json_string(words->items[last]));
	return request;
}

int cmd_filter_change(const struct daemon_options *daemon, const struct config_list *words,
		      bool as_json)
{
	const struct change *change = find(words->items[0]);
	size_t least = 1 + (size_t)change->has_name + (size_t)change->has_expression;
	json_t *answer;
	int code;

	if (words->count < least || (words->count > least && !change->has_expression)) {
		fprintf(stderr, "xcapctl filter: %s\n", change->missing);
		return EXIT_USAGE;
	}
	code = daemon_ask(&answer, "xcapctl filter", daemon, make_request(change, words),
			  TIMEOUT_NS);
	if (code)
		return code;
	code = daemon_print(answer, as_json) ? EXIT_FAILURE : 0;
	json_decref(answer);
	return code;
}
