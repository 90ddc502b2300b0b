/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Some drivers take a program in native mode and leave no room in front of a frame for what it
 * writes there. No driver tells; what tells is that every packet is counted as no_memory.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "bpf/dataplane_internal.h"
#include "bpf/vlan.h"
#include "common/pcapng.h"

bool dataplane_lacks_room(enum xcap_mode mode, bool generic, const struct xcap_count *counts)
{
	return mode == XCAP_TAP && !generic && counts[XCAP_NO_MEMORY].frames &&
	       !counts[XCAP_HANDED].frames;
}

static int attach_generic(struct dataplane_interface *interface, char *error)
{
	bool is_pinned = !(interface->info.flags & XCAP_INFO_UNPINNED);
	const char *name = instance_link_name(XCAP_TAP, 0);
	struct attach_link link = {};
	char path[PATH_MAX];
	int err;

	/* Both at once are not to be had. */
	attach_detach_link(interface->link_fds[0]);
	close(interface->link_fds[0]);
	interface->link_fds[0] = -1;
	if (is_pinned &&
	    snprintf(path, sizeof(path), "%s/%s", interface->dir, name) < (int)sizeof(path))
		(void)unlink(path);
	err = attach_xdp(interface->next_fds[0], interface->config.ifindex, true);
	if (err < 0)
		return explain(error, err, "cannot attach to %s (generic XDP)",
			       interface->config.name);
	interface->link_fds[0] = err;
	err = is_pinned ? interface_pin(interface, interface->link_fds[0], name) : 0;
	if (!err)
		err = attach_read_link(interface->link_fds[0], &link);
	interface->info.link_ids[0] = link.id;
	if (!err)
		err = interface_write_info(interface);
	return err ? explain(error, err, "cannot note what is attached to %s",
			     interface->config.name)
		   : 0;
}

int dataplane_leave_native(struct dataplane_interface *interface, const struct filter_set *filters,
			   char error[DATAPLANE_ERROR_LEN])
{
	int err;

	err = interface->link_type == LINKTYPE_RAW
		      ? 0
		      : vlan_offload_off(&interface->device, &interface->info.offloads_off, error);
	if (err && !interface->config.force)
		return err;
	interface->info.flags |= XCAP_INFO_GENERIC;
	err = dataplane_prepare_filters(interface, filters, error);
	if (err) {
		interface->info.flags &= ~(uint32_t)XCAP_INFO_GENERIC;
		return err;
	}
	err = attach_generic(interface, error);
	close(interface->next_fds[0]);
	interface->next_fds[0] = -1;
	return err;
}
