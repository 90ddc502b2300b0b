/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "aggregator/aggregator.h"

int main(int argc, char **argv)
{
	struct aggregator_options options = {};
	struct aggregator *aggregator = NULL;
	struct config *config = NULL;
	int code = EXIT_SUCCESS;

	log_init(LOG_LEVEL_INFO);
	signal(SIGPIPE, SIG_IGN);
	switch (config_parse(&config, &aggregator_program, argc, argv, &options)) {
	case CONFIG_RUN:
		break;
	case CONFIG_EXIT_OK:
		goto out;
	case CONFIG_EXIT_USAGE:
		code = 2;
		goto out;
	case CONFIG_EXIT_CONFIG:
		code = 78;
		goto out;
	}
	log_set_level((enum log_level)options.log_level);
	options.stats_ns = aggregator_options_stats(&options, config, isatty(STDERR_FILENO));
	code = aggregator_create(&aggregator, &options);
	if (!code)
		code = aggregator_run(aggregator);
	aggregator_destroy(aggregator);
out:
	config_destroy(config);
	return code;
}
