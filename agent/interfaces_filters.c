/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Other filters on all interfaces, while they capture. */
#include <errno.h>
#include <string.h>

#include "agent/interfaces_internal.h"
#include "common/log.h"

static int prepare_all(struct interfaces *interfaces, const struct filter_set *filters, char *error)
{
	int err = interfaces_is_live(interfaces) ? live_check_filters(filters, error) : 0;

	for (unsigned int i = 0; i < interfaces->count && !err; i++) {
		struct agent_interface *interface = &interfaces->list[i];

		if (interface->live)
			err = live_prepare_filters(interface->live, filters, error);
		else if (interface->attached)
			err = dataplane_prepare_filters(interface->attached, filters, error);
	}
	return err;
}

static int apply(struct agent_interface *interface, char *error)
{
	if (interface->live)
		return live_apply_filters(interface->live, error);
	return interface->attached ? dataplane_apply_filters(interface->attached, error) : 0;
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
		/* What can be wrong is that the device is going: it will be given up. */
		if (apply(&interfaces->list[i], error))
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

		if (interface->live)
			live_matched(interface->live, counts);
		else if (!interface->attached || dataplane_matched(interface->attached, counts))
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
	if (!interfaces_is_live(interfaces))
		dataplane_note_filters(interfaces->config.dataplane, filters);
}

void interfaces_describe_earlier_filters(struct interfaces *interfaces)
{
	struct xcap_filters noted;

	if (interfaces_is_live(interfaces))
		return;
	dataplane_noted_filters(interfaces->config.dataplane, &noted);
	if (noted.generation)
		interface_table_set_filter(interfaces->config.table, noted.generation, noted.text);
}
