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
	{ "set", false, true, "set needs an EXPRESSION" },
	{ "add", true, true, "add needs a NAME and, in quotes, an EXPRESSION" },
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

/* Words such as keep=96 at the beginning; where the expression begins, which is never one. */
static size_t skip_words(const struct config_list *words, size_t at)
{
	while (at + 1 < words->count) {
		const char *word = words->items[at];
		size_t key = strspn(word, "abcdefghijklmnopqrstuvwxyz-");

		if (!key || word[key] != '=' || strchr(word, ' '))
			break;
		at++;
	}
	return at;
}

/* NAME, words, EXPRESSION. */
static json_t *make_request(const struct change *change, const struct config_list *words)
{
	json_t *request = json_pack("{s:s, s:s, s:[]}", "command", "filter", "action",
				    change->action, "words");
	size_t at = 1, begin;
	char *expression;

	if (change->has_name)
		json_object_set_new(request, "name", json_string(words->items[at++]));
	if (!change->has_expression)
		return request;
	for (begin = skip_words(words, at); at < begin; at++)
		json_array_append_new(json_object_get(request, "words"),
				      json_string(words->items[at]));
	expression = cmd_filter_expression(words, begin, words->count);
	json_object_set_new(request, "expression", json_string(expression));
	free(expression);
	return request;
}

/* NULL: it can be asked for. */
static const char *what_is_wrong(const struct change *change, const struct config_list *words)
{
	size_t least = 1 + (size_t)change->has_name + (size_t)change->has_expression;

	if (words->count < least || (words->count > least && !change->has_expression))
		return change->missing;
	/* Who forgets the NAME would else get a filter called tcp for `port 80`. */
	if (change->has_name && change->has_expression && skip_words(words, 2) + 1 < words->count)
		return change->missing;
	return NULL;
}

int cmd_filter_change(const struct daemon_options *daemon, const struct config_list *words,
		      bool as_json)
{
	const struct change *change = find(words->items[0]);
	const char *wrong = what_is_wrong(change, words);
	json_t *answer;
	int code;

	if (wrong) {
		fprintf(stderr, "xcapctl filter: %s\n", wrong);
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
