/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of xcapctl filter share. */
#pragma once

#include "bpf/filter.h"
#include "tools/daemon.h"

/*
 * Words first to last - 1 as one expression, as tcpdump takes them; to be freed. NULL: no memory.
 */
char *cmd_filter_expression(const struct config_list *words, size_t first, size_t last) must_check;
bool cmd_filter_is_change(const char *action);
/* words[0] is the action; the exit code. */
int cmd_filter_change(const struct daemon_options *daemon, const struct config_list *words,
		      bool as_json);
/* Both programs and the time they take, on stdout; the exit code. */
int cmd_filter_explain(const char *expression, uint16_t link_type, enum filter_hook hook);
