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

int interfaces_set_filters(struct interfaces *interfaces, const struct filter_set *filters,
			   char error[FILTER_ERROR_LEN])
{
	int err;

	if (interfaces->detached)
		return explain_only(error, -ESHUTDOWN, "capturing has ended");
	err = prepare_all(interfaces, filters, error);
	if (err)
		return err;
	/* First, as packets that they have judged come at once. */
	interfaces_describe_filters(interfaces, filters);
	for (unsigned int i = 0; i < interfaces->count; i++) {
		struct agent_interface *interface = &interfaces->list[i];

		/* What can be wrong is that the device is going: it will be given up. */
		if (interface->attached && dataplane_apply_filters(interface->attached, error))
			log_warning(0, "%s: the filters there are as before", error);
	}
	return 0;
}

void interfaces_matched(const struct interfaces *interfaces,
			struct xcap_count matched[XCAP_FILTERS_MAX])
{
	struct xcap_count counts[XCAP_FILTERS_MAX];

	for (unsigned int i = 0; i < interfaces->count; i++) {
		const struct agent_interface *interface = &interfaces->list[i];

		if (!interface->attached || dataplane_matched(interface->attached, counts))
			continue;
		for (unsigned int slot = 0; slot < XCAP_FILTERS_MAX; slot++) {
			matched[slot].frames += counts[slot].frames;
			matched[slot].wire_packets += counts[slot].wire_packets;
			matched[slot].bytes += counts[slot].bytes;
		}
	}
}

void interfaces_describe_filters(struct interfaces *interfaces, const struct filter_set *filters)
{
	char text[sizeof(((struct pcapng_interface *)0)->filter)];

	filter_set_describe(filters, text, sizeof(text));
	interface_table_set_filter(interfaces->config.table, filters->generation, text);
	dataplane_note_filters(interfaces->config.dataplane, filters);
}

void interfaces_describe_earlier_filters(struct interfaces *interfaces)
{
	struct xcap_filters noted;

	dataplane_noted_filters(interfaces->config.dataplane, &noted);
	if (noted.generation)
		interface_table_set_filter(interfaces->config.table, noted.generation, noted.text);
}
