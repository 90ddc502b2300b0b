/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each filter of an interface matched, and whose counter is which. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/dataplane_internal.h"

void interface_name_slots(struct dataplane_interface *interface, const struct filter_set *filters)
{
	memset(interface->slots, 0, sizeof(interface->slots));
	for (unsigned int i = 0; filters && i < filters->count; i++) {
		struct xcap_slot *slot = &interface->slots[filters->rules[i].slot];

		snprintf(slot->filter, sizeof(slot->filter), "%s", filters->rules[i].name);
	}
}

/* It is another filter's now. */
static void forget_matched(const struct dataplane_interface *interface, __u32 slot)
{
	int cpus = libbpf_num_possible_cpus();
	struct xcap_count *zeros = cpus > 0 ? calloc((size_t)cpus, sizeof(*zeros)) : NULL;

	if (zeros)
		(void)bpf_map_update_elem(interface->matched_fd, &slot, zeros, BPF_ANY);
	free(zeros);
}

int interface_tell_slots(const struct dataplane_interface *interface)
{
	struct xcap_slot before;
	int err = 0;

	for (__u32 slot = 0; slot < XCAP_FILTERS_MAX && !err; slot++) {
		const struct xcap_slot *now = &interface->slots[slot];

		err = bpf_map_lookup_elem(interface->slots_fd, &slot, &before);
		if (err || !strncmp(before.filter, now->filter, sizeof(before.filter)))
			continue;
		forget_matched(interface, slot);
		err = bpf_map_update_elem(interface->slots_fd, &slot, now, BPF_ANY);
	}
	return err;
}

int dataplane_matched(const struct dataplane_interface *interface, struct xcap_count *counts)
{
	return instance_read_count_map(interface->matched_fd, counts, XCAP_FILTERS_MAX);
}
