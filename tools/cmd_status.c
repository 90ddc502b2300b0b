/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xcapctl status: what a daemon says of itself over its local socket. */
#include "tools/cmd.h"

#include <stdlib.h>

#include "tools/daemon.h"

#define TIMEOUT_NS (5 * NS_PER_SEC)

struct status_options {
	struct daemon_options daemon;
	bool json;
};

static const struct config_option options[] = {
	DAEMON_OPTIONS(offsetof(struct status_options, daemon)),
	{ .name = "json",
	  .letter = 'j',
	  .type = CONFIG_FLAG,
	  .offset = offsetof(struct status_options, json),
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "print JSON" },
};

static int check(const struct config *config, const void *values, char error[256])
{
	const struct status_options *o = values;

	(void)config;
	return daemon_options_check(&o->daemon, error);
}

static const struct config_program program = {
	.name = "xcapctl status",
	.purpose = "Print what a running xcapd or xcap-aggregator reports.",
	.synopsis = "[--instance NAME | --socket PATH] [--run-dir DIR] [--json]",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.check = check,
};

int cmd_status(int argc, char **argv)
{
	static const int codes[] = {
		[CONFIG_EXIT_USAGE] = EXIT_USAGE, [CONFIG_EXIT_CONFIG] = EXIT_FAILURE
	};
	enum config_outcome outcome;
	struct status_options o;
	struct config *config;
	json_t *status;
	int code;

	outcome = config_parse(&config, &program, argc, argv, &o);
	if (outcome != CONFIG_RUN)
		return codes[outcome];
	code = daemon_ask(&status, program.name, &o.daemon, json_pack("{s:s}", "command", "status"),
			  TIMEOUT_NS);
	if (!code) {
		code = daemon_print(status, o.json) ? EXIT_FAILURE : 0;
		json_decref(status);
	}
	config_destroy(config);
	return code;
}
