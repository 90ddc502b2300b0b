/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A program with an option of each kind, for the tests and the fuzzer of config. */
#pragma once

#include <errno.h>
#include <string.h>

#include "common/config.h"

struct values {
	bool force;
	const char *name, *secret;
	struct config_list interfaces;
	uint64_t snaplen, verbose, batch, buffer, timeout, stats;
	int mode, log_level;
	const char *config;
	bool print_config, check_config;
};

#define AT(member) .offset = offsetof(struct values, member)

static const char *const modes[] = { "mirror", "tap", "pcap", NULL };
static const char *const levels[] = { "error", "warning", "info", "debug", NULL };

static const char *const timeouts[] = { "5ms", NULL, "500ms" };

static const struct config_option options[] = {
	{ .group = "First",
	  .name = "interface",
	  .alias = "device",
	  .letter = 'i',
	  .type = CONFIG_LIST,
	  AT(interfaces),
	  .metavar = "IF",
	  .help = "where" },
	{ .name = "force", .letter = 'f', .type = CONFIG_FLAG, AT(force), .help = "do it" },
	{ .name = "name", .type = CONFIG_STRING, AT(name), .metavar = "NAME", .help = "who" },
	{ .name = "password",
	  .type = CONFIG_STRING,
	  AT(secret),
	  .metavar = "TEXT",
	  .help = "word",
	  .flags = CONFIG_F_SECRET },
	{ .name = "snapshot-length",
	  .letter = 's',
	  .type = CONFIG_COUNT,
	  AT(snaplen),
	  .metavar = "LEN",
	  .help = "bytes of each packet and so many words that the line must be broken here",
	  .fallback = "262144",
	  .min = 1,
	  .max = 262144,
	  .flags = CONFIG_F_ZERO_IS_MAX },
	{ .name = "verbose",
	  .letter = 'v',
	  .type = CONFIG_COUNT,
	  AT(verbose),
	  .metavar = "N",
	  .help = "more",
	  .flags = CONFIG_F_COUNTED },
	{ .name = "batch-size",
	  .type = CONFIG_SIZE,
	  AT(batch),
	  .metavar = "SIZE",
	  .help = "of a batch",
	  .fallback = "64KiB",
	  .min = 4096,
	  .max = MIB },
	{ .name = "buffer-size",
	  .letter = 'B',
	  .type = CONFIG_SIZE,
	  AT(buffer),
	  .metavar = "MIB",
	  .help = "of the buffers",
	  .fallback = "0",
	  .unit = MIB },
	{ .name = "timeout",
	  .type = CONFIG_DURATION,
	  AT(timeout),
	  .metavar = "TIME",
	  .help = "how long",
	  .fallback = "20ms",
	  .by_preset = timeouts },
	{ .name = "stats",
	  .type = CONFIG_DURATION,
	  AT(stats),
	  .metavar = "SEC",
	  .help = "how often",
	  .bare = "5",
	  .flags = CONFIG_F_OPTIONAL_VALUE },
	{ .name = "mode",
	  .type = CONFIG_CHOICE,
	  AT(mode),
	  .metavar = "MODE",
	  .help = "which",
	  .choices = modes,
	  .fallback = "tap" },
	{ .name = "log-level",
	  .type = CONFIG_CHOICE,
	  AT(log_level),
	  .metavar = "LEVEL",
	  .help = "how much",
	  .choices = levels,
	  .fallback = "info" },
	{ .name = "config",
	  .type = CONFIG_STRING,
	  AT(config),
	  .metavar = "FILE",
	  .help = "file",
	  .flags = CONFIG_F_COMMAND_LINE },
	{ .name = "print-config",
	  .type = CONFIG_FLAG,
	  AT(print_config),
	  .help = "print",
	  .flags = CONFIG_F_COMMAND_LINE },
	{ .name = "check-config",
	  .type = CONFIG_FLAG,
	  AT(check_config),
	  .help = "check",
	  .flags = CONFIG_F_COMMAND_LINE },
};

static int check_name(const struct config *config, const void *values, char error[256])
{
	const struct values *v = values;

	(void)config;
	if (!v->name || strcmp(v->name, "bad") != 0)
		return 0;
	snprintf(error, 256, "that name is bad");
	return -EINVAL;
}

static const struct config_program program = {
	.name = "prog",
	.purpose = "Do things.",
	.synopsis = "[OPTION...] [FILE...]",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.preset = "mode",
	.examples = "  prog -i eth0\n",
	.check = check_name,
};
