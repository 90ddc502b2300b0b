/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/dump_filter.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>

#include "agent/exit_code.h"
#include "agent/selection.h"
#include "bpf/filter.h"
#include "bpf/netdev.h"
#include "common/log.h"
#include "common/pcapng.h"

/* Of `any` and of a pattern: as most interfaces are. */
static int link_type_of(const char *name)
{
	unsigned int ifindex = if_nametoindex(name);
	struct netdev device;
	int err;

	if (selection_kind(name) != SELECTION_NAME)
		return LINKTYPE_ETHERNET;
	err = ifindex ? netdev_query(&device, ifindex) : -ENODEV;
	return err ?: netdev_link_type(&device);
}

int dump_filter(const struct agent_options *options)
{
	const char *name = options->interfaces.count ? options->interfaces.items[0] : "any";
	const char *expression = options->filter ?: "";
	struct filter_program *program;
	char error[FILTER_ERROR_LEN];
	struct buf text = {};
	int link_type = link_type_of(name), err;

	if (link_type < 0)
		return exit_code(log_error(link_type, "no filter for interface %s", name));
	err = filter_compile(&program, expression, (uint16_t)link_type, error);
	if (err) {
		log_error(0, "the filter '%.100s' on %s: %s", expression, name, error);
		return exit_code(err);
	}
	filter_print_classic(program, &text);
	if (fwrite(text.data, 1, text.len, stdout) != text.len || fflush(stdout))
		err = -errno;
	buf_release(&text);
	filter_destroy(program);
	return exit_code(err ? log_error(err, "cannot print the filter") : 0);
}
