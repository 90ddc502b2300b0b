/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon that a subcommand speaks to, over its local socket. */
#pragma once

#include <jansson.h>

#include "common/config.h"

enum {
	EXIT_USAGE = 2,
	EXIT_UNAVAILABLE = 69,
	EXIT_NOT_PERMITTED = 77,
};

struct daemon_options {
	const char *instance, *socket, *run_dir;
};

/* Rows of a table of options; at: of the struct daemon_options in the values. */
#define DAEMON_OPTIONS(at)                                                                   \
	{ .name = "instance",                                                                \
	  .type = CONFIG_STRING,                                                             \
	  .offset = (at) + offsetof(struct daemon_options, instance),                        \
	  .metavar = "NAME",                                                                 \
	  .flags = CONFIG_F_COMMAND_LINE,                                                    \
	  .help = "the daemon of that name (default: the only one there is)" },              \
		{ .name = "socket",                                                          \
		  .type = CONFIG_STRING,                                                     \
		  .offset = (at) + offsetof(struct daemon_options, socket),                  \
		  .metavar = "PATH",                                                         \
		  .flags = CONFIG_F_COMMAND_LINE,                                            \
		  .help = "the daemon that listens there" },                                 \
	{                                                                                    \
		.name = "run-dir", .type = CONFIG_STRING,                                    \
		.offset = (at) + offsetof(struct daemon_options, run_dir), .metavar = "DIR", \
		.fallback = "/run/xcap", .flags = CONFIG_F_COMMAND_LINE,                     \
		.help = "where the sockets are"                                              \
	}

/* For the check of a struct config_program. */
int daemon_options_check(const struct daemon_options *options, char error[256]) must_check;
/*
 * The answer to the request (the caller's, taken over), or an exit code after a message on stderr
 * that begins with the command's name.
 */
int daemon_ask(json_t **ret, const char *command, const struct daemon_options *options,
	       json_t *request, uint64_t timeout_ns) must_check;
/* The answer on stdout, for people or programs. */
int daemon_print(const json_t *answer, bool as_json) must_check;
