/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taps whose driver turns out to have no room for what the program writes in native mode. */
#include "agent/interfaces_internal.h"
#include "common/log.h"

static void leave_native(struct interfaces *interfaces, struct agent_interface *interface)
{
	char error[DATAPLANE_ERROR_LEN];

	log_warning(0,
		    "%s: its driver has native XDP, but no room for time and length in front of a "
		    "packet (%llu were lost as no_memory): going on in generic mode, which is "
		    "slower (--xdp-mode generic begins with it)",
		    interface->name,
		    (unsigned long long)interface->reading.counts[XCAP_NO_MEMORY].frames);
	/* Once is enough, whatever comes of it. */
	interface->is_generic = true;
	if (dataplane_leave_native(interface->attached, interfaces->config.filters, error))
		log_error(0, "%s", error);
}

void interfaces_leave_native(struct interfaces *interfaces)
{
	for (unsigned int i = 0; i < interfaces->count; i++) {
		struct agent_interface *interface = &interfaces->list[i];

		if (interface->attached &&
		    dataplane_lacks_room(interface->mode, interface->is_generic,
					 interface->reading.counts))
			leave_native(interfaces, interface);
	}
}
