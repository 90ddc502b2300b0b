/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aggregator/options.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "common/stream.h"

#define BARE_STATS_NS (5 * NS_PER_SEC)

#define AT(member) .offset = offsetof(struct aggregator_options, member)

/* As enum capture_format and enum log_level. */
static const char *const formats[] = { "pcapng", "pcap", NULL };
static const char *const log_levels[] = { "error", "warning", "info", "debug", NULL };

static const struct config_option options[] = {
	{ .group = "Agents",
	  .name = "listen",
	  .type = CONFIG_LIST,
	  AT(listen),
	  .metavar = "HOST:PORT",
	  .fallback = ":9227",
	  .help = "where agents connect; without HOST, on every address" },
	{ .name = "ca",
	  .type = CONFIG_STRING,
	  AT(ca),
	  .metavar = "FILE",
	  .help = "certificate of the authority of the agents (PEM)" },
	{ .name = "cert",
	  .type = CONFIG_STRING,
	  AT(cert),
	  .metavar = "FILE",
	  .help = "certificate of this aggregator (PEM)" },
	{ .name = "key",
	  .type = CONFIG_STRING,
	  AT(key),
	  .metavar = "FILE",
	  .help = "its private key (PEM)" },
	{ .name = "ingest-memory",
	  .type = CONFIG_SIZE,
	  AT(ingest_memory_bytes),
	  .metavar = "SIZE",
	  .fallback = "256MiB",
	  .min = 2 * MIB,
	  .max = 1024 * GIB,
	  .help = "credit of all agents together" },

	{ .group = "Store",
	  .name = "store",
	  .type = CONFIG_STRING,
	  AT(store),
	  .metavar = "DIR",
	  .fallback = "/var/lib/xcap/store",
	  .help = "where frames are kept; made if it is not there" },
	{ .name = "workers",
	  .type = CONFIG_COUNT,
	  AT(workers),
	  .metavar = "N",
	  .fallback = "0",
	  .max = 64,
	  .help = "threads, and journals of a new store (fixed when it is made); 0: one per CPU, "
		  "at "
		  "most 4" },
	{ .name = "segment-size",
	  .type = CONFIG_SIZE,
	  AT(segment_bytes),
	  .metavar = "SIZE",
	  .fallback = "64MiB",
	  .min = 2 * MIB,
	  .max = 2 * GIB,
	  .help = "size of a journal's files" },

	{ .group = "Merged output",
	  .name = "write",
	  .letter = 'w',
	  .type = CONFIG_STRING,
	  AT(write),
	  .metavar = "FILE",
	  .help = "all packets in order of time, - for standard output" },
	{ .name = "format",
	  .type = CONFIG_CHOICE,
	  AT(format),
	  .metavar = "FORMAT",
	  .choices = formats,
	  .fallback = "pcapng",
	  .help = "format of FILE" },
	{ .name = "replay",
	  .type = CONFIG_FLAG,
	  AT(replay),
	  .help = "merge the streams of replayed captures instead of the live ones" },
	{ .name = "merge-wait",
	  .type = CONFIG_DURATION,
	  AT(merge_wait_ns),
	  .metavar = "TIME",
	  .fallback = "10s",
	  .min = 10 * NS_PER_MS,
	  .max = 3600 * NS_PER_SEC,
	  .help = "wait so long for an agent that says nothing, then go on without it" },
	{ .name = "merge-memory",
	  .type = CONFIG_SIZE,
	  AT(merge_memory_bytes),
	  .metavar = "SIZE",
	  .fallback = "256MiB",
	  .min = MIB,
	  .max = 1024 * GIB,
	  .help = "memory for frames that wait for their turn" },

	{ .group = "Instance",
	  .name = "name",
	  .type = CONFIG_STRING,
	  AT(name),
	  .metavar = "INSTANCE",
	  .fallback = "aggregator",
	  .help = "name of this instance's socket" },
	{ .name = "run-dir",
	  .type = CONFIG_STRING,
	  AT(run_dir),
	  .metavar = "DIR",
	  .fallback = "/run/xcap",
	  .help = "where the socket is" },

	{ .group = "Reports and configuration",
	  .name = "stats",
	  .type = CONFIG_DURATION,
	  AT(stats_ns),
	  .metavar = "SEC",
	  .bare = "5",
	  .max = 86400 * NS_PER_SEC,
	  .flags = CONFIG_F_OPTIONAL_VALUE,
	  .help = "print counters every SEC seconds, 5 if SEC is left out, 0 never; on a terminal "
		  "that is the default" },
	{ .name = "log-level",
	  .type = CONFIG_CHOICE,
	  AT(log_level),
	  .metavar = "LEVEL",
	  .choices = log_levels,
	  .fallback = "info",
	  .help = "what is logged" },
	{ .name = "config",
	  .type = CONFIG_STRING,
	  AT(config),
	  .metavar = "FILE",
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "read FILE and FILE.d/*.yaml (default: /etc/xcap/aggregator.yaml if it is "
		  "there)" },
	{ .name = "print-config",
	  .type = CONFIG_FLAG,
	  AT(print_config),
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "print the configuration in effect and exit" },
	{ .name = "check-config",
	  .type = CONFIG_FLAG,
	  AT(check_config),
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "check the configuration and exit: 0 or 78" },
};

static int printf_like(2, 3) refuse(char error[256], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, 256, format, args);
	va_end(args);
	return -EINVAL;
}

int aggregator_options_check(const struct aggregator_options *o, char error[256])
{
	/* It becomes the name of a file. */
	if (!agent_id_valid(o->name) || o->name[0] == '.')
		return refuse(error, "--name takes 1 to 64 of a-z 0-9 . _ - and no leading dot");
	if (!o->listen.count)
		return refuse(error, "nowhere to listen: give --listen HOST:PORT");
	if (!o->ca || !o->cert || !o->key)
		return refuse(
			error,
			"%s is missing: agents are only served with --ca, --cert and --key (see "
			"'xcapctl pki --help')",
			!o->ca	   ? "--ca"
			: !o->cert ? "--cert"
				   : "--key");
	return 0;
}

static int check(const struct config *config, const void *values, char error[256])
{
	(void)config;
	return aggregator_options_check(values, error);
}

uint64_t aggregator_options_stats(const struct aggregator_options *o, const struct config *config,
				  bool is_terminal)
{
	if (config_is_set(config, "stats"))
		return o->stats_ns;
	return is_terminal ? BARE_STATS_NS : 0;
}

const struct config_program aggregator_program = {
	.name = "xcap-aggregator",
	.purpose =
		"Take in the packets of many agents, keep them, and merge them in order of time.",
	.synopsis = "--ca FILE --cert FILE --key FILE [--listen HOST:PORT]\n"
		    "                       [--store DIR] [-w FILE] [OPTION...]",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.default_file = "/etc/xcap/aggregator.yaml",
	.examples = "  xcap-aggregator --ca ca.crt --cert hub.crt --key hub.key -w merged.pcapng\n"
		    "  xcap-aggregator --ca ca.crt --cert hub.crt --key hub.key -w - |\n"
		    "        tcpdump -n -r -\n",
	.check = check,
};
