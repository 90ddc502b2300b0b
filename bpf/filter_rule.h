/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A filter with its name and policy as users write it. Sans-I/O, any thread.
 *
 *	NAME [priority=N] [keep=all|BYTES|headers+BYTES] [sample=N] [sample-flow=N]: EXPRESSION
 */
#pragma once

#include "bpf/filter_set.h"

/* ret->expression points into text. -EINVAL and error. */
int filter_rule_parse(struct filter_rule *ret, const char *text,
		      char error[FILTER_ERROR_LEN]) must_check;
/* One of the words in front of the colon, such as "priority=5". */
int filter_rule_parse_word(struct filter_rule *rule, const char *word,
			   char error[FILTER_ERROR_LEN]) must_check;
/* The words of what is not as by default, with a space in front of each. */
void filter_rule_print_words(const struct filter_rule *rule, char *ret, size_t size);
