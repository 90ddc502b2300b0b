/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "agent/agent.h"

static int run_status(void *context, const json_t *request, json_t **result, const char **error)
{
	struct agent *agent = context;

	(void)request;
	(void)error;
	agent_refresh_counts(agent);
	*result = agent_status(agent);
	return *result ? 0 : -ENOMEM;
}

const struct control_command agent_commands[] = {
	{ .name = "status", .run = run_status },
};
const size_t agent_command_count = ARRAY_SIZE(agent_commands);
