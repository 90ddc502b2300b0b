/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "agent/agent.h"

static int run_status(void *context, const json_t *request, json_t **result, const char **error)
{
	struct agent *agent = context;

	(void)request;
	(void)error;
	*result = agent_status(agent);
	return *result ? 0 : -ENOMEM;
}

static int run_filter(void *context, const json_t *request, json_t **result, const char **error)
{
	struct agent *agent = context;

	if (agent->filters && agent->interfaces)
		return filters_command(agent->filters, agent->interfaces, request, result, error);
	*error = "this xcapd reads packets from a file (-r): start it with another filter";
	return -EOPNOTSUPP;
}

static int run_watch(void *context, const json_t *request, json_t **result, const char **error)
{
	struct agent *agent = context;

	if (agent->watching)
		return watching_command(agent->watching, request, result, error);
	*error = agent->live
			 ? "this xcapd captures by libpcap (--mode pcap), which watches no flows"
			 : "this xcapd reads packets from a file (-r), all of them";
	return -EOPNOTSUPP;
}

const struct control_command agent_commands[] = {
	{ .name = "filter", .run = run_filter },
	{ .name = "status", .run = run_status },
	{ .name = "watch", .run = run_watch },
};
const size_t agent_command_count = ARRAY_SIZE(agent_commands);
