/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/filter_rule.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRIORITY_MAX 1000000
#define WORD_MAX 128

/* Digits alone, min .. max. */
static bool parse_number(long *ret, const char *text, long min, long max)
{
	size_t digits = strspn(text + (*text == '-'), "0123456789");
	long value;

	if (!digits || digits > 9 || text[digits + (*text == '-')])
		return false;
	value = strtol(text, NULL, 10);
	if (value < min || value > max)
		return false;
	*ret = value;
	return true;
}

static bool parse_keep(struct xcap_policy *policy, const char *text)
{
	static const char headers[] = "headers";
	long bytes = 0;

	if (!strcmp(text, "all")) {
		policy->keep = XCAP_KEEP_ALL;
	} else if (!strncmp(text, headers, sizeof(headers) - 1)) {
		text += sizeof(headers) - 1;
		if (*text && (*text != '+' || !parse_number(&bytes, text + 1, 0, XCAP_SNAPLEN_MAX)))
			return false;
		policy->keep = XCAP_KEEP_HEADERS;
	} else {
		if (!parse_number(&bytes, text, 1, XCAP_SNAPLEN_MAX))
			return false;
		policy->keep = XCAP_KEEP_BYTES;
	}
	policy->keep_bytes = (uint32_t)bytes;
	return true;
}

static bool parse_value(struct filter_rule *rule, const char *key, size_t key_len,
			const char *value)
{
	long number;

	if (key_len == 8 && !strncmp(key, "priority", key_len)) {
		if (!parse_number(&number, value, -PRIORITY_MAX, PRIORITY_MAX))
			return false;
		rule->priority = (int)number;
	} else if (key_len == 4 && !strncmp(key, "keep", key_len)) {
		return parse_keep(&rule->policy, value);
	} else if (key_len == 6 && !strncmp(key, "sample", key_len)) {
		if (!parse_number(&number, value, 1, INT32_MAX))
			return false;
		rule->policy.sample = (uint32_t)number;
	} else if (key_len == 11 && !strncmp(key, "sample-flow", key_len)) {
		if (!parse_number(&number, value, 1, INT32_MAX))
			return false;
		rule->policy.sample_flow = (uint32_t)number;
	} else {
		return false;
	}
	return true;
}

int filter_rule_parse_word(struct filter_rule *rule, const char *word, char error[FILTER_ERROR_LEN])
{
	const char *equals = strchr(word, '=');

	if (equals && parse_value(rule, word, (size_t)(equals - word), equals + 1))
		return 0;
	return explain_only(error, -EINVAL,
			    "a filter takes priority=N (%d at most), keep=all, keep=BYTES, "
			    "keep=headers+BYTES, sample=N and sample-flow=N, not '%.80s'",
			    PRIORITY_MAX, word);
}

int filter_rule_parse(struct filter_rule *ret, const char *text, char error[FILTER_ERROR_LEN])
{
	const char *colon = strchr(text, ':'), *at = text;
	struct filter_rule rule = {};
	char word[WORD_MAX];
	bool is_first = true;
	int err;

	if (!colon)
		return explain_only(error, -EINVAL,
				    "a named filter is NAME: EXPRESSION, not '%.80s'", text);
	while (at < colon) {
		size_t len = strcspn(at, " :"), used = MIN(len, sizeof(word) - 1);

		memcpy(word, at, used);
		word[used] = '\0';
		at += len + strspn(at + len, " ");
		if (is_first) {
			snprintf(rule.name, sizeof(rule.name), "%.*s", FILTER_NAME_MAX, word);
			is_first = false;
			continue;
		}
		err = filter_rule_parse_word(&rule, word, error);
		if (err)
			return err;
	}
	rule.expression = (char *)(uintptr_t)(colon + 1 + strspn(colon + 1, " "));
	*ret = rule;
	return 0;
}

void filter_rule_print_words(const struct filter_rule *rule, char *ret, size_t size)
{
	const struct xcap_policy *policy = &rule->policy;
	char keep[48] = "", sample[48] = "", flow[48] = "", priority[32] = "";

	if (rule->priority)
		snprintf(priority, sizeof(priority), " priority=%d", rule->priority);
	if (policy->keep == XCAP_KEEP_BYTES)
		snprintf(keep, sizeof(keep), " keep=%u", policy->keep_bytes);
	if (policy->keep == XCAP_KEEP_HEADERS)
		snprintf(keep, sizeof(keep), " keep=headers+%u", policy->keep_bytes);
	if (policy->sample)
		snprintf(sample, sizeof(sample), " sample=%u", policy->sample);
	if (policy->sample_flow)
		snprintf(flow, sizeof(flow), " sample-flow=%u", policy->sample_flow);
	snprintf(ret, size, "%s%s%s%s", priority, keep, sample, flow);
}
