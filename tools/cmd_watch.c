/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xcapctl watch: flows that a running xcapd captures whatever its filters say. */
#include "tools/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bpf/watch.h"
#include "tools/daemon.h"

#define TIMEOUT_NS (10 * NS_PER_SEC)

struct watch_options {
	struct daemon_options daemon;
	uint64_t for_ns;
	bool json;
};

static const struct config_option options[] = {
	DAEMON_OPTIONS(offsetof(struct watch_options, daemon)),
	{ .name = "for",
	  .type = CONFIG_DURATION,
	  .offset = offsetof(struct watch_options, for_ns),
	  .metavar = "TIME",
	  .max = 365 * 86400 * NS_PER_SEC,
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "add: so long, such as 60s or 2h (default: until it is deleted)" },
	{ .name = "json",
	  .letter = 'j',
	  .type = CONFIG_FLAG,
	  .offset = offsetof(struct watch_options, json),
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "print JSON" },
};

static int check(const struct config *config, const void *values, char error[256])
{
	const struct config_list *words = config_arguments(config);
	const struct watch_options *o = values;
	const char *action = words->count ? words->items[0] : "";
	char why[EXPLAIN_LEN] = "";
	struct xcap_watch_key key;

	if (!strcmp(action, "list") ? words->count > 1
				    : strcmp(action, "add") != 0 && strcmp(action, "delete") != 0) {
		snprintf(error, 256, "add FLOW, delete FLOW or list is needed");
		return -EINVAL;
	}
	if (strcmp(action, "add") != 0 && config_is_set(config, "for")) {
		snprintf(error, 256, "--for is for add");
		return -EINVAL;
	}
	if (config_is_set(config, "for") && !o->for_ns) {
		snprintf(error, 256, "--for takes a time above 0");
		return -EINVAL;
	}
	if (strcmp(action, "list") != 0 &&
	    watch_parse(&key, words->items + 1, words->count - 1, why)) {
		snprintf(error, 256, "%.250s", why);
		return -EINVAL;
	}
	return daemon_options_check(&o->daemon, error);
}

static const struct config_program program = {
	.name = "xcapctl watch",
	.purpose = "Flows that a running xcapd captures whatever its filters and lists say.",
	.synopsis = "[OPTION...] add [--for TIME] FLOW | delete FLOW | list\n"
		    "       FLOW: tcp|udp|sctp|... ADDRESS PORT ADDRESS PORT, or\n"
		    "             icmp|esp|NUMBER|... ADDRESS ADDRESS",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.positional = "ACTION",
	.check = check,
	.examples = "  xcapctl watch add --for 60s udp 10.0.0.1 5060 10.0.0.2 5060\n"
		    "  xcapctl watch list\n",
};

static json_t *make_request(const struct watch_options *o, const struct config_list *words)
{
	json_t *request = json_pack("{s:s, s:s, s:[]}", "command", "watch", "action",
				    words->items[0], "flow");

	for (size_t i = 1; i < words->count; i++)
		json_array_append_new(json_object_get(request, "flow"),
				      json_string(words->items[i]));
	if (o->for_ns)
		json_object_set_new(request, "for_ns", json_integer((json_int_t)o->for_ns));
	return request;
}

static void print_list(const json_t *flows)
{
	const json_t *flow, *left_s;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)flows, i, flow)
	{
		printf("%s: %lld packets, %lld bytes",
		       json_string_value(json_object_get(flow, "flow")) ?: "?",
		       (long long)json_integer_value(json_object_get(flow, "packets")),
		       (long long)json_integer_value(json_object_get(flow, "bytes")));
		left_s = json_object_get(flow, "left_s");
		if (json_is_number(left_s))
			printf(", %.1f s left", json_number_value(left_s));
		putchar('\n');
	}
}

static int ask(const struct watch_options *o, const struct config_list *words)
{
	json_t *answer;
	int code;

	code = daemon_ask(&answer, "xcapctl watch", &o->daemon, make_request(o, words), TIMEOUT_NS);
	if (code)
		return code;
	if (o->json)
		code = daemon_print(answer, true) ? EXIT_FAILURE : 0;
	else if (json_is_array(json_object_get(answer, "flows")))
		print_list(json_object_get(answer, "flows"));
	json_decref(answer);
	return code;
}

int cmd_watch(int argc, char **argv)
{
	static const int codes[] = {
		[CONFIG_EXIT_USAGE] = EXIT_USAGE, [CONFIG_EXIT_CONFIG] = EXIT_FAILURE
	};
	enum config_outcome outcome;
	struct watch_options o;
	struct config *config;
	int code;

	outcome = config_parse(&config, &program, argc, argv, &o);
	if (outcome != CONFIG_RUN)
		return codes[outcome];
	code = ask(&o, config_arguments(config));
	config_destroy(config);
	return code;
}
