/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration read again: of what it says the filters can change while xcapd runs. */
#include <stdlib.h>

#include "agent/agent.h"
#include "common/log.h"

/* Lists of addresses come into force with the filters, or neither does. */
static int reload_filters(struct agent *agent, const struct agent_options *options, char *error)
{
	struct prefixes lists = {};
	char why[EXPLAIN_LEN];
	int err;

	if (agent->live && (options->allow.count || options->deny.count))
		return explain_only(error, -EDOM,
				    "--allow and --deny take BPF programs, not --mode pcap");
	err = lists_load(&lists, options, error);
	if (!err && agent->dataplane)
		err = dataplane_set_lists(agent->dataplane, &lists, error);
	if (err) {
		prefixes_release(&lists);
		return err;
	}
	err = filters_reload(agent->filters, agent->interfaces, options, error);
	if (err) {
		prefixes_release(&lists);
		if (agent->dataplane && dataplane_set_lists(agent->dataplane, &agent->lists, why))
			log_warning(0, "%s", why);
		return err;
	}
	prefixes_release(&agent->lists);
	agent->lists = lists;
	return 0;
}

void agent_reload(struct agent *agent)
{
	struct agent_options options = { .compiled = agent->options->compiled };
	struct config *config = NULL;
	char error[FILTER_ERROR_LEN];
	char *words = NULL;

	if (config_parse(&config, &agent_program, agent->options->argc, agent->options->argv,
			 &options) != CONFIG_RUN ||
	    agent_options_filter(&options, config, &words)) {
		log_error(0, "SIGHUP: everything stays as it was");
		goto out;
	}
	if (!agent->filters)
		log_info("SIGHUP: nothing of the configuration changes while packets are read");
	else if (reload_filters(agent, &options, error))
		log_error(0, "SIGHUP: the filters stay as they were: %s", error);
	else
		log_info("SIGHUP: filters and lists are read again; all else takes a restart");
out:
	if (agent->filters)
		filters_tidy(agent->filters);
	free(words);
	config_destroy(config);
}
