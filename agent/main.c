/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/dump_filter.h"
#include "agent/list_interfaces.h"
#include "common/log.h"

static int detach(const struct agent_options *options)
{
	char name[AGENT_ID_MAX + 1], error[DATAPLANE_ERROR_LEN];
	bool removed = false;
	int err;

	err = agent_instance_name(name, options);
	if (err)
		return err;
	err = dataplane_remove(options->bpffs, options->run_dir, name, &removed, error);
	if (err) {
		log_error(0, "%s", error);
		return err == -EPERM || err == -EACCES ? 77 : EXIT_FAILURE;
	}
	log_info(removed ? "instance %s is detached" : "nothing is attached for instance %s", name);
	return EXIT_SUCCESS;
}

/* As tcpdump has it, -i also takes the number that -D prints, unless an interface is called so. */
static void name_numbers(struct config_list *list, char names[][IF_NAMESIZE], size_t room)
{
	for (size_t i = 0; i < MIN(list->count, room); i++) {
		const char *word = list->items[i];

		if (!word[strspn(word, "0123456789")] && !if_nametoindex(word) &&
		    if_indextoname((unsigned int)strtoul(word, NULL, 10), names[i]))
			list->items[i] = names[i];
	}
}

int main(int argc, char **argv)
{
	char names[AGENT_INTERFACES_ASKED_MAX][IF_NAMESIZE];
	struct agent_options options = {};
	struct config *config = NULL;
	struct agent *agent = NULL;
	int code = EXIT_SUCCESS;
	char *filter = NULL;

	log_init(LOG_LEVEL_INFO);
	signal(SIGPIPE, SIG_IGN);
	options.compiled = filter_cache_create();
	switch (config_parse(&config, &agent_program, argc, argv, &options)) {
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
	options.is_mode_given = config_is_set(config, "mode");
	log_set_level(agent_options_log_level(&options, config));
	if (agent_options_filter(&options, config, &filter)) {
		code = EXIT_FAILURE;
		goto out;
	}
	name_numbers(&options.interfaces, names, ARRAY_SIZE(names));
	options.argc = argc;
	options.argv = config_has_file(config) ? argv : NULL;
	options.stats_ns = agent_options_stats(&options, config, isatty(STDERR_FILENO));
	options.buffer_bytes = agent_options_buffer(&options, (unsigned int)get_nprocs());
	if (options.list_interfaces) {
		code = list_interfaces(options.json);
	} else if (options.list_timestamps) {
		code = timestamps_list(&options);
	} else if (options.dump_filter) {
		code = dump_filter(&options);
	} else if (options.detach) {
		code = detach(&options);
	} else {
		agent_options_warn(&options, config);
		code = agent_create(&agent, &options);
		if (!code)
			code = agent_run(agent);
		agent_destroy(agent);
	}
out:
	free(filter);
	filter_cache_destroy(options.compiled);
	config_destroy(config);
	return code;
}
