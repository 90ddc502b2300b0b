/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Time stamps of an interface by its network card: switched on, told as CLOCK_MONOTONIC, back. */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "bpf/dataplane_internal.h"
#include "bpf/hwstamp.h"

int interface_stamps_on(struct dataplane_interface *interface, char *error)
{
	__u32 key = 0;
	int err;

	if (!interface->config.stamps) {
		interface_stamps_back(interface); /* an earlier daemon wanted them */
		return 0;
	}
	err = bpf_map_lookup_elem(interface->clock_fd, &key, &interface->clock);
	if (err)
		return explain(error, err, "cannot read the clock's map of %s",
			       interface->config.name);
	/* Without such a switch a driver may give them all the same: what it lacks is counted. */
	err = hwstamp_on(interface->config.ifindex, !interface->config.stamps_as_they_are,
			 &interface->info.stamps_off);
	if (err == -EAGAIN)
		return explain_only(error, -EDOM,
				    "they are off, and this host's traffic is left alone "
				    "(--time-stamp-type nic switches them on)");
	if (err && err != -EOPNOTSUPP)
		return explain_only(error, -EDOM, "they cannot be switched on: %s", strerror(-err));
	return 0;
}

void interface_stamps_back(struct dataplane_interface *interface)
{
	hwstamp_restore(interface->info.ifindex, interface->info.netns, interface->info.stamps_off);
	interface->info.stamps_off = 0;
}

int dataplane_set_clock(struct dataplane_interface *interface, const struct xcap_line *line)
{
	struct xcap_clock *clock = &interface->clock;
	__u32 key = 0, other = !clock->current;
	int err;

	/* Programs that run meanwhile see the current line as it is: it is written as it was. */
	clock->lines[other] = *line;
	err = bpf_map_update_elem(interface->clock_fd, &key, clock, BPF_ANY);
	if (err)
		return err;
	clock->current = other;
	return bpf_map_update_elem(interface->clock_fd, &key, clock, BPF_ANY);
}
