/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Other filters on all interfaces, while they capture. */
#include <errno.h>
#include <string.h>

#include "agent/interfaces_internal.h"
#include "common/log.h"

static int prepare_all(struct interfaces *interfaces, const struct filter_set *filters, char *error)
{
	int err = 0;

	for (unsigned int i = 0; i < interfaces->count && !err; i++) {
		struct agent_interface *interface = &interfaces->list[i];

		if (interface->attached)
			err = dataplane_prepare_filters(interface->attached, filters, error);
	}
	return err;
}

/* What packets judged by the new filters are of, before there are any. */
static int describe_all(struct interfaces *interfaces, const struct filter_set *filters,
			char *error)
{
	int err = 0;

	for (unsigned int i = 0; i < interfaces->count && !err; i++) {
		struct agent_interface *interface = &interfaces->list[i];

		if (interface->attached)
			err = interfaces_describe(interfaces, interface->ifindex, interface->name,
						  dataplane_link_type(interface->attached),
						  filters);
	}
	return err ? explain(error, err, "too many changes at a time: try again in a second") : 0;
}

static void retire(const struct interfaces *interfaces, const struct agent_interface *interface,
		   uint32_t generation)
{
	interface_table_retire(interfaces->config.table,
			       interface_id(interface->ifindex, generation),
			       clock_ns(CLOCK_MONOTONIC));
}

static void apply_all(struct interfaces *interfaces, uint32_t before, uint32_t after)
{
	char error[DATAPLANE_ERROR_LEN];

	for (unsigned int i = 0; i < interfaces->count; i++) {
		struct agent_interface *interface = &interfaces->list[i];

		if (!interface->attached)
			continue;
		if (dataplane_apply_filters(interface->attached, error) == 0) {
			retire(interfaces, interface, before);
			continue;
		}
		/* What can be wrong is that the device is going: it will be given up. */
		log_warning(0, "%s: the filters there are as before", error);
		retire(interfaces, interface, after);
	}
}

int interfaces_set_filters(struct interfaces *interfaces, const struct filter_set *filters,
			   char error[FILTER_ERROR_LEN])
{
	uint32_t before = interfaces->config.filters->generation;
	int err;

	if (interfaces->detached)
		return explain_only(error, -ESHUTDOWN, "capturing has ended");
	err = prepare_all(interfaces, filters, error);
	if (err)
		return err;
	err = describe_all(interfaces, filters, error);
	for (unsigned int i = 0; i < interfaces->count && err; i++)
		retire(interfaces, &interfaces->list[i], filters->generation);
	if (!err)
		apply_all(interfaces, before, filters->generation);
	return err;
}
